//! Logs that were changed by chance, from those in tests/data/wal: bytes anywhere, whole stretches and files, and records
//! and headers whose checksums are right again. `WIREBIRD_FUZZ_CASES` sets how many there are; a longer run begins like
//! a shorter one.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::fake::Dice;
use super::super::format::{
    LAST_NUMBER, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, record_crc,
    segment_name,
};
use super::super::{check, dump, repair};
use super::*;

const CASES: u64 = 2000;
/// So often the tools look at real files.
const ON_DISK: u64 = 250;
const COPIES: [usize; 2] = [0, 2048];
const COPY: usize = 84;

struct Seed {
    fake: Fake,
    options: Options,
    /// All items that there ever were, with the files and places of their records.
    items: BTreeMap<(u32, u64), Vec<u8>>,
    records: Vec<Record>,
    live: BTreeSet<(u32, u64)>,
}

struct Record {
    file: String,
    place: std::ops::Range<usize>,
    items: Vec<(u32, u64)>,
}

impl Seed {
    fn all() -> Vec<Self> {
        let key = super::super::Key::new([0x11; 32]);
        [
            ("version-1", None),
            ("version-1-compressed", None),
            ("version-1-encrypted", Some(key)),
        ]
        .map(|(name, key)| Self::load(name, key))
        .into()
    }

    fn load(name: &str, key: Option<super::super::Key>) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wal");
        let directory = data.join(name);
        let fake = Fake::default();
        for file in std::fs::read_dir(&directory).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            fake.put(&name, std::fs::read(file.path()).unwrap());
        }
        let (mut items, mut records) = (BTreeMap::new(), Vec::<Record>::new());
        dump(&directory, key.as_ref(), |dumped| {
            let Operation::ItemAppended {
                queue,
                item,
                message,
                ..
            } = dumped.operation
            else {
                return;
            };
            items.insert((queue, item), message.to_vec());
            let start = dumped.offset as usize;
            match records.last_mut() {
                Some(last) if last.file == dumped.file && last.place.start == start => {
                    last.items.push((queue, item));
                }
                _ => {
                    let bytes = fake.content(dumped.file);
                    let length: [u8; 4] = bytes[start + 16..][..4].try_into().unwrap();
                    let length = u32::from_le_bytes(length) as usize;
                    records.push(Record {
                        file: dumped.file.into(),
                        place: start..start + RECORD_HEADER + length,
                        items: vec![(queue, item)],
                    });
                }
            }
        })
        .unwrap();
        let options = Options { key, ..options() };
        let live = super::items(&open(&fake, options.clone()).unwrap());
        fake.restart();
        Self {
            live: live.into_keys().collect(),
            fake,
            options,
            items,
            records,
        }
    }

    /// The items that nothing excuses if they are missing: their records and the headers of their files are as they were.
    fn intact(&self, fake: &Fake) -> BTreeSet<(u32, u64)> {
        let names = fake.names();
        let is_intact = |record: &&Record| {
            let before = self.fake.content(&record.file);
            names.contains(&record.file) && {
                let now = fake.content(&record.file);
                let same =
                    |place: std::ops::Range<usize>| now.get(place.clone()) == before.get(place);
                same(record.place.clone()) && COPIES.iter().any(|&at| same(at..at + COPY))
            }
        };
        let intact = self.records.iter().filter(is_intact);
        let items = intact.flat_map(|record| record.items.iter().copied());
        items.filter(|item| self.live.contains(item)).collect()
    }
}

/// What changes by chance leave to be expected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// What was not touched is found.
    InPlace,
    /// Something stands where it did not, and may be taken for what is there.
    Moved,
    /// Somebody who can compute checksums was there: anything may be said, but it is taken or refused as a whole.
    Forged,
}

struct Chance(Dice);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0.roll(limit.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        let dull = [0, 1, 0x7f, 0x80, 0xff];
        match self.below(2) {
            0 => dull[self.below(dull.len())],
            _ => self.below(256) as u8,
        }
    }

    /// A place in a segment, most often behind the header.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let from = if self.below(4) == 0 {
            0
        } else {
            SEGMENT_HEADER.min(bytes.len())
        };
        from + self.below(bytes.len() - from)
    }

    fn stretch(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.place(bytes).min(bytes.len());
        let most = [8, 100, 2000, usize::MAX][self.below(4)];
        let length = self.below(most.min(bytes.len() - start) + 1);
        start..start + length
    }

    fn change(&mut self, fake: &Fake) -> Change {
        let names: Vec<String> = fake.names();
        let segments: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with("seg"))
            .collect();
        let Some(&name) = segments.get(self.below(segments.len())) else {
            return Change::InPlace;
        };
        let mut bytes = fake.content(name);
        let change = match self.below(12) {
            0 | 1 => {
                let at = self.place(&bytes);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
                Change::InPlace
            }
            2 => {
                let stretch = self.stretch(&bytes);
                let byte = self.byte();
                bytes[stretch].fill(byte);
                Change::InPlace
            }
            3 => {
                let stretch = self.stretch(&bytes);
                bytes[stretch].fill_with(|| self.byte());
                Change::InPlace
            }
            4 => {
                bytes.truncate(self.place(&bytes));
                Change::InPlace
            }
            5 => {
                let more = self.below(9000);
                let byte = self.byte();
                bytes.resize(bytes.len() + more, byte);
                Change::InPlace
            }
            6 => {
                let stretch = self.stretch(&bytes);
                bytes.drain(stretch);
                Change::Moved
            }
            7 => {
                let from = fake.content(segments[self.below(segments.len())]);
                let part = from[self.stretch(&from)].to_vec();
                let to = self.place(&bytes).next_multiple_of(8).min(bytes.len());
                let over = [0, part.len()][self.below(2)].min(bytes.len() - to);
                bytes.splice(to..to + over, part);
                Change::Moved
            }
            8 => {
                fake.delete(name);
                return Change::Moved;
            }
            9 => {
                let numbers = [0, 1, 2, 3, 4, 9, LAST_NUMBER - 1, LAST_NUMBER, u64::MAX];
                let other = segment_name(numbers[self.below(numbers.len())]);
                if names.contains(&other) {
                    fake.delete(&other);
                }
                fake.put(&other, bytes);
                if other != *name && self.below(2) == 0 {
                    fake.delete(name);
                }
                return Change::Moved;
            }
            10 => self.forge_header(&mut bytes),
            _ => self.forge_record(&mut bytes),
        };
        fake.edit(name, |content| *content = bytes);
        change
    }

    fn forge_header(&mut self, bytes: &mut [u8]) -> Change {
        let (at, byte) = (self.below(COPY - 4), self.byte());
        for copy in COPIES {
            if let Some(copy) = bytes.get_mut(copy..copy + COPY) {
                copy[at] = byte;
                let crc = crc32c::crc32c(&copy[..COPY - 4]);
                copy[COPY - 4..].copy_from_slice(&crc.to_le_bytes());
            }
        }
        Change::Forged
    }

    fn forge_record(&mut self, bytes: &mut [u8]) -> Change {
        let Some(mark) = bytes.get(16..24).map(<[u8]>::to_vec) else {
            return Change::InPlace;
        };
        let places: Vec<usize> = (SEGMENT_HEADER..bytes.len().saturating_sub(RECORD_HEADER))
            .step_by(8)
            .filter(|&at| bytes[at..at + 8] == mark)
            .collect();
        let Some(&at) = places.get(self.below(places.len())) else {
            return Change::InPlace;
        };
        let length = |bytes: &[u8]| {
            let length: [u8; 4] = bytes[at + 16..at + 20].try_into().unwrap();
            u32::from_le_bytes(length) as usize
        };
        for _ in 0..=self.below(3) {
            let within = RECORD_HEADER - 12 + length(bytes).min(bytes.len());
            let place = match self.below(4) {
                // The number, the length, the lag, the flags.
                0 => at + 8 + self.below(20),
                _ => at + RECORD_HEADER + self.below(within),
            };
            match (self.below(6), bytes.get_mut(at + 8..at + 16)) {
                (0, Some(number)) => {
                    let numbers = [0, 1, 5, 1 << 40, LAST_NUMBER - 1, LAST_NUMBER, u64::MAX];
                    number.copy_from_slice(&numbers[self.below(7)].to_le_bytes());
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = self.byte();
                    }
                }
            }
        }
        let payload = bytes.get(at + RECORD_HEADER..at + RECORD_HEADER + length(bytes));
        if let Some(payload) = payload {
            let crc = record_crc(&bytes[at..at + RECORD_HEADER - 4], payload);
            bytes[at + RECORD_HEADER - 4..at + RECORD_HEADER].copy_from_slice(&crc.to_le_bytes());
        }
        Change::Forged
    }
}

/// What an opened log holds, and how many keys. Only who can compute checksums can have an item come twice.
fn found(recovered: &Recovered, change: Change) -> (Items, usize) {
    let (mut items, mut keys) = (Items::new(), 0);
    let read = recovered.entries(|entry| match entry {
        Entry::Item {
            queue,
            item,
            meta,
            message,
        } => {
            let before = items.insert((queue, item), (meta, message.to_vec()));
            assert!(
                before.is_none() || change == Change::Forged,
                "{item} comes twice"
            );
        }
        Entry::Dedupe { .. } => keys += 1,
    });
    read.unwrap();
    (items, keys)
}

fn survive(seed: &Seed, fake: &Fake, change: Change, case: u64) {
    let refused = |error: &WalError| {
        let allowed = match error {
            WalError::Version { .. }
            | WalError::Unknown { .. }
            | WalError::WrongKey { .. }
            | WalError::KeyMissing { .. } => change == Change::Forged,
            WalError::Stopped { reason } => reason.contains("numbers are beyond"),
            _ => false,
        };
        assert!(allowed, "case {case}: {error}");
    };
    let recovered = match open(fake, seed.options.clone()) {
        Ok(recovered) => recovered,
        Err(error) => return refused(&error),
    };
    let (left, keys) = found(&recovered, change);
    if change < Change::Forged {
        for (id, (_, message)) in &left {
            assert_eq!(seed.items.get(id), Some(message), "case {case}: {id:?}");
        }
    }
    if change == Change::InPlace {
        for id in seed.intact(fake) {
            assert!(left.contains_key(&id), "case {case}: {id:?} is lost");
        }
    }
    let report = recovered.report().clone();
    drop(recovered);
    let again = open(fake, seed.options.clone()).unwrap();
    assert_eq!(
        (found(&again, change), again.report()),
        ((left.clone(), keys), &report)
    );
    match again.writer(Box::new(|| {})) {
        Ok(written) => drop(written),
        Err(error) => return refused(&error),
    }
    let strict = Options {
        // A header that lies about its first record goes on doing so.
        strict: change < Change::Forged,
        ..seed.options.clone()
    };
    let after = open(fake, strict).unwrap_or_else(|error| panic!("case {case}, again: {error}"));
    assert_eq!(found(&after, change).0, left, "case {case}, again");
    if change < Change::Forged {
        assert_eq!(after.report().torn, None, "case {case}, again");
    }
}

/// The tools do with files what opening does.
fn survive_on_disk(seed: &Seed, fake: &Fake, change: Change, case: u64) {
    // In memory where there is such a place: this is not about what the system does with files.
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = made.unwrap();
    for name in fake.names() {
        std::fs::write(directory.path().join(&name), fake.content(&name)).unwrap();
    }
    let key = seed.options.key.as_ref();
    let checked = check(directory.path(), key);
    let opened = open(fake, seed.options.clone()).map(|recovered| recovered.report().clone());
    if let Ok(report) = &opened {
        assert_eq!(checked.as_ref(), Ok(report), "case {case}");
    }
    assert_eq!(checked.is_ok(), opened.is_ok(), "case {case}");
    if let Ok(repaired) = repair(directory.path(), key) {
        let after = check(directory.path(), key).unwrap();
        if change < Change::Forged {
            assert!(after.is_sound() && after.torn.is_none(), "case {case}");
        }
        assert_eq!(after.items, repaired.items, "case {case}");
    }
}

/// Kilobytes that this process had in memory at most.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[test]
fn a_log_that_was_changed_by_chance_opens_as_far_as_it_is_intact_and_opens_again() {
    let cases = std::env::var("WIREBIRD_FUZZ_CASES");
    let cases = cases.map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let seeds = Seed::all();
    let before = most_memory();
    for case in 0..cases {
        let mut chance = Chance(Dice(case.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let seed = &seeds[chance.below(seeds.len())];
        let fake = seed.fake.fork();
        let changes = 1 + chance.below(4);
        let change = (0..changes).map(|_| chance.change(&fake)).max().unwrap();
        if case % ON_DISK == 0 {
            survive_on_disk(seed, &fake.fork(), change, case);
        }
        survive(seed, &fake, change, case);
    }
    // The files have a few kilobytes, and lengths in them may say a gigabyte.
    let more = most_memory() - before;
    assert!(more < 256 << 10, "{more} kB");
}

/// A changed encoding that reads its own output would pass all tests but this.
#[test]
fn a_sample_is_written_as_it_is_read_byte_by_byte() {
    for seed in Seed::all().iter().step_by(2) {
        for (number, name) in [1, 2].map(|number| (number, segment_name(number))) {
            let bytes = seed.fake.content(&name);
            let read = SegmentHeader::read(&bytes, number);
            let super::super::format::HeaderRead::Sound(header) = read else {
                panic!("{name}: {read:?}");
            };
            assert_eq!(header.write(), bytes[..SEGMENT_HEADER], "{name}");
            let key = seed.options.key.as_ref();
            let sealer = super::super::seal::Sealer::of(&header, key).unwrap();
            let mut at = SEGMENT_HEADER;
            while at < bytes.len() {
                let (record, stored) = RecordHeader::read(&bytes[at..], sealer.mark()).unwrap();
                let payload = sealer.open(&record, stored).unwrap();
                let mut sealed = Vec::new();
                sealer.seal(&mut sealed, record.number, record.lag, &payload);
                // How well something is compressed may change.
                if record.flags & 1 == 0 {
                    assert_eq!(sealed, bytes[at..at + sealed.len()], "{name} at {at}");
                    at += sealed.len();
                } else {
                    at += super::super::format::record_size(record.length);
                }
            }
        }
    }
}
