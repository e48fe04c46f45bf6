//! `wirebird cat` and `wirebird perf` over TLS: their options, and one line for whatever is wrong.

#[allow(dead_code)]
#[path = "common/certificates.rs"]
mod certificates;
mod peers;

use certificates::{AUTHORITY, Authority};
use peers::{Place, Program, Scheme};
use tempfile::TempDir;

/// Files with a CA and certificates, and the options that name them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let ours = AUTHORITY.issue_local();
        let expired = AUTHORITY.issue_expired(&["localhost"]);
        let stranger = Authority::new("stranger").issue_local();
        files.put("ca.pem", &AUTHORITY.pem());
        files.put("own.pem", &format!("{}{}", ours.certificate, ours.key));
        files.put("chain.pem", &ours.certificate);
        files.put("chain.key", &ours.key);
        files.put("other.key", &stranger.key);
        let both = format!("{}{}", stranger.certificate, stranger.key);
        files.put("stranger.pem", &both);
        let both = format!("{}{}", expired.certificate, expired.key);
        files.put("expired.pem", &both);
        files.put("garbage.pem", "nothing of the kind");
        files
    }

    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    /// A command line in which files of this directory are called @name.
    fn words(&self, line: &str) -> Vec<String> {
        let path = format!("{}/", self.0.path().display());
        line.split_whitespace()
            .map(|word| word.replace('@', &path))
            .collect()
    }
}

#[track_caller]
fn refuses(program: &Program, words: &[String], code: i32, expected: &str) {
    let done = program.run(words);
    assert_eq!(done.code, Some(code), "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    assert!(done.err.contains(expected), "{expected:?} in {done:?}");
}

// ---- cat ----

/// What the end that dials prints and exits with, and what the listening one prints.
fn cat(listens: &str, dials: &str) -> (peers::Finished, peers::Running) {
    let (files, cat, place) = (
        Files::new(),
        Program::wirebird_cat(),
        Place::new(Scheme::Tls),
    );
    let line = format!(
        "--rep0 -D yes --quoted -v --listen {} {listens}",
        place.url()
    );
    let listening = cat.start(files.words(&line));
    listening.line("Listening at: ");
    let line = format!(
        "--req0 -D please -C 1 --quoted --dial {} {dials}",
        place.url()
    );
    (cat.run(files.words(&line)), listening)
}

#[track_caller]
fn cat_works(listens: &str, dials: &str) {
    let (done, listening) = cat(listens, dials);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out, b"\"yes\"\n");
    listening.line("\"please\"");
}

#[track_caller]
fn cat_fails(listens: &str, dials: &str, expected: &str) {
    let (done, _listening) = cat(listens, dials);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.starts_with("Unable to dial on tls+tcp4://"));
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    assert!(done.err.contains(expected), "{expected:?} in {done:?}");
}

#[test]
fn cat_trusts_the_ca_that_it_is_given() {
    cat_works("--cert @own.pem", "--cacert @ca.pem");
    cat_works("-E @chain.pem --key @chain.key", "--cacert @ca.pem");
    let stranger = "(the peer's certificate was issued by nobody that is trusted here)";
    let expected = format!("Peer could not be authenticated {stranger}");
    cat_fails("--cert @stranger.pem", "--cacert @ca.pem", &expected);
    cat_fails("--cert @own.pem", "--cacert @stranger.pem", &expected);
    cat_fails("--cert @expired.pem", "--cacert @ca.pem", "has expired");
}

#[test]
fn insecure_cat_trusts_anybody() {
    cat_works("--cert @stranger.pem", "-k");
    cat_works("--cert @expired.pem", "--insecure --cacert @ca.pem");
    cat_works(
        "--cert @own.pem --cacert @ca.pem -k",
        "-k --cert @stranger.pem",
    );
}

#[test]
fn cat_looks_at_the_certificate_of_who_dials_if_there_is_one() {
    let listens = "--cert @own.pem --cacert @ca.pem";
    cat_works(listens, "--cacert @ca.pem");
    cat_works(listens, "--cacert @ca.pem --cert @own.pem");
    let dials = "--cacert @ca.pem --cert @stranger.pem";
    let expected = "(the peer does not trust who has issued our certificate)";
    cat_fails(listens, dials, expected);
}

#[test]
fn files_that_cat_cannot_use_are_one_line() {
    let (files, cat) = (Files::new(), Program::wirebird_cat());
    let dial = "--push0 -D x --dial tls+tcp://127.0.0.1:1";
    let configure = "Unable to configure TLS: Cryptographic error (";
    for (options, expected) in [
        ("--cacert @garbage.pem", "the CA has no certificate"),
        ("--cert @garbage.pem", "the certificate has no certificate"),
        ("--cert @chain.pem", "the key has no private key"),
        (
            "--cert @chain.pem --key @other.key",
            "the key belongs to another certificate",
        ),
    ] {
        let words = files.words(&format!("{dial} {options}"));
        refuses(&cat, &words, 1, configure);
        refuses(&cat, &words, 1, expected);
    }
    let listen = "--pull0 --listen tls+tcp://127.0.0.1:0";
    let expected = "Cryptographic error (a listener needs a certificate and its key)";
    refuses(&cat, &files.words(listen), 1, expected);
}

#[test]
fn files_do_not_matter_where_there_is_no_tls() {
    let (files, cat) = (Files::new(), Program::wirebird_cat());
    let line =
        "--pull0 --listen inproc://x --recv-timeout 1 --cacert @garbage.pem --cert @garbage.pem";
    let done = cat.run(files.words(line));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

// ---- perf ----

#[test]
fn perf_measures_over_tls() {
    let (files, wirebird) = (Files::new(), Program::wirebird());
    for (test, dials) in [("lat", "--cacert @ca.pem"), ("thr", "-k")] {
        let place = Place::new(Scheme::Tls);
        let load = format!("{} 1000 100 --pair0", place.url());
        let line = format!("perf local_{test} {load} --cert @chain.pem --key @chain.key");
        let local = wirebird.start(files.words(&line));
        let line = format!("perf remote_{test} {load} {dials}");
        let end = std::time::Instant::now() + peers::DEADLINE;
        // Local does not say when it listens.
        let remote = loop {
            let done = wirebird.run(files.words(&line));
            if !done.err.contains("refused") || std::time::Instant::now() > end {
                break done;
            }
        };
        assert_eq!(remote.code, Some(0), "{remote:?}");
        local.succeed();
    }
}

#[test]
fn files_that_perf_cannot_use_are_one_line() {
    let (files, wirebird) = (Files::new(), Program::wirebird());
    let local = "perf local_lat tls+tcp://127.0.0.1:0 1 1";
    let expected = "Cannot listen: tls: a listener needs a certificate and its key";
    refuses(&wirebird, &files.words(local), 2, expected);
    for (options, expected) in [
        ("--cert @garbage.pem", "garbage.pem has no certificate"),
        ("--cert @missing.pem", "missing.pem: No such file"),
        ("--cert @chain.pem", "chain.pem has no private key"),
        ("--cacert @garbage.pem", "garbage.pem has no certificate"),
    ] {
        let words = files.words(&format!("{local} {options}"));
        refuses(&wirebird, &words, 2, "Cannot configure TLS: tls: ");
        refuses(&wirebird, &words, 2, expected);
    }
    let done = wirebird.run(files.words(&format!("{local} --key @chain.key")));
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("--cert <FILE>"), "{done:?}");
}
