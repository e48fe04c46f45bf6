//! The transports: how bytes, or whole messages, get from one end to the other.
//!
//! A transport knows URLs and descriptors, and a protocol only as a 16-bit number. It has three roles: it starts
//! connections ([`Transport::connect`]), it accepts them ([`Acceptor`]), and what both give, once the handshake is
//! over, is a [`Connection`] that the engine moves messages through.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::BorrowedFd;

use crate::address::{Address, Credentials};
use crate::error::{Error, Result, UrlFault};
use crate::http::HttpInfo;
use crate::options::EndpointOptions;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::poller::Event;
#[cfg(feature = "tls")]
use crate::tls::PeerCertificate;
use crate::url::{self, Url};
use crate::wire::{Batch, Decoder, Framing};

mod descriptor;
#[cfg(feature = "tls")]
mod encrypted;
mod inproc;
mod ipc;
mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "ws")]
mod ws;

pub(crate) use descriptor::{Inbox, adopt};
#[cfg(wirebird_loom)]
pub(crate) use inproc::ends;

/// The transport for a URL. This table is the only place that lists them.
pub(crate) fn find(url: &Url) -> Result<&'static dyn Transport> {
    Ok(match url.transport() {
        url::Transport::Inproc => &inproc::Inproc,
        url::Transport::Ipc | url::Transport::Abstract => &ipc::Ipc,
        url::Transport::Tcp => &tcp::Tcp,
        #[cfg(feature = "tls")]
        url::Transport::Tls => &tls::Tls,
        #[cfg(feature = "ws")]
        url::Transport::Ws => &ws::WS,
        #[cfg(all(feature = "tls", feature = "ws"))]
        url::Transport::Wss => &ws::WSS,
        url::Transport::Descriptor => &descriptor::Descriptor,
        #[allow(unreachable_patterns, reason = "a build may have them all")]
        _ => {
            let reason = format!("this build has no transport for {}://", url.scheme());
            return Err(Error::bad_url(
                &url.to_string(),
                UrlFault::Unsupported,
                reason,
            ));
        }
    })
}

/// What a connection is started or accepted with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Our protocol number.
    pub(crate) protocol: u16,
    /// Longest message accepted, in bytes; 0 for no limit.
    pub(crate) recv_max: usize,
    pub(crate) options: EndpointOptions,
}

/// A way to connect.
pub(crate) trait Transport: Send + Sync {
    /// Whether [`resolve`](Self::resolve) has to ask a name server, which may take long.
    fn needs_lookup(&self, url: &Url) -> bool {
        let _ = url;
        false
    }

    /// The addresses behind a URL to dial, in the order to try them.
    fn resolve(&self, url: &Url) -> Result<Vec<Address>>;

    /// Starts connecting to one of a URL's addresses. Never blocks.
    fn connect(&self, url: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>>;

    /// Whether options will do for accepting connections.
    fn check_listening(&self, options: &EndpointOptions) -> Result<()> {
        let _ = options;
        Ok(())
    }

    /// Starts listening. `arrived` is to be called when a connection waits that no descriptor tells of.
    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>>;
}

/// A listening end. Dropping it stops listening and removes what it left in the file system.
pub(crate) trait Acceptor: Send + Sync {
    /// The descriptor that becomes readable when a connection waits.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Takes one connection that waits.
    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>>;

    /// Stops listening at once, also where somebody holds the descriptor for a moment yet: a thread that accepts, or a
    /// child process that is about to run its program.
    fn stop(&self) {}

    /// The URL it listens at, with the port it really has.
    fn url(&self) -> &Url;

    /// The address it listens at.
    fn address(&self) -> Address;

    /// Where descriptors to adopt are put, for the transport that has no other connections.
    fn inbox(&self) -> Option<&Inbox> {
        None
    }
}

/// A connection on its way up: connecting, and then exchanging headers.
pub(crate) trait Handshake: Send {
    /// The descriptor to wait on, if there is anything to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Goes on as far as possible without blocking.
    fn advance(&mut self) -> Result<Progress>;

    /// The address of the other end, as far as known.
    fn peer(&self) -> Address;

    /// Gives the connection to whom [`Progress::Elsewhere`] was about.
    fn hand_over(self: Box<Self>) {}
}

/// How far a handshake is.
pub(crate) enum Progress {
    /// It waits for the descriptor; to be writable, if so said, else readable.
    Waiting { writable: bool },
    /// It is over.
    Done(Established),
    /// The connection is for another listener, which gets it by [`Handshake::hand_over`] once nobody watches the
    /// descriptor.
    #[cfg_attr(
        not(feature = "ws"),
        expect(dead_code, reason = "only ws shares ports")
    )]
    Elsewhere,
}

/// A connection that is up.
pub(crate) struct Established {
    pub(crate) connection: Arc<dyn Connection>,
    /// The peer's protocol number.
    pub(crate) protocol: u16,
}

/// What is known of the two ends of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) local: Address,
    pub(crate) peer: Address,
    pub(crate) credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    pub(crate) http: Option<Arc<HttpInfo>>,
}

impl Ends {
    pub(crate) fn new(local: Address, peer: Address) -> Self {
        Self {
            local,
            peer,
            credentials: None,
            #[cfg(feature = "tls")]
            certificate: None,
            http: None,
        }
    }
}

/// What a reader does if [`Connection::recv`] gives it nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// It tries again in a moment: what can be had then for less is left.
    TriesAgain,
    /// It goes away.
    GivesUp,
    /// It waits to be told when something comes.
    Waits,
}

/// What [`Connection::recv`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Something came. `more` says that more may be there already.
    Some { more: bool },
    /// Nothing is there now. The engine is told when something comes.
    Nothing,
    /// Nothing is there now, and nobody will tell of what comes.
    Unwatched,
    /// The peer will send no more.
    End,
}

/// What the ends of a connection in one process know of each other.
///
/// A sender leaves messages in its batch while the receiver has others to work on. The receiver comes for them when it
/// has none left, or, before it sleeps, says that it wants to be told.
#[derive(Default)]
pub(crate) struct Demand {
    /// The sender has messages that it has not handed over.
    held: AtomicBool,
    /// The receiver has nothing to do.
    wanted: AtomicBool,
}

impl Demand {
    /// The sender has a message more. Returns whether it is to be handed over now.
    #[inline]
    pub(crate) fn offer(&self) -> bool {
        // Each side writes its own flag and then looks at the other's, so that not both miss each other.
        if !self.held.load(Ordering::Relaxed) {
            self.held.store(true, Ordering::SeqCst);
        }
        self.wanted.load(Ordering::SeqCst)
    }

    /// Everything was handed over. Returns whether the receiver is to be told.
    fn satisfy(&self) -> bool {
        self.held.store(false, Ordering::SeqCst);
        self.wanted.swap(false, Ordering::SeqCst)
    }

    /// The receiver has nothing to do. Returns whether the sender has something for it.
    fn ask(&self, otherwise: Otherwise) -> bool {
        if otherwise == Otherwise::Waits {
            self.wanted.store(true, Ordering::SeqCst);
        }
        self.has_offer()
    }

    fn has_offer(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }
}

/// A connection. The engine has at most one thread in `send` and one in `recv` at a time.
pub(crate) trait Connection: Send + Sync {
    fn framing(&self) -> Framing;

    /// The descriptor to watch.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Tells a connection without a descriptor whom to call when something happened to it.
    fn set_listener(&self, listener: Arc<dyn Fn(Event) + Send + Sync>) {
        let _ = listener;
    }

    /// Writes as much of the batch as goes without blocking.
    fn send(&self, batch: &mut Batch) -> io::Result<()>;

    /// What a sender that need not hand over at once goes by. The engine then asks it instead of the time.
    fn demand(&self) -> Option<Arc<Demand>> {
        None
    }

    /// Asks to be told when there is room again, after a send that left a rest. Returns whether there is some
    /// already. Connections with a descriptor are watched by the reactor instead.
    fn await_room(&self) -> bool {
        false
    }

    /// Reads once, without blocking. `otherwise` matters to connections without a descriptor; others are always
    /// watched.
    fn recv(&self, decoder: &mut Decoder, otherwise: Otherwise) -> io::Result<Received>;

    /// Sets the longest message accepted, 0 for any, where the decoder that is given does not see to that.
    #[cfg(feature = "broker")]
    fn set_limit(&self, limit: usize) {
        let _ = limit;
    }

    /// Whether a receive would find something, as far as that can be told without a system call: something that no
    /// event tells of.
    fn has_arrivals(&self) -> bool {
        false
    }

    /// Whether it is read although nobody waits for a message, because something else may come, as a ping.
    fn reads_on(&self) -> bool {
        false
    }

    /// Whether there is something to write that is no message, as the answer to a ping. A send with an empty batch
    /// writes it.
    fn owes(&self) -> bool {
        false
    }

    /// How often the engine is to call [`tick`](Self::tick).
    fn ticks_every(&self) -> Option<Duration> {
        None
    }

    /// Time has passed. An error ends the connection.
    fn tick(&self) -> Result<()> {
        Ok(())
    }

    /// Says that nothing more will be sent, and lets the peer read what was.
    fn finish(&self);

    fn ends(&self) -> Ends;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_once_its_listener_stopped_even_if_others_hold_the_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let file = format!("ipc://{}/s", directory.path().display());
        let mut urls = vec!["tcp://127.0.0.1:0", "inproc://stopped", &file];
        if cfg!(feature = "ws") {
            urls.extend(["ws://127.0.0.1:0/one"]);
        }
        for url in urls.into_iter().map(|url| Url::parse(url).unwrap()) {
            let setup = Setup {
                protocol: 0x10,
                recv_max: 0,
                options: EndpointOptions::new(),
            };
            let transport = find(&url).unwrap();
            let listen = |url| transport.listen(url, &setup, Arc::new(|| {}));
            let first = listen(&url).unwrap();
            let bound = first.url().clone();
            let held = first.fd().map(|fd| fd.try_clone_to_owned().unwrap());
            assert!(matches!(listen(&bound), Err(Error::AddressInUse)), "{url}");
            first.stop();
            let second = listen(&bound).unwrap_or_else(|error| panic!("{url}: {error}"));
            drop((first, held));
            let third = listen(second.url());
            assert!(
                matches!(third, Err(Error::AddressInUse)),
                "{url}: its end took the next one's"
            );
        }
    }
}
