//! Devices: forwarding between raw sockets, reflecting, and what ends them.

mod common;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{SOON, Via, eventually};
use wirebird::{
    Bus, Error, Message, Pair0, Pair1, Pub, Pull, Push, RawKind, RawSocket, Rep, Req, Respondent,
    Result, SocketOptions, Sub, Surveyor, forward, reflect,
};

const SHORT: Duration = Duration::from_millis(60);

fn patient() -> SocketOptions {
    SocketOptions::new().send_timeout(SOON).recv_timeout(SOON)
}

fn raw(kind: RawKind) -> RawSocket {
    RawSocket::new(kind).unwrap()
}

/// A device that runs.
struct Device {
    front: RawSocket,
    back: RawSocket,
    running: JoinHandle<Result<()>>,
    front_url: String,
    back_url: String,
}

impl Device {
    fn start(front: RawKind, back: RawKind) -> Self {
        let (front, back) = (raw(front), raw(back));
        let place = || Via::Tcp.place().url;
        let front_url = front.listen(&place()).unwrap().url();
        let back_url = back.listen(&place()).unwrap().url();
        let running = thread::spawn({
            let (front, back) = (front.clone(), back.clone());
            move || forward(&front, &back)
        });
        Self {
            front,
            back,
            running,
            front_url,
            back_url,
        }
    }

    fn stop(self) {
        self.front.close().unwrap();
        assert_eq!(self.running.join().unwrap(), Err(Error::Closed));
        let again = Pair0::new().unwrap().dial(&self.back_url).err();
        assert_eq!(again, Some(Error::ConnectionRefused), "both are closed");
    }
}

// ---- what can be forwarded ----

#[test]
fn sockets_that_do_not_match_are_refused_and_stay_usable() {
    let kinds = [
        (RawKind::Pair0, RawKind::Pair1),
        (RawKind::Req, RawKind::Req),
        (RawKind::Pub, RawKind::Pull),
        (RawKind::Surveyor, RawKind::Rep),
    ];
    for (one, other) in kinds {
        let refused = forward(&raw(one), &raw(other));
        assert!(matches!(refused, Err(Error::InvalidArgument(_))));
    }
    let (one, other) = (raw(RawKind::Pair0), raw(RawKind::Pair1));
    assert!(forward(&one, &other).is_err());
    let same = forward(&one, &one.clone());
    assert!(matches!(same, Err(Error::InvalidArgument(_))));
    let peer = Pair0::with_options(&patient()).unwrap();
    Via::Inproc.join(&one, &peer);
    one.send("usable").unwrap();
    assert_eq!(peer.recv().unwrap().body(), b"usable");
}

#[test]
fn only_protocols_that_are_their_own_peers_are_reflected() {
    for kind in [
        RawKind::Req,
        RawKind::Rep,
        RawKind::Pub,
        RawKind::Sub,
        RawKind::Push,
        RawKind::Pull,
        RawKind::Surveyor,
        RawKind::Respondent,
    ] {
        let refused = reflect(&raw(kind));
        assert!(
            matches!(refused, Err(Error::InvalidArgument(_))),
            "{kind:?}"
        );
    }
}

#[test]
fn requests_pass_and_replies_find_their_way_back() {
    let device = Device::start(RawKind::Rep, RawKind::Req);
    let rep = Rep::with_options(&patient()).unwrap();
    rep.dial(&device.back_url).unwrap();
    let requesters = [(); 3].map(|()| Req::with_options(&patient()).unwrap());
    for requester in &requesters {
        requester.dial(&device.front_url).unwrap();
    }
    for (number, requester) in requesters.iter().enumerate() {
        requester.send([number as u8]).unwrap();
    }
    for _ in &requesters {
        let request = rep.recv().unwrap();
        rep.send(request).unwrap();
    }
    for (number, requester) in requesters.iter().enumerate() {
        assert_eq!(requester.recv().unwrap().body(), [number as u8]);
    }
    device.stop();
}

#[test]
fn surveys_pass_and_answers_find_their_way_back() {
    let device = Device::start(RawKind::Respondent, RawKind::Surveyor);
    let surveyor = Surveyor::with_options(&patient().survey_time(SOON)).unwrap();
    surveyor.dial(&device.front_url).unwrap();
    let respondents = [(); 2].map(|()| Respondent::with_options(&patient()).unwrap());
    for respondent in &respondents {
        respondent.dial(&device.back_url).unwrap();
    }
    device.back.wait_for_peers(2, SOON).unwrap();
    surveyor.send("everybody").unwrap();
    for respondent in &respondents {
        let survey = respondent.recv().unwrap();
        respondent.send(survey).unwrap();
    }
    for _ in &respondents {
        assert_eq!(surveyor.recv().unwrap().body(), b"everybody");
    }
    device.stop();
}

#[test]
fn publications_pass_one_way() {
    let device = Device::start(RawKind::Sub, RawKind::Pub);
    let publisher = Pub::new().unwrap();
    publisher.dial(&device.front_url).unwrap();
    let sub = Sub::with_options(&patient()).unwrap();
    sub.subscribe("wanted").unwrap();
    sub.dial(&device.back_url).unwrap();
    device.back.wait_for_peers(1, SOON).unwrap();
    // By default a raw sub holds one message and drops the next.
    let deep = SocketOptions::new().recv_buffer(16);
    device.front.set_options(&deep).unwrap();
    publisher.send("unwanted").unwrap();
    publisher.send("wanted").unwrap();
    assert_eq!(sub.recv().unwrap().body(), b"wanted");
    device.stop();
}

#[test]
fn work_passes_one_way_and_in_order_whichever_socket_is_named_first() {
    for kinds in [
        (RawKind::Pull, RawKind::Push),
        (RawKind::Push, RawKind::Pull),
    ] {
        let device = Device::start(kinds.0, kinds.1);
        let (into, out) = match kinds.0 {
            RawKind::Pull => (&device.front_url, &device.back_url),
            _ => (&device.back_url, &device.front_url),
        };
        let push = Push::with_options(&patient()).unwrap();
        let pull = Pull::with_options(&patient()).unwrap();
        push.dial(into).unwrap();
        pull.dial(out).unwrap();
        let pushing = thread::spawn(move || {
            for number in 0..2000_u64 {
                push.send(number.to_be_bytes()).unwrap();
            }
        });
        for number in 0..2000_u64 {
            assert_eq!(pull.recv().unwrap().body(), number.to_be_bytes());
        }
        pushing.join().unwrap();
        device.stop();
    }
}

#[test]
fn pairs_pass_both_ways_at_once() {
    for kind in [RawKind::Pair0, RawKind::Pair1] {
        let device = Device::start(kind, kind);
        let ends: [Box<dyn common::Node>; 2] = if kind == RawKind::Pair0 {
            [(); 2].map(|()| Box::new(Pair0::with_options(&patient()).unwrap()) as _)
        } else {
            [(); 2].map(|()| Box::new(Pair1::with_options(&patient()).unwrap()) as _)
        };
        ends[0].dial(&device.front_url).unwrap();
        ends[1].dial(&device.back_url).unwrap();
        thread::scope(|scope| {
            for end in &ends {
                scope.spawn(|| {
                    for number in 0..500_u64 {
                        end.send(Message::from(number.to_be_bytes())).unwrap();
                    }
                });
                scope.spawn(|| {
                    for number in 0..500_u64 {
                        assert_eq!(end.recv().unwrap().body(), number.to_be_bytes());
                    }
                });
            }
        });
        device.stop();
    }
}

// ---- hops ----

/// Devices in a row: every front but the first dials the back before it. Returns where the row begins and ends.
fn chain(front: RawKind, back: RawKind, length: usize) -> (Vec<Device>, String, String) {
    let devices: Vec<Device> = (0..length).map(|_| Device::start(front, back)).collect();
    for neighbours in devices.windows(2) {
        let (left, right) = (&neighbours[0], &neighbours[1]);
        right.front.dial(&left.back_url).unwrap();
    }
    let begin = devices[0].front_url.clone();
    let end = devices[length - 1].back_url.clone();
    (devices, begin, end)
}

#[test]
fn a_request_passes_as_many_devices_as_its_time_to_live_allows() {
    for length in [1, 3, 7] {
        let (devices, begin, end) = chain(RawKind::Rep, RawKind::Req, length);
        let req = Req::with_options(&patient()).unwrap();
        req.dial(&begin).unwrap();
        let enough = patient().ttl(length as u8 + 1);
        let rep = Rep::with_options(&enough).unwrap();
        rep.dial(&end).unwrap();
        req.send("far").unwrap();
        let request = rep.recv().unwrap();
        rep.send(request).unwrap();
        assert_eq!(req.recv().unwrap().body(), b"far");

        rep.set_options(&patient().ttl(length as u8)).unwrap();
        req.send("too far").unwrap();
        eventually("it was dropped", || rep.stats().dropped.ttl == 1);
        assert_eq!(rep.try_recv(), Err(Error::WouldBlock));
        assert_eq!(req.recv_timeout(SHORT), Err(Error::TimedOut));
        assert_eq!(rep.stats().pipes, 1, "the connection stays");
        rep.set_options(&enough).unwrap();
        req.send("far again").unwrap();
        let request = rep.recv().unwrap();
        rep.send(request).unwrap();
        assert_eq!(req.recv().unwrap().body(), b"far again");
        devices.into_iter().for_each(Device::stop);
    }
}

#[test]
fn a_request_is_dropped_by_the_device_that_is_one_too_many() {
    let (devices, begin, end) = chain(RawKind::Rep, RawKind::Req, 9);
    let req = Req::with_options(&patient()).unwrap();
    req.dial(&begin).unwrap();
    let rep = Rep::with_options(&patient().ttl(15)).unwrap();
    rep.dial(&end).unwrap();
    req.send("too far").unwrap();
    // The default of 8 is for the words that the request has when it comes in: one more than devices passed.
    eventually("it was dropped", || {
        devices[8].front.stats().dropped.ttl == 1
    });
    assert_eq!(rep.try_recv(), Err(Error::WouldBlock));
    devices.into_iter().for_each(Device::stop);
}

#[test]
fn a_request_in_a_loop_of_devices_goes_round_until_its_time_to_live_ends() {
    let devices = [(); 2].map(|()| Device::start(RawKind::Rep, RawKind::Req));
    for (from, into) in [(0, 1), (1, 0)] {
        devices[from].back.dial(&devices[into].front_url).unwrap();
    }
    let req = Req::with_options(&patient()).unwrap();
    req.dial(&devices[0].front_url).unwrap();
    req.send("round and round").unwrap();
    let dropped = |device: &Device| device.front.stats().dropped.ttl;
    eventually("it was dropped", || {
        devices.iter().map(dropped).sum::<u64>() == 1
    });
    let passed = |device: &Device| device.back.stats().traffic.tx_msgs;
    // The ninth device would add the ninth word to a request that may have eight.
    assert_eq!(devices.iter().map(passed).sum::<u64>(), 8);
    assert_eq!(req.try_recv(), Err(Error::WouldBlock));
    devices.into_iter().for_each(Device::stop);
}

#[test]
fn a_survey_passes_a_chain_and_answers_come_back() {
    let (devices, begin, end) = chain(RawKind::Respondent, RawKind::Surveyor, 5);
    let surveyor = Surveyor::with_options(&patient().survey_time(SOON)).unwrap();
    surveyor.dial(&begin).unwrap();
    let respondent = Respondent::with_options(&patient()).unwrap();
    respondent.dial(&end).unwrap();
    for device in &devices {
        device.back.wait_for_peers(1, SOON).unwrap();
    }
    surveyor.send("far").unwrap();
    let survey = respondent.recv().unwrap();
    respondent.send(survey).unwrap();
    assert_eq!(surveyor.recv().unwrap().body(), b"far");
    devices.into_iter().for_each(Device::stop);
}

#[test]
fn a_pair_message_counts_the_devices_it_passes() {
    for length in [1, 3, 6] {
        let (devices, begin, end) = chain(RawKind::Pair1, RawKind::Pair1, length);
        let one = Pair1::with_options(&patient()).unwrap();
        one.dial(&begin).unwrap();
        let other = Pair1::with_options(&patient()).unwrap();
        other.dial(&end).unwrap();
        one.send("counted").unwrap();
        let message = other.recv().unwrap();
        assert_eq!(message.body(), b"counted");
        let hops = length as u32 + 1;
        assert_eq!(message.header(), hops.to_be_bytes());
        other.set_options(&patient().ttl(hops as u8 - 1)).unwrap();
        one.send("too far").unwrap();
        eventually("it was dropped", || other.stats().dropped.ttl == 1);
        other.send("back").unwrap();
        assert_eq!(one.recv().unwrap().body(), b"back");
        devices.into_iter().for_each(Device::stop);
    }
}

// ---- reflectors ----

#[test]
fn a_reflected_bus_passes_on_to_all_but_the_sender() {
    let hub = raw(RawKind::Bus);
    let listener = hub.listen(&Via::Tcp.place().url).unwrap();
    let leaves = [(); 3].map(|()| Bus::with_options(&patient()).unwrap());
    for leaf in &leaves {
        leaf.dial(&listener.url()).unwrap();
    }
    hub.wait_for_peers(3, SOON).unwrap();
    let running = thread::spawn({
        let hub = hub.clone();
        move || reflect(&hub)
    });
    for (number, sender) in leaves.iter().enumerate() {
        sender.send([number as u8]).unwrap();
        for (other, leaf) in leaves.iter().enumerate() {
            if other != number {
                assert_eq!(leaf.recv().unwrap().body(), [number as u8]);
            }
        }
    }
    for leaf in &leaves {
        assert_eq!(leaf.recv_timeout(SHORT), Err(Error::TimedOut));
    }
    hub.close().unwrap();
    assert_eq!(running.join().unwrap(), Err(Error::Closed));
}

#[test]
fn a_reflected_pair_gets_its_messages_back() {
    for kind in [RawKind::Pair0, RawKind::Pair1] {
        let mirror = raw(kind);
        let running = thread::spawn({
            let mirror = mirror.clone();
            move || reflect(&mirror)
        });
        let peer: Box<dyn common::Node> = match kind {
            RawKind::Pair0 => Box::new(Pair0::with_options(&patient()).unwrap()),
            _ => Box::new(Pair1::with_options(&patient()).unwrap()),
        };
        Via::Ipc.join(&mirror, &*peer);
        for number in 0..100_u64 {
            peer.send(Message::from(number.to_be_bytes())).unwrap();
            assert_eq!(peer.recv().unwrap().body(), number.to_be_bytes());
        }
        mirror.close().unwrap();
        assert_eq!(running.join().unwrap(), Err(Error::Closed));
    }
}

// ---- the end ----

#[test]
fn closing_either_socket_ends_a_device_and_the_other_socket() {
    for kinds in [
        (RawKind::Rep, RawKind::Req),
        (RawKind::Sub, RawKind::Pub),
        (RawKind::Push, RawKind::Pull),
        (RawKind::Bus, RawKind::Bus),
    ] {
        for close_first in [true, false] {
            let (one, other) = (raw(kinds.0), raw(kinds.1));
            let running = thread::spawn({
                let (one, other) = (one.clone(), other.clone());
                move || forward(&one, &other)
            });
            let closed = if close_first { &one } else { &other };
            closed.close().unwrap();
            assert_eq!(running.join().unwrap(), Err(Error::Closed));
            assert_eq!(one.try_recv().err(), Some(Error::Closed));
            assert_eq!(other.try_recv().err(), Some(Error::Closed));
        }
    }
}
