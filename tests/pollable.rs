//! Descriptors that show what a socket could do: they are readable when they should be, and tell of every message.

mod common;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{SOON, Via, pattern};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirebird::{Error, Pair0, Pub, Pull, Push, RawKind, RawSocket, Rep, Req, Sub, Surveyor};

/// Waits until a descriptor is readable, at most so long.
fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).expect("a short time");
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).expect("polls") > 0
}

#[track_caller]
fn lights_up(fd: BorrowedFd<'_>) {
    assert!(readable(fd, SOON), "it never becomes readable");
}

#[track_caller]
fn is_dark(fd: BorrowedFd<'_>) {
    assert!(!readable(fd, Duration::ZERO), "it is readable");
}

macro_rules! over_every_transport {
    ($($check:ident)*) => {$(
        mod $check {
            over_every_transport!(@ $check inproc Inproc);
            over_every_transport!(@ $check ipc Ipc);
            over_every_transport!(@ $check tcp Tcp);
            over_every_transport!(@ $check descriptor Descriptor);
        }
    )*};
    (@ $check:ident $name:ident $via:ident) => {
        #[test]
        fn $name() {
            super::$check(crate::common::Via::$via);
        }
    };
}

over_every_transport! {
    the_receive_descriptor_is_readable_while_there_is_a_message
    the_send_descriptor_is_readable_while_there_is_room
    a_poll_loop_misses_no_message
    a_reply_can_be_sent_while_there_is_a_request
}

fn the_receive_descriptor_is_readable_while_there_is_a_message(via: Via) {
    let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    let fd = other.recv_fd().unwrap();
    is_dark(fd);
    via.join(&other, &one);
    is_dark(fd);
    for round in 0..20 {
        one.send("first").unwrap();
        lights_up(fd);
        one.send("second").unwrap();
        other.try_recv().unwrap();
        lights_up(fd);
        other.recv().unwrap();
        is_dark(fd);
        if round == 10 {
            assert_eq!(other.try_recv(), Err(Error::WouldBlock));
            assert_eq!(
                other.recv_timeout(Duration::from_millis(1)),
                Err(Error::TimedOut)
            );
        }
    }
}

fn the_send_descriptor_is_readable_while_there_is_room(via: Via) {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let fd = push.send_fd().unwrap();
    is_dark(fd);
    via.join(&pull, &push);
    lights_up(fd);
    let body = pattern(65_536, 3);
    let mut sent = 0;
    while readable(fd, Duration::from_millis(40)) || push.try_send(&body[..]).is_ok() {
        while push.try_send(&body[..]).is_ok() {
            sent += 1;
        }
        sent += 1;
        assert!(sent < 10_000, "nothing bounds what is on the way");
    }
    is_dark(fd);
    while pull.recv_timeout(Duration::from_millis(100)).is_ok() {}
    lights_up(fd);
    push.try_send("there is room").unwrap();
}

fn a_poll_loop_misses_no_message(via: Via) {
    const COUNT: u32 = 5000;
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    via.join(&pull, &push);
    let sending = thread::spawn(move || {
        for number in 0..COUNT {
            push.send(pattern(number as usize % 3000, number.into()))
                .unwrap();
            if number % 100 == 0 {
                thread::yield_now();
            }
        }
        push
    });
    let fd = pull.recv_fd().unwrap();
    let mut number = 0;
    while number < COUNT {
        lights_up(fd);
        // One at a time now and then, so that the descriptor must stay readable.
        let most = if number % 3 == 0 { 1 } else { u32::MAX };
        for _ in 0..most {
            let Ok(message) = pull.try_recv() else { break };
            common::assert_body(&message, &pattern(number as usize % 3000, number.into()));
            number += 1;
        }
    }
    is_dark(fd);
    drop(sending.join().unwrap());
}

fn a_reply_can_be_sent_while_there_is_a_request(via: Via) {
    let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
    via.join(&rep, &req);
    let (requests, replies) = (rep.recv_fd().unwrap(), req.recv_fd().unwrap());
    let room = rep.send_fd().unwrap();
    for _ in 0..20 {
        is_dark(room);
        req.send("ping").unwrap();
        lights_up(requests);
        is_dark(room);
        let request = rep.try_recv().unwrap();
        is_dark(requests);
        lights_up(room);
        rep.send(request).unwrap();
        is_dark(room);
        lights_up(replies);
        req.try_recv().unwrap();
        is_dark(replies);
    }
}

#[test]
fn messages_that_nobody_subscribed_to_leave_it_dark() {
    let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
    sub.subscribe("yes").unwrap();
    Via::Ipc.join(&publisher, &sub);
    let fd = sub.recv_fd().unwrap();
    for _ in 0..100 {
        publisher.send("no").unwrap();
    }
    publisher.send("yes").unwrap();
    lights_up(fd);
    sub.unsubscribe("yes").unwrap();
    is_dark(fd);
}

#[test]
fn threads_that_serve_one_socket_by_polling_lose_no_wake_up() {
    const REQUESTS: u32 = 2000;
    let rep = RawSocket::new(RawKind::Rep).unwrap();
    let req = Req::new().unwrap();
    Via::Ipc.join(&rep, &req);
    let served = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let fd = rep.recv_fd().unwrap();
                loop {
                    lights_up(fd);
                    match rep.try_recv() {
                        Ok(request) => {
                            served.fetch_add(1, Ordering::SeqCst);
                            rep.send(request).unwrap();
                        }
                        Err(Error::Closed) => return,
                        Err(error) => assert_eq!(error, Error::WouldBlock),
                    }
                }
            });
        }
        for number in 0..REQUESTS {
            let reply = req.request(number.to_be_bytes()).timeout(SOON).wait();
            assert_eq!(reply.unwrap().body(), number.to_be_bytes());
        }
        let _ = rep.close();
    });
    assert_eq!(served.into_inner(), REQUESTS);
}

#[test]
fn closing_the_socket_makes_both_readable() {
    let pair = Pair0::new().unwrap();
    let twin = pair.clone();
    let (recv, send) = (pair.recv_fd().unwrap(), pair.send_fd().unwrap());
    is_dark(recv);
    is_dark(send);
    twin.close().unwrap();
    lights_up(recv);
    lights_up(send);
    assert_eq!(pair.recv_fd().err(), Some(Error::Closed));
    assert_eq!(pair.send_fd().err(), Some(Error::Closed));
}

#[test]
fn every_handle_gives_the_same_descriptor() {
    let pair = Pair0::new().unwrap();
    let twin = pair.clone();
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd();
    assert_eq!(pair.recv_fd().map(number), twin.recv_fd().map(number));
    assert_ne!(pair.recv_fd().map(number), pair.send_fd().map(number));
}

#[test]
fn what_never_waits_can_always_send() {
    let (publisher, surveyor) = (Pub::new().unwrap(), Surveyor::new().unwrap());
    lights_up(publisher.send_fd().unwrap());
    lights_up(surveyor.send_fd().unwrap());
}

#[test]
fn a_raw_socket_has_none_for_what_it_cannot_do() {
    let unable = |kind| {
        let socket = RawSocket::new(kind).unwrap();
        let (recv, send) = (socket.recv_fd().err(), socket.send_fd().err());
        (
            matches!(recv, Some(Error::NotSupported(_))),
            matches!(send, Some(Error::NotSupported(_))),
        )
    };
    assert_eq!(unable(RawKind::Pub), (true, false));
    assert_eq!(unable(RawKind::Push), (true, false));
    assert_eq!(unable(RawKind::Sub), (false, true));
    assert_eq!(unable(RawKind::Pull), (false, true));
    assert_eq!(unable(RawKind::Bus), (false, false));
}

#[test]
fn it_may_come_late() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    Via::Tcp.join(&pull, &push);
    for _ in 0..3 {
        push.send("early").unwrap();
    }
    pull.recv().unwrap();
    let fd = pull.recv_fd().unwrap();
    lights_up(fd);
    pull.recv().unwrap();
    lights_up(fd);
    pull.recv().unwrap();
    is_dark(fd);
}
