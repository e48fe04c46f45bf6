//! Dialing where nobody, somebody silent, or somebody else is.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use wirebird::{EndpointOptions, Error, Event, Pair0, SocketOptions};

use crate::checks::assert_took;
use crate::common::{Node, Via, await_added, await_event, unique};

const SHORT: Duration = Duration::from_millis(100);

/// An address where nobody listens, and nobody else will.
pub(crate) struct Spot {
    pub(crate) url: String,
    _dir: Option<TempDir>,
    /// Bound and not listening: it keeps the port from being given to another test.
    _port: Option<Socket>,
}

impl Spot {
    pub(crate) fn reserve(via: Via) -> Self {
        let place = via.place();
        let mut spot = Self {
            url: place.url,
            _dir: place.dir,
            _port: None,
        };
        let (address, domain) = match via {
            Via::Tcp | Via::Tls | Via::Ws | Via::Wss => ("127.0.0.1:0", Domain::IPV4),
            Via::Tcp6 => ("[::1]:0", Domain::IPV6),
            _ => return spot,
        };
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        let address: SocketAddr = address.parse().expect("an address");
        socket.bind(&address.into()).expect("a free port");
        let bound = socket.local_addr().expect("an address").as_socket();
        let (scheme, rest) = spot.url.split_once("://").expect("a url");
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        let bound = bound.expect("an internet address");
        spot.url = format!("{scheme}://{bound}{path}");
        spot._port = Some(socket);
        spot
    }
}

macro_rules! over {
    ($($check:ident: $($name:ident $via:ident)*;)*) => {$(
        mod $check {
            $(#[test]
            fn $name() {
                super::$check(crate::common::Via::$via);
            })*
        }
    )*};
}

over! {
    refused_where_nobody_listens: inproc Inproc ipc Ipc abstract_name Abstract tcp Tcp tcp6 Tcp6 tls Tls ws Ws wss Wss;
    timed_out_where_nobody_speaks: ipc Ipc abstract_name Abstract tcp Tcp tcp6 Tcp6 tls Tls ws Ws wss Wss;
    address_in_use_where_somebody_listens: inproc Inproc ipc Ipc abstract_name Abstract tcp Tcp tcp6 Tcp6 tls Tls ws Ws wss Wss;
}

fn refused_where_nobody_listens(via: Via) {
    let spot = Spot::reserve(via);
    let socket = Pair0::new().expect("a socket");
    let events = socket.monitor();
    assert_eq!(
        Node::dial(&socket, &spot.url).err(),
        Some(Error::ConnectionRefused)
    );
    let retry_in = await_event(&events, "a failed attempt", |event| match event {
        Event::DialFailed {
            url,
            reason: Error::ConnectionRefused,
            retry_in,
        } if *url == spot.url => Some(*retry_in),
        _ => None,
    });
    assert_eq!(retry_in, None, "nothing goes on in the background");
    assert_eq!(socket.stats().dials_failed, 1);

    let dialer = Node::dialer(&socket, &spot.url).expect("a dialer");
    let failed = dialer.start_and_wait(None);
    assert_eq!(failed, Err(Error::ConnectionRefused));
    let peer = Pair0::new().expect("a socket");
    Node::listen(&peer, &spot.url).expect("listens");
    assert_eq!(dialer.start_and_wait(None), Ok(()), "it may start again");
    assert_eq!(socket.stats().pipes, 1);
}

/// The listeners of the standard library: the system connects, nobody answers.
fn timed_out_where_nobody_speaks(via: Via) {
    let place = via.place();
    let mut url = place.url.clone();
    let (mut tcp, mut unix) = (None, None);
    match via {
        Via::Tcp | Via::Tcp6 | Via::Tls | Via::Ws | Via::Wss => {
            let (scheme, rest) = url.split_once("://").expect("a url");
            let address = rest.split('/').next().expect("an address");
            let listener = TcpListener::bind(address).expect("listens");
            let address = listener.local_addr().expect("an address");
            url = format!("{scheme}://{address}");
            tcp = Some(listener);
        }
        Via::Ipc => {
            let path = url.strip_prefix("ipc://").expect("an ipc url");
            unix = Some(UnixListener::bind(path).expect("listens"));
        }
        _ => {
            let name = unique();
            let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
            unix = Some(UnixListener::bind_addr(&address).expect("listens"));
            url = format!("abstract://{name}");
        }
    }
    let socket = Pair0::new().expect("a socket");
    let waiting = Instant::now();
    assert_eq!(
        Node::dial_timeout(&socket, &url, SHORT).err(),
        Some(Error::TimedOut)
    );
    assert_took(SHORT, waiting.elapsed());

    let options = EndpointOptions::new().connect_timeout(SHORT);
    let dialer = Node::dialer(&socket, &url).expect("a dialer");
    dialer.set_options(&options).expect("options");
    let waiting = Instant::now();
    assert_eq!(dialer.start_and_wait(None), Err(Error::TimedOut));
    assert_took(SHORT, waiting.elapsed());
    drop((tcp, unix));
}

fn address_in_use_where_somebody_listens(via: Via) {
    let place = via.place();
    let (first, second) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    let listener = Node::listen(&first, &place.url).expect("listens");
    let url = listener.url();
    assert_eq!(Node::listen(&second, &url).err(), Some(Error::AddressInUse));
    assert_eq!(Node::listen(&first, &url).err(), Some(Error::AddressInUse));
    let again = Node::listener(&second, &url).expect("a listener");
    assert_eq!(again.start(), Err(Error::AddressInUse));

    let dialing = Pair0::new().expect("a socket");
    Node::dial(&dialing, &url).expect("the first still listens");
    dialing.send("hello").expect("sends");
    assert_eq!(first.recv().expect("a message").body(), b"hello");
    listener.close();
    again.start().expect("the place is free");
    let events = second.monitor();
    Node::dial_background(&dialing, &url).expect("a dialer");
    await_added(&events);
}

#[test]
fn adopting_a_silent_stream_times_out() {
    let endpoint = EndpointOptions::new().handshake_timeout(SHORT);
    let socket = Pair0::with_options(&SocketOptions::new().endpoint(endpoint)).unwrap();
    let (stream, _peer) = UnixStream::pair().expect("a socket pair");
    let waiting = Instant::now();
    assert_eq!(socket.adopt(stream).err(), Some(Error::TimedOut));
    assert_took(SHORT, waiting.elapsed());
}

#[test]
fn closing_the_socket_ends_a_dial_that_waits() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("tcp://{}", silent.local_addr().expect("an address"));
    let socket = Pair0::new().expect("a socket");
    let dialing = std::thread::spawn({
        let socket = socket.clone();
        move || Node::dial(&socket, &url).err()
    });
    let (_stream, _) = silent.accept().expect("the dialer comes");
    let closing = Instant::now();
    socket.close().expect("closes");
    assert_eq!(dialing.join().expect("no panic"), Some(Error::Closed));
    assert!(closing.elapsed() < Duration::from_secs(2));
}
