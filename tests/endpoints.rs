//! Dialers, listeners and pipes one by one: configured, started, closed, watched.

mod common;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Via, await_added, await_event, await_removed, eventually, pattern, unique};
use tempfile::TempDir;
use wirebird::{
    Address, EndpointOptions, Error, Event, Keepalive, Pair0, Pair1, PipeStats, Pub, Pull, Push,
    Rep, Req, SocketOptions, Sub, Surveyor,
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

/// The other side closes the stream; what it sent before is passed over.
fn ends(stream: &mut impl std::io::Read) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() <= 8, "no more than a header: {rest:?}");
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

// ---- ipc ----

#[test]
fn a_stale_socket_file_is_taken_over_and_a_live_one_is_not() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    let live = UnixListener::bind(path).unwrap();
    let socket = pair();
    assert_eq!(socket.listen(&place.url).err(), Some(Error::AddressInUse));
    drop(live);
    assert!(fs::symlink_metadata(path).unwrap().file_type().is_socket());
    let listener = socket.listen(&place.url).expect("nobody answers");
    pair().dial(&place.url).expect("somebody answers");
    listener.close();
    assert!(fs::symlink_metadata(path).is_err(), "the file is removed");
}

#[test]
fn an_ordinary_file_is_never_replaced() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    fs::write(path, "precious").unwrap();
    assert_eq!(pair().listen(&place.url).err(), Some(Error::AddressInUse));
    assert_eq!(fs::read(path).unwrap(), b"precious");
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("elsewhere", path).unwrap();
    assert_eq!(pair().listen(&place.url).err(), Some(Error::AddressInUse));
    assert!(fs::symlink_metadata(path).unwrap().is_symlink());
}

#[test]
fn closing_a_listener_leaves_a_file_that_somebody_else_put_there() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    let socket = pair();
    socket.listen(&place.url).unwrap();
    fs::remove_file(path).unwrap();
    let other = pair();
    other.listen(&place.url).expect("the name is free");
    socket.close().unwrap();
    assert!(fs::symlink_metadata(path).is_ok(), "it is the other's");
    other.close().unwrap();
    assert!(fs::symlink_metadata(path).is_err());
}

#[test]
fn permissions_are_those_of_the_option() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    let socket = pair();
    let listener = socket.listener(&place.url).unwrap();
    let options = EndpointOptions::new().ipc_permissions(0o640);
    listener.set_options(&options).unwrap();
    listener.start().unwrap();
    let mode = fs::symlink_metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    let later = listener.set_options(&options.ipc_permissions(0o600));
    assert_eq!(later, Err(Error::Busy), "the file is there already");
    let mode = fs::symlink_metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn a_missing_directory_is_told_from_an_absent_listener() {
    let dir = TempDir::new().unwrap();
    let url = format!("ipc://{}/missing/socket", dir.path().display());
    assert_eq!(pair().listen(&url).err(), Some(Error::DirectoryMissing));
    assert_eq!(pair().dial(&url).err(), Some(Error::ConnectionRefused));
}

#[test]
fn ipc_and_adopted_peers_have_the_credentials_of_their_process() {
    for via in [Via::Ipc, Via::Abstract, Via::Descriptor] {
        let (one, other) = (pair(), pair());
        via.join(&one, &other);
        for socket in [&one, &other] {
            let pipe = &socket.pipes()[0];
            let peer = pipe.info().unwrap().credentials.expect("known");
            assert_eq!(peer.pid, std::process::id());
            assert_eq!(u64::from(peer.uid), common::proc_status("Uid"));
            assert_eq!(u64::from(peer.gid), common::proc_status("Gid"));
        }
    }
    for via in [Via::Inproc, Via::Tcp] {
        let (one, other) = (pair(), pair());
        via.join(&one, &other);
        assert_eq!(one.pipes()[0].info().unwrap().credentials, None);
    }
}

#[test]
fn abstract_names_may_have_any_byte() {
    let name = unique();
    let (one, other) = (pair(), pair());
    let listener = one.listen(&format!("abstract://{name}%00%ff%2F")).unwrap();
    let bytes = [name.as_bytes(), b"\0\xff/"].concat();
    assert_eq!(
        listener.local_address(),
        Ok(Address::Abstract(bytes.clone()))
    );
    let address = SocketAddr::from_abstract_name(&bytes).unwrap();
    drop(UnixStream::connect_addr(&address).expect("the very name"));
    other.dial(&listener.url()).expect("dials");
    let info = other.pipes()[0].info().cloned().unwrap();
    assert_eq!(info.peer, Address::Abstract(bytes));
    let shorter = format!("abstract://{name}");
    assert_eq!(pair().dial(&shorter).err(), Some(Error::ConnectionRefused));
}

#[test]
fn an_empty_abstract_name_is_chosen_by_the_system() {
    let (one, another) = (pair(), pair());
    let first = one.listen("abstract://").unwrap().local_address().unwrap();
    let second = another
        .listen("abstract://")
        .unwrap()
        .local_address()
        .unwrap();
    assert_ne!(first, second);
    let Address::Abstract(name) = first else {
        panic!("not an abstract name: {first:?}");
    };
    let name = String::from_utf8(name).unwrap();
    pair()
        .dial(&format!("abstract://{name}"))
        .expect("the name works");
}

// ---- tcp ----

#[test]
fn tcp_addresses_are_those_of_both_ends() {
    for url in [
        "tcp://127.0.0.1:0",
        "tcp4://127.0.0.1:0",
        "tcp://[::1]:0",
        "tcp6://[::1]:0",
    ] {
        let (one, other) = (pair(), pair());
        let listener = one.listen(url).unwrap();
        let dialer = other.dial(&listener.url()).unwrap();
        one.wait_for_peers(1, SOON).unwrap();
        let here = one.pipes()[0].info().cloned().unwrap();
        let there = other.pipes()[0].info().cloned().unwrap();
        assert_eq!(here.local, listener.local_address().unwrap());
        assert_eq!((&here.local, &here.peer), (&there.peer, &there.local));
        assert_eq!((here.dialed, there.dialed), (false, true));
        assert_eq!(here.url, listener.url());
        assert_eq!(there.url, dialer.url());
    }
}

#[test]
fn tcp_keepalive_is_set_on_dialed_and_accepted_connections() {
    let keepalive = Keepalive::new()
        .idle(Duration::from_secs(7000))
        .interval(Duration::from_secs(7))
        .count(3);
    for probes in [None, Some(keepalive)] {
        let options = EndpointOptions::new()
            .tcp_nodelay(false)
            .tcp_keepalive(probes);
        let options = SocketOptions::new().endpoint(options);
        let one = Pair0::with_options(&options).unwrap();
        let other = Pair0::with_options(&options).unwrap();
        Via::Tcp.join(&one, &other);
        let here = one.pipes()[0].info().cloned().unwrap();
        for end in [here.local, here.peer] {
            let Address::Inet(end) = end else {
                panic!("not an internet address: {end:?}");
            };
            let running = || keepalive_left(end.port());
            if probes.is_some() {
                eventually("probes are due in 7000 s", || {
                    running().is_some_and(|left| (6900..=7000).contains(&left))
                });
            } else {
                assert_eq!(running(), None);
            }
        }
    }
}

/// Seconds to the next probe of the connection with this local port, as the kernel lists it.
fn keepalive_left(port: u16) -> Option<u64> {
    const ESTABLISHED: &str = "01";
    const KEEPALIVE: &str = "02:";
    const TICKS: u64 = 100;
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if !fields[1].ends_with(&local) || fields[3] != ESTABLISHED {
            return None;
        }
        let ticks = fields[5].strip_prefix(KEEPALIVE)?;
        Some(u64::from_str_radix(ticks, 16).unwrap() / TICKS)
    })
}

// ---- descriptors ----

#[test]
fn descriptors_are_adopted_by_either_end() {
    let (stream, other_stream) = UnixStream::pair().unwrap();
    let (one, other) = (pair(), pair());
    let adopting = thread::spawn({
        let other = other.clone();
        move || other.adopt(other_stream)
    });
    let pipe = one.adopt(stream).expect("a pipe");
    adopting.join().unwrap().expect("a pipe");
    assert_eq!(pipe.id(), one.pipes()[0].id());
    let info = pipe.info().cloned().unwrap();
    assert_eq!((info.url.as_str(), info.dialed), ("", false));
    assert_eq!(
        (info.local, info.peer),
        (Address::Unspecified, Address::Unspecified)
    );
    one.send("across").unwrap();
    assert_eq!(other.recv().unwrap().body(), b"across");
}

#[test]
fn tcp_streams_are_adopted_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dialed = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let (one, other) = (pair(), pair());
    one.listen("socket://")
        .unwrap()
        .hand_over(accepted)
        .unwrap();
    other.adopt(dialed).expect("a pipe");
    other.send("across").unwrap();
    assert_eq!(one.recv().unwrap().body(), b"across");
}

#[test]
fn one_listener_takes_many_descriptors() {
    let publisher = Pub::new().unwrap();
    let listener = publisher.listen("socket://").unwrap();
    let subs: Vec<Sub> = (0..20).map(|_| Sub::new().unwrap()).collect();
    for sub in &subs {
        sub.subscribe("").unwrap();
        Via::Descriptor.dial(&listener, sub).unwrap();
    }
    publisher.wait_for_peers(20, SOON).unwrap();
    publisher.send("to all").unwrap();
    for sub in &subs {
        assert_eq!(sub.recv_timeout(SOON).unwrap().body(), b"to all");
    }
}

#[test]
fn a_full_queue_of_descriptors_is_busy() {
    let socket = pair();
    let listener = socket.listener("socket://").unwrap();
    listener
        .set_options(&EndpointOptions::new().max_handshakes(1))
        .unwrap();
    let early = UnixStream::pair().unwrap();
    let early = listener.hand_over(early.0);
    assert!(matches!(early, Err(Error::InvalidState(_))), "not started");
    listener.start().unwrap();
    // One is in its handshake, which its silent peer does not end, and 16 wait.
    let mut peers = Vec::new();
    for _ in 0..17 {
        let (stream, peer) = UnixStream::pair().unwrap();
        listener.hand_over(stream).expect("room");
        peers.push(peer);
    }
    let (stream, mut turned_away) = UnixStream::pair().unwrap();
    assert_eq!(listener.hand_over(stream), Err(Error::Busy));
    ends(&mut turned_away);
    drop(peers.remove(0));
    let (stream, _peer) = UnixStream::pair().unwrap();
    let mut spare = Some(stream);
    eventually("there is room again", || {
        let stream = spare.take().unwrap();
        let copy = stream.try_clone().unwrap();
        spare = Some(copy);
        listener.hand_over(stream).is_ok()
    });
    listener.close();
    for mut peer in peers {
        ends(&mut peer);
    }
}

#[test]
fn what_is_no_stream_is_refused_and_breaks_nothing() {
    let socket = pair();
    let listener = socket.listen("socket://").unwrap();
    let zero = || std::os::fd::OwnedFd::from(fs::File::open("/dev/zero").unwrap());
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for refused in [
        socket.adopt(zero()).err(),
        listener.hand_over(zero()).err(),
        listener.hand_over(datagrams).err(),
    ] {
        let is_told = matches!(refused, Some(Error::InvalidArgument(_)));
        assert!(is_told, "{refused:?}");
    }
    let peer = pair();
    Via::Descriptor.dial(&listener, &peer).unwrap();
    peer.send("still there").unwrap();
    assert_eq!(socket.recv().unwrap().body(), b"still there");
    let tcp = socket.listen("tcp://127.0.0.1:0").unwrap();
    assert!(matches!(tcp.hand_over(zero()), Err(Error::NotSupported(_))));
}

// ---- limits ----

#[test]
fn a_message_above_the_limit_closes_its_pipe_and_is_counted() {
    for via in [Via::Ipc, Via::Tcp, Via::Descriptor] {
        let options = SocketOptions::new().recv_max_size(100).recv_timeout(SOON);
        let pull = Pull::with_options(&options).unwrap();
        let push = Push::new().unwrap();
        via.join(&pull, &push);
        let events = pull.monitor();
        push.send(pattern(100, 1)).unwrap();
        assert_eq!(pull.recv().unwrap().len(), 100);
        push.send(pattern(101, 1)).unwrap();
        assert_eq!(
            await_removed(&events),
            Error::MessageTooLong {
                limit: 100,
                length: 101
            }
        );
        assert_eq!(pull.stats().malformed, 1);
        assert_eq!(pull.try_recv(), Err(Error::WouldBlock));
    }
}

#[test]
fn a_listeners_own_limit_goes_before_the_sockets() {
    let options = SocketOptions::new().recv_max_size(200).recv_timeout(SOON);
    let pull = Pull::with_options(&options).unwrap();
    let listener = pull.listener("tcp://127.0.0.1:0").unwrap();
    listener
        .set_options(&EndpointOptions::new().recv_max_size(100))
        .unwrap();
    listener.start().unwrap();
    let events = pull.monitor();
    let push = Push::new().unwrap();
    push.dial(&listener.url()).unwrap();
    push.send(pattern(95, 1)).unwrap();
    assert_eq!(pull.recv().unwrap().len(), 95);
    push.send(pattern(150, 1)).unwrap();
    assert_eq!(
        await_removed(&events),
        Error::MessageTooLong {
            limit: 100,
            length: 150
        }
    );
}

// ---- pipes and events ----

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
