//! pynng, Python on nng itself, in exchange with a socket. Its part is in tests/interop/peer.py.

use wirebird::pattern::{
    BusNode, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Request, Respond, Subscribe,
    Survey,
};
use wirebird::{Pattern, Receives, Sends, Socket};

use super::{DEADLINE, Place, Program, Running, SIZES, Side, assert_same, body};

/// Starts a function of the script that takes a protocol, a role and a URL, and connects it with the socket.
pub(crate) fn meet<P: Pattern>(
    script: &Program,
    socket: &Socket<P>,
    side: Side,
    place: &Place,
    [function, kind]: [&str; 2],
    more: &[&str],
) -> Running {
    let peer = match side {
        Side::WirebirdListens => {
            socket.listen(place.url()).expect("to listen");
            script.start([&[function, kind, "dial", place.url()], more].concat())
        }
        Side::WirebirdDials => {
            let peer = script.start([&[function, kind, "listen", place.url()], more].concat());
            peer.line("listening");
            socket.dial(place.url()).expect("to dial");
            peer
        }
    };
    socket.wait_for_peers(1, DEADLINE).expect("a peer");
    peer
}

/// What the socket does with each message: the mirror of `exchange` in the script.
pub(crate) trait Turn: Pattern {
    const PEER: &'static str;
    fn turn(socket: &Socket<Self>, size: usize)
    where
        Self: Sized;
}

fn receive<P: Receives>(socket: &Socket<P>, size: usize) {
    assert_same(socket.recv().unwrap().body(), &body(size, 1), "message");
}

fn send<P: Sends>(socket: &Socket<P>, size: usize) {
    socket.send(body(size, 2)).unwrap();
}

macro_rules! turns {
    ($($pattern:ident against $peer:literal: $($step:ident)*;)*) => {
        $(impl Turn for $pattern {
            const PEER: &'static str = $peer;
            fn turn(socket: &Socket<Self>, size: usize) {
                $($step(socket, size);)*
            }
        })*
    };
}

turns! {
    PairV0 against "Pair0": receive send;
    PairV1 against "Pair1": receive send;
    BusNode against "Bus0": receive send;
    Request against "Rep0": send receive;
    Reply against "Req0": receive send;
    Survey against "Respondent0": send receive;
    Respond against "Surveyor0": receive send;
    Publish against "Sub0": send;
    Subscribe against "Pub0": receive;
    PushSide against "Pull0": send;
    PullSide against "Push0": receive;
}

/// Exchanges messages of all sizes, in the order that the protocol has.
pub(crate) fn exchange<P: Turn>(script: &Program, socket: &Socket<P>, side: Side, place: &Place) {
    let sizes = SIZES.map(|size| size.to_string());
    let sizes: Vec<_> = sizes.iter().map(String::as_str).collect();
    let peer = meet(script, socket, side, place, ["exchange", P::PEER], &sizes);
    for size in SIZES {
        P::turn(socket, size);
    }
    peer.line("done");
}
