//! Streams as fast as they go: nothing stalls, nothing is lost, everything is in order.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Via};
use wirebird::{Pair1, Pull, Push, SocketOptions};

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
        }
    )*};
}

over! {
    inproc = Via::Inproc;
    ipc = Via::Ipc;
    tcp = Via::Tcp;
}
