//! The log as a whole, on the fake file system and on the real one.

mod chance;
mod crash;
mod damage;
mod disk;
mod model;
mod pieces;
mod space;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::WalError;
use super::fake::Fake;
use super::log::{Group, Log, Shared, Ticket};
use super::operation::{Batch, ItemMeta, Operation};
use super::options::Options;
use super::recover::{Entry, Recovered};
use super::writer::{Stop, Writer};

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        background: false,
        retry: std::time::Duration::from_millis(1),
        ..Options::default()
    }
}

fn open(fake: &Fake, options: Options) -> Result<Recovered, WalError> {
    Recovered::open(Arc::new(fake.clone()), options)
}

fn start(fake: &Fake, options: Options) -> Log {
    open(fake, options).unwrap().start(Box::new(|| {})).unwrap()
}

fn batch(fill: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = Batch::new();
    fill(&mut batch);
    batch
}

fn commit(log: &Log, fill: impl FnOnce(&mut Batch)) -> Ticket {
    let ticket = log.commit(&batch(fill)).unwrap();
    log.wait(ticket).unwrap();
    ticket
}

/// The live items by queue and number.
type Items = BTreeMap<(u32, u64), (ItemMeta, Vec<u8>)>;

fn items(recovered: &Recovered) -> Items {
    let mut items = Items::new();
    let read = recovered.entries(|entry| {
        if let Entry::Item {
            queue,
            item,
            meta,
            message,
        } = entry
        {
            let before = items.insert((queue, item), (meta, message.to_vec()));
            assert_eq!(before, None, "item {item} of queue {queue} comes twice");
        }
    });
    read.unwrap();
    items
}

/// A log whose writer is run by hand, so that everything happens in the same order each time.
struct Manual {
    writer: Writer,
    shared: Arc<Shared>,
    group: Group,
    waiting: bool,
}

impl Manual {
    fn start(recovered: Recovered) -> Result<Self, WalError> {
        let (writer, shared) = recovered.writer(Box::new(|| {}))?;
        Ok(Self {
            writer,
            shared,
            group: Group::default(),
            waiting: false,
        })
    }

    fn commit(&mut self, batch: &Batch) -> Ticket {
        self.waiting = true;
        self.shared.commit(batch).unwrap()
    }

    fn turn(&mut self) -> Result<(), Stop> {
        if !std::mem::take(&mut self.waiting) {
            return Ok(());
        }
        self.writer.turn(&mut self.group).map(drop)
    }
}
