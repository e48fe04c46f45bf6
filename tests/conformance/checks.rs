//! The checks of the matrix.

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wirebird::{Error, Event, Monitor, Pair0, Rep};

use crate::common::{
    Node, SOON, Via, asleep, assert_body, await_added, await_event, await_handshake_failed,
    await_removed, pattern, this_thread,
};
use crate::rows::{Mode, Row, Shape};

/// Around every boundary that framing, batching and buffers have.
const SIZES: [usize; 12] = [
    0,
    1,
    63,
    64,
    65,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    65_537,
    1 << 20,
];
const SHORT: Duration = Duration::from_millis(40);

// ---- traffic ----

pub(crate) fn every_size(row: &Row, via: Via, mode: Mode) {
    for first_listens in [true, false] {
        let (one, other) = row.sockets();
        if first_listens {
            via.join(&*one, &*other);
        } else {
            via.join(&*other, &*one);
        }
        for (salt, size) in SIZES.into_iter().enumerate() {
            exchange(row, mode, &*one, &*other, size, salt as u64);
        }
        if row.waits && row.shape != Shape::Asking {
            in_one_go(row, mode, &*one, &*other);
        }
    }
}

/// One message in every direction there is.
fn exchange(row: &Row, mode: Mode, one: &dyn Node, other: &dyn Node, size: usize, salt: u64) {
    let (forth, back) = (pattern(size, salt), pattern(size, salt + 100));
    mode.send(one, row.message(&forth));
    let received = mode.recv(other);
    assert_body(&received, &forth);
    assert_eq!(received.pipe(), Some(other.pipes()[0].id()));
    match row.shape {
        Shape::OneWay => {}
        Shape::BothWays => {
            mode.send(other, row.message(&back));
            assert_body(&mode.recv(one), &back);
        }
        Shape::Asking => {
            let mut answer = received;
            answer.clear();
            answer.append(&back);
            mode.send(other, answer);
            assert_body(&mode.recv(one), &back);
        }
    }
}

fn in_one_go(row: &Row, mode: Mode, one: &dyn Node, other: &dyn Node) {
    thread::scope(|scope| {
        scope.spawn(|| {
            for (salt, size) in SIZES.into_iter().enumerate() {
                mode.send(one, row.message(&pattern(size, salt as u64)));
            }
        });
        for (salt, size) in SIZES.into_iter().enumerate() {
            assert_body(&mode.recv(other), &pattern(size, salt as u64));
        }
    });
}

pub(crate) fn all_directions(row: &Row, via: Via, mode: Mode) {
    const ROUNDS: u64 = 400;
    let (one, other) = row.sockets();
    via.join(&*one, &*other);
    let size = |number: u64| (number * number * 37 % 9000) as usize;
    match row.shape {
        Shape::OneWay if row.waits => thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..ROUNDS {
                    mode.send(&*one, row.message(&pattern(size(number), number)));
                }
            });
            for number in 0..ROUNDS {
                assert_body(&mode.recv(&*other), &pattern(size(number), number));
            }
        }),
        Shape::BothWays if row.waits => thread::scope(|scope| {
            for (from, salt) in [(&one, 0), (&other, ROUNDS)] {
                scope.spawn(move || {
                    for number in salt..salt + ROUNDS {
                        mode.send(&**from, row.message(&pattern(size(number), number)));
                    }
                });
            }
            for (into, salt) in [(&other, 0), (&one, ROUNDS)] {
                scope.spawn(move || {
                    for number in salt..salt + ROUNDS {
                        assert_body(&mode.recv(&**into), &pattern(size(number), number));
                    }
                });
            }
        }),
        // These drop what a slow peer has no room for: each side is at most a window ahead.
        Shape::BothWays => thread::scope(|scope| {
            for (here, sent, expected) in [(&one, 0, ROUNDS), (&other, ROUNDS, 0)] {
                scope.spawn(move || {
                    for window in 0..ROUNDS / 2 {
                        for number in [2 * window, 2 * window + 1] {
                            mode.send(&**here, row.message(&pattern(100, sent + number)));
                        }
                        for number in [2 * window, 2 * window + 1] {
                            assert_body(&mode.recv(&**here), &pattern(100, expected + number));
                        }
                    }
                });
            }
        }),
        Shape::OneWay | Shape::Asking => {
            for number in 0..ROUNDS {
                exchange(row, mode, &*one, &*other, size(number), number);
            }
        }
    }
}

// ---- waiting ----

pub(crate) fn receive_deadlines(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    via.join(&*one, &*other);
    times_out(&*other);
    match row.shape {
        Shape::OneWay => {}
        Shape::BothWays => times_out(&*one),
        Shape::Asking => {
            if row.strict {
                assert!(matches!(one.try_recv(), Err(Error::InvalidState(_))));
                assert!(matches!(one.recv(), Err(Error::InvalidState(_))));
            } else {
                times_out(&*one);
            }
            one.send(row.message(b"unanswered")).expect("sends");
            times_out(&*one);
        }
    }
    let waiting = Instant::now();
    assert_eq!(other.wait_for_peers(2, SHORT), Err(Error::TimedOut));
    assert_took(SHORT, waiting.elapsed());
}

#[track_caller]
fn times_out(node: &dyn Node) {
    let trying = Instant::now();
    assert_eq!(node.try_recv(), Err(Error::WouldBlock));
    assert!(trying.elapsed() < SHORT, "a try took as long as a wait");
    let waiting = Instant::now();
    assert_eq!(node.recv_timeout(SHORT), Err(Error::TimedOut));
    assert_took(SHORT, waiting.elapsed());
}

/// Not early, and late only by what a busy machine may need.
#[track_caller]
pub(crate) fn assert_took(expected: Duration, took: Duration) {
    let late = expected + Duration::from_millis(500);
    assert!((expected..late).contains(&took), "took {took:?}");
}

// ---- closing ----

pub(crate) fn closing(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    via.join(&*one, &*other);
    let gone = one.monitor();
    let blocked = [
        in_background(&*other, |node| node.recv().expect_err("nothing was sent")),
        in_background(&*other, |node| {
            let far = node.wait_for_peers(9, SOON);
            far.expect_err("there are not so many peers")
        }),
    ];
    // Of a protocol that allows one receive at a time.
    other.close().expect("closes");
    for blocked in blocked {
        assert_eq!(blocked.join().expect("no panic"), Error::Closed);
    }
    assert_eq!(await_removed(&gone), Error::ConnectionShut);
    is_closed(row, &*other, row.answers(), true);
    if row.waits && !row.strict && row.header.is_empty() {
        // Without its only peer it blocks.
        let sender = in_background(&*one, |node| {
            let failed = node.send("kept".into()).expect_err("nobody is there");
            assert_eq!(failed.message.body(), b"kept");
            failed.error
        });
        one.close().expect("closes");
        assert_eq!(sender.join().expect("no panic"), Error::Closed);
    }
    one.close().expect("closes");
    is_closed(row, &*one, true, row.shape != Shape::OneWay);
}

/// Starts a call that blocks, and returns when it does.
fn in_background(
    node: &dyn Node,
    call: impl FnOnce(&dyn Node) -> Error + Send + 'static,
) -> thread::JoinHandle<Error> {
    let node = node.twin();
    let (tell, told) = mpsc::channel();
    let running = thread::spawn(move || {
        tell.send(this_thread()).expect("the test waits");
        call(&*node)
    });
    asleep(told.recv().expect("the thread runs"));
    running
}

fn is_closed(row: &Row, node: &dyn Node, sends: bool, receives: bool) {
    if sends {
        let refused = [
            node.send(row.message(b"x")),
            node.try_send(row.message(b"x")),
            node.send_timeout(row.message(b"x"), SHORT),
        ];
        for result in refused {
            let failed = result.expect_err("the socket is closed");
            assert_eq!(failed.error, Error::Closed);
            assert_eq!(failed.message.body(), b"x");
        }
    }
    if receives {
        assert_eq!(node.recv(), Err(Error::Closed));
        assert_eq!(node.try_recv(), Err(Error::Closed));
        assert_eq!(node.recv_timeout(SHORT), Err(Error::Closed));
    }
    let url = Via::Inproc.place().url;
    assert_eq!(node.listen(&url).err(), Some(Error::Closed));
    assert_eq!(node.listener(&url).err(), Some(Error::Closed));
    assert_eq!(node.dial(&url).err(), Some(Error::Closed));
    assert_eq!(node.dial_background(&url).err(), Some(Error::Closed));
    assert_eq!(node.dialer(&url).err(), Some(Error::Closed));
    assert_eq!(node.wait_for_peers(1, SHORT), Err(Error::Closed));
    assert_eq!(node.flush(SHORT), Err(Error::Closed));
    assert_eq!(node.set_options(&Default::default()), Err(Error::Closed));
    let (stream, _peer) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    assert_eq!(node.adopt(stream).err(), Some(Error::Closed));
    assert!(!node.is_readable() && !node.is_writable());
    assert_eq!(node.pipes().len(), 0);
    assert_eq!(node.close(), Ok(()), "closing again does nothing");
}

// ---- connecting ----

pub(crate) fn wrong_protocol(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    let stranger: Box<dyn Node> = if other.protocol().id == 0x10 {
        Box::new(Rep::new().expect("a socket"))
    } else {
        Box::new(Pair0::new().expect("a socket"))
    };
    let place = via.place();
    let listener = other.listen(&place.url).expect("listens");
    let (heard, stranger_heard) = (other.monitor(), stranger.monitor());
    assert_eq!(
        via.dial(&listener, &*stranger),
        Err(Error::WrongProtocol {
            expected: stranger.protocol().peer,
            actual: other.protocol().id,
        })
    );
    assert_eq!(
        await_handshake_failed(&heard),
        Error::WrongProtocol {
            expected: other.protocol().peer,
            actual: stranger.protocol().id,
        }
    );
    assert_eq!(other.stats().handshakes_failed, 1);
    assert_eq!(other.stats().added, 0);
    assert_eq!(stranger.stats().added, 0);
    via.dial(&listener, &*one).expect("the right protocol");
    await_added(&heard);
    exchange(row, Mode::Blocking, &*one, &*other, 10, 1);
    assert!(
        !matches!(stranger_heard.try_recv(), Ok(Event::Added(_))),
        "the stranger was never a peer"
    );
}

/// The second listens, late; the first dials, and again each time it has to.
pub(crate) fn reconnecting(row: &Row, via: Via) {
    let (one, other) = row.sockets();
    let (dialing, listening) = (one.monitor(), other.monitor());
    if via == Via::Descriptor {
        // Nobody can dial a descriptor again; a second one takes the place of the first.
        for _ in 0..2 {
            via.join(&*other, &*one);
            await_added(&listening);
            exchange(row, Mode::Blocking, &*one, &*other, 10, 1);
            one.pipes()[0].close().expect("a pipe");
            await_removed(&listening);
        }
        return;
    }
    let spot = crate::dialing::Spot::reserve(via);
    let dialer = one.dial_background(&spot.url).expect("a dialer");
    // The next connection may be there before the end of the last one was noticed.
    let (dialing, listening) = (Heard::on(&dialing), Heard::on(&listening));
    let refused = |dialing: &Heard| {
        let reason = dialing.pick("a failed attempt", |event| match event {
            Event::DialFailed {
                reason,
                retry_in: Some(_),
                ..
            } => Some(reason.clone()),
            _ => None,
        });
        assert_eq!(reason, Error::ConnectionRefused);
    };
    refused(&dialing);
    let talk = |salt| {
        listening.added();
        dialing.added();
        exchange(row, Mode::Blocking, &*one, &*other, 1000, salt);
    };
    let listener = other.listen(&spot.url).expect("listens");
    talk(1);
    other.pipes()[0].close().expect("a pipe");
    assert_eq!(listening.removed(), Error::Closed);
    assert_eq!(dialing.removed(), Error::ConnectionShut);
    talk(2);
    one.pipes()[0].close().expect("a pipe");
    assert_eq!(dialing.removed(), Error::Closed);
    assert_eq!(listening.removed(), Error::ConnectionShut);
    talk(3);
    listener.close();
    assert_eq!(listening.removed(), Error::Closed);
    assert_eq!(dialing.removed(), Error::ConnectionShut);
    refused(&dialing);
    other.listen(&spot.url).expect("listens again");
    talk(4);
    dialer.close();
    assert_eq!(dialing.removed(), Error::Closed);
    assert_eq!(listening.removed(), Error::ConnectionShut);
    assert_eq!(one.wait_for_peers(1, SHORT), Err(Error::TimedOut));
}

/// A monitor's events, of which those that were not asked for yet are kept.
struct Heard<'a> {
    monitor: &'a Monitor,
    kept: RefCell<Vec<Event>>,
}

impl<'a> Heard<'a> {
    fn on(monitor: &'a Monitor) -> Self {
        Self {
            monitor,
            kept: RefCell::default(),
        }
    }

    #[track_caller]
    fn pick<T>(&self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let mut kept = self.kept.borrow_mut();
        for at in 0..kept.len() {
            if let Some(picked) = pick(&kept[at]) {
                kept.remove(at);
                return picked;
            }
        }
        await_event(self.monitor, what, |event| {
            let picked = pick(event);
            if picked.is_none() {
                kept.push(event.clone());
            }
            picked
        })
    }

    #[track_caller]
    fn added(&self) {
        self.pick("a new pipe", |event| {
            matches!(event, Event::Added(_)).then_some(())
        });
    }

    #[track_caller]
    fn removed(&self) -> Error {
        self.pick("a lost pipe", |event| match event {
            Event::Removed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }
}
