//! What a record consists of: operations, each a tag, the length of its body, and the body.
//!
//! Numbers are varints of seven bits to a byte, the lowest first. Reading is total.

use super::format::LAST_NUMBER;

/// One thing that happened to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// There is a queue with this number. Numbers are not used again.
    QueueMade {
        /// The queue's number.
        queue: u32,
        /// Its name.
        name: &'a str,
        /// What it was made with; the log does not look inside.
        config: &'a [u8],
    },
    /// A queue is gone, with all its items.
    QueueRemoved {
        /// The queue's number.
        queue: u32,
    },
    /// There is an item, now in this place of the log.
    ItemAppended {
        /// The queue's number.
        queue: u32,
        /// The item's number in its queue.
        item: u64,
        /// What the queue knows of it.
        meta: ItemMeta,
        /// The message in the binary encoding; the log does not look inside.
        message: &'a [u8],
    },
    /// Items will not be handed out again.
    ItemsSettled {
        /// The queue's number.
        queue: u32,
        /// Their numbers.
        items: Items<'a>,
    },
    /// An item was handed out, or is to wait.
    ItemChanged {
        /// The queue's number.
        queue: u32,
        /// The item's number.
        item: u64,
        /// How often it was handed out.
        attempts: u32,
        /// When it may be handed out, in milliseconds since 1970.
        not_before: u64,
    },
    /// A key by which the queue knows an offer that is repeated.
    Dedupe {
        /// The queue's number.
        queue: u32,
        /// When it was used, in milliseconds since 1970.
        at: u64,
        /// The key.
        key: &'a [u8],
    },
    /// Something that only whoever reads the log by eye wants to know. It goes with its segment.
    Note(&'a [u8]),
    /// Records that are known to be missing, from the first to the last.
    Gap {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
    },
}

/// What a queue knows of an item beside its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemMeta {
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_at: u64,
    /// How often it was handed out.
    pub attempts: u32,
    /// When it may be handed out, in milliseconds since 1970; 0 is at once.
    pub not_before: u64,
    /// Its priority.
    pub priority: u8,
}

/// The numbers of items, in the log's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a>(&'a [u8]);

impl Iterator for Items<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        varint(&mut self.0)
    }
}

const QUEUE_MADE: u8 = 1;
const QUEUE_REMOVED: u8 = 2;
const ITEM_APPENDED: u8 = 3;
const ITEMS_SETTLED: u8 = 4;
const ITEM_CHANGED: u8 = 5;
const DEDUPE: u8 = 6;
const NOTE: u8 = 7;
const GAP: u8 = 8;

/// Operations that are to be committed together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Bytes that its record has, about.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Empties it, and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn make_queue(&mut self, queue: u32, name: &str, config: &[u8]) {
        let numbers = [queue.into(), name.len() as u64];
        let body = lengths(&numbers) + name.len() + config.len();
        self.begin(QUEUE_MADE, body, &numbers);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(config);
    }

    /// The queue's items need not be settled one by one.
    pub(crate) fn remove_queue(&mut self, queue: u32) {
        self.numbers(QUEUE_REMOVED, &[queue.into()]);
    }

    pub(crate) fn append(&mut self, queue: u32, item: u64, meta: &ItemMeta, message: &[u8]) {
        let numbers = [
            queue.into(),
            item,
            meta.accepted_at,
            meta.attempts.into(),
            meta.not_before,
            meta.priority.into(),
        ];
        self.begin(ITEM_APPENDED, lengths(&numbers) + message.len(), &numbers);
        self.bytes.extend_from_slice(message);
    }

    pub(crate) fn settle(&mut self, queue: u32, items: &[u64]) {
        let body = lengths(&[queue.into()]) + lengths(items);
        self.begin(ITEMS_SETTLED, body, &[queue.into()]);
        for &item in items {
            put_varint(&mut self.bytes, item);
        }
    }

    pub(crate) fn change(&mut self, queue: u32, item: u64, attempts: u32, not_before: u64) {
        self.numbers(
            ITEM_CHANGED,
            &[queue.into(), item, attempts.into(), not_before],
        );
    }

    pub(crate) fn dedupe(&mut self, queue: u32, at: u64, key: &[u8]) {
        let numbers = [queue.into(), at];
        self.begin(DEDUPE, lengths(&numbers) + key.len(), &numbers);
        self.bytes.extend_from_slice(key);
    }

    pub(crate) fn note(&mut self, text: &[u8]) {
        self.begin(NOTE, text.len(), &[]);
        self.bytes.extend_from_slice(text);
    }

    pub(super) fn gap(&mut self, first: u64, last: u64) {
        self.numbers(GAP, &[first, last]);
    }

    fn numbers(&mut self, tag: u8, numbers: &[u64]) {
        self.begin(tag, lengths(numbers), numbers);
    }

    fn begin(&mut self, tag: u8, body: usize, numbers: &[u64]) {
        self.bytes.reserve(body + 11);
        self.bytes.push(tag);
        put_varint(&mut self.bytes, body as u64);
        for &number in numbers {
            put_varint(&mut self.bytes, number);
        }
    }
}

/// Why a payload cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    UnknownTag(u8),
}

/// The operations of a record's payload. Ends after the first fault.
pub(super) struct Operations<'a> {
    rest: &'a [u8],
}

impl<'a> Operations<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    fn read(&mut self) -> Result<Operation<'a>, Fault> {
        let (&tag, rest) = self.rest.split_first().ok_or(Fault::Malformed)?;
        self.rest = rest;
        let body = varint(&mut self.rest).and_then(|length| usize::try_from(length).ok());
        let (body, rest) = body
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or(Fault::Malformed)?;
        self.rest = rest;
        if !(QUEUE_MADE..=GAP).contains(&tag) {
            return Err(Fault::UnknownTag(tag));
        }
        parse(tag, body).ok_or(Fault::Malformed)
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Result<Operation<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

fn parse(tag: u8, mut body: &[u8]) -> Option<Operation<'_>> {
    if tag == NOTE {
        return Some(Operation::Note(body));
    }
    let from = &mut body;
    if tag == GAP {
        let (first, last) = (varint(from)?, varint(from)?);
        let sound = from.is_empty() && first <= last && last <= LAST_NUMBER;
        return sound.then_some(Operation::Gap { first, last });
    }
    let queue = narrow(from)?;
    let operation = match tag {
        QUEUE_MADE => {
            let length = usize::try_from(varint(from)?).ok()?;
            let (name, config) = from.split_at_checked(length)?;
            *from = &[];
            let name = str::from_utf8(name).ok()?;
            Operation::QueueMade {
                queue,
                name,
                config,
            }
        }
        QUEUE_REMOVED => Operation::QueueRemoved { queue },
        ITEM_APPENDED => {
            let item = varint(from)?;
            let meta = ItemMeta {
                accepted_at: varint(from)?,
                attempts: narrow(from)?,
                not_before: varint(from)?,
                priority: narrow(from)?,
            };
            Operation::ItemAppended {
                queue,
                item,
                meta,
                message: std::mem::take(from),
            }
        }
        ITEMS_SETTLED => {
            let items = Items(std::mem::take(from));
            let mut rest = items.0;
            while !rest.is_empty() {
                varint(&mut rest)?;
            }
            Operation::ItemsSettled { queue, items }
        }
        ITEM_CHANGED => Operation::ItemChanged {
            queue,
            item: varint(from)?,
            attempts: narrow(from)?,
            not_before: varint(from)?,
        },
        DEDUPE => Operation::Dedupe {
            queue,
            at: varint(from)?,
            key: std::mem::take(from),
        },
        _ => return None,
    };
    from.is_empty().then_some(operation)
}

// ---- numbers ----

pub(super) fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number off the front. A number has at most ten bytes.
pub(super) fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (at, &byte) in from.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte < 0x80 {
            *from = from.get(at + 1..)?;
            return Some(number);
        }
    }
    None
}

fn narrow<T: TryFrom<u64>>(from: &mut &[u8]) -> Option<T> {
    varint(from).and_then(|number| T::try_from(number).ok())
}

fn lengths(numbers: &[u64]) -> usize {
    let bits = |number: &u64| (64 - (number | 1).leading_zeros()) as usize;
    numbers.iter().map(|number| bits(number).div_ceil(7)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn operations_read_as_they_were_written(
            queue: u32, item: u64, at: u64, attempts: u32, priority: u8,
            name in "[a-z]{0,20}", bytes: Vec<u8>, items: Vec<u64>,
        ) {
            let meta = ItemMeta { accepted_at: at, attempts, not_before: item, priority };
            let mut batch = Batch::new();
            batch.make_queue(queue, &name, &bytes);
            batch.append(queue, item, &meta, &bytes);
            batch.settle(queue, &items);
            batch.change(queue, item, attempts, at);
            batch.dedupe(queue, at, &bytes);
            batch.note(&bytes);
            let (first, last) = (item.min(at) >> 1, item.max(at) >> 1);
            batch.gap(first, last);
            batch.remove_queue(queue);
            let read: Result<Vec<_>, _> = Operations::new(batch.as_bytes()).collect();
            let read = read.unwrap();
            prop_assert_eq!(read.len(), 8);
            prop_assert_eq!(read[0], Operation::QueueMade { queue, name: &name, config: &bytes });
            prop_assert_eq!(read[1], Operation::ItemAppended { queue, item, meta, message: &bytes });
            let Operation::ItemsSettled { items: settled, .. } = read[2] else { panic!() };
            prop_assert_eq!(settled.collect::<Vec<_>>(), items);
            prop_assert_eq!(read[3], Operation::ItemChanged { queue, item, attempts, not_before: at });
            prop_assert_eq!(read[4], Operation::Dedupe { queue, at, key: &bytes });
            prop_assert_eq!(read[5], Operation::Note(&bytes));
            prop_assert_eq!(read[6], Operation::Gap { first, last });
            prop_assert_eq!(read[7], Operation::QueueRemoved { queue });
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let count = Operations::new(&bytes).count();
            prop_assert!(count <= bytes.len());
        }
    }

    #[test]
    fn an_unknown_tag_is_told_from_malformed_bytes() {
        let read = |bytes| Operations::new(bytes).next();
        assert_eq!(read(&[99, 2, 0, 0]), Some(Err(Fault::UnknownTag(99))));
        assert_eq!(read(&[99, 3, 0, 0]), Some(Err(Fault::Malformed)));
        assert_eq!(read(&[QUEUE_REMOVED, 2, 1, 1]), Some(Err(Fault::Malformed)));
    }
}
