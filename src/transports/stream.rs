//! What all byte streams share: the handshake, and moving batches through a descriptor.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::{Connection, Established, Handshake, Otherwise, Progress, Received, Setup};
use crate::address::{Address, Credentials};
use crate::error::{Error, Result};
use crate::wire::header::{self, HEADER_LEN};
use crate::wire::{Batch, Decoder, Framing};

/// Most slices handed to one write.
const SLICES: usize = 64;

/// What a transport knows of a stream besides its descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) framing: Framing,
    pub(crate) local: Address,
    pub(crate) peer: Address,
    pub(crate) credentials: Option<Credentials>,
}

/// Starts the handshake on a stream; `connecting` says that it is not connected yet.
pub(crate) fn handshake(
    fd: OwnedFd,
    connecting: bool,
    setup: &Setup,
    ends: impl Fn(BorrowedFd<'_>) -> Ends + Send + Sync + 'static,
) -> Box<dyn Handshake> {
    Box::new(StreamHandshake {
        fd: Some(fd),
        connecting,
        ours: header::encode(setup.protocol),
        sent: 0,
        theirs: [0; HEADER_LEN],
        received: 0,
        ends: Box::new(ends),
    })
}

type DescribeEnds = Box<dyn Fn(BorrowedFd<'_>) -> Ends + Send + Sync>;

struct StreamHandshake {
    /// Gone once the handshake is done.
    fd: Option<OwnedFd>,
    connecting: bool,
    ours: [u8; HEADER_LEN],
    sent: usize,
    theirs: [u8; HEADER_LEN],
    received: usize,
    ends: DescribeEnds,
}

impl Handshake for StreamHandshake {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    fn advance(&mut self) -> Result<Progress> {
        let Some(fd) = &self.fd else {
            return Err(Error::Closed);
        };
        if self.connecting {
            if !is_connected(fd)? {
                return Ok(Progress::Waiting { writable: true });
            }
            self.connecting = false;
        }
        while let Some(rest) = self.ours.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(fd, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(Progress::Waiting { writable: true }),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Error::ConnectionShut),
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(rest) = self
            .theirs
            .get_mut(self.received..)
            .filter(|rest| !rest.is_empty())
        {
            match rustix::net::recv(fd, rest, RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Err(Error::ConnectionShut),
                Ok((_, count)) => self.received += count,
                Err(Errno::AGAIN) => return Ok(Progress::Waiting { writable: false }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let protocol = header::decode(self.theirs)?;
        let ends = (self.ends)(fd.as_fd());
        let Some(fd) = self.fd.take() else {
            return Err(Error::Closed);
        };
        let connection = Arc::new(Stream { fd, ends });
        Ok(Progress::Done(Established {
            connection,
            protocol,
        }))
    }

    fn peer(&self) -> Address {
        self.fd
            .as_ref()
            .map_or(Address::Unspecified, |fd| (self.ends)(fd.as_fd()).peer)
    }
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

/// A byte stream that is up.
struct Stream {
    fd: OwnedFd,
    ends: Ends,
}

impl Connection for Stream {
    fn framing(&self) -> Framing {
        self.ends.framing
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn send(&self, batch: &mut Batch) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = batch.slices(&mut slices);
            let offered: usize = slices[..used].iter().map(|slice| slice.len()).sum();
            let sent = if used == 1 {
                rustix::net::send(&self.fd, &slices[0], flags)
            } else {
                let mut none = SendAncillaryBuffer::default();
                rustix::net::sendmsg(&self.fd, &slices[..used], &mut none, flags)
            };
            match sent {
                Ok(count) => {
                    batch.advance(count);
                    if count < offered {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn recv(&self, decoder: &mut Decoder, _: Otherwise) -> io::Result<Received> {
        let space = decoder.space();
        let room = space.capacity() - space.len();
        loop {
            match rustix::net::recv(&self.fd, spare_capacity(space), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Ok(Received::End),
                Ok((_, count)) => {
                    decoder.filled(count >= room);
                    return Ok(Received::Some {
                        more: count >= room,
                    });
                }
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn finish(&self) {
        // The connection may be broken already; then there is nobody to tell.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }

    fn local_address(&self) -> Address {
        self.ends.local.clone()
    }

    fn peer_address(&self) -> Address {
        self.ends.peer.clone()
    }

    fn credentials(&self) -> Option<Credentials> {
        self.ends.credentials
    }
}
