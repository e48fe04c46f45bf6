//! What a socket tells of its connections: events, and counters of sockets, dialers, listeners and pipes.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{SOON, Via, await_added, await_event, await_removed, eventually, pattern, unique};
use wirebird::{
    Bus, DropReason, EndpointOptions, Error, Event, Pair0, Pub, Pull, Push, Rep, SocketOptions, Sub,
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
    assert_eq!(other.pipes()[0].stats().unwrap().dropped, 19);
    assert_eq!(other.stats().traffic.dropped, 19);
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
    assert!(stats.dropped >= 3);
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
