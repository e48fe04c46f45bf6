//! The machines against simple models.

use proptest::prelude::*;

use super::*;
use crate::protocols::raw_model::{self, Route};

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
