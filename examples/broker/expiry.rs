//! Messages that expire: a queue gives only those away that are in time.
//!
//! cargo run --example broker_expiry [URL]

use std::time::Duration;

use serde_json::json;
use wirebird::broker::{Broker, Client, ExpiryUnit, Message, QueueType, Result};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_queue("orders", 1000, QueueType::Bounded)?;
    let url = broker.listen(url)?.url();
    let (guest, barista) = (Client::connect(&url)?, Client::connect(&url)?);

    let fresh = Message::data("1", "order", json!({"item": "espresso"}))?
        .with_expires_in(5, ExpiryUnit::Minutes)?;
    // As if it had been on the way for a long time.
    let stale = Message::data("2", "order", json!({"item": "iced tea"}))?
        .with_timestamp(0)?
        .with_expires_in(5, ExpiryUnit::Years)?;
    assert!(stale.has_expired());
    let lasting = Message::data("3", "order", json!({"item": "biscuit"}))?;
    assert_eq!(lasting.expires_at(), None);
    for order in [fresh, stale, lasting] {
        guest.offer("orders", order, Duration::ZERO)?;
    }

    while broker.queue_status("orders").size > 0 {
        let order = barista.poll("orders", Duration::ZERO)?;
        // It may also expire while it is being worked at.
        assert!(!order.has_expired());
        println!("in time: {}", order.payload_data()?["item"]);
    }
    Ok(())
}
