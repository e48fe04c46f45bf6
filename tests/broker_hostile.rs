//! Clients of a broker that do not keep to the rules. Each gets the status or the cut that docs/broker-protocol.md names,
//! and another client notices nothing. Bytes that are no messages are in broker_frames.rs.

mod common;

use std::time::Duration;

use common::{SOON, await_removed, eventually};
use wirebird::broker::{Broker, BrokerOptions, Client, ClientOptions, Message, QueueType};
use wirebird::{Error, Pair1, SocketOptions};

struct Scene {
    broker: Broker,
    url: String,
    good: Client,
}

impl Scene {
    fn new(options: &BrokerOptions) -> Self {
        let broker = Broker::with_options(options).unwrap();
        broker
            .create_queue("q", 100_000, QueueType::Bounded)
            .unwrap();
        let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
        let encrypt = ClientOptions::new().encrypt(true);
        let good = Client::connect_with(&url, &encrypt).unwrap();
        Self { broker, url, good }
    }

    fn stranger(&self) -> Pair1 {
        let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        socket.dial(&self.url).unwrap();
        socket
    }

    /// The good client goes on as before.
    fn is_well(&self) {
        let message = Message::plain_text("1", "", "well").unwrap();
        self.good.offer("q", message, Duration::ZERO).unwrap();
        let polled = self.good.poll("q", Duration::ZERO).unwrap();
        assert_eq!(polled.payload_text().as_deref(), Some("well"));
    }
}

fn status(answer: &wirebird::Message) -> String {
    let json: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    json["status"].as_str().expect("a status").to_owned()
}

#[test]
fn what_is_no_message_is_answered_and_the_session_goes_on() {
    let scene = Scene::new(&BrokerOptions::new());
    let socket = scene.stranger();
    for bad in [
        "{",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"POLL","destination":"a b"}"#,
    ] {
        socket.send(bad).unwrap();
        assert_eq!(status(&socket.recv().unwrap()), "BAD_REQUEST", "{bad}");
    }
    socket.send(r#"{"type":"TEST"}"#).unwrap();
    assert_eq!(status(&socket.recv().unwrap()), "OK");
    scene.is_well();
}

/// F150, W3: nothing is accepted in the clear where encryption is demanded, and nothing once it has begun.
#[test]
fn plaintext_is_cut_off_where_it_must_not_be() {
    let scene = Scene::new(&BrokerOptions::new().encrypt(true));
    let socket = scene.stranger();
    let events = socket.monitor();
    let before = scene.broker.stats().requests;
    socket.send(r#"{"type":"TEST"}"#).unwrap();
    await_removed(&events);
    assert_eq!(scene.broker.stats().requests, before);
    // Every handshake frame that is not one.
    for bad in [
        &[0xe1][..],
        &[0xe1, 2],
        &[0xe1; 50],
        &[0xe5; 40],
        &[0xe2; 33],
    ] {
        let socket = scene.stranger();
        let events = socket.monitor();
        socket.send(bad).unwrap();
        await_removed(&events);
    }
    scene.is_well();
}

/// A length that is announced is not believed.
#[test]
fn a_message_over_the_limit_ends_the_connection_before_it_is_read() {
    let scene = Scene::new(&BrokerOptions::new().max_message_size(2048));
    let socket = scene.stranger();
    let events = socket.monitor();
    socket.send(vec![b' '; 300 * 1024]).unwrap();
    await_removed(&events);
    scene.is_well();
}

#[test]
fn ten_thousand_polls_of_one_client_wait_and_the_next_one_is_refused() {
    let scene = Scene::new(&BrokerOptions::new());
    let socket = scene.stranger();
    let poll = r#"{"type":"POLL","destination":"q","timeout":-1}"#;
    for _ in 0..10_001 {
        socket.send(poll).unwrap();
    }
    assert_eq!(status(&socket.recv().unwrap()), "RETRY_LATER");
    assert_eq!(socket.try_recv(), Err(Error::WouldBlock));
    drop(socket);
    eventually("the broker knows", || scene.broker.connections() == 1);
    scene.is_well();
}

/// A client that leaves with answers unread takes no message with it.
#[test]
fn what_a_client_has_polled_and_never_read_comes_back() {
    const COUNT: usize = 2_000;
    let scene = Scene::new(&BrokerOptions::new());
    let body = "x".repeat(5_000);
    for number in 0..COUNT {
        let message = Message::plain_text(None, &number.to_string(), &body).unwrap();
        scene.good.offer("q", message, Duration::ZERO).unwrap();
    }
    let socket = scene.stranger();
    for _ in 0..COUNT {
        socket.send(r#"{"type":"POLL","destination":"q"}"#).unwrap();
    }
    let mut last = usize::MAX;
    eventually("the broker sends no more", || {
        let now = scene.broker.queue_status("q").size;
        let same = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(20));
        same
    });
    let pipes = socket.pipes();
    pipes[0].close().unwrap();
    drop(socket);
    eventually("the broker knows", || scene.broker.connections() == 1);
    let left = scene.broker.queue_status("q").size;
    let mut before = None;
    for _ in 0..left {
        let polled = scene.good.poll("q", Duration::ZERO).unwrap();
        let number: usize = polled.subject().parse().unwrap();
        assert!(
            before.is_none_or(|before| before < number),
            "{before:?} before {number}"
        );
        before = Some(number);
    }
    assert_eq!(before, Some(COUNT - 1));
}
