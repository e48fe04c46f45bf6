//! Python's `websockets` as the peer: a strict implementation of RFC 6455 that has nothing to do with scalability
//! protocols. Its part is in tests/interop/stranger.py.

mod peers;

use std::thread;

use peers::{DEADLINE, Place, Program, Running, Scheme, assert_same, body, options};
use wirebird::{Error, Event, Pair0, Push, Rep};

fn stranger(function: &str, url: &str) -> Running {
    Program::python("stranger.py").start([function, url])
}

/// A rep socket that sends everything back, and its URL.
fn echo(max: usize) -> (Rep, String, Place) {
    let place = Place::new(Scheme::Ws);
    let rep = Rep::with_options(&options().recv_max_size(max)).unwrap();
    let listener = rep.listen(&format!("{}/echo", place.url())).unwrap();
    let answering = rep.clone();
    thread::spawn(move || {
        while let Ok(request) = answering.recv() {
            let _ = answering.send(request);
        }
    });
    (rep, listener.url(), place)
}

#[test]
fn requests_of_any_size_and_shape_are_answered() {
    let (rep, url, _place) = echo(0);
    let events = rep.monitor();
    stranger("asks", &url).line("done");
    peers::wait_for_event(
        &events,
        |event| matches!(event, Event::Removed { reason, .. } if *reason == Error::ConnectionShut),
    );
}

#[test]
fn what_is_not_allowed_is_closed_with_the_right_code() {
    let (rep, url, _place) = echo(1000);
    stranger("breaks_rules", &url).line("done");
    assert_eq!(rep.stats().malformed, 2);
}

#[test]
fn what_is_not_offered_is_refused_with_the_right_status() {
    let (rep, url, _place) = echo(0);
    stranger("is_refused", &url).line("done");
    assert_eq!(rep.stats().added, 0);
}

#[test]
fn a_socket_that_closes_does_so_in_an_orderly_way() {
    let place = Place::new(Scheme::Ws);
    let push = Push::with_options(&options().linger(DEADLINE)).unwrap();
    push.listen(place.url()).unwrap();
    let peer = stranger("waits", place.url());
    peer.line("ready");
    push.send("last").unwrap();
    push.close().unwrap();
    peer.line("done");
}

#[test]
fn a_server_of_another_kind_can_be_dialed() {
    let peer = stranger("serves", "-");
    let url = format!("ws://127.0.0.1:{}", peer.line("port "));
    let pair = Pair0::with_options(&options()).unwrap();
    assert_eq!(
        pair.dial(&format!("{url}/forbidden")).err(),
        Some(Error::PermissionDenied)
    );
    let events = pair.monitor();
    pair.dial(&format!("{url}/any?thing")).unwrap();
    for size in [1, 2, 65_537, 2_000_000] {
        pair.send(body(size, size)).unwrap();
        assert_same(pair.recv().unwrap().body(), &body(size, size), "echo");
    }
    pair.send("leave").unwrap();
    peers::wait_for_event(
        &events,
        |event| matches!(event, Event::Removed { reason, .. } if *reason == Error::ConnectionShut),
    );
}
