use proptest::prelude::*;

use super::super::Dropped;
use super::super::fanout::model;
use super::super::mock::Mock;
use super::*;

use ProtocolOption::{RecvBuffer, SendBuffer};

const MAIN: CtxId = CtxId::SOCKET;

#[test]
fn sending_never_waits_even_without_subscribers() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    assert!(publish.can_send());
    io.try_send(&mut publish, MAIN, "to nobody").unwrap();
    assert_eq!(io.dropped, [Dropped::NoPipe]);
}

#[test]
fn every_subscriber_gets_every_message_and_they_share_its_body() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    let pipes = [3, 1, 2].map(|number| io.attach(&mut publish, number, 9).unwrap());
    let mut long = Message::new();
    long.append(&[b'x'; 1000]);
    io.try_send(&mut publish, MAIN, long).unwrap();
    let bodies = pipes.map(|pipe| io.pipes[&pipe].sent[0].body().as_ptr());
    assert!(bodies.iter().all(|&body| body == bodies[0]));
}

#[test]
fn a_slow_subscriber_loses_its_oldest_messages_and_nobody_else_does() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    io.set(&mut publish, SendBuffer(2)).unwrap();
    let slow = io.attach(&mut publish, 1, 1).unwrap();
    let fast = io.attach(&mut publish, 2, 9).unwrap();
    for body in ["1", "2", "3", "4", "5"] {
        io.try_send(&mut publish, MAIN, body).unwrap();
    }
    assert_eq!(io.dropped, [Dropped::SendQueueFull; 2]);
    assert_eq!(publish.unsent(), 2);
    assert_eq!(io.sent(fast), [b"1", b"2", b"3", b"4", b"5"]);
    io.drain(&mut publish, slow, 9);
    assert_eq!(io.sent(slow), [b"4", b"5"]);
    assert_eq!(publish.unsent(), 0);
}

#[test]
fn a_new_depth_applies_to_live_pipes_and_drops_their_newest() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    let slow = io.attach(&mut publish, 1, 1).unwrap();
    for body in ["1", "2", "3", "4"] {
        io.try_send(&mut publish, MAIN, body).unwrap();
    }
    io.set(&mut publish, SendBuffer(1)).unwrap();
    assert_eq!(io.dropped, [Dropped::SendQueueFull; 2]);
    io.drain(&mut publish, slow, 9);
    assert_eq!(io.sent(slow), [b"2"]);
}

#[test]
fn a_subscriber_that_sends_is_disconnected() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    let pipe = io.attach(&mut publish, 1, 9).unwrap();
    io.arrive(&mut publish, pipe, "hello?".into());
    assert!(matches!(io.closed(pipe), Some(Error::Malformed(_))));
    io.try_send(&mut publish, MAIN, "to nobody").unwrap();
    assert!(io.sent(pipe).is_empty());
}

#[test]
fn only_the_raw_form_sends_the_header_it_is_given() {
    for (raw, expected) in [(true, "hb"), (false, "b")] {
        let (mut io, mut publish) = (Mock::new(), Publish::new(raw));
        let pipes = [1, 2].map(|number| io.attach(&mut publish, number, 9).unwrap());
        let mut message = Message::from("b");
        message.header_append(b"h").unwrap();
        io.try_send(&mut publish, MAIN, message).unwrap();
        for pipe in pipes {
            assert_eq!(io.sent(pipe), [expected.as_bytes()]);
        }
    }
}

#[test]
fn it_does_not_receive() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    let received = io.try_recv(&mut publish, MAIN);
    assert!(matches!(received, Err(Error::NotSupported(_))));
    let subscribed = publish.subscribe(MAIN, b"");
    assert!(matches!(subscribed, Err(Error::NotSupported(_))));
}

#[test]
fn depths_out_of_range_are_refused() {
    let (mut io, mut publish) = (Mock::new(), Publish::new(false));
    for option in [SendBuffer(0), SendBuffer(1_000_000), RecvBuffer(8193)] {
        let error = io.set(&mut publish, option);
        assert!(matches!(error, Err(Error::InvalidOption(_))));
    }
    for option in [SendBuffer(1), SendBuffer(3), RecvBuffer(0)] {
        io.set(&mut publish, option).unwrap();
    }
}

proptest! {
    #[test]
    fn it_behaves_as_one_queue_per_pipe_that_drops_its_oldest(steps in model::steps()) {
        model::check(&mut Publish::new(false), Overflow::DropOldest, steps)?;
    }
}
