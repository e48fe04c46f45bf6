use super::*;
use crate::broker::queue::Config;

const SESSION: SessionId = 1;

fn now() -> Now {
    Now::read(Instant::now())
}

fn router() -> Router {
    let mut router = Router::new(Limits::default(), None);
    router.open(SESSION);
    router.create_queue("q", Config::bounded(1)).expect("made");
    router
}

/// Asks, and returns the statuses of the answers.
fn ask(router: &mut Router, kind: MessageType, wait: i64) -> Vec<Status> {
    let request = Message::plain_text(None, "", "x").expect("a message");
    let request = request
        .addressed_to(kind, "q")
        .and_then(|request| request.with_timeout(wait));
    let mut out = Outputs::new();
    router.request(SESSION, request.expect("a request"), now(), &mut out);
    statuses(&out)
}

fn statuses(out: &Outputs) -> Vec<Status> {
    let answers = out.iter().filter_map(|output| match output {
        Output::Answer { message, .. } => Some(message.status()),
        _ => None,
    });
    answers.collect()
}

#[test]
fn nobody_waits_at_a_broker_that_closes_whether_they_came_before_or_after() {
    let mut router = router();
    assert_eq!(ask(&mut router, MessageType::Poll, -1), []);
    let mut out = Outputs::new();
    router.interrupt(now(), &mut out);
    assert_eq!(statuses(&out), [Status::QueueAccessInterrupted]);
    for kind in [MessageType::Poll, MessageType::PollUpTo] {
        let answers = ask(&mut router, kind, -1);
        assert_eq!(answers, [Status::QueueAccessInterrupted], "{kind}");
    }
    assert_eq!(ask(&mut router, MessageType::Poll, 0), [Status::QueueEmpty]);
    assert_eq!(ask(&mut router, MessageType::Offer, 0), [Status::Ok]);
}
