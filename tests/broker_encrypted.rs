//! Encrypted sessions with somebody in the middle: frames that are replayed, left out, reordered, sent back, spliced from
//! other sessions, changed, or in the clear. The client here is made from docs/broker-protocol.md alone.

mod common;

use std::time::Duration;

use common::{SOON, await_removed, eventually, unique};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;
use serde_json::Value;
use wirebird::broker::{Broker, BrokerOptions, Client, ClientOptions, Error, Message, QueueType};
use wirebird::{Monitor, Pair1, SocketOptions};

const OF_CLIENT: &[u8] = b"wirebird broker, client";
const OF_BROKER: &[u8] = b"wirebird broker, server";
/// First byte and counter.
const HEAD: usize = 9;

/// One direction of a session.
struct Direction {
    key: LessSafeKey,
    counter: u64,
}

impl Direction {
    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The keys of an encrypted session.
struct Keys {
    out: Direction,
    into: Direction,
}

impl Keys {
    fn new(secret: EphemeralPrivateKey, hello: &[u8], answer: &[u8], client: bool) -> Self {
        let salt = digest(&SHA256, &[hello, answer].concat());
        let theirs = if client { &answer[1..] } else { &hello[2..] };
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        let keys = agree_ephemeral(secret, &theirs, |shared| {
            let prk = Salt::new(HKDF_SHA256, salt.as_ref()).extract(shared);
            [OF_CLIENT, OF_BROKER].map(|info| {
                let info = [info];
                let key = prk.expand(&info, &AES_256_GCM).unwrap();
                Direction {
                    key: LessSafeKey::new(UnboundKey::from(key)),
                    counter: 0,
                }
            })
        });
        let [of_client, of_broker] = keys.unwrap();
        if client {
            Self {
                out: of_client,
                into: of_broker,
            }
        } else {
            Self {
                out: of_broker,
                into: of_client,
            }
        }
    }

    fn seal(&mut self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        let mut frame = vec![0xe5];
        frame.extend(self.out.counter.to_be_bytes());
        let head = frame.clone();
        let mut body = plain.as_ref().to_vec();
        let nonce = self.out.nonce();
        self.out
            .key
            .seal_in_place_append_tag(nonce, Aad::from(head), &mut body)
            .unwrap();
        frame.extend(body);
        frame
    }

    fn open(&mut self, frame: &[u8]) -> Vec<u8> {
        let (head, body) = frame.split_at(HEAD);
        assert_eq!(head[0], 0xe5);
        assert_eq!(head[1..], self.into.counter.to_be_bytes());
        let mut body = body.to_vec();
        let nonce = self.into.nonce();
        let plain = self
            .into
            .key
            .open_in_place(nonce, Aad::from(head), &mut body);
        plain.unwrap().to_vec()
    }
}

fn ephemeral() -> (EphemeralPrivateKey, Vec<u8>) {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
    let public = secret.compute_public_key().unwrap().as_ref().to_vec();
    (secret, public)
}

/// A client whose frames can be looked at.
struct Stranger {
    socket: Pair1,
    events: Monitor,
    keys: Keys,
    last_sent: Vec<u8>,
    last_received: Vec<u8>,
}

impl Stranger {
    fn connect(url: &str) -> Self {
        let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        socket.dial(url).unwrap();
        let events = socket.monitor();
        let (secret, public) = ephemeral();
        let hello = [&[0xe1, 1][..], &public].concat();
        socket.send(hello.clone()).unwrap();
        let answer = socket.recv().unwrap();
        let answer = answer.body();
        assert_eq!((answer.len(), answer[0]), (33, 0xe2));
        Self {
            keys: Keys::new(secret, &hello, answer, true),
            socket,
            events,
            last_sent: Vec::new(),
            last_received: Vec::new(),
        }
    }

    fn ask(&mut self, request: &str) -> Value {
        self.last_sent = self.keys.seal(request);
        self.socket.send(self.last_sent.clone()).unwrap();
        self.last_received = self.socket.recv().unwrap().body().to_vec();
        serde_json::from_slice(&self.keys.open(&self.last_received)).unwrap()
    }
}

const OFFER: &str = r#"{"type":"OFFER","destination":"q","subject":"a secret","text":"hidden"}"#;

fn encrypting() -> (Broker, String) {
    let broker = Broker::with_options(&BrokerOptions::new().encrypt(true)).unwrap();
    broker.create_queue("q", 1000, QueueType::Bounded).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    (broker, url)
}

/// F150, F151: all of a message is encrypted, and the broker reads it.
#[test]
fn a_stranger_can_encrypt_and_nothing_of_a_message_is_seen_on_the_way() {
    let (broker, url) = encrypting();
    let mut stranger = Stranger::connect(&url);
    assert_eq!(stranger.ask(OFFER)["status"], "OK");
    assert_eq!(broker.queue_status("q").size, 1);
    let sent = stranger.last_sent.clone();
    let poll = stranger.ask(r#"{"type":"POLL","destination":"q"}"#);
    assert_eq!(
        (&poll["subject"], &poll["text"]),
        (&"a secret".into(), &"hidden".into())
    );
    for frame in [&sent, &stranger.last_received] {
        for word in ["secret", "hidden", "OFFER", "RESPONSE", "status"] {
            let seen = frame
                .windows(word.len())
                .any(|seen| seen == word.as_bytes());
            assert!(!seen, "{word}");
        }
    }
}

/// A frame to send after an offer and its answer, made from two such sessions.
type Attack = fn(&mut Stranger, &mut Stranger) -> Vec<u8>;

/// Golden 10.
#[test]
fn what_somebody_in_the_middle_may_try_ends_the_session_and_nothing_of_it_is_done() {
    let attacks: [(&str, Attack); 17] = [
        ("replayed", |one, _| one.last_sent.clone()),
        ("left out", |one, _| {
            one.keys.seal(OFFER);
            one.keys.seal(OFFER)
        }),
        ("reflected", |one, _| one.last_received.clone()),
        ("spliced: of another session", |_, two| two.keys.seal(OFFER)),
        (
            "spliced: the head of one, the body of another",
            |one, two| {
                let (head, body) = (one.keys.seal(OFFER), two.keys.seal(OFFER));
                [&head[..HEAD], &body[HEAD..]].concat()
            },
        ),
        ("spliced: an old body under the next counter", |one, _| {
            let head = one.keys.seal(OFFER);
            [&head[..HEAD], &one.last_sent[HEAD..]].concat()
        }),
        ("of the other direction's key", |one, _| {
            std::mem::swap(&mut one.keys.out.key, &mut one.keys.into.key);
            one.keys.seal(OFFER)
        }),
        ("in the clear, JSON", |_, _| OFFER.into()),
        ("in the clear, binary", |_, _| {
            let offer = Message::plain_text(None, "", "x").unwrap();
            let offer = offer
                .addressed_to(wirebird::broker::MessageType::Offer, "q")
                .unwrap();
            wirebird::broker::encode(&offer, wirebird::broker::Encoding::Binary).to_vec()
        }),
        ("another hello", |_, _| {
            [&[0xe1, 1][..], &ephemeral().1].concat()
        }),
        ("changed: first byte", |one, _| changed(one, 0)),
        ("changed: counter", |one, _| changed(one, HEAD - 1)),
        ("changed: content", |one, _| changed(one, HEAD)),
        ("changed: tag", |one, _| {
            let last = one.last_sent.len() - 1;
            changed(one, last)
        }),
        ("cut", |one, _| {
            let mut frame = one.keys.seal(OFFER);
            frame.pop();
            frame
        }),
        ("longer", |one, _| {
            let mut frame = one.keys.seal(OFFER);
            frame.push(0);
            frame
        }),
        ("only a head", |one, _| one.keys.seal(OFFER)[..HEAD].into()),
    ];
    let (broker, url) = encrypting();
    let options = ClientOptions::new().encrypt(true);
    let good = Client::connect_with(&url, &options).unwrap();
    for (name, attack) in attacks {
        let (mut one, mut two) = (Stranger::connect(&url), Stranger::connect(&url));
        for stranger in [&mut one, &mut two] {
            assert_eq!(stranger.ask(OFFER)["status"], "OK", "{name}");
        }
        let before = (broker.stats(), broker.queue_status("q").size);
        let frame = attack(&mut one, &mut two);
        one.socket.send(frame).unwrap();
        await_removed(&one.events);
        let after = (broker.stats(), broker.queue_status("q").size);
        assert_eq!(after, before, "{name}");
        good.heartbeat().expect("others do not notice");
        // Nothing was done to the other session, unless frames of it were made that it has never sent.
        if !name.starts_with("spliced") {
            assert_eq!(two.ask(OFFER)["status"], "OK", "{name}");
        }
    }
    drop(good);
    eventually("all are gone", || broker.connections() == 0);
}

/// The next frame with a bit changed.
fn changed(stranger: &mut Stranger, at: usize) -> Vec<u8> {
    let mut frame = stranger.keys.seal(OFFER);
    frame[at] ^= 1;
    frame
}

/// A broker that says what the test tells it, encrypted.
struct FakeBroker {
    socket: Pair1,
    url: String,
}

impl FakeBroker {
    fn new() -> Self {
        let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        let url = socket.listen("tcp://127.0.0.1:0").unwrap().url();
        Self { socket, url }
    }

    /// Lets a client in, and answers its questions until it is connected.
    fn accept(&self) -> (Client, Keys) {
        let url = self.url.clone();
        let options = ClientOptions::new().encrypt(true).timeout(SOON);
        let client = std::thread::spawn(move || Client::connect_with(&url, &options));
        let hello = self.socket.recv().unwrap();
        let (secret, public) = ephemeral();
        let answer = [&[0xe2][..], &public].concat();
        let mut keys = Keys::new(secret, hello.body(), &answer, false);
        self.socket.send(answer).unwrap();
        while !client.is_finished() {
            if let Ok(request) = self.socket.recv_timeout(Duration::from_millis(5)) {
                let config = Message::data(None, "", serde_json::json!({})).unwrap();
                self.reply(request.body(), &mut keys, config);
            }
        }
        (client.join().unwrap().expect("connects"), keys)
    }

    /// Answers a request; gives the frame of the answer.
    fn reply(&self, request: &[u8], keys: &mut Keys, answer: Message) -> Vec<u8> {
        let (asked, encoding) = wirebird::broker::decode(keys.open(request)).unwrap();
        let answer = answer.into_response(asked.id(), wirebird::broker::Status::Ok);
        let answer = keys.seal(wirebird::broker::encode(&answer, encoding));
        self.socket.send(answer.clone()).unwrap();
        answer
    }
}

/// The same, to a client: it takes nothing that its broker has not sent it just now.
#[test]
fn a_client_gives_a_connection_up_whose_frames_are_not_as_they_were_sent() {
    for attack in ["replayed", "reflected", "in the clear", "left out"] {
        let broker = FakeBroker::new();
        let events = broker.socket.monitor();
        let (client, mut keys) = broker.accept();
        let asking = std::thread::spawn(move || client.heartbeat().map(|()| client));
        let empty = Message::plain_text(None, "", "").unwrap();
        let request = broker.socket.recv().unwrap().body().to_vec();
        let answer = broker.reply(&request, &mut keys, empty.clone());
        let client = asking.join().unwrap().expect("it is answered");
        let asking = std::thread::spawn(move || (client.heartbeat(), client));
        let next = broker.socket.recv().unwrap();
        let bad = match attack {
            "replayed" => answer,
            "reflected" => request,
            "in the clear" => {
                let (asked, encoding) = wirebird::broker::decode(keys.open(next.body())).unwrap();
                let answer = empty.into_response(asked.id(), wirebird::broker::Status::Ok);
                wirebird::broker::encode(&answer, encoding).to_vec()
            }
            _ => {
                keys.seal("{}");
                keys.seal("{}")
            }
        };
        broker.socket.send(bad).unwrap();
        await_removed(&events);
        let (outcome, _client) = asking.join().unwrap();
        assert!(outcome.is_err(), "{attack}: {outcome:?}");
    }
}

/// A client that demands encryption tells a broker nothing that does not take part in it.
/// Also in process, where the connection ends before the client has asked anything.
#[test]
fn a_client_that_does_not_encrypt_is_cut_off_at_once_by_a_broker_that_does() {
    let (broker, url) = encrypting();
    let inproc = broker.listen(&format!("inproc://{}", unique())).unwrap();
    let options = ClientOptions::new().timeout(SOON);
    for url in [inproc.url(), url] {
        for _ in 0..20 {
            let refused = Client::connect_with(&url, &options).unwrap_err();
            assert_eq!(refused, Error::Socket(wirebird::Error::ConnectionReset));
        }
    }
}

#[test]
fn a_client_that_encrypts_says_nothing_to_a_broker_that_does_not() {
    let answers = [
        &b"{\"type\":\"RESPONSE\",\"status\":\"OK\"}"[..],
        &[0xe2; 33],
        &[0xe2; 5],
        &[0xe5; 40],
        &[0xe2, 0],
    ];
    std::thread::scope(|scope| {
        for answer in answers {
            scope.spawn(move || hears_no_more_than_a_hello(answer));
        }
    });
}

/// Has a client dial a broker that answers its hello like this.
fn hears_no_more_than_a_hello(answer: &[u8]) {
    let broker = FakeBroker::new();
    let events = broker.socket.monitor();
    let url = broker.url.clone();
    let options = ClientOptions::new()
        .encrypt(true)
        .timeout(Duration::from_millis(500));
    let client = std::thread::spawn(move || Client::connect_with(&url, &options).map(drop));
    let hello = broker.socket.recv().unwrap();
    assert_eq!(
        (hello.len(), hello.body()[..2].to_vec()),
        (34, vec![0xe1, 1])
    );
    broker.socket.send(answer).unwrap();
    // With what may be a key it goes on, in cipher.
    if answer != [0xe2; 33] {
        await_removed(&events);
    } else {
        assert_eq!(broker.socket.recv().unwrap().body()[0], 0xe5);
    }
    assert!(client.join().unwrap().is_err());
}
