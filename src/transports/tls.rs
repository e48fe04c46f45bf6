//! `tls+tcp://`, `tls+tcp4://`, `tls+tcp6://`: tcp's header and framing inside TLS.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::encrypted::Encrypted;
use super::stream;
use super::tcp::{self, Bound};
use super::{Acceptor, Handshake, Setup, Transport};
use crate::address::Address;
use crate::error::Result;
use crate::options::EndpointOptions;
use crate::url::Url;
use crate::wire::Framing;

/// The transport.
pub(super) struct Tls;

// ---- dialing ----

impl Transport for Tls {
    fn needs_lookup(&self, url: &Url) -> bool {
        tcp::needs_lookup(url)
    }

    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        tcp::resolve(url)
    }

    fn connect(&self, url: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>> {
        let plain = tcp::connect(address, &setup.options)?;
        let stream = Encrypted::dialed(plain, url, &setup.options)?;
        Ok(stream::handshake(stream, Framing::Length, setup, tcp::ends))
    }

    /// A certificate that cannot be used is told of now, not to the first peer.
    fn check_listening(&self, options: &EndpointOptions) -> Result<()> {
        options.tls_config().server().map(drop)
    }

    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        _: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        self.check_listening(&setup.options)?;
        Ok(Box::new(TlsAcceptor(Bound::new(url)?)))
    }
}

// ---- listening ----

struct TlsAcceptor(Bound);

impl Acceptor for TlsAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.socket.as_fd())
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let plain = self.0.accept(&setup.options)?;
        let stream = Encrypted::accepted(plain, &setup.options).map_err(io::Error::other)?;
        Ok(stream::handshake(stream, Framing::Length, setup, tcp::ends))
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn url(&self) -> &Url {
        &self.0.url
    }

    fn address(&self) -> Address {
        Address::Inet(self.0.address)
    }
}
