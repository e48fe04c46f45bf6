//! `ws://`, and what goes over an encrypted stream in the same way: WebSocket connections that begin with an HTTP
//! request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::stream::{ByteStream, Plain};
use super::{Acceptor, Handshake, Setup, Transport, tcp};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::protocols::ProtocolInfo;
use crate::url::Url;

mod connection;
mod handshake;
mod http;
mod site;

use handshake::{Accepted, Dialed};
use site::Seat;

/// A transport of WebSocket frames over some byte stream.
pub(super) struct Web {
    /// Whether the stream is encrypted.
    secure: bool,
    dialed: fn(Plain, &Url, &Setup) -> Result<Box<dyn ByteStream>>,
    accepted: fn(Plain, &Setup) -> io::Result<Box<dyn ByteStream>>,
}

/// Over tcp as it is.
pub(super) static WS: Web = Web {
    secure: false,
    dialed: |stream, _, _| Ok(Box::new(stream)),
    accepted: |stream, _| Ok(Box::new(stream)),
};

impl Transport for Web {
    fn needs_lookup(&self, url: &Url) -> bool {
        tcp::needs_lookup(url)
    }

    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        tcp::resolve(url)
    }

    fn connect(&self, url: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>> {
        let info = info(setup)?;
        let stream = tcp::connect(address, &setup.options)?;
        let stream = (self.dialed)(stream, url, setup)?;
        Ok(Box::new(Dialed::new(stream, url, info, setup.clone())))
    }

    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        Ok(Box::new(WebAcceptor {
            info: info(setup)?,
            seat: Seat::take(url, self.secure, arrived)?,
            accepted: self.accepted,
        }))
    }
}

/// The names of a socket's protocol and its peer's.
fn info(setup: &Setup) -> Result<ProtocolInfo> {
    let unnamed = Error::NotSupported("a protocol without a WebSocket name");
    ProtocolInfo::numbered(setup.protocol).ok_or(unnamed)
}

struct WebAcceptor {
    info: ProtocolInfo,
    seat: Seat,
    accepted: fn(Plain, &Setup) -> io::Result<Box<dyn ByteStream>>,
}

impl Acceptor for WebAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.seat.bound.socket.as_fd())
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let seat = (&self.seat.places, &self.seat.place);
        let arrival = match self.seat.place.next() {
            Some(arrival) => arrival,
            None => {
                let stream = self.seat.bound.accept(&setup.options)?;
                (self.accepted)(stream, setup)?.into()
            }
        };
        Ok(Box::new(Accepted::new(
            arrival,
            seat,
            self.info,
            setup.clone(),
        )))
    }

    fn url(&self) -> &Url {
        &self.seat.bound.url
    }

    fn address(&self) -> Address {
        Address::Inet(self.seat.bound.address)
    }
}
