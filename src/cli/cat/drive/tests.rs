use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::super::args::{self, Request};
use super::*;

/// A socket that plays a script, on a clock that only waiting moves.
struct Script {
    start: Instant,
    elapsed: Cell<Duration>,
    /// What each receive gives, and how long it takes; afterwards receives time out.
    replies: RefCell<VecDeque<(Duration, Result<&'static str, Error>)>>,
    sent_at: RefCell<Vec<Duration>>,
    limits: RefCell<Vec<Option<Duration>>>,
    send_takes: Duration,
    send_fails: Option<Error>,
}

const S: Duration = Duration::from_secs(1);

impl Script {
    fn new(replies: impl IntoIterator<Item = Result<&'static str, Error>>) -> Self {
        Self {
            start: Instant::now(),
            elapsed: Cell::default(),
            replies: RefCell::new(replies.into_iter().map(|r| (Duration::ZERO, r)).collect()),
            sent_at: RefCell::default(),
            limits: RefCell::default(),
            send_takes: Duration::ZERO,
            send_fails: None,
        }
    }

    fn pass(&self, time: Duration) {
        self.elapsed.set(self.elapsed.get() + time);
    }

    fn sent_at(&self) -> Vec<u64> {
        self.sent_at
            .borrow()
            .iter()
            .map(Duration::as_secs)
            .collect()
    }
}

impl Sender for Script {
    fn send(&self, body: &[u8]) -> Result<(), Error> {
        assert_eq!(body, b"ping");
        self.sent_at.borrow_mut().push(self.elapsed.get());
        self.pass(self.send_takes);
        self.send_fails.clone().map_or(Ok(()), Err)
    }
}

impl Receiver for Script {
    fn recv(&self, limit: Option<Duration>) -> Result<Message, Error> {
        self.limits.borrow_mut().push(limit);
        match self.replies.borrow_mut().pop_front() {
            Some((time, reply)) => {
                self.pass(time);
                reply.map(Message::from)
            }
            None => {
                self.pass(limit.unwrap_or_default());
                Err(Error::TimedOut)
            }
        }
    }
}

impl Clock for Script {
    fn now(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}

fn job(line: &str) -> Job {
    let words: Vec<_> = line
        .split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect();
    match args::parse(&words, &mut |_| Err(String::new())) {
        Ok(Request::Run(job)) => *job,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn receiving_ends_at_the_count() {
    let script = Script::new([Ok("a"), Ok("b"), Ok("c")]);
    let mut out = Vec::new();
    receive(&script, &job("--pull --dial u -Q --count 2"), &mut out).unwrap();
    assert_eq!(out, b"\"a\"\n\"b\"\n");
}

#[test]
fn receiving_ends_quietly_when_nothing_more_can_come() {
    for end in [Error::TimedOut, Error::InvalidState("the survey is over")] {
        let script = Script::new([Ok("a"), Err(end), Ok("b")]);
        let mut out = Vec::new();
        receive(&script, &job("--pull --dial u -A"), &mut out).unwrap();
        assert_eq!(out, b"a");
    }
}

#[test]
fn other_errors_of_receiving_are_told() {
    let script = Script::new([Err(Error::Closed)]);
    let result = receive(&script, &job("--pull --dial u"), &mut Vec::new());
    assert_eq!(result, Err("Receive error: Object closed".into()));
}

#[test]
fn responding_answers_each_message_and_stops_at_the_count() {
    let script = Script::new([Ok("a"), Ok("b"), Ok("c")]);
    let mut out = Vec::new();
    respond(&script, &job("--rep --dial u -A -D ping -C 2"), &mut out).unwrap();
    assert_eq!(out, b"ab");
    assert_eq!(script.sent_at().len(), 2);
}

#[test]
fn responding_takes_a_timeout_for_an_error() {
    let result = respond(
        &Script::new([]),
        &job("--rep --dial u -D ping"),
        &mut Vec::new(),
    );
    assert_eq!(result, Err("Receive error: Timed out".into()));
}

#[test]
fn sending_is_done_once_after_the_delay() {
    let script = Script::new([]);
    send(&script, &script, &job("--push --dial u -D ping -d 3")).unwrap();
    assert_eq!(script.sent_at(), [3]);
}

#[test]
fn the_time_a_send_takes_is_part_of_the_interval() {
    let mut script = Script::new([]);
    script.send_takes = S;
    send(&script, &script, &job("--push --dial u -D ping -i 3 -C 3")).unwrap();
    assert_eq!(script.sent_at(), [0, 3, 6]);
}

#[test]
fn a_send_longer_than_the_interval_is_followed_by_the_next() {
    let mut script = Script::new([]);
    script.send_takes = 5 * S;
    send(&script, &script, &job("--push --dial u -D ping -i 3 -C 3")).unwrap();
    assert_eq!(script.sent_at(), [0, 5, 10]);
}

#[test]
fn a_count_without_interval_sends_at_once() {
    let script = Script::new([]);
    send(&script, &script, &job("--push --dial u -D ping -C 3")).unwrap();
    assert_eq!(script.sent_at(), [0, 0, 0]);
}

#[test]
fn a_failed_send_ends_the_run() {
    let mut script = Script::new([]);
    script.send_fails = Some(Error::TimedOut);
    let result = send(&script, &script, &job("--push --dial u -D ping -i 1"));
    assert_eq!(result, Err("Send error: Timed out".into()));
}

#[test]
fn one_exchange_prints_all_replies() {
    let script = Script::new([Ok("a"), Ok("b"), Err(Error::InvalidState("over")), Ok("c")]);
    let mut out = Vec::new();
    exchange(
        &script,
        &script,
        &job("--surveyor --dial u -A -D ping"),
        &mut out,
    )
    .unwrap();
    assert_eq!(out, b"ab");
    assert_eq!(script.sent_at(), [0]);
    assert_eq!(*script.limits.borrow(), [None, None, None]);
}

#[test]
fn exchanges_keep_to_their_interval() {
    let script = Script::new([Ok("a"), Err(Error::InvalidState("over"))]);
    script.replies.borrow_mut()[0].0 = S;
    let mut out = Vec::new();
    exchange(
        &script,
        &script,
        &job("--req --dial u -A -D ping -i 3 -C 2"),
        &mut out,
    )
    .unwrap();
    assert_eq!(script.sent_at(), [0, 3]);
    assert_eq!(
        *script.limits.borrow(),
        [Some(3 * S), Some(2 * S), Some(3 * S)]
    );
}

#[test]
fn a_receive_timeout_shortens_the_wait_within_an_interval() {
    let script = Script::new([]);
    let job = job("--req --dial u -D ping -i 3 -C 2 --recv-timeout 1");
    exchange(&script, &script, &job, &mut Vec::new()).unwrap();
    assert_eq!(script.sent_at(), [0, 3]);
    assert_eq!(*script.limits.borrow(), [Some(S), Some(S)]);
}

#[test]
fn a_count_without_interval_waits_as_the_socket_does() {
    let script = Script::new([Ok("a"), Err(Error::InvalidState("over"))]);
    exchange(
        &script,
        &script,
        &job("--req --dial u -D ping -C 2"),
        &mut Vec::new(),
    )
    .unwrap();
    assert_eq!(script.sent_at().len(), 2);
    assert!(script.limits.borrow().iter().all(Option::is_none));
}

#[test]
fn a_receive_timeout_of_0_within_an_interval_takes_only_what_is_there() {
    let script = Script::new([]);
    let job = job("--req --dial u -D ping -i 3 -C 2 --recv-timeout 0");
    exchange(&script, &script, &job, &mut Vec::new()).unwrap();
    assert_eq!(*script.limits.borrow(), [Some(Duration::ZERO); 2]);
}
