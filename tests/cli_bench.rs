//! `wirebird bench`.

mod peers;

use peers::Program;
use rustix::process::Signal;
use serde_json::Value;
use wirebird::broker::{Broker, BrokerOptions};

fn figures(line: &str) -> Value {
    let out = Program::wirebird().start(line.split(' ')).succeed();
    serde_json::from_slice(&out).unwrap()
}

/// F160, F161, F162 of the broker's specification.
#[test]
fn it_prints_the_figures_of_a_broker_of_its_own() {
    let line = "bench --duration 0.2 --ramp-up 0.05 --connections 2 --size 2KB";
    let out = Program::wirebird().start(line.split(' ')).succeed();
    let text = String::from_utf8(out).unwrap();
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(
        names,
        [
            "Messages",
            "Payload",
            "Encryption",
            "Compression",
            "Connections",
            "Duration",
            "Total",
            "Messages/s",
            "Throughput",
            "Latency"
        ]
    );
    for line in [
        "Payload:     2 KB",
        "Encryption:  off",
        "Compression: off",
        "Connections: 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn it_tells_whether_payloads_are_compressed() {
    let options = BrokerOptions::new().compress_cutoff(1000);
    let broker = Broker::with_options(&options).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    for (size, compressed) in [("999B", false), ("1000B", true)] {
        let found = figures(&format!("bench {url} --duration 0.05 --size {size} --json"));
        assert_eq!(found["compress"], compressed, "{size}");
    }
}

#[test]
fn the_figures_belong_together() {
    let found = figures("bench --duration 0.2 --size 512B --encrypt --json");
    let number = |name: &str| found[name].as_f64().unwrap();
    assert!(number("message-count") > 0.0);
    assert_eq!(number("message-size"), 512.0);
    assert_eq!(number("total-bytes-sent"), number("message-count") * 512.0);
    assert!(number("duration-millis") >= 200.0);
    let megabytes = number("throughput-msgs") * 512.0 / 1_048_576.0;
    assert!(
        (number("throughput-MB") / megabytes - 1.0).abs() < 1e-6,
        "{found}"
    );
    assert_eq!(found["encrypt"], true);
    assert_eq!(found["connections"], 1);
    let latency = &found["latency-us"];
    let quantiles =
        ["p50", "p90", "p99", "p99.9", "max"].map(|name| latency[name].as_f64().unwrap());
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{latency}");
}

/// F161.
#[test]
fn it_measures_a_broker_that_is_there() {
    let broker = Broker::new().unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let found = figures(&format!("bench {url} --duration 0.2 --json"));
    assert!(broker.stats().requests >= found["message-count"].as_u64().unwrap());
}

/// F161.
#[test]
fn one_way_requests_are_counted_when_the_broker_has_them() {
    let broker = Broker::new().unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let found = figures(&format!("bench {url} --duration 0.2 --oneway --json"));
    let count = found["message-count"].as_u64().unwrap();
    assert!(count > 0 && broker.stats().requests >= count);
    assert_eq!(found.get("latency-us"), None);
}

#[test]
fn it_starts_a_broker_where_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", directory.path().join("s").display());
    for url in [&*ipc, "inproc://bench"] {
        let found = figures(&format!("bench {url} --own --duration 0.1 --json"));
        assert!(found["message-count"].as_u64() > Some(0));
    }
}

#[test]
fn ctrl_c_ends_it_early_with_its_figures() {
    let broker = Broker::new().unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let line = format!("bench {url} --duration 3600 --json");
    let running = Program::wirebird().start(line.split(' '));
    while broker.stats().requests == 0 {
        std::thread::yield_now();
    }
    running.signal(Signal::INT);
    let found: Value = serde_json::from_slice(&running.succeed()).unwrap();
    assert!(found["duration-millis"].as_u64() < Some(3_600_000));
}

#[test]
fn what_cannot_be_measured_is_one_line() {
    for (line, code, expected) in [
        ("bench bogus", 2, "unusable URL"),
        (
            "bench tcp://127.0.0.1:1",
            1,
            "Cannot connect to the broker at",
        ),
        ("bench bogus --own", 1, "Cannot start a broker at bogus"),
    ] {
        let done = Program::wirebird().run(line.split(' '));
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.contains(expected), "{done:?}");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
    }
    for options in [
        "--own",
        "--size 1GB",
        "--size 251MB",
        "--size x",
        "--duration 0",
        "--duration x",
        "--connections 0",
        "--connections 101",
        "--ramp-up -1",
    ] {
        let line = format!("bench {options}");
        let done = Program::wirebird().run(line.split(' '));
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
    }
    let small = BrokerOptions::new().max_message_size(2048);
    let broker = Broker::with_options(&small).unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let line = format!("bench {url} --size 1MB --duration 60");
    let done = Program::wirebird().run(line.split(' '));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains("1048576 long, at most 2048 is allowed"),
        "{done:?}"
    );
}
