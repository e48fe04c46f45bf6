//! What is counted over a socket's life.

use super::core::Core;
use super::pipe::PipeStats;
use crate::error::Error;
use crate::protocols::Dropped;

/// Numbers kept over a socket's life.
#[derive(Default)]
pub(super) struct Counters {
    /// What pipes that are gone have carried.
    pub(super) past: PipeStats,
    pub(super) added: u64,
    pub(super) rejected: u64,
    pub(super) handshakes_failed: u64,
    pub(super) dials_failed: u64,
    pub(super) accepts_failed: u64,
    pub(super) malformed: u64,
}

/// A snapshot of a socket's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SocketStats {
    /// Dialers that were started and not closed.
    pub dialers: usize,
    /// Listeners that were started and not closed.
    pub listeners: usize,
    /// Pipes connected now.
    pub pipes: usize,
    /// Pipes added so far.
    pub added: u64,
    /// Connections turned away by the pipe filter or the protocol.
    pub rejected: u64,
    /// Peers whose handshake failed: garbage, a wrong protocol, silence.
    pub handshakes_failed: u64,
    /// Attempts to connect that failed.
    pub dials_failed: u64,
    /// Failures to accept.
    pub accepts_failed: u64,
    /// Pipes closed because the peer sent what its protocol does not allow, or too much of it.
    pub malformed: u64,
    /// Messages that were accepted and that no pipe has taken yet. What the pipes have taken and not written is
    /// counted in bytes, in `traffic`.
    pub tx_queued_msgs: usize,
    /// Messages that have come and that no receive has taken yet, those included whose pipe is gone.
    pub rx_queued_msgs: usize,
    /// What all pipes, past ones included, have carried, and what of it waits in those that are there.
    pub traffic: PipeStats,
    /// Messages that went nowhere, those included that belong to no pipe.
    pub dropped: DropStats,
}

/// Messages that went nowhere, by reason. Each is counted once; a publication once for each peer or context that
/// missed it. Publications that nobody subscribed to are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DropStats {
    /// To the peer: the pipe's send queue was full. nng's `tx_discard` and `tx_drop`.
    pub send_queue_full: u64,
    /// From the peer: the receive queue was full.
    pub recv_queue_full: u64,
    /// From the peer: the message had come through too many devices. nng's `ttl_drop`.
    pub ttl: u64,
    /// From the peer: nobody waited for it, as for a late reply, an answer to an old survey, or any message to a push
    /// socket.
    pub unwanted: u64,
    /// To the peer: its pipe was gone, there was none, or the message's header named none. From the peer: the pipe
    /// went before a receive had taken it. Counted for the socket only.
    pub no_pipe: u64,
    /// From the peer: the message was longer than the receive limit. Its pipe was closed, so that only the socket's
    /// statistics show it.
    pub too_long: u64,
    /// From the peer: what came was no message of the protocol, for want of a header or because of a garbled one.
    /// Its pipe was closed, as above. nng's `rx_malformed`.
    pub malformed: u64,
    /// To the peer: bytes, in the wire format, that had been handed to the pipe and not to the kernel when the
    /// connection broke or the linger time was over. Only the socket's statistics show it.
    pub unsent_bytes: u64,
}

impl DropStats {
    /// Messages in all; `unsent_bytes`, of which it is not known how many messages they are, are left out.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.send_queue_full
            + self.recv_queue_full
            + self.ttl
            + self.unwanted
            + self.no_pipe
            + self.too_long
            + self.malformed
    }

    /// What is lost with a pipe that goes for this reason, and that has so many bytes to send.
    pub(super) fn with_pipe(why: &Error, unsent: usize) -> Self {
        Self {
            malformed: matches!(why, Error::Malformed(_)).into(),
            too_long: matches!(why, Error::MessageTooLong { .. }).into(),
            unsent_bytes: unsent as u64,
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, why: Dropped) {
        *match why {
            Dropped::SendQueueFull => &mut self.send_queue_full,
            Dropped::RecvQueueFull => &mut self.recv_queue_full,
            Dropped::Ttl => &mut self.ttl,
            Dropped::Unwanted => &mut self.unwanted,
            Dropped::NoPipe => &mut self.no_pipe,
        } += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.send_queue_full += other.send_queue_full;
        self.recv_queue_full += other.recv_queue_full;
        self.ttl += other.ttl;
        self.unwanted += other.unwanted;
        self.no_pipe += other.no_pipe;
        self.too_long += other.too_long;
        self.malformed += other.malformed;
        self.unsent_bytes += other.unsent_bytes;
    }
}

impl Core {
    /// A snapshot of the counters.
    pub(crate) fn stats(&self) -> SocketStats {
        let state = self.lock();
        let mut traffic = state.stats.past;
        for pipe in state.world.pipes.values() {
            traffic.add(&pipe.stats());
        }
        // What the pipes keep back.
        let mut rx_queued_msgs = usize::try_from(traffic.rx_queued_msgs).unwrap_or(usize::MAX);
        state.machine.unreceived(&mut |message| {
            rx_queued_msgs += 1;
            let there = message
                .pipe()
                .is_some_and(|id| state.world.pipes.contains(id));
            traffic.rx_queued_msgs += u64::from(there);
        });
        let dialers = state.endpoints.iter().filter(|one| one.is_dialer()).count();
        SocketStats {
            dialers,
            listeners: state.endpoints.len() - dialers,
            tx_queued_msgs: state.machine.unsent(),
            rx_queued_msgs,
            pipes: state.world.pipes.len(),
            added: state.stats.added,
            rejected: state.stats.rejected,
            handshakes_failed: state.stats.handshakes_failed,
            dials_failed: state.stats.dials_failed,
            accepts_failed: state.stats.accepts_failed,
            malformed: state.stats.malformed,
            traffic,
            dropped: state.world.drops,
        }
    }
}

impl PipeStats {
    pub(super) fn add(&mut self, other: &Self) {
        self.tx_msgs += other.tx_msgs;
        self.tx_bytes += other.tx_bytes;
        self.rx_msgs += other.rx_msgs;
        self.rx_bytes += other.rx_bytes;
        self.rx_filtered += other.rx_filtered;
        self.rx_queued_msgs += other.rx_queued_msgs;
        self.dropped.add(&other.dropped);
        self.tx_queued_bytes += other.tx_queued_bytes;
    }
}
