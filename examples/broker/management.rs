//! Making, looking at and removing queues and topics, from the broker's program, and from a client that is an
//! administrator. Functions are the program's alone.
//!
//! cargo run --example broker_management [URL]

use std::time::Duration;

use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, Message, MessageType, QueueType,
    Result, Role, Status,
};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let auth = Authenticator::new();
    auth.add_credentials("max", "zu*67", Role::User)?;
    auth.add_credentials("tom", "3-kio", Role::Admin)?;
    let options = BrokerOptions::new().encrypt(true).authenticator(&auth);
    let broker = Broker::with_options(&options)?;
    let url = broker.listen(url)?.url();

    // The program.
    broker.create_queue("queue/1", 100, QueueType::Bounded)?;
    broker.create_topic("topic/1")?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    assert!(broker.queue_status("queue/1").exists);
    assert!(broker.has_topic("topic/1") && broker.has_function("echo"));
    broker.remove_topic("topic/1");
    broker.remove_function("echo");
    assert!(!broker.has_topic("topic/1") && !broker.has_function("echo"));

    // An administrator. What exists and is the same stays as it is.
    let tom = ClientOptions::new()
        .encrypt(true)
        .credentials("tom", "3-kio");
    let tom = Client::connect_with(&url, &tom)?;
    tom.create_queue("queue/1", 100, QueueType::Bounded)?;
    tom.create_queue("queue/2", 100, QueueType::Circular)?;
    tom.create_topic("topic/2")?;
    println!("queues: {}", broker.queues().join(", "));
    let other = tom.create_queue("queue/2", 200, QueueType::Circular);
    assert_eq!(other.unwrap_err().status(), Some(Status::Conflict));

    // Any user may use them, and make temporary queues.
    let max = tom.copy_as("max", "zu*67")?;
    max.offer(
        "queue/1",
        Message::plain_text("1", "test", "hello")?,
        Duration::ZERO,
    )?;
    let own = max.create_temporary_queue(10)?;
    max.offer(
        &own,
        Message::plain_text("2", "test", "hello")?,
        Duration::ZERO,
    )?;
    let refused = max.create_queue("queue/3", 100, QueueType::Bounded);
    println!("max: {}", refused.unwrap_err());

    // What is in a queue.
    let status = broker.queue_status("queue/1");
    println!("{}: {} of {}", status.name, status.size, status.capacity);
    let ask =
        Message::plain_text(None, "", "")?.addressed_to(MessageType::StatusQueue, "queue/1")?;
    let status = tom.request(ask)?.payload_data()?;
    assert_eq!(
        (&status["size"], &status["capacity"]),
        (&1.into(), &100.into())
    );
    println!("purged: {}", broker.purge_queue("queue/1")?);

    tom.remove_queue("queue/2")?;
    broker.remove_queue("queue/1")?;
    println!("queues: {}", broker.queues().len());
    Ok(())
}
