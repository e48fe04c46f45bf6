//! Reads JSON without setting memory aside for what it reads.
//!
//! The reader is strict: one value, nothing after it, no control characters in strings, no half surrogates, nesting
//! up to [`MAX_NESTING`]. Numbers keep all their digits, since nothing is made of them here.

use std::borrow::Cow;
use std::fmt;

use crate::broker::message::limits::MAX_NESTING;

/// Where a text stops being JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonError {
    /// The place, in bytes from the beginning.
    pub at: usize,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What is wrong with a text that is not JSON: part of [`JsonError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonFault {
    /// The text ends before the value does.
    End,
    /// This was needed.
    Expected(&'static str),
    /// A string has a control character that is not escaped.
    Control,
    /// A backslash is followed by what is no escape, or by half of a pair of surrogates.
    BadEscape,
    /// It is nested more than [`MAX_NESTING`](crate::broker::MAX_NESTING) deep.
    TooDeep,
    /// Something follows the value.
    Trailing,
}

impl std::error::Error for JsonError {}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            JsonFault::End => f.write_str("not JSON: it ends too early"),
            JsonFault::Expected(what) => {
                write!(f, "not JSON: {what} is missing at byte {}", self.at)
            }
            JsonFault::Control => write!(
                f,
                "not JSON: a control character that is not escaped at byte {}",
                self.at
            ),
            JsonFault::BadEscape => write!(f, "not JSON: a bad escape at byte {}", self.at),
            JsonFault::TooDeep => {
                write!(f, "nested more than {MAX_NESTING} deep at byte {}", self.at)
            }
            JsonFault::Trailing => {
                write!(
                    f,
                    "not JSON: something follows the value at byte {}",
                    self.at
                )
            }
        }
    }
}

/// A string as it stands between its quotes, with escapes that are known to be good.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(in crate::broker) fn decode(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((before, after)) = rest.split_once('\\') {
            out.push_str(before);
            // The reader has seen that the escape is one.
            let Some((c, length)) = escape(after) else {
                break;
            };
            out.push(c);
            rest = after.get(length..).unwrap_or_default();
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// The character that the text behind a backslash stands for, and the length of that.
fn escape(text: &str) -> Option<(char, usize)> {
    let c = match text.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex(text.get(1..5)?)?;
            if let Some(c) = char::from_u32(first) {
                return Some((c, 5));
            }
            let second = hex(text.get(5..11)?.strip_prefix("\\u")?)?;
            let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
            let c = char::decode_utf16(pair).next()?.ok()?;
            return Some((c, 11));
        }
        _ => return None,
    };
    Some((c, 1))
}

fn hex(digits: &str) -> Option<u32> {
    // from_str_radix would take a sign.
    if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// What a value is made of, in order.
pub(super) trait Sink {
    fn begin_object(&mut self);
    fn key(&mut self, key: Text<'_>);
    fn end_object(&mut self);
    fn begin_array(&mut self);
    /// Between two elements of an array.
    fn comma(&mut self);
    fn end_array(&mut self);
    fn string(&mut self, text: Text<'_>);
    /// A number, true, false or null.
    fn bare(&mut self, word: &str);
}

/// Reading without wanting to know.
struct Nowhere;

impl Sink for Nowhere {
    fn begin_object(&mut self) {}
    fn key(&mut self, _: Text<'_>) {}
    fn end_object(&mut self) {}
    fn begin_array(&mut self) {}
    fn comma(&mut self) {}
    fn end_array(&mut self) {}
    fn string(&mut self, _: Text<'_>) {}
    fn bare(&mut self, _: &str) {}
}

/// A value that was passed over.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Token<'a> {
    json: &'a str,
    string: Option<Text<'a>>,
}

impl<'a> Token<'a> {
    /// How it stands in the text that was read.
    pub(in crate::broker) fn json(self) -> &'a str {
        self.json
    }

    pub(in crate::broker) fn string(self) -> Option<Text<'a>> {
        self.string
    }

    pub(in crate::broker) fn is_null(self) -> bool {
        self.json == "null"
    }

    pub(in crate::broker) fn is_object(self) -> bool {
        self.json.starts_with('{')
    }

    pub(in crate::broker) fn flag(self) -> Option<bool> {
        self.json.parse().ok()
    }

    /// The number, if it is a whole one of 64 bits.
    pub(in crate::broker) fn number(self) -> Option<i64> {
        self.json.parse().ok()
    }
}

/// A place in a text.
pub(in crate::broker) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::broker) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Calls for each member of an object, which is the whole text.
    pub(in crate::broker) fn only_object<E: From<JsonError>>(
        mut self,
        mut member: impl FnMut(Text<'a>, Token<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{', "{")?;
        if !self.skip(b'}') {
            loop {
                let key = self.key()?;
                member(key, self.token()?)?;
                if !self.skip(b',') {
                    break;
                }
            }
            self.expect(b'}', ", or }")?;
        }
        Ok(self.end()?)
    }

    /// Calls for each element of an array, which is the whole text.
    pub(in crate::broker) fn only_array<E: From<JsonError>>(
        mut self,
        mut element: impl FnMut(Token<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'[', "[")?;
        if !self.skip(b']') {
            loop {
                element(self.token()?)?;
                if !self.skip(b',') {
                    break;
                }
            }
            self.expect(b']', ", or ]")?;
        }
        Ok(self.end()?)
    }

    /// Passes on the value that is the whole text.
    pub(super) fn only_value(mut self, sink: &mut impl Sink) -> Result<(), JsonError> {
        self.value(sink, MAX_NESTING)?;
        self.end()
    }

    fn token(&mut self) -> Result<Token<'a>, JsonError> {
        self.white_space();
        let start = self.at;
        let string = if self.peek() == Some(b'"') {
            Some(self.string()?)
        } else {
            self.value(&mut Nowhere, MAX_NESTING)?;
            None
        };
        let json = self.text.get(start..self.at).unwrap_or_default();
        Ok(Token { json, string })
    }

    fn value(&mut self, sink: &mut impl Sink, depth: usize) -> Result<(), JsonError> {
        self.white_space();
        match self.peek() {
            Some(b'{') => self.object(sink, self.deeper(depth)?),
            Some(b'[') => self.array(sink, self.deeper(depth)?),
            Some(b'"') => {
                sink.string(self.string()?);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => {
                sink.bare(self.number()?);
                Ok(())
            }
            _ => {
                sink.bare(self.word()?);
                Ok(())
            }
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.wrong(JsonFault::TooDeep))
    }

    fn object(&mut self, sink: &mut impl Sink, depth: usize) -> Result<(), JsonError> {
        self.expect(b'{', "{")?;
        sink.begin_object();
        if !self.skip(b'}') {
            loop {
                sink.key(self.key()?);
                self.value(sink, depth)?;
                if !self.skip(b',') {
                    break;
                }
            }
            self.expect(b'}', ", or }")?;
        }
        sink.end_object();
        Ok(())
    }

    fn array(&mut self, sink: &mut impl Sink, depth: usize) -> Result<(), JsonError> {
        self.expect(b'[', "[")?;
        sink.begin_array();
        if !self.skip(b']') {
            loop {
                self.value(sink, depth)?;
                if !self.skip(b',') {
                    break;
                }
                sink.comma();
            }
            self.expect(b']', ", or ]")?;
        }
        sink.end_array();
        Ok(())
    }

    fn key(&mut self) -> Result<Text<'a>, JsonError> {
        self.white_space();
        let key = self.string()?;
        self.expect(b':', ":")?;
        Ok(key)
    }

    fn string(&mut self) -> Result<Text<'a>, JsonError> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                None => return Err(self.wrong(JsonFault::End)),
                Some(b'"') => break,
                Some(b'\\') => {
                    let after = self.text.get(self.at + 1..).unwrap_or_default();
                    let Some((_, length)) = escape(after) else {
                        return Err(self.wrong(JsonFault::BadEscape));
                    };
                    escaped = true;
                    self.at += 1 + length;
                }
                Some(_) => return Err(self.wrong(JsonFault::Control)),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'-') || self.take(b'+');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.missing("a digit"));
        }
        Ok(())
    }

    fn word(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for word in ["null", "true", "false"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(word);
            }
        }
        Err(self.missing("a value"))
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.white_space();
        if self.at < self.text.len() {
            return Err(self.wrong(JsonFault::Trailing));
        }
        Ok(())
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.skip(byte) {
            Ok(())
        } else {
            Err(self.missing(what))
        }
    }

    fn missing(&self, what: &'static str) -> JsonError {
        match self.peek() {
            Some(_) => self.wrong(JsonFault::Expected(what)),
            None => self.wrong(JsonFault::End),
        }
    }

    fn wrong(&self, fault: JsonFault) -> JsonError {
        JsonError { at: self.at, fault }
    }

    /// Passes over white space and then this byte, if it comes next.
    fn skip(&mut self, byte: u8) -> bool {
        self.white_space();
        self.take(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
