//! The broker's configuration file.
//!
//! What is wrong in it is told with the file, the line and the reason.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use wirebird::broker::{AuthError, PublicKey, QueueType, check_name, is_reserved};

use super::super::failure::Failure;
use super::super::size::{MaybeSize, Size};

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
    pub(super) queues: BTreeMap<Name, Queue>,
    pub(super) topics: Vec<Spanned<String>>,
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

    /// Reads a file. The files it names are beside it, unless they are named from the root.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::input(format_args!("Cannot read {shown}: {error}")))?;
        let mut config = Self::parse(&text)
            .map_err(|(line, reason)| Failure::input(format_args!("{shown}:{line}: {reason}")))?;
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        let tls = &mut config.tls;
        let (users, identity) = (&mut config.authenticator, &mut config.identity);
        let named = [users, identity, &mut tls.cert, &mut tls.key, &mut tls.ca];
        for path in named.into_iter().flatten() {
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
        let config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().to_owned())
        })?;
        for topic in &config.topics {
            // The parser would name the line in which the list begins.
            let name = Name::try_from(topic.get_ref().clone());
            name.map_err(|reason| at(topic.span().start, reason))?;
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
            topics = ["news"]

            [tls]
            cert = "own.pem"
            key = "own.key"
            ca = "ca.pem"

            [queues]
            jobs = { capacity = 100, max-bytes = "1MB" }
            "orders/new" = { type = "circular", capacity = 5 }
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
        assert_eq!(config.topics[0].get_ref(), "news");
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
