//! What is counted over a socket's life.

use super::core::Core;
use super::pipe::PipeStats;
use super::world::DropStats;

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
    /// What all pipes, past ones included, have carried.
    pub traffic: PipeStats,
    /// Messages that went nowhere.
    pub dropped: DropStats,
}

impl Core {
    /// A snapshot of the counters.
    pub(crate) fn stats(&self) -> SocketStats {
        let state = self.lock();
        let mut traffic = state.stats.past;
        for pipe in state.world.pipes.values() {
            traffic.add(&pipe.stats());
        }
        let dialers = state.endpoints.iter().filter(|one| one.is_dialer()).count();
        SocketStats {
            dialers,
            listeners: state.endpoints.len() - dialers,
            tx_queued_msgs: state.machine.unsent(),
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
        self.dropped += other.dropped;
        self.tx_queued_bytes += other.tx_queued_bytes;
    }
}
