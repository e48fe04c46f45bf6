//! Items that clients keep for a while.

use super::*;

const LEASE: i64 = 100;

impl Bench {
    fn lease(&mut self) -> Token {
        self.lease_for(Term::Until(self.now + LEASE))
    }

    fn lease_for(&mut self, term: Term) -> Token {
        let delivery = self.take();
        let token = delivery.token();
        self.queue.lease(delivery, term);
        token
    }

    fn finish(&mut self, token: Token) -> Result<u32, Stale> {
        let done = self.queue.finish(token, self.now, &mut self.effects);
        done.map(|item| item.name)
    }

    fn reject(&mut self, token: Token, verdict: Verdict) -> Result<(), Stale> {
        self.queue
            .reject(token, verdict, self.now, &mut self.effects)
    }

    fn extend(&mut self, token: Token, until: i64) -> Result<(), Stale> {
        self.queue.extend(token, until, self.now, &mut self.effects)
    }

    fn advance(&mut self, now: i64) {
        self.now = now;
        self.queue.advance(now, &mut self.effects);
    }
}

fn with_backoff(base: i64, cap: i64) -> Config {
    Config {
        backoff: Backoff { base, cap },
        ..Config::bounded(10)
    }
}

fn limited(max_attempts: u32) -> Config {
    Config {
        max_attempts,
        ..Config::bounded(10)
    }
}

// ---- until it ends ----

#[test]
fn a_leased_item_is_nobody_elses_until_its_lease_ends() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let _token = bench.lease();
    assert_eq!(bench.queue.next_event(), Some(LEASE));
    bench.now = LEASE - 1;
    assert_eq!(bench.poll(TRY), Polled::Empty);
    bench.now = LEASE;
    let again = bench.take();
    assert_eq!((again.item().name, again.attempts()), (1, 2));
    assert_eq!(bench.stats().leases_over, 1);
}

#[test]
fn a_finished_item_does_not_come_back_and_makes_room() {
    let mut bench = Bench::holding(Config::bounded(1), [1]);
    let token = bench.lease();
    assert_eq!(bench.offer(letter(2), waiter(2, 1)), Offered::Waiting);
    assert_eq!(bench.finish(token), Ok(1));
    assert_eq!(bench.woken(), [(2, Outcome::Accepted)]);
    assert_eq!(bench.queue.next_event(), None);
    bench.now = 10 * LEASE;
    assert_eq!(bench.drain(), [2]);
}

#[test]
fn a_lease_takes_room_in_number_and_bytes() {
    let config = Config {
        bytes: 10,
        ..Config::bounded(2)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.offer(heavy(1, 8), TRY), Offered::Done);
    let _token = bench.lease();
    assert_eq!(bench.offer(heavy(2, 3), TRY), Offered::Full(heavy(2, 3)));
    assert_eq!(bench.offer(heavy(3, 2), TRY), Offered::Done);
    assert_eq!(bench.offer(heavy(4, 0), TRY), Offered::Full(heavy(4, 0)));
    let stats = bench.stats();
    assert_eq!((stats.size, stats.in_flight, stats.leased), (1, 1, 1));
}

#[test]
fn a_poll_that_waits_gets_an_item_whose_lease_ends() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let _token = bench.lease();
    assert_eq!(bench.poll(waiter(5, 1)), Polled::Waiting);
    bench.advance(LEASE);
    assert_eq!(bench.got(), [(5, 1)]);
}

#[test]
fn an_extended_lease_ends_when_it_was_extended_to() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let token = bench.lease();
    assert_eq!(bench.extend(token, 3 * LEASE), Ok(()));
    assert_eq!(bench.queue.next_event(), Some(3 * LEASE));
    bench.advance(2 * LEASE);
    assert_eq!(bench.finish(token), Ok(1));
}

#[test]
fn a_lease_as_long_as_a_session_ends_with_it_and_not_before() {
    let mut bench = Bench::holding(Config::bounded(9), [1, 2, 3]);
    let one = bench.lease_for(Term::Session(7));
    let _two = bench.lease_for(Term::Session(8));
    let three = bench.lease_for(Term::Session(7));
    assert_eq!(bench.extend(three, 1), Ok(()));
    bench.advance(1_000_000);
    assert_eq!(bench.finish(one), Ok(1));
    assert_eq!(bench.drop_session(7), Vec::<WaiterId>::new());
    assert_eq!(bench.drain(), [3]);
    assert_eq!(bench.finish(three), Err(Stale));
}

#[test]
fn what_expires_while_it_is_leased_may_still_be_finished_but_does_not_come_back() {
    let mut bench = Bench::new(Config::bounded(9));
    for name in [1, 2] {
        assert_eq!(bench.offer(expiring(name, 50), TRY), Offered::Done);
    }
    let (one, two) = (bench.lease(), bench.lease());
    bench.advance(60);
    assert_eq!(bench.finish(one), Ok(1));
    assert_eq!(bench.reject(two, Verdict::Retry), Ok(()));
    assert_eq!(bench.dead(), [(Cause::Expired, 2)]);
}

// ---- stale tokens ----

#[test]
fn a_token_is_good_for_one_end_of_one_lease() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let first = bench.lease();
    assert_eq!(bench.reject(first, Verdict::Retry), Ok(()));
    let second = bench.lease();
    for token in [first, second] {
        let known = token == second;
        assert_eq!(bench.extend(token, 500).is_ok(), known);
    }
    assert_eq!(bench.finish(first), Err(Stale));
    assert_eq!(bench.reject(first, Verdict::Dead), Err(Stale));
    assert_eq!(bench.queue.next_event(), Some(500));
    assert_eq!(bench.finish(second), Ok(1));
    assert_eq!(bench.finish(second), Err(Stale));
}

#[test]
fn a_lease_that_has_just_ended_is_stale_although_nobody_has_noticed() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let token = bench.lease();
    bench.now = LEASE;
    assert_eq!(bench.finish(token), Err(Stale));
    assert_eq!(bench.drain(), [1]);
}

#[test]
fn what_did_not_arrive_and_is_leased_again_has_another_token() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let lost = bench.take();
    let token = lost.token();
    bench.put_back(lost);
    let _second = bench.lease();
    assert_eq!(bench.finish(token), Err(Stale));
}

#[test]
fn a_queue_of_the_same_name_does_not_know_the_tokens_of_the_one_before() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    let token = bench.lease();
    let mut next = Bench::new(Config::bounded(9));
    next.queue = next.queue.fenced_from(1 << 40);
    assert_eq!(next.offer(letter(2), TRY), Offered::Done);
    let _leased = next.lease();
    assert_eq!(next.finish(token), Err(Stale));
}

// ---- rejected ----

#[test]
fn what_is_rejected_comes_back_in_its_place_at_once_or_later() {
    let mut bench = Bench::holding(Config::bounded(9), [1, 2, 3]);
    let (one, two) = (bench.lease(), bench.lease());
    assert_eq!(bench.reject(two, Verdict::RetryIn(0)), Ok(()));
    assert_eq!(bench.reject(one, Verdict::RetryIn(30)), Ok(()));
    assert_eq!(bench.take().item().name, 2);
    bench.now = 30;
    assert_eq!(bench.drain(), [1, 3]);
    assert_eq!(bench.stats().requeued, 2);
}

#[test]
fn what_was_not_tried_is_as_it_was_before() {
    let once = Config {
        max_attempts: 1,
        ..with_backoff(10, 25)
    };
    let mut bench = Bench::holding(once, [1, 2]);
    for _ in 0..2 {
        let token = bench.lease();
        assert_eq!(bench.reject(token, Verdict::Untried), Ok(()));
    }
    let one = bench.take();
    assert_eq!((one.item().name, one.attempts()), (1, 1));
    assert_eq!((bench.stats().requeued, bench.stats().put_back), (0, 2));
}

#[test]
fn what_fails_waits_longer_each_time() {
    let mut bench = Bench::holding(with_backoff(10, 25), [1]);
    for wait in [10, 20, 25, 25] {
        let token = bench.lease();
        assert_eq!(bench.reject(token, Verdict::Retry), Ok(()));
        assert_eq!(bench.queue.next_event(), Some(bench.now + wait));
        bench.now += wait;
    }
    let _token = bench.lease();
    bench.advance(bench.now + LEASE);
    assert_eq!(bench.queue.next_event(), Some(bench.now + 25));
}

#[test]
fn what_is_rejected_for_good_is_dead_and_tells_its_story() {
    let mut bench = Bench::new(Config::bounded(9));
    bench.now = 5;
    assert_eq!(bench.offer(letter(1), TRY), Offered::Done);
    bench.now = 20;
    let token = bench.lease();
    bench.now = 30;
    assert_eq!(bench.reject(token, Verdict::Dead), Ok(()));
    let expected = Dead {
        cause: Cause::Rejected,
        item: letter(1),
        attempts: 1,
        offered_at: 5,
        tried_at: Some(20),
    };
    assert_eq!(bench.effects.dead, [expected]);
    assert_eq!(bench.stats().failed, 1);
}

#[test]
fn what_was_tried_as_often_as_it_may_is_dead_whether_it_was_rejected_or_forgotten() {
    let mut bench = Bench::holding(limited(2), [1, 2]);
    for _ in 0..2 {
        let rejected = bench.lease();
        let _forgotten = bench.lease();
        assert_eq!(bench.reject(rejected, Verdict::RetryIn(0)), Ok(()));
        bench.advance(bench.now + LEASE);
    }
    let cause = Cause::TooManyAttempts;
    assert_eq!(bench.dead(), [(cause, 1), (cause, 2)]);
    assert_eq!(bench.poll(TRY), Polled::Empty);
}

#[test]
fn what_never_arrives_is_tried_without_end() {
    let mut bench = Bench::holding(limited(1), [1]);
    for _ in 0..5 {
        let lost = bench.take();
        bench.put_back(lost);
    }
    let token = bench.lease();
    assert_eq!(bench.finish(token), Ok(1));
}

// ---- durable items ----

#[test]
fn a_leased_item_comes_back_after_a_restart_and_remembers_how_often_it_was_tried() {
    let log = Log::default();
    let mut bench = Bench::durable(&log);
    for name in [1, 2, 3] {
        assert_eq!(bench.offer(durable(name), TRY), Offered::Done);
    }
    let (one, _two, three) = (bench.lease(), bench.lease(), bench.lease());
    assert_eq!(bench.finish(one), Ok(1));
    assert_eq!(bench.reject(three, Verdict::RetryIn(40)), Ok(()));

    let mut restarted = Bench::durable(&log);
    for (seq, item, meta) in log.records() {
        assert!(restarted.queue.restore(seq, item, meta));
    }
    let two = restarted.take();
    assert_eq!((two.item().name, two.attempts()), (2, 1));
    assert_eq!(restarted.poll(TRY), Polled::Empty);
    restarted.now = 40;
    let three = restarted.take();
    assert_eq!((three.item().name, three.attempts()), (3, 2));
}

#[test]
fn a_delay_outlives_a_restart() {
    let log = Log::default();
    let mut bench = Bench::durable(&log);
    bench.now = 10;
    let later = Letter {
        delay: 50,
        ..durable(1)
    };
    assert_eq!(bench.offer(later, TRY), Offered::Done);
    let mut restarted = Bench::durable(&log);
    for (seq, item, meta) in log.records() {
        assert!(restarted.queue.restore(seq, item, meta));
    }
    restarted.now = 59;
    assert_eq!(restarted.poll(TRY), Polled::Empty);
    restarted.now = 60;
    assert_eq!(restarted.drain(), [1]);
}

#[test]
fn numbers_go_on_after_those_that_are_settled() {
    let queue = Queue::new(Config::bounded(9), None).unwrap();
    let mut bench = Bench::new(Config::bounded(9));
    bench.queue = queue.numbered_from(100);
    assert!(bench.queue.restore(7, letter(1), Meta::default()));
    assert!(!bench.queue.restore(7, letter(2), Meta::default()));
    assert!(!bench.queue.restore(u64::MAX, letter(3), Meta::default()));
    assert_eq!(bench.offer(letter(4), TRY), Offered::Done);
    assert_eq!((bench.take().seq(), bench.take().seq()), (7, 100));
}

#[test]
fn an_item_takes_no_more_memory_than_it_must() {
    assert!(size_of::<Held<Arc<()>>>() <= 32);
    assert!(size_of::<Place>() <= 8);
}
