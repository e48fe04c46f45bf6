use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::mock::Mock;
use super::*;
use crate::error::Error;

use ProtocolOption::{RecvBuffer, SendBuffer};

const MAIN: CtxId = CtxId::SOCKET;

// ---- send ----

#[test]
fn can_send_follows_the_pipes() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    assert!(!push.can_send());
    let pipe = io.attach(&mut push, 1, 2).unwrap();
    assert!(push.can_send());
    io.try_send(&mut push, MAIN, "one").unwrap();
    assert!(push.can_send());
    io.try_send(&mut push, MAIN, "two").unwrap();
    assert!(!push.can_send());
    io.drain(&mut push, pipe, 1);
    assert!(push.can_send());
    io.detach(&mut push, pipe);
    assert!(!push.can_send());
}

#[test]
fn the_send_buffer_takes_messages_before_there_is_a_peer_and_keeps_their_order() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    io.set(&mut push, SendBuffer(2)).unwrap();
    for body in ["abc", "def"] {
        assert!(push.can_send());
        io.try_send(&mut push, MAIN, body).unwrap();
    }
    assert!(!push.can_send());
    assert_eq!(push.unsent(), 2);
    let pipe = io.attach(&mut push, 1, 9).unwrap();
    for body in ["ghi", "jkl"] {
        io.try_send(&mut push, MAIN, body).unwrap();
    }
    assert_eq!(io.sent(pipe), [b"abc", b"def", b"ghi", b"jkl"]);
    assert_eq!(push.unsent(), 0);
}

#[test]
fn shrinking_the_send_buffer_drops_the_newest() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    io.set(&mut push, SendBuffer(2)).unwrap();
    io.try_send(&mut push, MAIN, "abc").unwrap();
    io.try_send(&mut push, MAIN, "def").unwrap();
    io.set(&mut push, SendBuffer(1)).unwrap();
    assert_eq!(io.dropped, [Dropped::SendQueueFull]);
    let pipe = io.attach(&mut push, 1, 9).unwrap();
    assert_eq!(io.sent(pipe), [b"abc"]);
}

#[test]
fn a_sender_that_waits_is_woken_when_a_peer_comes_or_the_buffer_grows() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    let sent = io.try_send(&mut push, MAIN, "early");
    assert_eq!(sent, Err(Error::WouldBlock));
    io.set(&mut push, SendBuffer(1)).unwrap();
    assert_eq!(io.send_wakes, [MAIN]);
    io.attach(&mut push, 1, 1).unwrap();
    assert_eq!(io.send_wakes, [MAIN, MAIN]);
}

#[test]
fn messages_go_to_the_pipes_in_turn() {
    for depth in [0, 4] {
        let (mut io, mut push) = (Mock::new(), Push::new(false));
        io.set(&mut push, SendBuffer(depth)).unwrap();
        let pipes = [1, 2, 3].map(|number| io.attach(&mut push, number, 9).unwrap());
        for body in ["1", "2", "3", "4"] {
            io.try_send(&mut push, MAIN, body).unwrap();
        }
        assert_eq!(io.sent(pipes[0]), [b"1", b"4"]);
        assert_eq!(io.sent(pipes[1]), [b"2"]);
        assert_eq!(io.sent(pipes[2]), [b"3"]);
    }
}

#[test]
fn a_full_pipe_gets_its_turn_after_those_that_were_ready_before_it() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    let slow = io.attach(&mut push, 1, 1).unwrap();
    let fast = io.attach(&mut push, 2, 9).unwrap();
    for body in ["1", "2", "3"] {
        io.try_send(&mut push, MAIN, body).unwrap();
    }
    assert_eq!(io.drain(&mut push, slow, 1).len(), 1);
    for body in ["4", "5"] {
        io.try_send(&mut push, MAIN, body).unwrap();
    }
    assert_eq!(io.sent(slow), [b"5"]);
    assert_eq!(io.sent(fast), [b"2", b"3", b"4"]);
}

#[test]
fn only_the_raw_form_sends_the_header_it_is_given() {
    for (raw, expected) in [(true, "hb"), (false, "b")] {
        let (mut io, mut push) = (Mock::new(), Push::new(raw));
        let pipe = io.attach(&mut push, 1, 9).unwrap();
        let mut message = Message::from("b");
        message.header_append(b"h").unwrap();
        io.try_send(&mut push, MAIN, message).unwrap();
        assert_eq!(io.sent(pipe), [expected.as_bytes()]);
    }
}

// ---- receive ----

#[test]
fn what_a_peer_sends_is_dropped_and_its_connection_kept() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    let pipe = io.attach(&mut push, 1, 1).unwrap();
    io.arrive(&mut push, pipe, "unwanted".into());
    assert_eq!(io.dropped, [Dropped::Unwanted]);
    assert_eq!(io.closed(pipe), None);
    assert!(matches!(
        io.try_recv(&mut push, MAIN),
        Err(Error::NotSupported(_))
    ));
}

// ---- options ----

#[test]
fn depths_out_of_range_are_refused() {
    let (mut io, mut push) = (Mock::new(), Push::new(false));
    for option in [SendBuffer(100_000), RecvBuffer(100_000)] {
        let error = io.set(&mut push, option);
        assert!(matches!(error, Err(Error::InvalidOption(_))));
    }
    io.set(&mut push, RecvBuffer(5)).unwrap();
}

// ---- against a model ----

#[derive(Debug, Clone)]
enum Step {
    Connect(u32, usize),
    Disconnect(u32),
    MakeRoom(u32, usize),
    Send,
    SendBuffer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..5u32, 1..4usize).prop_map(|(pipe, room)| Step::Connect(pipe, room)),
        1 => (1..5u32).prop_map(Step::Disconnect),
        3 => (1..5u32, 1..4usize).prop_map(|(pipe, room)| Step::MakeRoom(pipe, room)),
        8 => Just(Step::Send),
        1 => (0..4usize).prop_map(Step::SendBuffer),
    ]
}

proptest! {
    #[test]
    fn every_accepted_message_goes_out_once_in_order_as_soon_as_a_pipe_has_room(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut io, mut push) = (Mock::new(), Push::new(false));
        let mut room: BTreeMap<u32, (PipeId, usize)> = BTreeMap::new();
        let (mut unsent, mut limit) = (VecDeque::new(), 0);
        for (n, step) in (0u8..).zip(steps) {
            match step {
                Step::Connect(number, count) => {
                    room.entry(number).or_insert_with(|| {
                        (io.attach(&mut push, number, count).unwrap(), count)
                    });
                }
                Step::Disconnect(number) => {
                    if let Some((pipe, _)) = room.remove(&number) {
                        io.detach(&mut push, pipe);
                    }
                }
                Step::MakeRoom(number, count) => {
                    if let Some((pipe, room)) = room.get_mut(&number) {
                        *room = count;
                        prop_assert!(io.drain(&mut push, *pipe, count).len() <= count);
                    }
                }
                Step::Send => {
                    let accepted = room.values().any(|(_, room)| *room > 0) || unsent.len() < limit;
                    prop_assert_eq!(push.can_send(), accepted);
                    prop_assert_eq!(io.try_send(&mut push, MAIN, [n]).is_ok(), accepted);
                    if accepted {
                        unsent.push_back(n);
                    }
                }
                Step::SendBuffer(depth) => {
                    io.set(&mut push, SendBuffer(depth)).unwrap();
                    limit = depth;
                    unsent.truncate(depth);
                }
            }
            // In one step only one pipe can have got messages.
            for (pipe, room) in room.values_mut() {
                for sent in io.sent(*pipe) {
                    prop_assert_eq!(Some(sent), unsent.pop_front().map(|n| vec![n]));
                    *room -= 1;
                }
            }
            prop_assert!(unsent.is_empty() || room.values().all(|(_, room)| *room == 0));
            prop_assert_eq!(push.unsent(), unsent.len());
        }
    }
}
