//! The thread that writes: takes what has been committed, seals it, writes it, syncs it, and tells.
//!
//! In between it sees to a segment to follow, and to space: segments that hold nothing live go, and when most of what
//! the log has on the disk is dead, what is live in the oldest segment is moved to the end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

use super::error::{WalError, io_error};
use super::format::{LAST_BEGUN, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader, segment_name};
use super::live::Live;
use super::log::{Counters, Group, KEEP, Log, Shared, State, Work};
use super::operation::{Batch, Operations};
use super::options::{Options, SyncPolicy};
use super::recover::{Entry, Recovered};
use super::seal::{Sealer, random};
use super::segments::{Segments, Supply, is_full};
use super::storage::write_all_at;
use super::survey::{Kept, window};

/// What is moved together has about so many bytes.
const MOVE: usize = 1 << 20;

/// Why the writer does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(String),
    /// There is no space, and nobody waits for it any more.
    Closing,
}

impl From<WalError> for Stop {
    fn from(error: WalError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    segments: Segments,
    live: Live,
    counters: Counters,
    /// Sealed and not written.
    out: Vec<u8>,
    /// The number of the next record.
    number: u64,
    /// The last record that is on the disk.
    synced: u64,
    last_sync: Instant,
    /// A segment that could not be read, and stays.
    stuck: Option<u64>,
    _lock: Option<Box<dyn Send>>,
}

impl Recovered {
    /// Puts right what opening has found, makes a new segment and starts to write. `told` is called by the writer
    /// whenever more is kept, and when the log's state changes; it must not wait.
    pub(crate) fn start(self, told: Box<dyn Fn() + Send + Sync>) -> Result<Log, WalError> {
        let (mut writer, shared) = self.writer(told)?;
        let builder = thread::Builder::new().name("wirebird-wal".into());
        let thread = builder.spawn(move || writer.run());
        let thread = thread.map_err(io_error("start the writer of", "the log"))?;
        Ok(Log::new(shared, thread))
    }

    /// A writer without a thread.
    pub(super) fn writer(
        mut self,
        told: Box<dyn Fn() + Send + Sync>,
    ) -> Result<(Writer, Arc<Shared>), WalError> {
        if self.survey.next_segment.max(self.survey.next_number) > LAST_BEGUN {
            return Err(WalError::Stopped {
                reason: format!("its numbers are beyond {LAST_BEGUN}"),
            });
        }
        self.put_right()?;
        let gaps = self.gaps();
        let options = self.options;
        let survey = self.survey;
        let header = SegmentHeader {
            encrypted: false,
            log: match survey.log {
                Some(log) => log,
                None => random()?,
            },
            segment: survey.next_segment,
            first: survey.next_number,
            salt: random()?,
            key_check: [0; 8],
        };
        let name = segment_name(header.segment);
        let closed = survey.kept.iter().map(|kept| kept.header).collect();
        let segments = Segments::begin(self.storage, &options, closed, header);
        let shared = Arc::new(Shared::new(options.sync, options.max_pending, told));
        let mut writer = Writer {
            shared: shared.clone(),
            segments: segments.map_err(io_error("make", &name))?,
            live: survey.live,
            counters: Counters::default(),
            out: Vec::new(),
            number: survey.next_number,
            synced: survey.next_number - 1,
            last_sync: Instant::now(),
            stuck: None,
            _lock: self.lock,
            options,
        };
        writer.begin(&gaps).map_err(|stop| WalError::Stopped {
            reason: match stop {
                Stop::Failed(reason) => reason,
                Stop::Closing => "there is no space".into(),
            },
        })?;
        Ok((writer, shared))
    }
}

impl Writer {
    fn begin(&mut self, gaps: &[(u64, u64)]) -> Result<(), Stop> {
        for &(first, last) in gaps {
            let mut batch = Batch::new();
            batch.gap(first, last);
            for operation in Operations::new(batch.as_bytes()).flatten() {
                self.live.apply(&operation, 0);
            }
        }
        self.open_segment();
        self.flush()?;
        self.sync()?;
        if self.options.compact {
            let first = self.segments.active.header.segment;
            self.free_heads()?;
            while let Some(head) = self.segments.head()
                && head.header.segment < first
                && self.stuck.is_none()
                && self.may_rotate()?
            {
                self.move_head()?;
                self.free_heads()?;
            }
        }
        self.tend()
    }

    fn run(&mut self) {
        let _told = Told(self.shared.clone());
        let mut group = Group::default();
        let stop = loop {
            match self.turn(&mut group) {
                Ok(true) => {}
                Ok(false) => break self.sync().err(),
                Err(stop) => break Some(stop),
            }
        };
        let reason = match stop {
            Some(Stop::Failed(reason)) => reason,
            Some(Stop::Closing) | None => {
                self.segments.drop_spares();
                "it was closed".into()
            }
        };
        self.shared.set_state(State::Failed(reason));
    }

    /// Waits for something to do and does it. Returns whether there may be more.
    pub(super) fn turn(&mut self, group: &mut Group) -> Result<bool, Stop> {
        match self.shared.next(group, self.patience()) {
            Work::Close => return Ok(false),
            Work::Tick => {
                if self.sync_is_due() {
                    self.sync()?;
                }
            }
            Work::Write => {
                for payload in group.payloads() {
                    self.put(payload)?;
                }
                self.flush()?;
                if self.sync_is_due() {
                    self.sync()?;
                }
                self.shared.publish(group.last, self.counted());
            }
        }
        self.tend()?;
        Ok(true)
    }

    /// How long to wait for work at most.
    fn patience(&self) -> Option<Duration> {
        let full = !self.shared.is_running();
        let retry = full.then_some(self.options.retry);
        let due = match self.options.sync {
            SyncPolicy::Interval(interval) if self.is_dirty() => {
                Some(interval.saturating_sub(self.last_sync.elapsed()))
            }
            _ => None,
        };
        // A segment is being prepared: its coming, or that there is no space, is to be seen.
        let pending = self.segments.is_preparing().then_some(self.options.retry);
        [retry, due, pending].into_iter().flatten().min()
    }

    // ---- writing ----

    /// Seals a record, in the next segment if it does not fit.
    fn put(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let needed = Sealer::bound(payload.len());
        let used = self.segments.active.offset + (self.out.len() + needed + RECORD_HEADER) as u64;
        let length = self.segments.active.length;
        if used > length {
            self.rotate(needed)?;
        } else if used > length / 4 && !self.segments.has_spare() && !self.shared.is_full() {
            // That there is no space is to be known while there is still room for settlements.
            self.may_rotate()?;
        }
        self.seal(payload);
        Ok(())
    }

    fn seal(&mut self, payload: &[u8]) {
        let number = self.number;
        let lag = u32::try_from(number - self.synced).unwrap_or(u32::MAX);
        let active = &self.segments.active;
        active.sealer.seal(&mut self.out, number, lag, payload);
        self.number += 1;
        self.counters.records += 1;
        for operation in Operations::new(payload).flatten() {
            self.live.apply(&operation, active.header.segment);
        }
    }

    /// Begins a segment with the queues that there are, so that older ones can go.
    fn open_segment(&mut self) {
        self.live.forget_gaps(self.segments.first_record());
        let snapshot = self.snapshot();
        self.seal(snapshot.as_bytes());
    }

    fn snapshot(&self) -> Batch {
        let mut snapshot = Batch::new();
        for &(first, last) in self.live.gaps() {
            snapshot.gap(first, last);
        }
        for (number, queue) in self.live.queues() {
            if let Some(name) = &queue.name {
                snapshot.make_queue(number, name, &queue.config);
            }
        }
        if snapshot.is_empty() {
            snapshot.note(b"");
        }
        snapshot
    }

    fn rotate(&mut self, needed: usize) -> Result<(), Stop> {
        self.flush()?;
        // What is damaged in a segment that another one follows was synced.
        self.sync()?;
        let salt = random()?;
        loop {
            let supply = self
                .segments
                .await_supply()
                .map_err(|error| failed("make a segment", error))?;
            let Supply::Full(reason) = supply else {
                let header = SegmentHeader {
                    encrypted: false,
                    first: self.number,
                    salt,
                    key_check: [0; 8],
                    ..self.segments.active.header
                };
                let begin = SEGMENT_HEADER + Sealer::bound(self.snapshot().len()) + RECORD_HEADER;
                match self
                    .segments
                    .rotate(header, (begin + needed) as u64, &self.options)
                {
                    Ok(true) => break,
                    Ok(false) => continue,
                    Err(error) if is_full(&error) => self.wait_for_space(error.to_string())?,
                    Err(error) => return Err(failed("make a segment longer", error)),
                }
                continue;
            };
            self.wait_for_space(reason)?;
            self.free_heads()?;
        }
        self.out
            .extend_from_slice(&self.segments.active.header.write());
        self.open_segment();
        Ok(())
    }

    /// Waits until there is a segment to follow, or it is known that there is no space for one.
    fn may_rotate(&mut self) -> Result<bool, Stop> {
        let supply = self.segments.await_supply();
        let supply = supply.map_err(|error| failed("make a segment", error))?;
        if let Supply::Full(reason) = supply {
            self.shared.set_state(State::Full(reason));
            return Ok(false);
        }
        Ok(true)
    }

    fn wait_for_space(&mut self, reason: String) -> Result<(), Stop> {
        self.shared.set_state(State::Full(reason));
        if self.shared.pause(self.options.retry) {
            return Err(Stop::Closing);
        }
        Ok(())
    }

    /// Writes what is sealed, and zeros behind it.
    fn flush(&mut self) -> Result<(), Stop> {
        if self.out.is_empty() {
            return Ok(());
        }
        let length = self.out.len();
        let active = &self.segments.active;
        let blank = active.blank_behind(length, self.options.sync == SyncPolicy::Always);
        self.out.resize(length + blank, 0);
        let mut again = true;
        loop {
            match write_all_at(&*active.file, &self.out, active.offset) {
                Ok(()) => break,
                Err(error) if !is_full(&error) => return Err(failed("write", error)),
                Err(_) if again => again = false,
                Err(error) => {
                    self.shared.set_state(State::Full(error.to_string()));
                    if self.shared.pause(self.options.retry) {
                        return Err(Stop::Closing);
                    }
                }
            }
        }
        self.segments.active.advance(length, blank);
        self.counters.bytes += length as u64;
        self.out.clear();
        self.out.shrink_to(KEEP);
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        self.synced + 1 < self.number
    }

    fn sync_is_due(&self) -> bool {
        match self.options.sync {
            SyncPolicy::Always => true,
            SyncPolicy::Interval(interval) => self.last_sync.elapsed() >= interval,
            SyncPolicy::None => false,
        }
    }

    /// Syncs everything that was written. A sync that fails is not repeated: what is on the disk is unknown then.
    fn sync(&mut self) -> Result<(), Stop> {
        if !self.is_dirty() {
            return Ok(());
        }
        let start = Instant::now();
        let done = self.segments.active.file.sync_data();
        done.map_err(|error| failed("sync", error))?;
        self.last_sync = Instant::now();
        self.synced = self.number - 1;
        self.counters.syncs += 1;
        self.counters.last_sync = self.last_sync - start;
        self.counters.longest_sync = self.counters.longest_sync.max(self.counters.last_sync);
        Ok(())
    }

    // ---- space ----

    fn tend(&mut self) -> Result<(), Stop> {
        self.free_heads()?;
        if self.may_move() {
            self.move_head()?;
            self.free_heads()?;
        }
        let supply = self
            .segments
            .supply()
            .map_err(|error| failed("make a segment", error))?;
        match supply {
            Supply::Ready => self.shared.set_state(State::Running),
            Supply::Pending => {}
            Supply::Full(reason) => self.shared.set_state(State::Full(reason)),
        }
        self.shared.count(self.counted());
        Ok(())
    }

    /// Does away with the oldest segments as long as nothing in them is live, as far as a sync says so.
    fn free_heads(&mut self) -> Result<(), Stop> {
        let oldest = self.oldest_key();
        while let Some(head) = self.segments.head() {
            let number = head.header.segment;
            if self.stuck == Some(number)
                || self.live.bytes_in(number, oldest) > 0
                || self.live.items_in(number) > 0
            {
                return Ok(());
            }
            // What has settled its last items may be younger than the last sync.
            self.sync()?;
            self.free_head(number)?;
        }
        Ok(())
    }

    fn free_head(&mut self, number: u64) -> Result<(), Stop> {
        if !self.is_head(number) {
            // It went while what was in it was moved.
            return Ok(());
        }
        self.segments
            .free_head()
            .map_err(|error| failed("free a segment", error))?;
        self.live.forget_segment(number);
        Ok(())
    }

    fn is_head(&self, number: u64) -> bool {
        let head = self.segments.head();
        head.is_some_and(|head| head.header.segment == number)
    }

    /// Whether most of the disk's share is dead: what is moved is less than what that gains.
    fn may_move(&self) -> bool {
        let Some(head) = self.segments.head() else {
            return false;
        };
        let oldest = self.oldest_key();
        let size = self.options.segment_bytes;
        let live = self.live.bytes(oldest);
        let active = &self.segments.active;
        let room = active.length.saturating_sub(active.offset);
        let fits = self.live.bytes_in(head.header.segment, oldest) + 2 * MOVE as u64 <= room;
        self.stuck != Some(head.header.segment)
            && self.segments.disk() > 2 * live + 2 * size + active.length
            && (fits || self.shared.is_running())
    }

    /// Moves what is live in the oldest segment to the end, and does away with it.
    fn move_head(&mut self) -> Result<(), Stop> {
        let Some(head) = self.segments.head() else {
            return Ok(());
        };
        let kept = Kept::of(head.header);
        let number = kept.number;
        if !self.move_entries(&kept)? {
            self.stuck = Some(number);
            self.counters.unreadable_segments += 1;
            return Ok(());
        }
        self.counters.moved_segments += 1;
        if self.live.items_in(number) == 0 {
            return self.free_head(number);
        }
        self.counters.unreadable_segments += 1;
        let done = self.segments.set_head_aside();
        done.map_err(|error| failed("set a segment aside", error))
    }

    /// Writes what is live in the oldest segment again, a part of it in memory at a time. Returns whether the file could
    /// be read.
    fn move_entries(&mut self, kept: &Kept) -> Result<bool, Stop> {
        let Ok(mut window) = window(self.segments.storage(), kept.number) else {
            return Ok(false);
        };
        let key = self.options.key.clone();
        let mut entries = kept.entries(&mut window, key.as_ref());
        let oldest = self.oldest_key();
        let mut read = Ok(true);
        // When it has gone, its file may be written to.
        while matches!(read, Ok(true)) && self.is_head(kept.number) {
            let mut batch = Batch::new();
            while matches!(read, Ok(true)) && batch.len() < MOVE {
                read = entries.next(&self.live, |entry| match entry {
                    Entry::Item {
                        queue,
                        item,
                        meta,
                        message,
                    } => batch.append(queue, item, &meta, message),
                    Entry::Dedupe { queue, at, key } if at >= oldest => {
                        batch.dedupe(queue, at, key);
                    }
                    Entry::Dedupe { .. } => {}
                });
            }
            if !batch.is_empty() {
                self.put(batch.as_bytes())?;
                self.flush()?;
            }
        }
        self.sync()?;
        Ok(read.is_ok())
    }

    /// Keys that were used before are not kept.
    fn oldest_key(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let oldest = now
            .unwrap_or_default()
            .saturating_sub(self.options.dedupe_window);
        u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX)
    }

    fn counted(&self) -> Counters {
        Counters {
            segments: self.segments.count(),
            disk_bytes: self.segments.disk(),
            live_bytes: self.live.bytes(self.oldest_key()),
            live_items: self.live.items(),
            ..self.counters.clone()
        }
    }
}

/// Tells those who wait if the writer panics.
struct Told(Arc<Shared>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0
            .set_state(State::Failed("its writer panicked".into()));
    }
}

fn failed(what: &str, error: io::Error) -> Stop {
    Stop::Failed(format!("cannot {what}: {error}"))
}
