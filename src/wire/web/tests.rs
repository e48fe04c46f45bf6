use std::io::IoSlice;

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::message::Message;
use crate::wire::batch::Parcel;
use crate::wire::{Batch, Decoder, Framing};

const FIN: u8 = 0x80;
const CONT: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame, written by hand; a masked one has the key of the examples in RFC 6455.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mask_bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => bytes.push(mask_bit | len as u8),
        len @ 126..65536 => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = if masked {
        [0x37, 0xfa, 0x21, 0x3d]
    } else {
        [0; 4]
    };
    if masked {
        bytes.extend_from_slice(&key);
    }
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// What came of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    messages: Vec<Vec<u8>>,
    ping: Option<Vec<u8>>,
    closed: Option<Option<u16>>,
    amid: bool,
    violation: Option<Violation>,
}

/// Feeds `input` in pieces of at most `step` bytes, as a connection does.
fn assembled(masked: bool, limit: usize, input: &[u8], step: usize) -> Outcome {
    let mut assembler = Assembler::new(masked, limit);
    let mut outcome = Outcome::default();
    let mut rest = input;
    while !rest.is_empty() && outcome.violation.is_none() {
        let mut parcel = Parcel::default();
        let (count, fed) = match assembler.space() {
            Some(body) => {
                let before = body.len();
                let count = rest.len().min(step).min(body.capacity() - before);
                assert!(count > 0, "there is always space to read into");
                body.extend_from_slice(&rest[..count]);
                (count, assembler.filled(before, &mut parcel))
            }
            None => {
                let count = rest.len().min(step);
                (
                    count,
                    assembler.feed(&mut rest[..count].to_vec(), &mut parcel),
                )
            }
        };
        rest = &rest[count..];
        outcome.messages.extend(unpacked(&mut parcel));
        outcome.violation = fed.err();
        outcome.ping = assembler.take_ping().or(outcome.ping);
    }
    outcome.closed = assembler.closed();
    outcome.amid = outcome.violation.is_none() && assembler.is_amid_message();
    outcome
}

fn unpacked(parcel: &mut Parcel) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(Framing::Web { masked: false }, 0);
    decoder.unpack(parcel);
    let mut messages = Vec::new();
    while decoder.ready().expect("what was assembled is right") {
        let mut message = Message::new();
        decoder.take(&mut message);
        messages.push(message.body().to_vec());
    }
    assert!(!decoder.is_amid_message());
    messages
}

/// What a batch writes, taken `step` bytes at a time.
fn written(masked: bool, messages: &[Message], step: usize) -> Vec<u8> {
    let mut batch = Batch::new(Framing::Web { masked });
    for message in messages {
        batch.push(message);
    }
    let len = batch.len();
    let mut out = Vec::new();
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.slices(&mut slices);
        let before = out.len();
        for slice in &slices[..used] {
            let part = slice.len().min(step - (out.len() - before));
            out.extend_from_slice(&slice[..part]);
        }
        assert!(out.len() > before, "there is something to write");
        batch.advance(out.len() - before);
    }
    assert_eq!(out.len(), len);
    out
}

fn refusal(masked: bool, input: &[u8]) -> (u16, Error) {
    let mut outcomes = [1, usize::MAX].map(|step| assembled(masked, 1000, input, step));
    assert_eq!(outcomes[0], outcomes[1], "however it is split");
    let violation = outcomes[0].violation.take();
    let violation = violation.unwrap_or_else(|| panic!("{input:02x?} is taken"));
    (violation.code, violation.error)
}

// ---- out ----

#[test]
fn a_short_message_is_one_final_binary_frame() {
    let mut message = Message::from("ab");
    message.header_append_u32(0x8000_0001).unwrap();
    let bytes = written(false, &[message, Message::new()], usize::MAX);
    assert_eq!(bytes, [0x82, 6, 0x80, 0, 0, 1, b'a', b'b', 0x82, 0]);
}

#[test]
fn lengths_take_as_few_bytes_as_they_can() {
    for (len, head) in [
        (125, &[0x82, 125][..]),
        (126, &[0x82, 126, 0, 126]),
        (65535, &[0x82, 126, 0xff, 0xff]),
        (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let bytes = written(false, &[Message::from(vec![7; len])], usize::MAX);
        assert_eq!(&bytes[..head.len()], head);
        assert_eq!(bytes.len(), head.len() + len);
    }
}

#[test]
fn a_long_message_goes_in_fragments_of_64_kib() {
    let mut message = Message::from(vec![7; 150_000]);
    message.header_append(&[1, 2, 3, 4]).unwrap();
    let all = [&[1, 2, 3, 4][..], &[7; 150_000]].concat();
    let expected = [
        frame(BINARY, false, &all[..65536]),
        frame(CONT, false, &all[65536..131_072]),
        frame(FIN | CONT, false, &all[131_072..]),
    ];
    assert_eq!(written(false, &[message], usize::MAX), expected.concat());
}

#[test]
fn a_server_writes_long_bodies_from_where_they_are() {
    let message = Message::from(vec![7; 150_000]);
    let place = message.body().as_ptr_range();
    let mut batch = Batch::new(Framing::Web { masked: false });
    batch.push(&message);
    let mut slices = [IoSlice::new(&[]); 64];
    let used = batch.slices(&mut slices);
    let shared = slices[..used]
        .iter()
        .filter(|slice| place.contains(&slice.as_ptr()));
    assert_eq!(shared.map(|slice| slice.len()).sum::<usize>(), 150_000);
}

#[test]
fn a_client_masks_every_frame_with_another_key() {
    let bytes = written(
        true,
        &[Message::from(vec![0; 100_000]), Message::from("abcd")],
        usize::MAX,
    );
    // What is masked of zeros is the key again and again.
    let first: [u8; 4] = bytes[10..14].try_into().unwrap();
    assert_eq!(bytes[14..18], first);
    assert_eq!(bytes[14 + 65532..14 + 65536], first);
    let second = &bytes[14 + 65536..];
    assert_eq!(second[..2], [0x80, 0x80 | 126]);
    assert_ne!(second[4..8], first);
    assert_eq!(second[4..8], second[8..12]);
    let got = assembled(true, 0, &bytes, usize::MAX);
    assert_eq!(got.messages, [vec![0; 100_000], b"abcd".to_vec()]);
}

#[test]
fn keys_do_not_come_again() {
    let keys: std::collections::HashSet<_> = (0..5000).map(|_| mask::key()).collect();
    // Of five thousand numbers of 32 bits hardly two are equal.
    assert!(keys.len() > 4990, "{}", keys.len());
}

#[test]
fn control_frames_are_short_and_masked_as_the_rest() {
    assert_eq!(control(Control::Ping, b"", false), [0x89, 0]);
    assert_eq!(
        control(Control::Close, &1000_u16.to_be_bytes(), false),
        [0x88, 2, 3, 0xe8]
    );
    let long = control(Control::Pong, &[1; 200], false);
    assert_eq!(long[..2], [0x8a, 125]);
    assert_eq!(long.len(), 127);
    let masked = control(Control::Ping, b"hello", true);
    assert_eq!(masked[..2], [0x89, 0x85]);
    assert_eq!(
        assembled(true, 0, &masked, 99).ping,
        Some(b"hello".to_vec())
    );
}

// ---- in ----

#[test]
fn the_examples_of_the_standard_are_understood() {
    let unmasked = [0x82, 5, b'H', b'e', b'l', b'l', b'o'];
    let masked = [
        0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let parts = [0x02, 3, b'H', b'e', b'l', 0x80, 2, b'l', b'o'];
    let ping = [0x89, 5, b'H', b'e', b'l', b'l', b'o'];
    for (input, client) in [(&unmasked[..], false), (&masked, true), (&parts, false)] {
        assert_eq!(assembled(client, 0, input, 99).messages, [b"Hello"]);
    }
    assert_eq!(assembled(false, 0, &ping, 99).ping, Some(b"Hello".to_vec()));
}

#[test]
fn what_breaks_the_protocol_is_refused_with_the_code_for_it() {
    let protocol = |input: &[u8]| {
        let (code, error) = refusal(false, input);
        assert!(matches!(error, Error::Malformed(_)), "{error}");
        assert_eq!(code, 1002, "{input:02x?}: {error}");
    };
    for reserved in [0x40, 0x20, 0x10] {
        protocol(&frame(FIN | BINARY | reserved, false, b"x"));
        protocol(&frame(FIN | PING | reserved, false, b""));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        protocol(&frame(FIN | opcode, false, b"x"));
    }
    for (first, payload) in [
        (PING, &b""[..]),             // a control frame in parts
        (CLOSE, b""),                 // likewise
        (FIN | PING, &[0; 126]),      // too long
        (FIN | CONT, b"x"),           // goes on with nothing
        (CONT, b"x"),                 // likewise
        (FIN | CLOSE, b"x"),          // half a code
        (FIN | CLOSE, &[0, 0]),       // codes that nobody may send
        (FIN | CLOSE, &[3, 0xe7]),    // 999
        (FIN | CLOSE, &[3, 0xec]),    // 1004
        (FIN | CLOSE, &[3, 0xed]),    // 1005
        (FIN | CLOSE, &[3, 0xee]),    // 1006
        (FIN | CLOSE, &[3, 0xf7]),    // 1015
        (FIN | CLOSE, &[7, 0xd0]),    // 2000
        (FIN | CLOSE, &[0x13, 0x88]), // 5000
        (FIN | CLOSE, &[0xff, 0xff]),
    ] {
        protocol(&frame(first, false, payload));
    }
    // A message begins amid another.
    protocol(&[frame(BINARY, false, b"a"), frame(FIN | BINARY, false, b"b")].concat());
    // Lengths in more bytes than they need.
    protocol(&[0x82, 126, 0, 125]);
    protocol(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 125]);
    protocol(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    protocol(&[0x89, 126, 0, 1, 0]);
    // Masked the wrong way.
    protocol(&frame(FIN | BINARY, true, b"x"));
    assert_eq!(refusal(true, &frame(FIN | BINARY, false, b"x")).0, 1002);
    assert_eq!(refusal(true, &frame(FIN | PING, false, b"x")).0, 1002);
}

#[test]
fn text_is_refused_with_its_own_code() {
    for first in [FIN | TEXT, TEXT] {
        let (code, error) = refusal(false, &frame(first, false, b"text"));
        assert_eq!(code, 1003);
        assert!(error.to_string().contains("text"), "{error}");
    }
}

#[test]
fn a_close_is_understood_and_nothing_behind_it_is_read() {
    for (payload, code) in [
        (&b""[..], None),
        (&[3, 0xe8], Some(1000)),
        (&[3, 0xf1], Some(1009)),
        (&[0x0b, 0xb8], Some(3000)),
        (&[0x13, 0x87, b'b', b'y', b'e'], Some(4999)),
        (&[3, 0xe8, 0xc3, 0xa4], Some(1000)),
    ] {
        let input = [
            frame(FIN | BINARY, true, b"before"),
            frame(FIN | CLOSE, true, payload),
            frame(FIN | BINARY, true, b"behind"),
            vec![0xff; 20],
        ];
        let got = assembled(true, 0, &input.concat(), usize::MAX);
        assert_eq!(got.messages, [b"before"]);
        assert_eq!(got.closed, Some(code));
        assert_eq!(got.violation, None);
    }
}

#[test]
fn a_reason_that_is_not_utf_8_is_refused() {
    for reason in [&[0xff][..], &[0xc3], &[0xed, 0xa0, 0x80], &[0xc0, 0x80]] {
        let payload = [&[3, 0xe8][..], reason].concat();
        assert_eq!(refusal(false, &frame(FIN | CLOSE, false, &payload)).0, 1007);
    }
}

#[test]
fn control_frames_may_stand_between_the_parts_of_a_message() {
    let input = [
        frame(BINARY, true, b"one "),
        frame(FIN | PING, true, b"first"),
        frame(CONT, true, b""),
        frame(FIN | PONG, true, b"unasked"),
        frame(CONT, true, b"two "),
        frame(FIN | PING, true, b"second"),
        frame(FIN | CONT, true, b"three"),
    ]
    .concat();
    for step in [1, 2, 7, usize::MAX] {
        let got = assembled(true, 0, &input, step);
        assert_eq!(got.messages, [b"one two three"]);
        assert_eq!(got.ping, Some(b"second".to_vec()), "the latest");
        assert!(!got.amid);
    }
}

#[test]
fn empty_messages_and_empty_parts_are_messages() {
    let input = [
        frame(FIN | BINARY, true, b""),
        frame(BINARY, true, b""),
        frame(FIN | CONT, true, b""),
        frame(BINARY, true, b"a"),
        frame(FIN | CONT, true, b""),
    ];
    let got = assembled(true, 0, &input.concat(), usize::MAX);
    assert_eq!(got.messages, [&b""[..], b"", b"a"]);
}

#[test]
fn a_message_of_the_limit_is_taken_and_a_longer_one_refused_before_it_comes() {
    for parts in [
        vec![frame(FIN | BINARY, false, &[1; 1000])],
        vec![
            frame(BINARY, false, &[1; 400]),
            frame(FIN | CONT, false, &[1; 600]),
        ],
    ] {
        assert_eq!(
            assembled(false, 1000, &parts.concat(), 99).messages,
            [[1; 1000]]
        );
    }
    for head in [
        vec![0x82, 126, 3, 0xe9],
        [frame(BINARY, false, &[1; 400]), vec![0x80, 126, 2, 0x59]].concat(),
        vec![0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        let (code, error) = refusal(false, &head);
        assert_eq!(code, 1009);
        assert!(
            matches!(
                error,
                Error::MessageTooLong {
                    limit: 1000,
                    length: 1001..
                }
            ),
            "{error}"
        );
    }
    let huge = [0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let got = assembled(false, 0, &huge, 99).violation.unwrap();
    assert_eq!(got.code, 1009, "no limit is one all the same");
}

#[test]
fn what_was_only_announced_takes_no_memory() {
    let mut assembler = Assembler::new(false, 0);
    let mut parcel = Parcel::default();
    let mut head = vec![0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0, b'x'];
    assembler.feed(&mut head, &mut parcel).unwrap();
    let body = assembler.space().unwrap();
    assert!(body.capacity() <= 512 * 1024, "{}", body.capacity());
    assert!(assembler.is_amid_message());
}

#[test]
fn a_message_of_many_parts_takes_little_more_memory_than_its_bytes() {
    let mut assembler = Assembler::new(false, 0);
    let mut parcel = Parcel::default();
    assembler
        .feed(&mut frame(BINARY, false, &[1; 20_000]), &mut parcel)
        .unwrap();
    for _ in 0..200 {
        assembler
            .feed(&mut frame(CONT, false, &[1; 20_000]), &mut parcel)
            .unwrap();
    }
    assembler
        .feed(&mut [0, 127, 0, 0, 0, 0, 0, 1, 0, 0], &mut parcel)
        .unwrap();
    let body = assembler.space().unwrap();
    assert_eq!(body.len(), 201 * 20_000);
    assert!(body.capacity() < 2 * body.len(), "{}", body.capacity());
}

#[test]
fn much_of_a_long_frame_is_read_to_where_it_belongs() {
    let mut assembler = Assembler::new(true, 0);
    let mut parcel = Parcel::default();
    let bytes = frame(FIN | BINARY, true, &[9; 40_000]);
    assembler
        .feed(&mut bytes[..1000].to_vec(), &mut parcel)
        .unwrap();
    let body = assembler.space().expect("39 KiB are to come");
    let before = body.len();
    body.extend_from_slice(&bytes[1000..]);
    // A read may find what follows, too.
    body.extend_from_slice(&frame(FIN | BINARY, true, b"next"));
    assembler.filled(before, &mut parcel).unwrap();
    assert_eq!(unpacked(&mut parcel), [vec![9; 40_000], b"next".to_vec()]);
    assert!(assembler.space().is_none());
}

#[test]
fn fragments_that_are_read_together_are_put_together_in_place() {
    let body = |seed: usize| -> Vec<u8> { (0..250_000).map(|i| (i * seed / 7) as u8).collect() };
    // The first one tells how long the others may be, which are then read in few pieces.
    let bodies: Vec<Vec<u8>> = (1..6).map(body).collect();
    for masked in [false, true] {
        let mut bytes = Vec::new();
        for (i, body) in bodies.iter().enumerate() {
            let parts: Vec<&[u8]> = body.chunks(50_000).collect();
            for (k, part) in parts.iter().enumerate() {
                let opcode = if k == 0 { BINARY } else { CONT };
                let last = if k + 1 == parts.len() { FIN } else { 0 };
                bytes.extend(frame(last | opcode, masked, part));
                if i == 3 {
                    bytes.extend(frame(FIN | PING, masked, b"there?"));
                    bytes.extend(frame(CONT, masked, b""));
                    if last == FIN {
                        bytes.truncate(bytes.len() - frame(CONT, masked, b"").len());
                    }
                }
            }
        }
        for step in [49_990, 50_003, 65_536, 123_456, usize::MAX] {
            let outcome = assembled(masked, 0, &bytes, step);
            assert_eq!(outcome.violation, None, "{step}");
            assert!(outcome.messages == bodies && !outcome.amid, "{step}");
            assert_eq!(outcome.ping.as_deref(), Some(&b"there?"[..]));
        }
    }
}

#[test]
fn what_breaks_the_protocol_amid_what_is_read_together_is_refused() {
    let long = [7; 100_000];
    let begun = [
        frame(BINARY, false, &long),
        frame(FIN | CONT, false, &long),
        frame(BINARY, false, &long),
    ]
    .concat();
    let mut masked = [0; 6].to_vec();
    masked[..2].copy_from_slice(&[CONT, 0x80]);
    let cases: [(&[u8], u16); 4] = [
        (&masked, 1002),
        (&[CONT | 0x40, 0], 1002),
        (&[BINARY, 0], 1002),
        (&[FIN | CONT, 127, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
    ];
    for (then, code) in cases {
        let input = [&begun[..], then].concat();
        let outcome = assembled(false, 1_000_000, &input, usize::MAX);
        assert_eq!(outcome.messages, [long.repeat(2)]);
        assert_eq!(outcome.violation.map(|it| it.code), Some(code), "{then:x?}");
    }
}

#[test]
fn a_message_shorter_than_the_one_before_keeps_no_memory_for_it() {
    let mut assembler = Assembler::new(false, 0);
    let mut parcel = Parcel::default();
    for len in [2_000_000, 20_000] {
        for first in [BINARY, FIN | CONT] {
            let part = vec![1; len / 2];
            assembler
                .feed(&mut frame(first, false, &part), &mut parcel)
                .unwrap();
        }
    }
    let mut decoder = Decoder::new(Framing::Web { masked: false }, 0);
    decoder.unpack(&mut parcel);
    let mut message = Message::new();
    while let Ok(true) = decoder.ready() {
        decoder.take(&mut message);
    }
    assert_eq!(message.len(), 20_000);
    assert!(message.capacity() < 40_000, "{}", message.capacity());
}

// ---- any ----

#[derive(Debug, Clone)]
enum Step {
    Message(Vec<usize>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0_usize..300, 3000_usize..6000, 20_000_usize..80_000];
    let payload = || prop::collection::vec(any::<u8>(), 0..126);
    prop_oneof![
        3 => prop::collection::vec(size, 1..5).prop_map(Step::Message),
        1 => payload().prop_map(Step::Ping),
        1 => payload().prop_map(Step::Pong),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_split_anywhere_are_the_same_messages(
        steps in prop::collection::vec(any_step(), 0..8),
        masked: bool,
        read in 1_usize..100_000,
    ) {
        let mut input = Vec::new();
        let mut messages = Vec::new();
        let mut ping = None;
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Message(parts) => {
                    let mut message = Vec::new();
                    for (index, &size) in parts.iter().enumerate() {
                        let part: Vec<u8> = (0..size).map(|at| (at + number + index) as u8).collect();
                        let opcode = if index == 0 { BINARY } else { CONT };
                        let last = if index + 1 == parts.len() { FIN } else { 0 };
                        input.extend(frame(opcode | last, masked, &part));
                        message.extend(part);
                    }
                    messages.push(message);
                }
                Step::Ping(payload) => {
                    input.extend(frame(FIN | PING, masked, payload));
                    ping = Some(payload.clone());
                }
                Step::Pong(payload) => input.extend(frame(FIN | PONG, masked, payload)),
            }
        }
        let got = assembled(masked, 0, &input, read);
        prop_assert_eq!(got, Outcome { messages, ping, ..Outcome::default() });
    }

    #[test]
    fn what_a_batch_writes_is_the_same_messages(
        sizes in prop::collection::vec(prop_oneof![0_usize..300, 8000_usize..9000, 60_000_usize..200_000], 0..6),
        word: u32,
        masked: bool,
        write in 1000_usize..200_000,
        read in 1_usize..100_000,
    ) {
        let messages: Vec<Message> = sizes.iter().map(|&size| {
            let mut message = Message::from((0..size).map(|at| at as u8).collect::<Vec<_>>());
            message.header_append_u32(word).expect("room");
            message
        }).collect();
        let bytes = written(masked, &messages, write);
        let flat: Vec<Vec<u8>> = messages.iter().map(|one| [one.header(), one.body()].concat()).collect();
        let got = assembled(masked, 0, &bytes, read);
        prop_assert_eq!(got, Outcome { messages: flat, ..Outcome::default() });
    }

    #[test]
    fn any_bytes_are_survived_and_have_one_outcome(
        input in prop::collection::vec(any::<u8>(), 0..200),
        masked: bool,
        step in 1_usize..50,
    ) {
        let got = assembled(masked, 1 << 20, &input, step);
        let whole = assembled(masked, 1 << 20, &input, usize::MAX);
        prop_assert_eq!(&got.violation, &whole.violation);
        prop_assert_eq!(&got.messages, &whole.messages);
        prop_assert!(got.messages.iter().map(Vec::len).sum::<usize>() <= input.len());
    }

    #[test]
    fn frames_with_any_head_are_survived(
        heads in prop::collection::vec((0_u8..16, any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        step in 1_usize..50,
    ) {
        let input: Vec<u8> = heads.iter()
            .flat_map(|(opcode, last, payload)| frame(opcode | if *last { FIN } else { 0 }, true, payload))
            .collect();
        let got = assembled(true, 64, &input, step);
        prop_assert!(got.messages.iter().all(|message| message.len() <= 64));
        prop_assert_eq!(got, assembled(true, 64, &input, usize::MAX));
    }
}
