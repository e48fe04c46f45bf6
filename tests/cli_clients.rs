//! The commands that are clients of a broker: `wirebird queue`, `offer`, `poll` and the like.

mod peers;

use std::io;
use std::path::Path;

use peers::served::{assert_fails, serve};
use peers::{DEADLINE, Program};
use rustix::process::Signal;
use serde_json::Value;
use wirebird::broker::{Broker, Client, Status};

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

// ---- queues and topics ----

#[test]
fn queues_are_made_looked_at_and_removed() {
    let served = serve("");
    assert_eq!(served.gives("queue create jobs --capacity 2"), "");
    assert_eq!(served.gives("queue create jobs --capacity 2"), "");
    served.refuses("queue create jobs", "CONFLICT: there is a queue jobs");
    served.gives("queue create ring --circular --capacity 1");
    served.gives("offer jobs one");
    served.gives("offer jobs two");
    served.refuses("offer jobs three", "QUEUE_FULL: ");
    served.refuses("offer jobs three --wait 0.1", "QUEUE_FULL: ");
    served.gives("offer ring one");
    served.gives("offer ring two");
    assert_eq!(served.gives("poll ring"), "two\n");
    let status = served.gives("queue status jobs");
    assert!(
        status.starts_with("name         jobs\nexists       yes\n"),
        "{status}"
    );
    assert!(status.contains("size         2\n"), "{status}");
    assert_eq!(served.gives("queue purge jobs"), "2\n");
    served.refuses("poll jobs", "QUEUE_EMPTY: the queue jobs is empty");
    served.refuses("queue purge nothing", "QUEUE_NOT_FOUND: ");
    served.gives("queue remove jobs");
    served.gives("queue remove jobs");
    served.refuses("poll jobs", "QUEUE_NOT_FOUND: ");
    assert!(
        served
            .gives("queue status jobs")
            .contains("exists       no\n")
    );
    served.gives("queue create tiny --max-bytes 1KB");
    served.refuses(
        &format!("offer tiny {}", "x".repeat(1024)),
        "the queue tiny holds 1024 in all",
    );
    served.gives("queue remove tiny");
    let list = json(&served.gives("queue list --json"));
    assert_eq!(list["data"][0]["name"], "ring");
    assert_eq!(list["status"], "OK");
}

#[test]
fn what_was_polled_with_a_lease_is_acknowledged_or_rejected_by_its_token() {
    let served = serve("");
    served.gives("queue create jobs.dead");
    let create = "queue create jobs --dead-letter jobs.dead --max-attempts 3 --backoff 0.01";
    assert_eq!(served.gives(create), "");
    served.gives("offer jobs low --priority 0");
    served.gives("offer jobs high --priority 9");
    served.gives("offer jobs later --delay 3600");
    served.refuses("queue remove jobs.dead", "CONFLICT: ");

    let polled = served.gives("poll jobs --lease 60");
    let (text, token) = polled.trim_end().split_once('\n').unwrap();
    assert_eq!(text, "high");
    let status = served.gives("queue status jobs");
    assert!(status.contains("in-flight    1\n"), "{status}");
    assert!(status.contains("delayed      1\n"), "{status}");
    assert_eq!(served.gives("poll jobs"), "low\n");
    served.gives(&format!("nack jobs {token} --delay 0"));
    served.refuses(&format!("ack jobs {token}"), "STALE: ");

    let polled = served.gives("poll jobs --lease 60 --json");
    let token = json(polled.lines().nth(1).unwrap());
    let token = token.as_str().unwrap();
    served.gives(&format!("nack jobs {token} --dead-letter"));
    assert_eq!(served.gives("queue redrive jobs.dead"), "1\n");
    let polled = served.gives("poll jobs --lease 60");
    let token = polled.lines().nth(1).unwrap();
    assert_eq!(served.gives(&format!("ack jobs {token}")), "");
    served.refuses("poll jobs", "QUEUE_EMPTY: ");
}

#[test]
fn topics_are_made_listed_and_removed() {
    let served = serve("");
    served.gives("topic create news");
    served.gives("topic create sports/chess");
    served.gives("topic create news");
    assert_eq!(served.gives("topic list"), "news\nsports/chess\n");
    served.gives("topic remove news");
    assert_eq!(served.gives("topic list"), "sports/chess\n");
    served.refuses("publish news x", "TOPIC_NOT_FOUND: ");
    served.refuses("subscribe news", "TOPIC_NOT_FOUND: ");
}

#[test]
fn the_status_counts() {
    let served = serve("");
    served.gives("queue create jobs");
    let status = json(&served.gives("status --json"));
    assert_eq!(status["data"]["queue-count"], 1);
    assert_eq!(status["data"]["running"], true);
    assert_eq!(status["data"]["memory-max"], 1 << 30);
    let shown = served.gives("status");
    let running = shown.lines().find(|line| line.starts_with("running "));
    assert!(
        running.is_some_and(|line| line.ends_with(" yes")),
        "{shown}"
    );
}

// ---- messages ----

#[test]
fn what_is_offered_comes_out_as_it_was() {
    let served = serve("");
    served.gives("queue create jobs");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data");
    let bytes = [0, 255, 10, 13, 128];
    std::fs::write(&file, bytes).unwrap();
    served.gives("offer jobs größer");
    served.gives(&format!("offer jobs --file {}", file.display()));
    let input = Some(b"two\nlines".to_vec());
    let piped = served.program().start_with_input(["offer", "jobs"], input);
    assert_eq!(piped.succeed(), b"");
    let input = Some(br#"{"count":2}"#.to_vec());
    let words = ["offer", "jobs", "-F", "-", "--mimetype", "application/json"];
    let words = [&words[..], &["--subject", "order", "--request-id", "7"]].concat();
    assert_eq!(
        served.program().start_with_input(words, input).succeed(),
        b""
    );

    assert_eq!(served.gives("poll jobs"), "größer\n");
    assert_eq!(served.run("poll jobs").out, bytes);
    assert_eq!(served.gives("poll jobs"), "two\nlines\n");
    let message = json(&served.gives("poll jobs --json"));
    assert_eq!(message["data"]["count"], 2);
    assert_eq!(message["subject"], "order");
    assert_eq!(message["request-id"], "7");
    assert_eq!(message["mimetype"], "application/json");
}

#[test]
fn an_offer_says_who_wants_the_answer_and_how_long_it_lasts() {
    let served = serve("");
    served.gives("queue create jobs");
    served.gives("offer jobs x --reply-to done --durable --expires-in 3600");
    let job = Client::connect(&served.url)
        .unwrap()
        .poll("jobs", DEADLINE)
        .unwrap();
    assert_eq!(job.reply_to(), Some("done"));
    assert!(job.is_durable());
    let left = job.expires_at().unwrap() - job.timestamp();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    served.gives("offer jobs gone --expires-in 0");
    served.refuses("poll jobs --wait 0.05", "QUEUE_EMPTY: ");
}

#[test]
fn a_poll_waits_for_as_many_messages_as_it_is_to_take() {
    let served = serve("");
    served.gives("queue create jobs");
    let words = ["poll", "jobs", "--count", "2", "--wait", "forever"];
    let poll = served.program().start(words);
    served.gives("offer jobs one");
    poll.line("one");
    served.gives("offer jobs two");
    assert_eq!(poll.succeed(), b"one\ntwo\n");
    served.gives("offer jobs three");
    let done = served.run("poll jobs --count 2");
    assert_fails(&done, 1, "QUEUE_EMPTY: ");
    assert_eq!(done.out, b"three\n");
}

#[test]
fn subscribers_print_what_is_published() {
    let served = serve("");
    served.gives("topic create sports/chess");
    served.gives("publish sports/chess old --retain");
    served.gives("publish sports/chess unheard");
    let words = ["subscribe", "sports/*", "--count", "2"];
    let subscriber = served.program().start(words);
    // It has what was kept for it: so it has subscribed.
    subscriber.line("old");
    served.gives("publish sports/chess new");
    assert_eq!(subscriber.succeed(), b"old\nnew\n");
    let message = json(&served.gives("subscribe sports/chess --count 1 --json"));
    assert_eq!(message["type"], "REQUEST");
    assert_eq!(message["text"], "old");
}

#[test]
fn ctrl_c_ends_a_subscriber_well() {
    let served = serve("");
    served.gives("topic create news");
    served.gives("publish news old --retain");
    for signal in [Signal::INT, Signal::TERM] {
        let subscriber = served.program().start(["subscribe", "news"]);
        subscriber.line("old");
        subscriber.signal(signal);
        assert_eq!(subscriber.succeed(), b"old\n");
    }
}

#[test]
fn a_call_prints_the_answer_of_the_function() {
    let broker = Broker::new().unwrap();
    broker
        .create_function("echo", |request| Ok(Some(request.clone())))
        .unwrap();
    broker
        .create_function("fail", |_| Err(io::Error::other("no\nluck").into()))
        .unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let program = Program::wirebird().with("WIREBIRD_URL", Path::new(&url));
    assert_eq!(
        program.start(["call", "echo", "hello"]).succeed(),
        b"hello\n"
    );
    let answer = program.start(["call", "echo", "hello", "--json"]).succeed();
    let answer = json(std::str::from_utf8(&answer).unwrap());
    assert_eq!(
        (&answer["status"], &answer["text"]),
        (&"OK".into(), &"hello".into())
    );
    let done = program.run(["call", "fail", "x"]);
    assert_fails(&done, 1, "HANDLER_ERROR: no luck");
    let done = program.run(["call", "nothing", "x", "--json"]);
    assert_fails(&done, 1, "FUNCTION_NOT_FOUND: there is no function nothing");
    let answer = json(std::str::from_utf8(&done.out).unwrap());
    assert_eq!(answer["status"], Status::FunctionNotFound.name());
}

// ---- clients ----

#[test]
fn a_client_finds_its_broker_by_option_or_environment() {
    let (one, other) = (serve(""), serve(""));
    one.gives("queue create one");
    other.gives("queue create other");
    let list = one.gives(&format!("queue list --url {}", other.url));
    assert!(list.contains("other"), "{list}");
    let url = other.url.clone();
    drop(other);
    let done = one.run(&format!("status --url {url}"));
    assert_fails(
        &done,
        1,
        &format!("Cannot connect to the broker at {url}: "),
    );
}

#[test]
fn bad_input_of_clients_exits_with_2() {
    let served = serve("");
    for (line, expected) in [
        ("status --url bogus", "unusable URL"),
        ("queue status a*b", "queue status a*b"),
        ("offer a:b x", "':' is not allowed"),
        (
            "offer jobs --file /nonexistent",
            "Cannot read /nonexistent: ",
        ),
        ("offer jobs x --reply-to a:b", "':' is not allowed"),
        (
            "status --url tls+tcp://localhost:1 --cacert /nonexistent",
            "/nonexistent",
        ),
    ] {
        let expected = expected.strip_prefix(line).unwrap_or(expected);
        assert_fails(&served.run(line), 2, expected);
    }
    for line in [
        "poll jobs --wait -1",
        "poll jobs --wait soon",
        "poll jobs --count 0",
        "queue create jobs --capacity 0",
        "subscribe news --count 0",
        "offer jobs x --file y",
        "status --timeout never",
        "queue",
        "offer",
    ] {
        let done = served.run(line);
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
    }
}

#[test]
fn every_command_shows_an_example() {
    for command in [
        "broker",
        "bench",
        "status",
        "offer",
        "poll",
        "publish",
        "subscribe",
        "call",
        "queue",
        "queue create",
        "queue remove",
        "queue list",
        "queue status",
        "queue purge",
        "topic",
        "topic create",
        "topic remove",
        "topic list",
    ] {
        let words = command.split(' ').chain(["--help"]);
        let help = String::from_utf8(Program::wirebird().start(words).succeed()).unwrap();
        let (_, examples) = help.split_once("\nExample").expect(command);
        assert!(examples.contains(&format!("wirebird {command}")), "{help}");
    }
}
