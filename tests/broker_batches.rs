//! Several messages in one request. How they are written is tested in `src/broker/batch/tests.rs`; names in parentheses are
//! those of the broker's specification.

mod common;
#[path = "broker_batches/durable.rs"]
mod durable;
#[path = "broker_batches/late.rs"]
mod late;
#[path = "broker_batches/leases.rs"]
mod leases;
#[path = "broker_batches/offers.rs"]
mod offers;
#[path = "broker_batches/polls.rs"]
mod polls;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::scripted::{Scripted, in_background, persistent, quick, read, text};
use common::{SOON, eventually, unique};
use serde_json::{Value, json};
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Encoding, Error,
    Leased, LogOptions, Message, MessageType, Mode, Nack, QueueOptions, QueueType, Role, Status,
    decode, encode,
};
use wirebird::{Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

struct Scene {
    broker: Broker,
    url: String,
    client: Client,
}

impl Scene {
    /// A broker with the queue `q`.
    fn new(queue: &QueueOptions) -> Self {
        Self::with(&BrokerOptions::new(), queue)
    }

    fn with(options: &BrokerOptions, queue: &QueueOptions) -> Self {
        Self::of(Broker::with_options(options).unwrap(), queue)
    }

    fn of(broker: Broker, queue: &QueueOptions) -> Self {
        broker.create_queue_with("q", queue).unwrap();
        let url = format!("inproc://{}", unique());
        broker.listen(&url).unwrap();
        let client = Client::connect(&url).unwrap();
        Self {
            broker,
            url,
            client,
        }
    }

    /// The queue `q`, whose dead letters go to `dead`.
    fn with_dead_letters(options: &BrokerOptions, queue: &QueueOptions) -> Self {
        let broker = Broker::with_options(options).unwrap();
        broker.create_queue_with("dead", queue).unwrap();
        Self::of(broker, &queue.clone().dead_letter("dead"))
    }

    fn holding(words: &[&str]) -> Self {
        let scene = Self::new(&QueueOptions::new(1000));
        scene.client.offer_all("q", &texts(words), NO_WAIT).unwrap();
        scene
    }

    fn size(&self) -> usize {
        self.broker.queue_status("q").size
    }

    fn in_flight(&self) -> usize {
        self.broker.queue_status("q").in_flight
    }

    /// All that is in the queue.
    fn drain(&self) -> Vec<String> {
        drain(&self.client)
    }

    /// A client that sends what it likes.
    fn stranger(&self) -> Pair1 {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let socket = Pair1::with_options(&options).unwrap();
        socket.dial(&self.url).unwrap();
        socket
    }
}

fn drain(client: &Client) -> Vec<String> {
    match client.poll_up_to("q", 1000, NO_WAIT) {
        Ok(messages) => reads(&messages),
        Err(error) => {
            assert_eq!(error.status(), Some(Status::QueueEmpty), "{error}");
            Vec::new()
        }
    }
}

/// A call on another thread whose request the broker has.
fn waiting<T: Send + 'static>(
    broker: &Broker,
    client: &Client,
    call: impl FnOnce(Client) -> T + Send + 'static,
) -> JoinHandle<T> {
    let before = broker.stats().requests;
    let waits = in_background(client, call);
    eventually("it waits", || broker.stats().requests == before + 1);
    waits
}

fn tokens(leased: &[Leased]) -> Vec<String> {
    leased.iter().map(|one| one.token().to_owned()).collect()
}

fn words(leased: &[Leased]) -> Vec<String> {
    leased.iter().map(|one| read(one.message())).collect()
}

fn texts(words: &[&str]) -> Vec<Message> {
    words.iter().map(|word| text(word)).collect()
}

fn reads(messages: &[Message]) -> Vec<String> {
    messages.iter().map(read).collect()
}

fn asks(socket: &Pair1, request: &Value) -> Value {
    socket.send(request.to_string()).unwrap();
    serde_json::from_slice(socket.recv().unwrap().body()).expect("JSON")
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, status: Status, reason: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.status(), Some(status), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn rights_are_those_for_single_messages() {
    let auth = Authenticator::with_rounds(1);
    for user in ["ann", "bob"] {
        auth.add_credentials(user, user, Role::User).unwrap();
    }
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    broker.create_queue("q", 10, QueueType::Bounded).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let connect = |user: &str| {
        Client::connect_with(&url, &ClientOptions::new().credentials(user, user)).unwrap()
    };
    let (ann, bob) = (connect("ann"), connect("bob"));
    auth.set_default_acl(DestinationType::Queue, Mode::Deny)
        .unwrap();
    auth.set_acl(DestinationType::Queue, "q", Mode::Write, "ann")
        .unwrap();
    auth.set_acl(DestinationType::Queue, "q", Mode::Read, "bob")
        .unwrap();
    ann.offer_all("q", &texts(&["a", "b"]), NO_WAIT).unwrap();
    assert_refused(
        bob.offer_all("q", &texts(&["c"]), NO_WAIT),
        Status::NoPermission,
        "offer",
    );
    assert_refused(
        ann.poll_up_to("q", 2, NO_WAIT),
        Status::NoPermission,
        "poll",
    );
    let leased = bob.poll_leased_up_to("q", 2, NO_WAIT, LONG).unwrap();
    assert_eq!(leased.len(), 2);
    for kind in [MessageType::AckAll, MessageType::NackAll] {
        let end = Message::data(None, "", tokens(&leased)).unwrap();
        let end = end.addressed_to(kind, "q").unwrap();
        assert_eq!(ann.request(end).unwrap().status(), Status::NoPermission);
    }
    assert!(bob.ack_all(leased).unwrap().is_empty());
    // Who has lost the right while it waited gets nothing.
    let waits = waiting(&broker, &bob, |bob| bob.poll_up_to("q", 2, SOON));
    auth.set_acl(DestinationType::Queue, "q", Mode::Deny, "bob")
        .unwrap();
    ann.offer_all("q", &texts(&["d", "e"]), NO_WAIT).unwrap();
    assert_refused(waits.join().unwrap(), Status::NoPermission, "poll");
    assert_eq!(broker.queue_status("q").size, 2);
}

#[test]
fn nothing_is_lost_or_doubled_among_many_producers_and_consumers() {
    const EACH: usize = 30;
    let scene = Scene::new(&QueueOptions::new(50));
    let all = thread::scope(|scope| {
        for producer in 0..3 {
            let client = scene.client.copy().unwrap();
            scope.spawn(move || {
                for batch in 0..EACH {
                    let word = |n| text(&format!("{producer}/{}", batch * 7 + n));
                    let words: Vec<Message> = (0..7).map(word).collect();
                    client.offer_all("q", &words, SOON).unwrap();
                }
            });
        }
        let consumers = [0, 1].map(|_| {
            let client = scene.client.copy().unwrap();
            scope.spawn(move || {
                let mut words = Vec::new();
                while let Ok(leased) =
                    client.poll_leased_up_to("q", 10, Duration::from_millis(500), LONG)
                {
                    words.extend(leased.iter().map(|one| read(one.message())));
                    assert!(client.ack_all(leased).unwrap().is_empty());
                }
                words
            })
        });
        consumers.map(|consumer| consumer.join().unwrap()).concat()
    });
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((all.len(), sorted.len()), (3 * EACH * 7, 3 * EACH * 7));
    assert_eq!((scene.size(), scene.in_flight()), (0, 0));
}
