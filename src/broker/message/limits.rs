//! How long the fields of a message may be, and what names look like.
//!
//! Strings in errors are cut, so that an error is not as long as what it complains about.

use super::error::MessageError;

/// Longest name of a queue, topic or function, in characters.
pub const MAX_DESTINATION: usize = 100;
/// Longest subject, in characters.
pub const MAX_SUBJECT: usize = 100;
/// Longest media type, in characters.
pub const MAX_MIMETYPE: usize = 100;
/// Longest request id, in characters.
pub const MAX_REQUEST_ID: usize = 255;
/// Most headers.
pub const MAX_HEADERS: usize = 128;
/// Most bytes of all headers together, keys and values.
pub const MAX_HEADER_BYTES: usize = 65_536;
/// Longest key of a header, in characters.
pub const MAX_HEADER_KEY: usize = 100;
/// How deep JSON may be nested.
pub const MAX_NESTING: usize = 64;

const NAME: &str = "letters, digits and . _ - / (and * and > in patterns)";
const VISIBLE: &str = "visible ASCII characters";
/// Names that nothing can be created with, whatever their case.
const RESERVED: [&str; 7] = [
    "queue",
    "topic",
    "function",
    "wal",
    "ipc.dlq",
    "dead-letter",
    "deadletter",
];

/// Whether nothing can be created under this name: `queue`, `topic`, `function`, `wal`, `ipc.dlq`, `dead-letter`,
/// `deadletter`, in capitals or not, and names that begin with `$`.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with('$')
        || RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Checks the name of a queue, topic or function: 1 to [`MAX_DESTINATION`] of `a-z A-Z 0-9 . _ - /`. One `$` may be
/// in front, which is how the broker's own names begin.
///
/// # Errors
///
/// [`MessageError::Empty`], [`TooLong`](MessageError::TooLong) or [`BadCharacter`](MessageError::BadCharacter).
pub fn check_name(name: &str) -> Result<(), MessageError> {
    check_characters(name, "")
}

/// Checks a pattern: a name in which `*` may stand for one segment and `>`, at the end, for one or more. Segments are
/// separated by `.` and `/`. A name is a pattern, too.
///
/// # Errors
///
/// Those of [`check_name`], and [`MessageError::BadPattern`].
pub fn check_pattern(pattern: &str) -> Result<(), MessageError> {
    check_characters(pattern, "*>")?;
    if !is_pattern(pattern) {
        return Ok(());
    }
    let mut segments = pattern.split(['.', '/']).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let whole = segment == "*" || (segment == ">" && last);
        if is_pattern(segment) && !whole {
            return Err(MessageError::BadPattern(pattern.to_owned()));
        }
    }
    Ok(())
}

/// Whether it has a wildcard, so that it is no name.
pub(in crate::broker) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '>'])
}

fn check_characters(name: &str, wildcards: &str) -> Result<(), MessageError> {
    const FIELD: &str = "destination";
    let plain = name.strip_prefix('$').unwrap_or(name);
    if plain.is_empty() {
        return Err(MessageError::Empty(FIELD));
    }
    check_length(FIELD, name, MAX_DESTINATION)?;
    check_each(FIELD, plain, NAME, |c| {
        c.is_ascii_alphanumeric() || "._-/".contains(c) || wildcards.contains(c)
    })
}

pub(in crate::broker) fn check_subject(subject: &str) -> Result<(), MessageError> {
    check_length("subject", subject, MAX_SUBJECT)
}

pub(in crate::broker) fn check_request_id(id: &str) -> Result<(), MessageError> {
    check_length("request-id", id, MAX_REQUEST_ID)
}

pub(in crate::broker) fn check_mimetype(mimetype: &str) -> Result<(), MessageError> {
    if mimetype.is_empty() {
        return Err(MessageError::Empty("mimetype"));
    }
    check_length("mimetype", mimetype, MAX_MIMETYPE)?;
    check_each(
        "mimetype",
        mimetype,
        "visible ASCII characters and spaces",
        |c| c == ' ' || c.is_ascii_graphic(),
    )
}

pub(in crate::broker) fn check_header_key(key: &str) -> Result<(), MessageError> {
    if key.is_empty() {
        return Err(MessageError::Empty("header key"));
    }
    check_length("header key", key, MAX_HEADER_KEY)?;
    check_each("header key", key, VISIBLE, |c| c.is_ascii_graphic())
}

fn check_length(field: &'static str, value: &str, limit: usize) -> Result<(), MessageError> {
    // No string has more characters than bytes.
    if value.len() <= limit {
        return Ok(());
    }
    let length = value.chars().count();
    if length <= limit {
        return Ok(());
    }
    Err(MessageError::TooLong {
        field,
        length,
        limit,
    })
}

fn check_each(
    field: &'static str,
    value: &str,
    allowed: &'static str,
    good: impl Fn(char) -> bool,
) -> Result<(), MessageError> {
    match value.chars().find(|&c| !good(c)) {
        None => Ok(()),
        Some(character) => Err(MessageError::BadCharacter {
            field,
            character,
            allowed,
        }),
    }
}

/// The beginning of a string from outside, for an error.
pub(in crate::broker) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 60;
    match text.char_indices().nth(LENGTH) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
