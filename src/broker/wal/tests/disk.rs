//! The log on the real file system.

use std::process::Command;
use std::time::Instant;

use super::super::disk::Disk;
use super::super::storage::Storage;
use super::super::{check, dump, repair};
use super::*;

fn on_disk(directory: &std::path::Path, options: Options) -> Result<Recovered, WalError> {
    Recovered::open(Arc::new(Disk::make(directory).unwrap()), options)
}

#[test]
fn threads_that_commit_at_once_find_everything_again() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 256 << 10,
        ..Options::default()
    };
    let log = on_disk(directory.path(), options.clone()).unwrap();
    let log = log.start(Box::new(|| {})).unwrap();
    std::thread::scope(|scope| {
        for queue in 0..4 {
            let log = &log;
            scope.spawn(move || {
                commit(log, |batch| {
                    batch.make_queue(queue, &format!("q{queue}"), b"")
                });
                for item in 0..100 {
                    commit(log, |batch| {
                        batch.append(queue, item, &ItemMeta::default(), &[queue as u8; 3000]);
                    });
                }
            });
        }
    });
    let counters = log.status().counters;
    assert!(counters.segments > 3 && counters.syncs > 0, "{counters:?}");
    drop(log);
    let recovered = on_disk(directory.path(), options).unwrap();
    assert_eq!(items(&recovered).len(), 400);
    assert_eq!(recovered.queues().count(), 4);
}

#[test]
fn a_second_opener_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = on_disk(directory.path(), options()).unwrap();
    let in_use = |result: Result<(), WalError>| {
        let Err(WalError::InUse { pid }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(pid, Some(std::process::id()));
    };
    in_use(on_disk(directory.path(), options()).map(drop));
    in_use(check(directory.path(), None).map(drop));
    in_use(repair(directory.path(), None).map(drop));
    drop(first);
    on_disk(directory.path(), options()).unwrap();
}

#[test]
fn tools_need_a_directory_and_change_nothing_where_they_only_look() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere");
    assert!(matches!(check(&nowhere, None), Err(WalError::Io { .. })));
    assert!(matches!(repair(&nowhere, None), Err(WalError::Io { .. })));
    assert!(!nowhere.exists());
    let log = on_disk(directory.path(), options()).unwrap();
    let log = log.start(Box::new(|| {})).unwrap();
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    drop(log);
    let sizes = || {
        let files = std::fs::read_dir(directory.path()).unwrap();
        let mut sizes: Vec<_> = files
            .map(|file| file.unwrap())
            .map(|file| (file.file_name(), file.metadata().unwrap().len()))
            .collect();
        sizes.sort();
        sizes
    };
    let before = sizes();
    let mut count = 0;
    dump(directory.path(), None, |_| count += 1).unwrap();
    assert_eq!((count, sizes()), (2, before));
}

/// A file system of its own, where the user may make one.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        let done = mount.arg(directory.path()).output().ok()?;
        done.status.success().then_some(Self(directory))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_real_disk_that_is_full_takes_settlements_and_goes_on() {
    let Some(mount) = Mount::new("400k") else {
        eprintln!("not shown: this user may not mount");
        return;
    };
    let options = Options {
        background: true,
        ..options()
    };
    let disk = Disk::make(mount.0.path()).unwrap();
    space::full_and_back(Arc::new(disk), options, || {});
}

#[test]
#[ignore = "writes the files that tests/wal.rs opens, if they are missing; only for a new version of the format"]
fn the_sample_of_this_version_is_written() {
    use crate::broker::{Encoding, Message, encode};

    for (name, key) in [
        ("version-1", None),
        ("version-1-compressed", None),
        ("version-1-encrypted", Some([0x11; 32])),
    ] {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wal");
        let directory = data.join(name);
        if directory.exists() {
            // What was written once has to stay readable.
            continue;
        }
        let options = Options {
            key: key.map(super::super::Key::new),
            compress: (name != "version-1").then_some(Options::COMPRESS_FROM),
            ..options()
        };
        let meta = ItemMeta {
            accepted_at: 1_700_000_000_000,
            attempts: 0,
            not_before: 0,
            priority: 5,
        };
        let message = |text: &str| {
            let message = Message::plain_text("1", "greeting", text).unwrap();
            encode(&message, Encoding::Binary)
        };
        let start = || {
            on_disk(&directory, options.clone())
                .unwrap()
                .start(Box::new(|| {}))
        };
        let log = start().unwrap();
        commit(&log, |batch| batch.make_queue(1, "jobs", b"one"));
        commit(&log, |batch| {
            batch.make_queue(2, "results", b"two");
            batch.append(1, 0, &meta, &message("hello"));
            batch.append(1, 1, &meta, &message(&"again and ".repeat(60)));
        });
        commit(&log, |batch| batch.change(1, 0, 3, 1_700_000_001_000));
        drop(log);
        let log = start().unwrap();
        commit(&log, |batch| {
            batch.settle(1, &[1]);
            batch.append(2, 300, &meta, &message("done"));
            batch.dedupe(1, 1_700_000_002_000, b"request 7");
        });
        commit(&log, |batch| batch.note(b"a note"));
        commit(&log, |batch| batch.make_queue(3, "short-lived", b""));
        commit(&log, |batch| batch.remove_queue(3));
        drop(log);
        on_disk(&directory, options).unwrap().put_right().unwrap();
        std::fs::remove_file(directory.join("lock")).unwrap();
    }
}

// ---- figures; cargo test --release wal::tests::disk -- --ignored --nocapture --test-threads 1 ----

#[test]
#[ignore = "measures"]
fn groups_beside_raw_writes_of_the_same_size() {
    use std::os::unix::fs::FileExt;

    let parent = std::env::var("WIREBIRD_WAL_DIR").unwrap_or_else(|_| "/tmp".into());
    let directory = tempfile::tempdir_in(parent).unwrap();
    let rounds = 300;
    let file = std::fs::File::create(directory.path().join("raw")).unwrap();
    // It was written before, so that a sync has only the data to write.
    for at in 0..128 {
        file.write_all_at(&[0; 1 << 20], at << 20).unwrap();
    }
    file.sync_all().unwrap();
    let log = on_disk(&directory.path().join("log"), Options::default()).unwrap();
    let log = log.start(Box::new(|| {})).unwrap();
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    let message = [7; 1024];
    let (mut item, mut raw_at) = (0, 0);
    for group in [1, 4, 16, 64] {
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        let bytes = vec![7; group * 1080];
        // In turn, since the disk's speed changes.
        for _ in 0..rounds {
            let start = Instant::now();
            file.write_all_at(&bytes, raw_at).unwrap();
            file.sync_data().unwrap();
            raw.push(start.elapsed());
            raw_at += bytes.len() as u64;
            let start = Instant::now();
            let mut ticket = Ticket::default();
            let mut one = Batch::new();
            for _ in 0..group {
                one.clear();
                one.append(1, item, &ItemMeta::default(), &message);
                item += 1;
                ticket = log.commit(&one).unwrap();
            }
            log.wait(ticket).unwrap();
            ours.push(start.elapsed());
        }
        raw.sort();
        ours.sort();
        let sum = |times: &[std::time::Duration]| times.iter().sum::<std::time::Duration>();
        println!(
            "group of {group}: raw median {:?} mean {:?}, log median {:?} mean {:?}: {:.2} and {:.2}",
            raw[rounds / 2],
            sum(&raw) / rounds as u32,
            ours[rounds / 2],
            sum(&ours) / rounds as u32,
            ours[rounds / 2].as_secs_f64() / raw[rounds / 2].as_secs_f64(),
            sum(&ours).as_secs_f64() / sum(&raw).as_secs_f64(),
        );
    }
    println!("{:?}", log.status().counters);
}

/// What has passed, and how much of it this thread was running: others may use the processors too.
struct Stopwatch(Instant, u64);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), Self::ran())
    }

    fn ran() -> u64 {
        let known = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        known.split(' ').next().unwrap().parse().unwrap()
    }

    fn tell(&self, what: &str, bytes: u64) {
        let (all, ran) = (self.0.elapsed(), Self::ran() - self.1);
        println!(
            "{what}: {all:.2?}, {:.2} s of it running, {:.2} GB/s of that",
            ran as f64 / 1e9,
            bytes as f64 / ran as f64
        );
    }
}

/// Bytes that this process has in memory, and had at most since it was last asked.
pub(super) fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    (kilobytes("VmRSS") << 10, kilobytes("VmHWM") << 10)
}

#[test]
#[ignore = "measures"]
fn what_a_commit_costs_and_opening_a_large_log_beside_reading_its_files() {
    let parent = std::env::var("WIREBIRD_WAL_DIR").unwrap_or_else(|_| "/tmp".into());
    let directory = tempfile::tempdir_in(parent).unwrap();
    let count: u64 =
        std::env::var("WIREBIRD_WAL_ITEMS").map_or(2_000_000, |count| count.parse().unwrap());
    let options = Options {
        sync: super::super::options::SyncPolicy::None,
        ..Options::default()
    };
    let log = on_disk(directory.path(), options.clone()).unwrap();
    let log = log.start(Box::new(|| {})).unwrap();
    commit(&log, |batch| batch.make_queue(1, "q", b""));
    let message = [7; 1024];
    let mut one = Batch::new();
    let watch = Stopwatch::start();
    for item in 0..count {
        while item % 1000 == 0 && log.is_congested() {
            std::thread::yield_now();
        }
        one.clear();
        one.append(1, item, &ItemMeta::default(), &message);
        log.commit(&one).unwrap();
    }
    watch.tell("commits", count * 1024);
    drop(log);

    let (before, _) = resident();
    let (watch, mut bytes, mut buffer) = (Stopwatch::start(), 0, Vec::new());
    let disk = Disk::at(directory.path());
    for name in disk.list().unwrap() {
        let file = disk.open(&name).unwrap();
        super::super::storage::read_up_to(&*file, u64::MAX, &mut buffer).unwrap();
        bytes += buffer.len() as u64;
    }
    watch.tell("reading the files, which are in memory", bytes);
    drop(buffer);
    resident();
    let watch = Stopwatch::start();
    let recovered = on_disk(directory.path(), options).unwrap();
    watch.tell("opening", bytes);
    let (watch, mut items) = (Stopwatch::start(), 0);
    recovered.entries(|_| items += 1).unwrap();
    watch.tell("entries", bytes);
    assert_eq!(items, count);
    let (after, most) = resident();
    println!(
        "{:?}; memory: {} bytes at most, {} afterwards",
        recovered.report(),
        most - before,
        after - before
    );
}
