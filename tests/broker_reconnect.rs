//! The connection of the broker's client: what becomes of it, what the program is told, and signs of life.

mod common;

use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::scripted::{Scripted, in_background, persistent, quick, read, text};
use common::{SOON, Via, await_removed, block_on, unique};
use serde_json::Value;
use wirebird::Pair1;
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientEvent, Error, MessageType, QueueType, Role,
    Status,
};

const NO_WAIT: Duration = Duration::ZERO;

// ---- the connection ----

/// A broker that goes away and comes back at its address.
#[test]
fn calls_that_were_under_way_are_made_again_at_a_broker_that_has_come_back() {
    let first = Scripted::new();
    let client = first.accept(&quick().retry(persistent()));
    let plain = client.with_retry(None);
    let call = in_background(&client, |client| client.send("echo", text("hello")));
    first.next_of(MessageType::Request);
    let poll = in_background(&client, |client| client.poll("q", SOON));
    first.next_of(MessageType::Poll);
    let lost = in_background(&plain, |client| client.send("echo", text("lost")));
    first.next_of(MessageType::Request);
    let url = first.url.clone();
    drop(first);
    let reset = lost.join().unwrap();
    assert_eq!(reset, Err(Error::Socket(wirebird::Error::ConnectionReset)));

    let second = Broker::new().unwrap();
    second
        .create_function("echo", |request| Ok(Some(request.clone())))
        .unwrap();
    second.create_queue("q", 9, QueueType::Bounded).unwrap();
    second.listen(&url).unwrap();
    assert_eq!(read(&call.join().unwrap().unwrap()), "hello");
    client.offer("q", text("item"), NO_WAIT).unwrap();
    assert_eq!(read(&poll.join().unwrap().unwrap()), "item");
    assert_eq!(second.stats().calls, 1);
}

/// However long the broker would let them wait.
#[test]
fn requests_that_cannot_be_sent_end_with_the_time_of_their_client() {
    let broker = Scripted::at(&format!("inproc://{}", unique()));
    let client = broker.accept(&quick());
    let events = client.events().unwrap();
    drop(broker);
    assert_eq!(events.recv_timeout(SOON), Ok(ClientEvent::Disconnected));
    let hasty = client.with_timeout(Duration::from_millis(20));
    let timed_out = Error::Socket(wirebird::Error::TimedOut);
    assert_eq!(hasty.poll("q", Duration::MAX), Err(timed_out.clone()));
    assert_eq!(
        hasty.offer("q", text("x"), Duration::MAX),
        Err(timed_out.clone())
    );
    let poll = async { hasty.poll_async("q", Duration::MAX).await };
    assert_eq!(block_on(poll), Err(timed_out));
}

#[test]
fn the_program_is_told_when_the_connection_breaks_and_when_it_is_as_before() {
    let address = format!("inproc://{}", unique());
    let start = |topics: &[&str]| {
        let broker = Broker::new().unwrap();
        for topic in topics {
            broker.create_topic(topic).unwrap();
        }
        broker.listen(&address).unwrap();
        broker
    };
    let first = start(&["news", "old"]);
    let client = Client::connect_with(&address, &quick()).unwrap();
    let (events, later) = (client.events().unwrap(), client.events().unwrap());
    assert_eq!(events.try_recv(), None);
    let nothing = events.recv_timeout(Duration::from_millis(1));
    assert_eq!(nothing, Err(Error::Socket(wirebird::Error::TimedOut)));
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("news", move |message| heard.send(read(message)).unwrap())
        .unwrap();
    client.subscribe("old", |_| {}).unwrap();
    drop(first);
    assert_eq!(events.recv_timeout(SOON), Ok(ClientEvent::Disconnected));
    let second = start(&["news"]);
    match block_on(events.recv_async()).unwrap() {
        ClientEvent::SubscriptionLost { topic, refusal } => {
            assert_eq!((&*topic, refusal.status), ("old", Status::TopicNotFound));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(events.recv(), Ok(ClientEvent::Connected));
    // Nothing that is published from now on is missed.
    let other = Client::connect(&address).unwrap();
    assert_eq!(other.publish("news", text("again")), Ok(1));
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "again");
    client.close().unwrap();
    assert_eq!(later.recv(), Ok(ClientEvent::Disconnected));
    let rest: Vec<_> = std::iter::from_fn(|| later.recv().ok()).collect();
    assert_eq!(rest.len(), 3, "{rest:?}");
    drop(second);
}

#[test]
fn a_future_for_an_event_that_is_dropped_loses_nothing() {
    let broker = Scripted::new();
    let client = broker.accept(&quick());
    let events = client.events().unwrap();
    let mut waits = Box::pin(events.recv_async());
    let mut task = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut task).is_pending());
    drop(waits);
    drop(broker);
    let event = block_on(events.recv_async());
    assert_eq!(event, Ok(ClientEvent::Disconnected));
}

#[test]
fn a_copy_may_be_somebody_else() {
    let auth = Authenticator::with_rounds(10);
    for user in ["ann", "bob"] {
        auth.add_credentials(user, user, Role::User).unwrap();
    }
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let ann = Client::connect_with(&url, &quick().credentials("ann", "ann")).unwrap();
    ann.copy().unwrap().heartbeat().unwrap();
    let bob = ann.copy_as("bob", "bob").unwrap();
    bob.send("f", text("x")).unwrap_err();
    let wrong = block_on(ann.copy_as_async("bob", "ann")).unwrap_err();
    assert_eq!(wrong.status(), Some(Status::NoPermission));
}

// ---- signs of life ----

/// F9.
#[test]
fn a_client_that_is_silent_is_cut_off_and_one_that_beats_is_not() {
    let interval = Duration::from_millis(250);
    let options = BrokerOptions::new().heartbeat_interval(interval);
    let broker = Broker::with_options(&options).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let client = Client::connect(&url).unwrap();
    let events = client.events().unwrap();
    let silent = Pair1::new().unwrap();
    let monitor = silent.monitor();
    silent.dial(&url).unwrap();
    let began = Instant::now();
    await_removed(&monitor);
    assert!(began.elapsed() >= 3 * interval);
    assert_eq!(events.try_recv(), None);
    client.heartbeat().unwrap();
    let shortest = BrokerOptions::new().heartbeat_interval(Duration::from_millis(9));
    let refused = Broker::with_options(&shortest).unwrap_err();
    assert!(
        refused.to_string().contains("heartbeat-interval"),
        "{refused}"
    );
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let broker = Scripted::new();
    let options = quick().heartbeat_interval(Duration::from_millis(5));
    let client = broker.accept(&options);
    let events = client.events().unwrap();
    assert_eq!(events.recv_timeout(SOON), Ok(ClientEvent::Disconnected));
    for _ in 0..3 {
        broker.next_of(MessageType::Heartbeat);
    }
}

#[test]
fn heartbeats_that_are_answered_keep_the_connection() {
    let broker = Scripted::new();
    // Long, because a test that is held up for three of them fails.
    let options = quick().heartbeat_interval(Duration::from_millis(200));
    let client = broker.accept(&options);
    let events = client.events().unwrap();
    for _ in 0..5 {
        let beat = broker.next_of(MessageType::Heartbeat);
        broker.answer(&beat, Status::Ok, "");
    }
    assert_eq!(events.try_recv(), None);
}

#[test]
fn a_client_learns_from_the_broker_what_it_asks_of_clients() {
    let place = Via::Ipc.place();
    let options = BrokerOptions::new()
        .heartbeat_interval(Duration::from_secs(2))
        .dedupe_window(Duration::from_millis(1500), 10);
    let broker = Broker::with_options(&options).unwrap();
    broker.listen(&place.url).unwrap();
    let client = Client::connect(&place.url).unwrap();
    let ask = text("")
        .addressed_to(MessageType::ClientConfig, None)
        .unwrap();
    let config: Value = client.request(ask).unwrap().payload_data().unwrap();
    assert_eq!(config["heartbeat-interval-seconds"], 2);
    assert_eq!(config["dedupe-window-seconds"], 1.5);
}
