//! A clock that is set by days, while the queue is used and between two runs.

use super::*;

const DAY: i64 = 24 * 3600 * 1000;
const HOUR: i64 = DAY / 24;
/// The twentieth century is over.
const NOW: i64 = 12_000 * DAY;

/// A plain item, one that is delayed by an hour, one that expires in an hour, and one that is leased for an hour.
fn bench() -> (Bench, Token) {
    let mut bench = Bench::new(Config::bounded(10));
    bench.now = NOW;
    assert_eq!(bench.offer(letter(1), TRY), Offered::Done);
    let leased = bench.take();
    let token = leased.token();
    bench.queue.lease(leased, Term::Until(NOW + HOUR));
    let delayed = Letter {
        delay: HOUR,
        ..letter(3)
    };
    for item in [letter(2), delayed, expiring(4, NOW + HOUR)] {
        assert_eq!(bench.offer(item, TRY), Offered::Done);
    }
    (bench, token)
}

#[test]
fn a_clock_set_forward_ends_leases_delays_and_lives_at_once_and_loses_nothing() {
    let (mut bench, token) = bench();
    bench.now = NOW + 3 * DAY;
    let stale = bench.queue.finish(token, bench.now, &mut bench.effects);
    assert_eq!(stale, Err(Stale));
    assert_eq!(bench.drain(), [1, 2, 3]);
    assert_eq!(bench.dead(), [(Cause::Expired, 4)]);
    assert_eq!(bench.queue.next_event(), None);
    // Back again, it goes on as before.
    bench.now = NOW;
    assert_eq!(bench.offer(letter(5), TRY), Offered::Done);
    assert_eq!(bench.drain(), [5]);
}

#[test]
fn a_clock_set_back_keeps_nobody_from_the_rest_and_leases_end_when_they_are_said_to() {
    let (mut bench, token) = bench();
    bench.now = NOW - 3 * DAY;
    assert_eq!(bench.stats().oldest_age, Some(0));
    assert_eq!(bench.offer(letter(5), TRY), Offered::Done);
    assert_eq!(bench.drain(), [2, 4, 5]);
    // Whoever has the lease can still end it, and what was delayed waits for its time.
    let done = bench.queue.finish(token, bench.now, &mut bench.effects);
    assert_eq!(done, Ok(letter(1)));
    assert_eq!(bench.queue.next_event(), Some(NOW + HOUR));
    bench.now = NOW + HOUR;
    assert_eq!(bench.drain(), [3]);
    assert_eq!(bench.stats().size, 0);
}

#[test]
fn items_of_a_run_whose_clock_was_elsewhere_are_all_there() {
    let by_rule = Config {
        expiry: Some(HOUR),
        ..Config::bounded(10)
    };
    for (clock, left, dead) in [
        (NOW + 3 * DAY, vec![2], vec![(Cause::Expired, 1)]),
        (NOW - 3 * DAY, vec![1], vec![]),
    ] {
        let mut bench = Bench::new(by_rule.clone());
        bench.now = clock;
        let meta = Meta {
            offered_at: NOW,
            attempts: 0,
            not_before: 0,
        };
        let delayed = Meta {
            not_before: NOW + HOUR,
            ..meta
        };
        assert!(bench.queue.restore(1, letter(1), meta));
        assert!(bench.queue.restore(2, expiring(2, NOW + 9 * DAY), delayed));
        assert_eq!(bench.drain(), left, "{clock}");
        assert_eq!(bench.dead(), dead, "{clock}");
        bench.now = NOW + 3 * DAY;
        let rest: &[u32] = if clock > NOW { &[] } else { &[2] };
        assert_eq!(bench.drain(), rest, "{clock}");
    }
}
