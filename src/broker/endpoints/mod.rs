//! Endpoints: sockets of plain scalability protocols that are tied to a destination, so that programs that know nothing
//! of the broker take part.
//!
//! An endpoint is a session of the router like a client's ([`Link`](link::Link)), and a future that goes between it and
//! a socket. All of these run on one thread ([`Crew`](crew::Crew)).
//!
//! What always holds:
//!
//! - What the queue has no room for is not read from its push peers.
//! - An item is in its queue, on its way to a pull peer that had room for it, or handed over to the peer's connection.
//! - An endpoint that closes leaves nothing behind: items go back, calls are answered, its session ends.

mod attached;
mod crew;
mod functions;
mod inbox;
mod link;
mod queues;
mod shown;
mod socket;
mod topics;

use std::time::Duration;

pub use attached::Attached;
pub(super) use attached::Endpoints;
pub(super) use inbox::{Inbox, Locals};
pub use shown::EndpointStatus;
pub(super) use shown::Shown;

use super::error::{Error, Result};
use super::message::Status;
use super::message::limits::{check_name, check_pattern};

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointKind {
    /// What push peers send is offered to a queue.
    QueueIn,
    /// Pull peers get what is in a queue.
    QueueOut,
    /// What pub peers send is published to a topic.
    TopicIn,
    /// Sub peers get what is published to a topic.
    TopicOut,
    /// What req peers send is a call of a function.
    Function,
    /// Rep peers serve a function.
    Workers,
}

impl EndpointKind {
    /// Its name in configurations and in the broker's status: `queue-in`, `queue-out`, `topic-in`, `topic-out`,
    /// `function` or `workers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueIn => "queue-in",
            Self::QueueOut => "queue-out",
            Self::TopicIn => "topic-in",
            Self::TopicOut => "topic-out",
            Self::Function => "function",
            Self::Workers => "workers",
        }
    }
}

/// An endpoint to be made: what [`Broker::endpoint`](super::Broker::endpoint) takes.
///
/// A builder. The destination need not exist yet: an endpoint without one waits, and looks for it once a second. What a
/// queue has no room for, or what goes to a queue that does not exist, is not read from peers, so that they wait; what
/// goes to a topic that does not exist is dropped.
///
/// ```
/// use wirebird::broker::{Broker, Client, Endpoint, Message};
/// use wirebird::{Error, Rep};
///
/// let broker = Broker::new()?;
/// let workers = broker.endpoint(Endpoint::workers("double"))?;
/// let listener = broker.listen("inproc://doc-endpoint")?;
///
/// // A worker in any language that has a rep socket.
/// let worker = Rep::new()?;
/// worker.dial(&workers.listen("tcp://127.0.0.1:0")?)?;
/// std::thread::spawn(move || -> Result<(), Error> {
///     loop {
///         let request = worker.accept().wait()?;
///         let twice = request.body().repeat(2);
///         request.reply(twice).wait()?;
///     }
/// });
/// # while workers.status().peers == 0 { std::thread::yield_now() }
///
/// let client = Client::connect(&listener.url())?;
/// let answer = client.send("double", Message::plain_text(None, "", "la")?)?;
/// assert_eq!(&answer.payload_binary()[..], b"lala");
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    kind: EndpointKind,
    destination: String,
    user: Option<String>,
    insecure: bool,
    text: bool,
    prefix: bool,
    calls: usize,
    deadline: Duration,
}

impl Endpoint {
    fn new(kind: EndpointKind, destination: &str) -> Self {
        Self {
            kind,
            destination: destination.into(),
            user: None,
            insecure: false,
            text: false,
            prefix: false,
            calls: 1000,
            deadline: Duration::from_secs(30),
        }
    }

    /// Push peers fill a queue: the body of what they send becomes the payload of an offer. While the queue is full
    /// nothing is read from them, and they wait.
    #[must_use]
    pub fn queue_in(queue: &str) -> Self {
        Self::new(EndpointKind::QueueIn, queue)
    }

    /// Pull peers drain a queue, and get the payloads, each one to one peer that has room for it. They do not
    /// acknowledge: what was handed over to the connection of a peer is lost with it.
    #[must_use]
    pub fn queue_out(queue: &str) -> Self {
        Self::new(EndpointKind::QueueOut, queue)
    }

    /// What pub peers send is published to a topic.
    #[must_use]
    pub fn topic_in(topic: &str) -> Self {
        Self::new(EndpointKind::TopicIn, topic)
    }

    /// Sub peers get the payloads that are published to a topic, or to all topics that a pattern matches. One that is
    /// slow misses the oldest and holds up nobody.
    #[must_use]
    pub fn topic_out(topic: &str) -> Self {
        Self::new(EndpointKind::TopicOut, topic)
    }

    /// Req peers call a function, and get the payload of its answer. If that is not OK they get a JSON object with the
    /// `code` of the [`Status`], its name as `message`, and the text as `details`.
    #[must_use]
    pub fn function(function: &str) -> Self {
        Self::new(EndpointKind::Function, function)
    }

    /// Rep peers serve a function, which is made with the endpoint and goes with it: each call goes to one of them that
    /// is free, as the payload, and what it replies is the payload of the answer. If its connection ends first, the call
    /// goes to another, so that it may be done twice.
    ///
    /// Without any worker calls are answered with [`RetryLater`](Status::RetryLater) at once, and with
    /// [`TimedOut`](Status::TimedOut) if none has replied by the [`deadline`](Self::deadline).
    #[must_use]
    pub fn workers(function: &str) -> Self {
        Self::new(EndpointKind::Workers, function)
    }

    /// The user whose rights it has, if the broker has an [`Authenticator`](super::Authenticator). Default none, which
    /// such a broker allows only if the endpoint is [`insecure`](Self::insecure).
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Whether it may, at a broker with an authenticator, go without a user and its restrictions, and listen where
    /// other machines reach it although they need not show who they are. Default false.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Whether what peers send is `text/plain` if it is UTF-8, rather than `application/octet-stream`. Default false.
    #[must_use]
    pub fn text(mut self, text: bool) -> Self {
        self.text = text;
        self
    }

    /// Whether sub peers get the name of the topic and a zero byte in front of each payload, to subscribe to. Default
    /// false. For [`topic_out`](Self::topic_out).
    #[must_use]
    pub fn prefix(mut self, prefix: bool) -> Self {
        self.prefix = prefix;
        self
    }

    /// Calls that may be under way at once, 1 to 100,000, default 1,000. Further ones wait with their req peers; workers'
    /// are answered with [`RetryLater`](Status::RetryLater). For [`function`](Self::function) and
    /// [`workers`](Self::workers).
    #[must_use]
    pub fn calls(mut self, calls: usize) -> Self {
        self.calls = calls;
        self
    }

    /// How long workers may take for a call in all, more than zero and at most a day, default 30 s. A request with a
    /// shorter timeout of its own ends earlier. For [`workers`](Self::workers).
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> EndpointKind {
        self.kind
    }

    /// The queue, topic, pattern or function.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    fn check(&self) -> Result<()> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let name = match self.kind {
            EndpointKind::TopicOut => check_pattern(&self.destination),
            _ => check_name(&self.destination),
        };
        name.map_err(|error| Error::refused(Status::BadRequest, error.to_string()))?;
        if self.prefix && self.kind != EndpointKind::TopicOut {
            let text = format!("{} cannot have a prefix: topic-out can", self.kind.name());
            return Err(Error::refused(Status::BadRequest, text));
        }
        if !(1..=100_000).contains(&self.calls) {
            return Err(crate::Error::bad_option("calls", self.calls, "1 to 100000").into());
        }
        if self.deadline.is_zero() || self.deadline > DAY {
            let allowed = "more than zero, at most a day";
            return Err(crate::Error::bad_option("deadline", self.deadline, allowed).into());
        }
        Ok(())
    }
}
