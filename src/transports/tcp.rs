//! `tcp://`, `tcp4://`, `tcp6://`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::stream::{self, Plain, stop_listening};
use super::{Acceptor, Ends, Handshake, Setup, Transport};
use crate::address::Address;
use crate::error::{Error, Result, UrlFault};
use crate::options::EndpointOptions;
use crate::url::{Family, Host, Url};
use crate::wire::Framing;

/// Connections that may wait to be accepted; the system may lower it.
const BACKLOG: i32 = 1024;

/// The transport.
pub(super) struct Tcp;

// ---- dialing ----

impl Transport for Tcp {
    fn needs_lookup(&self, url: &Url) -> bool {
        needs_lookup(url)
    }

    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        resolve(url)
    }

    fn connect(&self, _: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>> {
        let stream = connect(address, &setup.options)?;
        Ok(stream::handshake(stream, Framing::Length, setup, ends))
    }

    fn listen(
        &self,
        url: &Url,
        _: &Setup,
        _: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        Ok(Box::new(TcpAcceptor(Bound::new(url)?)))
    }
}

/// Starts connecting.
pub(super) fn connect(address: &Address, options: &EndpointOptions) -> Result<Plain> {
    let Address::Inet(address) = address else {
        return Err(Error::InvalidArgument("tcp needs an internet address"));
    };
    let socket = open(address)?;
    configure(&socket, options)?;
    match socket.connect(&SockAddr::from(*address)) {
        Ok(()) => {}
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Plain::tcp(socket.into(), true))
}

/// Whether a URL's host is a name that has to be asked for.
pub(super) fn needs_lookup(url: &Url) -> bool {
    matches!(url.host_kind(), Host::Name(_))
}

/// The addresses to dial, in the order to try them.
pub(super) fn resolve(url: &Url) -> Result<Vec<Address>> {
    Ok(addresses(url)?.into_iter().map(Address::Inet).collect())
}

/// The addresses of a URL's host, by asking the resolver if it is a name.
fn addresses(url: &Url) -> Result<Vec<SocketAddr>> {
    let port = url.port().unwrap_or(0);
    let found = match url.host_kind() {
        Host::V4(address) => vec![SocketAddr::from((address, port))],
        Host::V6(address, scope) => {
            let scope = scope.map(interface).transpose()?.unwrap_or(0);
            vec![SocketAddrV6::new(address, port, 0, scope).into()]
        }
        Host::Name(name) => (name, port)
            .to_socket_addrs()
            .map_err(|error| Error::AddressInvalid(format!("{name}: {error}").into()))?
            .collect(),
        Host::Wildcard => {
            let url = url.to_string();
            return Err(Error::bad_url(&url, UrlFault::Unusable, "a host is needed"));
        }
    };
    let fits = |address: &SocketAddr| match url.family() {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let fitting: Vec<_> = found.into_iter().filter(fits).collect();
    if fitting.is_empty() {
        let reason = format!("{} has no address of the scheme's family", url.host());
        return Err(Error::AddressInvalid(reason.into()));
    }
    Ok(fitting)
}

/// The number of a network interface: what a scope is, as a number or by its name.
fn interface(scope: &str) -> Result<u32> {
    if let Ok(number) = scope.parse() {
        return Ok(number);
    }
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&socket, scope)
        .map_err(|_| Error::AddressInvalid(format!("no interface is called {scope}").into()))
}

// ---- listening ----

/// A listening socket and where it is.
pub(super) struct Bound {
    pub(super) socket: Socket,
    /// With the port it really has.
    pub(super) url: Url,
    pub(super) address: SocketAddr,
}

impl Bound {
    /// Listens at the first of a URL's addresses that can be had.
    pub(super) fn new(url: &Url) -> Result<Self> {
        Self::at(url, bindable(url)?)
    }

    /// Listens at the first of these addresses that can be had.
    pub(super) fn at(url: &Url, addresses: Vec<SocketAddr>) -> Result<Self> {
        let mut last = Error::AddressInvalid("the host has no address".into());
        for address in addresses {
            match bind(address) {
                Ok(socket) => {
                    let address = socket.local_addr()?.as_socket().unwrap_or(address);
                    let url = url.clone().with_port(address.port());
                    return Ok(Self {
                        socket,
                        url,
                        address,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Takes one connection that waits.
    pub(super) fn accept(&self, options: &EndpointOptions) -> io::Result<Plain> {
        let (socket, _) = self.socket.accept_raw()?;
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        // A peer that is gone already makes setting options fail; the handshake tells that better.
        let _ = configure(&socket, options);
        Ok(Plain::tcp(socket.into(), false))
    }

    /// Stops listening, for all that hold the descriptor.
    pub(super) fn stop(&self) {
        stop_listening(&self.socket);
    }
}

struct TcpAcceptor(Bound);

impl Acceptor for TcpAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.socket.as_fd())
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let stream = self.0.accept(&setup.options)?;
        Ok(stream::handshake(stream, Framing::Length, setup, ends))
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

/// The addresses to try to listen at. A wildcard is both families at once where the system has IPv6.
pub(super) fn bindable(url: &Url) -> Result<Vec<SocketAddr>> {
    if url.host_kind() != Host::Wildcard {
        return addresses(url);
    }
    let port = url.port().unwrap_or(0);
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    Ok(match url.family() {
        Family::V4 => vec![v4],
        Family::V6 => vec![v6],
        Family::Any => vec![v6, v4],
    })
}

fn bind(address: SocketAddr) -> Result<Socket> {
    let socket = open(&address)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        let wildcard = address.ip().is_unspecified();
        // Without it the wildcard is IPv6 alone, and the next address is tried.
        socket.set_only_v6(!wildcard)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

// ---- options and ends ----

fn open(address: &SocketAddr) -> Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(*address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn configure(socket: &Socket, options: &EndpointOptions) -> Result<()> {
    socket.set_tcp_nodelay(options.nodelay)?;
    stream::set_buffers(socket, options)?;
    if let Some(keepalive) = &options.keepalive {
        let mut timing = TcpKeepalive::new();
        if let Some(idle) = keepalive.idle {
            timing = timing.with_time(idle);
        }
        if let Some(interval) = keepalive.interval {
            timing = timing.with_interval(interval);
        }
        if let Some(count) = keepalive.count {
            timing = timing.with_retries(count);
        }
        socket.set_tcp_keepalive(&timing)?;
    }
    Ok(())
}

fn in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error())
}

pub(super) fn ends(fd: BorrowedFd<'_>) -> Ends {
    let address = |found: rustix::io::Result<rustix::net::SocketAddrAny>| {
        found
            .ok()
            .and_then(|any| SocketAddr::try_from(any).ok())
            .map_or(Address::Unspecified, Address::Inet)
    };
    Ends::new(
        address(rustix::net::getsockname(fd)),
        address(rustix::net::getpeername(fd).and_then(|any| any.ok_or(Errno::NOTCONN))),
    )
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// Whether each end of a connection sends small segments at once, and whether it probes an idle peer.
    fn settings(options: EndpointOptions) -> [(bool, bool); 2] {
        ends_with(options, |socket| {
            (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap())
        })
    }

    /// Something of each end of a connection.
    fn ends_with<T>(options: EndpointOptions, look: fn(&SockRef<'_>) -> T) -> [T; 2] {
        let setup = Setup {
            protocol: 0x10,
            recv_max: 0,
            options,
        };
        let url = Url::parse("tcp://127.0.0.1:0").unwrap();
        let acceptor = Tcp.listen(&url, &setup, Arc::new(|| {})).unwrap();
        let dialed = Tcp.connect(&url, &acceptor.address(), &setup).unwrap();
        let accepted = loop {
            match acceptor.accept(&setup) {
                Ok(accepted) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        [&dialed, &accepted].map(|end| {
            let fd = end.fd().unwrap();
            look(&SockRef::from(&fd))
        })
    }

    #[test]
    fn the_buffers_of_the_system_are_as_large_as_they_are_told_to_be() {
        let sizes = |options| {
            ends_with(options, |socket| {
                (
                    socket.send_buffer_size().unwrap(),
                    socket.recv_buffer_size().unwrap(),
                )
            })
        };
        let options = EndpointOptions::new();
        let own = sizes(options.clone());
        let told = options.socket_send_buffer(9000).socket_recv_buffer(5000);
        for ((send, recv), own) in sizes(told).into_iter().zip(own) {
            // Systems round up, and count what is around the bytes.
            assert!((9000..20_000).contains(&send) && send != own.0, "{send}");
            assert!((5000..12_000).contains(&recv) && recv != own.1, "{recv}");
        }
    }

    #[test]
    fn small_segments_are_sent_at_once_and_nobody_is_probed_unless_told_otherwise() {
        let options = EndpointOptions::new();
        assert_eq!(settings(options.clone()), [(true, false); 2]);
        let other = options
            .tcp_nodelay(false)
            .tcp_keepalive(crate::options::Keepalive::new());
        assert_eq!(settings(other), [(false, true); 2]);
    }
}
