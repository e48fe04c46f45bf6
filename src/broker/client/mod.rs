//! A client of a broker.
//!
//! A request is made the same way by calls that block and calls that are awaited: `ask` says what goes out and what an
//! answer means, `call` takes it there and back, again if it may be repeated.

pub(super) mod ask;
mod awaited;
mod batches;
mod blocking;
mod call;
mod desk;
mod events;
mod management;
mod options;
mod retry;
mod security;
mod status;
mod subscriptions;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) use desk::Desk;
pub use events::{ClientEvent, Events};
pub use options::{ClientOptions, SubscribeOptions};
pub use retry::RetryPolicy;
pub(super) use security::Security;
pub use status::{BrokerStatus, QueuedMessage};

use super::auth::{check_password, check_user};
use super::caller::Caller;
use super::error::{Error, Result};
use super::message::Message;
use super::server::is_private;
use crate::engine::{Core, Dialing, lock};
use crate::options::SocketOptions;
use options::Terms;
use retry::Budget;
use security::Credentials;
use subscriptions::Handlers;

/// A connection to a [`Broker`](super::Broker).
///
/// Any number of threads and tasks may use it at once, and their requests are under way at the same time. Clones share the
/// connection; it closes with the last one. Each call has a form that blocks and one that is awaited, with `_async`
/// behind its name, whose future any executor can run.
///
/// A connection that breaks is made again in the background, and login and subscriptions with it;
/// [`events`](Self::events) tells of it. Requests that were under way fail with
/// [`ConnectionReset`](crate::Error::ConnectionReset), because nobody knows whether they were carried out, unless a
/// [`RetryPolicy`] has them made again.
///
/// # Cancel safety
///
/// A future that is dropped, and a call whose time is over, gives its request up: what was not sent is not sent, and the
/// broker takes back a poll or an offer that waits there. An item that is on its way already is not lost: it goes to
/// another poll of its queue by this client, or the next one, or to [`take_late`](Self::take_late). A function that runs
/// is not stopped.
///
/// See [`Broker`](super::Broker) for an example; this is one of the forms that are awaited:
///
/// ```
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         let mut task = std::task::Context::from_waker(std::task::Waker::noop());
/// #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut task) {
/// #             return value;
/// #         }
/// #         std::thread::yield_now();
/// #     }
/// # }
/// use std::time::Duration;
/// use wirebird::broker::{Broker, Client, Message, QueueType, Result};
///
/// async fn hand_over(url: &str) -> Result<()> {
///     let client = Client::connect_async(url).await?;
///     let work = Message::plain_text(None, "", "work")?;
///     client.offer_async("jobs", work, Duration::ZERO).await?;
///     // Whatever else it is: this call may take a second at most, besides the wait for the item.
///     let quick = client.with_timeout(Duration::from_secs(1));
///     let job = quick.poll_async("jobs", Duration::from_secs(5)).await?;
///     assert_eq!(job.payload_text().as_deref(), Some("work"));
///     client.close_async().await
/// }
///
/// let broker = Broker::new()?;
/// broker.create_queue("jobs", 100, QueueType::Bounded)?;
/// let listener = broker.listen("tcp://127.0.0.1:0")?;
/// block_on(hand_over(&listener.url()))?;
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    terms: Terms,
}

struct Inner {
    core: Arc<Core>,
    desk: Arc<Mutex<Desk>>,
    handlers: Arc<Mutex<Handlers>>,
    url: String,
    options: ClientOptions,
    /// What may be made again, on this connection.
    budget: Mutex<Budget>,
    /// Whether the broker knows a request that it has done before.
    recognises: AtomicBool,
}

impl Client {
    /// A client that is not connected yet, and what is to connect it.
    fn begin(url: &str, options: &ClientOptions) -> Result<(Self, Arc<Dialing>)> {
        if let Some(credentials) = &options.security.credentials {
            check_user(&credentials.user)?;
            check_password(&credentials.password)?;
            if !options.security.encrypts() && !is_private(url)? {
                return Err(Error::Unprotected(url.into()));
            }
        }
        let desk = Arc::new(Mutex::new(Desk::default()));
        lock(&desk).heartbeat = options.heartbeat;
        let caller = Caller::new(desk.clone(), options.security.clone());
        let sockets = SocketOptions::new().endpoint(options.endpoint.clone());
        let core = Core::new(Box::new(caller), false, &sockets)?;
        let inner = Inner {
            core,
            desk,
            handlers: Arc::default(),
            url: url.into(),
            options: options.clone(),
            budget: Mutex::default(),
            recognises: AtomicBool::new(false),
        };
        let dialing = Dialing::new(&inner.core, url)?;
        let client = Self {
            inner: Arc::new(inner),
            terms: options.terms.clone(),
        };
        Ok((client, dialing))
    }

    /// What the broker and the client do not agree on is told of now.
    fn greeted(&self, answer: &Message) -> Result<()> {
        let config = ask::Config::read(answer)?;
        let inner = &self.inner;
        config.admits(inner.options.security.credentials.is_some())?;
        lock(&inner.desk).greeted = true;
        inner.recognises.store(config.recognises, Ordering::Relaxed);
        if let Some(interval) = config.heartbeat {
            let mut desk = lock(&inner.desk);
            desk.heartbeat = Some(desk.heartbeat.map_or(interval, |own| own.min(interval)));
        }
        // The machine sees when the next sign of life is due.
        inner.core.poke();
        Ok(())
    }

    /// The options of a connection as somebody else.
    fn options_for(&self, user: &str, password: &str) -> ClientOptions {
        let mut options = self.options_now();
        options.security.credentials = Some(Credentials::new(user, password));
        options
    }

    fn options_now(&self) -> ClientOptions {
        let mut options = self.inner.options.clone();
        options.terms = self.terms.clone();
        options
    }

    // ---- terms ----

    /// A handle on the same connection whose requests may take another time than
    /// [`ClientOptions::timeout`] says. What the broker lets wait as long as it takes has this time to be sent, which it
    /// is not while there is no connection.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wirebird::broker::{Broker, Client, Message};
    /// # let broker = Broker::new()?;
    /// # broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    /// # let listener = broker.listen("inproc://doc-with-timeout")?;
    /// # let client = Client::connect(&listener.url())?;
    /// let patient = client.with_timeout(Duration::from_secs(60));
    /// patient.send("echo", Message::plain_text(None, "", "hello")?)?;
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(&self, time: Duration) -> Self {
        let mut client = self.clone();
        client.terms.timeout = time;
        client
    }

    /// A handle on the same connection whose requests are made again as another policy says, or not at all.
    #[must_use]
    pub fn with_retry(&self, policy: impl Into<Option<RetryPolicy>>) -> Self {
        let mut client = self.clone();
        client.terms.retry = policy.into();
        client
    }

    // ---- the connection ----

    /// What happens to the connection from now on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirebird::broker::{Broker, Client, ClientEvent};
    ///
    /// let broker = Broker::new()?;
    /// let listener = broker.listen("inproc://doc-events")?;
    /// let client = Client::connect(&listener.url())?;
    /// let events = client.events()?;
    /// drop(broker);
    /// assert_eq!(events.recv_timeout(Duration::from_secs(5))?, ClientEvent::Disconnected);
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed).
    pub fn events(&self) -> Result<Events> {
        Events::new(&self.inner.core, &self.inner.desk)
    }

    /// Whether there is a connection that can be used, or is none for the moment. Requests wait for one.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        lock(&self.inner.desk).connected && self.inner.core.stats().pipes > 0
    }

    /// The topics and patterns that this client subscribes to, in order. A connection that is made again has them again.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<String> {
        let desk = lock(&self.inner.desk);
        let mut topics: Vec<String> = desk.subscriptions.keys().cloned().collect();
        drop(desk);
        topics.sort_unstable();
        topics
    }

    /// Publications that were lost because this client did not keep up: here, or at the broker, which says so with the next
    /// one.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.inner.desk).missed
    }

    /// Takes the items that came when nobody waited for them any more, up to 10,000, so that they are not lost with the
    /// client. The next polls of their queues no longer get them.
    #[must_use]
    pub fn take_late(&self) -> Vec<Message> {
        lock(&self.inner.desk).late.take_all()
    }
}

impl Inner {
    fn recognises(&self) -> bool {
        self.recognises.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.inner.url)
            .finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.core.close();
    }
}
