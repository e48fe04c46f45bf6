//! `wirebird broker`: where it listens, whom it serves, how it is configured, and how it ends. What its clients do is in
//! cli_clients.rs.

#[allow(dead_code)]
#[path = "common/certificates.rs"]
mod certificates;
mod peers;

use std::time::{Duration, Instant};

use certificates::{AUTHORITY, Authority};
use peers::served::{Served, assert_fails, serve};
use peers::{DEADLINE, Program, Running, options};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use wirebird::broker::{Client, ClientOptions, Message, MessageType};
use wirebird::{EndpointOptions, Error, Pair1};

// ---- the broker ----

#[test]
fn a_broker_says_where_it_listens_before_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", directory.path().join("s").display());
    let served = serve(&format!("--listen {ipc} --listen ws://127.0.0.1:0/broker"));
    assert_eq!(served.broker.line("Listening at: ipc"), ipc["ipc".len()..]);
    let ws = format!("ws{}", served.broker.line("Listening at: ws"));
    assert!(ws.ends_with("/broker") && !ws.contains(":0/"), "{ws}");
    served.gives("queue create jobs");
    for url in [&ipc, &ws] {
        assert_eq!(served.gives(&format!("offer jobs hello --url {url}")), "");
        assert_eq!(served.gives(&format!("poll jobs --url {url}")), "hello\n");
    }
}

#[test]
fn any_client_manages_destinations_unless_that_is_turned_off() {
    serve("").gives("queue create jobs");
    let closed = serve("--no-open-admin");
    closed.refuses("queue create jobs", "NO_PERMISSION: ");
    closed.refuses("status", "NO_PERMISSION: ");
}

#[test]
fn other_machines_are_not_served_by_accident() {
    for listen in ["tcp://0.0.0.0:0", "ws://*:0", "tcp://[::]:0"] {
        for more in [&[][..], &["--encrypt"]] {
            let args = [&["broker", "--listen", listen], more].concat();
            let done = Program::wirebird().run(args);
            assert_fails(&done, 2, "allow it with --insecure");
        }
    }
    let line = "broker --insecure --listen tcp://0.0.0.0:0";
    let broker = Program::wirebird().start(line.split(' '));
    let url = broker
        .line("Listening at: ")
        .replace("0.0.0.0", "127.0.0.1");
    let served = Served { broker, url };
    served.refuses("queue list", "NO_PERMISSION: ");
    let line = format!("{line} --open-admin");
    let broker = Program::wirebird().start(line.split(' '));
    let url = broker
        .line("Listening at: ")
        .replace("0.0.0.0", "127.0.0.1");
    Served { broker, url }.gives("queue list");
}

#[test]
fn a_broker_may_demand_encryption() {
    let served = serve("--encrypt");
    served.gives("queue create jobs --encrypt");
    served.gives("offer jobs secret --encrypt");
    assert_eq!(served.gives("poll jobs --encrypt"), "secret\n");
    let done = served.run("queue list --timeout 5");
    assert_fails(&done, 1, "reset");
}

#[test]
fn limits_are_those_of_the_command_line() {
    let served = serve(
        "--max-queues 1 --max-topics 1 --max-functions 3 --max-temporary-queues 4 --max-connections 2 \
         --max-message-size 2KB",
    );
    served.gives("queue create one");
    served.refuses("queue create two", "LIMIT_REACHED: ");
    served.gives("topic create one");
    served.refuses("topic create two", "LIMIT_REACHED: ");
    let status = served.gives("status");
    for limit in [
        "message-size-max 2048",
        "max-queues 1",
        "max-topics 1",
        "max-functions 3",
    ] {
        let shown = |line: &str| line.split_whitespace().eq(limit.split(' '));
        assert!(status.lines().any(shown), "{limit} in {status}");
    }
    let _held = [(); 2].map(|()| Client::connect(&served.url).unwrap());
    let done = served.run("status --timeout 0.5");
    assert_eq!(done.code, Some(1), "{done:?}");
}

#[test]
fn unusable_options_of_the_broker_are_told() {
    for (options, expected) in [
        ("--listen bogus", "unusable URL \"bogus\""),
        ("--listen socket://", "no descriptor"),
        ("--listen tls+tcp://127.0.0.1:0", "name one with --tls-cert"),
        ("--listen wss://127.0.0.1:0", "name one with --tls-cert"),
        ("--tls-cert /nonexistent", "Unable to configure TLS: "),
        ("--max-memory 1MB", "max-memory cannot be 1048576: twice"),
        ("--config /nonexistent", "Cannot read /nonexistent: "),
    ] {
        let line = format!("broker {options}");
        assert_fails(&Program::wirebird().run(line.split(' ')), 2, expected);
    }
    for options in [
        "--max-connections 0",
        "--max-message-size 1GB",
        "--max-message-size 251MB",
        "--max-queues -1",
        "--compress-cutoff -2",
        "--socket-snd-buf-size -2",
        "--max-memory 1GB",
        "--open-admin --no-open-admin",
        "--bogus",
    ] {
        let line = format!("broker {options}");
        let done = Program::wirebird().run(line.split(' '));
        assert_eq!(done.code, Some(2), "{done:?}");
    }
    let served = serve("");
    let line = format!("broker --listen {}", served.url);
    let done = Program::wirebird().run(line.split(' '));
    assert_fails(&done, 1, "address in use");
}

#[test]
fn connections_have_the_buffers_that_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", directory.path().join("s").display());
    let served = serve(&format!(
        "--socket-snd-buf-size 1MB --socket-rcv-buf-size -1 --listen {ipc}"
    ));
    let buffers = "--socket-snd-buf-size 256KB --socket-rcv-buf-size 256KB";
    served.gives(&format!("queue create jobs {buffers}"));
    served.gives(&format!("offer jobs hello {buffers} --url {ipc}"));
    assert_eq!(served.gives("poll jobs"), "hello\n");
    let done = served.run("queue list --socket-snd-buf-size 0");
    assert_fails(&done, 1, "socket-send-buffer cannot be 0");
}

#[test]
fn long_payloads_are_compressed_if_the_broker_is_told_so() {
    let config = |options: &str| {
        let served = serve(options);
        let client = Client::connect(&served.url).unwrap();
        let ask = Message::plain_text(None, "", "").unwrap();
        let ask = ask.addressed_to(MessageType::ClientConfig, None).unwrap();
        let answer = client.request(ask).unwrap().payload_data().unwrap();
        answer["compress-cutoff-size"].clone()
    };
    assert_eq!(config(""), -1);
    assert_eq!(config("--compress-cutoff 2KB"), 2048);
    assert_eq!(config("--compress-cutoff -1"), -1);
}

// ---- its end ----

fn ends_well(signal: Signal) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let served = serve(&format!("--listen ipc://{}", path.display()));
    served.gives("queue create jobs");
    let poll = poll_waiting(&served, "jobs");
    served.broker.signal(signal);
    assert_fails(
        &poll.finish(),
        1,
        "QUEUE_ACCESS_INTERRUPTED: the broker closes",
    );
    let done = served.broker.finish();
    assert_eq!((done.code, &*done.err), (Some(0), ""));
    assert!(!path.exists());
}

/// A client that waits at a queue.
fn poll_waiting(served: &Served, queue: &str) -> Running {
    let words = ["poll", queue, "--wait", "forever"];
    let running = served.program().start(words);
    eventually(&served.url, |status| status["waiting-count"] == 1);
    running
}

/// Asks the broker for its status until that is as it has to become.
#[track_caller]
fn eventually(url: &str, is_so: impl Fn(&Value) -> bool) {
    let client = Client::connect(url).unwrap();
    let end = Instant::now() + DEADLINE;
    loop {
        let ask = Message::plain_text(None, "", "").unwrap();
        let ask = ask.addressed_to(MessageType::ServerStatus, None).unwrap();
        let status = client.request(ask).unwrap().payload_data().unwrap();
        if is_so(&status) {
            return;
        }
        assert!(Instant::now() < end, "{status}");
    }
}

#[test]
fn sigterm_and_ctrl_c_end_a_broker_well() {
    ends_well(Signal::TERM);
    ends_well(Signal::INT);
}

#[test]
fn answers_on_their_way_are_sent_before_a_broker_ends() {
    const JOBS: usize = 6;
    let directory = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", directory.path().join("s").display());
    let served = serve(&format!("--listen {ipc}"));
    served.gives("queue create jobs");
    let client = Client::connect(&served.url).unwrap();
    let long = "x".repeat(1 << 20);
    for _ in 0..JOBS {
        let job = Message::plain_text(None, "", &long).unwrap();
        client.offer("jobs", job, DEADLINE).unwrap();
    }
    // It reads nothing until the broker ends, and the system has no room for so much.
    let pair = Pair1::with_options(&options().recv_buffer(1)).unwrap();
    pair.dial(&ipc).unwrap();
    for _ in 0..JOBS {
        pair.send(r#"{"type":"POLL","destination":"jobs"}"#)
            .unwrap();
    }
    let before = 1 + JOBS + JOBS;
    eventually(&served.url, |status| {
        status["message-count"].as_u64() > u64::try_from(before).ok()
    });
    served.gives("queue create idle");
    let idle = poll_waiting(&served, "idle");
    served.broker.signal(Signal::TERM);
    // It is told when the broker has begun to close.
    assert_eq!(idle.finish().code, Some(1));
    // A client that is turned away tries again for as long as it may.
    let hasty = ClientOptions::new().timeout(Duration::from_millis(200));
    let further = Client::connect_with(&served.url, &hasty).and_then(|client| client.heartbeat());
    assert!(further.is_err(), "{further:?}");
    for _ in 0..JOBS {
        let answer = pair.recv().unwrap();
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(answer["status"], "OK");
        assert_eq!(answer["text"].as_str().map(str::len), Some(long.len()));
    }
    assert_eq!(served.broker.finish().code, Some(0));
}

// ---- its file ----

struct Config(TempDir);

impl Config {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("broker.toml"), text).unwrap();
        Self(directory)
    }

    fn path(&self) -> String {
        self.0.path().join("broker.toml").display().to_string()
    }
}

#[test]
fn a_broker_starts_with_the_queues_and_topics_of_its_file() {
    let config = Config::new(
        r#"
        listen = ["tcp://nobody.invalid:1"]
        max-queues = 2
        max-message-size = "1MB"
        topics = ["news", "sports/chess"]

        [queues]
        jobs = { capacity = 10 }
        "last/ten" = { type = "circular", capacity = 10 }
        "#,
    );
    let served = serve(&format!("--config {}", config.path()));
    assert_eq!(served.gives("topic list"), "news\nsports/chess\n");
    assert_eq!(
        served.gives("queue list"),
        "NAME      TYPE      CAPACITY  SIZE  BYTES\n\
         jobs      BOUNDED   10        0     0\n\
         last/ten  CIRCULAR  10        0     0\n"
    );
    served.refuses("queue create third", "LIMIT_REACHED: ");
    drop(served);
    let served = serve(&format!("--max-queues 3 --config {}", config.path()));
    served.gives("queue create third");
}

#[test]
fn mistakes_in_the_file_are_told_with_their_line() {
    for (text, line, reason) in [
        ("\n\nmax-ques = 1\n", 3, "unknown field `max-ques`"),
        ("encrypt = true\nmax-queues = \"many\"", 2, "invalid type"),
        ("max-message-size = \"1GB\"", 1, "\"1GB\" is no size"),
        (
            "[queues]\n\njobs = { capacity = 0 }",
            3,
            "1 to 1000000000 are",
        ),
        (
            "topics = [\n  \"news\",\n  \"a b\",\n]",
            3,
            "' ' is not allowed",
        ),
    ] {
        let config = Config::new(text);
        let done = Program::wirebird().run(["broker", "--config", &config.path()]);
        assert_fails(&done, 2, reason);
        let start = format!("{}:{line}: ", config.path());
        assert!(done.err.starts_with(&start), "{start} in {}", done.err);
    }
    let config = Config::new("max-queues = 0\n[queues]\njobs = { capacity = 1 }");
    let done = Program::wirebird().run(["broker", "--config", &config.path()]);
    assert_fails(&done, 2, "queue jobs: LIMIT_REACHED: ");
    let config = Config::new("listen = []");
    let done = Program::wirebird().run(["broker", "--config", &config.path()]);
    assert_fails(&done, 2, "no address to listen at");
}

// ---- over TLS and WebSocket ----

#[test]
fn over_tls_only_clients_with_a_certificate_of_the_ca_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
    let ours = AUTHORITY.issue_local();
    let stranger = Authority::new("stranger").issue_local();
    put("ca.pem", AUTHORITY.pem());
    put("own.pem", ours.certificate.clone());
    put("own.key", ours.key.clone());
    put(
        "stranger.pem",
        format!("{}{}", stranger.certificate, stranger.key),
    );
    // The names of files in a file are those beside it.
    put(
        "broker.toml",
        "tls = { cert = 'own.pem', key = 'own.key', ca = 'ca.pem' }".into(),
    );
    let at = |name: &str| directory.path().join(name).display().to_string();
    let served = serve(&format!(
        "--config {} --listen tls+tcp://0.0.0.0:0 --open-admin",
        at("broker.toml")
    ));
    let url = format!("tls{}", served.broker.line("Listening at: tls"));
    let url = url.replace("0.0.0.0", "127.0.0.1");
    let ca = at("ca.pem");
    let own = format!("--cert {} --key {}", at("own.pem"), at("own.key"));
    served.gives(&format!(
        "queue create jobs --url {url} --cacert {ca} {own}"
    ));
    for more in [String::new(), format!("--cert {}", at("stranger.pem"))] {
        let line = format!("queue list --url {url} --cacert {ca} --timeout 5 {more}");
        let done = served.run(line.trim());
        assert_eq!(done.code, Some(1), "{done:?}");
    }
    let done = served.run(&format!("queue list --url {url} {own}"));
    assert_fails(&done, 1, "Cannot connect to the broker at tls");
}

#[test]
fn browsers_are_let_in_only_with_pages_that_are_named() {
    let dial = |served: &Served, origin: &str| {
        let ws = format!("ws{}", served.broker.line("Listening at: ws"));
        let pair = Pair1::new().unwrap();
        let dialer = pair.dialer(&ws).unwrap();
        let options = EndpointOptions::new().ws_header("Origin", origin);
        dialer.set_options(&options).unwrap();
        dialer.start_and_wait(Some(DEADLINE))
    };
    let served = serve("--listen ws://127.0.0.1:0");
    assert_eq!(
        dial(&served, "https://example.com"),
        Err(Error::PermissionDenied)
    );
    let served = serve("--listen ws://127.0.0.1:0 --origin https://example.com");
    assert_eq!(dial(&served, "https://example.com"), Ok(()));
    assert_eq!(
        dial(&served, "https://example.org"),
        Err(Error::PermissionDenied)
    );
    let served = serve("--listen ws://127.0.0.1:0 --origin *");
    assert_eq!(dial(&served, "https://example.org"), Ok(()));
}
