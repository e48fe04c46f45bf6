use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    age: Duration::from_secs(60),
    entries: 3,
    bytes: 10,
    joined: 2,
};

/// Requests are told apart by who made them and the id they have.
type Key = (&'static str, u32);

/// A window, and the time.
struct Bench {
    window: Window<Key, &'static str, u32>,
    now: Instant,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            window: Window::new(limits),
            now: Instant::now(),
        }
    }

    fn begin(&mut self, key: Key, waiter: u32) -> Begun<&'static str> {
        self.window.begin(key, waiter, self.now)
    }

    fn finish(&mut self, key: Key, value: &'static str) -> Vec<u32> {
        self.window.finish(&key, value, value.len(), self.now)
    }

    fn run(&mut self, key: Key, value: &'static str) {
        assert_eq!(self.begin(key, 0), Begun::New);
        assert_eq!(self.finish(key, value), Vec::<u32>::new());
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

const A: Key = ("amy", 1);
const B: Key = ("amy", 2);
const C: Key = ("bob", 1);
const D: Key = ("bob", 2);

#[test]
fn a_duplicate_gets_the_answer_of_the_first_request() {
    let mut bench = Bench::new(LIMITS);
    bench.run(A, "one");
    assert_eq!(bench.begin(A, 1), Begun::Done("one"));
    assert_eq!(bench.begin(A, 2), Begun::Done("one"));
    assert_eq!(bench.window.stats().duplicates, 2);
}

#[test]
fn the_same_id_of_another_principal_is_another_request() {
    let mut bench = Bench::new(LIMITS);
    bench.run(A, "one");
    assert_eq!(bench.begin(C, 1), Begun::New);
}

#[test]
fn duplicates_of_a_request_that_runs_wait_for_its_answer() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.begin(A, 0), Begun::New);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.begin(A, 2), Begun::Joined);
    assert_eq!(bench.window.stats().joined, 2);
    assert_eq!(bench.finish(A, "one"), [1, 2]);
    assert_eq!(bench.window.stats().joined, 0);
    assert_eq!(bench.begin(A, 3), Begun::Done("one"));
}

#[test]
fn no_more_duplicates_wait_than_may() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.begin(A, 0), Begun::New);
    assert_eq!(bench.begin(B, 0), Begun::New);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.begin(B, 2), Begun::Joined);
    assert_eq!(bench.begin(A, 3), Begun::Busy);
    assert_eq!(bench.finish(A, "one"), [1]);
    assert_eq!(bench.begin(B, 4), Begun::Joined);
}

#[test]
fn an_abandoned_request_runs_again_and_those_that_wait_for_it_are_returned() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.begin(A, 0), Begun::New);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.window.abandon(&A), [1]);
    assert_eq!(bench.begin(A, 2), Begun::New);
}

#[test]
fn an_answer_is_forgotten_when_it_is_too_old() {
    let mut bench = Bench::new(LIMITS);
    bench.run(A, "one");
    bench.pass(59);
    assert_eq!(bench.begin(A, 0), Begun::Done("one"));
    bench.pass(1);
    assert_eq!(bench.begin(A, 0), Begun::New);
}

#[test]
fn the_age_counts_from_the_answer_and_a_request_that_runs_has_none() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.begin(A, 0), Begun::New);
    bench.pass(1000);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.finish(A, "one"), [1]);
    bench.pass(59);
    assert_eq!(bench.begin(A, 2), Begun::Done("one"));
}

#[test]
fn the_oldest_answer_gives_way_to_a_new_request() {
    let mut bench = Bench::new(LIMITS);
    for key in [A, B, C] {
        bench.run(key, "x");
    }
    assert_eq!(bench.begin(D, 0), Begun::New);
    assert_eq!(bench.begin(B, 0), Begun::Done("x"));
    assert_eq!(bench.begin(C, 0), Begun::Done("x"));
    assert_eq!(bench.window.stats().kept, 2);
}

#[test]
fn requests_that_run_give_way_to_none() {
    let mut bench = Bench::new(LIMITS);
    for key in [A, B, C] {
        assert_eq!(bench.begin(key, 0), Begun::New);
    }
    assert_eq!(bench.begin(D, 0), Begun::Busy);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.finish(B, "x"), Vec::<u32>::new());
    assert_eq!(bench.begin(D, 0), Begun::New);
    assert_eq!(bench.begin(B, 0), Begun::Busy);
}

#[test]
fn the_oldest_answers_give_way_to_the_bytes_of_a_new_one() {
    let mut bench = Bench::new(LIMITS);
    bench.run(A, "1234");
    bench.run(B, "1234");
    bench.run(C, "12345");
    assert_eq!(bench.window.stats().bytes, 9);
    assert_eq!(bench.begin(B, 0), Begun::Done("1234"));
    assert_eq!(bench.begin(A, 0), Begun::New);
}

#[test]
fn an_answer_too_large_to_be_kept_reaches_those_that_wait() {
    let mut bench = Bench::new(LIMITS);
    bench.run(B, "small");
    assert_eq!(bench.begin(A, 0), Begun::New);
    assert_eq!(bench.begin(A, 1), Begun::Joined);
    assert_eq!(bench.finish(A, "12345678901"), [1]);
    assert_eq!(bench.begin(A, 2), Begun::New);
    assert_eq!(bench.begin(B, 2), Begun::Done("small"));
}

#[test]
fn an_answer_to_no_request_that_runs_is_ignored() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.finish(A, "one"), Vec::<u32>::new());
    assert_eq!(bench.begin(A, 0), Begun::New);
    assert_eq!(bench.finish(A, "two"), Vec::<u32>::new());
    assert_eq!(bench.finish(A, "three"), Vec::<u32>::new());
    assert_eq!(bench.window.abandon(&A), Vec::<u32>::new());
    assert_eq!(bench.begin(A, 0), Begun::Done("two"));
}

// ---- any sequence of calls ----

#[derive(Clone, Debug)]
enum Step {
    Begin(u32),
    Finish(u32, usize),
    Abandon(u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..8_u32;
    prop_oneof![
        4 => key().prop_map(Step::Begin),
        3 => (key(), 0..12_usize).prop_map(|(key, bytes)| Step::Finish(key, bytes)),
        1 => key().prop_map(Step::Abandon),
        1 => (0..40_u64).prop_map(Step::Pass),
    ]
}

struct Kept {
    key: u32,
    value: u32,
    bytes: usize,
    since: u64,
}

/// A window as lists, oldest first.
#[derive(Default)]
struct Model {
    running: Vec<(u32, Vec<u32>)>,
    kept: Vec<Kept>,
}

impl Model {
    fn joined(&self) -> usize {
        self.running.iter().map(|(_, waiters)| waiters.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }

    fn begin(&mut self, limits: &Limits, key: u32, waiter: u32) -> Begun<u32> {
        if let Some(kept) = self.kept.iter().find(|kept| kept.key == key) {
            return Begun::Done(kept.value);
        }
        let joined = self.joined();
        if let Some((_, waiters)) = self.running.iter_mut().find(|(running, _)| *running == key) {
            if joined == limits.joined {
                return Begun::Busy;
            }
            waiters.push(waiter);
            return Begun::Joined;
        }
        if self.running.len() == limits.entries {
            return Begun::Busy;
        }
        if self.running.len() + self.kept.len() == limits.entries {
            self.kept.remove(0);
        }
        self.running.push((key, Vec::new()));
        Begun::New
    }

    fn end(&mut self, key: u32) -> Option<Vec<u32>> {
        let at = self
            .running
            .iter()
            .position(|(running, _)| *running == key)?;
        Some(self.running.remove(at).1)
    }

    fn finish(&mut self, limits: &Limits, kept: Kept) -> Vec<u32> {
        let Some(waiters) = self.end(kept.key) else {
            return Vec::new();
        };
        if kept.bytes <= limits.bytes {
            self.kept.push(kept);
            while self.bytes() > limits.bytes {
                self.kept.remove(0);
            }
        }
        waiters
    }
}

fn check(limits: Limits, steps: Vec<Step>) {
    let mut window = Window::<u32, u32, u32>::new(limits);
    let mut model = Model::default();
    let (start, mut passed) = (Instant::now(), 0);
    for (number, step) in (0..).zip(steps) {
        let now = start + Duration::from_secs(passed);
        match step {
            Step::Begin(key) => {
                let begun = window.begin(key, number, now);
                assert_eq!(begun, model.begin(&limits, key, number));
            }
            Step::Finish(key, bytes) => {
                let waiters = window.finish(&key, number, bytes, now);
                let kept = Kept {
                    key,
                    value: number,
                    bytes,
                    since: passed,
                };
                assert_eq!(waiters, model.finish(&limits, kept));
            }
            Step::Abandon(key) => {
                assert_eq!(window.abandon(&key), model.end(key).unwrap_or_default());
            }
            Step::Pass(seconds) => {
                passed += seconds;
                window.expire(start + Duration::from_secs(passed));
                model
                    .kept
                    .retain(|kept| passed - kept.since < limits.age.as_secs());
            }
        }
        let stats = window.stats();
        assert_eq!(stats.running, model.running.len());
        assert_eq!(stats.kept, model.kept.len());
        assert_eq!((stats.bytes, stats.joined), (model.bytes(), model.joined()));
        assert!(stats.running + stats.kept <= limits.entries);
        assert!(stats.bytes <= limits.bytes && stats.joined <= limits.joined);
    }
}

proptest! {
    #[test]
    fn a_window_does_what_its_model_does(
        age in 1..100_u64,
        entries in 1..6_usize,
        bytes in 0..20_usize,
        joined in 0..4_usize,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let age = Duration::from_secs(age);
        check(Limits { age, entries, bytes, joined }, steps);
    }
}
