//! Futures that are dropped before they are ready, at every poll there is.

use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use wirebird::{Error, Message};

use crate::common::{Later, Node, SOON, Via, assert_body, pattern};
use crate::rows::{Row, Shape};

/// Polls a future a number of times, and drops it.
fn poll_and_drop<T>(mut future: Later<'_, T>, polls: usize) -> Option<T> {
    for _ in 0..polls {
        let mut task = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut task) {
            return Some(value);
        }
        thread::yield_now();
    }
    None
}

/// Repeats an operation that is dropped after no poll, after one, after two and so on, until it is ready.
#[track_caller]
fn insist<'a, T>(mut start: impl FnMut() -> Later<'a, T>) -> T {
    let deadline = Instant::now() + SOON;
    for attempt in 0.. {
        if let Some(value) = poll_and_drop(start(), attempt % 4) {
            return value;
        }
        assert!(Instant::now() < deadline, "it is never ready");
    }
    unreachable!("attempts do not end")
}

#[track_caller]
fn send(node: &dyn Node, message: &Message) {
    insist(|| node.send_async(message.clone())).expect("sends");
}

#[track_caller]
fn recv(node: &dyn Node) -> Message {
    insist(|| node.recv_async()).expect("a message")
}

pub(crate) fn loses_nothing(row: &Row, via: Via) {
    const ROUNDS: u64 = 100;
    let (one, other) = row.sockets();
    via.join(&*one, &*other);
    for number in 0..ROUNDS {
        let (forth, back) = (pattern(100, number), pattern(100, number + ROUNDS));
        send(&*one, &row.message(&forth));
        let mut received = recv(&*other);
        assert_body(&received, &forth);
        match row.shape {
            Shape::OneWay => {}
            Shape::BothWays => {
                send(&*other, &row.message(&back));
                assert_body(&recv(&*one), &back);
            }
            Shape::Asking => {
                received.clear();
                received.append(&back);
                send(&*other, &received);
                assert_body(&recv(&*one), &back);
            }
        }
    }
    if row.waits && row.shape != Shape::Asking {
        in_one_go(row, &*one, &*other);
    }
    assert_eq!(other.try_recv(), Err(Error::WouldBlock), "none came twice");
}

/// More than there is room for, so that sends wait too.
fn in_one_go(row: &Row, one: &dyn Node, other: &dyn Node) {
    const COUNT: u64 = 500;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                send(one, &row.message(&pattern(5000, number)));
            }
        });
        for number in 0..COUNT {
            assert_body(&recv(other), &pattern(5000, number));
        }
    });
}
