//! How many requests of 5 KB a broker answers: each connection has one under way at a time, and is answered with nothing.
//! `wirebird bench` measures the same with warm-up, latencies and other sizes.
//!
//! cargo run --example broker_benchmark --release [URL]

use std::thread;
use std::time::{Duration, Instant};

use wirebird::broker::{Broker, Client, Message, Result};

const SIZE: usize = 5 << 10;
const DURATION: Duration = Duration::from_millis(500);

/// Sends requests until the time is over. Returns how many were answered.
fn send(client: &Client, end: Instant) -> Result<u64> {
    let mut answered = 0;
    while Instant::now() < end {
        let request = Message::binary(None, "", "application/octet-stream", vec![7; SIZE])?;
        let answer = client.send("acknowledge", request)?;
        assert!(answer.payload_binary().is_empty());
        answered += 1;
    }
    Ok(answered)
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_function("acknowledge", |_| Ok(None))?;
    let url = broker.listen(url)?.url();

    for connections in [1, 2] {
        let clients = (0..connections).map(|_| Client::connect(&url));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        let senders = clients.into_iter().map(|client| {
            let end = start + DURATION;
            thread::spawn(move || send(&client, end))
        });
        let mut answered = 0;
        for sender in senders.collect::<Vec<_>>() {
            answered += sender.join().expect("a sender does not panic")?;
        }
        let rate = answered as f64 / start.elapsed().as_secs_f64();
        let data = rate * SIZE as f64 / f64::from(1 << 20);
        println!("{connections} at once: {rate:.0} requests/s, {data:.0} MB/s");
    }
    Ok(())
}
