//! `ws://` and, inside TLS, `wss://`: WebSocket connections, which begin with an HTTP request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::encrypted::Encrypted;
use super::stream::{ByteStream, Plain};
use super::{Acceptor, Handshake, Setup, Transport, tcp};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::options::EndpointOptions;
use crate::protocols::ProtocolInfo;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;
use crate::url::Url;

mod connection;
mod handshake;
mod http;
mod site;

use handshake::{Accepted, Arrival, Dialed};
use site::Seat;

/// A transport of WebSocket frames over some byte stream.
pub(super) struct Web {
    dialed: fn(Plain, &Url, &Setup) -> Result<Box<dyn ByteStream>>,
    accepted: fn(Plain, &Setup) -> io::Result<Box<dyn ByteStream>>,
    secret: fn(&EndpointOptions) -> Result<Secret>,
}

/// Over tcp as it is.
pub(super) static WS: Web = Web {
    dialed: |stream, _, _| Ok(Box::new(stream)),
    accepted: |stream, _| Ok(Box::new(stream)),
    secret: |_| Ok(None),
};

/// Inside TLS.
#[cfg(feature = "tls")]
pub(super) static WSS: Web = Web {
    dialed: |stream, url, setup| {
        let stream = Encrypted::dialed(stream, url, &setup.options)?;
        Ok(Box::new(stream))
    },
    accepted: |stream, setup| {
        let stream = Encrypted::accepted(stream, &setup.options).map_err(io::Error::other)?;
        Ok(Box::new(stream))
    },
    secret: |options| {
        let config = options.tls_config();
        // A certificate that cannot be used is told of now, not to the first peer.
        config.server()?;
        Ok(Some(config.clone()))
    },
};

/// What the connections of a listener are encrypted with, if they are.
#[cfg(feature = "tls")]
type Secret = Option<TlsConfig>;
#[cfg(not(feature = "tls"))]
type Secret = Option<Nothing>;

#[cfg(not(feature = "tls"))]
#[derive(Clone, PartialEq, Eq)]
enum Nothing {}

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

    fn check_listening(&self, options: &EndpointOptions) -> Result<()> {
        (self.secret)(options).map(drop)
    }

    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        Ok(Box::new(WebAcceptor {
            info: info(setup)?,
            seat: Seat::take(url, (self.secret)(&setup.options)?, arrived)?,
            accepted: self.accepted,
            secret: self.secret,
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
    secret: fn(&EndpointOptions) -> Result<Secret>,
}

impl Acceptor for WebAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.seat.bound.socket.as_fd())
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let secret = (self.secret)(&setup.options).map_err(io::Error::other)?;
        let arrival = match self.seat.place.next() {
            Some(arrival) => arrival,
            None => {
                let stream = self.seat.bound.accept(&setup.options)?;
                Arrival::new((self.accepted)(stream, setup)?, secret.clone())
            }
        };
        let seat = (&self.seat.places, &self.seat.place, secret);
        let accepted = Accepted::new(arrival, seat, self.info, setup.clone());
        Ok(Box::new(accepted))
    }

    fn stop(&self) {
        self.seat.leave();
    }

    fn url(&self) -> &Url {
        &self.seat.bound.url
    }

    fn address(&self) -> Address {
        Address::Inet(self.seat.bound.address)
    }
}
