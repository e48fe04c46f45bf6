use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::mock::{Mock, pipe, wire};
use super::*;
use crate::error::Error;

use ProtocolOption::{RecvBuffer, SendBuffer, Ttl};

const MAIN: CtxId = CtxId::SOCKET;

fn to(pipe: PipeId, body: &str) -> Message {
    let mut message = Message::from(body);
    message.set_pipe(Some(pipe));
    message
}

fn on_wire(body: &str) -> Vec<u8> {
    wire(&[1], body.as_bytes()).into()
}

// ---- send ----

#[test]
fn a_message_goes_to_the_pipe_it_names() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    io.try_send(&mut poly, MAIN, to(second, "hello")).unwrap();
    assert!(io.sent(first).is_empty());
    assert_eq!(io.sent(second), [on_wire("hello")]);
}

#[test]
fn answering_reaches_the_peer_that_asked() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    io.arrive(&mut poly, second, wire(&[4], b"ping"));
    let received = io.try_recv(&mut poly, MAIN).unwrap();
    assert_eq!(received.header(), 4u32.to_be_bytes());
    io.try_send(&mut poly, MAIN, received).unwrap();
    assert!(io.sent(first).is_empty());
    assert_eq!(io.sent(second), [on_wire("ping")]);
}

#[test]
fn a_message_for_a_peer_that_is_gone_reaches_nobody_else() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    io.detach(&mut poly, second);
    io.try_send(&mut poly, MAIN, to(second, "late")).unwrap();
    assert!(io.sent(first).is_empty());
    assert_eq!(io.dropped, [Dropped::NoPipe]);
}

#[test]
fn a_message_that_names_no_pipe_goes_to_the_peer_connected_longest() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [2, 1].map(|number| io.attach(&mut poly, number, 9).unwrap());
    io.try_send(&mut poly, MAIN, "one").unwrap();
    assert_eq!(io.sent(first), [on_wire("one")]);
    io.detach(&mut poly, first);
    io.try_send(&mut poly, MAIN, "two").unwrap();
    assert_eq!(io.sent(second), [on_wire("two")]);
}

#[test]
fn senders_wait_until_the_first_peer_connects_and_never_again() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    assert!(!poly.can_send());
    let sent = io.try_send(&mut poly, MAIN, "early");
    assert_eq!(sent, Err(Error::WouldBlock));
    let peer = io.attach(&mut poly, 1, 1).unwrap();
    assert_eq!(io.send_wakes, [MAIN]);
    for _ in 0..10 {
        io.try_send(&mut poly, MAIN, "flood").unwrap();
    }
    // One is on the pipe, two wait for it.
    assert_eq!(io.dropped, [Dropped::SendQueueFull; 7]);
    assert_eq!(poly.unsent(), 2);
    io.detach(&mut poly, peer);
    assert!(poly.can_send());
    io.try_send(&mut poly, MAIN, "to nobody").unwrap();
    assert_eq!(io.dropped.last(), Some(&Dropped::NoPipe));
}

#[test]
fn the_send_buffer_holds_messages_for_the_first_peer() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    io.set(&mut poly, SendBuffer(2)).unwrap();
    for body in ["a", "b"] {
        assert!(poly.can_send());
        io.try_send(&mut poly, MAIN, body).unwrap();
    }
    assert!(!poly.can_send());
    assert_eq!(poly.unsent(), 2);
    let peer = io.attach(&mut poly, 1, 9).unwrap();
    assert_eq!(io.sent(peer), [on_wire("a"), on_wire("b")]);
    assert_eq!(poly.unsent(), 0);
}

#[test]
fn a_send_that_must_wait_gives_the_message_back_without_header() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let mut message = Message::from("body");
    message.header_append_u32(7).unwrap();
    let sent = poly.send(MAIN, OpId::TRY, &mut message, &mut io);
    assert!(matches!(sent, Sent::Full) && message == Message::from("body"));
}

// ---- receive ----

#[test]
fn messages_of_all_peers_are_merged_in_the_order_of_their_arrival() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    for (peer, body) in [(first, b"1"), (second, b"2"), (first, b"3")] {
        io.arrive(&mut poly, peer, wire(&[1], body));
    }
    assert_eq!(io.recv_all(&mut poly), [b"1", b"2", b"3"]);
    assert!(!poly.can_recv());
}

#[test]
fn each_peer_feels_back_pressure_when_the_buffer_is_full_and_its_pipe_holds_one() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    for _ in 0..4 {
        io.arrive(&mut poly, first, wire(&[1], b"1"));
        io.arrive(&mut poly, second, wire(&[1], b"2"));
    }
    assert_eq!((io.waiting(first), io.waiting(second)), (2, 3));
    io.set(&mut poly, RecvBuffer(8)).unwrap();
    assert_eq!((io.waiting(first), io.waiting(second)), (0, 0));
}

#[test]
fn a_message_beyond_the_time_to_live_is_dropped_and_garbage_disconnects() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    io.set(&mut poly, Ttl(2)).unwrap();
    let [first, second] = [1, 2].map(|number| io.attach(&mut poly, number, 9).unwrap());
    io.arrive(&mut poly, first, wire(&[3], b"too far"));
    assert_eq!(io.dropped, [Dropped::Ttl]);
    assert_eq!(io.closed(first), None);
    io.arrive(&mut poly, first, wire(&[], b"abc"));
    assert!(matches!(io.closed(first), Some(Error::Malformed(_))));
    io.try_send(&mut poly, MAIN, "to the other").unwrap();
    assert_eq!(io.sent(second), [on_wire("to the other")]);
}

// ---- options ----

#[test]
fn options_out_of_range_are_refused() {
    let (mut io, mut poly) = (Mock::new(), PairPoly::new());
    for option in [SendBuffer(8193), RecvBuffer(8193), Ttl(0), Ttl(16)] {
        let error = io.set(&mut poly, option);
        assert!(matches!(error, Err(Error::InvalidOption(_))));
    }
}

// ---- against a model ----

#[derive(Debug, Clone)]
enum Step {
    Connect(u32, usize),
    Disconnect(u32),
    MakeRoom(u32, usize),
    Send(Option<u32>),
    Arrive(u32),
    Recv,
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 1..5u32;
    prop_oneof![
        2 => (number(), 1..4usize).prop_map(|(pipe, room)| Step::Connect(pipe, room)),
        1 => number().prop_map(Step::Disconnect),
        3 => (number(), 1..4usize).prop_map(|(pipe, room)| Step::MakeRoom(pipe, room)),
        8 => prop::option::of(number()).prop_map(Step::Send),
        4 => number().prop_map(Step::Arrive),
        3 => Just(Step::Recv),
    ]
}

struct Peer {
    id: PipeId,
    joined: u32,
    room: usize,
    queue: VecDeque<u8>,
}

proptest! {
    #[test]
    fn each_message_goes_to_its_pipe_or_is_dropped_and_what_is_received_keeps_each_peers_order(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut io, mut poly) = (Mock::new(), PairPoly::new());
        let mut peers: BTreeMap<u32, Peer> = BTreeMap::new();
        let mut last_from: BTreeMap<PipeId, u8> = BTreeMap::new();
        let mut started = false;
        for (n, step) in (0u8..).zip(steps) {
            match step {
                Step::Connect(number, room) => {
                    started = true;
                    peers.entry(number).or_insert_with(|| Peer {
                        id: io.attach(&mut poly, number, room).unwrap(),
                        joined: u32::from(n),
                        room,
                        queue: VecDeque::new(),
                    });
                }
                Step::Disconnect(number) => {
                    if let Some(peer) = peers.remove(&number) {
                        io.detach(&mut poly, peer.id);
                    }
                }
                Step::MakeRoom(number, room) => {
                    if let Some(peer) = peers.get_mut(&number) {
                        io.drain(&mut poly, peer.id, room);
                        peer.room = room;
                    }
                }
                Step::Send(number) => {
                    let mut message = Message::from([n]);
                    message.set_pipe(number.map(pipe));
                    prop_assert_eq!(io.try_send(&mut poly, MAIN, message).is_ok(), started);
                    let first = peers.iter().min_by_key(|(_, peer)| peer.joined);
                    let number = number.or_else(|| first.map(|(&number, _)| number));
                    let peer = number.and_then(|number| peers.get_mut(&number));
                    if let Some(peer) = peer && (peer.room > 0 || peer.queue.len() < 2) {
                        peer.queue.push_back(n);
                    }
                }
                Step::Arrive(number) => {
                    if let Some(peer) = peers.get(&number) {
                        io.arrive(&mut poly, peer.id, wire(&[1], &[n]));
                    }
                }
                Step::Recv => {
                    let ready = poly.can_recv();
                    let received = io.try_recv(&mut poly, MAIN).ok();
                    prop_assert_eq!(received.is_some(), ready);
                    if let Some(message) = received {
                        let before = last_from.insert(message.pipe().unwrap(), message.body()[0]);
                        prop_assert!(before < Some(message.body()[0]));
                    }
                }
            }
            for peer in peers.values_mut() {
                let count = peer.room.min(peer.queue.len());
                peer.room -= count;
                let expected: Vec<Vec<u8>> =
                    peer.queue.drain(..count).map(|n| wire(&[1], &[n]).into()).collect();
                prop_assert_eq!(io.sent(peer.id), expected);
            }
            let unsent: usize = peers.values().map(|peer| peer.queue.len()).sum();
            prop_assert_eq!(poly.unsent(), unsent);
            prop_assert_eq!(poly.can_send(), started);
        }
    }
}
