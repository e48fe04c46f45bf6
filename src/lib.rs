//! Scalability-protocol sockets: pair, request/reply, publish/subscribe, pipeline, survey and bus, over in-process,
//! ipc, tcp, TLS and WebSocket connections, in the wire formats of nng, nanomsg and mangos.
//!
//! ```
//! use std::thread;
//! use wirebird::{Error, Rep, Req};
//!
//! let rep = Rep::new()?;
//! let listener = rep.listen("tcp://127.0.0.1:0")?;
//! let server = thread::spawn(move || -> Result<(), Error> {
//!     let mut request = rep.recv()?;
//!     request.append(b", world");
//!     Ok(rep.send(request)?)
//! });
//!
//! let req = Req::new()?;
//! req.dial(&listener.url())?;
//! req.send("hello")?;
//! assert_eq!(req.recv()?.body(), b"hello, world");
//! server.join().unwrap()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # Sockets and patterns
//!
//! Each side of each protocol is a type of its own, and what a protocol cannot do does not compile.
//!
//! | Socket | Peer | A message goes to | Without a peer, or a slow one |
//! |---|---|---|---|
//! | [`Pair0`], [`Pair1`] | the same | the one peer | send waits |
//! | [`PairPoly`] | [`Pair1`], [`PairPoly`] | the peer it names | dropped |
//! | [`Req`] | [`Rep`] | one peer, in turn; again if there is no reply | send waits |
//! | [`Rep`] | [`Req`] | the peer that asked | send waits; dropped if the peer is gone |
//! | [`Pub`] | [`Sub`] | every peer | that peer loses its oldest |
//! | [`Push`] | [`Pull`] | one peer, in turn | send waits |
//! | [`Surveyor`] | [`Respondent`] | every peer | that peer misses it |
//! | [`Respondent`] | [`Surveyor`] | the peer that asked | send waits; dropped if the peer is gone |
//! | [`Bus`] | [`Bus`] | every peer | that peer misses it |
//!
//! A socket is a cheap handle: clones share it, and any number of threads may use it at once. A socket of the types
//! with [contexts](Context) holds any number of independent conversations: outstanding requests, surveys,
//! subscriptions.
//!
//! A [`Message`] is a body of bytes. Up to 80 bytes cost no allocation, longer ones are shared when cloned.
//! Strings, slices, `Vec<u8>` and `Bytes` convert into it.
//!
//! # Blocking, trying and awaiting
//!
//! Every operation has three forms, and one socket may be used in all of them at once.
//!
//! | | Sends and receives | Waits |
//! |---|---|---|
//! | blocking | `send`, `recv` | as long as the socket's options say, for ever unless set |
//! | | `send_timeout`, `recv_timeout` | as long as the call says |
//! | trying | `try_send`, `try_recv` | never |
//! | async | `send_async`, `recv_async` | as `send` and `recv`, or as long as the future's `timeout` says |
//!
//! A receive that times out never loses a message, and a send that fails gives the message back in its [`SendError`].
//!
//! The async forms are futures that any executor can run: tokio, smol, or a loop of ten lines. None is needed, nor a
//! feature to choose one. Whoever completes the operation wakes the task, and deadlines are kept by the crate's own
//! reactor, so that a runtime needs no timers either. Everything else that waits has a form with `_async` behind its
//! name as well: [`dial_async`](Socket::dial_async), [`wait_for_peers_async`](Socket::wait_for_peers_async),
//! [`flush_async`](Socket::flush_async), [`close_async`](Socket::close_async), [`Monitor::recv_async`], and each call of
//! `broker::Client`. What never waits, such as [`listen`](Socket::listen), has only one form.
//!
//! ```
//! # fn block_on<T>(future: impl Future<Output = T>) -> T {
//! #     let mut future = std::pin::pin!(future);
//! #     loop {
//! #         let mut task = std::task::Context::from_waker(std::task::Waker::noop());
//! #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut task) {
//! #             return value;
//! #         }
//! #         std::thread::yield_now();
//! #     }
//! # }
//! use wirebird::{Pull, Push, Result};
//!
//! async fn hand_over() -> Result<()> {
//!     let (push, pull) = (Push::new()?, Pull::new()?);
//!     pull.listen("inproc://doc-async")?;
//!     push.dial_async("inproc://doc-async").await?;
//!     push.send_async("work").await?;
//!     assert_eq!(pull.recv_async().await?.body(), b"work");
//!     push.close_async().await
//! }
//! # block_on(hand_over())?;
//! # Ok::<(), wirebird::Error>(())
//! ```
//!
//! **Dropping a future** before it is ready, as `select!` does with those that were not first, cancels it and loses
//! nothing: a message leaves the socket only when a future is ready with it. Each form says in a paragraph *Cancel
//! safety* what that means for it. **Dropping the last handle** of a socket closes it, and closing waits for delivery:
//! a task that must not be held up awaits [`close_async`](Socket::close_async) first.
//!
//! **Conversations** come as one operation, each in a [context](Context) of its own so that any number run at once:
//! [`Req::request`](Socket::request) gives the reply, [`Rep::accept`](Socket::accept) a [`Request`] that can be answered
//! once, [`Surveyor::survey`](Socket::survey) the [`Answers`]. `request`, `accept` and `reply` are futures, and their
//! method `wait` blocks in place of awaiting.
//!
//! `incoming` and `outgoing`, behind the features `stream` and `sink`, are a
//! socket for the combinators of the `futures` crates.
//!
//! # Event loops of others
//!
//! [`recv_fd`](Socket::recv_fd) and [`send_fd`](Socket::send_fd) are descriptors for a program that has its own epoll,
//! libuv or GLib loop. Each is readable while `try_recv`, or `try_send`, has something other to say than that it would
//! block. They are made when they are asked for and cost nothing before; after that each change costs a system call,
//! so that the other forms are faster where there is a choice.
//!
//! # Delivery
//!
//! A send succeeds when the socket has accepted the message. [`flush`](Socket::flush) waits until everything that
//! was accepted has been handed to the operating system. [`wait_for_peers`](Socket::wait_for_peers) waits until
//! peers are connected, which a publisher or surveyor wants to know before it sends.
//!
//! # Endpoints
//!
//! | URL | What |
//! |---|---|
//! | `inproc://name` | sockets of this process; messages are moved, not copied |
//! | `ipc://path`, `unix://path` | a Unix socket file |
//! | `abstract://name` | a Linux abstract socket |
//! | `tcp://host:port`, `tcp4://`, `tcp6://` | tcp; port 0 lets the system choose |
//! | `tls+tcp://host:port`, `tls+tcp4://`, `tls+tcp6://` | tcp inside TLS, with the certificates of a [`TlsConfig`] |
//! | `ws://host:port/path`, `ws4://`, `ws6://` | WebSocket; listeners of a process may share a port, each with its path |
//! | `wss://host:port/path`, `wss4://`, `wss6://` | WebSocket inside TLS |
//! | `socket://` | connected descriptors, given to [`Listener::hand_over`] |
//!
//! A socket may have any number of dialers and listeners, and either side of a protocol may dial.
//! [`dial`](Socket::dial) waits for the first attempt and says what went wrong: nobody listens, the peer speaks
//! another protocol, it does not answer. After that a lost connection is made again in the background.
//! [`dial_background`](Socket::dial_background) does not wait at all. [`dialer`](Socket::dialer) and
//! [`listener`](Socket::listener) make endpoints that are configured before they start.
//! [`adopt`](Socket::adopt) takes over a connected descriptor.
//!
//! # Closing
//!
//! A socket closes with [`close`](Socket::close), or when its last handle is dropped. Closing waits, at most the
//! linger time of one second by default, until what was accepted has been sent and the peers have read it, so that
//! sending and leaving loses nothing. [`linger`](SocketOptions::linger) changes the time; zero discards what is left.
//! Blocked calls end with [`Error::Closed`].
//!
//! # Options
//!
//! [`SocketOptions`] and [`EndpointOptions`] are builders. Each method documents meaning, range, default and when it
//! takes effect. A value outside its range is an [`Error::InvalidOption`] that names the option and what is allowed.
//! Every queue has a bound, and messages that meet it are counted in [`SocketStats`].
//!
//! # Events
//!
//! [`set_pipe_filter`](Socket::set_pipe_filter) decides who may connect. [`set_observer`](Socket::set_observer) is
//! told of each [`Event`] as it happens, and [`monitor`](Socket::monitor) gives a queue of them.
//! [`pipes`](Socket::pipes) lists the peers with their addresses and, over ipc on Linux, their credentials;
//! [`stats`](Socket::stats) counts, for a socket and also for each [`Dialer`], [`Listener`] and [`Pipe`]. With the
//! feature `tracing` each event is one of `tracing` too, with the target `wirebird`: failures are warnings, the rest
//! is for debugging.
//!
//! A filter or observer that holds a handle of its own socket keeps that socket from being dropped.
//!
//! # Errors and nng's numbers
//!
//! All calls fail with [`Error`]. [`code`](Error::code) gives nng's number for the condition, so that programs that
//! know nng's numbers can go on using them, and [`blame`](Error::blame) says whose doing it is: the caller's, the
//! peer's, or the machine's.
//!
//! # Raw sockets and devices
//!
//! A [`RawSocket`] leaves the protocol's header to the program and keeps no state. [`forward`] joins two of them to a
//! device between clients and servers, [`reflect`] sends messages back through one.
//!
//! # Threads
//!
//! The first socket starts one background thread, `wirebird-io`, which serves all sockets of the process. It is the
//! fall-back: a thread that blocks in a call does the reading, writing and waiting itself, so that a message need not
//! pass through another thread. A blocked call looks for its message for a moment before it sleeps, as long as that
//! has lately paid; [`spin`](SocketOptions::spin) limits it or turns it off. Host names are looked up on a
//! short-lived thread, `wirebird-lookup`. [`forward`] starts `wirebird-device`.
//!
//! # Features
//!
//! | Feature | Default | Adds |
//! |---|---|---|
//! | `cli` | yes | the `wirebird` command and what it needs; a program that only wants the sockets leaves it out |
//! | `tls` | yes | tls+tcp, and with `ws` also wss, by rustls |
//! | `ws` | yes | ws |
//! | `broker` | yes | the module `broker`: a broker of queues, topics and functions, and its client |
//! | `stream` | no | receiving as a `futures_core::Stream` |
//! | `sink` | no | sending as a `futures_sink::Sink` |
//! | `tracing` | no | events as events of `tracing` |

#![cfg_attr(
    wirebird_loom,
    allow(dead_code, reason = "what is stood in for in models is not called")
)]

mod address;
#[cfg(feature = "broker")]
pub mod broker;
mod engine;
mod error;
mod http;
mod message;
mod options;
mod protocols;
mod socket;
mod sync;
mod sys;
#[cfg(feature = "tls")]
mod tls;
mod transports;
mod url;
mod wire;

pub use address::{Address, Credentials};
pub use engine::{
    DropStats, EndpointStats, Event, EventFuture, Monitor, PipeInfo, PipeStats, SocketStats,
};
pub use error::{BadOption, BadUrl, Blame, Error, Result, SendError, TlsError, TlsFault, UrlFault};
pub use http::HttpInfo;
pub use message::pool::set_buffer_pool;
pub use message::{Message, PipeId};
pub use options::{EndpointOptions, Keepalive, SocketOptions};
pub use protocols::{DropReason, ProtocolInfo};
#[cfg(feature = "stream")]
pub use socket::Incoming;
#[cfg(feature = "sink")]
pub use socket::Outgoing;
pub use socket::pattern;
pub use socket::{
    AcceptFuture, AnswerFuture, AnswerIter, Answers, Bus, Context, Contexts, Dialer, Listener,
    Pair0, Pair1, PairPoly, Pattern, Pipe, Pub, Pull, Push, RawKind, RawSocket, Receives,
    RecvFuture, Rep, Replies, ReplyFuture, Req, Request, RequestFuture, Respondent, SendFuture,
    Sends, Socket, Sub, Subscribes, Surveyor, forward, reflect,
};
#[cfg(feature = "tls")]
pub use tls::{Fingerprint, PeerCertificate, TlsAuth, TlsConfig, TlsVersion};
pub use url::{Family, Host, Transport, Url};
