//! The write-ahead log: one log for all durable queues of a data directory. docs/wal.md has the format byte by byte.
//!
//! The log is a row of segment files that hold numbered records. A record is a list of [`Operation`]s and is valid or
//! void as a whole, so that what is committed together, over however many queues, is there together or not at all.
//!
//! What always holds:
//!
//! - One thread writes. Whoever commits never waits for the disk: what came while the disk was busy is the next group,
//!   and one sync covers it.
//! - Nothing is acknowledged before the sync that covers it, unless the options say so. After a failed sync the log
//!   stops for good: what the system still has of the data is unknown then.
//! - Segments go from the head only, and only by what a sync has covered. So a settlement always outlives its item.
//! - Opening is total. Whatever the bytes are, the log opens, keeps every record that is sound, and says what is
//!   missing; only a log of a later version, a wrong key, and strictness refuse.
//!
//! This module is public for its tools: [`check`], [`repair`] and [`dump`], which `wirebird wal` is made of.

mod disk;
mod error;
#[cfg(test)]
mod fake;
mod format;
mod live;
mod log;
mod operation;
mod options;
mod recover;
mod report;
mod scan;
mod seal;
mod segments;
mod storage;
mod survey;
#[cfg(test)]
mod tests;
mod tools;
mod window;
mod writer;

pub(crate) use disk::Disk;
pub(crate) use log::{Log, State, Ticket};
pub(crate) use operation::Batch;
pub(crate) use options::{Options, SyncPolicy};
pub(crate) use recover::{Entry, Recovered};

pub use error::{KeyFault, UnknownPart, WalError};
pub use operation::{ItemMeta, Items, Operation};
pub use report::{Cut, Damage, Report};
pub use seal::Key;
pub use tools::{Dumped, check, dump, repair};
