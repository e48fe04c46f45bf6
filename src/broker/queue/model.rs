//! Any sequence of calls has the same results as on a model that does everything the slow and obvious way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{Letter, Log};
use super::*;

/// How a wait ended, or an item: what can be told of both the queue and the model.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Got(WaiterId, u32),
    Accepted(WaiterId),
    Expired(u32),
    Evicted(u32),
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Item(u32),
    Nothing,
    Waiting,
    Busy,
    TooLarge,
    Count(usize),
}

/// A queue as lists.
struct Model {
    config: Config,
    /// In the order in which they were accepted: its place, and the item.
    items: Vec<(usize, Letter)>,
    accepted: usize,
    polls: Vec<Waiter>,
    offers: Vec<(Waiter, Letter)>,
    in_flight: Vec<(usize, Letter)>,
    events: Vec<Event>,
}

impl Model {
    fn bytes(&self) -> usize {
        self.items.iter().map(|(_, item)| item.bytes).sum()
    }

    fn fits(&self, item: &Letter) -> bool {
        self.items.len() < self.config.messages && self.bytes() + item.bytes <= self.config.bytes
    }

    fn may_wait(&self) -> bool {
        self.polls.len() + self.offers.len() < self.config.waiters
    }

    fn accept(&mut self, item: Letter) {
        self.items.push((self.accepted, item));
        self.accepted += 1;
    }

    /// Does what can be done until nothing can.
    fn settle(&mut self, now: i64) {
        loop {
            let expired = |item: &Letter| item.expires_at.is_some_and(|at| at <= now);
            for (_, item) in &self.items {
                if expired(item) {
                    self.events.push(Event::Expired(item.name));
                }
            }
            self.items.retain(|(_, item)| !expired(item));
            if !self.items.is_empty() && !self.polls.is_empty() {
                let (poll, taken) = (self.polls.remove(0), self.items.remove(0));
                self.events.push(Event::Got(poll.id, taken.1.name));
                self.in_flight.push(taken);
            } else if self.config.kind == Kind::Circular
                && (self.items.len() > self.config.messages || self.bytes() > self.config.bytes)
            {
                let (_, evicted) = self.items.remove(0);
                self.events.push(Event::Evicted(evicted.name));
            } else if self.offers.first().is_some_and(|(_, item)| self.fits(item)) {
                let (offer, item) = self.offers.remove(0);
                self.accept(item);
                self.events.push(Event::Accepted(offer.id));
            } else {
                return;
            }
        }
    }

    fn offer(&mut self, item: Letter, waiter: Option<Waiter>) -> Answer {
        if item.bytes > self.config.bytes {
            return Answer::TooLarge;
        }
        if self.config.kind == Kind::Circular || (self.offers.is_empty() && self.fits(&item)) {
            self.accept(item);
            return Answer::Done;
        }
        let waiting: usize = self.offers.iter().map(|(_, item)| item.bytes).sum();
        match waiter {
            None => Answer::Nothing,
            Some(waiter) if self.may_wait() && waiting + item.bytes <= self.config.bytes => {
                self.offers.push((waiter, item));
                Answer::Waiting
            }
            Some(_) => Answer::Busy,
        }
    }

    fn poll(&mut self, waiter: Option<Waiter>) -> Answer {
        if !self.items.is_empty() {
            let taken = self.items.remove(0);
            self.in_flight.push(taken);
            return Answer::Item(taken.1.name);
        }
        match waiter {
            None => Answer::Nothing,
            Some(waiter) if self.may_wait() => {
                self.polls.push(waiter);
                Answer::Waiting
            }
            Some(_) => Answer::Busy,
        }
    }

    fn put_back(&mut self, name: u32) {
        let at = self
            .in_flight
            .iter()
            .position(|(_, item)| item.name == name);
        let back = self.in_flight.remove(at.unwrap());
        self.items.push(back);
        self.items.sort_by_key(|&(place, _)| place);
    }

    fn cancel(&mut self, leaves: impl Fn(&Waiter) -> bool) -> usize {
        let before = self.polls.len() + self.offers.len();
        self.polls.retain(|poll| !leaves(poll));
        self.offers.retain(|(offer, _)| !leaves(offer));
        before - self.polls.len() - self.offers.len()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer {
        bytes: usize,
        /// Milliseconds from now, which may be none.
        lives: Option<i64>,
        durable: bool,
        waits_as: Option<SessionId>,
    },
    Poll {
        waits_as: Option<SessionId>,
    },
    /// Of the items in flight, by a number modulo how many there are.
    Acknowledge(usize),
    PutBack(usize),
    /// Of those who wait, or one who does not.
    Cancel(usize),
    DropSession(SessionId),
    Purge,
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let session = || proptest::option::weighted(0.8, 0..4_u64);
    prop_oneof![
        9 => (0..12_usize, proptest::option::weighted(0.3, -1..20_i64), any::<bool>(), session())
            .prop_map(|(bytes, lives, durable, waits_as)| Step::Offer { bytes, lives, durable, waits_as }),
        6 => session().prop_map(|waits_as| Step::Poll { waits_as }),
        2 => any::<usize>().prop_map(Step::Acknowledge),
        2 => any::<usize>().prop_map(Step::PutBack),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..4_u64).prop_map(Step::DropSession),
        1 => Just(Step::Purge),
        2 => (0..10_i64).prop_map(Step::Pass),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let kind = prop_oneof![
        Just((true, false)),
        Just((false, false)),
        Just((false, true))
    ];
    (kind, 1..6_usize, 1..20_usize, 0..8_usize).prop_map(
        |((circular, durable), messages, bytes, waiters)| Config {
            kind: if circular {
                Kind::Circular
            } else {
                Kind::Bounded
            },
            messages,
            bytes,
            waiters,
            durable,
            owner: None,
        },
    )
}

/// A queue beside its model.
struct Pair {
    queue: Queue<Letter>,
    log: Log,
    model: Model,
    now: i64,
    next_name: u32,
    next_waiter: WaiterId,
    in_flight: Vec<Delivery<Letter>>,
    acknowledged: u64,
    purged: u64,
    buried: u64,
}

impl Pair {
    fn new(config: Config) -> Self {
        let log = Log::default();
        Self {
            queue: Queue::new(config.clone(), Some(Box::new(log.clone()))).unwrap(),
            log,
            model: Model {
                config,
                items: Vec::new(),
                accepted: 0,
                polls: Vec::new(),
                offers: Vec::new(),
                in_flight: Vec::new(),
                events: Vec::new(),
            },
            now: 0,
            next_name: 0,
            next_waiter: 0,
            in_flight: Vec::new(),
            acknowledged: 0,
            purged: 0,
            buried: 0,
        }
    }

    fn waiter(&mut self, session: Option<SessionId>) -> Option<Waiter> {
        let id = self.next_waiter;
        self.next_waiter += 1;
        session.map(|session| Waiter { id, session })
    }

    fn some_in_flight(&mut self, number: usize) -> Option<Delivery<Letter>> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.swap_remove(number % count))
    }

    fn some_waiter(&self, number: usize) -> WaiterId {
        let offers = self.model.offers.iter().map(|(offer, _)| offer.id);
        let mut waiting: Vec<_> = self.model.polls.iter().map(|poll| poll.id).collect();
        waiting.extend(offers);
        let at = number % (waiting.len() + 1);
        waiting.get(at).copied().unwrap_or(self.next_waiter)
    }

    /// Takes a step on both sides, and returns their answers.
    fn take(&mut self, step: Step, effects: &mut Effects<Letter>) -> (Answer, Answer) {
        let now = self.now;
        match step {
            Step::Offer {
                bytes,
                lives,
                durable,
                waits_as,
            } => {
                let waiter = self.waiter(waits_as);
                self.next_name += 1;
                let expires_at = lives.map(|lives| now + lives);
                let item = Letter {
                    name: self.next_name,
                    bytes,
                    expires_at,
                    durable,
                };
                let answer = match self.queue.offer(item, waiter, now, effects) {
                    Offered::Done => Answer::Done,
                    Offered::Waiting => Answer::Waiting,
                    Offered::Full(back) if back == item => Answer::Nothing,
                    Offered::Busy(back) if back == item => Answer::Busy,
                    Offered::TooLarge(back) if back == item => Answer::TooLarge,
                    other => panic!("{other:?}"),
                };
                (answer, self.model.offer(item, waiter))
            }
            Step::Poll { waits_as } => {
                let waiter = self.waiter(waits_as);
                let answer = match self.queue.poll(waiter, now, effects) {
                    Polled::Item(delivery) => {
                        let name = delivery.item().name;
                        self.in_flight.push(delivery);
                        Answer::Item(name)
                    }
                    Polled::Empty => Answer::Nothing,
                    Polled::Waiting => Answer::Waiting,
                    Polled::Busy => Answer::Busy,
                };
                (answer, self.model.poll(waiter))
            }
            Step::Acknowledge(number) => {
                if let Some(delivery) = self.some_in_flight(number) {
                    let name = self.queue.acknowledge(delivery).name;
                    self.model.in_flight.retain(|(_, item)| item.name != name);
                    self.acknowledged += 1;
                }
                (Answer::Done, Answer::Done)
            }
            Step::PutBack(number) => {
                if let Some(delivery) = self.some_in_flight(number) {
                    let name = delivery.item().name;
                    self.queue.put_back(delivery, now, effects);
                    self.model.put_back(name);
                }
                (Answer::Done, Answer::Done)
            }
            Step::Cancel(number) => {
                let id = self.some_waiter(number);
                let cancelled = self.queue.cancel(id, now, effects);
                let count = self.model.cancel(|waiter| waiter.id == id);
                (
                    Answer::Count(cancelled.iter().count()),
                    Answer::Count(count),
                )
            }
            Step::DropSession(session) => {
                let gone = self.queue.drop_session(session, now, effects);
                let count = self.model.cancel(|waiter| waiter.session == session);
                (Answer::Count(gone.len()), Answer::Count(count))
            }
            Step::Purge => {
                let count = self.queue.purge(now, effects);
                self.purged += count as u64;
                (
                    Answer::Count(count),
                    Answer::Count(self.model.items.drain(..).count()),
                )
            }
            Step::Pass(millis) => {
                self.now += millis;
                self.queue.expire(self.now, effects);
                (Answer::Done, Answer::Done)
            }
        }
    }

    fn step(&mut self, step: Step) {
        let mut effects = Effects::default();
        self.model.settle(self.now);
        let (answer, expected) = self.take(step, &mut effects);
        assert_eq!(answer, expected);
        self.model.settle(self.now);

        let mut events: Vec<Event> = Vec::new();
        for woken in effects.woken {
            events.push(match woken.outcome {
                Outcome::Got(delivery) => {
                    let name = delivery.item().name;
                    self.in_flight.push(delivery);
                    Event::Got(woken.waiter.id, name)
                }
                Outcome::Accepted => Event::Accepted(woken.waiter.id),
                Outcome::Removed(_) => panic!("nobody removed the queue"),
            });
        }
        for dead in effects.dead {
            self.buried += 1;
            events.push(match dead.cause {
                Cause::Expired => Event::Expired(dead.item.name),
                Cause::Evicted => Event::Evicted(dead.item.name),
            });
        }
        let mut expected = std::mem::take(&mut self.model.events);
        events.sort();
        expected.sort();
        assert_eq!(events, expected);
        self.check();
    }

    /// What holds between any two calls.
    fn check(&self) {
        let names: Vec<_> = self.queue.peek().map(|item| item.name).collect();
        let expected: Vec<_> = self.model.items.iter().map(|(_, item)| item.name).collect();
        assert_eq!(names, expected);

        let stats = self.queue.stats(self.now);
        assert_eq!(stats.bytes, self.model.bytes());
        assert_eq!(stats.in_flight, self.in_flight.len());
        assert_eq!(stats.waiting_polls, self.model.polls.len());
        assert_eq!(stats.waiting_offers, self.model.offers.len());
        assert_eq!(stats.offered, self.model.accepted as u64);
        assert_eq!(stats.expired + stats.evicted, self.buried);
        let held = (stats.size + stats.in_flight) as u64;
        assert_eq!(
            stats.offered,
            held + self.acknowledged + self.purged + self.buried
        );
        if self.model.config.kind == Kind::Circular {
            assert!(stats.size <= self.model.config.messages);
        }

        let alive = self
            .queue
            .peek()
            .chain(self.in_flight.iter().map(Delivery::item));
        let alive = alive.filter(|item| item.durable && self.model.config.durable);
        let alive: BTreeSet<u32> = alive.map(|item| item.name).collect();
        let kept: BTreeSet<u32> = self.log.kept().iter().map(|(_, item)| item.name).collect();
        assert_eq!(kept, alive);
    }
}

proptest! {
    #[test]
    fn a_queue_does_what_its_model_does(config in config(), steps in proptest::collection::vec(step(), 1..200)) {
        let mut pair = Pair::new(config);
        for step in steps {
            pair.step(step);
        }
    }
}
