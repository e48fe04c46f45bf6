//! A socket that is closed while other threads use it.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

use super::super::core::Phase;
use super::*;
use crate::error::Error;

#[test]
fn receives_that_wait_end_when_the_socket_is_closed() {
    explore(2, || {
        let (_push, pull) = connected();
        let receivers = [1, 2].map(|_| on(&pull, |pull| recv(pull, Patience::Default)));
        pull.close().unwrap();
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), Err(Error::Closed));
        }
    });
}

#[test]
fn sends_that_wait_end_when_the_socket_is_closed_and_keep_their_messages() {
    explore(3, || {
        let push = socket(Push::new(false));
        let senders = [1, 2].map(|name| on(&push, move |push| send(push, name, Patience::Default)));
        push.close().unwrap();
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Err(Error::Closed));
        }
    });
}

#[test]
fn a_send_that_waits_learns_of_a_close_that_has_much_to_deliver() {
    explore(2, || {
        let (push, pull) = connected();
        for name in [1, 2, 3] {
            send_long(&push, name, LONG, Patience::Try).unwrap();
        }
        let sender = on(&push, |push| send(push, 4, Patience::Default));
        let closer = on(&push, |push| push.close());
        assert_eq!(sender.join().unwrap(), Err(Error::Closed));
        let received = [1, 2, 3].map(|_| recv(&pull, Patience::Default).unwrap());
        assert_eq!(received, [1, 2, 3]);
        closer.join().unwrap().unwrap();
    });
}

#[test]
fn a_send_beside_a_close_is_delivered_once_or_refused() {
    explore(2, || {
        let (push, pull) = connected();
        let sender = on(&push, |push| send(push, 1, Patience::Default));
        let receiver = on(&pull, |pull| {
            let received = recv(pull, Patience::Default);
            pull.close().unwrap();
            received
        });
        let closer = on(&push, |push| push.close());
        let sent = sender.join().unwrap();
        closer.join().unwrap().unwrap();
        // A second message would be there at once: the pipe has gone, with all that came through it.
        if sent.is_err() {
            assert_eq!(sent, Err(Error::Closed));
            pull.close().unwrap();
            assert_eq!(receiver.join().unwrap(), Err(Error::Closed));
        } else {
            assert_eq!(receiver.join().unwrap(), Ok(1));
        }
    });
}

#[test]
fn a_receive_beside_a_close_gets_a_message_or_learns_of_the_close() {
    explore(2, || {
        let (push, pull) = connected();
        let receiver = on(&pull, |pull| {
            (recv(pull, Patience::Default), recv(pull, Patience::Default))
        });
        let sender = on(&push, |push| send(push, 1, Patience::Default));
        pull.close().unwrap();
        let received = receiver.join().unwrap();
        assert!(matches!(
            received,
            (Ok(1) | Err(Error::Closed), Err(Error::Closed))
        ));
        if received.0.is_ok() {
            sender.join().unwrap().unwrap();
        } else {
            // Without a pipe it would wait for the next peer.
            push.close().unwrap();
            let _ = sender.join().unwrap();
        }
    });
}

#[test]
fn what_was_accepted_before_a_close_is_delivered_in_order() {
    explore(3, || {
        let (push, pull) = connected();
        let receiver = on(&pull, |pull| {
            [1, 2, 3].map(|_| recv(pull, Patience::Default).unwrap())
        });
        for name in [1, 2, 3] {
            send(&push, name, Patience::Default).unwrap();
        }
        push.close().unwrap();
        assert_eq!(receiver.join().unwrap(), [1, 2, 3]);
        assert_eq!(rest(&pull), []);
    });
}

#[test]
fn a_close_whose_future_is_dropped_goes_on_and_loses_nothing() {
    explore(3, || {
        let (push, pull) = connected();
        let receiver = on(&pull, |pull| {
            [1, 2].map(|_| recv(pull, Patience::Default).unwrap())
        });
        for name in [1, 2] {
            send(&push, name, Patience::Default).unwrap();
        }
        let mut task = Context::from_waker(Waker::noop());
        let _ = pin!(push.close_async()).poll(&mut task);
        assert_eq!(receiver.join().unwrap(), [1, 2]);
        assert_eq!(push.lock().phase, Phase::Closed);
    });
}
