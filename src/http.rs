//! What is known of the HTTP request that a connection began with.

/// What the peer said when a WebSocket connection began: a listener's pipe has the request, a dialer's the response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpInfo {
    uri: String,
    headers: Vec<(String, String)>,
}

impl HttpInfo {
    #[cfg(feature = "ws")]
    pub(crate) fn new(uri: String, headers: Vec<(String, String)>) -> Self {
        Self { uri, headers }
    }

    /// The path, and the query behind a `?`, that were asked for.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The value of a header that the peer sent, of the first if there are several. The case of the name does not
    /// matter; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers();
        found
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers that the peer sent, names in lower case. Those of one name are in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
