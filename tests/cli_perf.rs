//! `wirebird perf`: the six tools as processes, on both ends.

mod peers;

use peers::{Place, Program, Running, Scheme, socket};
use serde_json::Value;
use wirebird::{Pair1, Pull};

const BOTH: [Scheme; 2] = [Scheme::Tcp, Scheme::Ipc];

fn perf(args: &[&str]) -> Running {
    Program::wirebird().start([&["perf"], args].concat())
}

/// Starts the end that listens, and the one that dials as soon as it can.
fn both_ends(test: &str, place: &Place, args: &[&str]) -> [String; 2] {
    let local = format!("local_{test}");
    let remote = format!("remote_{test}");
    let local = perf(&[&[local.as_str(), place.url()], args].concat());
    // The tools do not say that they listen.
    let remote = until_it_connects(|| perf(&[&[remote.as_str(), place.url()], args].concat()));
    [local.succeed(), remote].map(|out| String::from_utf8(out).unwrap())
}

/// Starts a program again as long as it finds that nobody listens.
fn until_it_connects(start: impl Fn() -> Running) -> Vec<u8> {
    let end = std::time::Instant::now() + peers::DEADLINE;
    loop {
        let done = start().finish();
        if done.code == Some(0) {
            return done.out;
        }
        assert!(
            done.err.contains("refused") && std::time::Instant::now() < end,
            "{done:?}"
        );
    }
}

/// Checks that the lines are nng's, each a name, a number and a unit, and gives the numbers.
#[track_caller]
fn numbers(out: &str, expected: &[(&str, &str)]) -> Vec<f64> {
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{out}");
    lines
        .iter()
        .zip(expected)
        .map(|(line, (name, unit))| {
            let number = line
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(": "))
                .and_then(|rest| rest.strip_suffix(unit))
                .unwrap_or_else(|| panic!("{line:?} is not {name:?} in {unit:?}"));
            number.trim_end().parse().unwrap()
        })
        .collect()
}

const LATENCY: [(&str, &str); 4] = [
    ("total time", "[s]"),
    ("message size", "[B]"),
    ("round trip count", ""),
    ("average latency", "[us]"),
];
const THROUGHPUT: [(&str, &str); 5] = [
    ("total time", "[s]"),
    ("message size", "[B]"),
    ("message count", ""),
    ("throughput", "[msg/s]"),
    ("throughput", "[Mb/s]"),
];

#[test]
fn latency_is_measured_by_the_end_that_dials() {
    for scheme in BOTH {
        for protocol in ["--pair1", "--pair0", "--bus0", "--reqrep"] {
            let [local, remote] = both_ends("lat", &Place::new(scheme), &["64", "200", protocol]);
            assert_eq!(local, "", "{protocol}");
            let found = numbers(&remote, &LATENCY);
            assert_eq!(found[1..3], [64.0, 200.0], "{protocol}");
            assert!(found[3] > 0.0, "{remote}");
        }
    }
}

#[test]
fn throughput_is_measured_by_the_end_that_listens() {
    for scheme in BOTH {
        for protocol in ["--pair1", "--pair0", "--pushpull"] {
            let [local, remote] = both_ends("thr", &Place::new(scheme), &["64", "5000", protocol]);
            assert_eq!(remote, "", "{protocol}");
            let found = numbers(&local, &THROUGHPUT);
            assert_eq!(found[1..3], [64.0, 5000.0], "{protocol}");
            assert!(found[3] > 0.0 && found[4] > 0.0, "{local}");
        }
    }
}

#[test]
fn a_publisher_is_measured_by_what_arrives() {
    let [local, _] = both_ends("thr", &Place::new(Scheme::Tcp), &["64", "2000", "--pubsub"]);
    let found = numbers(&local, &THROUGHPUT);
    assert!(found[2] > 0.0 && found[2] <= 2000.0, "{local}");
}

#[test]
fn long_and_empty_messages_are_measured_too() {
    for size in ["0", "1000000"] {
        let [_, lat] = both_ends("lat", &Place::new(Scheme::Tcp), &[size, "20"]);
        assert_eq!(numbers(&lat, &LATENCY)[2], 20.0);
        let [thr, _] = both_ends("thr", &Place::new(Scheme::Ipc), &[size, "20"]);
        assert_eq!(numbers(&thr, &THROUGHPUT)[2], 20.0);
    }
}

#[test]
fn both_ends_can_be_in_one_process() {
    for protocol in ["--pair1", "--pair0", "--bus0", "--reqrep"] {
        let out = perf(&["inproc_lat", "8", "500", protocol]).succeed();
        let found = numbers(std::str::from_utf8(&out).unwrap(), &LATENCY);
        assert_eq!(found[1..3], [8.0, 500.0], "{protocol}");
    }
    for protocol in ["--pair1", "--pair0", "--pushpull"] {
        let out = perf(&["inproc_thr", "8", "500", protocol]).succeed();
        let found = numbers(std::str::from_utf8(&out).unwrap(), &THROUGHPUT);
        assert_eq!(found[1..3], [8.0, 500.0], "{protocol}");
    }
}

fn json(out: &str) -> Value {
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(out).unwrap()
}

#[test]
fn json_has_ordered_percentiles() {
    let args = ["64", "200", "--json"];
    let [local, remote] = both_ends("lat", &Place::new(Scheme::Ipc), &args);
    assert_eq!(local, "");
    let found = json(&remote);
    assert_eq!(
        (&found["message_size"], &found["round_trips"]),
        (&64.into(), &200.into())
    );
    let number = |name: &str| {
        found[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {found}"))
    };
    assert!(number("total_s") > 0.0 && number("average_us") > 0.0);
    let names = ["p50_us", "p90_us", "p99_us", "p99.9_us", "max_us"];
    assert!(names.map(number).is_sorted(), "{found}");
    assert!(number("p50_us") > 0.0, "{found}");
}

#[test]
fn json_has_the_throughput() {
    let args = ["64", "2000", "--json"];
    let [local, remote] = both_ends("thr", &Place::new(Scheme::Tcp), &args);
    assert_eq!(remote, "");
    let found = json(&local);
    assert_eq!(
        (&found["message_size"], &found["messages"]),
        (&64.into(), &2000.into())
    );
    for name in ["total_s", "messages_per_s", "megabits_per_s"] {
        assert!(
            found[name].as_f64().is_some_and(|number| number > 0.0),
            "{found}"
        );
    }
}

#[track_caller]
fn fails(args: &[&str], why: &str) {
    let done = perf(args).finish();
    assert_eq!(
        (done.code, done.out.as_slice()),
        (Some(2), &b""[..]),
        "{args:?}: {done:?}"
    );
    assert!(done.err.contains(why), "{args:?}: {done:?}");
}

#[test]
fn bad_arguments_exit_with_2_and_say_why() {
    fails(&[], "Usage");
    fails(&["bogus"], "bogus");
    fails(&["local_lat", "tcp://127.0.0.1:0", "64"], "<COUNT>");
    fails(&["inproc_lat", "x", "1"], "x");
    fails(&["inproc_lat", "1", "1000000001"], "1000000001");
    fails(&["inproc_lat", "1", "1", "--pair0", "--bus0"], "--bus0");
    fails(&["inproc_lat", "1", "1", "--pushpull"], "no latency test");
    fails(&["inproc_thr", "1", "1", "--reqrep"], "no throughput test");
}

#[test]
fn bad_addresses_exit_with_2_and_say_why() {
    fails(&["local_lat", "foo://bar", "1", "1"], "foo");
    fails(&["remote_lat", "tcp://127.0.0.1", "1", "1"], "port");
    let nobody = Place::new(Scheme::Tcp);
    for test in ["remote_lat", "remote_thr"] {
        fails(&[test, nobody.url(), "1", "1"], "refused");
    }
    let (place, taken): (_, Pull) = (Place::new(Scheme::Ipc), socket());
    taken.listen(place.url()).unwrap();
    for test in ["local_lat", "local_thr"] {
        fails(&[test, place.url(), "1", "1"], "in use");
    }
    fails(&["remote_lat", place.url(), "1", "1"], "protocol");
}

#[test]
fn a_message_of_another_size_is_an_error() {
    // What starts the clock of a throughput test is not measured.
    let tests: [(_, &[_]); 2] = [("local_lat", &["longer"]), ("local_thr", &["", "longer"])];
    for (test, messages) in tests {
        let (place, peer): (_, Pair1) = (Place::new(Scheme::Tcp), socket());
        let local = perf(&[test, place.url(), "4", "10"]);
        peer.dial_background(place.url()).unwrap();
        for message in messages {
            peer.send(*message).unwrap();
        }
        let done = local.finish();
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains("wrong message size"), "{done:?}");
    }
}
