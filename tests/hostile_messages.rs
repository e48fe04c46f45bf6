//! Peers that shake hands and then send what their protocol does not allow, or too much of it.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Node, SOON, Via, await_added, await_removed, ends, eventually};
use wirebird::{
    Bus, Error, Monitor, Pair1, Pub, Push, RawKind, RawSocket, Rep, Req, Respondent, SocketOptions,
    Surveyor,
};

/// Connects a raw stream to a socket as a peer of its protocol.
fn peer_of(node: &dyn Node) -> (TcpStream, Monitor) {
    let events = node.monitor();
    let listener = node.listen(&Via::Tcp.place().url).unwrap();
    let address = listener.url();
    let mut stream = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut header = *b"\0SP\0\0\0\0\0";
    header[4..6].copy_from_slice(&node.protocol().peer.to_be_bytes());
    stream.write_all(&header).unwrap();
    stream.read_exact(&mut header).unwrap();
    await_added(&events);
    (stream, events)
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes(), body].concat()
}

#[test]
fn a_body_that_ends_before_its_header_does_closes_the_pipe() {
    let short: [&[u8]; 4] = [b"", b"\x80", b"\x80\0\0", b"\0\0\0"];
    let endless: [&[u8]; 2] = [&[0; 4], &[0; 12]];
    let raw = |kind| Box::new(RawSocket::new(kind).unwrap()) as Box<dyn Node>;
    let all: [&dyn Fn() -> Box<dyn Node>; 10] = [
        &|| Box::new(Req::new().unwrap()),
        &|| Box::new(Rep::new().unwrap()),
        &|| Box::new(Surveyor::new().unwrap()),
        &|| Box::new(Respondent::new().unwrap()),
        &|| Box::new(Pair1::new().unwrap()),
        &|| raw(RawKind::Req),
        &|| raw(RawKind::Rep),
        &|| raw(RawKind::Surveyor),
        &|| raw(RawKind::Respondent),
        &|| raw(RawKind::Pair1),
    ];
    for make in all {
        for body in short {
            is_malformed(&*make(), body);
        }
    }
    for make in [&all[1], &all[3], &all[5], &all[6], &all[7], &all[8]] {
        for body in endless {
            is_malformed(&*make(), body);
        }
    }
    for hops in [0x100_u32, 0x1000, 0x8000_0001] {
        is_malformed(&*all[4](), &hops.to_be_bytes());
        is_malformed(&*all[9](), &hops.to_be_bytes());
    }
}

#[track_caller]
fn is_malformed(node: &dyn Node, body: &[u8]) {
    let (mut stream, events) = peer_of(node);
    stream.write_all(&frame(body)).unwrap();
    let reason = await_removed(&events);
    assert!(matches!(reason, Error::Malformed(_)), "{reason:?}");
    assert_eq!(node.stats().malformed, 1);
    ends(&mut stream);
}

#[test]
fn a_publisher_closes_a_peer_that_sends() {
    let publisher = Pub::new().unwrap();
    is_malformed(&publisher, b"subscribe");
}

#[test]
fn a_pusher_keeps_a_peer_that_sends_and_drops_what_it_sends() {
    let push = Push::new().unwrap();
    let (mut stream, _events) = peer_of(&push);
    stream.write_all(&frame(b"nonsense")).unwrap();
    eventually("it was dropped", || push.stats().dropped.unwanted == 1);
    push.send("work").unwrap();
    let mut got = [0; 12];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got[..], frame(b"work"));
}

#[test]
fn unknown_answers_are_dropped_and_the_peer_kept() {
    let req = Req::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    let (mut stream, _events) = peer_of(&req);
    req.send("question").unwrap();
    let mut sent = [0; 20];
    stream.read_exact(&mut sent).unwrap();
    let id: [u8; 4] = sent[8..12].try_into().unwrap();
    let other = (u32::from_be_bytes(id) ^ 5).to_be_bytes();
    stream
        .write_all(&frame(&[&other[..], b"wrong"].concat()))
        .unwrap();
    stream
        .write_all(&frame(&[&id[..], b"right"].concat()))
        .unwrap();
    stream
        .write_all(&frame(&[&id[..], b"twice"].concat()))
        .unwrap();
    assert_eq!(req.recv().unwrap().body(), b"right");
    eventually("the others were dropped", || {
        req.stats().dropped.unwanted == 2
    });
    assert_eq!(req.stats().pipes, 1);
}

#[test]
fn a_message_with_too_many_hops_is_dropped_and_the_peer_kept() {
    let options = SocketOptions::new().recv_timeout(SOON).ttl(3);
    let id = 0x8000_0007_u32.to_be_bytes();
    let word = 9_u32.to_be_bytes();
    let rep = Rep::with_options(&options).unwrap();
    let (mut stream, _events) = peer_of(&rep);
    let far = [&word[..], &word, &word, &id, b"far"].concat();
    let near = [&word[..], &word, &id, b"near"].concat();
    stream.write_all(&frame(&far)).unwrap();
    stream.write_all(&frame(&near)).unwrap();
    assert_eq!(rep.recv().unwrap().body(), b"near");
    assert_eq!(rep.stats().dropped.ttl, 1);
    rep.send("reply").unwrap();
    let mut got = [0; 8 + 12 + 5];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got[8..], [&word[..], &word, &id, b"reply"].concat());

    let pair = Pair1::with_options(&options).unwrap();
    let (mut stream, _events) = peer_of(&pair);
    for hops in [4_u32, 3] {
        stream.write_all(&frame(&hops.to_be_bytes())).unwrap();
    }
    assert_eq!(pair.recv().unwrap().header(), [0, 0, 0, 3]);
    assert_eq!(pair.stats().dropped.ttl, 1);
}

#[test]
fn a_flood_of_surveys_and_bus_messages_is_bounded() {
    let bus = Bus::new().unwrap();
    let (mut stream, _events) = peer_of(&bus);
    for _ in 0..2000 {
        stream.write_all(&frame(&[5; 1000])).unwrap();
    }
    eventually("everything was read", || {
        bus.stats().traffic.rx_msgs == 2000
    });
    let kept = std::iter::from_fn(|| bus.try_recv().ok()).count();
    assert_eq!(kept, 16);
    assert_eq!(bus.stats().dropped.recv_queue_full, 2000 - 16);
}
