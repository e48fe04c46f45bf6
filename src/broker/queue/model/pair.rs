//! A queue beside its model, and the steps that both take.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::tests::Log;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Of so many items, which are alike.
    Offer {
        count: usize,
        bytes: usize,
        /// Milliseconds from now, which may be none.
        lives: Option<i64>,
        durable: bool,
        priority: u8,
        delay: i64,
        waits_as: Option<SessionId>,
    },
    Poll {
        waits_as: Option<SessionId>,
    },
    /// An item of so many bytes at most.
    PollWithin(usize),
    /// Of the items in flight, by a number modulo how many there are.
    Acknowledge(usize),
    PutBack(usize),
    /// All of them, the newest first.
    PutAllBack,
    /// For so many milliseconds, or a session.
    Lease(usize, Result<i64, SessionId>),
    /// Of all tokens there were, by a number modulo how many they are.
    Finish(usize),
    Reject(usize, Verdict),
    Extend(usize, i64),
    /// Of those who wait, or one who does not.
    Cancel(usize),
    DropSession(SessionId),
    Purge,
    Pass(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let session = || proptest::option::weighted(0.8, 0..4_u64);
    let lives = proptest::option::weighted(0.3, -1..20_i64);
    let delay = prop_oneof![3 => Just(0_i64), 1 => -1..15_i64];
    let priority = prop_oneof![2 => Just(4_u8), 1 => 0..10_u8];
    let verdict = prop_oneof![
        3 => Just(Verdict::Retry),
        2 => (-1..15_i64).prop_map(Verdict::RetryIn),
        1 => Just(Verdict::Dead),
        1 => Just(Verdict::Untried),
    ];
    let term = prop_oneof![2 => (1..20_i64).prop_map(Ok), 1 => (0..4_u64).prop_map(Err)];
    let any = any::<usize>;
    let count = prop_oneof![3 => Just(1_usize), 1 => 2..5_usize];
    prop_oneof![
        12 => (count, 0..12_usize, lives, proptest::bool::ANY, priority, delay, session()).prop_map(
            |(count, bytes, lives, durable, priority, delay, waits_as)| {
                Step::Offer { count, bytes, lives, durable, priority, delay, waits_as }
            },
        ),
        9 => session().prop_map(|waits_as| Step::Poll { waits_as }),
        3 => (0..12_usize).prop_map(Step::PollWithin),
        2 => any().prop_map(Step::Acknowledge),
        2 => any().prop_map(Step::PutBack),
        1 => Just(Step::PutAllBack),
        6 => (any(), term).prop_map(|(number, term)| Step::Lease(number, term)),
        2 => any().prop_map(Step::Finish),
        3 => (any(), verdict).prop_map(|(number, verdict)| Step::Reject(number, verdict)),
        1 => (any(), 1..20_i64).prop_map(|(number, ms)| Step::Extend(number, ms)),
        2 => any().prop_map(Step::Cancel),
        1 => (0..4_u64).prop_map(Step::DropSession),
        1 => Just(Step::Purge),
        3 => (0..10_i64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let kind = prop_oneof![
        Just((Kind::Circular, false)),
        Just((Kind::Bounded, false)),
        Just((Kind::Bounded, true))
    ];
    let size = (1..8_usize, 1..30_usize, 0..8_usize);
    let expiry = proptest::option::weighted(0.3, 1..30_i64);
    let backoff = (0..8_i64, 0..20_i64);
    (kind, size, expiry, 0..4_u32, backoff).prop_map(
        |((kind, durable), (messages, bytes, waiters), expiry, max_attempts, (base, more))| {
            Config {
                kind,
                messages,
                bytes,
                waiters,
                durable,
                owner: None,
                expiry,
                max_attempts,
                backoff: Backoff {
                    base,
                    cap: base + more,
                },
                dead_letters: None,
            }
        },
    )
}

struct Pair {
    queue: Queue<Letter>,
    log: Log,
    model: Model,
    now: i64,
    next_name: u32,
    next_waiter: WaiterId,
    in_flight: Vec<Delivery<Letter>>,
    /// Every token of a lease, and whether it is still good.
    tokens: Vec<(Token, u32, bool)>,
    restored: u64,
    first_number: u64,
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
            model: Model::new(config),
            now: 1000,
            next_name: 0,
            next_waiter: 0,
            in_flight: Vec::new(),
            tokens: Vec::new(),
            restored: 0,
            first_number: 0,
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

    /// A token, and the item that it is good for, if any.
    fn some_token(&mut self, number: usize) -> Option<(Token, Option<u32>)> {
        // Recent ones are the more interesting.
        let recent = self.tokens.len().min(6);
        let back = number.checked_rem(recent)?;
        let at = self.tokens.len() - 1 - back;
        let (token, name, good) = self.tokens[at];
        Some((token, good.then_some(name)))
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
        let stale = |result: Result<(), Stale>| result.map_or(Answer::Stale, |()| Answer::Done);
        match step {
            Step::Offer {
                count,
                bytes,
                lives,
                durable,
                priority,
                delay,
                waits_as,
            } => {
                let waiter = self.waiter(waits_as);
                let items = (0..count).map(|_| {
                    self.next_name += 1;
                    Letter {
                        name: self.next_name,
                        bytes,
                        expires_at: lives.map(|lives| now + lives),
                        durable,
                        priority,
                        delay,
                    }
                });
                let items: Vec<Letter> = items.collect();
                let answer = if let [item] = *items {
                    outcome(self.queue.offer(item, waiter, now, effects), &item)
                } else {
                    let offered = self.queue.offer_all(items.clone(), waiter, now, effects);
                    outcome(offered, &items)
                };
                (answer, self.model.offer(items, waiter, now))
            }
            Step::Poll { waits_as } => {
                let waiter = self.waiter(waits_as);
                let answer = match self.queue.poll(waiter, now, effects) {
                    Polled::Item(delivery) => {
                        let answer = Answer::Item(delivery.item().name, delivery.attempts());
                        self.in_flight.push(delivery);
                        answer
                    }
                    Polled::Empty => Answer::Nothing,
                    Polled::Waiting => Answer::Waiting,
                    Polled::Busy => Answer::Busy,
                };
                (answer, self.model.poll(waiter, now))
            }
            Step::PollWithin(bytes) => {
                let answer = match self.queue.poll_within(bytes, now, effects) {
                    Some(delivery) => {
                        let answer = Answer::Item(delivery.item().name, delivery.attempts());
                        self.in_flight.push(delivery);
                        answer
                    }
                    None => Answer::Nothing,
                };
                (answer, self.model.poll_within(bytes, now))
            }
            Step::PutAllBack => {
                let all = std::mem::take(&mut self.in_flight);
                let names: Vec<u32> = all.iter().map(|delivery| delivery.item().name).collect();
                self.queue.put_all_back(all.into_iter().rev(), now, effects);
                names.into_iter().for_each(|name| self.model.put_back(name));
                (Answer::Done, Answer::Done)
            }
            Step::Acknowledge(number) => {
                if let Some(delivery) = self.some_in_flight(number) {
                    let name = self.queue.acknowledge(delivery).name;
                    self.model.land(name);
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
            Step::Lease(number, term) => {
                if let Some(delivery) = self.some_in_flight(number) {
                    let name = delivery.item().name;
                    let term = term.map_or_else(Term::Session, |ms| Term::Until(now + ms));
                    self.tokens.push((delivery.token(), name, true));
                    self.queue.lease(delivery, term);
                    self.model.lease(name, term);
                }
                (Answer::Done, Answer::Done)
            }
            Step::Finish(number) => {
                let Some((token, name)) = self.some_token(number) else {
                    return (Answer::Done, Answer::Done);
                };
                let finished = self.queue.finish(token, now, effects);
                assert!(finished.is_err() || finished.map(|item| item.name).ok() == name);
                self.acknowledged += u64::from(finished.is_ok());
                let expected = name.map_or(Answer::Stale, |name| self.model.finish(name));
                (stale(finished.map(drop)), expected)
            }
            Step::Reject(number, verdict) => {
                let Some((token, name)) = self.some_token(number) else {
                    return (Answer::Done, Answer::Done);
                };
                let answer = self.queue.reject(token, verdict, now, effects);
                let expected = name.map(|name| self.model.reject(name, verdict, now));
                (stale(answer), expected.unwrap_or(Answer::Stale))
            }
            Step::Extend(number, ms) => {
                let Some((token, name)) = self.some_token(number) else {
                    return (Answer::Done, Answer::Done);
                };
                let answer = self.queue.extend(token, now + ms, now, effects);
                let expected = name.map(|name| self.model.extend(name, now + ms));
                (stale(answer), expected.unwrap_or(Answer::Stale))
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
                let count = self.model.drop_session(session, now);
                (Answer::Count(gone.len()), Answer::Count(count))
            }
            Step::Purge => {
                let count = self.queue.purge(now, effects);
                self.purged += count as u64;
                let expected = self.model.items.drain(..).count();
                (Answer::Count(count), Answer::Count(expected))
            }
            Step::Pass(millis) => {
                self.now += millis;
                self.queue.advance(self.now, effects);
                (Answer::Done, Answer::Done)
            }
            Step::Restart => {
                self.restart(effects);
                (Answer::Done, Answer::Done)
            }
        }
    }

    fn restart(&mut self, effects: &mut Effects<Letter>) {
        let config = self.model.config.clone();
        let queue = Queue::new(config, Some(Box::new(self.log.clone()))).unwrap();
        let tokens = self.next_waiter << 32;
        let numbers = self.model.accepted as u64;
        self.queue = queue.fenced_from(tokens).numbered_from(numbers);
        let records = self.log.records();
        self.restored = records.len() as u64;
        self.first_number = numbers;
        for (seq, item, meta) in records {
            assert!(self.queue.restore(seq, item, meta));
        }
        self.in_flight.clear();
        (self.acknowledged, self.purged, self.buried) = (0, 0, 0);
        self.model.restart();
        if !self.model.config.durable {
            self.model.items.clear();
        }
        self.queue.advance(self.now, effects);
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
                    let (name, attempts) = (delivery.item().name, delivery.attempts());
                    self.in_flight.push(delivery);
                    Event::Got(woken.waiter.id, name, attempts)
                }
                Outcome::Accepted => Event::Accepted(woken.waiter.id),
                Outcome::Removed(_) => panic!("nobody removed the queue"),
            });
        }
        for dead in effects.dead {
            self.buried += 1;
            events.push(Event::Dead(
                dead.cause,
                dead.item.name,
                dead.attempts,
                dead.offered_at,
                dead.tried_at,
            ));
        }
        let mut expected = std::mem::take(&mut self.model.events);
        events.sort();
        expected.sort();
        assert_eq!(events, expected);
        self.forget_tokens();
        self.check();
    }

    /// A token is good only as long as its item has not left that lease.
    fn forget_tokens(&mut self) {
        for at in 0..self.tokens.len() {
            let (_, name, _) = self.tokens[at];
            let leased = self.model.lease_of(name).is_some();
            let newest = self.tokens[at + 1..].iter().all(|later| later.1 != name);
            self.tokens[at].2 &= leased && newest;
        }
    }

    /// What holds between any two calls.
    fn check(&self) {
        let names: Vec<_> = self.queue.peek().map(|item| item.name).collect();
        let mut expected: Vec<_> = self.model.items.iter().collect();
        expected.sort_by_key(|past| {
            let delayed = past.not_before > self.now;
            (delayed, Reverse(past.item.priority), past.seq)
        });
        let expected: Vec<_> = expected.iter().map(|past| past.item.name).collect();
        assert_eq!(names, expected);

        let stats = self.queue.stats(self.now);
        assert_eq!(stats.bytes, self.model.bytes());
        assert_eq!(stats.leased, self.model.leased.len());
        assert_eq!(stats.in_flight, self.in_flight.len() + stats.leased);
        assert_eq!(stats.waiting_polls, self.model.polls.len());
        assert_eq!(stats.waiting_offers, self.model.offers.len());
        let accepted = self.model.accepted as u64 - self.first_number;
        assert_eq!(stats.offered, accepted + self.restored);
        assert_eq!(stats.expired + stats.evicted + stats.failed, self.buried);
        assert_eq!(stats.acknowledged, self.acknowledged);
        let held = (stats.size + stats.in_flight) as u64;
        assert_eq!(
            stats.offered,
            held + self.acknowledged + self.purged + self.buried
        );
        assert_eq!(self.queue.next_event(), self.model.next_event(self.now));
        if self.model.config.kind == Kind::Circular {
            assert!(stats.size <= self.model.config.messages);
        }

        let in_flight = self.in_flight.iter().map(Delivery::item);
        let leased = self.model.leased.iter().map(|(past, _)| &past.item);
        let alive = self.queue.peek().chain(in_flight).chain(leased);
        let alive = alive.filter(|item| item.durable && self.model.config.durable);
        let alive: BTreeSet<u32> = alive.map(|item| item.name).collect();
        let kept: BTreeSet<u32> = self.log.kept().iter().map(|(_, item)| item.name).collect();
        assert_eq!(kept, alive);
    }
}

fn outcome<T: PartialEq + fmt::Debug>(offered: Offered<T>, items: &T) -> Answer {
    match offered {
        Offered::Done => Answer::Done,
        Offered::Waiting => Answer::Waiting,
        Offered::Full(back) if back == *items => Answer::Nothing,
        Offered::Busy(back) if back == *items => Answer::Busy,
        Offered::TooLarge(back) if back == *items => Answer::TooLarge,
        other => panic!("{other:?}"),
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
