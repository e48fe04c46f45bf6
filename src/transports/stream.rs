//! What all byte streams share: the handshake, and moving batches through them.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use socket2::SockRef;

use super::{Connection, Ends, Established, Handshake, Otherwise, Progress, Received, Setup};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::options::EndpointOptions;
#[cfg(target_os = "linux")]
use crate::sys::arrivals;
use crate::wire::header::{self, HEADER_LEN};
use crate::wire::{Batch, Decoder, Framing};

/// Most slices handed to one write.
const SLICES: usize = 64;
/// How much of a message has to be missing for its parts to be waited for together, and how much of it is at most.
#[cfg(target_os = "linux")]
const LONG: usize = 256 * 1024;
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 2 * 1024 * 1024;

/// Bytes both ways, as a descriptor carries them or wrapped in something else.
pub(crate) trait ByteStream: Send + Sync + 'static {
    /// The descriptor to watch.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Goes on with what comes before the first byte, without blocking.
    fn establish(&mut self) -> Result<Establishing>;

    /// Writes as much as goes without blocking; `WouldBlock` if that is nothing. After that, or after less than all, the
    /// next write has to begin with the same bytes: they may be on their way already.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether a write that takes less than it is given says that there is no room for more.
    fn short_is_full(&self) -> bool {
        true
    }

    /// Reads once, without blocking. Returns how much came, 0 at the end. `WouldBlock` while something is unread asks
    /// for another try when others have had their turn.
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// The same, into the spare capacity.
    fn read_spare(&self, into: &mut Vec<u8>) -> io::Result<usize>;

    /// Says after each read that this much is still to come of a message, 0 between messages: being told of each part of
    /// a long one would cost more than it brings. Whoever waits for the descriptor, a thread that has not read included,
    /// must be told of all that the message lacks.
    fn expect(&self, missing: usize) {
        let _ = missing;
    }

    /// Whether a read would give something that no event of the descriptor tells of.
    fn has_unread(&self) -> bool {
        false
    }

    /// Whether a write of nothing has something to write.
    fn owes(&self) -> bool {
        false
    }

    /// Says that nothing more will be written.
    fn finish(&self);

    /// Adds what is known of the peer from here.
    fn describe(&self, ends: Ends) -> Ends {
        ends
    }
}

/// How far a byte stream is.
pub(crate) enum Establishing {
    /// It waits for the descriptor; to be writable, if so said, else readable.
    Waiting { writable: bool },
    /// Bytes may flow.
    Done,
}

/// Sets how much the system keeps of a connection.
pub(super) fn set_buffers(socket: impl AsFd, options: &EndpointOptions) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if let Some(bytes) = options.buffers.send {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.buffers.recv {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// Addresses by descriptor.
type DescribeEnds = Box<dyn Fn(BorrowedFd<'_>) -> Ends + Send + Sync>;

/// Starts the handshake on a stream.
pub(crate) fn handshake<S: ByteStream>(
    stream: S,
    framing: Framing,
    setup: &Setup,
    ends: impl Fn(BorrowedFd<'_>) -> Ends + Send + Sync + 'static,
) -> Box<dyn Handshake> {
    Box::new(StreamHandshake {
        stream: Some(stream),
        established: false,
        framing,
        ours: header::encode(setup.protocol),
        sent: 0,
        theirs: [0; HEADER_LEN],
        received: 0,
        ends: Box::new(ends),
    })
}

struct StreamHandshake<S> {
    /// Gone once the handshake is done.
    stream: Option<S>,
    established: bool,
    framing: Framing,
    ours: [u8; HEADER_LEN],
    sent: usize,
    theirs: [u8; HEADER_LEN],
    received: usize,
    ends: DescribeEnds,
}

impl<S: ByteStream> Handshake for StreamHandshake<S> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(S::fd)
    }

    fn advance(&mut self) -> Result<Progress> {
        let Some(stream) = &mut self.stream else {
            return Err(Error::Closed);
        };
        if !self.established {
            if let Establishing::Waiting { writable } = stream.establish()? {
                return Ok(Progress::Waiting { writable });
            }
            self.established = true;
        }
        while let Some(rest) = self.ours.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(&[IoSlice::new(rest)]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waiting { writable: true });
                }
                Err(error) => return Err(cut_off(error)),
            }
        }
        while let Some(rest) = self
            .theirs
            .get_mut(self.received..)
            .filter(|rest| !rest.is_empty())
        {
            match stream.read(rest) {
                Ok(0) => return Err(Error::ConnectionShut),
                Ok(count) => self.received += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waiting { writable: false });
                }
                Err(error) => return Err(cut_off(error)),
            }
        }
        let protocol = header::decode(self.theirs)?;
        let ends = stream.describe((self.ends)(stream.fd()));
        let Some(stream) = self.stream.take() else {
            return Err(Error::Closed);
        };
        let connection = Arc::new(Stream {
            stream,
            framing: self.framing,
            ends,
        });
        Ok(Progress::Done(Established {
            connection,
            protocol,
        }))
    }

    fn peer(&self) -> Address {
        self.stream
            .as_ref()
            .map_or(Address::Unspecified, |stream| (self.ends)(stream.fd()).peer)
    }
}

/// What an error before the handshake is over means.
pub(super) fn cut_off(error: io::Error) -> Error {
    match error.into() {
        Error::ConnectionReset => Error::ConnectionShut,
        other => other,
    }
}

// ---- a stream that is up ----

struct Stream<S> {
    stream: S,
    framing: Framing,
    ends: Ends,
}

impl<S: ByteStream> Connection for Stream<S> {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.fd())
    }

    fn send(&self, batch: &mut Batch) -> io::Result<()> {
        send(&self.stream, batch)
    }

    fn recv(&self, decoder: &mut Decoder, _: Otherwise) -> io::Result<Received> {
        let space = decoder.space();
        let room = space.capacity() - space.len();
        match self.stream.read_spare(space) {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                decoder.filled(count >= room);
                self.stream.expect(decoder.expected());
                Ok(Received::Some {
                    more: count >= room || self.stream.has_unread(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stream.expect(decoder.expected());
                if self.stream.has_unread() {
                    return Ok(Received::Unwatched);
                }
                Ok(Received::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    fn has_arrivals(&self) -> bool {
        self.stream.has_unread()
    }

    fn owes(&self) -> bool {
        self.stream.owes()
    }

    fn finish(&self) {
        self.stream.finish();
    }

    fn ends(&self) -> Ends {
        self.ends.clone()
    }
}

/// Writes as much of a batch as goes.
pub(super) fn send<S: ByteStream + ?Sized>(stream: &S, batch: &mut Batch) -> io::Result<()> {
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = batch.slices(&mut slices);
        let offered: usize = slices[..used].iter().map(|slice| slice.len()).sum();
        match stream.write(&slices[..used]) {
            Ok(count) => {
                batch.advance(count);
                if batch.is_empty() || (count < offered && stream.short_is_full()) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

// ---- a descriptor as it is ----

/// The bytes as the descriptor carries them.
pub(crate) struct Plain {
    fd: OwnedFd,
    connecting: bool,
    /// How much has to be there to be told of, if that can be said.
    #[cfg(target_os = "linux")]
    told_of: Option<AtomicUsize>,
}

impl Plain {
    /// One of any kind that is connected.
    pub(super) fn connected(fd: OwnedFd) -> Self {
        Self {
            fd,
            connecting: false,
            #[cfg(target_os = "linux")]
            told_of: None,
        }
    }

    /// A tcp connection, or one that is to come about.
    pub(super) fn tcp(fd: OwnedFd, connecting: bool) -> Self {
        Self {
            fd,
            connecting,
            #[cfg(target_os = "linux")]
            told_of: arrivals::can_be_told().then(|| AtomicUsize::new(1)),
        }
    }
}

impl ByteStream for Plain {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn establish(&mut self) -> Result<Establishing> {
        if self.connecting {
            if !is_connected(&self.fd)? {
                return Ok(Establishing::Waiting { writable: true });
            }
            self.connecting = false;
        }
        Ok(Establishing::Done)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        retried(|| match slices {
            [] => Ok(0),
            [slice] => rustix::net::send(&self.fd, slice, flags),
            _ => {
                let mut none = SendAncillaryBuffer::default();
                rustix::net::sendmsg(&self.fd, slices, &mut none, flags)
            }
        })
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        retried(|| rustix::net::recv(&self.fd, &mut *into, RecvFlags::DONTWAIT))
            .map(|(_, count)| count)
    }

    fn read_spare(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        retried(|| rustix::net::recv(&self.fd, spare_capacity(into), RecvFlags::DONTWAIT))
            .map(|(_, count)| count)
    }

    #[cfg(target_os = "linux")]
    fn expect(&self, missing: usize) {
        let Some(told_of) = &self.told_of else {
            return;
        };
        let before = told_of.load(Ordering::Relaxed);
        let count = if missing >= LONG || (missing > 0 && before > 1) {
            missing.min(AT_ONCE)
        } else {
            1
        };
        // Where that cannot be set, what was set before stands.
        if count != before && arrivals::tell_of(self.fd.as_fd(), count).is_ok() {
            told_of.store(count, Ordering::Relaxed);
        }
    }

    fn finish(&self) {
        // The connection may be broken already; then there is nobody to tell.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }
}

/// Stops listening, for all that hold the descriptor.
pub(super) fn stop_listening(fd: impl AsFd) {
    // It fails where nothing listens, and then there is nothing to stop.
    let _ = rustix::net::shutdown(fd, Shutdown::Both);
}

/// Whether a connection attempt has succeeded; an error if it failed.
fn is_connected(fd: &OwnedFd) -> Result<bool> {
    rustix::net::sockopt::socket_error(fd)??;
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a call again as long as a signal interrupts it.
#[inline]
fn retried<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::sys::arrivals::tests::is_readable;

    fn pair() -> (Stream<Plain>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Stream {
            stream: Plain::tcp(listener.accept().unwrap().0.into(), false),
            framing: Framing::Length,
            ends: Ends::new(Address::Unspecified, Address::Unspecified),
        };
        (stream, peer)
    }

    #[test]
    fn all_that_a_long_message_lacks_is_told_of_after_each_read() {
        const LENGTH: usize = 900_000;
        let (stream, mut peer) = pair();
        let mut decoder = Decoder::new(stream.framing, 0);
        let mut frame = (LENGTH as u64).to_be_bytes().to_vec();
        frame.resize(size_of::<u64>() + LENGTH, 1);
        let (first, rest) = frame.split_at(100_000);
        peer.write_all(first).unwrap();
        while decoder.expected() != LENGTH + size_of::<u64>() - first.len() {
            assert!(is_readable(stream.stream.fd(), 10));
            let _ = stream.recv(&mut decoder, Otherwise::Waits).unwrap();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| peer.write_all(rest).unwrap());
            // Not all that is there is read at once: memory is given to a message as it comes.
            while decoder.expected() > 0 {
                assert!(
                    is_readable(stream.stream.fd(), 10),
                    "{} are missing",
                    decoder.expected()
                );
                let _ = stream.recv(&mut decoder, Otherwise::Waits).unwrap();
            }
        });
        assert!(decoder.ready().unwrap());
        peer.write_all(&[0]).unwrap();
        assert!(is_readable(stream.stream.fd(), 10), "the next message");
    }
}
