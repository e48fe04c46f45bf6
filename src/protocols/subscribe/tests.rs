use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::Sent;
use super::super::mock::{Mock, pipe};
use super::*;
use crate::protocols::Dropped;

use ProtocolOption::{PreferNew, RecvBuffer, SendBuffer};

const MAIN: CtxId = CtxId::SOCKET;

/// A sub socket with one publisher, and its topics.
fn subscribed(topics: &[&str]) -> (Mock, Subscribe, PipeId) {
    let (mut io, mut sub) = (Mock::new(), Subscribe::new());
    for topic in topics {
        sub.subscribe(MAIN, topic.as_bytes()).unwrap();
    }
    let pipe = io.attach(&mut sub, 1, 0).unwrap();
    (io, sub, pipe)
}

fn publish(io: &mut Mock, sub: &mut dyn Protocol, pipe: PipeId, bodies: &[&str]) {
    for &body in bodies {
        io.arrive(sub, pipe, body.into());
    }
}

// ---- topics ----

#[test]
fn nothing_is_received_without_a_topic() {
    let (mut io, mut sub, pipe) = subscribed(&[]);
    publish(&mut io, &mut sub, pipe, &["", "news"]);
    assert!(!sub.can_recv());
    assert_eq!((io.filtered, io.dropped.len()), (2, 0));
}

#[test]
fn the_empty_topic_matches_everything() {
    let (mut io, mut sub, pipe) = subscribed(&[""]);
    publish(&mut io, &mut sub, pipe, &["", "news"]);
    assert_eq!(io.recv_all(&mut sub), [b"".to_vec(), b"news".to_vec()]);
}

#[test]
fn a_message_is_received_when_it_begins_with_a_topic_and_not_when_it_is_shorter() {
    let (mut io, mut sub, pipe) = subscribed(&["/some/like/it/hot"]);
    let (hot, cold) = ("/some/like/it/hot and tight", "/some/like/it/h");
    publish(&mut io, &mut sub, pipe, &[cold, hot, "/somewhere"]);
    assert_eq!(io.recv_all(&mut sub), [hot.as_bytes()]);
}

#[test]
fn a_topic_subscribed_twice_is_unsubscribed_once() {
    let (_, mut sub, _) = subscribed(&["abc", "abc"]);
    assert_eq!(sub.unsubscribe(MAIN, b"abc"), Ok(()));
    assert_eq!(sub.unsubscribe(MAIN, b"abc"), Err(Error::NotFound));
}

#[test]
fn unsubscribing_needs_the_exact_topic() {
    let (_, mut sub, _) = subscribed(&["abc"]);
    for topic in ["abc123", "ab", ""] {
        let error = sub.unsubscribe(MAIN, topic.as_bytes());
        assert_eq!(error, Err(Error::NotFound));
    }
}

#[test]
fn unsubscribing_removes_the_queued_messages_that_no_other_topic_matches() {
    let (mut io, mut sub, pipe) = subscribed(&["a", "b", "ab"]);
    publish(&mut io, &mut sub, pipe, &["a1", "b1", "ab1", "b2"]);
    sub.unsubscribe(MAIN, b"a").unwrap();
    assert_eq!(
        io.recv_all(&mut sub),
        [b"b1".to_vec(), b"ab1".to_vec(), b"b2".to_vec()]
    );
}

// ---- queue ----

#[test]
fn a_full_queue_drops_the_oldest_message_by_default() {
    let (mut io, mut sub, pipe) = subscribed(&[""]);
    io.set(&mut sub, RecvBuffer(2)).unwrap();
    publish(&mut io, &mut sub, pipe, &["one", "two", "three"]);
    assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
    assert_eq!(io.waiting(pipe), 0);
    assert_eq!(io.recv_all(&mut sub), [b"two".to_vec(), b"three".to_vec()]);
}

#[test]
fn a_full_queue_drops_the_new_message_when_new_ones_are_not_preferred() {
    let (mut io, mut sub, pipe) = subscribed(&[""]);
    io.set(&mut sub, RecvBuffer(2)).unwrap();
    io.set(&mut sub, PreferNew(false)).unwrap();
    publish(&mut io, &mut sub, pipe, &["one", "two", "three"]);
    assert_eq!(io.recv_all(&mut sub), [b"one", b"two"]);
}

#[test]
fn an_unwanted_message_does_not_push_a_queued_one_out() {
    let (mut io, mut sub, pipe) = subscribed(&["a"]);
    io.set(&mut sub, RecvBuffer(1)).unwrap();
    publish(&mut io, &mut sub, pipe, &["a1", "b1"]);
    assert_eq!(io.recv_all(&mut sub), [b"a1"]);
}

#[test]
fn the_queue_holds_128_messages_by_default() {
    let (mut io, mut sub, pipe) = subscribed(&[""]);
    publish(&mut io, &mut sub, pipe, &["x"; 130]);
    assert_eq!(io.recv_all(&mut sub).len(), 128);
}

#[test]
fn a_receive_that_waits_is_woken_and_keeps_its_message_when_more_follow() {
    let (mut io, mut sub, pipe) = subscribed(&[""]);
    io.set(&mut sub, RecvBuffer(1)).unwrap();
    let op = io.op();
    assert_eq!(io.recv(&mut sub, MAIN, op), Ok(None));
    publish(&mut io, &mut sub, pipe, &["1", "2", "3"]);
    assert_eq!(io.recv_wakes.first(), Some(&MAIN));
    assert_eq!(io.recv(&mut sub, MAIN, op), Ok(Some("1".into())));
    assert_eq!(io.recv_all(&mut sub), [b"3"]);
}

#[test]
fn it_does_not_send() {
    let (mut io, mut sub, _) = subscribed(&[]);
    sub.open_context(CtxId(1)).unwrap();
    for ctx in [MAIN, CtxId(1)] {
        let sent = sub.send(ctx, OpId::TRY, &mut Message::new(), &mut io);
        assert!(matches!(sent, Sent::Failed(error) if matches!(*error, Error::NotSupported(_))));
    }
    assert!(!sub.can_send());
}

// ---- contexts ----

#[test]
fn each_context_receives_what_its_own_topics_match() {
    let (mut io, mut sub, pipe) = subscribed(&[]);
    let [one, two] = [CtxId(1), CtxId(2)];
    for (ctx, topic) in [(one, "abc"), (two, "def"), (one, "all"), (two, "all")] {
        if sub.context(ctx).is_err() {
            sub.open_context(ctx).unwrap();
        }
        sub.subscribe(ctx, topic.as_bytes()).unwrap();
    }
    publish(&mut io, &mut sub, pipe, &["abc1", "def1", "all1", "none"]);
    let mut received = |ctx| {
        std::iter::from_fn(|| io.try_recv(&mut sub, ctx).ok())
            .map(Vec::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(received(one), [b"abc1", b"all1"]);
    assert_eq!(received(two), [b"def1", b"all1"]);
    assert!(received(MAIN).is_empty());
    assert_eq!((io.filtered, io.dropped.len()), (1, 0));
    io.recv_wakes.sort();
    assert_eq!(io.recv_wakes, [one, one, two, two]);
}

#[test]
fn a_context_starts_with_the_options_of_the_socket_and_then_has_its_own() {
    let (mut io, mut sub, pipe) = subscribed(&[]);
    io.set(&mut sub, RecvBuffer(1)).unwrap();
    io.set(&mut sub, PreferNew(false)).unwrap();
    let ctx = CtxId(1);
    sub.open_context(ctx).unwrap();
    sub.subscribe(ctx, b"").unwrap();
    io.set(&mut sub, RecvBuffer(9)).unwrap();
    publish(&mut io, &mut sub, pipe, &["1", "2"]);
    assert_eq!(io.try_recv(&mut sub, ctx), Ok("1".into()));
    assert_eq!(io.try_recv(&mut sub, ctx), Err(Error::WouldBlock));

    sub.set_option(ctx, PreferNew(true), &mut io).unwrap();
    publish(&mut io, &mut sub, pipe, &["3", "4"]);
    assert_eq!(io.try_recv(&mut sub, ctx), Ok("4".into()));
}

#[test]
fn a_closed_context_fails_and_gets_nothing() {
    let (mut io, mut sub, pipe) = subscribed(&[]);
    let ctx = CtxId(1);
    sub.open_context(ctx).unwrap();
    sub.subscribe(ctx, b"").unwrap();
    sub.close_context(ctx, &mut io);
    publish(&mut io, &mut sub, pipe, &["x"]);
    assert_eq!(io.try_recv(&mut sub, ctx), Err(Error::Closed));
    assert_eq!(sub.subscribe(ctx, b""), Err(Error::Closed));
}

// ---- options ----

#[test]
fn options_out_of_range_or_out_of_place_are_refused() {
    let (mut io, mut sub, _) = subscribed(&[]);
    for option in [RecvBuffer(0), RecvBuffer(8193), SendBuffer(8193)] {
        let error = io.set(&mut sub, option);
        assert!(matches!(error, Err(Error::InvalidOption(_))));
    }
    io.set(&mut sub, SendBuffer(3)).unwrap();
    sub.open_context(CtxId(1)).unwrap();
    let error = sub.set_option(CtxId(1), SendBuffer(3), &mut io);
    assert!(matches!(error, Err(Error::NotSupported(_))));
}

// ---- raw ----

#[test]
fn the_raw_form_receives_everything_and_drops_the_new_message_when_full() {
    let (mut io, mut sub) = (Mock::new(), RawSubscribe::new());
    let pipe = io.attach(&mut sub, 1, 0).unwrap();
    publish(&mut io, &mut sub, pipe, &["one", "two"]);
    assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
    assert!(sub.can_recv());
    assert_eq!(io.recv_wakes, [MAIN]);
    assert_eq!(io.recv_all(&mut sub), [b"one"]);
    assert!(!sub.can_recv());
}

#[test]
fn the_raw_form_without_a_queue_receives_only_for_those_who_wait() {
    let (mut io, mut sub) = (Mock::new(), RawSubscribe::new());
    io.set(&mut sub, RecvBuffer(0)).unwrap();
    let pipe = io.attach(&mut sub, 1, 0).unwrap();
    publish(&mut io, &mut sub, pipe, &["nobody waits"]);
    let op = io.op();
    assert_eq!(io.recv(&mut sub, MAIN, op), Ok(None));
    publish(&mut io, &mut sub, pipe, &["one", "two"]);
    assert_eq!(io.recv(&mut sub, MAIN, op), Ok(Some("one".into())));
    assert!(!sub.can_recv());
}

#[test]
fn the_raw_form_has_neither_topics_nor_contexts() {
    let (mut io, mut sub) = (Mock::new(), RawSubscribe::new());
    let unsupported = [
        sub.subscribe(MAIN, b""),
        sub.unsubscribe(MAIN, b""),
        sub.open_context(CtxId(1)),
        io.set(&mut sub, PreferNew(true)),
    ];
    for error in unsupported {
        assert!(matches!(error, Err(Error::NotSupported(_))));
    }
}

// ---- against a model ----

#[derive(Debug, Clone)]
enum Step {
    Subscribe(Vec<u8>),
    Unsubscribe(Vec<u8>),
    Arrive(Vec<u8>),
    Recv,
    RecvBuffer(usize),
    PreferNew(bool),
}

/// Short strings over a small alphabet, so that prefixes are common.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => bytes().prop_map(Step::Subscribe),
        3 => bytes().prop_map(Step::Unsubscribe),
        10 => bytes().prop_map(Step::Arrive),
        4 => Just(Step::Recv),
        1 => (1..5usize).prop_map(Step::RecvBuffer),
        1 => any::<bool>().prop_map(Step::PreferNew),
    ]
}

fn wanted(topics: &BTreeSet<Vec<u8>>, body: &[u8]) -> bool {
    topics.iter().any(|topic| body.starts_with(topic))
}

proptest! {
    #[test]
    fn it_behaves_as_a_bounded_queue_behind_a_set_of_prefixes(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let (mut io, mut sub, pipe) = subscribed(&[]);
        let (mut topics, mut queue) = (BTreeSet::new(), VecDeque::new());
        let (mut depth, mut prefer_new) = (128, true);
        for step in steps {
            match step {
                Step::Subscribe(topic) => {
                    sub.subscribe(MAIN, &topic).unwrap();
                    topics.insert(topic);
                }
                Step::Unsubscribe(topic) => {
                    let removed = topics.remove(&topic);
                    prop_assert_eq!(sub.unsubscribe(MAIN, &topic).is_ok(), removed);
                    queue.retain(|body: &Vec<u8>| wanted(&topics, body));
                }
                Step::Arrive(body) => {
                    io.arrive(&mut sub, pipe, body.clone().into());
                    if wanted(&topics, &body) {
                        if queue.len() < depth {
                            queue.push_back(body);
                        } else if prefer_new {
                            queue.pop_front();
                            queue.push_back(body);
                        }
                    }
                }
                Step::Recv => {
                    let received = io.try_recv(&mut sub, MAIN).ok().map(Vec::from);
                    prop_assert_eq!(received, queue.pop_front());
                }
                Step::RecvBuffer(new_depth) => {
                    io.set(&mut sub, RecvBuffer(new_depth)).unwrap();
                    depth = new_depth;
                    queue.truncate(depth);
                }
                Step::PreferNew(value) => {
                    io.set(&mut sub, PreferNew(value)).unwrap();
                    prefer_new = value;
                }
            }
            prop_assert_eq!(sub.can_recv(), !queue.is_empty());
        }
    }
}

#[derive(Debug, Clone)]
enum RawStep {
    Attach(u32),
    Detach(u32),
    Arrive(u32, Vec<u8>),
    Recv,
    Wait,
    Retry,
    GiveUp,
    RecvBuffer(usize),
}

fn raw_step() -> impl Strategy<Value = RawStep> {
    prop_oneof![
        3 => (1..4u32).prop_map(RawStep::Attach),
        1 => (1..4u32).prop_map(RawStep::Detach),
        12 => (1..4u32, bytes()).prop_map(|(n, body)| RawStep::Arrive(n, body)),
        2 => Just(RawStep::Recv),
        3 => Just(RawStep::Wait),
        3 => Just(RawStep::Retry),
        1 => Just(RawStep::GiveUp),
        1 => (0..4usize).prop_map(RawStep::RecvBuffer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_raw_form_behaves_as_a_bounded_queue_with_room_for_each_receive_that_waits(
        steps in prop::collection::vec(raw_step(), 1..100),
    ) {
        let (mut io, mut sub) = (Mock::new(), RawSubscribe::new());
        let (mut queue, mut waiting) = (VecDeque::new(), Vec::new());
        let (mut depth, mut dropped) = (1, 0);
        for step in steps {
            match step {
                RawStep::Attach(n) if !io.pipes.contains_key(&pipe(n)) => {
                    io.attach(&mut sub, n, 0).unwrap();
                }
                RawStep::Detach(n) if io.pipes.contains_key(&pipe(n)) => {
                    io.detach(&mut sub, pipe(n));
                }
                RawStep::Arrive(n, body) if io.pipes.contains_key(&pipe(n)) => {
                    io.recv_wakes.clear();
                    io.arrive(&mut sub, pipe(n), body.clone().into());
                    prop_assert_eq!(io.waiting(pipe(n)), 0);
                    let room = queue.len() < depth + waiting.len();
                    prop_assert_eq!(io.recv_wakes.len(), usize::from(room));
                    if room {
                        queue.push_back((body, n));
                    } else {
                        dropped += 1;
                    }
                }
                RawStep::Attach(_) | RawStep::Detach(_) | RawStep::Arrive(..) => {}
                RawStep::Recv | RawStep::Wait | RawStep::Retry => {
                    let op = match step {
                        RawStep::Wait => io.op(),
                        RawStep::Retry => waiting.pop().unwrap_or(OpId::TRY),
                        _ => OpId::TRY,
                    };
                    let received = io.recv(&mut sub, MAIN, op).unwrap();
                    let received = received.map(|m| (m.body().to_vec(), m.pipe().unwrap().number()));
                    if received.is_none() && op != OpId::TRY {
                        waiting.push(op);
                    }
                    prop_assert_eq!(received, queue.pop_front());
                }
                RawStep::GiveUp => {
                    if let Some(op) = waiting.pop() {
                        sub.cancel_recv(MAIN, op, &mut io);
                    }
                }
                RawStep::RecvBuffer(new_depth) => {
                    io.set(&mut sub, RecvBuffer(new_depth)).unwrap();
                    depth = new_depth;
                    dropped += queue.len().saturating_sub(depth + waiting.len());
                    queue.truncate(depth + waiting.len());
                }
            }
            prop_assert_eq!(sub.can_recv(), !queue.is_empty());
            prop_assert_eq!(&io.dropped, &vec![Dropped::RecvQueueFull; dropped]);
        }
    }
}
