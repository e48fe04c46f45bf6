//! Many peers at once: who gets which message.

mod common;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use common::{SOON, Via, await_removed, eventually, pattern};
use wirebird::{
    Bus, Error, Pair1, PairPoly, Pattern, Pub, Pull, Push, Rep, Req, Respondent, Socket,
    SocketOptions, Sub, Surveyor,
};

const SHORT: Duration = Duration::from_millis(60);

fn patient() -> SocketOptions {
    SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .survey_time(SOON)
}

/// A socket, with those of the patient options that it has.
fn socket<P: Pattern>() -> Socket<P> {
    let plain = SocketOptions::new().send_timeout(SOON).recv_timeout(SOON);
    Socket::with_options(&patient())
        .or_else(|_| Socket::with_options(&plain))
        .expect("a socket")
}

// ---- one of many ----

#[test]
fn every_puller_gets_its_share_of_the_work() {
    let push: Push = socket();
    let pulls: [Pull; 5] = [(); 5].map(|()| socket());
    for pull in &pulls {
        Via::Tcp.join(pull, &push);
    }
    for number in 0..100_u8 {
        push.send([number]).unwrap();
    }
    for (turn, pull) in (0_u8..).zip(&pulls) {
        for round in 0..20 {
            assert_eq!(pull.recv().unwrap().body(), [5 * round + turn]);
        }
        assert_eq!(pull.try_recv(), Err(Error::WouldBlock));
    }
}

#[test]
fn work_of_many_pushers_reaches_one_puller() {
    let pull: Pull = socket();
    let pushes: Vec<Push> = (0..20).map(|_| socket()).collect();
    for push in &pushes {
        Via::Inproc.join(&pull, push);
    }
    for (number, push) in (0_u8..).zip(&pushes) {
        for _ in 0..10 {
            push.send([number]).unwrap();
        }
    }
    let mut counts = HashMap::new();
    for _ in 0..200 {
        *counts.entry(pull.recv().unwrap().body()[0]).or_insert(0) += 1;
    }
    assert!(counts.len() == 20 && counts.values().all(|&count| count == 10));
}

#[test]
fn a_pusher_goes_on_with_the_puller_that_comes_after_one_that_left() {
    let push: Push = socket();
    let listener = push.listen(&Via::Tcp.place().url).unwrap();
    let events = push.monitor();
    for body in ["first", "second"] {
        let pull: Pull = socket();
        pull.dial(&listener.url()).unwrap();
        push.send(body).unwrap();
        assert_eq!(pull.recv().unwrap().body(), body.as_bytes());
        drop(pull);
        assert_eq!(await_removed(&events), Error::ConnectionShut);
        let refused = push.try_send("nobody").unwrap_err();
        assert_eq!(refused.error, Error::WouldBlock);
    }
}

#[test]
fn requests_go_to_the_repliers_in_turn() {
    let req: Req = socket();
    let reps: [Rep; 3] = [(); 3].map(|()| socket());
    for rep in &reps {
        Via::Tcp.join(rep, &req);
    }
    for round in 0..4_u8 {
        for (number, rep) in (0_u8..).zip(&reps) {
            req.send([round]).unwrap();
            let request = rep.recv().unwrap();
            assert_eq!(request.body(), [round]);
            rep.send([number]).unwrap();
            assert_eq!(req.recv().unwrap().body(), [number]);
        }
    }
}

#[test]
fn long_replies_do_not_disturb_the_short_ones_after_them() {
    for via in [Via::Inproc, Via::Tcp, Via::Descriptor] {
        let (req, rep): (Req, Rep) = (socket(), socket());
        via.join(&rep, &req);
        let replying = thread::spawn(move || {
            for size in [10 << 20, 3, 10 << 20, 0, 3] {
                rep.recv().unwrap();
                rep.send(pattern(size, 1)).unwrap();
            }
            // Until the other side has read everything.
            rep.close()
        });
        for size in [10 << 20, 3, 10 << 20, 0, 3] {
            req.send("how long?").unwrap();
            assert!(req.recv().unwrap().body() == pattern(size, 1), "{size}");
        }
        drop(req);
        replying.join().unwrap().expect("nothing is left");
    }
}

#[test]
fn a_hundred_replies_to_a_peer_that_left_are_accepted() {
    let (req, rep): (Req, Rep) = (socket(), socket());
    let events = rep.monitor();
    Via::Tcp.join(&rep, &req);
    let asking: Vec<_> = (0..100).map(|_| req.context().unwrap()).collect();
    let answering: Vec<_> = (0..100).map(|_| rep.context().unwrap()).collect();
    for (asking, answering) in asking.iter().zip(&answering) {
        asking.send("soon gone").unwrap();
        assert_eq!(answering.recv().unwrap().body(), b"soon gone");
    }
    drop((req, asking));
    await_removed(&events);
    for answering in answering {
        assert!(answering.send("too late").is_ok());
        let state = answering.send("again").unwrap_err().error;
        assert!(matches!(state, Error::InvalidState(_)), "{state:?}");
    }
}

// ---- all of them ----

#[test]
fn a_publication_reaches_every_subscriber_of_its_topic() {
    let publisher: Pub = socket();
    let subs: Vec<Sub> = (0..30).map(|_| socket()).collect();
    for (number, sub) in subs.iter().enumerate() {
        sub.subscribe(["even", "odd"][number % 2]).unwrap();
        sub.subscribe("both").unwrap();
        Via::Ipc.join(&publisher, sub);
    }
    for body in ["even 1", "odd 1", "both 1", "neither", "both 2"] {
        publisher.send(body).unwrap();
    }
    for (number, sub) in subs.iter().enumerate() {
        let own = ["even 1", "odd 1"][number % 2];
        for expected in [own, "both 1", "both 2"] {
            assert_eq!(sub.recv().unwrap().body(), expected.as_bytes());
        }
        assert_eq!(sub.try_recv(), Err(Error::WouldBlock));
    }
}

#[test]
fn a_subscriber_hears_all_its_publishers() {
    let sub: Sub = socket();
    sub.subscribe("").unwrap();
    let publishers: Vec<Pub> = (0..10).map(|_| socket()).collect();
    for publisher in &publishers {
        Via::Tcp.join(&sub, publisher);
    }
    for (number, publisher) in (0_u8..).zip(&publishers) {
        publisher.send([number]).unwrap();
    }
    let mut heard: Vec<u8> = publishers
        .iter()
        .map(|_| sub.recv().unwrap().body()[0])
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..10).collect::<Vec<u8>>());
}

#[test]
fn every_respondent_answers_every_survey_once() {
    const RESPONDENTS: u8 = 40;
    const SURVEYS: u8 = 20;
    let surveyor: Surveyor = socket();
    let listener = surveyor.listen(&Via::Tcp.place().url).unwrap();
    let answering: Vec<_> = (0..RESPONDENTS)
        .map(|number| {
            let respondent: Respondent = socket();
            respondent.dial(&listener.url()).unwrap();
            thread::spawn(move || {
                for survey in 0..SURVEYS {
                    assert_eq!(respondent.recv().unwrap().body(), [survey]);
                    respondent.send([survey, number]).unwrap();
                }
            })
        })
        .collect();
    surveyor
        .wait_for_peers(RESPONDENTS.into(), SOON)
        .expect("all are there");
    for survey in 0..SURVEYS {
        surveyor.send([survey]).unwrap();
        let mut answers: Vec<_> = (0..RESPONDENTS)
            .map(|_| surveyor.recv().unwrap().body().to_vec())
            .collect();
        answers.sort_unstable();
        let expected: Vec<_> = (0..RESPONDENTS).map(|n| vec![survey, n]).collect();
        assert_eq!(answers, expected);
    }
    for answering in answering {
        answering.join().unwrap();
    }
}

#[test]
fn nodes_of_a_mesh_hear_every_other_one_and_not_themselves() {
    let nodes: [Bus; 3] = [(); 3].map(|()| socket());
    for (via, one, other) in [(Via::Inproc, 0, 1), (Via::Ipc, 0, 2), (Via::Tcp, 1, 2)] {
        via.join(&nodes[one], &nodes[other]);
    }
    for (number, node) in (0_u8..).zip(&nodes) {
        node.send([number]).unwrap();
    }
    for (number, node) in (0_u8..).zip(&nodes) {
        let mut heard = [(); 2].map(|()| node.recv().unwrap().body()[0]);
        heard.sort_unstable();
        let others: Vec<_> = (0..3).filter(|&other| other != number).collect();
        assert_eq!(heard, others[..]);
        assert_eq!(node.recv_timeout(SHORT), Err(Error::TimedOut));
    }
}

#[test]
fn a_leaf_of_a_star_is_heard_at_its_hub_only() {
    let hub: Bus = socket();
    let leaves: [Bus; 2] = [(); 2].map(|()| socket());
    for leaf in &leaves {
        Via::Tcp.join(&hub, leaf);
    }
    leaves[0].send("up").unwrap();
    assert_eq!(hub.recv().unwrap().body(), b"up");
    assert_eq!(leaves[1].recv_timeout(SHORT), Err(Error::TimedOut));
    hub.send("down").unwrap();
    for leaf in &leaves {
        assert_eq!(leaf.recv().unwrap().body(), b"down");
    }
}

// ---- the one that is meant ----

#[test]
fn a_polyamorous_pair_answers_the_peer_that_asked_and_no_other() {
    let hub: PairPoly = socket();
    let peers: [Pair1; 3] = [(); 3].map(|()| socket());
    for peer in &peers {
        Via::Tcp.join(&hub, peer);
    }
    for (number, peer) in (0_u8..).zip(&peers) {
        peer.send([number]).unwrap();
    }
    for _ in &peers {
        let question = hub.recv().unwrap();
        hub.send(question).unwrap();
    }
    for (number, peer) in (0_u8..).zip(&peers) {
        assert_eq!(peer.recv().unwrap().body(), [number]);
    }
    peers[0].send("and then I leave").unwrap();
    let question = hub.recv().unwrap();
    peers[0].close().unwrap();
    eventually("it is gone", || hub.stats().pipes == 2);
    hub.send(question).expect("accepted and dropped");
    assert_eq!(hub.stats().dropped.no_pipe, 1);
    for peer in &peers[1..] {
        assert_eq!(peer.recv_timeout(SHORT), Err(Error::TimedOut));
    }
}
