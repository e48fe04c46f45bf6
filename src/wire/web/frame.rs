//! Messages and control frames on their way out.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{FRAGMENT, MAX_CONTROL, MAX_HEAD, mask};
use crate::message::{Message, pool};
use crate::wire::batch::{Bodies, LARGE};

/// Adds the frames of a message to what a batch is to write; returns their length in bytes.
pub(crate) fn push(
    message: &Message,
    masked: bool,
    buffer: &mut Vec<u8>,
    bodies: &mut Bodies,
) -> usize {
    let total = message.wire_len();
    if !masked || total < LARGE {
        return add(message, masked, buffer, bodies);
    }
    // All of it is masked, so that nothing of the message can be written from where it is. Its copy has memory of its own,
    // which the next one is given.
    let mut copy = pool::buffer(total + (total / FRAGMENT + 1) * MAX_HEAD);
    let written = add(message, masked, &mut copy, bodies);
    bodies.push_back((buffer.len(), copy.into()));
    written
}

fn add(message: &Message, masked: bool, buffer: &mut Vec<u8>, bodies: &mut Bodies) -> usize {
    let head = message.header();
    let total = message.wire_len();
    let mut written = 0;
    let mut from = 0;
    loop {
        let end = total.min(from + FRAGMENT);
        let data = if from == 0 {
            Data::Binary
        } else {
            Data::Continue
        };
        let begun = buffer.len();
        let key = begin(buffer, OpCode::Data(data), end == total, end - from, masked);
        let payload = buffer.len();
        // The protocol header is shorter than a fragment.
        buffer.extend_from_slice(head.get(from..).unwrap_or_default());
        let part = from.saturating_sub(head.len())..end - head.len();
        if key.is_none() && part.len() >= LARGE {
            written += part.len();
            bodies.push_back((buffer.len(), slice(message, part.start, part.end)));
        } else {
            buffer.extend_from_slice(message.body().get(part).unwrap_or_default());
        }
        if let Some(key) = key {
            mask::apply(&mut buffer[payload..], key);
        }
        written += buffer.len() - begun;
        if end == total {
            return written;
        }
        from = end;
    }
}

/// A control frame. What is too long of the payload is left out.
pub(crate) fn control(kind: Control, payload: &[u8], masked: bool) -> Vec<u8> {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    let mut frame = Vec::with_capacity(payload.len() + 6);
    let key = begin(
        &mut frame,
        OpCode::Control(kind),
        true,
        payload.len(),
        masked,
    );
    let start = frame.len();
    frame.extend_from_slice(payload);
    if let Some(key) = key {
        mask::apply(&mut frame[start..], key);
    }
    frame
}

/// Writes the head of a frame; returns the key that its payload is to be masked with.
fn begin(
    buffer: &mut Vec<u8>,
    opcode: OpCode,
    is_final: bool,
    length: usize,
    masked: bool,
) -> Option<mask::Key> {
    let head = FrameHeader {
        is_final,
        opcode,
        mask: masked.then(mask::key),
        ..FrameHeader::default()
    };
    head.format(length as u64, buffer)
        .expect("writing to memory does not fail");
    head.mask
}

/// A part of a message's body, which shares its memory.
fn slice(message: &Message, start: usize, end: usize) -> Message {
    let mut part = message.clone();
    // Both are within the body.
    let _ = part.chop(message.len() - end);
    let _ = part.trim(start);
    part
}
