//! A history, and a crash or a fault at each change that it makes to the disk.

use std::collections::BTreeMap;

use super::super::fake::{Dice, Fault};
use super::*;

const QUEUE: u32 = 1;
const SECOND: u32 = 2;

/// A queue's number and an item's.
type Id = (u32, u64);

/// What the history has committed: for each commit, what it appends and settles.
#[derive(Default)]
struct Ledger {
    commits: Vec<(Ticket, Vec<Id>, Vec<Id>)>,
    synced: Ticket,
}

fn message(queue: u32, item: u64) -> Vec<u8> {
    let length = 100 + (item * 397 % 1900) as usize;
    (0..length)
        .map(|at| (at as u64 * 7 + item * 13) as u8 ^ queue as u8)
        .collect()
}

/// Appends to one queue, and moves items to a second one. Every tenth item stays for ever, so that segments have to be
/// cleared.
fn history(mut log: Manual, ledger: &mut Ledger) -> Result<(), Stop> {
    let meta = ItemMeta::default();
    let mut made = Batch::new();
    made.make_queue(QUEUE, "first", b"config");
    made.make_queue(SECOND, "second", b"");
    log.commit(&made);
    let mut dice = Dice(1);
    let mut moved = Vec::new();
    for item in 0..120 {
        let mut batch = batch(|batch| batch.append(QUEUE, item, &meta, &message(QUEUE, item)));
        let mut entry = (Ticket(0), vec![(QUEUE, item)], vec![]);
        if item >= 3 && (item - 3) % 10 != 0 {
            let taken = item - 3;
            batch.settle(QUEUE, &[taken]);
            batch.append(SECOND, taken, &meta, &message(SECOND, taken));
            entry.1.push((SECOND, taken));
            entry.2.push((QUEUE, taken));
            moved.push(taken);
        }
        entry.0 = log.commit(&batch);
        ledger.commits.push(entry);
        if moved.len() > 5 {
            let gone = moved.remove(0);
            let settled = super::batch(|batch| batch.settle(SECOND, &[gone]));
            let ticket = log.commit(&settled);
            ledger.commits.push((ticket, vec![], vec![(SECOND, gone)]));
        }
        if dice.roll(2) == 0 {
            let done = log.turn();
            ledger.synced = log.shared.synced();
            done?;
        }
    }
    let done = log.turn();
    ledger.synced = log.shared.synced();
    done
}

/// What was synced is there, what was settled and synced is not, and every commit is there as a whole or not at all.
fn verify(ledger: &Ledger, items: &Items, context: &str) {
    let mut settled: BTreeMap<Id, Ticket> = BTreeMap::new();
    let mut appended: BTreeMap<Id, Ticket> = BTreeMap::new();
    for (ticket, appends, settles) in &ledger.commits {
        appended.extend(appends.iter().map(|&item| (item, *ticket)));
        settled.extend(settles.iter().map(|&item| (item, *ticket)));
    }
    for (&(queue, item), (_, bytes)) in items {
        assert!(
            appended.contains_key(&(queue, item)),
            "{context}: {item} was not committed"
        );
        assert_eq!(*bytes, message(queue, item), "{context}");
    }
    for (id, ticket) in &appended {
        let there = items.contains_key(id);
        match settled.get(id) {
            Some(&settled) if settled <= ledger.synced => {
                assert!(!there, "{context}: {id:?} came back");
            }
            None if *ticket <= ledger.synced => assert!(there, "{context}: {id:?} is lost"),
            _ => {}
        }
    }
    // A commit that settles in one queue and appends to the other.
    for (_, appends, settles) in &ledger.commits {
        if let ([_, to], [from]) = (&appends[..], &settles[..])
            && !settled.contains_key(to)
            && appended[from] <= ledger.synced
        {
            assert_ne!(
                items.contains_key(from),
                items.contains_key(to),
                "{context}: {from:?} to {to:?} in part"
            );
        }
    }
}

/// Runs the history on an empty disk. Returns whether the fault came.
fn run(fake: &Fake, options: &Options, ledger: &mut Ledger) -> bool {
    match open(fake, options.clone()).and_then(Manual::start) {
        Ok(log) => history(log, ledger).is_err(),
        Err(_) => true,
    }
}

/// At every `step`th change.
fn every_fault(fault: Fault, crashes: bool, step: usize, options: &Options) {
    let whole = Fake::default();
    whole.fail_at(u64::MAX, Fault::Die);
    let mut ledger = Ledger::default();
    assert!(!run(&whole, options, &mut ledger));
    whole.restart();
    verify(
        &ledger,
        &items(&open(&whole, options.clone()).unwrap()),
        "without a fault",
    );
    let strict = Options {
        strict: true,
        ..options.clone()
    };
    // Beyond the number of changes, as what a fault leads to may add some.
    let whole = Fake::default();
    whole.fail_at(u64::MAX, Fault::Die);
    run(&whole, options, &mut Ledger::default());
    let changes = whole.changes();
    assert!(changes > 150, "{changes} changes");
    for nth in (1..=changes).step_by(step) {
        let fake = Fake::default();
        fake.fail_at(nth, fault);
        let mut ledger = Ledger::default();
        run(&fake, options, &mut ledger);
        let context = format!("{fault:?} at {nth}");
        if crashes {
            fake.crash(nth);
        } else {
            fake.restart();
        }
        // Another crash, while it recovers.
        if crashes {
            fake.fail_at(1 + nth % 9, Fault::Die);
            drop(
                open(&fake, strict.clone())
                    .map(|recovered| recovered.writer(Box::new(|| {})).err()),
            );
            fake.crash(nth + 1);
        }
        let recovered = open(&fake, strict.clone());
        let recovered = recovered.unwrap_or_else(|error| panic!("{context}: {error}"));
        let before = items(&recovered);
        verify(&ledger, &before, &context);
        if let Err(error) = recovered.writer(Box::new(|| {})) {
            panic!("{context}: {error}");
        }
        let again = open(&fake, strict.clone());
        let again = again.unwrap_or_else(|error| panic!("{context}, again: {error}"));
        assert_eq!(items(&again), before, "{context}");
        assert_eq!(again.report().torn, None, "{context}");
    }
}

#[test]
fn a_crash_at_any_change_loses_nothing_that_was_synced() {
    every_fault(Fault::Die, true, 1, &options());
}

#[test]
fn a_crash_of_an_encrypted_log_loses_nothing_either() {
    let key = Some(super::super::Key::new([1; 32]));
    let compress = Some(Options::COMPRESS_FROM);
    every_fault(
        Fault::Die,
        true,
        // Each takes long.
        5,
        &Options {
            key,
            compress,
            ..options()
        },
    );
}

#[test]
fn an_error_at_any_change_loses_nothing_that_was_synced() {
    every_fault(Fault::Error, false, 1, &options());
    every_fault(Fault::Error, true, 1, &options());
}

#[test]
fn a_short_write_at_any_change_loses_nothing_that_was_synced() {
    every_fault(Fault::Short, true, 1, &options());
}

#[test]
fn a_moment_without_space_at_any_change_loses_nothing_that_was_synced() {
    every_fault(Fault::Full, true, 1, &options());
}

#[test]
fn the_history_clears_and_reuses_segments() {
    let fake = Fake::default();
    let mut log = Manual::start(open(&fake, options()).unwrap()).unwrap();
    let meta = ItemMeta::default();
    for item in 0..400 {
        let batch = batch(|batch| {
            batch.append(QUEUE, item, &meta, &[1; 1000]);
            if item % 50 != 0 {
                batch.settle(QUEUE, &[item]);
            }
        });
        log.commit(&batch);
        log.turn().unwrap();
    }
    let counters = log.shared.status().counters;
    assert!(counters.moved_segments > 0, "{counters:?}");
    assert!(counters.segments <= 6, "{counters:?}");
    assert_eq!(counters.live_items, 8);
}

#[test]
fn after_a_failed_sync_nothing_more_is_accepted() {
    let fake = Fake::default();
    let log = start(&fake, options());
    let kept = commit(&log, |batch| batch.make_queue(1, "q", b""));
    fake.fail_at(2, Fault::Error);
    let lost = log.commit(&batch(|batch| batch.note(b"x"))).unwrap();
    assert!(matches!(log.wait(lost), Err(WalError::Stopped { reason }) if reason.contains("sync")));
    assert_eq!(log.synced(), kept);
    assert!(log.is_full());
    assert!(log.commit(&batch(|batch| batch.note(b"y"))).is_err());
}
