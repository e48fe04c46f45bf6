//! Topics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Answered, Now, Output, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::budget::Charge;
use crate::broker::codec::{Encoding, encode, encode_around, encode_packed};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::SessionId;
use crate::broker::topics::{Overflow, Pattern, Policy, TopicError};
use crate::broker::wrap::wrap;
use crate::message::Message as Envelope;

/// A message for subscribers, encoded once for all of them.
#[derive(Debug)]
pub(in crate::broker) struct Publication {
    message: Message,
    binary: OnceLock<Envelope>,
    json: OnceLock<Envelope>,
    packed: OnceLock<Envelope>,
    /// Somebody compresses it.
    packing: AtomicBool,
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
            packing: AtomicBool::new(false),
        }
    }

    pub(in crate::broker) fn message(&self) -> &Message {
        &self.message
    }

    /// As it is sent in the clear. `cutoff` is from which length on payloads are compressed, for one that reads gzip; it
    /// is the same for all of them.
    pub(in crate::broker) fn frame(&self, encoding: Encoding, cutoff: Option<usize>) -> &Envelope {
        let place = match (cutoff, encoding) {
            (Some(_), _) => &self.packed,
            (None, Encoding::Json) => &self.json,
            (None, _) => &self.binary,
        };
        place.get_or_init(|| frame(&self.message, encoding, cutoff))
    }

    /// Whether the frame with a compressed payload is there.
    pub(in crate::broker) fn is_packed(&self) -> bool {
        self.packed.get().is_some()
    }

    /// Makes the caller the one that compresses it, if nobody else is.
    pub(in crate::broker) fn begin_packing(&self) -> bool {
        !self.packing.swap(true, Ordering::Relaxed)
    }

    /// The same, for a subscriber that has missed so many before this one, if there is room for the number.
    pub(in crate::broker) fn frame_after(
        &self,
        encoding: Encoding,
        cutoff: Option<usize>,
        missed: u64,
    ) -> Envelope {
        let counted = || {
            self.message
                .clone()
                .with_header("missed", &missed.to_string())
        };
        let Some(Ok(message)) = (missed > 0).then(counted) else {
            return self.frame(encoding, cutoff).clone();
        };
        // The payload is compressed once for all.
        let packed = cutoff.map(|_| self.frame(encoding, cutoff).body());
        match packed.and_then(|packed| encode_around(&message, packed)) {
            Some(encoded) => wrap(encoded),
            None => frame(&message, encoding, cutoff),
        }
    }

    /// How long it is in the binary encoding.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
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
        out.push(Output::Publish {
            to: subscriptions,
            publication,
        });
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
            to: vec![subscription],
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

fn frame(message: &Message, encoding: Encoding, cutoff: Option<usize>) -> Envelope {
    wrap(match cutoff {
        Some(cutoff) => encode_packed(message, cutoff),
        None => encode(message, encoding),
    })
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
