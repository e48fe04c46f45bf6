//! Messages that will not be handed out: where they go, and how they come back.
//!
//! A queue to which another sends its dead letters is there as long as the other is.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answered, Entry, Now, Refused, Router, refused};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::{Cause, Config, Dead, Offered, Polled};

const REASON: &str = "dead-letter-reason";
const ORIGIN: &str = "dead-letter-origin";
const ATTEMPTS: &str = "dead-letter-attempts";
const OFFERED_AT: &str = "dead-letter-offered-at";
const TRIED_AT: &str = "dead-letter-tried-at";
const DIED_AT: &str = "dead-letter-died-at";
const HEADERS: [&str; 6] = [REASON, ORIGIN, ATTEMPTS, OFFERED_AT, TRIED_AT, DIED_AT];

/// Messages that one request moves at most, because nobody else is served meanwhile.
const MOST_MOVED: usize = 10_000;

impl Router {
    /// Counts what has died, and keeps it if its queue has a place for that.
    pub(super) fn bury(&mut self, dead: Dead<Entry>, now: Now) {
        match dead.cause {
            Cause::Expired => self.stats.expired += 1,
            Cause::Evicted => self.stats.evicted += 1,
            Cause::Rejected | Cause::TooManyAttempts => self.stats.failed_items += 1,
        }
        let origin = dead.item.message.destination();
        let origin = origin.and_then(|name| self.queues.get(name));
        let Some(target) = origin.and_then(|queue| queue.config().dead_letters.clone()) else {
            return;
        };
        let letter = letter(dead, &target, now.ms);
        if letter.is_ok_and(|entry| self.offer_to(&target, entry, now)) {
            self.stats.dead_letters += 1;
        } else {
            self.stats.dead_letters_lost += 1;
        }
    }

    /// Puts a message into a queue if that has room.
    fn offer_to(&mut self, name: &str, entry: Entry, now: Now) -> bool {
        let Some((name, _)) = self.queues.get_key_value(name) else {
            return false;
        };
        let name = name.clone();
        let Some(queue) = self.queues.get_mut(&name) else {
            return false;
        };
        let offered = queue.offer(entry, None, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        matches!(offered, Offered::Done)
    }

    /// Moves dead letters back to where they came from, or into another queue.
    pub(super) fn redrive(&mut self, name: &str, to: Option<&str>, now: Now) -> Answered<Value> {
        let missing = [Some(name), to]
            .into_iter()
            .flatten()
            .find(|&name| !self.queues.contains_key(name));
        if let Some(missing) = missing {
            return refused(Status::QueueNotFound, super::queues::not_found(missing));
        }
        if to == Some(name) {
            return refused(
                Status::BadRequest,
                format!("the messages are in the queue {name} already"),
            );
        }
        let (mut moved, mut stay) = (0, Vec::new());
        for _ in 0..MOST_MOVED {
            let Some(queue) = self.queues.get_mut(name) else {
                break;
            };
            let Polled::Item(delivery) = queue.poll(None, now.ms, &mut self.effects) else {
                break;
            };
            let message = &delivery.item().message;
            let target = to.or_else(|| message.header(ORIGIN)).map(str::to_owned);
            let target = target.filter(|target| target != name);
            let back = target.and_then(|target| Some((revived(message, &target)?, target)));
            let moves = back.is_some_and(|(message, target)| {
                // It takes the place of the one that goes, so it needs no more room.
                let charge = self.budget.take(message.size().total);
                self.offer_to(&target, Entry::new(message, charge), now)
            });
            if moves {
                moved += 1;
                if let Some(queue) = self.queues.get_mut(name) {
                    queue.acknowledge(delivery);
                }
            } else {
                stay.push(delivery);
            }
        }
        let left = match self.queues.get_mut(name) {
            None => 0,
            Some(queue) => {
                for delivery in stay {
                    queue.put_back(delivery, now.ms, &mut self.effects);
                }
                queue.stats(now.ms).size
            }
        };
        self.look_at(name, now);
        Ok(json!({ "moved": moved, "left": left }))
    }

    /// Refuses a queue whose dead letters would have nowhere to go.
    pub(super) fn check_dead_letters(&self, config: &Config) -> Answered<()> {
        let Some(name) = &config.dead_letters else {
            return Ok(());
        };
        let Some(target) = self.queues.get(&**name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(name));
        };
        let target = target.config();
        if target.owner.is_some() || (config.durable && !target.durable) {
            return refused(
                Status::BadRequest,
                format!(
                    "the queue {name} would not keep the dead letters as long as this queue its messages"
                ),
            );
        }
        Ok(())
    }

    /// Refuses to remove a queue to which another sends its dead letters.
    pub(super) fn check_not_needed(&self, name: &str) -> Answered<()> {
        let sends = |config: &Config| config.dead_letters.as_deref() == Some(name);
        let needed = self.queues.iter().find(|(_, queue)| sends(queue.config()));
        match needed {
            None => Ok(()),
            Some((other, _)) => refused(
                Status::Conflict,
                format!("the queue {other} sends its dead letters to the queue {name}"),
            ),
        }
    }
}

fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::Expired => "expired",
        Cause::Evicted => "evicted",
        Cause::Rejected => "rejected",
        Cause::TooManyAttempts => "max-attempts",
    }
}

/// A dead message as it is kept. It expires no more, and waits for nothing.
fn letter(
    dead: Dead<Entry>,
    target: &str,
    now_ms: i64,
) -> Result<Entry, crate::broker::message::MessageError> {
    let Entry {
        message, charge, ..
    } = dead.item;
    let origin = message.destination().unwrap_or_default().to_owned();
    let numbers = [
        (ATTEMPTS, Some(i64::from(dead.attempts))),
        (OFFERED_AT, Some(dead.offered_at)),
        (TRIED_AT, dead.tried_at),
        (DIED_AT, Some(now_ms)),
    ];
    let mut message = without_story(message)
        .without_header("delay")
        .with_expires_at(None)
        .addressed_to(MessageType::Offer, target)?
        .with_header(REASON, reason(dead.cause))?
        .with_header(ORIGIN, &origin)?;
    for (key, number) in numbers {
        if let Some(number) = number {
            message = message.with_header(key, &number.to_string())?;
        }
    }
    Ok(Entry::new(message, charge))
}

/// A dead letter as the message that it was, on its way to a queue.
fn revived(message: &Message, target: &str) -> Option<Message> {
    let message = without_story(message.clone());
    message.addressed_to(MessageType::Offer, target).ok()
}

fn without_story(message: Message) -> Message {
    let keys = HEADERS.into_iter();
    keys.fold(message, |message, key| message.without_header(key))
}

/// The part of a queue's configuration that says what becomes of messages that fail.
pub(in crate::broker) fn configure(fields: &Value, config: &mut Config) -> Answered<()> {
    const LONGEST: u64 = 365 * 24 * 3600 * 1000;
    /// Milliseconds to which waiting grows unless something else is said: an hour.
    const CAP: i64 = 3600 * 1000;
    let number = |key: &str, least: u64, most: u64| match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(i64::try_from(number).ok()),
            _ => Err(Refused(
                Status::BadRequest,
                format!("{key} cannot be {value}: {least} to {most} is allowed"),
            )),
        },
    };
    config.expiry = number("expiry", 1, LONGEST)?;
    let attempts = number("max-attempts", 0, 1_000_000)?.unwrap_or(0);
    config.max_attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    let base = number("backoff", 0, LONGEST)?.unwrap_or(0);
    let cap = number("max-backoff", base.unsigned_abs(), LONGEST)?;
    config.backoff.base = base;
    config.backoff.cap = match base {
        0 => 0,
        base => cap.unwrap_or_else(|| CAP.max(base)),
    };
    config.dead_letters = match fields.get("dead-letter") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.as_str().into()),
        Some(other) => {
            return refused(
                Status::BadRequest,
                format!("dead-letter cannot be {other}: the name of a queue is allowed"),
            );
        }
    };
    Ok(())
}

impl Router {
    /// Something may be due in a queue.
    pub(super) fn look_at(&mut self, name: &str, now: Now) {
        if let Some((name, queue)) = self.queues.get_key_value(name) {
            let name: Arc<str> = name.clone();
            self.alarms.set(&name, queue.next_event(), now);
        }
    }
}
