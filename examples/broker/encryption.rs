//! Encryption: AES-256-GCM under keys that both sides agree on anew for each connection, over any transport.
//!
//! cargo run --example broker_encryption [URL]

use std::time::Duration;

use wirebird::broker::{Broker, BrokerOptions, Client, ClientOptions, Message, Result};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::with_options(&BrokerOptions::new().encrypt(true))?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    let url = broker.listen(url)?.url();

    let secret = ClientOptions::new().encrypt(true);
    let client = Client::connect_with(&url, &secret)?;
    let answer = client.send("echo", Message::plain_text("1", "test", "hello")?)?;
    println!("encrypted: {}", answer.payload_text().unwrap_or_default());

    // A client that does not encrypt is cut off at its first message.
    let plain = ClientOptions::new().timeout(Duration::from_secs(5));
    let cut = Client::connect_with(&url, &plain).unwrap_err();
    assert_eq!(cut.status(), None);
    println!("plain: refused");

    // One that does is never spoken to in the clear, whatever the broker demands of others.
    let tolerant = Broker::new()?;
    let listener = tolerant.listen("inproc://tolerant")?;
    Client::connect_with(&listener.url(), &secret)?.heartbeat()?;
    Client::connect(&listener.url())?.heartbeat()
}
