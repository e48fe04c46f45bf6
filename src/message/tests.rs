use proptest::prelude::*;

use super::*;

/// Lengths around the one at which a body leaves the message.
const LENGTHS: [usize; 8] = [0, 1, 63, 79, 80, 81, 128, 4096];

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

/// One message per way to hold a body: as built, edited, shared with a clone, and a slice of something longer.
fn forms(body: &[u8]) -> Vec<(Message, Vec<Message>)> {
    let mut edited = Message::with_capacity(body.len() + 1);
    edited.append(body);
    let mut inserted = Message::new();
    inserted.insert(body);
    let shared = edited.clone();
    let holder = shared.clone();
    let mut sliced = Message::from([b"<<", body, b">>"].concat());
    sliced.trim(2).unwrap();
    sliced.chop(2).unwrap();
    vec![
        (Message::from(body), vec![]),
        (edited, vec![]),
        (inserted, vec![]),
        (shared, vec![holder]),
        (sliced, vec![]),
    ]
}

#[test]
fn a_body_of_up_to_80_bytes_needs_no_allocation_however_it_is_made() {
    for len in 0..=81 {
        let body: Vec<u8> = (0..len as u8).collect();
        let mut appended = Message::new();
        let mut inserted = Message::new();
        let mut resized = Message::new();
        for part in body.chunks(7) {
            appended.append(part);
        }
        for part in body.rchunks(7) {
            inserted.insert(part);
        }
        resized.resize(len);
        resized.body_mut().copy_from_slice(&body);
        let mut filled = Message::new();
        filled.fill(&body, len);
        let mut windowed = Message::new();
        windowed.fill(&[&body[..], &[0xff; 80]].concat(), len);
        let whole = Message::from(&body[..]);
        for message in [appended, inserted, resized, filled, windowed, whole] {
            assert_eq!(message.body(), body);
            assert_eq!(message.is_inline(), len <= 80, "{len}");
        }
    }
}

#[test]
fn a_header_and_a_body_of_80_bytes_together_need_no_allocation() {
    for len in 0..=80 {
        let body: Vec<u8> = (0..len as u8).collect();
        let mut message = Message::from(&body[..]);
        let header: Vec<u8> = (len as u8..80).take(MAX_HEADER).collect();
        for word in header.chunks(4) {
            message.header_append(word).unwrap();
        }
        assert_eq!((message.header(), message.body()), (&header[..], &body[..]));
        assert!(message.is_inline(), "{len}");
        message.append(b"one more");
        assert_eq!(message.body(), [&body[..], b"one more"].concat());
        assert_eq!(message.header(), header);
    }
}

#[test]
fn a_message_is_shareable() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Message>();
}

#[test]
fn a_new_message_is_empty() {
    let message = Message::new();
    assert!(message.is_empty() && message.header().is_empty());
    assert_eq!((message.len(), message.pipe()), (0, None));
}

#[test]
fn a_body_is_edited_at_both_ends() {
    for len in LENGTHS {
        let body = bytes(len);
        for (mut message, _holders) in forms(&body) {
            message.append(b"tail");
            message.insert(b"head");
            assert_eq!(message.body(), [b"head", &body[..], b"tail"].concat());
            message.trim(2).unwrap();
            message.chop(3).unwrap();
            assert_eq!(message.body(), [b"ad", &body[..], b"t"].concat());
            message.trim(len + 3).unwrap();
            assert!(message.is_empty());
            message.append(b"again");
            assert_eq!(message.body(), b"again");
        }
    }
}

#[test]
fn a_header_is_edited_at_both_ends() {
    for len in [0, 4, 8, 12, 16, 56] {
        let header = bytes(len);
        let mut message = Message::new();
        message.header_append(&header).unwrap();
        message.header_append(b"tail").unwrap();
        message.header_insert(b"head").unwrap();
        assert_eq!(message.header(), [b"head", &header[..], b"tail"].concat());
        message.header_trim(2).unwrap();
        message.header_chop(3).unwrap();
        assert_eq!(message.header(), [b"ad", &header[..], b"t"].concat());
        assert!(message.is_empty());
    }
}

#[test]
fn removing_more_than_there_is_changes_nothing() {
    let mut message = Message::from("body");
    message.header_append(b"head").unwrap();
    let before = message.clone();
    assert!(matches!(message.trim(5), Err(Error::InvalidArgument(_))));
    assert!(matches!(message.chop(5), Err(Error::InvalidArgument(_))));
    assert!(matches!(
        message.header_trim(5),
        Err(Error::InvalidArgument(_))
    ));
    assert!(matches!(
        message.header_chop(5),
        Err(Error::InvalidArgument(_))
    ));
    assert!(matches!(
        message.trim(usize::MAX),
        Err(Error::InvalidArgument(_))
    ));
    assert_eq!(message, before);
}

#[test]
fn a_header_is_at_most_64_bytes() {
    for start in [0, 12, 60, 64] {
        let mut message = Message::new();
        message.header_append(&bytes(start)).unwrap();
        let before = message.clone();
        assert!(message.header_append(&bytes(65 - start)).is_err());
        assert!(message.header_insert(&bytes(65 - start)).is_err());
        assert_eq!(message, before);
        message.header_append(&bytes(64 - start)).unwrap();
        assert_eq!(message.header().len(), 64);
    }
}

#[test]
fn clearing_one_part_leaves_the_other() {
    for len in LENGTHS {
        let mut message = Message::from(bytes(len));
        message.header_append(b"head").unwrap();
        let mut other = message.clone();
        message.clear();
        assert_eq!((message.header(), message.body()), (&b"head"[..], &b""[..]));
        message.append(b"new");
        assert_eq!(message.body(), b"new");
        other.header_clear();
        assert_eq!((other.header(), other.body()), (&b""[..], &bytes(len)[..]));
        other.header_append(b"new").unwrap();
        assert_eq!(other.header(), b"new");
    }
}

#[test]
fn a_clone_is_independent() {
    for len in LENGTHS {
        let body = bytes(len);
        for (mut message, _holders) in forms(&body) {
            message.header_append(&bytes(20)).unwrap();
            message.set_pipe(PipeId::new(7));
            let mut copy = message.clone();
            assert_eq!((&copy, copy.pipe()), (&message, PipeId::new(7)));
            copy.append(b"x");
            copy.body_mut().fill(0xee);
            copy.header_insert(b"x").unwrap();
            copy.set_pipe(None);
            assert_eq!(
                (message.body(), message.header()),
                (&body[..], &bytes(20)[..])
            );
            assert_eq!(message.pipe(), PipeId::new(7));
            message.body_mut().fill(0);
            assert!(copy.iter().all(|&byte| byte == 0xee));
        }
    }
}

#[test]
fn a_long_body_is_shared_with_its_clones_and_taken_over_from_a_vec() {
    let body = bytes(1000);
    let address = body.as_ptr();
    let message = Message::from(body);
    assert_eq!(message.body().as_ptr(), address);
    assert_eq!(message.clone().body().as_ptr(), address);
    let taken = Vec::from(message);
    assert_eq!(taken.as_ptr(), address);
}

#[test]
fn sharing_an_edited_body_does_not_copy_it() {
    let mut message = Message::new();
    message.append(&bytes(1000));
    message.insert(b"front");
    let address = message.body().as_ptr();
    assert_eq!(message.clone().body().as_ptr(), address);
    assert_eq!(Bytes::from(message).as_ptr(), address);
}

#[test]
fn resizing_keeps_what_stays_and_adds_zeros() {
    for old in LENGTHS {
        for new in LENGTHS {
            for (mut message, _holders) in forms(&bytes(old)) {
                message.resize(new);
                let mut expected = bytes(old);
                expected.resize(new, 0);
                assert_eq!(message.body(), expected, "{old} to {new}");
            }
        }
    }
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    for len in LENGTHS {
        let mut message = Message::from(vec![1; len]);
        message.resize(0);
        message.resize(len);
        assert_eq!(message.body(), vec![0; len]);
    }
}

#[test]
fn messages_of_megabytes() {
    let half = if cfg!(miri) { 64 << 10 } else { 4 << 20 };
    let body = bytes(half);
    let mut message = Message::from(&body[..]);
    message.append(&body);
    message.insert(b"x");
    assert_eq!(message.len(), 2 * half + 1);
    message.trim(half + 1).unwrap();
    assert_eq!(message.body(), body);
}

#[test]
fn numbers_are_big_endian_at_all_four_ends() {
    let mut message = Message::new();
    message.append_u16(0x0506);
    message.append_u32(0x0708_090a);
    message.append_u64(0x0b0c_0d0e_0f10_1112);
    message.insert_u32(0x0102_0304);
    assert_eq!(message.body(), &(1..=0x12).collect::<Vec<u8>>()[..]);
    assert_eq!(message.chop_u64().unwrap(), 0x0b0c_0d0e_0f10_1112);
    assert_eq!(message.trim_u16().unwrap(), 0x0102);
    assert_eq!(message.trim_u64().unwrap(), 0x0304_0506_0708_090a);
    assert!(message.is_empty());

    message.header_append_u32(0x0304_0506).unwrap();
    message.header_insert_u16(0x0102).unwrap();
    message.header_append_u64(0x0708_090a_0b0c_0d0e).unwrap();
    assert_eq!(message.header(), &(1..=0xe).collect::<Vec<u8>>()[..]);
    assert_eq!(message.header_chop_u16().unwrap(), 0x0d0e);
    assert_eq!(message.header_trim_u64().unwrap(), 0x0102_0304_0506_0708);
    assert_eq!(message.header_chop_u32().unwrap(), 0x090a_0b0c);
    assert!(message.header().is_empty() && message.is_empty());
}

#[test]
fn a_number_needs_all_its_bytes() {
    let mut message = Message::from([1, 2, 3]);
    message.header_append(&[1, 2, 3]).unwrap();
    let before = message.clone();
    assert!(message.trim_u32().is_err() && message.chop_u32().is_err());
    assert!(message.trim_u64().is_err() && message.chop_u64().is_err());
    assert!(message.header_trim_u32().is_err() && message.header_chop_u64().is_err());
    assert_eq!(message, before);
    assert_eq!(message.chop_u16().unwrap(), 0x0203);
    assert!(message.trim_u16().is_err());
}

#[test]
fn capacity_is_at_least_what_was_asked_for() {
    for len in LENGTHS {
        let mut message = Message::with_capacity(len);
        assert!(message.is_empty() && message.capacity() >= len);
        message.append(b"x");
        let address = message.body().as_ptr();
        message.append(&bytes(len.saturating_sub(1)));
        assert_eq!(message.body().as_ptr(), address);
    }
}

#[test]
fn reserving_adds_capacity_not_length() {
    for len in LENGTHS {
        for (mut message, _holders) in forms(&bytes(len)) {
            message.reserve(1000);
            assert_eq!(message.body(), bytes(len));
            assert!(message.capacity() >= len + 1000);
        }
    }
}

#[test]
fn thousands_of_small_insertions_are_cheap() {
    let mut message = Message::new();
    let mut moves = 0;
    let mut end = std::ptr::null();
    for i in 0..100_000_u32 {
        message.insert(&[i as u8]);
        let now = message.body().as_ptr_range().end;
        moves += u32::from(now != end);
        end = now;
    }
    assert_eq!(message.len(), 100_000);
    assert_eq!(message.body()[..3], [(99_999_u32 % 256) as u8, 158, 157]);
    // The body moves with each insertion while it is inside the message, and rarely afterwards.
    assert!(moves < 96 + 20, "{moves}");
}

#[test]
fn a_message_used_as_a_queue_does_not_grow() {
    let mut message = Message::from(bytes(200));
    for _ in 0..10_000 {
        message.append(&bytes(100));
        message.trim(100).unwrap();
    }
    assert!(message.capacity() < 4096, "{}", message.capacity());
}

#[test]
fn debug_output_is_short() {
    let message = Message::from(vec![b'a'; 1 << 20]);
    assert!(format!("{message:?}").len() < 200);
    assert!(format!("{:?}", Message::from("hi\n")).contains(r#"b"hi\n""#));
}

#[test]
fn pipe_numbers_have_31_bits() {
    assert_eq!(PipeId::new(0), None);
    assert_eq!(PipeId::new(0x8000_0000), None);
    assert_eq!(
        PipeId::new(0x7fff_ffff).map(PipeId::number),
        Some(0x7fff_ffff)
    );
}

#[derive(Debug, Clone)]
enum Edit {
    Append(Vec<u8>),
    Insert(Vec<u8>),
    Trim(usize),
    Chop(usize),
    Resize(usize),
    Reserve(usize),
    Header(bool, Vec<u32>),
    HeaderCut(bool, usize),
    Flatten,
    Clear,
    Fill(u8),
    /// Goes on with a clone, and checks at the end that the original did not change.
    Fork,
    /// Goes on with what is left after a way through another type.
    ThroughVec,
    ThroughBytes,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let length = prop_oneof![0..8_usize, 56..72_usize, 0..300_usize];
    let data = length.clone().prop_map(bytes);
    let edit = prop_oneof![
        3 => data.clone().prop_map(Edit::Append),
        3 => data.prop_map(Edit::Insert),
        3 => length.clone().prop_map(Edit::Trim),
        3 => length.clone().prop_map(Edit::Chop),
        1 => length.clone().prop_map(Edit::Resize),
        1 => length.prop_map(Edit::Reserve),
        3 => (any::<bool>(), prop::collection::vec(any::<u32>(), 0..6))
            .prop_map(|(at_front, words)| Edit::Header(at_front, words)),
        2 => (any::<bool>(), 0_usize..20).prop_map(|(front, count)| Edit::HeaderCut(front, count)),
        1 => Just(Edit::Flatten),
        1 => Just(Edit::Clear),
        1 => any::<u8>().prop_map(Edit::Fill),
        2 => Just(Edit::Fork),
        1 => Just(Edit::ThroughVec),
        1 => Just(Edit::ThroughBytes),
    ];
    prop::collection::vec(edit, 0..40)
}

proptest! {
    #[test]
    fn a_message_behaves_like_a_vec(edits in edits()) {
        let mut message = Message::new();
        let mut model = Vec::new();
        let mut header = Vec::new();
        let mut forks = Vec::new();
        for edit in edits {
            match edit {
                Edit::Append(data) => {
                    message.append(&data);
                    model.extend(data);
                }
                Edit::Insert(data) => {
                    message.insert(&data);
                    model.splice(0..0, data);
                }
                Edit::Trim(count) => {
                    prop_assert_eq!(message.trim(count).is_ok(), count <= model.len());
                    if count <= model.len() {
                        model.drain(..count);
                    }
                }
                Edit::Chop(count) => {
                    prop_assert_eq!(message.chop(count).is_ok(), count <= model.len());
                    if count <= model.len() {
                        model.truncate(model.len() - count);
                    }
                }
                Edit::Resize(len) => {
                    message.resize(len);
                    model.resize(len, 0);
                }
                Edit::Reserve(additional) => message.reserve(additional),
                Edit::Header(at_front, words) => {
                    let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                    let fits = header.len() + data.len() <= MAX_HEADER;
                    let added = if at_front {
                        message.header_insert(&data)
                    } else {
                        message.header_append(&data)
                    };
                    prop_assert_eq!(added.is_ok(), fits);
                    if fits {
                        let at = if at_front { 0 } else { header.len() };
                        header.splice(at..at, data);
                    }
                }
                Edit::HeaderCut(at_front, count) => {
                    let cut = if at_front {
                        message.header_trim(count)
                    } else {
                        message.header_chop(count)
                    };
                    prop_assert_eq!(cut.is_ok(), count <= header.len());
                    if count <= header.len() {
                        let at = if at_front { 0 } else { header.len() - count };
                        header.drain(at..at + count);
                    }
                }
                Edit::Flatten => {
                    message.flatten();
                    model.splice(0..0, header.drain(..));
                }
                Edit::Clear => {
                    message.clear();
                    model.clear();
                }
                Edit::Fill(byte) => {
                    message.body_mut().fill(byte);
                    model.fill(byte);
                }
                Edit::Fork => {
                    let clone = message.clone();
                    forks.push((mem::replace(&mut message, clone), model.clone()));
                }
                Edit::ThroughVec => {
                    message = Vec::from(message).into();
                    header.clear();
                }
                Edit::ThroughBytes => {
                    message = Bytes::from(message).into();
                    header.clear();
                }
            }
            prop_assert_eq!(message.body(), &model[..]);
            prop_assert_eq!(message.header(), &header[..]);
            prop_assert!(message.capacity() >= message.len());
        }
        for (fork, model) in forks {
            prop_assert_eq!(fork.body(), &model[..]);
        }
    }
}
