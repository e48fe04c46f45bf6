//! A simple model of sending to many pipes, which the machines that do so are compared with.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::mock::Mock;
use super::super::{CtxId, PipeId, Protocol, ProtocolOption};
use super::*;

/// What happens to a socket.
#[derive(Debug, Clone)]
pub(in super::super) enum Step {
    Connect { pipe: u32, room: usize },
    Disconnect { pipe: u32 },
    MakeRoom { pipe: u32, room: usize },
    Send,
    Depth(usize),
}

pub(in super::super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pipe = || 1..5u32;
    let room = || 1..4usize;
    let step = prop_oneof![
        3 => (pipe(), room()).prop_map(|(pipe, room)| Step::Connect { pipe, room }),
        1 => pipe().prop_map(|pipe| Step::Disconnect { pipe }),
        4 => (pipe(), room()).prop_map(|(pipe, room)| Step::MakeRoom { pipe, room }),
        12 => Just(Step::Send),
        1 => (1..5usize).prop_map(Step::Depth),
    ];
    prop::collection::vec(step, 1..120)
}

struct Pipe {
    id: PipeId,
    room: usize,
    queue: VecDeque<u8>,
}

/// Takes `machine`, whose queues must be 16 deep, through the steps.
pub(in super::super) fn check(
    machine: &mut dyn Protocol,
    overflow: Overflow,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let mut io = Mock::new();
    let mut pipes: BTreeMap<u32, Pipe> = BTreeMap::new();
    let (mut depth, mut dropped) = (16, 0);
    for (n, step) in (0u8..).zip(steps) {
        match step {
            Step::Connect { pipe, room } => {
                pipes.entry(pipe).or_insert_with(|| Pipe {
                    id: io.attach(machine, pipe, room).unwrap(),
                    room,
                    queue: VecDeque::new(),
                });
            }
            Step::Disconnect { pipe } => {
                if let Some(pipe) = pipes.remove(&pipe) {
                    io.detach(machine, pipe.id);
                    dropped += pipe.queue.len();
                }
            }
            Step::MakeRoom { pipe, room } => {
                if let Some(pipe) = pipes.get_mut(&pipe) {
                    io.drain(machine, pipe.id, room);
                    pipe.room = room;
                }
            }
            Step::Send => {
                io.try_send(machine, CtxId::SOCKET, [n]).unwrap();
                dropped += usize::from(pipes.is_empty());
                for pipe in pipes.values_mut() {
                    if pipe.room == 0 && pipe.queue.len() >= depth {
                        dropped += 1;
                        match overflow {
                            Overflow::DropOldest => pipe.queue.pop_front(),
                            Overflow::DropNewest => continue,
                        };
                    }
                    pipe.queue.push_back(n);
                }
            }
            Step::Depth(new_depth) => {
                io.set(machine, ProtocolOption::SendBuffer(new_depth))
                    .unwrap();
                depth = new_depth;
                for pipe in pipes.values_mut() {
                    dropped += pipe.queue.len().saturating_sub(depth);
                    pipe.queue.truncate(depth);
                }
            }
        }
        for pipe in pipes.values_mut() {
            let count = pipe.room.min(pipe.queue.len());
            pipe.room -= count;
            let expected: Vec<Vec<u8>> = pipe.queue.drain(..count).map(|n| vec![n]).collect();
            prop_assert_eq!(io.sent(pipe.id), expected);
        }
        let unsent: usize = pipes.values().map(|pipe| pipe.queue.len()).sum();
        prop_assert_eq!(machine.unsent(), unsent);
        prop_assert_eq!(io.dropped.len(), dropped);
        prop_assert!(machine.can_send());
    }
    Ok(())
}
