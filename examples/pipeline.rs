//! Pipeline: a source pushes jobs to workers that take turns, and the workers push results to a sink.
//!
//! ```sh
//! cargo run --example pipeline [URL]
//! ```
//!
//! The URL is where the workers fetch their jobs.

use std::time::Duration;
use std::{env, thread};

use wirebird::{Error, Pull, Push, Result};

const WORKERS: usize = 2;
const JOBS: u64 = 10;

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let source = Push::new()?;
    let jobs = source.listen(&url)?;
    let sink = Pull::new()?;
    let results = sink.listen("inproc://pipeline-results")?;
    println!("jobs are at {}", jobs.url());

    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (jobs, results) = (jobs.url(), results.url());
            thread::spawn(move || work(&jobs, &results))
        })
        .collect();
    source.wait_for_peers(WORKERS, Duration::from_secs(10))?;

    for job in 1..=JOBS {
        source.send(&job.to_be_bytes()[..])?;
    }
    // An empty message tells a worker to stop. Workers take turns, so each gets one.
    for _ in 0..WORKERS {
        source.send("")?;
    }
    let mut sum = 0;
    for _ in 0..JOBS {
        sum += sink.recv()?.trim_u64()?;
    }
    println!("the squares of 1 to {JOBS} add up to {sum}");
    let mut done = 0;
    for worker in workers {
        done += worker.join().expect("a worker does not panic")?;
    }
    println!("{WORKERS} workers did {done} jobs");
    Ok(())
}

/// Squares numbers until told to stop. Returns how many it did.
fn work(jobs: &str, results: &str) -> Result<u64> {
    let (pull, push) = (Pull::new()?, Push::new()?);
    push.dial(results)?;
    pull.dial(jobs)?;
    for done in 0.. {
        let mut job = pull.recv()?;
        if job.is_empty() {
            // Dropping the sockets closes them, and closing delivers what was sent.
            return Ok(done);
        }
        let number = job.trim_u64()?;
        job.append_u64(number * number);
        push.send(job)?;
    }
    Err(Error::Closed)
}
