//! The stack of words in front of a request or survey: where its answer has to go.
//!
//! Every device between a requester and a replier pushes the number of the pipe a request came from. The last word
//! of the stack is the request's own number and the only one with the high bit set. A replier keeps the stack and
//! puts it in front of its answer, and every device pops the word it pushed.
//!
//! The stack comes from the peer: nothing here trusts its length or its end.

use crate::message::{MAX_HEADER, Message};

/// Words a header has room for.
const MAX_WORDS: usize = MAX_HEADER / WORD;
const WORD: usize = size_of::<u32>();
const LAST: u8 = 0x80;

/// Why a message has no stack that could be used. It is then to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More words than the time-to-live allows: too many hops, perhaps a loop. Not the peer's fault.
    Expired,
    /// The stack has no end, or one beyond all limits: the peer does not speak the protocol.
    Garbage,
}

/// The words of the stack that `wire` begins with, the last word included.
///
/// As in nng, `ttl` counts the last word too, and a stack that passes it is [`Refused::Expired`] even where what
/// follows is no stack at all. Without a `ttl` a stack of more than sixteen words is garbage.
pub(crate) fn words(wire: &[u8], ttl: Option<u8>) -> Result<usize, Refused> {
    let (limit, beyond) = match ttl {
        Some(ttl) => (usize::from(ttl), Refused::Expired),
        None => (MAX_WORDS, Refused::Garbage),
    };
    let (words, _) = wire.as_chunks::<WORD>();
    let last = words
        .iter()
        .take(limit)
        .position(|word| word[0] & LAST != 0);
    match last {
        Some(last) => Ok(last + 1),
        None if words.len() >= limit => Err(beyond),
        None => Err(Refused::Garbage),
    }
}

/// A stack kept aside until the answer is there.
pub(crate) struct Backtrace {
    len: u8,
    bytes: [u8; MAX_HEADER],
}

impl Backtrace {
    /// Takes the stack, which is the whole header, off a message.
    pub(crate) fn detach(message: &mut Message) -> Self {
        let header = message.header();
        let mut bytes = [0; MAX_HEADER];
        bytes[..header.len()].copy_from_slice(header);
        let len = header.len() as u8; // at most MAX_HEADER
        message.header_clear();
        Self { len, bytes }
    }

    /// Makes the stack the header of a message, in the place of any other.
    pub(crate) fn attach(&self, message: &mut Message) {
        message.header_clear();
        message
            .header_append(&self.bytes[..usize::from(self.len)])
            .expect("what was a header fits into one");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(words: &[u32], body: &[u8]) -> Message {
        let mut message = Message::new();
        for &word in words {
            message.append_u32(word);
        }
        message.append(body);
        message
    }

    const ID: u32 = 0x8000_0123;

    /// Moves the stack from the body to the header.
    fn take(message: &mut Message, ttl: Option<u8>) -> Result<(), Refused> {
        words(message.body(), ttl).map(|words| message.unwrap_words(words))
    }

    #[test]
    fn a_stack_ends_with_the_word_that_has_the_high_bit() {
        let mut taken = message(&[2, 1, ID, 0x8000_0007], b"body");
        assert_eq!(take(&mut taken, Some(8)), Ok(()));
        assert_eq!(taken.header(), message(&[2, 1, ID], b"").body());
        assert_eq!(taken.body(), message(&[0x8000_0007], b"body").body());
    }

    #[test]
    fn the_last_word_counts_as_a_hop() {
        for (words, expected) in [(1, Ok(())), (3, Ok(())), (4, Err(Refused::Expired))] {
            let mut stack = vec![1; words];
            stack[words - 1] = ID;
            assert_eq!(take(&mut message(&stack, b""), Some(3)), expected);
        }
    }

    #[test]
    fn a_stack_without_end_is_garbage() {
        for body in [&b""[..], b"\x80", b"abc", b"abcd", b"abcdefg"] {
            let mut garbage = Message::from(body);
            assert_eq!(take(&mut garbage, Some(8)), Err(Refused::Garbage));
            assert_eq!(take(&mut garbage, None), Err(Refused::Garbage));
        }
    }

    #[test]
    fn a_stack_that_used_up_its_hops_is_expired_even_if_it_has_no_end() {
        let mut stack = message(&[1, 2, 3], b"");
        assert_eq!(take(&mut stack, Some(3)), Err(Refused::Expired));
    }

    #[test]
    fn without_a_ttl_sixteen_words_are_the_most() {
        let mut stack = [1; 17];
        stack[15] = ID;
        let mut full = message(&stack[..16], b"x");
        assert_eq!(take(&mut full, None), Ok(()));
        assert_eq!((full.header().len(), full.body()), (64, &b"x"[..]));
        stack.swap(15, 16);
        assert_eq!(take(&mut message(&stack, b""), None), Err(Refused::Garbage));
    }

    #[test]
    fn a_detached_stack_replaces_the_header_it_is_attached_to() {
        let mut request = message(&[1, 2, 3, ID], b"request");
        take(&mut request, Some(8)).unwrap();
        let stack = Backtrace::detach(&mut request);
        assert!(request.header().is_empty());
        let mut reply = Message::from("reply");
        reply.header_append_u32(99).unwrap();
        stack.attach(&mut reply);
        assert_eq!(reply.header(), message(&[1, 2, 3, ID], b"").body());
    }

    proptest! {
        #[test]
        fn taking_moves_bytes_but_never_changes_them(
            body in proptest::collection::vec(prop_oneof![Just(0u8), Just(0x80), any::<u8>()], 0..100),
            ttl in proptest::option::of(1u8..=15),
        ) {
            let mut taken = Message::from(body.clone());
            let outcome = take(&mut taken, ttl);
            prop_assert_eq!([taken.header(), taken.body()].concat(), body.clone());
            let end = body.chunks_exact(4).position(|word| word[0] >= 0x80);
            let limit = ttl.map_or(16, usize::from);
            match end {
                Some(end) if end < limit => {
                    prop_assert_eq!(outcome, Ok(()));
                    prop_assert_eq!(taken.header().len(), (end + 1) * 4);
                }
                _ => {
                    prop_assert!(outcome.is_err());
                    prop_assert!(taken.header().is_empty());
                }
            }
        }
    }
}
