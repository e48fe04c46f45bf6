//! One connected peer of a socket: its connection, what is to be sent, what came in.

use std::sync::Arc;
use std::time::Instant;

use super::core::Core;
use super::endpoint::Endpoint;
use super::spin::DIRECT_PIPES;
use super::stats::DropStats;
use crate::address::{Address, Credentials};
use crate::error::Error;
use crate::http::HttpInfo;
use crate::message::PipeId;
use crate::sys::poller::Event;
#[cfg(feature = "tls")]
use crate::tls::PeerCertificate;
use crate::transports::{Connection, Demand};
use crate::wire::{Batch, Decoder};

/// Bytes that may wait in a pipe's outgoing batch before the pipe counts as full.
const BATCH_LIMIT: usize = 256 * 1024;
/// The same within a process: what the other end works off before a sender stops looking for room and sleeps.
const LOCAL_LIMIT: usize = 16 * 1024;
const LOCAL_WRITE: usize = 4 * 1024;
/// Bytes at which a batch that is held back is written by the sender itself, for a socket with few pipes and with many:
/// those of many together leave the processor's cache.
const BATCH_WRITE: usize = 128 * 1024;
const BATCH_WRITE_OF_MANY: usize = 64 * 1024;
/// Writes in a row that came close together, before output is held back to be batched.
const STREAK: u8 = 8;
/// Messages between two flushes by the reactor below which output is no longer held back.
const STREAM: u32 = 8;

/// What is known of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipeInfo {
    /// The pipe's number.
    pub id: PipeId,
    /// Our end.
    pub local: Address,
    /// The peer's end.
    pub peer: Address,
    /// Who the peer is, where the transport knows: ipc on Linux.
    pub credentials: Option<Credentials>,
    /// The certificate that the peer has shown, over TLS.
    #[cfg(feature = "tls")]
    pub certificate: Option<Arc<PeerCertificate>>,
    /// What the peer said when the connection began, for ws and wss.
    pub http: Option<Arc<HttpInfo>>,
    /// The URL of the dialer or listener the pipe came from; empty for a descriptor that was handed over.
    pub url: String,
    /// Whether we dialed.
    pub dialed: bool,
}

/// What went through a pipe. Lengths count header and body, not framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PipeStats {
    /// Messages handed to the pipe.
    pub tx_msgs: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Messages received.
    pub rx_msgs: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Of the messages received, publications that no subscription of the socket matched. They are not dropped, for
    /// nobody asked for them.
    pub rx_filtered: u64,
    /// Messages that have come and that no receive has taken yet, now: those in the socket's queues that came from
    /// this peer, and those that the pipe keeps back while the queues are full. A publication counts once for each
    /// context whose queue it is in. What the operating system, or the peer in this process, still holds is unknown
    /// and not counted.
    pub rx_queued_msgs: u64,
    /// Messages to or from the peer that went nowhere, by reason.
    pub dropped: DropStats,
    /// Bytes that the pipe has accepted and that the operating system, or the peer in this process, has not taken
    /// yet; with framing.
    pub tx_queued_bytes: u64,
}

/// A pipe as the socket's state holds it.
pub(super) struct PipeSlot {
    pub(super) connection: Arc<dyn Connection>,
    /// The reactor's key for it, if it has a descriptor.
    pub(super) key: Option<usize>,
    /// A thread waits for the descriptor itself; see [`super::direct`].
    pub(super) attended: bool,
    pub(super) tx: Tx,
    pub(super) rx: Rx,
    pub(super) stats: PipeStats,
    pub(super) info: Arc<PipeInfo>,
    pub(super) endpoint: Option<Endpoint>,
}

/// The sending half.
pub(super) struct Tx {
    /// Where messages go.
    pub(super) filling: Batch,
    /// What is being written, or is left from a write that the kernel did not take whole.
    pub(super) draining: Batch,
    /// Bytes of `draining`, also while a thread has it.
    pub(super) outstanding: usize,
    /// A thread is writing, without the lock.
    pub(super) writing: bool,
    /// The kernel takes no more; the reactor tells when it does.
    pub(super) blocked: bool,
    /// The machine was told that the pipe is full.
    pub(super) full: bool,
    /// Writing failed; what is left to read is still read.
    pub(super) dead: bool,
    /// The pipe is on the list of those to look at before the lock is given up.
    pub(super) dirty: bool,
    pub(super) pace: Pace,
    /// Says when to write, in the place of the pace.
    pub(super) demand: Option<Arc<Demand>>,
}

/// Whether messages follow each other so closely that writing each by itself costs more than half of the sender's
/// time, be it to this pipe alone or to all pipes of the socket in turn, and without anything coming back. Then they
/// are held back until there are [`BATCH_WRITE`] bytes, or fewer for many pipes, or the reactor flushes them.
#[derive(Default)]
pub(super) struct Pace {
    pub(super) batching: bool,
    /// Something was received since the last write: the next one belongs to no streak.
    answers: bool,
    streak: u8,
    since_flush: u32,
}

/// The receiving half.
pub(super) struct Rx {
    pub(super) decoder: Decoder,
    /// The longest message that is accepted now; 0 for any.
    pub(super) limit: usize,
    /// The longest one that the endpoint accepts.
    #[cfg(feature = "broker")]
    pub(super) longest: usize,
    /// A thread is reading, without the lock, and has the decoder.
    pub(super) reading: bool,
    /// The machine takes what is in the decoder when it has a use for it.
    pub(super) held: bool,
    /// The machine's queue is full, and its user is reading from it.
    pub(super) saturated: bool,
    /// The pipe is about to be removed.
    pub(super) closed: bool,
    /// The connection may have something to read.
    pub(super) readable: bool,
    /// The pipe is on the list of those that may.
    pub(super) listed: bool,
    /// The reactor is going to read it once more.
    pub(super) resumes: bool,
    /// The end must be looked for: no event will tell of it again.
    pub(super) hangup: bool,
    /// Why nothing more will come, once that is so; the pipe goes when what came is delivered.
    pub(super) ended: Option<Error>,
}

impl PipeSlot {
    pub(super) fn new(
        connection: Arc<dyn Connection>,
        limit: usize,
        info: Arc<PipeInfo>,
        endpoint: Option<Endpoint>,
    ) -> Self {
        let framing = connection.framing();
        let demand = connection.demand();
        Self {
            connection,
            key: None,
            attended: false,
            tx: Tx {
                filling: Batch::new(framing),
                draining: Batch::new(framing),
                outstanding: 0,
                writing: false,
                blocked: false,
                full: false,
                dead: false,
                dirty: false,
                pace: Pace::default(),
                demand,
            },
            rx: Rx {
                decoder: Decoder::new(framing, limit),
                limit,
                #[cfg(feature = "broker")]
                longest: limit,
                reading: false,
                held: false,
                saturated: false,
                closed: false,
                readable: true,
                listed: false,
                resumes: false,
                hangup: false,
                ended: None,
            },
            stats: PipeStats::default(),
            info,
            endpoint,
        }
    }
}

impl PipeSlot {
    /// What has gone through it, and what waits in it.
    pub(super) fn stats(&self) -> PipeStats {
        PipeStats {
            rx_queued_msgs: self.rx.decoder.count() as u64,
            tx_queued_bytes: (self.tx.outstanding + self.tx.filling.len()) as u64,
            ..self.stats
        }
    }
}

impl Tx {
    /// Whether another message may be handed to the pipe.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let limit = if self.demand.is_none() {
            BATCH_LIMIT
        } else {
            LOCAL_LIMIT
        };
        !self.dead && self.filling.len() + self.outstanding < limit
    }

    /// Whether there is something to write now that nobody writes yet, and that is not held back to be batched. The socket
    /// has so many `pipes`.
    #[inline]
    pub(super) fn wants_write(&self, pipes: usize) -> bool {
        if self.writing || self.blocked {
            return false;
        }
        match &self.demand {
            Some(demand) => demand.offer() || self.filling.len() >= LOCAL_WRITE,
            None if !self.pace.batching => true,
            None if pipes <= DIRECT_PIPES => self.filling.len() >= BATCH_WRITE,
            None => self.filling.len() >= BATCH_WRITE_OF_MANY,
        }
    }

    /// Whether everything that was handed to the pipe has gone to the kernel, or never will.
    pub(super) fn is_idle(&self) -> bool {
        self.dead || (self.outstanding == 0 && self.filling.is_empty())
    }
}

impl Rx {
    /// Whether somebody may read now, and the machine takes what is read.
    pub(super) fn is_open(&self) -> bool {
        !(self.held || self.saturated || self.reading || self.closed || self.ended.is_some())
    }
}

impl Pace {
    /// Takes note of a message.
    #[inline]
    pub(super) fn message(&mut self) {
        self.since_flush += 1;
    }

    /// Whether the next write is to be measured.
    #[inline]
    pub(super) fn measures(&mut self) -> bool {
        !std::mem::take(&mut self.answers) && !self.batching
    }

    /// Takes note of a write that lasted from `began` to `ended`, and of when the socket's write before it was over.
    /// Returns whether batching begins with it.
    pub(super) fn wrote(&mut self, last: Option<Instant>, began: Instant, ended: Instant) -> bool {
        let cost = ended.saturating_duration_since(began);
        let close = last.is_some_and(|last| began.saturating_duration_since(last) < cost);
        self.streak = if close {
            self.streak.saturating_add(1)
        } else {
            0
        };
        let begins = self.streak >= STREAK && !self.batching;
        if begins {
            self.batching = true;
            self.since_flush = STREAM;
        }
        begins
    }

    /// Something was received: the peer may be waiting for what it is sent before it goes on.
    #[inline]
    pub(super) fn received(&mut self) {
        self.answers = true;
        self.streak = 0;
    }

    /// The reactor flushes now. Ends batching if too few messages came since the last time.
    pub(super) fn flushed(&mut self) {
        if std::mem::take(&mut self.since_flush) < STREAM {
            self.stop();
        }
    }

    /// Ends batching: whoever sends is about to wait.
    pub(super) fn stop(&mut self) {
        self.batching = false;
        self.streak = 0;
    }
}

/// What the reactor, or the other end of an inproc connection, holds of a pipe.
pub(super) struct PipeSource {
    pub(super) core: Arc<Core>,
    pub(super) id: PipeId,
}

impl super::reactor::Source for PipeSource {
    fn ready(self: Arc<Self>, event: Event) -> bool {
        self.core.pipe_ready(self.id, event)
    }
}
