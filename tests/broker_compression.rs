//! Compressed payloads between the broker and its clients, and how long payloads may be. Names in parentheses are those of
//! the broker's specification.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{SOON, eventually, unique};
use serde_json::json;
use wirebird::broker::{
    Broker, BrokerOptions, Client, Encoding, Error, Message, MessageError, MessageType, QueueType,
    Status, decode, encode,
};
use wirebird::{Pair1, SocketOptions};

/// The number of the field that says how long a compressed payload is.
const UNPACKED: u8 = 10;
const CUTOFF: usize = 1000;

fn broker(options: &BrokerOptions) -> (Broker, String) {
    let broker = Broker::with_options(options).unwrap();
    broker.create_queue("q", 10, QueueType::Bounded).unwrap();
    broker.create_topic("t").unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    (broker, url)
}

fn text(length: usize) -> Message {
    Message::plain_text("1", "", "x".repeat(length)).unwrap()
}

/// A client whose frames can be looked at.
struct Stranger(Pair1);

impl Stranger {
    fn connect(url: &str) -> Self {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let socket = Pair1::with_options(&options).unwrap();
        socket.dial(url).unwrap();
        Self(socket)
    }

    fn frame(&self, request: &[u8]) -> Vec<u8> {
        self.0.send(request).unwrap();
        self.0.recv().unwrap().body().to_vec()
    }

    fn ask(&self, kind: MessageType, message: Message, to: Option<&str>) -> Vec<u8> {
        let message = message.addressed_to(kind, to).unwrap();
        self.frame(&encode(&message, Encoding::Binary))
    }

    /// Says whether it reads gzip; returns the cutoff.
    fn greet(&self, accepts: Option<&str>) -> i64 {
        let mut hello = text(0);
        if let Some(accepts) = accepts {
            hello = hello.with_header("accept-encoding", accepts).unwrap();
        }
        let answer = self.ask(MessageType::ClientConfig, hello, None);
        let config = decode(answer).unwrap().0.payload_data().unwrap();
        config["compress-cutoff-size"].as_i64().unwrap()
    }
}

fn payload(frame: &[u8]) -> usize {
    decode(frame.to_vec()).unwrap().0.payload_binary().len()
}

fn status(frame: Vec<u8>) -> (Status, String) {
    let answer = decode(frame).unwrap().0;
    let text = answer.payload_text().unwrap_or_default().into_owned();
    (answer.status(), text)
}

/// F140, F141.
#[test]
fn a_client_gets_compressed_only_what_it_says_it_reads() {
    for (cutoff, accepts, length, packed) in [
        (None, Some("gzip"), 10_000, false),
        (Some(CUTOFF), None, 10_000, false),
        (Some(CUTOFF), Some("br"), 10_000, false),
        (Some(CUTOFF), Some("gzip"), CUTOFF - 1, false),
        (Some(CUTOFF), Some("gzip"), CUTOFF, true),
        (Some(0), Some("gzip"), 1, false),
        (Some(0), Some("gzip"), 100, true),
    ] {
        let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(cutoff));
        let stranger = Stranger::connect(&url);
        let told = cutoff.map_or(-1, |bytes| i64::try_from(bytes).unwrap());
        assert_eq!(stranger.greet(accepts), told);
        stranger.ask(MessageType::Offer, text(length), Some("q"));
        let frame = stranger.ask(MessageType::Poll, text(0), Some("q"));
        assert_eq!(payload(&frame), length);
        let case = format!("{cutoff:?} {accepts:?} {length}");
        assert_eq!(frame.len() < length, packed, "{case}");
    }
}

#[test]
fn subscribers_get_a_publication_as_each_of_them_reads_it() {
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let (reads, does_not) = (Stranger::connect(&url), Stranger::connect(&url));
    reads.greet(Some("gzip"));
    for stranger in [&reads, &does_not] {
        stranger.ask(MessageType::Subscribe, text(0), Some("t"));
    }
    // JSON is never compressed, whoever asks for it.
    let json = Stranger::connect(&url);
    json.greet(Some("gzip"));
    json.frame(br#"{"type":"SUBSCRIBE","destination":"t"}"#);
    let client = Client::connect(&url).unwrap();
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("t", move |message| heard.send(message.clone()).unwrap())
        .unwrap();
    assert_eq!(client.publish("t", text(10_000)).unwrap(), 4);
    let frames = [&reads, &does_not, &json].map(|s| s.0.recv().unwrap().body().to_vec());
    assert_eq!(frames.each_ref().map(|frame| payload(frame)), [10_000; 3]);
    assert_eq!(
        frames.each_ref().map(|frame| frame.len() < 10_000),
        [true, false, false]
    );
    let heard = hearing.recv_timeout(SOON).unwrap();
    assert_eq!(heard.payload_binary().len(), 10_000);
}

/// F141: the setting of the broker is the client's too.
#[test]
fn a_client_compresses_what_the_broker_wants_compressed() {
    for cutoff in [-1, 1000] {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let pair = Pair1::with_options(&options).unwrap();
        let url = format!("inproc://{}", unique());
        pair.listen(&url).unwrap();
        let client = thread::spawn(move || {
            let client = Client::connect(&url).unwrap();
            client.offer("q", text(999), Duration::ZERO).unwrap();
            client.offer("q", text(10_000), Duration::ZERO).unwrap();
        });
        let mut offers = Vec::new();
        while offers.len() < 2 {
            let frame = pair.recv().unwrap().body().to_vec();
            let request = decode(frame.clone()).unwrap().0;
            let config = json!({"compress-cutoff-size": cutoff, "max-msg-size": 20_000});
            let answer = match request.kind() {
                MessageType::ClientConfig => {
                    assert_eq!(request.header("accept-encoding"), Some("gzip"));
                    Message::data(None, "", config).unwrap()
                }
                _ => {
                    offers.push(frame);
                    text(0)
                }
            };
            let answer = answer.into_response(request.id(), Status::Ok);
            pair.send(encode(&answer, Encoding::Binary).to_vec())
                .unwrap();
        }
        client.join().unwrap();
        assert_eq!(payload(&offers[0]), 999);
        assert!(offers[0].len() > 999);
        assert_eq!(payload(&offers[1]), 10_000);
        assert_eq!(offers[1].len() > 10_000, cutoff < 0, "{cutoff}");
    }
}

#[test]
fn a_compressed_message_goes_through_the_broker_as_it_was() {
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let client = Client::connect(&url).unwrap();
    for length in [0, 999, 1000, 1_000_000] {
        client.offer("q", text(length), Duration::ZERO).unwrap();
        let polled = client.poll("q", Duration::ZERO).unwrap();
        assert_eq!(polled.payload_binary(), text(length).payload_binary());
        assert_eq!(polled.payload_text(), text(length).payload_text());
    }
}

/// An offer that says its payload is compressed.
fn packed(length: i64, gzip: &[u8]) -> Vec<u8> {
    let plain = Message::binary("", "", "application/octet-stream", Vec::new()).unwrap();
    let plain = plain.addressed_to(MessageType::Offer, "q").unwrap();
    let mut frame = encode(&plain, Encoding::Binary).to_vec();
    frame.push(UNPACKED);
    frame.push(8);
    frame.extend_from_slice(&length.to_be_bytes());
    // The length of the fields, which are few.
    frame[28] += 10;
    frame.extend_from_slice(gzip);
    frame
}

/// So many zeros in gzip, as the broker writes them.
fn zeros(length: usize) -> Vec<u8> {
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(0));
    let stranger = Stranger::connect(&url);
    stranger.greet(Some("gzip"));
    let zeros = Message::binary(None, "", "application/octet-stream", vec![0; length]).unwrap();
    stranger.ask(MessageType::Offer, zeros, Some("q"));
    let frame = stranger.ask(MessageType::Poll, text(0), Some("q"));
    let start = frame.windows(2).position(|pair| pair == [0x1f, 0x8b]);
    frame[start.expect("gzip")..].to_vec()
}

/// What does not stay within the limit, or is not what it says it is, is refused, and the session goes on.
#[test]
fn a_gzip_bomb_does_not_go_off() {
    const LIMIT: usize = 4096;
    let (broker, url) = broker(&BrokerOptions::new().max_message_size(LIMIT));
    let stranger = Stranger::connect(&url);
    let good = zeros(LIMIT);
    let bomb = zeros(10 << 20);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut bad_sum = good.clone();
    let at = bad_sum.len() - 8;
    bad_sum[at] ^= 1;
    let refused: [(&str, i64, &[u8]); 11] = [
        ("longer than allowed", 10 << 20, &bomb),
        ("longer than it says", 4096, &bomb),
        ("one too long", 4097, &zeros(LIMIT + 1)),
        ("shorter than it says", 4096, &zeros(LIMIT - 1)),
        ("longer by one", 4095, &good),
        ("a length that cannot be", 1 << 62, &good),
        ("a length below zero", -1, &good),
        ("not gzip", 3, b"abc"),
        ("nothing", 0, b""),
        ("cut off", 4096, &good[..good.len() - 1]),
        ("more behind it", 4096, &[&good[..], b"x"].concat()),
    ];
    let sums = [("sum", 4096, &bad_sum[..]), ("size", 4096, &damaged[..])];
    for (case, length, gzip) in refused.into_iter().chain(sums) {
        let (status, text) = status(stranger.frame(&packed(length, gzip)));
        assert_eq!(status, Status::BadRequest, "{case}");
        assert!(text.contains("payload"), "{case}: {text}");
    }
    assert_eq!(broker.queue_status("q").size, 0);
    let (status, _) = status(stranger.frame(&packed(4096, &good)));
    assert_eq!(status, Status::Ok);
    assert_eq!(broker.queue_status("q").size, 1);
}

/// F100, F101.
#[test]
fn a_payload_over_the_limit_is_refused_at_both_ends_with_both_sizes() {
    let (broker, url) = broker(&BrokerOptions::new().max_message_size(2048));
    let client = Client::connect(&url).unwrap();
    client.offer("q", text(2048), Duration::ZERO).unwrap();
    let before = broker.stats().requests;
    for refused in [
        client.offer("q", text(2049), Duration::ZERO),
        client.send_oneway("f", text(2049)),
    ] {
        let too_long = MessageError::TooLong {
            field: "payload",
            length: 2049,
            limit: 2048,
        };
        assert_eq!(refused, Err(Error::Message(too_long)));
    }
    assert_eq!(broker.stats().requests, before, "it was not sent");
    let stranger = Stranger::connect(&url);
    let (status, text) = status(stranger.ask(MessageType::Offer, text(2049), Some("q")));
    assert_eq!(status, Status::BadRequest);
    assert!(text.contains("2049") && text.contains("2048"), "{text}");
    assert_eq!(broker.queue_status("q").size, 1);
}

// ---- what takes long ----

/// Long enough for its client to be done with other things before it is unpacked.
const LONG: usize = 20 << 20;

/// An offer of the length that does not want an answer.
fn oneway(mut frame: Vec<u8>) -> Vec<u8> {
    frame[1] |= 1;
    frame
}

fn sent(kind: MessageType, message: Message) -> Vec<u8> {
    let message = message.addressed_to(kind, "q").unwrap();
    encode(&message, Encoding::Binary).to_vec()
}

/// All that a client does was done under the broker's lock, as long as that took.
#[test]
fn others_are_served_while_a_payload_is_unpacked() {
    let (_broker, url) = broker(&BrokerOptions::new());
    let (busy, other) = (Stranger::connect(&url), Stranger::connect(&url));
    let offer = packed(LONG as i64, &zeros(LONG));
    // Which of two threads is done first is never certain, but in process the one would not even begin.
    let overtaken = (0..50).any(|_| {
        busy.0.send(&offer[..]).unwrap();
        other.ask(MessageType::Test, text(0), None);
        let overtaken = busy.0.try_recv().is_err();
        if overtaken {
            busy.0.recv().unwrap();
        }
        busy.ask(MessageType::Poll, text(0), Some("q"));
        overtaken
    });
    assert!(overtaken);
}

#[test]
fn others_are_served_while_a_payload_is_compressed() {
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let (busy, other) = (Stranger::connect(&url), Stranger::connect(&url));
    busy.greet(Some("gzip"));
    let overtaken = (0..50).any(|_| {
        other.ask(MessageType::Offer, text(LONG), Some("q"));
        busy.0.send(sent(MessageType::Poll, text(0))).unwrap();
        other.ask(MessageType::Test, text(0), None);
        let overtaken = busy.0.try_recv().is_err();
        if overtaken {
            busy.0.recv().unwrap();
        }
        overtaken
    });
    assert!(overtaken);
}

/// A client that reads gzip and has subscribed to the topic.
fn subscriber(url: &str, policy: &[(&str, &str)]) -> Stranger {
    let stranger = Stranger::connect(url);
    stranger.greet(Some("gzip"));
    let ask = policy.iter().fold(text(0), |ask, (key, value)| {
        ask.with_header(key, value).unwrap()
    });
    assert_eq!(
        status(stranger.ask(MessageType::Subscribe, ask, Some("t"))).0,
        Status::Ok
    );
    stranger
}

#[test]
fn others_are_served_while_a_publication_is_compressed() {
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let subscribers = [subscriber(&url, &[]), subscriber(&url, &[])];
    let other = Stranger::connect(&url);
    let overtaken = (0..50).any(|_| {
        other.ask(MessageType::Publish, text(LONG), Some("t"));
        let overtaken = subscribers[1].0.try_recv().is_err();
        let frames = subscribers.each_ref().map(|one| {
            one.0
                .recv_timeout(if overtaken { SOON } else { Duration::ZERO })
        });
        assert!(!overtaken || frames.iter().all(Result::is_ok));
        overtaken
    });
    assert!(overtaken);
}

#[test]
fn publications_come_compressed_and_in_their_order_however_long_they_take() {
    const LENGTH: usize = 1 << 20;
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let subscribers = [(); 3].map(|()| subscriber(&url, &[]));
    let other = Stranger::connect(&url);
    let lengths = [LENGTH, 1, LENGTH / 2, CUTOFF, 2, LENGTH];
    for length in lengths {
        other.ask(MessageType::Publish, text(length), Some("t"));
    }
    for subscriber in subscribers {
        let frames = lengths.map(|_| subscriber.0.recv().unwrap().body().to_vec());
        assert_eq!(frames.each_ref().map(|frame| payload(frame)), lengths);
        assert!(frames.iter().all(|frame| frame.len() < LENGTH / 100));
    }
}

#[test]
fn a_subscriber_that_missed_publications_is_told_so_and_gets_the_next_compressed_too() {
    const LENGTH: usize = 1 << 20;
    const PUBLICATIONS: usize = 50;
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let subscriber = subscriber(&url, &[("overflow", "drop-oldest"), ("depth", "1")]);
    let other = Stranger::connect(&url);
    for _ in 0..PUBLICATIONS {
        other.ask(MessageType::Publish, text(LENGTH), Some("t"));
    }
    let (mut came, mut missed) = (0, 0);
    while came + missed < PUBLICATIONS {
        let frame = subscriber.0.recv().unwrap();
        assert!(frame.len() < LENGTH / 100, "{} bytes", frame.len());
        let publication = decode(frame.body().to_vec()).unwrap().0;
        assert_eq!(publication.payload_binary().len(), LENGTH);
        came += 1;
        missed += publication
            .header("missed")
            .map_or(0, |count| count.parse().unwrap());
    }
    assert!(missed > 0);
}

#[test]
fn requests_and_answers_of_a_client_stay_in_their_order_however_long_they_take() {
    const LENGTH: usize = 1 << 20;
    let (_broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let stranger = Stranger::connect(&url);
    stranger.greet(Some("gzip"));
    let offer = packed(LENGTH as i64, &zeros(LENGTH));
    let poll = sent(MessageType::Poll, text(0));
    let test = sent(MessageType::Test, text(7));
    for _ in 0..10 {
        let requests = [&offer, &poll, &test, &offer, &test, &poll, &test];
        for request in requests {
            stranger.0.send(&request[..]).unwrap();
        }
        let answers = requests.map(|_| stranger.0.recv().unwrap().body().to_vec());
        for (request, answer) in requests.into_iter().zip(answers) {
            let asked = decode(request.clone()).unwrap().0.id();
            let answer = decode(answer).unwrap().0;
            assert_eq!((answer.id(), answer.status()), (asked, Status::Ok));
            let length = if request == &poll { LENGTH } else { 0 };
            assert_eq!(answer.payload_binary().len(), length);
        }
    }
}

#[test]
fn what_a_client_has_sent_before_it_went_is_unpacked_and_done() {
    let (broker, url) = broker(&BrokerOptions::new());
    let stranger = Stranger::connect(&url);
    let long = oneway(packed(LONG as i64, &zeros(LONG)));
    let short = oneway(sent(MessageType::Offer, text(1)));
    for offer in [&short, &long, &short, &long] {
        stranger.0.send(&offer[..]).unwrap();
    }
    drop(stranger);
    eventually("all is offered", || broker.queue_status("q").size == 4);
    let client = Client::connect(&url).unwrap();
    let lengths = [(); 4].map(|()| {
        let polled = client.poll("q", SOON).unwrap();
        polled.payload_binary().len()
    });
    assert_eq!(lengths, [1, LONG, 1, LONG]);
}

#[test]
fn an_item_that_is_compressed_for_a_client_that_goes_returns_to_its_place() {
    let (broker, url) = broker(&BrokerOptions::new().compress_cutoff(CUTOFF));
    let client = Client::connect(&url).unwrap();
    for length in [LONG, 1, 2] {
        client.offer("q", text(length), SOON).unwrap();
    }
    let stranger = Stranger::connect(&url);
    stranger.greet(Some("gzip"));
    stranger.0.send(sent(MessageType::Poll, text(0))).unwrap();
    eventually("it has asked", || broker.queue_status("q").size == 2);
    drop(stranger);
    eventually("it is back", || broker.queue_status("q").size == 3);
    let polled = client.poll("q", SOON).unwrap();
    assert_eq!(polled.payload_binary().len(), LONG);
}
