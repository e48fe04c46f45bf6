//! What administrators ask through a client, as values. Names in parentheses are those of the broker's specification.

mod common;

use std::time::Duration;

use common::scripted::{Scripted, in_background, text};
use common::{SOON, block_on, eventually, unique};
use serde_json::json;
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientEvent, ClientOptions, Error, Message,
    QueueOptions, QueueType, Role, Status,
};

const NO_WAIT: Duration = Duration::ZERO;

fn open() -> (Broker, Client) {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let client = Client::connect(&url).unwrap();
    (broker, client)
}

/// F114, F115.
#[test]
fn a_client_sees_queues_as_the_broker_does() {
    let (broker, client) = open();
    client.create_queue("dead", 7, QueueType::Circular).unwrap();
    let options = QueueOptions::new(100).dead_letter("dead").max_bytes(9999);
    client.create_queue_with("jobs/1", &options).unwrap();
    client.create_temporary_queue(3).unwrap();
    let later = text("later").with_header("delay", "3600000").unwrap();
    client
        .offer_all("jobs/1", &[text("a"), text("b"), later], NO_WAIT)
        .unwrap();
    let leased = client.poll_leased("jobs/1", NO_WAIT, SOON).unwrap();

    let status = client.queue_status("jobs/1").unwrap();
    assert_eq!(status, broker.queue_status("jobs/1"));
    assert_eq!((status.size, status.delayed, status.in_flight), (2, 1, 1));
    assert_eq!(status.dead_letter.as_deref(), Some("dead"));
    assert_eq!(block_on(client.queue_status_async("jobs/1")), Ok(status));
    assert_eq!(client.queue_status("none"), Ok(broker.queue_status("none")));

    let all = ["dead", "jobs/1"].map(|name| broker.queue_status(name));
    assert_eq!(client.queues(None).unwrap(), all);
    assert_eq!(client.queues("jobs/*").unwrap(), all[1..]);
    assert_eq!(
        block_on(client.queues_async(Some("dead"))).unwrap(),
        all[..1]
    );
    leased.ack().unwrap();
}

#[test]
fn a_client_sees_what_is_next_in_a_queue_and_throws_it_away() {
    let (broker, client) = open();
    client
        .create_queue("jobs", 100, QueueType::Bounded)
        .unwrap();
    let first = Message::plain_text("7", "order", "x").unwrap();
    client
        .offer_all("jobs", &[first.clone(), text("b")], NO_WAIT)
        .unwrap();
    let next = client.peek_queue("jobs").unwrap();
    assert_eq!(next.len(), 2);
    assert_eq!(
        (next[0].id, next[0].timestamp),
        (first.id(), first.timestamp())
    );
    assert_eq!(next[0].request_id.as_deref(), Some("7"));
    assert_eq!(
        (&*next[0].subject, &*next[0].mimetype),
        ("order", "text/plain")
    );
    assert_eq!(
        next.iter().map(|message| message.bytes).sum::<usize>(),
        broker.queue_status("jobs").bytes
    );
    assert_eq!(block_on(client.peek_queue_async("jobs")), Ok(next));
    assert_eq!(client.purge_queue("jobs"), Ok(2));
    assert_eq!(block_on(client.purge_queue_async("jobs")), Ok(0));
    let none = client.peek_queue("none").unwrap_err();
    assert_eq!(none.status(), Some(Status::QueueNotFound));
    let none = client.purge_queue("none").unwrap_err();
    assert_eq!(none.status(), Some(Status::QueueNotFound));
}

/// F116, F117.
#[test]
fn a_client_sees_topics_and_functions() {
    let (broker, client) = open();
    broker.create_function("echo", |_| Ok(None)).unwrap();
    for topic in ["news/b", "news/a", "other"] {
        client.create_topic(topic).unwrap();
    }
    assert_eq!(client.topics(None).unwrap(), ["news/a", "news/b", "other"]);
    assert_eq!(client.topics(None), Ok(broker.topics()));
    assert_eq!(client.topics("news/>").unwrap(), ["news/a", "news/b"]);
    assert_eq!(
        block_on(client.topics_async(Some("other"))).unwrap(),
        ["other"]
    );
    for (name, exists) in [("other", true), ("none", false)] {
        assert_eq!(client.has_topic(name), Ok(exists));
        assert_eq!(block_on(client.has_topic_async(name)), Ok(exists));
    }
    for (name, exists) in [("echo", true), ("none", false)] {
        assert_eq!(client.has_function(name), Ok(exists));
        assert_eq!(block_on(client.has_function_async(name)), Ok(exists));
    }
}

/// I3.
#[test]
fn a_client_sees_what_the_broker_holds_and_has_done() {
    let (broker, client) = open();
    broker.create_function("echo", |_| Ok(None)).unwrap();
    client.create_topic("news").unwrap();
    client
        .create_queue("jobs", 100, QueueType::Bounded)
        .unwrap();
    client.create_temporary_queue(3).unwrap();
    client.offer("jobs", text("x"), NO_WAIT).unwrap();
    client.subscribe("news", |_| {}).unwrap();
    client.publish("news", text("x")).unwrap();
    client.send("echo", text("x")).unwrap();
    client.poll("none", NO_WAIT).unwrap_err();
    let status = client.broker_status().unwrap();
    assert_eq!((status.connections, status.waiting), (1, 0));
    assert_eq!((status.queues, status.temporary_queues), (1, 1));
    assert_eq!((status.topics, status.functions), (1, 1));
    let done = (
        status.stats.published,
        status.stats.delivered,
        status.stats.calls,
    );
    assert_eq!(done, (1, 1, 1));
    assert_eq!((status.stats.requests, status.stats.failed), (9, 1));
    assert!(status.stats.held_bytes > 0);
    assert_eq!(status.details["max-queues"], 1000);
    let again = block_on(client.broker_status_async()).unwrap();
    assert_eq!(again.stats.requests, 10);
}

/// F110, F118.
#[test]
fn only_an_administrator_may_look() {
    let auth = Authenticator::with_rounds(1);
    auth.add_credentials("ann", "ann", Role::User).unwrap();
    auth.add_credentials("root", "root", Role::Admin).unwrap();
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let options = ClientOptions::new().credentials("ann", "ann");
    let ann = Client::connect_with(&url, &options).unwrap();
    let refusals = [
        ann.queue_status("q").map(drop),
        ann.queues(None).map(drop),
        ann.peek_queue("q").map(drop),
        ann.purge_queue("q").map(drop),
        ann.has_topic("t").map(drop),
        ann.topics(None).map(drop),
        ann.has_function("f").map(drop),
        ann.broker_status().map(drop),
    ];
    for refusal in refusals {
        let Err(Error::Refused(refusal)) = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(refusal.status, Status::NoPermission);
        assert!(refusal.reason.contains("administrators"), "{refusal:?}");
    }
    let root = ann.copy_as("root", "root").unwrap();
    assert_eq!(root.queues(None).unwrap(), []);
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let broker = Scripted::new();
    let client = broker.accept(&ClientOptions::new());
    for nonsense in [
        json!(7),
        json!([7]),
        json!({"name": 7}),
        json!({"name": "q"}),
    ] {
        let ask = in_background(&client, |client| client.queue_status("q"));
        let asked = broker.next();
        let answer = Message::data(None, "", nonsense).unwrap();
        broker.send(&answer.into_response(asked.id(), Status::Ok));
        let error = ask.join().unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Socket(wirebird::Error::Malformed(_))),
            "{error}"
        );
    }
}

/// F5.
#[test]
fn both_ends_know_whether_they_run() {
    let (broker, client) = open();
    broker.create_topic("news").unwrap();
    assert!(broker.is_running() && client.is_connected());
    for topic in ["news", "a/*"] {
        client.subscribe(topic, |_| {}).unwrap();
    }
    assert_eq!(client.subscriptions(), ["a/*", "news"]);
    client.unsubscribe("news").unwrap();
    assert_eq!(client.subscriptions(), ["a/*"]);
    let other = client.copy().unwrap();
    other.close().unwrap();
    assert!(!other.is_connected());
    let events = client.events().unwrap();
    broker.close().unwrap();
    assert!(!broker.is_running());
    assert_eq!(events.recv_timeout(SOON), Ok(ClientEvent::Disconnected));
    eventually("it has gone", || !client.is_connected());
}
