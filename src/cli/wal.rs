//! `wirebird wal`: looks at a broker's write-ahead log, or repairs it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wirebird::broker::decode;
use wirebird::broker::wal::{self, Dumped, Key, Operation, Report};

use super::failure::{Failure, exit};

/// The arguments of `wirebird wal`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  wirebird wal check /var/lib/wirebird
  wirebird wal dump /var/lib/wirebird | grep item-appended
  wirebird wal repair /var/lib/wirebird --key-file wal.key

No broker may have the directory open. docs/wal.md describes the log.

Exit codes: 0 if all is well, or was repaired; 1 if check or dump found damage; 2 if it could not be done. An end that a
crash left half-written is no damage: nobody was told that it was kept.";

#[derive(Debug, Subcommand)]
enum What {
    /// Says what opening the log would find; changes nothing
    Check(Directory),
    /// Prints each operation of the log as JSON on a line of its own; changes nothing
    Dump(Directory),
    /// Does what a broker does when it starts: cuts a torn end, and copies what is damaged to files named quarantine-...
    Repair(Directory),
}

#[derive(Debug, Args)]
struct Directory {
    /// Where the log is
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The key of an encrypted log: 32 bytes or 64 hexadecimal digits, readable by its owner only
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Does it; what goes wrong is told on one line.
pub(super) fn main(command: &Command) -> ExitCode {
    let done = match &command.what {
        What::Check(at) => at
            .run(|path, key| wal::check(path, key))
            .and_then(|report| {
                print(&told(&report))?;
                damaged(&report)
            }),
        What::Dump(at) => at.dump().and_then(|report| damaged(&report)),
        What::Repair(at) => at
            .run(|path, key| wal::repair(path, key))
            .and_then(|report| print(&told(&report))),
    };
    exit(done)
}

impl Directory {
    fn run(
        &self,
        run: impl FnOnce(&Path, Option<&Key>) -> Result<Report, wal::WalError>,
    ) -> Result<Report, Failure> {
        let key = self.key_file.as_ref().map(Key::load).transpose();
        let key = key.map_err(Failure::input)?;
        let done = run(&self.directory, key.as_ref());
        done.map_err(|error| Failure::input(error).about(self.directory.display()))
    }

    fn dump(&self) -> Result<Report, Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let report = self.run(|path, key| {
            wal::dump(path, key, |dumped| {
                if written.is_ok() {
                    written = writeln!(out, "{}", line(&dumped));
                }
            })
        })?;
        for damage in &report.damage {
            written = written.and_then(|()| {
                let (first, last) = damage.records;
                let line = json!({
                    "file": damage.file, "offset": damage.offset, "operation": "damage", "bytes": damage.length,
                    "first-missing": first, "last-missing": last,
                });
                writeln!(out, "{line}")
            });
        }
        match written.and_then(|()| out.flush()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(report),
            Err(error) => Err(cannot_write(&error)),
            Ok(()) => Ok(report),
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| cannot_write(&error))
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::input(format_args!("cannot write: {error}"))
}

fn damaged(report: &Report) -> Result<(), Failure> {
    match report.damage.len() {
        0 => Ok(()),
        1 => Err(Failure::failed("The log is damaged in 1 place.")),
        count => Err(Failure::failed(format_args!(
            "The log is damaged in {count} places."
        ))),
    }
}

// ---- as text ----

fn told(report: &Report) -> String {
    let mut lines = vec![format!(
        "{} segments, {} records, {} bytes; {} queues, {} items",
        report.segments, report.records, report.bytes, report.queues, report.items
    )];
    if let Some(torn) = &report.torn {
        lines.push(format!("torn end: {} at {}", torn.file, torn.offset));
    }
    for &(first, last) in &report.unwritten {
        lines.push(format!("never written: {}", records(first, last)));
    }
    for damage in &report.damage {
        let (first, last) = damage.records;
        let mut line = format!(
            "damage: {} at {}, {} bytes; {} missing",
            damage.file,
            damage.offset,
            damage.length,
            records(first, last)
        );
        if let Some(side_file) = &damage.side_file {
            line.push_str(&format!("; copied to {side_file}"));
        }
        lines.push(line);
    }
    for queue in &report.nameless {
        lines.push(format!(
            "queue {queue} has lost its name, and is recovered/{queue} now"
        ));
    }
    for &(first, last) in &report.known {
        lines.push(format!("missing for long: {}", records(first, last)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn records(first: u64, last: u64) -> String {
    match last.checked_sub(first) {
        None => "no records".into(),
        Some(0) => format!("record {first}"),
        Some(_) => format!("records {first} to {last}"),
    }
}

// ---- as JSON ----

fn line(dumped: &Dumped<'_>) -> Value {
    let mut line = operation(&dumped.operation);
    if let Value::Object(fields) = &mut line {
        fields.insert("file".into(), dumped.file.into());
        fields.insert("offset".into(), dumped.offset.into());
        fields.insert("record".into(), dumped.record.into());
    }
    line
}

fn operation(operation: &Operation<'_>) -> Value {
    match *operation {
        Operation::QueueMade {
            queue,
            name,
            config,
        } => json!({
            "operation": "queue-made", "queue": queue, "name": name, "config": text(config),
        }),
        Operation::QueueRemoved { queue } => {
            json!({ "operation": "queue-removed", "queue": queue })
        }
        Operation::ItemAppended {
            queue,
            item,
            meta,
            message,
        } => json!({
            "operation": "item-appended", "queue": queue, "item": item, "accepted-at": meta.accepted_at,
            "attempts": meta.attempts, "not-before": meta.not_before, "priority": meta.priority,
            "bytes": message.len(), "message": decoded(message),
        }),
        Operation::ItemsSettled { queue, items } => json!({
            "operation": "items-settled", "queue": queue, "items": items.collect::<Vec<_>>(),
        }),
        Operation::ItemChanged {
            queue,
            item,
            attempts,
            not_before,
        } => json!({
            "operation": "item-changed", "queue": queue, "item": item, "attempts": attempts,
            "not-before": not_before,
        }),
        Operation::Dedupe { queue, at, key } => json!({
            "operation": "dedupe", "queue": queue, "at": at, "key": text(key),
        }),
        Operation::Note(note) => json!({ "operation": "note", "text": text(note) }),
        Operation::Gap { first, last } => json!({
            "operation": "gap", "first-missing": first, "last-missing": last,
        }),
        _ => json!({ "operation": "unknown" }),
    }
}

/// What is no text has its strange bytes replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message as JSON, if it is one.
fn decoded(message: &[u8]) -> Value {
    let decoded = decode(message.to_vec()).ok();
    let text = decoded.and_then(|(message, _)| message.to_json().ok());
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null)
}
