//! Priorities and delays.

use super::*;

fn urgent(name: u32, priority: u8) -> Letter {
    Letter {
        priority,
        ..letter(name)
    }
}

fn later(name: u32, delay: i64) -> Letter {
    Letter {
        delay,
        ..letter(name)
    }
}

fn offer_all(bench: &mut Bench, items: impl IntoIterator<Item = Letter>) {
    for item in items {
        assert_eq!(bench.offer(item, TRY), Offered::Done);
    }
}

// ---- priorities ----

#[test]
fn higher_priorities_are_served_first_and_equals_in_their_order() {
    let mut bench = Bench::new(Config::bounded(9));
    let items = [(1, 0), (2, 4), (3, 9), (4, 4), (5, 9), (6, 0)];
    offer_all(&mut bench, items.map(|(name, at)| urgent(name, at)));
    assert_eq!(bench.drain(), [3, 5, 2, 4, 1, 6]);
}

#[test]
fn a_priority_above_the_highest_is_the_highest() {
    let mut bench = Bench::new(Config::bounded(9));
    offer_all(&mut bench, [urgent(1, 9), urgent(2, 255)]);
    assert_eq!(bench.drain(), [1, 2]);
}

#[test]
fn a_low_priority_gets_its_turn_however_much_of_a_higher_one_comes() {
    let mut bench = Bench::new(Config::bounded(100));
    offer_all(&mut bench, [urgent(1, 0), urgent(2, 0)]);
    let mut names = Vec::new();
    for name in 10..26 {
        offer_all(&mut bench, [urgent(name, 9)]);
        names.push(bench.take().item().name);
    }
    assert_eq!(names[7], 1);
    assert_eq!(names[15], 2);
    assert!(names.iter().filter(|&&name| name >= 10).count() == 14);
}

#[test]
fn a_circular_queue_lets_the_oldest_of_its_lowest_priority_go() {
    let mut bench = Bench::new(Config::circular(3));
    let items = [(1, 5), (2, 3), (3, 3), (4, 5)];
    offer_all(&mut bench, items.map(|(name, at)| urgent(name, at)));
    assert_eq!(bench.dead(), [(Cause::Evicted, 2)]);
    offer_all(&mut bench, [urgent(5, 0)]);
    assert_eq!(bench.dead(), [(Cause::Evicted, 5)]);
    assert_eq!(bench.drain(), [1, 4, 3]);
}

// ---- delays ----

#[test]
fn what_is_delayed_is_handed_out_in_its_place_when_it_is_time() {
    let mut bench = Bench::new(Config::bounded(9));
    offer_all(&mut bench, [later(1, 50), letter(2), letter(3)]);
    assert_eq!(bench.take().item().name, 2);
    assert_eq!(bench.queue.next_event(), Some(50));
    bench.now = 50;
    assert_eq!(bench.drain(), [1, 3]);
}

#[test]
fn a_poll_that_waits_gets_what_was_delayed_as_soon_as_it_may() {
    let mut bench = Bench::new(Config::bounded(9));
    offer_all(&mut bench, [later(1, 50), later(2, 40)]);
    assert_eq!(bench.poll(TRY), Polled::Empty);
    assert_eq!(bench.poll(waiter(7, 1)), Polled::Waiting);
    bench.queue.advance(39, &mut bench.effects);
    assert_eq!(bench.got(), []);
    bench.queue.advance(40, &mut bench.effects);
    assert_eq!(bench.got(), [(7, 2)]);
}

#[test]
fn what_is_delayed_takes_room() {
    let mut bench = Bench::new(Config::bounded(1));
    offer_all(&mut bench, [later(1, 50)]);
    assert_eq!(bench.offer(letter(2), TRY), Offered::Full(letter(2)));
    assert_eq!((bench.stats().size, bench.stats().delayed), (1, 1));
}

#[test]
fn what_expires_before_its_delay_is_over_is_never_handed_out() {
    let mut bench = Bench::new(Config::bounded(9));
    let short = Letter {
        expires_at: Some(30),
        ..later(1, 50)
    };
    offer_all(&mut bench, [short]);
    assert_eq!(bench.queue.next_event(), Some(30));
    bench.queue.advance(30, &mut bench.effects);
    assert_eq!(bench.dead(), [(Cause::Expired, 1)]);
    assert_eq!(bench.queue.next_event(), None);
}

#[test]
fn a_circular_queue_lets_the_oldest_go_delayed_or_not() {
    let mut bench = Bench::new(Config::circular(2));
    offer_all(&mut bench, [later(1, 50), letter(2), letter(3)]);
    assert_eq!(bench.dead(), [(Cause::Evicted, 1)]);
    assert_eq!(bench.queue.next_event(), None);
    assert_eq!(bench.drain(), [2, 3]);
}

#[test]
fn purging_discards_what_is_delayed_too() {
    let mut bench = Bench::new(Config::bounded(9));
    offer_all(&mut bench, [later(1, 50), letter(2)]);
    assert_eq!(bench.queue.purge(0, &mut bench.effects), 2);
    assert_eq!(bench.queue.next_event(), None);
    assert_eq!(bench.stats().size, 0);
}

// ---- the queue's own expiry ----

#[test]
fn an_item_that_says_nothing_of_its_expiry_has_that_of_the_queue() {
    let config = Config {
        expiry: Some(100),
        ..Config::bounded(9)
    };
    let mut bench = Bench::new(config);
    bench.now = 10;
    offer_all(&mut bench, [letter(1), expiring(2, 500), expiring(3, 20)]);
    bench.now = 109;
    assert_eq!(bench.queue.next_event(), Some(20));
    bench.queue.advance(109, &mut bench.effects);
    assert_eq!(bench.dead(), [(Cause::Expired, 3)]);
    assert_eq!(bench.queue.next_event(), Some(110));
    bench.queue.advance(110, &mut bench.effects);
    assert_eq!(bench.dead(), [(Cause::Expired, 1)]);
    bench.now = 110;
    assert_eq!(bench.drain(), [2]);
}
