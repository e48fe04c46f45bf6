//! Compression: payloads from a length on go in gzip between the broker and clients that can read it, which neither side
//! of a program notices.
//!
//! cargo run --example broker_compression [URL]

use wirebird::broker::{Broker, BrokerOptions, Client, Message, MessageType, Result};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::with_options(&BrokerOptions::new().compress_cutoff(1 << 10))?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    let listener = broker.listen(url)?;
    let client = Client::connect(&listener.url())?;

    let limits = client.request(
        Message::plain_text(None, "", "")?.addressed_to(MessageType::ClientConfig, None)?,
    )?;
    let cutoff = &limits.payload_data()?["compress-cutoff-size"];
    println!("payloads of {cutoff} bytes and more are compressed");
    for text in ["hello".to_owned(), "hello ".repeat(100_000)] {
        let answer = client.send("echo", Message::plain_text("1", "test", &text)?)?;
        assert_eq!(answer.payload_text().as_deref(), Some(&*text));
        println!("{} bytes came back as they were", text.len());
    }
    Ok(())
}
