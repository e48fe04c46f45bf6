//! Messages to bytes and back, as a pipe does it, without the system calls.

use std::hint::black_box;
use std::io::IoSlice;

use super::MESSAGES;
use crate::message::Message;
use crate::wire::{Batch, Decoder, Framing};

/// Encodes [`MESSAGES`] messages into one batch, and takes note that all was written.
pub(crate) fn encode(framing: Framing, size: usize) -> impl FnMut() {
    let message = Message::from(vec![7; size]);
    let mut batch = Batch::new(framing);
    move || {
        for _ in 0..MESSAGES {
            batch.push(black_box(&message));
        }
        written(&mut batch, |_| ());
    }
}

/// Decodes [`MESSAGES`] messages. The bytes are copied into the decoder's buffer, as a read would.
pub(crate) fn decode(framing: Framing, size: usize) -> impl FnMut() {
    let mut batch = Batch::new(framing);
    for _ in 0..MESSAGES {
        batch.push(&Message::from(vec![7; size]));
    }
    let mut input = Vec::new();
    written(&mut batch, |data| input.extend_from_slice(data));
    let mut decoder = Decoder::new(framing, 0);
    move || {
        let mut rest = input.as_slice();
        let mut count = 0;
        while !rest.is_empty() {
            let space = decoder.space();
            let room = space.capacity() - space.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            space.extend_from_slice(now);
            decoder.filled(now.len() == room);
            rest = later;
            while decoder.ready() == Ok(true) {
                let mut message = Message::new();
                decoder.take(&mut message);
                black_box(message);
                count += 1;
            }
        }
        assert_eq!(count, MESSAGES);
    }
}

/// Empties a batch as writes would.
fn written(batch: &mut Batch, mut write: impl FnMut(&[u8])) {
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.slices(&mut slices);
        let mut count = 0;
        for slice in &slices[..used] {
            write(slice);
            count += slice.len();
        }
        batch.advance(count);
    }
}
