//! The transports: how bytes, or whole messages, get from one end to the other.
//!
//! A transport knows URLs and descriptors, and a protocol only as a 16-bit number. It has three roles: it starts
//! connections ([`Transport::connect`]), it accepts them ([`Acceptor`]), and what both give, once the handshake is
//! over, is a [`Connection`] that the engine moves messages through.

use std::io;
use std::sync::Arc;

use rustix::fd::BorrowedFd;

use crate::address::{Address, Credentials};
use crate::error::{Error, Result, UrlFault};
use crate::options::EndpointOptions;
use crate::sys::poller::Event;
use crate::url::{self, Url};
use crate::wire::{Batch, Decoder, Framing};

mod descriptor;
mod inproc;
mod ipc;
mod stream;
mod tcp;

pub(crate) use descriptor::{Inbox, adopt};

/// The transport for a URL. This table is the only place that lists them.
pub(crate) fn find(url: &Url) -> Result<&'static dyn Transport> {
    Ok(match url.transport() {
        url::Transport::Inproc => &inproc::Inproc,
        url::Transport::Ipc | url::Transport::Abstract => &ipc::Ipc,
        url::Transport::Tcp => &tcp::Tcp,
        url::Transport::Descriptor => &descriptor::Descriptor,
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

    /// Starts connecting. Never blocks.
    fn connect(&self, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>>;

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
}

/// How far a handshake is.
pub(crate) enum Progress {
    /// It waits for the descriptor; to be writable, if so said, else readable.
    Waiting { writable: bool },
    /// It is over.
    Done(Established),
}

/// A connection that is up.
pub(crate) struct Established {
    pub(crate) connection: Arc<dyn Connection>,
    /// The peer's protocol number.
    pub(crate) protocol: u16,
}

/// What [`Connection::recv`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Something came. `more` says that more may be there already.
    Some { more: bool },
    /// Nothing is there now.
    Nothing,
    /// The peer will send no more.
    End,
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

    /// Asks to be told when there is room again, after a send that left a rest. Returns whether there is some
    /// already. Connections with a descriptor are watched by the reactor instead.
    fn await_room(&self) -> bool {
        false
    }

    /// Reads once, without blocking.
    fn recv(&self, decoder: &mut Decoder) -> io::Result<Received>;

    /// Says that nothing more will be sent, and lets the peer read what was.
    fn finish(&self);

    fn local_address(&self) -> Address;

    fn peer_address(&self) -> Address;

    fn credentials(&self) -> Option<Credentials> {
        None
    }
}
