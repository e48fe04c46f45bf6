//! How much of a long segment is in memory while a log is opened, looked at, or cleared.

use super::super::disk::Disk;
use super::super::options::SyncPolicy;
use super::super::survey::survey;
use super::*;

/// A log whose only segment in use is this long, and messages of so many bytes until it is half full.
fn long(segment: u64, message: usize) -> (Options, u64, Vec<u8>) {
    let options = Options {
        segment_bytes: segment,
        sync: SyncPolicy::None,
        ..options()
    };
    (options, segment / 2 / message as u64, vec![7; message])
}

fn fill(log: &Log, count: u64, message: &[u8]) {
    commit(log, |batch| batch.make_queue(1, "q", b""));
    for item in 0..count {
        while log.is_congested() {
            std::thread::yield_now();
        }
        let one = batch(|batch| batch.append(1, item, &ItemMeta::default(), message));
        log.commit(&one).unwrap();
    }
}

#[test]
fn a_long_segment_is_read_in_pieces_to_open_look_at_and_clear_it() {
    let (options, count, message) = long(1 << 20, 1000);
    let fake = Fake::default();
    fill(&start(&fake, options.clone()), count, &message);
    fake.restart();
    let mut appended = 0;
    survey(&fake, None, &mut |seen| {
        appended += u64::from(matches!(seen.operation, Operation::ItemAppended { .. }));
    })
    .unwrap();
    assert_eq!(appended, count);
    let recovered = open(&fake, options.clone()).unwrap();
    assert_eq!(items(&recovered).len() as u64, count);
    drop(recovered);
    let compact = Options {
        compact: true,
        ..options.clone()
    };
    drop(start(&fake, compact));
    assert_eq!(fake.most_read(), Fake::PIECE);
    fake.restart();
    // What is moved is in few records, which have about a megabyte.
    assert_eq!(items(&open(&fake, options).unwrap()).len() as u64, count);
}

#[test]
fn a_record_that_is_longer_than_a_piece_is_all_that_is_held_beyond_it() {
    let (options, count, message) = long(1 << 20, 100_000);
    let fake = Fake::default();
    fill(&start(&fake, options.clone()), count, &message);
    fake.restart();
    assert_eq!(items(&open(&fake, options).unwrap()).len() as u64, count);
    let record = batch(|batch| batch.append(1, 0, &ItemMeta::default(), &message));
    assert_eq!(fake.most_read(), record.len());
}

#[test]
#[ignore = "writes 300 MB; measures this process, and so is to run alone"]
fn a_segment_of_three_hundred_megabytes_opens_in_a_few() {
    let (options, count, message) = long(600 << 20, 1000);
    let options = Options {
        max_pending: 8 << 20,
        ..options
    };
    let directory = tempfile::tempdir().unwrap();
    let disk = || Arc::new(Disk::make(directory.path()).unwrap());
    let log = Recovered::open(disk(), options.clone()).unwrap();
    fill(&log.start(Box::new(|| {})).unwrap(), count, &message);
    let (before, _) = disk::resident();
    let recovered = Recovered::open(disk(), options).unwrap();
    let mut read = 0;
    recovered.entries(|_| read += 1).unwrap();
    assert_eq!((read, recovered.report().segments), (count, 1));
    let (_, most) = disk::resident();
    let more = most.saturating_sub(before);
    println!("{more} bytes");
    assert!(more < 16 << 20, "{more}");
}
