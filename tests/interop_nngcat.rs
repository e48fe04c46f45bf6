//! nng's `nngcat` as the peer of sockets of this library, and of `wirebird cat`.

mod peers;

use std::thread;

use peers::{
    DEADLINE, Data, Place, Program, Running, SIZES, Scheme, Side, assert_same, body, socket,
};
use wirebird::pattern::{
    BusNode, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Request, Respond, Subscribe,
    Survey,
};
use wirebird::{Pattern, Receives, Sends, Socket};

/// Starts nngcat and connects it with the socket, whoever dials.
fn meet<P: Pattern>(socket: &Socket<P>, side: Side, place: &Place, args: &[&str]) -> Running {
    let nngcat = Program::nngcat();
    let peer = match side {
        Side::WirebirdListens => {
            socket.listen(place.url()).expect("to listen");
            nngcat.start([&["--dial", place.url()], args].concat())
        }
        Side::WirebirdDials => {
            let peer = nngcat.start([&["--verbose", "--listen", place.url()], args].concat());
            peer.line("Listening at: ");
            socket.dial(place.url()).expect("to dial");
            peer
        }
    };
    socket.wait_for_peers(1, DEADLINE).expect("a peer");
    peer
}

/// Makes nngcat send a message again that nobody was there for.
const AGAIN: &str = "--interval=1";

/// The same for surveys, which last a second: nng 1.5 can deadlock when a survey is sent while the one before ends.
const SURVEY_AGAIN: &str = "--interval=2";

/// Gives nngcat that option when it listens, and so may send before it has a peer.
fn again(side: Side, option: &'static str) -> Vec<&'static str> {
    match side {
        Side::WirebirdListens => Vec::new(),
        Side::WirebirdDials => vec![option],
    }
}

/// Runs `exchange` with every size of message; at the same time, since nngcat takes its time to end.
fn with_sizes(exchange: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for size in SIZES {
            let exchange = &exchange;
            scope.spawn(move || exchange(size));
        }
    });
}

/// nngcat sends messages, and the socket answers them.
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

/// The socket sends a message and nngcat answers it.
fn asks<P: Pattern + Sends + Receives>(
    protocol: &str,
    scheme: Scheme,
    side: Side,
    prepare: fn(&Socket<P>),
) {
    with_sizes(|size| {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        prepare(&socket);
        let (there, back) = (body(size, 1), body(size, 2));
        let data = Data::new(&back);
        let file = data.option();
        let peer = meet(&socket, side, &place, &[protocol, &file, "--msgpack"]);
        socket.send(there.clone()).unwrap();
        assert_same(&peer.messages(1)[0], &there, "message");
        assert_same(socket.recv().unwrap().body(), &back, "answer");
    });
}

/// nngcat sends a message.
fn hears<P: Pattern + Receives>(
    protocol: &str,
    scheme: Scheme,
    side: Side,
    more: &[&str],
    prepare: fn(&Socket<P>),
) {
    with_sizes(|size| {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        prepare(&socket);
        let sent = body(size, 3);
        let data = Data::new(&sent);
        let file = data.option();
        let _peer = meet(&socket, side, &place, &[&[protocol, &file], more].concat());
        assert_same(socket.recv().unwrap().body(), &sent, "message");
    });
}

/// The socket sends messages of all sizes over one connection.
fn tells<P: Pattern + Sends>(protocol: &str, scheme: Scheme, side: Side) {
    let (place, socket) = (Place::new(scheme), socket::<P>());
    let peer = meet(&socket, side, &place, &[protocol, "--msgpack"]);
    for size in SIZES {
        socket.send(body(size, size)).unwrap();
    }
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

mod library {
    use super::*;

    matrix! {
        pair0: |scheme, side| {
            answers::<PairV0>("--pair0", scheme, side, &[]);
            tells::<PairV0>("--pair0", scheme, side);
        };
        pair1: |scheme, side| {
            answers::<PairV1>("--pair1", scheme, side, &[]);
            tells::<PairV1>("--pair1", scheme, side);
        };
        bus: |scheme, side| {
            answers::<BusNode>("--bus0", scheme, side, &again(side, AGAIN));
            tells::<BusNode>("--bus0", scheme, side);
        };
        req: |scheme, side| asks::<Request>("--rep0", scheme, side, nothing);
        rep: |scheme, side| answers::<Reply>("--req0", scheme, side, &[]);
        surveyor: |scheme, side| asks::<Survey>("--respondent0", scheme, side, peers::be_patient);
        respondent: |scheme, side| answers::<Respond>("--surveyor0", scheme, side, &again(side, SURVEY_AGAIN));
        publish: |scheme, side| tells::<Publish>("--sub0", scheme, side);
        subscribe: |scheme, side| {
            hears::<Subscribe>("--pub0", scheme, side, &again(side, AGAIN), |socket| {
                socket.subscribe("").unwrap();
            });
        };
        push: |scheme, side| tells::<PushSide>("--pull0", scheme, side);
        pull: |scheme, side| hears::<PullSide>("--push0", scheme, side, &[], nothing::<PullSide>);
    }
}

/// One end of two programs that speak nngcat's command line.
#[derive(Debug, Clone, Copy)]
struct End {
    protocol: &'static str,
    /// The seed of what it sends, if it does.
    sends: Option<usize>,
    /// The seed of what it prints, if it does.
    prints: Option<usize>,
    /// The option it needs if what it sends is lost while it has no peer.
    again: Option<&'static str>,
}

impl End {
    fn start(&self, program: &Program, size: usize, endpoint: &[&str], listens: bool) -> Running {
        let data = self.sends.map(|seed| Data::new(&body(size, seed)));
        let mut args = vec![self.protocol.to_owned()];
        args.extend(endpoint.iter().map(|word| (*word).to_owned()));
        args.extend(data.iter().map(Data::option));
        if self.prints.is_some() {
            args.push("--msgpack".into());
        }
        if listens {
            args.push("--verbose".into());
            args.extend(self.again.map(str::to_owned));
        }
        let mut running = program.start(args);
        if listens {
            running.line("Listening at: ");
        }
        // The file may go only when it is sure that it was read.
        running.keep(data);
        running
    }

    fn check(&self, running: &Running, size: usize) {
        if let Some(seed) = self.prints {
            assert_same(&running.messages(1)[0], &body(size, seed), self.protocol);
        }
    }
}

/// `wirebird cat` is `ours` and nngcat `theirs`.
fn cats(ours: End, theirs: End, scheme: Scheme, side: Side) {
    with_sizes(|size| {
        let place = Place::new(scheme);
        let (wirebird, nngcat) = (Program::wirebird_cat(), Program::nngcat());
        let (listen, dial) = (["--listen", place.url()], ["--dial", place.url()]);
        let (one, other);
        match side {
            Side::WirebirdListens => {
                one = ours.start(&wirebird, size, &listen, true);
                other = theirs.start(&nngcat, size, &dial, false);
            }
            Side::WirebirdDials => {
                other = theirs.start(&nngcat, size, &listen, true);
                one = ours.start(&wirebird, size, &dial, false);
            }
        }
        ours.check(&one, size);
        theirs.check(&other, size);
    });
}

mod closing {
    use super::*;

    const COUNT: usize = 2_000;

    /// Sends and closes at once. nng 1.5 gives up what it has not read when a local peer hangs up, so the messages only
    /// arrive when the close waits for their reader.
    fn sends_and_closes<P: Pattern + Sends>(protocol: &str, scheme: Scheme, side: Side) {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        let peer = meet(&socket, side, &place, &[protocol, "--msgpack"]);
        for number in 0..COUNT {
            socket.send(body(number % 300, number)).unwrap();
        }
        socket.close().unwrap();
        for (number, message) in peer.messages(COUNT).iter().enumerate() {
            assert_same(message, &body(number % 300, number), "message");
        }
    }

    matrix! {
        loses_nothing_that_was_pushed: |scheme, side| sends_and_closes::<PushSide>("--pull0", scheme, side);
        loses_nothing_between_pairs: |scheme, side| sends_and_closes::<PairV1>("--pair1", scheme, side);
        loses_no_single_long_message: |scheme, side| {
            let (place, socket) = (Place::new(scheme), socket::<PushSide>());
            let peer = meet(&socket, side, &place, &["--pull0", "--msgpack"]);
            let sent = body(4 << 20, 1);
            socket.send(sent.clone()).unwrap();
            socket.close().unwrap();
            assert_same(&peer.messages(1)[0], &sent, "message");
        };
    }
}

const fn end(
    protocol: &'static str,
    sends: Option<usize>,
    prints: Option<usize>,
    again: Option<&'static str>,
) -> End {
    End {
        protocol,
        sends,
        prints,
        again,
    }
}

mod command {
    use super::*;

    const PAIR0: [End; 2] = both("--pair0", None);
    const PAIR1: [End; 2] = both("--pair1", None);
    const BUS: [End; 2] = both("--bus0", Some(AGAIN));
    const REQ: End = end("--req0", Some(1), Some(2), None);
    const REP: End = end("--rep0", Some(2), Some(1), None);
    const SURVEYOR: End = end("--surveyor0", Some(1), Some(2), Some(SURVEY_AGAIN));
    const RESPONDENT: End = end("--respondent0", Some(2), Some(1), None);
    const PUB: End = end("--pub0", Some(1), None, Some(AGAIN));
    const SUB: End = end("--sub0", None, Some(1), None);
    const PUSH: End = end("--push0", Some(1), None, None);
    const PULL: End = end("--pull0", None, Some(1), None);

    const fn both(protocol: &'static str, again: Option<&'static str>) -> [End; 2] {
        [
            end(protocol, Some(1), Some(2), again),
            end(protocol, Some(2), Some(1), again),
        ]
    }

    matrix! {
        pair0: |scheme, side| cats(PAIR0[0], PAIR0[1], scheme, side);
        pair1: |scheme, side| cats(PAIR1[0], PAIR1[1], scheme, side);
        bus: |scheme, side| cats(BUS[0], BUS[1], scheme, side);
        req: |scheme, side| cats(REQ, REP, scheme, side);
        rep: |scheme, side| cats(REP, REQ, scheme, side);
        surveyor: |scheme, side| cats(SURVEYOR, RESPONDENT, scheme, side);
        respondent: |scheme, side| cats(RESPONDENT, SURVEYOR, scheme, side);
        publish: |scheme, side| cats(PUB, SUB, scheme, side);
        subscribe: |scheme, side| cats(SUB, PUB, scheme, side);
        push: |scheme, side| cats(PUSH, PULL, scheme, side);
        pull: |scheme, side| cats(PULL, PUSH, scheme, side);
    }
}
