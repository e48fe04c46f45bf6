//! Queues: each message goes to one of those who poll. Bounded ones refuse what they have no room for, circular ones let
//! the oldest go.
//!
//! cargo run --example broker_queues [URL]

use std::time::Duration;

use serde_json::json;
use wirebird::broker::{Broker, Client, Message, QueueType, Result, Status};

/// How long an offer waits for room, and a poll for a message.
const WAIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_queue("orders", 100, QueueType::Bounded)?;
    broker.create_queue("bounded", 2, QueueType::Bounded)?;
    broker.create_queue("circular", 2, QueueType::Circular)?;
    let url = broker.listen(url)?.url();
    let (guest, barista) = (Client::connect(&url)?, Client::connect(&url)?);

    // Blocking.
    let order = Message::data("1", "order", json!({"item": "espresso", "count": 2}))?;
    guest.offer("orders", order, WAIT)?;
    let order = barista.poll("orders", WAIT)?;
    assert_eq!((order.request_id(), order.subject()), (Some("1"), "order"));
    println!("polled: {}", order.payload_data()?);

    // Awaited: the poll is there first, and waits for the offer.
    let order = Message::data("2", "order", json!({"item": "ristretto", "count": 1}))?;
    let polled = barista.poll_async("orders", WAIT);
    let offered = guest.offer_async("orders", order, WAIT);
    let (order, ()) = smol::block_on(smol::future::try_zip(polled, offered))?;
    println!("awaited: {}", order.payload_data()?);

    // Nothing is there, and the poll does not wait.
    let empty = barista.poll("orders", Duration::ZERO).unwrap_err();
    assert_eq!(empty.status(), Some(Status::QueueEmpty));
    println!("empty: {empty}");

    // The third message has no room in the one, and takes the place of the first in the other.
    for queue in ["bounded", "circular"] {
        for text in ["one", "two", "three"] {
            let message = Message::plain_text(None, "", text)?;
            if let Err(full) = guest.offer(queue, message, Duration::ZERO) {
                assert_eq!(full.status(), Some(Status::QueueFull));
                println!("{queue}: no room for {text}");
            }
        }
        for _ in 0..2 {
            let message = barista.poll(queue, Duration::ZERO)?;
            println!("{queue}: {}", message.payload_text().unwrap_or_default());
        }
    }
    Ok(())
}
