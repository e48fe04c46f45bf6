//! A file of which a piece is in memory at a time, whatever its length.

use std::io;

use super::storage::File;

/// So much is read at once.
pub(super) const PIECE: usize = 4 << 20;

pub(super) struct Window {
    file: Box<dyn File>,
    length: u64,
    piece: usize,
    /// Longer than a piece once more was asked for.
    buffer: Vec<u8>,
    /// What the buffer has of the file.
    from: u64,
    held: usize,
}

impl Window {
    /// A file is not read further than `most`.
    pub(super) fn open(file: Box<dyn File>, most: u64) -> io::Result<Self> {
        Ok(Self {
            length: file.len()?.min(most),
            piece: file.piece(),
            file,
            buffer: Vec::new(),
            from: 0,
            held: 0,
        })
    }

    /// How long the file is.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// How much is in memory without the need for more. What is asked for beyond it makes it grow.
    pub(super) fn piece(&self) -> usize {
        self.piece
    }

    /// The bytes from `at` on, less than `count` only where the file ends.
    pub(super) fn bytes(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let start = match self.start(at, count) {
            Some(start) => start,
            None => {
                self.load(at, count.max(self.piece).min(left))?;
                0
            }
        };
        let end = (start + count).min(self.held);
        Ok(self.buffer.get(start..end).unwrap_or_default())
    }

    /// Where in the buffer they are, if they are.
    fn start(&self, at: u64, count: usize) -> Option<usize> {
        let start = usize::try_from(at.checked_sub(self.from)?).ok()?;
        (start.checked_add(count)? <= self.held).then_some(start)
    }

    fn load(&mut self, at: u64, count: usize) -> io::Result<()> {
        self.held = 0;
        if self.buffer.len() < count {
            // What was there is gone before there is more.
            self.buffer = Vec::new();
            self.buffer = vec![0; count];
        }
        self.from = at;
        while self.held < count {
            let to = self.buffer.get_mut(self.held..count).unwrap_or_default();
            match self.file.read_at(to, at + self.held as u64) {
                Ok(0) => {
                    self.length = at + self.held as u64;
                    break;
                }
                Ok(read) => self.held += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.len()
    }

    /// How much of the bytes there is without the zeros at their end.
    pub(super) fn used(&mut self, from: u64, to: u64) -> io::Result<u64> {
        let mut to = to.min(self.length).max(from);
        while to > from {
            let start = to.saturating_sub(self.piece as u64).max(from);
            let bytes = self.bytes(start, (to - start) as usize)?;
            let used = used(bytes) as u64;
            if used > 0 {
                return Ok(start + used - from);
            }
            to = start;
        }
        Ok(0)
    }
}

/// So much is compared with zeros at once.
pub(super) const PAGE: usize = 4096;
static BLANK: [u8; PAGE] = [0; PAGE];

/// As memory is compared: bytes looked at one by one take seconds in a debug build, and segments are mostly blank.
pub(super) fn is_blank(page: &[u8]) -> bool {
    BLANK.get(..page.len()) == Some(page)
}

/// How long it is without the zeros at its end.
fn used(mut bytes: &[u8]) -> usize {
    while let Some((rest, page)) = bytes.split_last_chunk::<PAGE>()
        && is_blank(page)
    {
        bytes = rest;
    }
    let last = bytes.iter().rposition(|&byte| byte != 0);
    last.map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::storage::Storage;
    use super::*;

    fn window(bytes: &[u8], piece: usize) -> Window {
        let fake = Fake::default();
        fake.put("file", bytes.to_vec());
        fake.set_piece(piece);
        Window::open(fake.open("file").unwrap(), u64::MAX).unwrap()
    }

    #[test]
    fn the_zeros_at_the_end_are_not_used() {
        for (length, zeros) in [(0, 0), (0, 5), (3, 0), (3, 9000), (5000, 4096), (9000, 1)] {
            let bytes = [vec![7; length], vec![0; zeros]].concat();
            assert_eq!(used(&bytes), length);
            for piece in [1, 7, 4096, 100_000] {
                let mut window = window(&bytes, piece);
                for from in [0, length / 2, length] {
                    let all = bytes.len() as u64;
                    let used = window.used(from as u64, all).unwrap();
                    assert_eq!(used, (length - from) as u64);
                    assert_eq!(window.used(all, from as u64).unwrap(), 0);
                }
            }
        }
    }

    #[test]
    fn bytes_are_the_files_whatever_the_piece_and_the_order() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * i) as u8).collect();
        for piece in [1, 10, 333, 5000] {
            let mut window = window(&bytes, piece);
            for (at, count) in [
                (0, 10),
                (990, 50),
                (5, 5),
                (400, 600),
                (0, 1000),
                (1000, 1),
                (1001, 1),
            ] {
                let expected = bytes.iter().skip(at).take(count).copied();
                let expected: Vec<u8> = expected.collect();
                assert_eq!(window.bytes(at as u64, count).unwrap(), expected);
            }
        }
    }

    #[test]
    fn memory_has_a_piece_or_what_was_asked_for() {
        let mut window = window(&[7; 10_000], 100);
        for at in 0..9990 {
            window.bytes(at, 10).unwrap();
        }
        assert_eq!(window.memory(), 100);
        window.bytes(50, 3000).unwrap();
        assert_eq!(window.memory(), 3000);
        window.bytes(0, 10).unwrap();
        assert_eq!(window.held, 100);
    }
}
