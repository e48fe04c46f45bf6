//! Whole sockets on one thread, which does both ends' work in turns with calls that do not wait.
//!
//! The library's background thread would take part of the work whenever it happens to run, and no two counts were
//! alike: so it is stopped, see [`stop_background`]. Peers whose work is not to be counted are bare descriptors.

use std::hint::black_box;
use std::io::{Read, Write};
use std::mem;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use wirebird::{Error, Event, Listener, Message, Pair0, Pub, Pull, Push, Rep, Req, SocketOptions};

use crate::hot::MESSAGES;

const BODY: [u8; 64] = [7; 64];
const SOON: Duration = Duration::from_secs(30);
/// Longer than a write takes, so that no batch is worth it.
const PAUSE: Duration = Duration::from_micros(200);
/// More than the messages of a round are as bytes.
const BUFFER: usize = 1024 * 1024;

// ---- the paths ----

/// A message to a pipe that has nothing to do: it is written at once.
pub(crate) fn push_lone() -> impl FnMut() {
    let push = Push::with_options(&options()).expect("a socket");
    let mut peer = raw_peer(0x51, |url| push.listen(url));
    stop_background();
    let mut buffer = vec![0; BUFFER];
    move || {
        thread::sleep(PAUSE);
        push.try_send(black_box(&BODY[..])).expect("there is room");
        assert!(drain(&mut peer, &mut buffer) > BODY.len());
    }
}

/// Messages that are written many at a time.
pub(crate) fn push_stream(size: usize) -> impl FnMut() {
    let push = Push::with_options(&options()).expect("a socket");
    let peer = raw_peer(0x51, |url| push.listen(url));
    stream(peer, size, move |message| {
        push.try_send(black_box(message)).expect("there is room");
    })
}

/// The same as futures.
pub(crate) fn push_awaited(size: usize) -> impl FnMut() {
    let push = Push::with_options(&options()).expect("a socket");
    let peer = raw_peer(0x51, |url| push.listen(url));
    stream(peer, size, move |message| {
        now(push.send_async(black_box(message))).expect("there is room");
    })
}

/// The same for messages that would go to all peers.
pub(crate) fn pub_stream(size: usize) -> impl FnMut() {
    let publisher = Pub::with_options(&options()).expect("a socket");
    let peer = raw_peer(0x21, |url| publisher.listen(url));
    stream(peer, size, move |message| {
        let sent = publisher.try_send(black_box(message));
        sent.expect("a pub socket always takes a message");
    })
}

/// Messages that are read many at a time.
pub(crate) fn pull_stream(size: usize) -> impl FnMut() {
    pulled(size, |pull| pull.try_recv().expect("it is there"))
}

/// The same as futures.
pub(crate) fn pull_awaited(size: usize) -> impl FnMut() {
    pulled(size, |pull| now(pull.recv_async()).expect("it is there"))
}

fn pulled(size: usize, mut receive: impl FnMut(&Pull) -> Message) -> impl FnMut() {
    let pull = Pull::with_options(&options()).expect("a socket");
    let mut peer = raw_peer(0x50, |url| pull.listen(url));
    stop_background();
    let mut frame = vec![1];
    frame.extend((size as u64).to_be_bytes());
    frame.resize(frame.len() + size, 7);
    let input = frame.repeat(MESSAGES);
    move || {
        peer.write_all(&input).expect("the system has room");
        // The first one reads: nobody else tells a future that something has come.
        black_box(pull.try_recv().expect("it is there"));
        for _ in 1..MESSAGES {
            black_box(receive(&pull));
        }
    }
}

/// A request and its reply.
pub(crate) fn req_rep() -> impl FnMut() {
    let req = Req::with_options(&options()).expect("a socket");
    let rep = Rep::with_options(&options()).expect("a socket");
    let place = Place::new();
    rep.listen(&place.url).expect("listens");
    req.dial(&place.url).expect("dials");
    rep.wait_for_peers(1, SOON).expect("a peer");
    stop_background();
    move || {
        req.try_send(black_box(&BODY[..])).expect("there is room");
        black_box(rep.try_recv().expect("it is there"));
        rep.try_send(black_box(&BODY[..])).expect("there is room");
        black_box(req.try_recv().expect("it is there"));
    }
}

/// A message within the process.
pub(crate) fn inproc() -> impl FnMut() {
    let push = Push::with_options(&options()).expect("a socket");
    let pull = Pull::with_options(&options()).expect("a socket");
    pull.listen("inproc://counted").expect("listens");
    push.dial("inproc://counted").expect("dials");
    pull.wait_for_peers(1, SOON).expect("a peer");
    stop_background();
    move || {
        push.try_send(black_box(&BODY[..])).expect("there is room");
        black_box(pull.try_recv().expect("it is there"));
    }
}

// ---- what they need ----

/// What a future gives that need not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut task = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut task) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it would wait"),
    }
}

fn options() -> SocketOptions {
    SocketOptions::new().spin(Duration::ZERO)
}

/// A round of [`MESSAGES`] messages, after so many that the pipe batches them: then nothing comes of a single one at
/// first.
///
/// Batching begins when writes last longer than what is between them, which counting makes slow. Long bodies, which
/// are not copied before they are written, make up for that. They do so with one pipe only: with several there is no
/// telling which of them batch.
fn stream(mut peer: UnixStream, size: usize, mut send: impl FnMut(Message)) -> impl FnMut() {
    stop_background();
    let mut buffer = vec![0; BUFFER];
    let long = Message::from(vec![7; 16 * 1024]);
    let batched = (0..1000).any(|_| {
        (0..10).for_each(|_| send(long.clone()));
        drain(&mut peer, &mut buffer);
        send(Message::new());
        drain(&mut peer, &mut buffer) == 0
    });
    assert!(batched, "a stream is not batched");
    let body = vec![7; size];
    move || {
        (0..MESSAGES).for_each(|_| send(Message::from(body.as_slice())));
        drain(&mut peer, &mut buffer);
    }
}

/// Reads what there is; returns how much that was.
fn drain(peer: &mut UnixStream, buffer: &mut [u8]) -> usize {
    // An error means that there is nothing.
    peer.read(buffer).unwrap_or(0)
}

/// Has the background thread call an observer that never returns. Calls that do not wait have no need of that thread.
fn stop_background() {
    let decoy = Pair0::new().expect("a socket");
    let (stopped, wait) = mpsc::channel();
    decoy.set_observer(move |_: &Event| {
        let _ = stopped.send(());
        loop {
            thread::park();
        }
    });
    let peer = raw_peer(0x10, |url| decoy.listen(url));
    wait.recv_timeout(SOON).expect("the observer is called");
    // Neither may go while the observer runs.
    mem::forget((decoy, peer));
}

/// A peer with this protocol number that is only a descriptor, and does not wait.
fn raw_peer(protocol: u8, listen: impl FnOnce(&str) -> Result<Listener, Error>) -> UnixStream {
    let place = Place::new();
    let _listener = listen(&place.url).expect("listens");
    let mut stream = UnixStream::connect(&place.path).expect("connects");
    let header = [0, b'S', b'P', 0, 0, protocol, 0, 0];
    stream.write_all(&header).expect("the system has room");
    stream.read_exact(&mut [0; 8]).expect("a header");
    stream.set_nonblocking(true).expect("it need not wait");
    stream
}

/// Where to listen.
struct Place {
    url: String,
    path: PathBuf,
    _dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("socket");
        Self {
            url: format!("ipc://{}", path.display()),
            path,
            _dir: dir,
        }
    }
}
