//! The data directory of a broker's process: one that may not be written to, and one that another process has.

mod peers;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use peers::Program;
use tempfile::TempDir;
use wirebird::broker::{Broker, BrokerOptions, Client, LogOptions, Message, QueueOptions, wal};

const LISTEN: [&str; 3] = ["broker", "--listen", "tcp://127.0.0.1:0"];
const NOBODY: u32 = 65534;

/// A directory with a message in a durable queue.
fn sample() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let log = LogOptions::new(directory.path()).segment_size(16 << 10);
    let options = BrokerOptions::new().open_admin(true).log(&log);
    let broker = Broker::with_options(&options).expect("a broker");
    let durable = QueueOptions::new(10).durable(true);
    broker.create_queue_with("jobs", &durable).expect("made");
    let listener = broker.listen("inproc://directory").expect("listens");
    let client = Client::connect(&listener.url()).expect("connects");
    let message = Message::plain_text(None, "", "kept").expect("a message");
    let offered = client.offer("jobs", message.with_durable(true), Duration::ZERO);
    offered.expect("offered");
    directory
}

/// The files of a directory and their bytes.
fn content(directory: &Path) -> Vec<(OsString, Vec<u8>)> {
    let files = fs::read_dir(directory).expect("a directory");
    let mut files: Vec<_> = files
        .map(|file| file.expect("a file"))
        .map(|file| (file.file_name(), fs::read(file.path()).expect("a file")))
        .collect();
    files.sort();
    files
}

/// Keeps processes from writing to a directory: by a mount, since its permissions do not count for root, and by its
/// permissions where nothing can be mounted.
struct ReadOnly {
    directory: PathBuf,
    mounted: bool,
}

impl ReadOnly {
    fn new(directory: &Path) -> Self {
        let path = directory.as_os_str();
        let mount = |words: &[&str]| {
            let done = Command::new("mount").args(words).arg(path).output();
            done.is_ok_and(|done| done.status.success())
        };
        let bound = mount(&["--bind", directory.to_str().expect("a path in Unicode")]);
        let mounted = bound && mount(&["-o", "remount,bind,ro"]);
        if !mounted {
            assert!(!bound, "a mount that cannot be made read-only");
            fs::set_permissions(directory, PermissionsExt::from_mode(0o500)).expect("permissions");
        }
        Self {
            directory: directory.into(),
            mounted,
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirebird"));
        if !self.mounted && rustix::process::geteuid().is_root() {
            let files = fs::read_dir(&self.directory).expect("a directory");
            let files = files.map(|file| file.expect("a file").path());
            for path in files.chain([self.directory.clone()]) {
                chown(path, Some(NOBODY), None).expect("another owner");
            }
            command.uid(NOBODY);
        }
        command.args(words).output().expect("it runs")
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if self.mounted {
            let done = Command::new("umount").arg(&self.directory).status();
            assert!(done.is_ok_and(|status| status.success()));
        } else {
            let writable = PermissionsExt::from_mode(0o700);
            fs::set_permissions(&self.directory, writable).expect("permissions");
        }
    }
}

#[test]
fn a_directory_that_may_not_be_written_to_is_refused_with_its_path_and_stays_as_it_is() {
    let directory = sample();
    let path = directory.path().to_str().expect("a path in Unicode");
    let missing = format!("{path}/missing");
    let before = content(directory.path());
    let read_only = ReadOnly::new(directory.path());
    for words in [
        &[&LISTEN[..], &["--data-dir", path]].concat()[..],
        &[&LISTEN[..], &["--data-dir", &missing]].concat(),
        &["wal", "repair", path],
    ] {
        let done = read_only.run(words);
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success(), "{words:?}: {told}");
        let why = ["Read-only file system", "Permission denied"];
        assert!(
            told.contains(path) && why.iter().any(|why| told.contains(why)),
            "{words:?}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{words:?}: {told}");
    }
    // Looking is allowed.
    let done = read_only.run(&["wal", "check", path]);
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).ends_with("1 queues, 1 items\n"));
    drop(read_only);
    assert_eq!(content(directory.path()), before);
    assert_eq!(wal::repair(directory.path(), None).expect("opens").items, 1);
}

#[test]
fn a_second_process_is_told_who_has_the_directory_and_the_first_goes_on() {
    let directory = sample();
    let path = directory.path().to_str().expect("a path in Unicode");
    let words = [&LISTEN[..], &["--data-dir", path]].concat();
    let first = Program::wirebird().start(&words);
    let url = first.line("Listening at: ");
    first.line("Ready");
    for words in [
        &words[..],
        &["wal", "check", path],
        &["wal", "dump", path],
        &["wal", "repair", path],
    ] {
        let second = Program::wirebird().run(words);
        assert_ne!(second.code, Some(0), "{words:?}");
        let told = format!("in use by the process {}\n", first.id());
        assert!(second.err.ends_with(&told), "{words:?}: {}", second.err);
    }
    let client = Client::connect(url.trim()).expect("connects");
    let message = client.poll("jobs", Duration::ZERO).expect("a message");
    assert_eq!(message.payload_text().expect("text"), "kept");
    drop(client);
    // A lock ends with its process, however that ends.
    first.kill();
    let second = Program::wirebird().start(&words);
    second.line("Ready");
}
