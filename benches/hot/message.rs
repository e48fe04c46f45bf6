//! What programs and protocols do with a message.

use std::hint::black_box;

use crate::message::Message;
use crate::wire::backtrace;

/// From a slice and back to a vector.
pub(crate) fn convert(size: usize) -> impl FnMut() {
    let bytes = vec![7; size];
    move || {
        let message = Message::from(black_box(bytes.as_slice()));
        black_box(Vec::from(message));
    }
}

/// A copy of a short body, a reference to a long one.
pub(crate) fn clone(size: usize) -> impl FnMut() {
    let message = Message::from(vec![7; size]);
    move || {
        black_box(black_box(&message).clone());
    }
}

/// A request's way through a wire: its number goes into the header, in front of the body, and into the header again.
pub(crate) fn hop(size: usize) -> impl FnMut() {
    let mut message = Message::from(vec![7; size]);
    move || {
        message.header_clear();
        message
            .header_append_u32(0x8000_0001)
            .expect("an empty header has room");
        message.flatten();
        let words = backtrace::words(black_box(message.body()), Some(8));
        message.unwrap_words(words.expect("the stack is complete"));
    }
}
