//! Subscribers that do not keep up get what they asked for, and are told what they miss (F45 of the broker's specification).

mod common;

use std::sync::mpsc;

use common::{SOON, Via, eventually, unique};
use serde_json::Value;
use wirebird::broker::{Broker, Client, Error, Message, Overflow, Status, SubscribeOptions};
use wirebird::{Pair1, SocketOptions};

/// More than fits between the broker and a subscriber that does not read.
const PUBLISHED: u64 = 3000;
const SIZE: usize = 4000;

/// A subscriber that does not read yet, with these headers, of a broker that has published a lot since.
fn overrun(headers: &str) -> (Broker, Pair1, common::Place) {
    let place = Via::Ipc.place();
    let broker = Broker::new().unwrap();
    broker.create_topic("t").unwrap();
    broker.listen(&place.url).unwrap();
    let options = SocketOptions::new().recv_timeout(SOON).recv_buffer(0);
    let subscriber = Pair1::with_options(&options).unwrap();
    subscriber.dial(&place.url).unwrap();
    subscriber
        .send(format!(
            r#"{{"type":"SUBSCRIBE","destination":"t","headers":{headers}}}"#
        ))
        .unwrap();
    assert_eq!(next(&subscriber)["status"], "OK");
    let publisher = Client::connect(&place.url).unwrap();
    let padding = "x".repeat(SIZE);
    for number in 1..=PUBLISHED {
        let message = Message::plain_text(number.to_string().as_str(), "", &padding).unwrap();
        let sent = publisher.publish("t", message);
        assert!(sent.is_ok());
    }
    (broker, subscriber, place)
}

fn next(subscriber: &Pair1) -> Value {
    let message = subscriber.recv().expect("a message");
    serde_json::from_slice(message.body()).expect("JSON")
}

/// The number of a publication, and how many were missed before it.
fn numbered(message: &Value) -> (u64, u64) {
    let count = |value: &Value| value.as_str().map_or(0, |count| count.parse().unwrap());
    (
        count(&message["request-id"]),
        count(&message["headers"]["missed"]),
    )
}

#[test]
fn who_drops_the_oldest_has_the_last_and_knows_how_many_it_missed() {
    let (_broker, subscriber, _place) = overrun(r#"{"depth":"5"}"#);
    let (mut received, mut missed, mut last) = (0, 0, 0);
    while last < PUBLISHED {
        let (number, skipped) = numbered(&next(&subscriber));
        assert!(number > last);
        (received, missed, last) = (received + 1, missed + skipped, number);
    }
    assert!(missed > 0, "everything fitted");
    assert_eq!(received + missed, PUBLISHED);
}

#[test]
fn who_drops_the_newest_has_the_first() {
    let headers = r#"{"overflow":"drop-newest","depth":"5"}"#;
    let (broker, subscriber, _place) = overrun(headers);
    let mut received = 0;
    let mut missed = 0;
    while missed == 0 {
        let (number, skipped) = numbered(&next(&subscriber));
        received += 1;
        assert_eq!(number, received);
        missed += skipped;
    }
    // The rest of those that waited, and none of those that came later.
    for _ in 1..5 {
        received += 1;
        assert_eq!(numbered(&next(&subscriber)), (received, 0));
    }
    assert_eq!(received + missed, PUBLISHED);
    drop(broker);
}

#[test]
fn who_asked_to_be_disconnected_is() {
    let headers = r#"{"overflow":"disconnect","depth":"5"}"#;
    let (broker, _subscriber, _place) = overrun(headers);
    // The publisher has left by itself.
    eventually("it is cut off", || broker.connections() == 0);
}

#[test]
fn a_client_says_how_its_subscription_is_served_and_counts_what_it_missed() {
    let url = format!("inproc://{}", unique());
    let fake = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    fake.listen(&url).unwrap();
    let (heard, hearing) = mpsc::channel();
    let subscribing = std::thread::spawn(move || -> Result<Client, Error> {
        let client = Client::connect(&url)?;
        let options = SubscribeOptions::new()
            .overflow(Overflow::Disconnect)
            .depth(7);
        client.subscribe_with("t", &options, move |_| heard.send(()).unwrap())?;
        Ok(client)
    });
    let answer = |text: &str| {
        let request = wirebird::broker::decode(fake.recv().unwrap().body().to_vec());
        let request = request.unwrap().0;
        let answer = Message::data(None, "", serde_json::json!({"text": text})).unwrap();
        let answer = answer.into_response(request.id(), Status::Ok);
        let bytes = wirebird::broker::encode(&answer, wirebird::broker::Encoding::Binary);
        fake.send(bytes).unwrap();
        request
    };
    // Of the connection, and of who waits for it.
    answer("config");
    answer("config");
    let asked = answer("subscribed");
    assert_eq!(asked.header("overflow"), Some("disconnect"));
    assert_eq!(asked.header("depth"), Some("7"));
    let client = subscribing.join().unwrap().unwrap();
    let news = r#"{"type":"REQUEST","destination":"t","text":"x","headers":{"missed":"41"}}"#;
    for _ in 0..2 {
        fake.send(news).unwrap();
        hearing.recv_timeout(SOON).unwrap();
    }
    assert_eq!(client.missed(), 82);
}

#[test]
fn a_depth_that_cannot_be_is_refused() {
    let url = format!("inproc://{}", unique());
    let broker = Broker::new().unwrap();
    broker.create_topic("t").unwrap();
    broker.listen(&url).unwrap();
    let client = Client::connect(&url).unwrap();
    for depth in [0, 100_001] {
        let options = SubscribeOptions::new().depth(depth);
        let refused = client.subscribe_with("t", &options, |_| {}).unwrap_err();
        assert_eq!(refused.status(), Some(Status::BadRequest));
        assert!(refused.to_string().contains("1 to 100000"), "{refused}");
    }
}
