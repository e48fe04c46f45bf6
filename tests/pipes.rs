//! Pipes: events, filters, numbers, statistics, and waiting for peers.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{SOON, Via, await_added, await_event, await_removed, eventually, pattern};
use wirebird::{Error, Event, Pair0, Pair1, PipeStats, Pull, Push, SocketOptions};

const SHORT: Duration = Duration::from_millis(50);

fn pair() -> Pair0 {
    let options = SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .reconnect_min(Duration::from_millis(10));
    Pair0::with_options(&options).expect("a socket")
}

#[test]
fn a_message_names_the_pipe_it_came_through() {
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        let (one, other) = (pair(), pair());
        let events = one.monitor();
        via.join(&one, &other);
        let id = await_added(&events);
        other.send("x").unwrap();
        let message = one.recv().unwrap();
        assert_eq!(message.pipe(), Some(id));
        assert_eq!(
            one.pipes().iter().map(|pipe| pipe.id()).collect::<Vec<_>>(),
            [id]
        );
        assert_ne!(
            other.pipes()[0].id(),
            id,
            "numbers are unique in the process"
        );
        assert_eq!(
            (
                one.pipes()[0].stats().unwrap().rx_msgs,
                one.pipes()[0].stats().unwrap().rx_bytes
            ),
            (1, 1)
        );
    }
}

#[test]
fn a_pipe_that_is_gone_is_not_found() {
    let (one, other) = (pair(), pair());
    Via::Inproc.join(&one, &other);
    let events = other.monitor();
    let pipe = one.pipes().remove(0);
    assert_eq!(pipe.stats(), Ok(PipeStats::default()));
    pipe.close().unwrap();
    assert_eq!(pipe.close(), Err(Error::NotFound));
    assert_eq!(pipe.stats(), Err(Error::NotFound));
    assert!(pipe.info().is_some(), "what was known stays known");
    assert_eq!(await_removed(&events), Error::ConnectionShut);
}

#[test]
fn a_rejected_peer_is_never_added_and_tries_again() {
    let (one, other) = (pair(), pair());
    let refusals = Arc::new(AtomicU32::new(2));
    one.set_pipe_filter({
        let refusals = refusals.clone();
        move |pipe| {
            assert!(!pipe.dialed && !pipe.url.is_empty());
            let left = refusals.load(Ordering::SeqCst);
            refusals.store(left.saturating_sub(1), Ordering::SeqCst);
            left == 0
        }
    });
    let events = one.monitor();
    let listener = one.listen(&Via::Tcp.place().url).unwrap();
    other.dial_background(&listener.url()).unwrap();
    for _ in 0..2 {
        let event = events.recv_timeout(SOON).unwrap();
        assert!(
            matches!(
                event,
                Event::Rejected {
                    reason: Error::Rejected,
                    ..
                }
            ),
            "{event:?}"
        );
    }
    assert!(matches!(events.recv_timeout(SOON), Ok(Event::Added(_))));
    assert_eq!((one.stats().rejected, one.stats().added), (2, 1));
    other.send("in the end").unwrap();
    assert_eq!(one.recv().unwrap().body(), b"in the end");
}

#[test]
fn a_dialer_whose_own_filter_rejects_is_told_so() {
    let (one, other) = (pair(), pair());
    let listener = one.listen(&Via::Tcp.place().url).unwrap();
    other.set_pipe_filter(|_| false);
    assert_eq!(other.dial(&listener.url()).err(), Some(Error::Rejected));
    assert_eq!((other.stats().rejected, other.stats().added), (1, 0));
}

#[test]
fn a_pair_rejects_a_second_peer_until_the_first_is_gone() {
    let hub = pair();
    let events = hub.monitor();
    let place = Via::Ipc.place();
    hub.listen(&place.url).unwrap();
    let (first, second) = (pair(), pair());
    first.dial(&place.url).unwrap();
    await_added(&events);
    second.dial_background(&place.url).unwrap();
    await_event(&events, "a rejection", |event| {
        matches!(event, Event::Rejected { .. }).then_some(())
    });
    first.send("faithful").unwrap();
    assert_eq!(hub.recv().unwrap().body(), b"faithful");
    first.close().unwrap();
    await_added(&events);
    second.send_timeout("at last", SOON).unwrap();
    assert_eq!(hub.recv().unwrap().body(), b"at last");
}

#[test]
fn a_send_goes_on_with_the_next_peer_though_what_the_last_one_sent_is_not_received() {
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        for dials in [true, false] {
            let (sender, next) = (pair(), pair());
            let gone = Pair0::with_options(&SocketOptions::new().linger(SHORT)).unwrap();
            let place = via.place();
            if dials {
                let url = gone.listen(&place.url).unwrap().url();
                sender.dial(&url).unwrap();
                gone.send("unread").unwrap();
                // Over some transports it learns that it is not read.
                let _ = gone.close();
                next.listen(&url).unwrap();
            } else {
                let url = sender.listen(&place.url).unwrap().url();
                gone.dial(&url).unwrap();
                gone.send("unread").unwrap();
                let _ = gone.close();
                next.dial_background(&url).unwrap();
            }
            let sent = thread::scope(|scope| {
                let receiver = scope.spawn(|| next.recv());
                // What goes to the one that is gone is lost with it.
                while sender.send("x").is_ok() && !receiver.is_finished() {
                    thread::yield_now();
                }
                receiver.join().unwrap()
            });
            assert!(sent.is_ok(), "{via:?}, dials: {dials}");
            assert_eq!(sender.recv().unwrap().body(), b"unread", "{via:?}");
        }
    }
}

#[test]
fn observers_see_added_before_removed_for_every_pipe() {
    let pull = Pull::new().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inside = Arc::new(AtomicBool::new(false));
    pull.set_observer({
        let seen = seen.clone();
        move |event| {
            assert!(!inside.swap(true, Ordering::SeqCst), "one event at a time");
            let entry = match event {
                Event::Added(pipe) => (pipe.id, true),
                Event::Removed { pipe, .. } => (pipe.id, false),
                _ => panic!("nothing else happens: {event:?}"),
            };
            seen.lock().unwrap().push(entry);
            inside.store(false, Ordering::SeqCst);
        }
    });
    let place = Via::Inproc.place();
    let tcp = pull.listen(&Via::Tcp.place().url).unwrap();
    pull.listen(&place.url).unwrap();
    thread::scope(|scope| {
        for number in 0..4 {
            let url = if number % 2 == 0 {
                place.url.clone()
            } else {
                tcp.url()
            };
            scope.spawn(move || {
                for _ in 0..50 {
                    let push = Push::new().unwrap();
                    push.dial(&url).unwrap();
                }
            });
        }
    });
    eventually("every peer has come and gone", || {
        seen.lock().unwrap().len() == 400
    });
    let mut up = std::collections::HashSet::new();
    let mut ever = std::collections::HashSet::new();
    for &(id, added) in seen.lock().unwrap().iter() {
        if added {
            assert!(up.insert(id) && ever.insert(id), "{id} was added twice");
        } else {
            assert!(up.remove(&id), "{id} was removed before it was added");
        }
    }
    assert_eq!((up.len(), ever.len()), (0, 200));
}

#[test]
fn a_monitor_has_only_what_comes_after_it_and_ends_with_the_socket() {
    let (one, other) = (pair(), pair());
    Via::Inproc.join(&one, &other);
    let events = one.monitor();
    assert_eq!(events.try_recv(), Err(Error::WouldBlock));
    assert_eq!(events.recv_timeout(SHORT), Err(Error::TimedOut));
    one.close().unwrap();
    assert!(matches!(
        events.recv_timeout(SOON),
        Ok(Event::Removed { .. })
    ));
    assert_eq!(events.recv_timeout(SOON), Err(Error::Closed));
    assert_eq!(events.try_recv(), Err(Error::Closed));
    assert_eq!(events.missed(), 0);
}

#[test]
fn a_monitor_nobody_reads_keeps_the_newest_events() {
    let socket = Pair1::new().unwrap();
    socket.set_pipe_filter(|_| false);
    let events = socket.monitor();
    let place = Via::Inproc.place();
    socket.listen(&place.url).unwrap();
    for _ in 0..1100 {
        let peer = Pair1::new().unwrap();
        peer.dial(&place.url).expect("connected, then turned away");
    }
    eventually("all have been turned away", || {
        socket.stats().rejected == 1100
    });
    eventually("the events are there", || events.missed() == 1100 - 1024);
    let left = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!(left, 1024);
}

#[test]
fn wait_for_peers_returns_as_soon_as_they_are_there() {
    let pull = Pull::new().unwrap();
    let place = Via::Inproc.place();
    pull.listen(&place.url).unwrap();
    assert_eq!(pull.wait_for_peers(0, Duration::ZERO), Ok(()));
    let waiting = thread::spawn({
        let pull = pull.clone();
        move || pull.wait_for_peers(3, SOON)
    });
    let pushes: Vec<Push> = (0..3).map(|_| Push::new().unwrap()).collect();
    for push in &pushes {
        assert_eq!(pull.wait_for_peers(3, Duration::ZERO), Err(Error::TimedOut));
        push.dial(&place.url).unwrap();
    }
    assert_eq!(waiting.join().unwrap(), Ok(()));
    assert_eq!(pull.pipes().len(), 3);
}

// ---- statistics ----

#[test]
fn statistics_count_every_message_and_peer_exactly() {
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        let one = Pair1::new().unwrap();
        let other = Pair1::new().unwrap();
        let (here, there) = (one.monitor(), other.monitor());
        via.join(&one, &other);
        let pipe = one.pipes().remove(0);
        for number in 0..10 {
            one.send(pattern(number, 1)).unwrap();
            assert_eq!(other.recv().unwrap().len(), number);
        }
        other.send("back").unwrap();
        one.recv().unwrap();
        // Each has four bytes of header.
        let sent = (10, 45 + 10 * 4, 1, 4 + 4);
        let traffic = |traffic: PipeStats| {
            let (tx, rx) = (traffic.tx_msgs, traffic.rx_msgs);
            (tx, traffic.tx_bytes, rx, traffic.rx_bytes)
        };
        assert_eq!(traffic(pipe.stats().unwrap()), sent);
        assert_eq!(traffic(one.stats().traffic), sent);
        let received = (sent.2, sent.3, sent.0, sent.1);
        assert_eq!(traffic(other.stats().traffic), received);
        assert_eq!((one.stats().pipes, one.stats().added), (1, 1));
        assert_eq!(await_added(&here), pipe.id());
        pipe.close().unwrap();
        await_removed(&here);
        await_added(&there);
        await_removed(&there);
        assert_eq!(traffic(one.stats().traffic), sent, "past pipes count");
    }
}
