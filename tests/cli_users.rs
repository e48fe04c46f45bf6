//! `wirebird user` and `wirebird acl`, as processes.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use wirebird::broker::{Action, Authenticator, Role};

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(file: &Path, words: &[&str], input: &str) -> Done {
    let words = words.iter().map(|word| match *word {
        "FILE" => file.as_os_str(),
        word => word.as_ref(),
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_wirebird"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    Done {
        code: done.status.code(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

#[track_caller]
fn succeed(file: &Path, words: &[&str], input: &str) -> String {
    let done = run(file, words, input);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{words:?}");
    done.out
}

#[track_caller]
fn fail(file: &Path, words: &[&str], input: &str) -> String {
    let done = run(file, words, input);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{words:?}");
    done.err
}

#[test]
fn users_and_rights_are_made_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let file = &directory.path().join("users.json");
    succeed(file, &["user", "add", "FILE", "root", "--admin"], "one\n");
    succeed(file, &["user", "add", "FILE", "ann"], "two\nmore\n");
    assert_eq!(
        succeed(file, &["user", "list", "FILE"], ""),
        "ann\nroot (admin)\n"
    );
    succeed(file, &["acl", "default", "FILE", "queue", "deny"], "");
    succeed(
        file,
        &["acl", "set", "FILE", "queue", "jobs", "poll", "ann"],
        "",
    );
    succeed(
        file,
        &["acl", "set", "FILE", "topic", "news/>", "SUBSCRIBE", "ann"],
        "",
    );
    succeed(
        file,
        &["acl", "set", "FILE", "function", "f", "exec", "ann"],
        "",
    );
    succeed(file, &["acl", "allow", "FILE", "10.0.0.0/8"], "");
    assert_eq!(
        succeed(file, &["acl", "list", "FILE"], ""),
        "default queue deny\n\
         default topic publish-subscribe\n\
         default function execute\n\
         queue jobs poll ann\n\
         topic news/> subscribe ann\n\
         function f execute ann\n\
         network 10.0.0.0/8\n"
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let auth = Authenticator::load(file).unwrap();
    assert!(auth.verify("ann", "two") && auth.verify("root", "one"));
    assert_eq!(auth.role("root"), Some(Role::Admin));
    assert!(auth.allows("ann", Action::Poll, "jobs") && !auth.allows("ann", Action::Offer, "jobs"));
    succeed(file, &["acl", "remove", "FILE", "queue", "jobs", "ann"], "");
    succeed(file, &["acl", "disallow", "FILE", "10.0.0.0/8"], "");
    succeed(file, &["user", "remove", "FILE", "ann"], "");
    assert_eq!(
        succeed(file, &["user", "list", "FILE"], ""),
        "root (admin)\n"
    );
    let text = succeed(file, &["acl", "list", "FILE"], "");
    assert!(
        !text.contains("jobs") && !text.contains("network"),
        "{text}"
    );
}

#[test]
fn what_goes_wrong_is_told_on_one_line_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = &directory.path().join("users.json");
    fail(file, &["user", "list", "FILE"], "");
    fail(file, &["acl", "default", "FILE", "queue", "deny"], "");
    fail(file, &["user", "add", "FILE", "ann"], "");
    fail(file, &["user", "add", "FILE", "ann"], "\n");
    fail(file, &["user", "add", "FILE", " "], "pw\n");
    assert!(!file.exists());
    succeed(file, &["user", "add", "FILE", "ann"], "pw\n");
    let before = std::fs::read(file).unwrap();
    for (words, told) in [
        (&["user", "remove", "FILE", "bob"][..], "bob"),
        (
            &["acl", "set", "FILE", "queue", "q", "execute", "ann"],
            "offer-poll",
        ),
        (
            &["acl", "set", "FILE", "queue", "no spaces", "poll", "ann"],
            "' '",
        ),
        (&["acl", "default", "FILE", "function", "poll"], "execute"),
        (&["acl", "remove", "FILE", "queue"], "no such right"),
        (&["acl", "allow", "FILE", "10.0.0.0/33"], "10.0.0.0/33"),
        (&["acl", "disallow", "FILE", "10.0.0.0/8"], "10.0.0.0/8"),
    ] {
        let error = fail(file, words, "");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(told), "{error}");
    }
    assert!(fail(file, &["user"], "").contains("Usage"));
    fail(
        file,
        &["acl", "set", "FILE", "stack", "q", "poll", "ann"],
        "",
    );
    fail(file, &["user", "add", "FILE", "ann", "--password", "x"], "");
    assert_eq!(std::fs::read(file).unwrap(), before);
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(fail(file, &["user", "list", "FILE"], "").contains("644"));
    let help = run(file, &["user", "--help"], "");
    assert!(help.code == Some(0) && help.out.contains("Examples:"));
}
