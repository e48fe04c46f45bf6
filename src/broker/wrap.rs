//! What clients and the broker send each other, as messages of the sockets between them.

use super::codec::{Encoding, encode, head};
use super::message::Message as Letter;
use crate::message::Message;

/// What a message of pair version 1 begins with when it has passed no device.
const FIRST_HOP: u32 = 1;
/// Payloads from here on are not worth copying.
const LONG: usize = 8 << 10;

/// Puts a frame into a message.
pub(super) fn wrap(frame: impl Into<Message>) -> Message {
    let mut message = frame.into();
    message.header_clear();
    // One word fits into an empty header.
    let _ = message.header_append_u32(FIRST_HOP);
    message
}

/// Puts what somebody says in the clear into a message. A long payload is sent from where it is, and what comes before
/// it as a part of the header, if it fits there: on the wire that is the same.
pub(super) fn wrap_plain(letter: &Letter, encoding: Encoding) -> Message {
    let long = encoding == Encoding::Binary && letter.payload_binary().len() >= LONG;
    if long {
        let mut message = wrap(letter.payload_binary().clone());
        if message.header_append(&head(letter)).is_ok() {
            return message;
        }
    }
    wrap(encode(letter, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::MessageType;

    fn sent(letter: &Letter) -> Vec<u8> {
        let message = wrap_plain(letter, Encoding::Binary);
        [message.header(), message.body()].concat()
    }

    #[test]
    fn a_payload_that_is_not_copied_makes_no_difference_on_the_wire() {
        for length in [0, 100, LONG - 1, LONG, 100_000] {
            for destination in ["q", &"long/".repeat(20)] {
                let letter = Letter::binary("7", "", "application/octet-stream", vec![7; length])
                    .and_then(|letter| letter.addressed_to(MessageType::Offer, destination))
                    .unwrap();
                let encoded = encode(&letter, Encoding::Binary);
                let expected = [&[0, 0, 0, 1], &encoded[..]].concat();
                assert_eq!(sent(&letter), expected, "{length} bytes to {destination}");
            }
        }
    }

    #[test]
    fn a_long_payload_is_sent_from_where_it_is() {
        let letter = Letter::binary(None, "", "application/octet-stream", vec![7; LONG]).unwrap();
        let message = wrap_plain(&letter, Encoding::Binary);
        assert_eq!(message.body().as_ptr(), letter.payload_binary().as_ptr());
    }
}
