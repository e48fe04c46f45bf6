//! The records of a segment's bytes, and the stretches between them that are none.

use super::format::{ALIGN, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, record_size};

/// A part of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Record {
        offset: usize,
        header: RecordHeader,
        stored: &'a [u8],
    },
    /// Something that is no record, where `first` to `last` should be.
    Damage {
        from: usize,
        to: usize,
        first: u64,
        last: u64,
    },
    /// No more records. Torn if there is something all the same.
    End { offset: usize, torn: bool },
}

/// Goes through the bytes of a segment.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    mark: u64,
    at: usize,
    expected: u64,
    /// The first record of the next segment, if that is known.
    until: Option<u64>,
    over: bool,
}

impl<'a> Scan<'a> {
    /// Begins behind the header, where the record `expected` should be.
    pub(super) fn new(bytes: &'a [u8], mark: u64, expected: u64, until: Option<u64>) -> Self {
        let expected = expected.max(1);
        Self {
            bytes,
            mark,
            at: SEGMENT_HEADER,
            expected,
            until: until.filter(|&until| until >= expected),
            over: false,
        }
    }

    /// The record that is expected next.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    fn read(&self, at: usize) -> Option<(RecordHeader, &'a [u8])> {
        let found = RecordHeader::read(self.bytes.get(at..)?, self.mark)?;
        let fits = found.0.number >= self.expected
            && self.until.is_none_or(|until| found.0.number < until);
        fits.then_some(found)
    }

    /// Where the next sound record begins that may follow.
    fn search(&self) -> Option<(usize, u64)> {
        let mark = self.mark.to_le_bytes();
        let start = self.at + ALIGN;
        let words = self.bytes.get(start..)?.chunks_exact(ALIGN);
        let marks = words.enumerate().filter(|(_, word)| *word == mark);
        let mut places = marks.map(|(index, _)| start + index * ALIGN);
        places.find_map(|at| Some((at, self.read(at)?.0.number)))
    }

    fn end(&mut self) -> Part<'a> {
        self.over = true;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let torn = rest.iter().take(RECORD_HEADER).any(|&byte| byte != 0);
        Part::End {
            offset: self.at.min(self.bytes.len()),
            torn,
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.over {
            return None;
        }
        if self.until == Some(self.expected) {
            self.over = true;
            return None;
        }
        if let Some((header, stored)) = self.read(self.at)
            && header.number == self.expected
        {
            let offset = self.at;
            self.at += record_size(header.length);
            self.expected = self.expected.saturating_add(1);
            return Some(Part::Record {
                offset,
                header,
                stored,
            });
        }
        let (to, next) = match (self.search(), self.until) {
            (Some(found), _) => found,
            (None, Some(until)) => (self.bytes.len(), until),
            (None, None) => return Some(self.end()),
        };
        let damage = Part::Damage {
            from: self.at.min(to),
            to,
            first: self.expected,
            last: next - 1,
        };
        self.at = to;
        self.expected = next;
        Some(damage)
    }
}
