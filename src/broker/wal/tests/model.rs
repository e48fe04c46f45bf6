//! The log beside a map.

use proptest::prelude::*;

use super::super::Key;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u32, usize),
    /// The nth of the live items.
    Settle(usize),
    Change(usize, u32),
    /// Settles the nth and appends to another queue.
    Move(usize, u32),
    Remove(u32),
    Make(u32),
    Sync,
    Reopen(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u32, 0..3000_usize).prop_map(|(queue, length)| Step::Append(queue, length)),
        6 => any::<usize>().prop_map(Step::Settle),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(nth, attempts)| Step::Change(nth, attempts)),
        2 => (any::<usize>(), 0..3_u32).prop_map(|(nth, queue)| Step::Move(nth, queue)),
        1 => (0..3_u32).prop_map(Step::Remove),
        1 => (0..3_u32).prop_map(Step::Make),
        3 => Just(Step::Sync),
        1 => any::<bool>().prop_map(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..150)
}

#[derive(Default)]
struct Model {
    /// Queue numbers in use, by the steps' queues.
    queues: [Option<u32>; 3],
    next_queue: u32,
    next_item: u64,
    items: Items,
}

impl Model {
    fn make(&mut self, queue: u32, batch: &mut Batch) -> u32 {
        let next = &mut self.next_queue;
        *self.queues[queue as usize].get_or_insert_with(|| {
            *next += 1;
            batch.make_queue(*next, &format!("queue {queue}"), &[queue as u8]);
            *next
        })
    }

    fn append(&mut self, queue: u32, length: usize, batch: &mut Batch) {
        let queue = self.make(queue, batch);
        let item = self.next_item;
        self.next_item += 1;
        let meta = ItemMeta {
            accepted_at: item * 3,
            priority: (item % 10) as u8,
            ..ItemMeta::default()
        };
        let message = vec![item as u8; length];
        batch.append(queue, item, &meta, &message);
        self.items.insert((queue, item), (meta, message));
    }

    fn nth(&self, nth: usize) -> Option<(u32, u64)> {
        let count = self.items.len().max(1);
        self.items.keys().nth(nth % count).copied()
    }

    fn step(&mut self, step: &Step, batch: &mut Batch) {
        match *step {
            Step::Append(queue, length) => self.append(queue, length, batch),
            Step::Settle(nth) => {
                if let Some((queue, item)) = self.nth(nth) {
                    batch.settle(queue, &[item]);
                    self.items.remove(&(queue, item));
                }
            }
            Step::Change(nth, attempts) => {
                if let Some((queue, item)) = self.nth(nth) {
                    batch.change(queue, item, attempts, 77);
                    let meta = &mut self.items.get_mut(&(queue, item)).unwrap().0;
                    meta.attempts = attempts;
                    meta.not_before = 77;
                }
            }
            Step::Move(nth, to) => {
                if let Some((queue, item)) = self.nth(nth) {
                    batch.settle(queue, &[item]);
                    self.items.remove(&(queue, item));
                    self.append(to, 50, batch);
                }
            }
            Step::Remove(queue) => {
                if let Some(queue) = self.queues[queue as usize].take() {
                    batch.remove_queue(queue);
                    self.items.retain(|&(owner, _), _| owner != queue);
                }
            }
            Step::Make(queue) => drop(self.make(queue, batch)),
            Step::Sync | Step::Reopen(_) => {}
        }
    }

    fn check(&self, recovered: &Recovered) {
        assert!(recovered.report().is_sound());
        assert_eq!(items(recovered), self.items);
        let queues: Vec<_> = recovered.queues().map(|queue| queue.number).collect();
        let mut expected: Vec<_> = self.queues.iter().flatten().copied().collect();
        expected.sort_unstable();
        assert_eq!(queues, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_log_holds_what_a_map_would(steps in steps(), compress: bool, encrypt: bool) {
        let fake = Fake::default();
        let options = Options {
            compress: compress.then_some(200),
            key: encrypt.then(|| Key::new([7; 32])),
            ..options()
        };
        let mut model = Model::default();
        let mut log = Manual::start(open(&fake, options.clone()).unwrap()).unwrap();
        let mut pending = false;
        for step in &steps {
            let mut batch = Batch::new();
            model.step(step, &mut batch);
            if !batch.is_empty() {
                log.commit(&batch);
                pending = true;
            }
            if matches!(step, Step::Sync | Step::Reopen(_)) && std::mem::take(&mut pending) {
                log.turn().unwrap();
            }
            if let Step::Reopen(compact) = *step {
                drop(log);
                fake.crash(model.next_item);
                let recovered = open(&fake, Options { compact, ..options.clone() }).unwrap();
                model.check(&recovered);
                log = Manual::start(recovered).unwrap();
            }
        }
        if pending {
            log.turn().unwrap();
        }
        drop(log);
        fake.crash(1);
        model.check(&open(&fake, options).unwrap());
    }
}
