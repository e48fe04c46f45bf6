//! Escapes and dot segments: the one spelling of a path.

use std::fmt::{self, Write};

use super::{Refusal, malformed};

/// Decodes every `%xx`.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut decoded = Vec::with_capacity(text.len());
    for piece in Pieces(text.as_bytes()) {
        decoded.push(match piece? {
            Piece::Plain(byte) | Piece::Escaped(byte) => byte,
        });
    }
    Ok(decoded)
}

/// Writes `name` so that [`decode`] gives it back.
pub(super) fn encode(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in name {
        if is_unreserved(byte) {
            f.write_char(byte.into())?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// The canonical form of a path that is empty or starts with a slash.
pub(super) fn path(path: &str) -> Result<String, Refusal> {
    // Escaped dots count as dots, so the escapes go first.
    Ok(without_dots(&normal_escapes(path)?))
}

/// Decodes the escapes of characters that need none and of those that are not ASCII, and writes the rest in upper
/// case.
fn normal_escapes(path: &str) -> Result<String, Refusal> {
    let mut normal = Vec::with_capacity(path.len());
    for piece in Pieces(path.as_bytes()) {
        match piece? {
            Piece::Plain(byte) => normal.push(byte),
            Piece::Escaped(byte) if is_unreserved(byte) || !byte.is_ascii() => normal.push(byte),
            Piece::Escaped(byte) => normal.extend(format!("%{byte:02X}").into_bytes()),
        }
    }
    match String::from_utf8(normal) {
        // The unescaped ones were refused before; U+0085 and U+00A0 are as unfit in a request when they come in
        // disguise.
        Ok(path) if path.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            malformed("the path has escapes of characters that cannot be printed")
        }
        Ok(path) => Ok(path),
        Err(_) => malformed("the escapes of the path are not UTF-8"),
    }
}

fn without_dots(path: &str) -> String {
    let Some(relative) = path.strip_prefix('/') else {
        return path.into();
    };
    let mut kept = Vec::new();
    let mut directory = false;
    for segment in relative.split('/') {
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &kept {
        canonical.push('/');
        canonical.push_str(segment);
    }
    if directory || kept.is_empty() {
        canonical.push('/');
    }
    canonical
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

enum Piece {
    Plain(u8),
    Escaped(u8),
}

struct Pieces<'a>(&'a [u8]);

impl Iterator for Pieces<'_> {
    type Item = Result<Piece, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let (piece, rest) = match self.0 {
            [] => return None,
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (Ok(Piece::Escaped(high << 4 | low)), rest),
                _ => (bad_escape(), rest),
            },
            [b'%', ..] => (bad_escape(), &[][..]),
            [byte, rest @ ..] => (Ok(Piece::Plain(*byte)), rest),
        };
        self.0 = rest;
        Some(piece)
    }
}

fn bad_escape() -> Result<Piece, Refusal> {
    malformed("two hexadecimal digits must follow a %")
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
