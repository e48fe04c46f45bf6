//! Where durable queues are kept: the options, and the keys of the file.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Deserializer};
use wirebird::broker::wal::{Key, Report};
use wirebird::broker::{LogOptions, SyncPolicy};

use super::super::failure::Failure;
use super::super::size::Size;

/// The options of the command line.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Durable queues")]
pub(super) struct Arguments {
    /// Keep durable queues in this directory; without it no queue is durable
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer a durable offer once it is on the disk (always), so much later at most (such as 100ms or 1s), or when the
    /// system likes (none) [default: always]
    #[arg(long, value_name = "WHEN")]
    log_sync: Option<Sync>,
    /// Compress what is kept
    #[arg(long)]
    log_compress: bool,
    /// Write what the queues hold anew at the start, so that older files go
    #[arg(long)]
    log_compact: bool,
    /// Do not start with a log that is damaged
    #[arg(long)]
    log_strict: bool,
    /// Encrypt what is kept with the key in this file
    #[arg(long, value_name = "FILE")]
    log_key_file: Option<PathBuf>,
    /// Refuse durable offers when the log has so many bytes on the disk, such as 1000MB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    log_max_size: Option<Size>,
}

/// The table of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Log {
    pub(super) sync: Option<Sync>,
    pub(super) compress: bool,
    pub(super) compact: bool,
    pub(super) strict: bool,
    pub(super) key_file: Option<PathBuf>,
    pub(super) segment_size: Option<Size>,
    pub(super) max_size: Option<Size>,
}

/// When a durable offer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sync(SyncPolicy);

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let policy = match text {
            "always" => SyncPolicy::Always,
            "none" => SyncPolicy::Never,
            _ => {
                let (digits, unit) = match text.strip_suffix("ms") {
                    Some(digits) => (Some(digits), 1),
                    None => (text.strip_suffix('s'), 1000),
                };
                let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
                let number = number.and_then(|number| number.checked_mul(unit));
                match number {
                    Some(ms @ 1..=3_600_000) => SyncPolicy::Interval(Duration::from_millis(ms)),
                    _ => {
                        return Err("always, none, or a time such as 100ms or 1s is allowed".into());
                    }
                }
            }
        };
        Ok(Self(policy))
    }
}

impl<'de> Deserialize<'de> for Sync {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Arguments {
    /// Puts what the command line says in the place of what the file says.
    pub(super) fn over(self, data_dir: &mut Option<PathBuf>, log: &mut Log) {
        *data_dir = self.data_dir.or_else(|| data_dir.take());
        log.sync = self.log_sync.or(log.sync);
        log.compress |= self.log_compress;
        log.compact |= self.log_compact;
        log.strict |= self.log_strict;
        log.key_file = self.log_key_file.or_else(|| log.key_file.take());
        log.max_size = self.log_max_size.or(log.max_size);
    }
}

impl Log {
    /// For the broker, if there is a directory.
    pub(super) fn options(&self, data_dir: Option<&Path>) -> Result<Option<LogOptions>, Failure> {
        let Some(directory) = data_dir else {
            return Ok(None);
        };
        let mut options = LogOptions::new(directory)
            .compress(self.compress)
            .compact(self.compact)
            .strict(self.strict);
        if let Some(Sync(policy)) = self.sync {
            options = options.sync(policy);
        }
        if let Some(file) = &self.key_file {
            options = options.key(&Key::load(file).map_err(Failure::input)?);
        }
        if let Some(Size(bytes)) = self.segment_size {
            options = options.segment_size(bytes as u64);
        }
        if let Some(Size(bytes)) = self.max_size {
            options = options.max_size(bytes as u64);
        }
        Ok(Some(options))
    }
}

/// Tells of what opening the log has found, if that is worth a word.
pub(super) fn tell(report: &Report) {
    if report.queues > 0 {
        eprintln!(
            "{} durable messages in {} queues",
            report.items, report.queues
        );
    }
    if let Some(cut) = &report.torn {
        eprintln!(
            "The log ended in the middle of a record, as after a crash: it was cut at {}:{}",
            cut.file, cut.offset
        );
    }
    for damage in &report.damage {
        let copied = damage.side_file.as_ref();
        let copied = copied.map_or_else(String::new, |file| format!(", copied to {file}"));
        eprintln!(
            "The log is damaged at {}:{}, {} bytes{copied}; what is sound is used",
            damage.file, damage.offset, damage.length
        );
    }
    if report.unreadable > 0 {
        eprintln!(
            "{} messages stay in the log, because this version does not understand them",
            report.unreadable
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_policy_is_a_word_or_a_time() {
        let policy = |text: &str| text.parse().map(|Sync(policy)| policy);
        assert_eq!(policy("always"), Ok(SyncPolicy::Always));
        assert_eq!(policy("none"), Ok(SyncPolicy::Never));
        let tenth = SyncPolicy::Interval(Duration::from_millis(100));
        assert_eq!(policy("100ms"), Ok(tenth));
        let second = SyncPolicy::Interval(Duration::from_secs(1));
        assert_eq!(policy("1s"), Ok(second));
        for wrong in [
            "",
            "100",
            "0ms",
            "3600001ms",
            "3601s",
            "18446744073709551615s",
            "s",
            "-1ms",
            "Always",
        ] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }
}
