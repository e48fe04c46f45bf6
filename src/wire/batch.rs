//! Messages on their way out, as the bytes to write.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use super::{Framing, IPC_MESSAGE};
use crate::message::{HEADER_ROOM, Message, WINDOW};

/// Bodies at least this long are written from where they are; shorter ones are cheaper to copy into the batch.
pub(super) const LARGE: usize = 8 * 1024;
/// Capacity an idle batch keeps.
const KEEP: usize = 512;

/// Encoded messages that were handed to a pipe and not yet to the kernel.
///
/// Frames and short bodies are collected in one buffer. Long bodies stay where they are, each with the place in
/// the buffer that it comes before.
pub(crate) struct Batch {
    framing: Framing,
    buffer: Vec<u8>,
    /// How much of the buffer was written.
    written: usize,
    bodies: Bodies,
    /// What is left to write.
    len: usize,
}

/// Bodies that are not in a buffer, each with the place in the buffer that it comes before.
pub(super) type Bodies = VecDeque<(usize, Message)>;

/// A batch on its way to another socket of the process.
#[derive(Default)]
pub(crate) struct Parcel {
    pub(super) buffer: Vec<u8>,
    pub(super) bodies: Bodies,
    len: usize,
}

impl Parcel {
    /// What it holds, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a message that came from a wire.
    #[cfg(feature = "ws")]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer
            .extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.buffer.extend_from_slice(bytes);
        self.len += size_of::<u64>() + bytes.len();
    }

    /// Adds one that has a buffer of its own.
    #[cfg(feature = "ws")]
    pub(super) fn push_body(&mut self, body: Vec<u8>) {
        self.buffer
            .extend_from_slice(&(body.len() as u64).to_be_bytes());
        self.len += size_of::<u64>() + body.len();
        self.bodies.push_back((self.buffer.len(), body.into()));
    }

    /// Takes note that everything was taken out.
    pub(super) fn emptied(&mut self) {
        self.len = 0;
    }
}

impl Batch {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            buffer: Vec::new(),
            written: 0,
            bodies: VecDeque::new(),
            len: 0,
        }
    }

    /// Bytes left to write.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Encodes a message at the end.
    #[inline]
    pub(crate) fn push(&mut self, message: &Message) {
        let length = message.wire_len();
        // Frames are copied whole, whatever their size, and cut off: that is one store instead of a call.
        let mut frame = [0; 16];
        let prefix = match self.framing {
            Framing::Length | Framing::Local => {
                frame[..8].copy_from_slice(&(length as u64).to_be_bytes());
                8
            }
            Framing::Typed => {
                frame[0] = IPC_MESSAGE;
                frame[1..9].copy_from_slice(&(length as u64).to_be_bytes());
                9
            }
            #[cfg(feature = "ws")]
            Framing::Web { masked } => {
                let Self { buffer, bodies, .. } = self;
                self.len += super::web::push(message, masked, buffer, bodies);
                return;
            }
        };
        self.len += prefix + length;
        let end = self.buffer.len() + prefix;
        self.buffer.extend_from_slice(&frame);
        self.buffer.truncate(end);
        match message.inline_wire() {
            Some((wire, len)) => self.push_short(wire, len),
            None => self.push_long(message),
        }
    }

    /// Adds the first `len` bytes of `wire`, in copies of fixed size as far as there is something to be copied.
    #[inline]
    fn push_short(&mut self, wire: &[u8], len: usize) {
        let end = self.buffer.len() + len;
        let Some(rest) = len.checked_sub(WINDOW) else {
            match wire.first_chunk::<WINDOW>() {
                Some(window) => {
                    self.buffer.extend_from_slice(window);
                    self.buffer.truncate(end);
                }
                None => self.buffer.extend_from_slice(&wire[..len]),
            }
            return;
        };
        // At most as much as a header has room for is beyond a window.
        if let Some(window) = wire.first_chunk::<HEADER_ROOM>() {
            self.buffer.extend_from_slice(window);
            self.buffer.truncate(end - WINDOW);
        }
        self.buffer.extend_from_slice(&wire[rest..][..WINDOW]);
    }

    fn push_long(&mut self, message: &Message) {
        if self.framing == Framing::Local {
            let mut message = message.clone();
            message.flatten();
            self.bodies.push_back((self.buffer.len(), message));
            return;
        }
        self.buffer.extend_from_slice(message.header());
        if message.len() >= LARGE {
            self.bodies.push_back((self.buffer.len(), message.clone()));
        } else {
            self.buffer.extend_from_slice(message.body());
        }
    }

    /// Fills `slices` with what is to be written next; returns how many it used.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut from = self.written;
        let mut add = |data: &'a [u8]| {
            if !data.is_empty()
                && let Some(slot) = slices.get_mut(used)
            {
                *slot = IoSlice::new(data);
                used += 1;
            }
        };
        // Two slices a body at most: those beyond the room could not be used.
        for (place, body) in self.bodies.iter().take(32) {
            add(&self.buffer[from..*place]);
            add(body);
            from = *place;
        }
        if self.bodies.len() <= 32 {
            add(&self.buffer[from..]);
        }
        used
    }

    /// Takes note that `count` bytes were written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some((place, body)) = self.bodies.front_mut() {
            let before = (*place - self.written).min(count);
            self.written += before;
            count -= before;
            let part = body.len().min(count);
            // It is at least as long as the part.
            let _ = body.trim(part);
            count -= part;
            if !body.is_empty() || self.written < *place {
                return;
            }
            self.bodies.pop_front();
        }
        self.written += count;
        if self.len == 0 {
            self.written = 0;
            self.buffer.clear();
        }
    }

    /// Gives back most memory of an empty batch.
    pub(crate) fn release(&mut self) {
        if self.len == 0 {
            self.buffer.shrink_to(KEEP);
        }
    }

    /// Whether it has more memory than an idle one keeps.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.buffer.capacity() > KEEP
    }

    /// Moves everything into a parcel. The bytes are copied although buffers could be swapped: each end keeps the memory
    /// that its processor has in its cache.
    pub(crate) fn move_to(&mut self, parcel: &mut Parcel) {
        debug_assert_eq!(self.framing, Framing::Local);
        let base = parcel.buffer.len();
        parcel.buffer.append(&mut self.buffer);
        let bodies = self.bodies.drain(..);
        parcel
            .bodies
            .extend(bodies.map(|(place, body)| (base + place, body)));
        parcel.len += mem::take(&mut self.len);
    }
}
