//! The message: a protocol header and a body.
//!
//! A body of up to [`INLINE`] bytes lives inside the message and costs no allocation; a longer one is a shared,
//! reference-counted buffer, or an owned one while it is being edited. Editing a shared body copies it only when
//! somebody else still holds it.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;

use bytes::Bytes;

use crate::error::{Error, Result};

/// Longest body, in bytes, that needs no allocation.
const INLINE: usize = 64;
/// Longest header, in bytes: sixteen words, one more than the largest time-to-live.
pub(crate) const MAX_HEADER: usize = 64;
const INLINE_HEADER: usize = 12;

/// A message: what a socket sends and receives.
///
/// The *body* is the user's data. The *header* belongs to the protocol and only programs that use raw sockets need
/// to touch it: cooked sockets discard it on send. Numbers are big-endian, as nng's are.
///
/// Cloning copies a short body and shares a long one, unless it was just edited; [`share`](Self::share) makes the
/// clones of an edited message cheap too.
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
#[derive(Clone, Default)]
pub struct Message {
    header: Header,
    body: Body,
    pipe: Option<PipeId>,
}

#[derive(Clone)]
enum Header {
    Inline { len: u8, bytes: [u8; INLINE_HEADER] },
    Long(Box<(u8, [u8; MAX_HEADER])>),
}

#[derive(Clone)]
enum Body {
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    Shared(Bytes),
    /// The body is `buffer[start..]`; what lies before is room for insertions at the front.
    Owned(Box<Owned>),
}

#[derive(Clone)]
struct Owned {
    buffer: Vec<u8>,
    start: usize,
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

/// One pair of accessors for a big-endian number at the ends of the header or the body.
macro_rules! numbers {
    ($($int:ident: $append:ident $insert:ident $trim:ident $chop:ident
        $happend:ident $hinsert:ident $htrim:ident $hchop:ident;)*) => {
        /// Big-endian numbers at either end of the body and the header.
        ///
        /// Trimming and chopping fail with [`Error::InvalidArgument`] and change nothing when too little is there;
        /// header forms that add fail so when the header would pass 64 bytes.
        impl Message {$(
            #[doc = concat!("Adds a `", stringify!($int), "` at the end of the body.")]
            pub fn $append(&mut self, value: $int) {
                self.append(&value.to_be_bytes());
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the front of the body.")]
            pub fn $insert(&mut self, value: $int) {
                self.insert(&value.to_be_bytes());
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the front of the body.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the body is too short."]
            pub fn $trim(&mut self) -> Result<$int> {
                let Some((bytes, _)) = self.body().split_first_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.trim(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the end of the body.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the body is too short."]
            pub fn $chop(&mut self) -> Result<$int> {
                let Some((_, bytes)) = self.body().split_last_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.chop(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the end of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the header would pass 64 bytes."]
            pub fn $happend(&mut self, value: $int) -> Result<()> {
                self.header_append(&value.to_be_bytes())
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the front of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the header would pass 64 bytes."]
            pub fn $hinsert(&mut self, value: $int) -> Result<()> {
                self.header_insert(&value.to_be_bytes())
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the front of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the header is too short."]
            pub fn $htrim(&mut self) -> Result<$int> {
                let Some((bytes, _)) = self.header().split_first_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.header_trim(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the end of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`] when the header is too short."]
            pub fn $hchop(&mut self) -> Result<$int> {
                let Some((_, bytes)) = self.header().split_last_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.header_chop(size_of::<$int>())?;
                Ok(value)
            }
        )*}
    };
}

numbers! {
    u16: append_u16 insert_u16 trim_u16 chop_u16 header_append_u16 header_insert_u16 header_trim_u16 header_chop_u16;
    u32: append_u32 insert_u32 trim_u32 chop_u32 header_append_u32 header_insert_u32 header_trim_u32 header_chop_u32;
    u64: append_u64 insert_u64 trim_u64 chop_u64 header_append_u64 header_insert_u64 header_trim_u64 header_chop_u64;
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
        if capacity > INLINE {
            message.body = Body::Owned(Box::new(Owned {
                buffer: Vec::with_capacity(capacity),
                start: 0,
            }));
        }
        message
    }

    /// The body.
    #[must_use]
    #[inline]
    pub fn body(&self) -> &[u8] {
        match &self.body {
            // Both lengths and starts are kept in range by every method that sets them.
            Body::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Body::Shared(bytes) => bytes,
            Body::Owned(owned) => &owned.buffer[owned.start..],
        }
    }

    /// The body, to be changed in place; copies it first if it is shared.
    pub fn body_mut(&mut self) -> &mut [u8] {
        if !matches!(self.body, Body::Inline { .. }) {
            self.own(0, 0);
        }
        match &mut self.body {
            Body::Inline { len, bytes } => &mut bytes[..usize::from(*len)],
            Body::Owned(owned) => &mut owned.buffer[owned.start..],
            Body::Shared(_) => unreachable!("a shared body was made owned above"),
        }
    }

    /// Length of the body in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.body().len()
    }

    /// Whether the body is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body().is_empty()
    }

    /// Adds `data` at the end of the body.
    pub fn append(&mut self, data: &[u8]) {
        if let Body::Inline { len, bytes } = &mut self.body
            && usize::from(*len) + data.len() <= INLINE
        {
            let old = usize::from(*len);
            bytes[old..old + data.len()].copy_from_slice(data);
            *len += data.len() as u8; // at most INLINE by the test above
            return;
        }
        self.own(0, data.len()).buffer.extend_from_slice(data);
    }

    /// Adds `data` at the front of the body. Many small insertions are cheap: room is kept for further ones.
    pub fn insert(&mut self, data: &[u8]) {
        if let Body::Inline { len, bytes } = &mut self.body
            && usize::from(*len) + data.len() <= INLINE
        {
            bytes.copy_within(..usize::from(*len), data.len());
            bytes[..data.len()].copy_from_slice(data);
            *len += data.len() as u8; // at most INLINE by the test above
            return;
        }
        let owned = self.own(data.len(), 0);
        owned.start -= data.len();
        owned.buffer[owned.start..owned.start + data.len()].copy_from_slice(data);
    }

    /// Removes `count` bytes from the front of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    pub fn trim(&mut self, count: usize) -> Result<()> {
        if count > self.len() {
            return Err(TOO_SHORT);
        }
        match &mut self.body {
            Body::Inline { len, bytes } => {
                bytes.copy_within(count..usize::from(*len), 0);
                *len -= count as u8; // not above len by the test above
            }
            Body::Shared(bytes) => drop(bytes.split_to(count)),
            Body::Owned(owned) => owned.start += count,
        }
        Ok(())
    }

    /// Removes `count` bytes from the end of the body.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the body is shorter.
    pub fn chop(&mut self, count: usize) -> Result<()> {
        let Some(rest) = self.len().checked_sub(count) else {
            return Err(TOO_SHORT);
        };
        match &mut self.body {
            Body::Inline { len, .. } => *len = rest as u8, // not above the old length
            Body::Shared(bytes) => bytes.truncate(rest),
            Body::Owned(owned) => owned.buffer.truncate(owned.start + rest),
        }
        Ok(())
    }

    /// Empties the body; the header stays.
    pub fn clear(&mut self) {
        self.body = Body::default();
    }

    /// Makes the body `len` bytes long: cuts its end off, or adds zeros there.
    pub fn resize(&mut self, len: usize) {
        if let Some(excess) = self.len().checked_sub(len) {
            // It cannot fail: no more than the body has is removed.
            let _ = self.chop(excess);
            return;
        }
        match &mut self.body {
            Body::Inline { len: old, bytes } if len <= INLINE => {
                bytes[usize::from(*old)..len].fill(0);
                *old = len as u8; // at most INLINE
            }
            _ => {
                let owned = self.own(0, len - self.len());
                owned.buffer.resize(owned.start + len, 0);
            }
        }
    }

    /// Makes room for `additional` more bytes at the end of the body.
    pub fn reserve(&mut self, additional: usize) {
        if self.len().saturating_add(additional) > self.capacity() {
            self.own(0, additional);
        }
    }

    /// How long the body can grow at its end before it is copied.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match &self.body {
            Body::Inline { .. } => INLINE,
            Body::Shared(bytes) => bytes.len(),
            Body::Owned(owned) => owned.buffer.capacity() - owned.start,
        }
    }

    /// Makes the clones of this message share its body. Received messages and those made from a `Vec` or `Bytes`
    /// do so already; an edited one does after this call.
    pub fn share(&mut self) {
        if let Body::Owned(owned) = &mut self.body {
            let buffer = std::mem::take(&mut owned.buffer);
            let mut bytes = Bytes::from(buffer);
            let _ = bytes.split_to(owned.start);
            self.body = Body::Shared(bytes);
        }
    }

    /// The header: empty unless the message came from, or is meant for, a raw socket (or came from a pair1 or
    /// surveyor socket, which leave the hop count and the survey number there, as nng does).
    #[must_use]
    #[inline]
    pub fn header(&self) -> &[u8] {
        match &self.header {
            Header::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Header::Long(long) => &long.1[..usize::from(long.0)],
        }
    }

    /// Adds `data` at the end of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the header would pass 64 bytes.
    pub fn header_append(&mut self, data: &[u8]) -> Result<()> {
        let old = self.header().len();
        let total = old + data.len();
        match &mut self.header {
            Header::Inline { len, bytes } if total <= INLINE_HEADER => {
                bytes[old..total].copy_from_slice(data);
                *len = total as u8; // at most INLINE_HEADER
            }
            _ if total > MAX_HEADER => {
                return Err(Error::InvalidArgument("a header is at most 64 bytes"));
            }
            _ => {
                let mut long = [0; MAX_HEADER];
                long[..old].copy_from_slice(self.header());
                long[old..total].copy_from_slice(data);
                self.header = Header::Long(Box::new((total as u8, long))); // at most MAX_HEADER
            }
        }
        Ok(())
    }

    /// Adds `data` at the front of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the header would pass 64 bytes.
    pub fn header_insert(&mut self, data: &[u8]) -> Result<()> {
        let mut fresh = Self::new();
        fresh.header_append(data)?;
        fresh.header_append(self.header())?;
        self.header = fresh.header;
        Ok(())
    }

    /// Removes `count` bytes from the front of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the header is shorter.
    pub fn header_trim(&mut self, count: usize) -> Result<()> {
        let (len, bytes) = self.header_parts();
        if count > usize::from(*len) {
            return Err(TOO_SHORT);
        }
        bytes.copy_within(count..usize::from(*len), 0);
        *len -= count as u8; // not above len by the test above
        Ok(())
    }

    /// Removes `count` bytes from the end of the header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], with the message unchanged, when the header is shorter.
    pub fn header_chop(&mut self, count: usize) -> Result<()> {
        let (len, _) = self.header_parts();
        if count > usize::from(*len) {
            return Err(TOO_SHORT);
        }
        *len -= count as u8; // not above len by the test above
        Ok(())
    }

    /// Empties the header; the body stays.
    #[inline]
    pub fn header_clear(&mut self) {
        self.header = Header::default();
    }

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

    /// Length of header and body together: what a receive limit applies to.
    #[inline]
    pub(crate) fn wire_len(&self) -> usize {
        self.header().len() + self.len()
    }

    /// The body as shared bytes, when sharing it costs less than copying it.
    pub(crate) fn shared_body(&mut self) -> Option<&Bytes> {
        self.share();
        match &self.body {
            Body::Shared(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn header_parts(&mut self) -> (&mut u8, &mut [u8]) {
        match &mut self.header {
            Header::Inline { len, bytes } => (len, bytes),
            Header::Long(long) => (&mut long.0, &mut long.1),
        }
    }

    /// Makes the body an owned buffer with room for `front` more bytes before it and `back` after it.
    fn own(&mut self, front: usize, back: usize) -> &mut Owned {
        match &mut self.body {
            // Takes the buffer over when nobody else holds it; with room needed at the front, it is copied below anyway.
            Body::Shared(bytes) if front == 0 => {
                let buffer = Vec::from(std::mem::take(bytes));
                self.body = Body::Owned(Box::new(Owned { buffer, start: 0 }));
            }
            Body::Owned(owned) => owned.reclaim(back),
            _ => {}
        }
        let short = match &self.body {
            Body::Owned(owned) => owned.start < front,
            _ => true,
        };
        if short {
            let body = self.body();
            // Doubling keeps a run of insertions linear; a body that only grows at the back gets no front room.
            let room = if front == 0 {
                0
            } else {
                front + body.len().max(32)
            };
            let mut buffer = Vec::with_capacity(room + body.len() + back);
            buffer.resize(room, 0);
            buffer.extend_from_slice(body);
            self.body = Body::Owned(Box::new(Owned {
                buffer,
                start: room,
            }));
        }
        match &mut self.body {
            Body::Owned(owned) => {
                owned.buffer.reserve(back);
                owned
            }
            _ => unreachable!("the body was made owned above"),
        }
    }
}

impl Owned {
    /// Gives up what was trimmed off the front when the buffer would grow otherwise, so that a message used as a
    /// queue of bytes stays as small as its content. Room made for insertions is never that large.
    fn reclaim(&mut self, back: usize) {
        let len = self.buffer.len() - self.start;
        if self.buffer.capacity() - self.buffer.len() < back && self.start > 2 * len + INLINE {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}

impl Default for Header {
    #[inline]
    fn default() -> Self {
        Self::Inline {
            len: 0,
            bytes: [0; INLINE_HEADER],
        }
    }
}

impl Default for Body {
    #[inline]
    fn default() -> Self {
        Self::Inline {
            len: 0,
            bytes: [0; INLINE],
        }
    }
}

impl Body {
    #[inline]
    fn inline(data: &[u8]) -> Option<Self> {
        if data.len() > INLINE {
            return None;
        }
        let mut bytes = [0; INLINE];
        bytes[..data.len()].copy_from_slice(data);
        Some(Self::Inline {
            len: data.len() as u8,
            bytes,
        }) // at most INLINE
    }
}

impl From<&[u8]> for Message {
    #[inline]
    fn from(data: &[u8]) -> Self {
        let body = Body::inline(data).unwrap_or_else(|| Body::Shared(Bytes::copy_from_slice(data)));
        Self {
            body,
            ..Self::default()
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    #[inline]
    fn from(data: &[u8; N]) -> Self {
        Self::from(data.as_slice())
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(data: [u8; N]) -> Self {
        Self::from(data.as_slice())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Message {
    /// Takes the buffer over without copying it, unless it is short.
    fn from(data: Vec<u8>) -> Self {
        let body = Body::inline(&data).unwrap_or_else(|| Body::Shared(data.into()));
        Self {
            body,
            ..Self::default()
        }
    }
}

impl From<Bytes> for Message {
    /// Shares the bytes without copying them, unless they are short.
    fn from(data: Bytes) -> Self {
        let body = Body::inline(&data).unwrap_or(Body::Shared(data));
        Self {
            body,
            ..Self::default()
        }
    }
}

impl From<Message> for Vec<u8> {
    /// The body, without copying it where nobody else holds it.
    fn from(message: Message) -> Self {
        match message.body {
            Body::Inline { len, bytes } => bytes[..usize::from(len)].to_vec(),
            Body::Shared(bytes) => Self::from(bytes),
            Body::Owned(mut owned) => {
                owned.buffer.drain(..owned.start);
                owned.buffer
            }
        }
    }
}

impl From<Message> for Bytes {
    /// The body, without copying it unless it is short.
    fn from(mut message: Message) -> Self {
        message.share();
        match message.body {
            Body::Shared(bytes) => bytes,
            _ => Self::copy_from_slice(message.body()),
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
