//! The files of a running log: the segment that is written, those before it, and those prepared to follow.
//!
//! A file gets the name of the segment that it will be when it is prepared, and its header with the first records: what
//! has no header of its own was not used yet. So going on to the next segment costs no sync of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::format::{RECORD_HEADER, SEGMENT_HEADER, SegmentHeader, segment_name};
use super::options::Options;
use super::seal::Sealer;
use super::storage::{File, Storage, write_all_at};

/// Spares that are kept of the segments that are done with; more are removed.
const POOL: usize = 2;

/// Zeros are written ahead for so many groups.
const AHEAD: usize = 128;
/// Longer groups have none written ahead: what they write themselves takes longer than what that saves.
const MOST_AHEAD: usize = 32 << 10;

/// A segment that is complete.
pub(super) struct Closed {
    pub(super) header: SegmentHeader,
    length: u64,
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) header: SegmentHeader,
    pub(super) file: Box<dyn File>,
    pub(super) sealer: Sealer,
    /// Where the next record goes.
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Up to where something was written, in this use of the file or a former one.
    written: u64,
}

struct Spare {
    number: u64,
    file: Box<dyn File>,
    length: u64,
    written: u64,
}

/// Whether there is a segment to follow.
pub(super) enum Supply {
    Ready,
    Pending,
    /// There is no space for one, and why.
    Full(String),
}

pub(super) struct Segments {
    storage: Arc<dyn Storage>,
    closed: VecDeque<Closed>,
    pub(super) active: Active,
    spares: VecDeque<Spare>,
    preparing: Option<JoinHandle<io::Result<Spare>>>,
    size: u64,
    most: Option<u64>,
    background: bool,
}

impl Segments {
    /// Makes the first segment that this log writes.
    pub(super) fn begin(
        storage: Arc<dyn Storage>,
        options: &Options,
        closed: Vec<SegmentHeader>,
        header: SegmentHeader,
    ) -> io::Result<Self> {
        let mut old = VecDeque::with_capacity(closed.len());
        for header in closed {
            let length = storage.open(&segment_name(header.segment))?.len()?;
            old.push_back(Closed { header, length });
        }
        let spare = smaller_if_need_be(&*storage, header.segment, options.segment_bytes)?;
        let mut active = spare.activate(header, options);
        // A header by itself is what tells a log that was just made from one that has lost its only header.
        let bytes = active.header.write();
        write_all_at(&*active.file, &bytes, 0)?;
        active.file.sync_data()?;
        active.offset = bytes.len() as u64;
        Ok(Self {
            storage,
            closed: old,
            active,
            spares: VecDeque::new(),
            preparing: None,
            size: options.segment_bytes,
            most: options.max_bytes,
            background: options.background,
        })
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The oldest segment, if it is not the one that is written.
    pub(super) fn head(&self) -> Option<&Closed> {
        self.closed.front()
    }

    pub(super) fn is_preparing(&self) -> bool {
        self.preparing.is_some()
    }

    pub(super) fn has_spare(&self) -> bool {
        !self.spares.is_empty()
    }

    /// The number of the oldest record.
    pub(super) fn first_record(&self) -> u64 {
        let head = self.closed.front().map(|head| head.header.first);
        head.unwrap_or(self.active.header.first)
    }

    pub(super) fn count(&self) -> u64 {
        self.closed.len() as u64 + 1
    }

    /// Bytes of all files.
    pub(super) fn disk(&self) -> u64 {
        let closed = self.closed.iter().map(|closed| closed.length);
        let spares = self.spares.iter().map(|spare| spare.length);
        let preparing = u64::from(self.preparing.is_some()) * self.size;
        closed.chain(spares).sum::<u64>() + self.active.length + preparing
    }

    /// Sees to it that there is a segment to follow, on another thread where that takes long.
    pub(super) fn supply(&mut self) -> io::Result<Supply> {
        if let Some(thread) = self.preparing.take_if(|thread| thread.is_finished()) {
            let made = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("panicked")));
            match made {
                Ok(spare) => self.spares.push_back(spare),
                Err(error) => return full(error),
            }
        }
        if !self.spares.is_empty() {
            return Ok(Supply::Ready);
        }
        if self.preparing.is_some() {
            return Ok(Supply::Pending);
        }
        let (disk, size) = (self.disk(), self.size);
        if let Some(most) = self.most.filter(|&most| disk + size > most) {
            return Ok(Supply::Full(format!(
                "the segments have {disk} of the {most} bytes that are allowed"
            )));
        }
        let (storage, number) = (self.storage.clone(), self.next());
        let make = move || prepare(&*storage, number, size);
        if self.background {
            let thread = std::thread::Builder::new().name("wirebird-wal-next".into());
            self.preparing = Some(thread.spawn(make)?);
            return Ok(Supply::Pending);
        }
        match make() {
            Ok(spare) => {
                self.spares.push_back(spare);
                Ok(Supply::Ready)
            }
            Err(error) => full(error),
        }
    }

    /// Waits for what is being prepared, if anything is.
    pub(super) fn await_supply(&mut self) -> io::Result<Supply> {
        match self.supply()? {
            Supply::Pending => {}
            known => return Ok(known),
        }
        let Some(thread) = self.preparing.take() else {
            return Ok(Supply::Pending);
        };
        match thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("panicked")))
        {
            Ok(spare) => {
                self.spares.push_back(spare);
                Ok(Supply::Ready)
            }
            Err(error) => full(error),
        }
    }

    /// Goes on to the next segment, which is made at least `needed` bytes long. Everything in the one before it is
    /// synced. Returns whether there was one.
    pub(super) fn rotate(
        &mut self,
        mut header: SegmentHeader,
        needed: u64,
        options: &Options,
    ) -> io::Result<bool> {
        let Some(spare) = self.spares.front_mut() else {
            return Ok(false);
        };
        if spare.length < needed {
            spare.file.preallocate(needed)?;
            spare.length = needed;
        }
        let Some(spare) = self.spares.pop_front() else {
            return Ok(false);
        };
        header.segment = spare.number;
        let before = std::mem::replace(&mut self.active, spare.activate(header, options));
        self.closed.push_back(Closed {
            header: before.header,
            length: before.length,
        });
        Ok(true)
    }

    /// Does away with the oldest segment: it becomes a spare, or goes.
    pub(super) fn free_head(&mut self) -> io::Result<()> {
        let Some(head) = self.closed.pop_front() else {
            return Ok(());
        };
        let name = segment_name(head.header.segment);
        let kept = self.preparing.is_none() && self.spares.len() < POOL && head.length == self.size;
        if kept {
            let number = self.next();
            let next = segment_name(number);
            self.storage.rename(&name, &next)?;
            // One at a time: of several that go, a crash must not leave a later one out.
            self.storage.sync_dir()?;
            let file = self.storage.open(&next)?;
            self.spares.push_back(Spare {
                number,
                file,
                length: head.length,
                written: head.length,
            });
            return Ok(());
        }
        self.storage.remove(&name)?;
        self.storage.sync_dir()
    }

    /// Takes the oldest segment out of the log, but leaves its file under another name, since not all of it could be
    /// read.
    pub(super) fn set_head_aside(&mut self) -> io::Result<()> {
        let Some(head) = self.closed.pop_front() else {
            return Ok(());
        };
        let name = segment_name(head.header.segment);
        let aside = format!("quarantine-{}", name.trim_end_matches(".wal"));
        self.storage.rename(&name, &aside)?;
        self.storage.sync_dir()
    }

    /// The number of the next file.
    fn next(&self) -> u64 {
        let last = self.spares.back().map(|spare| spare.number);
        last.unwrap_or(self.active.header.segment) + 1
    }

    /// Removes what was prepared, at the end.
    pub(super) fn drop_spares(&mut self) {
        if let Some(thread) = self.preparing.take()
            && let Ok(Ok(spare)) = thread.join()
        {
            self.spares.push_back(spare);
        }
        for spare in self.spares.drain(..) {
            // What is left of them is removed when the log is opened.
            let _ = self.storage.remove(&segment_name(spare.number));
        }
    }
}

impl Active {
    /// How many zeros are to be written behind a group of so many bytes: a blank header, which says where it ends.
    ///
    /// Where space was only set aside, each sync also has to make known that something was written there, which can take
    /// as long as the sync itself. With zeros written for many groups at once, few do.
    pub(super) fn blank_behind(&self, group: usize, synced: bool) -> usize {
        let end = self.offset + (group + RECORD_HEADER) as u64;
        if !synced || group > MOST_AHEAD || end <= self.written {
            return RECORD_HEADER;
        }
        let room = usize::try_from(self.length.saturating_sub(end)).unwrap_or(0);
        RECORD_HEADER + room.min(AHEAD * group)
    }

    /// A group was written, and what there is behind it.
    pub(super) fn advance(&mut self, group: usize, blank: usize) {
        self.offset += group as u64;
        self.written = self.written.max(self.offset + blank as u64);
    }
}

impl Spare {
    fn activate(self, mut header: SegmentHeader, options: &Options) -> Active {
        header.segment = self.number;
        let sealer = Sealer::make(&mut header, options.key.as_ref(), options.compress);
        Active {
            header,
            file: self.file,
            sealer,
            offset: 0,
            length: self.length,
            written: self.written,
        }
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn full(error: io::Error) -> io::Result<Supply> {
    if is_full(&error) {
        Ok(Supply::Full(error.to_string()))
    } else {
        Err(error)
    }
}

fn prepare(storage: &dyn Storage, number: u64, length: u64) -> io::Result<Spare> {
    let name = segment_name(number);
    let file = storage.create(&name)?;
    let made = file
        .preallocate(length)
        .and_then(|()| file.sync_data())
        .and_then(|()| storage.sync_dir());
    match made {
        Ok(()) => Ok(Spare {
            number,
            file,
            length,
            written: 0,
        }),
        Err(error) => {
            // It is empty; if it stays, it is removed when the log is opened.
            let _ = storage.remove(&name);
            Err(error)
        }
    }
}

/// A nearly full disk still lets the log open, so that what takes up its space can be settled.
fn smaller_if_need_be(storage: &dyn Storage, number: u64, mut length: u64) -> io::Result<Spare> {
    loop {
        match prepare(storage, number, length) {
            Err(error) if is_full(&error) && length > 2 * SEGMENT_HEADER as u64 => length /= 2,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn zeros_are_written_ahead_once_for_many_short_groups_and_not_beyond_the_end() {
        let mut active = Spare {
            number: 1,
            file: Fake::default().create("file").unwrap(),
            length: 100_000,
            written: 0,
        }
        .activate(header(), &Options::default());
        let mut written = 0;
        let mut ahead = 0;
        while active.offset + 100 + RECORD_HEADER as u64 <= active.length {
            let blank = active.blank_behind(100, true);
            assert!(active.offset + (100 + blank) as u64 <= active.length);
            ahead += usize::from(blank > RECORD_HEADER);
            active.advance(100, blank);
            written += 1;
        }
        assert_eq!((written, ahead), (999, 8));
        active.offset = 0;
        assert_eq!(active.blank_behind(100, true), RECORD_HEADER);
        active.written = 0;
        assert_eq!(active.blank_behind(100, false), RECORD_HEADER);
        assert_eq!(active.blank_behind(MOST_AHEAD + 1, true), RECORD_HEADER);
    }

    fn header() -> SegmentHeader {
        SegmentHeader {
            encrypted: false,
            log: [1; 16],
            segment: 1,
            first: 1,
            salt: [0; 16],
            key_check: [0; 8],
        }
    }
}
