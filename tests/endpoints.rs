//! Dialers and listeners one by one: configured, started, closed, tried again.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Via, await_event, await_removed, ends};
use wirebird::{
    Address, EndpointOptions, Error, Event, Keepalive, Pair0, Pub, Pull, Push, Rep, Req,
    SocketOptions, Sub, Surveyor,
};

const SHORT: Duration = Duration::from_millis(50);

fn pair() -> Pair0 {
    let options = SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .reconnect_min(Duration::from_millis(10));
    Pair0::with_options(&options).expect("a socket")
}

// ---- starting and closing ----

#[test]
fn an_endpoint_that_was_started_cannot_be_started_again() {
    let (one, other) = (pair(), pair());
    let listener = one.listener(&Via::Inproc.place().url).unwrap();
    listener.start().expect("starts");
    assert!(matches!(listener.start(), Err(Error::InvalidState(_))));
    let dialer = other.dialer(&listener.url()).unwrap();
    dialer.start_and_wait(None).expect("starts");
    assert!(matches!(dialer.start(), Err(Error::InvalidState(_))));
    let again = dialer.start_and_wait(None);
    assert!(matches!(again, Err(Error::InvalidState(_))));
    assert_eq!(one.stats().pipes, 1, "the first start is not disturbed");
}

#[test]
fn an_endpoint_that_was_closed_stays_closed() {
    let socket = pair();
    let url = Via::Inproc.place().url;
    let (listener, dialer) = (socket.listener(&url).unwrap(), socket.dialer(&url).unwrap());
    listener.close();
    dialer.close();
    assert_eq!(listener.start(), Err(Error::Closed));
    assert_eq!(dialer.start(), Err(Error::Closed));
    assert_eq!(dialer.start_and_wait(None), Err(Error::Closed));
    let options = EndpointOptions::new();
    assert_eq!(listener.set_options(&options), Err(Error::Closed));
    assert_eq!(dialer.set_options(&options), Err(Error::Closed));
    socket.close().expect("nothing lingers");
}

#[test]
fn closing_a_dialer_that_is_waiting_ends_its_wait() {
    let socket = pair();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let dialer = socket.dialer(&url).unwrap();
    let waiting = thread::spawn({
        let dialer = dialer.clone();
        move || dialer.start_and_wait(None)
    });
    let (mut stream, _) = silent.accept().unwrap();
    let closing = Instant::now();
    dialer.close();
    assert_eq!(waiting.join().unwrap(), Err(Error::Closed));
    assert!(closing.elapsed() < Duration::from_secs(2));
    ends(&mut stream);
}

#[test]
fn closing_a_dialer_aborts_the_handshake_with_the_second_address_of_a_host() {
    let socket = pair();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dialer = socket
        .dial_background(&format!("tcp://localhost:{port}"))
        .unwrap();
    let (mut stream, _) = silent.accept().unwrap();
    dialer.close();
    ends(&mut stream);
}

#[test]
fn closing_one_endpoint_leaves_the_others_and_their_pipes() {
    let pull = Pull::new().unwrap();
    let listeners = [
        pull.listen(&Via::Inproc.place().url).unwrap(),
        pull.listen(&Via::Tcp.place().url).unwrap(),
    ];
    let pushes: Vec<_> = (0..4).map(|_| Push::new().unwrap()).collect();
    for (number, push) in pushes.iter().enumerate() {
        push.dial(&listeners[number / 2].url()).unwrap();
    }
    pull.wait_for_peers(4, SOON).unwrap();
    let events = pull.monitor();
    listeners[0].close();
    for _ in 0..2 {
        assert_eq!(await_removed(&events), Error::Closed);
    }
    assert_eq!(pull.stats().pipes, 2);
    for push in &pushes[2..] {
        push.send("still there").unwrap();
        let received = pull.recv_timeout(SOON).unwrap();
        assert_eq!(received.body(), b"still there");
    }
    let refused = Push::new().unwrap().dial(&listeners[0].url()).err();
    assert_eq!(refused, Some(Error::ConnectionRefused));
}

#[test]
fn endpoints_show_their_urls_and_options() {
    let socket = pair();
    let options = EndpointOptions::new()
        .recv_max_size(1000)
        .tcp_nodelay(false);
    socket
        .set_options(&SocketOptions::new().endpoint(options.clone()))
        .unwrap();
    let listener = socket.listener("tcp://127.0.0.1:0").unwrap();
    let dialer = socket.dialer("tcp://127.0.0.1:4").unwrap();
    assert_eq!(listener.options(), options, "the socket's are the defaults");
    assert_eq!(dialer.options(), options);
    assert_eq!(dialer.url(), "tcp://127.0.0.1:4");
    assert_eq!(listener.url(), "tcp://127.0.0.1:0");
    assert!(matches!(
        listener.local_address(),
        Err(Error::InvalidState(_))
    ));
    listener.start().unwrap();
    let Ok(Address::Inet(bound)) = listener.local_address() else {
        panic!("no internet address");
    };
    assert_ne!(bound.port(), 0);
    assert_eq!(listener.url(), format!("tcp://{bound}"));
    let own = EndpointOptions::new().recv_max_size(5);
    dialer.set_options(&own).unwrap();
    assert_eq!(dialer.options(), own);
    assert_eq!(socket.options().endpoint(options.clone()), socket.options());
}

#[test]
fn a_socket_has_the_name_it_is_given_or_its_number() {
    let named = Pair0::with_options(&SocketOptions::new().name("front door")).unwrap();
    assert_eq!(named.name(), "front door");
    let [one, other] = [(); 2].map(|()| pair().name());
    assert!(one.parse::<u64>().is_ok(), "{one}");
    assert_ne!(one, other);
}

#[test]
fn options_out_of_range_are_refused_and_the_old_ones_kept() {
    let socket = pair();
    let dialer = socket.dialer("tcp://127.0.0.1:4").unwrap();
    let listener = socket.listener("tcp://127.0.0.1:0").unwrap();
    let long = Duration::from_secs(86_401);
    let bad = [
        EndpointOptions::new().recv_max_size(1 << 60),
        EndpointOptions::new().reconnect_min(long),
        EndpointOptions::new().reconnect_max(long),
        EndpointOptions::new().connect_timeout(Duration::ZERO),
        EndpointOptions::new().handshake_timeout(Duration::ZERO),
        EndpointOptions::new().max_handshakes(0),
        EndpointOptions::new().ipc_permissions(0o1777),
        EndpointOptions::new().tcp_keepalive(Keepalive::new().count(128)),
        EndpointOptions::new().tcp_keepalive(Keepalive::new().interval(Duration::ZERO)),
    ];
    for options in bad {
        let is_refused = |result| matches!(result, Err(Error::InvalidOption(_)));
        assert!(is_refused(dialer.set_options(&options)), "{options:?}");
        assert!(is_refused(listener.set_options(&options)), "{options:?}");
        let whole = SocketOptions::new().endpoint(options);
        assert!(is_refused(socket.set_options(&whole)), "{whole:?}");
        assert!(Pair0::with_options(&whole).is_err());
    }
    assert_eq!(
        dialer.options(),
        pair().dialer("tcp://127.0.0.1:4").unwrap().options()
    );
    let bad = [
        SocketOptions::new().send_buffer(8193),
        SocketOptions::new().recv_buffer(8193),
        SocketOptions::new().name("x".repeat(64)),
    ];
    for options in bad {
        let refused = socket.set_options(&options);
        assert!(matches!(refused, Err(Error::InvalidOption(_))));
    }
    assert_eq!(socket.options().recv_timeout(SOON), socket.options());
}

#[test]
fn options_of_other_protocols_are_not_supported() {
    let unsupported = |result: wirebird::Result<()>| matches!(result, Err(Error::NotSupported(_)));
    let some = SocketOptions::new;
    assert!(unsupported(pair().set_options(&some().ttl(3))));
    assert!(unsupported(pair().set_options(&some().prefer_new(true))));
    assert!(unsupported(pair().set_options(&some().survey_time(SHORT))));
    assert!(unsupported(
        Pub::new().unwrap().set_options(&some().resend_time(SHORT))
    ));
    assert!(unsupported(
        Rep::new().unwrap().set_options(&some().resend_tick(SHORT))
    ));
    assert!(unsupported(Sub::new().unwrap().set_options(&some().ttl(3))));
    assert!(
        Surveyor::new()
            .unwrap()
            .set_options(&some().survey_time(SHORT))
            .is_ok()
    );
    assert!(
        Req::new()
            .unwrap()
            .set_options(&some().resend_time(None).ttl(15))
            .is_ok()
    );
    assert!(
        Sub::new()
            .unwrap()
            .set_options(&some().prefer_new(false))
            .is_ok()
    );
    let zero = |result| matches!(result, Err(Error::InvalidOption(_)));
    assert!(zero(
        Pub::new().unwrap().set_options(&some().send_buffer(0))
    ));
    assert!(zero(
        Sub::new().unwrap().set_options(&some().recv_buffer(0))
    ));
}

#[test]
fn unusable_urls_are_refused_before_anything_happens() {
    let socket = pair();
    let long = format!("ipc:///{}", "x".repeat(255));
    for url in [
        "",
        "tcp",
        "tcp://127.0.0.1:x",
        "tcp://127.0.0.1:70000",
        "nope://x",
        "socket://junk",
        "ipc://",
        "abstract://a%4",
        &long,
    ] {
        for result in [socket.dialer(url).err(), socket.listener(url).err()] {
            assert!(
                matches!(result, Some(Error::InvalidUrl(_))),
                "{url}: {result:?}"
            );
        }
    }
    for url in [
        "tcp://*:1",
        "tcp://:1",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "socket://",
        "abstract://",
    ] {
        let refused = socket.dialer(url).err();
        assert!(
            matches!(refused, Some(Error::InvalidUrl(_))),
            "{url}: {refused:?}"
        );
    }
    let elsewhere = socket.listen("tcp://192.0.2.1:0").err();
    assert!(matches!(elsewhere, Some(Error::AddressInvalid(_))));
}

// ---- backing off ----

#[test]
fn waits_between_attempts_grow_to_the_maximum() {
    let waits = waits(Duration::from_millis(8), Duration::from_millis(64), 12);
    for (number, wait) in waits.iter().enumerate() {
        let ceiling = Duration::from_millis(8 << number.min(3));
        assert!(*wait <= ceiling, "wait {number} of {waits:?}");
        assert!(
            *wait >= Duration::from_millis(5),
            "wait {number} of {waits:?}"
        );
    }
    // Eight waits chosen evenly up to 64 ms are all below 17 ms once in forty thousand runs.
    let longest = waits[4..].iter().max();
    assert!(longest > Some(&Duration::from_millis(17)), "{waits:?}");
}

#[test]
fn waits_between_attempts_stay_without_a_maximum() {
    let waits = waits(Duration::from_millis(10), Duration::ZERO, 10);
    let longest = waits.iter().max();
    assert!(longest <= Some(&Duration::from_millis(10)), "{waits:?}");
}

fn waits(min: Duration, max: Duration, count: u64) -> Vec<Duration> {
    let options = SocketOptions::new().reconnect_min(min).reconnect_max(max);
    let socket = Pair0::with_options(&options).unwrap();
    let events = socket.monitor();
    socket.dial_background(&Via::Inproc.place().url).unwrap();
    let waits = (0..count).map(|_| {
        await_event(&events, "a failed attempt", |event| match event {
            Event::DialFailed {
                retry_in, reason, ..
            } => {
                assert_eq!(*reason, Error::ConnectionRefused);
                *retry_in
            }
            _ => None,
        })
    });
    let waits = waits.collect();
    assert!(socket.stats().dials_failed >= count);
    waits
}
