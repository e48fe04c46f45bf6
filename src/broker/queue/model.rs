//! Any sequence of calls has the same results as on a model that does everything the slow and obvious way.

mod pair;

use std::cmp::Reverse;

use super::tests::Letter;
use super::*;

/// How a wait ended, or an item: what can be told of both the queue and the model.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// With the number of attempts.
    Got(WaiterId, u32, u32),
    Accepted(WaiterId),
    /// With attempts, when it was offered, and when it was last tried.
    Dead(Cause, u32, u32, i64, Option<i64>),
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// With the number of attempts.
    Item(u32, u32),
    Nothing,
    Waiting,
    Busy,
    TooLarge,
    Stale,
    Count(usize),
}

/// An item, and what has happened to it.
#[derive(Clone, Copy, Debug)]
struct Past {
    seq: usize,
    item: Letter,
    offered_at: i64,
    not_before: i64,
    attempts: u32,
    tried_at: Option<i64>,
    /// Of these a log knows: attempts, and from when on it may be handed out.
    written: (u32, i64),
}

/// A queue as lists.
struct Model {
    config: Config,
    items: Vec<Past>,
    accepted: usize,
    polls: Vec<Waiter>,
    offers: Vec<(Waiter, Vec<Letter>)>,
    in_flight: Vec<Past>,
    leased: Vec<(Past, Term)>,
    choices: u32,
    events: Vec<Event>,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            items: Vec::new(),
            accepted: 0,
            polls: Vec::new(),
            offers: Vec::new(),
            in_flight: Vec::new(),
            leased: Vec::new(),
            choices: 0,
            events: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|past| past.item.bytes).sum()
    }

    fn fits(&self, items: &[Letter]) -> bool {
        let leased: usize = self.leased.iter().map(|(past, _)| past.item.bytes).sum();
        self.items.len() + self.leased.len() + items.len() <= self.config.messages
            && self.bytes() + leased + weight(items) <= self.config.bytes
    }

    fn may_wait(&self) -> bool {
        self.polls.len() + self.offers.len() < self.config.waiters
    }

    fn expires_at(&self, past: &Past) -> i64 {
        let rule = self.config.expiry.map(|ms| past.offered_at + ms);
        past.item.expires_at.or(rule).unwrap_or(i64::MAX)
    }

    fn accept(&mut self, item: Letter, now: i64) {
        let not_before = if item.delay > 0 { now + item.delay } else { 0 };
        self.items.push(Past {
            seq: self.accepted,
            item,
            offered_at: now,
            not_before,
            attempts: 0,
            tried_at: None,
            written: (0, not_before),
        });
        self.accepted += 1;
    }

    fn bury(&mut self, past: Past, cause: Cause) {
        let Past {
            item,
            offered_at,
            attempts,
            tried_at,
            ..
        } = past;
        let event = Event::Dead(cause, item.name, attempts, offered_at, tried_at);
        self.events.push(event);
    }

    /// What is handed out next, by its position.
    fn next(&mut self, now: i64) -> Option<usize> {
        let ready = |at: &usize| self.items[*at].not_before <= now;
        let ready: Vec<usize> = (0..self.items.len()).filter(ready).collect();
        let priority = |at: &usize| self.items[*at].item.priority;
        let seq = |at: &usize| self.items[*at].seq;
        let best = ready
            .iter()
            .max_by_key(|at| (priority(at), Reverse(seq(at))))?;
        if ready.iter().any(|at| priority(at) != priority(best)) {
            self.choices += 1;
            if self.choices.is_multiple_of(8) {
                return ready.iter().min_by_key(|at| seq(at)).copied();
            }
        }
        Some(*best)
    }

    fn take(&mut self, now: i64) -> Option<Past> {
        let at = self.next(now)?;
        let mut past = self.items.remove(at);
        past.attempts += 1;
        past.tried_at = Some(now);
        self.in_flight.push(past);
        Some(past)
    }

    fn retry(&mut self, mut past: Past, delay: Option<i64>, now: i64) {
        let most = self.config.max_attempts;
        if most > 0 && past.attempts >= most {
            return self.bury(past, Cause::TooManyAttempts);
        }
        let Backoff { base, cap } = self.config.backoff;
        let delay = delay.unwrap_or_else(|| {
            (1..past.attempts)
                .fold(base, |wait, _| (2 * wait).min(cap))
                .min(cap)
        });
        past.not_before = if delay > 0 { now + delay } else { 0 };
        past.written = (past.attempts, past.not_before);
        self.items.push(past);
    }

    /// Does what can be done until nothing can.
    fn settle(&mut self, now: i64) {
        loop {
            let over = |&(_, term): &(Past, Term)| matches!(term, Term::Until(at) if at <= now);
            if let Some(at) = self.leased.iter().position(over) {
                let (past, _) = self.leased.remove(at);
                self.retry(past, None, now);
                continue;
            }
            let expired = |past: &Past| self.expires_at(past) <= now;
            if let Some(at) = self.items.iter().position(expired) {
                let past = self.items.remove(at);
                self.bury(past, Cause::Expired);
            } else if !self.polls.is_empty()
                && let Some(past) = self.take(now)
            {
                let poll = self.polls.remove(0);
                let event = Event::Got(poll.id, past.item.name, past.attempts);
                self.events.push(event);
            } else if self.config.kind == Kind::Circular
                && (self.items.len() > self.config.messages || self.bytes() > self.config.bytes)
            {
                self.items
                    .sort_by_key(|past| (past.item.priority, past.seq));
                let past = self.items.remove(0);
                self.bury(past, Cause::Evicted);
            } else if self
                .offers
                .first()
                .is_some_and(|(_, items)| self.fits(items))
            {
                let (offer, items) = self.offers.remove(0);
                items.into_iter().for_each(|item| self.accept(item, now));
                self.events.push(Event::Accepted(offer.id));
            } else {
                return;
            }
        }
    }

    fn offer(&mut self, items: Vec<Letter>, waiter: Option<Waiter>, now: i64) -> Answer {
        if items.len() > self.config.messages || weight(&items) > self.config.bytes {
            return Answer::TooLarge;
        }
        if self.config.kind == Kind::Circular || (self.offers.is_empty() && self.fits(&items)) {
            items.into_iter().for_each(|item| self.accept(item, now));
            return Answer::Done;
        }
        let waiting: usize = self.offers.iter().map(|(_, items)| weight(items)).sum();
        match waiter {
            None => Answer::Nothing,
            Some(waiter) if self.may_wait() && waiting + weight(&items) <= self.config.bytes => {
                self.offers.push((waiter, items));
                Answer::Waiting
            }
            Some(_) => Answer::Busy,
        }
    }

    fn poll(&mut self, waiter: Option<Waiter>, now: i64) -> Answer {
        if let Some(past) = self.take(now) {
            return Answer::Item(past.item.name, past.attempts);
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

    fn poll_within(&mut self, bytes: usize, now: i64) -> Answer {
        let choices = self.choices;
        match self.next(now) {
            Some(at) if self.items[at].item.bytes <= bytes => {
                self.choices = choices;
                self.poll(None, now)
            }
            _ => {
                self.choices = choices;
                Answer::Nothing
            }
        }
    }

    /// Takes an item out of those in flight.
    fn land(&mut self, name: u32) -> Past {
        let named = |past: &Past| past.item.name == name;
        let at = self.in_flight.iter().position(named);
        self.in_flight.remove(at.unwrap())
    }

    fn put_back(&mut self, name: u32) {
        let past = self.land(name);
        self.undo(past);
    }

    fn undo(&mut self, mut past: Past) {
        past.attempts -= 1;
        past.not_before = 0;
        self.items.push(past);
    }

    fn lease(&mut self, name: u32, term: Term) {
        let past = self.land(name);
        self.leased.push((past, term));
    }

    fn lease_of(&self, name: u32) -> Option<usize> {
        let named = |(past, _): &(Past, Term)| past.item.name == name;
        self.leased.iter().position(named)
    }

    fn finish(&mut self, name: u32) -> Answer {
        match self.lease_of(name) {
            Some(at) => {
                self.leased.remove(at);
                Answer::Done
            }
            None => Answer::Stale,
        }
    }

    fn reject(&mut self, name: u32, verdict: Verdict, now: i64) -> Answer {
        let Some(at) = self.lease_of(name) else {
            return Answer::Stale;
        };
        let (past, _) = self.leased.remove(at);
        match verdict {
            Verdict::Dead => self.bury(past, Cause::Rejected),
            Verdict::Retry => self.retry(past, None, now),
            Verdict::RetryIn(ms) => self.retry(past, Some(ms), now),
            Verdict::Untried => self.undo(past),
        }
        Answer::Done
    }

    fn extend(&mut self, name: u32, until: i64) -> Answer {
        let Some(at) = self.lease_of(name) else {
            return Answer::Stale;
        };
        if let (_, Term::Until(at)) = &mut self.leased[at] {
            *at = until;
        }
        Answer::Done
    }

    fn cancel(&mut self, leaves: impl Fn(&Waiter) -> bool) -> usize {
        let before = self.polls.len() + self.offers.len();
        self.polls.retain(|poll| !leaves(poll));
        self.offers.retain(|(offer, _)| !leaves(offer));
        before - self.polls.len() - self.offers.len()
    }

    fn drop_session(&mut self, session: SessionId, now: i64) -> usize {
        let of_session = |&(_, term): &(Past, Term)| term == Term::Session(session);
        while let Some(at) = self.leased.iter().position(of_session) {
            let (past, _) = self.leased.remove(at);
            self.retry(past, None, now);
        }
        self.cancel(|waiter| waiter.session == session)
    }

    /// What a log gives back.
    fn restart(&mut self) {
        let mut all = std::mem::take(&mut self.items);
        all.append(&mut self.in_flight);
        all.extend(self.leased.drain(..).map(|(past, _)| past));
        all.retain(|past| past.item.durable);
        for past in &mut all {
            (past.attempts, past.not_before) = past.written;
            past.tried_at = None;
        }
        self.items = all;
        self.polls.clear();
        self.offers.clear();
        self.choices = 0;
    }

    fn next_event(&self, now: i64) -> Option<i64> {
        let items = self.items.iter().map(|past| {
            let delay = Some(past.not_before).filter(|&at| at > now);
            delay.unwrap_or(i64::MAX).min(self.expires_at(past))
        });
        let leases = self.leased.iter().map(|(_, term)| match term {
            Term::Until(at) => *at,
            Term::Session(_) => i64::MAX,
        });
        items.chain(leases).min().filter(|&at| at < i64::MAX)
    }
}

fn weight(items: &[Letter]) -> usize {
    items.iter().map(|item| item.bytes).sum()
}
