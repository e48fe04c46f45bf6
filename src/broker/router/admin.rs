//! Making, removing and looking at destinations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::leases::fenced;
use super::publishing::pattern;
use super::{Answered, Now, Refused, Router, Session, refused};
use crate::broker::journal::Journal;
use crate::broker::message::limits::{check_name, is_reserved};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::{Config, Kind, Queue, SessionId};
use crate::broker::topics::TopicError;

/// What is known of a queue. For one that does not exist everything is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::broker) struct QueueStatus {
    pub(in crate::broker) name: String,
    pub(in crate::broker) exists: bool,
    pub(in crate::broker) kind: Option<Kind>,
    pub(in crate::broker) temporary: bool,
    pub(in crate::broker) durable: bool,
    pub(in crate::broker) capacity: usize,
    pub(in crate::broker) size: usize,
    pub(in crate::broker) bytes: usize,
    pub(in crate::broker) max_bytes: usize,
    pub(in crate::broker) delayed: usize,
    pub(in crate::broker) in_flight: usize,
    pub(in crate::broker) dead_letters: Option<Box<str>>,
}

impl QueueStatus {
    fn to_json(&self) -> Value {
        let kind = match self.kind {
            Some(Kind::Bounded) => "BOUNDED",
            Some(Kind::Circular) => "CIRCULAR",
            None => "unknown",
        };
        json!({
            "name": self.name,
            "exists": self.exists,
            "type": kind,
            "temporary": self.temporary,
            "durable": self.durable,
            "capacity": self.capacity,
            "size": self.size,
            "bytes": self.bytes,
            "max-bytes": self.max_bytes,
            "delayed": self.delayed,
            "in-flight": self.in_flight,
            "dead-letter": self.dead_letters,
        })
    }
}

impl Router {
    /// Requests about the broker itself and its destinations.
    pub(super) fn manage(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        let text = match request.kind() {
            MessageType::CreateTempQueue => {
                return self.create_temporary(session, request).map(Some);
            }
            MessageType::ClientConfig => return data(request, &self.client_config()).map(Some),
            kind if !is_management(kind) => {
                return refused(
                    Status::BadRequest,
                    format!("a broker takes no requests of the type {}", kind.name()),
                );
            }
            kind => {
                self.check_admin(session, kind)?;
                kind
            }
        };
        let answer = match text {
            MessageType::CreateQueue => {
                let (name, config) = self.queue_config(request)?;
                self.create_queue(&name, config)?;
                request.reply(Status::Ok, "")
            }
            MessageType::RemoveQueue => {
                self.remove_queue(&named(request)?, now)?;
                request.reply(Status::Ok, "")
            }
            MessageType::StatusQueue => {
                let status = self.queue_status(&named(request)?, now);
                data(request, &status.to_json())?
            }
            MessageType::PurgeQueue => {
                let count = self.purge_queue(&named(request)?, now)?;
                data(request, &json!({ "purged": count }))?
            }
            MessageType::RedriveQueue => {
                let fields = fields(request)?;
                let to = fields.get("to").and_then(Value::as_str);
                data(request, &self.redrive(&named(request)?, to, now)?)?
            }
            MessageType::PeekQueue => data(request, &self.peek_queue(&named(request)?, now)?)?,
            MessageType::ListQueues => {
                let all = self
                    .queue_names()
                    .filter(listed(request)?)
                    .map(|name| self.queue_status(name, now).to_json());
                data(request, &Value::Array(all.collect()))?
            }
            MessageType::CreateTopic => {
                self.create_topic(&named(request)?)?;
                request.reply(Status::Ok, "")
            }
            MessageType::RemoveTopic => {
                self.topics.remove(&named(request)?);
                request.reply(Status::Ok, "")
            }
            MessageType::StatusTopic => {
                let name = named(request)?;
                data(
                    request,
                    &json!({ "name": name, "exists": self.topics.exists(&name) }),
                )?
            }
            MessageType::StatusFunction => {
                let name = named(request)?;
                data(
                    request,
                    &json!({ "name": name, "exists": self.has_function(&name) }),
                )?
            }
            MessageType::ListTopics => {
                let names: Vec<&str> = self.topics.names().filter(listed(request)?).collect();
                data(request, &json!(names))?
            }
            _ => data(request, &self.server_status())?,
        };
        Ok(Some(answer))
    }

    fn check_admin(&self, session: SessionId, kind: MessageType) -> Answered<()> {
        if self.is_admin(session) {
            return Ok(());
        }
        refused(
            Status::NoPermission,
            format!("{} is for administrators: log in as one", kind.name()),
        )
    }

    fn compress_cutoff(&self) -> Value {
        let cutoff = self.limits.compress_cutoff;
        cutoff.map_or_else(|| json!(-1), |bytes| json!(bytes))
    }

    fn client_config(&self) -> Value {
        json!({
            "max-msg-size": self.limits.message_size,
            "compress-cutoff-size": self.compress_cutoff(),
            "encrypt": self.limits.encrypt,
            "authentication": self.auth.is_some(),
            "heartbeat-interval-seconds": seconds(self.limits.heartbeat),
            "dedupe-window-seconds": seconds(self.limits.dedupe.age),
        })
    }

    fn server_status(&self) -> Value {
        let stats = self.stats;
        let endpoints = self.sessions.iter();
        let endpoints: BTreeMap<_, _> = endpoints
            .filter_map(|(id, session)| Some((id, session.endpoint.as_ref()?.to_json())))
            .collect();
        let endpoints: Vec<Value> = endpoints.into_values().collect();
        let (temporary, named): (Vec<_>, Vec<_>) = self
            .queues
            .values()
            .partition(|queue| queue.config().owner.is_some());
        let limits = &self.limits;
        json!({
            "running": true,
            "encryption": limits.encrypt,
            "authentication": self.auth.is_some(),
            "compression-cutoff-size": self.compress_cutoff(),
            "max-connections": limits.connections,
            "max-queues": limits.queues,
            "max-topics": limits.topics,
            "max-functions": limits.functions,
            "max-temporary-queues": limits.temporary_queues,
            "message-size-max": limits.message_size,
            "queue-bytes-max": limits.queue_bytes,
            "outbox-bytes-max": limits.outbox_bytes,
            "memory-max": limits.memory,
            "memory-held": self.budget.held(),
            "memory-refused-count": self.budget.refused(),
            "connection-count": self.sessions.len() - endpoints.len(),
            "message-count": stats.requests,
            "failed-count": stats.failed,
            "publish-count": stats.published,
            "delivered-count": stats.delivered,
            "expired-count": stats.expired,
            "evicted-count": stats.evicted,
            "failed-item-count": stats.failed_items,
            "dead-letter-count": stats.dead_letters,
            "dead-letter-lost-count": stats.dead_letters_lost,
            "call-count": stats.calls,
            "duplicate-count": stats.duplicates,
            "queue-count": named.len(),
            "temp-queue-total-count": temporary.len(),
            "topic-count": self.topics.names().count(),
            "function-count": self.functions.len(),
            "waiting-count": self.waiting.len(),
            "endpoints": endpoints,
            "log": self.journal.as_ref().map(Journal::status),
        })
    }

    // ---- queues ----

    /// Makes a queue. Returns whether it is new: an existing one that is the same stays as it is.
    pub(in crate::broker) fn create_queue(&mut self, name: &str, config: Config) -> Answered<bool> {
        check(name)?;
        if let Some(queue) = self.queues.get(name) {
            if *queue.config() == config {
                return Ok(false);
            }
            let text = format!("there is a queue {name}, and it is different");
            return refused(Status::Conflict, text);
        }
        self.check_dead_letters(&config)?;
        let named = self
            .queues
            .values()
            .filter(|queue| queue.config().owner.is_none());
        if config.owner.is_none() && named.count() >= self.limits.queues {
            let text = format!(
                "there are {} queues, and there may be no more",
                self.limits.queues
            );
            return refused(Status::LimitReached, text);
        }
        let name: Arc<str> = name.into();
        let store = match &mut self.journal {
            Some(journal) if config.durable => {
                journal.check_room()?;
                Some(journal.add(&name, &config))
            }
            _ => None,
        };
        let made = Queue::new(config, store);
        if let (Err(_), Some(journal)) = (&made, &mut self.journal) {
            journal.remove(&name);
        }
        let queue = made.or_else(|error| refused(Status::BadRequest, error.to_string()))?;
        self.queues.insert(name, fenced(queue));
        Ok(true)
    }

    /// What a queue is made with, in its own words or by default.
    fn queue_config(&self, request: &Message) -> Answered<(String, Config)> {
        let (name, mut config) = queue_config(request)?;
        config.bytes = most_bytes(&fields(request)?, self.limits.queue_bytes)?;
        Ok((name, config))
    }

    fn create_temporary(&mut self, session: SessionId, request: &Message) -> Answered<Message> {
        let most = self.limits.temporary_queues;
        let capacity = capacity(&fields(request)?)?;
        let Some(Session { temporary, .. }) = self.sessions.get_mut(&session) else {
            return refused(Status::ServerError, "the session is over");
        };
        if temporary.len() >= most {
            let text = format!("this client has {most} temporary queues, and may have no more");
            return refused(Status::LimitReached, text);
        }
        let name: Arc<str> = format!("queue/{}", uuid::Uuid::new_v4()).into();
        let mut config = Config::temporary(capacity, session);
        config.bytes = self.limits.queue_bytes;
        let queue = Queue::new(config, None)
            .or_else(|error| refused(Status::BadRequest, error.to_string()))?;
        temporary.insert(name.clone());
        self.queues.insert(name.clone(), fenced(queue));
        Ok(request.reply(Status::Ok, &name))
    }

    /// Removes a queue and wakes who waits at it. Returns whether there was one.
    pub(in crate::broker) fn remove_queue(&mut self, name: &str, _: Now) -> Answered<bool> {
        let Some(queue) = self.queues.get(name) else {
            return Ok(false);
        };
        if queue.config().owner.is_some() {
            let text = format!("{name} is a temporary queue, which goes with its client");
            return refused(Status::BadRequest, text);
        }
        self.check_not_needed(name)?;
        if let Some(queue) = self.queues.remove(name) {
            queue.close(&mut self.effects);
            if let Some(journal) = &mut self.journal {
                journal.remove(name);
            }
        }
        Ok(true)
    }

    pub(in crate::broker) fn queue_status(&self, name: &str, now: Now) -> QueueStatus {
        let Some(queue) = self.queues.get(name) else {
            return QueueStatus {
                name: name.into(),
                ..QueueStatus::default()
            };
        };
        let (config, stats) = (queue.config(), queue.stats(now.ms));
        QueueStatus {
            name: name.into(),
            exists: true,
            kind: Some(config.kind),
            temporary: config.owner.is_some(),
            durable: config.durable,
            capacity: config.messages,
            size: stats.size,
            bytes: stats.bytes,
            max_bytes: config.bytes,
            delayed: stats.delayed,
            in_flight: stats.in_flight,
            dead_letters: config.dead_letters.clone(),
        }
    }

    pub(in crate::broker) fn queue_names(&self) -> impl Iterator<Item = &str> {
        let named = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.config().owner.is_none());
        named.map(|(name, _)| &**name)
    }

    pub(in crate::broker) fn purge_queue(&mut self, name: &str, now: Now) -> Answered<usize> {
        match self.queues.get_mut(name) {
            Some(queue) => {
                let count = queue.purge(now.ms, &mut self.effects);
                self.look_at(name, now);
                Ok(count)
            }
            None => refused(Status::QueueNotFound, super::queues::not_found(name)),
        }
    }

    /// The first messages of a queue, as JSON.
    fn peek_queue(&self, name: &str, now: Now) -> Answered<Value> {
        /// As many as one answer has room for in any case.
        const MOST: usize = 10;
        let Some(queue) = self.queues.get(name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(name));
        };
        let live = queue
            .peek()
            .filter(|entry| !entry.message.is_expired(now.ms));
        let shown = live.take(MOST).map(|entry| {
            json!({
                "id": entry.message.id().to_string(),
                "request-id": entry.message.request_id(),
                "subject": entry.message.subject(),
                "mimetype": entry.message.mimetype(),
                "timestamp": entry.message.timestamp(),
                "bytes": entry.message.size().total,
            })
        });
        Ok(Value::Array(shown.collect()))
    }

    // ---- topics ----

    /// Makes a topic. Returns whether it is new.
    pub(in crate::broker) fn create_topic(&mut self, name: &str) -> Answered<bool> {
        check(name)?;
        self.topics.create(name).or_else(|error| match error {
            TopicError::NotFound => refused(Status::TopicNotFound, error.to_string()),
            _ => refused(Status::LimitReached, error.to_string()),
        })
    }

    pub(in crate::broker) fn remove_topic(&mut self, name: &str) -> bool {
        self.topics.remove(name).is_some()
    }

    pub(in crate::broker) fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.topics.names()
    }

    pub(in crate::broker) fn has_topic(&self, name: &str) -> bool {
        self.topics.exists(name)
    }
}

fn is_management(kind: MessageType) -> bool {
    use MessageType::*;
    matches!(
        kind,
        CreateQueue
            | RemoveQueue
            | StatusQueue
            | PeekQueue
            | PurgeQueue
            | RedriveQueue
            | ListQueues
            | CreateTopic
            | RemoveTopic
            | StatusTopic
            | ListTopics
            | StatusFunction
            | ServerStatus
    )
}

/// Refuses what is no name of a destination.
pub(super) fn check(name: &str) -> Answered<()> {
    if is_reserved(name) {
        return refused(Status::BadRequest, format!("the name {name} is reserved"));
    }
    check_name(name).or_else(|error| refused(Status::BadRequest, error.to_string()))
}

/// An answer that carries data.
pub(super) fn data(request: &Message, value: &Value) -> Answered<Message> {
    let answer = Message::data(request.request_id(), request.subject(), value)
        .and_then(|answer| answer.addressed_to(MessageType::Response, request.destination()))
        .or_else(|error| refused(Status::ServerError, error.to_string()))?;
    Ok(answer.into_response(request.id(), Status::Ok))
}

/// The destination that a request of an administrator is about: in its payload, as brief 001 has it, or in its own field.
fn named(request: &Message) -> Answered<String> {
    if let Some(name) = request.destination() {
        return Ok(name.into());
    }
    match fields(request)?.get("name").and_then(Value::as_str) {
        Some(name) => Ok(name.into()),
        None => refused(Status::BadRequest, "no destination is named"),
    }
}

/// Which names a list is to have: those that its destination matches, if there is one.
fn listed(request: &Message) -> Answered<impl Fn(&&str) -> bool> {
    let pattern = request.destination().map(pattern).transpose()?;
    Ok(move |name: &&str| pattern.as_ref().is_none_or(|pattern| pattern.matches(name)))
}

/// The payload of a request of an administrator, which is JSON or nothing.
fn fields(request: &Message) -> Answered<Value> {
    if request.payload_binary().is_empty() {
        return Ok(json!({}));
    }
    match request.payload_data() {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => refused(
            Status::BadRequest,
            format!("{} wants a JSON object", request.kind().name()),
        ),
    }
}

fn capacity(fields: &Value) -> Answered<usize> {
    match fields.get("capacity").map(Value::as_u64) {
        None => refused(Status::BadRequest, "capacity is missing"),
        Some(Some(capacity @ 1..=1_000_000_000)) => usize::try_from(capacity)
            .or_else(|error| refused(Status::BadRequest, error.to_string())),
        Some(_) => refused(
            Status::BadRequest,
            format!(
                "capacity cannot be {}: 1 to 1000000000 is allowed",
                fields["capacity"]
            ),
        ),
    }
}

/// How many bytes a queue holds, in its own words or by default.
pub(in crate::broker) fn most_bytes(fields: &Value, default: usize) -> Answered<usize> {
    let bytes = fields.get("max-bytes").filter(|value| !value.is_null());
    match bytes.map(Value::as_u64) {
        None => Ok(default),
        Some(Some(bytes @ 1..)) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        Some(_) => Err(wrong(fields, "max-bytes", "1 or more")),
    }
}

/// Name and configuration of a queue to make.
fn queue_config(request: &Message) -> Answered<(String, Config)> {
    let fields = fields(request)?;
    let name = named(request)?;
    let capacity = capacity(&fields)?;
    let word = |key: &str| {
        fields
            .get(key)
            .map(|value| value.as_str().unwrap_or_default())
    };
    let kind = match word("type").map(str::to_ascii_uppercase).as_deref() {
        None | Some("BOUNDED") => Kind::Bounded,
        Some("CIRCULAR") => Kind::Circular,
        Some(_) => return Err(wrong(&fields, "type", "BOUNDED or CIRCULAR")),
    };
    let durable = match word("persistence").map(str::to_ascii_uppercase).as_deref() {
        None | Some("TRANSIENT") => false,
        Some("DURABLE") => true,
        Some(_) => return Err(wrong(&fields, "persistence", "TRANSIENT or DURABLE")),
    };
    let mut config = match kind {
        Kind::Bounded => Config::bounded(capacity),
        Kind::Circular => Config::circular(capacity),
    };
    config.durable = durable;
    super::dead_letters::configure(&fields, &mut config)?;
    Ok((name, config))
}

fn wrong(fields: &Value, key: &str, allowed: &str) -> Refused {
    let text = format!("{key} cannot be {}: {allowed} is allowed", fields[key]);
    Refused(Status::BadRequest, text)
}

/// Whole where it is whole.
fn seconds(time: Duration) -> Value {
    if time.subsec_nanos() == 0 {
        time.as_secs().into()
    } else {
        time.as_secs_f64().into()
    }
}
