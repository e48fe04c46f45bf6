//! Writes JSON in one of two layouts.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::reader::{JsonError, Reader, Sink, Text};

/// Writes values one after the other into a string. Whoever calls sees to it that objects and arrays are closed.
pub(in crate::broker) struct Writer {
    out: String,
    pretty: bool,
    /// How many objects are open.
    depth: usize,
}

impl Writer {
    /// Without white space.
    pub(in crate::broker) fn compact() -> Self {
        Self {
            out: String::new(),
            pretty: false,
            depth: 0,
        }
    }

    /// Objects with a line for each member, arrays on one line but for the objects in them.
    pub(in crate::broker) fn pretty() -> Self {
        Self {
            pretty: true,
            ..Self::compact()
        }
    }

    pub(in crate::broker) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    pub(in crate::broker) fn finish(self) -> String {
        self.out
    }

    pub(in crate::broker) fn begin_object(&mut self) {
        self.out.push('{');
        self.depth += 1;
    }

    pub(in crate::broker) fn end_object(&mut self) {
        self.depth -= 1;
        if !self.out.ends_with('{') {
            self.new_line();
        }
        self.out.push('}');
    }

    /// Begins a member, whose value is to be written next.
    pub(in crate::broker) fn member(&mut self, key: &str) -> &mut Self {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.new_line();
        self.string(key);
        self.out.push_str(if self.pretty { ": " } else { ":" });
        self
    }

    pub(in crate::broker) fn string(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(may_need_escape) {
            // A character begins there.
            let (before, after) = rest.split_at(at);
            self.out.push_str(before);
            let mut characters = after.chars();
            if let Some(c) = characters.next() {
                if needs_escape(before, c) {
                    self.escape(c);
                } else {
                    self.out.push(c);
                }
            }
            rest = characters.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    pub(in crate::broker) fn number(&mut self, number: i64) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{number}");
    }

    pub(in crate::broker) fn flag(&mut self, flag: bool) {
        self.out.push_str(if flag { "true" } else { "false" });
    }

    pub(in crate::broker) fn base64(&mut self, bytes: &[u8]) {
        self.out.push('"');
        STANDARD.encode_string(bytes, &mut self.out);
        self.out.push('"');
    }

    /// What is JSON already.
    pub(in crate::broker) fn raw(&mut self, json: &str) {
        self.out.push_str(json);
    }

    /// Copies the one value of a text in this layout. Leaves nothing of it behind if it is not JSON.
    pub(in crate::broker) fn copy(&mut self, json: &str) -> Result<(), JsonError> {
        let (length, depth) = (self.out.len(), self.depth);
        let result = Reader::new(json).only_value(self);
        if result.is_err() {
            self.out.truncate(length);
            self.depth = depth;
        }
        result
    }

    /// Takes back what was written after this many bytes.
    pub(in crate::broker) fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }

    pub(in crate::broker) fn len(&self) -> usize {
        self.out.len()
    }

    fn escape(&mut self, c: char) {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '/' => "\\/",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            _ => {
                let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                return;
            }
        };
        self.out.push_str(short);
    }

    fn new_line(&mut self) {
        if self.pretty {
            self.out.push('\n');
            for _ in 0..self.depth {
                self.out.push_str("  ");
            }
        }
    }
}

/// Whether a character that begins with this byte may need an escape.
fn may_need_escape(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\' | b'/' | 0xc2 | 0xe2)
}

/// A slash is escaped after `<`, so that `</script>` never appears, and so are control characters and the general
/// punctuation that ends lines in scripts.
fn needs_escape(before: &str, c: char) -> bool {
    match c {
        '"' | '\\' | '\0'..='\x1f' | '\u{80}'..='\u{9f}' | '\u{2000}'..='\u{20ff}' => true,
        '/' => before.ends_with('<'),
        _ => false,
    }
}

impl Sink for Writer {
    fn begin_object(&mut self) {
        self.begin_object();
    }

    fn key(&mut self, key: Text<'_>) {
        self.member(&key.decode());
    }

    fn end_object(&mut self) {
        self.end_object();
    }

    fn begin_array(&mut self) {
        self.out.push('[');
    }

    fn comma(&mut self) {
        self.out.push(',');
    }

    fn end_array(&mut self) {
        self.out.push(']');
    }

    fn string(&mut self, text: Text<'_>) {
        self.string(&text.decode());
    }

    fn bare(&mut self, word: &str) {
        self.out.push_str(word);
    }
}
