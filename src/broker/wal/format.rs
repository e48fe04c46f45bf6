//! The bytes of segment and record headers. All numbers are little-endian; docs/wal.md describes them.

/// Bytes in front of a segment's first record.
pub(super) const SEGMENT_HEADER: usize = 4096;
/// Where the second copy of the segment's header is, in another sector than the first.
const SECOND_COPY: usize = 2048;
/// Bytes of a copy.
const COPY: usize = 84;
const MAGIC: &[u8; 8] = b"WBIRDWAL";
pub(super) const VERSION: u16 = 1;

/// Bytes in front of a record's payload.
pub(super) const RECORD_HEADER: usize = 32;
/// Payloads are not longer, nor are they when inflated.
pub(super) const MAX_PAYLOAD: usize = 1 << 30;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;

pub(super) const COMPRESSED: u8 = 1;
pub(super) const ENCRYPTED: u8 = 2;

/// The last number of a segment or record that can be: adding to numbers never overflows. No log gets there, but bytes
/// may say anything.
pub(super) const LAST_NUMBER: u64 = u64::MAX >> 1;

/// A log is not written to whose numbers are higher: those that follow would come near to the last.
pub(super) const LAST_BEGUN: u64 = LAST_NUMBER >> 1;

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) encrypted: bool,
    pub(super) log: [u8; 16],
    pub(super) segment: u64,
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) salt: [u8; 16],
    /// Tells a wrong key from damage; zeros without encryption.
    pub(super) key_check: [u8; 8],
}

/// What the two copies of a header say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderRead {
    Sound(SegmentHeader),
    /// It is sound, and of a version that is not understood.
    Version(u16),
    /// There is nothing yet.
    Blank,
    Damaged,
}

impl SegmentHeader {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(SEGMENT_HEADER);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&u16::from(self.encrypted).to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&self.log);
        copy.extend_from_slice(&self.segment.to_le_bytes());
        copy.extend_from_slice(&self.first.to_le_bytes());
        copy.extend_from_slice(&[0; 8]);
        copy.extend_from_slice(&self.salt);
        copy.extend_from_slice(&self.key_check);
        let crc = crc32c::crc32c(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        let first = copy.clone();
        copy.resize(SECOND_COPY, 0);
        copy.extend_from_slice(&first);
        copy.resize(SEGMENT_HEADER, 0);
        copy
    }

    /// Reads either copy; `own` is preferred as the segment's number, as the other copy may be of a former use.
    pub(super) fn read(bytes: &[u8], own: u64) -> HeaderRead {
        let copies = [0, SECOND_COPY].map(|at| read_copy(bytes.get(at..).unwrap_or_default()));
        let is_own =
            |read: &&HeaderRead| matches!(read, HeaderRead::Sound(header) if header.segment == own);
        let is_said = |read: &&HeaderRead| !matches!(read, HeaderRead::Damaged);
        let said = copies.iter().find(is_own);
        match said.or_else(|| copies.iter().find(is_said)) {
            Some(read) => *read,
            None if bytes.iter().take(SEGMENT_HEADER).all(|&byte| byte == 0) => HeaderRead::Blank,
            None => HeaderRead::Damaged,
        }
    }

    pub(super) fn mark(&self) -> u64 {
        mark(&self.log)
    }
}

/// By what the log's records are known: clients cannot put it into a message, since they never see it.
pub(super) fn mark(log: &[u8; 16]) -> u64 {
    take(log, 0).map_or(0, u64::from_le_bytes)
}

fn read_copy(bytes: &[u8]) -> HeaderRead {
    let parsed = || -> Option<HeaderRead> {
        let copy = bytes.get(..COPY)?;
        let crc = take(copy, COPY - 4).map(u32::from_le_bytes)?;
        if copy.get(..8)? != MAGIC || crc32c::crc32c(copy.get(..COPY - 4)?) != crc {
            return None;
        }
        let version = take(copy, 8).map(u16::from_le_bytes)?;
        if version != VERSION {
            return Some(HeaderRead::Version(version));
        }
        let header = SegmentHeader {
            encrypted: take(copy, 10).map(u16::from_le_bytes)? & 1 != 0,
            log: take(copy, 16)?,
            segment: take(copy, 32).map(u64::from_le_bytes)?,
            first: take(copy, 40).map(u64::from_le_bytes)?,
            salt: take(copy, 56)?,
            key_check: take(copy, 72)?,
        };
        (header.segment.max(header.first) <= LAST_NUMBER).then_some(HeaderRead::Sound(header))
    };
    parsed().unwrap_or(HeaderRead::Damaged)
}

/// What a record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) number: u64,
    /// Bytes of the payload as it is stored.
    pub(super) length: usize,
    /// How many of the records before it, and it, were not known to be synced when it was written.
    pub(super) lag: u32,
    pub(super) flags: u8,
}

impl RecordHeader {
    /// All of it but the checksum.
    pub(super) fn write(&self, mark: u64) -> [u8; RECORD_HEADER - 4] {
        let mut bytes = [0; RECORD_HEADER - 4];
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        bytes[..8].copy_from_slice(&mark.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.lag.to_le_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// What a record begins with, and the sum that its payload has to make right.
    pub(super) fn begin(head: &[u8], mark: u64) -> Option<(Self, Sum)> {
        if take(head, 0).map(u64::from_le_bytes)? != mark {
            return None;
        }
        let header = Self {
            number: take(head, 8).map(u64::from_le_bytes)?,
            length: usize::try_from(take(head, 16).map(u32::from_le_bytes)?).ok()?,
            lag: take(head, 20).map(u32::from_le_bytes)?,
            flags: *head.get(24)?,
        };
        let sum = Sum {
            now: crc32c::crc32c(head.get(..RECORD_HEADER - 4)?),
            said: take(head, RECORD_HEADER - 4).map(u32::from_le_bytes)?,
        };
        (header.number <= LAST_NUMBER).then_some((header, sum))
    }

    /// The sound record at the front of `bytes`, with its payload.
    #[cfg(test)]
    pub(super) fn read(bytes: &[u8], mark: u64) -> Option<(Self, &[u8])> {
        let (header, mut sum) = Self::begin(bytes, mark)?;
        let payload = bytes.get(RECORD_HEADER..)?.get(..header.length)?;
        sum.add(payload);
        sum.is_right().then_some((header, payload))
    }

    /// The last record that was known to be synced.
    pub(super) fn synced(&self) -> u64 {
        self.number.saturating_sub(self.lag.into())
    }
}

/// A record's checksum, while its payload is read.
pub(super) struct Sum {
    now: u32,
    said: u32,
}

impl Sum {
    pub(super) fn add(&mut self, part: &[u8]) {
        self.now = crc32c::crc32c_append(self.now, part);
    }

    pub(super) fn is_right(&self) -> bool {
        self.now == self.said
    }
}

pub(super) fn record_crc(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

/// Where the next record begins after one with a payload of this length.
pub(super) fn record_size(length: usize) -> usize {
    (RECORD_HEADER + length).next_multiple_of(ALIGN)
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

// ---- names ----

pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:020}.wal")
}

pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".wal")?;
    let sound = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = sound.then(|| digits.parse().ok()).flatten();
    number.filter(|&number| number <= LAST_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        encrypted: true,
        log: [7; 16],
        segment: 3,
        first: 99,
        salt: [1; 16],
        key_check: [2; 8],
    };

    #[test]
    fn a_header_is_read_from_either_copy() {
        let bytes = HEADER.write();
        assert_eq!(bytes.len(), SEGMENT_HEADER);
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(SegmentHeader::read(&bytes, 3), HeaderRead::Sound(HEADER));
        }
        let mut both = bytes;
        both[20] ^= 1;
        both[SECOND_COPY + 50] ^= 1;
        assert_eq!(SegmentHeader::read(&both, 3), HeaderRead::Damaged);
        assert_eq!(
            SegmentHeader::read(&[0; SEGMENT_HEADER], 3),
            HeaderRead::Blank
        );
        assert_eq!(SegmentHeader::read(&[], 3), HeaderRead::Blank);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(segment_number(&segment_name(42)), Some(42));
        for (number, read) in [(LAST_NUMBER, Some(LAST_NUMBER)), (LAST_NUMBER + 1, None)] {
            assert_eq!(segment_number(&segment_name(number)), read);
        }
        for name in ["segment-42.wal", "lock", "segment-0000000000000000004+.wal"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
