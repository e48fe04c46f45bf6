//! What asks the brokers. One program for all of them, so that what asks costs alike.
//!
//!     brokers-driver PEER WORK ADDRESS [--size BYTES] [--seconds S] [--connections N] [--window N] [--encrypt]
//!                    [--rate OPERATIONS] [--count MESSAGES]
//!
//! ADDRESS is `tcp://HOST:PORT`, `ipc://PATH` or, for the disk, a directory. It prints one line of JSON: operations done,
//! those and the ones that warmed up, the seconds, and percentiles of a round in nanoseconds. With `--rate`, rounds begin
//! at times that are set, all together so many in a second, however long they take. `fill` offers `--count` messages.
//! `idle` then holds its connections until standard input ends; `reqrep serve` and `reqrep work` answer until then.

mod bare;
mod client;
mod disk;
mod fan;
mod idle;
mod load;
mod mqtt;
mod nats;
mod redis;
mod reqrep;
mod stream;

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What to do.
#[derive(Clone)]
struct Args {
    peer: String,
    work: String,
    address: String,
    size: usize,
    seconds: Duration,
    connections: usize,
    /// Operations that one connection has under way.
    window: usize,
    encrypt: bool,
    /// Operations of all connections that are begun in a second; as many as there can be without it.
    rate: Option<f64>,
    count: u64,
}

impl Args {
    fn parse(words: &[String]) -> Option<Self> {
        let (fixed, mut options) = words.split_at_checked(3)?;
        let mut args = Self {
            peer: fixed[0].clone(),
            work: fixed[1].clone(),
            address: fixed[2].clone(),
            size: 1024,
            seconds: Duration::from_millis(400),
            connections: 1,
            window: 1,
            encrypt: false,
            rate: None,
            count: 1000,
        };
        while let [name, rest @ ..] = options {
            options = rest;
            if name == "--encrypt" {
                args.encrypt = true;
                continue;
            }
            let [value, rest @ ..] = rest else {
                return None;
            };
            options = rest;
            match name.as_str() {
                "--size" => args.size = value.parse().ok()?,
                "--seconds" => {
                    args.seconds = Duration::try_from_secs_f64(value.parse().ok()?).ok()?;
                }
                "--connections" => args.connections = value.parse().ok().filter(|&n| n > 0)?,
                "--window" => args.window = value.parse().ok().filter(|&n| n > 0)?,
                "--rate" => args.rate = Some(value.parse().ok().filter(|&rate| rate > 0.0)?),
                "--count" => args.count = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(args)
    }

    fn body(&self) -> Vec<u8> {
        (0..self.size).map(|i| (i * 7 + 3) as u8).collect()
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(args) = Args::parse(&words) else {
        eprintln!("usage: brokers-driver PEER WORK ADDRESS [OPTIONS]");
        return ExitCode::FAILURE;
    };
    match work(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<()> {
    let figures = match (args.peer.as_str(), args.work.as_str()) {
        ("wirebird", "requests") => load::run(args, client::Requests::new)?,
        ("wirebird", "queue") => load::run(args, client::Queue::new)?,
        ("wirebird-tasks", "queue") => load::run(args, client::Tasks::new)?,
        ("wirebird", "durable") => load::run(args, client::Durable::new)?,
        ("wirebird", "function") => load::run(args, client::Calls::new)?,
        ("wirebird-bare", "fill") => bare::fill(args)?,
        ("wirebird-bare", "queue") => load::run(args, bare::Queue::new)?,
        ("redis", "queue") => load::run(args, redis::Queue::new)?,
        ("redis", "durable") => load::run(args, redis::Durable::new)?,
        ("nats-request", "queue") => load::run(args, nats::Requests::new)?,
        ("nats-group", "queue") => load::run(args, nats::Group::new)?,
        ("nats", "durable") => {
            nats::make_stream(args)?;
            load::run(args, nats::Durable::new)?
        }
        ("raw", "durable") => disk::run(args)?,
        ("reqrep", "requests" | "function") | ("req", "function") => {
            load::run(args, reqrep::Asking::new)?
        }
        ("reqrep", "serve" | "work") => return reqrep::serve(args),
        ("wirebird", "fan") => fan::run::<bare::Fan>(args)?,
        ("nats", "fan") => fan::run::<nats::Fan>(args)?,
        ("mosquitto", "fan") => fan::run::<mqtt::Fan>(args)?,
        (_, "idle") => return idle::hold(args),
        (peer, work) => return Err(format!("{peer} cannot do {work}").into()),
    };
    say(&figures.json())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Until standard input ends.
fn hold() -> Result<()> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
