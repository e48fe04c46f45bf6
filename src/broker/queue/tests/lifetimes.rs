//! What becomes of an item after it was accepted.

use super::*;

// ---- put back ----

#[test]
fn what_is_put_back_takes_its_old_place_in_whatever_order_it_comes() {
    let mut bench = Bench::holding(Config::bounded(5), 1..=5);
    let (one, two, three) = (bench.take(), bench.take(), bench.take());
    for delivery in [two, three, one] {
        bench.put_back(delivery);
    }
    assert_eq!(bench.drain(), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_put_back_goes_to_a_poll_that_waits_and_has_not_been_tried() {
    let mut bench = Bench::holding(Config::bounded(1), [1]);
    let first = bench.take();
    assert_eq!(first.attempts(), 1);
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    bench.put_back(first);
    let woken = bench.woken();
    assert!(matches!(&woken[..], [(1, Outcome::Got(again))] if again.attempts() == 1));
}

#[test]
fn what_is_put_back_into_a_full_queue_is_kept_and_no_offer_comes_in_until_it_is_gone() {
    let mut bench = Bench::holding(Config::bounded(1), [1]);
    let one = bench.take();
    assert_eq!(bench.offer(letter(2), TRY), Offered::Done);
    bench.put_back(one);
    assert_eq!(bench.stats().size, 2);
    assert_eq!(bench.take().item().name, 1);
    assert_eq!(bench.offer(letter(3), TRY), Offered::Full(letter(3)));
    assert_eq!(bench.drain(), [2]);
}

#[test]
fn what_is_put_back_into_a_full_circular_queue_is_its_oldest() {
    let mut bench = Bench::holding(Config::circular(1), [1]);
    let one = bench.take();
    assert_eq!(bench.offer(letter(2), TRY), Offered::Done);
    bench.put_back(one);
    assert_eq!(bench.dead(), [(Cause::Evicted, 1)]);
    assert_eq!(bench.drain(), [2]);
}

// ---- expiry ----

#[test]
fn what_has_expired_is_skipped_counted_and_returned() {
    let mut bench = Bench::holding(Config::bounded(9), [1]);
    assert_eq!(bench.offer(expiring(2, 50), TRY), Offered::Done);
    assert_eq!(bench.offer(expiring(3, 51), TRY), Offered::Done);
    bench.now = 50;
    assert_eq!(bench.drain(), [1, 3]);
    assert_eq!(bench.dead(), [(Cause::Expired, 2)]);
    assert_eq!(bench.stats().expired, 1);
}

#[test]
fn what_has_expired_makes_room_for_offers() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.offer(expiring(1, 50), TRY), Offered::Done);
    assert_eq!(bench.offer(letter(2), waiter(2, 1)), Offered::Waiting);
    assert_eq!(bench.queue.next_event(), Some(50));
    bench.queue.advance(49, &mut bench.effects);
    assert_eq!(bench.woken(), []);
    bench.queue.advance(50, &mut bench.effects);
    assert_eq!(bench.woken(), [(2, Outcome::Accepted)]);
    assert_eq!(bench.queue.next_event(), None);
}

#[test]
fn what_is_expired_when_it_comes_reaches_no_poll() {
    let mut bench = Bench::new(Config::bounded(1));
    bench.now = 50;
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    assert_eq!(bench.offer(expiring(1, 50), TRY), Offered::Done);
    assert_eq!(bench.woken(), []);
    assert_eq!(bench.dead(), [(Cause::Expired, 1)]);
}

#[test]
fn what_expires_in_flight_does_not_come_back() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.offer(expiring(1, 50), TRY), Offered::Done);
    let delivery = bench.take();
    bench.now = 50;
    bench.put_back(delivery);
    assert_eq!(bench.poll(TRY), Polled::Empty);
    assert_eq!(bench.dead(), [(Cause::Expired, 1)]);
}

#[test]
fn what_is_handed_out_expires_no_more() {
    let mut bench = Bench::new(Config::bounded(1));
    assert_eq!(bench.offer(expiring(1, 50), TRY), Offered::Done);
    let _delivery = bench.take();
    assert_eq!(bench.queue.next_event(), None);
}

// ---- durable items ----

#[test]
fn only_durable_items_come_back_after_a_restart_and_none_that_was_polled() {
    let log = Log::default();
    let mut bench = Bench::durable(&log);
    for item in [durable(1), durable(2), letter(3), durable(4)] {
        assert_eq!(bench.offer(item, TRY), Offered::Done);
    }
    let first = bench.take();
    assert_eq!(bench.queue.acknowledge(first), durable(1));

    let mut restarted = Bench::durable(&log);
    for (seq, item) in log.kept() {
        assert!(restarted.queue.restore(seq, item, Meta::default()));
    }
    assert_eq!(restarted.drain(), [2, 4]);
    assert_eq!(log.kept(), []);
}

#[test]
fn a_durable_item_in_flight_comes_back_after_a_restart() {
    let log = Log::default();
    let mut bench = Bench::durable(&log);
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    assert_eq!(bench.offer(durable(1), TRY), Offered::Done);
    assert_eq!(log.kept(), [(0, durable(1))]);
}

#[test]
fn what_has_expired_or_was_purged_does_not_come_back_after_a_restart() {
    let log = Log::default();
    let mut bench = Bench::durable(&log);
    let short = Letter {
        expires_at: Some(5),
        ..durable(1)
    };
    for item in [short, durable(2)] {
        assert_eq!(bench.offer(item, TRY), Offered::Done);
    }
    bench.queue.advance(5, &mut bench.effects);
    assert_eq!(log.kept(), [(1, durable(2))]);
    assert_eq!(bench.queue.purge(5, &mut bench.effects), 1);
    assert_eq!(log.kept(), []);
}

#[test]
fn an_offer_that_waits_is_written_down_when_it_is_accepted() {
    let log = Log::default();
    let store: Box<dyn Store<Letter> + Send> = Box::new(log.clone());
    let mut bench = Bench::new(Config::bounded(1));
    bench.queue = Queue::new(Config::durable(1), Some(store)).unwrap();
    assert_eq!(bench.offer(letter(1), TRY), Offered::Done);
    assert_eq!(bench.offer(durable(2), waiter(2, 1)), Offered::Waiting);
    assert_eq!(log.kept(), []);
    assert_eq!(bench.take().item().name, 1);
    assert_eq!(log.kept(), [(1, durable(2))]);
}

#[test]
fn a_queue_that_is_not_durable_writes_nothing_down() {
    let log = Log::default();
    let mut bench = Bench::new(Config::bounded(1));
    bench.queue = Queue::new(Config::bounded(1), Some(Box::new(log.clone()))).unwrap();
    assert_eq!(bench.offer(durable(1), TRY), Offered::Done);
    assert_eq!(log.kept(), []);
    assert_eq!(bench.drain(), [1]);
}

#[test]
fn restored_items_are_all_kept_and_new_ones_get_higher_numbers() {
    let mut bench = Bench::new(Config::bounded(1));
    for seq in [7, 5] {
        assert!(
            bench
                .queue
                .restore(seq, letter(seq as u32), Meta::default())
        );
    }
    assert!(!bench.queue.restore(5, letter(50), Meta::default()));
    assert_eq!(bench.offer(letter(8), TRY), Offered::Full(letter(8)));
    assert_eq!(bench.drain(), [5, 7]);
    assert_eq!(bench.offer(letter(8), TRY), Offered::Done);
    assert_eq!(bench.take().seq(), 8);
}
