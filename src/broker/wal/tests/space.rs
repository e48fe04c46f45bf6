//! What becomes of a log that runs out of space, and of what it no longer needs.

use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::super::log::State;
use super::super::options::SyncPolicy;
use super::super::storage::Storage;
use super::*;

/// Appends items until the log says that it is full. Returns how many there are.
fn fill(log: &Log) -> u64 {
    let meta = ItemMeta::default();
    for item in 0..10_000 {
        if log.is_full() {
            return item;
        }
        commit(log, |batch| batch.append(1, item, &meta, &[1; 1000]));
    }
    panic!("it never filled");
}

pub(super) fn full_and_back(storage: Arc<dyn Storage>, options: Options, more: impl FnOnce()) {
    let (told, hears) = mpsc::channel();
    let told = Box::new(move || {
        let _ = told.send(());
    });
    let open = || Recovered::open(storage.clone(), options.clone()).unwrap();
    let log = open().start(told).unwrap();
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    let count = fill(&log);
    assert!(count > 20, "{count}");
    assert!(matches!(log.status().state, State::Full(_)));
    // One by one, which takes space of its own.
    for item in 0..count / 2 {
        commit(&log, |batch| batch.settle(1, &[item]));
    }
    more();
    while log.is_full() {
        hears.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    commit(&log, |batch| {
        batch.append(1, count, &ItemMeta::default(), b"new")
    });
    drop(log);
    let items = items(&open());
    let expected: Vec<_> = (count / 2..=count).map(|item| (1, item)).collect();
    assert_eq!(items.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn at_the_limit_settlements_are_taken_and_make_room() {
    let options = Options {
        max_bytes: Some(8 * (16 << 10)),
        ..options()
    };
    full_and_back(Arc::new(Fake::default()), options, || {});
}

#[test]
fn on_a_full_disk_settlements_are_taken_and_make_room() {
    let fake = Fake::default();
    fake.set_capacity(Some(150_000));
    full_and_back(Arc::new(fake), options(), || {});
}

#[test]
fn a_full_log_goes_on_when_the_disk_has_space_again() {
    let fake = Fake::default();
    fake.set_capacity(Some(150_000));
    let options = Options {
        background: true,
        ..options()
    };
    full_and_back(Arc::new(fake.clone()), options, || fake.set_capacity(None));
}

#[test]
fn that_a_disk_is_full_is_known_while_there_is_room_for_settlements_however_slow_it_is() {
    let fake = Fake::default();
    fake.set_capacity(Some(150_000));
    fake.set_reserving(Duration::from_millis(10));
    let options = Options {
        background: true,
        ..options()
    };
    full_and_back(Arc::new(fake), options, || {});
}

#[test]
fn what_does_not_fit_waits_until_it_does() {
    let fake = Fake::default();
    let log = start(&fake, options());
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    fake.set_capacity(Some(100_000));
    let large = log.commit(&batch(|batch| {
        batch.append(1, 1, &ItemMeta::default(), &[7; 200_000]);
    }));
    while !log.is_full() {
        std::thread::yield_now();
    }
    assert!(log.synced() < large.clone().unwrap());
    fake.set_capacity(None);
    log.wait(large.unwrap()).unwrap();
    drop(log);
    assert_eq!(
        items(&open(&fake, options()).unwrap())[&(1, 1)].1,
        [7; 200_000]
    );
}

#[test]
fn a_full_log_opens() {
    let fake = Fake::default();
    fake.set_capacity(Some(150_000));
    let log = start(&fake, options());
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    let count = fill(&log);
    drop(log);
    let log = start(&fake, options());
    for item in 0..count {
        commit(&log, |batch| batch.settle(1, &[item]));
    }
    drop(log);
    assert!(items(&open(&fake, options()).unwrap()).is_empty());
}

#[test]
fn compact_leaves_only_what_is_live() {
    let fake = Fake::default();
    let log = start(&fake, options());
    let meta = ItemMeta::default();
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    for item in 0..100 {
        commit(&log, |batch| batch.append(1, item, &meta, &[3; 900]));
    }
    for item in (0..100).filter(|item| item % 10 != 0) {
        commit(&log, |batch| batch.settle(1, &[item]));
    }
    drop(log);
    let compact = Options {
        compact: true,
        ..options()
    };
    let log = start(&fake, compact.clone());
    assert_eq!(log.status().counters.segments, 1);
    assert_eq!(log.status().counters.live_items, 10);
    drop(log);
    let recovered = open(&fake, compact).unwrap();
    assert_eq!(items(&recovered).len(), 10);
    assert_eq!(recovered.queues().count(), 1);
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}

fn keys(recovered: &Recovered) -> Vec<String> {
    let mut keys = Vec::new();
    let read = recovered.entries(|entry| {
        if let Entry::Dedupe { key, .. } = entry {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
        }
    });
    read.unwrap();
    keys
}

#[test]
fn keys_outlive_their_segment_as_long_as_their_window_lasts() {
    let now = now();
    let fake = Fake::default();
    let compact = Options {
        compact: true,
        ..options()
    };
    let log = start(&fake, options());
    commit(&log, |batch| {
        batch.make_queue(1, "q", b"");
        batch.dedupe(1, now - 1000, b"young");
        batch.dedupe(1, now - 3_600_000, b"old");
    });
    drop(log);
    drop(start(&fake, compact.clone()));
    assert_eq!(keys(&open(&fake, compact).unwrap()), ["young"]);
}

#[test]
fn keys_of_a_clock_that_was_days_ahead_or_behind_neither_fill_the_disk_nor_get_lost_too_early() {
    const DAY: u64 = 24 * 3600 * 1000;
    let now = now();
    let fake = Fake::default();
    let log = start(&fake, options());
    let meta = ItemMeta::default();
    commit(&log, |batch| {
        batch.make_queue(1, "q", b"");
        batch.dedupe(1, now + 3 * DAY, b"ahead");
        batch.dedupe(1, now - 3 * DAY, b"behind");
    });
    for item in 0..400 {
        commit(&log, |batch| {
            batch.append(1, item, &meta, &[1; 1000]);
            batch.settle(1, &[item]);
        });
    }
    let counters = log.status().counters;
    assert!(counters.disk_bytes <= 6 * (16 << 10), "{counters:?}");
    drop(log);
    assert_eq!(keys(&open(&fake, options()).unwrap()), ["ahead"]);
}

#[test]
fn without_a_sync_a_commit_counts_when_it_is_written() {
    for sync in [
        SyncPolicy::None,
        SyncPolicy::Interval(Duration::from_secs(3600)),
    ] {
        let fake = Fake::default();
        let log = start(&fake, Options { sync, ..options() });
        let before = log.status().counters.syncs;
        commit(&log, |batch| batch.make_queue(1, "q", b""));
        let status = log.status();
        assert_eq!((status.counters.syncs, status.sync), (before, sync));
        drop(log);
        fake.crash(0);
        assert_eq!(open(&fake, options()).unwrap().queues().count(), 1);
    }
}

#[test]
fn an_interval_syncs_by_itself() {
    let fake = Fake::default();
    let sync = SyncPolicy::Interval(Duration::from_millis(5));
    let log = start(&fake, Options { sync, ..options() });
    let before = log.status().counters.syncs;
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    while log.status().counters.syncs == before {
        std::thread::yield_now();
    }
}

#[test]
fn what_waits_beyond_the_bound_is_congestion() {
    let fake = Fake::default();
    let options = Options {
        max_pending: 1000,
        ..options()
    };
    let recovered = open(&fake, options).unwrap();
    let (mut writer, shared) = recovered.writer(Box::new(|| {})).unwrap();
    let mut group = Group::default();
    let large = batch(|batch| batch.note(&[0; 1001]));
    shared.commit(&large).unwrap();
    assert!(shared.is_congested());
    writer.turn(&mut group).unwrap();
    shared.commit(&batch(|batch| batch.note(b""))).unwrap();
    writer.turn(&mut group).unwrap();
    assert!(!shared.is_congested());
}
