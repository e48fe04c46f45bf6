//! Raw sockets: what each kind is, cannot do, and expects in the header.

mod common;

use std::time::Duration;

use common::{SOON, Via, eventually};
use wirebird::{
    Bus, Error, Message, Pair0, Pair1, ProtocolInfo, Pub, Pull, Push, RawKind, RawSocket, Rep, Req,
    Respondent, SendError, SocketOptions, Sub, Surveyor,
};

const SHORT: Duration = Duration::from_millis(20);

const KINDS: [RawKind; 11] = [
    RawKind::Pair0,
    RawKind::Pair1,
    RawKind::Req,
    RawKind::Rep,
    RawKind::Pub,
    RawKind::Sub,
    RawKind::Push,
    RawKind::Pull,
    RawKind::Surveyor,
    RawKind::Respondent,
    RawKind::Bus,
];

fn raw(kind: RawKind) -> RawSocket {
    let options = SocketOptions::new().send_timeout(SOON).recv_timeout(SOON);
    RawSocket::with_options(kind, &options).expect("a socket")
}

fn with_header(header: &[u8], body: &str) -> Message {
    let mut message = Message::from(body);
    message.header_append(header).expect("room");
    message
}

#[test]
fn every_protocol_has_nngs_numbers_and_names_cooked_and_raw() {
    let cooked: [(ProtocolInfo, u16, &str); 11] = [
        (Pair0::new().unwrap().protocol(), 0x10, "pair"),
        (Pair1::new().unwrap().protocol(), 0x11, "pair1"),
        (Req::new().unwrap().protocol(), 0x30, "req"),
        (Rep::new().unwrap().protocol(), 0x31, "rep"),
        (Pub::new().unwrap().protocol(), 0x20, "pub"),
        (Sub::new().unwrap().protocol(), 0x21, "sub"),
        (Push::new().unwrap().protocol(), 0x50, "push"),
        (Pull::new().unwrap().protocol(), 0x51, "pull"),
        (Surveyor::new().unwrap().protocol(), 0x62, "surveyor"),
        (Respondent::new().unwrap().protocol(), 0x63, "respondent"),
        (Bus::new().unwrap().protocol(), 0x70, "bus"),
    ];
    for (kind, (info, id, name)) in KINDS.into_iter().zip(cooked) {
        assert_eq!((info.id, info.name), (id, name));
        assert_eq!(raw(kind).protocol(), info, "on the wire they are the same");
        let peer = cooked.iter().find(|(peer, ..)| peer.id == info.peer);
        let (peer, ..) = peer.expect("it has a peer");
        assert_eq!((peer.peer, peer.name), (info.id, info.peer_name));
    }
}

#[test]
fn what_a_kind_cannot_do_is_not_supported() {
    fn cannot_send(sent: Result<(), SendError>) {
        let failed = sent.expect_err("it does not send");
        assert!(matches!(failed.error, Error::NotSupported(_)));
        assert_eq!(failed.message.body(), b"kept");
    }
    fn cannot_receive(received: Result<Message, Error>) {
        let refused = matches!(received, Err(Error::NotSupported(_)));
        assert!(refused, "{received:?}");
    }
    for kind in [RawKind::Sub, RawKind::Pull] {
        let socket = raw(kind);
        cannot_send(socket.send("kept"));
        cannot_send(socket.try_send("kept"));
        cannot_send(socket.send_timeout("kept", SHORT));
        assert!(!socket.is_writable());
    }
    for kind in [RawKind::Pub, RawKind::Push] {
        let socket = raw(kind);
        cannot_receive(socket.recv());
        cannot_receive(socket.try_recv());
        cannot_receive(socket.recv_timeout(SHORT));
        assert!(!socket.is_readable());
    }
}

#[test]
fn a_header_that_is_no_hop_count_is_given_back() {
    let (one, other) = (raw(RawKind::Pair1), raw(RawKind::Pair1));
    Via::Tcp.join(&one, &other);
    for header in [
        &[][..],
        &[0, 0, 1],
        &[0xde, 0xad, 0, 0],
        &[0, 0, 0, 0xff],
        &[0; 8],
    ] {
        let failed = one.send(with_header(header, "kept")).unwrap_err();
        assert!(matches!(failed.error, Error::Malformed(_)), "{header:?}");
        assert_eq!(failed.message.header(), header);
        assert_eq!(failed.message.body(), b"kept");
    }
    for (from, into) in [(&one, &other), (&other, &one)] {
        from.send(with_header(&[0, 0, 0, 1], "counted")).unwrap();
        let message = into.recv().unwrap();
        assert_eq!(message.header(), [0, 0, 0, 2]);
    }
}

#[test]
fn a_reply_with_nowhere_to_go_is_accepted_and_dropped() {
    for kind in [RawKind::Rep, RawKind::Respondent] {
        let socket = raw(kind);
        assert!(socket.is_writable(), "with nobody there");
        socket.send("no header").unwrap();
        socket.send(with_header(&[0, 0, 1], "short")).unwrap();
        let nobody = [0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 1];
        socket.send(with_header(&nobody, "unknown pipe")).unwrap();
        assert_eq!(socket.stats().dropped.no_pipe, 3);
    }
}

#[test]
fn a_request_shows_its_way_and_its_reply_needs_it() {
    let rep = raw(RawKind::Rep);
    let req = Req::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    Via::Ipc.join(&rep, &req);
    req.send("question").unwrap();
    let mut message = rep.recv().unwrap();
    let pipe = rep.pipes()[0].id().number().to_be_bytes();
    assert_eq!(message.header()[..4], pipe);
    assert_eq!(
        message.header()[4] & 0x80,
        0x80,
        "then the request's number"
    );
    assert_eq!(message.header().len(), 8);
    message.clear();
    message.append(b"answer");
    rep.send(message).unwrap();
    assert_eq!(req.recv().unwrap().body(), b"answer");
}

#[test]
fn a_request_without_a_number_is_not_delivered() {
    let (req, rep) = (raw(RawKind::Req), Rep::new().unwrap());
    Via::Inproc.join(&rep, &req);
    let events = rep.monitor();
    req.send("no number").unwrap();
    let reason = common::await_removed(&events);
    assert!(matches!(reason, Error::Malformed(_)), "{reason:?}");
    assert_eq!(rep.try_recv(), Err(Error::WouldBlock));
}

#[test]
fn a_raw_bus_does_not_send_back_to_the_pipe_its_header_names() {
    let hub = raw(RawKind::Bus);
    let leaves = [(); 2].map(|()| raw(RawKind::Bus));
    for leaf in &leaves {
        Via::Tcp.join(&hub, leaf);
    }
    leaves[0].send("to the other").unwrap();
    let message = hub.recv().unwrap();
    assert_eq!(message.header().len(), 4, "where it came from");
    hub.send(message).unwrap();
    assert_eq!(leaves[1].recv().unwrap().body(), b"to the other");
    hub.send(with_header(&[1, 2, 3, 4], "to all")).unwrap();
    for leaf in &leaves {
        assert_eq!(leaf.recv().unwrap().body(), b"to all");
    }
}

#[test]
fn a_raw_subscriber_hears_everything_and_keeps_the_first_when_it_is_slow() {
    let options = SocketOptions::new().recv_timeout(SOON).recv_buffer(2);
    let sub = RawSocket::with_options(RawKind::Sub, &options).unwrap();
    let publisher = Pub::new().unwrap();
    Via::Inproc.join(&sub, &publisher);
    for body in ["one", "two", "three", "four"] {
        publisher.send(body).unwrap();
    }
    eventually("two were dropped", || {
        sub.stats().dropped.recv_queue_full == 2
    });
    assert_eq!(sub.recv().unwrap().body(), b"one");
    assert_eq!(sub.recv().unwrap().body(), b"two");
}
