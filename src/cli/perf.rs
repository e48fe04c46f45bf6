//! `wirebird perf`: the latency and throughput tests of nng's perf tools. Either end may be nng's.
//!
//! *local* listens and *remote* dials. A latency test bounces one message `count` times between them; remote
//! measures. In a throughput test, remote sends an empty message, which starts the clock of local, and then `count`
//! messages; local measures, and sends an empty message back where the protocol can.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

mod report;
mod run;

use super::tls::Files;
use run::run;

/// The arguments of `wirebird perf`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    #[command(subcommand)]
    test: Test,
}

const EXAMPLES: &str = "Examples:
  wirebird perf local_lat tcp://127.0.0.1:5555 64 100000 &
  wirebird perf remote_lat tcp://127.0.0.1:5555 64 100000
  wirebird perf local_thr ipc:///tmp/thr 1024 1000000 --pushpull &
  wirebird perf remote_thr ipc:///tmp/thr 1024 1000000 --pushpull
  wirebird perf inproc_lat 64 100000 --reqrep --json

Both ends need the same size, count and protocol.";

#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
enum Test {
    /// Listens and sends every message back
    LocalLat(Remote),
    /// Dials and measures round trips
    RemoteLat(Remote),
    /// Listens and measures how fast messages arrive
    LocalThr(Remote),
    /// Dials and sends messages
    RemoteThr(Remote),
    /// Measures round trips between two sockets of this process
    InprocLat(Inproc),
    /// Measures how fast messages pass between two sockets of this process
    InprocThr(Inproc),
}

/// What a test over a transport is told.
#[derive(Debug, Args)]
struct Remote {
    url: String,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    tls: Files,
}

/// What a test within the process is told.
#[derive(Debug, Args)]
struct Inproc {
    #[command(flatten)]
    load: Load,
    /// Another address for the two sockets to meet at
    #[arg(long, default_value = "inproc://wirebird-perf")]
    url: String,
}

#[derive(Debug, Clone, Args)]
struct Load {
    /// Length of each message in bytes
    #[arg(value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    size: u32,
    /// How many messages or round trips
    #[arg(value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    count: u32,
    #[command(flatten)]
    flags: Flags,
    /// Print one JSON object, with percentiles of the latency
    #[arg(long)]
    json: bool,
}

/// At most one protocol; pair1 is nng's default.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct Flags {
    /// Pair version 0
    #[arg(long)]
    pair0: bool,
    /// Pair version 1 (the default)
    #[arg(long)]
    pair1: bool,
    /// Bus (latency only)
    #[arg(long, alias = "bus")]
    bus0: bool,
    /// Request and reply (latency only)
    #[arg(long, alias = "reqrep0")]
    reqrep: bool,
    /// Pipeline (throughput only)
    #[arg(long, aliases = ["pipeline0", "pipeline"])]
    pushpull: bool,
    /// Publish and subscribe (throughput only); counts what arrives, since a fast publisher drops
    #[arg(long, alias = "pubsub0")]
    pubsub: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Pair0,
    Pair1,
    Bus,
    ReqRep,
    PushPull,
    PubSub,
}

impl Flags {
    fn pattern(&self) -> Pattern {
        match self {
            Self { pair0: true, .. } => Pattern::Pair0,
            Self { bus0: true, .. } => Pattern::Bus,
            Self { reqrep: true, .. } => Pattern::ReqRep,
            Self { pushpull: true, .. } => Pattern::PushPull,
            Self { pubsub: true, .. } => Pattern::PubSub,
            _ => Pattern::Pair1,
        }
    }
}

impl Test {
    fn load(&self) -> &Load {
        match self {
            Self::LocalLat(args) | Self::RemoteLat(args) => &args.load,
            Self::LocalThr(args) | Self::RemoteThr(args) => &args.load,
            Self::InprocLat(args) | Self::InprocThr(args) => &args.load,
        }
    }

    fn measures_latency(&self) -> bool {
        matches!(
            self,
            Self::LocalLat(_) | Self::RemoteLat(_) | Self::InprocLat(_)
        )
    }

    /// A one-way protocol has no round trips, and one that drops or waits for replies no throughput to speak of.
    fn check(&self) -> Result<(), String> {
        match (self.load().flags.pattern(), self.measures_latency()) {
            (Pattern::Pair0 | Pattern::Pair1, _) => Ok(()),
            (Pattern::Bus | Pattern::ReqRep, true) => Ok(()),
            (Pattern::PushPull | Pattern::PubSub, false) => Ok(()),
            (_, true) => Err("This protocol goes one way: it has no latency test.".into()),
            (_, false) => Err("This protocol has no throughput test.".into()),
        }
    }
}

/// Runs one test and prints its figures; errors exit with 2, as with nng's tools.
pub(super) fn main(command: &Command) -> ExitCode {
    let done = command
        .test
        .check()
        .and_then(|()| run(&command.test))
        .and_then(|report| {
            let Some(report) = report else {
                return Ok(());
            };
            let json = command.test.load().json;
            let text = if json { report.json() } else { report.text() };
            let written = io::stdout().lock().write_all(text.as_bytes());
            written.map_err(|error| format!("Cannot write: {error}"))
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        perf: Command,
    }

    fn test(line: &str) -> Result<Test, String> {
        let words = ["perf"].into_iter().chain(line.split(' '));
        match Line::try_parse_from(words) {
            Ok(line) => Ok(line.perf.test),
            Err(error) => Err(error.to_string()),
        }
    }

    fn checked(line: &str) -> bool {
        test(line).is_ok_and(|test| test.check().is_ok())
    }

    #[test]
    fn tests_have_nngs_names_and_arguments() {
        for name in ["local_lat", "remote_lat", "local_thr", "remote_thr"] {
            let parsed = test(&format!("{name} tcp://h:1 64 1000")).unwrap();
            assert_eq!((parsed.load().size, parsed.load().count), (64, 1000));
            assert_eq!(parsed.load().flags.pattern(), Pattern::Pair1);
        }
        for name in ["inproc_lat", "inproc_thr"] {
            let parsed = test(&format!("{name} 0 1 --json")).unwrap();
            assert_eq!((parsed.load().size, parsed.load().json), (0, true));
        }
    }

    #[test]
    fn sizes_and_counts_are_numbers_up_to_a_billion() {
        for line in [
            "inproc_lat x 1",
            "inproc_lat 1 -1",
            "inproc_lat 1000000001 1",
            "inproc_lat 1",
            "bogus 1 1",
        ] {
            assert!(test(line).is_err(), "{line}");
        }
    }

    #[test]
    fn there_is_one_protocol() {
        assert!(test("inproc_lat 1 1 --pair0 --bus0").is_err());
        for (flag, pattern) in [
            ("pair0", Pattern::Pair0),
            ("pair1", Pattern::Pair1),
            ("bus0", Pattern::Bus),
            ("reqrep0", Pattern::ReqRep),
            ("pipeline0", Pattern::PushPull),
            ("pubsub", Pattern::PubSub),
        ] {
            let parsed = test(&format!("inproc_lat 1 1 --{flag}")).unwrap();
            assert_eq!(parsed.load().flags.pattern(), pattern, "{flag}");
        }
    }

    #[test]
    fn each_protocol_has_the_tests_it_can_do() {
        assert!(checked("inproc_lat 1 1 --reqrep") && !checked("inproc_thr 1 1 --reqrep"));
        assert!(checked("inproc_lat 1 1 --bus0") && !checked("inproc_thr 1 1 --bus0"));
        assert!(!checked("inproc_lat 1 1 --pushpull") && checked("inproc_thr 1 1 --pushpull"));
        assert!(!checked("inproc_lat 1 1 --pubsub") && checked("inproc_thr 1 1 --pubsub"));
        assert!(checked("inproc_lat 1 1 --pair0") && checked("inproc_thr 1 1 --pair0"));
    }
}
