//! A client of a broker.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::auth::{check_password, check_user};
use super::caller::{Caller, Credentials, Desk, Security, config_request};
use super::error::{Error, Result};
use super::keys::{Identity, PublicKey};
use super::message::{Message, MessageError, MessageType, Status};
use super::queues::QueueType;
use super::server::is_private;
use crate::engine::{Core, Dialing, Patience, lock};
use crate::options::{EndpointOptions, SocketOptions};
use crate::protocols::CtxId;

/// How much longer than the broker a client waits for an answer that itself may take its time.
const GRACE: Duration = Duration::from_secs(10);

/// The options of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    security: Security,
    timeout: Duration,
    endpoint: EndpointOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            security: Security::default(),
            timeout: GRACE,
            endpoint: EndpointOptions::new().recv_max_size(251 << 20),
        }
    }
}

impl ClientOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the connection is encrypted, default false. A broker that does not take part is not spoken to.
    #[must_use]
    pub fn encrypt(mut self, required: bool) -> Self {
        self.security.encrypt = required;
        self
    }

    /// Who the client is: it logs in when it is connected, and again whenever it was connected anew. Default: nobody.
    ///
    /// The password is not sent over `tcp` and `ws` without [`encrypt`](Self::encrypt).
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.security.credentials = Some(Credentials::new(user, password));
        self
    }

    /// The key that the broker has to prove to have; it implies [`encrypt`](Self::encrypt). Default: any, so that the
    /// connection is secret but who is at its other end is not known.
    #[must_use]
    pub fn server_key(mut self, key: PublicKey) -> Self {
        self.security.server = Some(key);
        self
    }

    /// The key that the client proves to have; it implies [`encrypt`](Self::encrypt). Default: none. A broker may
    /// [serve](super::BrokerOptions::client_keys) only those whose keys it knows.
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.security.identity = Some(identity.clone());
        self
    }

    /// How long a request may take until it is answered, default 10 s. The time that an offer or a poll may wait is
    /// added to it.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The options of the connection: reconnecting, TLS and the like.
    #[must_use]
    pub fn endpoint(mut self, options: EndpointOptions) -> Self {
        self.endpoint = options;
        self
    }
}

/// A connection to a [`Broker`](super::Broker).
///
/// Any number of threads may use it at once, and their requests are under way at the same time. Clones share the
/// connection; it closes with the last one. A connection that breaks is made again in the background, and subscriptions
/// with it; requests that were under way fail with [`ConnectionReset`](crate::Error::ConnectionReset), because nobody
/// knows whether they were carried out.
///
/// See [`Broker`](super::Broker) for an example.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    desk: Arc<Mutex<Desk>>,
    handlers: Arc<Mutex<HashMap<String, Handler>>>,
    url: String,
    options: ClientOptions,
}

type Handler = Arc<dyn Fn(&Message) + Send + Sync>;

impl Client {
    /// Connects to the broker at a URL, and waits for its first answer.
    ///
    /// # Errors
    ///
    /// As [`Socket::dial`](crate::Socket::dial). [`Error::Refused`] with
    /// [`NoPermission`](super::Status::NoPermission) if the user or the password is wrong, or the broker wants one and
    /// none is given, with [`BadRequest`](super::Status::BadRequest) if one is given and the broker has no users, and with
    /// [`RateLimited`](super::Status::RateLimited) after too many failures, and with
    /// [`DiffieHellmanNak`](super::Status::DiffieHellmanNak) if either end does not have a key that the other one knows
    /// it by. [`Error::Auth`] for a user or password that
    /// cannot be, [`Error::Unprotected`] for one that would go over a network in the clear.
    pub fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, &ClientOptions::default())
    }

    /// Connects to the broker at a URL, with options.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with(url: &str, options: &ClientOptions) -> Result<Self> {
        if let Some(credentials) = &options.security.credentials {
            check_user(&credentials.user)?;
            check_password(&credentials.password)?;
            if !options.security.encrypts() && !is_private(url)? {
                return Err(Error::Unprotected(url.into()));
            }
        }
        let desk = Arc::new(Mutex::new(Desk::default()));
        let caller = Caller::new(desk.clone(), options.security.clone());
        let sockets = SocketOptions::new().endpoint(options.endpoint.clone());
        let core = Core::new(Box::new(caller), false, &sockets)?;
        let inner = Arc::new(Inner {
            core,
            desk,
            handlers: Arc::default(),
            url: url.into(),
            options: options.clone(),
        });
        Dialing::new(&inner.core, url)?.start_and_wait(None)?;
        let client = Self { inner };
        client.greet()?;
        Ok(client)
    }

    /// What the broker and the client do not agree on is told of now.
    fn greet(&self) -> Result<()> {
        let config = self.expect_ok(config_request()?)?.payload_data()?;
        if config["authentication"] == true && self.inner.options.security.credentials.is_none() {
            let text = "the broker wants a user and a password";
            return Err(Error::refused(Status::NoPermission, text));
        }
        Ok(())
    }

    /// Another connection to the same broker, with the same options.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn copy(&self) -> Result<Self> {
        Self::connect_with(&self.inner.url, &self.inner.options)
    }

    /// Asks the broker for a sign of life.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn heartbeat(&self) -> Result<()> {
        let ask = Message::plain_text(None, "", "")?.addressed_to(MessageType::Heartbeat, None)?;
        self.expect_ok(ask).map(drop)
    }

    // ---- functions ----

    /// Calls a function and returns its answer.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the status of an answer that is not OK; [`Error::Message`] for a payload that is longer
    /// than the broker takes, which is not sent; [`Error::Socket`] with [`TimedOut`](crate::Error::TimedOut) or
    /// [`ConnectionReset`](crate::Error::ConnectionReset).
    pub fn send(&self, function: &str, message: Message) -> Result<Message> {
        self.expect_ok(message.addressed_to(MessageType::Request, function)?)
    }

    /// Calls a function and does not wait for the answer, which there will be none of.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`] if the request could not be handed to the system in time.
    pub fn send_oneway(&self, function: &str, message: Message) -> Result<()> {
        let message = message.addressed_to(MessageType::Request, function)?;
        self.post(message.with_oneway(true))
    }

    // ---- queues ----

    /// Puts a message into a queue. If that is full, the broker waits up to `wait` for room; [`Duration::MAX`] waits as
    /// long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`QueueFull`](super::Status::QueueFull) or
    /// [`QueueNotFound`](super::Status::QueueNotFound), and as [`send`](Self::send).
    pub fn offer(&self, queue: &str, message: Message, wait: Duration) -> Result<()> {
        let message = message
            .addressed_to(MessageType::Offer, queue)?
            .with_timeout(millis(wait))?;
        self.expect_ok(message).map(drop)
    }

    /// As [`offer`](Self::offer), and says into which queue the answer is to be put.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub fn offer_with_reply_to(
        &self,
        queue: &str,
        reply_to: &str,
        message: Message,
        wait: Duration,
    ) -> Result<()> {
        self.offer(queue, message.with_reply_to(reply_to)?, wait)
    }

    /// Takes the oldest message out of a queue. If that is empty, the broker waits up to `wait` for one;
    /// [`Duration::MAX`] waits as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`QueueEmpty`](super::Status::QueueEmpty) or
    /// [`QueueNotFound`](super::Status::QueueNotFound), and as [`send`](Self::send).
    pub fn poll(&self, queue: &str, wait: Duration) -> Result<Message> {
        let ask = Message::plain_text(None, "", "")?
            .addressed_to(MessageType::Poll, queue)?
            .with_timeout(millis(wait))?;
        self.expect_ok(ask)
    }

    /// Makes a queue that goes with this connection, for a number of messages; returns its name. Anybody who knows the
    /// name may offer to it, only this client may poll it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`LimitReached`](super::Status::LimitReached) or
    /// [`BadRequest`](super::Status::BadRequest), and as [`send`](Self::send).
    pub fn create_temporary_queue(&self, capacity: usize) -> Result<String> {
        let answer = self.manage(
            MessageType::CreateTempQueue,
            None,
            &json!({ "capacity": capacity }),
        )?;
        Ok(answer.payload_text().unwrap_or_default().into_owned())
    }

    // ---- topics ----

    /// Publishes a message on a topic. Returns to how many subscribers it goes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`TopicNotFound`](super::Status::TopicNotFound), and as [`send`](Self::send).
    pub fn publish(&self, topic: &str, message: Message) -> Result<usize> {
        let answer = self.expect_ok(message.addressed_to(MessageType::Publish, topic)?)?;
        let delivered = answer
            .header("delivered")
            .and_then(|count| count.parse().ok());
        Ok(delivered.unwrap_or(0))
    }

    /// Has a handler called with each message that is published on a topic, or on those that a pattern matches, from now
    /// on. Handlers run one after the other on a thread of the client. A second subscription to the same takes the
    /// place of the first.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`TopicNotFound`](super::Status::TopicNotFound), and as [`send`](Self::send).
    pub fn subscribe(
        &self,
        topic: &str,
        handler: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<()> {
        let ask = Message::plain_text(None, "", "")?.addressed_to(MessageType::Subscribe, topic)?;
        let mut handlers = lock(&self.inner.handlers);
        let first = handlers.is_empty();
        handlers.insert(topic.into(), Arc::new(handler));
        drop(handlers);
        if first {
            self.start_handling()?;
        }
        match self.expect_ok(ask.clone()) {
            Ok(_) => {
                // Nobody waits for the answer when it is made again.
                let again = ask.with_oneway(true);
                lock(&self.inner.desk)
                    .subscriptions
                    .insert(topic.into(), again);
                Ok(())
            }
            Err(error) => {
                lock(&self.inner.handlers).remove(topic);
                Err(error)
            }
        }
    }

    /// Ends a subscription.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`TopicNotFound`](super::Status::TopicNotFound), and as [`send`](Self::send).
    pub fn unsubscribe(&self, topic: &str) -> Result<()> {
        lock(&self.inner.desk).subscriptions.remove(topic);
        let ask =
            Message::plain_text(None, "", "")?.addressed_to(MessageType::Unsubscribe, topic)?;
        let answer = self.expect_ok(ask).map(drop);
        lock(&self.inner.handlers).remove(topic);
        answer
    }

    /// Starts the thread that gives publications to handlers. It ends with the connection.
    fn start_handling(&self) -> Result<()> {
        let (core, desk) = (self.inner.core.clone(), self.inner.desk.clone());
        let handlers = self.inner.handlers.clone();
        let handle = move || {
            let mut nothing = crate::Message::new();
            while core
                .recv(
                    CtxId::SOCKET,
                    &mut nothing,
                    Patience::Default,
                    &core.timeouts,
                )
                .is_ok()
            {
                let next = lock(&desk).publications.pop_front();
                let Some(publication) = next else { continue };
                for handler in matching(&lock(&handlers), publication.destination()) {
                    handler(&publication);
                }
            }
        };
        thread::Builder::new()
            .name("wirebird-handler".into())
            .spawn(handle)
            .map_err(crate::Error::from)?;
        Ok(())
    }

    // ---- management ----

    /// Makes a queue; see [`Broker::create_queue`](super::Broker::create_queue). For administrators.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`NoPermission`](super::Status::NoPermission) and what the broker's method says, and as
    /// [`send`](Self::send).
    pub fn create_queue(&self, name: &str, capacity: usize, queue_type: QueueType) -> Result<()> {
        let kind = match queue_type {
            QueueType::Bounded => "BOUNDED",
            QueueType::Circular => "CIRCULAR",
        };
        let fields = json!({ "name": name, "capacity": capacity, "type": kind });
        self.manage(MessageType::CreateQueue, Some(name), &fields)
            .map(drop)
    }

    /// Removes a queue, if it exists. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn remove_queue(&self, name: &str) -> Result<()> {
        self.manage(MessageType::RemoveQueue, Some(name), &Value::Null)
            .map(drop)
    }

    /// Makes a topic. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn create_topic(&self, name: &str) -> Result<()> {
        self.manage(MessageType::CreateTopic, Some(name), &Value::Null)
            .map(drop)
    }

    /// Removes a topic, if it exists. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn remove_topic(&self, name: &str) -> Result<()> {
        self.manage(MessageType::RemoveTopic, Some(name), &Value::Null)
            .map(drop)
    }

    /// Sends any request, and returns the answer whatever its status.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn request(&self, message: Message) -> Result<Message> {
        self.ask(message)
    }

    /// Sends any request as one that is not answered.
    ///
    /// # Errors
    ///
    /// As [`send_oneway`](Self::send_oneway).
    pub fn request_oneway(&self, message: Message) -> Result<()> {
        self.post(message.with_oneway(true))
    }

    fn manage(&self, kind: MessageType, name: Option<&str>, fields: &Value) -> Result<Message> {
        let message = if fields.is_null() {
            Message::plain_text(None, "", "")?
        } else {
            Message::data(None, "", fields)?
        };
        self.expect_ok(message.addressed_to(kind, name)?)
    }

    // ---- the connection ----

    /// Closes the connection: every clone of the client is closed then. Requests that wait for their answer fail.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::Error::TimedOut) when the broker did not read in time what was sent last.
    pub fn close(&self) -> Result<()> {
        Ok(self.inner.core.close()?)
    }

    /// Publications that were lost because handlers did not keep up.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.inner.desk).missed
    }

    fn expect_ok(&self, message: Message) -> Result<Message> {
        let answer = self.ask(message)?;
        if answer.is_ok() {
            Ok(answer)
        } else {
            Err(Error::answered(&answer))
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(&self, message: Message) -> Result<Message> {
        let core = &self.inner.core;
        let patience = match message.timeout() {
            Some(-1) => Patience::Default,
            wait => Patience::For(
                self.inner
                    .options
                    .timeout
                    .saturating_add(Duration::from_millis(wait.unwrap_or(0).unsigned_abs())),
            ),
        };
        self.check_size(&message)?;
        let errand = Errand::begin(core)?;
        let message = message.with_id(uuid::Uuid::new_v4());
        lock(&self.inner.desk).asking.insert(errand.ctx, message);
        let mut nothing = crate::Message::new();
        self.hand_over(errand.ctx, patience)?;
        core.recv(errand.ctx, &mut nothing, patience, &core.timeouts)?;
        let answer = lock(&self.inner.desk).answers.remove(&errand.ctx);
        answer.ok_or(Error::Socket(crate::Error::ConnectionReset))
    }

    /// Refuses what the broker would refuse, without sending it.
    fn check_size(&self, message: &Message) -> Result<()> {
        let length = message.payload_binary().len();
        match lock(&self.inner.desk).longest {
            Some(limit) if length > limit => Err(Error::Message(MessageError::TooLong {
                field: "payload",
                length,
                limit,
            })),
            _ => Ok(()),
        }
    }

    /// Sends a request that is not answered.
    fn post(&self, message: Message) -> Result<()> {
        let core = &self.inner.core;
        self.check_size(&message)?;
        let errand = Errand::begin(core)?;
        lock(&self.inner.desk).asking.insert(errand.ctx, message);
        self.hand_over(errand.ctx, Patience::For(self.inner.options.timeout))
    }

    /// Sends what the desk has for a context.
    fn hand_over(&self, ctx: CtxId, patience: Patience) -> Result<()> {
        let core = &self.inner.core;
        let mut nothing = crate::Message::new();
        core.send(ctx, &mut nothing, patience, &core.timeouts)
            .map_err(|error| match &lock(&self.inner.desk).refused {
                Some(answer) if error == crate::Error::PermissionDenied => Error::answered(answer),
                _ => error.into(),
            })
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

/// A context that closes by itself.
struct Errand<'a> {
    core: &'a Core,
    ctx: CtxId,
}

impl<'a> Errand<'a> {
    fn begin(core: &'a Core) -> Result<Self> {
        let ctx = core.open_context()?;
        Ok(Self { core, ctx })
    }
}

impl Drop for Errand<'_> {
    fn drop(&mut self) {
        self.core.close_context(self.ctx);
    }
}

/// The handlers for a publication.
fn matching(handlers: &HashMap<String, Handler>, topic: Option<&str>) -> Vec<Handler> {
    let Some(topic) = topic else {
        return Vec::new();
    };
    let meant = handlers.iter().filter(|(pattern, _)| {
        pattern.as_str() == topic
            || super::topics::Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(topic))
    });
    meant.map(|(_, handler)| handler.clone()).collect()
}

/// A wait as the protocol has it: milliseconds, -1 for as long as it takes.
fn millis(wait: Duration) -> i64 {
    if wait == Duration::MAX {
        -1
    } else {
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
    }
}
