//! How received messages are printed, byte for byte as nngcat prints them.

use std::io::{self, Write};

/// A way to print a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Not at all.
    No,
    /// What is not printable ASCII becomes a dot; nothing separates messages.
    Ascii,
    /// A string literal of C, one to a line.
    Quoted,
    /// A string literal of hexadecimal escapes only, one to a line.
    Hex,
    /// A MessagePack binary object.
    Msgpack,
    /// The body alone; nothing separates messages.
    Raw,
}

impl Format {
    /// The format that `--format` calls `name`.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"no" => Self::No,
            b"ascii" => Self::Ascii,
            b"quoted" => Self::Quoted,
            b"hex" => Self::Hex,
            b"msgpack" => Self::Msgpack,
            b"raw" => Self::Raw,
            _ => return None,
        })
    }

    /// Prints one message and flushes, so that a reader at the other end of a pipe sees it now.
    pub(super) fn print(self, body: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::No => return Ok(()),
            Self::Ascii => {
                let shown: Vec<u8> = body
                    .iter()
                    .map(|&b| if is_printable(b) { b } else { b'.' })
                    .collect();
                out.write_all(&shown)?;
            }
            Self::Quoted => out.write_all(&quoted(body))?,
            Self::Hex => {
                let mut text = Vec::with_capacity(4 * body.len() + 3);
                text.push(b'"');
                for &byte in body {
                    push_escape(&mut text, byte);
                }
                text.extend(b"\"\n");
                out.write_all(&text)?;
            }
            Self::Msgpack => {
                out.write_all(&msgpack_head(body.len())?)?;
                out.write_all(body)?;
            }
            Self::Raw => out.write_all(body)?,
        }
        out.flush()
    }
}

fn quoted(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + 3);
    text.push(b'"');
    for &byte in body {
        match byte {
            b'\n' => text.extend(br"\n"),
            b'\r' => text.extend(br"\r"),
            b'\t' => text.extend(br"\t"),
            b'"' | b'\\' => text.extend([b'\\', byte]),
            _ if is_printable(byte) => text.push(byte),
            _ => push_escape(&mut text, byte),
        }
    }
    text.extend(b"\"\n");
    text
}

/// The type byte and the big-endian length of a MessagePack `bin 8`, `bin 16` or `bin 32`.
fn msgpack_head(len: usize) -> io::Result<Vec<u8>> {
    Ok(if let Ok(len) = u8::try_from(len) {
        vec![0xc4, len]
    } else if let Ok(len) = u16::try_from(len) {
        [&[0xc5][..], &len.to_be_bytes()].concat()
    } else if let Ok(len) = u32::try_from(len) {
        [&[0xc6][..], &len.to_be_bytes()].concat()
    } else {
        // nngcat prints the lower 32 bits, which no reader can make sense of.
        return Err(io::Error::other("MessagePack has no object this long"));
    })
}

fn push_escape(text: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 0xf)];
    text.extend([b'\\', b'x', digit(byte >> 4), digit(byte)]);
}

/// As C's `isprint` in the "C" locale.
fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"a\tb\n\r\"\\\x00\xff~\x7f\xc3\xa9";

    fn printed(format: Format, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        format.print(body, &mut out).unwrap();
        out
    }

    // The expected bytes were taken from nngcat 1.5.2.
    #[test]
    fn every_format_prints_what_nngcat_prints() {
        assert_eq!(printed(Format::No, SAMPLE), b"");
        assert_eq!(printed(Format::Ascii, SAMPLE), br#"a.b.."\..~..."#);
        assert_eq!(
            printed(Format::Quoted, SAMPLE),
            b"\"a\\tb\\n\\r\\\"\\\\\\x00\\xff~\\x7f\\xc3\\xa9\"\n"
        );
        assert_eq!(
            printed(Format::Hex, SAMPLE),
            b"\"\\x61\\x09\\x62\\x0a\\x0d\\x22\\x5c\\x00\\xff\\x7e\\x7f\\xc3\\xa9\"\n"
        );
        assert_eq!(
            printed(Format::Msgpack, SAMPLE),
            [b"\xc4\x0d", SAMPLE].concat()
        );
        assert_eq!(printed(Format::Raw, SAMPLE), SAMPLE);
    }

    #[test]
    fn empty_messages_print_their_quotes_only() {
        assert_eq!(printed(Format::Ascii, b""), b"");
        assert_eq!(printed(Format::Quoted, b""), b"\"\"\n");
        assert_eq!(printed(Format::Hex, b""), b"\"\"\n");
        assert_eq!(printed(Format::Msgpack, b""), b"\xc4\0");
    }

    #[test]
    fn msgpack_lengths_take_one_two_or_four_bytes() {
        for (len, head) in [
            (255, &b"\xc4\xff"[..]),
            (256, b"\xc5\x01\x00"),
            (65535, b"\xc5\xff\xff"),
            (65536, b"\xc6\x00\x01\x00\x00"),
            (3_000_000, b"\xc6\x00\x2d\xc6\xc0"),
        ] {
            assert_eq!(msgpack_head(len).unwrap(), head, "{len}");
        }
    }

    #[test]
    fn every_message_is_flushed() {
        struct Flushes(usize);
        impl Write for Flushes {
            fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                Ok(data.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                self.0 += 1;
                Ok(())
            }
        }
        let mut out = Flushes(0);
        for format in [
            Format::Ascii,
            Format::Quoted,
            Format::Hex,
            Format::Msgpack,
            Format::Raw,
        ] {
            format.print(b"x", &mut out).unwrap();
        }
        assert_eq!(out.0, 5);
    }

    #[test]
    fn formats_have_nngcats_names() {
        assert_eq!(Format::named(b"hex"), Some(Format::Hex));
        assert_eq!(Format::named(b"no"), Some(Format::No));
        assert_eq!(Format::named(b"HEX"), None);
        assert_eq!(Format::named(b""), None);
    }
}
