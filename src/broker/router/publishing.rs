//! Topics.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Answered, Now, Output, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::budget::Charge;
use crate::broker::codec::{Encoding, encode, encode_packed};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::SessionId;
use crate::broker::topics::{Overflow, Pattern, Policy, TopicError};

/// A message for subscribers, encoded once for all of them.
#[derive(Debug)]
pub(in crate::broker) struct Publication {
    message: Message,
    binary: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
    packed: OnceLock<Bytes>,
    bytes: usize,
    _charge: Charge,
}

impl Publication {
    fn new(message: Message, charge: Charge) -> Self {
        Self {
            bytes: message.size().total,
            _charge: charge,
            message,
            binary: OnceLock::new(),
            json: OnceLock::new(),
            packed: OnceLock::new(),
        }
    }

    pub(in crate::broker) fn message(&self) -> &Message {
        &self.message
    }

    /// As bytes, for a subscriber that has missed so many before this one.
    pub(in crate::broker) fn encoded(&self, encoding: Encoding, missed: u64) -> Bytes {
        if let Some(message) = self.after(missed) {
            return encode(&message, encoding);
        }
        let place = match encoding {
            Encoding::Json => &self.json,
            _ => &self.binary,
        };
        place
            .get_or_init(|| encode(&self.message, encoding))
            .clone()
    }

    /// With the number that is missed, if any are, and if there is room for it.
    fn after(&self, missed: u64) -> Option<Message> {
        let counted = || {
            self.message
                .clone()
                .with_header("missed", &missed.to_string())
        };
        (missed > 0).then(counted)?.ok()
    }

    /// How long it is in the binary encoding.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
    }

    /// As [`encoded`](Self::encoded), for one that reads gzip. The cutoff is the same for all of them.
    pub(in crate::broker) fn packed(&self, cutoff: usize, missed: u64) -> Bytes {
        if let Some(message) = self.after(missed) {
            return encode_packed(&message, cutoff);
        }
        self.packed
            .get_or_init(|| encode_packed(&self.message, cutoff))
            .clone()
    }
}

impl Router {
    pub(super) fn publish(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let topic = topic(request)?;
        self.check(session, Action::Publish, topic)?;
        let mut subscriptions = Vec::new();
        self.topics
            .publish(topic, &mut subscriptions)
            .map_err(|error| refusal(topic, error))?;
        // Those by a pattern too, and those that have lost the right since.
        subscriptions.retain(|found| self.may(found.session, Action::Subscribe, topic));
        let expired = request.is_expired(now.ms);
        if expired {
            subscriptions.clear();
        }
        // Itself, and as it is sent.
        let charge = self.charge_bytes(request.size().total.saturating_mul(2))?;
        let publication = Arc::new(Publication::new(published(request), charge));
        if request
            .header("retain")
            .is_some_and(|value| value == "true")
            && !expired
        {
            let kept = (!request.payload_binary().is_empty()).then(|| publication.clone());
            self.topics
                .retain(topic, kept)
                .map_err(|error| refusal(topic, error))?;
        }
        self.stats.published += 1;
        let count = subscriptions.len();
        self.stats.delivered += count as u64;
        out.extend(
            subscriptions
                .into_iter()
                .map(|subscription| Output::Publish {
                    subscription,
                    publication: publication.clone(),
                }),
        );
        let answer = request.reply(Status::Ok, "");
        Ok(Some(
            answer
                .clone()
                .with_header("delivered", &count.to_string())
                .unwrap_or(answer),
        ))
    }

    pub(super) fn subscribe(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let name = topic(request)?;
        let pattern = pattern(name)?;
        let policy = policy(request)?;
        // A pattern gets what may be subscribed to of what it matches.
        if !pattern.has_wildcards() {
            self.check(session, Action::Subscribe, name)?;
        }
        let subscribed = self
            .topics
            .subscribe(session, &pattern, policy)
            .map_err(|error| refusal(name, error))?;
        let subscription = crate::broker::topics::Subscription {
            id: subscribed.id,
            session,
            policy,
        };
        let retained = subscribed.retained.into_iter();
        let retained = retained.filter(|(topic, kept)| {
            !kept.message.is_expired(now.ms) && self.may(session, Action::Subscribe, topic)
        });
        out.extend(retained.map(|(_, publication)| Output::Publish {
            subscription,
            publication,
        }));
        Ok(Some(request.reply(Status::Ok, "")))
    }

    pub(super) fn unsubscribe(
        &mut self,
        session: SessionId,
        request: &Message,
    ) -> Answered<Option<Message>> {
        let name = topic(request)?;
        self.topics
            .unsubscribe(session, &pattern(name)?)
            .map_err(|error| refusal(name, error))?;
        Ok(Some(request.reply(Status::Ok, "")))
    }
}

/// A publication as subscribers get it.
fn published(request: &Message) -> Message {
    let message = request.clone().with_oneway(true);
    let addressed = message
        .clone()
        .addressed_to(MessageType::Request, request.destination());
    addressed.unwrap_or(message)
}

fn topic(request: &Message) -> Answered<&str> {
    match request.destination() {
        Some(name) => Ok(name),
        None => refused(Status::BadRequest, "no topic is named"),
    }
}

pub(super) fn pattern(name: &str) -> Answered<Pattern> {
    Pattern::parse(name).or_else(|error| refused(Status::BadRequest, error.to_string()))
}

/// How a subscriber wants to be served when it is slow: the headers `overflow` and `depth`.
fn policy(request: &Message) -> Answered<Policy> {
    let mut policy = Policy::default();
    if let Some(overflow) = request.header("overflow") {
        policy.overflow = match Overflow::from_name(overflow) {
            Some(overflow) => overflow,
            None => {
                let text = format!(
                    "overflow cannot be {overflow:?}: drop-oldest, drop-newest or disconnect is allowed"
                );
                return refused(Status::BadRequest, text);
            }
        };
    }
    if let Some(depth) = request.header("depth") {
        policy.depth = match depth.parse() {
            Ok(depth @ 1..=100_000) => depth,
            _ => {
                let text = format!("depth cannot be {depth:?}: 1 to 100000 is allowed");
                return refused(Status::BadRequest, text);
            }
        };
    }
    Ok(policy)
}

fn refusal(topic: &str, error: TopicError) -> super::Refused {
    match error {
        TopicError::NotFound => {
            super::Refused(Status::TopicNotFound, format!("there is no topic {topic}"))
        }
        error => super::Refused(Status::LimitReached, error.to_string()),
    }
}
