//! How the log of durable queues is to work.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broker::wal::{self, Key};

/// When a durable message counts as kept, so that its offer is answered with OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// When it is on the disk. Offers that come together share one sync.
    #[default]
    Always,
    /// When the system has it; it is on the disk at most this much later. A crash of the broker loses nothing, one of
    /// the system what came in this time.
    Interval(Duration),
    /// When the system has it, which writes it when it likes.
    Never,
}

impl From<SyncPolicy> for wal::SyncPolicy {
    fn from(policy: SyncPolicy) -> Self {
        match policy {
            SyncPolicy::Always => Self::Always,
            SyncPolicy::Interval(time) => Self::Interval(time),
            SyncPolicy::Never => Self::None,
        }
    }
}

impl From<wal::SyncPolicy> for SyncPolicy {
    fn from(policy: wal::SyncPolicy) -> Self {
        match policy {
            wal::SyncPolicy::Always => Self::Always,
            wal::SyncPolicy::Interval(time) => Self::Interval(time),
            wal::SyncPolicy::None => Self::Never,
        }
    }
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(time) => write!(f, "{}ms", time.as_millis()),
            Self::Never => f.write_str("none"),
        }
    }
}

/// Where durable queues are kept, and how: the options of [`BrokerOptions::log`](crate::broker::BrokerOptions::log).
///
/// ```
/// use std::time::Duration;
/// use wirebird::broker::{Broker, BrokerOptions, Client, LogOptions, Message, QueueOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let options = BrokerOptions::new().log(&LogOptions::new(directory));
/// let broker = Broker::with_options(&options)?;
/// broker.create_queue_with("jobs", &QueueOptions::new(1000).durable(true))?;
/// let listener = broker.listen("inproc://jobs")?;
/// let client = Client::connect(&listener.url())?;
/// let job = Message::plain_text(None, "", "work")?.with_durable(true);
/// client.offer("jobs", job, Duration::ZERO)?;
/// drop((client, broker));
///
/// let broker = Broker::with_options(&options)?;
/// assert_eq!(broker.queue_status("jobs").size, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogOptions {
    directory: PathBuf,
    inner: wal::Options,
}

impl LogOptions {
    /// A log in this directory, which is made if it is not there. One process at a time uses it.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            inner: wal::Options::default(),
        }
    }

    /// When an offer is answered, default [`SyncPolicy::Always`].
    #[must_use]
    pub fn sync(mut self, policy: SyncPolicy) -> Self {
        self.inner.sync = policy.into();
        self
    }

    /// Whether records of 300 bytes and more are compressed, default false.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.inner.compress = compress.then_some(wal::Options::COMPRESS_FROM);
        self
    }

    /// Whether what the queues hold is written anew at the start, so that all older files go; default false. Space is
    /// given back while the broker runs in any case.
    #[must_use]
    pub fn compact(mut self, compact: bool) -> Self {
        self.inner.compact = compact;
        self
    }

    /// Whether to refuse a log that is damaged, default false: damage is copied to a file beside the log, and what is
    /// sound is used.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.inner.strict = strict;
        self
    }

    /// Encrypts what is written, with AES-256-GCM; default not. What is there already may be encrypted with the same key
    /// or plain.
    #[must_use]
    pub fn key(mut self, key: &Key) -> Self {
        self.inner.key = Some(key.clone());
        self
    }

    /// Bytes of a file: 16 KiB to 1 GiB, default 64 MiB. Its space is taken when it is made.
    #[must_use]
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.inner.segment_bytes = bytes;
        self
    }

    /// Bytes of all files together, at least four times [`segment_size`](Self::segment_size); default without limit.
    /// Beyond it, durable offers are refused with [`LimitReached`](crate::broker::Status::LimitReached).
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.inner.max_bytes = Some(bytes);
        self
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn inner(&self) -> &wal::Options {
        &self.inner
    }
}
