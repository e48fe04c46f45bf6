//! A WebSocket connection that is up.
//!
//! Frames of messages are in the batch that is to be sent. Other frames go between batches, so never into the middle
//! of one; of each kind at most one waits.
//!
//! A connection ends with a close frame, except towards a peer that does not say in its HTTP head what program it is.
//! nng does not, and it keeps a connection for ever if a close frame comes while it works on the messages before it
//! (seen in 1.5.2); the end of the stream it understands.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::engine::lock;
use crate::error::{Error, Result};
use crate::transports::stream::{self, ByteStream};
use crate::transports::{Connection, Ends, Otherwise, Received, Setup};
use crate::wire::web::{Assembler, Control, code, control};
use crate::wire::{Batch, Decoder, Framing, Parcel};

/// Bytes that are read at once: first, and at most, while reads fill it.
const SMALL: usize = 16 * 1024;
const LARGE: usize = 256 * 1024;

/// Intervals of pings in which nothing comes, until the peer is taken for lost.
const QUIET: u32 = 2;

thread_local! {
    /// Nothing stays in it between two reads, so that all connections share it.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        raw: Vec::new(),
        size: SMALL,
        parcel: Parcel::default(),
    });
}

struct Scratch {
    raw: Vec<u8>,
    size: usize,
    parcel: Parcel,
}

/// The connection.
pub(super) struct WebConnection {
    stream: Box<dyn ByteStream>,
    /// We are the server, which does not mask.
    server: bool,
    ends: Ends,
    /// The peer does not say what it is.
    terse: bool,
    ping: Option<Duration>,
    input: Mutex<Input>,
    output: Mutex<Output>,
    /// The longest message accepted.
    limit: AtomicUsize,
    /// Something came that no event tells of: with the handshake, or an end behind messages.
    untold: AtomicBool,
    /// A frame that is no message waits to be written.
    owing: AtomicBool,
    /// Ticks since something came.
    quiet: AtomicU32,
}

struct Input {
    assembler: Assembler,
    early: Vec<u8>,
    /// The code of the peer's close frame, to be answered once what came before was taken: the answer says that it was.
    unanswered: Option<Option<u16>>,
    /// What to tell once what came before was taken.
    end: Option<Result<()>>,
}

#[derive(Default)]
struct Output {
    /// What is left of a frame that is being written.
    frame: Vec<u8>,
    /// A batch was begun and not written to its end.
    amid: bool,
    pong: Option<Vec<u8>>,
    ping: bool,
    /// The payload of a close frame.
    close: Option<Vec<u8>>,
    /// A close frame was written, or begun.
    closed: bool,
    /// Nothing follows what is pending.
    finishing: bool,
}

impl WebConnection {
    /// `early` is what came behind the HTTP head.
    pub(super) fn new(
        stream: Box<dyn ByteStream>,
        server: bool,
        early: Vec<u8>,
        ends: Ends,
        setup: &Setup,
    ) -> Self {
        let says = |name| {
            ends.http
                .as_ref()
                .is_some_and(|http| http.header(name).is_some())
        };
        let terse = !["user-agent", "server", "origin"].into_iter().any(says);
        Self {
            stream,
            server,
            ends,
            terse,
            ping: setup.options.ws_ping,
            limit: AtomicUsize::new(setup.recv_max),
            untold: AtomicBool::new(!early.is_empty()),
            input: Mutex::new(Input {
                assembler: Assembler::new(server, setup.recv_max),
                early,
                unanswered: None,
                end: None,
            }),
            output: Mutex::default(),
            owing: AtomicBool::new(false),
            quiet: AtomicU32::new(0),
        }
    }

    /// Writes what waits besides messages, if no message is under way.
    fn flush(&self, output: &mut Output) -> io::Result<()> {
        let mut written = Ok(());
        while !output.amid && written.is_ok() && output.next(!self.server) {
            match self.stream.write(&[IoSlice::new(&output.frame)]) {
                Ok(count) => drop(output.frame.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => written = Err(error),
            }
        }
        let owing = output.is_pending();
        if !owing && !output.amid && mem::take(&mut output.finishing) {
            self.stream.finish();
        }
        self.owing
            .store(owing && written.is_ok(), Ordering::Release);
        written
    }

    /// Sends what `set` asks for as soon as it can be.
    fn send_control(&self, set: impl FnOnce(&mut Output)) {
        let mut output = lock(&self.output);
        set(&mut output);
        // Reading tells of a connection that is broken.
        let _ = self.flush(&mut output);
    }

    /// Reads once and puts the messages that came whole into `scratch`. Returns whether there may be more, or `None`
    /// if nothing was there.
    fn read(&self, input: &mut Input, scratch: &mut Scratch) -> io::Result<Option<bool>> {
        let Scratch { raw, size, parcel } = scratch;
        input
            .assembler
            .set_limit(self.limit.load(Ordering::Relaxed));
        let early = mem::take(&mut input.early);
        let (fed, more) = if !early.is_empty() {
            self.untold.store(false, Ordering::Relaxed);
            *raw = early;
            (input.assembler.feed(raw, parcel), true)
        } else if let Some(body) = input.assembler.space() {
            let (before, room) = (body.len(), body.capacity() - body.len());
            let Some(count) = some(self.stream.read_spare(body))? else {
                return Ok(None);
            };
            if count == 0 {
                return self.ended(input);
            }
            (input.assembler.filled(before, parcel), count >= room)
        } else {
            raw.clear();
            raw.reserve_exact(*size);
            let room = raw.capacity();
            let Some(count) = some(self.stream.read_spare(raw))? else {
                return Ok(None);
            };
            if count == 0 {
                return self.ended(input);
            }
            let more = count >= room;
            if more && *size < LARGE {
                *size *= 4;
            }
            (input.assembler.feed(raw, parcel), more)
        };
        self.quiet.store(0, Ordering::Relaxed);
        if let Err(violation) = fed {
            self.send_control(|output| output.end_with(Some(violation.code)));
            input.end = Some(Err(violation.error));
        } else if let Some(code) = input.assembler.closed() {
            input.unanswered = Some(code);
            if parcel.is_empty() {
                self.answer_close(input);
            }
            input.end = Some(match code {
                Some(code @ (code::PROTOCOL..=code::FAILED)) => Err(Error::WebSocketClosed(code)),
                _ => Ok(()),
            });
        } else if let Some(payload) = input.assembler.take_ping() {
            self.send_control(|output| output.pong = Some(payload));
        }
        Ok(Some(more || self.stream.has_unread()))
    }

    fn answer_close(&self, input: &mut Input) {
        if let Some(code) = input.unanswered.take() {
            self.send_control(|output| output.end_with(code));
        }
    }

    /// The stream has ended.
    fn ended(&self, input: &mut Input) -> io::Result<Option<bool>> {
        input.end = Some(if input.assembler.is_amid_message() {
            Err(Error::ConnectionReset)
        } else {
            Ok(())
        });
        Ok(Some(true))
    }
}

impl Output {
    /// Makes the next frame the one to write. Returns whether there is one.
    fn next(&mut self, masked: bool) -> bool {
        if !self.frame.is_empty() {
            return true;
        }
        if self.closed {
            return false;
        }
        self.frame = if let Some(payload) = self.pong.take() {
            control(Control::Pong, &payload, masked)
        } else if mem::take(&mut self.ping) {
            control(Control::Ping, &[], masked)
        } else if let Some(payload) = self.close.take() {
            self.closed = true;
            control(Control::Close, &payload, masked)
        } else {
            return false;
        };
        true
    }

    /// Closes with a code, unless there is a reason to close already. Nothing follows.
    fn end_with(&mut self, code: Option<u16>) {
        let payload = || code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
        self.close.get_or_insert_with(payload);
        self.finishing = true;
    }

    fn is_pending(&self) -> bool {
        let waits = self.pong.is_some() || self.ping || self.close.is_some();
        !self.frame.is_empty() || (waits && !self.closed)
    }
}

/// What came of a read; `None` if there is nothing yet.
fn some(count: io::Result<usize>) -> io::Result<Option<usize>> {
    match count {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

impl Connection for WebConnection {
    fn framing(&self) -> Framing {
        Framing::Web {
            masked: !self.server,
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.fd())
    }

    fn send(&self, batch: &mut Batch) -> io::Result<()> {
        let mut output = lock(&self.output);
        self.flush(&mut output)?;
        if !output.frame.is_empty() {
            return Ok(());
        }
        if output.closed && !batch.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        stream::send(&*self.stream, batch)?;
        output.amid = !batch.is_empty();
        Ok(())
    }

    fn recv(&self, decoder: &mut Decoder, _: Otherwise) -> io::Result<Received> {
        let mut input = lock(&self.input);
        // All that came before was taken, or this would not be called.
        self.answer_close(&mut input);
        SCRATCH.with_borrow_mut(|scratch| {
            let mut more = false;
            if input.end.is_none() {
                let Some(may_be) = self.read(&mut input, scratch)? else {
                    if self.stream.has_unread() {
                        return Ok(Received::Unwatched);
                    }
                    return Ok(Received::Nothing);
                };
                more = may_be;
                if !scratch.parcel.is_empty() {
                    decoder.unpack(&mut scratch.parcel);
                    if input.end.is_some() {
                        self.untold.store(true, Ordering::Relaxed);
                        more = true;
                    }
                    return Ok(Received::Some { more });
                }
            }
            match &input.end {
                None => Ok(Received::Some { more }),
                Some(Ok(())) => Ok(Received::End),
                Some(Err(error)) => Err(io::Error::other(error.clone())),
            }
        })
    }

    #[cfg(feature = "broker")]
    fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn has_arrivals(&self) -> bool {
        self.untold.load(Ordering::Relaxed) || self.stream.has_unread()
    }

    fn reads_on(&self) -> bool {
        true
    }

    fn owes(&self) -> bool {
        self.owing.load(Ordering::Acquire) || self.stream.owes()
    }

    fn ticks_every(&self) -> Option<Duration> {
        self.ping
    }

    fn tick(&self) -> Result<()> {
        // What waits unread has come all the same.
        if self.quiet.fetch_add(1, Ordering::Relaxed) >= QUIET
            && rustix::io::ioctl_fionread(self.stream.fd()).unwrap_or(0) == 0
        {
            return Err(Error::TimedOut);
        }
        self.send_control(|output| output.ping = true);
        Ok(())
    }

    fn finish(&self) {
        self.send_control(|output| {
            if self.terse {
                output.finishing = true;
            } else {
                output.end_with(Some(code::NORMAL));
            }
        });
    }

    fn ends(&self) -> Ends {
        self.ends.clone()
    }
}

impl Drop for WebConnection {
    fn drop(&mut self) {
        self.finish();
    }
}
