//! How a log is to work.

use std::time::Duration;

use super::error::WalError;
use super::seal::Key;

/// When what was committed counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncPolicy {
    /// When it is on the disk.
    Always,
    /// When the system has it; it is on the disk at most this much later.
    Interval(Duration),
    /// When the system has it, which writes it when it likes. A crash of the program loses nothing, one of the system
    /// does.
    None,
}

/// How a log is to work.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) sync: SyncPolicy,
    /// Bytes of a segment file: 16 KiB to 1 GiB. A record that does not fit gets a longer one.
    pub(crate) segment_bytes: u64,
    /// Bytes that all segment files may have together, at least four segments; beyond it the log is full. No limit if
    /// `None`.
    pub(crate) max_bytes: Option<u64>,
    /// Bytes that may wait to be written before [`is_congested`](super::log::Log::is_congested) says so.
    /// At most half a segment, there is room for settlements when the log turns out to be full.
    pub(crate) max_pending: usize,
    /// Records of so many bytes and more are compressed. Off if `None`.
    pub(crate) compress: Option<usize>,
    /// Encrypts what is written. What is there may be encrypted with it or plain.
    pub(crate) key: Option<Key>,
    /// Refuses to open a log that is damaged.
    pub(crate) strict: bool,
    /// Writes what is live anew at the start, so that all older segments go.
    pub(crate) compact: bool,
    /// How long the keys of [`Dedupe`](super::Operation::Dedupe) are kept.
    pub(crate) dedupe_window: Duration,
    /// How often a full log looks for space.
    pub(crate) retry: Duration,
    /// Whether segments are prepared on a thread of their own. Not for tests that count operations.
    pub(crate) background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Always,
            segment_bytes: 64 << 20,
            max_bytes: None,
            max_pending: 32 << 20,
            compress: None,
            key: None,
            strict: false,
            compact: false,
            dedupe_window: Duration::from_secs(600),
            retry: Duration::from_millis(200),
            background: true,
        }
    }
}

impl Options {
    /// What `compress` is set to where it is only turned on: shorter records hardly shrink.
    pub(crate) const COMPRESS_FROM: usize = 300;

    const LEAST_SEGMENT: u64 = 16 << 10;
    const MOST_SEGMENT: u64 = 1 << 30;

    pub(super) fn check(&self) -> Result<(), WalError> {
        let outside = |name, value, allowed| {
            Err(WalError::Option {
                name,
                value,
                allowed,
            })
        };
        let segment = self.segment_bytes;
        if !(Self::LEAST_SEGMENT..=Self::MOST_SEGMENT).contains(&segment) {
            return outside("segment_bytes", segment, "16384 to 1073741824");
        }
        match self.max_bytes {
            Some(most) if most < segment.saturating_mul(4) => {
                outside("max_bytes", most, "at least four segments")
            }
            _ => Ok(()),
        }
    }
}
