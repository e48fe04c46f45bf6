//! Rights: who may offer to and poll a queue, publish on and subscribe to a topic, call a function.
//!
//! cargo run --example broker_acl [URL]

use std::sync::mpsc::channel;
use std::time::Duration;

use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Message, Mode,
    QueueType, Result, Role, Status,
};

fn hello() -> Result<Message> {
    Ok(Message::plain_text(None, "test", "hello")?)
}

/// Shows how something ended that needs a right.
fn show<T>(what: &str, result: Result<T>) -> Result<()> {
    match result {
        Ok(_) => println!("{what}: yes"),
        Err(error) if error.status() == Some(Status::NoPermission) => println!("{what}: no"),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");
    let wait = Duration::from_secs(10);

    let auth = Authenticator::new();
    auth.add_credentials("jak", "io-96", Role::User)?;
    auth.add_credentials("pax", "ph$54", Role::User)?;
    auth.add_credentials("max", "zu*67", Role::Admin)?;
    // At the beginning everybody may do everything, but manage. From here on nobody may.
    for destination_type in DestinationType::ALL {
        auth.set_default_acl(destination_type, Mode::Deny)?;
    }
    auth.set_acl(DestinationType::Queue, "queue/1", Mode::Read, "jak")?;
    auth.set_acl(DestinationType::Queue, "queue/1", Mode::Write, "pax")?;
    auth.set_acl(DestinationType::Topic, "topic/*", Mode::Read, "jak")?;
    auth.set_acl(DestinationType::Topic, "topic/1", Mode::ReadWrite, "pax")?;
    auth.set_acl(DestinationType::Function, "echo", Mode::Execute, "jak")?;

    let options = BrokerOptions::new().encrypt(true).authenticator(&auth);
    let broker = Broker::with_options(&options)?;
    broker.create_queue("queue/1", 100, QueueType::Bounded)?;
    broker.create_topic("topic/1")?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    let url = broker.listen(url)?.url();
    let max = ClientOptions::new()
        .encrypt(true)
        .credentials("max", "zu*67");
    let max = Client::connect_with(&url, &max)?;
    let (jak, pax) = (max.copy_as("jak", "io-96")?, max.copy_as("pax", "ph$54")?);

    show("jak offers", jak.offer("queue/1", hello()?, wait))?;
    show("pax offers", pax.offer("queue/1", hello()?, wait))?;
    show("pax polls", pax.poll("queue/1", wait))?;
    show("jak polls", jak.poll("queue/1", wait))?;

    let (heard, news) = channel();
    let subscribed = jak.subscribe("topic/1", move |_| {
        // Nobody may be interested any more.
        let _ = heard.send(());
    });
    show("jak subscribes", subscribed)?;
    show("jak publishes", jak.publish("topic/1", hello()?))?;
    show("pax publishes", pax.publish("topic/1", hello()?))?;
    assert_eq!(news.recv(), Ok(()));

    show("jak calls", jak.send("echo", hello()?))?;
    show("pax calls", pax.send("echo", hello()?))?;
    show("max calls", max.send("echo", hello()?))
}
