//! What was accepted is delivered: in order, once, and before a close is.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use wirebird::{Error, Pair0, Pair1, Pull, Push, SocketOptions};

use crate::checks::assert_took;
use crate::common::{Node, SOON, Via, assert_body, eventually, pattern};

macro_rules! over_every_transport {
    ($($check:ident)*) => {$(
        mod $check {
            over_every_transport!(@ $check inproc Inproc);
            over_every_transport!(@ $check ipc Ipc);
            over_every_transport!(@ $check abstract_name Abstract);
            over_every_transport!(@ $check tcp Tcp);
            over_every_transport!(@ $check tcp6 Tcp6);
            over_every_transport!(@ $check tls Tls);
            over_every_transport!(@ $check descriptor Descriptor);
            over_every_transport!(@ $check ws Ws);
            over_every_transport!(@ $check wss Wss);
        }
    )*};
    (@ $check:ident $name:ident $via:ident) => {
        #[test]
        fn $name() {
            super::$check(crate::common::Via::$via);
        }
    };
}

over_every_transport! {
    push_loses_nothing_to_a_slow_puller
    pair_loses_nothing_to_a_slow_receiver
    push_then_drop_delivers_everything
    push_then_drop_delivers_long_messages
    push_then_drop_delivers_to_a_puller_that_comes_late
    pair_then_drop_delivers_everything
    flush_waits_until_the_system_has_everything
}

fn patient() -> SocketOptions {
    SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .linger(SOON)
}

/// Stops now and then, so that every queue on the way fills up.
fn receive_slowly(node: &dyn Node, count: u64) {
    for number in 0..count {
        if number % 500 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
        let message = node.recv().expect("a message");
        assert_eq!(message.body(), number.to_be_bytes());
    }
    assert_eq!(node.try_recv(), Err(Error::WouldBlock));
}

fn push_loses_nothing_to_a_slow_puller(via: Via) {
    const COUNT: u64 = 20_000;
    let push = Push::with_options(&patient()).expect("a socket");
    let pull = Pull::with_options(&patient()).expect("a socket");
    via.join(&pull, &push);
    let sending = thread::spawn(move || {
        for number in 0..COUNT {
            push.send(number.to_be_bytes()).expect("sends");
        }
        push
    });
    receive_slowly(&pull, COUNT);
    let push = sending.join().expect("no panic");
    assert_eq!(push.stats().traffic.tx_msgs, COUNT);
    assert_eq!(push.stats().traffic.tx_bytes, 8 * COUNT);
    assert_eq!(pull.stats().traffic.rx_msgs, COUNT);
}

fn pair_loses_nothing_to_a_slow_receiver(via: Via) {
    const COUNT: u64 = 20_000;
    let one = Pair1::with_options(&patient()).expect("a socket");
    let other = Pair1::with_options(&patient().recv_buffer(10)).expect("a socket");
    via.join(&one, &other);
    thread::scope(|scope| {
        for (from, into) in [(&one, &other), (&other, &one)] {
            scope.spawn(|| {
                for number in 0..COUNT {
                    from.send(number.to_be_bytes()).expect("sends");
                }
            });
            scope.spawn(|| receive_slowly(into, COUNT));
        }
    });
}

fn push_then_drop_delivers_everything(via: Via) {
    const ROUNDS: u64 = 30;
    const EACH: u64 = 200;
    let pull = Pull::with_options(&patient()).expect("a socket");
    let place = via.place();
    let listener = Node::listen(&pull, &place.url).expect("listens");
    let pushing = thread::spawn(move || {
        let _place = place;
        for round in 0..ROUNDS {
            let push = Push::with_options(&patient()).expect("a socket");
            via.dial(&listener, &push).expect("dials");
            for number in 0..EACH {
                push.send([round.to_be_bytes(), number.to_be_bytes()].concat())
                    .expect("sends");
            }
            if round % 2 == 0 {
                assert_eq!(push.close(), Ok(()), "everything was read in time");
                assert_eq!(push.stats().dropped.unsent_bytes, 0);
            }
        }
    });
    for round in 0..ROUNDS {
        for number in 0..EACH {
            let expected = [round.to_be_bytes(), number.to_be_bytes()].concat();
            assert_eq!(pull.recv().expect("a message").body(), expected);
        }
    }
    pushing.join().expect("no panic");
}

fn push_then_drop_delivers_long_messages(via: Via) {
    let pull = Pull::with_options(&patient()).expect("a socket");
    let place = via.place();
    let listener = Node::listen(&pull, &place.url).expect("listens");
    let pushing = thread::spawn(move || {
        for round in 0..5 {
            let push = Push::with_options(&patient()).expect("a socket");
            via.dial(&listener, &push).expect("dials");
            for number in 0..3 {
                push.send(pattern(1 << 20, 10 * round + number))
                    .expect("sends");
            }
        }
        drop(place);
    });
    for round in 0..5 {
        for number in 0..3 {
            let message = pull.recv().expect("a message");
            assert_body(&message, &pattern(1 << 20, 10 * round + number));
        }
    }
    pushing.join().expect("no panic");
}

/// What the system has is delivered even if the linger time was over before anybody read.
fn push_then_drop_delivers_to_a_puller_that_comes_late(via: Via) {
    let options = patient().linger(Duration::from_millis(30));
    for _ in 0..5 {
        let push = Push::with_options(&options).expect("a socket");
        let pull = Pull::with_options(&patient()).expect("a socket");
        via.join(&pull, &push);
        for number in 0..20_u64 {
            push.send(number.to_be_bytes()).expect("sends");
        }
        assert_eq!(push.close(), Err(Error::TimedOut));
        for number in 0..20_u64 {
            let message = pull.recv().expect("a message");
            assert_eq!(message.body(), number.to_be_bytes());
        }
        eventually("the pipe is gone", || pull.stats().pipes == 0);
    }
}

fn pair_then_drop_delivers_everything(via: Via) {
    const EACH: u64 = 300;
    for round in 0..15 {
        let one = Pair0::with_options(&patient()).expect("a socket");
        let other = Pair0::with_options(&patient()).expect("a socket");
        via.join(&one, &other);
        let sending = thread::spawn(move || {
            for number in 0..EACH {
                one.send(number.to_be_bytes()).expect("sends");
            }
            one.send(pattern(200_000, round)).expect("sends");
        });
        for number in 0..EACH {
            let message = other.recv().expect("a message");
            assert_eq!(message.body(), number.to_be_bytes());
        }
        assert_body(&other.recv().expect("a message"), &pattern(200_000, round));
        sending.join().expect("no panic");
    }
}

fn flush_waits_until_the_system_has_everything(via: Via) {
    let push = Push::with_options(&patient().linger(Duration::ZERO)).expect("a socket");
    let pull = Pull::with_options(&patient()).expect("a socket");
    via.join(&pull, &push);
    let receiving = thread::spawn(move || {
        for number in 0..2000 {
            assert_body(&pull.recv().expect("a message"), &pattern(500, number));
        }
    });
    for number in 0..2000 {
        push.send(pattern(500, number)).expect("sends");
    }
    assert_eq!(push.flush(SOON), Ok(()));
    // Without lingering: what a flush has let go must not need it, though the peer may not have read it yet.
    let _ = push.close();
    assert_eq!(push.stats().dropped.unsent_bytes, 0);
    receiving.join().expect("no panic");
}

#[test]
fn flush_times_out_while_the_peer_does_not_read() {
    let push = Push::with_options(&patient().linger(Duration::ZERO)).expect("a socket");
    let (mut peer, stream) = UnixStream::pair().expect("a socket pair");
    peer.write_all(b"\0SP\0\0\x51\0\0").expect("writes");
    push.adopt(stream).expect("a pipe");
    push.send(pattern(4 << 20, 1)).expect("sends");
    let short = Duration::from_millis(50);
    let waiting = Instant::now();
    assert_eq!(push.flush(short), Err(Error::TimedOut));
    assert_took(short, waiting.elapsed());

    let reading = thread::spawn(move || {
        let mut bytes = vec![0; 16 + (4 << 20)];
        peer.read_exact(&mut bytes).expect("reads");
        (peer, bytes.split_off(16))
    });
    assert_eq!(push.flush(SOON), Ok(()));
    let (peer, body) = reading.join().expect("no panic");
    assert_eq!(body, pattern(4 << 20, 1));

    push.send(pattern(4 << 20, 2)).expect("sends");
    let closing = Instant::now();
    let _ = push.close();
    assert!(closing.elapsed() < Duration::from_secs(1), "it lingered");
    let unsent = push.stats().dropped.unsent_bytes;
    assert!((1..=8 + (4 << 20)).contains(&unsent), "{unsent} bytes");
    drop(peer);
}
