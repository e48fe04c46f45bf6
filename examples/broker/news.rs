//! Topics: who subscribes to one, or to a pattern, gets what is published from then on, and what was retained before.
//!
//! cargo run --example broker_news [URL]

use std::sync::mpsc::{Receiver, channel};

use wirebird::broker::{Broker, Client, Message, Result};

/// What a subscriber has heard, to be waited for.
fn subscribe(client: &Client, topic: &str) -> Result<Receiver<String>> {
    let (heard, news) = channel();
    client.subscribe(topic, move |message| {
        let topic = message.destination().unwrap_or_default();
        let text = message.payload_text().unwrap_or_default();
        // Nobody may be interested any more.
        let _ = heard.send(format!("{topic}: {text}"));
    })?;
    Ok(news)
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_topic("weather")?;
    broker.create_topic("sports/chess")?;
    broker.create_topic("sports/tennis")?;
    let url = broker.listen(url)?.url();

    let publisher = Client::connect(&url)?;
    let sunny = Message::plain_text(None, "", "sunny")?.with_header("retain", "true")?;
    publisher.publish("weather", sunny)?;

    let (walker, fan) = (Client::connect(&url)?, Client::connect(&url)?);
    let weather = subscribe(&walker, "weather")?;
    let sports = subscribe(&fan, "sports/*")?;
    for (topic, text) in [
        ("weather", "rain"),
        ("sports/chess", "a draw"),
        ("sports/tennis", "6:4, 7:5"),
    ] {
        let count = publisher.publish(topic, Message::plain_text(None, "", text)?)?;
        println!("{topic} went to {count} subscriber");
    }
    for line in weather.iter().take(2) {
        println!("the walker heard {line}");
    }
    for line in sports.iter().take(2) {
        println!("the fan heard {line}");
    }
    Ok(())
}
