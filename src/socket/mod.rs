//! The sockets: typed handles on the engine.

mod context;
mod device;
mod endpoint;
pub mod pattern;
mod raw;

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

pub use context::Context;
pub use device::{forward, reflect};
pub use endpoint::{Dialer, Listener, Pipe};
use pattern::{
    BusNode, PairPolyamorous, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Request, Respond,
    Subscribe, Survey,
};
pub use pattern::{Contexts, Pattern, RawKind, Receives, Sends, Subscribes};
pub use raw::RawSocket;

use crate::engine::{Core, Dialing, Event, Listening, Monitor, Patience, PipeInfo, SocketStats};
use crate::error::{Result, SendError};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::protocols::{CtxId, ProtocolInfo};
use crate::transports::{self, Setup};

/// Version 0 pair: exactly one peer, messages both ways, in order.
///
/// A second peer is turned away while the first is there. Sending waits while there is no peer or it does not
/// keep up.
///
/// ```
/// use wirebird::Pair0;
///
/// let (left, right) = (Pair0::new()?, Pair0::new()?);
/// left.listen("inproc://doc-pair0")?;
/// right.dial("inproc://doc-pair0")?;
/// left.send("ping")?;
/// assert_eq!(right.recv()?.body(), b"ping");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Pair0 = Socket<PairV0>;

/// Version 1 pair: as [`Pair0`], and messages count the devices they pass.
///
/// ```
/// use wirebird::Pair1;
///
/// let (left, right) = (Pair1::new()?, Pair1::new()?);
/// left.listen("inproc://doc-pair1")?;
/// right.dial("inproc://doc-pair1")?;
/// right.send("pong")?;
/// assert_eq!(left.recv()?.body(), b"pong");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Pair1 = Socket<PairV1>;

/// Version 1 pair with any number of peers: a message goes to the pipe it names, or to the first.
///
/// nng deprecates the mode. A message to a pipe that is gone or does not keep up is dropped.
///
/// ```
/// use wirebird::{Message, Pair1, PairPoly};
///
/// let hub = PairPoly::new()?;
/// hub.listen("inproc://doc-poly")?;
/// let peer = Pair1::new()?;
/// peer.dial("inproc://doc-poly")?;
/// peer.send("question")?;
/// let question = hub.recv()?;
/// let mut answer = Message::from("answer");
/// answer.set_pipe(question.pipe());
/// hub.send(answer)?;
/// assert_eq!(peer.recv()?.body(), b"answer");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type PairPoly = Socket<PairPolyamorous>;

/// Sends requests, each to one [`Rep`], and receives the reply; sends a request again if its peer goes away or does
/// not reply.
///
/// A new request cancels the one before. [`context`](Socket::context) makes further, independent requests possible.
///
/// ```
/// use wirebird::{Rep, Req};
///
/// let (rep, req) = (Rep::new()?, Req::new()?);
/// rep.listen("inproc://doc-req")?;
/// req.dial("inproc://doc-req")?;
/// req.send("ping")?;
/// assert_eq!(rep.recv()?.body(), b"ping");
/// rep.send("pong")?;
/// assert_eq!(req.recv()?.body(), b"pong");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Req = Socket<Request>;

/// Receives requests and sends each one's reply. See [`Req`] for an example.
pub type Rep = Socket<Reply>;

/// Sends every message to every [`Sub`]; never waits. A subscriber that does not keep up loses its oldest messages.
///
/// It cannot receive:
///
/// ```compile_fail
/// let publisher = wirebird::Pub::new().unwrap();
/// publisher.recv();
/// ```
pub type Pub = Socket<Publish>;

/// Receives the messages that begin with one of its subscriptions; starts with none.
///
/// ```
/// use wirebird::{Pub, Sub};
/// use std::time::Duration;
///
/// let (publisher, subscriber) = (Pub::new()?, Sub::new()?);
/// publisher.listen("inproc://doc-pub")?;
/// subscriber.subscribe("weather.")?;
/// subscriber.dial("inproc://doc-pub")?;
/// publisher.wait_for_peers(1, Duration::from_secs(5))?;
/// publisher.send("sports.score 1:0")?;
/// publisher.send("weather.rain 3 mm")?;
/// assert_eq!(subscriber.recv()?.body(), b"weather.rain 3 mm");
/// # Ok::<(), wirebird::Error>(())
/// ```
///
/// It cannot send:
///
/// ```compile_fail
/// let subscriber = wirebird::Sub::new().unwrap();
/// subscriber.send("x");
/// ```
pub type Sub = Socket<Subscribe>;

/// Sends each message to one [`Pull`], taking turns; waits while none is ready.
///
/// ```
/// use wirebird::{Pull, Push};
///
/// let (push, pull) = (Push::new()?, Pull::new()?);
/// pull.listen("inproc://doc-push")?;
/// push.dial("inproc://doc-push")?;
/// push.send("work")?;
/// assert_eq!(pull.recv()?.body(), b"work");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Push = Socket<PushSide>;

/// Receives from every [`Push`], taking turns.
pub type Pull = Socket<PullSide>;

/// Asks every [`Respondent`] and collects the answers that come within the survey time.
///
/// ```
/// use wirebird::{Error, Respondent, SocketOptions, Surveyor};
/// use std::time::Duration;
///
/// let options = SocketOptions::new().survey_time(Duration::from_millis(100));
/// let surveyor = Surveyor::with_options(&options)?;
/// surveyor.listen("inproc://doc-survey")?;
/// let respondent = Respondent::new()?;
/// respondent.dial("inproc://doc-survey")?;
/// surveyor.wait_for_peers(1, Duration::from_secs(5))?;
/// surveyor.send("who is there?")?;
/// assert_eq!(respondent.recv()?.body(), b"who is there?");
/// respondent.send("me")?;
/// assert_eq!(surveyor.recv()?.body(), b"me");
/// assert_eq!(surveyor.recv(), Err(Error::TimedOut));
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Surveyor = Socket<Survey>;

/// Receives surveys and answers them. See [`Surveyor`] for an example.
pub type Respondent = Socket<Respond>;

/// Sends every message to every peer, and receives theirs; never waits. Messages are not passed on.
///
/// ```
/// use wirebird::Bus;
/// use std::time::Duration;
///
/// let (one, other) = (Bus::new()?, Bus::new()?);
/// one.listen("inproc://doc-bus")?;
/// other.dial("inproc://doc-bus")?;
/// one.wait_for_peers(1, Duration::from_secs(5))?;
/// one.send("news")?;
/// assert_eq!(other.recv()?.body(), b"news");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub type Bus = Socket<BusNode>;

/// A socket of one protocol.
///
/// A handle: clones share the socket, and it may be used from any number of threads at once. What a protocol cannot
/// do does not compile. The socket closes when the last handle is dropped, as by [`close`](Self::close).
///
/// # Blocking and deadlines
///
/// `send` and `recv` wait as long as the socket's time-outs say, for ever by default; `send_timeout` and
/// `recv_timeout` take a deadline for one call; `try_send` and `try_recv` never wait. A failed send gives the
/// message back. Closing the socket wakes every blocked call with [`Error::Closed`](crate::Error::Closed).
pub struct Socket<P: Pattern> {
    handle: Arc<Handle>,
    pattern: PhantomData<fn() -> P>,
}

/// The last one to go closes the socket.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to be told that the linger time was too short; the statistics count it.
        let _ = self.core.close();
    }
}

/// What every socket has, typed or raw: implemented once and delegated to.
macro_rules! common {
    () => {
        /// The protocol's numbers and names.
        #[must_use]
        pub fn protocol(&self) -> ProtocolInfo {
            self.handle.core.info
        }

        /// The socket's name: the one its options gave it, or its number.
        #[must_use]
        pub fn name(&self) -> String {
            self.handle.core.name()
        }

        /// The options in force.
        #[must_use]
        pub fn options(&self) -> SocketOptions {
            self.handle.core.options()
        }

        /// Changes the options; each says when it takes effect. If one is wrong none is changed.
        ///
        /// # Errors
        ///
        /// [`InvalidOption`](crate::Error::InvalidOption) with the option and its range,
        /// [`NotSupported`](crate::Error::NotSupported) for an option the protocol does not have,
        /// [`Closed`](crate::Error::Closed).
        pub fn set_options(&self, options: &SocketOptions) -> Result<()> {
            self.handle.core.set_options(options)
        }

        /// Connects to a peer, and again whenever the connection is lost.
        ///
        /// Waits for the first attempt, at most the endpoint's connect timeout. If that fails nothing goes on in
        /// the background.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`ConnectionRefused`](crate::Error::ConnectionRefused) when
        /// nobody listens, [`WrongProtocol`](crate::Error::WrongProtocol), [`TimedOut`](crate::Error::TimedOut),
        /// and whatever else the network says.
        pub fn dial(&self, url: &str) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait(None)?;
            Ok(dialer)
        }

        /// As [`dial`](Self::dial), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`dial`](Self::dial).
        pub fn dial_timeout(&self, url: &str, timeout: Duration) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait(Some(timeout))?;
            Ok(dialer)
        }

        /// Connects in the background, now or when the peer is there, and again whenever the connection is lost.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl) and [`Closed`](crate::Error::Closed) only; attempts that fail
        /// are events.
        pub fn dial_background(&self, url: &str) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start()?;
            Ok(dialer)
        }

        /// Listens for peers.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`AddressInUse`](crate::Error::AddressInUse),
        /// [`PermissionDenied`](crate::Error::PermissionDenied), and whatever else the system says.
        pub fn listen(&self, url: &str) -> Result<Listener> {
            let listener = self.listener(url)?;
            listener.start()?;
            Ok(listener)
        }

        /// A dialer that is not started, to be configured first.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`Closed`](crate::Error::Closed).
        pub fn dialer(&self, url: &str) -> Result<Dialer> {
            Dialing::new(&self.handle.core, url).map(Dialer::new)
        }

        /// A listener that is not started, to be configured first.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`Closed`](crate::Error::Closed).
        pub fn listener(&self, url: &str) -> Result<Listener> {
            Listening::new(&self.handle.core, url).map(Listener::new)
        }

        /// Takes over a connected stream socket, with tcp's framing, and waits until its peer has shaken hands,
        /// at most the endpoint's handshake timeout. Which end connected does not matter. `socket://` listeners
        /// take descriptors without waiting.
        ///
        /// # Errors
        ///
        /// What the handshake says; the descriptor is closed then.
        pub fn adopt(&self, stream: impl Into<OwnedFd>) -> Result<Pipe> {
            let core = &self.handle.core;
            let options = core.options().endpoint;
            let setup = Setup {
                protocol: core.info.id,
                recv_max: options.recv_max,
                options: options.clone(),
            };
            let handshake = transports::adopt(stream.into(), &setup)?;
            let id = core.adopt(handshake, options.recv_max, options.handshake_timeout)?;
            Ok(Pipe::new(core.clone(), id))
        }

        /// Waits until at least `count` peers are connected.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed).
        pub fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<()> {
            self.handle.core.wait_for_peers(count, timeout)
        }

        /// The peers connected now, in the order they came.
        #[must_use]
        pub fn pipes(&self) -> Vec<Pipe> {
            let core = &self.handle.core;
            core.pipes()
                .into_iter()
                .map(|pipe| Pipe::of(core.clone(), pipe))
                .collect()
        }

        /// Asks `filter` about every peer before it is added; `false` turns it away. Replaces the filter before.
        ///
        /// The filter runs on the thread that completes the connection: it must not block, nor close the socket.
        pub fn set_pipe_filter(&self, filter: impl Fn(&PipeInfo) -> bool + Send + Sync + 'static) {
            self.handle.core.set_filter(Arc::new(filter));
        }

        /// Tells `observer` of every event, in the order they happen. Replaces the observer before.
        ///
        /// The observer runs on whatever thread comes along: it must not block, nor close the socket.
        pub fn set_observer(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
            self.handle.core.set_observer(Arc::new(observer));
        }

        /// Whether a receive would give a message at once.
        #[must_use]
        pub fn is_readable(&self) -> bool {
            self.handle.core.can_recv()
        }

        /// Whether a send would be accepted at once.
        #[must_use]
        pub fn is_writable(&self) -> bool {
            self.handle.core.can_send()
        }

        /// A queue of the events from now on.
        #[must_use]
        pub fn monitor(&self) -> Monitor {
            self.handle.core.monitor()
        }

        /// A snapshot of the counters.
        #[must_use]
        pub fn stats(&self) -> SocketStats {
            self.handle.core.stats()
        }

        /// Waits until every accepted message has been handed to the operating system.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed).
        pub fn flush(&self, timeout: Duration) -> Result<()> {
            self.handle.core.flush(timeout)
        }

        /// Closes the socket for all its handles.
        ///
        /// Waits, at most the linger time, until everything that was accepted has been sent and the peers that
        /// were sent something have read to its end. Calls that are blocked, and all later ones, give
        /// [`Closed`](crate::Error::Closed). Closing again does nothing.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut) when the linger time was over before that; the socket is closed
        /// all the same.
        pub fn close(&self) -> Result<()> {
            self.handle.core.close()
        }
    };
}

/// Sending, for what has `own`: a core, a context and timeouts.
macro_rules! sending {
    () => {
        /// Sends a message, waiting as long as the send timeout says until it is accepted.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed),
        /// [`InvalidState`](crate::Error::InvalidState) for a reply without a request,
        /// [`Canceled`](crate::Error::Canceled) for a request that a later one replaced. The message comes back
        /// with the error.
        pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.send_with(message.into(), Patience::Default)
        }

        /// As [`send`](Self::send), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn send_timeout(
            &self,
            message: impl Into<Message>,
            timeout: Duration,
        ) -> Result<(), SendError> {
            self.send_with(message.into(), Patience::For(timeout))
        }

        /// Sends a message if it is accepted at once.
        ///
        /// # Errors
        ///
        /// [`WouldBlock`](crate::Error::WouldBlock) if it is not, else as [`send`](Self::send).
        pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.send_with(message.into(), Patience::Try)
        }

        #[inline]
        fn send_with(&self, mut message: Message, patience: Patience) -> Result<(), SendError> {
            let (core, ctx, timeouts) = self.own();
            let sent = core.send(ctx, &mut message, patience, timeouts);
            sent.map_err(|error| SendError {
                error,
                message: Box::new(message),
            })
        }
    };
}

/// Receiving, likewise.
macro_rules! receiving {
    () => {
        /// Receives a message, waiting as long as the receive timeout says.
        ///
        /// A timeout never loses a message. For req and surveyor it gives up the request or survey.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), also when a survey ends; [`Closed`](crate::Error::Closed);
        /// [`InvalidState`](crate::Error::InvalidState) when no request or survey is outstanding, or another thread
        /// waits for the same reply; [`Canceled`](crate::Error::Canceled) when a later request replaced this one;
        /// [`ConnectionReset`](crate::Error::ConnectionReset) when a request that is not resent lost its peer.
        pub fn recv(&self) -> Result<Message> {
            self.recv_with(Patience::Default)
        }

        /// As [`recv`](Self::recv), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn recv_timeout(&self, timeout: Duration) -> Result<Message> {
            self.recv_with(Patience::For(timeout))
        }

        /// Receives a message if there is one.
        ///
        /// # Errors
        ///
        /// [`WouldBlock`](crate::Error::WouldBlock) if there is none, else as [`recv`](Self::recv).
        pub fn try_recv(&self) -> Result<Message> {
            self.recv_with(Patience::Try)
        }

        #[inline]
        fn recv_with(&self, patience: Patience) -> Result<Message> {
            let (core, ctx, timeouts) = self.own();
            let mut message = Message::new();
            core.recv(ctx, &mut message, patience, timeouts)?;
            Ok(message)
        }
    };
}

use {common, receiving, sending};

impl<P: Pattern> Socket<P> {
    /// A new socket with the default options.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptors or threads left.
    pub fn new() -> Result<Self> {
        Self::with_options(&SocketOptions::default())
    }

    /// A new socket.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption) with the option and its range,
    /// [`NotSupported`](crate::Error::NotSupported) for an option the protocol does not have, and as
    /// [`new`](Self::new).
    pub fn with_options(options: &SocketOptions) -> Result<Self> {
        let core = Core::new(P::machine(), false, options)?;
        Ok(Self {
            handle: Arc::new(Handle { core }),
            pattern: PhantomData,
        })
    }

    common!();
}

impl<P: Sends> Socket<P> {
    sending!();
}

impl<P: Receives> Socket<P> {
    receiving!();
}

impl<P: Contexts> Socket<P> {
    /// Opens a context: an independent state machine on the same peers, with the socket's present options.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed).
    pub fn context(&self) -> Result<Context<P>> {
        Context::open(self.handle.clone())
    }
}

impl<P: Subscribes> Socket<P> {
    /// Receives messages that begin with `topic` from now on; an empty topic is all messages. Subscribing twice is
    /// the same as once.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed).
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        self.handle.core.subscribe(CtxId::SOCKET, topic.as_ref())
    }

    /// Ends a subscription. Messages that were received and that no other subscription matches are discarded.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is no such subscription, [`Closed`](crate::Error::Closed).
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        self.handle.core.unsubscribe(CtxId::SOCKET, topic.as_ref())
    }
}

impl<P: Pattern> Socket<P> {
    fn own(&self) -> (&Arc<Core>, CtxId, &crate::engine::Timeouts) {
        (&self.handle.core, CtxId::SOCKET, &self.handle.core.timeouts)
    }
}

impl<P: Pattern> Clone for Socket<P> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            pattern: PhantomData,
        }
    }
}

impl<P: Pattern> fmt::Debug for Socket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.handle.core, f)
    }
}

fn debug(core: &Core, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct("Socket")
        .field("protocol", &core.info.name)
        .field("raw", &core.raw)
        .field("id", &core.id)
        .finish()
}
