//! The broker's configuration file.
//!
//! What is wrong in it is told with the file, the line and the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use wirebird::broker::{AuthError, PublicKey, QueueOptions, QueueType, check_name, is_reserved};

use super::super::client::seconds;
use super::super::failure::Failure;
use super::super::size::{MaybeSize, Size};
use super::endpoints::Endpoint;
use super::log::Log;

/// What a file may say. The keys have the names of the command line's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Config {
    pub(super) listen: Option<Vec<String>>,
    pub(super) origins: Vec<String>,
    pub(super) encrypt: bool,
    pub(super) identity: Option<PathBuf>,
    pub(super) client_keys: Option<Vec<Key>>,
    pub(super) authenticator: Option<PathBuf>,
    pub(super) open_admin: Option<bool>,
    pub(super) insecure: bool,
    pub(super) tls: Tls,
    pub(super) max_connections: Option<NonZeroUsize>,
    #[serde(deserialize_with = "limited_size")]
    pub(super) max_message_size: Option<Size>,
    pub(super) compress_cutoff: Option<MaybeSize>,
    pub(super) socket_snd_buf_size: Option<MaybeSize>,
    pub(super) socket_rcv_buf_size: Option<MaybeSize>,
    pub(super) max_memory: Option<Size>,
    pub(super) max_queue_bytes: Option<Size>,
    pub(super) max_outbox_bytes: Option<Size>,
    pub(super) max_queues: Option<usize>,
    pub(super) max_topics: Option<usize>,
    pub(super) max_functions: Option<usize>,
    pub(super) max_temporary_queues: Option<usize>,
    #[serde(alias = "write-ahead-log-dir")]
    pub(super) data_dir: Option<PathBuf>,
    pub(super) log: Log,
    write_ahead_log_compress: bool,
    write_ahead_log_compact: bool,
    pub(super) queues: BTreeMap<Name, Queue>,
    pub(super) topics: Vec<Spanned<String>>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// The files for TLS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
}

/// A key that a client has to have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Key(pub(super) PublicKey);

impl TryFrom<String> for Key {
    type Error = AuthError;

    fn try_from(text: String) -> Result<Self, AuthError> {
        text.parse().map(Self)
    }
}

/// A queue to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Queue {
    #[serde(default, rename = "type")]
    pub(super) kind: Kind,
    #[serde(deserialize_with = "capacity")]
    pub(super) capacity: usize,
    #[serde(default)]
    pub(super) max_bytes: Option<Size>,
    pub(super) dead_letter: Option<String>,
    pub(super) max_attempts: Option<u32>,
    #[serde(default, deserialize_with = "time")]
    pub(super) backoff: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub(super) max_backoff: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub(super) expiry: Option<Duration>,
    #[serde(default)]
    pub(super) durable: bool,
}

impl Queue {
    pub(super) fn options(&self) -> QueueOptions {
        /// To which waits grow unless something else is said.
        const CAP: Duration = Duration::from_secs(3600);
        let mut options = QueueOptions::new(self.capacity)
            .queue_type(self.kind.into())
            .durable(self.durable);
        if let Some(Size(bytes)) = self.max_bytes {
            options = options.max_bytes(bytes);
        }
        if let Some(queue) = &self.dead_letter {
            options = options.dead_letter(queue);
        }
        if let Some(attempts) = self.max_attempts {
            options = options.max_attempts(attempts);
        }
        if let Some(base) = self.backoff {
            options = options.backoff(base, self.max_backoff.unwrap_or_else(|| CAP.max(base)));
        }
        if let Some(time) = self.expiry {
            options = options.expiry(time);
        }
        options
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    #[default]
    Bounded,
    Circular,
}

impl From<Kind> for QueueType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Bounded => Self::Bounded,
            Kind::Circular => Self::Circular,
        }
    }
}

/// The name of a destination to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map_err(|error| error.to_string())?;
        if is_reserved(&name) {
            return Err(format!("the name {name} is reserved"));
        }
        Ok(Self(name))
    }
}

fn capacity<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let capacity = usize::deserialize(from)?;
    if !(1..=1_000_000_000).contains(&capacity) {
        return Err(D::Error::custom(format_args!(
            "{capacity} messages are no capacity: 1 to 1000000000 are"
        )));
    }
    Ok(capacity)
}

/// A number of seconds.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let number = f64::deserialize(from)?;
    seconds(&number.to_string())
        .map(Some)
        .map_err(D::Error::custom)
}

/// A size that messages may be limited to.
pub(super) fn message_size(text: &str) -> Result<Size, String> {
    check_message_size(text.parse()?)
}

fn check_message_size(size: Size) -> Result<Size, String> {
    if !(2 << 10..=250 << 20).contains(&size.0) {
        return Err(format!(
            "messages cannot be limited to {size}: 2KB to 250MB is allowed"
        ));
    }
    Ok(size)
}

fn limited_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
    let size = Size::deserialize(from)?;
    check_message_size(size).map(Some).map_err(D::Error::custom)
}

impl Config {
    /// Whether nothing is taken in the clear.
    pub(super) fn encrypts(&self) -> bool {
        self.encrypt || self.client_keys.is_some()
    }

    /// The queues, each behind the one for its dead letters.
    pub(super) fn queues_in_order(&self) -> Vec<(&Name, &Queue)> {
        let mut left: Vec<_> = self.queues.iter().collect();
        let mut ordered = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let names: BTreeSet<_> = left.iter().map(|(name, _)| &*name.0).collect();
            let free = |(_, queue): &(&Name, &Queue)| {
                let dead_letter = queue.dead_letter.as_deref();
                dead_letter.is_none_or(|name| !names.contains(name))
            };
            let (free, bound): (Vec<_>, Vec<_>) = left.into_iter().partition(free);
            if free.is_empty() {
                // They wait for each other, which the broker refuses.
                ordered.extend(bound);
                break;
            }
            ordered.extend(free);
            left = bound;
        }
        ordered
    }

    /// Reads a file. The files it names are beside it, unless they are named from the root.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::input(format_args!("Cannot read {shown}: {error}")))?;
        let mut config = Self::parse(&text)
            .map_err(|(line, reason)| Failure::input(format_args!("{shown}:{line}: {reason}")))?;
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        let others = config.endpoints.iter_mut().map(|one| &mut one.tls);
        let tls = others.flatten().chain([&mut config.tls]);
        let tls = tls.flat_map(|tls| [&mut tls.cert, &mut tls.key, &mut tls.ca]);
        let named = tls.chain([&mut config.authenticator, &mut config.identity]);
        for path in named.flatten() {
            *path = directory.join(&path);
        }
        let paths = [&mut config.data_dir, &mut config.log.key_file];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&path);
        }
        Ok(config)
    }

    /// An error has the number of its line.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let at = |start: usize, reason: String| {
            let before = text.get(..start).unwrap_or_default();
            (before.matches('\n').count() + 1, reason)
        };
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().to_owned())
        })?;
        config.log.compress |= config.write_ahead_log_compress;
        config.log.compact |= config.write_ahead_log_compact;
        for topic in &config.topics {
            // The parser would name the line in which the list begins.
            let name = Name::try_from(topic.get_ref().clone());
            name.map_err(|reason| at(topic.span().start, reason))?;
        }
        for endpoint in &config.endpoints {
            let checked = endpoint.check();
            checked.map_err(|(start, reason)| at(start, reason))?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_everything() {
        let config = Config::parse(
            r#"
            listen = ["tcp://127.0.0.1:0", "ipc:///tmp/x"]
            origins = ["https://example.com"]
            encrypt = true
            identity = "own.key"
            client-keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
            authenticator = "users.json"
            open-admin = false
            insecure = true
            max-connections = 100
            max-message-size = "5MB"
            compress-cutoff = "4KB"
            socket-snd-buf-size = "1MB"
            socket-rcv-buf-size = -1
            max-memory = "100MB"
            max-queue-bytes = "10MB"
            max-outbox-bytes = "1MB"
            max-queues = 10
            max-topics = 11
            max-functions = 12
            max-temporary-queues = 13
            data-dir = "kept"
            topics = ["news"]

            [log]
            sync = "100ms"
            compress = true
            compact = true
            strict = true
            key-file = "log.key"
            segment-size = "16MB"
            max-size = "500MB"

            [tls]
            cert = "own.pem"
            key = "own.key"
            ca = "ca.pem"

            [queues]
            jobs = { capacity = 100, durable = true, max-bytes = "1MB" }
            "orders/new" = { type = "circular", capacity = 5 }

            [queues.work]
            capacity = 7
            dead-letter = "jobs"
            max-attempts = 3
            backoff = 1
            max-backoff = 2.5
            expiry = 0.5
            "#,
        )
        .unwrap();
        assert_eq!(config.listen.unwrap().len(), 2);
        assert_eq!(config.max_message_size, Some(Size(5 << 20)));
        assert_eq!(config.compress_cutoff, Some(MaybeSize(Some(4 << 10))));
        let buffers = [config.socket_snd_buf_size, config.socket_rcv_buf_size];
        let expected = [Some(1 << 20), None].map(|size| Some(MaybeSize(size)));
        assert_eq!(buffers, expected);
        assert_eq!(config.max_memory, Some(Size(100 << 20)));
        assert_eq!(config.max_queue_bytes, Some(Size(10 << 20)));
        assert_eq!(config.max_outbox_bytes, Some(Size(1 << 20)));
        assert_eq!(config.max_temporary_queues, Some(13));
        assert_eq!(config.tls.ca, Some("ca.pem".into()));
        let queues: Vec<_> = config.queues.iter().collect();
        assert_eq!(queues[0].0.0, "jobs");
        assert_eq!(QueueType::from(queues[0].1.kind), QueueType::Bounded);
        assert_eq!(QueueType::from(queues[1].1.kind), QueueType::Circular);
        assert_eq!(queues[1].1.capacity, 5);
        assert_eq!(queues[0].1.max_bytes, Some(Size(1 << 20)));
        assert_eq!(queues[1].1.max_bytes, None);
        let millis = Duration::from_millis;
        let work = QueueOptions::new(7)
            .dead_letter("jobs")
            .max_attempts(3)
            .backoff(millis(1000), millis(2500))
            .expiry(millis(500));
        assert_eq!(queues[2].1.options(), work);
        let jobs = QueueOptions::new(100).durable(true).max_bytes(1 << 20);
        assert_eq!(queues[0].1.options(), jobs);
        assert_eq!(config.data_dir, Some("kept".into()));
        assert_eq!(config.log.sync, "100ms".parse().ok());
        assert!(config.log.compress && config.log.compact && config.log.strict);
        assert_eq!(config.log.key_file, Some("log.key".into()));
        assert_eq!(config.log.segment_size, Some(Size(16 << 20)));
        assert_eq!(config.log.max_size, Some(Size(500 << 20)));
        assert_eq!(config.topics[0].get_ref(), "news");
    }

    #[test]
    fn the_log_has_its_names_of_old_too() {
        let file = "write-ahead-log-dir = 'x'
            write-ahead-log-compress = true
            write-ahead-log-compact = true";
        let config = Config::parse(file).unwrap();
        assert_eq!(config.data_dir, Some("x".into()));
        assert!(config.log.compress && config.log.compact && !config.log.strict);
    }

    #[test]
    fn the_files_in_the_manual_are_right() {
        let manual = include_str!("../../../docs/broker.md");
        let files = manual.split("```toml\n").skip(1);
        let files: Vec<_> = files.filter_map(|rest| rest.split("```").next()).collect();
        assert!(files.len() >= 2);
        for file in files {
            Config::parse(file).unwrap();
        }
    }

    #[test]
    fn queues_come_behind_those_for_their_dead_letters() {
        let config = Config::parse(
            "[queues]
            a = { capacity = 1, dead-letter = 'c' }
            b = { capacity = 1, dead-letter = 'elsewhere' }
            c = { capacity = 1, dead-letter = 'd' }
            d = { capacity = 1 }
            e = { capacity = 1, dead-letter = 'e' }",
        );
        let config = config.unwrap();
        let order = config.queues_in_order().into_iter();
        let order: Vec<_> = order.map(|(name, _)| &*name.0).collect();
        assert_eq!(order, ["b", "d", "c", "a", "e"]);
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_the_reason() {
        for (line, wrong, reason) in [
            (2, "max-conections = 5", "unknown field `max-conections`"),
            (2, "max-connections = 0", "expected a nonzero"),
            (
                2,
                "max-connections = \"many\"",
                "invalid type: string \"many\"",
            ),
            (2, "max-queues = -1", "invalid value: integer `-1`"),
            (2, "max-message-size = \"1GB\"", "\"1GB\" is no size"),
            (2, "max-message-size = 2047", "2KB to 250MB is allowed"),
            (2, "max-message-size = \"251MB\"", "2KB to 250MB is allowed"),
            (2, "max-message-size = true", "expected a number of bytes"),
            (2, "client-keys = ['x']", "\"x\" is no public key"),
            (2, "compress-cutoff = -2", "-1 for none"),
            (2, "compress-cutoff = true", "-1 for none"),
            (2, "compress-cutoff = '5GB'", "\"5GB\" is no size"),
            (2, "encrypt = 1", "expected a boolean"),
            (2, "listen = 'tcp://127.0.0.1:1'", "expected a sequence"),
            (2, "topics = ['a b']", "letters, digits"),
            (3, "topics = [\n'ok', 'queue']\n", "queue is reserved"),
            (3, "[queues]\nwal = { capacity = 1 }", "wal is reserved"),
            (3, "[queues]\njobs = { size = 1 }", "unknown field `size`"),
            (
                3,
                "[queues]\njobs = { type = 'bounded' }",
                "missing field `capacity`",
            ),
            (
                3,
                "[queues]\njobs = { capacity = 0 }",
                "1 to 1000000000 are",
            ),
            (
                4,
                "[queues]\na = { capacity = 1 }\na = { capacity = 1 }",
                "duplicate key",
            ),
            (
                3,
                "[queues]\na = { capacity = 1, backoff = -1 }",
                "a number of seconds",
            ),
            (
                3,
                "[queues]\na = { capacity = 1, type = 'round' }",
                "unknown variant `round`",
            ),
            (3, "[tls]\ncertificate = 'x'", "unknown field `certificate`"),
            (2, "this is no TOML", "expected"),
        ] {
            let text = format!("encrypt = true\n{wrong}");
            let text = text.replace("encrypt = true\nencrypt", "\nencrypt");
            let (found, told) = Config::parse(&text).unwrap_err();
            assert!(told.contains(reason), "{wrong}: {told}");
            assert_eq!(found, line, "{wrong}: {told}");
        }
    }
}
