//! Functions: code of the broker's program answers what clients send. They wait for the answer, await it, or want none.
//!
//! cargo run --example broker_functions [URL]

use std::sync::mpsc::channel;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use wirebird::broker::{Broker, Client, Message, Result};

#[derive(Deserialize)]
struct Numbers {
    x: i64,
    y: i64,
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    broker.create_function("add", |request| {
        let Numbers { x, y } = request.payload_as()?;
        let sum = json!({"z": x + y});
        let answer = Message::data(request.request_id(), request.subject(), sum)?;
        Ok(Some(answer))
    })?;
    let (noted, notes) = channel();
    broker.create_function("note", move |request| {
        noted.send(request.payload_text().unwrap_or_default().into_owned())?;
        Ok(None)
    })?;
    let listener = broker.listen(url)?;
    let client = Client::connect(&listener.url())?;

    // Blocking.
    let answer = client.send("echo", Message::plain_text("1", "test", "hello")?)?;
    assert_eq!(answer.request_id(), Some("1"));
    println!("echo: {}", answer.payload_text().unwrap_or_default());
    let answer = client.send(
        "add",
        Message::data("2", "add", json!({"x": 100, "y": 200}))?,
    )?;
    println!("add: {}", answer.payload_data()?);

    // Awaited, under any executor: both are under way at once, and have a second for it.
    let hurried = client.with_timeout(Duration::from_secs(1));
    let one = hurried.send_async("echo", Message::plain_text("3", "", "one")?);
    let two = hurried.send_async("add", Message::data("4", "", json!({"x": 1, "y": 1}))?);
    let (one, two) = smol::block_on(smol::future::try_zip(one, two))?;
    println!("awaited: {}", one.payload_text().unwrap_or_default());
    println!("awaited: {}", two.payload_data()?);

    // Oneway: nobody waits, and there is no answer.
    client.send_oneway("note", Message::plain_text(None, "", "milk")?)?;
    client.send_oneway("note", Message::plain_text(None, "", "bread")?)?;
    // Calls run at the same time, and so in any order.
    let mut noted: Vec<String> = notes.iter().take(2).collect();
    noted.sort();
    println!("noted: {}", noted.join(", "));
    Ok(())
}
