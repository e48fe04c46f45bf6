//! A byte stream inside TLS.
//!
//! One lock guards the session, because both directions share it; it is held over system calls that do not block.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::{ClientConnection, ServerConnection};

use super::Ends;
use super::stream::{ByteStream, Establishing, Plain, cut_off};
use crate::engine::lock;
use crate::error::{Error, Result, TlsFault};
use crate::options::EndpointOptions;
use crate::sync::Mutex;
use crate::tls::{self, PeerCertificate};
use crate::url::Url;

/// Most read from the descriptor at once, in bytes.
const READ: usize = 64 * 1024;
/// Most plaintext that is encrypted before it is written, in bytes.
const WRITE: usize = 128 * 1024;
/// Steps in a row that bring no data, before others get their turn: more than the longest record takes.
const IDLE_STEPS: usize = 8;

/// The stream.
pub(super) struct Encrypted {
    plain: Plain,
    connected: bool,
    session: Mutex<Session>,
    /// A read would give something that is in memory, or that was too much for the last one.
    unread: AtomicBool,
    /// The session has something to write that is no data.
    owing: AtomicBool,
}

struct Session {
    tls: rustls::Connection,
    /// Plaintext that was encrypted and is not told to be written before it is.
    pending: usize,
    /// What was read and is not decrypted yet.
    raw: Raw,
    /// Something was decrypted and taken.
    heard: bool,
    /// Why the session is over.
    failed: Option<Error>,
}

/// Bytes as they came, in a buffer that an idle stream does not keep.
#[derive(Default)]
struct Raw {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The descriptor may have more, as far as this read of the stream knows.
    more: bool,
}

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Encrypted {
    /// The dialing end.
    pub(super) fn dialed(plain: Plain, url: &Url, options: &EndpointOptions) -> Result<Self> {
        let (config, name) = options.tls_config().client(url.host())?;
        let session = ClientConnection::new(config, name).map_err(|why| tls::explain(&why))?;
        Ok(Self::new(plain, session.into()))
    }

    /// The listening end.
    pub(super) fn accepted(plain: Plain, options: &EndpointOptions) -> Result<Self> {
        let config = options.tls_config().server()?;
        let session = ServerConnection::new(config).map_err(|why| tls::explain(&why))?;
        Ok(Self::new(plain, session.into()))
    }

    fn new(plain: Plain, mut tls: rustls::Connection) -> Self {
        tls.set_buffer_limit(Some(WRITE));
        Self {
            plain,
            connected: false,
            session: Mutex::new(Session {
                tls,
                pending: 0,
                raw: Raw::default(),
                heard: false,
                failed: None,
            }),
            unread: AtomicBool::new(false),
            owing: AtomicBool::new(false),
        }
    }

    /// Gives what is decrypted to `put`, which returns how much of it it takes. Reads if there is nothing.
    fn read_with(&self, mut put: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        let mut session = lock(&self.session);
        let read = session.read_with(&self.plain, &mut put);
        // There may be an answer to what came, or an alert. A stream that is broken has nobody to take it.
        let blocked = matches!(session.flush(&self.plain), Err(error) if would_block(&error));
        self.owing.store(blocked, Ordering::Release);
        let given = match &read {
            Ok(count) => *count > 0,
            Err(error) => would_block(error),
        };
        let unread = given && !session.is_dry();
        self.unread.store(unread, Ordering::Release);
        read
    }
}

impl Session {
    fn read_with(
        &mut self,
        plain: &Plain,
        put: &mut impl FnMut(&[u8]) -> usize,
    ) -> io::Result<usize> {
        let mut got = 0;
        let mut idle = 0;
        // What events have told of since counts for the read that comes next, which has to look for itself.
        self.raw.more = true;
        loop {
            // An end without a word for it looks as one with it: whether it cuts a message off, the framing knows.
            while let Some(chunk) = self.decrypted() {
                if chunk.is_empty() {
                    return Ok(got);
                }
                let taken = put(chunk);
                if taken == 0 {
                    return Ok(got);
                }
                self.heard = true;
                self.tls.reader().consume(taken);
                got += taken;
            }
            if got > 0 && self.raw.is_empty() && !self.raw.more {
                return Ok(got);
            }
            if got == 0 {
                if idle == IDLE_STEPS {
                    self.raw.more = true;
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                idle += 1;
            }
            match self.step(plain) {
                Ok(()) => {}
                // The next read tells of it.
                Err(_) if got > 0 => return Ok(got),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next plaintext, if there is some; empty at the end.
    fn decrypted(&mut self) -> Option<&[u8]> {
        match self.tls.reader().into_first_chunk() {
            Ok(chunk) => Some(chunk),
            Err(error) if would_block(&error) => None,
            Err(_) => Some(&[]),
        }
    }

    /// Decrypts a part of what was read, or reads if that is all done. What was decrypted before a fault counts, so that
    /// the step after the one that finds it tells of it.
    fn step(&mut self, plain: &Plain) -> io::Result<()> {
        if let Some(why) = &self.failed {
            return Err(io::Error::other(why.clone()));
        }
        if self.raw.is_empty() {
            match self.raw.fill(plain) {
                // Cannot fail: there is nothing to take in.
                Ok(0) => return self.tls.read_tls(&mut io::empty()).map(drop),
                Ok(_) => {}
                Err(error) if would_block(&error) => return Err(error),
                Err(error) => {
                    self.failed = Some(error.into());
                    return Ok(());
                }
            }
        }
        let mut rest = self.raw.bytes();
        let before = rest.len();
        let read = self.tls.read_tls(&mut rest);
        let used = before - rest.len();
        // Nothing counts after the word for the end.
        self.raw
            .consume(if matches!(read, Ok(0)) { before } else { used });
        self.failed = match read {
            Ok(_) => match self.tls.process_new_packets() {
                Ok(_) => None,
                Err(error) => Some(self.explain(&error)),
            },
            Err(error) => Some(Error::tls(TlsFault::Violation, error.to_string())),
        };
        Ok(())
    }

    fn explain(&mut self, error: &rustls::Error) -> Error {
        let dialed = matches!(self.tls, rustls::Connection::Client(_));
        let is_first = self.is_up() && !self.heard && self.decrypted().is_none();
        if *error == rustls::Error::DecryptError && dialed && is_first {
            // mbedTLS encrypts the alert with keys that are out of use by then.
            let reason = "the peer's first record cannot be decrypted: nng tells so that it requires a \
                          certificate, or does not accept ours";
            return Error::tls(TlsFault::Refused, reason);
        }
        tls::explain(error)
    }

    fn is_up(&self) -> bool {
        !self.tls.is_handshaking() && self.failed.is_none()
    }

    /// Why the peer has closed, if it has said so. Data before that has to be read first.
    fn last_word(&mut self, plain: &Plain) -> Option<Error> {
        while self.decrypted().is_none() && self.step(plain).is_ok() {}
        self.failed.clone()
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.decrypted(), Some([]))
    }

    /// Whether only an event can bring more.
    fn is_dry(&mut self) -> bool {
        self.decrypted().is_none() && self.raw.is_empty() && !self.raw.more && self.failed.is_none()
    }

    /// Writes what is encrypted.
    fn flush(&mut self, plain: &Plain) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Writer(plain))?;
        }
        Ok(())
    }
}

impl Raw {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            SPARE.set(std::mem::take(&mut self.buffer));
        }
    }

    /// Reads, when it is empty.
    fn fill(&mut self, plain: &Plain) -> io::Result<usize> {
        let mut buffer = SPARE.take();
        buffer.resize(READ, 0);
        let read = plain.read(&mut buffer);
        let count = *read.as_ref().unwrap_or(&0);
        self.more = count == buffer.len();
        (self.start, self.end) = (0, count);
        if count > 0 {
            self.buffer = buffer;
        } else {
            SPARE.set(buffer);
        }
        read
    }
}

/// The peer hears the word for the end from whoever goes, also in answer to its own.
impl Drop for Encrypted {
    fn drop(&mut self) {
        let session = self
            .session
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if session.is_up() {
            session.tls.send_close_notify();
            // Nobody waits for it to leave.
            let _ = session.flush(&self.plain);
        }
    }
}

impl ByteStream for Encrypted {
    fn fd(&self) -> BorrowedFd<'_> {
        self.plain.fd()
    }

    fn establish(&mut self) -> Result<Establishing> {
        if !self.connected {
            if let waiting @ Establishing::Waiting { .. } = self.plain.establish()? {
                return Ok(waiting);
            }
            self.connected = true;
        }
        let session = self
            .session
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            match session.flush(&self.plain) {
                Ok(()) => {}
                Err(error) if would_block(&error) => {
                    return Ok(Establishing::Waiting { writable: true });
                }
                Err(error) => {
                    let why = session.last_word(&self.plain);
                    return Err(why.unwrap_or_else(|| cut_off(error)));
                }
            }
            if !session.tls.is_handshaking() {
                return Ok(Establishing::Done);
            }
            if let Err(error) = session.step(&self.plain) {
                if would_block(&error) {
                    return Ok(Establishing::Waiting { writable: false });
                }
                return Err(cut_off(error));
            }
            if let Some(why) = session.failed.clone() {
                // The peer is told what is wrong with it, if it still listens.
                let _ = session.flush(&self.plain);
                return Err(cut_off(io::Error::other(why)));
            }
            if session.has_ended() {
                return Err(Error::ConnectionShut);
            }
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        let mut flushed = session.flush(&self.plain);
        if flushed.is_ok() && session.pending == 0 && !slices.is_empty() {
            session.pending = session.tls.writer().write_vectored(slices)?;
            flushed = session.flush(&self.plain);
        }
        let owes = matches!(&flushed, Err(error) if would_block(error));
        self.owing.store(owes, Ordering::Release);
        match flushed {
            Ok(()) => Ok(std::mem::take(&mut session.pending)),
            Err(error) if would_block(&error) => Err(error),
            Err(error) => {
                let why = session.last_word(&self.plain);
                // What that has read is told of by no event any more.
                self.unread.store(!session.is_dry(), Ordering::Release);
                Err(why.map_or(error, io::Error::other))
            }
        }
    }

    fn short_is_full(&self) -> bool {
        false
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        self.read_with(|chunk| {
            let rest = into.get_mut(filled..).unwrap_or_default();
            let count = rest.len().min(chunk.len());
            rest[..count].copy_from_slice(&chunk[..count]);
            filled += count;
            count
        })
    }

    fn read_spare(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        let end = into.capacity();
        self.read_with(|chunk| {
            let count = (end - into.len()).min(chunk.len());
            into.extend_from_slice(&chunk[..count]);
            count
        })
    }

    fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    fn owes(&self) -> bool {
        self.owing.load(Ordering::Acquire)
    }

    fn finish(&self) {
        let mut session = lock(&self.session);
        session.tls.send_close_notify();
        // The connection may be broken already; then there is nobody to tell.
        let _ = session.flush(&self.plain);
        self.plain.finish();
    }

    fn describe(&self, ends: Ends) -> Ends {
        let session = lock(&self.session);
        let shown = session
            .tls
            .peer_certificates()
            .and_then(|chain| chain.first());
        let certificate =
            shown.map(|first| Arc::new(PeerCertificate::new(first.clone().into_owned())));
        Ends {
            certificate,
            ..ends
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A plain stream to write to.
struct Writer<'a>(&'a Plain);

impl Write for Writer<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
