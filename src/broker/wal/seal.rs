//! Payloads as they are stored: compressed, encrypted, both, or as they are.
//!
//! Encryption is AES-256-GCM. Every segment has a key of its own, derived from the user's with the log's id and random
//! salt, so that record numbers can be nonces: a number that is written again after a crash is in another segment. The
//! record's header is authenticated with its payload, so that records cannot be swapped.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::error::{KeyFault, WalError, io_error};
use super::format::{
    COMPRESSED, ENCRYPTED, MAX_PAYLOAD, RECORD_HEADER, RecordHeader, SegmentHeader, record_crc,
    record_size,
};
use super::operation::{put_varint, varint};

const TAG: usize = 16;
/// What sealing may add to a payload: a length, a tag, padding.
const OVERHEAD: usize = 10 + TAG + 8;
/// Deflate makes no more of a byte.
const MAX_RATIO: usize = 1032;

/// The key of an encrypted log.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Uses 32 random bytes as a key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key file: 32 random bytes, or 64 hexadecimal digits and perhaps a line's end.
    ///
    /// # Errors
    ///
    /// [`WalError::Key`] if the file cannot be read, has something else, or can be used by others than its owner.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, WalError> {
        let path = file.as_ref();
        Self::read(path).map_err(|fault| WalError::Key {
            path: path.into(),
            fault,
        })
    }

    fn read(path: &Path) -> Result<Self, KeyFault> {
        let file = fs::File::open(path).map_err(KeyFault::Io)?;
        let about = file.metadata().map_err(KeyFault::Io)?;
        let mode = about.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFault::Permissions(mode));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(128));
        let read = file.take(127).read_to_end(&mut bytes);
        read.map_err(KeyFault::Io)?;
        let content = || KeyFault::Content(about.len());
        if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Self::new(key));
        }
        let text = str::from_utf8(&bytes).map_err(|_| content())?.trim_end();
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(content());
        }
        let mut key = Zeroizing::new([0; 32]);
        for (at, byte) in key.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).map_err(|_| content())?;
        }
        Ok(Self(key))
    }

    fn derive(&self, header: &SegmentHeader) -> Prk {
        let salt = Salt::new(HKDF_SHA256, &[header.log, header.salt].concat());
        salt.extract(&*self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], WalError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| {
        let error = std::io::Error::other("the system has no random numbers");
        io_error("draw", "a salt")(error)
    })?;
    Ok(bytes)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(key: &Prk, label: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    key.expand(&[label], Length(N))
        .and_then(|okm| okm.fill(&mut bytes))
        .expect("HKDF gives up to 8160 bytes");
    bytes
}

/// How the records of a segment are sealed.
#[derive(Default)]
pub(super) struct Sealer {
    mark: u64,
    key: Option<LessSafeKey>,
    /// Payloads of so many bytes and more are compressed.
    compress: Option<usize>,
}

/// Why a payload that is as it was written cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// A later version knows these flags.
    Flags(u8),
    /// It was changed, or its key is lost.
    Damaged,
}

impl Sealer {
    /// Completes the header of a new segment.
    pub(super) fn make(
        header: &mut SegmentHeader,
        key: Option<&Key>,
        compress: Option<usize>,
    ) -> Self {
        let derived = key.map(|key| key.derive(header));
        if let Some(derived) = &derived {
            header.encrypted = true;
            header.key_check = expand(derived, b"check");
        }
        Self::with(header.mark(), derived.as_ref(), compress)
    }

    /// For a segment that is read. `None` if the key is not its key.
    pub(super) fn of(header: &SegmentHeader, key: Option<&Key>) -> Option<Self> {
        if !header.encrypted {
            return Some(Self::plain(header.mark()));
        }
        let derived = key?.derive(header);
        let fits = expand(&derived, b"check") == header.key_check;
        fits.then(|| Self::with(header.mark(), Some(&derived), None))
    }

    /// For a segment whose header is lost: what is encrypted stays so.
    pub(super) fn plain(mark: u64) -> Self {
        Self::with(mark, None, None)
    }

    fn with(mark: u64, derived: Option<&Prk>, compress: Option<usize>) -> Self {
        let key = derived.map(|derived| {
            let bytes = Zeroizing::new(expand::<32>(derived, b"record"));
            let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("32 bytes are a key");
            LessSafeKey::new(key)
        });
        Self {
            mark,
            key,
            compress,
        }
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// Bytes that a record with this payload has at most.
    pub(super) fn bound(payload: usize) -> usize {
        record_size(payload + OVERHEAD)
    }

    /// Adds a record to `out`.
    pub(super) fn seal(&self, out: &mut Vec<u8>, number: u64, lag: u32, payload: &[u8]) {
        let start = out.len();
        out.resize(start + RECORD_HEADER, 0);
        let body = out.len();
        let mut flags = 0;
        if self.compress.is_some_and(|least| payload.len() >= least) && deflate(out, payload) {
            flags |= COMPRESSED;
        } else {
            out.truncate(body);
            out.extend_from_slice(payload);
        }
        let mut header = RecordHeader {
            number,
            length: out.len() - body,
            lag,
            flags,
        };
        if let Some(key) = &self.key {
            header.flags |= ENCRYPTED;
            header.length += TAG;
            let aad = Aad::from(header.write(self.mark));
            let tag = key
                .seal_in_place_separate_tag(nonce(number), aad, &mut out[body..])
                .expect("payloads are shorter than AES-GCM's limit");
            out.extend_from_slice(tag.as_ref());
        }
        let head = header.write(self.mark);
        let crc = record_crc(&head, &out[body..]);
        out[start..body - 4].copy_from_slice(&head);
        out[body - 4..body].copy_from_slice(&crc.to_le_bytes());
        out.resize(start + record_size(header.length), 0);
    }

    /// The payload of a record.
    pub(super) fn open<'a>(
        &self,
        header: &RecordHeader,
        stored: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, Unsealed> {
        if header.flags & !(COMPRESSED | ENCRYPTED) != 0 {
            return Err(Unsealed::Flags(header.flags));
        }
        let encrypted = header.flags & ENCRYPTED != 0;
        // In an encrypted segment all records are: one that is not was put there by somebody else.
        if encrypted != self.key.is_some() {
            return Err(Unsealed::Damaged);
        }
        let mut payload = Cow::Borrowed(stored);
        if let Some(key) = &self.key {
            let mut bytes = payload.into_owned();
            let aad = Aad::from(header.write(self.mark));
            let opened = key.open_in_place(nonce(header.number), aad, &mut bytes);
            let length = opened.map_err(|_| Unsealed::Damaged)?.len();
            bytes.truncate(length);
            payload = Cow::Owned(bytes);
        }
        if header.flags & COMPRESSED != 0 {
            payload = Cow::Owned(inflate(&payload).ok_or(Unsealed::Damaged)?);
        }
        Ok(payload)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Adds the payload's length and its compressed bytes, if that saves anything.
fn deflate(out: &mut Vec<u8>, payload: &[u8]) -> bool {
    let start = out.len();
    put_varint(out, payload.len() as u64);
    let mut encoder = DeflateEncoder::new(&mut *out, Compression::fast());
    let done = encoder
        .write_all(payload)
        .and_then(|()| encoder.finish().map(drop));
    done.is_ok() && out.len() - start < payload.len()
}

/// Memory grows with what comes out, which a lie about the length does not change.
fn inflate(mut stored: &[u8]) -> Option<Vec<u8>> {
    let length = varint(&mut stored).and_then(|length| usize::try_from(length).ok())?;
    if length > MAX_PAYLOAD.min(stored.len().saturating_mul(MAX_RATIO)) {
        return None;
    }
    let mut payload = Vec::with_capacity(length.min(1 << 20));
    let decoder = DeflateDecoder::new(stored);
    decoder
        .take(length as u64 + 1)
        .read_to_end(&mut payload)
        .ok()?;
    (payload.len() == length).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            encrypted: false,
            log: [3; 16],
            segment: 1,
            first: 1,
            salt: [4; 16],
            key_check: [0; 8],
        }
    }

    #[test]
    fn payloads_open_as_they_were_sealed() {
        let payload = b"a payload ".repeat(50);
        let key = Key::new([5; 32]);
        for (key, compress, flags) in [
            (None, None, 0),
            (None, Some(100), COMPRESSED),
            (Some(&key), None, ENCRYPTED),
            (Some(&key), Some(100), COMPRESSED | ENCRYPTED),
            (None, Some(1000), 0),
        ] {
            let mut header = header();
            let sealer = Sealer::make(&mut header, key, compress);
            let mut out = Vec::new();
            sealer.seal(&mut out, 7, 1, &payload);
            assert!(out.len() <= Sealer::bound(payload.len()) && out.len() % 8 == 0);
            let (record, stored) = RecordHeader::read(&out, sealer.mark()).unwrap();
            assert_eq!((record.number, record.lag, record.flags), (7, 1, flags));
            let reader = Sealer::of(&header, key).unwrap();
            assert_eq!(*reader.open(&record, stored).unwrap(), payload);
            let hides = !out.windows(9).any(|window| window == b"a payload");
            assert_eq!(hides, flags != 0);
        }
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        let payload: [u8; 500] = random().unwrap();
        let sealer = Sealer::make(&mut header(), None, Some(1));
        let mut out = Vec::new();
        sealer.seal(&mut out, 1, 1, &payload);
        let (record, stored) = RecordHeader::read(&out, sealer.mark()).unwrap();
        assert_eq!((record.flags, stored), (0, &payload[..]));
    }

    #[test]
    fn a_record_does_not_open_under_another_number_segment_or_key() {
        let key = Key::new([5; 32]);
        let mut header = header();
        let sealer = Sealer::make(&mut header, Some(&key), None);
        let mut out = Vec::new();
        sealer.seal(&mut out, 7, 1, b"secret");
        let (mut record, stored) = RecordHeader::read(&out, sealer.mark()).unwrap();
        record.number = 8;
        assert_eq!(sealer.open(&record, stored), Err(Unsealed::Damaged));
        record.number = 7;
        assert!(sealer.open(&record, stored).is_ok());
        let mut other = header;
        other.salt = [9; 16];
        let elsewhere = Sealer::make(&mut other, Some(&key), None);
        assert_eq!(elsewhere.open(&record, stored), Err(Unsealed::Damaged));
        assert!(Sealer::of(&header, Some(&Key::new([6; 32]))).is_none());
        assert!(Sealer::of(&header, None).is_none());
        let plain = Sealer::plain(sealer.mark());
        assert_eq!(plain.open(&record, stored), Err(Unsealed::Damaged));
    }

    #[test]
    fn a_length_that_lies_is_refused_before_memory_is_set_aside() {
        let mut stored = Vec::new();
        put_varint(&mut stored, MAX_PAYLOAD as u64);
        stored.extend_from_slice(&[0; 8]);
        assert_eq!(inflate(&stored), None);
        let mut bomb = Vec::new();
        assert!(deflate(&mut bomb, &[0; 100_000]));
        assert_eq!(inflate(&bomb), Some(vec![0; 100_000]));
        let mut rest = &bomb[..];
        varint(&mut rest);
        let mut short = Vec::new();
        put_varint(&mut short, 10);
        short.extend_from_slice(rest);
        assert_eq!(inflate(&short), None);
    }
}
