//! `wirebird wal`, as a process.

use std::fs;
use std::path::Path;
use std::process::Command;

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(words: &[&str]) -> Done {
    let done = Command::new(env!("CARGO_BIN_EXE_wirebird"))
        .arg("wal")
        .args(words)
        .output()
        .unwrap();
    Done {
        code: done.status.code(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

fn sample(name: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/wal")
        .join(name);
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

fn damage(directory: &Path) {
    let path = directory.join("segment-00000000000000000001.wal");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes
        .windows(5)
        .position(|window| window == b"hello")
        .unwrap();
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_sound_log_is_checked_and_dumped() {
    let directory = sample("version-1");
    let path = directory.path().to_str().unwrap();
    let done = run(&["check", path]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(
        done.out.starts_with("2 segments, 9 records, "),
        "{}",
        done.out
    );
    assert!(done.out.ends_with("; 2 queues, 2 items\n"), "{}", done.out);
    let done = run(&["dump", path]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let lines = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    assert_eq!(lines.len(), 14);
    let item = lines
        .iter()
        .find(|line| line["operation"] == "item-appended")
        .unwrap();
    assert_eq!(item["file"], "segment-00000000000000000001.wal");
    assert_eq!((&item["queue"], &item["record"]), (&1.into(), &3.into()));
    assert!(item["message"].to_string().contains("hello"), "{item}");
}

#[test]
fn damage_exits_with_1_until_it_is_repaired() {
    let directory = sample("version-1");
    damage(directory.path());
    let path = directory.path().to_str().unwrap();
    let done = run(&["check", path]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(1), "The log is damaged in 1 place.\n")
    );
    assert!(done.out.contains("record 3 missing"), "{}", done.out);
    let done = run(&["dump", path]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.out.contains("\"operation\":\"damage\""),
        "{}",
        done.out
    );
    let done = run(&["repair", path]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(done.out.contains("copied to quarantine-"), "{}", done.out);
    let done = run(&["check", path]);
    assert_eq!(done.code, Some(0));
    assert!(
        done.out.contains("missing for long: record 3"),
        "{}",
        done.out
    );
}

#[test]
fn what_cannot_be_done_exits_with_2_and_says_why() {
    let directory = sample("version-1-encrypted");
    let path = directory.path().to_str().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    for (words, told) in [
        (&["check", missing][..], "cannot list"),
        (&["repair", missing], "cannot list"),
        (&["check", path], "a key is needed"),
        (&["check", path, "--key-file", missing], "cannot be read"),
    ] {
        let done = run(words);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            done.err.contains(told) && done.err.lines().count() == 1,
            "{}",
            done.err
        );
    }
    let done = run(&["--help"]);
    assert!(
        done.code == Some(0) && done.out.contains("Examples:"),
        "{}",
        done.out
    );
}
