//! Which items are live, and in which segment each of them is.
//!
//! Kept in bits: an entry for each 64 consecutive items of a queue that are in one segment, about 50 bytes. Only an item
//! that was handed out or postponed has an entry of its own as well.
//!
//! Applying is total and forgives what damage leads to: what is settled or changed need not be known, and an item that
//! is appended again has moved.

use std::collections::{BTreeMap, HashMap};

use super::operation::{ItemMeta, Operation};

#[derive(Debug, Default)]
pub(super) struct Live {
    queues: BTreeMap<u32, Queue>,
    tallies: BTreeMap<u64, Tally>,
    changed: HashMap<(u32, u64), Change>,
    /// Records that are known to be missing.
    gaps: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// `None` while only its items are known.
    pub(super) name: Option<Box<str>>,
    pub(super) config: Box<[u8]>,
    /// By 64th part of the item's number, and segment: which of the 64 items.
    items: BTreeMap<(u64, u64), u64>,
}

/// What there is in a segment.
#[derive(Debug, Default)]
struct Tally {
    /// Items that were written to it, and their bytes.
    items: u64,
    bytes: u64,
    live: u64,
    dedupe_bytes: u64,
    newest_dedupe: u64,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    attempts: u32,
    not_before: u64,
}

impl Live {
    pub(super) fn apply(&mut self, operation: &Operation<'_>, segment: u64) {
        match *operation {
            Operation::QueueMade {
                queue,
                name,
                config,
            } => {
                let queue = self.queues.entry(queue).or_default();
                if queue.name.as_deref() != Some(name) {
                    queue.name = Some(name.into());
                }
                if *queue.config != *config {
                    queue.config = config.into();
                }
            }
            Operation::QueueRemoved { queue } => self.remove(queue),
            Operation::ItemAppended {
                queue,
                item,
                message,
                ..
            } => self.append(queue, item, message.len(), segment),
            Operation::ItemsSettled { queue, items } => {
                for item in items {
                    self.take(queue, item);
                    self.changed.remove(&(queue, item));
                }
            }
            Operation::ItemChanged {
                queue,
                item,
                attempts,
                not_before,
            } => {
                if self.segment_of(queue, item).is_some() {
                    let change = Change {
                        attempts,
                        not_before,
                    };
                    self.changed.insert((queue, item), change);
                }
            }
            Operation::Dedupe { at, key, .. } => {
                let tally = self.tallies.entry(segment).or_default();
                tally.dedupe_bytes += key.len() as u64 + 16;
                tally.newest_dedupe = tally.newest_dedupe.max(at);
            }
            Operation::Gap { first, last } => {
                if !self.gaps.contains(&(first, last)) {
                    self.gaps.push((first, last));
                }
            }
            Operation::Note(_) => {}
        }
    }

    fn append(&mut self, queue: u32, item: u64, bytes: usize, segment: u64) {
        self.take(queue, item);
        // A moved item has its latest state with it.
        self.changed.remove(&(queue, item));
        let entries = &mut self.queues.entry(queue).or_default().items;
        *entries.entry((item / 64, segment)).or_default() |= 1 << (item % 64);
        let tally = self.tallies.entry(segment).or_default();
        tally.items += 1;
        tally.live += 1;
        tally.bytes += bytes as u64 + 40;
    }

    fn remove(&mut self, queue: u32) {
        let Some(removed) = self.queues.remove(&queue) else {
            return;
        };
        for ((_, segment), bits) in removed.items {
            if let Some(tally) = self.tallies.get_mut(&segment) {
                tally.live = tally.live.saturating_sub(bits.count_ones().into());
            }
        }
        self.changed.retain(|&(owner, _), _| owner != queue);
    }

    /// Forgets where an item is. Returns whether it was live.
    fn take(&mut self, queue: u32, item: u64) -> bool {
        let Some(segment) = self.segment_of(queue, item) else {
            return false;
        };
        if let Some(queue) = self.queues.get_mut(&queue)
            && let Some(bits) = queue.items.get_mut(&(item / 64, segment))
        {
            *bits &= !(1 << (item % 64));
            if *bits == 0 {
                queue.items.remove(&(item / 64, segment));
            }
        }
        if let Some(tally) = self.tallies.get_mut(&segment) {
            tally.live = tally.live.saturating_sub(1);
        }
        true
    }

    /// Where an item is, if it is live.
    pub(super) fn segment_of(&self, queue: u32, item: u64) -> Option<u64> {
        let (part, bit) = (item / 64, 1 << (item % 64));
        let items = &self.queues.get(&queue)?.items;
        let mut entries = items.range((part, 0)..=(part, u64::MAX));
        let found = entries.find(|(_, bits)| *bits & bit != 0);
        found.map(|(&(_, segment), _)| segment)
    }

    /// What an item was changed to since it was appended.
    pub(super) fn current(&self, queue: u32, item: u64, mut meta: ItemMeta) -> ItemMeta {
        if let Some(change) = self.changed.get(&(queue, item)) {
            meta.attempts = change.attempts;
            meta.not_before = change.not_before;
        }
        meta
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (u32, &Queue)> {
        self.queues.iter().map(|(&number, queue)| (number, queue))
    }

    pub(super) fn has_queue(&self, queue: u32) -> bool {
        self.queues.contains_key(&queue)
    }

    /// Gives names to queues whose own are lost, and returns their numbers.
    pub(super) fn name_the_nameless(&mut self) -> Vec<u32> {
        let mut nameless = Vec::new();
        for (&number, queue) in &mut self.queues {
            if queue.name.is_none() {
                queue.name = Some(format!("recovered/{number}").into());
                nameless.push(number);
            }
        }
        nameless
    }

    pub(super) fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// Whether the records from `first` to `last` are known to be missing.
    pub(super) fn knows_gap(&self, first: u64, last: u64) -> bool {
        let covers = |gap: &&(u64, u64)| gap.0 <= first && last <= gap.1;
        self.gaps.iter().any(|gap| covers(&gap))
    }

    /// Forgets the gaps before a record that is the oldest now.
    pub(super) fn forget_gaps(&mut self, before: u64) {
        self.gaps.retain(|&(_, last)| last >= before);
    }

    // ---- what a segment still holds ----

    pub(super) fn items(&self) -> u64 {
        self.tallies.values().map(|tally| tally.live).sum()
    }

    /// Items that would be lost with the segment.
    pub(super) fn items_in(&self, segment: u64) -> u64 {
        self.tallies.get(&segment).map_or(0, |tally| tally.live)
    }

    /// Whether anything in the segment has not been settled, or may be a key that counts.
    pub(super) fn wants(&self, segment: u64) -> bool {
        let tally = self.tallies.get(&segment);
        tally.is_some_and(|tally| tally.live > 0 || tally.dedupe_bytes > 0)
    }

    /// Bytes that would be lost with the segment. Of keys, those from before `oldest` do not count.
    pub(super) fn bytes_in(&self, segment: u64, oldest: u64) -> u64 {
        self.tallies
            .get(&segment)
            .map_or(0, |tally| tally.live_bytes(oldest))
    }

    pub(super) fn bytes(&self, oldest: u64) -> u64 {
        self.tallies
            .values()
            .map(|tally| tally.live_bytes(oldest))
            .sum()
    }

    pub(super) fn forget_segment(&mut self, segment: u64) {
        self.tallies.remove(&segment);
    }
}

impl Tally {
    /// Items count with the average of all that were written.
    fn live_bytes(&self, oldest: u64) -> u64 {
        let average = self.bytes.checked_div(self.items).unwrap_or(0);
        let keys = if self.dedupe_bytes > 0 && self.newest_dedupe >= oldest {
            self.dedupe_bytes
        } else {
            0
        };
        average * self.live + keys
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::{Batch, Operations};
    use super::*;

    fn apply(live: &mut Live, segment: u64, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        fill(&mut batch);
        for operation in Operations::new(batch.as_bytes()) {
            live.apply(&operation.unwrap(), segment);
        }
    }

    #[test]
    fn an_item_is_where_it_was_last_appended_until_it_is_settled() {
        let mut live = Live::default();
        let meta = ItemMeta::default();
        apply(&mut live, 1, |batch| {
            batch.make_queue(1, "a", b"");
            (0..200).for_each(|item| batch.append(1, item, &meta, &[0; 60]));
        });
        apply(&mut live, 2, |batch| {
            batch.settle(1, &(1..200).collect::<Vec<_>>());
            batch.settle(1, &[5, 1000]);
            batch.settle(9, &[0]);
        });
        assert_eq!((live.items(), live.segment_of(1, 0)), (1, Some(1)));
        assert_eq!((live.bytes_in(1, 0), live.bytes(0)), (100, 100));
        apply(&mut live, 3, |batch| batch.append(1, 0, &meta, b""));
        assert_eq!(live.segment_of(1, 0), Some(3));
        assert_eq!((live.items_in(1), live.items_in(3)), (0, 1));
        apply(&mut live, 3, |batch| batch.remove_queue(1));
        assert_eq!((live.items(), live.segment_of(1, 0)), (0, None));
    }

    #[test]
    fn a_change_stays_with_a_live_item_only() {
        let mut live = Live::default();
        let meta = ItemMeta::default();
        apply(&mut live, 1, |batch| {
            batch.append(1, 7, &meta, b"");
            batch.change(1, 7, 3, 99);
            batch.change(1, 8, 3, 99);
        });
        assert_eq!(live.current(1, 7, meta).attempts, 3);
        assert_eq!(live.current(1, 8, meta), meta);
        apply(&mut live, 1, |batch| batch.settle(1, &[7]));
        assert_eq!(live.changed.len(), 0);
    }

    #[test]
    fn memory_for_items_in_order_is_far_below_a_byte_each() {
        let mut live = Live::default();
        for item in 0..64_000 {
            live.append(1, item, 10, item / 10_000);
        }
        let entries = live.queues.values().map(|queue| queue.items.len());
        assert!(entries.sum::<usize>() <= 1000 + 7);
    }

    #[test]
    fn keys_count_until_their_window_is_over() {
        let mut live = Live::default();
        apply(&mut live, 4, |batch| batch.dedupe(1, 500, b"key"));
        assert!(live.bytes_in(4, 500) > 0);
        assert_eq!(live.bytes_in(4, 501), 0);
    }
}
