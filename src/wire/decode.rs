//! Bytes that came in, as messages.

use std::mem;

use super::batch::{Bodies, Parcel};
use super::{Framing, IPC_MESSAGE};
use crate::error::{Error, Result};
use crate::message::{Message, pool};

/// Read buffer of a pipe that has had little to read, in bytes.
const SMALL: usize = 16 * 1024;
/// Read buffer for the frame of a message that is expected to be read straight into its own buffer: what is read of its
/// body with the frame is copied.
const FRAME: usize = 1024;
/// Read buffer of a busy pipe.
const LARGE: usize = 256 * 1024;
/// A message is read straight into its own buffer when at least this much of it is still to come.
pub(super) const DIRECT: usize = 16 * 1024;
/// And so is its rest, down to this much, of which the beginning of the next message costs no read of its own.
const TAIL: usize = 4 * 1024;
/// Most memory a message gets ahead of the bytes that have come, unless as long a one has come before, so that
/// announcing a length costs nobody memory.
pub(super) const AHEAD: usize = 256 * 1024;
/// Longest length the format allows: the four top bits are reserved.
const MAX_LENGTH: u64 = 0x0fff_ffff_ffff_ffff;

/// Turns a stream of bytes into messages.
///
/// The owner reads into [`space`](Self::space), tells how much it was with [`filled`](Self::filled), and takes
/// messages with [`take`](Self::take) while there is one [`ready`](Self::ready).
pub(crate) struct Decoder {
    framing: Framing,
    /// Longest message accepted; 0 for no limit.
    limit: usize,
    buffer: Vec<u8>,
    /// What of the buffer was consumed.
    taken: usize,
    /// A long message of which only a part is here, and its full length.
    partial: Option<(Vec<u8>, usize)>,
    bodies: Bodies,
    next: Next,
    /// Size the buffer gets next.
    size: usize,
    /// Longest message that has come whole: so much memory the peer is trusted to fill.
    proven: usize,
}

/// Where the next message is, once it was found to be complete.
#[derive(Clone, Copy)]
enum Next {
    Unknown,
    /// Behind what was consumed of the buffer: where its body begins, and how long it is.
    Buffered {
        start: usize,
        len: usize,
    },
    Partial,
    /// Beside the buffer.
    Apart,
}

impl Decoder {
    pub(crate) fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit,
            buffer: Vec::new(),
            taken: 0,
            partial: None,
            bodies: Bodies::new(),
            next: Next::Unknown,
            size: SMALL,
            proven: AHEAD,
        }
    }

    /// Sets the longest message accepted, 0 for any, from the next length on that is read.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The buffer to read into: everything in its spare capacity may be filled, nothing else may be changed.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.next = Next::Unknown;
        let missing = self.missing();
        if missing >= TAIL
            && let Some((body, length)) = &mut self.partial
        {
            let room = (*length - body.len()).min(self.proven.max(body.len()));
            body.reserve_exact(room);
            return body;
        }
        let rest = self.buffer.len() - self.taken;
        if self.taken > 0 {
            self.buffer.copy_within(self.taken.., 0);
            self.buffer.truncate(rest);
            self.taken = 0;
        }
        let size = self.size.max(missing.max(rest) + FRAME);
        if self.buffer.capacity() < size {
            self.buffer.reserve_exact(size - rest);
        }
        &mut self.buffer
    }

    /// Takes note of a read into [`space`](Self::space) that filled all or not all of it.
    pub(crate) fn filled(&mut self, all: bool) {
        if all && self.partial.is_none() && self.size < LARGE {
            self.size *= 4;
        }
    }

    /// Whether the next message is complete. An error is a reason to close the connection.
    #[inline]
    pub(crate) fn ready(&mut self) -> Result<bool> {
        if matches!(self.next, Next::Unknown) {
            self.look()?;
        }
        Ok(!matches!(self.next, Next::Unknown))
    }

    /// What the peer sent as the next message, which must be ready.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        match self.next {
            Next::Buffered { start, len } => self.buffer.get(start..start + len),
            Next::Partial => self.partial.as_ref().map(|(body, _)| body.as_slice()),
            Next::Apart => self.bodies.front().map(|(_, message)| message.body()),
            Next::Unknown => None,
        }
        .unwrap_or_default()
    }

    /// Takes the next message, which must be ready.
    #[inline]
    pub(crate) fn take(&mut self, message: &mut Message) {
        match mem::replace(&mut self.next, Next::Unknown) {
            Next::Buffered { start, len } => {
                if let Some(window) = self.buffer.get(start..) {
                    message.fill(window, len);
                }
                self.consume(start + len - self.taken);
            }
            Next::Partial => {
                if let Some((body, length)) = self.partial.take() {
                    self.proven = self.proven.max(length);
                    *message = body.into();
                }
            }
            Next::Apart => {
                if let Some((place, body)) = self.bodies.pop_front() {
                    *message = body;
                    self.consume(place - self.taken);
                }
            }
            Next::Unknown => {}
        }
    }

    /// Looks for the next message.
    #[inline]
    fn look(&mut self) -> Result<()> {
        if self.partial.is_some() {
            self.fill_partial();
            return Ok(());
        }
        let Some(data) = self.buffer.get(self.taken..) else {
            return Ok(());
        };
        let data = match self.framing {
            Framing::Typed => match data.split_first() {
                None => return Ok(()),
                Some((&IPC_MESSAGE, rest)) => rest,
                Some(_) => return Err(Error::Malformed("an ipc frame has an unknown type")),
            },
            _ => data,
        };
        let Some((length, data)) = data.split_first_chunk() else {
            return Ok(());
        };
        let start = self.taken + self.framing.overhead();
        if self
            .bodies
            .front()
            .is_some_and(|(place, _)| *place == start)
        {
            self.next = Next::Apart;
            return Ok(());
        }
        let len = self.check(u64::from_be_bytes(*length))?;
        if len <= data.len() {
            self.next = Next::Buffered { start, len };
        } else if len - data.len() >= DIRECT || self.framing.overhead() + len > SMALL {
            let mut body = pool::buffer(len.min(self.proven.max(data.len())));
            body.extend_from_slice(data);
            self.partial = Some((body, len));
            self.taken = 0;
            // What follows is likely to be as long.
            self.size = FRAME;
            self.buffer.clear();
            self.buffer.shrink_to(FRAME);
        }
        Ok(())
    }

    /// How much of a long message is to be read next, as far as is known: 0 while a message is ready.
    pub(crate) fn expected(&mut self) -> usize {
        if matches!(self.ready(), Ok(false)) {
            self.missing()
        } else {
            0
        }
    }

    /// How many messages are complete. Looks at each of them.
    pub(crate) fn count(&self) -> usize {
        let (mut at, mut count) = (self.taken, 0);
        if let Some((body, length)) = &self.partial {
            at += length - body.len();
            if at > self.buffer.len() {
                return 0;
            }
            count = 1;
        }
        let mut places = self.bodies.iter().map(|(place, _)| *place).peekable();
        while let Some(frame) = self.buffer.get(at..)
            && let Some(frame) = frame.get(self.framing.overhead() - size_of::<u64>()..)
            && let Some(length) = frame.first_chunk()
        {
            at += self.framing.overhead();
            if places.next_if_eq(&at).is_none() {
                let length = usize::try_from(u64::from_be_bytes(*length)).ok();
                match length.and_then(|length| at.checked_add(length)) {
                    Some(end) if end <= self.buffer.len() => at = end,
                    _ => break,
                }
            }
            count += 1;
        }
        count
    }

    /// Whether part of a message is here, so that an end of the stream now cuts it off.
    pub(crate) fn is_amid_message(&self) -> bool {
        self.partial.is_some() || self.taken < self.buffer.len()
    }

    /// Takes a parcel's content. The parcel gets the memory of what was read before, which must be taken.
    pub(crate) fn unpack(&mut self, parcel: &mut Parcel) {
        debug_assert!(self.buffer.is_empty() && self.bodies.is_empty());
        mem::swap(&mut self.buffer, &mut parcel.buffer);
        mem::swap(&mut self.bodies, &mut parcel.bodies);
        parcel.emptied();
    }

    /// Lends the decoder a read buffer, if it has none.
    pub(crate) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.buffer.capacity() == 0 && buffer.capacity() <= self.size {
            mem::swap(&mut self.buffer, buffer);
        }
    }

    /// Gives up the read buffer if nothing is in it: an idle pipe then holds no memory.
    pub(crate) fn yield_buffer(&mut self, spare: &mut Vec<u8>) {
        if self.taken == self.buffer.len() {
            let mut buffer = mem::take(&mut self.buffer);
            buffer.clear();
            self.taken = 0;
            if spare.capacity() < buffer.capacity() {
                *spare = buffer;
            }
        }
    }

    /// How much of a long message is still to come.
    fn missing(&self) -> usize {
        let partial = self.partial.as_ref();
        partial.map_or(0, |(body, length)| length - body.len())
    }

    fn check(&self, length: u64) -> Result<usize> {
        let limit = if self.limit == 0 || self.framing.is_unpacked() {
            usize::MAX
        } else {
            self.limit
        };
        match usize::try_from(length) {
            Ok(size) if length <= MAX_LENGTH && size <= limit => Ok(size),
            _ => Err(Error::MessageTooLong { limit, length }),
        }
    }

    fn fill_partial(&mut self) {
        let Some((body, length)) = &mut self.partial else {
            return;
        };
        let missing = *length - body.len();
        let part = missing.min(self.buffer.len() - self.taken);
        body.extend_from_slice(&self.buffer[self.taken..self.taken + part]);
        if part == missing {
            self.next = Next::Partial;
        }
        self.consume(part);
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.buffer.len() {
            self.taken = 0;
            self.buffer.clear();
        }
    }
}
