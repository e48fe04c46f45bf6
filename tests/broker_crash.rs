//! Brokers that are killed. Producers and consumers keep their own books: every offer that was answered with OK is there
//! afterwards, in its order, and what was acknowledged does not come back.
//!
//! `WIREBIRD_CRASH_ROUNDS` says how often, 5 times without it.

mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peers::{DEADLINE, Program};
use wirebird::broker::{Client, ClientOptions, Message, QueueOptions};

const PRODUCERS: u64 = 4;
const CONSUMERS: usize = 2;

/// A broker's process, and where it listens.
struct Started {
    process: peers::Running,
    url: String,
}

impl Started {
    fn start(directory: &Path, more: &[&str]) -> Self {
        let config = directory.join("broker.toml");
        // Small files, so that the log goes through some in each round.
        let text = "data-dir = 'log'\nlog.segment-size = '256KB'\n";
        std::fs::write(&config, text).expect("a file");
        let config = config.to_str().expect("a path in Unicode");
        let listen = [
            "broker",
            "--listen",
            "tcp://127.0.0.1:0",
            "--config",
            config,
        ];
        let process = Program::wirebird().start(listen.iter().chain(more));
        let listening = process.line("Listening at: ");
        let url = listening
            .trim_start_matches("Listening at: ")
            .trim()
            .to_owned();
        process.line("Ready");
        Self { process, url }
    }

    fn client(&self) -> Client {
        // Who has a request to make while nobody is there does not wait for long.
        let options = ClientOptions::new().timeout(Duration::from_secs(2));
        Client::connect_with(&self.url, &options).expect("connects")
    }
}

/// What the world outside knows of.
#[derive(Default)]
struct Books {
    /// Each producer's numbers that were answered with OK.
    accepted: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// What consumers have done with, after the broker had said so.
    settled: Mutex<BTreeSet<(u64, u64)>>,
    /// What they have said is done, and do not know whether the broker has heard.
    unsure: Mutex<BTreeSet<(u64, u64)>>,
    offered: AtomicU64,
}

fn named(text: &str) -> (u64, u64) {
    let (producer, number) = text.split_once('/').expect("a producer and a number");
    let number = number.trim_end_matches('.');
    (producer.parse().unwrap(), number.parse().unwrap())
}

impl Books {
    fn produce(&self, client: &Client, producer: u64, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let number = self.offered.fetch_add(1, Ordering::Relaxed);
            let padding = ".".repeat((number as usize * 37) % 3000);
            let message = Message::plain_text(None, "", format!("{producer}/{number}{padding}"));
            let message = message.unwrap().with_durable(true);
            if client.offer("jobs", message, Duration::ZERO).is_err() {
                return;
            }
            let mut accepted = self.accepted.lock().unwrap();
            accepted.entry(producer).or_default().push(number);
        }
    }

    fn consume(&self, client: &Client, stop: &AtomicBool) {
        let wait = Duration::from_millis(20);
        while !stop.load(Ordering::Relaxed) {
            let leased = match client.poll_leased("jobs", wait, Duration::MAX) {
                Ok(leased) => leased,
                Err(error) if error.status().is_some() => continue,
                Err(_) => return,
            };
            let name = named(&leased.message().payload_text().unwrap());
            assert!(
                !self.settled.lock().unwrap().contains(&name),
                "{name:?} came back"
            );
            self.unsure.lock().unwrap().insert(name);
            if leased.ack().is_err() {
                return;
            }
            self.unsure.lock().unwrap().remove(&name);
            self.settled.lock().unwrap().insert(name);
        }
    }

    /// All that must be there is, in its order, and nothing that must not.
    fn check(&self, client: &Client) {
        let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        while let Ok(message) = client.poll("jobs", Duration::ZERO) {
            let (producer, number) = named(&message.payload_text().unwrap());
            seen.entry(producer).or_default().push(number);
        }
        let (settled, unsure) = (self.settled.lock().unwrap(), self.unsure.lock().unwrap());
        for (producer, numbers) in &*self.accepted.lock().unwrap() {
            let there = seen.remove(producer).unwrap_or_default();
            assert!(
                there.is_sorted(),
                "the order of producer {producer}: {there:?}"
            );
            let there: BTreeSet<u64> = there.into_iter().collect();
            for &number in numbers {
                let name = (*producer, number);
                let is_there = there.contains(&number);
                if settled.contains(&name) {
                    assert!(!is_there, "{name:?} was acknowledged and came back");
                } else {
                    assert!(is_there || unsure.contains(&name), "{name:?} is lost");
                }
            }
        }
    }
}

/// In memory where there is such a place: the system survives, and a disk that is busy with other things is slow.
fn directory() -> tempfile::TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a directory")
}

fn killed_under_load(more: &[&str]) {
    let rounds = std::env::var("WIREBIRD_CRASH_ROUNDS");
    let rounds: u64 = rounds.map_or(5, |rounds| rounds.parse().expect("a number"));
    let directory = directory();
    let running = Started::start(directory.path(), more);
    let durable = QueueOptions::new(1_000_000).durable(true);
    running
        .client()
        .create_queue_with("jobs", &durable)
        .unwrap();
    let mut running = Some(running);
    for round in 0..rounds {
        let books = Books::default();
        let stop = AtomicBool::new(false);
        let broker = running.take().unwrap();
        thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let (books, stop, client) = (&books, &stop, broker.client());
                scope.spawn(move || books.produce(&client, producer, stop));
            }
            for _ in 0..CONSUMERS {
                let (books, stop, client) = (&books, &stop, broker.client());
                scope.spawn(move || books.consume(&client, stop));
            }
            // At another moment in each round: after so many offers, whatever the log is doing then.
            let until = Instant::now() + DEADLINE;
            while books.offered.load(Ordering::Relaxed) < 50 + round * 97 % 400 {
                assert!(Instant::now() < until, "the producers do nothing");
                thread::yield_now();
            }
            broker.process.kill();
            stop.store(true, Ordering::Relaxed);
        });
        let again = Started::start(directory.path(), more);
        books.check(&again.client());
        running = Some(again);
    }
}

#[test]
fn a_broker_that_is_killed_loses_nothing_that_it_has_accepted() {
    killed_under_load(&[]);
}

#[test]
fn a_broker_with_a_compressed_log_loses_nothing_either() {
    killed_under_load(&["--log-compress", "--log-compact"]);
}

#[test]
fn a_broker_that_does_not_sync_loses_nothing_while_the_system_lives() {
    killed_under_load(&["--log-sync", "none"]);
}
