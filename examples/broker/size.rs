//! The longest message: 20 MB unless the broker is told otherwise, which may be 2 KB to 250 MB.
//!
//! cargo run --example broker_size [URL]

use wirebird::broker::{Broker, BrokerOptions, Client, Message, Result, Status};

const LIMIT: usize = 200 << 10;

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let wrong = Broker::with_options(&BrokerOptions::new().max_message_size(1 << 10));
    println!("{}", wrong.unwrap_err());

    let broker = Broker::with_options(&BrokerOptions::new().max_message_size(LIMIT))?;
    broker.create_function("length", |request| {
        let length = request.payload_binary().len();
        Ok(Some(request.reply(Status::Ok, length)))
    })?;
    let listener = broker.listen(url)?;
    let client = Client::connect(&listener.url())?;

    // It counts as it is before it is compressed or encrypted, and without the other fields.
    let just = Message::binary(None, "", "application/octet-stream", vec![0; LIMIT])?;
    let answer = client.send("length", just)?;
    println!("{} bytes", answer.payload_text().unwrap_or_default());
    let more = Message::binary(None, "", "application/octet-stream", vec![0; LIMIT + 1])?;
    let refused = client.send("length", more).unwrap_err();
    // The client knows the limit, and does not even send it.
    assert_eq!(refused.status(), None);
    println!("{refused}");
    Ok(())
}
