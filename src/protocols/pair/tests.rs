use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::Dropped;
use super::super::mock::{Mock, wire};
use super::*;

use ProtocolOption::{RecvBuffer, SendBuffer, Ttl};

const MAIN: CtxId = CtxId::SOCKET;

fn with_header(hops: u32, body: &str) -> Message {
    let mut message = Message::from(body);
    message.header_append_u32(hops).unwrap();
    message
}

// ---- one peer ----

#[test]
fn a_second_peer_is_rejected_and_the_first_keeps_working() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    let first = io.attach(&mut pair, 1, 9).unwrap();
    assert_eq!(io.attach(&mut pair, 2, 9), Err(Error::Rejected));
    io.try_send(&mut pair, MAIN, "still here").unwrap();
    assert_eq!(io.sent(first), [b"still here"]);
}

#[test]
fn the_next_peer_is_accepted_when_the_first_is_gone() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    let first = io.attach(&mut pair, 1, 9).unwrap();
    io.detach(&mut pair, first);
    assert!(io.attach(&mut pair, 2, 9).is_ok());
}

#[test]
fn a_peer_that_takes_nothing_more_makes_way_and_what_it_sent_is_still_received() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    let first = io.attach(&mut pair, 1, 9).unwrap();
    for body in ["a", "b"] {
        io.arrive(&mut pair, first, body.into());
    }
    pair.broken(first, &mut io);
    assert!(!pair.can_send());
    let second = io.attach(&mut pair, 2, 9).unwrap();
    io.try_send(&mut pair, MAIN, "to the second").unwrap();
    assert_eq!(io.sent(second), [b"to the second"]);
    assert_eq!(io.attach(&mut pair, 3, 9), Err(Error::Rejected));
    assert_eq!(io.recv_all(&mut pair), [b"a", b"b"]);
    io.detach(&mut pair, first);
    assert!(pair.can_send());
}

#[test]
fn only_the_last_of_the_peers_before_is_kept_for_what_it_sent() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    let peers = [1, 2, 3].map(|number| {
        let peer = io.attach(&mut pair, number, 9).unwrap();
        io.arrive(&mut pair, peer, number.to_string().as_str().into());
        pair.broken(peer, &mut io);
        peer
    });
    assert_eq!(io.closed(peers[0]), Some(&Error::ConnectionShut));
    io.detach(&mut pair, peers[0]);
    assert_eq!(io.recv_all(&mut pair), [b"2", b"3"]);
}

#[test]
fn each_version_has_its_own_number() {
    assert_eq!(Pair::v0(false).info(), info::PAIR0);
    assert_eq!(Pair::v1(true).info(), info::PAIR1);
}

// ---- send ----

#[test]
fn send_waits_when_there_is_no_peer() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    assert_eq!(
        io.try_send(&mut pair, MAIN, "lost?"),
        Err(Error::WouldBlock)
    );
    io.attach(&mut pair, 1, 1).unwrap();
    assert_eq!(io.send_wakes, [MAIN]);
}

#[test]
fn a_cooked_send_that_must_wait_gives_the_message_back_without_header() {
    for mut pair in [Pair::v0(false), Pair::v1(false)] {
        let mut io = Mock::new();
        let mut message = with_header(7, "body");
        let sent = pair.send(MAIN, OpId::TRY, &mut message, &mut io);
        assert!(matches!(sent, Sent::Full) && message == Message::from("body"));
    }
}

#[test]
fn can_send_follows_the_peer() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    assert!(!pair.can_send());
    let peer = io.attach(&mut pair, 1, 2).unwrap();
    assert!(pair.can_send());
    io.try_send(&mut pair, MAIN, "one").unwrap();
    assert!(pair.can_send());
    io.try_send(&mut pair, MAIN, "two").unwrap();
    assert!(!pair.can_send());
    io.drain(&mut pair, peer, 1);
    assert!(pair.can_send());
    io.detach(&mut pair, peer);
    assert!(!pair.can_send());
}

#[test]
fn can_send_follows_the_send_buffer() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    io.set(&mut pair, SendBuffer(1)).unwrap();
    assert!(pair.can_send());
    assert_eq!(io.send_wakes, [MAIN]);
    io.set(&mut pair, SendBuffer(0)).unwrap();
    assert!(!pair.can_send());
}

#[test]
fn buffered_messages_go_out_in_order_when_a_peer_comes() {
    for (mut pair, expected) in [
        (Pair::v0(false), [wire(&[], b"a"), wire(&[], b"b")]),
        (Pair::v1(false), [wire(&[1], b"a"), wire(&[1], b"b")]),
    ] {
        let mut io = Mock::new();
        io.set(&mut pair, SendBuffer(2)).unwrap();
        io.try_send(&mut pair, MAIN, "a").unwrap();
        io.try_send(&mut pair, MAIN, "b").unwrap();
        assert_eq!(pair.unsent(), 2);
        let peer = io.attach(&mut pair, 1, 9).unwrap();
        assert_eq!(io.sent(peer), expected.map(Vec::from));
        assert_eq!(pair.unsent(), 0);
    }
}

#[test]
fn shrinking_the_send_buffer_drops_the_newest() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    io.set(&mut pair, SendBuffer(2)).unwrap();
    io.try_send(&mut pair, MAIN, "kept").unwrap();
    io.try_send(&mut pair, MAIN, "lost").unwrap();
    io.set(&mut pair, SendBuffer(1)).unwrap();
    assert_eq!(io.dropped, [Dropped::SendQueueFull]);
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    assert_eq!(io.sent(peer), [b"kept"]);
}

// ---- receive ----

#[test]
fn can_recv_only_while_a_message_is_there() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    assert!(!pair.can_recv());
    let peer = io.attach(&mut pair, 1, 1).unwrap();
    assert!(!pair.can_recv());
    io.arrive(&mut pair, peer, "hello".into());
    assert!(pair.can_recv());
    assert_eq!(io.recv_wakes, [MAIN]);
    assert_eq!(io.recv_all(&mut pair), [b"hello"]);
    assert!(!pair.can_recv());
}

#[test]
fn shrinking_the_receive_buffer_to_nothing_drops_what_it_held() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    io.set(&mut pair, RecvBuffer(1)).unwrap();
    let peer = io.attach(&mut pair, 1, 1).unwrap();
    io.arrive(&mut pair, peer, "lost".into());
    assert!(pair.can_recv());
    io.set(&mut pair, RecvBuffer(0)).unwrap();
    assert!(!pair.can_recv());
    assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
}

#[test]
fn the_peer_feels_back_pressure_when_one_message_more_than_the_buffer_is_there() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    io.set(&mut pair, RecvBuffer(2)).unwrap();
    let peer = io.attach(&mut pair, 1, 1).unwrap();
    for body in ["a", "b", "c", "d"] {
        io.arrive(&mut pair, peer, body.into());
    }
    assert_eq!(io.waiting(peer), 1);
    assert_eq!(io.recv_all(&mut pair), [b"a", b"b", b"c", b"d"]);
}

#[test]
fn the_buffer_survives_the_peer_but_what_its_pipe_held_does_not() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(false));
    io.set(&mut pair, RecvBuffer(1)).unwrap();
    let peer = io.attach(&mut pair, 1, 1).unwrap();
    io.arrive(&mut pair, peer, "buffered".into());
    io.arrive(&mut pair, peer, "held".into());
    io.detach(&mut pair, peer);
    assert_eq!(io.dropped, [Dropped::NoPipe]);
    assert_eq!(io.recv_all(&mut pair), [b"buffered"]);
}

#[test]
fn raw_version_0_adds_no_header_and_sends_the_one_it_is_given() {
    let (mut io, mut pair) = (Mock::new(), Pair::v0(true));
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    io.try_send(&mut pair, MAIN, with_header(5, "x")).unwrap();
    assert_eq!(io.sent(peer), [Vec::from(wire(&[5], b"x"))]);
    io.arrive(&mut pair, peer, wire(&[5], b"y"));
    assert_eq!(io.try_recv(&mut pair, MAIN), Ok(wire(&[5], b"y")));
}

// ---- hops ----

#[test]
fn cooked_version_1_sends_hop_1_and_leaves_the_received_hop_in_the_header() {
    let (mut io, mut pair) = (Mock::new(), Pair::v1(false));
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    io.try_send(&mut pair, MAIN, with_header(99, "out"))
        .unwrap();
    assert_eq!(io.sent(peer), [Vec::from(wire(&[1], b"out"))]);
    for hops in [0, 3] {
        io.arrive(&mut pair, peer, wire(&[hops], b"in"));
        let received = io.try_recv(&mut pair, MAIN).unwrap();
        assert_eq!(received, with_header(hops, "in"));
        assert_eq!(received.pipe(), Some(peer));
    }
}

#[test]
fn raw_version_1_counts_one_hop_on_send_and_none_on_receive() {
    let (mut io, mut pair) = (Mock::new(), Pair::v1(true));
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    io.try_send(&mut pair, MAIN, with_header(1, "out")).unwrap();
    assert_eq!(io.sent(peer), [Vec::from(wire(&[2], b"out"))]);
    io.arrive(&mut pair, peer, wire(&[2], b"in"));
    assert_eq!(io.try_recv(&mut pair, MAIN), Ok(with_header(2, "in")));
}

#[test]
fn a_raw_hop_is_counted_once_however_often_the_send_is_tried() {
    let (mut io, mut pair) = (Mock::new(), Pair::v1(true));
    let mut message = with_header(4, "x");
    assert!(matches!(
        pair.send(MAIN, OpId(9), &mut message, &mut io),
        Sent::Full
    ));
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    io.try_send(&mut pair, MAIN, message).unwrap();
    assert_eq!(io.sent(peer), [Vec::from(wire(&[5], b"x"))]);
}

#[test]
fn a_raw_send_fails_when_the_header_is_not_a_hop_count_that_can_grow() {
    let (mut io, mut pair) = (Mock::new(), Pair::v1(true));
    io.attach(&mut pair, 1, 9).unwrap();
    let mut long = with_header(1, "x");
    long.header_append_u32(1).unwrap();
    for message in [
        Message::from("x"),
        with_header(0xdead_0000, "x"),
        with_header(0xff, "x"),
        long,
    ] {
        let mut sent = message.clone();
        let outcome = pair.send(MAIN, OpId::TRY, &mut sent, &mut io);
        assert!(
            matches!(outcome, Sent::Failed(error) if matches!(*error, Error::Malformed(_)))
                && sent == message
        );
    }
}

#[test]
fn a_message_beyond_the_time_to_live_is_dropped_and_the_connection_kept() {
    let (mut io, mut pair) = (Mock::new(), Pair::v1(true));
    let peer = io.attach(&mut pair, 1, 9).unwrap();
    for (ttl, last) in [(4, 4), (15, 15)] {
        io.set(&mut pair, Ttl(ttl)).unwrap();
        io.arrive(&mut pair, peer, wire(&[last + 1], b"too far"));
        assert!(!pair.can_recv());
        io.arrive(&mut pair, peer, wire(&[last], b"in reach"));
        assert_eq!(
            io.try_recv(&mut pair, MAIN),
            Ok(with_header(last, "in reach"))
        );
    }
    assert_eq!(io.dropped, [Dropped::Ttl; 2]);
    assert_eq!(io.closed(peer), None);
}

#[test]
fn a_peer_that_sends_no_valid_hop_count_is_disconnected() {
    for garbage in [wire(&[], b"abc"), wire(&[0x1000], b"x"), wire(&[256], b"")] {
        let (mut io, mut pair) = (Mock::new(), Pair::v1(false));
        let peer = io.attach(&mut pair, 1, 9).unwrap();
        io.arrive(&mut pair, peer, garbage);
        assert!(matches!(io.closed(peer), Some(Error::Malformed(_))));
        assert!(!pair.can_recv());
        assert!(!pair.can_send());
    }
}

// ---- options ----

#[test]
fn options_out_of_range_or_of_other_protocols_are_refused() {
    let (mut io, mut v0, mut v1) = (Mock::new(), Pair::v0(false), Pair::v1(false));
    for option in [SendBuffer(100_000), RecvBuffer(8193)] {
        let error = io.set(&mut v0, option).unwrap_err();
        assert!(matches!(error, Error::InvalidOption(_)));
    }
    assert!(matches!(
        io.set(&mut v1, Ttl(0)),
        Err(Error::InvalidOption(_))
    ));
    assert!(matches!(
        io.set(&mut v0, Ttl(3)),
        Err(Error::NotSupported(_))
    ));
    let other = ProtocolOption::PreferNew(true);
    assert!(matches!(
        io.set(&mut v1, other),
        Err(Error::NotSupported(_))
    ));
}

// ---- against a model ----

#[derive(Debug, Clone)]
enum Step {
    Connect { room: usize },
    Disconnect,
    Send,
    MakeRoom(usize),
    Arrive,
    Recv,
    SendBuffer(usize),
    RecvBuffer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..4usize).prop_map(|room| Step::Connect { room }),
        1 => Just(Step::Disconnect),
        6 => Just(Step::Send),
        3 => (1..4usize).prop_map(Step::MakeRoom),
        6 => Just(Step::Arrive),
        4 => Just(Step::Recv),
        1 => (0..4usize).prop_map(Step::SendBuffer),
        1 => (0..4usize).prop_map(Step::RecvBuffer),
    ]
}

/// A pair socket and its peer's pipe as plain lists.
#[derive(Default)]
struct Model {
    peer: Option<PipeId>,
    room: usize,
    unsent: VecDeque<u32>,
    send_limit: usize,
    /// All that has arrived, on the pipe or in the socket.
    inbound: VecDeque<u32>,
    recv_limit: usize,
}

impl Model {
    fn flush(&mut self) -> Vec<u32> {
        let count = match self.peer {
            Some(_) => self.room.min(self.unsent.len()),
            None => 0,
        };
        self.room -= count;
        self.unsent.drain(..count).collect()
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

proptest! {
    #[test]
    fn it_behaves_as_two_bounded_queues_on_a_pipe(
        version in 0..2,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut pair = if version == 0 { Pair::v0(false) } else { Pair::v1(false) };
        let words: &[u32] = if version == 0 { &[] } else { &[1] };
        let (mut io, mut model) = (Mock::new(), Model::default());
        for (n, step) in (1..).zip(steps) {
            match (step, model.peer) {
                (Step::Connect { room }, None) => {
                    model.peer = Some(io.attach(&mut pair, n, room).unwrap());
                    model.room = room;
                }
                (Step::Connect { room }, Some(_)) => {
                    prop_assert_eq!(io.attach(&mut pair, n, room), Err(Error::Rejected));
                }
                (Step::Disconnect, Some(peer)) => {
                    io.detach(&mut pair, peer);
                    model.peer = None;
                    model.inbound.truncate(model.recv_limit);
                }
                (Step::Send, peer) => {
                    let sent = io.try_send(&mut pair, MAIN, n.to_be_bytes());
                    let room = peer.is_some() && model.room > 0;
                    prop_assert_eq!(sent.is_ok(), room || model.unsent.len() < model.send_limit);
                    if sent.is_ok() {
                        model.unsent.push_back(n);
                    }
                }
                (Step::MakeRoom(room), Some(peer)) => {
                    // Drained only when nothing was left unread by the comparison below.
                    prop_assert!(io.sent(peer).is_empty());
                    let sent = io.drain(&mut pair, peer, room);
                    prop_assert!(sent.is_empty());
                    model.room = room;
                }
                (Step::Arrive, Some(peer)) => {
                    io.arrive(&mut pair, peer, wire(words, &n.to_be_bytes()));
                    model.inbound.push_back(n);
                }
                (Step::Recv, _) => {
                    let received = io.try_recv(&mut pair, MAIN).ok();
                    let received = received.map(|message| number(message.body()));
                    prop_assert_eq!(received, model.inbound.pop_front());
                }
                (Step::SendBuffer(limit), _) => {
                    io.set(&mut pair, SendBuffer(limit)).unwrap();
                    model.send_limit = limit;
                    model.unsent.truncate(limit);
                }
                (Step::RecvBuffer(limit), _) => {
                    io.set(&mut pair, RecvBuffer(limit)).unwrap();
                    let owned = model.recv_limit.min(model.inbound.len());
                    model.inbound.drain(limit.min(owned)..owned);
                    model.recv_limit = limit;
                }
                (_, None) => {}
            }
            let flushed = model.flush();
            if let Some(peer) = model.peer {
                let expected: Vec<Vec<u8>> = flushed
                    .iter()
                    .map(|n| Vec::from(wire(words, &n.to_be_bytes())))
                    .collect();
                prop_assert_eq!(io.sent(peer), expected);
                let beyond = model.inbound.len().saturating_sub(model.recv_limit + 1);
                prop_assert_eq!(io.waiting(peer), beyond);
            }
            let room = model.peer.is_some() && model.room > 0;
            prop_assert_eq!(pair.can_send(), room || model.unsent.len() < model.send_limit);
            prop_assert_eq!(pair.can_recv(), !model.inbound.is_empty());
            prop_assert_eq!(pair.unsent(), model.unsent.len());
        }
    }
}
