//! The message: a protocol header and a body.
//!
//! A message has a small area of its own, which holds the header and, right behind it, a body of up to [`INLINE`]
//! bytes. So words move between header and body, as protocols do on every hop, without being copied. A longer body
//! is in a reference-counted buffer that clones share, and that is copied when it is edited while shared.

use std::fmt;
use std::mem;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

mod convert;
mod numbers;
pub(crate) mod pool;

use crate::error::{Error, Result};
use pool::Block;

/// Longest body, in bytes, that needs no allocation.
const INLINE: usize = AREA - HEADER_ROOM;
/// Size of a message's own area. With it a message is two cache lines.
const AREA: usize = 96;
/// Where an inline body begins: room for a pipe number and a request number, and some, in front of it.
const HEADER_ROOM: usize = 16;
/// Longest header, in bytes: sixteen words, one more than the largest time-to-live.
pub(crate) const MAX_HEADER: usize = 64;

/// A message: what a socket sends and receives.
///
/// The *body* is the user's data. The *header* belongs to the protocol and only programs that use raw sockets need
/// to touch it: cooked sockets discard it on send. Numbers are big-endian, as nng's are.
///
/// Cloning is cheap: it copies a short body and shares a long one.
///
/// ```
/// use wirebird::Message;
///
/// let mut message = Message::from("world");
/// message.insert(b"hello ");
/// message.append_u16(0x2121);
/// assert_eq!(message.body(), b"hello world!!");
/// assert_eq!(message.chop_u16()?, 0x2121);
/// assert_eq!(Vec::from(message), b"hello world");
/// # Ok::<(), wirebird::Error>(())
/// ```
#[derive(Clone)]
#[repr(C)]
pub struct Message {
    /// The buffer of a body that is not in the area.
    heap: Option<Arc<Buffer>>,
    /// Where the body begins, in the buffer or the area.
    start: usize,
    len: usize,
    pipe: Option<PipeId>,
    /// The header's place in the area, before that of an inline body.
    header_start: u16,
    header_end: u16,
    area: [u8; AREA],
}

// A message is moved in parts of 16 bytes. If those were not the ones in which its body was written, the processor
// would wait for the writes.
#[cfg(target_pointer_width = "64")]
const _: () = assert!((mem::offset_of!(Message, area) + HEADER_ROOM).is_multiple_of(16));
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Message>() == 128);

/// A body too long for the area.
enum Buffer {
    Vec(Block),
    Bytes(Bytes),
}

/// Number of a pipe: 31 bits, unique in the process while the pipe lives. It is also the pipe's word in a backtrace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeId(NonZeroU32);

impl PipeId {
    /// The pipe with this number, if it can be one: 1 to `0x7fff_ffff`.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        if number > 0x7fff_ffff {
            None
        } else {
            NonZeroU32::new(number).map(Self)
        }
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for PipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeId({})", self.0)
    }
}

impl fmt::Display for PipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const TOO_SHORT: Error = Error::InvalidArgument("fewer bytes are there than were to be removed");

impl Message {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty message whose body can grow to `capacity` bytes without allocating again.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut message = Self::new();
        message.reserve(capacity);
        message
    }

    // ---- body ----

    /// The body.
    #[must_use]
    #[inline]
    pub fn body(&self) -> &[u8] {
        // Start and length are kept in range by every method that sets them.
        &self.storage()[self.start..self.start + self.len]
    }

    /// The body, to be changed in place; copies it first if it is shared.
    pub fn body_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        if self.is_inline() {
            return &mut self.area[self.start..self.start + len];
        }
        let (buffer, start) = self.own(0, 0);
        &mut buffer[start..start + len]
    }

    /// Length of the body in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the body is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `data` at the end of the body.
    pub fn append(&mut self, data: &[u8]) {
        let end = self.start + self.len;
        if self.is_inline() && end + data.len() <= AREA {
            self.area[end..end + data.len()].copy_from_slice(data);
        } else {
            self.own(0, data.len()).0.extend_from_slice(data);
        }
        self.len += data.len();
    }

    /// Adds `data` at the front of the body. Many small insertions are cheap: room is kept for further ones.
    pub fn insert(&mut self, data: &[u8]) {
        let header_end = usize::from(self.header_end);
        let count = data.len();
        if self.is_inline() && header_end + count <= self.start {
            self.start -= count;
            self.area[self.start..self.start + count].copy_from_slice(data);
        } else if self.is_inline() && header_end + count + self.len <= AREA {
            self.area
                .copy_within(self.start..self.start + self.len, header_end + count);
            self.start = header_end;
            self.area[header_end..header_end + count].copy_from_slice(data);
        } else {
            let (buffer, start) = self.own(count, 0);
            buffer[start - count..start].copy_from_slice(data);
            self.start -= count;
        }
        self.len += count;
    }

    /// Removes `count` bytes from the front of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    #[inline]
    pub fn trim(&mut self, count: usize) -> Result<()> {
        self.len = self.len.checked_sub(count).ok_or(TOO_SHORT)?;
        self.start += count;
        Ok(())
    }

    /// Removes `count` bytes from the end of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    pub fn chop(&mut self, count: usize) -> Result<()> {
        self.len = self.len.checked_sub(count).ok_or(TOO_SHORT)?;
        Ok(())
    }

    /// Empties the body; the header stays.
    pub fn clear(&mut self) {
        self.heap = None;
        self.len = 0;
        self.start = HEADER_ROOM.max(usize::from(self.header_end));
    }

    /// Makes the body `len` bytes long: cuts it at the end, or adds zeros there.
    pub fn resize(&mut self, len: usize) {
        if let Some(more) = len.checked_sub(self.len) {
            let end = self.start + self.len;
            if self.is_inline() && end + more <= AREA {
                self.area[end..end + more].fill(0);
            } else {
                let (buffer, start) = self.own(0, more);
                buffer.resize(start + len, 0);
            }
        }
        self.len = len;
    }

    /// Makes room for `additional` more bytes at the end of the body.
    pub fn reserve(&mut self, additional: usize) {
        if self.capacity() < self.len + additional || !self.is_inline() {
            self.own(0, additional);
        }
    }

    /// Bytes the body can have without allocating again.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.heap.as_deref() {
            None => AREA - self.start,
            Some(Buffer::Vec(buffer)) => buffer.capacity() - self.start,
            Some(Buffer::Bytes(_)) => self.len,
        }
    }

    // ---- header ----

    /// The header: empty unless the message came from, or is meant for, a raw socket (or came from a pair1 or
    /// surveyor socket, which leave the hop count and the survey number there, as nng does).
    #[must_use]
    #[inline]
    pub fn header(&self) -> &[u8] {
        &self.area[usize::from(self.header_start)..usize::from(self.header_end)]
    }

    /// Adds `data` at the end of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the header would pass 64 bytes.
    #[inline]
    pub fn header_append(&mut self, data: &[u8]) -> Result<()> {
        if self.header_start == self.header_end && self.is_inline() && data.len() <= HEADER_ROOM {
            // A first word goes right before the body, where nothing has to be moved.
            if let Some(at) = self.start.checked_sub(data.len()) {
                self.area[at..self.start].copy_from_slice(data);
                self.set_header(at, self.start);
                return Ok(());
            }
        }
        self.header_extend(data)
    }

    fn header_extend(&mut self, data: &[u8]) -> Result<()> {
        let at = self.grow_header(data.len())?;
        let end = usize::from(self.header_end);
        self.area
            .copy_within(usize::from(self.header_start)..end, at);
        let added = at + self.header().len();
        self.area[added..added + data.len()].copy_from_slice(data);
        self.set_header(at, added + data.len());
        Ok(())
    }

    /// Adds `data` at the front of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the header would pass 64 bytes.
    pub fn header_insert(&mut self, data: &[u8]) -> Result<()> {
        let at = self.grow_header(data.len())?;
        let (old, end) = (usize::from(self.header_start), usize::from(self.header_end));
        self.area.copy_within(old..end, at + data.len());
        self.area[at..at + data.len()].copy_from_slice(data);
        self.set_header(at, at + data.len() + (end - old));
        Ok(())
    }

    /// Removes `count` bytes from the front of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the header is shorter.
    #[inline]
    pub fn header_trim(&mut self, count: usize) -> Result<()> {
        if count > self.header().len() {
            return Err(TOO_SHORT);
        }
        self.set_header(
            usize::from(self.header_start) + count,
            usize::from(self.header_end),
        );
        Ok(())
    }

    /// Removes `count` bytes from the end of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the header is shorter.
    pub fn header_chop(&mut self, count: usize) -> Result<()> {
        if count > self.header().len() {
            return Err(TOO_SHORT);
        }
        self.set_header(
            usize::from(self.header_start),
            usize::from(self.header_end) - count,
        );
        Ok(())
    }

    /// Empties the header; the body stays.
    #[inline]
    pub fn header_clear(&mut self) {
        // A store that changes nothing would still delay the copies of the message that follow.
        if self.header_end != self.header_start {
            self.header_end = self.header_start;
        }
    }

    // ---- pipe ----

    /// The pipe the message came from, or the one a polyamorous pair is to send it to.
    #[must_use]
    pub fn pipe(&self) -> Option<PipeId> {
        self.pipe
    }

    /// Chooses the pipe a polyamorous pair sends the message to; `None` leaves the choice to the socket. Other
    /// sockets ignore it.
    pub fn set_pipe(&mut self, pipe: Option<PipeId>) {
        self.pipe = pipe;
    }

    // ---- helpers ----

    /// Length of header and body together: what a receive limit applies to.
    #[inline]
    pub(crate) fn wire_len(&self) -> usize {
        self.header().len() + self.len
    }

    /// Header and body, if they lie behind each other in the area, as a window of fixed size and their length in it.
    #[inline]
    pub(crate) fn inline_wire(&self) -> Option<(&[u8; INLINE], usize)> {
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        let from = if start == end { self.start } else { start };
        let len = self.wire_len();
        if !self.is_inline() || (start != end && end != self.start) || len > INLINE {
            return None;
        }
        Some((self.area.get(from..)?.first_chunk()?, len))
    }

    /// A message with the first `len` bytes of `window` as its body. Not inlined, so that it is made where the caller
    /// wants it: moved right after it was written, it would make the processor wait.
    #[inline(never)]
    pub(crate) fn from_window(window: &[u8], len: usize) -> Self {
        let mut message = Self::new();
        message.fill(window, len);
        message
    }

    /// Becomes a message with the first `len` bytes of `window` as its body. Copying a short one is cheapest when
    /// the window goes on behind it.
    #[inline]
    pub(crate) fn fill(&mut self, window: &[u8], len: usize) {
        if len > INLINE {
            *self = Self::from(window[..len].to_vec());
            return;
        }
        self.heap = None;
        self.start = HEADER_ROOM;
        self.len = len;
        self.pipe = None;
        self.set_header(HEADER_ROOM, HEADER_ROOM);
        match window.first_chunk::<INLINE>() {
            Some(all) => self.area[HEADER_ROOM..].copy_from_slice(all),
            None => self.copy_short(&window[..len]),
        }
    }

    /// Apart, so that the copy of fixed size is not made one of any size.
    #[cold]
    #[inline(never)]
    fn copy_short(&mut self, body: &[u8]) {
        self.area[HEADER_ROOM..HEADER_ROOM + body.len()].copy_from_slice(body);
    }

    /// Makes the first `count` words of a body that came from a wire the header. There must be so many, and no more
    /// than a header may have.
    #[inline]
    pub(crate) fn unwrap_words(&mut self, count: usize) {
        let bytes = count * size_of::<u32>();
        if self.is_inline() {
            self.set_header(self.start, self.start + bytes);
        } else {
            let mut words = [0; MAX_HEADER];
            words[..bytes].copy_from_slice(&self.body()[..bytes]);
            self.area[..MAX_HEADER].copy_from_slice(&words);
            self.set_header(0, bytes);
        }
        self.start += bytes;
        self.len -= bytes;
    }

    /// Moves the header in front of the body, as a message looks that comes from a wire.
    #[inline]
    pub(crate) fn flatten(&mut self) {
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        if start == end {
            return;
        }
        self.header_clear();
        if self.is_inline() && end == self.start {
            self.start = start;
            self.len += end - start;
            return;
        }
        let mut words = [0; MAX_HEADER];
        let words = &mut words[..end - start];
        words.copy_from_slice(&self.area[start..end]);
        self.insert(words);
    }

    fn on_heap(buffer: Buffer) -> Self {
        let len = buffer.len();
        Self {
            heap: Some(Arc::new(buffer)),
            start: 0,
            len,
            ..Self::default()
        }
    }

    /// Whether the body is in the area.
    #[inline]
    fn is_inline(&self) -> bool {
        self.heap.is_none()
    }

    #[inline]
    fn storage(&self) -> &[u8] {
        match &self.heap {
            None => &self.area,
            Some(buffer) => buffer,
        }
    }

    #[inline]
    fn set_header(&mut self, start: usize, end: usize) {
        // Both are places in the area, which are few.
        (self.header_start, self.header_end) = (start as u16, end as u16);
    }

    /// Makes room for a header that is `count` bytes longer; returns where it is to begin.
    fn grow_header(&mut self, count: usize) -> Result<usize> {
        let total = self.header().len() + count;
        if total > MAX_HEADER {
            return Err(Error::InvalidArgument("a header is at most 64 bytes"));
        }
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        let limit = if self.is_inline() { self.start } else { AREA };
        if end + count <= limit {
            return Ok(start);
        }
        if total <= limit {
            return Ok(limit - total);
        }
        // The body is in the way: it moves to the end of the area, or out of it.
        if total + self.len <= AREA {
            let to = AREA - self.len;
            self.area.copy_within(self.start..self.start + self.len, to);
            self.start = to;
            return Ok(to - total);
        }
        self.own(0, 0);
        Ok(AREA - total)
    }

    /// Makes the body a buffer that nobody else holds, ending with the body, with room for `front` more bytes before
    /// it and `back` after it. Returns the buffer and where the body begins in it.
    fn own(&mut self, front: usize, back: usize) -> (&mut Vec<u8>, usize) {
        let (start, len) = (self.start, self.len);
        let fits = match self.heap.as_mut().and_then(Arc::get_mut) {
            Some(Buffer::Vec(buffer)) => {
                buffer.truncate(start + len);
                // What was trimmed at the front is used again before the buffer grows beyond twice the body.
                front <= start && (start <= len || buffer.capacity() - buffer.len() >= back)
            }
            _ => false,
        };
        if !fits {
            // Doubling keeps a run of insertions linear; a body that only grows at the back gets no front room.
            let room = if front == 0 { 0 } else { front + len.max(32) };
            let mut buffer = Vec::with_capacity(room + len + back);
            buffer.resize(room, 0);
            buffer.extend_from_slice(self.body());
            self.heap = Some(Arc::new(Buffer::Vec(Block::new(buffer))));
            self.start = room;
        }
        let start = self.start;
        match self.heap.as_mut().and_then(Arc::get_mut) {
            Some(Buffer::Vec(buffer)) => {
                buffer.reserve(back);
                (buffer, start)
            }
            _ => unreachable!("the body was made a buffer of its own above"),
        }
    }
}

impl Default for Message {
    #[inline]
    fn default() -> Self {
        Self {
            heap: None,
            start: HEADER_ROOM,
            len: 0,
            pipe: None,
            header_start: HEADER_ROOM as u16, // 16
            header_end: HEADER_ROOM as u16,
            area: [0; AREA],
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Vec(buffer) => buffer,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.body()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.body()
    }
}

impl PartialEq for Message {
    /// Compares header and body, not the pipe.
    fn eq(&self, other: &Self) -> bool {
        self.header() == other.header() && self.body() == other.body()
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    /// Shows lengths and at most the first 32 bytes of the body, so that logs stay short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body()[..self.len().min(32)];
        f.debug_struct("Message")
            .field("header", &self.header())
            .field("len", &self.len())
            .field("body", &format_args!("b\"{}\"", shown.escape_ascii()))
            .field("pipe", &self.pipe)
            .finish()
    }
}

#[cfg(test)]
mod tests;
