//! What goes through the broker: messages of queues and topics, and calls of functions.

use std::process;
use std::sync::mpsc::{self, TrySendError};

use clap::Args;
use wirebird::broker::{ExpiryUnit, Message, MessageType};

use super::super::failure::Failure;
use super::super::signals::Signals;
use super::connection::{Connection, failure, millis, wait};
use super::content::Content;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wirebird offer jobs 'resize cat.png'
  wirebird offer jobs --file order.json --mimetype application/json --reply-to done
  echo hello | wirebird offer jobs --wait 5")]
pub(in crate::cli) struct Offer {
    /// The queue
    queue: String,
    #[command(flatten)]
    content: Content,
    /// Wait so long for room in the queue; forever is as long as it takes
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = wait)]
    wait: i64,
    /// The queue into which the answer is to be put
    #[arg(long, value_name = "QUEUE")]
    reply_to: Option<String>,
    /// Let the message expire after so long
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u32>,
    /// Keep the message over a restart, in a queue that does
    #[arg(long)]
    durable: bool,
    /// Higher ones are served first, 0 to 9 [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=9))]
    priority: Option<u8>,
    /// Let nobody have the message for so long
    #[arg(long, value_name = "SECONDS", value_parser = millis)]
    delay: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wirebird ack jobs 5000000000000000-9c1ee7cdd4b1f17a")]
pub(in crate::cli) struct Ack {
    #[command(flatten)]
    leased: Leased,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wirebird nack jobs 5000000000000000-9c1ee7cdd4b1f17a --delay 10
  wirebird nack jobs 5000000000000000-9c1ee7cdd4b1f17a --dead-letter
  wirebird nack jobs 5000000000000000-9c1ee7cdd4b1f17a --untried")]
pub(in crate::cli) struct Nack {
    #[command(flatten)]
    leased: Leased,
    /// Have it wait so long, rather than as long as the queue would
    #[arg(long, value_name = "SECONDS", value_parser = millis, conflicts_with = "dead_letter")]
    delay: Option<i64>,
    /// Do not try it again
    #[arg(long)]
    dead_letter: bool,
    /// Have it back at once, and do not count this attempt
    #[arg(long, conflicts_with_all = ["delay", "dead_letter"])]
    untried: bool,
}

/// A message that a poll has leased.
#[derive(Debug, Args)]
struct Leased {
    /// The queue
    queue: String,
    /// What poll --lease has printed
    token: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wirebird publish news 'it has stopped raining'")]
pub(in crate::cli) struct Publish {
    /// The topic
    topic: String,
    #[command(flatten)]
    content: Content,
    /// Keep the message for those who subscribe later
    #[arg(long)]
    retain: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wirebird subscribe news
  wirebird subscribe 'sports/*' --count 10")]
pub(in crate::cli) struct Subscribe {
    /// The topic, or a pattern: * is one segment, > the rest
    topic: String,
    /// End after so many messages, rather than at Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wirebird call upper hello")]
pub(in crate::cli) struct Call {
    /// The function
    function: String,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    connection: Connection,
}

impl Offer {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut message = self.content.message()?.with_durable(self.durable);
        if let Some(seconds) = self.expires_in {
            let expires = message.with_expires_in(seconds, ExpiryUnit::Seconds);
            message = expires.map_err(Failure::input)?;
        }
        if let Some(priority) = self.priority {
            message = header(message, "priority", priority)?;
        }
        if let Some(delay) = self.delay {
            message = header(message, "delay", delay)?;
        }
        let message = message
            .with_timeout(self.wait)
            .and_then(|message| message.with_reply_to(self.reply_to.as_deref()))
            .map_err(Failure::input)?;
        let session = self.connection.open()?;
        session
            .ask(message, MessageType::Offer, &*self.queue)
            .map(drop)
    }
}

impl Ack {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let ask = leased(&self.leased.token)?;
        self.leased.say(ask, MessageType::Ack)
    }
}

impl Nack {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut ask = leased(&self.leased.token)?;
        if let Some(delay) = self.delay {
            ask = header(ask, "delay", delay)?;
        }
        if self.dead_letter {
            ask = header(ask, "dead-letter", true)?;
        }
        if self.untried {
            ask = header(ask, "untried", true)?;
        }
        self.leased.say(ask, MessageType::Nack)
    }
}

impl Leased {
    fn say(&self, ask: Message, kind: MessageType) -> Result<(), Failure> {
        let session = self.connection.open()?;
        session.ask(ask, kind, &*self.queue).map(drop)
    }
}

pub(super) fn leased(token: &str) -> Result<Message, Failure> {
    let empty = Message::plain_text(None, "", "").map_err(Failure::input)?;
    header(empty, "lease-token", token)
}

pub(super) fn header(
    message: Message,
    key: &str,
    value: impl ToString,
) -> Result<Message, Failure> {
    message
        .with_header(key, &value.to_string())
        .map_err(Failure::input)
}

impl Publish {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut message = self.content.message()?;
        if self.retain {
            message = message
                .with_header("retain", "true")
                .map_err(Failure::input)?;
        }
        let session = self.connection.open()?;
        session
            .ask(message, MessageType::Publish, &*self.topic)
            .map(drop)
    }
}

impl Subscribe {
    pub(super) fn run(&self) -> Result<(), Failure> {
        /// As many wait here; those behind them wait in the client, which counts what it loses.
        const AHEAD: usize = 16;
        let session = self.connection.open()?;
        // Nothing is the signal to stop.
        let (arrived, messages) = mpsc::sync_channel(AHEAD);
        let stopped = arrived.clone();
        let signals = Signals::catch().and_then(|signals| {
            signals.then(move || {
                if let Err(TrySendError::Full(_)) = stopped.try_send(None) {
                    // Whoever reads what is printed has stopped to.
                    process::exit(0);
                }
            })
        });
        signals.map_err(Failure::failed)?;
        let subscribed = session.client.subscribe(&self.topic, move |message| {
            let _ = arrived.send(Some(message.clone()));
        });
        subscribed.map_err(failure)?;
        let mut left = self.count;
        while left != Some(0)
            && let Ok(Some(message)) = messages.recv()
        {
            session.show(&message)?;
            left = left.map(|left| left - 1);
        }
        match session.client.missed() {
            0 => Ok(()),
            missed => Err(Failure::failed(format_args!(
                "{missed} messages were lost, because they came faster than they were printed"
            ))),
        }
    }
}

impl Call {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let message = self.content.message()?;
        let session = self.connection.open()?;
        let answer = session.ask(message, MessageType::Request, &*self.function)?;
        session.show_answer(&answer)
    }
}
