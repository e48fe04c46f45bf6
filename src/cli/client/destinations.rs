//! `wirebird queue`, `wirebird topic` and `wirebird status`: what an administrator does.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wirebird::broker::{Message, MessageType};

use super::super::failure::Failure;
use super::super::size::Size;
use super::connection::{Connection, Session, millis};
use super::table::{columns, plain};

pub(super) const QUEUE_EXAMPLES: &str = "Examples:
  wirebird queue create jobs --capacity 10000
  wirebird queue create jobs --dead-letter jobs.dead --max-attempts 5 --backoff 1
  wirebird queue list
  wirebird queue status jobs --json";

pub(super) const TOPIC_EXAMPLES: &str = "Examples:
  wirebird topic create news
  wirebird topic list";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Queue {
    /// Makes a queue; one that exists and is the same stays as it is
    #[command(after_help = "Example:\n  wirebird queue create jobs --capacity 10000")]
    Create {
        /// The queue
        name: String,
        /// Messages it holds at most
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
        capacity: u64,
        /// Let the oldest message go when it is full, rather than have offers wait
        #[arg(long)]
        circular: bool,
        /// Have it outlive the broker, with its durable messages
        #[arg(long, conflicts_with = "circular")]
        durable: bool,
        /// Bytes of messages it holds at most, such as 5MB [default: what the broker says]
        #[arg(long, value_name = "SIZE")]
        max_bytes: Option<Size>,
        /// Put messages that fail or expire into this queue, which has to exist
        #[arg(long, value_name = "QUEUE")]
        dead_letter: Option<String>,
        /// Give up on a message that was leased so often; 0 is never
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
        max_attempts: Option<u32>,
        /// Have a message that failed wait so long, and twice as long each further time
        #[arg(long, value_name = "SECONDS", value_parser = millis)]
        backoff: Option<i64>,
        /// The longest of these waits [default: 3600]
        #[arg(long, value_name = "SECONDS", value_parser = millis, requires = "backoff")]
        max_backoff: Option<i64>,
        /// Let messages expire after so long which say nothing of their own
        #[arg(long, value_name = "SECONDS", value_parser = millis)]
        expiry: Option<i64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Removes a queue, if it exists, with all that is in it
    #[command(after_help = "Example:\n  wirebird queue remove jobs")]
    Remove(Named),
    /// Lists the queues
    #[command(after_help = "Example:\n  wirebird queue list")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Prints what is known of a queue, or that it does not exist
    #[command(after_help = "Example:\n  wirebird queue status jobs")]
    Status(Named),
    /// Throws away what a queue holds, and prints how many messages that were
    #[command(after_help = "Example:\n  wirebird queue purge jobs")]
    Purge(Named),
    /// Moves dead letters back to the queues that they came from, and prints how many
    #[command(after_help = "Example:\n  wirebird queue redrive jobs.dead")]
    Redrive {
        /// The queue with the dead letters
        name: String,
        /// Move them into this queue instead
        #[arg(long, value_name = "QUEUE")]
        to: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Topic {
    /// Makes a topic, if it does not exist
    #[command(after_help = "Example:\n  wirebird topic create news")]
    Create(Named),
    /// Removes a topic, if it exists, with its subscriptions
    #[command(after_help = "Example:\n  wirebird topic remove news")]
    Remove(Named),
    /// Lists the topics
    #[command(after_help = "Example:\n  wirebird topic list")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// Of which one
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wirebird status --url tcp://127.0.0.1:7420")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    connection: Connection,
}

impl Named {
    fn ask(&self, kind: MessageType) -> Result<(Session, Message), Failure> {
        let session = self.connection.open()?;
        let answer = session.request(kind, &*self.name)?;
        Ok((session, answer))
    }
}

impl Queue {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Create {
                name,
                capacity,
                circular,
                durable,
                max_bytes,
                dead_letter,
                max_attempts,
                backoff,
                max_backoff,
                expiry,
                connection,
            } => {
                let kind = if *circular { "CIRCULAR" } else { "BOUNDED" };
                let persistence = if *durable { "DURABLE" } else { "TRANSIENT" };
                let fields = json!({
                    "name": name,
                    "capacity": capacity,
                    "type": kind,
                    "persistence": persistence,
                    "max-bytes": max_bytes.map(|size| size.0),
                    "dead-letter": dead_letter,
                    "max-attempts": max_attempts,
                    "backoff": backoff,
                    "max-backoff": max_backoff,
                    "expiry": expiry,
                });
                let message = Message::data(None, "", fields).map_err(Failure::input)?;
                let session = connection.open()?;
                session
                    .ask(message, MessageType::CreateQueue, &**name)
                    .map(drop)
            }
            Self::Remove(named) => named.ask(MessageType::RemoveQueue).map(drop),
            Self::Status(named) => {
                let (session, answer) = named.ask(MessageType::StatusQueue)?;
                session.tell(&queue(&data(&answer)?))
            }
            Self::Purge(named) => {
                let (session, answer) = named.ask(MessageType::PurgeQueue)?;
                session.tell(&format!("{}\n", plain(&data(&answer)?["purged"])))
            }
            Self::Redrive {
                name,
                to,
                connection,
            } => {
                let message = Message::data(None, "", json!({ "to": to }));
                let message = message.map_err(Failure::input)?;
                let session = connection.open()?;
                let answer = session.ask(message, MessageType::RedriveQueue, &**name)?;
                session.tell(&format!("{}\n", plain(&data(&answer)?["moved"])))
            }
            Self::List { connection } => {
                let session = connection.open()?;
                let answer = session.request(MessageType::ListQueues, None)?;
                session.tell(&queues(&data(&answer)?))
            }
        }
    }
}

impl Topic {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Create(named) => named.ask(MessageType::CreateTopic).map(drop),
            Self::Remove(named) => named.ask(MessageType::RemoveTopic).map(drop),
            Self::List { connection } => {
                let session = connection.open()?;
                let answer = session.request(MessageType::ListTopics, None)?;
                let names = data(&answer)?;
                let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
                let lines = names.iter().map(|name| plain(name) + "\n");
                session.tell(&lines.collect::<String>())
            }
        }
    }
}

impl Status {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let session = self.connection.open()?;
        let answer = session.request(MessageType::ServerStatus, None)?;
        let mut status = data(&answer)?;
        let mut members = status.as_object_mut();
        let mut part = |key| members.as_mut().and_then(|members| members.remove(key));
        let (endpoints, log) = (part("endpoints"), part("log"));
        let log = log.filter(Value::is_object);
        let log = log.map_or_else(String::new, |log| format!("\nlog\n{}", pairs(&log)));
        session.tell(&(pairs(&status) + &log + &self::endpoints(&endpoints.unwrap_or_default())))
    }
}

fn data(answer: &Message) -> Result<Value, Failure> {
    answer.payload_data().map_err(Failure::failed)
}

/// An object, one member to a line.
fn pairs(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let rows: Vec<_> = members
        .map(|(key, value)| vec![key.clone(), plain(value)])
        .collect();
    columns(&rows)
}

/// A queue, what matters most in front.
fn queue(status: &Value) -> String {
    const KEYS: [&str; 12] = [
        "name",
        "exists",
        "type",
        "capacity",
        "size",
        "bytes",
        "max-bytes",
        "delayed",
        "in-flight",
        "dead-letter",
        "temporary",
        "durable",
    ];
    let rows = KEYS.map(|key| vec![key.to_owned(), plain(&status[key])]);
    columns(&rows)
}

fn queues(list: &Value) -> String {
    table(list, ["name", "type", "capacity", "size", "bytes"])
}

/// Nothing if there are none.
fn endpoints(list: &Value) -> String {
    if list.as_array().is_none_or(Vec::is_empty) {
        return String::new();
    }
    const KEYS: [&str; 7] = [
        "kind",
        "destination",
        "peers",
        "received",
        "sent",
        "refused",
        "trouble",
    ];
    format!("\n{}", table(list, KEYS))
}

/// The members of a list, one to a line.
fn table<const N: usize>(list: &Value, keys: [&str; N]) -> String {
    let mut rows = vec![keys.map(str::to_uppercase).to_vec()];
    let members = list.as_array().into_iter().flatten();
    rows.extend(members.map(|member| keys.map(|key| plain(&member[key])).to_vec()));
    columns(&rows)
}
