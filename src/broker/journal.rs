//! What durable queues write into the log, and how they come back from it.
//!
//! Whatever the queues note while the router decides one request is committed as one record: what belongs together, as
//! the item that leaves one queue and its dead letter in another, is kept together or not at all.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::budget::Budget;
use super::codec::{Encoding, decode, encode};
use super::dedupe;
use super::message::{Status, now_ms};
use super::queue::{Config, Item, Meta, Queue, Store};
use super::router::{Entry, Refused, configure, fenced};
use super::wal::{
    Batch, Disk, Entry as Kept, ItemMeta, Log, Recovered, Report, State, Ticket, WalError,
};
use crate::engine::lock;

mod options;
mod recent;

pub use options::{LogOptions, SyncPolicy};
use recent::Recent;

/// The log, and what is to be committed next.
pub(super) struct Journal {
    log: Arc<Log>,
    batch: Arc<Mutex<Batch>>,
    /// The queues' numbers in the log.
    numbers: HashMap<Arc<str>, u32>,
    last: Option<Ticket>,
}

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// Nothing was to be written down, or it is kept already.
    Kept,
    /// It is kept once the log says so.
    Later(Ticket),
    /// The log has stopped, and why.
    Lost(String),
}

/// What a log has kept.
#[derive(Default)]
pub(super) struct Restored {
    pub(super) queues: Vec<(Arc<str>, Queue<Entry>)>,
    /// The oldest first.
    pub(super) offers: Vec<KeptOffer>,
}

/// An offer that is to be recognised if it comes again.
pub(super) struct KeptOffer {
    pub(super) queue: Arc<str>,
    /// When it was made, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) key: Vec<u8>,
}

impl Journal {
    /// Opens the log of a directory, or makes one. Offers are to be recognised within `dedupe`'s limits. `told`
    /// is called whenever more is kept, and when the log stops.
    pub(super) fn open(
        options: &LogOptions,
        dedupe: dedupe::Limits,
        budget: &Budget,
        told: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Restored, Report), WalError> {
        let directory = options.directory();
        let disk = Disk::make(directory).map_err(|error| WalError::Io {
            what: "make",
            file: directory.display().to_string(),
            error,
        })?;
        let mut inner = options.inner().clone();
        inner.dedupe_window = dedupe.age;
        let within = |error: WalError| error.within(directory);
        let recovered = Recovered::open(Arc::new(disk), inner).map_err(within)?;
        let batch: Arc<Mutex<Batch>> = Arc::default();
        let mut numbers = HashMap::new();
        let mut queues = HashMap::new();
        for queue in recovered.queues() {
            let name: Arc<str> = queue.name.into();
            numbers.insert(name.clone(), queue.number);
            let store = QueueStore {
                queue: queue.number,
                batch: batch.clone(),
            };
            let made = Queue::new(read_config(queue.config), Some(Box::new(store)));
            // It has a store, and the configuration is one of a durable queue.
            let made = made.map_err(|error| WalError::Stopped {
                reason: error.to_string(),
            })?;
            queues.insert(queue.number, (name, fenced(made)));
        }
        let mut unreadable = 0;
        let mut offers = Recent::new(dedupe, now_ms());
        let restore = |entry: Kept<'_>| match entry {
            Kept::Item {
                queue,
                item,
                meta,
                message,
            } => match decode(Bytes::copy_from_slice(message)) {
                Ok((message, _)) => {
                    if let Some((_, queue)) = queues.get_mut(&queue) {
                        // It is there, whatever the budget says.
                        let charge = budget.take(message.size().total);
                        let entry = Entry::new(message, charge);
                        unreadable += u64::from(!queue.restore(item, entry, from_log(meta)));
                    }
                }
                // It stays in the log for a version that can.
                Err(_) => unreadable += 1,
            },
            Kept::Dedupe { queue, at, key } => {
                if let Some((name, _)) = queues.get(&queue) {
                    offers.add(KeptOffer {
                        queue: name.clone(),
                        at: i64::try_from(at).unwrap_or(i64::MAX),
                        key: key.into(),
                    });
                }
            }
        };
        recovered.entries(restore).map_err(within)?;
        let mut report = recovered.report().clone();
        report.unreadable = unreadable;
        let log = Arc::new(recovered.start(Box::new(told)).map_err(within)?);
        let journal = Self {
            log,
            batch,
            numbers,
            last: None,
        };
        let restored = Restored {
            queues: queues.into_values().collect(),
            offers: offers.into_offers(),
        };
        Ok((journal, restored, report))
    }

    /// Notes that there is a queue, and gives it a store.
    pub(super) fn add(&mut self, name: &Arc<str>, config: &Config) -> Box<dyn Store<Entry> + Send> {
        let queue = self.free_number();
        self.numbers.insert(name.clone(), queue);
        lock(&self.batch).make_queue(queue, name, write_config(config).as_bytes());
        Box::new(QueueStore {
            queue,
            batch: self.batch.clone(),
        })
    }

    /// Notes that a queue is gone.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(queue) = self.numbers.remove(name) {
            lock(&self.batch).remove_queue(queue);
        }
    }

    /// Notes that an offer to a queue is to be recognised if it comes again.
    pub(super) fn recognise(&mut self, queue: &str, now_ms: i64, key: &[u8]) {
        if let Some(&queue) = self.numbers.get(queue) {
            lock(&self.batch).dedupe(queue, now_ms.unsigned_abs(), key);
        }
    }

    /// A random number is not one that a queue had which was removed.
    fn free_number(&self) -> u32 {
        loop {
            let number = uuid::Uuid::new_v4().as_fields().0;
            if !self.numbers.values().any(|&taken| taken == number) {
                return number;
            }
        }
    }

    /// Commits what was noted since the last time.
    pub(super) fn commit(&mut self) -> Committed {
        let mut batch = lock(&self.batch);
        if batch.is_empty() {
            return Committed::Kept;
        }
        let committed = self.log.commit(&batch);
        batch.clear();
        match committed {
            Ok(ticket) => {
                self.last = Some(ticket);
                Committed::Later(ticket)
            }
            Err(refused) => Committed::Lost(match self.log.status().state {
                State::Failed(why) => why,
                _ => refused.to_string(),
            }),
        }
    }

    /// Whether a commit is kept.
    pub(super) fn has_kept(&self, ticket: Ticket) -> bool {
        self.log.synced() >= ticket
    }

    /// Why nothing more will be kept, if so.
    pub(super) fn failure(&self) -> Option<String> {
        match self.log.status().state {
            State::Failed(why) => Some(why),
            State::Running | State::Full(_) => None,
        }
    }

    /// Refuses what would make a queue longer, if the log has no room.
    pub(super) fn check_room(&self) -> Result<(), Refused> {
        if self.log.is_full() {
            let (status, text) = match self.log.status().state {
                State::Failed(why) => (
                    Status::ServerError,
                    format!("the log of durable messages has stopped: {why}"),
                ),
                State::Full(why) => (
                    Status::LimitReached,
                    format!("there is no space for durable messages: {why}"),
                ),
                State::Running => return Ok(()),
            };
            return Err(Refused(status, text));
        }
        if self.log.is_congested() {
            let text = "the disk does not keep up with durable messages";
            return Err(Refused(Status::RetryLater, text.into()));
        }
        Ok(())
    }

    /// The log, and the last commit.
    pub(super) fn last(&self) -> (Arc<Log>, Option<Ticket>) {
        (self.log.clone(), self.last)
    }

    /// What there is to be known of the log.
    pub(super) fn status(&self) -> Value {
        let status = self.log.status();
        let (state, reason) = match status.state {
            State::Running => ("RUNNING", None),
            State::Full(why) => ("FULL", Some(why)),
            State::Failed(why) => ("FAILED", Some(why)),
        };
        let counters = status.counters;
        json!({
            "state": state,
            "reason": reason,
            "sync": SyncPolicy::from(status.sync).to_string(),
            "record-count": counters.records,
            "written-bytes": counters.bytes,
            "pending-bytes": status.pending_bytes,
            "sync-count": counters.syncs,
            "last-sync-us": u64::try_from(counters.last_sync.as_micros()).unwrap_or(u64::MAX),
            "longest-sync-us": u64::try_from(counters.longest_sync.as_micros()).unwrap_or(u64::MAX),
            "segment-count": counters.segments,
            "disk-bytes": counters.disk_bytes,
            "live-bytes": counters.live_bytes,
            "live-count": counters.live_items,
            "moved-segment-count": counters.moved_segments,
            "unreadable-segment-count": counters.unreadable_segments,
        })
    }
}

/// What a durable queue writes to.
struct QueueStore {
    queue: u32,
    batch: Arc<Mutex<Batch>>,
}

impl Store<Entry> for QueueStore {
    fn append(&mut self, seq: u64, meta: Meta, item: &Entry) {
        let message = encode(&item.message, Encoding::Binary);
        let meta = ItemMeta {
            accepted_at: meta.offered_at.unsigned_abs(),
            attempts: meta.attempts,
            not_before: meta.not_before.unsigned_abs(),
            priority: item.priority(),
        };
        lock(&self.batch).append(self.queue, seq, &meta, &message);
    }

    fn change(&mut self, seq: u64, attempts: u32, not_before: i64) {
        let not_before = not_before.unsigned_abs();
        lock(&self.batch).change(self.queue, seq, attempts, not_before);
    }

    fn settle(&mut self, seq: u64) {
        lock(&self.batch).settle(self.queue, &[seq]);
    }
}

fn from_log(meta: ItemMeta) -> Meta {
    let time = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
    Meta {
        offered_at: time(meta.accepted_at),
        attempts: meta.attempts,
        not_before: time(meta.not_before),
    }
}

/// As in a request that makes the queue.
fn write_config(config: &Config) -> String {
    json!({
        "capacity": config.messages,
        "bytes": config.bytes,
        "expiry": config.expiry,
        "max-attempts": config.max_attempts,
        "backoff": config.backoff.base,
        "max-backoff": config.backoff.cap,
        "dead-letter": config.dead_letters,
    })
    .to_string()
}

/// What cannot be read has its default: the messages are what matters.
fn read_config(bytes: &[u8]) -> Config {
    /// For a queue of which only the messages are known.
    const CAPACITY: usize = 1_000_000;
    let fields: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let number = |key: &str| {
        let number = fields.get(key)?.as_u64()?;
        usize::try_from(number).ok().filter(|&number| number > 0)
    };
    let mut config = Config::durable(number("capacity").unwrap_or(CAPACITY));
    let mut whole = config.clone();
    whole.bytes = number("bytes").unwrap_or(whole.bytes);
    if configure(&fields, &mut whole).is_ok() {
        mem::swap(&mut config, &mut whole);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::super::queue::Backoff;
    use super::*;

    #[test]
    fn a_queues_configuration_outlives_the_log() {
        let config = Config {
            bytes: 5000,
            expiry: Some(7),
            max_attempts: 3,
            backoff: Backoff { base: 10, cap: 90 },
            dead_letters: Some("dead".into()),
            ..Config::durable(12)
        };
        for config in [config, Config::durable(1)] {
            assert_eq!(read_config(write_config(&config).as_bytes()), config);
        }
        let unreadable = read_config(b"{\"capacity\":");
        assert_eq!(unreadable, Config::durable(1_000_000));
    }
}
