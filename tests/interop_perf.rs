//! `wirebird perf` with its other end in C, on nng's library: tests/interop/perf.c.

mod peers;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use peers::{DEADLINE, Place, Program, Running, Scheme};
use tempfile::TempDir;

struct Nng {
    directory: TempDir,
}

impl Nng {
    fn compiled() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/perf.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", source, "-lnng", "-o"])
            .arg(directory.path().join("perf"))
            .output()
            .expect("cc is installed: apt-get install gcc (./test.sh does it)");
        assert!(
            built.status.success(),
            "cannot build against libnng, for which apt-get install libnng-dev (./test.sh does it):\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Self { directory }
    }

    fn start(&self, tool: &str, place: &Place, load: [&str; 2]) -> Running {
        let path: PathBuf = self.directory.path().join("perf");
        Program::at(&path).start([tool, place.url(), load[0], load[1]])
    }
}

fn wirebird(tool: &str, place: &Place, load: [&str; 2]) -> Running {
    Program::wirebird().start(["perf", tool, place.url(), load[0], load[1]])
}

const LOADS: [[&str; 2]; 3] = [["64", "2000"], ["0", "200"], ["100000", "100"]];

fn with_each(test: impl Fn(&Nng, &Place, [&str; 2])) {
    let nng = Nng::compiled();
    for scheme in [Scheme::Tcp, Scheme::Ipc] {
        for load in LOADS {
            test(&nng, &Place::new(scheme), load);
        }
    }
}

/// nng dials, as soon as the other end, which does not say so, listens.
fn dial(nng: &Nng, tool: &str, place: &Place, load: [&str; 2]) {
    let end = Instant::now() + DEADLINE;
    loop {
        let done = nng.start(tool, place, load).finish();
        if done.code == Some(0) {
            return;
        }
        assert!(
            done.err.starts_with("dial: Connection refused") && Instant::now() < end,
            "{done:?}"
        );
    }
}

#[track_caller]
fn reports(running: Running, line: &str) {
    let out = String::from_utf8(running.succeed()).unwrap();
    assert!(out.lines().any(|found| found == line), "{line:?} in {out}");
}

#[test]
fn nng_bounces_what_wirebird_times() {
    with_each(|nng, place, load| {
        let local = nng.start("local_lat", place, load);
        local.line("listening");
        let remote = wirebird("remote_lat", place, load);
        reports(remote, &format!("round trip count: {}", load[1]));
        local.succeed();
    });
}

#[test]
fn wirebird_bounces_what_nng_times() {
    with_each(|nng, place, load| {
        let local = wirebird("local_lat", place, load);
        dial(nng, "remote_lat", place, load);
        assert_eq!(local.succeed(), b"");
    });
}

#[test]
fn nng_counts_what_wirebird_sends() {
    with_each(|nng, place, load| {
        let local = nng.start("local_thr", place, load);
        local.line("listening");
        assert_eq!(wirebird("remote_thr", place, load).succeed(), b"");
        local.succeed();
    });
}

#[test]
fn wirebird_counts_what_nng_sends() {
    with_each(|nng, place, load| {
        let local = wirebird("local_thr", place, load);
        dial(nng, "remote_thr", place, load);
        reports(local, &format!("message count: {}", load[1]));
    });
}
