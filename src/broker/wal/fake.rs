//! A directory in memory that fails as disks do: at the nth change it dies, errs, writes in part or has no space. After
//! a crash each change that was not synced is there, is not there, or is there in part, in any order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use super::storage::{File, Locked, Storage};

const SECTOR: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing works from here on.
    Die,
    Error,
    /// Half of a write, then an error. Otherwise as `Error`.
    Short,
    Full,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Naming>,
    changes: u64,
    fault: Option<(u64, Fault)>,
    dead: bool,
    locked: bool,
    capacity: Option<usize>,
    /// What is read of a file at once.
    piece: Option<usize>,
    /// The most that was.
    most_read: usize,
    /// What it takes to set space aside.
    reserving: Duration,
}

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum Naming {
    Add(String, usize),
    Move(String, String, usize),
    Remove(String),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

impl Naming {
    fn apply(&self, to: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, file) => drop(to.insert(name.clone(), *file)),
            Self::Move(from, name, file) => {
                to.remove(from);
                to.insert(name.clone(), *file);
            }
            Self::Remove(name) => drop(to.remove(name)),
        }
    }
}

/// Numbers that look random.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

impl State {
    /// Counts a change. `Ok(true)` if it is to be done in part.
    fn change(&mut self) -> io::Result<bool> {
        self.alive()?;
        self.changes += 1;
        match self.fault {
            Some((at, fault)) if at == self.changes => match fault {
                Fault::Die => {
                    self.dead = true;
                    Ok(true)
                }
                Fault::Error => Err(io::Error::other("fault")),
                Fault::Short => Ok(true),
                Fault::Full => Err(io::ErrorKind::StorageFull.into()),
            },
            _ => Ok(false),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("dead"));
        }
        Ok(())
    }

    fn name(&mut self, naming: Naming) -> io::Result<()> {
        if self.change()? && !self.dead {
            return Err(io::Error::other("fault"));
        }
        naming.apply(&mut self.names);
        self.pending.push(naming);
        self.alive()
    }

    fn space(&self, more: usize) -> io::Result<()> {
        let used: usize = self
            .names
            .values()
            .map(|&file| self.files[file].now.len())
            .sum();
        match self.capacity {
            Some(capacity) if used + more > capacity => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Fake {
    /// Less than most segments of the tests have, so that they are read in pieces, too.
    pub(super) const PIECE: usize = 5000;

    /// From the next change on, counted from 1.
    pub(super) fn fail_at(&self, nth: u64, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.changes = 0;
        state.fault = Some((nth, fault));
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.lock().unwrap().changes
    }

    pub(super) fn set_reserving(&self, takes: Duration) {
        self.0.lock().unwrap().reserving = takes;
    }

    pub(super) fn set_piece(&self, bytes: usize) {
        self.0.lock().unwrap().piece = Some(bytes);
    }

    pub(super) fn most_read(&self) -> usize {
        self.0.lock().unwrap().most_read
    }

    pub(super) fn set_capacity(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().capacity = bytes;
    }

    /// What a crash leaves behind.
    pub(super) fn crash(&self, seed: u64) {
        let state = &mut *self.0.lock().unwrap();
        let mut dice = Dice(seed);
        for content in &mut state.files {
            let some = dice.roll(3);
            for change in std::mem::take(&mut content.pending) {
                let keep = match some {
                    0 => false,
                    1 => true,
                    _ => dice.roll(2) == 0,
                };
                match &change {
                    Change::Write(at, bytes) if !keep && some == 2 => {
                        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                            if dice.roll(2) == 0 {
                                let part = Change::Write(at + index * SECTOR, sector.to_vec());
                                part.apply(&mut content.durable);
                            }
                        }
                    }
                    change if keep => change.apply(&mut content.durable),
                    _ => {}
                }
            }
            content.now = content.durable.clone();
        }
        let some = dice.roll(3);
        for naming in std::mem::take(&mut state.pending) {
            if some == 1 || (some == 2 && dice.roll(2) == 0) {
                naming.apply(&mut state.durable);
            }
        }
        state.names = state.durable.clone();
        self.revive(state);
    }

    /// The program ends, the system goes on.
    pub(super) fn restart(&self) {
        let state = &mut *self.0.lock().unwrap();
        self.revive(state);
    }

    fn revive(&self, state: &mut State) {
        state.dead = false;
        state.locked = false;
        state.fault = None;
        state.changes = 0;
    }

    /// A copy of what is there, all of it synced.
    pub(super) fn fork(&self) -> Self {
        let state = self.0.lock().unwrap();
        let files = state.files.iter().map(|content| Content {
            now: content.now.clone(),
            durable: content.now.clone(),
            pending: Vec::new(),
        });
        Self(Arc::new(Mutex::new(State {
            files: files.collect(),
            names: state.names.clone(),
            durable: state.names.clone(),
            ..State::default()
        })))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        state.files[state.names[name]].now.clone()
    }

    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.0.lock().unwrap();
        let content = &mut state.files[state.names[name]];
        edit(&mut content.now);
        content.durable = content.now.clone();
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let state = &mut *self.0.lock().unwrap();
        state.names.insert(name.into(), state.files.len());
        state.durable.insert(name.into(), state.files.len());
        state.files.push(Content {
            now: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        });
    }

    pub(super) fn delete(&self, name: &str) {
        let state = &mut *self.0.lock().unwrap();
        state.names.remove(name);
        state.durable.remove(name);
    }
}

struct Lock(Fake);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locked = false;
    }
}

impl Storage for Fake {
    fn lock(&self) -> Result<Box<dyn Send>, Locked> {
        let mut state = self.0.lock().unwrap();
        if std::mem::replace(&mut state.locked, true) {
            return Err(Locked::By(Some(1)));
        }
        Ok(Box::new(Lock(self.clone())))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.lock().unwrap().alive()?;
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = self.0.lock().unwrap();
        state.alive()?;
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle(self.clone(), *file)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = &mut *self.0.lock().unwrap();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.name(Naming::Add(name.into(), file))?;
        Ok(Box::new(Handle(self.clone(), file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.name(Naming::Move(from.into(), to.into(), file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        state.name(Naming::Remove(name.into()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap();
        if state.change()? {
            return Err(io::Error::other("fault"));
        }
        state.pending.clear();
        state.durable = state.names.clone();
        Ok(())
    }
}

struct Handle(Fake, usize);

impl Handle {
    fn apply(&self, change: Change) -> io::Result<()> {
        let state = &mut *self.0.0.lock().unwrap();
        if state.change()? && !state.dead {
            return Err(io::Error::other("fault"));
        }
        self.keep(state, change);
        state.alive()
    }

    fn keep(&self, state: &mut State, change: Change) {
        let content = &mut state.files[self.1];
        change.apply(&mut content.now);
        content.pending.push(change);
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        let state = self.0.0.lock().unwrap();
        state.alive()?;
        Ok(state.files[self.1].now.len() as u64)
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = &mut *self.0.0.lock().unwrap();
        state.alive()?;
        state.most_read = state.most_read.max(to.len());
        let bytes = state.files[self.1]
            .now
            .get(offset as usize..)
            .unwrap_or_default();
        let count = bytes.len().min(to.len());
        to[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn piece(&self) -> usize {
        self.0.0.lock().unwrap().piece.unwrap_or(Fake::PIECE)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        let state = &mut *self.0.0.lock().unwrap();
        let in_part = state.change()?;
        let end = offset as usize + from.len();
        let grows = end.saturating_sub(state.files[self.1].now.len());
        state.space(grows)?;
        let from = if in_part {
            &from[..from.len() / 2]
        } else {
            from
        };
        self.keep(state, Change::Write(offset as usize, from.to_vec()));
        state.alive()?;
        Ok(from.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.0.0.lock().unwrap();
        let changed = state.change();
        let content = &mut state.files[self.1];
        if !matches!(changed, Ok(false)) {
            if !state.dead {
                // The system takes for written what is not.
                content.pending.clear();
            }
            changed?;
            return Err(io::Error::other("fault"));
        }
        content.pending.clear();
        content.durable = content.now.clone();
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.apply(Change::Length(length as usize))
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let takes = self.0.0.lock().unwrap().reserving;
        thread::sleep(takes);
        let state = &mut *self.0.0.lock().unwrap();
        let now = state.files[self.1].now.len();
        let length = (length as usize).max(now);
        if state.change()? && !state.dead {
            return Err(io::Error::other("fault"));
        }
        state.space(length - now)?;
        self.keep(state, Change::Length(length));
        state.alive()
    }
}
