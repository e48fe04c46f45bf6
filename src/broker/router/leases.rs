//! Leases as clients ask for them and end them, and when queues have something to do by themselves.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queues::check_owner;
use super::{Answered, Entry, InTransit, Now, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::message::limits::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::{
    Config, Delivery, Kind, PRIORITIES, Queue, SessionId, Term, Token, Verdict,
};

/// Milliseconds of the longest lease: a day.
const LONGEST_LEASE: i64 = 24 * 3600 * 1000;
/// Milliseconds of the longest delay: a year.
const LONGEST_DELAY: i64 = 365 * LONGEST_LEASE;
/// What the headers leave free in a queue, so that the broker can add its own.
const SPARE_HEADERS: usize = 10;
const SPARE_HEADER_BYTES: usize = 1024;
/// A queue is looked at once in a while although nothing is due, because clocks are set.
const LOOK_AGAIN: i64 = 60_000;

/// How long a client wants to keep a message that it polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Keep {
    /// So many milliseconds from when it was sent.
    For(i64),
    /// As long as its session.
    Session(SessionId),
}

impl Keep {
    /// What a poll asks for, if it is for a lease.
    pub(super) fn wanted(
        session: SessionId,
        poll: &Message,
        config: &Config,
    ) -> Answered<Option<Self>> {
        let confirms = config.durable && poll.header("confirm") == Some("true");
        let keep = match poll.header("lease") {
            None if !confirms => return Ok(None),
            None | Some("session") => Self::Session(session),
            Some(_) => match number(poll, "lease", 1..=LONGEST_LEASE)? {
                Some(ms) => Self::For(ms),
                None => return Ok(None),
            },
        };
        if config.kind == Kind::Circular {
            return refused(
                Status::BadRequest,
                "there are no leases in a circular queue, which lets messages go",
            );
        }
        Ok(Some(keep))
    }
}

/// When queues are to be looked at: none later than something is due in it.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    order: BTreeSet<(Instant, Arc<str>)>,
    by_queue: HashMap<Arc<str>, Instant>,
}

impl Alarms {
    /// Something is due in a queue at this time, in milliseconds since 1970.
    pub(super) fn set(&mut self, queue: &Arc<str>, due: Option<i64>, now: Now) {
        let Some(due) = due else { return };
        let wait = due.saturating_sub(now.ms).clamp(1, LOOK_AGAIN);
        let at = now.at + Duration::from_millis(wait.unsigned_abs());
        match self.by_queue.get(queue) {
            Some(&earlier) if earlier <= at => return,
            Some(&later) => self.order.remove(&(later, queue.clone())),
            None => false,
        };
        self.by_queue.insert(queue.clone(), at);
        self.order.insert((at, queue.clone()));
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// A queue that is to be looked at now.
    fn pop(&mut self, now: Instant) -> Option<Arc<str>> {
        self.first().filter(|&at| at <= now)?;
        let (_, queue) = self.order.pop_first()?;
        self.by_queue.remove(&queue);
        Some(queue)
    }
}

impl Router {
    /// A client is done with a leased message, does not want it, or needs more time.
    pub(super) fn end_lease(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        let name = self.polled_queue(session, request)?;
        let Some(token) = request.header("lease-token") else {
            return refused(Status::BadRequest, "the header lease-token is missing");
        };
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(&name));
        };
        let effects = &mut self.effects;
        let token = token.parse::<Token>();
        let done = match request.kind() {
            MessageType::Ack => {
                token.and_then(|token| queue.finish(token, now.ms, effects).map(drop))
            }
            MessageType::Nack => {
                let verdict = verdict(request)?;
                token.and_then(|token| queue.reject(token, verdict, now.ms, effects))
            }
            _ => {
                let Some(ms) = number(request, "lease", 1..=LONGEST_LEASE)? else {
                    return refused(Status::BadRequest, "the header lease is missing");
                };
                let until = now.ms.saturating_add(ms);
                token.and_then(|token| queue.extend(token, until, now.ms, effects))
            }
        };
        self.alarms.set(&name, queue.next_event(), now);
        if done.is_err() {
            return refused(Status::Stale, no_lease(&name));
        }
        Ok(Some(request.reply(Status::Ok, "")))
    }

    /// The lease that an offer ends, if it says that it does: the two are done together or not at all.
    pub(super) fn lease_to_end(
        &self,
        session: SessionId,
        offer: &Message,
    ) -> Answered<Option<(Arc<str>, Token)>> {
        let (Some(name), Some(token)) = (offer.header("ack-queue"), offer.header("ack-token"))
        else {
            return Ok(None);
        };
        let name = self.leasing_queue(session, name)?;
        let leased = |token: &Token| {
            let queue = self.queues.get(&name);
            queue.is_some_and(|queue| queue.is_leased(*token))
        };
        match token.parse::<Token>().ok().filter(leased) {
            Some(token) => Ok(Some((name, token))),
            None => refused(Status::Stale, no_lease(&name)),
        }
    }

    /// The queue of a request of somebody who may poll it.
    pub(super) fn polled_queue(&self, session: SessionId, request: &Message) -> Answered<Arc<str>> {
        match request.destination() {
            Some(name) => self.leasing_queue(session, name),
            None => refused(Status::BadRequest, "no queue is named"),
        }
    }

    fn leasing_queue(&self, session: SessionId, name: &str) -> Answered<Arc<str>> {
        self.check_queue(session, Action::Poll, name)?;
        let Some((name, queue)) = self.queues.get_key_value(name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(name));
        };
        check_owner(queue, session, name)?;
        Ok(name.clone())
    }

    /// A leased message has reached its client.
    pub(super) fn leased(&mut self, item: InTransit, keep: Keep, now: Now) {
        let Some(queue) = self.queues.get_mut(&item.queue) else {
            return;
        };
        let term = match keep {
            Keep::For(ms) => Term::Until(now.ms.saturating_add(ms)),
            Keep::Session(session) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.leased.insert(item.queue.clone());
                }
                Term::Session(session)
            }
        };
        let (name, deliveries) = item.into_parts();
        for delivery in deliveries {
            queue.lease(delivery, term);
        }
        self.alarms.set(&name, queue.next_event(), now);
    }

    /// Looks at the queues in which something is due.
    pub(super) fn ring(&mut self, now: Now, out: &mut Outputs) {
        while let Some(name) = self.alarms.pop(now.at) {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.advance(now.ms, &mut self.effects);
                self.alarms.set(&name, queue.next_event(), now);
            }
            self.carry_out(now, out);
        }
    }
}

/// What a client says is to become of a message.
pub(super) fn verdict(request: &Message) -> Answered<Verdict> {
    let delay = number(request, "delay", 0..=LONGEST_DELAY)?;
    for key in ["dead-letter", "untried"] {
        if let Some(other) = request.header(key).filter(|&value| value != "true") {
            let text = format!("the header {key} cannot be {other}: true is allowed");
            return refused(Status::BadRequest, text);
        }
    }
    let dead = request.header("dead-letter").is_some();
    match (dead, request.header("untried").is_some(), delay) {
        (false, false, None) => Ok(Verdict::Retry),
        (false, false, Some(ms)) => Ok(Verdict::RetryIn(ms)),
        (true, false, None) => Ok(Verdict::Dead),
        (false, true, None) => Ok(Verdict::Untried),
        (true, ..) => refused(
            Status::BadRequest,
            "a dead letter is not tried again, with or without a delay, and was tried",
        ),
        (false, true, Some(_)) => refused(
            Status::BadRequest,
            "what was not tried comes back at once, without a delay",
        ),
    }
}

/// A header that is a number.
pub(super) fn number(
    request: &Message,
    key: &str,
    allowed: RangeInclusive<i64>,
) -> Answered<Option<i64>> {
    let Some(text) = request.header(key) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(value) if allowed.contains(&value) => Ok(Some(value)),
        _ => refused(
            Status::BadRequest,
            format!(
                "the header {key} cannot be {text}: {} to {} is allowed",
                allowed.start(),
                allowed.end()
            ),
        ),
    }
}

/// Refuses what a queue cannot take, however empty it is.
pub(super) fn check_offer(request: &Message) -> Answered<()> {
    if !request.has_headers() {
        return Ok(());
    }
    let (most, bytes) = (
        MAX_HEADERS - SPARE_HEADERS,
        MAX_HEADER_BYTES - SPARE_HEADER_BYTES,
    );
    if request.headers().len() > most || request.header_bytes() > bytes {
        return refused(
            Status::BadRequest,
            format!("a message in a queue has at most {most} headers, of {bytes} bytes together"),
        );
    }
    number(request, "priority", 0..=i64::from(PRIORITIES - 1))?;
    number(request, "delay", 0..=LONGEST_DELAY)?;
    Ok(())
}

fn no_lease(queue: &str) -> String {
    format!("there is no such lease in the queue {queue}, or no more")
}

/// The header of a message in a queue, which was checked when it was offered.
pub(super) fn offered_number<N: std::str::FromStr>(message: &Message, key: &str) -> Option<N> {
    message.header(key)?.parse().ok()
}

/// Tells a client of the lease that it has.
pub(super) fn with_lease(message: Message, delivery: &Delivery<Entry>) -> Message {
    let token = delivery.token().to_string();
    let attempts = delivery.attempts().to_string();
    let told = message
        .clone()
        .with_header("lease-token", &token)
        .and_then(|message| message.with_header("attempts", &attempts));
    debug_assert!(told.is_ok(), "headers are left free for these");
    told.unwrap_or(message)
}

/// Queues of the same name do not know each other's tokens.
pub(in crate::broker) fn fenced(queue: Queue<Entry>) -> Queue<Entry> {
    queue.fenced_from(uuid::Uuid::new_v4().as_u64_pair().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(headers: &[(&str, &str)]) -> Message {
        let empty = Message::plain_text(None, "", "").unwrap();
        headers.iter().fold(empty, |message, (key, value)| {
            message.with_header(key, value).unwrap()
        })
    }

    #[test]
    fn only_a_durable_queue_waits_for_who_confirms() {
        let ask = poll(&[("confirm", "true")]);
        let durable = Keep::wanted(7, &ask, &Config::durable(1)).unwrap();
        assert_eq!(durable, Some(Keep::Session(7)));
        let other = Keep::wanted(7, &ask, &Config::bounded(1)).unwrap();
        assert_eq!(other, None);
        let unasked = Keep::wanted(7, &poll(&[]), &Config::durable(1)).unwrap();
        assert_eq!(unasked, None);
    }

    #[test]
    fn a_lease_that_makes_no_sense_is_refused() {
        let bounded = Config::bounded(1);
        for lease in ["", "0", "-5", "86400001", "forever"] {
            let refused = Keep::wanted(1, &poll(&[("lease", lease)]), &bounded);
            assert!(refused.is_err(), "{lease}");
        }
        let day = Keep::wanted(1, &poll(&[("lease", "86400000")]), &bounded).unwrap();
        assert_eq!(day, Some(Keep::For(86_400_000)));
        let circular = Keep::wanted(1, &poll(&[("lease", "5")]), &Config::circular(1));
        assert!(circular.is_err());
    }

    #[test]
    fn an_alarm_is_never_later_than_what_is_due_first() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let now = Now {
            at: start,
            ms: 1000,
        };
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut alarms = Alarms::default();
        for (queue, due) in [(&a, 1500), (&a, 1900), (&b, 1400), (&a, 1300), (&a, 1800)] {
            alarms.set(queue, Some(due), now);
        }
        alarms.set(&b, None, now);
        assert_eq!(alarms.first(), Some(after(300)));
        assert_eq!(alarms.pop(after(299)), None);
        assert_eq!(alarms.pop(after(300)), Some(a.clone()));
        assert_eq!(alarms.pop(after(9999)), Some(b));
        assert_eq!(alarms.pop(after(9999)), None);
        alarms.set(&a, Some(i64::MAX), now);
        assert_eq!(alarms.first(), Some(after(60_000)));
    }
}
