//! Temporary queues: each guest of a café has one of its own, into which the barista puts what belongs to its order.
//!
//! cargo run --example broker_temporary [URL]

use std::thread;
use std::time::Duration;

use serde_json::json;
use wirebird::broker::{Broker, Client, Message, QueueType, Result, Status};

const WAIT: Duration = Duration::from_secs(10);

/// Confirms orders until one comes that nobody wants confirmed. Returns how many.
fn serve(barista: &Client) -> Result<u32> {
    let mut served = 0;
    loop {
        let order = barista.poll("orders", WAIT)?;
        let Some(reply_to) = order.reply_to() else {
            return Ok(served);
        };
        let what = order.payload_data()?;
        let confirmation = Message::data(order.request_id(), "order-confirmed", what)?;
        barista.offer(reply_to, confirmation, WAIT)?;
        served += 1;
    }
}

/// Places an order, and waits until it is confirmed.
fn order(guest: &Client, replies: &str, id: &str, item: &str) -> Result<()> {
    let order = Message::data(id, "order", json!({"item": item, "count": 2}))?;
    guest.offer_with_reply_to("orders", replies, order, WAIT)?;
    let confirmed = guest.poll(replies, WAIT)?;
    assert_eq!(confirmed.subject(), "order-confirmed");
    assert_eq!(confirmed.request_id(), Some(id));
    println!("{id} is confirmed: {}", confirmed.payload_data()?);
    Ok(())
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_queue("orders", 100, QueueType::Bounded)?;
    let url = broker.listen(url)?.url();
    let barista = Client::connect(&url)?;
    let barista = thread::spawn(move || serve(&barista));

    let (ann, ben) = (Client::connect(&url)?, Client::connect(&url)?);
    let of_ann = ann.create_temporary_queue(100)?;
    let of_ben = ben.create_temporary_queue(100)?;
    order(&ann, &of_ann, "ann-1", "espresso")?;
    order(&ben, &of_ben, "ben-1", "cappuccino")?;
    order(&ann, &of_ann, "ann-2", "ristretto")?;

    // Who knows its name may offer to a temporary queue. Only its owner polls it, and it goes with its owner.
    let refused = ben.poll(&of_ann, Duration::ZERO).unwrap_err();
    assert_eq!(refused.status(), Some(Status::NoPermission));

    let closing = Message::plain_text(None, "closing time", "")?;
    ann.offer("orders", closing, WAIT)?;
    let served = barista.join().expect("the barista does not panic")?;
    println!("{served} orders were served");
    Ok(())
}
