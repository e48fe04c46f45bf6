//! Bytes that are no messages, or not quite, and a broker that runs: it answers or cuts off as docs/broker-protocol.md says,
//! holds no more than it may, and others do not notice. What the decoders make of such bytes alone is tested with them.
//!
//! The bytes are the same in each run. `WIREBIRD_FUZZ_CASES` sets how many frames there are; a longer run begins like a
//! shorter one.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{SOON, eventually, proc_status, unique};
use serde_json::Value;
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, Encoding, Message, MessageType,
    QueueType, Role, Status, decode, encode,
};
use wirebird::{EndpointOptions, Error, Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;

/// More memory than this, in KiB, is not taken by what is within the limits of these brokers.
const ROOM: u64 = 200 << 10;

fn cases() -> u64 {
    match std::env::var("WIREBIRD_FUZZ_CASES") {
        Ok(cases) => cases.parse().expect("WIREBIRD_FUZZ_CASES is a number"),
        Err(_) => 20_000,
    }
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// Nothing but bytes.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(80);
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    /// A frame with a few changes, or with the end of another.
    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len().max(1));
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.next().to_be_bytes()[0],
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes.insert(at, b"\"\\{}[]:,0\x80\xff"[self.below(11)]),
                4 => bytes.truncate(at),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    bytes.truncate(at);
                    bytes.extend(&other[at.min(other.len())..]);
                }
            }
        }
        bytes
    }
}

/// Requests of every type, in both encodings.
fn requests() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for &kind in MessageType::ALL {
        for (name, payload) in [("q", r#"{"capacity":3}"#), ("t", ""), ("a/b", "ann\nann")] {
            let json = wirebird::broker::Charset::Utf8;
            let request = Message::text("1", "s", "application/json", json, payload).unwrap();
            let request = request
                .addressed_to(kind, name)
                .and_then(|request| request.with_timeout(10))
                .and_then(|request| request.with_reply_to("q"))
                .and_then(|request| request.with_header("retain", "true"))
                .unwrap();
            for encoding in [Encoding::Binary, Encoding::Json] {
                seeds.push(encode(&request, encoding).to_vec());
            }
        }
    }
    seeds.extend(batches());
    seeds
}

/// Requests for several messages at once, in all their forms.
fn batches() -> Vec<Vec<u8>> {
    let text = |text| Message::plain_text(None, "", text).unwrap();
    let items = [text("a"), text("b"), text("c")].map(|item| encode(&item, Encoding::Binary));
    let mut payload = Vec::new();
    for item in &items {
        payload.extend(u32::try_from(item.len()).unwrap().to_be_bytes());
        payload.extend(item);
    }
    let several = Message::binary(None, "", "application/octet-stream", payload).unwrap();
    let listed = Message::data(None, "", [serde_json::json!({"text": "a"})]).unwrap();
    let polls = text("").with_header("count", "3").unwrap();
    let tokens = Message::data(None, "", ["1-2", "3-4"]).unwrap();
    let requests = [
        (MessageType::OfferAll, several),
        (MessageType::OfferAll, listed),
        (MessageType::PollUpTo, polls.clone()),
        (
            MessageType::PollUpTo,
            polls.with_header("lease", "session").unwrap(),
        ),
        (MessageType::AckAll, tokens.clone()),
        (MessageType::NackAll, tokens.clone()),
        (
            MessageType::NackAll,
            tokens.with_header("delay", "0").unwrap(),
        ),
    ];
    let requests = requests.map(|(kind, request)| request.addressed_to(kind, "q").unwrap());
    let encoded =
        |request| [Encoding::Binary, Encoding::Json].map(|by| encode(request, by).to_vec());
    requests.iter().flat_map(encoded).collect()
}

/// A client that is connected anew whenever it is cut off, and counts the statuses of its answers.
struct Stranger {
    socket: Pair1,
    ok: u64,
    refused: u64,
    /// Answers that tell of something else than how the broker is configured.
    told: u64,
}

impl Stranger {
    fn connect(url: &str) -> Self {
        let endpoint = EndpointOptions::new().reconnect_min(Duration::from_millis(1));
        let options = SocketOptions::new()
            .recv_timeout(SOON)
            .send_timeout(SOON)
            .endpoint(endpoint);
        let socket = Pair1::with_options(&options).unwrap();
        socket.dial(url).unwrap();
        Self {
            socket,
            ok: 0,
            refused: 0,
            told: 0,
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.socket.send(frame).unwrap();
        while let Ok(answer) = self.socket.try_recv() {
            self.heard(answer.body());
        }
    }

    /// Whatever the broker sends is a message, and one that a broker may send.
    fn heard(&mut self, frame: &[u8]) {
        if frame.first() == Some(&0xe2) {
            return;
        }
        let (message, _) = decode(frame.to_vec()).expect("readable");
        assert!(message.is_oneway(), "{message:?}");
        match message.kind() {
            MessageType::Response if message.is_ok() => {
                self.ok += 1;
                let config = message.payload_data();
                let config = config.is_ok_and(|config| config["authentication"].is_boolean());
                self.told += u64::from(!config && !message.payload_binary().is_empty());
            }
            MessageType::Response => self.refused += 1,
            MessageType::Request => {}
            kind => panic!("a broker sends no {kind:?}"),
        }
    }

    /// Its session goes on, and everything before was dealt with.
    fn is_answered(&mut self) {
        let id = uuid();
        let ask = format!(r#"{{"id":"{id}","type":"HEARTBEAT"}}"#);
        loop {
            // It may be lost with a connection that was cut off.
            self.socket.send(ask.clone()).unwrap();
            match self.socket.recv_timeout(Duration::from_millis(500)) {
                Ok(answer) => {
                    let (message, _) = decode(answer.body().to_vec()).expect("readable");
                    if message.id().to_string() == id {
                        return;
                    }
                    self.heard(answer.body());
                }
                Err(Error::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn uuid() -> String {
    Message::plain_text(None, "", "").unwrap().id().to_string()
}

fn limited() -> BrokerOptions {
    BrokerOptions::new()
        .max_queues(20)
        .max_topics(20)
        .max_message_size(64 << 10)
        .dedupe_window(Duration::from_secs(1), 1000)
}

/// Changed requests of every type, and bytes by chance, to a broker where everybody may do everything.
#[test]
fn frames_by_chance_are_answered_or_refused_and_leave_the_broker_well() {
    let broker = Broker::with_options(&limited().open_admin(true)).unwrap();
    broker.create_queue("safe", 1, QueueType::Bounded).unwrap();
    broker.create_queue("q", 100, QueueType::Circular).unwrap();
    broker.create_topic("t").unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let good = Client::connect(&url).unwrap();
    let is_well = |number: u64| {
        let item = Message::plain_text(None, "", number).unwrap();
        good.offer("safe", item, NO_WAIT).unwrap();
        let polled = good.poll("safe", NO_WAIT).unwrap();
        assert_eq!(polled.payload_text(), Some(number.to_string().into()));
    };
    // The name is in no seed, and by chance nobody writes it.
    is_well(0);
    let (seeds, mut chance) = (requests(), Chance(1));
    let mut strangers = [(); 3].map(|()| Stranger::connect(&url));
    let before = proc_status("VmRSS");
    for number in 0..cases() {
        let frame = if chance.below(8) == 0 {
            chance.bytes()
        } else {
            chance.changed(&seeds)
        };
        let at = chance.below(strangers.len());
        strangers[at].send(frame);
        if number % 1000 == 0 {
            is_well(number);
        }
    }
    for stranger in &mut strangers {
        stranger.is_answered();
    }
    is_well(1);
    let grown = proc_status("VmRSS").saturating_sub(before);
    assert!(grown < ROOM, "{grown} KiB");
    assert!(broker.queues().len() <= 20);
    // Some of both, or this tests nothing.
    for stranger in &strangers {
        let of = cases() / 3;
        assert!(stranger.ok > of / 20, "{} of {of}", stranger.ok);
        assert!(stranger.refused > of / 20, "{} of {of}", stranger.refused);
    }
    drop(strangers);
    eventually("they are gone", || broker.connections() == 1);
}

/// The same, from those who have not logged in: nothing of it is done.
#[test]
fn frames_by_chance_do_nothing_before_a_login() {
    let auth = Authenticator::with_rounds(1);
    for user in ["ann", "root"] {
        auth.add_credentials(user, "correct horse", Role::Admin)
            .unwrap();
    }
    let broker = Broker::with_options(&limited().authenticator(&auth)).unwrap();
    broker.create_queue("q", 100, QueueType::Bounded).unwrap();
    broker.create_topic("t").unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let (seeds, mut chance) = (requests(), Chance(2));
    let mut stranger = Stranger::connect(&url);
    for _ in 0..cases() / 2 {
        stranger.send(chance.changed(&seeds));
    }
    stranger.is_answered();
    assert_eq!(stranger.told, 0);
    assert!(stranger.refused > cases() / 4, "{}", stranger.refused);
    assert_eq!(broker.queues(), ["q"]);
    assert_eq!(broker.queue_status("q").size, 0);
    assert!(!broker.has_topic("a/b"));
    let stats = broker.stats();
    assert_eq!((stats.published, stats.calls), (0, 0));
    let root = ClientOptions::new().credentials("root", "correct horse");
    let root = Client::connect_with(&url, &root).unwrap();
    let nothing = Message::plain_text(None, "", "").unwrap();
    assert_eq!(
        root.publish("t", nothing.clone()),
        Ok(0),
        "nobody subscribes"
    );
    let status = nothing.addressed_to(MessageType::ServerStatus, None);
    let status = root
        .request(status.unwrap())
        .unwrap()
        .payload_data()
        .unwrap();
    assert_eq!(status["temp-queue-total-count"], 0);
    assert_eq!(status["waiting-count"], 0);
}

// ---- lengths, names and depths ----

/// A stream to the broker that has said what it is.
fn stream(url: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"\0SP\0\0\x11\0\0").unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(&header, b"\0SP\0\0\x11\0\0");
    stream
}

/// The broker closes the connection, and says nothing before.
#[track_caller]
fn is_ended(mut stream: TcpStream) {
    let ended = stream.read(&mut [0]);
    let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
    assert!(
        matches!(&ended, Ok(0)) || ended.as_ref().is_err_and(reset),
        "{ended:?}"
    );
}

#[test]
fn messages_without_a_hop_count_or_with_too_many_hops_end_the_connection() {
    let broker = Broker::new().unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let heartbeat = br#"{"type":"HEARTBEAT"}"#;
    let message = |hops: &[u8]| {
        let body = [hops, heartbeat].concat();
        [&(body.len() as u64).to_be_bytes()[..], &body].concat()
    };
    for bad in [
        message(&[0, 0, 0, 9]),
        message(&[255, 255, 255, 255]),
        // Its first four bytes are a large number.
        message(&[]),
        [&3u64.to_be_bytes()[..], &[0, 0, 0]].concat(),
        0u64.to_be_bytes().to_vec(),
    ] {
        let mut stream = stream(&url);
        stream.write_all(&bad).unwrap();
        is_ended(stream);
    }
    let mut stream = stream(&url);
    stream.write_all(&message(&[0, 0, 0, 8])).unwrap();
    stream.read_exact(&mut [0; 12]).expect("an answer");
}

/// W10: memory is set aside for what has come, not for what is announced.
#[test]
fn a_length_that_is_announced_before_a_login_sets_no_memory_aside() {
    const CLIENTS: usize = 100;
    let auth = Authenticator::with_rounds(1);
    let options = BrokerOptions::new()
        .authenticator(&auth)
        .encrypt(true)
        .max_message_size(250 << 20);
    let broker = Broker::with_options(&options).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    for length in [u64::MAX, 1 << 63, 1 << 40, 300 << 20] {
        let mut stream = stream(&url);
        stream.write_all(&length.to_be_bytes()).unwrap();
        is_ended(stream);
    }
    // Also what nobody has written to yet.
    let before = proc_status("VmSize");
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = stream(&url);
        stream.write_all(&(200u64 << 20).to_be_bytes()).unwrap();
        // Read by the broker, before the next one comes, or cut off already.
        let _ = stream.write_all(&[0, 0, 0, 1, b'{']);
        held.push(stream);
    }
    let mut last = stream(&url);
    last.write_all(&[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0xe1])
        .unwrap();
    // It is no hello.
    is_ended(last);
    let grown = proc_status("VmSize").saturating_sub(before);
    assert!(grown < 10 * ROOM, "{grown} KiB");
    drop(held);
    eventually("they are gone", || broker.connections() == 0);
}

fn one_client() -> (Broker, Pair1) {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let socket = Pair1::with_options(&options).unwrap();
    socket.dial(&url).unwrap();
    (broker, socket)
}

fn ask(socket: &Pair1, request: impl Into<wirebird::Message>) -> Message {
    socket.send(request).unwrap();
    let answer = socket.recv().unwrap();
    decode(answer.body().to_vec()).expect("readable").0
}

/// I30, D15: wherever there is a name, in both encodings.
#[test]
fn names_outside_the_grammar_are_refused_wherever_they_are() {
    let (broker, socket) = one_client();
    let long = "x".repeat(101);
    let bad = [
        "", " ", "a b", "ä", "a\n", "a\0b", "a$", "$", "a:b", "*", ">", &long,
    ];
    let kinds = MessageType::ALL.iter().filter(|kind| {
        !kind.takes_pattern() && !matches!(kind, MessageType::Cancel | MessageType::Null)
    });
    for kind in kinds {
        for name in bad {
            for field in ["destination", "reply-to"] {
                let mut request = serde_json::json!({"type": kind.name(), "data": {"capacity": 1}});
                request[field] = Value::from(name);
                let answer = ask(&socket, request.to_string());
                let cell = format!("{} {field} {name:?}", kind.name());
                assert_eq!(answer.status(), Status::BadRequest, "{cell}");
            }
            // Field 5, and a code between 0 and 255.
            let mut frame = vec![0xb1, 0x04, 0, 99];
            frame[2] = kind.code();
            frame.extend([7; 24]);
            frame[20] = 0;
            frame.extend([u8::try_from(name.len() + 2).unwrap(), 5]);
            frame.push(u8::try_from(name.len()).unwrap());
            frame.extend(name.as_bytes());
            let answer = ask(&socket, frame);
            assert_eq!(
                answer.status(),
                Status::BadRequest,
                "{} {name:?}",
                kind.name()
            );
        }
    }
    // In the payload of a request of an administrator.
    for name in bad.iter().chain(&["queue", "WAL", "ipc.dlq", "$sys"]) {
        for kind in ["CREATE_QUEUE", "CREATE_TOPIC"] {
            let data = serde_json::json!({"name": name, "capacity": 1});
            let request = serde_json::json!({"type": kind, "data": data});
            let answer = ask(&socket, request.to_string());
            assert_eq!(answer.status(), Status::BadRequest, "{kind} {name:?}");
        }
    }
    assert!(broker.queues().is_empty());
}

/// JSON that is nested 10,000 deep, wherever there may be JSON.
#[test]
fn json_that_is_nested_too_deep_is_refused_wherever_it_is() {
    let (broker, socket) = one_client();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let (arrays, objects) = ("[".repeat(10_000), r#"{"a":"#.repeat(10_000));
    for deep in [
        format!("{arrays}{}", "]".repeat(10_000)),
        format!("{objects}1{}", "}".repeat(10_000)),
        arrays,
        objects,
    ] {
        for key in ["data", "headers", "x-more", "id", "text", "nonsense"] {
            let request = format!(r#"{{"type":"OFFER","destination":"q","{key}":{deep}}}"#);
            assert_eq!(ask(&socket, request).status(), Status::BadRequest, "{key}");
        }
        let is_frame = deep.starts_with('{');
        if is_frame {
            assert_eq!(ask(&socket, deep.clone()).status(), Status::BadRequest);
        }
        // As the payload of a binary message it is text like any other, unless somebody wants to know what is in it.
        let json = wirebird::broker::Charset::Utf8;
        let message = Message::text(None, "", "application/json", json, &deep).unwrap();
        for (kind, status) in [
            (MessageType::Offer, Status::Ok),
            (MessageType::CreateQueue, Status::BadRequest),
        ] {
            let request = message.clone().addressed_to(kind, "q").unwrap();
            let answer = ask(&socket, encode(&request, Encoding::Binary).to_vec());
            assert_eq!(answer.status(), status, "{kind:?}");
        }
        // It comes out in JSON, too.
        let poll = ask(&socket, r#"{"type":"POLL","destination":"q"}"#);
        assert_eq!(poll.payload_text().as_deref(), Some(&*deep));
    }
}
