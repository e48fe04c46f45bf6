//! What each transport has of its own: files, names, permissions, addresses, descriptors and limits.

mod common;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use common::{SOON, Via, await_removed, ends, eventually, pattern, unique};
use tempfile::TempDir;
use wirebird::{
    Address, EndpointOptions, Error, Keepalive, Pair0, Pub, Pull, Push, SocketOptions, Sub,
};

fn pair() -> Pair0 {
    let options = SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .reconnect_min(Duration::from_millis(10));
    Pair0::with_options(&options).expect("a socket")
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
fn unix_is_another_name_for_ipc() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    let (one, other) = (pair(), pair());
    let listener = one.listen(&format!("unix://{path}")).unwrap();
    assert_eq!(listener.local_address(), Ok(Address::Ipc(path.into())));
    other.dial(&place.url).unwrap();
    other.send("the same").unwrap();
    assert_eq!(one.recv().unwrap().body(), b"the same");
}

#[test]
fn a_listener_that_speaks_nothing_and_hangs_up_is_dialed_again() {
    let place = Via::Ipc.place();
    let path = place.url.strip_prefix("ipc://").unwrap();
    let silent = UnixListener::bind(path).unwrap();
    let socket = pair();
    let dialer = socket.dial_background(&place.url).unwrap();
    for _ in 0..3 {
        drop(silent.accept().unwrap());
    }
    eventually("the failures are counted", || {
        socket.stats().dials_failed >= 3
    });
    assert_eq!(socket.stats().added, 0);
    let (mut last, _) = silent.accept().unwrap();
    dialer.close();
    ends(&mut last);
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
