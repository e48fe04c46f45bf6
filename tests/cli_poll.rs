//! `wirebird poll` of more than one message: asked for together, printed and kept as if one by one.

mod common;
mod peers;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::eventually;
use common::scripted::{Scripted, read, text};
use peers::served::assert_fails;
use peers::{DEADLINE, Program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wirebird::broker::{
    Broker, BrokerOptions, Client, LogOptions, Message, MessageType, QueueOptions, QueueType,
    Status,
};

struct Scene {
    broker: Broker,
    url: String,
    client: Client,
}

impl Scene {
    /// A broker with the queue `jobs`.
    fn new() -> Self {
        Self::with(&BrokerOptions::new(), &QueueOptions::new(1000))
    }

    fn with(options: &BrokerOptions, queue: &QueueOptions) -> Self {
        let broker = Broker::with_options(options).unwrap();
        broker.create_queue_with("jobs", queue).unwrap();
        let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
        let client = Client::connect(&url).unwrap();
        Self {
            broker,
            url,
            client,
        }
    }

    fn offer(&self, messages: &[Message]) {
        self.client.offer_all("jobs", messages, DEADLINE).unwrap();
    }

    fn program(&self) -> Program {
        program(&self.url)
    }

    /// All that is in the queue.
    fn drain(&self) -> Vec<String> {
        let messages = self.client.poll_up_to("jobs", 1000, DEADLINE).unwrap();
        messages.iter().map(read).collect()
    }
}

fn program(url: &str) -> Program {
    Program::wirebird().with("WIREBIRD_URL", Path::new(url))
}

#[test]
fn messages_are_printed_in_their_order_however_many_are_there() {
    let scene = Scene::new();
    let words: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    scene.offer(&words.iter().map(|word| text(word)).collect::<Vec<_>>());
    let poll = |count| scene.program().start(["poll", "jobs", "--count", count]);
    assert_eq!(poll("3").succeed(), b"0\n1\n2\n");
    assert_eq!(scene.broker.queue_status("jobs").size, 97);
    let rest = words[3..].join("\n") + "\n";
    assert_eq!(poll("97").succeed(), rest.as_bytes());
    eventually("it has heard of all", || {
        scene.broker.queue_status("jobs").in_flight == 0
    });
    assert_eq!(scene.broker.queue_status("jobs").size, 0);
}

#[test]
fn messages_look_the_same_however_many_are_asked_for() {
    let scene = Scene::new();
    let messages = [
        text("größer"),
        Message::binary(None, "b", "a/b", vec![0, 0xff]).unwrap(),
        Message::data("7", "", [1, 2]).unwrap().with_durable(true),
    ];
    for more in [&[][..], &["--json"]] {
        scene.offer(&messages);
        let one = |_| {
            let words = [&["poll", "jobs"], more].concat();
            scene.program().start(words).succeed()
        };
        let singly: Vec<u8> = (0..3).flat_map(one).collect();
        scene.offer(&messages);
        let words = [&["poll", "jobs", "--count", "3"], more].concat();
        let together = scene.program().start(words).succeed();
        assert_eq!(together, singly);
    }
}

#[test]
fn a_queue_with_fewer_is_emptied_before_it_is_said_that_it_is_empty() {
    let scene = Scene::new();
    scene.offer(&[text("a"), text("b")]);
    let words = ["poll", "jobs", "--count", "9", "--wait", "0.01", "--json"];
    let done = scene.program().run(words);
    assert_fails(&done, 1, "QUEUE_EMPTY: ");
    let lines = done.out.split(|&byte| byte == b'\n');
    let lines: Vec<Value> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, ["OK", "OK", "QUEUE_EMPTY"]);
}

/// A program that has printed the first of ten messages and cannot print all of the second, which is longer than a pipe.
fn stuck(scene: &Scene) -> (Child, ChildStdout) {
    const LONG: usize = 200_000;
    let long = |digit: char| text(&digit.to_string().repeat(LONG));
    scene.offer(&('0'..='9').map(long).collect::<Vec<_>>());
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirebird"));
    command.args(["poll", "jobs", "--count", "10", "--url", &scene.url]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = vec![0; LONG + 1];
    out.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"000") && first.ends_with(b"0\n"));
    eventually("the first is done with", || {
        scene.broker.queue_status("jobs").in_flight == 9
    });
    (child, out)
}

/// The first digits of what is in the queue.
fn left(scene: &Scene) -> String {
    eventually("the others are back", || {
        scene.broker.queue_status("jobs").size == 9
    });
    scene.drain().iter().map(|word| &word[..1]).collect()
}

#[test]
fn what_a_closed_output_did_not_take_is_still_in_the_queue() {
    // Nor was it tried, so that it is not dead where that may be once.
    let once = QueueOptions::new(1000).max_attempts(1);
    for scene in [Scene::new(), Scene::with(&BrokerOptions::new(), &once)] {
        let (mut child, out) = stuck(&scene);
        drop(out);
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(left(&scene), "123456789");
    }
}

#[test]
fn what_was_not_printed_before_ctrl_c_is_still_in_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let options = BrokerOptions::new().log(&LogOptions::new(directory.path()));
    for scene in [
        Scene::new(),
        Scene::with(&options, &QueueOptions::new(1000).durable(true)),
    ] {
        let (mut child, _out) = stuck(&scene);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
        assert_eq!(left(&scene), "123456789");
    }
}

#[test]
fn a_circular_queue_is_polled_one_by_one() {
    let scene = Scene::new();
    let create = scene.broker.create_queue("ring", 2, QueueType::Circular);
    create.unwrap();
    for word in ["a", "b", "c"] {
        scene.client.offer("ring", text(word), DEADLINE).unwrap();
    }
    let done = scene.program().run(["poll", "ring", "--count", "3"]);
    assert_fails(&done, 1, "QUEUE_EMPTY: ");
    assert_eq!(done.out, b"b\nc\n");
}

#[test]
fn a_broker_that_knows_no_batches_is_polled_one_by_one() {
    let broker = Scripted::new();
    let words = ["poll", "jobs", "--count", "3", "--wait", "5"];
    let running = program(&broker.url).start(words);
    broker.configure();
    broker.configure();
    let ask = broker.next_of(MessageType::PollUpTo);
    broker.answer(&ask, Status::BadRequest, "26 is no type");
    for word in ["a", "b"] {
        let ask = broker.next_of(MessageType::Poll);
        assert_eq!(ask.timeout(), Some(5000));
        broker.send(&text(word).into_response(ask.id(), Status::Ok));
    }
    let ask = broker.next_of(MessageType::Poll);
    broker.answer(&ask, Status::QueueEmpty, "nothing came");
    let done = running.finish();
    assert_fails(&done, 1, "QUEUE_EMPTY: nothing came");
    assert_eq!(done.out, b"a\nb\n");
}

#[test]
fn leases_are_asked_for_one_by_one() {
    let scene = Scene::new();
    scene.offer(&["a", "b", "c"].map(text));
    let words = ["poll", "jobs", "--count", "2", "--lease", "60"];
    let out = String::from_utf8(scene.program().start(words).succeed()).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (4, "a", "b"));
    let status = scene.broker.queue_status("jobs");
    assert_eq!((status.size, status.in_flight), (1, 2));
    for token in [lines[1], lines[3]] {
        scene.program().start(["ack", "jobs", token]).succeed();
    }
}
