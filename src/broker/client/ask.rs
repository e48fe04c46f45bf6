//! What is asked of a broker, and what its answers say: the same for calls that block and calls that are awaited.

use std::time::Duration;

use serde_json::{Value, json};

use super::options::SubscribeOptions;
use crate::broker::batch;
use crate::broker::error::{Error, Result};
use crate::broker::hub::{ACCEPT_ENCODING, GZIP};
use crate::broker::message::{Message, MessageType, OCTET_STREAM, Status};
use crate::broker::queues::QueueOptions;
use crate::broker::topics::Overflow;

/// A request without content.
pub(in crate::broker) fn bare<'a>(
    kind: MessageType,
    destination: impl Into<Option<&'a str>>,
) -> Result<Message> {
    Ok(Message::plain_text(None, "", "")?.addressed_to(kind, destination)?)
}

/// Asks for the broker's configuration, and says that compressed payloads are read.
pub(in crate::broker) fn config_request() -> Result<Message> {
    let ask = bare(MessageType::ClientConfig, None)?;
    Ok(ask.with_header(ACCEPT_ENCODING, GZIP)?)
}

pub(in crate::broker) fn offer(queue: &str, message: Message, wait: Duration) -> Result<Message> {
    let message = message.addressed_to(MessageType::Offer, queue)?;
    Ok(message.with_timeout(millis(wait))?)
}

pub(super) fn poll(queue: &str, wait: Duration) -> Result<Message> {
    let ask = bare(MessageType::Poll, queue)?.with_header("confirm", "true")?;
    Ok(ask.with_timeout(millis(wait))?)
}

pub(in crate::broker) fn poll_leased(
    queue: &str,
    wait: Duration,
    lease: Duration,
) -> Result<Message> {
    let ask = bare(MessageType::Poll, queue)?.with_header("lease", &lease_millis(lease))?;
    Ok(ask.with_timeout(millis(wait))?)
}

/// A request that offers several messages, which are only what they say themselves.
pub(super) fn offer_all(queue: &str, messages: &[Message], wait: Duration) -> Result<Message> {
    let bare = |message: &Message| match (message.kind(), message.destination()) {
        (MessageType::Null, None) => Ok(message.clone()),
        _ => message.clone().addressed_to(MessageType::Null, None),
    };
    let bare: Vec<Message> = messages.iter().map(bare).collect::<Result<_, _>>()?;
    let durable = messages.iter().any(Message::is_durable);
    let ask = Message::binary(None, "", OCTET_STREAM, batch::pack(&bare))?.with_durable(durable);
    let ask = ask.addressed_to(MessageType::OfferAll, queue)?;
    Ok(ask.with_timeout(millis(wait))?)
}

pub(super) fn poll_up_to(queue: &str, count: usize, wait: Duration) -> Result<Message> {
    several(poll(queue, wait)?, count)
}

pub(in crate::broker) fn poll_leased_up_to(
    queue: &str,
    count: usize,
    wait: Duration,
    lease: Duration,
) -> Result<Message> {
    several(poll_leased(queue, wait, lease)?, count)
}

/// Has a poll ask for so many messages.
fn several(poll: Message, count: usize) -> Result<Message> {
    let poll = poll.with_kind(MessageType::PollUpTo);
    Ok(poll.with_header("count", &count.to_string())?)
}

/// Says what becomes of several leased messages.
pub(in crate::broker) fn end_all(
    kind: MessageType,
    queue: &str,
    tokens: &[&str],
) -> Result<Message> {
    let ask = Message::data(None, "", tokens)?;
    Ok(ask.addressed_to(kind, queue)?)
}

/// Which of the leases that were to end had ended before, by their places.
pub(in crate::broker) fn stale(answer: &Message) -> Result<Vec<usize>> {
    let places = answer.payload_data()?["stale"].take();
    let unusable = |_| crate::Error::Malformed("an answer about leases that cannot be read");
    Ok(serde_json::from_value(places).map_err(unusable)?)
}

pub(super) fn subscribe(topic: &str, options: &SubscribeOptions) -> Result<Message> {
    let mut ask = bare(MessageType::Subscribe, topic)?;
    if options.overflow != Overflow::default() {
        ask = ask.with_header("overflow", options.overflow.name())?;
    }
    if let Some(depth) = options.depth {
        ask = ask.with_header("depth", &depth.to_string())?;
    }
    Ok(ask)
}

pub(super) fn temporary_queue(capacity: usize) -> Result<Message> {
    let fields = json!({ "capacity": capacity });
    Ok(Message::data(None, "", &fields)?.addressed_to(MessageType::CreateTempQueue, None)?)
}

pub(super) fn queue(name: &str, options: &QueueOptions) -> Result<Message> {
    let ask = Message::data(None, "", options.to_json(name))?;
    Ok(ask.addressed_to(MessageType::CreateQueue, name)?)
}

pub(super) fn redrive(queue: &str, to: Option<&str>) -> Result<Message> {
    let fields = to.map_or_else(|| json!({}), |to| json!({ "to": to }));
    let ask = Message::data(None, "", &fields)?;
    Ok(ask.addressed_to(MessageType::RedriveQueue, queue)?)
}

/// How many messages were moved.
pub(super) fn moved(answer: &Message) -> Result<usize> {
    count(answer, "moved")
}

/// How many there were of something.
pub(super) fn count(answer: &Message, key: &str) -> Result<usize> {
    let count = answer.payload_data()?[key].as_u64().unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Whether something exists.
pub(super) fn exists(answer: &Message) -> Result<bool> {
    Ok(answer.payload_data()?["exists"] == true)
}

/// Why the broker refuses what was asked, if it does.
pub(super) fn accepted(answer: Message) -> Result<Message> {
    if answer.is_ok() {
        Ok(answer)
    } else {
        Err(Error::answered(&answer))
    }
}

/// How many subscribers a publication goes to.
pub(super) fn delivered(answer: &Message) -> usize {
    let delivered = answer.header("delivered");
    delivered
        .and_then(|count| count.parse().ok())
        .unwrap_or_default()
}

/// The name of a temporary queue.
pub(super) fn name(answer: &Message) -> String {
    answer.payload_text().unwrap_or_default().into_owned()
}

/// What a broker says that clients have to know.
#[derive(Debug, Default)]
pub(super) struct Config {
    authentication: bool,
    pub(super) heartbeat: Option<Duration>,
    pub(super) recognises: bool,
}

impl Config {
    pub(super) fn read(answer: &Message) -> Result<Self> {
        let config: Value = answer.payload_data()?;
        let seconds = config["heartbeat-interval-seconds"].as_f64();
        let heartbeat = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Self {
            authentication: config["authentication"] == true,
            heartbeat: heartbeat.filter(|interval| !interval.is_zero()),
            recognises: config["dedupe-window-seconds"].is_number(),
        })
    }

    /// Whether a client that is somebody, or nobody, may stay.
    pub(super) fn admits(&self, somebody: bool) -> Result<()> {
        if self.authentication && !somebody {
            let text = "the broker wants a user and a password";
            return Err(Error::refused(Status::NoPermission, text));
        }
        Ok(())
    }
}

/// A wait as the protocol has it: milliseconds, -1 for as long as it takes.
pub(in crate::broker) fn millis(wait: Duration) -> i64 {
    if wait == Duration::MAX {
        -1
    } else {
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A lease as the protocol has it.
pub(in crate::broker) fn lease_millis(time: Duration) -> String {
    match millis(time) {
        -1 => "session".into(),
        ms => ms.to_string(),
    }
}
