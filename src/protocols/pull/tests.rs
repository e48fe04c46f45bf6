use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::mock::Mock;
use super::super::{Dropped, Sent};
use super::*;
use crate::error::Error;

const MAIN: CtxId = CtxId::SOCKET;

#[test]
fn can_recv_only_while_a_message_is_there() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    let pipe = io.attach(&mut pull, 1, 0).unwrap();
    assert!(!pull.can_recv());
    io.arrive(&mut pull, pipe, "abc".into());
    assert!(pull.can_recv());
    assert_eq!(io.recv_wakes, [MAIN]);
    assert_eq!(io.recv_all(&mut pull), [b"abc"]);
    assert!(!pull.can_recv());
}

#[test]
fn one_message_per_pipe_is_read_ahead() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    let pipe = io.attach(&mut pull, 1, 0).unwrap();
    for body in ["a", "b", "c"] {
        io.arrive(&mut pull, pipe, body.into());
    }
    assert_eq!(io.waiting(pipe), 2);
    io.try_recv(&mut pull, MAIN).unwrap();
    assert_eq!(io.waiting(pipe), 1);
}

#[test]
fn a_busy_pipe_does_not_keep_others_from_their_turn() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    let busy = io.attach(&mut pull, 1, 0).unwrap();
    let quiet = io.attach(&mut pull, 2, 0).unwrap();
    for body in ["b1", "b2", "b3"] {
        io.arrive(&mut pull, busy, body.into());
    }
    io.arrive(&mut pull, quiet, "q1".into());
    assert_eq!(io.recv_all(&mut pull), [b"b1", b"q1", b"b2", b"b3"]);
}

#[test]
fn the_message_of_a_pipe_that_is_closed_goes_with_it() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    let pipe = io.attach(&mut pull, 1, 0).unwrap();
    io.arrive(&mut pull, pipe, "abc".into());
    io.detach(&mut pull, pipe);
    assert!(!pull.can_recv());
    assert_eq!(io.dropped, [Dropped::NoPipe]);
}

#[test]
fn it_does_not_send() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    io.attach(&mut pull, 1, 1).unwrap();
    let sent = pull.send(MAIN, OpId::TRY, &mut Message::new(), &mut io);
    assert!(matches!(sent, Sent::Failed(error) if matches!(*error, Error::NotSupported(_))));
    assert!(!pull.can_send());
}

#[test]
fn buffer_depths_are_checked_and_have_no_effect() {
    let (mut io, mut pull) = (Mock::new(), Pull::new());
    io.set(&mut pull, ProtocolOption::RecvBuffer(10)).unwrap();
    let pipe = io.attach(&mut pull, 1, 0).unwrap();
    io.arrive(&mut pull, pipe, "a".into());
    io.arrive(&mut pull, pipe, "b".into());
    assert_eq!(io.waiting(pipe), 1);
    let error = io.set(&mut pull, ProtocolOption::RecvBuffer(8193));
    assert!(matches!(error, Err(Error::InvalidOption(_))));
}

// ---- against a model ----

#[derive(Debug, Clone)]
enum Step {
    Connect(u32),
    Disconnect(u32),
    Arrive(u32),
    Recv,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (1..5u32).prop_map(Step::Connect),
        1 => (1..5u32).prop_map(Step::Disconnect),
        6 => (1..5u32).prop_map(Step::Arrive),
        5 => Just(Step::Recv),
    ]
}

proptest! {
    #[test]
    fn it_takes_the_heads_of_the_pipes_in_the_order_they_came_up(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut io, mut pull) = (Mock::new(), Pull::new());
        let mut pipes: BTreeMap<u32, (PipeId, VecDeque<u8>)> = BTreeMap::new();
        let mut turns: VecDeque<u32> = VecDeque::new();
        for (n, step) in (0..).zip(steps) {
            match step {
                Step::Connect(number) => {
                    pipes.entry(number).or_insert_with(|| {
                        (io.attach(&mut pull, number, 0).unwrap(), VecDeque::new())
                    });
                }
                Step::Disconnect(number) => {
                    if let Some((pipe, _)) = pipes.remove(&number) {
                        io.detach(&mut pull, pipe);
                        turns.retain(|&turn| turn != number);
                    }
                }
                Step::Arrive(number) => {
                    if let Some((pipe, messages)) = pipes.get_mut(&number) {
                        io.arrive(&mut pull, *pipe, [n].into());
                        messages.push_back(n);
                        if messages.len() == 1 {
                            turns.push_back(number);
                        }
                    }
                }
                Step::Recv => {
                    let received = io.try_recv(&mut pull, MAIN).ok().map(Vec::from);
                    let expected = turns.pop_front().and_then(|number| {
                        let messages = &mut pipes.get_mut(&number)?.1;
                        let message = messages.pop_front()?;
                        if !messages.is_empty() {
                            turns.push_back(number);
                        }
                        Some(vec![message])
                    });
                    prop_assert_eq!(received, expected);
                }
            }
            prop_assert_eq!(pull.can_recv(), !turns.is_empty());
        }
    }
}
