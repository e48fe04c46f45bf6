//! What the integration tests share: places to listen at, sockets of any kind as one type, and ways to wait.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wirebird::{
    Bus, Dialer, Error, Event, Listener, Message, Monitor, Pair0, Pair1, PairPoly, Pipe,
    ProtocolInfo, Pub, Pull, Push, RawSocket, Rep, Req, Respondent, Result, SendError,
    SocketOptions, SocketStats, Sub, Surveyor,
};

#[cfg(feature = "tls")]
pub(crate) mod certificates;
#[cfg(feature = "broker")]
pub(crate) mod scripted;
#[cfg(feature = "tls")]
pub(crate) mod strangers;
pub(crate) mod web;

/// Long enough for anything that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);

// ---- places ----

/// A way for two sockets to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Inproc,
    Ipc,
    Abstract,
    Tcp,
    Tcp6,
    Tls,
    Descriptor,
    Ws,
    Wss,
}

/// A URL to listen at that nobody else uses, and the directory it needs.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) dir: Option<TempDir>,
}

/// A name no other test has.
pub(crate) fn unique() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("wirebird-test-{}-{number}", std::process::id())
}

impl Via {
    pub(crate) fn place(self) -> Place {
        let (url, dir) = match self {
            Self::Inproc => (format!("inproc://{}", unique()), None),
            Self::Ipc => {
                let dir = TempDir::new().expect("a temporary directory");
                (format!("ipc://{}/socket", dir.path().display()), Some(dir))
            }
            Self::Abstract => (format!("abstract://{}", unique()), None),
            Self::Tcp => ("tcp://127.0.0.1:0".into(), None),
            Self::Tcp6 => ("tcp://[::1]:0".into(), None),
            Self::Tls => ("tls+tcp://127.0.0.1:0".into(), None),
            Self::Descriptor => ("socket://".into(), None),
            Self::Ws => ("ws://127.0.0.1:0/test".into(), None),
            Self::Wss => ("wss://127.0.0.1:0/test".into(), None),
        };
        Place { url, dir }
    }

    /// Connects two sockets, and waits until both have each other.
    pub(crate) fn join(self, listening: &dyn Node, dialing: &dyn Node) {
        let (before, after) = (listening.stats().added, dialing.stats().pipes);
        let place = self.place();
        let listener = listening.listen(&place.url).expect("listens");
        self.dial(&listener, dialing).expect("dials");
        eventually("the listening side has its peer", || {
            listening.stats().added > before
        });
        dialing.wait_for_peers(after + 1, SOON).expect("a peer");
        // The name of an ipc socket is needed only until the connection is there.
        drop(place);
    }

    /// Connects a socket to a listener.
    pub(crate) fn dial(self, listener: &Listener, dialing: &dyn Node) -> Result<()> {
        if self == Self::Descriptor {
            let (one, other) = UnixStream::pair().expect("a socket pair");
            listener.hand_over(one)?;
            dialing.adopt(other).map(drop)
        } else {
            dialing.dial(&listener.url()).map(drop)
        }
    }
}

// ---- sockets of any kind ----

/// A socket, whatever its type. What it cannot do gives `NotSupported`.
pub(crate) trait Node: Send + Sync {
    fn twin(&self) -> Box<dyn Node>;
    fn protocol(&self) -> ProtocolInfo;
    fn set_options(&self, options: &SocketOptions) -> Result<()>;
    fn dial(&self, url: &str) -> Result<Dialer>;
    fn dial_timeout(&self, url: &str, timeout: Duration) -> Result<Dialer>;
    fn dial_background(&self, url: &str) -> Result<Dialer>;
    fn dialer(&self, url: &str) -> Result<Dialer>;
    fn listen(&self, url: &str) -> Result<Listener>;
    fn listener(&self, url: &str) -> Result<Listener>;
    fn adopt(&self, stream: UnixStream) -> Result<Pipe>;
    fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<()>;
    fn pipes(&self) -> Vec<Pipe>;
    fn monitor(&self) -> Monitor;
    fn stats(&self) -> SocketStats;
    fn flush(&self, timeout: Duration) -> Result<()>;
    fn close(&self) -> Result<()>;
    fn is_readable(&self) -> bool;
    fn is_writable(&self) -> bool;

    fn send(&self, message: Message) -> Result<(), SendError> {
        Err(unable(message))
    }

    fn send_timeout(&self, message: Message, _: Duration) -> Result<(), SendError> {
        Err(unable(message))
    }

    fn try_send(&self, message: Message) -> Result<(), SendError> {
        Err(unable(message))
    }

    fn recv(&self) -> Result<Message> {
        Err(Error::NotSupported("receiving"))
    }

    fn recv_timeout(&self, _: Duration) -> Result<Message> {
        Err(Error::NotSupported("receiving"))
    }

    fn try_recv(&self) -> Result<Message> {
        Err(Error::NotSupported("receiving"))
    }

    fn send_async(&self, message: Message) -> Later<'_, Result<(), SendError>> {
        Box::pin(std::future::ready(Err(unable(message))))
    }

    fn recv_async(&self) -> Later<'_, Result<Message>> {
        Box::pin(std::future::ready(Err(Error::NotSupported("receiving"))))
    }
}

/// Any future.
pub(crate) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn unable(message: Message) -> SendError {
    SendError {
        error: Error::NotSupported("sending"),
        message: Box::new(message),
    }
}

/// Whether an endpoint needs certificates. Nodes then have those for this machine.
fn is_encrypted(url: &str) -> bool {
    url.starts_with("tls+tcp") || url.starts_with("wss")
}

macro_rules! nodes {
    ($($kind:ty: $($half:ident)*;)*) => {$(
        impl Node for $kind {
            fn twin(&self) -> Box<dyn Node> {
                Box::new(self.clone())
            }
            fn protocol(&self) -> ProtocolInfo {
                Self::protocol(self)
            }
            fn set_options(&self, options: &SocketOptions) -> Result<()> {
                Self::set_options(self, options)
            }
            fn dial(&self, url: &str) -> Result<Dialer> {
                if !is_encrypted(url) {
                    return Self::dial(self, url);
                }
                let dialer = Node::dialer(self, url)?;
                dialer.start_and_wait(None).map(|()| dialer)
            }
            fn dial_timeout(&self, url: &str, timeout: Duration) -> Result<Dialer> {
                if !is_encrypted(url) {
                    return Self::dial_timeout(self, url, timeout);
                }
                let dialer = Node::dialer(self, url)?;
                dialer.start_and_wait(Some(timeout)).map(|()| dialer)
            }
            fn dial_background(&self, url: &str) -> Result<Dialer> {
                if !is_encrypted(url) {
                    return Self::dial_background(self, url);
                }
                let dialer = Node::dialer(self, url)?;
                dialer.start().map(|()| dialer)
            }
            fn dialer(&self, url: &str) -> Result<Dialer> {
                let dialer = Self::dialer(self, url)?;
                #[cfg(feature = "tls")]
                if is_encrypted(url) {
                    dialer.set_options(&dialer.options().tls(certificates::client()))?;
                }
                Ok(dialer)
            }
            fn listen(&self, url: &str) -> Result<Listener> {
                if !is_encrypted(url) {
                    return Self::listen(self, url);
                }
                let listener = Node::listener(self, url)?;
                listener.start().map(|()| listener)
            }
            fn listener(&self, url: &str) -> Result<Listener> {
                let listener = Self::listener(self, url)?;
                #[cfg(feature = "tls")]
                if is_encrypted(url) {
                    listener.set_options(&listener.options().tls(certificates::server()))?;
                }
                Ok(listener)
            }
            fn adopt(&self, stream: UnixStream) -> Result<Pipe> {
                Self::adopt(self, stream)
            }
            fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<()> {
                Self::wait_for_peers(self, count, timeout)
            }
            fn pipes(&self) -> Vec<Pipe> {
                Self::pipes(self)
            }
            fn monitor(&self) -> Monitor {
                Self::monitor(self)
            }
            fn stats(&self) -> SocketStats {
                Self::stats(self)
            }
            fn flush(&self, timeout: Duration) -> Result<()> {
                Self::flush(self, timeout)
            }
            fn close(&self) -> Result<()> {
                Self::close(self)
            }
            fn is_readable(&self) -> bool {
                Self::is_readable(self)
            }
            fn is_writable(&self) -> bool {
                Self::is_writable(self)
            }
            $(nodes!(@$half);)*
        }
    )*};
    (@sends) => {
        fn send(&self, message: Message) -> Result<(), SendError> {
            Self::send(self, message)
        }
        fn send_timeout(&self, message: Message, timeout: Duration) -> Result<(), SendError> {
            Self::send_timeout(self, message, timeout)
        }
        fn try_send(&self, message: Message) -> Result<(), SendError> {
            Self::try_send(self, message)
        }
        fn send_async(&self, message: Message) -> Later<'_, Result<(), SendError>> {
            Box::pin(Self::send_async(self, message))
        }
    };
    (@receives) => {
        fn recv(&self) -> Result<Message> {
            Self::recv(self)
        }
        fn recv_timeout(&self, timeout: Duration) -> Result<Message> {
            Self::recv_timeout(self, timeout)
        }
        fn try_recv(&self) -> Result<Message> {
            Self::try_recv(self)
        }
        fn recv_async(&self) -> Later<'_, Result<Message>> {
            Box::pin(Self::recv_async(self))
        }
    };
}

nodes! {
    Pair0: sends receives;
    Pair1: sends receives;
    PairPoly: sends receives;
    Req: sends receives;
    Rep: sends receives;
    Pub: sends;
    Sub: receives;
    Push: sends;
    Pull: receives;
    Surveyor: sends receives;
    Respondent: sends receives;
    Bus: sends receives;
    RawSocket: sends receives;
}

// ---- waiting ----

/// Waits until something is so that no event tells of.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for an event that `pick` takes.
#[track_caller]
pub(crate) fn await_event<T>(
    monitor: &Monitor,
    what: &str,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    let deadline = Instant::now() + SOON;
    let mut seen = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match monitor.recv_timeout(left) {
            Ok(event) => match pick(&event) {
                Some(picked) => return picked,
                None => seen.push(event),
            },
            Err(error) => panic!("no event of {what}: {error}; there were {seen:?}"),
        }
    }
}

/// Waits until a pipe was added; returns its number.
#[track_caller]
pub(crate) fn await_added(monitor: &Monitor) -> wirebird::PipeId {
    await_event(monitor, "a new pipe", |event| match event {
        Event::Added(pipe) => Some(pipe.id),
        _ => None,
    })
}

/// Waits until a pipe was removed; returns why.
#[track_caller]
pub(crate) fn await_removed(monitor: &Monitor) -> Error {
    await_event(monitor, "a lost pipe", |event| match event {
        Event::Removed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

/// Waits until a handshake failed; returns why.
#[track_caller]
pub(crate) fn await_handshake_failed(monitor: &Monitor) -> Error {
    await_event(monitor, "a failed handshake", |event| match event {
        Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

/// The other side closes the stream; what it sent before is passed over.
pub(crate) fn ends(stream: &mut impl std::io::Read) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() <= 8, "no more than a header: {rest:?}");
}

/// Repeats a try-form until it has something other to say than that it would block.
#[track_caller]
pub(crate) fn insist<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + SOON;
    loop {
        match attempt() {
            Err(Error::WouldBlock) => {
                assert!(Instant::now() < deadline, "it would block for ever");
                thread::yield_now();
            }
            other => return other,
        }
    }
}

/// Bytes that tell a shifted, repeated or mixed-up piece from the right one.
pub(crate) fn pattern(len: usize, salt: u64) -> Vec<u8> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Checks a body without printing a megabyte when it is wrong.
#[track_caller]
pub(crate) fn assert_body(message: &Message, expected: &[u8]) {
    let body = message.body();
    assert_eq!(body.len(), expected.len(), "length of a body");
    let wrong = body.iter().zip(expected).position(|(is, be)| is != be);
    assert_eq!(wrong, None, "first wrong byte of {}", body.len());
}

/// A field of `/proc/self/status`, in its own unit.
pub(crate) fn proc_status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the proc file system");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .expect("a known field");
    let digits = line.split_whitespace().next().expect("a value");
    digits.parse().expect("a number")
}

/// The number of the calling thread.
pub(crate) fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Waits until a thread of this process sleeps.
#[track_caller]
pub(crate) fn asleep(thread: i32) {
    eventually("the thread sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        let stat = stat.expect("the thread is there");
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
    });
}

// ---- futures ----

/// Drives a future on this thread, with nothing but a waker that unparks it.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
