//! The broker and its client, over real sockets. Names in parentheses are those of the broker's specification.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, eventually, unique};
use wirebird::broker::{
    Broker, BrokerOptions, Client, ClientOptions, Error, HandlerError, Message, MessageType,
    QueueType, Status,
};
use wirebird::{Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;

fn broker() -> (Broker, String) {
    with(&BrokerOptions::new().open_admin(true))
}

fn with(options: &BrokerOptions) -> (Broker, String) {
    let broker = Broker::with_options(options).expect("a broker");
    let listener = broker.listen("tcp://127.0.0.1:0").expect("listens");
    (broker, listener.url())
}

fn connect(url: &str) -> Client {
    Client::connect(url).expect("connects")
}

fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).expect("a message")
}

fn read(message: &Message) -> String {
    message.payload_text().expect("text").into_owned()
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status) {
    assert_eq!(result.expect_err("refused").status(), Some(status));
}

// ---- functions ----

/// F11, F12, golden 1.
#[test]
fn a_function_answers_with_the_requests_id_and_what_its_handler_returns() {
    let (broker, url) = broker();
    broker
        .create_function("echo", |request| Ok(Some(request.clone())))
        .unwrap();
    broker.create_function("nothing", |_| Ok(None)).unwrap();
    let client = connect(&url);
    let kinds = [
        text("hello"),
        Message::text(
            "2",
            "s",
            "text/html",
            wirebird::broker::Charset::Iso8859_1,
            "\u{e9}",
        )
        .unwrap(),
        Message::binary("3", "s", "application/octet-stream", vec![0, 1, 255]).unwrap(),
        Message::data("4", "s", serde_json::json!({"a": 1})).unwrap(),
    ];
    for message in kinds {
        let answer = client.send("echo", message.clone()).unwrap();
        assert_eq!(answer.kind(), MessageType::Response);
        assert!(answer.is_ok() && answer.is_oneway());
        assert_eq!(answer.payload_binary(), message.payload_binary());
        assert_eq!(answer.request_id(), message.request_id());
    }
    let request = text("x")
        .addressed_to(MessageType::Request, "nothing")
        .unwrap();
    let answer = client.request(request).unwrap();
    assert!(answer.is_ok());
    assert_eq!(read(&answer), "");
}

/// F14.
#[test]
fn a_oneway_call_is_run_and_not_answered() {
    let (broker, url) = broker();
    let (called, calls) = mpsc::channel();
    broker
        .create_function("note", move |request| {
            called
                .send(read(request))
                .map(|()| None)
                .map_err(Into::into)
        })
        .unwrap();
    connect(&url).send_oneway("note", text("once")).unwrap();
    assert_eq!(calls.recv_timeout(SOON).unwrap(), "once");
}

/// F15, D8.
#[test]
fn what_goes_wrong_in_a_function_is_a_status() {
    let (broker, url) = broker();
    broker
        .create_function("fails", |_| {
            Err(HandlerError::new(Status::Conflict, "taken"))
        })
        .unwrap();
    broker
        .create_function("panics", |_| panic!("a test panics on purpose"))
        .unwrap();
    let client = connect(&url);
    let error = client.send("fails", text("x")).unwrap_err();
    assert_eq!(error.status(), Some(Status::Conflict));
    assert!(error.to_string().contains("taken"));
    assert_status(client.send("panics", text("x")), Status::HandlerError);
    assert_status(client.send("unknown", text("x")), Status::FunctionNotFound);
    broker.create_function("works", |_| Ok(None)).unwrap();
    client
        .send("works", text("x"))
        .expect("the broker lives on");
}

// ---- queues ----

/// F21, F22, F24, F26, golden 2.
#[test]
fn a_bounded_queue_refuses_what_does_not_fit_in_time() {
    let (broker, url) = broker();
    assert!(broker.create_queue("q", 3, QueueType::Bounded).unwrap());
    let client = connect(&url);
    for number in 0..3 {
        client
            .offer("q", text(&number.to_string()), NO_WAIT)
            .unwrap();
    }
    let waiting = Instant::now();
    let refused = client.offer("q", text("late"), Duration::from_millis(50));
    assert!(waiting.elapsed() >= Duration::from_millis(50));
    match refused {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.status, Status::QueueFull);
            assert_eq!(refusal.destination.as_deref(), Some("q"));
        }
        other => panic!("{other:?}"),
    }
    for number in 0..3 {
        let polled = client.poll("q", NO_WAIT).unwrap();
        assert_eq!(read(&polled), number.to_string());
        assert_eq!(polled.request_id(), Some("1"));
        assert_eq!(polled.destination(), Some("q"));
    }
    assert_status(client.poll("q", NO_WAIT), Status::QueueEmpty);
    assert_status(client.poll("r", NO_WAIT), Status::QueueNotFound);
}

/// F27, golden 3.
#[test]
fn a_circular_queue_keeps_the_newest() {
    let (broker, url) = broker();
    broker.create_queue("ring", 3, QueueType::Circular).unwrap();
    let client = connect(&url);
    for number in 0..8 {
        client
            .offer("ring", text(&number.to_string()), NO_WAIT)
            .unwrap();
    }
    for number in 5..8 {
        assert_eq!(
            read(&client.poll("ring", NO_WAIT).unwrap()),
            number.to_string()
        );
    }
    assert_status(client.poll("ring", NO_WAIT), Status::QueueEmpty);
}

/// F23, I11, golden 14.
#[test]
fn a_long_poll_holds_up_nobody_on_the_same_connection() {
    let (broker, url) = broker();
    broker.create_queue("slow", 1, QueueType::Bounded).unwrap();
    broker.create_queue("fast", 1, QueueType::Bounded).unwrap();
    let client = connect(&url);
    let polling = client.clone();
    let polled = thread::spawn(move || polling.poll("slow", Duration::MAX));
    eventually("the poll waits", || broker.stats().requests == 1);
    for _ in 0..10 {
        client.offer("fast", text("x"), NO_WAIT).unwrap();
        client.poll("fast", NO_WAIT).unwrap();
    }
    client.offer("slow", text("at last"), NO_WAIT).unwrap();
    assert_eq!(read(&polled.join().unwrap().unwrap()), "at last");
}

/// D3, golden 13.
#[test]
fn a_poller_that_leaves_swallows_nothing() {
    let (broker, url) = broker();
    broker.create_queue("q", 10, QueueType::Bounded).unwrap();
    let (leaving, staying) = (connect(&url), connect(&url));
    let left = leaving.clone();
    let gone = thread::spawn(move || left.poll("q", Duration::MAX));
    eventually("it waits", || broker.stats().requests == 1);
    leaving.close().unwrap();
    assert!(gone.join().unwrap().is_err());
    eventually("the broker knows", || broker.connections() == 1);
    staying.offer("q", text("kept"), NO_WAIT).unwrap();
    assert_eq!(read(&staying.poll("q", NO_WAIT).unwrap()), "kept");
}

#[test]
fn an_offer_that_waits_is_let_in_when_there_is_room() {
    let (broker, url) = broker();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let client = connect(&url);
    client.offer("q", text("first"), NO_WAIT).unwrap();
    let waiting = client.clone();
    let offered = thread::spawn(move || waiting.offer("q", text("second"), Duration::MAX));
    eventually("it waits", || broker.stats().requests == 2);
    assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "first");
    offered.join().unwrap().unwrap();
    assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "second");
}

/// F113.
#[test]
fn removing_a_queue_wakes_who_waits_at_it() {
    let (broker, url) = broker();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let client = connect(&url);
    let polled = thread::spawn(move || client.poll("q", Duration::MAX));
    eventually("it waits", || broker.stats().requests == 1);
    assert!(broker.remove_queue("q").unwrap());
    assert_status(polled.join().unwrap(), Status::QueueNotFound);
    assert!(
        !broker.remove_queue("q").unwrap(),
        "an unknown one is no error"
    );
}

/// F32, F34, D12, golden 5.
#[test]
fn a_reply_comes_by_a_temporary_queue_that_goes_with_its_client() {
    let (broker, url) = broker();
    broker.create_queue("jobs", 10, QueueType::Bounded).unwrap();
    let (asking, working) = (connect(&url), connect(&url));
    let replies = asking.create_temporary_queue(10).unwrap();
    asking
        .offer_with_reply_to("jobs", &replies, text("work"), NO_WAIT)
        .unwrap();
    let job = working.poll("jobs", NO_WAIT).unwrap();
    let reply_to = job.reply_to().unwrap().to_owned();
    working.offer(&reply_to, text("done"), NO_WAIT).unwrap();
    assert_status(working.poll(&reply_to, NO_WAIT), Status::NoPermission);
    assert_eq!(read(&asking.poll(&replies, NO_WAIT).unwrap()), "done");
    asking.close().unwrap();
    eventually("the queue is gone", || {
        !broker.queue_status(&replies).exists
    });
    assert_status(
        working.offer(&reply_to, text("x"), NO_WAIT),
        Status::QueueNotFound,
    );
}

/// D5, F96.
#[test]
fn an_expired_message_is_passed_over() {
    let (broker, url) = broker();
    broker.create_queue("q", 10, QueueType::Bounded).unwrap();
    let client = connect(&url);
    client
        .offer("q", text("old").with_expires_at(1_000), NO_WAIT)
        .unwrap();
    client.offer("q", text("new"), NO_WAIT).unwrap();
    assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "new");
    assert_eq!(broker.stats().expired, 1);
}

// ---- topics ----

/// F40 to F47, D6, golden 6.
#[test]
fn every_subscriber_gets_a_publication_once_until_it_unsubscribes() {
    let (broker, url) = broker();
    broker.create_topic("news").unwrap();
    let clients = [connect(&url), connect(&url)];
    let (heard, hearing) = mpsc::channel();
    for (number, client) in clients.iter().enumerate() {
        let heard = heard.clone();
        client
            .subscribe("news", move |message| {
                assert_eq!(message.destination(), Some("news"));
                assert!(message.is_oneway());
                heard.send((number, read(message))).unwrap();
            })
            .unwrap();
    }
    assert_eq!(clients[0].publish("news", text("one")).unwrap(), 2);
    let mut got = [
        hearing.recv_timeout(SOON).unwrap(),
        hearing.recv_timeout(SOON).unwrap(),
    ];
    got.sort();
    assert_eq!(got, [(0, "one".into()), (1, "one".into())]);
    clients[1].unsubscribe("news").unwrap();
    assert_eq!(clients[1].publish("news", text("two")).unwrap(), 1);
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), (0, "two".into()));
    assert_status(
        clients[0].publish("unknown", text("x")),
        Status::TopicNotFound,
    );
    assert_status(
        clients[0].subscribe("unknown", |_| {}),
        Status::TopicNotFound,
    );
    assert_status(clients[0].unsubscribe("unknown"), Status::TopicNotFound);
    // F42: it may still do everything else.
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    clients[0].offer("q", text("x"), NO_WAIT).unwrap();
}

#[test]
fn a_pattern_subscribes_to_all_topics_that_it_matches() {
    let (broker, url) = broker();
    for topic in ["a/b", "a/c", "b/c"] {
        broker.create_topic(topic).unwrap();
    }
    let client = connect(&url);
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("a/*", move |message| heard.send(read(message)).unwrap())
        .unwrap();
    let counts = ["a/b", "b/c", "a/c"].map(|topic| client.publish(topic, text(topic)).unwrap());
    assert_eq!(counts, [1, 0, 1]);
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "a/b");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "a/c");
}

#[test]
fn a_retained_publication_greets_who_subscribes_later() {
    let (broker, url) = broker();
    broker.create_topic("state").unwrap();
    let client = connect(&url);
    let kept = text("on").with_header("retain", "true").unwrap();
    assert_eq!(client.publish("state", kept).unwrap(), 0);
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("state", move |message| heard.send(read(message)).unwrap())
        .unwrap();
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "on");
}

// ---- management ----

/// F110, F118, D11.
#[test]
fn managing_is_for_administrators() {
    let (_broker, url) = with(&BrokerOptions::new());
    let client = connect(&url);
    assert_status(
        client.create_queue("q", 1, QueueType::Bounded),
        Status::NoPermission,
    );
    assert_status(client.create_topic("t"), Status::NoPermission);
    client.create_temporary_queue(1).expect("everybody may");
}

/// F111, F112, F115, D4.
#[test]
fn queues_are_made_looked_at_and_removed_through_a_client() {
    let (broker, url) = broker();
    let client = connect(&url);
    client.create_queue("q", 5, QueueType::Circular).unwrap();
    client
        .create_queue("q", 5, QueueType::Circular)
        .expect("it is the same");
    assert_status(
        client.create_queue("q", 6, QueueType::Circular),
        Status::Conflict,
    );
    for name in ["", "queue", "with space", &"x".repeat(101)] {
        assert!(
            client.create_queue(name, 1, QueueType::Bounded).is_err(),
            "{name:?}"
        );
    }
    assert_status(
        client.create_queue("z", 0, QueueType::Bounded),
        Status::BadRequest,
    );
    let status = Message::plain_text(None, "", "").unwrap();
    let status = status.addressed_to(MessageType::StatusQueue, "q").unwrap();
    let answer = client.request(status).unwrap().payload_data().unwrap();
    assert_eq!(answer["type"], "CIRCULAR");
    assert_eq!(
        (&answer["capacity"], &answer["size"]),
        (&5.into(), &0.into())
    );
    client.remove_queue("q").unwrap();
    client
        .remove_queue("q")
        .expect("an unknown one is no error");
    assert!(broker.queues().is_empty());
}

#[test]
fn limits_on_destinations_are_kept() {
    let options = BrokerOptions::new()
        .max_queues(1)
        .max_topics(1)
        .max_functions(1);
    let (broker, url) = with(&options.max_temporary_queues(1));
    broker.create_queue("a", 1, QueueType::Bounded).unwrap();
    assert_status(
        broker.create_queue("b", 1, QueueType::Bounded),
        Status::LimitReached,
    );
    broker.create_topic("a").unwrap();
    assert_status(broker.create_topic("b"), Status::LimitReached);
    broker.create_function("a", |_| Ok(None)).unwrap();
    assert_status(
        broker.create_function("b", |_| Ok(None)),
        Status::LimitReached,
    );
    let client = connect(&url);
    client.create_temporary_queue(1).unwrap();
    assert_status(client.create_temporary_queue(1), Status::LimitReached);
}

// ---- connections ----

/// F150, golden 10.
#[test]
fn encryption_is_what_either_end_demands() {
    let open = with(&BrokerOptions::new().open_admin(true));
    let strict = with(&BrokerOptions::new().open_admin(true).encrypt(true));
    for (broker, url) in [&open, &strict] {
        broker.create_queue("q", 9, QueueType::Bounded).unwrap();
        let client = Client::connect_with(url, &ClientOptions::new().encrypt(true)).unwrap();
        client.offer("q", text("secret"), NO_WAIT).unwrap();
        assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "secret");
    }
    let options = ClientOptions::new().timeout(Duration::from_millis(500));
    let plain = Client::connect_with(&strict.1, &options);
    assert!(plain.is_err(), "it is cut off");
    // Those of the other client: an offer, a poll.
    assert_eq!(strict.0.stats().requests, 2);
}

/// F8.
#[test]
fn a_client_too_many_is_turned_away() {
    let (broker, url) = with(&BrokerOptions::new().max_connections(1));
    let first = connect(&url);
    first.heartbeat().unwrap();
    let options = ClientOptions::new().timeout(Duration::from_millis(200));
    let second = Client::connect_with(&url, &options).and_then(|second| second.heartbeat());
    assert!(second.is_err());
    assert_eq!(broker.connections(), 1);
}

#[test]
fn a_client_comes_back_with_its_subscriptions() {
    let address = format!("inproc://{}", unique());
    let options = BrokerOptions::new();
    let start = || {
        let broker = Broker::with_options(&options).unwrap();
        broker.create_topic("news").unwrap();
        broker.listen(&address).unwrap();
        broker
    };
    let first = start();
    let endpoint = wirebird::EndpointOptions::new().reconnect_min(Duration::from_millis(5));
    let client = Client::connect_with(&address, &ClientOptions::new().endpoint(endpoint)).unwrap();
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("news", move |message| heard.send(read(message)).unwrap())
        .unwrap();
    drop(first);
    let second = start();
    eventually("it is back", || {
        client.publish("news", text("again")) == Ok(1)
    });
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "again");
    drop(second);
}

/// Any library for scalability protocols is a client, in JSON.
#[test]
fn a_person_can_type_requests_in_json() {
    let (broker, url) = broker();
    broker.create_queue("jobs", 10, QueueType::Bounded).unwrap();
    let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    socket.dial(&url).unwrap();
    let ask = |request: &str| {
        socket.send(request).unwrap();
        let answer = socket.recv().unwrap();
        serde_json::from_slice::<serde_json::Value>(answer.body()).expect("JSON")
    };
    let answer = ask(r#"{"type":"OFFER","destination":"jobs","text":"hello"}"#);
    assert_eq!(
        (&answer["type"], &answer["status"]),
        (&"RESPONSE".into(), &"OK".into())
    );
    let answer = ask(r#"{"type":"poll","destination":"jobs"}"#);
    assert_eq!(
        (&answer["status"], &answer["text"]),
        (&"OK".into(), &"hello".into())
    );
    let answer = ask(r#"{"type":"POLL","destination":"jobs"}"#);
    assert_eq!(answer["status"], "QUEUE_EMPTY");
    let answer = ask(r#"{"type":"POLL""#);
    assert_eq!(answer["status"], "BAD_REQUEST");
    let answer = ask(r#"{"type":"FLY"}"#);
    assert_eq!(answer["status"], "BAD_REQUEST");
}

/// F5.
#[test]
fn many_requests_of_many_threads_are_each_answered() {
    let (broker, url) = broker();
    broker
        .create_function("echo", |request| Ok(Some(request.clone())))
        .unwrap();
    let client = connect(&url);
    thread::scope(|scope| {
        for thread in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for number in 0..200 {
                    let body = format!("{thread}/{number}");
                    assert_eq!(read(&client.send("echo", text(&body)).unwrap()), body);
                }
            });
        }
    });
    assert_eq!(broker.stats().calls, 1600);
}

/// A client that sends without reading is not read from, and what it has sent is answered when it reads.
#[test]
fn a_client_that_does_not_read_is_held_back_and_loses_nothing() {
    const COUNT: usize = 20_000;
    let (broker, url) = broker();
    let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    socket.dial(&url).unwrap();
    let sending = socket.clone();
    let sent = thread::spawn(move || {
        let padding = "x".repeat(500);
        for number in 0..COUNT {
            let request = format!(
                r#"{{"type":"TEST","request-id":"{number}","subject":"{}"}}"#,
                &padding[..90]
            );
            sending.send(request).unwrap();
        }
    });
    let mut before = 0;
    eventually("the broker reads no more", || {
        let now = broker.stats().requests;
        let still = now == before && now > 0;
        before = now;
        thread::sleep(Duration::from_millis(20));
        still
    });
    for number in 0..COUNT {
        let answer = socket.recv().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(answer["request-id"], number.to_string());
    }
    sent.join().unwrap();
}

/// A request that waits is answered when the broker closes, and nobody is let in any more.
#[test]
fn who_waits_when_the_broker_closes_is_told() {
    let (broker, url) = broker();
    broker.create_queue("jobs", 1, QueueType::Bounded).unwrap();
    let (waiting, asking) = (connect(&url), connect(&url));
    let poll = thread::spawn(move || waiting.poll("jobs", Duration::MAX));
    let status = Message::plain_text(None, "", "").unwrap();
    let status = status
        .addressed_to(MessageType::ServerStatus, None)
        .unwrap();
    eventually("somebody waits", || {
        let status = asking.request(status.clone()).unwrap();
        status.payload_data().unwrap()["waiting-count"] == 1
    });
    broker.close().unwrap();
    assert_status(poll.join().unwrap(), Status::QueueAccessInterrupted);
}
