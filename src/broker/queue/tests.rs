mod batch;
mod clock;
mod leases;
mod lifetimes;
mod order;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;

/// An item that is told from others by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) name: u32,
    pub(super) bytes: usize,
    pub(super) expires_at: Option<i64>,
    pub(super) durable: bool,
    pub(super) priority: u8,
    pub(super) delay: i64,
}

impl Item for Letter {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    fn durable(&self) -> bool {
        self.durable
    }

    fn priority(&self) -> u8 {
        self.priority
    }

    fn delay(&self) -> i64 {
        self.delay
    }
}

pub(super) fn letter(name: u32) -> Letter {
    Letter {
        name,
        bytes: 1,
        expires_at: None,
        durable: false,
        priority: 4,
        delay: 0,
    }
}

fn expiring(name: u32, at: i64) -> Letter {
    Letter {
        expires_at: Some(at),
        ..letter(name)
    }
}

fn heavy(name: u32, bytes: usize) -> Letter {
    Letter {
        bytes,
        ..letter(name)
    }
}

fn durable(name: u32) -> Letter {
    Letter {
        durable: true,
        ..letter(name)
    }
}

/// What a log would give back after a restart.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<BTreeMap<u64, (Letter, Meta)>>>);

impl Log {
    pub(super) fn records(&self) -> Vec<(u64, Letter, Meta)> {
        let kept = self.0.lock().unwrap();
        let kept = kept.iter().map(|(&seq, &(item, meta))| (seq, item, meta));
        kept.collect()
    }

    pub(super) fn kept(&self) -> Vec<(u64, Letter)> {
        let records = self.records().into_iter();
        records.map(|(seq, item, _)| (seq, item)).collect()
    }
}

impl Store<Letter> for Log {
    fn append(&mut self, seq: u64, meta: Meta, item: &Letter) {
        let twice = self.0.lock().unwrap().insert(seq, (*item, meta));
        assert_eq!(twice, None, "number {seq} was used before");
    }

    fn change(&mut self, seq: u64, attempts: u32, not_before: i64) {
        let mut kept = self.0.lock().unwrap();
        let (_, meta) = kept.get_mut(&seq).expect("a number that is not settled");
        (meta.attempts, meta.not_before) = (attempts, not_before);
    }

    fn settle(&mut self, seq: u64) {
        let settled = self.0.lock().unwrap().remove(&seq);
        assert!(settled.is_some(), "number {seq} was settled before");
    }
}

/// A queue, the time, and what its calls led to.
struct Bench {
    queue: Queue<Letter>,
    now: i64,
    effects: Effects<Letter>,
}

const TRY: Option<Waiter> = None;

fn waiter(id: WaiterId, session: SessionId) -> Option<Waiter> {
    Some(Waiter { id, session })
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            queue: Queue::new(config, None).unwrap(),
            now: 0,
            effects: Effects::default(),
        }
    }

    fn durable(log: &Log) -> Self {
        let queue = Queue::new(Config::durable(10), Some(Box::new(log.clone())));
        Self {
            queue: queue.unwrap(),
            now: 0,
            effects: Effects::default(),
        }
    }

    fn holding(config: Config, names: impl IntoIterator<Item = u32>) -> Self {
        let mut bench = Self::new(config);
        for name in names {
            assert_eq!(bench.offer(letter(name), TRY), Offered::Done);
        }
        bench
    }

    fn offer(&mut self, item: Letter, waiter: Option<Waiter>) -> Offered<Letter> {
        self.queue.offer(item, waiter, self.now, &mut self.effects)
    }

    fn poll(&mut self, waiter: Option<Waiter>) -> Polled<Letter> {
        self.queue.poll(waiter, self.now, &mut self.effects)
    }

    fn take(&mut self) -> Delivery<Letter> {
        match self.poll(TRY) {
            Polled::Item(delivery) => delivery,
            nothing => panic!("{nothing:?}"),
        }
    }

    fn put_back(&mut self, delivery: Delivery<Letter>) {
        self.queue.put_back(delivery, self.now, &mut self.effects);
    }

    fn cancel(&mut self, id: WaiterId) -> Option<Cancelled<Letter>> {
        self.queue.cancel(id, self.now, &mut self.effects)
    }

    fn drop_session(&mut self, session: SessionId) -> Vec<WaiterId> {
        self.queue
            .drop_session(session, self.now, &mut self.effects)
    }

    fn stats(&self) -> Stats {
        self.queue.stats(self.now)
    }

    /// Polls and acknowledges until nothing is left.
    fn drain(&mut self) -> Vec<u32> {
        let mut names = Vec::new();
        while let Polled::Item(delivery) = self.poll(TRY) {
            names.push(self.queue.acknowledge(delivery).name);
        }
        names
    }

    fn woken(&mut self) -> Vec<(WaiterId, Outcome<Letter>)> {
        let woken = self.effects.woken.drain(..);
        woken
            .map(|woken| (woken.waiter.id, woken.outcome))
            .collect()
    }

    /// Who got which item since the last call.
    fn got(&mut self) -> Vec<(WaiterId, u32)> {
        let got = self.woken().into_iter().map(|(id, outcome)| match outcome {
            Outcome::Got(delivery) => (id, delivery.item().name),
            other => panic!("{other:?}"),
        });
        got.collect()
    }

    fn dead(&mut self) -> Vec<(Cause, u32)> {
        let dead = self.effects.dead.drain(..);
        dead.map(|dead| (dead.cause, dead.item.name)).collect()
    }
}

// ---- order and capacity ----

#[test]
fn each_item_goes_to_one_poll_in_the_order_of_the_offers() {
    let mut bench = Bench::holding(Config::bounded(3), [1, 2, 3]);
    assert_eq!(bench.drain(), [1, 2, 3]);
    assert_eq!(bench.poll(TRY), Polled::Empty);
}

#[test]
fn a_bounded_queue_of_three_refuses_the_fourth_offer_and_the_third_poll_of_two() {
    let mut bench = Bench::holding(Config::bounded(3), [1, 2, 3]);
    assert_eq!(bench.offer(letter(4), waiter(1, 1)), Offered::Waiting);
    assert_eq!(bench.cancel(1), Some(Cancelled::Offer(vec![letter(4)])));
    assert_eq!(bench.offer(letter(5), TRY), Offered::Full(letter(5)));
    assert_eq!(bench.drain(), [1, 2, 3]);
    assert_eq!(bench.poll(waiter(2, 1)), Polled::Waiting);
    assert_eq!(bench.cancel(2), Some(Cancelled::Poll));
    assert_eq!(bench.poll(TRY), Polled::Empty);
    assert_eq!(bench.stats().rejected, 2);
}

#[test]
fn a_circular_queue_accepts_everything_and_keeps_the_last() {
    let mut bench = Bench::holding(Config::circular(3), 1..=5);
    assert_eq!(bench.dead(), [(Cause::Evicted, 1), (Cause::Evicted, 2)]);
    assert_eq!(bench.stats().evicted, 2);
    assert_eq!(bench.drain(), [3, 4, 5]);
}

#[test]
fn bytes_limit_a_queue_as_items_do() {
    let config = Config {
        bytes: 10,
        ..Config::bounded(100)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.offer(heavy(1, 8), TRY), Offered::Done);
    assert_eq!(bench.offer(heavy(2, 3), TRY), Offered::Full(heavy(2, 3)));
    assert_eq!(bench.offer(heavy(3, 2), TRY), Offered::Done);
    assert_eq!(bench.stats().bytes, 10);
}

#[test]
fn a_circular_queue_evicts_as_many_as_a_large_item_needs() {
    let config = Config {
        bytes: 10,
        ..Config::circular(100)
    };
    let mut bench = Bench::new(config);
    for name in 1..=3 {
        assert_eq!(bench.offer(heavy(name, 3), TRY), Offered::Done);
    }
    assert_eq!(bench.offer(heavy(4, 7), TRY), Offered::Done);
    assert_eq!(bench.dead().len(), 2);
    assert_eq!(bench.drain(), [3, 4]);
}

#[test]
fn an_item_larger_than_the_queue_is_refused_by_both_kinds() {
    for config in [Config::bounded(3), Config::circular(3)] {
        let mut bench = Bench::new(Config {
            bytes: 10,
            ..config
        });
        assert_eq!(bench.offer(heavy(1, 10), TRY), Offered::Done);
        let large = heavy(2, 11);
        assert_eq!(bench.offer(large, waiter(1, 1)), Offered::TooLarge(large));
        assert_eq!(bench.drain(), [1]);
    }
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let refused = |config| Queue::<Letter>::new(config, None).unwrap_err();
    assert_eq!(refused(Config::bounded(0)), ConfigError::NoCapacity);
    assert_eq!(refused(Config::durable(1)), ConfigError::NoStore);
    let config = Config {
        durable: true,
        ..Config::circular(1)
    };
    assert_eq!(refused(config), ConfigError::DurableCircular);
    let config = Config {
        durable: true,
        ..Config::temporary(1, 7)
    };
    assert_eq!(refused(config), ConfigError::DurableTemporary);
}

// ---- waiting ----

#[test]
fn polls_that_wait_are_served_in_their_order_in_either_kind() {
    for config in [Config::bounded(1), Config::circular(1)] {
        let mut bench = Bench::new(config);
        for id in [7, 3, 5] {
            assert_eq!(bench.poll(waiter(id, id)), Polled::Waiting);
        }
        for name in 1..=4 {
            assert_eq!(bench.offer(letter(name), TRY), Offered::Done);
        }
        assert_eq!(bench.got(), [(7, 1), (3, 2), (5, 3)]);
        assert_eq!(bench.drain(), [4]);
    }
}

#[test]
fn an_item_that_two_polls_wait_for_goes_to_one() {
    let mut bench = Bench::new(Config::bounded(1));
    for id in [1, 2] {
        assert_eq!(bench.poll(waiter(id, id)), Polled::Waiting);
    }
    assert_eq!(bench.offer(letter(9), TRY), Offered::Done);
    assert_eq!(bench.got(), [(1, 9)]);
    assert_eq!(bench.stats().waiting_polls, 1);
}

#[test]
fn a_session_that_leaves_while_it_polls_takes_no_item_with_it() {
    let mut bench = Bench::new(Config::bounded(1));
    for id in [1, 2] {
        assert_eq!(bench.poll(waiter(id, 1)), Polled::Waiting);
    }
    assert_eq!(bench.drop_session(1), [1, 2]);
    assert_eq!(bench.offer(letter(9), TRY), Offered::Done);
    assert_eq!(bench.woken(), []);
    assert_eq!(bench.drain(), [9]);
}

#[test]
fn a_session_that_leaves_with_an_item_on_its_way_gives_it_back() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    assert_eq!(bench.offer(letter(9), TRY), Offered::Done);
    let Some((1, Outcome::Got(delivery))) = bench.woken().pop() else {
        panic!("the poll got nothing");
    };
    assert_eq!(bench.drop_session(1), Vec::<WaiterId>::new());
    bench.put_back(delivery);
    assert_eq!(bench.drain(), [9]);
}

#[test]
fn offers_that_wait_come_in_as_soon_as_there_is_room_in_their_order() {
    let mut bench = Bench::holding(Config::bounded(1), [1]);
    for id in [2, 3] {
        let waits = bench.offer(letter(id), waiter(id.into(), 1));
        assert_eq!(waits, Offered::Waiting);
    }
    assert_eq!(bench.take().item().name, 1);
    assert_eq!(bench.woken(), [(2, Outcome::Accepted)]);
    assert_eq!(bench.drain(), [2, 3]);
    assert_eq!(bench.woken(), [(3, Outcome::Accepted)]);
}

#[test]
fn nobody_overtakes_an_offer_that_waits() {
    let config = Config {
        bytes: 10,
        ..Config::bounded(9)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.offer(heavy(1, 8), TRY), Offered::Done);
    assert_eq!(bench.offer(heavy(2, 5), waiter(2, 1)), Offered::Waiting);
    assert_eq!(bench.offer(heavy(3, 1), TRY), Offered::Full(heavy(3, 1)));
    assert_eq!(bench.offer(heavy(4, 1), waiter(4, 1)), Offered::Waiting);
    assert_eq!(bench.cancel(2), Some(Cancelled::Offer(vec![heavy(2, 5)])));
    assert_eq!(bench.woken(), [(4, Outcome::Accepted)]);
    assert_eq!(bench.drain(), [1, 4]);
}

#[test]
fn a_session_that_leaves_while_it_offers_lets_the_next_one_in() {
    let config = Config {
        bytes: 10,
        ..Config::bounded(9)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.offer(heavy(1, 8), TRY), Offered::Done);
    assert_eq!(bench.offer(heavy(2, 5), waiter(2, 1)), Offered::Waiting);
    assert_eq!(bench.offer(heavy(3, 2), waiter(3, 2)), Offered::Waiting);
    assert_eq!(bench.drop_session(1), [2]);
    assert_eq!(bench.woken(), [(3, Outcome::Accepted)]);
    assert_eq!(bench.drain(), [1, 3]);
}

#[test]
fn a_wait_that_has_ended_cannot_be_cancelled() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    assert_eq!(bench.offer(letter(1), TRY), Offered::Done);
    assert_eq!(bench.cancel(1), None);
    assert_eq!(bench.got(), [(1, 1)]);
}

#[test]
fn no_more_wait_than_may() {
    let config = Config {
        waiters: 1,
        ..Config::bounded(1)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    assert_eq!(bench.poll(waiter(2, 1)), Polled::Busy);
    assert_eq!(bench.cancel(1), Some(Cancelled::Poll));
    assert_eq!(bench.offer(letter(1), TRY), Offered::Done);
    assert_eq!(bench.offer(letter(2), waiter(3, 1)), Offered::Waiting);
    assert_eq!(
        bench.offer(letter(3), waiter(4, 1)),
        Offered::Busy(letter(3))
    );
}

#[test]
fn offers_that_wait_hold_no_more_bytes_than_the_queue_may() {
    let config = Config {
        bytes: 10,
        ..Config::bounded(9)
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.offer(heavy(1, 10), TRY), Offered::Done);
    assert_eq!(bench.offer(heavy(2, 10), waiter(2, 1)), Offered::Waiting);
    let third = heavy(3, 1);
    assert_eq!(bench.offer(third, waiter(3, 1)), Offered::Busy(third));
    assert_eq!(bench.cancel(2), Some(Cancelled::Offer(vec![heavy(2, 10)])));
    assert_eq!(bench.offer(third, waiter(4, 1)), Offered::Waiting);
}

#[test]
fn removing_a_queue_ends_every_wait_and_gives_offers_back() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    bench.queue.close(&mut bench.effects);
    let mut full = Bench::holding(Config::bounded(1), [8]);
    assert_eq!(full.offer(letter(9), waiter(2, 1)), Offered::Waiting);
    full.queue.close(&mut bench.effects);
    let woken = bench.effects.woken.into_iter();
    let woken: Vec<_> = woken
        .map(|woken| (woken.waiter.id, woken.outcome))
        .collect();
    let back = Outcome::Removed(vec![letter(9)]);
    assert_eq!(woken, [(1, Outcome::Removed(vec![])), (2, back)]);
}

#[test]
fn a_temporary_queue_knows_its_owner() {
    let bench = Bench::new(Config::temporary(3, 42));
    assert_eq!(bench.queue.config().owner, Some(42));
    assert_eq!(bench.queue.config().kind, Kind::Bounded);
}

// ---- looking at it ----

#[test]
fn purging_discards_what_is_held_lets_in_what_waits_and_leaves_what_is_in_flight() {
    let mut bench = Bench::holding(Config::bounded(2), [1, 2]);
    let one = bench.take();
    assert_eq!(bench.offer(letter(3), TRY), Offered::Done);
    assert_eq!(bench.offer(letter(4), waiter(4, 1)), Offered::Waiting);
    assert_eq!(bench.queue.purge(0, &mut bench.effects), 2);
    assert_eq!(bench.woken(), [(4, Outcome::Accepted)]);
    bench.put_back(one);
    assert_eq!(bench.drain(), [1, 4]);
    assert_eq!(bench.stats().purged, 2);
}

#[test]
fn peeking_takes_nothing() {
    let bench = Bench::holding(Config::bounded(3), [1, 2, 3]);
    let names: Vec<_> = bench.queue.peek().map(|item| item.name).collect();
    assert_eq!(names, [1, 2, 3]);
    assert_eq!(bench.stats().size, 3);
}

#[test]
fn statistics_tell_what_a_queue_holds_and_has_done() {
    let mut bench = Bench::new(Config::bounded(2));
    bench.now = 100;
    assert_eq!(bench.offer(heavy(1, 5), TRY), Offered::Done);
    bench.now = 110;
    assert_eq!(bench.offer(heavy(2, 6), TRY), Offered::Done);
    assert_eq!(bench.offer(letter(3), TRY), Offered::Full(letter(3)));
    bench.now = 150;
    assert_eq!(bench.stats().oldest_age, Some(50));
    let _delivery = bench.take();
    let expected = Stats {
        size: 1,
        bytes: 6,
        in_flight: 1,
        oldest_age: Some(40),
        offered: 2,
        polled: 1,
        rejected: 1,
        ..Stats::default()
    };
    assert_eq!(bench.stats(), expected);
}
