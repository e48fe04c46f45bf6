//! Threads, each with a connection, that do the same for a while.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Args, Result};

/// What one thread does over and over.
pub trait Work {
    /// One round; how many operations it was.
    fn round(&mut self) -> Result<u64>;
}

/// What was done.
pub struct Figures {
    pub operations: u64,
    /// Those, and what was done to warm up.
    pub all: u64,
    pub time: Duration,
    /// Of the rounds, sorted, in nanoseconds.
    pub times: Vec<u64>,
}

impl Figures {
    pub fn json(&self) -> String {
        let at = |part: usize| self.times.get(self.times.len() * part / 1000).unwrap_or(&0);
        format!(
            r#"{{"operations":{},"all":{},"seconds":{:.9},"p50":{},"p99":{}}}"#,
            self.operations,
            self.all,
            self.time.as_secs_f64(),
            at(500),
            at(990),
        )
    }
}

struct Tally {
    /// Operations that warmed up.
    warm: u64,
    operations: u64,
    times: Vec<u64>,
    begun: Instant,
    ended: Instant,
}

impl Tally {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            warm: 0,
            operations: 0,
            times: Vec::new(),
            begun: now,
            ended: now,
        }
    }
}

/// Runs one `Work` for each connection. All are made before the first begins, and warm up for a quarter of the time.
pub fn run<W: Work>(args: &Args, make: fn(&Args, usize) -> Result<W>) -> Result<Figures> {
    let start = Barrier::new(args.connections);
    let failed = AtomicBool::new(false);
    let tallies = thread::scope(|scope| {
        let running: Vec<_> = (0..args.connections)
            .map(|number| {
                let (start, failed) = (&start, &failed);
                scope.spawn(move || {
                    let made = make(args, number);
                    failed.fetch_or(made.is_err(), Ordering::Relaxed);
                    start.wait();
                    let mut work = made?;
                    if failed.load(Ordering::Relaxed) {
                        // The thread that has failed says why.
                        return Ok(Tally::new());
                    }
                    let pace = args
                        .rate
                        .map(|rate| Pace::new(rate, args.connections, number));
                    let warm = repeat(&mut work, args.seconds / 4, pace);
                    start.wait();
                    let warm = warm?.operations;
                    let tally = repeat(&mut work, args.seconds, pace)?;
                    Ok(Tally { warm, ..tally })
                })
            })
            .collect();
        let ended = running.into_iter().map(|thread| match thread.join() {
            Ok(tally) => tally,
            Err(_) => Err("a thread has panicked".into()),
        });
        ended.collect::<Result<Vec<_>>>()
    })?;
    let begun = tallies.iter().map(|tally| tally.begun).min();
    let ended = tallies.iter().map(|tally| tally.ended).max();
    let mut times: Vec<u64> = tallies
        .iter()
        .flat_map(|tally| &tally.times)
        .copied()
        .collect();
    times.sort_unstable();
    let operations = tallies.iter().map(|tally| tally.operations).sum();
    Ok(Figures {
        operations,
        all: operations + tallies.iter().map(|tally| tally.warm).sum::<u64>(),
        time: begun.zip(ended).map(|(a, b)| b - a).unwrap_or_default(),
        times,
    })
}

/// When a thread begins its rounds.
#[derive(Clone, Copy)]
struct Pace {
    first: Duration,
    interval: Duration,
}

impl Pace {
    /// The threads' rounds come one behind the other.
    fn new(rate: f64, threads: usize, number: usize) -> Self {
        Self {
            first: Duration::from_secs_f64(number as f64 / rate),
            interval: Duration::from_secs_f64(threads as f64 / rate),
        }
    }

    /// Waits for a round, and returns since when it takes. One that the last round has held up has waited since it was
    /// due; that this thread was woken late is none of the broker's time.
    fn wait(self, begun: Instant, round: usize) -> Instant {
        let due = begun + self.first + self.interval * round as u32;
        let early = due.saturating_duration_since(Instant::now());
        if early.is_zero() {
            return due;
        }
        thread::sleep(early);
        Instant::now()
    }
}

fn repeat(work: &mut impl Work, time: Duration, pace: Option<Pace>) -> Result<Tally> {
    let mut tally = Tally::new();
    tally.times.reserve(1 << 16);
    while tally.ended - tally.begun < time {
        let last = match pace {
            Some(pace) => pace.wait(tally.begun, tally.times.len()),
            None => tally.ended,
        };
        tally.operations += work.round()?;
        tally.ended = Instant::now();
        tally.times.push((tally.ended - last).as_nanos() as u64);
    }
    Ok(tally)
}
