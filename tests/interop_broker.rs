//! A broker with clients that know nothing of wirebird: nngcat, and pynng, whose part is in tests/interop/broker.py. And
//! with peers that know nothing of brokers either.

mod peers;

use std::path::Path;

use peers::served::{Served, serve};
use peers::{Data, Program, Running};
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

/// A program of examples/broker in Python.
fn example(name: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/broker");
    Program::python(path.join(name).to_str().unwrap())
}

#[test]
fn pynng_clients_that_are_killed_leave_the_others_alone() {
    let served = serve("");
    served.gives("queue create own --capacity 1");
    let script = Program::python("broker.py");
    let clients: Vec<_> = (0..3)
        .map(|_| script.start(["endless", &*served.url]))
        .collect();
    for client in &clients {
        client.line("busy");
        served.gives("offer own x");
        assert_eq!(served.gives("poll own"), "x\n");
    }
    clients.into_iter().for_each(Running::kill);
    let end = std::time::Instant::now() + peers::DEADLINE;
    loop {
        let status: Value = serde_json::from_str(&served.gives("status --json")).unwrap();
        // The command that asks is one.
        if status["data"]["connection-count"] == 1 {
            assert_eq!(status["data"]["waiting-count"], 0);
            break;
        }
        assert!(std::time::Instant::now() < end, "{status}");
    }
    // What they have left is whole, and at most one from each.
    let mut left = 0;
    loop {
        let done = served.run("poll shared");
        if done.code != Some(0) {
            assert!(done.err.contains("QUEUE_EMPTY"), "{done:?}");
            break;
        }
        assert_eq!(done.out, b"x\n");
        left += 1;
    }
    assert!(left <= 3, "{left}");
}

#[test]
fn the_example_of_queues_works() {
    let served = serve("");
    let out = example("work.py").start([&*served.url]).succeed();
    let lines = [1, 2, 3].map(|n| format!("the square of {n} is {}\n", n * n));
    let rest = "0 jobs are left\ndone\n";
    assert_eq!(String::from_utf8(out).unwrap(), lines.concat() + rest);
}

#[test]
fn the_example_of_topics_works() {
    let served = serve("");
    let out = example("topics.py").start([&*served.url]).succeed();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "python/news, weather: it rains\npython/news, weather: it has stopped raining\ndone\n"
    );
}

// ---- endpoints ----

/// A broker with the queue `jobs`, the topic `news`, and an endpoint of each kind; the function is `f`.
struct Attached {
    served: Served,
    _config: Data,
}

fn attached() -> Attached {
    let mut config = "topics = ['news']\nqueues = { jobs = { capacity = 10 } }\n".to_owned();
    for (kind, destination) in [
        ("queue-in", "jobs"),
        ("queue-out", "jobs"),
        ("topic-in", "news"),
        ("topic-out", "news"),
        ("function", "f"),
        ("workers", "f"),
    ] {
        config += &format!(
            "[[endpoints]]\nkind = '{kind}'\ndestination = '{destination}'\ntext = true\n\
             listen = ['tcp://127.0.0.1:0']\n"
        );
    }
    let config = Data::new(config.as_bytes());
    let served = serve(&format!("--config {}", config.path().display()));
    Attached {
        served,
        _config: config,
    }
}

impl Attached {
    /// Where the endpoint listens; it says so after the broker's own addresses.
    fn url(&self, kind: &str) -> String {
        let out = self.served.broker.said();
        let line = out.lines().find(|line| line.contains(kind));
        let line = line.unwrap_or_else(|| panic!("no {kind} in {out}"));
        line.split(' ').nth(2).unwrap().to_owned()
    }

    fn nngcat(&self, kind: &str, options: &str) -> Running {
        let line = format!("{options} --dial {}", self.url(kind));
        Program::nngcat().start(line.split(' '))
    }

    /// Waits until endpoints of the kind have a peer.
    fn wait_for_peer(&self, kind: &str) {
        let end = std::time::Instant::now() + peers::DEADLINE;
        loop {
            let status: Value = serde_json::from_str(&self.served.gives("status --json")).unwrap();
            let endpoints = status["data"]["endpoints"].as_array().unwrap();
            let found = endpoints.iter().find(|one| one["kind"] == kind).unwrap();
            if found["peers"] == 1 {
                return;
            }
            assert!(std::time::Instant::now() < end, "{status}");
        }
    }
}

#[test]
fn nngcat_pushes_into_a_queue_and_pulls_from_it() {
    let broker = attached();
    broker.nngcat("queue-in", "--push0 --data one").succeed();
    assert_eq!(broker.served.gives("poll jobs --wait 5"), "one\n");
    broker.served.gives("offer jobs two");
    let pull = broker.nngcat("queue-out", "--pull0 --ascii");
    pull.prints(b"two");
    let status = broker.served.gives("status");
    assert!(status.contains("\nqueue-out  jobs         1 "), "{status}");
    broker.nngcat("queue-in", "--push0 --data three").succeed();
    pull.prints(b"twothree");
}

#[test]
fn nngcat_publishes_to_a_topic_and_subscribes_to_it() {
    let broker = attached();
    let sub = broker.nngcat("topic-out", "--sub0 --subscribe now --ascii");
    broker.wait_for_peer("topic-out");
    broker.served.gives("publish news then");
    broker.served.gives("publish news now:one");
    sub.prints(b"now:one");
    let publish = "--pub0 --data now:two --delay 1";
    broker.nngcat("topic-in", publish).succeed();
    sub.prints(b"now:onenow:two");
}

#[test]
fn nngcat_calls_a_function_and_serves_it() {
    let broker = attached();
    let ask = || {
        let line = "--req0 --data question --ascii --recv-timeout 5";
        String::from_utf8(broker.nngcat("function", line).succeed()).unwrap()
    };
    assert!(ask().contains("RETRY_LATER"));
    let worker = broker.nngcat("workers", "--rep0 --data answer --ascii");
    broker.wait_for_peer("workers");
    assert_eq!(ask(), "answer");
    worker.prints(b"question");
    assert_eq!(broker.served.gives("call f again"), "answer\n");
    worker.prints(b"questionagain");
}

#[test]
fn the_example_of_a_worker_works_and_another_takes_its_place() {
    let broker = attached();
    let program = example("worker.py");
    let worker = || program.start([broker.url("workers")]);
    let call = || broker.served.gives("call f --timeout 10 how_long");
    let answer = "{\"words\": 1, \"longest\": \"how_long\"}\n";
    let first = worker();
    broker.wait_for_peer("workers");
    assert_eq!(call(), answer);
    first.kill();
    let _second = worker();
    broker.wait_for_peer("workers");
    assert_eq!(call(), answer);
}

#[test]
fn the_example_of_calls_works() {
    let broker = attached();
    let _worker = example("worker.py").start([broker.url("workers")]);
    broker.wait_for_peer("workers");
    let calls = example("functions.py").start([&*broker.served.url, "f"]);
    assert_eq!(
        String::from_utf8(calls.succeed()).unwrap(),
        "5 words\n3 calls at once\nFUNCTION_NOT_FOUND\ndone\n"
    );
}
