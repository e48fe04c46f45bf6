//! The HTTP heads that a WebSocket connection begins with, as far as users see them.

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

/// Whether a header may be added to a WebSocket handshake.
pub(crate) fn is_addable((name, value): &(String, String)) -> bool {
    const OURS: [&str; 6] = [
        "host",
        "upgrade",
        "connection",
        "content-length",
        "transfer-encoding",
        "trailer",
    ];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.bytes().all(is_token)
        && !OURS.contains(&lower.as_str())
        && !lower.starts_with("sec-websocket-")
        && !value.chars().any(|c| c.is_control() && c != '\t')
}
