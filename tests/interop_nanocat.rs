//! nanomsg's `nanocat` as the peer of sockets of this library.

mod peers;

use std::thread;
use std::time::{Duration, Instant};

use peers::{DEADLINE, Data, Place, Program, Running, Scheme, Side, assert_same, body, socket};
use wirebird::pattern::{
    BusNode, PairV0, Publish, PullSide, PushSide, Reply, Request, Respond, Subscribe, Survey,
};
use wirebird::{Pattern, Receives, Sends, Socket};

/// nanomsg takes no more than 1 MiB, headers included, and nanocat cannot change that.
const SIZES: [usize; 4] = [0, 5, 70_000, 1_048_000];

/// nanocat connects in the background and sends to nobody, so it has to go on sending; what it sent last it does not
/// wait for either.
const AGAIN: &str = "--interval=0.05";

/// Starts nanocat and connects it with the socket, whoever dials.
fn meet<P: Pattern>(socket: &Socket<P>, side: Side, place: &Place, args: &[&str]) -> Running {
    let (connect, bind) = (["--connect", place.url()], ["--bind", place.url()]);
    let endpoint = match side {
        Side::WirebirdListens => {
            socket.listen(place.url()).expect("to listen");
            connect
        }
        Side::WirebirdDials => {
            // nanocat says nothing when it listens: the dialer finds out by trying.
            socket.dial_background(place.url()).expect("a dialer");
            bind
        }
    };
    let peer = Program::nanocat().start([&endpoint, args].concat());
    socket.wait_for_peers(1, DEADLINE).expect("a peer");
    peer
}

fn with_sizes(exchange: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for size in SIZES {
            let exchange = &exchange;
            scope.spawn(move || exchange(size));
        }
    });
}

/// nanocat sends messages, and the socket answers them.
fn answers<P: Pattern + Sends + Receives>(
    protocol: &str,
    scheme: Scheme,
    side: Side,
    more: &[&str],
) {
    with_sizes(|size| {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        let (there, back) = (body(size, 1), body(size, 2));
        let data = Data::new(&there);
        let file = data.option();
        let args = [&[protocol, &file, "--msgpack"], more].concat();
        let peer = meet(&socket, side, &place, &args);
        thread::scope(|scope| {
            // Every message is answered: a peer that sends again no longer wants the answer to the one before.
            let answering = scope.spawn(|| {
                while let Ok(message) = socket.recv() {
                    assert_same(message.body(), &there, "message");
                    if socket.send(back.clone()).is_err() {
                        break;
                    }
                }
            });
            assert_same(&peer.messages(1)[0], &back, "answer");
            // Only to end the other thread: whether the peer still reads does not matter.
            let _ = socket.close();
            answering.join().unwrap();
        });
    });
}

/// The socket sends a message and nanocat answers it.
fn asks<P: Pattern + Sends + Receives>(protocol: &str, scheme: Scheme, side: Side) {
    with_sizes(|size| {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        let (there, back) = (body(size, 1), body(size, 2));
        let data = Data::new(&back);
        let peer = meet(
            &socket,
            side,
            &place,
            &[protocol, &data.option(), "--msgpack"],
        );
        let answer = until_answered(&socket, &there);
        assert_same(&peer.messages(1)[0], &there, "message");
        assert_same(&answer, &back, "answer");
    });
}

/// Sends until an answer comes: a survey is lost while nanomsg has not added its side of the connection.
fn until_answered<P: Pattern + Sends + Receives>(socket: &Socket<P>, message: &[u8]) -> Vec<u8> {
    let end = Instant::now() + DEADLINE;
    loop {
        socket.send(message).unwrap();
        match socket.recv_timeout(Duration::from_secs(1)) {
            Ok(answer) => return answer.body().to_vec(),
            Err(error) => assert!(Instant::now() < end, "no answer: {error}"),
        }
    }
}

/// nanocat sends messages.
fn hears<P: Pattern + Receives>(
    protocol: &str,
    scheme: Scheme,
    side: Side,
    prepare: fn(&Socket<P>),
) {
    with_sizes(|size| {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        prepare(&socket);
        let sent = body(size, 3);
        let data = Data::new(&sent);
        let _peer = meet(&socket, side, &place, &[protocol, &data.option(), AGAIN]);
        assert_same(socket.recv().unwrap().body(), &sent, "message");
    });
}

/// The socket sends messages of all sizes over one connection, and closes at once.
fn tells<P: Pattern + Sends>(protocol: &str, scheme: Scheme, side: Side) {
    let (place, socket) = (Place::new(scheme), socket::<P>());
    let peer = meet(&socket, side, &place, &[protocol, "--msgpack"]);
    for size in SIZES {
        socket.send(body(size, size)).unwrap();
    }
    socket.close().unwrap();
    for (size, message) in SIZES.iter().zip(peer.messages(SIZES.len())) {
        assert_same(&message, &body(*size, *size), "message");
    }
}

fn nothing<P: Pattern>(_: &Socket<P>) {}

/// A module for each protocol that the socket has, with a test for each transport and side.
macro_rules! matrix {
    ($($protocol:ident: $exchange:expr;)*) => {
        $(mod $protocol {
            use super::*;

            #[test]
            fn listens_on_tcp() {
                ($exchange)(Scheme::Tcp, Side::WirebirdListens);
            }

            #[test]
            fn dials_over_tcp() {
                ($exchange)(Scheme::Tcp, Side::WirebirdDials);
            }

            #[test]
            fn listens_on_ipc() {
                ($exchange)(Scheme::Ipc, Side::WirebirdListens);
            }

            #[test]
            fn dials_over_ipc() {
                ($exchange)(Scheme::Ipc, Side::WirebirdDials);
            }

            #[test]
            fn listens_on_ws() {
                ($exchange)(Scheme::Ws, Side::WirebirdListens);
            }

            #[test]
            fn dials_over_ws() {
                ($exchange)(Scheme::Ws, Side::WirebirdDials);
            }
        })*
    };
}

matrix! {
    pair: |scheme, side| {
        answers::<PairV0>("--pair", scheme, side, &[AGAIN]);
        tells::<PairV0>("--pair", scheme, side);
    };
    bus: |scheme, side| {
        answers::<BusNode>("--bus", scheme, side, &[AGAIN]);
        tells::<BusNode>("--bus", scheme, side);
    };
    req: |scheme, side| asks::<Request>("--rep", scheme, side);
    rep: |scheme, side| answers::<Reply>("--req", scheme, side, &[]);
    surveyor: |scheme, side| asks::<Survey>("--respondent", scheme, side);
    respondent: |scheme, side| answers::<Respond>("--surveyor", scheme, side, &["--interval=0.5"]);
    publish: |scheme, side| tells::<Publish>("--sub", scheme, side);
    subscribe: |scheme, side| {
        hears::<Subscribe>("--pub", scheme, side, |socket| socket.subscribe("").unwrap());
    };
    push: |scheme, side| tells::<PushSide>("--pull", scheme, side);
    pull: |scheme, side| hears::<PullSide>("--push", scheme, side, nothing::<PullSide>);
}
