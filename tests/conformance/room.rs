//! Sending where there is no room, and what a socket says of itself before it is asked to send or receive.

use std::time::{Duration, Instant};

use wirebird::{Error, Message};

use crate::checks::assert_took;
use crate::common::{Node, Via, assert_body, eventually, pattern};
use crate::rows::{Row, Shape};

const SHORT: Duration = Duration::from_millis(100);

/// A protocol that waits says so and gives the message back; one that drops takes any number of messages.
pub(crate) fn sending_without_room(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    if row.needs_peer {
        is_refused(row, &*one);
    } else {
        for _ in 0..100 {
            one.try_send(row.message(b"to nobody")).expect("accepted");
        }
    }
    via.join(&*other, &*one);
    if !row.waits {
        for number in 0..2000 {
            let sent = one.try_send(row.message(&pattern(1000, number)));
            sent.expect("accepted, or dropped for a peer that is slow");
        }
    } else if row.shape != Shape::Asking {
        fill_and_drain(row, &*one, &*other);
    }
}

#[track_caller]
fn is_refused(row: &Row, node: &dyn Node) {
    let given_back = |message: &Message| {
        assert_eq!(message.body(), b"kept");
        assert_eq!(message.header(), row.header);
    };
    let failed = node.try_send(row.message(b"kept"));
    let failed = failed.expect_err("there is no room");
    assert_eq!(failed.error, Error::WouldBlock);
    given_back(&failed.message);
    let waiting = Instant::now();
    let failed = node.send_timeout(row.message(b"kept"), SHORT);
    let failed = failed.expect_err("there is no room");
    assert_took(SHORT, waiting.elapsed());
    assert_eq!(failed.error, Error::TimedOut);
    given_back(&failed.message);
}

/// Sends until the receiver, which does not receive, and everything on the way to it are full.
fn fill_and_drain(row: &Row, one: &dyn Node, other: &dyn Node) {
    let body = pattern(65_536, 7);
    let mut rounds = 0;
    // The kernel tells of room only when there is much; one that looks may find a little before.
    while one.send_timeout(row.message(&body), SHORT).is_ok() || one.is_writable() {
        rounds += 1;
        assert!(rounds < 1000, "nothing bounds what is on the way");
    }
    is_refused(row, one);
    let sent = one.stats().traffic.tx_msgs;
    for _ in 0..sent {
        assert_body(&other.recv().expect("a message"), &body);
    }
    eventually("there is room again", || one.is_writable());
    one.send(row.message(b"last")).expect("sends");
    assert_eq!(other.recv().expect("a message").body(), b"last");
    assert_eq!(other.try_recv(), Err(Error::WouldBlock), "no refused one");
}

pub(crate) fn readiness(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    assert_eq!(one.is_writable(), !row.needs_peer);
    assert!(!one.is_readable() && !other.is_readable());
    via.join(&*other, &*one);
    assert!(one.is_writable());
    assert!(!one.is_readable() && !other.is_readable());
    if row.strict {
        assert!(!other.is_writable(), "nothing was asked");
    }
    one.send(row.message(b"x")).expect("sends");
    let received = taken(&*other);
    match row.shape {
        Shape::OneWay => assert!(!one.is_readable()),
        Shape::BothWays => {
            assert!(other.is_writable());
            other.send(row.message(b"x")).expect("sends");
            taken(&*one);
        }
        Shape::Asking => {
            assert!(other.is_writable());
            other.send(received).expect("answers");
            assert_eq!(other.is_writable(), !row.strict, "it was answered");
            taken(&*one);
        }
    }
}

/// The message that arrives: the socket is readable as long as it is there.
#[track_caller]
fn taken(node: &dyn Node) -> Message {
    eventually("a message is there", || node.is_readable());
    let message = node.try_recv().expect("what is readable is received");
    assert!(!node.is_readable());
    message
}
