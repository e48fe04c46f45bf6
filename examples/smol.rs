//! A pipeline under smol: tasks of a small executor pull jobs and push results.
//!
//! ```sh
//! cargo run --example smol [URL]
//! ```
//!
//! The URL is where the workers fetch their jobs.

use std::env;
use std::time::Duration;

use smol::future::try_zip;
use wirebird::{Error, Pull, Push, Result};

const WORKERS: usize = 2;
const JOBS: u64 = 100;

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    smol::block_on(run(&url))
}

async fn run(url: &str) -> Result<()> {
    let (source, sink) = (Push::new()?, Pull::new()?);
    let jobs = source.listen(url)?.url();
    let results = sink.listen("inproc://smol-results")?.url();
    println!("jobs are at {jobs}");
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| smol::spawn(work(jobs.clone(), results.clone())))
        .collect();
    source
        .wait_for_peers_async(WORKERS, Duration::from_secs(10))
        .await?;

    // Jobs go out and results come in at the same time, on one thread.
    let give = async {
        for job in 1..=JOBS {
            source.send_async(job.to_be_bytes()).await?;
        }
        Ok::<_, Error>(())
    };
    let take = async {
        let mut sum = 0;
        for _ in 0..JOBS {
            sum += sink.recv_async().await?.trim_u64()?;
        }
        Ok(sum)
    };
    let ((), sum) = try_zip(give, take).await?;
    println!("the squares of 1 to {JOBS} add up to {sum}");

    // Tasks that are dropped are cancelled in the middle of a receive, which loses nothing.
    drop(workers);
    source.close_async().await?;
    sink.close_async().await
}

async fn work(jobs: String, results: String) -> Result<()> {
    let (pull, push) = (Pull::new()?, Push::new()?);
    push.dial_async(&results).await?;
    pull.dial_async(&jobs).await?;
    loop {
        let mut job = pull.recv_async().await?;
        let number = job.trim_u64()?;
        job.append_u64(number * number);
        push.send_async(job).await?;
    }
}
