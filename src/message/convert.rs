//! Conversions from and into what programs have their data in.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::pool::Block;
use super::{AREA, Buffer, Message};

impl From<&[u8]> for Message {
    #[inline]
    fn from(data: &[u8]) -> Self {
        Self::from_window(data, data.len())
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
        if data.len() <= AREA {
            return Self::from(data.as_slice());
        }
        Self::on_heap(Buffer::Vec(Block::new(data)))
    }
}

impl From<Bytes> for Message {
    /// Shares the bytes without copying them, unless they are short.
    fn from(data: Bytes) -> Self {
        if data.len() <= AREA {
            return Self::from(&data[..]);
        }
        Self::on_heap(Buffer::Bytes(data))
    }
}

impl From<Message> for Vec<u8> {
    /// The body, without copying it where nobody else holds it.
    fn from(message: Message) -> Self {
        let Range { start, end } = message.span.range();
        match message.heap.map(Arc::try_unwrap) {
            None => message.area[start..end].to_vec(),
            Some(Ok(Buffer::Vec(block))) => {
                let mut buffer = block.into_vec();
                buffer.truncate(end);
                buffer.drain(..start);
                buffer
            }
            Some(Ok(Buffer::Bytes(bytes))) => Self::from(bytes.slice(start..end)),
            Some(Err(shared)) => shared[start..end].to_vec(),
        }
    }
}

impl From<Message> for Bytes {
    /// The body, without copying it unless it is short.
    fn from(message: Message) -> Self {
        /// What keeps a shared buffer alive.
        struct Owner(Arc<Buffer>);

        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        let range = message.span.range();
        match message.heap.map(Arc::try_unwrap) {
            None => Self::copy_from_slice(&message.area[range]),
            Some(Ok(Buffer::Vec(block))) if block.is_long() => Self::from_owner(block).slice(range),
            Some(Ok(Buffer::Vec(block))) => Self::from(block.into_vec()).slice(range),
            Some(Ok(Buffer::Bytes(bytes))) => bytes.slice(range),
            Some(Err(shared)) => match &*shared {
                Buffer::Bytes(bytes) => bytes.slice(range),
                Buffer::Vec(_) => Self::from_owner(Owner(shared)).slice(range),
            },
        }
    }
}
