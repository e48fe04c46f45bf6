//! Several items at once.

use super::*;

fn offer_all(bench: &mut Bench, items: &[Letter], waiter: Option<Waiter>) -> Offered<Vec<Letter>> {
    let (queue, effects) = (&mut bench.queue, &mut bench.effects);
    queue.offer_all(items.to_vec(), waiter, bench.now, effects)
}

#[test]
fn items_are_accepted_together_or_not_at_all() {
    let mut bench = Bench::holding(Config::bounded(3), [1]);
    let three = [letter(2), letter(3), letter(4)];
    assert_eq!(
        offer_all(&mut bench, &three, TRY),
        Offered::Full(three.to_vec())
    );
    assert_eq!(bench.stats().rejected, 3);
    assert_eq!(offer_all(&mut bench, &three[..2], TRY), Offered::Done);
    assert_eq!(bench.drain(), [1, 2, 3]);
}

#[test]
fn items_that_wait_come_in_when_there_is_room_for_all_and_nobody_overtakes_them() {
    let mut bench = Bench::holding(Config::bounded(3), [1, 2]);
    let two = [letter(3), letter(4)];
    assert_eq!(offer_all(&mut bench, &two, waiter(7, 1)), Offered::Waiting);
    assert_eq!(bench.offer(letter(5), waiter(8, 1)), Offered::Waiting);
    assert_eq!(bench.stats().size, 2);
    let first = bench.take();
    bench.queue.acknowledge(first);
    assert_eq!(bench.woken(), [(7, Outcome::Accepted)]);
    assert_eq!(bench.drain(), [2, 3, 4, 5]);
}

#[test]
fn items_that_are_too_much_for_the_empty_queue_are_refused_by_every_kind() {
    for config in [Config::bounded(2), Config::circular(2)] {
        let mut bench = Bench::new(config);
        let three = vec![letter(1), letter(2), letter(3)];
        let refused = offer_all(&mut bench, &three, waiter(1, 1));
        assert_eq!(refused, Offered::TooLarge(three));
    }
}

#[test]
fn who_waits_gets_one_of_the_best_of_what_comes_together() {
    let mut bench = Bench::new(Config::bounded(9));
    assert_eq!(bench.poll(waiter(1, 1)), Polled::Waiting);
    let urgent = Letter {
        priority: 9,
        ..letter(2)
    };
    assert_eq!(
        offer_all(&mut bench, &[letter(1), urgent], TRY),
        Offered::Done
    );
    assert_eq!(bench.got(), [(1, 2)]);
}

#[test]
fn what_comes_back_together_goes_to_who_waits_by_its_places() {
    let mut bench = Bench::holding(Config::bounded(3), [1, 2, 3]);
    let all = [bench.take(), bench.take(), bench.take()];
    for id in [7, 8] {
        assert_eq!(bench.poll(waiter(id, 2)), Polled::Waiting);
    }
    let (queue, effects) = (&mut bench.queue, &mut bench.effects);
    queue.put_all_back(all.into_iter().rev(), bench.now, effects);
    assert_eq!(bench.got(), [(7, 1), (8, 2)]);
    assert_eq!(bench.drain(), [3]);
}

#[test]
fn an_item_that_is_too_long_is_left_and_keeps_its_turn() {
    let mut bench = Bench::new(Config::bounded(9));
    assert_eq!(bench.offer(heavy(1, 8), TRY), Offered::Done);
    let (queue, effects) = (&mut bench.queue, &mut bench.effects);
    assert!(queue.poll_within(7, 0, effects).is_none());
    assert_eq!(queue.stats(0).polled, 0);
    let taken = queue.poll_within(8, 0, effects).expect("it fits");
    assert_eq!(taken.attempts(), 1);
}
