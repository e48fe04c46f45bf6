//! Every bit flip and every truncation of a sample, and damage of any kind.

use proptest::prelude::*;

use super::super::format::{SEGMENT_HEADER, segment_name};
use super::*;

/// Three segments with six records each; the items of a record have its number.
fn sample(key: bool) -> (Fake, Options) {
    let fake = Fake::default();
    let options = Options {
        key: key.then(|| super::super::Key::new([9; 32])),
        ..options()
    };
    let meta = ItemMeta::default();
    for segment in 0..3 {
        let log = start(&fake, options.clone());
        for record in 0..6 {
            let item = segment * 10 + record;
            commit(&log, |batch| {
                batch.make_queue(1, "jobs", b"config");
                batch.append(1, item, &meta, format!("message {item}").as_bytes());
                batch.append(1, item + 100, &meta, b"twin");
            });
        }
    }
    // The end of the last one is cut.
    drop(start(&fake, options.clone()));
    fake.delete(&segment_name(4));
    (fake, options)
}

/// Opens what was damaged; what is missing must have been reported, and the next opening must find nothing new.
fn survive(fake: &Fake, options: &Options, all: &Items, context: &str) -> usize {
    let recovered = open(fake, options.clone());
    let recovered = recovered.unwrap_or_else(|error| panic!("{context}: {error}"));
    let left = items(&recovered);
    let report = recovered.report().clone();
    for (id, item) in &left {
        assert_eq!(all.get(id), Some(item), "{context}");
        let twin = (1, if id.1 < 100 { id.1 + 100 } else { id.1 - 100 });
        assert!(left.contains_key(&twin), "{context}: a record in part");
    }
    let missing = all.len() - left.len();
    if missing > 0 {
        assert!(
            !report.is_sound() || report.torn.is_some(),
            "{context} is not told"
        );
    }
    if !report.is_sound() {
        let strict = Options {
            strict: true,
            ..options.clone()
        };
        drop(recovered);
        assert!(
            matches!(open(fake, strict), Err(WalError::Damaged { .. })),
            "{context}"
        );
        let mut recovered = open(fake, options.clone()).unwrap();
        recovered.put_right().unwrap();
        for damage in &recovered.report().damage {
            let side_file = damage.side_file.as_ref();
            assert!(side_file.is_some() || damage.length == 0, "{context}");
            assert!(
                side_file.is_none_or(|file| fake.content(file).len() as u64 == damage.length),
                "{context}"
            );
        }
        drop(recovered.start(Box::new(|| {})).unwrap());
    } else {
        drop(recovered.start(Box::new(|| {})).unwrap());
    }
    let strict = Options {
        strict: true,
        ..options.clone()
    };
    let again = open(fake, strict).unwrap_or_else(|error| panic!("{context}, again: {error}"));
    assert_eq!(items(&again), left, "{context}");
    assert_eq!(again.report().torn, None, "{context}");
    missing
}

#[test]
fn a_flipped_bit_costs_at_most_its_own_record() {
    for key in [false, true] {
        let (fake, options) = sample(key);
        let all = items(&open(&fake, options.clone()).unwrap());
        assert_eq!(all.len(), 36);
        for segment in 1..=3 {
            let name = segment_name(segment);
            let length = fake.content(&name).len();
            let used = (0..100).chain(2048..2148).chain(SEGMENT_HEADER..length);
            // Encrypted, each takes long.
            for at in used.step_by(if key { 7 } else { 1 }) {
                let fork = fake.fork();
                fork.edit(&name, |bytes| bytes[at] ^= 1 << (at % 8));
                let context = format!("key {key}, {name}, byte {at}");
                assert!(survive(&fork, &options, &all, &context) <= 2, "{context}");
            }
        }
    }
}

#[test]
fn every_truncation_opens() {
    let (fake, options) = sample(false);
    let all = items(&open(&fake, options.clone()).unwrap());
    for segment in 1..=3 {
        let name = segment_name(segment);
        let content = fake.content(&name);
        let mark = &content[SEGMENT_HEADER..][..8];
        for at in (0..60).chain(2040..2140).chain(4090..content.len()) {
            let fork = fake.fork();
            fork.edit(&name, |bytes| bytes.truncate(at));
            let context = format!("{name} cut at {at}");
            // The log may well end between two records of its last segment: nothing shows that it did not.
            let next = at.next_multiple_of(8);
            if segment == 3 && (at <= SEGMENT_HEADER || content[next..].starts_with(mark)) {
                assert!(open(&fork, options.clone()).unwrap().report().is_sound());
                continue;
            }
            assert!(survive(&fork, &options, &all, &context) <= 12);
        }
    }
}

#[test]
fn a_missing_segment_is_told_and_the_rest_is_there() {
    let (fake, options) = sample(false);
    let all = items(&open(&fake, options.clone()).unwrap());
    fake.delete(&segment_name(2));
    let report = open(&fake, options.clone()).unwrap().report().clone();
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].file, segment_name(3));
    assert_eq!(report.damage[0].length, 0);
    assert_eq!(survive(&fake, &options, &all, "without the second"), 12);
}

#[test]
fn a_segment_whose_header_is_lost_is_read_by_its_records() {
    for segment in 1..=3 {
        let (fake, options) = sample(false);
        let all = items(&open(&fake, options.clone()).unwrap());
        fake.edit(&segment_name(segment), |bytes| {
            bytes[..SEGMENT_HEADER].fill(0xaa)
        });
        assert_eq!(survive(&fake, &options, &all, "headless"), 0);
    }
    for segment in 1..=3 {
        let (fake, options) = sample(true);
        let all = items(&open(&fake, options.clone()).unwrap());
        fake.edit(&segment_name(segment), |bytes| {
            bytes[..SEGMENT_HEADER].fill(0xaa)
        });
        assert_eq!(survive(&fake, &options, &all, "headless and encrypted"), 12);
    }
}

#[test]
fn a_log_of_garbage_opens_empty_and_keeps_the_garbage() {
    let fake = Fake::default();
    fake.put(&segment_name(7), vec![0x5a; 9000]);
    let recovered = open(&fake, options()).unwrap();
    assert_eq!(recovered.report().damage.len(), 1);
    drop(recovered.start(Box::new(|| {})).unwrap());
    assert!(
        fake.names()
            .contains(&"quarantine-segment-00000000000000000007-0".to_owned())
    );
    assert!(open(&fake, options()).unwrap().report().is_sound());
}

#[test]
fn a_foreign_segment_is_set_aside() {
    let (fake, options) = sample(false);
    let all = items(&open(&fake, options.clone()).unwrap());
    let (other, _) = sample(false);
    fake.put(&segment_name(4), other.content(&segment_name(2)));
    let recovered = open(&fake, options.clone()).unwrap();
    assert_eq!(items(&recovered), all);
    drop(recovered.start(Box::new(|| {})).unwrap());
    assert!(
        fake.names()
            .iter()
            .any(|name| name.starts_with("quarantine-"))
    );
}

#[test]
fn what_a_lost_record_hides_does_not_make_others_wrong() {
    let fake = Fake::default();
    let log = start(&fake, options());
    let meta = ItemMeta::default();
    commit(&log, |batch| batch.make_queue(5, "gone", b""));
    commit(&log, |batch| batch.append(5, 1, &meta, b"a"));
    commit(&log, |batch| batch.append(5, 2, &meta, b"b"));
    commit(&log, |batch| batch.settle(5, &[1]));
    commit(&log, |batch| batch.change(5, 2, 3, 0));
    drop(log);
    let name = segment_name(1);
    let content = fake.content(&name);
    let place = |word: &[u8]| {
        content
            .windows(word.len())
            .position(|window| window == word)
            .unwrap()
    };
    // The queue, and the first item.
    let queue = place(b"gone");
    fake.edit(&name, |bytes| bytes[queue] ^= 1);
    let recovered = open(&fake, options()).unwrap();
    assert_eq!(recovered.report().nameless, [5]);
    let names: Vec<_> = recovered
        .queues()
        .map(|queue| queue.name.to_owned())
        .collect();
    assert_eq!(names, ["recovered/5"]);
    let items = items(&recovered);
    assert_eq!(items.keys().collect::<Vec<_>>(), [&(5, 2)]);
    assert_eq!(items[&(5, 2)].0.attempts, 3);
}

#[test]
fn later_versions_and_wrong_keys_are_refused_with_a_reason() {
    let (fake, with_key) = sample(true);
    assert!(matches!(
        open(&fake, options()),
        Err(WalError::KeyMissing { .. })
    ));
    let other = Options {
        key: Some(super::super::Key::new([8; 32])),
        ..options()
    };
    assert!(matches!(open(&fake, other), Err(WalError::WrongKey { .. })));
    assert!(open(&fake, with_key).is_ok());

    let (fake, options) = sample(false);
    fake.edit(&segment_name(2), |bytes| {
        for at in [0, 2048] {
            bytes[at + 8] = 2;
            let crc = crc32c::crc32c(&bytes[at..at + 80]);
            bytes[at + 80..at + 84].copy_from_slice(&crc.to_le_bytes());
        }
    });
    assert!(matches!(
        open(&fake, options),
        Err(WalError::Version { version: 2, .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_log_that_was_tampered_with_anywhere_opens(
        edits in proptest::collection::vec(
            (1..4_u64, 0..6000_usize, 0..6000_usize, 0..1500_usize, 0..5_u8),
            1..8,
        ),
        encrypt in prop::bool::weighted(0.2),
    ) {
        let (fake, options) = sample(encrypt);
        let all = items(&open(&fake, options.clone()).unwrap());
        for (segment, at, to, length, kind) in edits {
            let name = segment_name(segment);
            if !fake.names().contains(&name) {
                continue;
            }
            fake.edit(&name, |bytes| {
                let at = at % bytes.len().max(1);
                let end = (at + length).min(bytes.len());
                match kind {
                    0 => bytes[at..end].fill(0),
                    1 => bytes[at..end].fill(0xa5),
                    2 => bytes.truncate(at),
                    3 => drop(bytes.drain(at..end)),
                    _ => {
                        // A copy of a part in another place.
                        let part = bytes[at..end].to_vec();
                        let to = to.min(bytes.len());
                        bytes.splice(to..to, part);
                    }
                }
            });
            if kind == 3 && length > 1400 {
                fake.delete(&name);
            }
        }
        let recovered = open(&fake, options.clone()).unwrap();
        let left = items(&recovered);
        for (id, item) in &left {
            prop_assert_eq!(all.get(id), Some(item));
        }
        drop(recovered.start(Box::new(|| {})).unwrap());
        let strict = Options { strict: true, ..options };
        let again = open(&fake, strict).unwrap();
        prop_assert_eq!(items(&again), left);
    }
}
