//! The records of a segment's bytes, and the stretches between them that are none.

use super::format::{ALIGN, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, record_size};

/// So much is compared with zeros at once.
const PAGE: usize = 4096;
static BLANK: [u8; PAGE] = [0; PAGE];

/// As memory is compared: bytes looked at one by one take seconds in a debug build, and segments are mostly blank.
fn is_blank(page: &[u8]) -> bool {
    BLANK.get(..page.len()) == Some(page)
}

/// How long it is without the zeros at its end.
pub(super) fn used(mut bytes: &[u8]) -> usize {
    while let Some((rest, page)) = bytes.split_last_chunk::<PAGE>()
        && is_blank(page)
    {
        bytes = rest;
    }
    let last = bytes.iter().rposition(|&byte| byte != 0);
    last.map_or(0, |last| last + 1)
}

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
        self.may_follow(&found.0).then_some(found)
    }

    fn may_follow(&self, header: &RecordHeader) -> bool {
        header.number >= self.expected && self.until.is_none_or(|until| header.number < until)
    }

    /// Where the next sound record begins that may follow.
    fn search(&self) -> Option<(usize, u64)> {
        let mark = self.mark.to_le_bytes();
        let mut at = self.at + ALIGN;
        loop {
            let rest = self.bytes.get(at..)?;
            let page = rest.get(..rest.len().min(PAGE))?;
            if page.len() < ALIGN {
                return None;
            }
            let mut words = page.chunks_exact(ALIGN);
            let found = if is_blank(page) {
                None
            } else {
                words.position(|word| *word == mark)
            };
            let Some(index) = found else {
                at += page.len().next_multiple_of(ALIGN);
                continue;
            };
            at += index * ALIGN;
            match RecordHeader::read(self.bytes.get(at..)?, self.mark) {
                Some((header, _)) if self.may_follow(&header) => return Some((at, header.number)),
                // Of a former use of the file: what was written since is not inside of it, or it would not be sound.
                Some((header, _)) => at += record_size(header.length),
                None => at += ALIGN,
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::seal::Sealer;
    use super::*;

    const MARK: u64 = 0x0123_4567_89ab_cdef;

    fn put(to: &mut Vec<u8>, number: u64, payload: &[u8]) {
        Sealer::plain(MARK).seal(to, number, 1, payload);
    }

    #[test]
    fn the_zeros_at_the_end_are_not_used() {
        for (length, zeros) in [(0, 0), (0, 5), (3, 0), (3, 9000), (5000, 4096), (9000, 1)] {
            let bytes = [vec![7; length], vec![0; zeros]].concat();
            assert_eq!(used(&bytes), length);
        }
    }

    #[test]
    fn a_record_is_found_behind_pages_of_zeros_and_records_of_a_former_use() {
        for zeros in [8, 4096, 4104, 20_000] {
            let mut bytes = vec![0; SEGMENT_HEADER];
            put(&mut bytes, 70, b"first");
            bytes.resize(bytes.len() + zeros, 0);
            put(&mut bytes, 3, &[5; 9000]);
            put(&mut bytes, 4, b"");
            let at = bytes.len();
            put(&mut bytes, 72, b"third");
            let end = bytes.len();
            bytes.extend([9; 13]);
            let parts: Vec<_> = Scan::new(&bytes, MARK, 70, None).collect();
            let [first, damage, third, last] = &parts[..] else {
                panic!("{parts:?}");
            };
            assert!(matches!(
                first,
                Part::Record {
                    stored: b"first",
                    ..
                }
            ));
            assert!(
                matches!(*damage, Part::Damage { to, first: 71, last: 71, .. } if to == at),
                "{damage:?}"
            );
            assert!(matches!(
                third,
                Part::Record {
                    stored: b"third",
                    ..
                }
            ));
            assert_eq!(
                *last,
                Part::End {
                    offset: end,
                    torn: true
                }
            );
        }
    }
}
