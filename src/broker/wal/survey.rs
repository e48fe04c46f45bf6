//! What there is in a log's directory, and what is missing.
//!
//! The survey only reads. It goes over all segments once, a piece in memory at a time, and applies what is sound.

use std::io;

use super::error::{DIRECTORY, UnknownPart, WalError, io_error};
use super::format::{
    HeaderRead, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, mark, segment_name,
    segment_number,
};
use super::live::Live;
use super::operation::{Fault, Operation, Operations};
use super::report::{Cut, Damage, Report};
use super::scan::{Part, Scan};
use super::seal::{Key, Sealer, Unsealed};
use super::storage::{Storage, read_up_to};
use super::window::Window;

/// No segment is read further.
pub(super) const MOST_READ: u64 = 3 << 30;

/// A segment that stays part of the log.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) number: u64,
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) header: SegmentHeader,
    pub(super) until: Option<u64>,
}

/// What a segment's header says of it.
enum Claim {
    Used(SegmentHeader),
    /// Nothing was written to it in its present use.
    Unused,
    Lost,
}

struct Candidate {
    number: u64,
    claim: Claim,
}

/// What is in the directory.
pub(super) struct Survey {
    pub(super) live: Live,
    pub(super) report: Report,
    pub(super) kept: Vec<Kept>,
    pub(super) log: Option<[u8; 16]>,
    pub(super) next_number: u64,
    pub(super) next_segment: u64,
    /// Segments that were prepared and not used.
    pub(super) unused: Vec<u64>,
    /// Segments of which nothing can be read.
    pub(super) lost: Vec<u64>,
    /// Segments whose header can be written anew.
    pub(super) headless: Vec<SegmentHeader>,
    /// Where the last segment ends.
    pub(super) cut: Option<(u64, u64)>,
}

/// An operation, and where it stands.
pub(super) struct Seen<'a> {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) record: u64,
    pub(super) operation: Operation<'a>,
}

type Each<'a> = &'a mut dyn FnMut(Seen<'_>);

// ---- the survey ----

pub(super) fn survey(
    storage: &dyn Storage,
    key: Option<&Key>,
    each: Each<'_>,
) -> Result<Survey, WalError> {
    let candidates = candidates(storage)?;
    let next_segment = candidates
        .last()
        .map_or(1, |last| last.number.saturating_add(1));
    let log = candidates
        .iter()
        .find_map(|candidate| match candidate.claim {
            Claim::Used(header) => Some(header.log),
            _ => None,
        });
    let mut reading = Reading {
        key,
        each,
        pending: Vec::new(),
        expected: None,
        synced: 0,
        survey: Survey {
            live: Live::default(),
            report: Report::default(),
            kept: Vec::new(),
            log,
            next_number: 1,
            next_segment,
            unused: Vec::new(),
            lost: Vec::new(),
            headless: Vec::new(),
            cut: None,
        },
    };
    for (at, candidate) in candidates.iter().enumerate() {
        let mut window = window(storage, candidate.number)?;
        reading.segment(candidate, candidates.get(at + 1), &mut window)?;
    }
    Ok(reading.finish())
}

/// A segment's file, to be read.
pub(super) fn window(storage: &dyn Storage, segment: u64) -> Result<Window, WalError> {
    let name = segment_name(segment);
    let file = storage.open(&name).map_err(io_error("open", &name))?;
    Window::open(file, MOST_READ).map_err(io_error("read", &name))
}

/// A segment cannot be read.
pub(super) fn unread(segment: u64) -> impl FnOnce(io::Error) -> WalError {
    move |error| io_error("read", &segment_name(segment))(error)
}

fn candidates(storage: &dyn Storage) -> Result<Vec<Candidate>, WalError> {
    let names = storage.list().map_err(io_error("list", DIRECTORY))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut log = None;
    let mut candidates = Vec::with_capacity(numbers.len());
    let mut head = Vec::new();
    for number in numbers {
        let name = segment_name(number);
        let file = storage.open(&name).map_err(io_error("open", &name))?;
        read_up_to(&*file, SEGMENT_HEADER as u64, &mut head).map_err(io_error("read", &name))?;
        let claim = match SegmentHeader::read(&head, number) {
            HeaderRead::Version(version) => {
                return Err(WalError::Version {
                    file: name,
                    version,
                });
            }
            HeaderRead::Sound(header) if header.log != *log.get_or_insert(header.log) => {
                Claim::Lost
            }
            HeaderRead::Sound(header) if header.segment == number => Claim::Used(header),
            HeaderRead::Sound(header) if header.segment < number => Claim::Unused,
            HeaderRead::Sound(_) | HeaderRead::Blank | HeaderRead::Damaged => Claim::Lost,
        };
        candidates.push(Candidate { number, claim });
    }
    // What is used behind it shows that it was used too.
    let used = |candidate: &Candidate| matches!(candidate.claim, Claim::Used(_));
    let last = candidates.iter().rposition(used).unwrap_or(0);
    for candidate in candidates.iter_mut().take(last) {
        if matches!(candidate.claim, Claim::Unused) {
            candidate.claim = Claim::Lost;
        }
    }
    Ok(candidates)
}

struct Reading<'a> {
    key: Option<&'a Key>,
    each: Each<'a>,
    survey: Survey,
    /// What is missing.
    pending: Vec<Damage>,
    /// The number of the next record, once there was one.
    expected: Option<u64>,
    /// The last record that another one says was synced.
    synced: u64,
}

impl Reading<'_> {
    fn segment(
        &mut self,
        candidate: &Candidate,
        next: Option<&Candidate>,
        window: &mut Window,
    ) -> Result<(), WalError> {
        let number = candidate.number;
        let until = match next {
            Some(&Candidate {
                number: following,
                claim: Claim::Used(header),
            }) if following == number.saturating_add(1) => Some(header.first),
            _ => None,
        };
        let is_last = next.is_none_or(|next| !matches!(next.claim, Claim::Used(_)));
        match candidate.claim {
            Claim::Unused => self.survey.unused.push(number),
            Claim::Used(header) => self.used(&header, until, is_last, window)?,
            Claim::Lost => self.headless(number, until, is_last, window)?,
        }
        Ok(())
    }

    fn used(
        &mut self,
        header: &SegmentHeader,
        until: Option<u64>,
        is_last: bool,
        window: &mut Window,
    ) -> Result<(), WalError> {
        let file = segment_name(header.segment);
        let Some(sealer) = Sealer::of(header, self.key) else {
            return Err(match self.key {
                Some(_) => WalError::WrongKey { file },
                None => WalError::KeyMissing { file },
            });
        };
        let expected = self.expected.unwrap_or(header.first);
        if header.first > expected {
            self.miss(header.segment, 0, 0, (expected, header.first - 1));
        }
        self.expected = Some(expected.max(header.first));
        let end = self.records(header.segment, until, window, &sealer)?;
        self.keep(*header, until, window.len());
        if is_last && let Some((offset, torn)) = end {
            self.survey.cut = Some((header.segment, offset));
            self.survey.report.torn = torn.then_some(Cut { file, offset });
        }
        Ok(())
    }

    fn keep(&mut self, header: SegmentHeader, until: Option<u64>, length: u64) {
        self.survey.report.segments += 1;
        self.survey.report.bytes += length;
        self.survey.kept.push(Kept {
            until,
            ..Kept::of(header)
        });
    }

    /// Reads a segment without a header, as far as its records are known by the log's mark and are not encrypted.
    fn headless(
        &mut self,
        number: u64,
        until: Option<u64>,
        is_last: bool,
        window: &mut Window,
    ) -> Result<(), WalError> {
        let length = window.len();
        let used = window.used(SEGMENT_HEADER as u64, length);
        let blank = used.map_err(unread(number))? == 0;
        let Some(log) = self.survey.log else {
            // Made, and never written to: its header is synced before anything else.
            if blank {
                self.survey.unused.push(number);
            } else {
                self.survey.lost.push(number);
                self.survey.report.damage.push(whole(number, length));
            }
            return Ok(());
        };
        let sealer = Sealer::plain(mark(&log));
        let first = match self.expected {
            Some(expected) => expected,
            None => {
                let mut scan = Scan::new(window, sealer.mark(), 1, until);
                match scan.next().map_err(unread(number))? {
                    Some(Part::Record { header, .. }) => header.number,
                    Some(Part::Damage { last, .. }) => last.saturating_add(1),
                    Some(Part::End { .. }) | None => 1,
                }
            }
        };
        self.expected = Some(first);
        let (pending, records) = (self.pending.len(), self.survey.report.records);
        self.records(number, until, window, &sealer)?;
        let last = self.expected.unwrap_or(first).saturating_sub(1);
        if self.survey.report.records > records {
            let header = SegmentHeader {
                encrypted: false,
                log,
                segment: number,
                first,
                salt: [0; 16],
                key_check: [0; 8],
            };
            self.survey.headless.push(header);
            let damage = Damage {
                length: SEGMENT_HEADER as u64,
                records: (first, first.saturating_sub(1)),
                ..whole(number, length)
            };
            self.pending.insert(pending, damage);
            self.keep(header, until, length);
        } else if blank && last < first && is_last {
            self.survey.unused.push(number);
            if window.used(0, length).map_err(unread(number))? > 0 {
                let file = segment_name(number);
                self.survey.report.torn = Some(Cut { file, offset: 0 });
            }
        } else {
            self.pending.truncate(pending);
            self.survey.lost.push(number);
            let records = (first, last);
            let damage = Damage {
                records,
                ..whole(number, length)
            };
            self.pending.push(damage);
        }
        Ok(())
    }

    /// Returns where they end, if nothing says that there are more, and whether something is there all the same.
    fn records(
        &mut self,
        segment: u64,
        until: Option<u64>,
        window: &mut Window,
        sealer: &Sealer,
    ) -> Result<Option<(u64, bool)>, WalError> {
        let expected = self.expected.unwrap_or(1);
        let mut scan = Scan::new(window, sealer.mark(), expected, until);
        let mut end = None;
        while let Some(part) = scan.next().map_err(unread(segment))? {
            match part {
                Part::Record {
                    offset,
                    header,
                    stored,
                } => {
                    self.synced = self.synced.max(header.synced());
                    if self.record(segment, offset, &header, stored, sealer)? {
                        self.survey.report.records += 1;
                    } else {
                        let length = (RECORD_HEADER + stored.len()) as u64;
                        let number = header.number;
                        self.miss(segment, offset, length, (number, number));
                    }
                }
                Part::Damage {
                    from,
                    to,
                    first,
                    last,
                } if first <= last => {
                    let length = scan.used(from, to).map_err(unread(segment))?;
                    self.miss(segment, from, length, (first, last));
                }
                // Between records with successive numbers nothing is missing.
                Part::Damage { .. } => {}
                Part::End { offset, torn } => end = Some((offset, torn)),
            }
            self.expected = Some(scan.expected());
        }
        Ok(end)
    }

    /// Applies a record. Returns whether it could be read.
    fn record(
        &mut self,
        segment: u64,
        offset: u64,
        header: &RecordHeader,
        stored: &[u8],
        sealer: &Sealer,
    ) -> Result<bool, WalError> {
        let unknown = |what| WalError::Unknown {
            file: segment_name(segment),
            offset,
            what,
        };
        let payload = match sealer.open(header, stored) {
            Ok(payload) => payload,
            Err(Unsealed::Flags(flags)) => return Err(unknown(UnknownPart::Flags(flags))),
            Err(Unsealed::Damaged) => return Ok(false),
        };
        // As a whole or not at all.
        match Operations::new(&payload).find_map(Result::err) {
            Some(Fault::UnknownTag(tag)) => return Err(unknown(UnknownPart::Operation(tag))),
            Some(Fault::Malformed) => return Ok(false),
            None => {}
        }
        for operation in Operations::new(&payload).flatten() {
            self.survey.live.apply(&operation, segment);
            (self.each)(Seen {
                segment,
                offset,
                record: header.number,
                operation,
            });
        }
        Ok(true)
    }

    fn miss(&mut self, segment: u64, offset: u64, length: u64, records: (u64, u64)) {
        let damage = Damage {
            file: segment_name(segment),
            offset,
            length,
            records,
            side_file: None,
        };
        self.pending.push(damage);
    }

    fn finish(self) -> Survey {
        let mut survey = self.survey;
        let live = &mut survey.live;
        survey.report.nameless = live.name_the_nameless();
        survey.report.known = live.gaps().to_vec();
        for damage in self.pending {
            let (first, last) = damage.records;
            if first <= last && live.knows_gap(first, last) {
                continue;
            }
            if first <= self.synced {
                survey.report.damage.push(damage);
            } else if first <= last {
                // What was written after it says that it was not synced, so that nobody was told that it was kept.
                survey.report.unwritten.push((first, last));
            } else {
                let Damage { file, offset, .. } = damage;
                survey.report.torn = Some(Cut { file, offset });
            }
        }
        survey.report.queues = live.queues().count() as u64;
        survey.report.items = live.items();
        let past = live.gaps().iter().map(|&(_, last)| last.saturating_add(1));
        survey.next_number = past.fold(self.expected.unwrap_or(1).max(1), u64::max);
        survey
    }
}

fn whole(number: u64, length: u64) -> Damage {
    Damage {
        file: segment_name(number),
        offset: 0,
        length,
        records: (1, 0),
        side_file: None,
    }
}
