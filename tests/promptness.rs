//! Nothing waits without need, for a timer or for a slow peer, and nothing spins without use.
//!
//! Messages and processor time are counted rather than time, which a busy machine stretches. Tests that look at the
//! whole process, or change it, run in one of their own. An idle process is in `resources.rs`.

#![cfg(target_os = "linux")]

mod common;

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::iter;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Node, SOON, Via, eventually};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use wirebird::{Error, Event, Pair0, Pub, Pull, Push, SocketOptions, Sub};

/// The longest spin that there is.
const SPIN: Duration = Duration::from_millis(10);
/// Receives in vain, each long enough for that.
const RECEIVES: u32 = 64;
const RECEIVE: Duration = Duration::from_millis(12);

/// Runs the test `name` in a process of its own.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "WIREBIRD_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
}

/// A peer with this protocol number that is only a descriptor.
fn raw_peer(node: &dyn Node, protocol: u8) -> UnixStream {
    let added = node.stats().added;
    let place = Via::Ipc.place();
    node.listen(&place.url).unwrap();
    let mut stream = UnixStream::connect(place.url.strip_prefix("ipc://").unwrap()).unwrap();
    let header = [0, b'S', b'P', 0, 0, protocol, 0, 0];
    stream.write_all(&header).unwrap();
    stream.read_exact(&mut [0; 8]).unwrap();
    eventually("the peer is added", || node.stats().added > added);
    stream
}

// ---- a lone message ----

#[test]
fn a_lone_message_is_sent_before_send_returns() {
    alone("a_lone_message_is_sent_before_send_returns", || {
        let push = Push::new().unwrap();
        let mut peer = raw_peer(&push, 0x51);
        peer.set_nonblocking(true).unwrap();
        stop_background();
        for number in 0..20 {
            // An idle sender: what was sent before does not make this look like a stream.
            thread::sleep(Duration::from_millis(2));
            push.send([number]).unwrap();
            let mut frame = [0; 16];
            assert_eq!(peer.read(&mut frame).unwrap(), 10);
            assert_eq!(frame[9], number);
        }
    });
}

#[test]
fn what_was_held_back_is_sent_when_the_sender_begins_to_wait() {
    let name = "what_was_held_back_is_sent_when_the_sender_begins_to_wait";
    alone(name, || {
        let pair = Pair0::new().unwrap();
        let mut peer = raw_peer(&pair, 0x10);
        peer.set_nonblocking(true).unwrap();
        stop_background();
        for _ in 0..100 {
            pair.send("stream").unwrap();
        }
        // Whether these were batched or not, nothing of them may be left now.
        assert_eq!(pair.try_recv(), Err(Error::WouldBlock));
        assert_eq!(drain(&mut peer), 100 * (9 + 6));
    });
}

/// Bytes that there are to read.
fn drain(peer: &mut UnixStream) -> usize {
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        match peer.read(&mut buffer) {
            Ok(read) => count += read,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return count;
            }
        }
    }
}

/// Has the background thread call an observer that never returns: it and its timers send nothing more.
fn stop_background() {
    let decoy = Pair0::new().unwrap();
    let (stopped, wait) = mpsc::channel();
    decoy.set_observer(move |_: &Event| {
        let _ = stopped.send(());
        loop {
            thread::park();
        }
    });
    let place = Via::Ipc.place();
    decoy.listen(&place.url).unwrap();
    let mut peer = UnixStream::connect(place.url.strip_prefix("ipc://").unwrap()).unwrap();
    peer.write_all(&[0, b'S', b'P', 0, 0, 0x10, 0, 0]).unwrap();
    wait.recv_timeout(SOON).unwrap();
    std::mem::forget((decoy, peer));
}

// ---- slow peers ----

/// More than a pipe and the system hold for a peer.
const MANY: u32 = 400;
const LONG: usize = 32 * 1024;

#[test]
fn a_subscriber_that_never_reads_stalls_no_other() {
    let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
    sub.subscribe("").unwrap();
    let _silent = raw_peer(&publisher, 0x21);
    Via::Ipc.join(&publisher, &sub);
    for number in 0..MANY {
        let mut body = vec![0; LONG];
        body[..4].copy_from_slice(&number.to_be_bytes());
        publisher.send(body).unwrap();
        let received = sub.recv_timeout(SOON).unwrap();
        assert_eq!(received.body()[..4], number.to_be_bytes());
    }
    assert!(publisher.stats().dropped.send_queue_full > 0);
}

#[test]
fn a_puller_that_never_reads_stalls_no_other() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let _silent = raw_peer(&push, 0x51);
    Via::Ipc.join(&push, &pull);
    let receiver = thread::spawn({
        let pull = pull.clone();
        move || iter::from_fn(|| pull.recv().ok()).count()
    });
    for _ in 0..MANY {
        push.send_timeout(vec![0; LONG], SOON).unwrap();
    }
    pull.close().unwrap();
    // The silent one is sent what it has room for.
    let received = receiver.join().unwrap();
    assert!(received > MANY as usize / 2, "{received} of {MANY}");
}

// ---- spinning ----

#[test]
fn a_receive_that_waits_for_long_costs_no_more_than_its_spin() {
    alone(
        "a_receive_that_waits_for_long_costs_no_more_than_its_spin",
        || {
            let (pair, _peer) = spinning();
            let before = used();
            assert_eq!(
                pair.recv_timeout(Duration::from_secs(1)),
                Err(Error::TimedOut)
            );
            let cost = used() - before;
            assert!(cost < 10 * SPIN, "{cost:?}");
        },
    );
}

#[test]
fn receives_that_spin_in_vain_stop_spinning() {
    alone("receives_that_spin_in_vain_stop_spinning", || {
        let cost = receive_in_vain();
        assert!(cost < RECEIVES / 2 * SPIN, "{cost:?}");
    });
}

#[test]
fn nothing_spins_on_one_processor() {
    alone("nothing_spins_on_one_processor", || {
        let mut one = CpuSet::new();
        let all = sched_getaffinity(None).unwrap();
        let allowed = (0..CpuSet::MAX_CPU).find(|&processor| all.is_set(processor));
        one.set(allowed.unwrap());
        sched_setaffinity(None, &one).unwrap();
        let cost = receive_in_vain();
        // A few spins before they stop would be more.
        assert!(cost < 5 * SPIN, "{cost:?}");
    });
}

/// The processor time of receives that find nothing.
fn receive_in_vain() -> Duration {
    let (pair, _peer) = spinning();
    let before = used();
    for _ in 0..RECEIVES {
        assert_eq!(pair.recv_timeout(RECEIVE), Err(Error::TimedOut));
    }
    used() - before
}

fn spinning() -> (Pair0, UnixStream) {
    let pair = Pair0::with_options(&SocketOptions::new().spin(SPIN)).unwrap();
    let peer = raw_peer(&pair, 0x10);
    (pair, peer)
}

/// The processor time of this process.
fn used() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}
