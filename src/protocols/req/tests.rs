use proptest::prelude::*;

use super::*;
use crate::protocols::mock::{Mock, flat, pipe, wire};
use crate::protocols::raw_model::{self, Route};

const SOCKET: CtxId = CtxId::SOCKET;
const FIRST: u32 = 0x8000_0001;
const SECOND: u32 = 0x8000_0002;

fn req() -> (Mock, Req) {
    (Mock::new(), Req::new(1))
}

/// A socket that does not resend.
fn req_without_resend() -> (Mock, Req) {
    let (mut mock, mut req) = req();
    set(&mut mock, &mut req, ProtocolOption::ResendTime(None)).unwrap();
    (mock, req)
}

fn set(mock: &mut Mock, machine: &mut dyn Protocol, option: ProtocolOption) -> Result<()> {
    machine.set_option(SOCKET, option, mock)
}

fn request(id: u32, body: &str) -> Vec<u8> {
    flat(&wire(&[id], body.as_bytes()))
}

fn reply(id: u32, body: &str) -> Message {
    wire(&[id], body.as_bytes())
}

/// Starts a send that has to wait.
fn start_send(mock: &mut Mock, req: &mut Req, ctx: CtxId, body: &str) -> OpId {
    let op = mock.op();
    let sent = req.send(ctx, op, &mut Message::from(body), mock);
    assert!(matches!(sent, Sent::Pending), "{sent:?}");
    assert!(req.poll_send(ctx, op).is_none());
    op
}

/// Starts a receive that has to wait.
fn start_recv(mock: &mut Mock, req: &mut Req, ctx: CtxId) -> OpId {
    let op = mock.op();
    assert_eq!(mock.recv(req, ctx, op), Ok(None));
    op
}

fn is_state_error<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::InvalidState(_)))
}

// ---- exchange ----

#[test]
fn a_reply_goes_to_the_request_with_its_id() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    assert_eq!(mock.sent(rep), [request(FIRST, "ping")]);
    assert!(!req.can_recv());
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    assert!(req.can_recv());
    let pong = mock.try_recv(&mut req, SOCKET).unwrap();
    assert_eq!((pong.header(), pong.body()), (&b""[..], &b"pong"[..]));
    assert_eq!(pong.pipe(), Some(rep));
    assert!(!req.can_recv());
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
}

#[test]
fn a_header_given_by_the_user_is_discarded() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    let mut message = Message::from("ping");
    message.header_append_u32(77).unwrap();
    mock.try_send(&mut req, SOCKET, message).unwrap();
    assert_eq!(mock.sent(rep), [request(FIRST, "ping")]);
}

#[test]
fn a_receive_without_a_request_is_a_state_error() {
    let (mut mock, mut req) = req();
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
}

#[test]
fn a_waiting_receive_is_woken_by_the_reply() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    let op = start_recv(&mut mock, &mut req, SOCKET);
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let pong = mock.recv(&mut req, SOCKET, op).unwrap().unwrap();
    assert_eq!(pong.body(), b"pong");
}

#[test]
fn a_second_receive_is_a_state_error_while_one_waits() {
    let (mut mock, mut req) = req();
    mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    let first = start_recv(&mut mock, &mut req, SOCKET);
    let second = mock.op();
    assert!(is_state_error(mock.recv(&mut req, SOCKET, second)));
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
    assert_eq!(mock.recv(&mut req, SOCKET, first), Ok(None));
}

#[test]
fn a_try_to_receive_leaves_the_request_outstanding() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    let tried = mock.try_recv(&mut req, SOCKET);
    assert_eq!(tried, Err(Error::WouldBlock));
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    assert!(mock.try_recv(&mut req, SOCKET).is_ok());
}

#[test]
fn a_reply_without_an_id_closes_its_pipe() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    mock.arrive(&mut req, rep, Message::from("abc"));
    assert!(matches!(mock.closed(rep), Some(Error::Malformed(_))));
    assert!(!req.can_recv() && !req.can_send());
}

#[test]
fn unknown_unsent_and_second_replies_are_dropped() {
    let (mut mock, mut req) = req();
    let full = mock.attach(&mut req, 1, 1).unwrap();
    req.open_context(CtxId(1)).unwrap();
    mock.try_send(&mut req, SOCKET, "sent").unwrap();
    start_send(&mut mock, &mut req, CtxId(1), "unsent");
    mock.arrive(&mut req, full, reply(FIRST + 9, "unknown"));
    mock.arrive(&mut req, full, reply(SECOND, "guessed"));
    mock.arrive(&mut req, full, reply(FIRST, "good"));
    mock.arrive(&mut req, full, reply(FIRST, "late"));
    assert_eq!(mock.dropped, [Dropped::Unwanted; 3]);
    assert_eq!(mock.try_recv(&mut req, SOCKET).unwrap().body(), b"good");
    let waiting = mock.try_recv(&mut req, CtxId(1));
    assert_eq!(waiting, Err(Error::WouldBlock));
}

#[test]
fn a_reply_may_come_from_any_pipe() {
    let (mut mock, mut req) = req();
    let asked = mock.attach(&mut req, 1, 9).unwrap();
    let other = mock.attach(&mut req, 2, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    assert_eq!(mock.sent(asked).len(), 1);
    mock.arrive(&mut req, other, reply(FIRST, "pong"));
    assert!(mock.try_recv(&mut req, SOCKET).is_ok());
}

// ---- waiting for a pipe ----

#[test]
fn a_try_without_a_pipe_leaves_everything_as_it_was() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 1).unwrap();
    mock.try_send(&mut req, SOCKET, "first").unwrap();
    let tried = mock.try_send(&mut req, SOCKET, "second");
    assert_eq!(tried, Err(Error::WouldBlock));
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    assert!(mock.try_recv(&mut req, SOCKET).is_ok());
}

#[test]
fn sends_of_several_contexts_wait_for_a_pipe_in_order() {
    let (mut mock, mut req) = req();
    let ops: Vec<_> = (1..=3)
        .map(|n| {
            req.open_context(CtxId(n)).unwrap();
            (CtxId(n), start_send(&mut mock, &mut req, CtxId(n), "x"))
        })
        .collect();
    assert_eq!(req.unsent(), 0);
    let rep = mock.attach(&mut req, 1, 2).unwrap();
    assert_eq!(mock.send_wakes, [CtxId(1), CtxId(2)]);
    assert!(!req.can_send());
    let sent = mock.drain(&mut req, rep, 9);
    assert_eq!(sent.len(), 2);
    assert_eq!(mock.sent(rep), [request(FIRST + 2, "x")]);
    assert!(req.can_send());
    for (ctx, op) in ops {
        assert_eq!(req.poll_send(ctx, op), Some(Ok(())));
        assert_eq!(req.poll_send(ctx, op), None);
    }
}

#[test]
fn a_send_given_up_returns_its_message_without_a_header() {
    let (mut mock, mut req) = req();
    let op = start_send(&mut mock, &mut req, SOCKET, "x");
    let message = req.cancel_send(SOCKET, op, &mut mock).unwrap();
    assert_eq!(flat(&message), b"x");
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    assert!(mock.sent(rep).is_empty());
}

#[test]
fn a_send_that_went_out_before_it_was_given_up_returns_nothing() {
    let (mut mock, mut req) = req();
    let op = start_send(&mut mock, &mut req, SOCKET, "x");
    mock.attach(&mut req, 1, 9).unwrap();
    assert_eq!(req.cancel_send(SOCKET, op, &mut mock), None);
    assert_eq!(req.poll_send(SOCKET, op), None);
}

#[test]
fn a_second_send_cancels_the_first_that_still_waits() {
    let (mut mock, mut req) = req();
    let first = start_send(&mut mock, &mut req, SOCKET, "first");
    let second = start_send(&mut mock, &mut req, SOCKET, "second");
    assert_eq!(mock.send_wakes, [SOCKET]);
    let canceled = Err((Error::Canceled, Message::from("first")));
    assert_eq!(req.poll_send(SOCKET, first), Some(canceled));
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    assert_eq!(mock.sent(rep), [request(SECOND, "second")]);
    assert_eq!(req.poll_send(SOCKET, second), Some(Ok(())));
}

#[test]
fn a_receive_given_up_takes_the_waiting_send_with_it() {
    let (mut mock, mut req) = req();
    let send = start_send(&mut mock, &mut req, SOCKET, "x");
    let recv = start_recv(&mut mock, &mut req, SOCKET);
    req.cancel_recv(SOCKET, recv, &mut mock);
    assert_eq!(mock.send_wakes, [SOCKET]);
    let canceled = Err((Error::Canceled, Message::from("x")));
    assert_eq!(req.poll_send(SOCKET, send), Some(canceled));
}

#[test]
fn a_send_given_up_takes_the_waiting_receive_with_it() {
    let (mut mock, mut req) = req();
    let send = start_send(&mut mock, &mut req, SOCKET, "x");
    let recv = start_recv(&mut mock, &mut req, SOCKET);
    assert!(req.cancel_send(SOCKET, send, &mut mock).is_some());
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let retried = mock.recv(&mut req, SOCKET, recv);
    assert_eq!(retried, Err(Error::Canceled));
}

// ---- replaced and forgotten requests ----

#[test]
fn a_new_request_replaces_the_one_before() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    assert_eq!(
        mock.sent(rep),
        [request(FIRST, "one"), request(SECOND, "two")]
    );
    mock.arrive(&mut req, rep, reply(FIRST, "1"));
    mock.arrive(&mut req, rep, reply(SECOND, "2"));
    assert_eq!(mock.try_recv(&mut req, SOCKET).unwrap().body(), b"2");
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
}

#[test]
fn a_new_request_cancels_the_waiting_receive() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    let op = start_recv(&mut mock, &mut req, SOCKET);
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let canceled = mock.recv(&mut req, SOCKET, op);
    assert_eq!(canceled, Err(Error::Canceled));
    assert!(req.canceled_recvs.is_empty());
    mock.arrive(&mut req, rep, reply(SECOND, "2"));
    assert_eq!(mock.try_recv(&mut req, SOCKET).unwrap().body(), b"2");
}

#[test]
fn a_canceled_receive_that_never_asks_leaves_nothing_behind() {
    let (mut mock, mut req) = req();
    mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    let op = start_recv(&mut mock, &mut req, SOCKET);
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    req.cancel_recv(SOCKET, op, &mut mock);
    assert!(req.canceled_recvs.is_empty());
    let second = mock.try_recv(&mut req, SOCKET);
    assert_eq!(second, Err(Error::WouldBlock));
}

#[test]
fn a_new_request_discards_the_stored_reply() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    mock.arrive(&mut req, rep, reply(FIRST, "1"));
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    assert!(!req.can_recv());
    mock.arrive(&mut req, rep, reply(SECOND, "2"));
    assert_eq!(mock.try_recv(&mut req, SOCKET).unwrap().body(), b"2");
}

#[test]
fn a_receive_given_up_forgets_its_request() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    let op = start_recv(&mut mock, &mut req, SOCKET);
    req.cancel_recv(SOCKET, op, &mut mock);
    mock.arrive(&mut req, rep, reply(FIRST, "late"));
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
}

#[test]
fn a_reply_survives_the_receive_that_was_given_up_just_after_it_came() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    let op = start_recv(&mut mock, &mut req, SOCKET);
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    req.cancel_recv(SOCKET, op, &mut mock);
    assert_eq!(mock.try_recv(&mut req, SOCKET).unwrap().body(), b"pong");
}

// ---- resending ----

#[test]
fn an_unanswered_request_is_resent_each_time_its_resend_time_has_passed() {
    let (mut mock, mut req) = req();
    let time = Duration::from_millis(100);
    let tick = Duration::from_millis(10);
    set(&mut mock, &mut req, ProtocolOption::ResendTime(Some(time))).unwrap();
    set(&mut mock, &mut req, ProtocolOption::ResendTick(tick)).unwrap();
    let rep = mock.attach(&mut req, 1, 99).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    for expected in [1, 2, 3, 4] {
        assert_eq!(mock.pipes[&rep].sent.len(), expected);
        for _ in 0..10 {
            mock.advance(&mut req, tick);
        }
    }
    assert!(mock.sent(rep).iter().all(|s| *s == request(FIRST, "ping")));
    mock.arrive(&mut req, rep, reply(FIRST, "pong"));
    mock.advance(&mut req, time);
    assert_eq!(req.deadline(), None);
    assert!(mock.sent(rep).is_empty());
}

#[test]
fn the_deadline_does_not_move_with_every_request() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 99).unwrap();
    assert_eq!(req.deadline(), None);
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    let deadline = req.deadline();
    assert!(deadline.is_some());
    mock.arrive(&mut req, rep, reply(FIRST, "1"));
    mock.advance(&mut req, Duration::from_secs(1));
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    assert_eq!(req.deadline(), deadline);
    mock.advance(&mut req, Duration::from_secs(59));
    assert_eq!(mock.sent(rep).len(), 2);
    mock.advance(&mut req, Duration::from_secs(1));
    assert_eq!(mock.sent(rep), [request(SECOND, "two")]);
}

#[test]
fn a_shorter_resend_time_or_tick_takes_effect_beside_a_longer_one() {
    let (mut mock, mut req) = req();
    let rep = mock.attach(&mut req, 1, 99).unwrap();
    mock.try_send(&mut req, SOCKET, "slow").unwrap();
    req.open_context(CtxId(1)).unwrap();
    let short = ProtocolOption::ResendTime(Some(Duration::from_millis(5)));
    req.set_option(CtxId(1), short, &mut mock).unwrap();
    mock.try_send(&mut req, CtxId(1), "fast").unwrap();
    let tick = ProtocolOption::ResendTick(Duration::from_millis(1));
    set(&mut mock, &mut req, tick).unwrap();
    mock.sent(rep);
    for _ in 0..5 {
        mock.advance(&mut req, Duration::from_millis(1));
    }
    assert_eq!(mock.sent(rep), [request(SECOND, "fast")]);
}

#[test]
fn a_reply_takes_a_request_that_waits_to_be_resent_off_the_queue() {
    let (mut mock, mut req) = req();
    let full = mock.attach(&mut req, 1, 1).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    mock.advance(&mut req, Duration::from_secs(60));
    assert_eq!((req.queue.len(), req.unsent()), (1, 0));
    mock.arrive(&mut req, full, reply(FIRST, "pong"));
    assert!(mock.try_recv(&mut req, SOCKET).is_ok());
    assert_eq!(mock.drain(&mut req, full, 9).len(), 1);
    assert!(mock.sent(full).is_empty() && req.can_send());
}

#[test]
fn a_lost_pipe_makes_its_requests_go_to_another_at_once() {
    let (mut mock, mut req) = req();
    let first = mock.attach(&mut req, 1, 9).unwrap();
    let second = mock.attach(&mut req, 2, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    mock.detach(&mut req, first);
    assert_eq!(mock.sent(second), [request(FIRST, "ping")]);
    mock.arrive(&mut req, second, reply(FIRST, "pong"));
    assert!(mock.try_recv(&mut req, SOCKET).is_ok());
}

#[test]
fn requests_of_a_lost_pipe_wait_for_the_next_in_order() {
    let (mut mock, mut req) = req();
    let first = mock.attach(&mut req, 1, 9).unwrap();
    for n in 1..=3 {
        req.open_context(CtxId(n)).unwrap();
        mock.try_send(&mut req, CtxId(n), "x").unwrap();
    }
    mock.detach(&mut req, first);
    assert_eq!(req.unsent(), 3);
    let second = mock.attach(&mut req, 2, 9).unwrap();
    let expected: Vec<_> = (0..3).map(|n| request(FIRST + n, "x")).collect();
    assert_eq!(mock.sent(second), expected);
    assert_eq!(req.unsent(), 0);
}

#[test]
fn without_resending_a_lost_pipe_resets_the_waiting_receive() {
    let (mut mock, mut req) = req_without_resend();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    assert_eq!(req.deadline(), None);
    let op = start_recv(&mut mock, &mut req, SOCKET);
    mock.detach(&mut req, rep);
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let retried = mock.recv(&mut req, SOCKET, op);
    assert_eq!(retried, Err(Error::ConnectionReset));
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
    let other = mock.attach(&mut req, 2, 9).unwrap();
    assert!(mock.sent(other).is_empty());
}

#[test]
fn without_resending_a_lost_pipe_resets_a_later_receive_once() {
    let (mut mock, mut req) = req();
    let zero = ProtocolOption::ResendTime(Some(Duration::ZERO));
    set(&mut mock, &mut req, zero).unwrap();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, SOCKET, "ping").unwrap();
    mock.detach(&mut req, rep);
    let reset = mock.try_recv(&mut req, SOCKET);
    assert_eq!(reset, Err(Error::ConnectionReset));
    assert!(is_state_error(mock.try_recv(&mut req, SOCKET)));
}

// ---- poll ----

#[test]
fn can_send_follows_the_pipes_that_are_ready() {
    let (mut mock, mut req) = req();
    assert!(!req.can_send());
    let first = mock.attach(&mut req, 1, 1).unwrap();
    let second = mock.attach(&mut req, 2, 1).unwrap();
    mock.try_send(&mut req, SOCKET, "one").unwrap();
    assert!(req.can_send());
    mock.try_send(&mut req, SOCKET, "two").unwrap();
    assert!(!req.can_send());
    mock.drain(&mut req, second, 1);
    assert!(req.can_send());
    mock.detach(&mut req, second);
    mock.detach(&mut req, first);
    assert!(!req.can_send());
}

#[test]
fn can_send_is_false_while_sends_of_contexts_contend() {
    let (mut mock, mut req) = req();
    for n in 1..=3 {
        req.open_context(CtxId(n)).unwrap();
        start_send(&mut mock, &mut req, CtxId(n), "x");
    }
    let rep = mock.attach(&mut req, 1, 1).unwrap();
    for _ in 0..2 {
        assert!(!req.can_send());
        mock.drain(&mut req, rep, 1);
    }
    assert!(!req.can_send());
    mock.drain(&mut req, rep, 1);
    assert!(req.can_send());
}

#[test]
fn requests_go_to_pipes_in_turn() {
    let (mut mock, mut req) = req();
    let pipes = [1, 2, 3].map(|n| mock.attach(&mut req, n, 9).unwrap());
    for _ in 0..6 {
        mock.try_send(&mut req, SOCKET, "x").unwrap();
    }
    assert_eq!(pipes.map(|pipe| mock.sent(pipe).len()), [2, 2, 2]);
}

// ---- options and contexts ----

#[test]
fn options_are_checked() {
    let (mut mock, mut req) = req();
    for ttl in [0, 16, 255] {
        let set = set(&mut mock, &mut req, ProtocolOption::Ttl(ttl));
        assert!(matches!(set, Err(Error::InvalidOption(_))));
    }
    set(&mut mock, &mut req, ProtocolOption::Ttl(1)).unwrap();
    set(&mut mock, &mut req, ProtocolOption::SendBuffer(0)).unwrap();
    set(&mut mock, &mut req, ProtocolOption::RecvBuffer(0)).unwrap();
    let zero = ProtocolOption::ResendTick(Duration::ZERO);
    assert!(matches!(
        set(&mut mock, &mut req, zero),
        Err(Error::InvalidOption(bad)) if bad.option == "req:resend-tick"
    ));
    let survey = set(&mut mock, &mut req, ProtocolOption::SurveyTime(None));
    assert!(matches!(survey, Err(Error::NotSupported(_))));
}

#[test]
fn a_context_takes_over_the_resend_time_and_has_no_other_option() {
    let (mut mock, mut req) = req_without_resend();
    req.open_context(CtxId(1)).unwrap();
    let rep = mock.attach(&mut req, 1, 9).unwrap();
    mock.try_send(&mut req, CtxId(1), "ping").unwrap();
    mock.detach(&mut req, rep);
    let reset = mock.try_recv(&mut req, CtxId(1));
    assert_eq!(reset, Err(Error::ConnectionReset));
    let ttl = req.set_option(CtxId(1), ProtocolOption::Ttl(3), &mut mock);
    assert!(matches!(ttl, Err(Error::NotSupported(_))));
}

#[test]
fn a_closed_context_hands_its_waiting_message_back() {
    let (mut mock, mut req) = req();
    req.open_context(CtxId(1)).unwrap();
    let op = start_send(&mut mock, &mut req, CtxId(1), "x");
    start_recv(&mut mock, &mut req, CtxId(1));
    req.close_context(CtxId(1), &mut mock);
    let message = req.cancel_send(CtxId(1), op, &mut mock);
    assert_eq!(message, Some(Message::from("x")));
    let received = mock.try_recv(&mut req, CtxId(1));
    assert_eq!(received, Err(Error::Closed));
    let sent = mock.try_send(&mut req, CtxId(1), "y");
    assert_eq!(sent, Err(Error::Closed));
    assert!(req.queue.is_empty() && req.ended_sends.is_empty());
}

// ---- raw ----

#[test]
fn raw_sends_to_a_free_pipe_or_waits() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    assert!(!raw.can_send());
    let unconnected = mock.try_send(&mut raw, SOCKET, "x");
    assert_eq!(unconnected, Err(Error::WouldBlock));
    let rep = mock.attach(&mut raw, 1, 1).unwrap();
    assert_eq!(mock.send_wakes, [SOCKET]);
    let mut message = Message::from("x");
    message.header_append_u32(FIRST).unwrap();
    mock.try_send(&mut raw, SOCKET, message).unwrap();
    assert_eq!(mock.sent(rep), [request(FIRST, "x")]);
    assert!(!raw.can_send());
    mock.detach(&mut raw, rep);
    assert!(!raw.can_send());
}

#[test]
fn raw_queues_as_many_messages_as_its_send_buffer_has_room_for() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    set(&mut mock, &mut raw, ProtocolOption::SendBuffer(2)).unwrap();
    mock.try_send(&mut raw, SOCKET, "one").unwrap();
    mock.try_send(&mut raw, SOCKET, "two").unwrap();
    assert!(!raw.can_send());
    set(&mut mock, &mut raw, ProtocolOption::SendBuffer(1)).unwrap();
    assert_eq!(mock.dropped, [Dropped::SendQueueFull]);
    assert_eq!(raw.unsent(), 1);
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    assert_eq!(mock.sent(rep), [b"one"]);
    assert_eq!(raw.unsent(), 0);
}

#[test]
fn raw_receives_the_stack_as_header() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    mock.arrive(&mut raw, rep, wire(&[2, 1, 0x8000_0123], b"x"));
    let message = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(message.header(), wire(&[2, 1, 0x8000_0123], b"").body());
    assert_eq!(message.body(), b"x");
}

#[test]
fn raw_closes_the_pipe_of_a_stack_without_end() {
    for garbage in [wire(&[1, 2], b"abc"), wire(&[1; 17], b"")] {
        let (mut mock, mut raw) = (Mock::new(), RawReq::new());
        let rep = mock.attach(&mut raw, 1, 9).unwrap();
        mock.arrive(&mut raw, rep, garbage);
        assert!(matches!(mock.closed(rep), Some(Error::Malformed(_))));
        assert!(!raw.can_recv());
    }
}

#[test]
fn raw_reads_one_message_ahead_of_its_full_receive_queue() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    for n in 0..4 {
        mock.arrive(&mut raw, rep, reply(FIRST + n, ""));
    }
    assert_eq!(mock.waiting(rep), 2);
    for n in 0..4 {
        let message = mock.try_recv(&mut raw, SOCKET).unwrap();
        assert_eq!(flat(&message), request(FIRST + n, ""));
    }
    assert!(!raw.can_recv());
}

#[test]
fn raw_keeps_queued_messages_of_a_lost_pipe_but_not_the_one_it_held() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    mock.arrive(&mut raw, rep, reply(FIRST, ""));
    mock.arrive(&mut raw, rep, reply(SECOND, ""));
    mock.detach(&mut raw, rep);
    assert_eq!(mock.dropped, [Dropped::NoPipe]);
    assert!(mock.try_recv(&mut raw, SOCKET).is_ok());
    let emptied = mock.try_recv(&mut raw, SOCKET);
    assert_eq!(emptied, Err(Error::WouldBlock));
}

#[test]
fn raw_receive_queue_can_be_resized() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    set(&mut mock, &mut raw, ProtocolOption::RecvBuffer(3)).unwrap();
    for n in 0..5 {
        mock.arrive(&mut raw, rep, reply(FIRST + n, ""));
    }
    assert_eq!(mock.waiting(rep), 1);
    set(&mut mock, &mut raw, ProtocolOption::RecvBuffer(0)).unwrap();
    assert_eq!(mock.dropped, [Dropped::RecvQueueFull; 3]);
    let held = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(flat(&held), request(FIRST + 3, ""));
    assert!(raw.can_recv());
}

// ---- model ----

/// What may happen to a socket with three contexts and up to three pipes.
#[derive(Debug, Clone)]
enum Step {
    Send(u32),
    Recv(u32),
    GiveUp(u32),
    Attach(u32, usize),
    Detach(u32),
    Answer(u32),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let ctx = 0..3u32;
    let number = 1..4u32;
    prop_oneof![
        3 => ctx.clone().prop_map(Step::Send),
        3 => ctx.clone().prop_map(Step::Recv),
        1 => ctx.prop_map(Step::GiveUp),
        2 => (number.clone(), 1..4usize).prop_map(|(n, room)| Step::Attach(n, room)),
        1 => number.clone().prop_map(Step::Detach),
        3 => number.prop_map(Step::Answer),
        1 => Just(Step::Wait),
    ]
}

/// The model knows of each context only the request it made last, and whether the receive it started waits.
#[derive(Default)]
struct Model {
    request: Option<u32>,
    sender: Option<OpId>,
    receiver: Option<OpId>,
}

/// Answers all requests that were sent on a pipe by repeating their bodies, and gives it room again.
fn answer_all(mock: &mut Mock, req: &mut Req, id: PipeId) {
    for request in mock.drain(req, id, 2) {
        mock.arrive(req, id, Message::from(flat(&request)));
    }
}

proptest! {
    #[test]
    fn every_reply_received_answers_the_last_request(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut mock, mut req) = req();
        let mut contexts: [Model; 3] = std::array::from_fn(|_| Model::default());
        req.open_context(CtxId(1)).unwrap();
        req.open_context(CtxId(2)).unwrap();
        let mut next = 0u32;
        for step in steps {
            match step {
                Step::Send(n) => {
                    let (ctx, op, model) = (CtxId(n), mock.op(), &mut contexts[n as usize]);
                    next += 1;
                    let mut body = Message::from(next.to_be_bytes());
                    let sent = req.send(ctx, op, &mut body, &mut mock);
                    if let Some(old) = model.sender.take() {
                        let ended = req.poll_send(ctx, old);
                        let canceled = matches!(&ended, Some(Err((Error::Canceled, m))) if m.header().is_empty());
                        prop_assert!(canceled || ended == Some(Ok(())));
                    }
                    if let Some(old) = model.receiver.take() {
                        prop_assert_eq!(mock.recv(&mut req, ctx, old), Err(Error::Canceled));
                    }
                    model.request = Some(next);
                    model.sender = matches!(sent, Sent::Pending).then_some(op);
                }
                Step::Recv(n) => {
                    let (ctx, model) = (CtxId(n), &mut contexts[n as usize]);
                    let op = model.receiver.unwrap_or_else(|| mock.op());
                    match mock.recv(&mut req, ctx, op) {
                        Ok(Some(reply)) => {
                            let expected = model.request.take().map(u32::to_be_bytes);
                            prop_assert_eq!(Some(reply.body()), expected.as_ref().map(|b| &b[..]));
                            model.receiver = None;
                        }
                        Ok(None) => {
                            prop_assert!(model.request.is_some());
                            model.receiver = Some(op);
                        }
                        Err(error) => {
                            prop_assert!(matches!(error, Error::InvalidState(_)));
                            prop_assert!(model.request.is_none());
                        }
                    }
                }
                Step::GiveUp(n) => {
                    let (ctx, model) = (CtxId(n), &mut contexts[n as usize]);
                    if let Some(op) = model.receiver.take() {
                        let replied = matches!(req.contexts[&ctx].state, State::Replied(_));
                        req.cancel_recv(ctx, op, &mut mock);
                        if !replied {
                            model.request = None;
                        }
                    }
                }
                Step::Attach(n, room) if !mock.pipes.contains_key(&pipe(n)) => {
                    mock.attach(&mut req, n, room).unwrap();
                }
                Step::Detach(n) if mock.pipes.contains_key(&pipe(n)) => {
                    mock.detach(&mut req, pipe(n));
                }
                Step::Answer(n) if mock.pipes.contains_key(&pipe(n)) => {
                    answer_all(&mut mock, &mut req, pipe(n));
                }
                Step::Wait => mock.advance(&mut req, Duration::from_secs(30)),
                _ => {}
            }
            prop_assert!(req.ready.is_empty() || req.queue.is_empty());
            let waiting = contexts.iter().filter(|model| model.request.is_some()).count();
            prop_assert!(req.outstanding().count() <= waiting);
        }
        // Nothing gets lost: a peer that answers everything serves every context that still wants a reply.
        for n in 1..4 {
            if mock.pipes.contains_key(&pipe(n)) {
                mock.detach(&mut req, pipe(n));
            }
        }
        let last = mock.attach(&mut req, 9, 9).unwrap();
        answer_all(&mut mock, &mut req, last);
        for (n, model) in (0..).zip(&contexts) {
            if let Some(tag) = model.request {
                let op = model.receiver.unwrap_or(OpId::TRY);
                let reply = mock.recv(&mut req, CtxId(n), op).unwrap().unwrap();
                prop_assert_eq!(reply.body(), tag.to_be_bytes());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn raw_sends_to_the_pipes_in_turn_and_reads_each_while_there_is_room(
        send_depth in 0..4usize,
        recv_depth in 0..4usize,
        steps in raw_model::steps(),
    ) {
        let mut raw = RawReq::new();
        set(&mut Mock::new(), &mut raw, ProtocolOption::SendBuffer(send_depth)).unwrap();
        raw_model::check(&mut raw, Route::Any(send_depth), None, recv_depth, steps)?;
    }
}
