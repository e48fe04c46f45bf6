//! `ipc://` and `unix://`: a socket in the file system; `abstract://`: one in Linux's abstract name space.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType};
use socket2::{SockRef, Socket};

use super::stream::{self, Plain, stop_listening};
use super::{Acceptor, Ends, Handshake, Setup, Transport};
use crate::address::{Address, Credentials};
use crate::error::{Error, Result};
use crate::options::EndpointOptions;
use crate::url::Url;
use crate::wire::Framing;

/// Connections that may wait to be accepted; the system may lower it.
const BACKLOG: i32 = 1024;

/// The transport.
pub(super) struct Ipc;

// ---- dialing ----

impl Transport for Ipc {
    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        Ok(vec![address(url)])
    }

    fn connect(&self, _: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>> {
        let socket = open()?;
        set_buffers(&socket, &setup.options)?;
        let peer = address.clone();
        match rustix::net::connect(&socket, &kernel_address(address)?) {
            Ok(()) => {}
            // A full queue of a listener that does not accept: as good as nobody there, until the next attempt.
            Err(rustix::io::Errno::AGAIN) => return Err(Error::ConnectionRefused),
            Err(error) => return Err(error.into()),
        }
        let ends = move |fd: BorrowedFd<'_>| ends(fd, local(fd), peer.clone());
        Ok(stream::handshake(
            Plain::connected(socket),
            Framing::Typed,
            setup,
            ends,
        ))
    }

    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        _: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        let wanted = address(url);
        let socket = open()?;
        match rustix::net::bind(&socket, &kernel_address(&wanted)?) {
            Ok(()) => {}
            Err(rustix::io::Errno::ADDRINUSE) => take_over(&socket, &wanted)?,
            Err(rustix::io::Errno::NOENT) => return Err(Error::DirectoryMissing),
            Err(error) => return Err(error.into()),
        }
        let file = match &wanted {
            Address::Ipc(path) => Some(File::new(path)?),
            _ => None,
        };
        if let (Some(file), Some(mode)) = (&file, setup.options.permissions) {
            fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
        }
        rustix::net::listen(&socket, BACKLOG)?;
        let bound = match local(socket.as_fd()) {
            Address::Unspecified => wanted,
            bound => bound,
        };
        Ok(Box::new(IpcAcceptor {
            socket: socket.into(),
            url: url.clone(),
            bound,
            _file: file,
        }))
    }
}

fn open() -> Result<std::os::fd::OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

fn address(url: &Url) -> Address {
    match url.abstract_name() {
        Some(name) => Address::Abstract(name.to_vec()),
        None => Address::Ipc(PathBuf::from(url.path())),
    }
}

fn kernel_address(address: &Address) -> Result<SocketAddrUnix> {
    Ok(match address {
        Address::Ipc(path) => SocketAddrUnix::new(path)?,
        #[cfg(target_os = "linux")]
        Address::Abstract(name) if name.is_empty() => SocketAddrUnix::new_unnamed(),
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
        _ => return Err(Error::NotSupported("abstract socket names outside Linux")),
    })
}

// ---- listening ----

struct IpcAcceptor {
    socket: Socket,
    url: Url,
    bound: Address,
    _file: Option<File>,
}

impl Acceptor for IpcAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn accept(&self, setup: &Setup) -> io::Result<Box<dyn Handshake>> {
        let (socket, _) = self.socket.accept_raw()?;
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        set_buffers(&socket, &setup.options)?;
        let bound = self.bound.clone();
        let ends = move |fd: BorrowedFd<'_>| ends(fd, bound.clone(), Address::Unspecified);
        Ok(stream::handshake(
            Plain::connected(socket.into()),
            Framing::Typed,
            setup,
            ends,
        ))
    }

    fn stop(&self) {
        stop_listening(&self.socket);
    }

    fn url(&self) -> &Url {
        &self.url
    }

    fn address(&self) -> Address {
        self.bound.clone()
    }
}

/// Binds where something is already: only if that is a socket file on which nobody answers.
fn take_over(socket: &std::os::fd::OwnedFd, address: &Address) -> Result<()> {
    let Address::Ipc(path) = address else {
        return Err(Error::AddressInUse);
    };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(Error::AddressInUse);
    }
    let kernel = kernel_address(address)?;
    match rustix::net::connect(open()?, &kernel) {
        Err(rustix::io::Errno::CONNREFUSED) => {}
        _ => return Err(Error::AddressInUse),
    }
    fs::remove_file(path)?;
    rustix::net::bind(socket, &kernel)?;
    Ok(())
}

/// The socket file of a listener, removed with it unless somebody has put another in its place.
struct File {
    path: PathBuf,
    identity: (u64, u64),
}

impl File {
    fn new(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Nobody can be told; a file that stays is taken over by the next listener.
            let _ = fs::remove_file(&self.path);
        }
    }
}

// ---- ends ----

fn ends(fd: BorrowedFd<'_>, local: Address, peer: Address) -> Ends {
    Ends {
        credentials: credentials(fd),
        ..Ends::new(local, peer)
    }
}

/// Our own address, if we are bound to one.
fn local(fd: BorrowedFd<'_>) -> Address {
    let Ok(any) = rustix::net::getsockname(fd) else {
        return Address::Unspecified;
    };
    from_kernel(any)
}

fn from_kernel(any: SocketAddrAny) -> Address {
    let Ok(unix) = SocketAddrUnix::try_from(any) else {
        return Address::Unspecified;
    };
    #[cfg(target_os = "linux")]
    if let Some(name) = unix.abstract_name() {
        return Address::Abstract(name.to_vec());
    }
    match unix.path().map(|path| path.to_string_lossy().into_owned()) {
        Some(path) if !path.is_empty() => Address::Ipc(path.into()),
        _ => Address::Unspecified,
    }
}

#[cfg(target_os = "linux")]
pub(super) fn credentials(fd: BorrowedFd<'_>) -> Option<Credentials> {
    let found = rustix::net::sockopt::socket_peercred(fd).ok()?;
    Some(Credentials {
        pid: found.pid.as_raw_nonzero().get().cast_unsigned(),
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn credentials(_: BorrowedFd<'_>) -> Option<Credentials> {
    None
}

/// Sets how much the system keeps of a connection. What a sender may have under way is twice the system's own unless the
/// options say: with that little, a fast one waits for its peer many times in a millisecond.
fn set_buffers(socket: impl AsFd, options: &EndpointOptions) -> io::Result<()> {
    if options.buffers.send.is_none() {
        // Linux doubles what it is told, but not what it tells.
        let socket = SockRef::from(&socket);
        socket.set_send_buffer_size(socket.send_buffer_size()?)?;
    }
    stream::set_buffers(socket, options)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn twice_as_much_may_be_under_way_as_the_system_would_have_it() {
        let socket = open().unwrap();
        let size = || SockRef::from(&socket).send_buffer_size().unwrap();
        let own = size();
        set_buffers(&socket, &EndpointOptions::new()).unwrap();
        assert!(size() > own, "{} is not more than {own}", size());
        assert!(size() <= 2 * own);
    }

    #[test]
    fn the_buffers_of_the_system_are_as_large_as_they_are_told_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup {
            protocol: 0x10,
            recv_max: 0,
            options: EndpointOptions::new()
                .socket_send_buffer(9000)
                .socket_recv_buffer(5000),
        };
        let url = Url::parse(&format!("ipc://{}/s", directory.path().display())).unwrap();
        let acceptor = Ipc.listen(&url, &setup, Arc::new(|| {})).unwrap();
        let dialed = Ipc.connect(&url, &acceptor.address(), &setup).unwrap();
        let accepted = acceptor.accept(&setup).unwrap();
        for end in [&dialed, &accepted] {
            let fd = end.fd().unwrap();
            let socket = SockRef::from(&fd);
            // Systems round up, and count what is around the bytes.
            let send = socket.send_buffer_size().unwrap();
            assert!((9000..20_000).contains(&send), "{send}");
            let recv = socket.recv_buffer_size().unwrap();
            assert!((5000..12_000).contains(&recv), "{recv}");
        }
    }
}
