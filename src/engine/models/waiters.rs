//! Several threads that wait for the same socket, of which some give up.

use super::*;
use crate::error::Error;
use crate::protocols::{OpId, Sent};

/// Begins a receive that finds nothing.
fn begin(core: &Core, waker: &Waker) -> OpId {
    let (mut op, mut nothing) = (OpId::TRY, Message::new());
    assert_eq!(core.look_recv(SOCKET, &mut op, &mut nothing), Ok(false));
    assert_eq!(core.poll_recv(SOCKET, op, &mut nothing, waker), Ok(false));
    op
}

fn giving_up_passes_on(give_up: fn(&Core, CtxId, OpId)) {
    explore(3, move || {
        let (push, pull) = connected();
        let first = begin(&pull, Waker::noop());
        let second = on(&pull, |pull| recv(pull, Patience::Default));
        let sender = on(&push, |push| send(push, 1, Patience::Default));
        give_up(&pull, SOCKET, first);
        assert_eq!(second.join().unwrap(), Ok(1));
        sender.join().unwrap().unwrap();
    });
}

#[test]
fn a_receive_that_is_cancelled_passes_its_wake_up_on() {
    giving_up_passes_on(Core::cancel_recv);
}

#[test]
fn a_receive_that_is_released_passes_its_wake_up_on() {
    giving_up_passes_on(Core::release_recv);
}

#[test]
fn a_receive_that_times_out_loses_nothing_that_another_waits_for() {
    explore(2, || {
        let (push, pull) = connected();
        let impatient = on(&pull, |pull| recv(pull, Patience::For(Duration::ZERO)));
        let patient = on(&pull, |pull| recv(pull, Patience::Default));
        send(&push, 1, Patience::Default).unwrap();
        match impatient.join().unwrap() {
            Ok(name) => {
                assert_eq!(name, 1);
                send(&push, 2, Patience::Default).unwrap();
                assert_eq!(patient.join().unwrap(), Ok(2));
            }
            Err(error) => {
                assert_eq!(error, Error::TimedOut);
                assert_eq!(patient.join().unwrap(), Ok(1));
            }
        }
        assert_eq!(rest(&pull), []);
    });
}

#[test]
fn each_of_two_receives_that_wait_gets_one_of_two_messages() {
    explore(2, || {
        let (push, pull) = connected();
        let receivers = [1, 2].map(|_| on(&pull, |pull| recv(pull, Patience::Default)));
        for name in [1, 2] {
            send(&push, name, Patience::Default).unwrap();
        }
        let mut names = receivers.map(|receiver| receiver.join().unwrap().unwrap());
        names.sort_unstable();
        assert_eq!(names, [1, 2]);
    });
}

#[test]
fn a_receive_that_was_woken_for_nothing_is_the_first_to_be_woken_again() {
    explore(3, || {
        let (push, pull) = connected();
        let (woken, waker) = Woken::new();
        let first = begin(&pull, &waker);
        begin(&pull, Waker::noop());
        let sender = on(&push, |push| {
            for name in [1, 2] {
                send(push, name, Patience::Default).unwrap();
            }
        });
        let stolen = recv(&pull, Patience::Try).is_ok();
        let before = woken.times();
        let received = pull.poll_recv(SOCKET, first, &mut Message::new(), &waker);
        sender.join().unwrap();
        // If both were taken there was nothing to be woken for.
        if received == Ok(false) && !(stolen && recv(&pull, Patience::Try).is_err()) {
            assert!(woken.times() > before);
        }
    });
}

#[test]
fn a_try_that_takes_a_message_has_the_next_one_fetched_for_one_that_waits() {
    explore(3, || {
        let (push, pull) = connected();
        let patient = on(&pull, |pull| recv(pull, Patience::Default));
        let sender = on(&push, |push| {
            [1, 2].map(|name| send(push, name, Patience::Default))
        });
        let mut names = Vec::from_iter(recv(&pull, Patience::Try));
        names.push(patient.join().unwrap().unwrap());
        assert_eq!(sender.join().unwrap(), [Ok(()), Ok(())]);
        names.extend(rest(&pull));
        names.sort_unstable();
        assert_eq!(names, [1, 2]);
    });
}

#[test]
fn a_send_that_is_given_up_passes_its_wake_up_on() {
    explore(2, || {
        let (push, pull) = connected();
        // One is read at once, one lies between the sockets, and one is left to be written.
        for name in [1, 2, 3] {
            send_long(&push, name, LONG, Patience::Try).unwrap();
        }
        let (mut first, mut message) = (OpId::TRY, Message::from(vec![4; LONG]));
        let begun = push.begin_send(SOCKET, &mut first, &mut message, Waker::noop());
        assert!(matches!(begun, Sent::Full), "there is no room");
        let mut held = Some(message);
        let second = on(&push, |push| send_long(push, 5, LONG, Patience::Default));
        let receiver = on(&pull, |pull| [1, 2].map(|_| recv(pull, Patience::Default)));
        assert!(!push.cancel_send(SOCKET, first, &mut held));
        assert_eq!(receiver.join().unwrap(), [Ok(1), Ok(2)]);
        second.join().unwrap().unwrap();
        assert_eq!(rest(&pull), [3, 5]);
    });
}

#[test]
fn room_for_two_is_found_by_both_sends_that_wait_for_it() {
    explore(2, || {
        let (push, pull) = connected();
        for name in [1, 2, 3] {
            send_long(&push, name, LONG, Patience::Try).unwrap();
        }
        let senders = [4, 5].map(|name| on(&push, move |push| send(push, name, Patience::Default)));
        assert_eq!(recv(&pull, Patience::Default), Ok(1));
        assert_eq!(recv(&pull, Patience::Default), Ok(2));
        for sender in senders {
            sender.join().unwrap().unwrap();
        }
        let mut names = rest(&pull);
        names.sort_unstable();
        assert_eq!(names, [3, 4, 5]);
    });
}
