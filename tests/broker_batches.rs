//! Several messages in one request. How they are written is tested in `src/broker/batch/tests.rs`; names in parentheses are
//! those of the broker's specification.

mod common;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::scripted::{Scripted, in_background, persistent, quick, read, text};
use common::{SOON, eventually, unique};
use serde_json::{Value, json};
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Encoding, Error,
    Leased, LogOptions, Message, MessageType, Mode, QueueOptions, QueueType, Role, Status, decode,
    encode,
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
        let broker = Broker::with_options(options).unwrap();
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

// ---- offers ----

#[test]
fn messages_that_are_offered_together_come_out_in_their_order_as_they_were() {
    let scene = Scene::new(&QueueOptions::new(10));
    let first = Message::data("7", "order", json!({"item": 1})).unwrap();
    let first = first.with_header("x", "y").unwrap();
    // One that was polled before is only what it says itself.
    scene.client.offer("q", text("b"), NO_WAIT).unwrap();
    let second = scene.client.poll("q", NO_WAIT).unwrap();
    scene
        .client
        .offer_all("q", &[first.clone(), second], NO_WAIT)
        .unwrap();
    let polled = scene.client.poll("q", NO_WAIT).unwrap();
    assert_eq!(polled.payload_data(), first.payload_data());
    assert_eq!(
        (polled.request_id(), polled.subject(), polled.header("x")),
        (Some("7"), "order", Some("y"))
    );
    assert_eq!(polled.timestamp(), first.timestamp());
    assert_eq!(scene.drain(), ["b"]);
}

#[test]
fn a_batch_that_does_not_fit_leaves_nothing_and_one_that_waits_comes_in_whole() {
    let scene = Scene::new(&QueueOptions::new(3));
    scene
        .client
        .offer_all("q", &texts(&["a", "b"]), NO_WAIT)
        .unwrap();
    let two = texts(&["c", "d"]);
    let full = scene.client.offer_all("q", &two, NO_WAIT);
    assert_refused(full, Status::QueueFull, "full");
    assert_eq!(scene.size(), 2);
    let waits = waiting(&scene.broker, &scene.client, move |client| {
        client.offer_all("q", &two, SOON)
    });
    assert_eq!(scene.size(), 2);
    assert_eq!(read(&scene.client.poll("q", NO_WAIT).unwrap()), "a");
    waits.join().unwrap().unwrap();
    assert_eq!(scene.drain(), ["b", "c", "d"]);
}

#[test]
fn a_batch_that_the_empty_queue_would_not_hold_is_refused() {
    for kind in [QueueType::Bounded, QueueType::Circular] {
        let scene = Scene::new(&QueueOptions::new(2).queue_type(kind).max_bytes(500));
        let three = scene.client.offer_all("q", &texts(&["a", "b", "c"]), SOON);
        assert_refused(three, Status::BadRequest, "3 messages of ");
        let long = "x".repeat(300);
        let two = scene.client.offer_all("q", &texts(&[&long, &long]), SOON);
        assert_refused(two, Status::BadRequest, "2 of 500 in all");
        assert_eq!(scene.size(), 0);
    }
}

#[test]
fn a_circular_queue_lets_go_of_as_many_as_come() {
    let scene = Scene::new(&QueueOptions::new(3).queue_type(QueueType::Circular));
    for words in [["a", "b"], ["c", "d"]] {
        scene
            .client
            .offer_all("q", &texts(&words), NO_WAIT)
            .unwrap();
    }
    assert_eq!(scene.drain(), ["b", "c", "d"]);
}

#[test]
fn priorities_delays_and_expiry_count_for_each_message() {
    let scene = Scene::new(&QueueOptions::new(10));
    let with = |word, key, value| text(word).with_header(key, value).unwrap();
    let messages = [
        text("plain"),
        with("urgent", "priority", "9"),
        with("later", "delay", "3600000"),
        text("gone").with_expires_at(1),
    ];
    scene.client.offer_all("q", &messages, NO_WAIT).unwrap();
    assert_eq!(scene.drain(), ["urgent", "plain"]);
    assert_eq!(scene.broker.queue_status("q").delayed, 1);
    assert_eq!(scene.broker.stats().expired, 1);
}

#[test]
fn no_messages_are_no_request_and_more_than_1000_are_refused() {
    let scene = Scene::holding(&[]);
    scene.client.offer_all("none", &[], NO_WAIT).unwrap();
    assert!(scene.client.ack_all(Vec::new()).unwrap().is_empty());
    let many = vec![text("x"); 1001];
    let refused = scene.client.offer_all("q", &many, NO_WAIT);
    assert_refused(refused, Status::BadRequest, "1 to 1000 are allowed");
    scene.client.offer_all("q", &many[..1000], NO_WAIT).unwrap();
    assert_eq!(scene.size(), 1000);
    let refused = scene.client.offer_all("none", &many[..1], NO_WAIT);
    assert_refused(refused, Status::QueueNotFound, "none");
}

/// What is wrong with one is said by its number, and none is accepted.
#[test]
fn a_message_that_cannot_be_in_a_batch_keeps_the_others_out() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    for (item, reason) in [
        (json!({"type": "POLL"}), "type POLL"),
        (json!({"type": "OFFER_ALL", "data": []}), "type OFFER_ALL"),
        (json!({"destination": "other"}), "cannot go to other"),
        (json!({"headers": {"dedupe": "id"}}), "header dedupe"),
        (json!({"headers": {"ack-token": "1-2"}}), "header ack-token"),
        (json!({"headers": {"priority": "10"}}), "0 to 9"),
        (json!({"durable?": true}), "does not say that it is"),
        (json!({"txt": ""}), "txt"),
        (json!(7), "message 2 of the batch"),
    ] {
        let request =
            json!({"type": "OFFER_ALL", "destination": "q", "data": [{"text": "a"}, item]});
        let answer = asks(&socket, &request);
        assert_eq!(answer["status"], "BAD_REQUEST", "{request}");
        let text = answer["text"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
        assert!(text.starts_with("message 2 of the batch"), "{text}");
    }
    assert_eq!(scene.size(), 0);
}

#[test]
fn a_batch_is_done_once_however_often_it_comes() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    let request = |kind: &str| {
        json!({"type": kind, "destination": "q", "request-id": "1", "headers": {"dedupe": "request-id"},
            "data": [{"text": "a"}, {"text": "b"}]})
    };
    assert_eq!(asks(&socket, &request("OFFER_ALL"))["headers"], Value::Null);
    let again = asks(&socket, &request("OFFER_ALL"));
    assert_eq!(
        (&again["status"], &again["headers"]["duplicate"]),
        (&json!("OK"), &json!("true"))
    );
    assert_eq!(scene.size(), 2);
    // An offer of one is another request.
    asks(&socket, &request("OFFER"));
    assert_eq!(scene.size(), 3);
}

#[test]
fn a_batch_whose_connection_broke_is_offered_again_and_asks_to_be_recognised() {
    let broker = Scripted::new();
    let client = broker.accept(&quick().retry(persistent()));
    let offer = in_background(&client, |client| {
        client.offer_all("q", &texts(&["a", "b"]), NO_WAIT)
    });
    let first = broker.next_of(MessageType::OfferAll);
    assert_eq!(first.header("dedupe"), Some("id"));
    broker.socket.pipes()[0].close().unwrap();
    broker.configure();
    let second = broker.next_of(MessageType::OfferAll);
    assert_eq!(second.id(), first.id());
    broker.answer(&second, Status::Ok, "");
    offer.join().unwrap().unwrap();
}

#[test]
fn a_batch_may_end_a_lease_and_does_neither_if_that_is_over() {
    let scene = Scene::holding(&["job"]);
    scene
        .broker
        .create_queue("results", 10, QueueType::Bounded)
        .unwrap();
    let job = scene.client.poll_leased("q", NO_WAIT, LONG).unwrap();
    let socket = scene.stranger();
    let results = json!({"type": "OFFER_ALL", "destination": "results", "data": [{"text": "a"}, {"text": "b"}],
        "headers": {"ack-queue": "q", "ack-token": job.token()}});
    assert_eq!(asks(&socket, &results)["status"], "OK");
    assert_eq!(scene.in_flight(), 0);
    assert_eq!(asks(&socket, &results)["status"], "STALE");
    assert_eq!(scene.broker.queue_status("results").size, 2);
}

#[test]
fn what_the_broker_may_not_hold_is_not_accepted_in_part() {
    let options = BrokerOptions::new()
        .max_memory(2 << 20)
        .max_message_size(1 << 20);
    let scene = Scene::with(&options, &QueueOptions::new(100));
    let long = "x".repeat(200_000);
    let batch = texts(&[&long, &long, &long, &long]);
    scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    let held = scene.broker.stats().held_bytes;
    let refused = scene.client.offer_all("q", &batch, NO_WAIT);
    assert_refused(refused, Status::RetryLater, "has no room");
    assert_eq!((scene.size(), scene.broker.stats().held_bytes), (8, held));
    assert_eq!(scene.broker.stats().refused_for_memory, 1);
}

// ---- polls ----

#[test]
fn a_poll_gets_what_there_is_up_to_its_number_and_waits_only_for_the_first() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let two = scene.client.poll_up_to("q", 2, SOON).unwrap();
    assert_eq!(reads(&two), ["a", "b"]);
    assert!(two.iter().all(Message::is_ok));
    assert_ne!(two[0].id(), two[1].id());
    assert_eq!(
        reads(&scene.client.poll_up_to("q", 2, SOON).unwrap()),
        ["c"]
    );
    let none = scene.client.poll_up_to("q", 2, NO_WAIT);
    assert_refused(none, Status::QueueEmpty, "empty");
    let waits = waiting(&scene.broker, &scene.client, |client| {
        client.poll_up_to("q", 9, SOON)
    });
    scene
        .client
        .offer_all("q", &texts(&["d", "e"]), NO_WAIT)
        .unwrap();
    assert_eq!(reads(&waits.join().unwrap().unwrap()), ["d", "e"]);
    assert_eq!((scene.size(), scene.in_flight()), (0, 0));
}

#[test]
fn a_poll_for_a_number_that_cannot_be_is_refused() {
    let scene = Scene::holding(&["a"]);
    for count in [0, 1001, usize::MAX] {
        let refused = scene.client.poll_up_to("q", count, NO_WAIT);
        assert_refused(refused, Status::BadRequest, "1 to 1000 is allowed");
    }
    let socket = scene.stranger();
    for headers in [json!({}), json!({"count": "-1"}), json!({"count": "many"})] {
        let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": headers});
        assert_eq!(asks(&socket, &poll)["status"], "BAD_REQUEST");
    }
    assert_eq!(scene.drain(), ["a"]);
}

#[test]
fn an_answer_is_no_longer_than_a_message_may_be_unless_one_alone_is() {
    let options = BrokerOptions::new().max_message_size(10_000);
    let scene = Scene::with(&options, &QueueOptions::new(100));
    let long = "x".repeat(3000);
    for _ in 0..2 {
        scene
            .client
            .offer_all("q", &texts(&[&long, &long]), NO_WAIT)
            .unwrap();
    }
    scene
        .client
        .offer("q", text(&"y".repeat(10_000)), NO_WAIT)
        .unwrap();
    let sizes = std::iter::from_fn(|| scene.client.poll_up_to("q", 1000, NO_WAIT).ok());
    let sizes: Vec<usize> = sizes.map(|messages| messages.len()).collect();
    assert_eq!(sizes, [3, 1, 1]);
}

#[test]
fn who_asks_in_json_gets_json() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    let offer = json!({"type": "OFFER_ALL", "destination": "q",
        "data": [{"text": "a", "subject": "first"}, {"data": {"b": [1]}}, {"data": "AAE="}]});
    assert_eq!(asks(&socket, &offer)["status"], "OK");
    let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "10"}, "request-id": "5"});
    let answer = asks(&socket, &poll);
    assert_eq!(
        (&answer["status"], &answer["request-id"]),
        (&json!("OK"), &json!("5"))
    );
    let items = answer["data"].as_array().expect("a list");
    assert_eq!(
        (&items[0]["text"], &items[0]["subject"]),
        (&json!("a"), &json!("first"))
    );
    assert_eq!(items[1]["data"], json!({"b": [1]}));
    assert_eq!((&items[2]["data"], items.len()), (&json!("AAE="), 3));
    // The same connection may go on in the other encoding.
    scene
        .client
        .offer_all("q", &texts(&["c"]), NO_WAIT)
        .unwrap();
    let (poll, _) = decode(poll.to_string()).unwrap();
    socket.send(encode(&poll, Encoding::Binary)).unwrap();
    let (answer, _) = decode(socket.recv().unwrap().body().to_vec()).unwrap();
    assert_eq!(answer.mimetype(), "application/octet-stream");
    assert_eq!(answer.payload_binary()[..3], [0; 3]);
}

/// D3.
#[test]
fn what_a_client_asked_for_and_never_read_comes_back_in_its_order() {
    let scene = Scene::new(&QueueOptions::new(5000));
    let body = "x".repeat(5_000);
    for start in (0..2000).step_by(500) {
        let numbered =
            |number: usize| Message::plain_text(None, &number.to_string(), &body).unwrap();
        let batch: Vec<Message> = (start..start + 500).map(numbered).collect();
        scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    }
    let tcp = scene.broker.listen("tcp://127.0.0.1:0").unwrap();
    let socket = Pair1::with_options(&SocketOptions::new().send_timeout(SOON)).unwrap();
    socket.dial(&tcp.url()).unwrap();
    for _ in 0..40 {
        let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "100"}});
        socket.send(poll.to_string()).unwrap();
    }
    eventually("the answers are on their way", || scene.in_flight() > 0);
    socket.pipes()[0].close().unwrap();
    drop(socket);
    eventually("the broker knows", || scene.broker.connections() == 1);
    assert_eq!(scene.in_flight(), 0);
    let left = scene.size();
    assert!(left > 500 && left.is_multiple_of(100), "{left}");
    let mut expected = 2000 - left;
    while let Ok(messages) = scene.client.poll_up_to("q", 1000, NO_WAIT) {
        for message in messages {
            assert_eq!(message.subject(), expected.to_string());
            expected += 1;
        }
    }
    assert_eq!(expected, 2000);
}

// ---- what comes too late for a client ----

fn batch(request: &Message, items: &[Message]) -> Message {
    let mut payload = Vec::new();
    for item in items {
        let bytes = encode(item, Encoding::Binary);
        payload.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        payload.extend(&bytes);
    }
    let answer = Message::binary(None, "", "application/octet-stream", payload).unwrap();
    answer.into_response(request.id(), Status::Ok)
}

/// A client that has given up a poll for several, and the poll.
fn given_up(broker: &Scripted, leased: bool) -> (Client, Message) {
    let client = broker.accept(&ClientOptions::new().timeout(SOON));
    let hasty = client.with_timeout(Duration::from_millis(1));
    let poll = in_background(&hasty, move |hasty| {
        let wait = Duration::from_millis(1);
        if leased {
            hasty.poll_leased_up_to("q", 5, wait, LONG).map(drop)
        } else {
            hasty.poll_up_to("q", 5, wait).map(drop)
        }
    });
    let asked = broker.next_of(MessageType::PollUpTo);
    assert!(poll.join().unwrap().is_err());
    assert_eq!(broker.next_of(MessageType::Cancel).id(), asked.id());
    (client, asked)
}

#[test]
fn items_that_come_too_late_go_to_the_next_polls_for_one_or_several() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, false);
    let events = client.events().unwrap();
    broker.send(&batch(&asked, &texts(&["a", "b", "c", "d"])));
    for _ in 0..4 {
        events.recv_timeout(SOON).unwrap();
    }
    assert_eq!(read(&client.poll("q", SOON).unwrap()), "a");
    assert_eq!(reads(&client.poll_up_to("q", 2, SOON).unwrap()), ["b", "c"]);
    assert_eq!(reads(&client.take_late()), ["d"]);
}

#[test]
fn an_item_that_comes_too_late_goes_to_a_poll_for_several_that_waits() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, false);
    let waits = in_background(&client, |client| client.poll_up_to("q", 5, SOON));
    broker.next_of(MessageType::PollUpTo);
    broker.send(&batch(&asked, &texts(&["a"])));
    assert_eq!(reads(&waits.join().unwrap().unwrap()), ["a"]);
}

#[test]
fn leased_items_that_come_too_late_go_back() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, true);
    let leased = |token: &str| text(token).with_header("lease-token", token).unwrap();
    broker.send(&batch(&asked, &[leased("1-1"), leased("1-2")]));
    for token in ["1-1", "1-2"] {
        let back = broker.next_of(MessageType::Nack);
        assert_eq!(back.header("lease-token"), Some(token));
        assert_eq!(back.header("delay"), Some("0"));
    }
    assert!(client.take_late().is_empty());
}

#[test]
fn an_answer_that_is_no_batch_is_an_error() {
    let broker = Scripted::new();
    let client = broker.accept(&ClientOptions::new());
    let poll = in_background(&client, |client| client.poll_up_to("q", 5, SOON));
    let asked = broker.next_of(MessageType::PollUpTo);
    broker.answer(&asked, Status::Ok, "nonsense");
    let error = poll.join().unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Socket(wirebird::Error::Malformed(_))),
        "{error}"
    );
}

// ---- leases ----

fn tokens(leased: &[Leased]) -> Vec<String> {
    leased.iter().map(|one| one.token().to_owned()).collect()
}

#[test]
fn leases_end_together_and_those_that_were_over_are_told_of() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let poll = || scene.client.poll_leased_up_to("q", 10, NO_WAIT, LONG);
    let leased = poll().unwrap();
    assert!(leased.iter().all(|one| one.attempts() == 1));
    assert!(leased.iter().all(|one| one.message().headers().len() == 0));
    assert_refused(poll(), Status::QueueEmpty, "empty");
    assert_eq!(scene.in_flight(), 3);
    let second = Message::plain_text(None, "", "").unwrap();
    let second = second.addressed_to(MessageType::Ack, "q").unwrap();
    let second = second
        .with_header("lease-token", leased[1].token())
        .unwrap();
    assert!(scene.client.request(second).unwrap().is_ok());
    let over = leased[1].token().to_owned();
    let stale = scene.client.ack_all(leased).unwrap();
    assert_eq!(tokens(&stale), [over]);
    assert_eq!(read(stale[0].message()), "b");
    assert_eq!((scene.size(), scene.in_flight()), (0, 0));
}

#[test]
fn leases_of_several_queues_do_not_end_together() {
    let scene = Scene::holding(&["a"]);
    scene
        .broker
        .create_queue("other", 10, QueueType::Bounded)
        .unwrap();
    scene.client.offer("other", text("b"), NO_WAIT).unwrap();
    let mut leased = scene
        .client
        .poll_leased_up_to("q", 10, NO_WAIT, LONG)
        .unwrap();
    leased.extend(
        scene
            .client
            .poll_leased_up_to("other", 10, NO_WAIT, LONG)
            .unwrap(),
    );
    let error = scene.client.ack_all(leased).unwrap_err();
    assert!(
        matches!(error, Error::Socket(wirebird::Error::InvalidArgument(_))),
        "{error}"
    );
    assert_eq!(scene.in_flight(), 1);
}

#[test]
fn tokens_that_name_nothing_are_stale_and_what_are_no_tokens_is_refused() {
    let scene = Scene::holding(&["a"]);
    let leased = scene.client.poll_leased("q", NO_WAIT, LONG).unwrap();
    let socket = scene.stranger();
    let ack = |data: Value| json!({"type": "ACK_ALL", "destination": "q", "data": data});
    let answer = asks(
        &socket,
        &ack(json!(["", "1-2", leased.token(), leased.token()])),
    );
    assert_eq!(
        answer["data"],
        json!({"acknowledged": 1, "stale": [0, 1, 3]})
    );
    for data in [json!([]), json!([7]), json!({}), json!(vec![""; 1001])] {
        assert_eq!(asks(&socket, &ack(data))["status"], "BAD_REQUEST");
    }
    let elsewhere = json!({"type": "ACK_ALL", "destination": "none", "data": ["1-2"]});
    assert_eq!(asks(&socket, &elsewhere)["status"], "QUEUE_NOT_FOUND");
}

#[test]
fn leases_as_long_as_a_connection_end_with_it_in_their_order() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let other = scene.client.copy().unwrap();
    let leased = other
        .poll_leased_up_to("q", 3, NO_WAIT, Duration::MAX)
        .unwrap();
    assert_eq!(leased.len(), 3);
    drop(leased);
    other.close().unwrap();
    eventually("they are back", || scene.size() == 3);
    assert_eq!(scene.drain(), ["a", "b", "c"]);
}

// ---- rights ----

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
    let ack = Message::data(None, "", tokens(&leased)).unwrap();
    let ack = ack.addressed_to(MessageType::AckAll, "q").unwrap();
    assert_eq!(ann.request(ack).unwrap().status(), Status::NoPermission);
    assert!(bob.ack_all(leased).unwrap().is_empty());
    // Who has lost the right while it waited gets nothing.
    let waits = waiting(&broker, &bob, |bob| bob.poll_up_to("q", 2, SOON));
    auth.set_acl(DestinationType::Queue, "q", Mode::Deny, "bob")
        .unwrap();
    ann.offer_all("q", &texts(&["d", "e"]), NO_WAIT).unwrap();
    assert_refused(waits.join().unwrap(), Status::NoPermission, "poll");
    assert_eq!(broker.queue_status("q").size, 2);
}

// ---- durable queues ----

fn kept(options: &LogOptions) -> Scene {
    let options = BrokerOptions::new().log(options);
    Scene::with(&options, &QueueOptions::new(1000).durable(true))
}

fn durable(words: &[&str]) -> Vec<Message> {
    let messages = texts(words).into_iter();
    messages.map(|message| message.with_durable(true)).collect()
}

#[test]
fn a_durable_batch_outlives_the_broker_whole_as_does_what_was_done_with_it() {
    let directory = tempfile::tempdir().unwrap();
    // A batch may be longer than a file of the log.
    let options = LogOptions::new(directory.path()).segment_size(16 << 10);
    let scene = kept(&options);
    let long = "x".repeat(10_000);
    let mut messages = durable(&["a", "b", "c", &long, &long, "d"]);
    messages[1] = text("not durable");
    scene.client.offer_all("q", &messages, NO_WAIT).unwrap();
    let leased = scene
        .client
        .poll_leased_up_to("q", 3, NO_WAIT, LONG)
        .unwrap();
    assert_eq!(leased.len(), 3);
    drop((leased, scene));

    let scene = kept(&options);
    let leased = scene
        .client
        .poll_leased_up_to("q", 3, NO_WAIT, LONG)
        .unwrap();
    let words: Vec<String> = leased.iter().map(|one| read(one.message())).collect();
    assert_eq!(words, ["a", "c", &long]);
    assert!(scene.client.ack_all(leased).unwrap().is_empty());
    drop(scene);

    let scene = kept(&options);
    assert_eq!(scene.drain(), [&long, "d"]);
    drop(scene);
    assert_eq!(kept(&options).size(), 0, "what was polled came back");
}

#[test]
fn a_durable_batch_is_recognised_by_the_next_broker_and_an_offer_of_one_is_not_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions::new(directory.path());
    let request = |kind: &str| {
        json!({"type": kind, "destination": "q", "durable": true, "request-id": "1",
            "headers": {"dedupe": "request-id"}, "data": [{"text": "a", "durable": true}]})
    };
    let scene = kept(&options);
    asks(&scene.stranger(), &request("OFFER_ALL"));
    drop(scene);
    let scene = kept(&options);
    let socket = scene.stranger();
    let again = asks(&socket, &request("OFFER_ALL"));
    assert_eq!(again["headers"]["duplicate"], "true");
    assert_eq!(scene.size(), 1);
    assert_eq!(asks(&socket, &request("OFFER"))["headers"], Value::Null);
    assert_eq!(scene.size(), 2);
}

#[test]
fn a_durable_queue_keeps_what_a_client_has_not_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let scene = kept(&LogOptions::new(directory.path()));
    scene
        .client
        .offer_all("q", &durable(&["a", "b"]), NO_WAIT)
        .unwrap();
    let socket = scene.stranger();
    let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "9", "confirm": "true"}});
    let answer = asks(&socket, &poll);
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    drop(socket);
    eventually("they are back", || scene.size() == 2);
    assert_eq!(scene.drain(), ["a", "b"]);
    eventually("it has heard of them", || scene.in_flight() == 0);
}

// ---- many at once ----

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
