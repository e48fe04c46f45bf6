use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::protocols::mock::{Mock, flat, pipe, wire};
use crate::protocols::raw_model::{self, Route};
use crate::protocols::respondent::{RawRespondent, Respondent, RespondentSide};

mod raw;

const SOCKET: CtxId = CtxId::SOCKET;
const ID: u32 = 0x8000_0001;

fn rep() -> (Mock, Rep) {
    (Mock::new(), Rep::new())
}

fn request(body: &str) -> Message {
    wire(&[ID], body.as_bytes())
}

fn reply(body: &str) -> Vec<u8> {
    flat(&request(body))
}

/// Starts a receive that has to wait.
fn start_recv(mock: &mut Mock, rep: &mut Rep, ctx: CtxId) -> OpId {
    let op = mock.op();
    assert_eq!(mock.recv(rep, ctx, op), Ok(None));
    op
}

/// Makes one attempt to send.
fn send(mock: &mut Mock, rep: &mut Rep, ctx: CtxId, op: OpId, body: &str) -> Result<()> {
    let mut message = Message::from(body);
    match rep.send(ctx, op, &mut message, mock) {
        Sent::Done => Ok(()),
        Sent::Full => {
            assert_eq!(flat(&message), body.as_bytes());
            Err(Error::WouldBlock)
        }
        Sent::Pending => panic!("replies are not kept"),
        Sent::Failed(error) => Err(*error),
    }
}

/// Opens contexts 1 to `count`, each of which received a request from the pipe.
fn contexts_with_requests(mock: &mut Mock, rep: &mut Rep, from: PipeId, count: u32) {
    for n in 1..=count {
        rep.open_context(CtxId(n)).unwrap();
        mock.arrive(rep, from, wire(&[ID + n], b"ask"));
        mock.try_recv(rep, CtxId(n)).unwrap();
    }
}

fn is_state_error<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::InvalidState(_)))
}

// ---- exchange ----

#[test]
fn a_reply_takes_the_whole_stack_back_to_the_pipe_of_its_request() {
    let (mut mock, mut rep) = rep();
    let other = mock.attach(&mut rep, 1, 9).unwrap();
    let req = mock.attach(&mut rep, 2, 9).unwrap();
    mock.arrive(&mut rep, req, wire(&[7, 5, ID], b"ping"));
    let ping = mock.try_recv(&mut rep, SOCKET).unwrap();
    assert_eq!((ping.header(), ping.body()), (&b""[..], &b"ping"[..]));
    assert_eq!(ping.pipe(), Some(req));
    let mut pong = Message::from("pong");
    pong.header_append_u32(99).unwrap();
    mock.try_send(&mut rep, SOCKET, pong).unwrap();
    assert_eq!(mock.sent(req), [flat(&wire(&[7, 5, ID], b"pong"))]);
    assert!(mock.sent(other).is_empty());
}

#[test]
fn a_send_without_a_request_is_a_state_error() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    assert!(is_state_error(mock.try_send(&mut rep, SOCKET, "pong")));
    mock.arrive(&mut rep, req, request("ping"));
    assert!(is_state_error(mock.try_send(&mut rep, SOCKET, "pong")));
}

#[test]
fn each_request_allows_one_reply() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    mock.arrive(&mut rep, req, request("ping"));
    mock.try_recv(&mut rep, SOCKET).unwrap();
    mock.try_send(&mut rep, SOCKET, "pong").unwrap();
    assert!(is_state_error(mock.try_send(&mut rep, SOCKET, "pong")));
}

#[test]
fn the_next_request_replaces_one_that_was_not_answered() {
    let (mut mock, mut rep) = rep();
    let first = mock.attach(&mut rep, 1, 9).unwrap();
    let second = mock.attach(&mut rep, 2, 9).unwrap();
    mock.arrive(&mut rep, first, request("one"));
    mock.arrive(&mut rep, second, request("two"));
    mock.try_recv(&mut rep, SOCKET).unwrap();
    mock.try_recv(&mut rep, SOCKET).unwrap();
    mock.try_send(&mut rep, SOCKET, "pong").unwrap();
    assert!(mock.sent(first).is_empty());
    assert_eq!(mock.sent(second), [reply("pong")]);
}

#[test]
fn a_receive_that_finds_nothing_keeps_the_request_received_before() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    mock.arrive(&mut rep, req, request("ping"));
    mock.try_recv(&mut rep, SOCKET).unwrap();
    let nothing = mock.try_recv(&mut rep, SOCKET);
    assert_eq!(nothing, Err(Error::WouldBlock));
    mock.try_send(&mut rep, SOCKET, "pong").unwrap();
    assert_eq!(mock.sent(req), [reply("pong")]);
}

#[test]
fn a_second_receive_is_a_state_error_while_one_waits() {
    let (mut mock, mut rep) = rep();
    let first = start_recv(&mut mock, &mut rep, SOCKET);
    let second = mock.op();
    assert!(is_state_error(mock.recv(&mut rep, SOCKET, second)));
    rep.cancel_recv(SOCKET, first, &mut mock);
    assert_eq!(mock.recv(&mut rep, SOCKET, second), Ok(None));
}

// ---- messages from pipes ----

#[test]
fn requests_are_taken_in_order_with_one_read_ahead_for_each_pipe() {
    let (mut mock, mut rep) = rep();
    let first = mock.attach(&mut rep, 1, 9).unwrap();
    let second = mock.attach(&mut rep, 2, 9).unwrap();
    for body in ["a1", "a2", "a3"] {
        mock.arrive(&mut rep, first, request(body));
    }
    mock.arrive(&mut rep, second, request("b1"));
    assert_eq!((mock.waiting(first), mock.waiting(second)), (2, 0));
    let taken: Vec<_> = (0..4)
        .map(|_| Vec::from(mock.try_recv(&mut rep, SOCKET).unwrap()))
        .collect();
    assert_eq!(taken, [b"a1", b"b1", b"a2", b"a3"]);
}

#[test]
fn a_request_whose_pipe_is_lost_is_discarded() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    mock.arrive(&mut rep, req, request("ping"));
    mock.detach(&mut rep, req);
    assert!(!rep.can_recv());
    assert_eq!(mock.dropped, [Dropped::NoPipe]);
}

#[test]
fn a_request_with_too_many_hops_is_dropped_and_the_pipe_stays() {
    let (mut mock, mut rep) = rep();
    rep.set_option(SOCKET, ProtocolOption::Ttl(3), &mut mock)
        .unwrap();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    mock.arrive(&mut rep, req, wire(&[1, 2, 3, ID], b"far"));
    assert_eq!(mock.dropped, [Dropped::Ttl]);
    mock.arrive(&mut rep, req, wire(&[1, 2, ID], b"near"));
    assert_eq!(mock.try_recv(&mut rep, SOCKET).unwrap().body(), b"near");
}

#[test]
fn garbage_closes_its_pipe() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    mock.arrive(&mut rep, req, wire(&[1, 2], b"abc"));
    assert!(matches!(mock.closed(req), Some(Error::Malformed(_))));
    assert!(!rep.can_recv());
}

// ---- waiting receives ----

#[test]
fn each_request_wakes_the_context_that_waited_longest() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    let ops: Vec<_> = [2, 1]
        .into_iter()
        .map(|n| {
            rep.open_context(CtxId(n)).unwrap();
            start_recv(&mut mock, &mut rep, CtxId(n))
        })
        .collect();
    // Looking again without need does not change the order.
    assert_eq!(mock.recv(&mut rep, CtxId(2), ops[0]), Ok(None));
    mock.arrive(&mut rep, req, request("one"));
    assert_eq!(mock.recv_wakes, [CtxId(2)]);
    let one = mock.recv(&mut rep, CtxId(2), ops[0]).unwrap().unwrap();
    assert_eq!(one.body(), b"one");
    mock.arrive(&mut rep, req, request("two"));
    assert_eq!(mock.recv_wakes, [CtxId(2), CtxId(1)]);
}

#[test]
fn a_woken_receive_that_is_given_up_passes_its_request_on() {
    for close in [false, true] {
        let (mut mock, mut rep) = rep();
        let req = mock.attach(&mut rep, 1, 9).unwrap();
        rep.open_context(CtxId(1)).unwrap();
        let first = start_recv(&mut mock, &mut rep, CtxId(1));
        start_recv(&mut mock, &mut rep, SOCKET);
        mock.arrive(&mut rep, req, request("ping"));
        if close {
            rep.close_context(CtxId(1), &mut mock);
        } else {
            rep.cancel_recv(CtxId(1), first, &mut mock);
        }
        assert_eq!(mock.recv_wakes, [CtxId(1), SOCKET]);
    }
}

#[test]
fn contexts_that_stopped_waiting_are_not_woken() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    for n in 1..=3 {
        rep.open_context(CtxId(n)).unwrap();
        let op = start_recv(&mut mock, &mut rep, CtxId(n));
        match n {
            1 => rep.cancel_recv(CtxId(n), op, &mut mock),
            2 => rep.close_context(CtxId(n), &mut mock),
            _ => {}
        }
    }
    assert_eq!(rep.receivers, [CtxId(1), CtxId(3)]);
    mock.arrive(&mut rep, req, request("ping"));
    assert_eq!(mock.recv_wakes, [CtxId(3)]);
}

// ---- waiting sends ----

#[test]
fn a_reply_waits_while_its_pipe_is_busy() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 2);
    mock.try_send(&mut rep, CtxId(1), "one").unwrap();
    let op = mock.op();
    for _ in 0..2 {
        let sent = send(&mut mock, &mut rep, CtxId(2), op, "two");
        assert_eq!(sent, Err(Error::WouldBlock));
    }
    mock.drain(&mut rep, req, 1);
    assert_eq!(mock.send_wakes, [CtxId(2)]);
    send(&mut mock, &mut rep, CtxId(2), op, "two").unwrap();
    assert_eq!(mock.sent(req), [flat(&wire(&[ID + 2], b"two"))]);
}

#[test]
fn waiting_replies_go_out_in_order_as_long_as_there_is_room() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 4);
    mock.try_send(&mut rep, CtxId(4), "x").unwrap();
    let ops = [1, 2, 3].map(|n| {
        let op = mock.op();
        assert!(send(&mut mock, &mut rep, CtxId(n), op, "x").is_err());
        op
    });
    mock.drain(&mut rep, req, 2);
    let pushy = send(&mut mock, &mut rep, CtxId(2), ops[1], "x");
    assert_eq!(pushy, Err(Error::WouldBlock));
    send(&mut mock, &mut rep, CtxId(1), ops[0], "x").unwrap();
    send(&mut mock, &mut rep, CtxId(2), ops[1], "x").unwrap();
    assert_eq!(mock.send_wakes, [CtxId(1), CtxId(2)]);
    mock.drain(&mut rep, req, 2);
    assert_eq!(mock.send_wakes, [CtxId(1), CtxId(2), CtxId(3)]);
}

#[test]
fn a_waiting_reply_that_is_given_up_makes_way_and_spends_its_request() {
    for close in [false, true] {
        let (mut mock, mut rep) = rep();
        let req = mock.attach(&mut rep, 1, 1).unwrap();
        contexts_with_requests(&mut mock, &mut rep, req, 3);
        mock.try_send(&mut rep, CtxId(3), "x").unwrap();
        let ops = [1, 2].map(|n| {
            let op = mock.op();
            assert!(send(&mut mock, &mut rep, CtxId(n), op, "x").is_err());
            op
        });
        mock.drain(&mut rep, req, 1);
        if close {
            rep.close_context(CtxId(1), &mut mock);
        } else {
            assert_eq!(rep.cancel_send(CtxId(1), ops[0], &mut mock), None);
            assert!(is_state_error(mock.try_send(&mut rep, CtxId(1), "x")));
        }
        assert_eq!(mock.send_wakes, [CtxId(1), CtxId(2)]);
        send(&mut mock, &mut rep, CtxId(2), ops[1], "x").unwrap();
    }
}

#[test]
fn a_try_to_reply_on_a_busy_pipe_spends_the_request() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 2);
    mock.try_send(&mut rep, CtxId(1), "one").unwrap();
    let busy = mock.try_send(&mut rep, CtxId(2), "two");
    assert_eq!(busy, Err(Error::WouldBlock));
    assert!(is_state_error(mock.try_send(&mut rep, CtxId(2), "two")));
}

#[test]
fn a_second_reply_is_a_state_error_while_one_waits() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 2);
    mock.try_send(&mut rep, CtxId(1), "one").unwrap();
    let (first, second) = (mock.op(), mock.op());
    assert!(send(&mut mock, &mut rep, CtxId(2), first, "two").is_err());
    mock.arrive(&mut rep, req, request("next"));
    mock.try_recv(&mut rep, CtxId(2)).unwrap();
    let sent = send(&mut mock, &mut rep, CtxId(2), second, "three");
    assert!(is_state_error(sent));
    mock.drain(&mut rep, req, 1);
    send(&mut mock, &mut rep, CtxId(2), first, "two").unwrap();
}

#[test]
fn a_reply_to_a_lost_pipe_is_accepted_and_discarded() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 100);
    mock.detach(&mut rep, req);
    for n in 1..=100 {
        mock.try_send(&mut rep, CtxId(n), "pong").unwrap();
    }
    assert_eq!(mock.dropped, [Dropped::NoPipe; 100]);
}

#[test]
fn a_waiting_reply_is_accepted_when_its_pipe_is_lost() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    contexts_with_requests(&mut mock, &mut rep, req, 2);
    mock.try_send(&mut rep, CtxId(1), "one").unwrap();
    let op = mock.op();
    assert!(send(&mut mock, &mut rep, CtxId(2), op, "two").is_err());
    mock.detach(&mut rep, req);
    assert_eq!(mock.send_wakes, [CtxId(2)]);
    send(&mut mock, &mut rep, CtxId(2), op, "two").unwrap();
    let again = send(&mut mock, &mut rep, CtxId(2), op, "two");
    assert!(is_state_error(again));
}

// ---- poll ----

#[test]
fn can_recv_while_a_request_is_there() {
    let (mut mock, mut rep) = rep();
    assert!(!rep.can_recv());
    let req = mock.attach(&mut rep, 1, 9).unwrap();
    assert!(!rep.can_recv());
    mock.arrive(&mut rep, req, request("ping"));
    assert!(rep.can_recv());
    mock.try_recv(&mut rep, SOCKET).unwrap();
    assert!(!rep.can_recv());
}

#[test]
fn can_send_while_a_request_is_held_and_its_pipe_idle() {
    let (mut mock, mut rep) = rep();
    let req = mock.attach(&mut rep, 1, 1).unwrap();
    assert!(!rep.can_send());
    mock.arrive(&mut rep, req, request("one"));
    assert!(!rep.can_send());
    mock.try_recv(&mut rep, SOCKET).unwrap();
    assert!(rep.can_send());
    mock.try_send(&mut rep, SOCKET, "1").unwrap();
    assert!(!rep.can_send());
    mock.arrive(&mut rep, req, request("two"));
    mock.try_recv(&mut rep, SOCKET).unwrap();
    assert!(!rep.can_send(), "the pipe is busy");
    mock.drain(&mut rep, req, 1);
    assert!(rep.can_send());
    mock.try_send(&mut rep, SOCKET, "2").unwrap();
    mock.arrive(&mut rep, req, request("three"));
    mock.try_recv(&mut rep, SOCKET).unwrap();
    assert!(!rep.can_send());
    mock.detach(&mut rep, req);
    assert!(rep.can_send(), "a lost pipe takes everything");
}

// ---- options ----

#[test]
fn options_are_checked() {
    let (mut mock, mut rep) = rep();
    rep.open_context(CtxId(1)).unwrap();
    for option in [
        ProtocolOption::Ttl(15),
        ProtocolOption::SendBuffer(0),
        ProtocolOption::RecvBuffer(0),
    ] {
        rep.set_option(SOCKET, option, &mut mock).unwrap();
        let context = rep.set_option(CtxId(1), option, &mut mock);
        assert!(matches!(context, Err(Error::NotSupported(_))));
    }
    let ttl = rep.set_option(SOCKET, ProtocolOption::Ttl(16), &mut mock);
    assert!(matches!(ttl, Err(Error::InvalidOption(_))));
    let resend = rep.set_option(SOCKET, ProtocolOption::ResendTime(None), &mut mock);
    assert!(matches!(resend, Err(Error::NotSupported(_))));
}

// ---- respondent ----

#[test]
fn a_respondent_is_the_same_machine_under_its_own_name() {
    let (mut mock, mut respondent) = (Mock::new(), Respondent::new());
    assert_eq!(respondent.info(), info::RESPONDENT);
    assert_eq!(RawRespondent::new().info(), info::RESPONDENT);
    let surveyor = mock.attach(&mut respondent, 1, 9).unwrap();
    assert!(is_state_error(mock.try_send(
        &mut respondent,
        SOCKET,
        "early"
    )));
    mock.arrive(&mut respondent, surveyor, request("ask"));
    mock.try_recv(&mut respondent, SOCKET).unwrap();
    mock.try_send(&mut respondent, SOCKET, "answer").unwrap();
    assert_eq!(mock.sent(surveyor), [reply("answer")]);
}

// ---- model ----

/// What may happen to a socket with three contexts and up to three pipes.
#[derive(Debug, Clone)]
enum Step {
    Arrive(u32, u8),
    Recv(u32),
    Send(u32, bool),
    GiveUp(u32),
    Attach(u32, usize),
    Detach(u32),
    Drain(u32, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ctx = 0..3u32;
    let number = 1..4u32;
    prop_oneof![
        4 => (number.clone(), 0..3u8).prop_map(|(n, hops)| Step::Arrive(n, hops)),
        4 => ctx.clone().prop_map(Step::Recv),
        4 => (ctx.clone(), any::<bool>()).prop_map(|(n, wait)| Step::Send(n, wait)),
        1 => ctx.prop_map(Step::GiveUp),
        2 => (number.clone(), 1..4usize).prop_map(|(n, room)| Step::Attach(n, room)),
        1 => number.clone().prop_map(Step::Detach),
        2 => (number, 1..4usize).prop_map(|(n, room)| Step::Drain(n, room)),
    ]
}

/// A context as the model sees it: the stack it may reply with and the send that waits.
#[derive(Default)]
struct Model {
    path: Option<Vec<u8>>,
    sender: Option<(OpId, Vec<u8>)>,
}

/// The body of each request is its own stack; so must be the body of each reply, which says that it went the way
/// its request came.
fn check_ways_back<S: Side>(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut mock, mut rep) = (Mock::new(), Replier::<S>::new());
    let mut contexts: [Model; 3] = std::array::from_fn(|_| Model::default());
    rep.open_context(CtxId(1)).unwrap();
    rep.open_context(CtxId(2)).unwrap();
    let mut id = ID;
    for step in steps {
        match step {
            Step::Arrive(n, hops) if mock.pipes.contains_key(&pipe(n)) => {
                id += 1;
                let mut words = vec![n; usize::from(hops)];
                words.push(id);
                let stack = flat(&wire(&words, b""));
                mock.arrive(&mut rep, pipe(n), wire(&words, &stack));
            }
            Step::Recv(n) => {
                let could = rep.can_recv();
                let received = mock.try_recv(&mut rep, CtxId(n));
                prop_assert_eq!(received.is_ok(), could);
                if let Ok(request) = received {
                    contexts[n as usize].path = Some(request.body().to_vec());
                }
            }
            Step::Send(n, wait) => {
                let (ctx, model) = (CtxId(n), &mut contexts[n as usize]);
                let could = rep.can_send();
                let waited = model.sender.take();
                let retry = waited.is_some();
                let op = match &waited {
                    Some((op, _)) => *op,
                    None if wait => mock.op(),
                    None => OpId::TRY,
                };
                let stack = waited.map(|(_, stack)| stack).or_else(|| model.path.take());
                let mut body = Message::from(stack.clone().unwrap_or_default());
                match rep.send(ctx, op, &mut body, &mut mock) {
                    Sent::Done => prop_assert!(stack.is_some()),
                    Sent::Full => {
                        prop_assert!(ctx != SOCKET || !could);
                        model.sender = stack.filter(|_| op != OpId::TRY).map(|stack| (op, stack));
                    }
                    Sent::Failed(..) => prop_assert!(stack.is_none()),
                    Sent::Pending => prop_assert!(false, "replies are not kept"),
                }
                prop_assert!(ctx != SOCKET || !could || retry || model.sender.is_none());
            }
            Step::GiveUp(n) => {
                if let Some((op, _)) = contexts[n as usize].sender.take() {
                    rep.cancel_send(CtxId(n), op, &mut mock);
                }
            }
            Step::Attach(n, room) if !mock.pipes.contains_key(&pipe(n)) => {
                mock.attach(&mut rep, n, room).unwrap();
            }
            Step::Detach(n) if mock.pipes.contains_key(&pipe(n)) => {
                mock.detach(&mut rep, pipe(n));
            }
            Step::Drain(n, room) if mock.pipes.contains_key(&pipe(n)) => {
                for sent in mock.drain(&mut rep, pipe(n), room) {
                    prop_assert_eq!(sent.header(), sent.body());
                    let hops = sent.header().chunks(4).rev().skip(1);
                    prop_assert!(hops.into_iter().all(|hop| hop == n.to_be_bytes()));
                }
            }
            _ => {}
        }
        let waiting = contexts
            .iter()
            .filter(|model| model.sender.is_some())
            .count();
        let listed: usize = rep.pipes.values().map(|pipe| pipe.senders.len()).sum();
        prop_assert!(listed <= waiting);
    }
    // Nothing hangs: once its pipe has room or is gone, every reply that waits goes out, in some order.
    let open: Vec<PipeId> = mock.pipes.keys().copied().collect();
    for id in open {
        mock.drain(&mut rep, id, 99);
    }
    let mut waiting: Vec<_> = (0..)
        .zip(contexts)
        .filter_map(|(n, m)| Some((CtxId(n), m.sender?)))
        .collect();
    for _ in 0..waiting.len() {
        waiting.retain(|(ctx, (op, stack))| {
            !matches!(
                rep.send(*ctx, *op, &mut Message::from(stack.clone()), &mut mock),
                Sent::Done
            )
        });
    }
    prop_assert!(waiting.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn every_reply_goes_back_the_way_its_request_came(steps in proptest::collection::vec(step(), 1..100)) {
        check_ways_back::<RepSide>(steps)?;
    }

    #[test]
    fn every_answer_goes_back_the_way_its_survey_came(steps in proptest::collection::vec(step(), 1..100)) {
        check_ways_back::<RespondentSide>(steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn raw_rep_sends_where_the_header_says_and_reads_each_pipe_while_there_is_room(
        recv_depth in 0..4usize,
        steps in raw_model::steps(),
    ) {
        raw_model::check(&mut RawRep::new(), Route::Named(64), Some(8), recv_depth, steps)?;
    }

    #[test]
    fn raw_respondent_sends_where_the_header_says_and_reads_each_pipe_while_there_is_room(
        recv_depth in 0..4usize,
        steps in raw_model::steps(),
    ) {
        raw_model::check(&mut RawRespondent::new(), Route::Named(2), Some(8), recv_depth, steps)?;
    }
}
