//! pynng, Python on nng itself, as the peer of sockets of this library. Its part is in tests/interop/peer.py.

mod peers;

use std::thread;
use std::time::Duration;

use peers::pynng::Turn;
use peers::{DEADLINE, Place, Program, Running, Scheme, Side, assert_same, body, options, socket};
use wirebird::pattern::{
    BusNode, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Request, Respond, Subscribe,
    Survey,
};
use wirebird::{
    Bus, Error, Message, Pair0, Pair1, PairPoly, Pattern, Pub, Pull, Push, RawKind, RawSocket,
    Receives, Rep, Req, Respondent, Sends, Socket, Surveyor, forward,
};

/// Starts a function of the script.
fn pynng(args: &[&str]) -> Running {
    Program::python("peer.py").start(args)
}

fn meet<P: Pattern>(
    socket: &Socket<P>,
    side: Side,
    place: &Place,
    function: &str,
    kind: &str,
    more: &[&str],
) -> Running {
    let script = Program::python("peer.py");
    peers::pynng::meet(&script, socket, side, place, [function, kind], more)
}

fn exchange<P: Turn>(scheme: Scheme, side: Side, prepare: fn(&Socket<P>)) {
    let (place, socket) = (Place::new(scheme), socket::<P>());
    prepare(&socket);
    peers::pynng::exchange(&Program::python("peer.py"), &socket, side, &place);
}

fn nothing<P: Pattern>(_: &Socket<P>) {}

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
    pair0: |scheme, side| exchange::<PairV0>(scheme, side, nothing);
    pair1: |scheme, side| exchange::<PairV1>(scheme, side, nothing);
    bus: |scheme, side| exchange::<BusNode>(scheme, side, nothing);
    req: |scheme, side| exchange::<Request>(scheme, side, nothing);
    rep: |scheme, side| exchange::<Reply>(scheme, side, nothing);
    surveyor: |scheme, side| exchange::<Survey>(scheme, side, peers::be_patient);
    respondent: |scheme, side| exchange::<Respond>(scheme, side, nothing);
    publish: |scheme, side| exchange::<Publish>(scheme, side, nothing);
    subscribe: |scheme, side| {
        exchange::<Subscribe>(scheme, side, |socket| socket.subscribe("").unwrap());
    };
    push: |scheme, side| exchange::<PushSide>(scheme, side, nothing);
    pull: |scheme, side| exchange::<PullSide>(scheme, side, nothing);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_addresses_are_the_same() {
    for side in [Side::WirebirdListens, Side::WirebirdDials] {
        exchange::<PairV1>(Scheme::Abstract, side, nothing);
        exchange::<Request>(Scheme::Abstract, side, nothing);
    }
}

mod closing {
    use super::*;

    const COUNT: usize = 2_000;

    fn sends_and_closes<P: Pattern + Sends>(kind: &str, scheme: Scheme, side: Side) {
        let (place, socket) = (Place::new(scheme), socket::<P>());
        let peer = meet(
            &socket,
            side,
            &place,
            "receive_all",
            kind,
            &[&COUNT.to_string()],
        );
        for number in 0..COUNT {
            socket.send(body(number % 300, number)).unwrap();
        }
        socket.close().unwrap();
        peer.line("done");
    }

    /// What the peer sent before it went is all there, though nobody received while it was.
    fn peer_sends_and_goes<P: Pattern + Receives>(kind: &str, scheme: Scheme, side: Side) {
        const FEW: usize = 200;
        let (place, socket) = (Place::new(scheme), socket::<P>());
        // Its standard input has ended: it closes, and goes.
        let few = FEW.to_string();
        let peer = meet(&socket, side, &place, "send_and_go", kind, &[&few]);
        peer.succeed();
        for number in 0..FEW {
            let message = socket.recv().unwrap();
            assert_same(message.body(), &body(number % 300, number), "message");
        }
    }

    matrix! {
        push: |scheme, side| sends_and_closes::<PushSide>("Pull0", scheme, side);
        pair: |scheme, side| sends_and_closes::<PairV1>("Pair1", scheme, side);
        pull: |scheme, side| peer_sends_and_goes::<PullSide>("Push0", scheme, side);
    }
}

mod contexts {
    use super::*;

    const COUNT: usize = 100;

    #[test]
    fn pynng_has_many_requests_outstanding() {
        let (place, rep) = (Place::new(Scheme::Tcp), socket::<Reply>());
        rep.listen(place.url()).unwrap();
        let peer = pynng(&["ask_from_contexts", place.url(), &COUNT.to_string()]);
        let held: Vec<_> = (0..COUNT)
            .map(|_| {
                let context = rep.context().unwrap();
                let request = context.recv().unwrap();
                (context, request)
            })
            .collect();
        for (context, request) in held.into_iter().rev() {
            let text = String::from_utf8_lossy(request.body()).replace("request", "answer");
            context.send(text).unwrap();
        }
        peer.line("done");
    }

    #[test]
    fn wirebird_has_many_requests_outstanding() {
        let (place, req) = (Place::new(Scheme::Ipc), socket::<Request>());
        let peer = pynng(&["answer_from_contexts", place.url(), &COUNT.to_string()]);
        peer.line("listening");
        req.dial(place.url()).unwrap();
        let contexts: Vec<_> = (0..COUNT).map(|_| req.context().unwrap()).collect();
        for (number, context) in contexts.iter().enumerate() {
            context.send(format!("request {number}")).unwrap();
        }
        for (number, context) in contexts.iter().enumerate() {
            let answer = context.recv().unwrap();
            assert_eq!(answer.body(), format!("answer {number}").as_bytes());
        }
        peer.line("done");
    }

    #[test]
    fn pynng_makes_surveys_at_the_same_time() {
        let (place, respondent) = (Place::new(Scheme::Tcp), socket::<Respond>());
        respondent.listen(place.url()).unwrap();
        let peer = pynng(&["survey_from_contexts", place.url(), "5"]);
        for _ in 0..5 {
            let survey = respondent.recv().unwrap();
            let text = String::from_utf8_lossy(survey.body()).replace("survey", "answer");
            respondent.send(text).unwrap();
        }
        peer.line("done");
    }
}

mod polyamorous {
    use super::*;

    #[test]
    fn peers_of_pynngs_hub_each_get_their_own_answer() {
        let place = Place::new(Scheme::Tcp);
        let peer = pynng(&["hub", place.url(), "2"]);
        peer.line("listening");
        let pairs: [Pair1; 2] = [socket(), socket()];
        for (name, pair) in ["anna", "otto"].iter().zip(&pairs) {
            pair.dial(place.url()).unwrap();
            pair.send(*name).unwrap();
        }
        for (name, pair) in ["anna", "otto"].iter().zip(&pairs) {
            let answer = pair.recv().unwrap();
            assert_eq!(answer.body(), format!("hello {name}").as_bytes());
        }
        peer.line("done");
    }

    #[test]
    fn pynng_peers_of_a_hub_each_get_their_own_answer() {
        let place = Place::new(Scheme::Ipc);
        let hub: PairPoly = socket();
        hub.listen(place.url()).unwrap();
        let anna = pynng(&["request", "Pair1", place.url(), "anna"]);
        let otto = pynng(&["request", "Pair1", place.url(), "otto"]);
        let mut held = [hub.recv().unwrap(), hub.recv().unwrap()];
        assert_ne!(held[0].pipe(), held[1].pipe());
        held.reverse();
        for message in held {
            hub.send(message).unwrap();
        }
        anna.line("done");
        otto.line("done");
    }
}

mod surveys {
    use super::*;

    #[test]
    fn a_late_answer_does_not_reach_pynngs_next_survey() {
        let (place, respondent) = (Place::new(Scheme::Tcp), socket::<Respond>());
        respondent.listen(place.url()).unwrap();
        let peer = pynng(&["survey_in_vain", place.url()]);
        let first = respondent.context().unwrap();
        assert_eq!(first.recv().unwrap().body(), b"first");
        peer.line("timed out");
        first.send("answer to first").unwrap();
        assert_eq!(respondent.recv().unwrap().body(), b"second");
        respondent.send("answer to second").unwrap();
        peer.line("done");
    }

    #[test]
    fn a_survey_that_pynng_does_not_answer_times_out() {
        let place = Place::new(Scheme::Ipc);
        let peer = pynng(&["keep_silent", "Respondent0", place.url()]);
        peer.line("listening");
        let options = options().survey_time(Duration::from_millis(200));
        let surveyor = Surveyor::with_options(&options).unwrap();
        surveyor.dial(place.url()).unwrap();
        surveyor.send("anybody?").unwrap();
        assert_eq!(surveyor.recv(), Err(Error::TimedOut));
        assert!(matches!(surveyor.recv(), Err(Error::InvalidState(_))));
        peer.line("done");
    }
}

mod devices {
    use super::*;

    /// A device between `front` and `back`; ends with the sockets it returns.
    fn device(front: RawKind, back: RawKind) -> ([Place; 2], [RawSocket; 2]) {
        let places = [Place::new(Scheme::Tcp), Place::new(Scheme::Ipc)];
        // A raw subscriber drops what does not fit, and by itself has room for one message only.
        let options = options().recv_timeout(None).recv_buffer(16);
        let sockets = [front, back].map(|kind| RawSocket::with_options(kind, &options).unwrap());
        for (socket, place) in sockets.iter().zip(&places) {
            socket.listen(place.url()).unwrap();
        }
        let [one, other] = sockets.clone();
        thread::spawn(move || forward(&one, &other));
        (places, sockets)
    }

    /// `sender` reaches `receiver` through a device only when the receiver allows one more hop than a direct
    /// connection has.
    fn counts_one_hop(front: RawKind, back: RawKind, sender: &str, receiver: &str) {
        let ([near, far], sockets) = device(front, back);
        let script = Program::python("peer.py");
        let mut receiver = script.start_talking(["turn_away", receiver, far.url(), "1"]);
        receiver.line("ready");
        sockets[1].wait_for_peers(1, DEADLINE).unwrap();
        let mut sender = script.start_talking(["speak", sender, near.url()]);
        sender.line("sent");
        receiver.tell("look");
        receiver.line("nothing");
        sender.tell("go on");
        receiver.line("done");
        sender.line("done");
        for socket in sockets {
            socket.close().unwrap();
        }
    }

    #[test]
    fn a_request_passes_with_one_more_hop() {
        counts_one_hop(RawKind::Rep, RawKind::Req, "Req0", "Rep0");
    }

    #[test]
    fn a_survey_passes_with_one_more_hop() {
        counts_one_hop(
            RawKind::Respondent,
            RawKind::Surveyor,
            "Surveyor0",
            "Respondent0",
        );
    }

    #[test]
    fn a_pair_passes_with_one_more_hop() {
        counts_one_hop(RawKind::Pair1, RawKind::Pair1, "Pair1", "Pair1");
    }

    #[test]
    fn a_publisher_reaches_subscribers_behind_a_device() {
        let ([front, back], sockets) = device(RawKind::Sub, RawKind::Pub);
        let subscriber = pynng(&["subscribe", back.url(), "b", "b1", "b2"]);
        sockets[1].wait_for_peers(1, DEADLINE).unwrap();
        let publisher: Pub = socket();
        publisher.dial(front.url()).unwrap();
        for text in ["a1", "b1", "c1", "b2"] {
            publisher.send(text).unwrap();
        }
        subscriber.line("done");
        for socket in sockets {
            socket.close().unwrap();
        }
    }
}

mod raw {
    use super::*;

    /// pynng's raw socket sends back what the socket sends.
    fn is_echoed<P: Pattern + Sends + Receives>(kind: &str) {
        let (place, socket) = (Place::new(Scheme::Tcp), socket::<P>());
        let side = Side::WirebirdDials;
        let peer = meet(&socket, side, &place, "echo_raw", kind, &["3"]);
        for text in ["one", "", "three"] {
            socket.send(text).unwrap();
            assert_eq!(socket.recv().unwrap().body(), text.as_bytes());
        }
        peer.line("done");
    }

    #[test]
    fn pynngs_raw_sockets_answer() {
        is_echoed::<Request>("Rep0");
        is_echoed::<Survey>("Respondent0");
        is_echoed::<PairV0>("Pair0");
        is_echoed::<PairV1>("Pair1");
    }

    /// A raw socket here sends back what pynng sends.
    fn echoes(raw: RawKind, kind: &str) {
        let place = Place::new(Scheme::Ipc);
        let socket = RawSocket::with_options(raw, &options()).unwrap();
        socket.listen(place.url()).unwrap();
        let peer = pynng(&["request", kind, place.url(), "one", "", "three"]);
        for _ in 0..3 {
            let message = socket.recv().unwrap();
            socket.send(message).unwrap();
        }
        peer.line("done");
    }

    #[test]
    fn raw_sockets_answer_pynng() {
        echoes(RawKind::Rep, "Req0");
        echoes(RawKind::Respondent, "Surveyor0");
        echoes(RawKind::Pair0, "Pair0");
        echoes(RawKind::Pair1, "Pair1");
    }
}

mod restarts {
    use super::*;

    fn echoed(socket: &Req, text: &str) {
        socket.send(text).unwrap();
        assert_eq!(socket.recv().unwrap().body(), text.as_bytes());
    }

    fn finds_the_restarted_peer(scheme: Scheme) {
        let place = Place::new(scheme);
        let req: Req = socket();
        let first = pynng(&["echo", "Rep0", "listen", place.url()]);
        first.line("listening");
        req.dial(place.url()).unwrap();
        echoed(&req, "before");
        first.kill();
        let _second = thread::scope(|scope| {
            // Taken by a peer that is all but gone, or by the next one.
            scope.spawn(|| req.send("between").unwrap());
            let second = pynng(&["echo", "Rep0", "listen", place.url()]);
            second.line("listening");
            second
        });
        assert_eq!(req.recv().unwrap().body(), b"between");
        echoed(&req, "after");
    }

    #[test]
    fn a_dialer_finds_a_restarted_peer_on_tcp() {
        finds_the_restarted_peer(Scheme::Tcp);
    }

    #[test]
    fn a_dialer_finds_a_restarted_peer_on_ipc() {
        finds_the_restarted_peer(Scheme::Ipc);
    }

    #[test]
    fn a_listener_takes_the_peer_that_comes_after_a_killed_one() {
        for scheme in [Scheme::Tcp, Scheme::Ipc] {
            let place = Place::new(scheme);
            let pair: Pair0 = socket();
            pair.listen(place.url()).unwrap();
            for round in ["first", "second", "third"] {
                let peer = pynng(&["echo", "Pair0", "dial", place.url()]);
                pair.send(round).unwrap();
                assert_eq!(pair.recv().unwrap().body(), round.as_bytes());
                let monitor = pair.monitor();
                peer.kill();
                peers::wait_for_event(&monitor, |event| {
                    matches!(event, wirebird::Event::Removed { .. })
                });
            }
        }
    }

    #[test]
    fn pynng_finds_a_socket_that_listens_again() {
        let place = Place::new(Scheme::Tcp);
        let first: Rep = socket();
        first.listen(place.url()).unwrap();
        let peer = pynng(&["request", "Req0", place.url(), "one", "two"]);
        let request = first.recv().unwrap();
        first.send(request).unwrap();
        // Not answered: pynng asks the next one.
        first.recv().unwrap();
        first.close().unwrap();
        let second: Rep = socket();
        second.listen(place.url()).unwrap();
        let request = second.recv().unwrap();
        assert_eq!(request.body(), b"two");
        second.send(request).unwrap();
        peer.line("done");
    }
}

#[test]
fn pynng_of_another_protocol_is_turned_away() {
    let place = Place::new(Scheme::Tcp);
    let pull: Pull = socket();
    pull.listen(place.url()).unwrap();
    assert_eq!(pynng(&["refused", place.url()]).succeed(), b"done\n");
    assert!(pull.stats().handshakes_failed > 0);
    assert!(pull.pipes().is_empty());
}

#[test]
fn a_listener_of_another_protocol_is_an_error() {
    let place = Place::new(Scheme::Tcp);
    let peer = pynng(&["keep_silent", "Pull0", place.url()]);
    peer.line("listening");
    let bus: Bus = socket();
    assert_eq!(
        bus.dial(place.url()).map(drop),
        Err(Error::WrongProtocol {
            expected: 0x70,
            actual: 0x51
        })
    );
    let push: Push = socket();
    push.dial(place.url()).unwrap();
    push.send(Message::from("the right one")).unwrap();
    peer.line("done");
}

#[test]
fn pynng_filters_by_its_own_topics() {
    let place = Place::new(Scheme::Ipc);
    let publisher: Pub = socket();
    publisher.listen(place.url()).unwrap();
    let all = pynng(&["subscribe", place.url(), "", "a1", "b1", "a2"]);
    let some = pynng(&["subscribe", place.url(), "a", "a1", "a2"]);
    publisher.wait_for_peers(2, DEADLINE).unwrap();
    for text in ["a1", "b1", "a2"] {
        publisher.send(text).unwrap();
    }
    all.line("done");
    some.line("done");
}

#[test]
fn several_pynng_respondents_are_all_heard() {
    let place = Place::new(Scheme::Tcp);
    let surveyor = Surveyor::with_options(&options().survey_time(DEADLINE)).unwrap();
    surveyor.listen(place.url()).unwrap();
    let _peers: Vec<_> = (0..3)
        .map(|_| pynng(&["echo", "Respondent0", "dial", place.url()]))
        .collect();
    surveyor.wait_for_peers(3, DEADLINE).unwrap();
    surveyor.send("who?").unwrap();
    for _ in 0..3 {
        assert_eq!(surveyor.recv().unwrap().body(), b"who?");
    }
}

#[test]
fn a_respondent_serves_pynng_among_others() {
    let place = Place::new(Scheme::Tcp);
    let respondent: Respondent = socket();
    respondent.listen(place.url()).unwrap();
    let peer = pynng(&["request", "Surveyor0", place.url(), "one", "two"]);
    for _ in 0..2 {
        let survey = respondent.recv().unwrap();
        respondent.send(survey).unwrap();
    }
    peer.line("done");
}
