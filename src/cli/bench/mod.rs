//! `wirebird bench`: how many requests a broker answers.
//!
//! Each connection sends requests of random bytes that are answered with nothing, and has one under way at a time.

mod report;
mod run;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use wirebird::broker::{Broker, BrokerOptions, ClientOptions, Error};

use super::buffers::Buffers;
use super::client::{Security, connect, seconds};
use super::failure::{Failure, exit};
use super::signals::Signals;
use super::size::Size;
use super::tls::Files;
use run::Plan;

/// The longest payload that a broker can be made to take.
const LONGEST: usize = 250 << 20;

/// The arguments of `wirebird bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    /// The broker to measure; without it, one that this command starts on loopback
    url: Option<String>,
    /// Start a broker of its own at the URL, rather than measure one that is there
    #[arg(long, requires = "url")]
    own: bool,
    /// Random bytes in each request, as 512B, 5KB or 50MB
    #[arg(long, default_value = "5KB", value_parser = payload_size)]
    size: Size,
    /// How long to measure, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = some_seconds)]
    duration: Duration,
    /// Connections, each with one request under way
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    connections: u16,
    /// How long to warm up over one connection before, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    ramp_up: Duration,
    /// Have the requests not answered; the time ends when the broker has taken the last one
    #[arg(long)]
    oneway: bool,
    #[command(flatten)]
    security: Security,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    buffers: Buffers,
    #[command(flatten)]
    tls: Files,
}

const EXAMPLES: &str = "Examples:
  wirebird bench
  wirebird bench tcp://127.0.0.1:7420 --size 5KB --duration 5 --connections 4 --ramp-up 1
  wirebird bench ipc:///tmp/bench.sock --own --encrypt --json

A KB has 1024 bytes, a MB 1024 KB. Ctrl-C ends the measurement early, with the figures up to then.";

fn payload_size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if size.0 > LONGEST {
        return Err("no broker takes more than 250MB".into());
    }
    Ok(size)
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() {
        return Err("there is nothing to measure in no time".into());
    }
    Ok(time)
}

/// Measures, and prints the figures.
pub(super) fn main(command: &Command) -> ExitCode {
    exit(measure(command))
}

fn measure(command: &Command) -> Result<(), Failure> {
    /// How long one request may take, and it may be long.
    const PATIENCE: Duration = Duration::from_secs(60);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    Signals::catch()
        .and_then(|signals| signals.then(move || told.store(true, Ordering::Relaxed)))
        .map_err(Failure::failed)?;
    let own = match &command.url {
        None => Some(start("tcp://127.0.0.1:0", command.buffers)?),
        Some(url) if command.own => Some(start(url, command.buffers)?),
        Some(_) => None,
    };
    let url = own.as_ref().map(|(_, url)| url).or(command.url.as_ref());
    let url = url.ok_or_else(|| Failure::input("there is no broker to measure"))?;
    let options = ClientOptions::new().timeout(PATIENCE);
    let options = command.security.apply(options)?;
    let clients = (0..command.connections)
        .map(|_| connect(url, options.clone(), command.buffers, &command.tls))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = Plan {
        size: command.size.0,
        duration: command.duration,
        ramp_up: command.ramp_up,
        oneway: command.oneway,
    };
    if io::stderr().is_terminal() {
        let seconds = (plan.ramp_up + plan.duration).as_secs_f64();
        eprintln!("Measuring {url} for {seconds:.1} s");
    }
    let figures = run::run(&plan, &clients, &stop)?;
    let text = if command.json {
        figures.json(command)
    } else {
        figures.text(command)
    };
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::failed(format_args!("Cannot write: {error}")))
}

/// A broker in this process, and where it listens.
fn start(url: &str, buffers: Buffers) -> Result<(Broker, String), Failure> {
    let options = BrokerOptions::new().max_message_size(LONGEST);
    let broker = Broker::with_options(&options).map_err(Failure::failed)?;
    let listen = || {
        let listener = broker.listener(url)?;
        listener.set_options(&buffers.apply(listener.options()))?;
        listener.start()?;
        Ok(listener.url())
    };
    let url = listen().map_err(|error: Error| {
        Failure::failed(format_args!("Cannot start a broker at {url}: {error}"))
    })?;
    Ok((broker, url))
}
