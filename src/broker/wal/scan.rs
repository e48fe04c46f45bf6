//! The records of a segment, and the stretches between them that are none.
//!
//! Of a record that is longer than a piece, nothing is held before its checksum was found right: what a damaged length
//! says costs no memory.

use std::io;

use super::format::{ALIGN, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, record_size};
use super::window::{PAGE, Window, is_blank};

/// A part of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Record {
        offset: u64,
        header: RecordHeader,
        stored: &'a [u8],
    },
    /// Something that is no record, where `first` to `last` should be.
    Damage {
        from: u64,
        to: u64,
        first: u64,
        last: u64,
    },
    /// No more records. Torn if there is something all the same.
    End { offset: u64, torn: bool },
}

/// Goes through the records of a segment.
pub(super) struct Scan<'a> {
    window: &'a mut Window,
    mark: u64,
    at: u64,
    expected: u64,
    /// The first record of the next segment, if that is known.
    until: Option<u64>,
    over: bool,
}

impl<'a> Scan<'a> {
    /// Begins behind the header, where the record `expected` should be.
    pub(super) fn new(
        window: &'a mut Window,
        mark: u64,
        expected: u64,
        until: Option<u64>,
    ) -> Self {
        let expected = expected.max(1);
        Self {
            window,
            mark,
            at: SEGMENT_HEADER as u64,
            expected,
            until: until.filter(|&until| until >= expected),
            over: false,
        }
    }

    /// The record that is expected next.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// How much of the bytes there is without the zeros at their end.
    pub(super) fn used(&mut self, from: u64, to: u64) -> io::Result<u64> {
        self.window.used(from, to)
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Part<'_>>> {
        if self.over {
            return Ok(None);
        }
        if self.until == Some(self.expected) {
            self.over = true;
            return Ok(None);
        }
        if let Some(header) = self.sound(self.at)?
            && header.number == self.expected
            && self.may_follow(&header)
        {
            let offset = self.at;
            self.at += record_size(header.length) as u64;
            self.expected = self.expected.saturating_add(1);
            let payload = offset + RECORD_HEADER as u64;
            return Ok(Some(Part::Record {
                offset,
                header,
                stored: self.window.bytes(payload, header.length)?,
            }));
        }
        let (to, next) = match (self.search()?, self.until) {
            (Some(found), _) => found,
            (None, Some(until)) => (self.window.len(), until),
            (None, None) => return self.end().map(Some),
        };
        let damage = Part::Damage {
            from: self.at.min(to),
            to,
            first: self.expected,
            last: next - 1,
        };
        self.at = to;
        self.expected = next;
        Ok(Some(damage))
    }

    /// The sound record that begins there.
    fn sound(&mut self, at: u64) -> io::Result<Option<RecordHeader>> {
        let head = self.window.bytes(at, RECORD_HEADER)?;
        let Some((header, mut sum)) = RecordHeader::begin(head, self.mark) else {
            return Ok(None);
        };
        let mut at = at + RECORD_HEADER as u64;
        let mut left = header.length;
        if at + left as u64 > self.window.len() {
            return Ok(None);
        }
        let piece = self.window.piece();
        while left > 0 {
            let part = self.window.bytes(at, left.min(piece))?;
            if part.is_empty() {
                return Ok(None);
            }
            sum.add(part);
            at += part.len() as u64;
            left -= part.len();
        }
        Ok(sum.is_right().then_some(header))
    }

    fn may_follow(&self, header: &RecordHeader) -> bool {
        header.number >= self.expected && self.until.is_none_or(|until| header.number < until)
    }

    /// Where the next sound record begins that may follow.
    fn search(&mut self) -> io::Result<Option<(u64, u64)>> {
        let mark = self.mark.to_le_bytes();
        let mut at = self.at + ALIGN as u64;
        loop {
            let page = self.window.bytes(at, PAGE)?;
            if page.len() < ALIGN {
                return Ok(None);
            }
            let mut words = page.chunks_exact(ALIGN);
            let found = if is_blank(page) {
                None
            } else {
                words.position(|word| *word == mark)
            };
            let Some(index) = found else {
                at += page.len().next_multiple_of(ALIGN) as u64;
                continue;
            };
            at += (index * ALIGN) as u64;
            match self.sound(at)? {
                Some(header) if self.may_follow(&header) => return Ok(Some((at, header.number))),
                // Of a former use of the file: what was written since is not inside of it, or it would not be sound.
                Some(header) => at += record_size(header.length) as u64,
                None => at += ALIGN as u64,
            }
        }
    }

    fn end(&mut self) -> io::Result<Part<'static>> {
        self.over = true;
        let rest = self.window.bytes(self.at, RECORD_HEADER)?;
        let torn = rest.iter().any(|&byte| byte != 0);
        Ok(Part::End {
            offset: self.at.min(self.window.len()),
            torn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Dice, Fake};
    use super::super::seal::Sealer;
    use super::super::storage::Storage;
    use super::*;

    const MARK: u64 = 0x0123_4567_89ab_cdef;

    fn put(to: &mut Vec<u8>, number: u64, payload: &[u8]) {
        Sealer::plain(MARK).seal(to, number, 1, payload);
    }

    fn window(bytes: &[u8], piece: usize) -> Window {
        let fake = Fake::default();
        fake.put("file", bytes.to_vec());
        fake.set_piece(piece);
        Window::open(fake.open("file").unwrap(), u64::MAX).unwrap()
    }

    #[test]
    fn a_record_is_found_behind_pages_of_zeros_and_records_of_a_former_use() {
        for (zeros, piece) in [(8, 99), (4096, 4096), (4104, 8192), (20_000, 100_000)] {
            let mut bytes = vec![0; SEGMENT_HEADER];
            put(&mut bytes, 70, b"first");
            bytes.resize(bytes.len() + zeros, 0);
            put(&mut bytes, 3, &[5; 9000]);
            put(&mut bytes, 4, b"");
            let at = bytes.len() as u64;
            put(&mut bytes, 72, b"third");
            let end = bytes.len() as u64;
            bytes.extend([9; 13]);
            let mut window = window(&bytes, piece);
            let mut scan = Scan::new(&mut window, MARK, 70, None);
            let stored = |part: Option<Part<'_>>| match part {
                Some(Part::Record { stored, .. }) => stored.to_vec(),
                part => panic!("{part:?}"),
            };
            assert_eq!(stored(scan.next().unwrap()), b"first");
            let damage = scan.next().unwrap();
            assert!(
                matches!(damage, Some(Part::Damage { to, first: 71, last: 71, .. }) if to == at),
                "{damage:?}"
            );
            assert_eq!(stored(scan.next().unwrap()), b"third");
            let last = Part::End {
                offset: end,
                torn: true,
            };
            assert_eq!(scan.next().unwrap(), Some(last));
            assert_eq!(scan.next().unwrap(), None);
        }
    }

    #[test]
    fn the_parts_are_the_same_whatever_the_piece() {
        let parts = |bytes: &[u8], piece, until| {
            let mut window = window(bytes, piece);
            let mut scan = Scan::new(&mut window, MARK, 1, until);
            let mut parts = Vec::new();
            while let Some(part) = scan.next().unwrap() {
                parts.push(format!("{part:?}"));
            }
            parts
        };
        let mut dice = Dice(1);
        for _ in 0..50 {
            let mut bytes = vec![0; SEGMENT_HEADER];
            for number in 1..20 {
                let length = match dice.roll(10) {
                    0 => 10_000 + dice.roll(10_000),
                    _ => dice.roll(600),
                };
                put(&mut bytes, number, &vec![number as u8; length as usize]);
            }
            bytes.resize(bytes.len() + dice.roll(9000) as usize, 0);
            for _ in 0..dice.roll(4) {
                let at = SEGMENT_HEADER as u64 + dice.roll((bytes.len() - SEGMENT_HEADER) as u64);
                match dice.roll(3) {
                    0 => bytes[at as usize..].fill(0),
                    1 => bytes.truncate(at as usize + 1),
                    _ => bytes[at as usize] ^= 1 << dice.roll(8),
                }
            }
            for until in [None, Some(20), Some(25)] {
                let whole = parts(&bytes, bytes.len(), until);
                for piece in [1, 100, 4096, 5000, 12_288] {
                    assert_eq!(parts(&bytes, piece, until), whole, "pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn a_length_that_is_wrong_costs_no_memory() {
        let mut bytes = vec![0; SEGMENT_HEADER];
        put(&mut bytes, 1, &[5; 100_000]);
        let fake = Fake::default();
        let mut lying = bytes.clone();
        lying[SEGMENT_HEADER + RECORD_HEADER + 70_000] ^= 1;
        for (name, bytes, most) in [("sound", bytes, 100_000), ("lying", lying, 5000)] {
            fake.put(name, bytes);
            fake.set_piece(5000);
            let mut window = Window::open(fake.open(name).unwrap(), u64::MAX).unwrap();
            let mut scan = Scan::new(&mut window, MARK, 1, None);
            while scan.next().unwrap().is_some() {}
            assert_eq!(window.memory(), most, "{name}");
        }
    }
}
