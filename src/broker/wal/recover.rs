//! Opening a log: what its survey has found decides everything else. Strictness refuses, [`Recovered::start`] puts right
//! and goes on.

use std::sync::Arc;

use super::error::{DIRECTORY, WalError, io_error};
use super::format::{SegmentHeader, segment_name, segment_number};
use super::live::Live;
use super::operation::{ItemMeta, Operation, Operations};
use super::options::Options;
use super::report::{Damage, Report};
use super::scan::{Part, Scan};
use super::seal::{Key, Sealer};
use super::storage::{Locked, Storage, write_all_at};
use super::survey::{Kept, Survey, survey, unread, window};
use super::window::Window;

/// A log that was opened and not started: nothing is changed yet.
pub(crate) struct Recovered {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) options: Options,
    pub(super) survey: Survey,
    pub(super) lock: Option<Box<dyn Send>>,
    pub(super) is_right: bool,
}

/// What a queue was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecoveredQueue<'a> {
    pub(crate) number: u32,
    pub(crate) name: &'a str,
    pub(crate) config: &'a [u8],
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Item {
        queue: u32,
        item: u64,
        meta: ItemMeta,
        message: &'a [u8],
    },
    /// Some may come twice, and some may be older than the window.
    Dedupe { queue: u32, at: u64, key: &'a [u8] },
}

impl Recovered {
    /// Opens the log in a directory, and keeps other processes out.
    pub(crate) fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, WalError> {
        options.check()?;
        let lock = storage.lock().map_err(|locked| match locked {
            Locked::By(pid) => WalError::InUse { pid },
            Locked::Io(error) => io_error("lock", DIRECTORY)(error),
        })?;
        let survey = survey(&*storage, options.key.as_ref(), &mut |_| {})?;
        if let Some(damage) = survey.report.damage.first()
            && options.strict
        {
            return Err(WalError::Damaged {
                file: damage.file.clone(),
                offset: damage.offset,
            });
        }
        Ok(Self {
            storage,
            options,
            survey,
            lock: Some(lock),
            is_right: false,
        })
    }

    pub(crate) fn report(&self) -> &Report {
        &self.survey.report
    }

    /// The queues, in the order of their numbers.
    pub(crate) fn queues(&self) -> impl Iterator<Item = RecoveredQueue<'_>> {
        let queues = self.survey.live.queues();
        queues.map(|(number, queue)| RecoveredQueue {
            number,
            name: queue.name.as_deref().unwrap_or_default(),
            config: &queue.config,
        })
    }

    /// Reads the segments that hold something again, a piece in memory at a time, and passes on what is live, in the
    /// order of the log: items of a queue come in the order of their numbers, but for those that were moved when
    /// segments were cleared.
    pub(crate) fn entries(&self, mut each: impl FnMut(Entry<'_>)) -> Result<(), WalError> {
        let live = &self.survey.live;
        let wanted = |kept: &&Kept| live.wants(kept.number);
        for kept in self.survey.kept.iter().filter(wanted) {
            let mut window = window(&*self.storage, kept.number)?;
            let mut entries = kept.entries(&mut window, self.options.key.as_ref());
            while entries.next(live, &mut each)? {}
        }
        Ok(())
    }

    /// Copies what is damaged to side files, cuts the torn end, and removes what was prepared and not used.
    pub(super) fn put_right(&mut self) -> Result<(), WalError> {
        if std::mem::replace(&mut self.is_right, true) {
            return Ok(());
        }
        let storage = &*self.storage;
        for damage in &mut self.survey.report.damage {
            let lost = segment_number(&damage.file)
                .is_some_and(|number| self.survey.lost.contains(&number));
            if damage.length > 0 && !lost {
                damage.side_file = Some(copy_aside(storage, damage)?);
            }
        }
        for &number in &self.survey.lost {
            let from = segment_name(number);
            let to = free_name(storage, &from, 0)?;
            storage
                .rename(&from, &to)
                .map_err(io_error("rename", &from))?;
            let damage = &mut self.survey.report.damage;
            let damage = damage.iter_mut().find(|damage| damage.file == from);
            if let Some(damage) = damage {
                damage.side_file = Some(to);
            }
        }
        storage.sync_dir().map_err(io_error("sync", DIRECTORY))?;
        for header in &self.survey.headless {
            let name = segment_name(header.segment);
            let file = storage.open(&name).map_err(io_error("open", &name))?;
            write_all_at(&*file, &header.write(), 0).map_err(io_error("write", &name))?;
            file.sync_data().map_err(io_error("sync", &name))?;
        }
        if let Some((number, offset)) = self.survey.cut {
            let name = segment_name(number);
            let file = storage.open(&name).map_err(io_error("open", &name))?;
            file.set_len(offset).map_err(io_error("cut", &name))?;
            file.sync_data().map_err(io_error("sync", &name))?;
        }
        for &number in &self.survey.unused {
            let name = segment_name(number);
            storage.remove(&name).map_err(io_error("remove", &name))?;
        }
        storage.sync_dir().map_err(io_error("sync", DIRECTORY))
    }

    /// The records that the next segment has to say are missing.
    pub(super) fn gaps(&self) -> Vec<(u64, u64)> {
        let report = &self.survey.report;
        let damage = report.damage.iter().map(|damage| damage.records);
        let new = damage.chain(report.unwritten.iter().copied());
        new.filter(|(first, last)| first <= last).collect()
    }
}

impl Kept {
    pub(super) fn of(header: SegmentHeader) -> Self {
        Self {
            number: header.segment,
            first: header.first,
            header,
            until: None,
        }
    }

    /// Reads what is in it again.
    pub(super) fn entries<'a>(&self, window: &'a mut Window, key: Option<&Key>) -> Entries<'a> {
        let sealer = Sealer::of(&self.header, key);
        let mark = self.header.mark();
        Entries {
            scan: Scan::new(window, mark, self.first, self.until),
            segment: self.number,
            sealer,
        }
    }
}

/// The entries of a segment.
pub(super) struct Entries<'a> {
    scan: Scan<'a>,
    segment: u64,
    /// `None` if nothing can be read without another key.
    sealer: Option<Sealer>,
}

impl Entries<'_> {
    /// Passes on what is live in the next record. What cannot be read is left out. Returns whether there may be more.
    pub(super) fn next(
        &mut self,
        live: &Live,
        mut each: impl FnMut(Entry<'_>),
    ) -> Result<bool, WalError> {
        let Some(sealer) = &self.sealer else {
            return Ok(false);
        };
        let Some(part) = self.scan.next().map_err(unread(self.segment))? else {
            return Ok(false);
        };
        let Part::Record { header, stored, .. } = part else {
            return Ok(true);
        };
        let Ok(payload) = sealer.open(&header, stored) else {
            return Ok(true);
        };
        if Operations::new(&payload).any(|operation| operation.is_err()) {
            return Ok(true);
        }
        for operation in Operations::new(&payload).flatten() {
            entry(operation, self.segment, live, &mut each);
        }
        Ok(true)
    }
}

fn entry(operation: Operation<'_>, segment: u64, live: &Live, each: &mut impl FnMut(Entry<'_>)) {
    match operation {
        Operation::ItemAppended {
            queue,
            item,
            meta,
            message,
        } if live.segment_of(queue, item) == Some(segment) => each(Entry::Item {
            queue,
            item,
            meta: live.current(queue, item, meta),
            message,
        }),
        Operation::Dedupe { queue, at, key } if live.has_queue(queue) => {
            each(Entry::Dedupe { queue, at, key });
        }
        _ => {}
    }
}

// ---- side files ----

fn free_name(storage: &dyn Storage, segment: &str, offset: u64) -> Result<String, WalError> {
    let names = storage.list().map_err(io_error("list", DIRECTORY))?;
    let stem = segment.trim_end_matches(".wal");
    let mut name = format!("quarantine-{stem}-{offset}");
    let mut count = 1;
    while names.contains(&name) {
        count += 1;
        name = format!("quarantine-{stem}-{offset}-{count}");
    }
    Ok(name)
}

fn copy_aside(storage: &dyn Storage, damage: &Damage) -> Result<String, WalError> {
    let source = storage
        .open(&damage.file)
        .map_err(io_error("open", &damage.file))?;
    let name = free_name(storage, &damage.file, damage.offset)?;
    let side = storage.create(&name).map_err(io_error("create", &name))?;
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    while done < damage.length {
        let most = usize::try_from(damage.length - done)
            .map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..most).unwrap_or_default();
        let read = source.read_at(part, damage.offset + done);
        let read = read.map_err(io_error("read", &damage.file))?;
        if read == 0 {
            break;
        }
        let part = part.get(..read).unwrap_or_default();
        write_all_at(&*side, part, done).map_err(io_error("write", &name))?;
        done += read as u64;
    }
    side.sync_data().map_err(io_error("sync", &name))?;
    Ok(name)
}
