//! Durable queues: what is durable in them is there again when the broker is started anew.
//!
//! cargo run --example broker_durable [URL]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use wirebird::broker::{Broker, BrokerOptions, Client, LogOptions, Message, QueueOptions};

const WAIT: Duration = Duration::from_secs(10);

/// A broker with its log in a directory, and a client of it.
fn start(directory: &Path, url: &str) -> wirebird::broker::Result<(Broker, Client)> {
    let log = LogOptions::new(directory).compress(true).compact(true);
    let broker = Broker::with_options(&BrokerOptions::new().log(&log))?;
    // It stays as it is if it came out of the log.
    broker.create_queue_with("orders", &QueueOptions::new(100).durable(true))?;
    let url = broker.listen(url)?.url();
    let client = Client::connect(&url)?;
    Ok((broker, client))
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");
    let directory = tempfile::tempdir()?;

    let (broker, client) = start(directory.path(), url)?;
    for (text, durable) in [
        ("one", true),
        ("two", true),
        ("three", false),
        ("four", true),
    ] {
        let message = Message::plain_text(None, "", text)?.with_durable(durable);
        // Once this is answered, what is durable is on the disk.
        client.offer("orders", message, WAIT)?;
    }
    let message = client.poll("orders", WAIT)?;
    println!("before: {}", message.payload_text().unwrap_or_default());
    broker.close()?;
    drop((client, broker));

    let (broker, client) = start(directory.path(), url)?;
    while broker.queue_status("orders").size > 0 {
        let message = client.poll("orders", WAIT)?;
        println!("after: {}", message.payload_text().unwrap_or_default());
    }
    Ok(())
}
