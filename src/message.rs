//! The message: a protocol header and a body.
//!
//! A message has a small area of its own, which holds the header and, right behind it, a body of up to [`INLINE`]
//! bytes. So words move between header and body, as protocols do on every hop, without being copied. A longer body
//! is in a reference-counted buffer that clones share, and that is copied when it is edited while shared.

use std::fmt;
use std::mem;
use std::num::NonZeroU32;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

mod convert;
mod numbers;
pub(crate) mod pool;

use crate::error::{Error, Result};
use pool::Block;

/// Size of a message's own area, and length of the longest body that needs no allocation.
const AREA: usize = 80;
/// Where an inline body of up to [`WINDOW`] bytes begins: room for a pipe number and a request number, and some, in
/// front of it.
pub(crate) const HEADER_ROOM: usize = 16;
/// What is copied of a short body, whatever its length.
pub(crate) const WINDOW: usize = AREA - HEADER_ROOM;
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
#[repr(C, align(16))]
pub struct Message {
    /// The buffer of a body that is not in the area.
    heap: Option<Arc<Buffer>>,
    pipe: Option<PipeId>,
    /// The header's place in the area, before that of an inline body.
    header_start: u16,
    header_end: u16,
    span: Span,
    area: [u8; AREA],
}

/// Where the body is, in the buffer or the area.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

// A message is moved in parts of 16 bytes. If those were not the ones in which it was written, the processor would wait
// for the writes: so it is written in them, too, and a result with a message is not too long to be moved so.
#[cfg(target_pointer_width = "64")]
const _: () = assert!((mem::offset_of!(Message, area) + HEADER_ROOM).is_multiple_of(16));
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<std::task::Poll<Result<Message>>>() == 128);

/// Those of bodies in the area that leave as much room for a header as there can be, by length. What is copied from here
/// is written in one part.
static SPANS: [Span; AREA + 1] = {
    let mut spans = [Span { start: 0, len: 0 }; AREA + 1];
    let mut len = 0;
    while len <= AREA {
        let room = AREA - len;
        let start = if room < HEADER_ROOM {
            room
        } else {
            HEADER_ROOM
        };
        spans[len] = Span { start, len };
        len += 1;
    }
    spans
};

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
        &self.storage()[self.span.range()]
    }

    /// The body, to be changed in place; copies it first if it is shared.
    pub fn body_mut(&mut self) -> &mut [u8] {
        if self.is_inline() {
            return &mut self.area[self.span.range()];
        }
        let len = self.span.len;
        let (buffer, start) = self.own(0, 0);
        &mut buffer[start..start + len]
    }

    /// Length of the body in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.span.len
    }

    /// Whether the body is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.len == 0
    }

    /// Adds `data` at the end of the body.
    pub fn append(&mut self, data: &[u8]) {
        match self.make_room(data.len()) {
            Some(end) => self.area[end..end + data.len()].copy_from_slice(data),
            None => self.own(0, data.len()).0.extend_from_slice(data),
        }
        self.span.len += data.len();
    }

    /// Adds `data` at the front of the body. Many small insertions are cheap: room is kept for further ones.
    pub fn insert(&mut self, data: &[u8]) {
        let header_end = usize::from(self.header_end);
        let count = data.len();
        if self.is_inline() && header_end + count <= self.span.start {
            self.span.start -= count;
            self.area[self.span.start..self.span.start + count].copy_from_slice(data);
        } else if self.is_inline() && header_end + count + self.span.len <= AREA {
            self.area.copy_within(self.span.range(), header_end + count);
            self.span.start = header_end;
            self.area[header_end..header_end + count].copy_from_slice(data);
        } else {
            let (buffer, start) = self.own(count, 0);
            buffer[start - count..start].copy_from_slice(data);
            self.span.start -= count;
        }
        self.span.len += count;
    }

    /// Removes `count` bytes from the front of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    #[inline]
    pub fn trim(&mut self, count: usize) -> Result<()> {
        self.span.len = self.span.len.checked_sub(count).ok_or(TOO_SHORT)?;
        self.span.start += count;
        Ok(())
    }

    /// Removes `count` bytes from the end of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    pub fn chop(&mut self, count: usize) -> Result<()> {
        self.span.len = self.span.len.checked_sub(count).ok_or(TOO_SHORT)?;
        Ok(())
    }

    /// Empties the body; the header stays.
    pub fn clear(&mut self) {
        self.heap = None;
        self.span.len = 0;
        self.span.start = HEADER_ROOM.max(usize::from(self.header_end));
    }

    /// Makes the body `len` bytes long: cuts it at the end, or adds zeros there.
    pub fn resize(&mut self, len: usize) {
        if let Some(more) = len.checked_sub(self.span.len) {
            if let Some(end) = self.make_room(more) {
                self.area[end..end + more].fill(0);
            } else {
                let (buffer, start) = self.own(0, more);
                buffer.resize(start + len, 0);
            }
        }
        self.span.len = len;
    }

    /// Makes room for `additional` more bytes at the end of the body.
    pub fn reserve(&mut self, additional: usize) {
        if self.make_room(additional).is_none() {
            self.own(0, additional);
        }
    }

    /// Bytes the body can have without allocating again.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.heap.as_deref() {
            None => AREA - usize::from(self.header_end),
            Some(Buffer::Vec(buffer)) => buffer.capacity() - self.span.start,
            Some(Buffer::Bytes(_)) => self.span.len,
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
            if let Some(at) = self.span.start.checked_sub(data.len()) {
                self.area[at..self.span.start].copy_from_slice(data);
                self.set_header(at, self.span.start);
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
        self.header().len() + self.span.len
    }

    /// Header and body, if they lie behind each other in the area: what is there from their start on, and their length.
    #[inline]
    pub(crate) fn inline_wire(&self) -> Option<(&[u8], usize)> {
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        let from = if start == end { self.span.start } else { start };
        if !self.is_inline() || (start != end && end != self.span.start) {
            return None;
        }
        Some((self.area.get(from..)?, self.wire_len()))
    }

    /// A message with the first `len` bytes of `window` as its body. Copying a short one is cheapest when the window goes
    /// on behind it.
    ///
    /// Not inlined, so that it is made where the caller wants it and not moved there.
    #[inline(never)]
    pub(crate) fn from_window(window: &[u8], len: usize) -> Self {
        match window.first_chunk::<WINDOW>() {
            Some(all) if len <= WINDOW => {
                let mut area = [0; AREA];
                area[HEADER_ROOM..].copy_from_slice(all);
                Self::in_area(SPANS[len], area)
            }
            _ => Self::from_any(&window[..len]),
        }
    }

    fn from_any(body: &[u8]) -> Self {
        let Some(&span) = SPANS.get(body.len()) else {
            return Self::from(body.to_vec());
        };
        let Some(last) = body.last_chunk::<WINDOW>() else {
            let mut message = Self::new();
            message.place(body, span);
            return message;
        };
        // Only as much as a header has room for is before the last window.
        let mut area = [0; AREA];
        area[span.start..][..HEADER_ROOM].copy_from_slice(&body[..HEADER_ROOM]);
        area[HEADER_ROOM..].copy_from_slice(last);
        Self::in_area(span, area)
    }

    /// Becomes what [`from_window`](Self::from_window) makes, but for a body that leaves no room for a header: it is one
    /// that came, and its header is in it.
    #[inline]
    pub(crate) fn fill(&mut self, window: &[u8], len: usize) {
        if len > AREA {
            *self = Self::from(window[..len].to_vec());
            return;
        }
        self.heap = None;
        self.pipe = None;
        self.set_header(0, 0);
        if len <= WINDOW
            && let Some(all) = window.first_chunk::<WINDOW>()
        {
            self.span = SPANS[len];
            self.area[HEADER_ROOM..].copy_from_slice(all);
        } else if let Some(all) = window.first_chunk() {
            self.span = Span { start: 0, len };
            self.area = *all;
        } else {
            self.place(&window[..len], SPANS[len]);
        }
    }

    /// Puts a body in the area. Apart, so that copies of fixed size are not made some of any size.
    #[inline(never)]
    fn place(&mut self, body: &[u8], span: Span) {
        self.span = span;
        self.area[span.range()].copy_from_slice(body);
    }

    /// Makes the first `count` words of a body that came from a wire the header. There must be so many, and no more
    /// than a header may have.
    #[inline]
    pub(crate) fn unwrap_words(&mut self, count: usize) {
        let bytes = count * size_of::<u32>();
        if self.is_inline() {
            self.set_header(self.span.start, self.span.start + bytes);
        } else {
            let mut words = [0; MAX_HEADER];
            words[..bytes].copy_from_slice(&self.body()[..bytes]);
            self.area[..MAX_HEADER].copy_from_slice(&words);
            self.set_header(0, bytes);
        }
        self.span.start += bytes;
        self.span.len -= bytes;
    }

    /// Moves the header in front of the body, as a message looks that comes from a wire.
    #[inline]
    pub(crate) fn flatten(&mut self) {
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        if start == end {
            return;
        }
        self.header_clear();
        if self.is_inline() && end == self.span.start {
            self.span.start = start;
            self.span.len += end - start;
            return;
        }
        let mut words = [0; MAX_HEADER];
        let words = &mut words[..end - start];
        words.copy_from_slice(&self.area[start..end]);
        self.insert(words);
    }

    /// A message with a body in the area, and nothing else.
    #[inline]
    fn in_area(span: Span, area: [u8; AREA]) -> Self {
        Self {
            heap: None,
            pipe: None,
            header_start: 0,
            header_end: 0,
            span,
            area,
        }
    }

    fn clone_any(&self) -> Self {
        Self {
            heap: self.heap.clone(),
            ..*self
        }
    }

    fn on_heap(buffer: Buffer) -> Self {
        let len = buffer.len();
        Self {
            heap: Some(Arc::new(buffer)),
            span: Span { start: 0, len },
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

    /// Makes room in the area for `count` more bytes at the end of the body, where that is possible; returns its end.
    #[inline]
    fn make_room(&mut self, count: usize) -> Option<usize> {
        let header_end = usize::from(self.header_end);
        if !self.is_inline() || count > AREA.saturating_sub(header_end + self.span.len) {
            return None;
        }
        if self.span.start + self.span.len + count > AREA {
            self.area.copy_within(self.span.range(), header_end);
            self.span.start = header_end;
        }
        Some(self.span.start + self.span.len)
    }

    /// Makes room for a header that is `count` bytes longer; returns where it is to begin.
    fn grow_header(&mut self, count: usize) -> Result<usize> {
        let total = self.header().len() + count;
        if total > MAX_HEADER {
            return Err(Error::InvalidArgument("a header is at most 64 bytes"));
        }
        let (start, end) = (usize::from(self.header_start), usize::from(self.header_end));
        let limit = if self.is_inline() {
            self.span.start
        } else {
            AREA
        };
        if end + count <= limit {
            return Ok(start);
        }
        if total <= limit {
            return Ok(limit - total);
        }
        // The body is in the way: it moves to the end of the area, or out of it.
        if total + self.span.len <= AREA {
            let to = AREA - self.span.len;
            self.area.copy_within(self.span.range(), to);
            self.span.start = to;
            return Ok(to - total);
        }
        self.own(0, 0);
        Ok(AREA - total)
    }

    /// Makes the body a buffer that nobody else holds, ending with the body, with room for `front` more bytes before
    /// it and `back` after it. Returns the buffer and where the body begins in it.
    fn own(&mut self, front: usize, back: usize) -> (&mut Vec<u8>, usize) {
        let (start, len) = (self.span.start, self.span.len);
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
            self.span.start = room;
        }
        let start = self.span.start;
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
        Self::in_area(SPANS[0], [0; AREA])
    }
}

impl Clone for Message {
    // Not inlined, as `from_window`.
    #[inline(never)]
    fn clone(&self) -> Self {
        if self.is_inline() && self.pipe.is_none() && self.header_end == 0 {
            return Self::in_area(self.span, self.area);
        }
        self.clone_any()
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
