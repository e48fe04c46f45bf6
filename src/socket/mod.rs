//! The sockets: typed handles on the engine.

mod asynchronous;
mod context;
mod device;
mod endpoint;
mod methods;
pub mod pattern;
mod pollable;
mod raw;

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "stream")]
pub use asynchronous::Incoming;
#[cfg(feature = "sink")]
pub use asynchronous::Outgoing;
pub use asynchronous::{
    AcceptFuture, AnswerFuture, AnswerIter, Answers, RecvFuture, ReplyFuture, Request,
    RequestFuture, SendFuture,
};
pub use context::Context;
pub use device::{forward, reflect};
pub use endpoint::{Dialer, Listener, Pipe};
use pattern::{
    BusNode, PairPolyamorous, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Respond,
    Subscribe, Survey,
};
pub use pattern::{Contexts, Pattern, RawKind, Receives, Replies, Sends, Subscribes};
pub use raw::RawSocket;

use asynchronous::{common_async, receiving_async, sending_async, streaming};
use methods::{common, receiving, sending};
use pollable::pollable;

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
pub type Req = Socket<pattern::Request>;

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
///
/// ```compile_fail
/// let publisher = wirebird::Pub::new().unwrap();
/// publisher.recv_fd();
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
    common_async!();
}

impl<P: Sends> Socket<P> {
    sending!();
    sending_async!();
    streaming!(sink);
    pollable!(send);

    /// Waits until [`try_send`](Self::try_send) would be accepted, for who has nothing to send before.
    #[cfg(feature = "broker")]
    pub(crate) async fn sendable(&self) -> Result<()> {
        self.handle.core.sendable().await
    }
}

impl<P: Receives> Socket<P> {
    receiving!();
    receiving_async!();
    streaming!(stream);
    pollable!(recv);
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
