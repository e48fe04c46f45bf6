//! Streams as fast as they go: nothing stalls, nothing is lost, everything is in order.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Via, await_removed};
use wirebird::{Error, Pair1, Pull, Push, Rep, Req, SocketOptions};

/// How long one stream lasts: long enough for output to be batched, blocked and flushed many times.
const LENGTH: Duration = Duration::from_millis(150);
const END: u64 = u64::MAX;

fn options() -> SocketOptions {
    SocketOptions::new().recv_timeout(SOON).send_timeout(SOON)
}

/// A message of at least eight bytes, which begins with its number.
fn numbered(number: u64, size: usize) -> Vec<u8> {
    let mut body = vec![number as u8; size.max(8)];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

fn number(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().expect("eight bytes"))
}

/// Sends numbered messages for a while and then the end, behind which nothing follows that would push it out.
fn pour(size: usize, mut send: impl FnMut(Vec<u8>)) -> u64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < LENGTH {
        for _ in 0..16 {
            send(numbered(count, size));
            count += 1;
        }
    }
    send(numbered(END, size));
    count
}

/// Receives until the end; returns how many messages came before it.
fn drink(size: usize, mut recv: impl FnMut() -> wirebird::Message) -> u64 {
    let mut count = 0;
    loop {
        let message = recv();
        assert_eq!(message.len(), size.max(8));
        match number(&message) {
            END => return count,
            got => assert_eq!(got, count, "in order"),
        }
        count += 1;
    }
}

fn push_streams_arrive_whole(via: Via) {
    for size in [8, 64, 1024, 20_000, 65_536, 65_536, 300_000] {
        let push = Push::with_options(&options()).expect("a socket");
        let pull = Pull::with_options(&options()).expect("a socket");
        via.join(&push, &pull);
        thread::scope(|scope| {
            let sent = scope.spawn(|| pour(size, |body| push.send(body).expect("sends")));
            let received = drink(size, || pull.recv().expect("a message"));
            assert_eq!(received, sent.join().expect("no panic"));
        });
    }
}

fn pair_streams_in_both_directions_arrive_whole(via: Via) {
    for size in [64, 65_536] {
        let left = Pair1::with_options(&options()).expect("a socket");
        let right = Pair1::with_options(&options()).expect("a socket");
        via.join(&left, &right);
        thread::scope(|scope| {
            for (from, into) in [(&left, &right), (&right, &left)] {
                let sent = scope.spawn(|| pour(size, |body| from.send(body).expect("sends")));
                scope.spawn(move || {
                    let received = drink(size, || into.recv().expect("a message"));
                    assert_eq!(received, sent.join().expect("no panic"));
                });
            }
        });
    }
}

/// Long requests and short ones in turn, from so many peers that no thread waits for one alone.
fn long_and_short_messages_take_turns(via: Via) {
    const LONG: usize = 1 << 20;
    let rep = Rep::with_options(&options()).expect("a socket");
    let place = via.place();
    let listener = rep.listen(&place.url).expect("listens");
    thread::scope(|scope| {
        for _ in 0..6 {
            let req = Req::with_options(&options()).expect("a socket");
            via.dial(&listener, &req).expect("connected");
            scope.spawn(move || {
                for size in [LONG, 1, LONG + 1, LONG, 2, 3, 300_000, 4] {
                    let body = numbered(size as u64, size);
                    let reply = req.request(&body[..]).wait().expect("a reply");
                    assert!(reply.body() == body, "{size} bytes are the same");
                }
            });
        }
        for _ in 0..6 * 8 {
            let request = rep.recv().expect("a request");
            rep.send(request).expect("sent");
        }
    });
}

macro_rules! over {
    ($($transport:ident = $via:expr;)*) => {$(
        mod $transport {
            use super::*;

            #[test]
            fn push_streams_arrive_whole() {
                super::push_streams_arrive_whole($via);
            }

            #[test]
            fn pair_streams_in_both_directions_arrive_whole() {
                super::pair_streams_in_both_directions_arrive_whole($via);
            }

            #[test]
            fn long_and_short_messages_take_turns() {
                super::long_and_short_messages_take_turns($via);
            }
        }
    )*};
}

over! {
    inproc = Via::Inproc;
    ipc = Via::Ipc;
    tcp = Via::Tcp;
}

/// A program of another kind that pushes to a socket.
fn pusher(pull: &Pull) -> TcpStream {
    let listener = pull.listen("tcp://127.0.0.1:0").expect("listens");
    let url = listener.url();
    let mut stream =
        TcpStream::connect(url.trim_start_matches("tcp://")).expect("somebody listens");
    stream.write_all(b"\0SP\0\0\x50\0\0").expect("room");
    stream.read_exact(&mut [0; 8]).expect("a header");
    stream
}

/// A message as it goes over the wire.
fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes(), body].concat()
}

#[test]
fn a_long_message_may_come_in_small_parts() {
    let pull = Pull::with_options(&options()).expect("a socket");
    let mut peer = pusher(&pull);
    let body = numbered(1, 2_000_000);
    let parts = frame(&body);
    thread::scope(|scope| {
        scope.spawn(|| {
            for part in parts.chunks(30_011) {
                peer.write_all(part).expect("room");
            }
            peer.write_all(&frame(b"short")).expect("room");
            // It stays: what came last is told of by itself.
            assert_eq!(peer.read(&mut [0]).expect("an end"), 0);
        });
        assert!(pull.recv().expect("all of it").body() == body);
        assert_eq!(pull.recv().expect("the next").body(), b"short");
        pull.close().expect("closed");
    });
}

#[test]
fn the_end_amid_a_long_message_is_told_of() {
    let pull = Pull::with_options(&options()).expect("a socket");
    let monitor = pull.monitor();
    let mut peer = pusher(&pull);
    let part = &frame(&numbered(1, 2_000_000))[..700_000];
    peer.write_all(part).expect("room");
    drop(peer);
    assert!(matches!(await_removed(&monitor), Error::ConnectionReset));
}
