//! The endpoints of a broker as a program has them.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use super::crew::Crew;
use super::functions::{Callers, Workers};
use super::link::Link;
use super::shown::EndpointStatus;
use super::socket::Socket;
use super::{Endpoint, EndpointKind, queues, topics};
use crate::address::Address;
use crate::broker::auth::Authenticator;
use crate::broker::error::{Error, Result};
use crate::broker::hub::Shared;
use crate::broker::message::Status;
use crate::broker::options::BrokerOptions;
use crate::broker::router::Handler;
use crate::broker::server::Broker;
use crate::engine::lock;
use crate::options::{EndpointOptions, SocketOptions};
use crate::url::Url;
use crate::{Pub, Pull, Push, Rep, Req, Sub};

/// What protocols may have around a payload.
const ENVELOPE: usize = 256;
/// Publications that wait for a slow subscriber, or for the broker, before the oldest gives way.
const BUFFER: usize = 1000;

/// The endpoints of a broker.
pub(in crate::broker) struct Endpoints {
    shared: Arc<Shared>,
    crew: Arc<Crew>,
    message_size: usize,
    max_peers: usize,
    linger: Duration,
    authenticator: Option<Authenticator>,
    list: Arc<Mutex<List>>,
}

/// Locked around the broker's lock, never inside it.
#[derive(Default)]
struct List {
    closed: bool,
    all: Vec<Arc<Inner>>,
}

/// An endpoint of a broker, that has a socket and listens or dials where it is told.
///
/// A handle; dropping it changes nothing. The endpoint goes with [`close`](Self::close), or with its broker.
#[derive(Clone)]
pub struct Attached(Arc<Inner>);

struct Inner {
    socket: Socket,
    link: Arc<Link>,
    /// Who reaches it has the rights of a user, so that not everybody may.
    guarded: bool,
    longest: usize,
    list: Weak<Mutex<List>>,
}

impl Broker {
    /// Makes an endpoint: a socket that ties push, pull, pub, sub, req or rep peers to a queue, a topic or a function. It
    /// has no peers before it [listens](Attached::listen) or [dials](Attached::dial).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`BadRequest`](Status::BadRequest) for an unusable name or options that do not belong
    /// together, with [`NoPermission`](Status::NoPermission) if the broker has an authenticator and the endpoint has no
    /// user that it knows, with [`Conflict`](Status::Conflict) for workers of a function that exists, and with
    /// [`LimitReached`](Status::LimitReached); [`InvalidOption`](crate::Error::InvalidOption);
    /// [`Closed`](crate::Error::Closed); and what the system says when it has no descriptors or threads left.
    pub fn endpoint(&self, endpoint: Endpoint) -> Result<Attached> {
        self.endpoints.attach(&endpoint).map(Attached)
    }

    /// The endpoints at this moment, in the order in which they were made.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let list = lock(&self.endpoints.list);
        let shown = list.all.iter().map(|one| one.link.shown.status());
        shown.collect()
    }
}

impl Endpoints {
    pub(in crate::broker) fn new(shared: Arc<Shared>, options: &BrokerOptions) -> Self {
        Self {
            shared,
            crew: Arc::default(),
            message_size: options.limits.message_size,
            max_peers: options.limits.connections,
            linger: options.linger,
            authenticator: options.authenticator.clone(),
            list: Arc::default(),
        }
    }

    /// Ends all endpoints, and takes no more.
    pub(in crate::broker) fn close(&self) {
        let mut list = lock(&self.list);
        list.closed = true;
        let all = std::mem::take(&mut list.all);
        drop(list);
        // Each may wait for peers that do not read.
        thread::scope(|scope| {
            for one in &all {
                scope.spawn(|| one.close());
            }
        });
        self.crew.finish();
    }

    fn attach(&self, endpoint: &Endpoint) -> Result<Arc<Inner>> {
        endpoint.check()?;
        self.check_user(endpoint)?;
        let mut list = lock(&self.list);
        if list.closed {
            return Err(crate::Error::Closed.into());
        }
        let longest = self.message_size.saturating_add(ENVELOPE);
        let socket = self.open(endpoint, longest)?;
        let link = Arc::new(Link::open(&self.shared, endpoint, self.message_size));
        let (shown, known, most) = (
            link.shown.clone(),
            self.authenticator.clone(),
            self.max_peers,
        );
        socket.set_filter(move |pipe| {
            let known = match (&known, &pipe.peer) {
                (Some(networks), Address::Inet(address)) => networks.allows_address(address.ip()),
                _ => true,
            };
            known && shown.peers() < most
        });
        let shown = link.shown.clone();
        socket.set_observer(move |event| shown.observe(event));
        if let Err(error) = self.start(endpoint, &socket, &link) {
            link.close();
            return Err(error);
        }
        let inner = Arc::new(Inner {
            socket,
            link,
            guarded: self.authenticator.is_some() && !endpoint.insecure,
            longest,
            list: Arc::downgrade(&self.list),
        });
        list.all.push(inner.clone());
        Ok(inner)
    }

    fn check_user(&self, endpoint: &Endpoint) -> Result<()> {
        let refused = |text: String| Err(Error::refused(Status::NoPermission, text));
        match (&self.authenticator, &endpoint.user) {
            (None, None) => Ok(()),
            (None, Some(user)) => {
                refused(format!("this broker knows no users, and not {user} either"))
            }
            (Some(known), Some(user)) if known.role(user).is_none() => {
                refused(format!("there is no user {user}"))
            }
            (Some(_), None) if !endpoint.insecure => refused(
                "this broker has users: say which one the endpoint acts as, or allow it as insecure"
                    .into(),
            ),
            (Some(_), _) => Ok(()),
        }
    }

    fn open(&self, endpoint: &Endpoint, longest: usize) -> crate::Result<Socket> {
        let options = SocketOptions::new()
            .linger(self.linger)
            .spin(Duration::ZERO)
            .endpoint(EndpointOptions::new().recv_max_size(longest));
        Ok(match endpoint.kind {
            EndpointKind::QueueIn => Socket::Pull(Pull::with_options(&options)?),
            EndpointKind::QueueOut => Socket::Push(Push::with_options(&options)?),
            EndpointKind::TopicIn => {
                let sub = Sub::with_options(&options.recv_buffer(BUFFER))?;
                sub.subscribe("")?;
                Socket::Sub(sub)
            }
            EndpointKind::TopicOut => Socket::Pub(Pub::with_options(&options.send_buffer(BUFFER))?),
            EndpointKind::Function => Socket::Rep(Rep::with_options(&options)?),
            EndpointKind::Workers => {
                // Only a worker that is lost has a request sent again: one that is slow still does it.
                let options = options.resend_time(endpoint.deadline.saturating_mul(2));
                Socket::Req(Req::with_options(&options)?)
            }
        })
    }

    /// Has the endpoint do what it is for.
    fn start(&self, endpoint: &Endpoint, socket: &Socket, link: &Arc<Link>) -> Result<()> {
        let (crew, link) = (&self.crew, link.clone());
        match socket {
            Socket::Pull(pull) => crew.spawn(ended(queues::fill(pull.clone(), link)))?,
            Socket::Push(push) => crew.spawn(ended(queues::drain(push.clone(), link)))?,
            Socket::Sub(sub) => crew.spawn(ended(topics::feed(sub.clone(), link)))?,
            Socket::Pub(publisher) => {
                let fan_out = topics::fan_out(publisher.clone(), link, endpoint.prefix);
                crew.spawn(ended(fan_out))?;
            }
            Socket::Rep(rep) => {
                Callers::new(rep.clone(), link, crew.clone(), endpoint.calls).add_task()?;
            }
            Socket::Req(req) => {
                self.create_function(endpoint, &link)?;
                let workers = Workers {
                    req: req.clone(),
                    link,
                    crew: crew.clone(),
                    deadline: endpoint.deadline,
                };
                crew.spawn(ended(Arc::new(workers).dispatch()))?;
            }
        }
        Ok(())
    }

    fn create_function(&self, endpoint: &Endpoint, link: &Link) -> Result<()> {
        let (name, handler) = (&endpoint.destination, Handler::Workers(link.inbox.clone()));
        let created = self
            .shared
            .with(|router, _, _| router.create_function(name, handler, endpoint.calls));
        match created {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = format!("there is a function {name} already");
                Err(Error::refused(Status::Conflict, text))
            }
            Err((status, text)) => Err(Error::refused(status, text)),
        }
    }
}

/// A task ends when its endpoint closes, whatever told it first.
async fn ended(task: impl Future<Output = Option<()>>) {
    task.await;
}

impl Inner {
    fn close(&self) {
        self.link.close();
        // Peers that do not read what they were sent lose it.
        let _ = self.socket.close();
    }
}

impl Attached {
    /// Listens for peers at a URL of any transport; an endpoint may listen at any number. Returns the URL, with the port
    /// that the system chose.
    ///
    /// # Errors
    ///
    /// [`Error::Exposed`] if other machines reach the URL, the broker has an authenticator and the endpoint is not
    /// [insecure](Endpoint::insecure), and as [`Socket::listen`](crate::Socket::listen).
    pub fn listen(&self, url: &str) -> Result<String> {
        self.listen_with(url, &EndpointOptions::new())
    }

    /// As [`listen`](Self::listen), with options; the broker's limit for messages holds in any case. With TLS that
    /// demands certificates other machines may reach it.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen), and [`InvalidOption`](crate::Error::InvalidOption).
    pub fn listen_with(&self, url: &str, options: &EndpointOptions) -> Result<String> {
        let Inner { socket, link, .. } = &*self.0;
        let parsed: Url = url.parse()?;
        if self.0.guarded && !parsed.is_local() && !demands_certificates(options) {
            return Err(Error::Exposed(url.into()));
        }
        let listener = socket.listener(url)?;
        listener.set_options(&self.limited(options))?;
        listener.start()?;
        let url = listener.url();
        link.shown.add_url(&url);
        Ok(url)
    }

    /// Connects to a peer that listens, in the background, now or when it is there, and again whenever the connection is
    /// lost. An endpoint may dial any number of peers.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`](crate::Error::InvalidUrl), [`Closed`](crate::Error::Closed).
    pub fn dial(&self, url: &str) -> Result<()> {
        self.dial_with(url, &EndpointOptions::new())
    }

    /// As [`dial`](Self::dial), with options; the broker's limit for messages holds in any case.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial), and [`InvalidOption`](crate::Error::InvalidOption).
    pub fn dial_with(&self, url: &str, options: &EndpointOptions) -> Result<()> {
        let dialer = self.0.socket.dialer(url)?;
        dialer.set_options(&self.limited(options))?;
        dialer.start()?;
        self.0.link.shown.add_url(&dialer.url());
        Ok(())
    }

    fn limited(&self, options: &EndpointOptions) -> EndpointOptions {
        options.clone().recv_max_size(self.0.longest)
    }

    /// The endpoint at this moment.
    #[must_use]
    pub fn status(&self) -> EndpointStatus {
        self.0.link.shown.status()
    }

    /// Ends the endpoint: its connections are closed, items that were on their way take their places again, and calls
    /// that wait for its workers are answered with [`RetryLater`](Status::RetryLater). Waits until peers have read what
    /// they were sent, at most as long as the broker's [`linger`](BrokerOptions::linger).
    pub fn close(&self) {
        self.0.close();
        if let Some(list) = self.0.list.upgrade() {
            lock(&list).all.retain(|one| !Arc::ptr_eq(one, &self.0));
        }
    }
}

fn demands_certificates(options: &EndpointOptions) -> bool {
    #[cfg(feature = "tls")]
    let demands = |tls: &crate::TlsConfig| tls.demands_certificates();
    #[cfg(feature = "tls")]
    return options.tls.as_ref().is_some_and(demands);
    #[cfg(not(feature = "tls"))]
    {
        let _ = options;
        false
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attached").field(&self.status()).finish()
    }
}
