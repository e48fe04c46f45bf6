//! Topics: what is published goes to all who have subscribed.
//!
//! cargo run --example broker_topics [URL]

use std::sync::mpsc::channel;

use wirebird::broker::{Broker, Client, Message, Result, Status};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_topic("test")?;
    let url = broker.listen(url)?.url();
    let (subscriber, publisher) = (Client::connect(&url)?, Client::connect(&url)?);

    let (heard, news) = channel();
    subscriber.subscribe("test", move |message| {
        // Nobody may be interested any more.
        let _ = heard.send(message.clone());
    })?;

    // Blocking.
    let message = Message::plain_text("1", "testing", "hello")?;
    let count = publisher.publish("test", message)?;
    println!("published to {count} subscriber");
    // Awaited.
    let message = Message::plain_text("2", "testing", "hello again")?;
    let count = smol::block_on(publisher.publish_async("test", message))?;
    println!("published to {count} subscriber");

    for message in news.iter().take(2) {
        assert_eq!(message.subject(), "testing");
        println!("heard: {}", message.payload_text().unwrap_or_default());
    }

    subscriber.unsubscribe("test")?;
    let count = publisher.publish("test", Message::plain_text("3", "testing", "anybody?")?)?;
    println!("published to {count} subscribers");

    let nowhere = publisher.publish("rest", Message::plain_text("4", "testing", "hello")?);
    assert_eq!(nowhere.unwrap_err().status(), Some(Status::TopicNotFound));
    Ok(())
}
