//! Text in the charsets that payloads may have.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::error::MessageError;
use super::limits::excerpt;

/// How the text of a payload is written as bytes.
///
/// ```
/// use wirebird::broker::Charset;
///
/// assert_eq!("iso-8859-1".parse::<Charset>()?, Charset::Iso8859_1);
/// assert_eq!(Charset::Iso8859_1.name(), "ISO-8859-1");
/// # Ok::<(), wirebird::broker::MessageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Charset {
    /// `UTF-8`.
    Utf8,
    /// `US-ASCII`.
    UsAscii,
    /// `ISO-8859-1`, one byte for each of the first 256 characters.
    Iso8859_1,
    /// `UTF-16`: written big-endian with a byte order mark; read as its mark says, and big-endian without one.
    Utf16,
    /// `UTF-16BE`, without a mark.
    Utf16Be,
    /// `UTF-16LE`, without a mark.
    Utf16Le,
}

impl Charset {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Utf8,
        Self::UsAscii,
        Self::Iso8859_1,
        Self::Utf16,
        Self::Utf16Be,
        Self::Utf16Le,
    ];

    /// Its registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::UsAscii => "US-ASCII",
            Self::Iso8859_1 => "ISO-8859-1",
            Self::Utf16 => "UTF-16",
            Self::Utf16Be => "UTF-16BE",
            Self::Utf16Le => "UTF-16LE",
        }
    }

    pub(in crate::broker) fn encode(self, text: String) -> Result<Vec<u8>, MessageError> {
        match self {
            Self::Utf8 => Ok(text.into_bytes()),
            Self::UsAscii => self.single_bytes(&text, 0x7f),
            Self::Iso8859_1 => self.single_bytes(&text, 0xff),
            Self::Utf16 => {
                let marked = std::iter::once(0xfeff).chain(text.encode_utf16());
                Ok(marked.flat_map(u16::to_be_bytes).collect())
            }
            Self::Utf16Be => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            Self::Utf16Le => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        }
    }

    /// The text that the bytes are; where they stop being text if they do.
    pub(in crate::broker) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, MessageError> {
        let mut text = String::new();
        match self {
            Self::Utf8 | Self::UsAscii => {
                self.check(bytes)?;
                return Ok(String::from_utf8_lossy(bytes));
            }
            Self::Iso8859_1 => text.extend(bytes.iter().copied().map(char::from)),
            Self::Utf16 | Self::Utf16Be | Self::Utf16Le => {
                text.reserve(bytes.len() / 2);
                self.utf16(bytes, |character| text.push(character))?;
            }
        }
        Ok(text.into())
    }

    /// Whether the bytes are text; where they stop being text if they do.
    pub(in crate::broker) fn check(self, bytes: &[u8]) -> Result<(), MessageError> {
        let end = match self {
            Self::Utf8 => std::str::from_utf8(bytes).err().map(|e| e.valid_up_to()),
            Self::UsAscii => bytes.iter().position(|byte| !byte.is_ascii()),
            Self::Iso8859_1 => None,
            Self::Utf16 | Self::Utf16Be | Self::Utf16Le => return self.utf16(bytes, |_| ()),
        };
        end.map_or(Ok(()), |at| Err(self.not_text(at)))
    }

    /// Calls for each character of bytes in a form of UTF-16.
    fn utf16(self, bytes: &[u8], mut each: impl FnMut(char)) -> Result<(), MessageError> {
        let (rest, little) = match (self, bytes) {
            (Self::Utf16, [0xff, 0xfe, rest @ ..]) => (rest, true),
            (Self::Utf16, [0xfe, 0xff, rest @ ..]) => (rest, false),
            _ => (bytes, self == Self::Utf16Le),
        };
        let unit = if little {
            u16::from_le_bytes
        } else {
            u16::from_be_bytes
        };
        let (units, odd) = rest.as_chunks::<2>();
        let mut at = bytes.len() - rest.len();
        for character in char::decode_utf16(units.iter().copied().map(unit)) {
            let character = character.map_err(|_| self.not_text(at))?;
            at += 2 * character.len_utf16();
            each(character);
        }
        if odd.is_empty() {
            Ok(())
        } else {
            Err(self.not_text(at))
        }
    }

    fn not_text(self, at: usize) -> MessageError {
        MessageError::NotText { charset: self, at }
    }

    fn single_bytes(self, text: &str, last: u8) -> Result<Vec<u8>, MessageError> {
        text.chars()
            .map(|character| {
                u8::try_from(character)
                    .ok()
                    .filter(|&byte| byte <= last)
                    .ok_or(MessageError::Unencodable {
                        charset: self,
                        character,
                    })
            })
            .collect()
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Charset {
    type Err = MessageError;

    /// The charset of this name, in capitals or not.
    fn from_str(name: &str) -> Result<Self, MessageError> {
        Self::ALL
            .iter()
            .copied()
            .find(|charset| charset.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| MessageError::UnknownCharset(excerpt(name)))
    }
}
