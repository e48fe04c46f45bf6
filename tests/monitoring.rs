//! What a socket tells of its connections: events, and counters of sockets, dialers, listeners and pipes.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{
    Node, SOON, Via, await_added, await_event, await_removed, eventually, pattern, unique,
};
use wirebird::{
    Bus, DropReason, DropStats, EndpointOptions, Error, Event, Pair0, Pub, Pull, Push, Rep, Req,
    Respondent, SocketOptions, Sub, Surveyor,
};

fn quick() -> SocketOptions {
    SocketOptions::new().reconnect_min(Duration::from_millis(10))
}

// ---- events ----

#[test]
fn a_dialer_tells_of_each_step() {
    let url = format!("inproc://{}", unique());
    let (one, other) = (
        Pair0::with_options(&quick()).unwrap(),
        Pair0::new().unwrap(),
    );
    let events = one.monitor();
    one.dial_background(&url).unwrap();
    assert_eq!(
        events.recv_timeout(SOON),
        Ok(Event::Dialing { url: url.clone() })
    );
    let Ok(Event::DialFailed {
        reason,
        retry_in: Some(_),
        ..
    }) = events.recv_timeout(SOON)
    else {
        panic!("nobody listens");
    };
    assert_eq!(reason, Error::ConnectionRefused);
    other.listen(&url).unwrap();
    await_added(&events);
    other.pipes()[0].close().unwrap();
    assert_eq!(await_removed(&events), Error::ConnectionShut);
    let Ok(Event::Reconnecting { url: again, .. }) = events.recv_timeout(SOON) else {
        panic!("it connects again");
    };
    assert_eq!(again, url);
    assert_eq!(events.recv_timeout(SOON), Ok(Event::Dialing { url }));
    await_added(&events);
}

#[test]
fn a_dialer_that_is_closed_does_not_tell_of_reconnecting() {
    let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    let url = other.listen("tcp://127.0.0.1:0").unwrap().url();
    let events = one.monitor();
    let dialer = one.dial(&url).unwrap();
    await_added(&events);
    dialer.close();
    assert_eq!(await_removed(&events), Error::Closed);
    one.close().unwrap();
    assert_eq!(events.recv_timeout(SOON), Err(Error::Closed));
}

#[test]
fn the_first_drop_of_each_pipe_is_told_and_all_are_counted() {
    let options = SocketOptions::new().recv_buffer(1);
    let (one, other) = (Bus::new().unwrap(), Bus::with_options(&options).unwrap());
    let events = other.monitor();
    Via::Ipc.join(&other, &one);
    let id = await_added(&events);
    for _ in 0..20 {
        one.send("news").unwrap();
    }
    let (pipe, reason) = await_event(&events, "a dropped message", |event| match event {
        Event::Dropping { pipe, reason } => Some((pipe.id, *reason)),
        _ => None,
    });
    assert_eq!((pipe, reason), (id, DropReason::RecvQueueFull));
    eventually("all have come", || other.stats().traffic.rx_msgs == 20);
    eventually("all but one are dropped", || {
        other.stats().dropped.recv_queue_full == 19
    });
    assert_eq!(drops_of(&other).recv_queue_full, 19);
    assert_eq!(other.stats().traffic.dropped.recv_queue_full, 19);
    other.close().unwrap();
    let more = std::iter::from_fn(|| events.recv_timeout(SOON).ok())
        .filter(|event| matches!(event, Event::Dropping { .. }));
    assert_eq!(more.count(), 0);
}

#[test]
fn a_slow_subscriber_is_told_of_where_its_messages_are_dropped() {
    let options = SocketOptions::new().send_buffer(1);
    let publisher = Pub::with_options(&options).unwrap();
    let events = publisher.monitor();
    let listener = publisher.listen("tcp://127.0.0.1:0").unwrap();
    let address = listener.url().replace("tcp://", "");
    let mut silent = TcpStream::connect(address).unwrap();
    silent.write_all(b"\0SP\0\0\x21\0\0").unwrap();
    let id = await_added(&events);
    while publisher.stats().dropped.send_queue_full < 3 {
        publisher.send(pattern(100_000, 1)).unwrap();
    }
    let dropping = await_event(&events, "a dropped message", |event| match event {
        Event::Dropping { pipe, reason } => Some((pipe.id, *reason)),
        _ => None,
    });
    assert_eq!(dropping, (id, DropReason::SendQueueFull));
    let stats = publisher.pipes()[0].stats().unwrap();
    assert!(stats.dropped.send_queue_full >= 3);
    assert_eq!(stats.dropped, publisher.stats().dropped);
    assert!(
        stats.tx_queued_bytes > 100_000,
        "a message waits in the pipe"
    );
    assert_eq!(
        publisher.stats().traffic.tx_queued_bytes,
        stats.tx_queued_bytes
    );
    assert_eq!(publisher.stats().tx_queued_msgs, 1);
}

#[test]
fn a_message_that_is_too_long_is_why_its_pipe_is_removed() {
    let endpoint = EndpointOptions::new().recv_max_size(100);
    let pull = Pull::with_options(&SocketOptions::new().endpoint(endpoint)).unwrap();
    let push = Push::new().unwrap();
    let events = pull.monitor();
    Via::Tcp.join(&pull, &push);
    push.send(pattern(101, 1)).unwrap();
    assert_eq!(
        await_removed(&events),
        Error::MessageTooLong {
            limit: 100,
            length: 101
        }
    );
}

// ---- counters ----

#[test]
fn nothing_is_queued_when_everything_was_written() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    Via::Ipc.join(&pull, &push);
    push.send("x").unwrap();
    push.flush(SOON).unwrap();
    let stats = push.stats();
    assert_eq!(
        (stats.traffic.tx_queued_bytes, stats.tx_queued_msgs),
        (0, 0)
    );
    drop(pull);
}

#[test]
fn a_dialer_counts_its_connections_and_why_there_was_none() {
    let (one, other) = (
        Pair0::with_options(&quick()).unwrap(),
        Pair0::new().unwrap(),
    );
    let events = one.monitor();
    let url = format!("inproc://{}", unique());
    let dialer = one.dial_background(&url).unwrap();
    eventually("it was refused", || dialer.stats().refused > 0);
    let listener = other.listen(&url).unwrap();
    await_added(&events);
    let stats = dialer.stats();
    assert_eq!((stats.pipes, stats.connect, stats.proto), (1, 1, 0));
    one.pipes()[0].close().unwrap();
    await_added(&events);
    assert_eq!(dialer.stats().connect, 2);
    let accepted = listener.stats();
    assert_eq!(accepted.connect, 2);
    let sockets = (one.stats(), other.stats());
    assert_eq!((sockets.0.dialers, sockets.0.listeners), (1, 0));
    assert_eq!((sockets.1.dialers, sockets.1.listeners), (0, 1));
    dialer.close();
    assert_eq!(dialer.stats().pipes, 0);
    assert_eq!(one.stats().dialers, 0);
}

#[test]
fn a_dialer_counts_a_wrong_protocol_and_a_silent_peer() {
    let pair = Pair0::new().unwrap();
    let url = Rep::new().and_then(|rep| {
        let url = rep.listen("tcp://127.0.0.1:0")?.url();
        let dialer = pair.dialer(&url)?;
        assert!(dialer.start_and_wait(None).is_err());
        assert_eq!((dialer.stats().proto, dialer.stats().connect), (1, 0));
        Ok(url)
    });
    assert!(url.is_ok());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = pair
        .dialer(&format!("tcp://{}", silent.local_addr().unwrap()))
        .unwrap();
    let options = EndpointOptions::new().connect_timeout(Duration::from_millis(30));
    dialer.set_options(&options).unwrap();
    dialer.start().unwrap();
    eventually("it took too long", || dialer.stats().timeout > 0);
}

#[test]
fn a_listener_counts_whom_it_turned_away() {
    let pair = Pair0::new().unwrap();
    let listener = pair.listen("tcp://127.0.0.1:0").unwrap();
    let address = listener.url().replace("tcp://", "");
    let (first, second) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    first.dial(&listener.url()).unwrap();
    eventually("the first is there", || listener.stats().pipes == 1);
    second.dial_background(&listener.url()).unwrap();
    eventually("the second is turned away", || {
        let stats = listener.stats();
        stats.reject > 0 && stats.connect == 1 + stats.reject
    });
    second.close().unwrap();
    let mut garbage = TcpStream::connect(&address).unwrap();
    garbage.write_all(b"GET / HT").unwrap();
    eventually("garbage is refused", || listener.stats().proto == 1);
    drop(TcpStream::connect(&address).unwrap());
    eventually("who leaves is counted", || listener.stats().disconnect == 1);
    let sub = Sub::new().unwrap();
    assert!(sub.dial(&listener.url()).is_err());
    eventually("a wrong protocol is refused", || {
        listener.stats().proto == 2
    });
    assert_eq!(listener.stats().pipes, 1);
}

// ---- drops by reason ----

#[test]
fn a_message_of_too_many_hops_is_counted_for_its_pipe() {
    let rep = Rep::with_options(&SocketOptions::new().ttl(1)).unwrap();
    let mut peer = bare_peer(&rep, 0x30);
    // Two hops, the second of which is the request's number.
    peer.write_all(&frame(&[&[0, 0, 0, 9], &NUMBER[..], b"far"]))
        .unwrap();
    eventually("it is dropped", || drops_of(&rep).ttl == 1);
    assert_eq!(drops_of(&rep).messages(), 1);
    assert_eq!(rep.stats().dropped, drops_of(&rep));
    assert_eq!(rep.stats().rx_queued_msgs, 0);
}

#[test]
fn a_late_reply_is_counted_as_unwanted_for_its_pipe() {
    let req = Req::new().unwrap();
    let mut peer = bare_peer(&req, 0x31);
    peer.write_all(&frame(&[&NUMBER, b"late"])).unwrap();
    eventually("it is dropped", || drops_of(&req).unwanted == 1);
    assert_eq!(drops_of(&req).messages(), 1);
    assert_eq!(req.stats().dropped, drops_of(&req));
}

#[test]
fn answers_that_outlive_their_survey_are_counted_as_unwanted_for_their_pipe() {
    let surveyor = Surveyor::new().unwrap();
    let respondent = Respondent::new().unwrap();
    Via::Ipc.join(&surveyor, &respondent);
    surveyor.send("first?").unwrap();
    assert_eq!(respondent.recv().unwrap().body(), b"first?");
    respondent.send("here").unwrap();
    eventually("it waits", || surveyor.stats().rx_queued_msgs == 1);
    assert_eq!(queued_of(&surveyor), 1);
    surveyor.send("second?").unwrap();
    assert_eq!(drops_of(&surveyor).unwanted, 1);
    assert_eq!(queued_of(&surveyor), 0);
}

#[test]
fn a_publication_without_subscription_is_filtered_and_not_dropped() {
    let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
    sub.subscribe("news").unwrap();
    Via::Ipc.join(&publisher, &sub);
    publisher.send("weather").unwrap();
    publisher.send("news").unwrap();
    assert_eq!(sub.recv().unwrap().body(), b"news");
    let stats = sub.pipes()[0].stats().unwrap();
    assert_eq!((stats.rx_msgs, stats.rx_filtered), (2, 1));
    assert_eq!(sub.stats().traffic.rx_filtered, 1);
    assert_eq!(sub.stats().dropped, DropStats::default());
}

#[test]
fn a_publication_that_a_slow_reader_misses_is_counted_for_its_pipe() {
    let sub = Sub::with_options(&SocketOptions::new().recv_buffer(2)).unwrap();
    sub.subscribe("").unwrap();
    let publisher = Pub::new().unwrap();
    Via::Ipc.join(&publisher, &sub);
    for _ in 0..7 {
        publisher.send("news").unwrap();
    }
    eventually("five are dropped", || drops_of(&sub).recv_queue_full == 5);
    assert_eq!(queued_of(&sub), 2);
}

#[test]
fn messages_that_a_smaller_receive_queue_pushes_out_are_counted_for_their_pipe() {
    let sub = Sub::with_options(&SocketOptions::new().recv_buffer(8)).unwrap();
    sub.subscribe("").unwrap();
    let publisher = Pub::new().unwrap();
    Via::Inproc.join(&publisher, &sub);
    for _ in 0..8 {
        publisher.send("news").unwrap();
    }
    eventually("all are queued", || queued_of(&sub) == 8);
    sub.set_options(&SocketOptions::new().recv_buffer(3))
        .unwrap();
    assert_eq!((drops_of(&sub).recv_queue_full, queued_of(&sub)), (5, 3));
}

#[test]
fn a_message_without_anybody_to_go_to_is_counted() {
    let publisher = Pub::new().unwrap();
    publisher.send("nobody hears").unwrap();
    assert_eq!(publisher.stats().dropped.no_pipe, 1);
    assert_eq!(publisher.stats().traffic.dropped, DropStats::default());
}

#[test]
fn a_message_that_is_too_long_is_counted_as_such() {
    let endpoint = EndpointOptions::new().recv_max_size(100);
    let pull = Pull::with_options(&SocketOptions::new().endpoint(endpoint)).unwrap();
    let events = pull.monitor();
    let mut peer = bare_peer(&pull, 0x50);
    peer.write_all(&frame(&[&[0; 101]])).unwrap();
    await_removed(&events);
    let stats = pull.stats();
    assert_eq!((stats.dropped.too_long, stats.dropped.messages()), (1, 1));
    assert_eq!(stats.traffic.dropped, stats.dropped);
    assert_eq!(stats.malformed, 1);
}

#[test]
fn a_request_without_a_header_is_counted_as_malformed() {
    let rep = Rep::new().unwrap();
    let events = rep.monitor();
    let mut peer = bare_peer(&rep, 0x30);
    peer.write_all(&frame(&[b"abc"])).unwrap();
    await_removed(&events);
    let stats = rep.stats();
    assert_eq!((stats.dropped.malformed, stats.dropped.messages()), (1, 1));
    assert_eq!(stats.traffic.dropped, stats.dropped);
    assert_eq!(stats.malformed, 1);
}

// ---- depth ----

#[test]
fn what_waits_for_a_receive_is_counted_for_each_peer_and_for_the_socket() {
    let hub = Bus::new().unwrap();
    let (one, two) = (Bus::new().unwrap(), Bus::new().unwrap());
    for (peer, via, count) in [(&one, Via::Tcp, 3), (&two, Via::Ipc, 2)] {
        via.join(&hub, peer);
        for _ in 0..count {
            peer.send(pattern(10, 1)).unwrap();
        }
    }
    let depths = || {
        let pipes = hub.pipes();
        let depths = pipes.iter().map(|pipe| pipe.stats().unwrap());
        depths.map(|stats| stats.rx_queued_msgs).collect::<Vec<_>>()
    };
    eventually("all have come", || depths() == [3, 2]);
    let stats = hub.stats();
    assert_eq!((stats.rx_queued_msgs, stats.traffic.rx_queued_msgs), (5, 5));
    for left in (0..5).rev() {
        hub.recv().unwrap();
        assert_eq!(hub.stats().rx_queued_msgs, left);
    }
    assert_eq!(depths(), [0, 0]);
}

#[test]
fn what_a_pipe_keeps_back_is_counted_as_waiting() {
    let pull = Pull::new().unwrap();
    let mut peer = bare_peer(&pull, 0x50);
    let one = frame(&[b"work"]);
    peer.write_all(&[&one[..], &one, &one, &one[..9]].concat())
        .unwrap();
    eventually("three are there", || queued_of(&pull) == 3);
    assert_eq!(pull.stats().rx_queued_msgs, 3);
    assert_eq!(pull.recv().unwrap().body(), b"work");
    assert_eq!(queued_of(&pull), 2);
}

#[test]
fn what_waits_for_a_receive_outlives_its_peer() {
    let pair = Pair0::with_options(&SocketOptions::new().recv_buffer(2)).unwrap();
    let peer = Pair0::new().unwrap();
    Via::Ipc.join(&pair, &peer);
    let events = pair.monitor();
    peer.send("kept").unwrap();
    peer.close().unwrap();
    await_removed(&events);
    let stats = pair.stats();
    assert_eq!((stats.rx_queued_msgs, stats.traffic.rx_queued_msgs), (1, 0));
    assert_eq!(pair.recv().unwrap().body(), b"kept");
    assert_eq!(pair.stats().rx_queued_msgs, 0);
}

/// A request's number.
const NUMBER: [u8; 4] = [0x80, 0, 0, 1];

/// What was dropped of a socket's only pipe.
fn drops_of(node: &dyn Node) -> DropStats {
    node.pipes()[0].stats().unwrap().dropped
}

fn queued_of(node: &dyn Node) -> u64 {
    node.pipes()[0].stats().unwrap().rx_queued_msgs
}

/// A peer with this protocol number that is no socket.
fn bare_peer(node: &dyn Node, protocol: u8) -> TcpStream {
    let listener = node.listen("tcp://127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.url().replace("tcp://", "")).unwrap();
    peer.write_all(&[0, b'S', b'P', 0, 0, protocol, 0, 0])
        .unwrap();
    node.wait_for_peers(1, SOON).unwrap();
    peer
}

/// A message of these parts, as tcp has it.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u64).to_be_bytes()[..], &body].concat()
}

// ---- tracing ----

#[cfg(feature = "tracing")]
#[test]
fn events_go_to_tracing() {
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    /// Remembers the targets and levels of what it hears.
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            struct Text(String);
            impl tracing::field::Visit for Text {
                fn record_debug(
                    &mut self,
                    field: &tracing::field::Field,
                    value: &dyn std::fmt::Debug,
                ) {
                    if field.name() == "message" {
                        self.0 = format!("{value:?}");
                    }
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            if event.metadata().target() == "wirebird" {
                self.0.lock().unwrap().push(text.0);
            }
        }
    }

    let heard = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Heard(heard.clone()));
    // For every thread: events are told by whatever thread comes along.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    Via::Inproc.join(&one, &other);
    let has = |text: &str| heard.lock().unwrap().iter().any(|one| one == text);
    eventually("dialing is heard of", || has("dialing"));
    eventually("a pipe is heard of", || has("pipe added"));
    other.close().unwrap();
    eventually("its end is heard of", || has("pipe removed"));
}
