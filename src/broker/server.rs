//! The broker as a program has it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::endpoints::Endpoints;
use super::error::{Error, Result};
use super::hub::{Hub, Machine, Shared};
use super::journal::Journal;
use super::options::BrokerOptions;
use super::pool::Pool;
use super::queues::{QueueOptions, QueueStatus, QueueType};
use super::router::{Now, Router, Stats};
use super::wal::Report;
use crate::address::Address;
use crate::engine::{Core, Listening, Patience, lock};
use crate::options::{EndpointOptions, SocketOptions};
use crate::protocols::CtxId;
use crate::socket::Listener;
use crate::url::{Transport, Url};

/// What a message may have around its payload on the wire.
const ENVELOPE: usize = 128 * 1024;
/// Threads that check passwords. Hashing uses a processor fully; more would take those of everybody else.
const LOGINS: usize = 2;
/// Threads that compress and unpack long payloads, which uses a processor fully as well.
const PACKERS: usize = 2;

/// A broker: it manages queues, topics and functions for clients that connect to it.
///
/// It is a pair socket of version 1 for any number of peers. [`Client`](super::Client) is one for Rust programs; any
/// library for scalability protocols makes one in its language. Dropping the broker closes it.
///
/// ```
/// use std::time::Duration;
/// use wirebird::broker::{Broker, Client, Message, QueueType};
///
/// let broker = Broker::new()?;
/// broker.create_queue("jobs", 100, QueueType::Bounded)?;
/// let listener = broker.listen("tcp://127.0.0.1:0")?;
///
/// let client = Client::connect(&listener.url())?;
/// client.offer("jobs", Message::plain_text("1", "", "work")?, Duration::ZERO)?;
/// let job = client.poll("jobs", Duration::from_secs(1))?;
/// assert_eq!(job.payload_text().as_deref(), Some("work"));
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
pub struct Broker {
    core: Arc<Core>,
    pub(super) shared: Arc<Shared>,
    pub(super) endpoints: Endpoints,
    /// Whether passwords need another transport than tcp and ws.
    exposed: bool,
    server: Mutex<Option<JoinHandle<()>>>,
    /// Whether further clients are turned away.
    closing: Arc<AtomicBool>,
    recovered: Option<Report>,
}

impl Broker {
    /// A broker with the default options, that listens nowhere yet.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptors or threads left.
    pub fn new() -> Result<Self> {
        Self::with_options(&BrokerOptions::default())
    }

    /// A broker that listens nowhere yet.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption) with the option and its range, [`Error::Log`] if the log cannot be
    /// opened, and as [`new`](Self::new).
    pub fn with_options(options: &BrokerOptions) -> Result<Self> {
        options.check()?;
        let mut limits = options.limits.clone();
        limits.encrypt = options.guard.encrypts();
        let mut router = Router::new(limits, options.authenticator.clone());
        let known: Arc<Mutex<Weak<Core>>> = Arc::default();
        let recovered = match &options.log {
            None => None,
            Some(log) => {
                let teller = known.clone();
                let dedupe = options.limits.dedupe;
                let (journal, restored, report) =
                    Journal::open(log, dedupe, router.budget(), move || {
                        let core = lock(&teller).upgrade();
                        if let Some(core) = core {
                            core.poke();
                        }
                    })?;
                router.keep(journal, restored, Now::read(Instant::now()));
                Some(report)
            }
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(Hub::new(router, options.guard.clone())),
            core: known,
            pool: Pool::new(options.handlers, 1000),
            logins: Pool::new(LOGINS, options.limits.connections),
            packers: Pool::new(PACKERS, options.limits.connections.saturating_mul(2)),
        });
        let longest = options.limits.message_size + ENVELOPE;
        let sockets = SocketOptions::new()
            .linger(options.linger)
            .endpoint(EndpointOptions::new().recv_max_size(longest));
        let core = Core::new(Box::new(Machine(shared.clone())), false, &sockets)?;
        *lock(&shared.core) = Arc::downgrade(&core);
        let (most, connected) = (options.limits.connections, Arc::downgrade(&core));
        let closing = Arc::new(AtomicBool::new(false));
        let closes = closing.clone();
        let networks = options.authenticator.clone();
        core.set_filter(Arc::new(move |pipe| {
            let known = match (&networks, &pipe.peer) {
                (Some(networks), Address::Inet(address)) => networks.allows_address(address.ip()),
                _ => true,
            };
            let room = |core: Arc<Core>| core.stats().pipes < most;
            !closes.load(Ordering::Relaxed) && known && connected.upgrade().is_some_and(room)
        }));
        let serving = core.clone();
        let server = thread::Builder::new()
            .name("wirebird-broker".into())
            .spawn(move || serve(&serving))
            .map_err(crate::Error::from)?;
        Ok(Self {
            core,
            endpoints: Endpoints::new(shared.clone(), options),
            shared,
            exposed: options.authenticator.is_some() && !options.guard.encrypts(),
            server: Mutex::new(Some(server)),
            closing,
            recovered,
        })
    }

    /// What opening the log has found; `None` without a [log](BrokerOptions::log).
    #[must_use]
    pub fn recovered(&self) -> Option<&Report> {
        self.recovered.as_ref()
    }

    /// Listens at a URL of any transport. A broker may listen at any number.
    ///
    /// # Errors
    ///
    /// As [`Socket::listen`](crate::Socket::listen), and [`Error::Unprotected`] for `tcp` and `ws` if the broker has an
    /// authenticator and does not encrypt.
    pub fn listen(&self, url: &str) -> Result<Listener> {
        let listener = self.listener(url)?;
        listener.start()?;
        Ok(listener)
    }

    /// A listener to be configured before it is started.
    ///
    /// # Errors
    ///
    /// As [`Socket::listener`](crate::Socket::listener), and [`Error::Unprotected`].
    pub fn listener(&self, url: &str) -> Result<Listener> {
        if self.exposed && !is_private(url)? {
            return Err(Error::Unprotected(url.into()));
        }
        Ok(Listener::new(Listening::new(&self.core, url)?))
    }

    // ---- queues ----

    /// Makes a queue for a number of messages, 1 to 1,000,000,000. Returns whether it is new: one that exists and is the
    /// same stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`BadRequest`](super::Status::BadRequest) for an unusable name or capacity,
    /// [`Conflict`](super::Status::Conflict) if there is a different one, and
    /// [`LimitReached`](super::Status::LimitReached).
    pub fn create_queue(&self, name: &str, capacity: usize, queue_type: QueueType) -> Result<bool> {
        self.create_queue_with(name, &QueueOptions::new(capacity).queue_type(queue_type))
    }

    /// As [`create_queue`](Self::create_queue), with options.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue); [`QueueNotFound`](super::Status::QueueNotFound) if there is no queue for
    /// the dead letters, and [`BadRequest`](super::Status::BadRequest) for options that cannot be.
    pub fn create_queue_with(&self, name: &str, options: &QueueOptions) -> Result<bool> {
        let created = self.shared.with(|router, _, _| {
            let config = options.to_config(router.limits().queue_bytes)?;
            router.create_queue(name, config)
        });
        if created.is_ok() {
            self.shared.keep()?;
        }
        Ok(created?)
    }

    /// Removes a queue with all that is in it; who waits at it is told. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`BadRequest`](super::Status::BadRequest) for a temporary queue, and with
    /// [`Conflict`](super::Status::Conflict) if another queue sends its dead letters there.
    pub fn remove_queue(&self, name: &str) -> Result<bool> {
        let removed = self.shared.with(|router, now, out| {
            let removed = router.remove_queue(name, now);
            router.timeout(now, out);
            removed
        });
        self.shared.keep()?;
        Ok(removed?)
    }

    /// A queue at this moment.
    #[must_use]
    pub fn queue_status(&self, name: &str) -> QueueStatus {
        self.shared
            .with(|router, now, _| router.queue_status(name, now))
            .into()
    }

    /// The names of the queues, in order; temporary ones are not among them.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.shared
            .with(|router, _, _| router.queue_names().map(str::to_owned).collect())
    }

    /// Throws away what a queue holds. Returns how many messages that were.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`QueueNotFound`](super::Status::QueueNotFound).
    pub fn purge_queue(&self, name: &str) -> Result<usize> {
        let purged = self.shared.with(|router, now, out| {
            let purged = router.purge_queue(name, now);
            router.timeout(now, out);
            purged
        });
        self.shared.keep()?;
        Ok(purged?)
    }

    // ---- topics ----

    /// Makes a topic. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`BadRequest`](super::Status::BadRequest) for an unusable name, and
    /// [`LimitReached`](super::Status::LimitReached).
    pub fn create_topic(&self, name: &str) -> Result<bool> {
        let created = self.shared.with(|router, _, _| router.create_topic(name));
        Ok(created?)
    }

    /// Removes a topic, and with it its subscriptions. Returns whether there was one.
    pub fn remove_topic(&self, name: &str) -> bool {
        self.shared.with(|router, _, _| router.remove_topic(name))
    }

    /// Whether there is a topic of this name.
    #[must_use]
    pub fn has_topic(&self, name: &str) -> bool {
        self.shared.with(|router, _, _| router.has_topic(name))
    }

    // ---- the broker itself ----

    /// What the broker has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.with(|router, _, _| router.stats())
    }

    /// Whether it serves clients: it does from when it is made until it is closed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.closing.load(Ordering::Relaxed)
    }

    /// The names of the topics, in order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.shared
            .with(|router, _, _| router.topic_names().map(str::to_owned).collect())
    }

    /// Clients that are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.stats().pipes
    }

    /// Closes the broker: further clients are turned away, requests that wait at a queue are answered with
    /// [`QueueAccessInterrupted`](super::Status::QueueAccessInterrupted), and answers that are on their way are sent, for
    /// no longer than [`linger`](BrokerOptions::linger). Then all connections end.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::Error::TimedOut) when clients did not read their answers in time.
    pub fn close(&self) -> Result<()> {
        self.closing.store(true, Ordering::Relaxed);
        self.endpoints.close();
        self.shared.pool.close();
        self.shared
            .with(|router, now, out| router.interrupt(now, out));
        self.shared.logins.close();
        let closed = self.core.close();
        if let Some(server) = lock(&self.server).take() {
            // A panic of it was told when it happened.
            let _ = server.join();
        }
        // The log's thread must not be the last to hold it.
        let journal = lock(&self.shared.state).router.take_journal();
        drop(journal);
        Ok(closed?)
    }
}

/// Whether nobody on the way can read what goes over a URL.
pub(super) fn is_private(url: &str) -> Result<bool> {
    let url: Url = url.parse()?;
    Ok(match url.transport() {
        Transport::Tls | Transport::Wss => true,
        Transport::Ipc | Transport::Abstract | Transport::Inproc => true,
        Transport::Tcp | Transport::Ws | Transport::Descriptor => false,
    })
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody is left to be told that answers were not read.
        let _ = self.close();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// A thread that reads for the broker whenever there is something, and looks for more before it sleeps.
fn serve(core: &Core) {
    let mut nothing = crate::Message::new();
    while core
        .recv(
            CtxId::SOCKET,
            &mut nothing,
            Patience::Default,
            &core.timeouts,
        )
        .is_ok()
    {}
}
