//! The tools of the write-ahead log, and the samples of each version of its format.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use wirebird::broker::wal::{Key, KeyFault, Operation, WalError, check, dump, repair};
use wirebird::broker::{Broker, BrokerOptions, Client, Encoding, LogOptions, Status, decode};

/// A sample, where it may be changed.
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

fn segment(number: u64) -> String {
    format!("segment-{number:020}.wal")
}

fn words(operation: &Operation<'_>) -> String {
    match operation {
        Operation::QueueMade {
            queue,
            name,
            config,
        } => {
            format!("made {queue} {name} {}", String::from_utf8_lossy(config))
        }
        Operation::QueueRemoved { queue } => format!("removed {queue}"),
        Operation::ItemAppended {
            queue,
            item,
            meta,
            message,
        } => {
            let (message, encoding) = decode(message.to_vec()).unwrap();
            assert_eq!(encoding, Encoding::Binary);
            let text = message.payload_text().unwrap();
            let text = text.replacen(&"again and ".repeat(60), "again 60 times", 1);
            let priority = meta.priority;
            format!("item {queue} {item} {} {priority} {text}", meta.accepted_at)
        }
        Operation::ItemsSettled { queue, items } => {
            format!("settled {queue} {:?}", items.collect::<Vec<_>>())
        }
        Operation::ItemChanged {
            queue,
            item,
            attempts,
            not_before,
        } => {
            format!("changed {queue} {item} {attempts} {not_before}")
        }
        Operation::Dedupe { queue, at, key } => {
            format!("key {queue} {at} {}", String::from_utf8_lossy(key))
        }
        Operation::Note(text) => format!("note {}", String::from_utf8_lossy(text)),
        other => format!("{other:?}"),
    }
}

const VERSION_1: &str = "\
note 
made 1 jobs one
made 2 results two
item 1 0 1700000000000 5 hello
item 1 1 1700000000000 5 again 60 times
changed 1 0 3 1700000001000
made 1 jobs one
made 2 results two
settled 1 [1]
item 2 300 1700000000000 5 done
key 1 1700000002000 request 7
note a note
made 3 short-lived 
removed 3
";

#[test]
fn a_log_of_version_1_is_read() {
    for (name, key) in [
        ("version-1", None),
        ("version-1-compressed", None),
        ("version-1-encrypted", Some(Key::new([0x11; 32]))),
    ] {
        let directory = sample(name);
        let mut lines = String::new();
        let report = dump(&directory, key.as_ref(), |dumped| {
            lines.push_str(&words(&dumped.operation));
            lines.push('\n');
        });
        assert_eq!(lines, VERSION_1, "{name}");
        let report = report.unwrap();
        assert!(report.is_sound() && report.torn.is_none(), "{report:?}");
        assert_eq!((report.segments, report.queues, report.items), (2, 2, 2));
        // What is written now is read together with it.
        repair(&directory, key.as_ref()).unwrap();
        let report = check(&directory, key.as_ref()).unwrap();
        assert_eq!((report.queues, report.items), (2, 2));
        assert!(report.is_sound());
    }
}

#[test]
fn a_broker_hands_out_what_a_log_of_version_1_holds() {
    for (name, key) in [
        ("version-1", None),
        ("version-1-compressed", None),
        ("version-1-encrypted", Some(Key::new([0x11; 32]))),
    ] {
        let directory = sample(name);
        let mut log = LogOptions::new(directory.path()).strict(true);
        if let Some(key) = &key {
            log = log.key(key);
        }
        let options = BrokerOptions::new().open_admin(true).log(&log);
        let broker = Broker::with_options(&options).unwrap();
        assert_eq!(broker.queues(), ["jobs", "results"], "{name}");
        let listener = broker.listen("tcp://127.0.0.1:0").unwrap();
        let client = Client::connect(&listener.url()).unwrap();
        for (queue, text, attempts) in [("jobs", "hello", 4), ("results", "done", 1)] {
            let minute = Duration::from_secs(60);
            let leased = client.poll_leased(queue, Duration::ZERO, minute).unwrap();
            let message = leased.message();
            assert_eq!(message.payload_text().unwrap(), text, "{name}");
            assert_eq!(message.request_id(), Some("1"), "{name}");
            assert_eq!(leased.attempts(), attempts, "{name}");
            leased.ack().unwrap();
            let rest = client.poll(queue, Duration::ZERO).unwrap_err();
            assert_eq!(rest.status(), Some(Status::QueueEmpty), "{name}");
        }
    }
}

#[test]
fn an_encrypted_log_wants_its_key() {
    let directory = sample("version-1-encrypted");
    assert!(matches!(
        check(&directory, None),
        Err(WalError::KeyMissing { .. })
    ));
    let wrong = Key::new([0x12; 32]);
    assert!(matches!(
        check(&directory, Some(&wrong)),
        Err(WalError::WrongKey { .. })
    ));
}

#[test]
fn a_key_file_is_for_its_owner_and_has_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let put = |content: &[u8], mode| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    };
    let encrypted = sample("version-1-encrypted");
    for content in [vec![0x11; 32], [b"11".repeat(32), b"\n".to_vec()].concat()] {
        put(&content, 0o600);
        check(&encrypted, Some(&Key::load(&file).unwrap())).unwrap();
    }
    let fault = || match Key::load(&file) {
        Err(WalError::Key { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    put(&[0x11; 31], 0o600);
    assert!(matches!(fault(), KeyFault::Content(31)));
    put(&b"1g".repeat(32), 0o600);
    assert!(matches!(fault(), KeyFault::Content(64)));
    put(&[0x11; 32], 0o640);
    assert!(matches!(fault(), KeyFault::Permissions(0o640)));
    fs::remove_file(&file).unwrap();
    assert!(matches!(fault(), KeyFault::Io(_)));
}

#[test]
fn damage_is_told_kept_aside_and_then_known() {
    let directory = sample("version-1");
    let path = directory.path().join(segment(1));
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes
        .windows(5)
        .position(|window| window == b"hello")
        .unwrap();
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = check(&directory, None).unwrap();
    let [damage] = &report.damage[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (damage.file.as_str(), damage.records),
        (segment(1).as_str(), (3, 3))
    );
    assert!((damage.offset..damage.offset + damage.length).contains(&(place as u64)));
    let repaired = repair(&directory, None).unwrap();
    let side_file = repaired.damage[0].side_file.as_ref().unwrap();
    let aside = fs::read(directory.path().join(side_file)).unwrap();
    assert!(aside.windows(5).any(|window| window == b"iello"));
    let after = check(&directory, None).unwrap();
    assert!(after.is_sound());
    assert_eq!(after.known, [(3, 3)]);
}

#[test]
fn a_torn_end_is_cut_and_is_no_damage() {
    let directory = sample("version-1");
    let path = directory.path().join(segment(2));
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 6)
        .unwrap();
    let report = check(&directory, None).unwrap();
    assert!(report.is_sound());
    let torn = report.torn.unwrap();
    assert_eq!(torn.file, segment(2));
    repair(&directory, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), torn.offset);
    assert_eq!(check(&directory, None).unwrap().torn, None);
}
