//! How much there may be of everything, and what is refused because it would be more.

use std::time::Duration;

use super::{Answered, Refused, Router, refused};
use crate::broker::budget::{Budget, Charge};
use crate::broker::dedupe;
use crate::broker::message::{Message, Status};
use crate::broker::queue::Config;

/// How much there may be of everything.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Limits {
    pub(in crate::broker) connections: usize,
    pub(in crate::broker) queues: usize,
    pub(in crate::broker) topics: usize,
    pub(in crate::broker) functions: usize,
    pub(in crate::broker) temporary_queues: usize,
    pub(in crate::broker) subscriptions: usize,
    /// Bytes of each queue that is made without a limit of its own.
    pub(in crate::broker) queue_bytes: usize,
    /// Bytes of all messages that are held at once.
    pub(in crate::broker) memory: usize,
    /// Bytes that may wait for one client.
    pub(in crate::broker) outbox_bytes: usize,
    /// Requests of a session that may wait for something at once.
    pub(in crate::broker) waiting: usize,
    /// Longest wait that a request may ask for.
    pub(in crate::broker) longest_wait: Duration,
    pub(in crate::broker) message_size: usize,
    /// Payloads of at least this length are compressed; `None` if none are.
    pub(in crate::broker) compress_cutoff: Option<usize>,
    /// Whether clients must encrypt.
    pub(in crate::broker) encrypt: bool,
    /// Whether clients may manage destinations without having logged in as an administrator.
    pub(in crate::broker) open_admin: bool,
    /// What is remembered of requests that may be made again.
    pub(in crate::broker) dedupe: dedupe::Limits,
    /// How often clients have to say that they are alive; zero if they need not.
    pub(in crate::broker) heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            queues: 1000,
            topics: 1000,
            functions: 1000,
            temporary_queues: 50,
            subscriptions: 1000,
            queue_bytes: Config::DEFAULT_BYTES,
            memory: 1 << 30,
            outbox_bytes: 8 << 20,
            waiting: 10_000,
            longest_wait: Duration::from_secs(24 * 3600),
            message_size: 20 << 20,
            compress_cutoff: None,
            encrypt: false,
            open_admin: false,
            dedupe: dedupe::Limits::default(),
            heartbeat: Duration::ZERO,
        }
    }
}

impl Router {
    pub(in crate::broker) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::broker) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Charges what is to be held for a message of a client.
    pub(super) fn charge(&self, message: &Message) -> Answered<Charge> {
        self.charge_bytes(message.size().total)
    }

    pub(super) fn charge_bytes(&self, bytes: usize) -> Answered<Charge> {
        let charge = self.budget.charge(bytes);
        charge.ok_or_else(|| {
            let most = self.limits.memory;
            let text = format!("the broker may hold messages of {most} bytes, and has no room");
            Refused(Status::RetryLater, text)
        })
    }

    pub(super) fn check_size(&self, request: &Message) -> Answered<()> {
        let (length, most) = (request.payload_binary().len(), self.limits.message_size);
        if length <= most {
            return Ok(());
        }
        let text = format!("a payload of {length} bytes: at most {most} are allowed");
        refused(Status::BadRequest, text)
    }
}
