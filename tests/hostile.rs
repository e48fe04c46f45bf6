//! Peers that break the rules of handshakes and frames: what they send is closed, counted and told of, and nobody else notices.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Place, SOON, Via, await_added, await_event, await_handshake_failed, await_removed, eventually,
    proc_status,
};
use wirebird::{EndpointOptions, Error, Event, Message, Monitor, Pair0, Pull, Push, SocketOptions};

/// What a push socket sends first.
const PUSH: [u8; 8] = *b"\0SP\0\0\x50\0\0";

/// A socket with a good peer, and an address for bad ones.
struct Victim {
    pull: Pull,
    push: Push,
    events: Monitor,
    via: Via,
    url: String,
    _place: Place,
    sent: u64,
}

impl Victim {
    fn new(via: Via) -> Self {
        let options = EndpointOptions::new()
            .handshake_timeout(Duration::from_millis(200))
            .recv_max_size(1000);
        Self::with(via, options)
    }

    fn with(via: Via, options: EndpointOptions) -> Self {
        let pull = Pull::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        let place = via.place();
        let listener = pull.listener(&place.url).unwrap();
        listener.set_options(&options).unwrap();
        listener.start().unwrap();
        let url = listener.url();
        let push = Push::with_options(&SocketOptions::new().send_timeout(SOON)).unwrap();
        push.dial(&url).unwrap();
        pull.wait_for_peers(1, SOON).unwrap();
        let events = pull.monitor();
        let mut victim = Self {
            pull,
            push,
            events,
            via,
            url,
            _place: place,
            sent: 0,
        };
        victim.goes_on();
        victim
    }

    fn attacker(&self) -> Stream {
        connect(self.via, &self.url)
    }

    /// A peer that has shaken hands and may do what it likes.
    fn insider(&self) -> Stream {
        let mut stream = self.attacker();
        stream.write_all(&PUSH).unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(&header, b"\0SP\0\0\x51\0\0");
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

    /// A frame's head, as the transport wants it.
    fn head(&self, length: u64) -> Vec<u8> {
        let mut head = if self.via == Via::Ipc {
            vec![1]
        } else {
            vec![]
        };
        head.extend_from_slice(&length.to_be_bytes());
        head
    }
}

trait Both: Read + Write + Send {
    fn finish(&self);
}

impl Both for TcpStream {
    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Both for UnixStream {
    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

type Stream = Box<dyn Both>;

fn connect(via: Via, url: &str) -> Stream {
    if via == Via::Ipc {
        let stream = UnixStream::connect(url.strip_prefix("ipc://").unwrap()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Box::new(stream)
    } else {
        let stream = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Box::new(stream)
    }
}

/// The socket closed the connection.
#[track_caller]
fn is_closed(stream: &mut Stream) {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

macro_rules! over_both {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn over_tcp() {
                super::$name(super::Via::Tcp);
            }

            #[test]
            fn over_ipc() {
                super::$name(super::Via::Ipc);
            }
        }
    )*};
}

over_both! {
    a_wrong_header_is_refused
    a_wrong_protocol_is_refused
    a_header_cut_short_is_refused
    a_silent_peer_is_given_up
    a_peer_that_connects_and_resets_is_forgotten
    a_length_above_the_limit_closes_the_pipe
    a_length_with_reserved_bits_closes_the_pipe
    an_announced_length_costs_no_memory
    a_frame_cut_short_is_not_delivered
    a_frame_in_single_bytes_is_delivered
    good_peers_go_on_beside_a_thousand_half_open_connections
    ten_good_peers_are_undisturbed_by_one_that_stops_amid_its_header
}

// ---- handshakes ----

fn a_wrong_header_is_refused(via: Via) {
    let mut victim = Victim::new(via);
    let wrong: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0SQ\0\0\x50\0\0",
        b"\x01SP\0\0\x50\0\0",
        b"\0SP\x01\0\x50\0\0",
        b"\0SP\0\0\x50\x01\0",
        b"\0SP\0\0\x50\0\x01",
        &[0; 8],
        &[0xff; 64],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ];
    for (number, header) in wrong.into_iter().enumerate() {
        let mut stream = victim.attacker();
        stream.write_all(header).unwrap();
        assert_eq!(await_handshake_failed(&victim.events), Error::BadHandshake);
        is_closed(&mut stream);
        assert_eq!(victim.pull.stats().handshakes_failed, number as u64 + 1);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().added, 1);
}

fn a_wrong_protocol_is_refused(via: Via) {
    let mut victim = Victim::new(via);
    for actual in [0, 0x10, 0x51, 0x5000, 0xffff_u16] {
        let mut stream = victim.attacker();
        let mut header = PUSH;
        header[4..6].copy_from_slice(&actual.to_be_bytes());
        stream.write_all(&header).unwrap();
        let expected = 0x50;
        assert_eq!(
            await_handshake_failed(&victim.events),
            Error::WrongProtocol { expected, actual }
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().handshakes_failed, 5);
}

fn a_header_cut_short_is_refused(via: Via) {
    let mut victim = Victim::new(via);
    for length in 0..8 {
        let mut stream = victim.attacker();
        stream.write_all(&PUSH[..length]).unwrap();
        stream.finish();
        assert_eq!(
            await_handshake_failed(&victim.events),
            Error::ConnectionShut
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().handshakes_failed, 8);
}

fn a_silent_peer_is_given_up(via: Via) {
    let mut victim = Victim::new(via);
    for length in [0, 1, 7] {
        let mut stream = victim.attacker();
        let waiting = Instant::now();
        stream.write_all(&PUSH[..length]).unwrap();
        assert_eq!(await_handshake_failed(&victim.events), Error::TimedOut);
        let waited = waiting.elapsed();
        assert!(waited >= Duration::from_millis(150), "only {waited:?}");
        assert!(waited < Duration::from_secs(2), "no less than {waited:?}");
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().handshakes_failed, 3);
}

fn a_peer_that_connects_and_resets_is_forgotten(via: Via) {
    let mut victim = Victim::new(via);
    for _ in 0..50 {
        drop(victim.attacker());
    }
    eventually("all have failed", || {
        victim.pull.stats().handshakes_failed == 50
    });
    victim.goes_on();
}

fn ten_good_peers_are_undisturbed_by_one_that_stops_amid_its_header(via: Via) {
    let options = EndpointOptions::new().handshake_timeout(Duration::from_secs(60));
    let mut victim = Victim::with(via, options);
    let mut stopped = victim.attacker();
    stopped.write_all(&PUSH[..1]).unwrap();
    let pushes: Vec<Push> = (0..10).map(|_| Push::new().unwrap()).collect();
    for push in &pushes {
        push.dial(&victim.url).expect("accepting goes on");
    }
    victim.pull.wait_for_peers(11, SOON).unwrap();
    let mut counts = [0; 10];
    for round in 0..20_u8 {
        for (number, push) in pushes.iter().enumerate() {
            push.send([number as u8, round]).unwrap();
        }
    }
    for _ in 0..200 {
        let message = victim.pull.recv().unwrap();
        let count = &mut counts[usize::from(message.body()[0])];
        assert_eq!(message.body()[1], *count, "the order of one peer");
        *count += 1;
    }
    assert_eq!(counts, [20; 10]);
    drop(pushes);
    victim.goes_on();
    stopped.write_all(&PUSH[1..]).unwrap();
    eventually("it is a peer like the others in the end", || {
        victim.pull.stats().pipes == 2
    });
}

fn good_peers_go_on_beside_a_thousand_half_open_connections(via: Via) {
    let options = EndpointOptions::new().handshake_timeout(Duration::from_secs(60));
    let mut victim = Victim::with(via, options);
    let half_open: Vec<Stream> = (0..1000)
        .map(|number| {
            let mut stream = victim.attacker();
            stream.write_all(&PUSH[..number % 8]).unwrap();
            stream
        })
        .collect();
    for _ in 0..300 {
        victim.goes_on();
    }
    let late = Push::new().unwrap();
    late.dial(&victim.url).expect("accepting goes on");
    drop(late);
    drop(half_open);
    eventually("all are forgotten", || {
        victim.pull.stats().handshakes_failed == 1000
    });
    victim.goes_on();
}

// ---- frames ----

fn a_length_above_the_limit_closes_the_pipe(via: Via) {
    let mut victim = Victim::new(via);
    for length in [1001, 1 << 20, 1 << 40, (1 << 60) - 1] {
        let mut stream = victim.insider();
        stream.write_all(&victim.head(length)).unwrap();
        let limit = 1000;
        assert_eq!(
            await_removed(&victim.events),
            Error::MessageTooLong { limit, length }
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().malformed, 4);
}

fn a_length_with_reserved_bits_closes_the_pipe(via: Via) {
    let options = EndpointOptions::new().recv_max_size(0);
    let mut victim = Victim::with(via, options);
    for wanted in [1 << 60, 1 << 63, u64::MAX] {
        let mut stream = victim.insider();
        stream.write_all(&victim.head(wanted)).unwrap();
        let reason = await_removed(&victim.events);
        assert!(
            matches!(reason, Error::MessageTooLong { length, .. } if length == wanted),
            "{reason:?}"
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().malformed, 3);
}

fn an_announced_length_costs_no_memory(via: Via) {
    let options = EndpointOptions::new().recv_max_size(0);
    let mut victim = Victim::with(via, options);
    let before = (proc_status("VmRSS"), proc_status("VmSize"));
    let mut insiders: Vec<Stream> = (0..20).map(|_| victim.insider()).collect();
    for (number, stream) in insiders.iter_mut().enumerate() {
        stream.write_all(&victim.head(1 << 40)).unwrap();
        stream.write_all(&vec![7; 100 * number]).unwrap();
    }
    for _ in 0..100 {
        victim.push.send("between").unwrap();
        assert_eq!(victim.pull.recv().unwrap().body(), b"between");
    }
    let after = (proc_status("VmRSS"), proc_status("VmSize"));
    let grown = after.0.saturating_sub(before.0);
    assert!(grown < 64 << 10, "{grown} KiB for 20 announcements");
    let grown = after.1.saturating_sub(before.1);
    assert!(grown < 16 << 20, "{grown} KiB of addresses");
    drop(insiders);
    for _ in 0..20 {
        assert_eq!(await_removed(&victim.events), Error::ConnectionReset);
    }
    victim.goes_on();
}

fn a_frame_cut_short_is_not_delivered(via: Via) {
    let mut victim = Victim::new(via);
    let mut frame = victim.head(100);
    frame.extend_from_slice(&[9; 100]);
    for length in [1, 5, 8, 9, 10, 50, frame.len() - 1] {
        let mut stream = victim.insider();
        stream.write_all(&frame[..length]).unwrap();
        stream.finish();
        assert_eq!(
            await_removed(&victim.events),
            Error::ConnectionReset,
            "after {length} bytes"
        );
        is_closed(&mut stream);
        victim.goes_on();
    }
    // Whole frames before the cut count.
    let mut stream = victim.insider();
    stream.write_all(&frame).unwrap();
    stream.write_all(&frame[..50]).unwrap();
    drop(stream);
    assert_eq!(victim.pull.recv().unwrap().body(), [9; 100]);
    assert_eq!(await_removed(&victim.events), Error::ConnectionReset);
    victim.goes_on();
}

fn a_frame_in_single_bytes_is_delivered(via: Via) {
    let mut victim = Victim::new(via);
    let mut stream = victim.insider();
    let mut frame = victim.head(20);
    frame.extend_from_slice(b"drip, drip, drip, ..");
    for byte in frame {
        assert_eq!(victim.pull.try_recv(), Err(Error::WouldBlock));
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(victim.pull.recv().unwrap().body(), b"drip, drip, drip, ..");
    drop(stream);
    victim.goes_on();
}

#[test]
fn an_unknown_type_of_ipc_frame_closes_the_pipe() {
    let mut victim = Victim::new(Via::Ipc);
    for kind in [0, 2, 0xff] {
        let mut stream = victim.insider();
        stream
            .write_all(&[kind, 0, 0, 0, 0, 0, 0, 0, 1, b'x'])
            .unwrap();
        let reason = await_removed(&victim.events);
        assert!(matches!(reason, Error::Malformed(_)), "{reason:?}");
        is_closed(&mut stream);
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().malformed, 3);
}

// ---- many of them ----

#[test]
fn connections_that_come_and_go_during_traffic_disturb_nobody() {
    let mut victim = Victim::new(Via::Tcp);
    let over = Arc::new(AtomicBool::new(false));
    let storm = thread::spawn({
        let (over, url) = (over.clone(), victim.url.clone());
        move || {
            let mut number = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let mut stream = connect(Via::Tcp, &url);
                number += 1;
                let _ = stream.write_all(&[&PUSH[..], &[0, 0, 0]].concat()[..number % 12]);
            }
            number
        }
    });
    for number in 0..2000_u64 {
        victim.push.send(number.to_be_bytes()).unwrap();
        let message: Message = victim.pull.recv().unwrap();
        assert_eq!(message.body(), number.to_be_bytes());
    }
    over.store(true, Ordering::Relaxed);
    assert!(storm.join().unwrap() > 10);
    victim.goes_on();
}

#[test]
fn a_listener_full_of_silent_peers_lets_go_of_the_oldest_for_a_new_one() {
    let options = EndpointOptions::new().max_handshakes(4);
    let mut victim = Victim::with(Via::Tcp, options);
    let silent: Vec<Stream> = (0..12).map(|_| victim.attacker()).collect();
    let late = Push::new().unwrap();
    late.dial_timeout(&victim.url, SOON)
        .expect("no silent peer keeps it out");
    assert_eq!(await_handshake_failed(&victim.events), Error::Busy);
    await_event(&victim.events, "a new pipe", |event| {
        matches!(event, Event::Added(_)).then_some(())
    });
    drop(late);
    drop(silent);
    victim.goes_on();
    assert!(victim.pull.stats().handshakes_failed >= 8);
    let pair = Pair0::new().unwrap();
    assert!(pair.dial(&victim.url).is_err());
}
