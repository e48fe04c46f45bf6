//! What a subscription is for: the name of a topic, or a pattern that names match.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;

/// Names of topics and patterns are at most this long, in bytes.
const MAX_LENGTH: usize = 100;

/// The name of a topic, or a pattern with wildcards.
///
/// Both `/` and `.` separate segments. The segment `*` stands for any one segment, and `>` at the end for one or more.
/// In a pattern they mean the same: `orders.*` is `orders/*`, and matches `orders/eu` and `orders.eu`. Without wildcards
/// nothing but the name itself matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    text: String,
    wild: bool,
}

impl Pattern {
    /// Reads a pattern: 1 to 100 of the characters `a-z A-Z 0-9 . _ - /`, and wildcards.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(PatternError::Length(text.len()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/*>".contains(c);
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            return Err(PatternError::Character(bad));
        }
        let mut segments = segments(text).peekable();
        while let Some(segment) = segments.next() {
            let whole = segment.len() == 1;
            if segment.contains('*') && !whole {
                return Err(PatternError::Star);
            }
            if segment.contains('>') && (!whole || segments.peek().is_some()) {
                return Err(PatternError::Rest);
            }
        }
        let wild = text.contains(['*', '>']);
        let text = if wild {
            text.replace('.', "/")
        } else {
            text.to_owned()
        };
        Ok(Self { text, wild })
    }

    /// The name, or the pattern with `/` between its segments.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn has_wildcards(&self) -> bool {
        self.wild
    }

    /// Whether it means the topic of that name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if !self.wild {
            return self.text == name;
        }
        let mut names = segments(name);
        for segment in segments(&self.text) {
            match (segment, names.next()) {
                (">", Some(_)) => return true,
                (_, None) => return false,
                ("*", Some(_)) => {}
                (exact, Some(name)) if exact == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// So that a set of patterns can be asked for a text. The texts of patterns decide about equality and order, and one
/// of two equal texts cannot have wildcards if the other has none.
impl Borrow<str> for Pattern {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The segments of a name or a pattern; there is at least one, and they may be empty.
pub(super) fn segments(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(['/', '.'])
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    Length(usize),
    Character(char),
    Star,
    Rest,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(
                f,
                "a topic or pattern of {length} bytes: 1 to {MAX_LENGTH} are allowed"
            ),
            Self::Character(c) => write!(
                f,
                "{c:?} in a topic or pattern: only a-z A-Z 0-9 . _ - / and the wildcards * and > are allowed"
            ),
            Self::Star => f.write_str("* in a pattern stands for a whole segment, as in a/*/c"),
            Self::Rest => f.write_str("> in a pattern stands for all that follows, as in a/>"),
        }
    }
}

impl Error for PatternError {}
