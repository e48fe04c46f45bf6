//! The options of a broker.

use std::fmt;
use std::time::Duration;

use super::auth::Authenticator;
use super::codec::MAX_PAYLOAD;
use super::error::{Error, Result};
use super::journal::LogOptions;
use super::keys::{Identity, PublicKey};
use super::line::Guard;
use super::router::Limits;

/// The options of a broker.
///
/// A builder. Counts are limits; what meets one is answered with
/// [`LimitReached`](super::Status::LimitReached).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerOptions {
    pub(super) limits: Limits,
    pub(super) handlers: usize,
    pub(super) guard: Guard,
    pub(super) linger: Duration,
    pub(super) authenticator: Option<Authenticator>,
    pub(super) log: Option<LogOptions>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handlers: 16,
            guard: Guard::default(),
            linger: Duration::from_secs(1),
            authenticator: None,
            log: None,
        }
    }
}

impl BrokerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Clients that may be connected at once, at least 1, default 10,000. A further one is turned away.
    #[must_use]
    pub fn max_connections(mut self, clients: usize) -> Self {
        self.limits.connections = clients;
        self
    }

    /// Longest payload of a message, in bytes: 2 KiB to 250 MiB, default 20 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.limits.message_size = bytes;
        self
    }

    /// Compresses payloads with gzip that have at least so many bytes, to and from clients that can do that; `None`, the
    /// default, compresses nothing. It saves bytes on the line and costs both ends time; what is in queues is not
    /// compressed.
    #[must_use]
    pub fn compress_cutoff(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.limits.compress_cutoff = bytes.into();
        self
    }

    /// Queues, default 1,000; temporary ones do not count.
    #[must_use]
    pub fn max_queues(mut self, queues: usize) -> Self {
        self.limits.queues = queues;
        self
    }

    /// Bytes of the messages in a queue that is made without a limit of its own, at least 1, default 256 MiB. As many
    /// again may wait to be let in.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.limits.queue_bytes = bytes;
        self
    }

    /// Bytes of all messages that the broker holds at once, default 1 GiB, at least twice
    /// [`max_message_size`](Self::max_message_size): in queues, for those who wait,
    /// for calls, and on their way to clients. Each counts 500 bytes more than it has, for what is around it. Offers,
    /// publications, calls and waiting polls that would be too much are answered with
    /// [`RetryLater`](super::Status::RetryLater) and [counted](super::Stats::refused_for_memory).
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.limits.memory = bytes;
        self
    }

    /// Bytes that may wait for a client which is slow to read, at least 1, default 8 MiB. If so many bytes of answers
    /// wait, nothing more is read from it. Publications are dropped as its subscription says; a single one may be longer.
    #[must_use]
    pub fn max_outbox_bytes(mut self, bytes: usize) -> Self {
        self.limits.outbox_bytes = bytes;
        self
    }

    /// Topics, default 1,000.
    #[must_use]
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.limits.topics = topics;
        self
    }

    /// Functions, default 1,000.
    #[must_use]
    pub fn max_functions(mut self, functions: usize) -> Self {
        self.limits.functions = functions;
        self
    }

    /// Temporary queues of one client, default 50.
    #[must_use]
    pub fn max_temporary_queues(mut self, queues: usize) -> Self {
        self.limits.temporary_queues = queues;
        self
    }

    /// Threads that run functions, at least 1, default 16. They are started when they are needed.
    #[must_use]
    pub fn handler_threads(mut self, threads: usize) -> Self {
        self.handlers = threads;
        self
    }

    /// Whether any client may make and remove queues and topics, default false. For a broker that only its own machine
    /// reaches. Without effect if there is an [`authenticator`](Self::authenticator).
    #[must_use]
    pub fn open_admin(mut self, open: bool) -> Self {
        self.limits.open_admin = open;
        self
    }

    /// Whether clients must encrypt, default false. A client that does not is cut off at its first message.
    #[must_use]
    pub fn encrypt(mut self, required: bool) -> Self {
        self.guard.encrypt = required;
        self
    }

    /// The key that the broker proves to have, to clients that encrypt; default none.
    /// [`server_key`](super::ClientOptions::server_key) is the other end's side of it.
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.guard.identity = Some(identity.clone());
        self
    }

    /// Serves only clients that prove to have one of these keys, and so must encrypt; default any. The requests of others
    /// are answered with [`DiffieHellmanNak`](super::Status::DiffieHellmanNak).
    #[must_use]
    pub fn client_keys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.guard.clients = Some(keys.into_iter().collect());
        self
    }

    /// How long, and how many, answers to requests are kept that may be made again, so that they are done once: a time of
    /// 1 ms or more, default 2 minutes, and a number of 1 or more, default 100,000. At most 64 MiB of them are kept.
    ///
    /// Only requests that ask for it, as those of a [`RetryPolicy`](super::RetryPolicy) do, are recognised.
    #[must_use]
    pub fn dedupe_window(mut self, time: Duration, requests: usize) -> Self {
        self.limits.dedupe.age = time;
        self.limits.dedupe.entries = requests;
        self
    }

    /// After how long without a request a client has to say that it is alive, default [`Duration::ZERO`], which is never;
    /// else 10 ms or more. Clients that say nothing for three such intervals are cut off, also those that do not know of
    /// it: [`Client`](super::Client) asks the broker, others have to send `HEARTBEAT` by themselves. A message counts
    /// when it is complete, so that an interval has to be longer than the largest takes.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.limits.heartbeat = interval;
        self
    }

    /// How long closing waits for clients to read their answers, default 1 s.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Users, and what they may do; default none. With one, clients have to log in before they may do anything, and only
    /// administrators make and remove queues and topics.
    ///
    /// Passwords do not go over a network in the clear: such a broker listens at `tcp` and `ws` only if it
    /// [encrypts](Self::encrypt). With `tls+tcp` and `wss`, and within the machine, it need not.
    ///
    /// ```
    /// use wirebird::broker::{Authenticator, Broker, BrokerOptions, Client, ClientOptions, QueueType, Role, Status};
    ///
    /// let auth = Authenticator::new();
    /// auth.add_credentials("root", "correct horse", Role::Admin)?;
    /// let broker = Broker::with_options(&BrokerOptions::new().encrypt(true).authenticator(&auth))?;
    /// let listener = broker.listen("tcp://127.0.0.1:0")?;
    ///
    /// let root = ClientOptions::new().encrypt(true).credentials("root", "correct horse");
    /// let client = Client::connect_with(&listener.url(), &root)?;
    /// client.create_queue("jobs", 100, QueueType::Bounded)?;
    ///
    /// let wrong = ClientOptions::new().encrypt(true).credentials("root", "battery staple");
    /// let refused = Client::connect_with(&listener.url(), &wrong).unwrap_err();
    /// assert_eq!(refused.status(), Some(Status::NoPermission));
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    #[must_use]
    pub fn authenticator(mut self, authenticator: &Authenticator) -> Self {
        self.authenticator = Some(authenticator.clone());
        self
    }

    /// Keeps durable queues in a log; default none, and then no queue can be durable.
    #[must_use]
    pub fn log(mut self, log: &LogOptions) -> Self {
        self.log = Some(log.clone());
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let size = self.limits.message_size;
        if !(2 << 10..=MAX_PAYLOAD).contains(&size) {
            return Err(bad_option("max-message-size", size, "2 KiB to 250 MiB"));
        }
        if self.limits.connections == 0 {
            return Err(bad_option("max-connections", 0, "1 or more"));
        }
        if self.limits.queue_bytes == 0 {
            return Err(bad_option("max-queue-bytes", 0, "1 or more"));
        }
        if self.limits.outbox_bytes == 0 {
            return Err(bad_option("max-outbox-bytes", 0, "1 or more"));
        }
        let memory = self.limits.memory;
        if memory < size.saturating_mul(2) {
            let allowed = "twice max-message-size or more";
            return Err(bad_option("max-memory", memory, allowed));
        }
        if self.handlers == 0 {
            return Err(bad_option("handler-threads", 0, "1 or more"));
        }
        let dedupe = &self.limits.dedupe;
        if dedupe.age < Duration::from_millis(1) {
            return Err(bad_option("dedupe-window", dedupe.age, "1 ms or more"));
        }
        if dedupe.entries == 0 {
            return Err(bad_option("dedupe-window", 0, "1 request or more"));
        }
        let heartbeat = self.limits.heartbeat;
        if !heartbeat.is_zero() && heartbeat < Duration::from_millis(10) {
            return Err(bad_option(
                "heartbeat-interval",
                heartbeat,
                "0, or 10 ms or more",
            ));
        }
        Ok(())
    }
}

fn bad_option(option: &'static str, value: impl fmt::Debug, allowed: &'static str) -> Error {
    crate::Error::bad_option(option, value, allowed).into()
}
