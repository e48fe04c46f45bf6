//! Probes of idle tcp connections.

use std::time::Duration;

use crate::error::{Error, Result};

/// When the system probes whether the peer of an idle tcp connection is still there. Fields left at `None` are the
/// system's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Keepalive {
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

impl Keepalive {
    /// Probes with the system's timing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Idle time before the first probe, 1 s to 32,767 s.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// Time between probes, 1 s to 32,767 s.
    #[must_use]
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = Some(time);
        self
    }

    /// Unanswered probes after which the connection is given up, 1 to 127.
    #[must_use]
    pub fn count(mut self, probes: u32) -> Self {
        self.count = Some(probes);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for (option, time) in [
            ("tcp-keepalive idle", self.idle),
            ("tcp-keepalive interval", self.interval),
        ] {
            if let Some(time) = time.filter(|time| !(1..=32_767).contains(&time.as_secs())) {
                return Err(Error::bad_option(option, time, "1 s to 32767 s"));
            }
        }
        match self.count.filter(|count| !(1..=127).contains(count)) {
            Some(count) => Err(Error::bad_option("tcp-keepalive count", count, "1 to 127")),
            None => Ok(()),
        }
    }
}
