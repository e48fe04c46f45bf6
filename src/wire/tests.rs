use std::io::IoSlice;

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::message::Message;

/// What a batch writes, taken `step` bytes at a time.
fn written(batch: &mut Batch, step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.slices(&mut slices);
        let mut left = step;
        let before = out.len();
        for slice in &slices[..used] {
            let part = slice.len().min(left);
            out.extend_from_slice(&slice[..part]);
            left -= part;
        }
        let count = out.len() - before;
        assert!(
            count > 0,
            "a batch that is not empty offers something to write"
        );
        batch.advance(count);
    }
    out
}

fn encoded(framing: Framing, messages: &[Message]) -> Vec<u8> {
    let mut batch = Batch::new(framing);
    for message in messages {
        batch.push(message);
    }
    let len = batch.len();
    let out = written(&mut batch, usize::MAX);
    assert_eq!(out.len(), len);
    out
}

fn next(decoder: &mut Decoder) -> Result<Option<Message>, Error> {
    if !decoder.ready()? {
        return Ok(None);
    }
    let front = decoder.front().to_vec();
    let mut message = Message::from("whatever was there");
    decoder.take(&mut message);
    assert_eq!(message, Message::from(front));
    Ok(Some(message))
}

/// Feeds `input` in pieces of at most `step` bytes, taking messages after each.
fn decoded(
    framing: Framing,
    limit: usize,
    input: &[u8],
    step: usize,
) -> Result<Vec<Message>, Error> {
    let mut decoder = Decoder::new(framing, limit);
    let mut messages = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let space = decoder.space();
        let room = space.capacity() - space.len();
        let count = rest.len().min(step).min(room);
        assert!(count > 0, "there is always space to read into");
        space.extend_from_slice(&rest[..count]);
        decoder.filled(count == room);
        rest = &rest[count..];
        let complete = messages.len() + decoder.count();
        while let Some(message) = next(&mut decoder)? {
            messages.push(message);
        }
        assert_eq!(messages.len(), complete);
    }
    Ok(messages)
}

#[test]
fn tcp_frame_is_a_big_endian_length_then_header_and_body() {
    let mut message = Message::from("ab");
    message.header_append_u32(0x8000_0001).unwrap();
    let bytes = encoded(Framing::Length, &[message]);
    assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 6, 0x80, 0, 0, 1, b'a', b'b']);
}

#[test]
fn ipc_frame_starts_with_the_type_byte() {
    assert_eq!(
        encoded(Framing::Typed, &[Message::new()]),
        [1, 0, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn decoder_yields_the_same_messages_split_at_every_byte() {
    let sizes = [0, 1, 63, 64, 65, 300, 5000];
    let messages: Vec<Message> = sizes
        .iter()
        .map(|&n| Message::from(vec![n as u8; n]))
        .collect();
    for framing in [Framing::Length, Framing::Typed] {
        let bytes = encoded(framing, &messages);
        for cut in (0..bytes.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let mut decoder = Decoder::new(framing, 0);
            let mut got = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.space().extend_from_slice(part);
                decoder.filled(false);
                while let Some(message) = next(&mut decoder).unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages, "cut at {cut}");
            assert!(!decoder.is_amid_message());
        }
    }
}

#[test]
fn decoder_reports_a_message_above_the_limit_before_its_body_comes() {
    let frame = 101_u64.to_be_bytes();
    assert_eq!(
        decoded(Framing::Length, 100, &frame, 8),
        Err(Error::MessageTooLong {
            limit: 100,
            length: 101
        })
    );
}

#[test]
fn decoder_accepts_a_message_of_exactly_the_limit() {
    let bytes = encoded(Framing::Length, &[Message::from(vec![7; 100])]);
    assert_eq!(decoded(Framing::Length, 100, &bytes, 3).unwrap().len(), 1);
}

#[test]
fn decoder_refuses_the_reserved_length_bits_even_without_a_limit() {
    let frame = 0x1000_0000_0000_0000_u64.to_be_bytes();
    assert!(matches!(
        decoded(Framing::Length, 0, &frame, 8),
        Err(Error::MessageTooLong { .. })
    ));
}

#[test]
fn decoder_refuses_an_unknown_ipc_type_at_its_first_byte() {
    assert!(matches!(
        decoded(Framing::Typed, 0, &[2], 1),
        Err(Error::Malformed(_))
    ));
}

#[test]
fn decoder_does_not_allocate_what_was_only_announced() {
    let mut decoder = Decoder::new(Framing::Length, 0);
    decoder
        .space()
        .extend_from_slice(&(1_u64 << 40).to_be_bytes());
    assert!(next(&mut decoder).unwrap().is_none());
    let space = decoder.space();
    assert!(space.capacity() <= 512 * 1024, "{}", space.capacity());
    assert!(decoder.is_amid_message());
}

#[test]
fn long_messages_that_are_there_take_few_reads_whatever_their_length_and_wherever_they_were_split()
{
    for length in [1 << 14, 17_000, 20_000, 33_000, 70_000, 1 << 20] {
        let bytes = encoded(Framing::Length, &vec![Message::from(vec![7; length]); 20]);
        for first in [1, 9, 1_000, length - 5_000, length - 1_000, length] {
            let (mut decoder, mut rest) = (Decoder::new(Framing::Length, 0), &bytes[..]);
            let (mut reads, mut messages) = (0, 0);
            let mut there = first;
            while !rest.is_empty() {
                let space = decoder.space();
                let room = space.capacity() - space.len();
                let count = rest.len().min(there).min(room);
                there = usize::MAX;
                space.extend_from_slice(&rest[..count]);
                decoder.filled(count == room);
                rest = &rest[count..];
                reads += 1;
                while next(&mut decoder).unwrap().is_some() {
                    messages += 1;
                }
            }
            assert_eq!(messages, 20);
            // What is set aside ahead of the bytes grows with the first message.
            let most = 2 * messages + length.div_ceil(decode::AHEAD) + 2;
            assert!(reads <= most, "{length}, {first}: {reads} reads");
        }
    }
}

#[test]
fn an_idle_decoder_gives_its_buffer_back() {
    let mut decoder = Decoder::new(Framing::Length, 0);
    let mut spare = Vec::new();
    decoder
        .space()
        .extend_from_slice(&encoded(Framing::Length, &[Message::from("x")]));
    assert!(next(&mut decoder).unwrap().is_some());
    decoder.yield_buffer(&mut spare);
    assert!(spare.capacity() > 0 && spare.is_empty());
    decoder.lend(&mut spare);
    assert_eq!(spare.capacity(), 0);
}

#[test]
fn a_parcel_carries_short_and_long_messages_in_order() {
    let messages: Vec<Message> = [4, 300, 0, 50_000, 7]
        .iter()
        .map(|&n| Message::from(vec![n as u8; n]))
        .collect();
    let mut batch = Batch::new(Framing::Local);
    let mut parcel = Parcel::default();
    // The second half is added to a parcel that is not empty.
    for half in messages.chunks(3) {
        for message in half {
            batch.push(message);
        }
        batch.move_to(&mut parcel);
        assert!(batch.is_empty());
    }
    let mut decoder = Decoder::new(Framing::Local, 1);
    decoder.unpack(&mut parcel);
    assert!(parcel.is_empty());
    assert_eq!(decoder.count(), messages.len());
    let taken: Vec<Message> =
        std::iter::from_fn(|| next(&mut decoder).expect("no limit in process")).collect();
    assert_eq!(taken, messages);
}

#[test]
fn inproc_messages_arrive_with_their_header_in_the_body() {
    for body in [vec![1; 4], vec![1; 400]] {
        let mut message = Message::from(body.clone());
        message.header_append_u32(7).unwrap();
        let mut batch = Batch::new(Framing::Local);
        batch.push(&message);
        let (mut parcel, mut decoder) = (Parcel::default(), Decoder::new(Framing::Local, 0));
        batch.move_to(&mut parcel);
        decoder.unpack(&mut parcel);
        let taken = next(&mut decoder).unwrap().unwrap();
        assert!(taken.header().is_empty());
        assert_eq!(taken.body(), [&[0, 0, 0, 7], &body[..]].concat());
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let size = prop_oneof![
        0_usize..200,
        4000_usize..20_000,
        60_000_usize..70_000,
        Just(300_000)
    ];
    (size, any::<u8>(), prop::collection::vec(any::<u32>(), 0..4)).prop_map(
        |(size, fill, words)| {
            let mut message = Message::from(vec![fill; size]);
            for word in words {
                message
                    .header_append_u32(word)
                    .expect("a header of four words fits");
            }
            message
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_a_batch_writes_in_any_steps_decodes_to_the_same_messages(
        messages in prop::collection::vec(any_message(), 0..6),
        typed: bool,
        write_step in 1_usize..100_000,
        read_step in 1_usize..100_000,
    ) {
        let framing = if typed { Framing::Typed } else { Framing::Length };
        let mut batch = Batch::new(framing);
        for message in &messages {
            batch.push(message);
        }
        let bytes = written(&mut batch, write_step.max(64));
        let got = decoded(framing, 0, &bytes, read_step.max(16)).unwrap();
        let flat: Vec<Vec<u8>> = messages.iter().map(|m| [m.header(), m.body()].concat()).collect();
        prop_assert_eq!(got.iter().map(|m| m.body().to_vec()).collect::<Vec<_>>(), flat);
    }

    #[test]
    fn decoder_survives_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
        for framing in [Framing::Length, Framing::Typed] {
            let _ = decoded(framing, 1 << 20, &input, step);
        }
    }
}
