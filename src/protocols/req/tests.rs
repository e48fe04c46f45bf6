use super::*;
use crate::protocols::mock::{Mock, flat, pipe, wire};

mod model;
mod raw;

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
