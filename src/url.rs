//! URLs of dialers and listeners.
//!
//! A URL has one of two shapes. Network schemes (tcp, tls+tcp, ws, wss) have a host, a port and a path, and are
//! brought to one canonical form, so that two spellings of an address compare equal. Local schemes (ipc, unix,
//! abstract, inproc) have a single name that is kept as it was written.
//!
//! Parsing accepts what could be an address for either role; [`Url::check_dial`] and [`Url::check_listen`] then
//! refuse what the role cannot use, before a socket of the operating system is touched.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, Result, UrlFault};

mod canonical;
mod reach;
mod service;

/// Longest host name, in bytes.
const MAX_HOST: usize = 255;
/// Longest ipc path and abstract name, in bytes: what a socket address holds beside one NUL.
const MAX_LOCAL: usize = 107;

/// The address of a dialer or a listener.
///
/// | scheme | form |
/// |---|---|
/// | `tcp`, `tcp4`, `tcp6`, `tls+tcp`, `tls+tcp4`, `tls+tcp6` | `tcp://host:port` |
/// | `ws`, `ws4`, `ws6`, `wss`, `wss4`, `wss6` | `ws://host[:port][/path][?query]` |
/// | `ipc`, `unix` | `ipc://path`, the path verbatim |
/// | `abstract` | `abstract://name`, with `%xx` for bytes that are not text |
/// | `inproc` | `inproc://name`, any text |
/// | `socket` | `socket://` |
///
/// A `4` or `6` at the end of a scheme restricts it to that version of IP. IPv6 addresses stand in brackets. A
/// listener's host may be empty or `*` (as in nng 1.x, nanomsg and mangos), which means every local address; its
/// port may be 0 or absent, and the system then chooses one. A dialer needs both. A port is a decimal number or, as in
/// nng, the name of a tcp service that the system lists in `/etc/services`; it is kept as the number.
///
/// Equal URLs name the same address: schemes and hosts are kept in lower case, IPv6 addresses in their shortest
/// form, paths without escapes that are not needed and without `.`, `..` and empty segments. [`Display`](fmt::Display)
/// prints that form, and leaves out a port that the scheme implies.
///
/// ```
/// use wirebird::Url;
///
/// let url: Url = "WS://Example.com:80/a/./%7Eb?c".parse()?;
/// assert_eq!(url.host(), "example.com");
/// assert_eq!(url.port(), Some(80));
/// assert_eq!(url.to_string(), "ws://example.com/a/~b?c");
/// # Ok::<(), wirebird::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: &'static Scheme,
    address: Address,
}

/// What carries the messages of a URL's scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A socket in the file system.
    Ipc,
    /// A Linux socket in the abstract name space.
    Abstract,
    /// Memory of this process.
    Inproc,
    /// Descriptors that the program hands in.
    Descriptor,
}

/// The versions of IP that a URL's scheme allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Both, or not an IP scheme.
    Any,
    /// IPv4 only: the scheme ends in 4.
    V4,
    /// IPv6 only: the scheme ends in 6.
    V6,
}

/// What a host is, before any name is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host<'a> {
    /// Empty or `*`: every local address, for listeners only.
    Wildcard,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address and, behind a `%`, the name or number of the interface it belongs to.
    V6(Ipv6Addr, Option<&'a str>),
    /// A name to be resolved.
    Name(&'a str),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scheme {
    name: &'static str,
    transport: Transport,
    family: Family,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Address {
    Network(Network),
    /// An ipc path or an inproc name.
    Text(String),
    /// An abstract name, decoded.
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Network {
    userinfo: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

const fn scheme(
    name: &'static str,
    transport: Transport,
    family: Family,
    port: Option<u16>,
) -> Scheme {
    Scheme {
        name,
        transport,
        family,
        port,
    }
}

static SCHEMES: [Scheme; 17] = [
    scheme("tcp", Transport::Tcp, Family::Any, None),
    scheme("tcp4", Transport::Tcp, Family::V4, None),
    scheme("tcp6", Transport::Tcp, Family::V6, None),
    scheme("tls+tcp", Transport::Tls, Family::Any, None),
    scheme("tls+tcp4", Transport::Tls, Family::V4, None),
    scheme("tls+tcp6", Transport::Tls, Family::V6, None),
    scheme("ws", Transport::Ws, Family::Any, Some(80)),
    scheme("ws4", Transport::Ws, Family::V4, Some(80)),
    scheme("ws6", Transport::Ws, Family::V6, Some(80)),
    scheme("wss", Transport::Wss, Family::Any, Some(443)),
    scheme("wss4", Transport::Wss, Family::V4, Some(443)),
    scheme("wss6", Transport::Wss, Family::V6, Some(443)),
    scheme("ipc", Transport::Ipc, Family::Any, None),
    scheme("unix", Transport::Ipc, Family::Any, None),
    scheme("abstract", Transport::Abstract, Family::Any, None),
    scheme("inproc", Transport::Inproc, Family::Any, None),
    scheme("socket", Transport::Descriptor, Family::Any, None),
];

/// Schemes of other implementations: refused with their name, so that nobody looks for a typing error.
const FOREIGN: [&str; 7] = ["udp", "udp4", "udp6", "dtls", "dtls4", "dtls6", "zt"];

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] with the reason and the kind of fault.
    pub fn parse(text: &str) -> Result<Self> {
        Self::split(text).map_err(|refusal| refusal.on(text))
    }

    fn split(text: &str) -> Result<Self, Refusal> {
        let Some((name, rest)) = text.split_once("://") else {
            return malformed("it has no \"://\"");
        };
        let name = name.to_ascii_lowercase();
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name == name) else {
            return unsupported(if FOREIGN.contains(&name.as_str()) {
                format!("the {name} transport is not supported")
            } else {
                format!("no transport has the scheme {name:?}")
            });
        };
        let address = match scheme.transport {
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                Address::Network(Network::parse(rest, scheme.port)?)
            }
            Transport::Ipc if rest.contains('\0') => {
                return malformed("a path cannot hold a zero byte");
            }
            Transport::Descriptor if !rest.is_empty() => {
                return unusable("nothing may follow \"socket://\"");
            }
            Transport::Ipc | Transport::Inproc | Transport::Descriptor => {
                Address::Text(rest.into())
            }
            Transport::Abstract => match canonical::decode(rest) {
                Ok(name) => Address::Bytes(name),
                Err(refusal) => return unusable(refusal.reason),
            },
        };
        Ok(Self { scheme, address })
    }

    /// Checks that a dialer can use the URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] with what is missing or too much, as a port other than 0.
    pub fn check_dial(&self) -> Result<()> {
        self.dialable()
            .map_err(|refusal| refusal.on(&self.to_string()))
    }

    /// Checks that a listener can use the URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] with what is too much or does not fit.
    pub fn check_listen(&self) -> Result<()> {
        self.usable()
            .map_err(|refusal| refusal.on(&self.to_string()))
    }

    fn dialable(&self) -> Result<(), Refusal> {
        match &self.address {
            Address::Network(network) if network.host.is_empty() => {
                unusable("a dialer needs a host")
            }
            Address::Network(network) if network.host == "*" => unusable(
                "a dialer needs a host: * means every local address, which only a listener has",
            ),
            Address::Network(Network {
                port: None | Some(0),
                ..
            }) => unusable("a dialer needs a port other than 0"),
            Address::Bytes(name) if name.is_empty() => unusable("a dialer needs a name"),
            Address::Text(_) if self.scheme.transport == Transport::Descriptor => {
                unsupported("descriptors are handed to a listener, they cannot be dialed")
            }
            _ => self.usable(),
        }
    }

    fn usable(&self) -> Result<(), Refusal> {
        match &self.address {
            Address::Network(network) => {
                match (self.scheme.family, network.host()) {
                    (Family::V4, Host::V6(..)) => {
                        return unusable("the scheme is for IPv4, the address is IPv6");
                    }
                    (Family::V6, Host::V4(_)) => {
                        return unusable("the scheme is for IPv6, the address is IPv4");
                    }
                    _ => {}
                }
                if network.userinfo.is_some() {
                    return unusable("user information before an @ has no use here");
                }
                if network.fragment.is_some() {
                    // RFC 6455 section 3 forbids it on ws and wss too.
                    return unusable("a fragment behind a # has no use here");
                }
                let plain = matches!(self.scheme.transport, Transport::Tcp | Transport::Tls);
                if plain && !matches!(network.path.as_str(), "" | "/") {
                    return unusable("only WebSocket URLs have a path");
                }
                if plain && network.query.is_some() {
                    return unusable("only WebSocket URLs have a query");
                }
                Ok(())
            }
            Address::Text(path) if self.scheme.transport == Transport::Ipc => match path.len() {
                0 => unusable("a path is needed"),
                1..=MAX_LOCAL => Ok(()),
                _ => unusable("a path longer than 107 bytes does not fit in a socket address"),
            },
            Address::Bytes(name) if name.len() > MAX_LOCAL => {
                unusable("a name longer than 107 bytes does not fit in a socket address")
            }
            Address::Text(_) | Address::Bytes(_) => Ok(()),
        }
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme.name
    }

    /// What the scheme runs over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.scheme.transport
    }

    /// The versions of IP that the scheme allows.
    #[must_use]
    pub fn family(&self) -> Family {
        self.scheme.family
    }

    /// The host in lower case, an IPv6 address without its brackets; empty when the URL has none.
    #[must_use]
    pub fn host(&self) -> &str {
        self.network().map_or("", |network| &network.host)
    }

    /// What the host is; a local URL's is [`Host::Wildcard`], for it has none.
    #[must_use]
    pub fn host_kind(&self) -> Host<'_> {
        self.network().map_or(Host::Wildcard, Network::host)
    }

    /// The port: the one that was written, or else the scheme's own. `tcp` and `tls+tcp` have none of their own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.network()?.port
    }

    /// The path of a network or ipc URL, or the name of an inproc one; empty when there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        match &self.address {
            Address::Network(network) => &network.path,
            Address::Text(text) => text,
            Address::Bytes(_) => "",
        }
    }

    /// The decoded name of an `abstract` URL.
    #[must_use]
    pub fn abstract_name(&self) -> Option<&[u8]> {
        match &self.address {
            Address::Bytes(name) => Some(name),
            _ => None,
        }
    }

    /// What follows the `?`, as it was written.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.network()?.query.as_deref()
    }

    /// What follows the `#`, as it was written.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.network()?.fragment.as_deref()
    }

    /// What stands before the `@`, as it was written.
    #[must_use]
    pub fn userinfo(&self) -> Option<&str> {
        self.network()?.userinfo.as_deref()
    }

    /// The same URL with another port: how a listener tells the port that the system chose for it. A local URL has
    /// no port and stays as it is.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        if let Address::Network(network) = &mut self.address {
            network.port = Some(port);
        }
        self
    }

    fn network(&self) -> Option<&Network> {
        match &self.address {
            Address::Network(network) => Some(network),
            _ => None,
        }
    }
}

impl Network {
    fn parse(rest: &str, default_port: Option<u16>) -> Result<Self, Refusal> {
        // They would let a URL write lines of its own into an HTTP request.
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return malformed("spaces and control characters must be written as %xx");
        }
        let (rest, fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (userinfo, endpoint) = match authority.split_once('@') {
            Some((_, endpoint)) if endpoint.contains('@') => {
                return malformed("it has more than one @");
            }
            Some((userinfo, endpoint)) => (Some(userinfo), endpoint),
            None => (None, authority),
        };
        let (host, port) = split_port(endpoint)?;
        Ok(Self {
            userinfo: userinfo.map(Into::into),
            host: canonical_host(host)?,
            port: port.map(parse_port).transpose()?.or(default_port),
            path: canonical::path(path)?,
            query: query.map(Into::into),
            fragment: fragment.map(Into::into),
        })
    }

    fn host(&self) -> Host<'_> {
        let host = self.host.as_str();
        if matches!(host, "" | "*") {
            return Host::Wildcard;
        }
        if let Ok(v4) = host.parse() {
            return Host::V4(v4);
        }
        let (address, scope) = cut(host, '%');
        match address.parse() {
            Ok(v6) => Host::V6(v6, scope),
            Err(_) => Host::Name(host),
        }
    }
}

/// Separates `host:port`, where the host may be in brackets, which it keeps.
fn split_port(endpoint: &str) -> Result<(&str, Option<&str>), Refusal> {
    let end = match endpoint.strip_prefix('[') {
        Some(inner) => match inner.find(']') {
            Some(close) => close + 2,
            None => return malformed("the [ has no ]"),
        },
        None => endpoint.find(':').unwrap_or(endpoint.len()),
    };
    let (host, rest) = endpoint.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => malformed("only a port may follow the ]"),
    }
}

fn parse_port(port: &str) -> Result<u16, Refusal> {
    if port.is_empty() {
        return malformed("the port after the : is missing");
    }
    if port.contains(':') {
        return malformed("an IPv6 address must stand in [ ]");
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return match service::port(port) {
            Some(port) => Ok(port),
            None => {
                malformed("the port is neither a decimal number nor a tcp service of this system")
            }
        };
    }
    match port.parse() {
        Ok(port) => Ok(port),
        Err(_) => unusable("the port must be at most 65535"),
    }
}

fn canonical_host(host: &str) -> Result<String, Refusal> {
    if host.len() > MAX_HOST {
        return malformed("the host is longer than 255 bytes");
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let (address, scope) = cut(literal, '%');
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return malformed("what stands in [ ] is not an IPv6 address");
        };
        return match scope {
            None => Ok(address.to_string()),
            // Interface names are case-sensitive, and may hold nearly anything; what would not print back is refused.
            Some(scope)
                if !scope.is_empty()
                    && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'[') =>
            {
                Ok(format!("{address}%{scope}"))
            }
            Some(_) => malformed("what follows the % in [ ] is not an interface"),
        };
    }
    if matches!(host, "" | "*") {
        return Ok(host.into());
    }
    if host.contains(';') {
        return unusable("a local address before a ; is not supported");
    }
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let valid = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !labels.clone().all(valid) {
        return unusable(
            "the host is neither a name, nor an IPv4 address, nor an IPv6 address in [ ]",
        );
    }
    // No top-level domain is a number, so a resolver would take such a host for an address, each in its own way.
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if labels.clone().next_back().is_some_and(numeric) && host.parse::<Ipv4Addr>().is_err() {
        return unusable("the host is not an IPv4 address, which is four numbers of 0 to 255");
    }
    Ok(host.to_ascii_lowercase())
}

/// Splits at the first `separator`; without one, all is before it.
fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Why a URL is refused, before it is known how the caller wrote it.
#[derive(Debug)]
struct Refusal {
    fault: UrlFault,
    reason: Cow<'static, str>,
}

fn malformed<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    Err(Refusal::new(UrlFault::Malformed, reason))
}

fn unusable<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    Err(Refusal::new(UrlFault::Unusable, reason))
}

fn unsupported<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    Err(Refusal::new(UrlFault::Unsupported, reason))
}

impl Refusal {
    fn new(fault: UrlFault, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            fault,
            reason: reason.into(),
        }
    }

    fn on(self, url: &str) -> Error {
        Error::bad_url(url, self.fault, self.reason)
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name)?;
        match &self.address {
            Address::Network(network) => network.print(f, self.scheme.port),
            Address::Text(text) => f.write_str(text),
            Address::Bytes(name) => canonical::encode(name, f),
        }
    }
}

impl Network {
    fn print(&self, f: &mut fmt::Formatter<'_>, implied: Option<u16>) -> fmt::Result {
        if let Some(userinfo) = &self.userinfo {
            write!(f, "{userinfo}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port
            && self.port != implied
        {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if let Some(fragment) = &self.fragment {
            write!(f, "#{fragment}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
