//! How much a broker holds at most, and what is told those who would have it hold more.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::{SOON, await_removed, certificates, eventually, unique};
use serde_json::{Value, json};
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, Error, Message, MessageType, Nack, QueueOptions,
    QueueType, Role, Status,
};
use wirebird::{EndpointOptions, Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;
const KIB: usize = 1024;

fn listening(options: &BrokerOptions) -> (Broker, String) {
    let broker = Broker::with_options(&options.clone().open_admin(true)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    (broker, url)
}

/// A broker that holds 100 KiB, so that ten messages of 9 KiB go into it.
fn small() -> (Broker, String) {
    let options = BrokerOptions::new().max_message_size(50 * KIB);
    listening(&options.max_memory(100 * KIB))
}

fn bytes(length: usize) -> Message {
    Message::binary(None, "", "application/octet-stream", vec![0; length]).unwrap()
}

fn offer(client: &Client, queue: &str) -> Result<(), Option<Status>> {
    let offered = client.offer(queue, bytes(9 * KIB), NO_WAIT);
    offered.map_err(|error| error.status())
}

/// Offers until that is refused; returns how many went in.
fn fill(client: &Client, queue: &str) -> usize {
    let mut count = 0;
    loop {
        match offer(client, queue) {
            Ok(()) => count += 1,
            Err(status) => {
                assert_eq!(status, Some(Status::RetryLater));
                return count;
            }
        }
    }
}

fn status(client: &Client) -> Value {
    let ask = Message::plain_text(None, "", "").unwrap();
    let ask = ask.addressed_to(MessageType::ServerStatus, None).unwrap();
    client.request(ask).unwrap().payload_data().unwrap()
}

/// A client that does not read by itself.
fn stranger(url: &str) -> Pair1 {
    let options = SocketOptions::new()
        .recv_timeout(SOON)
        .send_timeout(SOON)
        .recv_buffer(1);
    let socket = Pair1::with_options(&options).unwrap();
    socket.dial(url).unwrap();
    socket
}

// ---- queues ----

#[test]
fn a_queue_is_full_when_its_bytes_are() {
    let options = BrokerOptions::new().max_queue_bytes(20 * KIB);
    let (broker, url) = listening(&options);
    let client = Client::connect(&url).unwrap();
    broker.create_queue("a", 100, QueueType::Bounded).unwrap();
    let wide = QueueOptions::new(100).max_bytes(30 * KIB);
    broker.create_queue_with("b", &wide).unwrap();
    assert_eq!(broker.create_queue_with("b", &wide), Ok(false));
    client.create_queue("c", 100, QueueType::Bounded).unwrap();
    let temporary = client.create_temporary_queue(100).unwrap();
    let fields = json!({"name": "d", "capacity": 100, "max-bytes": 10 * KIB});
    let make = Message::data(None, "", fields).unwrap();
    let make = make.addressed_to(MessageType::CreateQueue, None).unwrap();
    assert!(client.request(make).unwrap().is_ok());
    for (queue, room) in [("a", 2), ("b", 3), ("c", 2), (&temporary, 2), ("d", 1)] {
        for _ in 0..room {
            assert_eq!(offer(&client, queue), Ok(()), "{queue}");
        }
        assert_eq!(
            offer(&client, queue),
            Err(Some(Status::QueueFull)),
            "{queue}"
        );
    }
    assert_eq!(broker.queue_status("b").max_bytes, 30 * KIB);
    assert_eq!(broker.queue_status("a").max_bytes, 20 * KIB);
    for bad in [json!(0), json!(-1), json!("many")] {
        let fields = json!({"name": "e", "capacity": 1, "max-bytes": bad});
        let make = Message::data(None, "", fields).unwrap();
        let make = make.addressed_to(MessageType::CreateQueue, None).unwrap();
        let answer = client.request(make).unwrap();
        assert_eq!(answer.status(), Status::BadRequest);
        assert!(answer.payload_text().unwrap().contains("max-bytes"));
    }
}

// ---- everything together ----

#[test]
fn producers_are_told_to_come_later_when_the_broker_holds_enough() {
    let (broker, url) = small();
    let client = Client::connect(&url).unwrap();
    for queue in ["a", "b"] {
        broker
            .create_queue(queue, 1000, QueueType::Bounded)
            .unwrap();
    }
    assert_eq!(fill(&client, "a"), 10);
    assert_eq!(offer(&client, "b"), Err(Some(Status::RetryLater)));
    let patient = client.offer("b", bytes(9 * KIB), SOON).unwrap_err();
    assert_eq!(patient.status(), Some(Status::RetryLater));
    assert!(patient.to_string().contains("102400"), "{patient}");
    let told = status(&client);
    assert_eq!(told["memory-max"], 100 * KIB);
    assert_eq!(told["memory-refused-count"], 3);
    let held = told["memory-held"].as_u64().unwrap() as usize;
    assert!((90 * KIB..100 * KIB).contains(&held), "{held}");
    assert_eq!(broker.stats().refused_for_memory, 3);
    // What is small still fits.
    client.offer("b", bytes(10), NO_WAIT).unwrap();
    client.poll("a", NO_WAIT).unwrap();
    assert_eq!(offer(&client, "b"), Ok(()));
}

#[test]
fn dead_letters_count_until_somebody_takes_them() {
    let (broker, url) = small();
    let client = Client::connect(&url).unwrap();
    broker.create_queue("dead", 9, QueueType::Bounded).unwrap();
    let options = QueueOptions::new(9).dead_letter("dead");
    client.create_queue_with("a", &options).unwrap();
    offer(&client, "a").unwrap();
    let held = broker.stats().held_bytes;
    assert!(held > 9 * KIB);
    let holds = |what| eventually(what, || broker.stats().held_bytes == held);
    let leased = client.poll_leased("a", NO_WAIT, SOON).unwrap();
    leased.nack(Nack::DeadLetter).unwrap();
    holds("a dead letter is held as what it was");
    assert_eq!(client.redrive("dead", None), Ok(1));
    holds("what comes back is held once");
    client.poll("a", NO_WAIT).unwrap();
    eventually("all is given back", || broker.stats().held_bytes == 0);
}

/// What is let go is let go of, whichever way.
#[test]
fn nothing_is_held_once_everything_is_gone() {
    let (broker, url) = small();
    let client = Client::connect(&url).unwrap();
    let is_empty = || eventually("all is given back", || broker.stats().held_bytes == 0);
    broker.create_queue("q", 1000, QueueType::Bounded).unwrap();
    for _ in 0..fill(&client, "q") {
        client.poll("q", NO_WAIT).unwrap();
    }
    is_empty();
    fill(&client, "q");
    broker.purge_queue("q").unwrap();
    is_empty();
    fill(&client, "q");
    broker.remove_queue("q").unwrap();
    is_empty();
    let temporary = client.create_temporary_queue(100).unwrap();
    fill(&client, &temporary);
    drop(client);
    is_empty();
    let client = Client::connect(&url).unwrap();
    broker.create_queue("c", 1, QueueType::Circular).unwrap();
    for _ in 0..100 {
        assert_eq!(offer(&client, "c"), Ok(()), "the one before makes room");
    }
    broker.remove_queue("c").unwrap();
    is_empty();
    // An offer that waits is held too.
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    assert_eq!(offer(&client, "q"), Ok(()));
    let waits = Client::connect(&url).unwrap();
    let waiting = waits.clone();
    let offering = std::thread::spawn(move || waiting.offer("q", bytes(50 * KIB), Duration::MAX));
    eventually("it waits", || status(&client)["waiting-count"] == 1);
    assert!(broker.stats().held_bytes > 59 * KIB);
    waits.close().unwrap();
    offering.join().unwrap().unwrap_err();
    broker.remove_queue("q").unwrap();
    is_empty();
}

#[test]
fn calls_and_publications_are_refused_too_and_polls_that_do_not_wait_are_not() {
    let (broker, url) = small();
    broker.create_queue("q", 1000, QueueType::Bounded).unwrap();
    broker.create_queue("empty", 1, QueueType::Bounded).unwrap();
    broker.create_topic("t").unwrap();
    broker.create_function("f", |_| Ok(None)).unwrap();
    let client = Client::connect(&url).unwrap();
    fill(&client, "q");
    while client.offer("q", bytes(1), NO_WAIT).is_ok() {}
    let later = Some(Status::RetryLater);
    let status = |error: Error| error.status();
    assert_eq!(client.send("f", bytes(1)).map_err(status), Err(later));
    assert_eq!(client.publish("t", bytes(1)).map_err(status), Err(later));
    assert_eq!(client.poll("empty", SOON).map_err(status), Err(later));
    client.poll("q", NO_WAIT).unwrap();
    client.send("f", bytes(1)).unwrap();
    client.publish("t", bytes(1)).unwrap();
    assert_eq!(broker.stats().published, 1);
}

/// Who does not read has the broker hold what is for it, and no more than it may.
#[test]
fn what_slow_subscribers_leave_is_held_and_bounded() {
    let options = BrokerOptions::new().max_outbox_bytes(300 * KIB);
    let (broker, _) = listening(&options);
    broker.create_topic("t").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("ipc://{}/s", directory.path().display());
    broker.listen(&url).unwrap();
    let publisher = Client::connect(&url).unwrap();
    let slow = stranger(&url);
    let (quick, heard) = (Client::connect(&url).unwrap(), mpsc::channel());
    let hear = heard.0;
    quick
        .subscribe("t", move |message| {
            hear.send(message.payload_binary().len()).unwrap();
        })
        .unwrap();
    slow.send(r#"{"type":"SUBSCRIBE","destination":"t"}"#)
        .unwrap();
    slow.recv().unwrap();
    for _ in 0..50 {
        assert_eq!(publisher.publish("t", bytes(100 * KIB)).unwrap(), 2);
        heard.1.recv_timeout(SOON).expect("others do not notice");
    }
    // What is in the pipe and the outbox; the rest was dropped, or is with the system.
    let held = broker.stats().held_bytes;
    assert!((100 * KIB..1000 * KIB).contains(&held), "{held}");
    drop(slow);
    eventually("all is given back", || broker.stats().held_bytes == 0);
}

#[test]
fn a_client_that_does_not_read_its_answers_is_no_longer_read_from() {
    let options = BrokerOptions::new().max_outbox_bytes(200 * KIB);
    let (broker, _) = listening(&options);
    broker.create_queue("q", 1000, QueueType::Bounded).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("ipc://{}/s", directory.path().display());
    broker.listen(&url).unwrap();
    let client = Client::connect(&url).unwrap();
    for _ in 0..50 {
        client.offer("q", bytes(100 * KIB), NO_WAIT).unwrap();
    }
    let slow = stranger(&url);
    for _ in 0..50 {
        slow.send(r#"{"type":"POLL","destination":"q"}"#).unwrap();
    }
    let taken = || 50 - broker.queue_status("q").size;
    eventually("it reads some", || taken() > 0);
    client.heartbeat().unwrap();
    assert!(taken() < 50, "it goes on and on");
    for _ in 0..50 {
        slow.recv().expect("everything comes to who reads");
    }
    eventually("all is given back", || broker.stats().held_bytes == 0);
}

// ---- before logging in ----

/// W10: nobody has memory set aside by announcing a length before it is known who it is.
#[test]
fn strangers_send_short_messages_only() {
    let auth = Authenticator::with_rounds(10);
    auth.add_credentials("ann", "ann", Role::User).unwrap();
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let secure = EndpointOptions::new().tls(certificates::server());
    let ipc = format!("ipc://{}/s", directory.path().display());
    let long = json!({"type": "TEST", "text": "x".repeat(70 * KIB)}).to_string();
    let short = json!({"type": "TEST", "text": "x".repeat(60 * KIB)}).to_string();
    let login = json!({"type": "AUTHENTICATION", "mimetype": "text/plain", "text": "ann\nann"});
    for url in [&*ipc, "tls+tcp://127.0.0.1:0", "wss://127.0.0.1:0/x"] {
        let listener = broker.listener(url).unwrap();
        listener.set_options(&secure).unwrap();
        listener.start().unwrap();
        let connect = || {
            let options = SocketOptions::new()
                .recv_timeout(SOON)
                .send_timeout(SOON)
                .endpoint(EndpointOptions::new().tls(certificates::client()));
            let socket = Pair1::with_options(&options).unwrap();
            socket.dial(&listener.url()).unwrap();
            socket
        };
        let ask = |socket: &Pair1, text: &str| {
            socket.send(text).unwrap();
            let answer = socket.recv().unwrap();
            let answer: Value = serde_json::from_slice(answer.body()).unwrap();
            answer["status"].as_str().unwrap().to_owned()
        };
        let stranger = connect();
        let events = stranger.monitor();
        assert_eq!(ask(&stranger, &short), "NO_PERMISSION", "{url}");
        stranger.send(&*long).unwrap();
        await_removed(&events);
        let ann = connect();
        assert_eq!(ask(&ann, &login.to_string()), "OK", "{url}");
        assert_eq!(ask(&ann, &long), "OK", "{url}");
        assert_eq!(ask(&ann, &long), "OK", "{url}");
    }
}

// ---- options ----

#[test]
fn limits_that_cannot_be_are_refused() {
    for (options, told) in [
        (
            BrokerOptions::new().max_memory(40 * KIB * KIB - 1),
            "max-memory",
        ),
        (BrokerOptions::new().max_queue_bytes(0), "max-queue-bytes"),
        (BrokerOptions::new().max_outbox_bytes(0), "max-outbox-bytes"),
    ] {
        let error = Broker::with_options(&options).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    Broker::with_options(&BrokerOptions::new().max_memory(40 * KIB * KIB)).unwrap();
}
