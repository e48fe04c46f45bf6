//! Peers that break the rules of TLS, or stop amid it: they are closed, counted and told of, and nobody else notices.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::certificates::{client, server};
use common::strangers::{self, frame, greet};
use common::{SOON, await_added, await_handshake_failed, await_removed, eventually};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};
use wirebird::{
    EndpointOptions, Error, Monitor, Pair0, Pull, Push, Rep, Req, SocketOptions, TlsFault,
};

const PUSH: u16 = 0x50;

/// A socket with a good peer, and an address for bad ones.
struct Victim {
    pull: Pull,
    push: Push,
    events: Monitor,
    url: String,
    sent: u64,
}

impl Victim {
    fn new() -> Self {
        Self::with(EndpointOptions::new().handshake_timeout(SOON))
    }

    fn with(options: EndpointOptions) -> Self {
        let pull = Pull::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        let listener = pull.listener("tls+tcp://127.0.0.1:0").unwrap();
        listener.set_options(&options.tls(server())).unwrap();
        listener.start().unwrap();
        let url = listener.url();
        let push = Push::with_options(&SocketOptions::new().send_timeout(SOON)).unwrap();
        let dialer = push.dialer(&url).unwrap();
        dialer
            .set_options(&EndpointOptions::new().tls(client()))
            .unwrap();
        dialer.start_and_wait(Some(SOON)).unwrap();
        pull.wait_for_peers(1, SOON).unwrap();
        let events = pull.monitor();
        let mut victim = Self {
            pull,
            push,
            events,
            url,
            sent: 0,
        };
        victim.goes_on();
        victim
    }

    /// A peer that has shaken hands and may do what it likes.
    fn insider(&self) -> strangers::Client {
        let mut stream = strangers::dial(&self.url, strangers::client(&[&TLS12, &TLS13], None));
        assert_eq!(greet(&mut stream, PUSH).unwrap(), 0x51);
        await_added(&self.events);
        stream
    }

    /// The good peer is served, as before.
    #[track_caller]
    fn goes_on(&mut self) {
        for _ in 0..3 {
            self.sent += 1;
            self.push.send(self.sent.to_be_bytes()).unwrap();
            assert_eq!(self.pull.recv().unwrap().body(), self.sent.to_be_bytes());
        }
        eventually("only the good peer is left", || {
            self.pull.stats().pipes == 1
        });
    }
}

/// What a client says first.
fn hello(url: &str) -> Vec<u8> {
    let config = strangers::client(&[&TLS12, &TLS13], None);
    let name = strangers::address(url).ip().into();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// What a session has to say.
fn output(session: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A message, encrypted.
fn sealed(session: &mut ClientConnection, body: &[u8]) -> Vec<u8> {
    session.writer().write_all(&frame(body)).unwrap();
    output(session)
}

/// The socket closed the connection.
#[track_caller]
fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[track_caller]
fn fault(error: Error) -> TlsFault {
    match error {
        Error::Tls(error) => error.fault,
        other => panic!("no error of TLS: {other:?}"),
    }
}

// ---- handshakes ----

#[test]
fn a_peer_that_stops_amid_its_handshake_is_given_up() {
    let options = EndpointOptions::new().handshake_timeout(Duration::from_millis(200));
    let mut victim = Victim::with(options);
    let hello = hello(&victim.url);
    for length in [0, 1, 5, hello.len() / 2, hello.len()] {
        let mut stream = strangers::tcp(&victim.url);
        let waiting = Instant::now();
        stream.write_all(&hello[..length]).unwrap();
        assert_eq!(await_handshake_failed(&victim.events), Error::TimedOut);
        let waited = waiting.elapsed();
        assert!(waited >= Duration::from_millis(150), "only {waited:?}");
        assert!(waited < Duration::from_secs(2), "no less than {waited:?}");
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().handshakes_failed, 5);
}

#[test]
fn a_peer_that_is_encrypted_and_sends_no_header_is_given_up() {
    let options = EndpointOptions::new().handshake_timeout(Duration::from_millis(200));
    let mut victim = Victim::with(options);
    let mut stream = strangers::dial(&victim.url, strangers::client(&[&TLS13], None));
    stream.write_all(b"\0SP\0").unwrap();
    assert_eq!(await_handshake_failed(&victim.events), Error::TimedOut);
    is_closed(&mut stream.sock);
    victim.goes_on();
}

#[test]
fn a_wrong_header_inside_tls_is_refused() {
    let mut victim = Victim::new();
    let mut stream = strangers::dial(&victim.url, strangers::client(&[&TLS13], None));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(await_handshake_failed(&victim.events), Error::BadHandshake);
    is_closed(&mut stream.sock);
    victim.goes_on();
}

#[test]
fn a_peer_that_goes_amid_its_handshake_is_forgotten() {
    let mut victim = Victim::new();
    let hello = hello(&victim.url);
    let lengths = [0, 1, 4, 5, 6, hello.len() / 2, hello.len() - 1, hello.len()];
    for length in lengths {
        let mut stream = strangers::tcp(&victim.url);
        stream.write_all(&hello[..length]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            await_handshake_failed(&victim.events),
            Error::ConnectionShut,
            "after {length} bytes"
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    for _ in 0..50 {
        drop(strangers::tcp(&victim.url));
    }
    eventually("all have failed", || {
        victim.pull.stats().handshakes_failed == 50 + lengths.len() as u64
    });
    victim.goes_on();
}

#[test]
fn garbage_is_no_handshake() {
    let mut victim = Victim::new();
    let hello = hello(&victim.url);
    let mut damaged = hello.clone();
    damaged[5] = 0x7f;
    let mut shortened = hello.clone();
    shortened[8] = 1;
    let mut unencrypted_data = hello.clone();
    unencrypted_data[0] = 0x17;
    let wrong: [(&[u8], TlsFault); 9] = [
        (b"GET / HTTP/1.1\r\n\r\n", TlsFault::NotTls),
        (b"\0SP\0\0\x50\0\0", TlsFault::NotTls),
        (&[0; 8], TlsFault::NotTls),
        (&[0xff; 64], TlsFault::NotTls),
        (&[0x16; 64], TlsFault::NotTls),
        (b"\x16\x03\x01\0\x04\x02\0\0\0", TlsFault::Violation),
        (&damaged, TlsFault::Violation),
        (&shortened, TlsFault::Violation),
        (&unencrypted_data, TlsFault::Violation),
    ];
    for (number, (bytes, expected)) in wrong.into_iter().enumerate() {
        let mut stream = strangers::tcp(&victim.url);
        stream.write_all(bytes).unwrap();
        let why = await_handshake_failed(&victim.events);
        assert_eq!(fault(why), expected, "number {number}");
        is_closed(&mut stream);
        assert_eq!(victim.pull.stats().handshakes_failed, number as u64 + 1);
        victim.goes_on();
    }
}

#[test]
fn a_second_hello_is_a_violation() {
    let mut victim = Victim::new();
    let hello = hello(&victim.url);
    let mut stream = strangers::tcp(&victim.url);
    stream.write_all(&hello).unwrap();
    stream.write_all(&hello).unwrap();
    let why = await_handshake_failed(&victim.events);
    assert_eq!(fault(why), TlsFault::Violation);
    is_closed(&mut stream);
    victim.goes_on();
}

#[test]
fn a_flood_of_empty_records_is_a_violation() {
    let mut victim = Victim::new();
    let change_cipher_spec = b"\x14\x03\x03\0\x01\x01".repeat(10_000);
    let warnings = b"\x15\x03\x03\0\x02\x01\x5a".repeat(10_000);
    for flood in [change_cipher_spec, warnings] {
        let mut stream = strangers::tcp(&victim.url);
        // It is closed before it has taken all.
        let _ = stream.write_all(&flood);
        let why = await_handshake_failed(&victim.events);
        assert_eq!(fault(why), TlsFault::Violation);
        is_closed(&mut stream);
        victim.goes_on();
    }
}

/// A stream that takes and gives one byte at a time.
struct Drip(TcpStream);

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(1);
        self.0.read(&mut into[..count])
    }
}

impl Write for Drip {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(&from[..from.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_peer_that_sends_single_bytes_is_served() {
    let mut victim = Victim::new();
    for versions in [[&TLS12], [&TLS13]] {
        let slow = strangers::dial(&victim.url, strangers::client(&versions, None));
        slow.sock.set_nodelay(true).unwrap();
        let mut slow = StreamOwned::new(slow.conn, Drip(slow.sock));
        assert_eq!(greet(&mut slow, PUSH).unwrap(), 0x51);
        slow.write_all(&frame(b"drip, drip, drip, ..")).unwrap();
        let message = victim.pull.recv().unwrap();
        assert_eq!(message.body(), b"drip, drip, drip, ..");
        drop(slow);
        victim.goes_on();
    }
}

#[test]
fn ten_good_peers_are_undisturbed_by_a_thousand_handshakes_that_stop() {
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let rep = Rep::with_options(&options).unwrap();
    let listener = rep.listener("tls+tcp://127.0.0.1:0").unwrap();
    let endpoint = EndpointOptions::new().handshake_timeout(Duration::from_secs(60));
    listener.set_options(&endpoint.tls(server())).unwrap();
    listener.start().unwrap();
    let url = listener.url();
    let connected = || {
        let req = Req::with_options(&options).unwrap();
        let dialer = req.dialer(&url).unwrap();
        let options = EndpointOptions::new().tls(client());
        dialer.set_options(&options).unwrap();
        dialer.start_and_wait(Some(SOON)).unwrap();
        req
    };
    let good: Vec<Req> = (0..10).map(|_| connected()).collect();
    let served = 10 * 100 + 1;
    let server = thread::spawn({
        let rep = rep.clone();
        move || {
            for _ in 0..served {
                let request = rep.recv().expect("a request");
                rep.send(request).expect("a reply");
            }
        }
    });
    let hello = hello(&url);
    let half_open: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = strangers::tcp(&url);
            let length = [0, 1, hello.len() / 2, hello.len()][number % 4];
            stream.write_all(&hello[..length]).unwrap();
            stream
        })
        .collect();
    let longest = thread::scope(|scope| {
        let asking: Vec<_> = good
            .iter()
            .map(|req| {
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    for number in 0..100_u8 {
                        let asked = Instant::now();
                        req.send([number]).unwrap();
                        assert_eq!(req.recv().unwrap().body(), [number]);
                        longest = longest.max(asked.elapsed());
                    }
                    longest
                })
            })
            .collect();
        let longest = asking.into_iter().map(|asking| asking.join().unwrap());
        longest.max().unwrap()
    });
    assert!(
        longest < Duration::from_secs(3),
        "a round trip of {longest:?}"
    );
    let late = connected();
    late.send("late").unwrap();
    assert_eq!(late.recv().unwrap().body(), b"late");
    server.join().unwrap();
    assert_eq!(rep.stats().handshakes_failed, 0);
    drop(half_open);
    eventually("all are forgotten", || {
        rep.stats().handshakes_failed == 1000
    });
    assert_eq!(rep.stats().pipes, 11);
}

// ---- streams ----

#[test]
fn a_stream_cut_off_amid_a_message_is_told_from_one_that_ends() {
    let mut victim = Victim::new();
    for graceful in [false, true] {
        for (length, expected) in [
            (0, Error::ConnectionShut),
            (108, Error::ConnectionShut),
            (1, Error::ConnectionReset),
            (8, Error::ConnectionReset),
            (107, Error::ConnectionReset),
        ] {
            let mut stream = victim.insider();
            stream.write_all(&frame(&[9; 100])[..length]).unwrap();
            if graceful {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            stream.sock.shutdown(Shutdown::Write).unwrap();
            if length == 108 {
                assert_eq!(victim.pull.recv().unwrap().body(), [9; 100]);
            }
            let why = await_removed(&victim.events);
            assert_eq!(why, expected, "{length} bytes, {graceful}");
            is_closed(&mut stream.sock);
            victim.goes_on();
        }
    }
}

#[test]
fn a_record_cut_short_is_not_delivered() {
    let mut victim = Victim::new();
    let mut stream = victim.insider();
    let mut bytes = sealed(&mut stream.conn, b"whole");
    let part = sealed(&mut stream.conn, b"never");
    bytes.extend_from_slice(&part[..part.len() - 1]);
    stream.sock.write_all(&bytes).unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(victim.pull.recv().unwrap().body(), b"whole");
    assert_eq!(await_removed(&victim.events), Error::ConnectionShut);
    victim.goes_on();
}

#[test]
fn the_word_for_the_end_ends_a_stream_that_stays_open() {
    let mut victim = Victim::new();
    let mut stream = victim.insider();
    stream.write_all(&frame(b"last")).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(victim.pull.recv().unwrap().body(), b"last");
    victim.goes_on();
    assert_eq!(await_removed(&victim.events), Error::ConnectionShut);
    is_closed(&mut stream.sock);
}

#[test]
fn what_was_changed_on_the_way_is_not_delivered_and_what_came_before_is() {
    let mut victim = Victim::new();
    for place in [0, 1, 3, 5, 20] {
        let mut stream = victim.insider();
        let mut bytes = sealed(&mut stream.conn, b"good");
        let mut changed = sealed(&mut stream.conn, b"bad");
        changed[place] ^= 0x20;
        bytes.extend_from_slice(&changed);
        // What is not read any more when it is closed.
        bytes.extend_from_slice(&sealed(&mut stream.conn, &[7; 30_000]));
        stream.sock.write_all(&bytes).unwrap();
        assert_eq!(victim.pull.recv().unwrap().body(), b"good");
        victim.goes_on();
        let why = fault(await_removed(&victim.events));
        assert!(
            matches!(why, TlsFault::Violation | TlsFault::NotTls),
            "byte {place}: {why:?}"
        );
        is_closed(&mut stream.sock);
    }
}

#[test]
fn a_plain_handshake_message_amid_the_stream_is_a_violation() {
    let mut victim = Victim::new();
    let hello = hello(&victim.url);
    for versions in [[&TLS12], [&TLS13]] {
        let config = strangers::client(&versions, None);
        let mut stream = strangers::dial(&victim.url, config);
        greet(&mut stream, PUSH).unwrap();
        await_added(&victim.events);
        stream.write_all(&frame(b"before")).unwrap();
        stream.sock.write_all(&hello).unwrap();
        assert_eq!(victim.pull.recv().unwrap().body(), b"before");
        victim.goes_on();
        let why = await_removed(&victim.events);
        assert_eq!(fault(why), TlsFault::Violation);
        is_closed(&mut stream.sock);
    }
}

#[test]
fn a_length_above_the_limit_closes_the_pipe() {
    let mut victim = Victim::with(EndpointOptions::new().recv_max_size(1000));
    let mut stream = victim.insider();
    stream.write_all(&1001_u64.to_be_bytes()).unwrap();
    let (limit, length) = (1000, 1001);
    let why = await_removed(&victim.events);
    assert_eq!(why, Error::MessageTooLong { limit, length });
    is_closed(&mut stream.sock);
    victim.goes_on();
}

#[test]
fn keys_are_renewed_amid_traffic() {
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let pair = Pair0::with_options(&options).unwrap();
    let listener = pair.listener("tls+tcp://127.0.0.1:0").unwrap();
    let options = EndpointOptions::new().tls(server());
    listener.set_options(&options).unwrap();
    listener.start().unwrap();
    let mut peer = strangers::dial(&listener.url(), strangers::client(&[&TLS13], None));
    assert_eq!(greet(&mut peer, 0x10).unwrap(), 0x10);
    for round in 0..100_u8 {
        peer.conn.refresh_traffic_keys().unwrap();
        peer.write_all(&frame(&[round; 1000])).unwrap();
        assert_eq!(pair.recv().unwrap().body(), [round; 1000]);
        pair.send([round; 70]).unwrap();
        let mut answer = [0; 78];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..], frame(&[round; 70]));
    }
}

#[test]
fn a_flood_of_key_updates_closes_the_pipe() {
    let mut victim = Victim::new();
    let mut stream = victim.insider();
    for _ in 0..1000 {
        stream.conn.refresh_traffic_keys().unwrap();
        // It is closed before it has taken all.
        let _ = stream.sock.write_all(&output(&mut stream.conn));
    }
    let why = await_removed(&victim.events);
    assert_eq!(fault(why), TlsFault::Violation);
    victim.goes_on();
}
