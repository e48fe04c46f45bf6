//! What answers say: the fields of a request that come back, the status, and whether that is good.
//!
//! cargo run --example broker_answers [URL]

use serde_json::json;
use wirebird::broker::{Broker, Client, Message, MessageType, Result, Status};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    let listener = broker.listen(url)?;
    let client = Client::connect(&listener.url())?;

    for request in [
        Message::plain_text("1", "test", "Hello!")?,
        Message::binary("2", "test", "application/octet-stream", &[0, 1, 2, 3][..])?,
        Message::data("3", "test", json!({"a": 100, "b": 200}))?,
    ] {
        let answer = client.send("echo", request.clone())?;
        assert_eq!(answer.kind(), MessageType::Response);
        assert_eq!((answer.status(), answer.is_ok()), (Status::Ok, true));
        // Nobody answers an answer.
        assert!(answer.is_oneway());
        assert_eq!(answer.request_id(), request.request_id());
        assert_eq!(answer.subject(), request.subject());
        assert_eq!(answer.payload_binary(), request.payload_binary());
        let charset = answer.charset().map_or("bytes", |charset| charset.name());
        println!("{} in {charset}", answer.mimetype());
    }

    // `send` makes an error of a status that is not OK. `request` leaves that to the program.
    let message = Message::plain_text("4", "test", "Hello!")?;
    let error = client.send("ohce", message.clone()).unwrap_err();
    println!("error: {error}");
    let answer = client.request(message.addressed_to(MessageType::Request, "ohce")?)?;
    assert!(answer.is_err() && !answer.is_ok());
    assert_eq!(error.status(), Some(answer.status()));
    println!("answer: {}", answer.status().name());
    Ok(())
}
