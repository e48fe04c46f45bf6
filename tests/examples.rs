//! Runs every example as a program and checks what it prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// An example must have ended by itself after this time.
const LIMIT: Duration = Duration::from_secs(60);

/// Where cargo puts the examples: beside the directory of this test's own binary.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own binary");
    let target = own
        .ancestors()
        .find(|directory| directory.join("examples").is_dir())
        .expect("the build directory has an examples directory");
    let program = target
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let source = match name.strip_prefix("broker_") {
        Some(name) => format!("examples/broker/{name}.rs"),
        None => format!("examples/{name}.rs"),
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    assert!(
        changed(&program) > changed(&source),
        "{} is not built, or not from the present source; run all targets, as `cargo test` does, \
         or `cargo build --examples` first",
        program.display()
    );
    program
}

fn run(name: &str, url: Option<&str>) -> String {
    let mut child = Command::new(program(name))
        .args(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let (done, ended) = mpsc::channel();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::spawn(move || {
        let read = |from: Option<Box<dyn std::io::Read + Send>>| {
            let mut bytes = Vec::new();
            let read = from.map(|mut from| from.read_to_end(&mut bytes));
            read.transpose().map(|_| bytes)
        };
        let stdout = read(stdout.map(|one| Box::new(one) as _));
        let stderr = read(stderr.map(|one| Box::new(one) as _));
        done.send((stdout, stderr))
    });
    let Ok((stdout, stderr)) = ended.recv_timeout(LIMIT) else {
        child.kill().expect("the example can be ended");
        panic!("the example {name} with {url:?} did not end within {LIMIT:?}");
    };
    let output = Output {
        status: child.wait().expect("the example has ended"),
        stdout: stdout.expect("its output can be read"),
        stderr: stderr.expect("its error output can be read"),
    };
    let text = String::from_utf8(output.stdout).expect("an example prints text");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "the example {name} with {url:?} gave {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs an example over tcp, in process and over ipc, and looks for each expected line.
fn check(name: &str, expected: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory for socket files");
    let ipc = format!("ipc://{}", directory.path().join("socket").display());
    for url in [None, Some("inproc://example"), Some(&ipc)] {
        contains(name, url, &run(name, url), expected);
    }
}

/// Runs an example over tcp only, because hashing its passwords takes long.
#[cfg(feature = "broker")]
fn once(name: &str, expected: &[&str]) {
    contains(name, None, &run(name, None), expected);
}

fn contains(name: &str, url: Option<&str>, text: &str, expected: &[&str]) {
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in expected {
        assert!(
            lines.contains(line),
            "the example {name} with {url:?} does not print {line:?} but\n{text}"
        );
    }
}

#[test]
fn pair_exchanges_messages_and_turns_a_third_socket_away() {
    check(
        "pair",
        &[
            "right received ping",
            "left received pong",
            "a third socket was turned away: connection rejected",
            "left received still here",
        ],
    );
}

#[test]
fn reqrep_squares_every_number() {
    check(
        "reqrep",
        &[
            "the square of 7 is 49",
            "the square of 12 is 144",
            "the square of 100 is 10000",
        ],
    );
}

#[test]
fn pubsub_delivers_by_topic() {
    check(
        "pubsub",
        &[
            "weather received weather.rain 3 mm",
            "weather received weather.wind 12 km/h",
            "everything received sports.score 2:1",
            "weather was spared the sports",
        ],
    );
}

#[test]
fn pipeline_does_every_job_once() {
    check(
        "pipeline",
        &[
            "the squares of 1 to 10 add up to 385",
            "2 workers did 10 jobs",
        ],
    );
}

#[test]
fn survey_hears_those_who_answer() {
    check(
        "survey",
        &[
            "carl was asked who is there?",
            "answer: anna is",
            "answer: bert is",
            "2 of 3 answered",
        ],
    );
}

#[test]
fn bus_reaches_every_other_node() {
    check(
        "bus",
        &[
            "red heard hello from blue, hello from green",
            "green heard hello from blue, hello from red",
            "blue heard hello from green, hello from red",
        ],
    );
}

#[test]
fn contexts_get_their_own_replies() {
    check(
        "contexts",
        &[
            "got reply to request 0",
            "got reply to request 4",
            "5 requests were served",
        ],
    );
}

#[test]
fn polyamorous_answers_the_peer_that_asked() {
    check(
        "polyamorous",
        &[
            "the hub heard I am ann",
            "ann heard welcome, ann",
            "ben heard welcome, ben",
        ],
    );
}

#[test]
fn device_carries_requests_and_replies() {
    check(
        "device",
        &[
            "reply: job 0 is done",
            "reply: job 1 is done",
            "the device ended with its socket",
        ],
    );
}

#[test]
fn events_tell_of_every_change() {
    check(
        "events",
        &[
            "monitor: a peer was added",
            "received counted",
            "monitor: a peer was rejected: connection rejected",
            "monitor: the peer is gone",
            "added 1, rejected at least 1: true",
            "received 1 message of 7 bytes",
        ],
    );
}

#[test]
fn handover_uses_connected_descriptors() {
    for url in [None, Some("socket://")] {
        let text = run("handover", url);
        contains(
            "handover",
            url,
            &text,
            &[
                "asked who are you?",
                "answered the one you were given",
                "2 connections were handed over",
            ],
        );
    }
}

#[test]
fn tokio_tasks_share_one_socket() {
    check(
        "tokio",
        &[
            "a square is 9",
            "the squares of 1 to 5 add up to 55",
            "5 requests were served",
        ],
    );
}

#[test]
fn smol_runs_a_pipeline() {
    check("smol", &["the squares of 1 to 100 add up to 338350"]);
}

#[test]
fn select_waits_for_several_sockets_and_the_time() {
    check(
        "select",
        &[
            "taken: tea",
            "taken: coffee",
            "answer: yes",
            "nobody answered: true",
            "2 orders were taken",
        ],
    );
}

#[cfg(feature = "broker")]
mod broker {
    use super::*;

    #[test]
    fn functions_answer_at_once_later_or_not_at_all() {
        check(
            "broker_functions",
            &[
                "echo: hello",
                r#"add: {"z":300}"#,
                "awaited: one",
                r#"awaited: {"z":2}"#,
                "noted: bread, milk",
            ],
        );
    }

    #[test]
    fn calls_that_fail_say_why() {
        check(
            "broker_failures",
            &[
                "echo hello is hello",
                "half 42 is 21",
                "half 7 failed: BAD_REQUEST: 7 is odd",
                "half many failed: HANDLER_ERROR: invalid digit found in string",
                "quarter 8 failed: FUNCTION_NOT_FOUND: there is no function quarter",
            ],
        );
    }

    #[test]
    fn answers_repeat_what_the_request_said() {
        check(
            "broker_answers",
            &[
                "text/plain in UTF-8",
                "application/octet-stream in bytes",
                "application/json in UTF-8",
                "error: FUNCTION_NOT_FOUND: there is no function ohce",
                "answer: FUNCTION_NOT_FOUND",
            ],
        );
    }

    #[test]
    fn requests_are_limited_in_time_made_again_and_done_once() {
        check(
            "broker_retries",
            &["slow: the time was over", "busy: call 3", "pay: 100 in all"],
        );
    }

    #[test]
    fn a_full_queue_refuses_or_lets_the_oldest_go() {
        check(
            "broker_queues",
            &[
                r#"polled: {"count":2,"item":"espresso"}"#,
                r#"awaited: {"count":1,"item":"ristretto"}"#,
                "empty: QUEUE_EMPTY: the queue orders is empty",
                "bounded: no room for three",
                "bounded: one",
                "bounded: two",
                "circular: two",
                "circular: three",
            ],
        );
    }

    #[test]
    fn guests_get_their_own_confirmations() {
        check(
            "broker_temporary",
            &[
                r#"ann-1 is confirmed: {"count":2,"item":"espresso"}"#,
                r#"ben-1 is confirmed: {"count":2,"item":"cappuccino"}"#,
                r#"ann-2 is confirmed: {"count":2,"item":"ristretto"}"#,
                "3 orders were served",
            ],
        );
    }

    #[test]
    fn durable_messages_outlive_the_broker() {
        check(
            "broker_durable",
            &["before: one", "after: two", "after: four"],
        );
        assert!(!run("broker_durable", None).contains("three"));
    }

    #[test]
    fn orders_that_have_expired_are_not_delivered() {
        check(
            "broker_expiry",
            &[r#"in time: "espresso""#, r#"in time: "biscuit""#],
        );
    }

    #[test]
    fn topics_reach_who_has_subscribed_until_they_no_longer_do() {
        check(
            "broker_topics",
            &[
                "published to 1 subscriber",
                "heard: hello",
                "heard: hello again",
                "published to 0 subscribers",
            ],
        );
    }

    #[test]
    fn messages_contain_text_bytes_or_data() {
        let text = run("broker_messages", None);
        contains(
            "broker_messages",
            None,
            &text,
            &[
                r#"  "text": "hello""#,
                r#"payload-text: Text("hello")"#,
                "expires-at: Null",
            ],
        );
        for payload in [
            r#""charset":"ISO-8859-1","text":"café;2"}"#,
            r#""data":"AAECAwQFBgc="}"#,
            r#""data":{"item":"espresso","count":2}}"#,
        ] {
            assert!(text.contains(payload), "{payload} is not in {text}");
        }
    }

    #[test]
    fn messages_that_are_too_long_are_refused() {
        check(
            "broker_size",
            &[
                "option max-message-size cannot be 1024: 2 KiB to 250 MiB is allowed",
                "204800 bytes",
                "payload: 204801 long, at most 204800 is allowed",
            ],
        );
    }

    #[test]
    fn administrators_make_and_remove_queues() {
        once(
            "broker_management",
            &[
                "queues: queue/1, queue/2",
                "max: NO_PERMISSION: CREATE_QUEUE is for administrators: log in as one",
                "queue/1: 1 of 100",
                "purged: 1",
                "queues: 0",
            ],
        );
    }

    #[test]
    fn users_need_their_password() {
        once(
            "broker_authentication",
            &[
                "tom: hello",
                "a wrong password: NO_PERMISSION: the user or the password is wrong",
                "no user: NO_PERMISSION: the broker wants a user and a password",
                "tom, removed: NO_PERMISSION: log in first",
            ],
        );
    }

    #[test]
    fn rights_say_who_may_do_what() {
        once(
            "broker_acl",
            &[
                "jak offers: no",
                "pax offers: yes",
                "pax polls: no",
                "jak polls: yes",
                "jak subscribes: yes",
                "jak publishes: no",
                "pax publishes: yes",
                "jak calls: yes",
                "pax calls: no",
                "max calls: yes",
            ],
        );
    }

    #[test]
    fn compressed_payloads_come_back_as_they_were() {
        check(
            "broker_compression",
            &[
                "payloads of 1024 bytes and more are compressed",
                "5 bytes came back as they were",
                "600000 bytes came back as they were",
            ],
        );
    }

    #[test]
    fn a_broker_that_encrypts_refuses_who_does_not() {
        check("broker_encryption", &["encrypted: hello", "plain: refused"]);
    }

    #[test]
    fn a_benchmark_counts_what_is_answered() {
        let text = run("broker_benchmark", None);
        for connections in ["1", "2"] {
            let start = format!("{connections} at once: ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            let rate = line.and_then(|line| line.split(' ').next()?.parse::<u32>().ok());
            assert!(rate.is_some_and(|rate| rate > 0), "{text}");
        }
    }

    #[test]
    fn work_is_done_once_and_answered_to_who_asked() {
        check(
            "broker_work",
            &["the squares of 1 to 10 add up to 385", "0 jobs are left"],
        );
    }

    #[test]
    fn news_reach_who_subscribed_and_who_comes_later() {
        check(
            "broker_news",
            &[
                "weather went to 1 subscriber",
                "the walker heard weather: sunny",
                "the walker heard weather: rain",
                "the fan heard sports/chess: a draw",
                "the fan heard sports/tennis: 6:4, 7:5",
            ],
        );
    }
}

#[test]
fn examples_are_short_and_say_how_to_run_them() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let listed = fs::read_to_string(examples.join("broker/README.md")).expect("there is a list");
    for (directory, prefix) in [("", ""), ("broker", "broker_")] {
        for entry in fs::read_dir(examples.join(directory)).expect("the examples are there") {
            let path = entry.expect("the directory can be read").path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let is_program = path
                .extension()
                .is_some_and(|one| one == "rs" || one == "py");
            assert!(
                directory.is_empty()
                    || !is_program
                    || listed.contains(&format!("[{file}]({file})")),
                "{file} is not in examples/broker/README.md"
            );
            // The page for browsers is an application: tests/browser.rs has its tests. Python has tests with its peers.
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("an example is text");
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            assert!(text.lines().count() < 80, "{name} is too long");
            assert!(
                text.starts_with("//! "),
                "{name} does not say what it shows"
            );
            let command = format!("cargo run --example {prefix}{name}");
            assert!(text.contains(&command), "{name} does not say how to run it");
            assert!(!text.contains("sleep"), "{name} sleeps");
        }
    }
}
