//! The HTTP request that opens a WebSocket connection, and its response, without I/O.
//!
//! A client names the protocol of the server's socket, as `rep.sp.nanomsg.org`, and the server says the same back; it
//! takes the place of the header that other transports send. Nothing is said of extensions, so there are none.

use std::fmt::Write;

use tungstenite::error::{CapacityError, Error as Fault};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::{client, derive_accept_key, server};
use tungstenite::http::HeaderMap;

use crate::error::{Error, Result};
use crate::http::HttpInfo;
use crate::options::EndpointOptions;
use crate::protocols::ProtocolInfo;
use crate::url::{Transport, Url};

/// Longest head of a request or response, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What a browser's user reads.
const ABOUT: &str =
    "This is a WebSocket port of scalability-protocol sockets. It has nothing to show.\n";

/// What we are, for logs and for peers that are careful with those that do not say.
const PROGRAM: &str = concat!("wirebird/", env!("CARGO_PKG_VERSION"));

/// The WebSocket protocol of a socket's kind.
fn subprotocol(name: &str) -> String {
    format!("{name}.sp.nanomsg.org")
}

// ---- the server's side ----

/// What a client asked for.
pub(super) struct Request {
    /// The path, in the spelling of [`path`].
    pub(super) path: String,
    inner: server::Request,
}

/// Why a client does not get what it asked for, and what it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    pub(super) error: Error,
    /// The WebSocket protocol that it should have asked for.
    instead: Option<String>,
}

impl Refusal {
    fn new(status: u16, why: &'static str) -> Self {
        Self::with(status, Error::Malformed(why))
    }

    fn with(status: u16, error: Error) -> Self {
        Self {
            status,
            error,
            instead: None,
        }
    }

    /// Nobody listens at the path.
    pub(super) fn unknown_path() -> Self {
        Self::with(404, Error::NotFound)
    }

    /// The connection came through another listener, and is encrypted in another way than its own are.
    pub(super) fn misdirected() -> Self {
        Self::with(421, Error::PermissionDenied)
    }

    /// Too many wait for the listener at the path.
    pub(super) fn crowded() -> Self {
        Self::with(503, Error::Busy)
    }

    /// The response.
    pub(super) fn response(&self) -> String {
        let (reason, extra) = match self.status {
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: GET\r\n"),
            413 => ("Content Too Large", ""),
            421 => ("Misdirected Request", ""),
            426 => ("Upgrade Required", "Upgrade: websocket\r\n"),
            431 => ("Request Header Fields Too Large", ""),
            503 => ("Service Unavailable", ""),
            505 => ("HTTP Version Not Supported", ""),
            _ => ("Bad Request", "Sec-WebSocket-Version: 13\r\n"),
        };
        let connection = if self.status == 426 {
            "Upgrade, close"
        } else {
            "close"
        };
        let body = if self.status == 426 {
            ABOUT.to_owned()
        } else {
            format!("{}\n", self.error)
        };
        let instead = self.instead.as_ref().map_or_else(String::new, |name| {
            format!("Sec-WebSocket-Protocol: {name}\r\n")
        });
        format!(
            "HTTP/1.1 {} {reason}\r\nConnection: {connection}\r\n{extra}{instead}\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }
}

/// The request at the beginning of `input`, if it is complete, and its length in bytes. `exists` says whether anybody
/// listens at a path.
pub(super) fn parse(
    input: &[u8],
    exists: impl FnOnce(&str) -> bool,
) -> Result<Option<(Request, usize)>, Refusal> {
    // nng 1.x leaves out the slash of an empty path.
    if let Some(rest) = input.strip_prefix(b"GET  HTTP/") {
        let whole = [b"GET / HTTP/", rest].concat();
        let parsed = parse(&whole, exists)?;
        return Ok(parsed.map(|(request, size)| (request, size - 1)));
    }
    match server::Request::try_parse(input) {
        Ok(Some((size, inner))) => {
            let target = inner.uri();
            let path = canonical(target.path())
                .ok_or_else(|| Refusal::new(400, "the path of an HTTP request has bad escapes"))?;
            Ok(Some((Request { path, inner }, size)))
        }
        Ok(None) if input.len() >= MAX_HEAD => Err(too_long()),
        Ok(None) => Ok(None),
        Err(Fault::Capacity(CapacityError::TooManyHeaders)) => Err(too_long()),
        Err(_) => Err(unusable(input, exists)),
    }
}

fn too_long() -> Refusal {
    Refusal::new(431, "the head of an HTTP request is too long")
}

/// What is wrong with a request that the parser does not take.
fn unusable(input: &[u8], exists: impl FnOnce(&str) -> bool) -> Refusal {
    let line = input.split(|&byte| byte == b'\r').next();
    let line = line
        .and_then(|line| str::from_utf8(line).ok())
        .unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if version.is_some_and(|version| version.starts_with("HTTP/") && version != "HTTP/1.1") {
        return Refusal::new(505, "an HTTP request is not of version 1.1");
    }
    if version.is_none() || method == Some("GET") {
        return Refusal::new(400, "what came is not an HTTP request");
    }
    let path = target.and_then(|target| canonical(target.split('?').next()?));
    if path.is_some_and(|path| exists(&path)) {
        Refusal::new(405, "an HTTP request has another method than GET")
    } else {
        Refusal::unknown_path()
    }
}

/// The spelling of a request's path by which it is compared; `None` if it has none.
fn canonical(target: &str) -> Option<String> {
    let url = Url::parse(&format!("ws://host{target}")).ok()?;
    target.starts_with('/').then(|| path(&url))
}

impl Request {
    /// Checks that a client may have a connection to a socket of the kind `info`; returns the response it gets.
    pub(super) fn accept(
        &self,
        info: ProtocolInfo,
        options: &EndpointOptions,
    ) -> Result<String, Refusal> {
        let headers = self.inner.headers();
        let is = |name: &str, value: &str| {
            let found = headers.get(name);
            found.is_some_and(|found| found.as_bytes().trim_ascii() == value.as_bytes())
        };
        if headers.contains_key("transfer-encoding")
            || (headers.contains_key("content-length") && !is("content-length", "0"))
        {
            return Err(Refusal::new(413, "an HTTP request has a body"));
        }
        if !headers.contains_key("host") {
            return Err(Refusal::new(400, "an HTTP request names no host"));
        }
        if !has_word(headers, "upgrade", "websocket") {
            return Err(Refusal::new(426, "an HTTP request is not for a WebSocket"));
        }
        if !has_word(headers, "connection", "upgrade") {
            return Err(Refusal::new(
                400,
                "an HTTP request has no \"Connection: Upgrade\"",
            ));
        }
        if !is("sec-websocket-version", "13") {
            return Err(Refusal::new(400, "the version of WebSocket is not 13"));
        }
        let key = headers.get("sec-websocket-key");
        let key = key.map(|key| key.as_bytes().trim_ascii());
        let Some(key) = key.filter(|key| is_key(key)) else {
            return Err(Refusal::new(
                400,
                "a WebSocket request has no key of 16 bytes",
            ));
        };
        let origin = headers.get("origin");
        let may_come = |origin: &str| {
            let mut allowed = options.ws_origins.iter();
            allowed.any(|one| one.eq_ignore_ascii_case(origin.trim()))
        };
        if !options.ws_origins.is_empty()
            && origin.is_some_and(|origin| !origin.to_str().is_ok_and(may_come))
        {
            return Err(Refusal::with(403, Error::PermissionDenied));
        }
        let ours = subprotocol(info.name);
        if !words(headers, "sec-websocket-protocol").any(|word| word == ours) {
            return Err(Refusal {
                instead: Some(ours),
                ..Refusal::with(400, self.wrong_protocol(info))
            });
        }
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {ours}\r\n",
            derive_accept_key(key)
        );
        end_head(&mut response, "Server", options);
        Ok(response)
    }

    /// What to make of a client that wants another protocol than ours.
    fn wrong_protocol(&self, ours: ProtocolInfo) -> Error {
        match known_protocol(self.inner.headers()) {
            // It named the protocol of its peer.
            Some(wanted) => Error::WrongProtocol {
                expected: ours.peer,
                actual: wanted.peer,
            },
            None => Error::BadHandshake,
        }
    }

    pub(super) fn info(&self) -> HttpInfo {
        info(self.inner.uri().to_string(), self.inner.headers())
    }
}

/// Whether a key could be sixteen bytes in base 64.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.strip_suffix(b"==").is_some_and(|digits| {
            let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            digits.iter().all(is_digit)
        })
}

// ---- the client's side ----

/// A request, and what its response is checked with.
pub(super) struct Asked {
    pub(super) request: String,
    uri: String,
    key: String,
    peer: u16,
    subprotocol: String,
}

impl Asked {
    /// Asks for a connection to a peer of a socket of the kind `info`.
    pub(super) fn new(url: &Url, info: ProtocolInfo, options: &EndpointOptions) -> Self {
        let mut uri = path(url);
        if let Some(query) = url.query() {
            uri.push('?');
            escape(query, &mut uri);
        }
        let (key, subprotocol) = (client::generate_key(), subprotocol(info.peer_name));
        let mut request = format!(
            "GET {uri} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n",
            host(url)
        );
        end_head(&mut request, "User-Agent", options);
        Self {
            request,
            uri,
            key,
            peer: info.peer,
            subprotocol,
        }
    }

    /// Checks the response at the beginning of `input`, if it is complete. Returns it and its length in bytes.
    pub(super) fn check(&self, input: &[u8]) -> Result<Option<(HttpInfo, usize)>> {
        let (size, response) = match client::Response::try_parse(input) {
            Ok(Some(complete)) => complete,
            Ok(None) if input.len() < MAX_HEAD => return Ok(None),
            Ok(None) => return refuse("the head of an HTTP response is too long"),
            Err(_) => return refuse("what the server answered is not HTTP/1.1"),
        };
        let headers = response.headers();
        match response.status().as_u16() {
            101 => {}
            400 if let Some(actual) = known_protocol(headers) => {
                return Err(Error::WrongProtocol {
                    expected: self.peer,
                    actual: actual.id,
                });
            }
            401 | 403 => return Err(Error::PermissionDenied),
            404 | 405 | 501 => return Err(Error::ConnectionRefused),
            other => return Err(Error::HttpStatus(other)),
        }
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
        if !has_word(headers, "upgrade", "websocket") || !has_word(headers, "connection", "upgrade")
        {
            return refuse("the server switched to another protocol than WebSocket");
        }
        if !is(
            "sec-websocket-accept",
            &derive_accept_key(self.key.as_bytes()),
        ) {
            return refuse("the server answered to another WebSocket key than ours");
        }
        if !is("sec-websocket-protocol", &self.subprotocol) {
            return refuse("the server does not say that it has our WebSocket protocol");
        }
        if headers.contains_key("sec-websocket-extensions") {
            return refuse("the server uses a WebSocket extension, and none was offered");
        }
        Ok(Some((info(self.uri.clone(), headers), size)))
    }
}

fn refuse<T>(why: &'static str) -> Result<T> {
    Err(Error::Malformed(why))
}

/// The value of `Host`.
fn host(url: &Url) -> String {
    let (host, default) = (
        url.host(),
        match url.transport() {
            Transport::Wss => 443,
            _ => 80,
        },
    );
    // The interface of an address is a matter of this machine alone.
    let host = host.split('%').next().unwrap_or(host);
    let mut value = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if let Some(port) = url.port().filter(|&port| port != default) {
        let _ = write!(value, ":{port}");
    }
    value
}

// ---- both ----

/// The path of a URL as it stands in a request.
pub(super) fn path(url: &Url) -> String {
    let mut path = String::new();
    escape(url.path(), &mut path);
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// Writes what may stand in a request as it is, and the rest as `%xx`.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Adds the headers of the options, our name unless that is among them, and the empty line.
fn end_head(head: &mut String, name: &str, options: &EndpointOptions) {
    let mut named = options.ws_headers.iter();
    if !named.any(|(header, _)| header.eq_ignore_ascii_case(name)) {
        let _ = write!(head, "{name}: {PROGRAM}\r\n");
    }
    for (name, value) in &options.ws_headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
}

/// The values of a header that is a list, of all the lines it is in.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(',').map(str::trim))
}

fn has_word(headers: &HeaderMap, name: &str, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

/// The first protocol of ours that a request asks for, or a response names.
fn known_protocol(headers: &HeaderMap) -> Option<ProtocolInfo> {
    let mut named = words(headers, "sec-websocket-protocol");
    named.find_map(|word| ProtocolInfo::named(word.strip_suffix(".sp.nanomsg.org")?))
}

fn info(uri: String, headers: &HeaderMap) -> HttpInfo {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
        .collect();
    HttpInfo::new(uri, headers)
}

#[cfg(test)]
mod tests;
