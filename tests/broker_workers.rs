//! Endpoints of functions: called by req peers, served by rep workers. And how many calls a function may have.

mod common;

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, eventually};
use wirebird::broker::{Attached, Broker, BrokerOptions, Client, Endpoint, Error, Message, Status};
use wirebird::{Rep, Req, Request};

const ANYWHERE: &str = "tcp://127.0.0.1:0";

fn broker() -> (Broker, Client) {
    let broker = Broker::with_options(&BrokerOptions::new()).unwrap();
    let listener = broker.listen(ANYWHERE).unwrap();
    let client = Client::connect(&listener.url()).unwrap();
    (broker, client)
}

fn listening(broker: &Broker, endpoint: Endpoint) -> (Attached, String) {
    let attached = broker.endpoint(endpoint).unwrap();
    let url = attached.listen(ANYWHERE).unwrap();
    (attached, url)
}

fn peers(endpoint: &Attached, count: usize) {
    eventually("the endpoint has its peers", || {
        endpoint.status().peers == count
    });
}

fn text(text: &str) -> Message {
    Message::plain_text("7", "subject", text).unwrap()
}

fn read(message: &Message) -> String {
    String::from_utf8(message.payload_binary().to_vec()).unwrap()
}

/// A worker that answers with its name and what it was asked.
fn worker(name: &'static str, url: &str) -> Rep {
    let rep = Rep::new().unwrap();
    rep.dial(url).unwrap();
    let serving = rep.clone();
    thread::spawn(move || {
        while let Ok(request) = serving.accept().wait() {
            let answer = [name.as_bytes(), b" ", request.body()].concat();
            let _ = request.reply(answer).wait();
        }
    });
    rep
}

/// A call in the background.
fn call(client: &Client, function: &'static str, what: &str) -> Receiver<Result<Message, Error>> {
    let (client, message) = (client.clone(), text(what));
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(client.send(function, message)));
    result
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status, words: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.status(), Some(status));
    assert!(error.to_string().contains(words), "{error}");
}

// ---- workers ----

#[test]
fn every_client_can_call_what_a_worker_serves() {
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f").text(true));
    assert!(broker.has_function("f"));
    let _worker = worker("w", &url);
    peers(&endpoint, 1);
    let answer = client.send("f", text("hello")).unwrap();
    assert_eq!(answer.payload_text().as_deref(), Some("w hello"));
    assert_eq!(answer.mimetype(), "text/plain");
    assert_eq!(answer.request_id(), Some("7"));
    assert_eq!(answer.subject(), "subject");
    let status = endpoint.status();
    assert_eq!((status.sent, status.received, status.refused), (1, 1, 0));
}

#[test]
fn calls_are_shared_among_workers_and_many_are_under_way_at_once() {
    const CALLS: usize = 8;
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f"));
    let (came, requests): (Sender<(usize, Request)>, _) = mpsc::channel();
    for number in 0..2 {
        let (rep, came) = (Rep::new().unwrap(), came.clone());
        rep.dial(&url).unwrap();
        thread::spawn(move || {
            while let Ok(request) = rep.accept().wait() {
                if came.send((number, request)).is_err() {
                    return;
                }
            }
        });
    }
    peers(&endpoint, 2);
    let calls = [(); CALLS].map(|()| call(&client, "f", "x"));
    let all = [(); CALLS].map(|()| requests.recv_timeout(SOON).unwrap());
    let first = all.iter().filter(|(worker, _)| *worker == 0).count();
    assert_eq!(first, CALLS / 2);
    for (_, request) in all {
        request.reply("done").wait().unwrap();
    }
    for call in calls {
        assert_eq!(read(&call.recv_timeout(SOON).unwrap().unwrap()), "done");
    }
}

#[test]
fn the_request_of_a_worker_that_dies_goes_to_another() {
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f"));
    let dying = Rep::new().unwrap();
    dying.dial(&url).unwrap();
    peers(&endpoint, 1);
    let called = call(&client, "f", "precious");
    let request = dying.accept().timeout(SOON).wait().unwrap();
    assert_eq!(request.body(), b"precious");
    let _other = worker("heir", &url);
    dying.close().unwrap();
    let answer = called.recv_timeout(SOON).unwrap().unwrap();
    assert_eq!(read(&answer), "heir precious");
}

#[test]
fn without_workers_a_call_is_to_be_tried_later() {
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f"));
    let refused = client.send("f", text("x"));
    assert_status(refused, Status::RetryLater, "no worker for the function f");
    assert_eq!(endpoint.status().refused, 1);
    let rep = worker("w", &url);
    peers(&endpoint, 1);
    client.send("f", text("x")).unwrap();
    rep.close().unwrap();
    peers(&endpoint, 0);
    let refused = client.send("f", text("x"));
    assert_status(refused, Status::RetryLater, "no worker for the function f");
}

#[test]
fn a_call_that_no_worker_answers_ends_in_time() {
    const OWN: Duration = Duration::from_millis(100);
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f").deadline(OWN));
    let silent = Rep::new().unwrap();
    silent.dial(&url).unwrap();
    peers(&endpoint, 1);
    let began = Instant::now();
    let refused = client.send("f", text("x"));
    assert!(began.elapsed() >= OWN);
    assert_status(refused, Status::TimedOut, "has answered in 100ms");

    // A request may be in more of a hurry.
    let (endpoint, url) = listening(&broker, Endpoint::workers("g"));
    silent.dial(&url).unwrap();
    peers(&endpoint, 1);
    let hasty = text("x").with_timeout(20).unwrap();
    assert_status(client.send("g", hasty), Status::TimedOut, "in 20ms");
}

#[test]
fn workers_have_no_more_calls_at_once_than_they_may() {
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f").calls(2));
    let rep = Rep::new().unwrap();
    rep.dial(&url).unwrap();
    peers(&endpoint, 1);
    let calls = [(); 2].map(|()| call(&client, "f", "x"));
    let requests = [(); 2].map(|()| rep.accept().timeout(SOON).wait().unwrap());
    let refused = client.send("f", text("x"));
    assert_status(refused, Status::RetryLater, "2 calls of the function f");
    for request in requests {
        request.reply("y").wait().unwrap();
    }
    for call in calls {
        call.recv_timeout(SOON).unwrap().unwrap();
    }
    let _again = call(&client, "f", "x");
    rep.accept().timeout(SOON).wait().unwrap();
}

#[test]
fn calls_under_way_are_answered_when_their_endpoint_closes() {
    let (broker, client) = broker();
    let (endpoint, url) = listening(&broker, Endpoint::workers("f"));
    let rep = Rep::new().unwrap();
    rep.dial(&url).unwrap();
    peers(&endpoint, 1);
    let called = call(&client, "f", "x");
    let _request = rep.accept().timeout(SOON).wait().unwrap();
    endpoint.close();
    let refused = called.recv_timeout(SOON).unwrap();
    assert_status(refused, Status::RetryLater, "workers are gone");
    assert!(!broker.has_function("f"));
    let refused = client.send("f", text("x"));
    assert_status(refused, Status::FunctionNotFound, "no function f");
}

#[test]
fn a_function_has_one_owner() {
    let (broker, client) = broker();
    broker.create_function("own", |_| Ok(None)).unwrap();
    let refused = broker.endpoint(Endpoint::workers("own"));
    assert_status(refused, Status::Conflict, "own already");
    client.send("own", text("x")).unwrap();
    let workers = broker.endpoint(Endpoint::workers("f")).unwrap();
    assert!(!broker.create_function("f", |_| Ok(None)).unwrap());
    // What took the place of the workers' function does not go with them.
    broker.remove_function("f");
    let others = broker.endpoint(Endpoint::workers("f")).unwrap();
    workers.close();
    assert!(broker.has_function("f"));
    others.close();
    assert!(!broker.has_function("f"));
}

// ---- callers ----

#[test]
fn req_peers_call_functions() {
    let (broker, _client) = broker();
    let upper = |request: &Message| {
        let text = request.payload_text().unwrap_or_default().to_uppercase();
        Ok(Some(Message::plain_text(None, "", text)?))
    };
    broker.create_function("upper", upper).unwrap();
    let endpoint = Endpoint::function("upper").text(true);
    let (endpoint, url) = listening(&broker, endpoint);
    let req = Req::new().unwrap();
    req.dial(&url).unwrap();
    for _ in 0..3 {
        assert_eq!(req.request("hello").wait().unwrap().body(), b"HELLO");
    }
    eventually("all is counted", || endpoint.status().sent == 3);
}

#[test]
fn req_peers_are_told_in_json_what_went_wrong() {
    let (broker, _client) = broker();
    let (_endpoint, url) = listening(&broker, Endpoint::function("nothing"));
    let req = Req::new().unwrap();
    req.dial(&url).unwrap();
    let reply = req.request("hello").timeout(SOON).wait().unwrap();
    let error: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
    let expected = serde_json::json!({
        "code": 18, "message": "FUNCTION_NOT_FOUND", "details": "there is no function nothing",
    });
    assert_eq!(error, expected);
}

#[test]
fn a_call_that_takes_long_does_not_hold_up_the_others_up_to_the_limit() {
    let (broker, _client) = broker();
    let (started, running) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let (started, gate) = (Mutex::new(started), Arc::new(Mutex::new(gate)));
    let handler = move |request: &Message| {
        if request.payload_binary().is_empty() {
            let _ = started.lock().unwrap().send(());
            let _ = gate.lock().unwrap().recv();
        }
        Ok(None)
    };
    broker.create_function("f", handler).unwrap();
    let (endpoint, url) = listening(&broker, Endpoint::function("f").calls(2));
    let req = Req::new().unwrap();
    req.dial(&url).unwrap();
    let asked = req.context().unwrap();
    asked.send("").unwrap();
    running.recv_timeout(SOON).unwrap();
    for _ in 0..5 {
        req.request("quick").timeout(SOON).wait().unwrap();
    }
    let second = req.context().unwrap();
    second.send("").unwrap();
    // Both may be under way; a third waits with its peer.
    eventually("both are taken", || endpoint.status().received == 7);
    let third = req.request("quick").timeout(Duration::from_millis(50));
    assert_eq!(third.wait().unwrap_err(), wirebird::Error::TimedOut);
    assert_eq!(endpoint.status().received, 7);
    drop(release);
    asked.recv_timeout(SOON).unwrap();
    second.recv_timeout(SOON).unwrap();
    req.request("quick").timeout(SOON).wait().unwrap();
}

#[test]
fn req_peers_reach_rep_workers_through_the_broker() {
    let (broker, _client) = broker();
    let (workers, url) = listening(&broker, Endpoint::workers("f"));
    let _worker = worker("w", &url);
    let (_callers, url) = listening(&broker, Endpoint::function("f"));
    peers(&workers, 1);
    let req = Req::new().unwrap();
    req.dial(&url).unwrap();
    let contexts = [(); 20].map(|()| req.context().unwrap());
    for (number, context) in contexts.iter().enumerate() {
        context.send(number.to_string()).unwrap();
    }
    for (number, context) in contexts.iter().enumerate() {
        let reply = context.recv_timeout(SOON).unwrap();
        assert_eq!(reply.body(), format!("w {number}").as_bytes());
    }
}

// ---- functions of the program ----

#[test]
fn a_function_has_no_more_calls_at_once_than_it_may() {
    let (broker, client) = broker();
    let (started, running) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let handler = move |_: &Message| {
        let _ = started.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
        Ok(None)
    };
    assert!(
        broker
            .create_limited_function("f", 0, |_| Ok(None))
            .is_err()
    );
    broker.create_limited_function("f", 1, handler).unwrap();
    let called = call(&client, "f", "x");
    running.recv_timeout(SOON).unwrap();
    let refused = client.send("f", text("x"));
    assert_status(refused, Status::RetryLater, "1 calls of the function f");
    drop(release);
    called.recv_timeout(SOON).unwrap().unwrap();
    client.send("f", text("x")).unwrap();
}
