use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::Dropped;
use super::super::fanout::model;
use super::super::mock::Mock;
use super::*;
use crate::error::Error;

use ProtocolOption::{RecvBuffer, SendBuffer};

const MAIN: CtxId = CtxId::SOCKET;

// ---- send ----

#[test]
fn a_message_goes_to_all_peers_and_not_to_the_sender_itself() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    let peers = [1, 2].map(|number| io.attach(&mut bus, number, 9).unwrap());
    io.try_send(&mut bus, MAIN, "hello").unwrap();
    for peer in peers {
        assert_eq!(io.sent(peer), [b"hello"]);
    }
    assert!(!bus.can_recv());
}

#[test]
fn what_one_peer_sends_is_not_forwarded_to_another() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    let peers = [1, 2].map(|number| io.attach(&mut bus, number, 9).unwrap());
    io.arrive(&mut bus, peers[0], "for the hub".into());
    assert_eq!(io.recv_all(&mut bus), [b"for the hub"]);
    assert!(io.sent(peers[1]).is_empty());
}

#[test]
fn sending_never_waits() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    io.try_send(&mut bus, MAIN, "to nobody").unwrap();
    assert_eq!(io.dropped, [Dropped::NoPipe]);
    io.attach(&mut bus, 1, 1).unwrap();
    for _ in 0..1000 {
        assert!(bus.can_send());
        io.try_send(&mut bus, MAIN, "flood").unwrap();
    }
    assert_eq!(bus.unsent(), 16);
}

#[test]
fn a_full_peer_misses_the_newest_messages() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    io.set(&mut bus, SendBuffer(1)).unwrap();
    let slow = io.attach(&mut bus, 1, 1).unwrap();
    let fast = io.attach(&mut bus, 2, 9).unwrap();
    for body in ["1", "2", "3"] {
        io.try_send(&mut bus, MAIN, body).unwrap();
    }
    assert_eq!(io.dropped, [Dropped::SendQueueFull]);
    assert_eq!(io.sent(fast), [b"1", b"2", b"3"]);
    assert_eq!(io.drain(&mut bus, slow, 9), [Message::from("1")]);
    assert_eq!(io.sent(slow), [b"2"]);
}

// ---- receive ----

#[test]
fn a_full_receive_queue_drops_the_new_message_and_the_pipe_is_read_on() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    io.set(&mut bus, RecvBuffer(2)).unwrap();
    let peer = io.attach(&mut bus, 1, 1).unwrap();
    for body in ["1", "2", "3"] {
        io.arrive(&mut bus, peer, body.into());
    }
    assert_eq!(io.waiting(peer), 0);
    assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
    assert_eq!(io.recv_all(&mut bus), [b"1", b"2"]);
}

#[test]
fn a_receive_that_waits_gets_its_message_besides_those_that_fit_in_the_queue() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    io.set(&mut bus, RecvBuffer(1)).unwrap();
    let peer = io.attach(&mut bus, 1, 1).unwrap();
    let op = io.op();
    assert_eq!(io.recv(&mut bus, MAIN, op), Ok(None));
    for body in ["1", "2", "3"] {
        io.arrive(&mut bus, peer, body.into());
    }
    assert_eq!(io.recv(&mut bus, MAIN, op), Ok(Some("1".into())));
    assert_eq!(io.recv_all(&mut bus), [b"2"]);
}

#[test]
fn a_receive_that_was_given_up_takes_no_room() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    io.set(&mut bus, RecvBuffer(1)).unwrap();
    let peer = io.attach(&mut bus, 1, 1).unwrap();
    let op = io.op();
    assert_eq!(io.recv(&mut bus, MAIN, op), Ok(None));
    bus.cancel_recv(MAIN, op, &mut io);
    for body in ["1", "2"] {
        io.arrive(&mut bus, peer, body.into());
    }
    assert_eq!(io.recv_all(&mut bus), [b"1"]);
}

// ---- headers ----

#[test]
fn the_cooked_form_has_no_header_either_way() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    let peer = io.attach(&mut bus, 1, 9).unwrap();
    let mut message = Message::from("out");
    message.header_append_u32(1).unwrap();
    io.try_send(&mut bus, MAIN, message).unwrap();
    assert_eq!(io.sent(peer), [b"out"]);
    io.arrive(&mut bus, peer, "in".into());
    assert_eq!(io.try_recv(&mut bus, MAIN), Ok(Message::from("in")));
}

#[test]
fn a_raw_socket_that_sends_what_it_received_reflects_it_to_all_others() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(true));
    let [origin, other, third] = [7, 8, 9].map(|number| io.attach(&mut bus, number, 9).unwrap());
    io.arrive(&mut bus, origin, "news".into());
    let received = io.try_recv(&mut bus, MAIN).unwrap();
    assert_eq!(received.header(), 7u32.to_be_bytes());
    io.try_send(&mut bus, MAIN, received).unwrap();
    assert!(io.sent(origin).is_empty());
    assert_eq!(io.sent(other), [b"news"]);
    assert_eq!(io.sent(third), [b"news"]);
}

#[test]
fn a_raw_message_whose_header_names_no_pipe_goes_to_all() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(true));
    let pipes = [7, 8].map(|number| io.attach(&mut bus, number, 9).unwrap());
    io.try_send(&mut bus, MAIN, "no header").unwrap();
    for number in [0, 99] {
        let mut message = Message::from("unknown pipe");
        message.header_append_u32(number).unwrap();
        io.try_send(&mut bus, MAIN, message).unwrap();
    }
    for pipe in pipes {
        assert_eq!(io.sent(pipe).len(), 3);
    }
}

// ---- options ----

#[test]
fn depths_out_of_range_are_refused() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    for option in [SendBuffer(0), RecvBuffer(0), RecvBuffer(8193)] {
        let error = io.set(&mut bus, option);
        assert!(matches!(error, Err(Error::InvalidOption(_))));
    }
}

#[test]
fn shrinking_the_receive_queue_drops_the_newest() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    let peer = io.attach(&mut bus, 1, 1).unwrap();
    for body in ["1", "2", "3"] {
        io.arrive(&mut bus, peer, body.into());
    }
    io.set(&mut bus, RecvBuffer(1)).unwrap();
    assert_eq!(io.dropped, [Dropped::RecvQueueFull; 2]);
    assert_eq!(io.recv_all(&mut bus), [b"1"]);
}

#[test]
fn it_has_no_other_options() {
    let (mut io, mut bus) = (Mock::new(), Bus::new(false));
    let error = io.set(&mut bus, ProtocolOption::Ttl(3));
    assert!(matches!(error, Err(Error::NotSupported(_))));
}

// ---- against a model ----

proptest! {
    #[test]
    fn it_sends_as_one_queue_per_pipe_that_drops_the_newest(steps in model::steps()) {
        model::check(&mut Bus::new(false), Overflow::DropNewest, steps)?;
    }

    #[test]
    fn it_receives_as_one_queue_that_drops_the_newest(
        steps in prop::collection::vec(prop::option::of(1..4u32), 1..100),
    ) {
        let (mut io, mut bus) = (Mock::new(), Bus::new(false));
        io.set(&mut bus, RecvBuffer(3)).unwrap();
        let pipes = [1, 2, 3].map(|number| io.attach(&mut bus, number, 1).unwrap());
        let mut queue = VecDeque::new();
        for (n, step) in (0u8..).zip(steps) {
            if let Some(number) = step {
                io.arrive(&mut bus, pipes[number as usize - 1], [n].into());
                if queue.len() < 3 {
                    queue.push_back(vec![n]);
                }
            } else {
                let received = io.try_recv(&mut bus, MAIN);
                prop_assert_eq!(received.ok().map(Vec::from), queue.pop_front());
            }
            prop_assert_eq!(bus.can_recv(), !queue.is_empty());
        }
    }
}
