//! The options of sockets and endpoints: what they mean, their defaults, their ranges, and when they take effect.

#[cfg(feature = "tls")]
use std::sync::LazyLock;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::http;
use crate::protocols::ProtocolOption;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

mod buffers;
mod keepalive;

pub(crate) use buffers::SystemBuffers;
pub use keepalive::Keepalive;

/// Most messages a buffer option allows.
const MAX_BUFFER: usize = 8192;
/// Longest receive limit: the wire format reserves the top bits of a length.
const MAX_RECV: usize = 0x0fff_ffff_ffff_ffff;

/// The options of a socket.
///
/// A builder: each method takes a value and gives the options back. Values are checked when the options are used,
/// by [`Socket::with_options`](crate::Socket::with_options) or [`Socket::set_options`](crate::Socket::set_options),
/// which name the option and its range if one is wrong.
///
/// ```
/// use std::time::Duration;
/// use wirebird::{Error, Req, SocketOptions};
///
/// let options = SocketOptions::new().recv_timeout(Duration::from_secs(1)).resend_time(None);
/// let req = Req::with_options(&options)?;
/// let bad = req.set_options(&options.ttl(16)).unwrap_err();
/// assert_eq!(bad.to_string(), "option ttl-max cannot be 16: 1 to 15 is allowed");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    pub(crate) name: Option<String>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) recv_timeout: Option<Duration>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) recv_buffer: Option<usize>,
    pub(crate) ttl: Option<u8>,
    pub(crate) resend_time: Option<Option<Duration>>,
    pub(crate) resend_tick: Option<Duration>,
    pub(crate) survey_time: Option<Option<Duration>>,
    pub(crate) prefer_new: Option<bool>,
    pub(crate) linger: Duration,
    pub(crate) spin: Duration,
    pub(crate) endpoint: EndpointOptions,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            name: None,
            send_timeout: None,
            recv_timeout: None,
            send_buffer: None,
            recv_buffer: None,
            ttl: None,
            resend_time: None,
            resend_tick: None,
            survey_time: None,
            prefer_new: None,
            linger: Duration::from_secs(1),
            spin: Duration::from_micros(50),
            endpoint: EndpointOptions::default(),
        }
    }
}

impl SocketOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A label for logs and statistics, at most 63 bytes. Default: the socket's number. Takes effect at once.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long a send waits to be accepted; `None`, the default, waits for ever. Takes effect with the next send;
    /// contexts copy it when they are opened.
    #[must_use]
    pub fn send_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.send_timeout = timeout.into();
        self
    }

    /// How long a receive waits for a message; `None`, the default, waits for ever. Takes effect with the next
    /// receive; contexts copy it when they are opened.
    #[must_use]
    pub fn recv_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.recv_timeout = timeout.into();
        self
    }

    /// Messages the socket holds when no pipe takes them, 0 to 8192 (1 to 8192 for pub and bus, where it is per
    /// pipe). Defaults: 16 for pub and bus, else 0. Takes effect at once; shrinking it drops the newest.
    ///
    /// Besides it every pipe has an outgoing batch, bounded in bytes, which plays the part of a kernel buffer.
    #[must_use]
    pub fn send_buffer(mut self, messages: usize) -> Self {
        self.send_buffer = Some(messages);
        self
    }

    /// Messages the socket holds until they are received, 0 to 8192 (1 to 8192 for sub and bus). Defaults: 128 for
    /// sub, 16 for bus, 1 for polyamorous pairs and most raw sockets, else 0. Takes effect at once; shrinking it
    /// drops the newest. Sub contexts copy it when they are opened.
    #[must_use]
    pub fn recv_buffer(mut self, messages: usize) -> Self {
        self.recv_buffer = Some(messages);
        self
    }

    /// Longest message accepted from a peer, in bytes of header and body; 0 for no limit. Default 1 GiB, as in nng.
    /// A longer one closes its pipe before any of its body is read. Takes effect for pipes connected later; inproc
    /// ignores it.
    #[must_use]
    pub fn recv_max_size(mut self, bytes: usize) -> Self {
        self.endpoint.recv_max = bytes;
        self
    }

    /// Most hops a message may have passed through devices, 1 to 15, default 8. One that came farther is dropped.
    /// For pair1, req, rep, surveyor and respondent; takes effect at once.
    #[must_use]
    pub fn ttl(mut self, hops: u8) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// After how long without a reply a request is sent again; `None` never, and losing the peer is then an error.
    /// Default 60 s. For req; takes effect with the next request; contexts copy it when they are opened.
    #[must_use]
    pub fn resend_time(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.resend_time = Some(time.into());
        self
    }

    /// How often resend times are looked at, more than zero, default 1 s. For req; takes effect with the next tick.
    #[must_use]
    pub fn resend_tick(mut self, tick: Duration) -> Self {
        self.resend_tick = Some(tick);
        self
    }

    /// How long a survey takes responses; `None` until the next survey. Default 1 s. For surveyor; takes effect
    /// with the next survey; contexts copy it when they are opened.
    #[must_use]
    pub fn survey_time(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.survey_time = Some(time.into());
        self
    }

    /// Whether a full receive queue drops its oldest message (`true`, the default) or the one that arrives. For
    /// sub; takes effect at once; contexts copy it when they are opened.
    #[must_use]
    pub fn prefer_new(mut self, prefer: bool) -> Self {
        self.prefer_new = Some(prefer);
        self
    }

    /// How long closing, or dropping the last handle, may wait until what was accepted has been sent and read by
    /// the peers; zero discards it. Default 1 s. Takes effect at close.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// How long a blocked call looks for its message itself before it sleeps, at most 10 ms; zero turns that off.
    /// Default 50 us, and off where there is but one processor. It stops by itself while it does not pay. A receive
    /// that is awaited does so by asking to be polled again at once, so that other tasks have their turn in between.
    /// Takes effect at once.
    #[must_use]
    pub fn spin(mut self, time: Duration) -> Self {
        self.spin = time;
        self
    }

    /// Defaults for the dialers and listeners made from now on.
    #[must_use]
    pub fn endpoint(mut self, options: EndpointOptions) -> Self {
        self.endpoint = options;
        self
    }

    /// Shortest wait before a lost or failed connection is tried again, at most a day; see
    /// [`EndpointOptions::reconnect_min`].
    #[must_use]
    pub fn reconnect_min(mut self, time: Duration) -> Self {
        self.endpoint = self.endpoint.reconnect_min(time);
        self
    }

    /// Longest such wait; see [`EndpointOptions::reconnect_max`].
    #[must_use]
    pub fn reconnect_max(mut self, time: Duration) -> Self {
        self.endpoint = self.endpoint.reconnect_max(time);
        self
    }

    /// Checks everything that does not depend on the protocol.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(name) = self.name.as_ref().filter(|name| name.len() > 63) {
            return Err(Error::bad_option("socket-name", name, "at most 63 bytes"));
        }
        for (option, value) in [
            ("send-buffer", self.send_buffer),
            ("recv-buffer", self.recv_buffer),
        ] {
            if let Some(value) = value.filter(|&value| value > MAX_BUFFER) {
                return Err(Error::bad_option(option, value, "0 to 8192"));
            }
        }
        if let Some(ttl) = self.ttl.filter(|ttl| !(1..=15).contains(ttl)) {
            return Err(Error::bad_option("ttl-max", ttl, "1 to 15"));
        }
        if self.resend_tick == Some(Duration::ZERO) {
            return Err(Error::bad_option(
                "req:resend-tick",
                Duration::ZERO,
                "more than zero",
            ));
        }
        if self.spin > Duration::from_millis(10) {
            return Err(Error::bad_option("spin", self.spin, "0 to 10 ms"));
        }
        self.endpoint.check()
    }

    /// The protocol's options among them, those that were set.
    pub(crate) fn for_protocol(&self) -> impl Iterator<Item = ProtocolOption> {
        [
            self.send_buffer.map(ProtocolOption::SendBuffer),
            self.recv_buffer.map(ProtocolOption::RecvBuffer),
            self.ttl.map(ProtocolOption::Ttl),
            self.resend_time.map(ProtocolOption::ResendTime),
            self.resend_tick.map(ProtocolOption::ResendTick),
            self.survey_time.map(ProtocolOption::SurveyTime),
            self.prefer_new.map(ProtocolOption::PreferNew),
        ]
        .into_iter()
        .flatten()
    }
}

/// The options of a dialer or listener. Those of its socket are the defaults. All take effect for connections made
/// after the endpoint was started with them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointOptions {
    pub(crate) recv_max: usize,
    pub(crate) reconnect_min: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_handshakes: usize,
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) buffers: SystemBuffers,
    pub(crate) permissions: Option<u32>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) ws_ping: Option<Duration>,
    pub(crate) ws_origins: Vec<String>,
    pub(crate) ws_headers: Vec<(String, String)>,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            recv_max: 1 << 30,
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1024,
            nodelay: true,
            keepalive: None,
            buffers: SystemBuffers::default(),
            permissions: None,
            #[cfg(feature = "tls")]
            tls: None,
            ws_ping: None,
            ws_origins: Vec::new(),
            ws_headers: Vec::new(),
        }
    }
}

impl EndpointOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Longest message accepted, as [`SocketOptions::recv_max_size`].
    #[must_use]
    pub fn recv_max_size(mut self, bytes: usize) -> Self {
        self.recv_max = bytes;
        self
    }

    /// Before a lost or failed connection is tried again the dialer waits a random time up to this, at least 5 ms.
    /// At most a day, default 1 s. For dialers.
    #[must_use]
    pub fn reconnect_min(mut self, time: Duration) -> Self {
        self.reconnect_min = time;
        self
    }

    /// With every failure in a row that time doubles, up to this, at most a day; zero, the default, lets it stay
    /// as it is. For dialers.
    #[must_use]
    pub fn reconnect_max(mut self, time: Duration) -> Self {
        self.reconnect_max = time;
        self
    }

    /// How long one attempt to connect may take, more than zero, default 10 s. For dialers.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long an accepted peer may take to send its header, more than zero, default 10 s. For listeners.
    #[must_use]
    pub fn handshake_timeout(mut self, time: Duration) -> Self {
        self.handshake_timeout = time;
        self
    }

    /// How many accepted peers may be in their handshake at once, at least 1, default 1024. A further one takes the
    /// place of the oldest, whose handshake fails with [`Error::Busy`]; descriptors that are handed over wait
    /// instead. For listeners.
    #[must_use]
    pub fn max_handshakes(mut self, peers: usize) -> Self {
        self.max_handshakes = peers;
        self
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`), default true. For tcp.
    #[must_use]
    pub fn tcp_nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Probes of idle connections, default none. For tcp.
    #[must_use]
    pub fn tcp_keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.keepalive = keepalive.into();
        self
    }

    /// Mode of the socket file, the nine permission bits. Default: what the umask leaves. For ipc listeners;
    /// abstract names have none and ignore it.
    #[must_use]
    pub fn ipc_permissions(mut self, mode: u32) -> Self {
        self.permissions = Some(mode);
        self
    }

    /// Certificates and whom to trust, for tls+tcp and wss. Default: [`TlsConfig::new`], with which a dialer trusts the
    /// system's CAs and a listener cannot start.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// The configuration in force.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_config(&self) -> &TlsConfig {
        static DEFAULT: LazyLock<TlsConfig> = LazyLock::new(TlsConfig::new);
        self.tls.as_ref().unwrap_or(&DEFAULT)
    }

    /// How often a ping is sent, 1 ms to one day, so that proxies do not take the connection for a dead one; `None`,
    /// the default, sends none. A peer from which nothing at all has come for two of these intervals is taken for
    /// lost: its pipe goes with [`Error::TimedOut`]. A peer that does not read, because nobody receives there, answers no
    /// ping; it is not lost if it pings too, as often as we do. Not for peers that run nanomsg, which takes a ping for a
    /// message. For ws and wss.
    #[must_use]
    pub fn ws_ping(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.ws_ping = interval.into();
        self
    }

    /// The origins from which browsers may connect, as `https://example.com`, compared whole and without regard to
    /// case; others are answered 403. Default: none are named, and all may. Requests that name no origin, as those of
    /// other programs than browsers, are always let in. For ws and wss listeners.
    #[must_use]
    pub fn ws_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.ws_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a header to the HTTP request of a dialer or the response of a listener; each call adds one more. The name is
    /// a token of RFC 9110 and none of those that the handshake itself needs; the value has no control characters. What
    /// the peer sent is in [`PipeInfo::http`](crate::PipeInfo::http). For ws and wss.
    #[must_use]
    pub fn ws_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.ws_headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        const DAY: Duration = Duration::from_secs(86_400);
        if self.recv_max > MAX_RECV {
            return Err(Error::bad_option(
                "recv-size-max",
                self.recv_max,
                "0 to 2^60 - 1",
            ));
        }
        for (option, time) in [
            ("reconnect-time-min", self.reconnect_min),
            ("reconnect-time-max", self.reconnect_max),
        ] {
            if time > DAY {
                return Err(Error::bad_option(option, time, "0 to one day"));
            }
        }
        for (option, time) in [
            ("connect-timeout", self.connect_timeout),
            ("handshake-timeout", self.handshake_timeout),
        ] {
            if time.is_zero() {
                return Err(Error::bad_option(option, time, "more than zero"));
            }
        }
        if self.max_handshakes == 0 {
            return Err(Error::bad_option("max-handshakes", 0, "1 or more"));
        }
        if let Some(mode) = self.permissions.filter(|mode| mode & !0o777 != 0) {
            return Err(Error::bad_option(
                "ipc:permissions",
                format_args!("{mode:#o}"),
                "the nine permission bits",
            ));
        }
        if let Some(time) = self.ws_ping
            && !(Duration::from_millis(1)..=DAY).contains(&time)
        {
            return Err(Error::bad_option("ws:ping", time, "1 ms to one day"));
        }
        if let Some(bad) = self
            .ws_headers
            .iter()
            .find(|header| !http::is_addable(header))
        {
            return Err(Error::bad_option(
                "ws:header",
                bad,
                "a token that is no name of the handshake's own, and text without control characters",
            ));
        }
        self.buffers.check()?;
        self.keepalive.as_ref().map_or(Ok(()), Keepalive::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<()>) -> String {
        result.expect_err("the value is out of range").to_string()
    }

    #[test]
    fn every_value_out_of_range_is_refused_with_its_option_and_range() {
        let socket = SocketOptions::new;
        let endpoint = EndpointOptions::new;
        let long = Duration::from_secs(100_000);
        let cases = [
            (
                socket().send_buffer(8193).check(),
                "send-buffer cannot be 8193: 0 to 8192",
            ),
            (
                socket().recv_buffer(9000).check(),
                "recv-buffer cannot be 9000: 0 to 8192",
            ),
            (socket().ttl(0).check(), "ttl-max cannot be 0: 1 to 15"),
            (socket().ttl(16).check(), "ttl-max cannot be 16: 1 to 15"),
            (
                socket().resend_tick(Duration::ZERO).check(),
                "req:resend-tick",
            ),
            (
                socket().spin(Duration::from_secs(1)).check(),
                "spin cannot be 1s",
            ),
            (socket().name("x".repeat(64)).check(), "at most 63 bytes"),
            (socket().recv_max_size(1 << 60).check(), "recv-size-max"),
            (endpoint().reconnect_min(long).check(), "reconnect-time-min"),
            (endpoint().reconnect_max(long).check(), "reconnect-time-max"),
            (
                endpoint().connect_timeout(Duration::ZERO).check(),
                "connect-timeout",
            ),
            (
                endpoint().handshake_timeout(Duration::ZERO).check(),
                "handshake-timeout",
            ),
            (endpoint().max_handshakes(0).check(), "max-handshakes"),
            (
                endpoint().socket_send_buffer(0).check(),
                "socket-send-buffer cannot be 0: 1 to 2^30",
            ),
            (
                endpoint().socket_recv_buffer((1 << 30) + 1).check(),
                "socket-recv-buffer",
            ),
            (
                endpoint().ipc_permissions(0o100_644).check(),
                "ipc:permissions cannot be 0o100644",
            ),
            (
                endpoint().tcp_keepalive(Keepalive::new().count(0)).check(),
                "keepalive count",
            ),
            (
                endpoint().ws_ping(Duration::ZERO).check(),
                "ws:ping cannot be 0ns: 1 ms to one day",
            ),
            (
                endpoint().ws_header("Host", "x").check(),
                "ws:header cannot be (\"Host\", \"x\"): a token",
            ),
            (
                endpoint()
                    .tcp_keepalive(Keepalive::new().idle(Duration::ZERO))
                    .check(),
                "idle",
            ),
        ];
        for (result, expected) in cases {
            let text = message(result);
            assert!(
                text.contains(expected),
                "{text:?} does not name {expected:?}"
            );
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let socket = SocketOptions::new();
        assert_eq!((socket.send_timeout, socket.recv_timeout), (None, None));
        assert_eq!(socket.linger, Duration::from_secs(1));
        assert_eq!(socket.spin, Duration::from_micros(50));
        // What each protocol has of its own it decides for itself.
        assert_eq!(socket.for_protocol().count(), 0);
        let endpoint = socket.endpoint;
        assert_eq!(endpoint.recv_max, 1 << 30);
        assert_eq!(endpoint.reconnect_min, Duration::from_secs(1));
        assert_eq!(endpoint.reconnect_max, Duration::ZERO);
        assert_eq!(endpoint.connect_timeout, Duration::from_secs(10));
        assert!(endpoint.nodelay && endpoint.keepalive.is_none());
    }

    #[test]
    fn the_ends_of_every_range_are_accepted() {
        let endpoint = EndpointOptions::new()
            .reconnect_min(Duration::ZERO)
            .reconnect_max(Duration::from_secs(86_400))
            .max_handshakes(1)
            .ipc_permissions(0o777);
        for ttl in [1, 15] {
            let options = SocketOptions::new()
                .ttl(ttl)
                .send_buffer(8192)
                .recv_buffer(0)
                .recv_max_size(0)
                .spin(Duration::ZERO)
                .name("x".repeat(63))
                .endpoint(endpoint.clone());
            assert_eq!(options.check(), Ok(()));
        }
    }
}
