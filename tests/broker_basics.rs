//! What clients, queues, topics and functions do that no other file shows. Names in parentheses are those of the broker's
//! specification.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, eventually, unique};
use serde_json::json;
use wirebird::broker::{
    Broker, BrokerOptions, Client, ClientOptions, Encoding, Error, Message, MessageType, QueueType,
    Status, decode, encode,
};
use wirebird::{Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;

/// A broker where everybody manages, and a client of it.
fn broker() -> (Broker, Client) {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    (broker, Client::connect(&url).unwrap())
}

fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).unwrap()
}

fn read(message: &Message) -> String {
    message.payload_text().expect("text").into_owned()
}

/// A request that is no call of the client.
fn ask(client: &Client, kind: MessageType, name: &str) -> Message {
    let request = Message::plain_text(None, "", "").unwrap();
    client
        .request(request.addressed_to(kind, name).unwrap())
        .unwrap()
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status) {
    assert_eq!(result.expect_err("refused").status(), Some(status));
}

// ---- endpoints and lifecycle ----

/// F1, F2, F3.
#[test]
fn a_broker_serves_tcp_and_unix_sockets_at_once_and_its_urls_say_where() {
    let broker = Broker::new().unwrap();
    broker.create_queue("q", 2, QueueType::Bounded).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let unix = format!("ipc://{}/socket", directory.path().display());
    for url in ["tcp://127.0.0.1:0", "tcp://localhost:0", &unix] {
        let listener = broker.listen(url).unwrap();
        let client = Client::connect(&listener.url()).unwrap();
        client.offer("q", text(url), NO_WAIT).unwrap();
        assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), url);
    }
}

/// F2, F3: connecting tells at once what is wrong.
#[test]
fn connecting_to_nobody_or_by_no_url_fails_at_once() {
    let broker = Broker::new().unwrap();
    let taken = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let other = Broker::new().unwrap();
    assert!(matches!(other.listen(&taken), Err(Error::Socket(_))));
    drop(broker);
    for url in [&*taken, "af-inet://127.0.0.1:1", "127.0.0.1:1", ""] {
        let error = Client::connect(url).unwrap_err();
        assert!(matches!(error, Error::Socket(_)), "{url}: {error:?}");
        assert_ne!(
            error,
            Error::Socket(wirebird::Error::TimedOut),
            "{url}: it is told at once"
        );
    }
}

/// F4, F28: closing a broker ends its clients, and what was in it is gone.
#[test]
fn a_closed_broker_leaves_its_address_and_nothing_else() {
    let (broker, client) = broker();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    broker.create_topic("t").unwrap();
    broker.create_function("f", |_| Ok(None)).unwrap();
    client.offer("q", text("lost"), NO_WAIT).unwrap();
    broker.close().unwrap();
    assert_eq!(broker.connections(), 0);

    let next = Broker::new().unwrap();
    next.listen(&url).expect("the address is free");
    let client = Client::connect(&url).unwrap();
    assert_status(client.poll("q", NO_WAIT), Status::QueueNotFound);
    assert_status(client.publish("t", text("x")), Status::TopicNotFound);
    assert_status(client.send("f", text("x")), Status::FunctionNotFound);
}

/// F4, F43: what was a client's goes with it.
#[test]
fn a_closed_client_leaves_neither_subscriptions_nor_temporary_queues() {
    let (broker, client) = broker();
    broker.create_topic("t").unwrap();
    let leaving = client.copy().unwrap();
    let queue = leaving.create_temporary_queue(1).unwrap();
    leaving.subscribe("t", |_| {}).unwrap();
    assert_eq!(client.publish("t", text("x")).unwrap(), 1);
    assert!(broker.queue_status(&queue).temporary);
    leaving.close().unwrap();
    assert!(leaving.heartbeat().is_err(), "it is closed");
    eventually("the broker knows", || broker.connections() == 1);
    assert_eq!(client.publish("t", text("x")).unwrap(), 0);
    assert!(!broker.queue_status(&queue).exists);
}

// ---- functions ----

/// F10, F117: functions are the program's, whoever asks.
#[test]
fn functions_are_made_and_removed_by_the_program_alone() {
    let (broker, client) = broker();
    let exists = || ask(&client, MessageType::StatusFunction, "f").payload_data();
    assert_eq!(exists().unwrap(), json!({"name": "f", "exists": false}));
    assert!(broker.create_function("f", |_| Ok(None)).unwrap());
    assert!(
        !broker
            .create_function("f", |_| Ok(Some(text("another"))))
            .unwrap(),
        "the first one stays"
    );
    assert_eq!(read(&client.send("f", text("x")).unwrap()), "");
    assert_eq!(exists().unwrap(), json!({"name": "f", "exists": true}));
    for kind in [MessageType::CreateFunction, MessageType::RemoveFunction] {
        let answer = ask(&client, kind, "f");
        assert_eq!(answer.status(), Status::BadRequest, "{kind:?}");
    }
    client.send("f", text("x")).expect("it is still there");
    assert!(broker.remove_function("f"));
    assert!(!broker.remove_function("f"));
    assert_status(client.send("f", text("x")), Status::FunctionNotFound);
    for name in ["", "function", "a b", "$f"] {
        let refused = broker.create_function(name, |_| Ok(None));
        assert_status(refused, Status::BadRequest);
    }
}

/// F13, F16, F17: it is the caller who decides how long a function may take, and nobody else waits for it.
#[test]
fn a_function_that_takes_long_holds_up_nothing_else_on_its_connection() {
    let (broker, client) = broker();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (begun, begins) = mpsc::channel();
    broker
        .create_function("slow", move |request| {
            begun.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            Ok(Some(request.clone()))
        })
        .unwrap();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let calling = client.clone();
    let patient = thread::spawn(move || calling.send("slow", text("at last")));
    begins.recv_timeout(SOON).unwrap();
    client.offer("q", text("x"), NO_WAIT).unwrap();
    client.poll("q", NO_WAIT).unwrap();
    let impatient = client.with_timeout(Duration::from_millis(300));
    let began = Instant::now();
    let error = impatient.send("slow", text("too late")).unwrap_err();
    assert_eq!(error, Error::Socket(wirebird::Error::TimedOut));
    assert!(began.elapsed() < SOON / 2);
    begins.recv_timeout(SOON).unwrap();
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    assert_eq!(read(&patient.join().unwrap().unwrap()), "at last");
    client
        .heartbeat()
        .expect("the late answer is nobody's and harms nobody");
}

// ---- queues ----

/// F20, golden 13: exactly one of the pollers gets each message, and each producer's come in its order.
#[test]
fn each_message_goes_to_one_of_many_pollers_and_each_producers_in_order() {
    const PRODUCERS: usize = 3;
    const POLLERS: usize = 4;
    const EACH: usize = 200;
    let (broker, client) = broker();
    broker.create_queue("q", 10, QueueType::Bounded).unwrap();
    let start = Barrier::new(PRODUCERS + POLLERS);
    let mut seen = BTreeMap::<String, Vec<usize>>::new();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (client, start) = (client.copy().unwrap(), &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    let item = Message::plain_text(None, &producer.to_string(), number).unwrap();
                    client.offer("q", item, Duration::MAX).unwrap();
                }
            });
        }
        let pollers: Vec<_> = (0..POLLERS)
            .map(|_| {
                let (client, start) = (client.copy().unwrap(), &start);
                scope.spawn(move || {
                    start.wait();
                    let mut got = Vec::new();
                    for _ in 0..PRODUCERS * EACH / POLLERS {
                        got.push(client.poll("q", Duration::MAX).unwrap());
                    }
                    got
                })
            })
            .collect();
        for poller in pollers {
            let mut last = BTreeMap::new();
            for item in poller.join().unwrap() {
                let (from, number) = (item.subject().to_owned(), read(&item).parse().unwrap());
                let before = last.insert(from.clone(), number);
                assert!(before.is_none_or(|before| before < number), "out of order");
                seen.entry(from).or_default().push(number);
            }
        }
    });
    assert_eq!(seen.len(), PRODUCERS);
    for (from, mut numbers) in seen {
        numbers.sort_unstable();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "of producer {from}");
    }
    assert_eq!(broker.queue_status("q").size, 0);
}

/// F22, F34, F53, F56, F58: what is polled is what was offered, but for what makes it the answer to the poll.
#[test]
fn a_polled_message_says_what_it_said_when_it_was_offered() {
    let (broker, client) = broker();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let offered = Message::binary("request", "subject", "image/png", vec![0, 159, 255])
        .unwrap()
        .with_timestamp(1_000)
        .unwrap()
        .with_expires_at(i64::MAX)
        .with_durable(true)
        .with_header("traceparent", "00")
        .unwrap();
    client
        .offer_with_reply_to("q", "answers", offered.clone(), NO_WAIT)
        .unwrap();
    let poll = Message::plain_text("poll", "mine", "").unwrap();
    let poll = poll.addressed_to(MessageType::Poll, "q").unwrap();
    let polled = client.request(poll).unwrap();
    assert_eq!(polled.kind(), MessageType::Response);
    assert_eq!(polled.status(), Status::Ok);
    assert!(polled.is_oneway());
    assert_ne!(polled.id(), offered.id());
    let expected = offered
        .addressed_to(MessageType::Offer, "q")
        .and_then(|message| message.with_reply_to("answers"))
        .and_then(|message| message.with_timeout(0))
        .unwrap()
        .into_response(polled.id(), Status::Ok);
    assert_eq!(polled, expected);
}

/// F23, D1, D2: queues of both types wait as they are told to.
#[test]
fn a_poll_waits_as_long_as_it_says_at_queues_of_both_types() {
    let (broker, client) = broker();
    let wait = Duration::from_millis(60);
    for (name, kind) in [
        ("bounded", QueueType::Bounded),
        ("circular", QueueType::Circular),
    ] {
        broker.create_queue(name, 1, kind).unwrap();
        for (wait, least) in [(NO_WAIT, NO_WAIT), (wait, wait)] {
            let began = Instant::now();
            assert_status(client.poll(name, wait), Status::QueueEmpty);
            assert!(began.elapsed() >= least, "{name}");
        }
        let before = broker.stats().requests;
        let polling = client.clone();
        let polled = thread::spawn(move || polling.poll(name, Duration::MAX));
        eventually("it waits", || broker.stats().requests > before);
        client.offer(name, text("x"), NO_WAIT).unwrap();
        assert_eq!(read(&polled.join().unwrap().unwrap()), "x");
    }
}

/// F35.
#[test]
fn functions_do_not_see_what_goes_through_queues_and_topics_of_their_name() {
    let (broker, client) = broker();
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = calls.clone();
    broker
        .create_function("same", move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        })
        .unwrap();
    broker.create_queue("same", 1, QueueType::Bounded).unwrap();
    broker.create_topic("same").unwrap();
    client.offer("same", text("x"), NO_WAIT).unwrap();
    client.publish("same", text("y")).unwrap();
    assert_eq!(read(&client.poll("same", NO_WAIT).unwrap()), "x");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    client.send("same", text("z")).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

// ---- topics ----

/// F48.
#[test]
fn a_handler_that_panics_is_called_again_with_the_next_publication() {
    let (broker, client) = broker();
    broker.create_topic("t").unwrap();
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("t", move |message| {
            let said = read(message);
            assert_ne!(said, "bad", "a test panics on purpose");
            heard.send(said).unwrap();
        })
        .unwrap();
    for said in ["bad", "good"] {
        client.publish("t", text(said)).unwrap();
    }
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "good");
}

/// F42, F45, F46: a subscriber does everything else as well, within its handler too.
#[test]
fn a_handler_may_ask_the_broker_by_its_own_client() {
    let (broker, client) = broker();
    broker.create_topic("t").unwrap();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let within = client.clone();
    client
        .subscribe("t", move |message| {
            within.offer("q", message.clone(), NO_WAIT).unwrap();
        })
        .unwrap();
    assert_eq!(client.publish("t", text("x")).unwrap(), 1);
    assert_eq!(read(&client.poll("q", SOON).unwrap()), "x");
    assert_eq!(
        client.publish("t", text("y")).unwrap(),
        1,
        "it subscribes still"
    );
}

// ---- management ----

/// F113, F114, F115, F116: what is not there is told, and is no error.
#[test]
fn looking_at_and_removing_what_is_not_there_is_no_error() {
    let (broker, client) = broker();
    let nothing = json!({
        "name": "gone", "exists": false, "type": "unknown", "temporary": false, "durable": false,
        "capacity": 0, "size": 0, "bytes": 0,
    });
    let status = ask(&client, MessageType::StatusQueue, "gone");
    assert!(status.is_ok());
    let status = status.payload_data().unwrap();
    for (member, value) in nothing.as_object().unwrap() {
        assert_eq!(&status[member], value, "{member}");
    }
    let status = ask(&client, MessageType::StatusTopic, "gone").payload_data();
    assert_eq!(status, Ok(json!({"name": "gone", "exists": false})));
    client.remove_queue("gone").unwrap();
    client.remove_topic("gone").unwrap();
    assert!(!broker.has_topic("gone") && !broker.queue_status("gone").exists);

    client.create_topic("t").unwrap();
    client.create_topic("t").expect("there may be one already");
    assert!(broker.has_topic("t"));
    assert!(!broker.create_topic("t").unwrap());
    client.remove_topic("t").unwrap();
    assert_status(client.publish("t", text("x")), Status::TopicNotFound);

    let queue = client.create_temporary_queue(7).unwrap();
    assert_status(client.remove_queue(&queue), Status::BadRequest);
    let status = ask(&client, MessageType::StatusQueue, &queue)
        .payload_data()
        .unwrap();
    assert_eq!(
        (&status["temporary"], &status["capacity"]),
        (&true.into(), &7.into())
    );
}

#[test]
fn a_list_has_the_names_that_its_pattern_matches() {
    let (broker, client) = broker();
    for name in ["a/b", "a/c", "b"] {
        broker.create_queue(name, 1, QueueType::Bounded).unwrap();
        broker.create_topic(name).unwrap();
    }
    client.create_temporary_queue(1).unwrap();
    for (pattern, expected) in [
        (None, &["a/b", "a/c", "b"][..]),
        (Some("a/*"), &["a/b", "a/c"]),
        (Some("b"), &["b"]),
        (Some("c.>"), &[]),
    ] {
        let list = |kind| {
            let request = Message::plain_text(None, "", "").unwrap();
            let answer = client.request(request.addressed_to(kind, pattern).unwrap());
            answer.unwrap().payload_data().unwrap()
        };
        assert_eq!(list(MessageType::ListTopics), json!(expected));
        let queues = list(MessageType::ListQueues);
        let names = queues
            .as_array()
            .unwrap()
            .iter()
            .map(|queue| &queue["name"]);
        assert_eq!(names.collect::<Vec<_>>(), expected, "{pattern:?}");
    }
}

/// F52, F70, F118: each request is answered once, with the status that docs/broker-protocol.md has for what is not there;
/// not at all if it says `oneway`.
#[test]
fn every_type_of_request_has_its_answer() {
    use MessageType::*;
    let (broker, _client) = broker();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    socket.dial(&url).unwrap();
    let answers = [
        (Request, Status::FunctionNotFound),
        (Offer, Status::QueueNotFound),
        (Poll, Status::QueueNotFound),
        (PeekQueue, Status::QueueNotFound),
        (PurgeQueue, Status::QueueNotFound),
        (RedriveQueue, Status::QueueNotFound),
        (Ack, Status::QueueNotFound),
        (Nack, Status::QueueNotFound),
        (Extend, Status::QueueNotFound),
        (AckAll, Status::QueueNotFound),
        (NackAll, Status::QueueNotFound),
        (Publish, Status::TopicNotFound),
        (Subscribe, Status::TopicNotFound),
        (Unsubscribe, Status::TopicNotFound),
        (CreateQueue, Status::BadRequest),
        (CreateTempQueue, Status::BadRequest),
        (Authentication, Status::BadRequest),
        (CreateFunction, Status::BadRequest),
        (RemoveFunction, Status::BadRequest),
        (ServerThreadPoolStat, Status::BadRequest),
        (DiffieHellmanKeyRequest, Status::BadRequest),
        (Response, Status::BadRequest),
        (Null, Status::BadRequest),
        (RemoveQueue, Status::Ok),
        (RemoveTopic, Status::Ok),
        (StatusQueue, Status::Ok),
        (StatusTopic, Status::Ok),
        (StatusFunction, Status::Ok),
        (ListQueues, Status::Ok),
        (ListTopics, Status::Ok),
        (ServerStatus, Status::Ok),
        (ClientConfig, Status::Ok),
        (Heartbeat, Status::Ok),
        (Test, Status::Ok),
    ];
    for (kind, status) in answers {
        for encoding in [Encoding::Binary, Encoding::Json] {
            let request = Message::plain_text("7", "subject", "").unwrap();
            let request = request.addressed_to(kind, "none").unwrap();
            let unanswered = request.clone().with_oneway(true);
            for request in [unanswered, request.clone()] {
                socket.send(encode(&request, encoding)).unwrap();
            }
            let (answer, answered) = decode(socket.recv().unwrap().body().to_vec()).unwrap();
            assert_eq!(
                (answer.id(), answered),
                (request.id(), encoding),
                "{kind:?}"
            );
            assert_eq!(
                (answer.kind(), answer.status()),
                (Response, status),
                "{kind:?}"
            );
            let mirrored = (answer.request_id(), answer.subject(), answer.destination());
            assert_eq!(mirrored, (Some("7"), "subject", Some("none")), "{kind:?}");
            assert!(answer.is_oneway());
            assert!(answer.is_ok() || answer.payload_text().is_some_and(|text| !text.is_empty()));
        }
    }
    assert_eq!(socket.try_recv().unwrap_err(), wirebird::Error::WouldBlock);
}

/// F29, F112: nothing is made that would not be kept.
#[test]
fn a_durable_queue_needs_a_log_and_is_not_circular() {
    let (broker, client) = broker();
    for queue_type in ["BOUNDED", "CIRCULAR"] {
        let queue = json!({"capacity": 1, "type": queue_type, "persistence": "DURABLE"});
        let request = Message::data(None, "", queue).unwrap();
        let request = request.addressed_to(MessageType::CreateQueue, "q").unwrap();
        let answer = client.request(request).unwrap();
        assert_eq!(answer.status(), Status::BadRequest, "{answer:?}");
    }
    assert!(broker.queues().is_empty());
}

/// F100, golden 9.
#[test]
fn the_limit_for_messages_is_from_2_kib_to_250_mib() {
    for size in [2 << 10, 20 << 20, 250 << 20] {
        let options = BrokerOptions::new().max_message_size(size);
        Broker::with_options(&options).expect("within the range");
    }
    for size in [0, (2 << 10) - 1, (250 << 20) + 1, usize::MAX] {
        let options = BrokerOptions::new().max_message_size(size);
        let error = Broker::with_options(&options).unwrap_err().to_string();
        let told = error.contains(&size.to_string()) && error.contains("2 KiB to 250 MiB");
        assert!(told, "{error}");
    }
}

/// F5: any number of threads, and copies that are connections of their own.
#[test]
fn a_copy_of_a_client_is_another_connection_on_the_same_terms() {
    let broker = Broker::with_options(&BrokerOptions::new().encrypt(true)).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let options = ClientOptions::new().encrypt(true).timeout(SOON);
    let client = Client::connect_with(&url, &options).unwrap();
    let copy = client.copy().expect("it encrypts, too");
    assert_eq!(broker.connections(), 2);
    let queue = client.create_temporary_queue(1).unwrap();
    assert_status(copy.poll(&queue, NO_WAIT), Status::NoPermission);
    client.close().unwrap();
    copy.heartbeat().expect("it is not closed with the other");
    let local = format!("inproc://{}", unique());
    broker.listen(&local).unwrap();
    assert!(Client::connect_with(&local, &options).is_ok());
}
