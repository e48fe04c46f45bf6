//! Sizes as people write them: `4096`, `512B`, `5KB`, `20MB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes. A KB has 1024, a MB has 1024 KB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) usize);

const EXPECTED: &str = "a number of bytes, or one such as 512B, 5KB or 20MB";

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no size: {EXPECTED} is");
        let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
            None => (text, 1),
            Some(end) => {
                let (digits, unit) = text.split_at(end);
                // Only a number by itself may be nothing, or begin with it.
                if digits.starts_with('0') {
                    return Err(bad());
                }
                let unit = match unit {
                    "B" => 1,
                    "KB" => 1 << 10,
                    "MB" => 1 << 20,
                    _ => return Err(bad()),
                };
                (digits, unit)
            }
        };
        let number: usize = digits.parse().map_err(|_| bad())?;
        number.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    /// In the largest unit that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % (1 << 20) == 0 => write!(f, "{} MB", bytes >> 20),
            bytes if bytes > 0 && bytes % (1 << 10) == 0 => write!(f, "{} KB", bytes >> 10),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                let bytes = usize::try_from(bytes);
                bytes.map(Size).map_err(|_| E::custom(EXPECTED))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_any(Either)
    }
}

/// A size, or -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaybeSize(pub(super) Option<usize>);

impl FromStr for MaybeSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-1" => Ok(Self(None)),
            text => text.parse().map(|Size(bytes)| Self(Some(bytes))),
        }
    }
}

impl<'de> Deserialize<'de> for MaybeSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Text(String),
        }

        let expected =
            "-1 for none, a number of bytes, or one such as 512B, 5KB or 20MB, is expected";
        match Form::deserialize(from).map_err(|_| D::Error::custom(expected))? {
            Form::Number(-1) => Ok(Self(None)),
            Form::Number(bytes) => usize::try_from(bytes)
                .map(|bytes| Self(Some(bytes)))
                .map_err(|_| D::Error::custom(expected)),
            Form::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_no_size() {
        assert_eq!("-1".parse(), Ok(MaybeSize(None)));
        assert_eq!("5KB".parse(), Ok(MaybeSize(Some(5 << 10))));
        assert_eq!("0".parse(), Ok(MaybeSize(Some(0))));
        for bad in ["-2", "off", "", "-1KB"] {
            assert!(bad.parse::<MaybeSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512B", 512),
            ("5KB", 5120),
            ("20MB", 20 << 20),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    /// F7 of the broker's specification.
    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "KB",
            "0KB",
            "05KB",
            "-1",
            "1.5KB",
            "1GB",
            "5kb",
            "5 KB",
            "5KBx",
            "+5",
            "99999999999999999999",
            "99999999999999999MB",
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("is no size"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_shown_in_their_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1000, "1000 B"),
            (5120, "5 KB"),
            (2 << 20, "2 MB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
