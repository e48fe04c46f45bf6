//! A broker with clients that know nothing of wirebird: nngcat, and pynng, whose part is in tests/interop/broker.py.

mod peers;

use std::path::Path;

use peers::Program;
use peers::served::{Served, serve};
use serde_json::Value;

/// The answer that nngcat prints to a request.
#[track_caller]
fn nngcat(served: &Served, format: &str, request: &str) -> Vec<u8> {
    let url = &*served.url;
    let words = ["--pair1", "--dial", url, format, "--data", request];
    Program::nngcat()
        .start([&words[..], &["--recv-timeout", "1"]].concat())
        .succeed()
}

#[test]
fn nngcat_is_a_client() {
    let served = serve("");
    let ask = |request: &str| -> Value {
        serde_json::from_slice(&nngcat(&served, "--ascii", request)).unwrap()
    };
    let create = r#"{"type":"CREATE_QUEUE","destination":"jobs","data":{"capacity":10}}"#;
    assert_eq!(ask(create)["status"], "OK");
    let offer = r#"{"type":"OFFER","destination":"jobs","text":"hello"}"#;
    assert_eq!(ask(offer)["status"], "OK");
    let answer = ask(r#"{"type":"POLL","destination":"jobs"}"#);
    assert_eq!(answer["status"], "OK");
    assert_eq!(answer["text"], "hello");
}

#[test]
fn nngcat_is_told_what_is_wrong() {
    let served = serve("");
    let poll = r#"{"type":"POLL","destination":"jobs"}"#;
    let answer: Value = serde_json::from_slice(&nngcat(&served, "--ascii", poll)).unwrap();
    assert_eq!(answer["status"], "QUEUE_NOT_FOUND");
    let answer: Value = serde_json::from_slice(&nngcat(&served, "--raw", "{nonsense")).unwrap();
    assert_eq!(answer["status"], "BAD_REQUEST");
}

fn pynng(function: &str) -> Served {
    let served = serve("");
    let script = Program::python("broker.py");
    assert_eq!(script.start([function, &served.url]).succeed(), b"done\n");
    served
}

#[test]
fn pynng_makes_a_queue_offers_and_polls() {
    let served = pynng("queues");
    assert_eq!(served.gives("poll python"), "for the command line\n");
}

#[test]
fn pynng_subscribes_and_publishes() {
    pynng("topics");
}

#[test]
fn pynng_has_many_requests_under_way() {
    pynng("pipelining");
}

#[test]
fn the_example_in_python_works() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/broker/work.py");
    let example = example.to_str().unwrap();
    let served = serve("");
    let out = Program::python(example).start([&*served.url]).succeed();
    let lines = [1, 2, 3].map(|n| format!("the square of {n} is {}\n", n * n));
    assert_eq!(String::from_utf8(out).unwrap(), lines.concat() + "done\n");
}
