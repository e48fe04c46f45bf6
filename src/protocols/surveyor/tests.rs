use proptest::prelude::*;

use super::*;
use crate::protocols::mock::{Mock, flat, pipe, wire};
use crate::protocols::raw_model::{self, Route};

const SOCKET: CtxId = CtxId::SOCKET;
const FIRST: u32 = 0x8000_0001;
const SECOND: u32 = 0x8000_0002;

fn surveyor() -> (Mock, Surveyor) {
    (Mock::new(), Surveyor::new(1))
}

fn answer(id: u32, body: &str) -> Message {
    wire(&[id], body.as_bytes())
}

fn survey(id: u32, body: &str) -> Vec<u8> {
    flat(&answer(id, body))
}

/// Starts a receive that has to wait.
fn start_recv(mock: &mut Mock, surveyor: &mut Surveyor, ctx: CtxId) -> OpId {
    let op = mock.op();
    assert_eq!(mock.recv(surveyor, ctx, op), Ok(None));
    op
}

fn set_time(mock: &mut Mock, surveyor: &mut Surveyor, ctx: CtxId, millis: u64) {
    let time = ProtocolOption::SurveyTime(Some(Duration::from_millis(millis)));
    surveyor.set_option(ctx, time, mock).unwrap();
}

fn is_state_error<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::InvalidState(_)))
}

// ---- exchange ----

#[test]
fn a_survey_goes_to_every_pipe_and_collects_all_answers() {
    let (mut mock, mut surveyor) = surveyor();
    let pipes = [1, 2, 3].map(|n| mock.attach(&mut surveyor, n, 9).unwrap());
    let mut question = Message::from("who?");
    question.header_append_u32(99).unwrap();
    mock.try_send(&mut surveyor, SOCKET, question).unwrap();
    for pipe in pipes {
        assert_eq!(mock.sent(pipe), [survey(FIRST, "who?")]);
        mock.arrive(&mut surveyor, pipe, answer(FIRST, "me"));
    }
    for pipe in pipes {
        let me = mock.try_recv(&mut surveyor, SOCKET).unwrap();
        assert_eq!(me.header(), FIRST.to_be_bytes());
        assert_eq!((me.body(), me.pipe()), (&b"me"[..], Some(pipe)));
    }
    let none_left = mock.try_recv(&mut surveyor, SOCKET);
    assert_eq!(none_left, Err(Error::WouldBlock));
}

#[test]
fn a_receive_without_a_survey_is_a_state_error() {
    let (mut mock, mut surveyor) = surveyor();
    assert!(is_state_error(mock.try_recv(&mut surveyor, SOCKET)));
}

#[test]
fn a_survey_without_pipes_is_outstanding_all_the_same() {
    let (mut mock, mut surveyor) = surveyor();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let late = mock.attach(&mut surveyor, 1, 9).unwrap();
    assert!(mock.sent(late).is_empty());
    let empty = mock.try_recv(&mut surveyor, SOCKET);
    assert_eq!(empty, Err(Error::WouldBlock));
}

#[test]
fn an_answer_without_an_id_closes_its_pipe() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    mock.arrive(&mut surveyor, respondent, Message::from("abc"));
    assert!(matches!(mock.closed(respondent), Some(Error::Malformed(_))));
    assert!(!surveyor.can_recv());
}

#[test]
fn answers_to_other_surveys_are_dropped() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    mock.arrive(&mut surveyor, respondent, answer(SECOND, "?"));
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
    assert!(!surveyor.can_recv());
}

#[test]
fn surveys_of_contexts_run_side_by_side() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    for n in 1..=5 {
        surveyor.open_context(CtxId(n)).unwrap();
        let sent = mock.try_send(&mut surveyor, CtxId(n), n.to_be_bytes());
        sent.unwrap();
    }
    for request in mock.drain(&mut surveyor, respondent, 9) {
        let echo = Message::from(flat(&request));
        mock.arrive(&mut surveyor, respondent, echo);
    }
    for n in (1..=5).rev() {
        let answer = mock.try_recv(&mut surveyor, CtxId(n)).unwrap();
        assert_eq!(answer.body(), n.to_be_bytes());
        assert!(mock.try_recv(&mut surveyor, CtxId(n)).is_err());
    }
}

// ---- waiting receives ----

#[test]
fn several_receives_may_wait_on_one_context() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let ops = [(); 2].map(|()| start_recv(&mut mock, &mut surveyor, SOCKET));
    for op in ops {
        mock.arrive(&mut surveyor, respondent, answer(FIRST, "a"));
        assert!(mock.recv(&mut surveyor, SOCKET, op).unwrap().is_some());
    }
    assert_eq!(mock.recv_wakes, [SOCKET; 2]);
    assert!(surveyor.contexts[&SOCKET].receivers.is_empty());
}

#[test]
fn a_receive_given_up_ends_its_survey() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let given_up = start_recv(&mut mock, &mut surveyor, SOCKET);
    let other = start_recv(&mut mock, &mut surveyor, SOCKET);
    surveyor.cancel_recv(SOCKET, given_up, &mut mock);
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let canceled = mock.recv(&mut surveyor, SOCKET, other);
    assert_eq!(canceled, Err(Error::Canceled));
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "late"));
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
    assert!(is_state_error(mock.try_recv(&mut surveyor, SOCKET)));
}

#[test]
fn an_answer_survives_the_receive_that_was_given_up_just_after_it_came() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let op = start_recv(&mut mock, &mut surveyor, SOCKET);
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "a"));
    surveyor.cancel_recv(SOCKET, op, &mut mock);
    assert_eq!(mock.recv_wakes, [SOCKET; 2]);
    assert!(mock.try_recv(&mut surveyor, SOCKET).is_ok());
}

#[test]
fn a_try_to_receive_leaves_no_trace() {
    let (mut mock, mut surveyor) = surveyor();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    for _ in 0..3 {
        let tried = mock.try_recv(&mut surveyor, SOCKET);
        assert_eq!(tried, Err(Error::WouldBlock));
    }
    assert!(surveyor.contexts[&SOCKET].receivers.is_empty());
}

// ---- the end of surveys ----

#[test]
fn a_new_survey_cancels_receives_and_discards_answers() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "one").unwrap();
    let op = start_recv(&mut mock, &mut surveyor, SOCKET);
    mock.try_send(&mut surveyor, SOCKET, "two").unwrap();
    assert_eq!(mock.recv_wakes, [SOCKET]);
    let canceled = mock.recv(&mut surveyor, SOCKET, op);
    assert_eq!(canceled, Err(Error::Canceled));
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "1"));
    mock.arrive(&mut surveyor, respondent, answer(SECOND, "2"));
    mock.try_send(&mut surveyor, SOCKET, "three").unwrap();
    assert!(!surveyor.can_recv());
    assert_eq!(mock.dropped, [Dropped::Unwanted; 2]);
}

#[test]
fn waiting_receives_time_out_at_the_end_and_later_ones_find_no_survey() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    set_time(&mut mock, &mut surveyor, SOCKET, 50);
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let ops = [(); 2].map(|()| start_recv(&mut mock, &mut surveyor, SOCKET));
    mock.advance(&mut surveyor, Duration::from_millis(49));
    assert_eq!(mock.recv(&mut surveyor, SOCKET, ops[0]), Ok(None));
    mock.advance(&mut surveyor, Duration::from_millis(1));
    assert_eq!(mock.recv_wakes, [SOCKET]);
    for op in ops {
        let timed_out = mock.recv(&mut surveyor, SOCKET, op);
        assert_eq!(timed_out, Err(Error::TimedOut));
    }
    assert!(surveyor.ended_recvs.is_empty());
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "late"));
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
    assert!(is_state_error(mock.try_recv(&mut surveyor, SOCKET)));
}

#[test]
fn a_timed_out_receive_that_never_asks_leaves_nothing_behind() {
    let (mut mock, mut surveyor) = surveyor();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    let op = start_recv(&mut mock, &mut surveyor, SOCKET);
    mock.advance(&mut surveyor, Duration::from_secs(1));
    surveyor.cancel_recv(SOCKET, op, &mut mock);
    assert!(surveyor.ended_recvs.is_empty());
}

#[test]
fn the_deadline_is_the_earliest_end_of_a_survey() {
    let (mut mock, mut surveyor) = surveyor();
    let start = mock.now;
    let at = |millis| Some(start + Duration::from_millis(millis));
    assert_eq!(surveyor.deadline(), None);
    for (n, millis) in [(1, 300), (2, 100), (3, 200)] {
        surveyor.open_context(CtxId(n)).unwrap();
        set_time(&mut mock, &mut surveyor, CtxId(n), millis);
        mock.try_send(&mut surveyor, CtxId(n), "x").unwrap();
    }
    assert_eq!(surveyor.deadline(), at(100));
    mock.advance(&mut surveyor, Duration::from_millis(100));
    assert_eq!(surveyor.deadline(), at(200));
    surveyor.close_context(CtxId(3), &mut mock);
    mock.advance(&mut surveyor, Duration::from_millis(100));
    assert_eq!(surveyor.deadline(), at(300));
    let running = mock.try_recv(&mut surveyor, CtxId(1));
    assert_eq!(running, Err(Error::WouldBlock));
    mock.advance(&mut surveyor, Duration::from_millis(100));
    assert_eq!(surveyor.deadline(), None);
}

#[test]
fn a_survey_without_a_time_runs_until_the_next() {
    let (mut mock, mut surveyor) = surveyor();
    for time in [None, Some(Duration::MAX)] {
        let time = ProtocolOption::SurveyTime(time);
        surveyor.set_option(SOCKET, time, &mut mock).unwrap();
        mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
        assert_eq!(surveyor.deadline(), None);
    }
}

// ---- limits ----

#[test]
fn a_busy_pipe_queues_8_surveys_and_misses_the_next() {
    let (mut mock, mut surveyor) = surveyor();
    let slow = mock.attach(&mut surveyor, 1, 1).unwrap();
    let quick = mock.attach(&mut surveyor, 2, 999).unwrap();
    for _ in 0..200 {
        mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
        assert!(surveyor.can_send());
    }
    assert_eq!(surveyor.unsent(), 8);
    assert_eq!(mock.dropped, [Dropped::SendQueueFull; 191]);
    assert_eq!(mock.sent(quick).len(), 200);
    mock.drain(&mut surveyor, slow, 99);
    let expected: Vec<_> = (1..9).map(|n| survey(FIRST + n, "x")).collect();
    assert_eq!(mock.sent(slow), expected);
}

#[test]
fn a_context_keeps_128_answers() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    for _ in 0..130 {
        mock.arrive(&mut surveyor, respondent, answer(FIRST, "a"));
    }
    assert_eq!(mock.dropped, [Dropped::RecvQueueFull; 2]);
    assert_eq!(mock.waiting(respondent), 0);
    let received = (0..130).filter(|_| mock.try_recv(&mut surveyor, SOCKET).is_ok());
    assert_eq!(received.count(), 128);
}

// ---- poll ----

#[test]
fn can_recv_while_an_answer_is_there_and_can_always_send() {
    let (mut mock, mut surveyor) = surveyor();
    assert!(surveyor.can_send() && !surveyor.can_recv());
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    mock.try_send(&mut surveyor, SOCKET, "x").unwrap();
    assert!(!surveyor.can_recv());
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "a"));
    assert!(surveyor.can_recv());
    mock.try_recv(&mut surveyor, SOCKET).unwrap();
    assert!(surveyor.can_send() && !surveyor.can_recv());
}

// ---- options and contexts ----

#[test]
fn options_are_checked() {
    let (mut mock, mut surveyor) = surveyor();
    surveyor.open_context(CtxId(1)).unwrap();
    for option in [
        ProtocolOption::Ttl(15),
        ProtocolOption::SendBuffer(0),
        ProtocolOption::RecvBuffer(0),
    ] {
        surveyor.set_option(SOCKET, option, &mut mock).unwrap();
        let context = surveyor.set_option(CtxId(1), option, &mut mock);
        assert!(matches!(context, Err(Error::NotSupported(_))));
    }
    let ttl = surveyor.set_option(SOCKET, ProtocolOption::Ttl(0), &mut mock);
    assert!(matches!(ttl, Err(Error::InvalidOption(_))));
    let resend = surveyor.set_option(SOCKET, ProtocolOption::ResendTime(None), &mut mock);
    assert!(matches!(resend, Err(Error::NotSupported(_))));
}

#[test]
fn a_context_takes_over_the_survey_time_and_ends_its_survey_when_closed() {
    let (mut mock, mut surveyor) = surveyor();
    let respondent = mock.attach(&mut surveyor, 1, 9).unwrap();
    set_time(&mut mock, &mut surveyor, SOCKET, 70);
    surveyor.open_context(CtxId(1)).unwrap();
    mock.try_send(&mut surveyor, CtxId(1), "x").unwrap();
    let end = mock.now + Duration::from_millis(70);
    assert_eq!(surveyor.deadline(), Some(end));
    let op = start_recv(&mut mock, &mut surveyor, CtxId(1));
    surveyor.close_context(CtxId(1), &mut mock);
    let closed = mock.recv(&mut surveyor, CtxId(1), op);
    assert_eq!(closed, Err(Error::Closed));
    mock.arrive(&mut surveyor, respondent, answer(FIRST, "late"));
    assert_eq!(mock.dropped, [Dropped::Unwanted]);
    let sent = mock.try_send(&mut surveyor, CtxId(1), "y");
    assert_eq!(sent, Err(Error::Closed));
    assert!(surveyor.ended_recvs.is_empty());
}

// ---- raw ----

#[test]
fn raw_sends_as_it_is_told_and_shows_the_stack() {
    let (mut mock, mut raw) = (Mock::new(), RawSurveyor::new());
    assert!(raw.can_send());
    let pipes = [1, 2].map(|n| mock.attach(&mut raw, n, 9).unwrap());
    let mut message = Message::from("x");
    message.header_append_u32(SECOND).unwrap();
    mock.try_send(&mut raw, SOCKET, message).unwrap();
    for pipe in pipes {
        assert_eq!(mock.sent(pipe), [survey(SECOND, "x")]);
        mock.arrive(&mut raw, pipe, wire(&[7, SECOND], b"a"));
    }
    for _ in pipes {
        assert!(raw.can_recv());
        let answer = mock.try_recv(&mut raw, SOCKET).unwrap();
        assert_eq!(answer.header(), wire(&[7, SECOND], b"").body());
    }
    assert!(!raw.can_recv());
}

#[test]
fn raw_queues_16_surveys_for_a_busy_pipe() {
    let (mut mock, mut raw) = (Mock::new(), RawSurveyor::new());
    let slow = mock.attach(&mut raw, 1, 1).unwrap();
    for _ in 0..20 {
        mock.try_send(&mut raw, SOCKET, "x").unwrap();
    }
    assert_eq!(raw.unsent(), 16);
    assert_eq!(mock.dropped, [Dropped::SendQueueFull; 3]);
    mock.detach(&mut raw, slow);
    assert_eq!(raw.unsent(), 0);
}

#[test]
fn raw_closes_the_pipe_of_a_stack_without_end() {
    let (mut mock, mut raw) = (Mock::new(), RawSurveyor::new());
    let respondent = mock.attach(&mut raw, 1, 9).unwrap();
    mock.arrive(&mut raw, respondent, wire(&[1, 2], b""));
    assert!(matches!(mock.closed(respondent), Some(Error::Malformed(_))));
    assert!(!raw.can_recv());
}

#[test]
fn raw_receive_buffer_makes_room_for_answers() {
    let (mut mock, mut raw) = (Mock::new(), RawSurveyor::new());
    let respondent = mock.attach(&mut raw, 1, 1).unwrap();
    for _ in 0..4 {
        mock.arrive(&mut raw, respondent, answer(FIRST, "a"));
    }
    assert_eq!(mock.waiting(respondent), 2);
    let buffer = ProtocolOption::RecvBuffer(3);
    raw.set_option(SOCKET, buffer, &mut mock).unwrap();
    mock.settle(&mut raw);
    assert_eq!(mock.waiting(respondent), 0);
    let survey_time = ProtocolOption::SurveyTime(None);
    let refused = raw.set_option(SOCKET, survey_time, &mut mock);
    assert!(matches!(refused, Err(Error::NotSupported(_))));
}

// ---- model ----

/// What may happen to a socket with three contexts and up to three pipes.
#[derive(Debug, Clone)]
enum Step {
    Send(u32),
    Recv(u32),
    Wait(u32),
    GiveUp(u32),
    Attach(u32, usize),
    Detach(u32),
    Answer(u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ctx = 0..3u32;
    let number = 1..4u32;
    prop_oneof![
        3 => ctx.clone().prop_map(Step::Send),
        3 => ctx.clone().prop_map(Step::Recv),
        2 => ctx.clone().prop_map(Step::Wait),
        1 => ctx.prop_map(Step::GiveUp),
        2 => (number.clone(), 1..4usize).prop_map(|(n, room)| Step::Attach(n, room)),
        1 => number.clone().prop_map(Step::Detach),
        3 => number.prop_map(Step::Answer),
        2 => (0..700u64).prop_map(Step::Pass),
    ]
}

/// A context as the model sees it: its survey with its end, how many answers arrived and were not received, and
/// the receives that wait.
#[derive(Default)]
struct Model {
    survey: Option<(u32, Instant)>,
    answers: usize,
    receivers: Vec<OpId>,
}

impl Model {
    /// Ends the survey; receives that wait must fail so.
    fn end(&mut self, ctx: u32, why: &Error, surveyor: &mut Surveyor, mock: &mut Mock) -> bool {
        self.survey = None;
        self.answers = 0;
        self.receivers
            .drain(..)
            .all(|op| mock.recv(surveyor, CtxId(ctx), op).as_ref() == Err(why))
    }
}

proptest! {
    #[test]
    fn answers_reach_the_survey_that_asked_while_it_runs(steps in proptest::collection::vec(step(), 1..100)) {
        let (mut mock, mut surveyor) = surveyor();
        let mut contexts: [Model; 3] = std::array::from_fn(|_| Model::default());
        surveyor.open_context(CtxId(1)).unwrap();
        surveyor.open_context(CtxId(2)).unwrap();
        let mut next = 0u32;
        for step in steps {
            match step {
                Step::Send(n) => {
                    let model = &mut contexts[n as usize];
                    next += 1;
                    mock.try_send(&mut surveyor, CtxId(n), next.to_be_bytes()).unwrap();
                    prop_assert!(model.end(n, &Error::Canceled, &mut surveyor, &mut mock));
                    model.survey = Some((next, mock.now + Duration::from_secs(1)));
                }
                Step::Recv(n) => {
                    let model = &mut contexts[n as usize];
                    match mock.try_recv(&mut surveyor, CtxId(n)) {
                        Ok(answer) => {
                            let (tag, _) = model.survey.unwrap();
                            prop_assert_eq!(answer.body(), tag.to_be_bytes());
                            prop_assert!(model.answers > 0);
                            model.answers -= 1;
                        }
                        Err(Error::WouldBlock) => prop_assert!(model.survey.is_some() && model.answers == 0),
                        Err(error) => {
                            prop_assert!(matches!(error, Error::InvalidState(_)));
                            prop_assert!(model.survey.is_none());
                        }
                    }
                }
                Step::Wait(n) => {
                    let model = &mut contexts[n as usize];
                    if model.survey.is_some() && model.answers == 0 {
                        model.receivers.push(start_recv(&mut mock, &mut surveyor, CtxId(n)));
                    }
                }
                Step::GiveUp(n) => {
                    let model = &mut contexts[n as usize];
                    if let Some(op) = model.receivers.pop() {
                        surveyor.cancel_recv(CtxId(n), op, &mut mock);
                        if model.answers == 0 {
                            prop_assert!(model.end(n, &Error::Canceled, &mut surveyor, &mut mock));
                        }
                    }
                }
                Step::Attach(n, room) if !mock.pipes.contains_key(&pipe(n)) => {
                    mock.attach(&mut surveyor, n, room).unwrap();
                }
                Step::Detach(n) if mock.pipes.contains_key(&pipe(n)) => {
                    mock.detach(&mut surveyor, pipe(n));
                }
                Step::Answer(n) if mock.pipes.contains_key(&pipe(n)) => {
                    for question in mock.drain(&mut surveyor, pipe(n), 2) {
                        let tag = u32::from_be_bytes(question.body().try_into().unwrap());
                        let asked = |model: &&mut Model| model.survey.is_some_and(|(asked, _)| asked == tag);
                        if let Some(model) = contexts.iter_mut().find(asked) {
                            model.answers += 1;
                        }
                        mock.arrive(&mut surveyor, pipe(n), Message::from(flat(&question)));
                    }
                }
                Step::Pass(millis) => {
                    mock.advance(&mut surveyor, Duration::from_millis(millis));
                    for (n, model) in (0..).zip(&mut contexts) {
                        if model.survey.is_some_and(|(_, end)| end <= mock.now) {
                            prop_assert!(model.end(n, &Error::TimedOut, &mut surveyor, &mut mock));
                        }
                    }
                }
                _ => {}
            }
            prop_assert_eq!(surveyor.can_recv(), contexts[0].answers > 0);
            let ends = contexts.iter().filter_map(|model| Some(model.survey?.1));
            prop_assert!(ends.min().is_none_or(|end| surveyor.deadline().is_some_and(|at| at <= end)));
            prop_assert!(surveyor.ended_recvs.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn raw_sends_to_every_pipe_and_reads_each_while_there_is_room(
        recv_depth in 0..4usize,
        steps in raw_model::steps(),
    ) {
        raw_model::check(&mut RawSurveyor::new(), Route::All(16), None, recv_depth, steps)?;
    }
}
