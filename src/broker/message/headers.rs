//! Keys and values that travel with a message. The broker knows a few of them.

use std::collections::BTreeMap;

use super::error::MessageError;
use super::limits::{MAX_HEADER_BYTES, MAX_HEADERS, check_header_key};

/// Headers by their keys. Number and size never exceed their limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct Headers {
    entries: BTreeMap<Box<str>, Box<str>>,
    bytes: usize,
}

impl Headers {
    /// Sets a header; says whether there was none with this key.
    pub(in crate::broker) fn set(&mut self, key: &str, value: &str) -> Result<bool, MessageError> {
        check_header_key(key)?;
        let old = self.entries.get(key).map(|old| key.len() + old.len());
        let length = (self.bytes - old.unwrap_or(0))
            .saturating_add(key.len())
            .saturating_add(value.len());
        if length > MAX_HEADER_BYTES {
            return Err(MessageError::TooLong {
                field: "headers",
                length,
                limit: MAX_HEADER_BYTES,
            });
        }
        if old.is_none() && self.entries.len() == MAX_HEADERS {
            return Err(MessageError::TooManyHeaders(MAX_HEADERS));
        }
        self.bytes = length;
        self.entries.insert(key.into(), value.into());
        Ok(old.is_none())
    }

    pub(in crate::broker) fn remove(&mut self, key: &str) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= key.len() + old.len();
        }
    }

    /// The length of all keys and values.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::broker) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|value| &**value)
    }

    /// All, by ascending keys.
    pub(in crate::broker) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (&**key, &**value))
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
