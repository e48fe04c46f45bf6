//! What an endpoint shows of itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::EndpointKind;
use crate::broker::message::Message as Letter;
use crate::engine::{Event, lock};

/// An endpoint at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// What it does.
    pub kind: EndpointKind,
    /// The queue, topic, pattern or function.
    pub destination: String,
    /// Where it listens and what it dials, with the ports that the system chose.
    pub urls: Vec<String>,
    /// Peers that are connected.
    pub peers: usize,
    /// Messages that came from peers.
    pub received: u64,
    /// Messages that went to peers.
    pub sent: u64,
    /// Messages and calls that came to nothing: the broker has refused what a peer sent, or no worker has answered.
    pub refused: u64,
    /// Why nothing goes on at the moment, or why the last message was refused, if it was: a status and a text.
    pub trouble: Option<String>,
}

/// The same while it changes. Its locks are leaves.
#[derive(Debug)]
pub(in crate::broker) struct Shown {
    kind: EndpointKind,
    destination: String,
    urls: Mutex<Vec<String>>,
    peers: AtomicUsize,
    received: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Shown {
    pub(super) fn new(kind: EndpointKind, destination: &str) -> Self {
        Self {
            kind,
            destination: destination.into(),
            urls: Mutex::default(),
            peers: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    pub(super) fn add_url(&self, url: &str) {
        lock(&self.urls).push(url.into());
    }

    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Added(_) => drop(self.peers.fetch_add(1, Ordering::Relaxed)),
            Event::Removed { .. } => drop(self.peers.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: impl Into<String>) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *lock(&self.trouble) = Some(why.into());
    }

    /// Notes whether the broker did what was asked for. Returns whether it did.
    pub(super) fn judge(&self, answer: &Letter) -> bool {
        let trouble = answer.is_err().then(|| {
            let text = answer.payload_text().unwrap_or_default();
            format!("{}: {text}", answer.status().name())
        });
        let mut known = lock(&self.trouble);
        if *known != trouble {
            *known = trouble;
        }
        answer.is_ok()
    }

    pub(super) fn status(&self) -> EndpointStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointStatus {
            kind: self.kind,
            destination: self.destination.clone(),
            urls: lock(&self.urls).clone(),
            peers: self.peers(),
            received: count(&self.received),
            sent: count(&self.sent),
            refused: count(&self.refused),
            trouble: lock(&self.trouble).clone(),
        }
    }

    pub(in crate::broker) fn to_json(&self) -> Value {
        let status = self.status();
        json!({
            "kind": status.kind.name(),
            "destination": status.destination,
            "urls": status.urls,
            "peers": status.peers,
            "received": status.received,
            "sent": status.sent,
            "refused": status.refused,
            "trouble": status.trouble,
        })
    }
}
