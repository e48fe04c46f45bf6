//! `socket://`: connected descriptors that the program hands over. Their framing is tcp's.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::SocketType;

use super::stream::{self, Plain};
use super::{Acceptor, Ends, Handshake, Setup, Transport, ipc};
use crate::address::Address;
use crate::engine::lock;
use crate::error::{Error, Result, UrlFault};
use crate::sync::Mutex;
use crate::url::Url;
use crate::wire::Framing;

/// Descriptors that may wait, as in nng.
const WAITING: usize = 16;

/// The transport.
pub(super) struct Descriptor;

// ---- dialing ----

impl Transport for Descriptor {
    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        Err(Error::bad_url(
            &url.to_string(),
            UrlFault::Unsupported,
            "descriptors are handed over, not dialed",
        ))
    }

    fn connect(&self, _: &Url, _: &Address, _: &Setup) -> Result<Box<dyn Handshake>> {
        Err(Error::NotSupported(
            "descriptors are handed over, not dialed",
        ))
    }

    fn listen(
        &self,
        url: &Url,
        _: &Setup,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        let inbox = Inbox {
            waiting: Mutex::default(),
            arrived,
        };
        Ok(Box::new(DescriptorAcceptor {
            inbox,
            url: url.clone(),
        }))
    }
}

/// Starts the handshake on a connected stream socket.
pub(crate) fn adopt(fd: OwnedFd, setup: &Setup) -> Result<Box<dyn Handshake>> {
    check(&fd)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(stream::handshake(
        Plain::connected(fd),
        Framing::Length,
        setup,
        ends,
    ))
}

/// Refuses what is no stream socket, before anything is done to it.
fn check(fd: &OwnedFd) -> Result<()> {
    if rustix::net::sockopt::socket_type(fd)? == SocketType::STREAM {
        Ok(())
    } else {
        Err(Error::InvalidArgument(
            "the descriptor is not a stream socket",
        ))
    }
}

// ---- listening ----

/// Where descriptors wait for the listener.
pub(crate) struct Inbox {
    waiting: Mutex<VecDeque<OwnedFd>>,
    arrived: Arc<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// Hands a descriptor over. It is closed with the listener if that never came to it.
    pub(crate) fn put(&self, fd: OwnedFd) -> Result<()> {
        check(&fd)?;
        let mut waiting = lock(&self.waiting);
        if waiting.len() == WAITING {
            return Err(Error::Busy);
        }
        waiting.push_back(fd);
        drop(waiting);
        (self.arrived)();
        Ok(())
    }
}

struct DescriptorAcceptor {
    inbox: Inbox,
    url: Url,
}

impl Acceptor for DescriptorAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let next = lock(&self.inbox.waiting).pop_front();
        let fd = next.ok_or(io::ErrorKind::WouldBlock)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(stream::handshake(
            Plain::connected(fd),
            Framing::Length,
            setup,
            ends,
        ))
    }

    fn url(&self) -> &Url {
        &self.url
    }

    fn address(&self) -> Address {
        Address::Unspecified
    }

    fn inbox(&self) -> Option<&Inbox> {
        Some(&self.inbox)
    }
}

// ---- ends ----

fn ends(fd: BorrowedFd<'_>) -> Ends {
    Ends {
        credentials: ipc::credentials(fd.as_fd()),
        ..Ends::new(Address::Unspecified, Address::Unspecified)
    }
}
