//! `wirebird poll`: messages out of a queue, until there are as many as were asked for.
//!
//! The broker keeps messages until they were printed, so that none are lost with an output that breaks. A queue that is
//! not durable does so only for polls of several, which are leased as long as the connection.

use clap::Args;
use wirebird::broker::{Message, MessageType, Status};

use super::super::failure::Failure;
use super::connection::{Connection, Session, failure, millis, wait};
use super::messages::{header, leased};

/// As many messages are asked for at once. With more it is hardly faster, because printing takes most of the time.
const AT_ONCE: u64 = 32;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wirebird poll jobs
  wirebird poll jobs --wait forever --count 10 --json
  wirebird poll jobs --lease 60")]
pub(in crate::cli) struct Poll {
    /// The queue
    queue: String,
    /// Wait so long for each message; forever is as long as it takes
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = wait)]
    wait: i64,
    /// Take so many messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Have each message back in the queue after so long unless it is acknowledged; prints what ack wants on the line
    /// behind it
    #[arg(long, value_name = "SECONDS", value_parser = millis)]
    lease: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

impl Poll {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let ask = Message::plain_text(None, "", "").and_then(|ask| ask.with_timeout(self.wait));
        let ask = ask.map_err(Failure::input)?;
        let session = self.connection.open()?;
        // The leases of an answer all begin at once, and nobody knows the tokens that were not printed. So those which
        // the user is to have are asked for one by one.
        let mut at_once = if self.lease.is_some() { 1 } else { AT_ONCE };
        let mut left = self.count;
        while left > 0 {
            let most = left.min(at_once);
            if most == 1 {
                self.take_one(&session, ask.clone())?;
                left -= 1;
                continue;
            }
            match self.take_several(&session, ask.clone(), most)? {
                Some(taken) => left = left.saturating_sub(taken),
                None => at_once = 1,
            }
        }
        Ok(())
    }

    fn take_one(&self, session: &Session, ask: Message) -> Result<(), Failure> {
        let ask = match self.lease {
            Some(lease) => header(ask, "lease", lease)?,
            None => header(ask, "confirm", true)?,
        };
        let message = session.ask(ask, MessageType::Poll, &*self.queue)?;
        session.show_answer(&message)?;
        match message.header("lease-token") {
            Some(token) if self.lease.is_some() => session.print_line(token),
            Some(token) => self.printed(session, token),
            None => Ok(()),
        }
    }

    /// Prints as many messages as there are. Returns how many; `None` where only one can be had at once: from a broker
    /// that knows no other polls, and from a circular queue, which leases nothing.
    fn take_several(
        &self,
        session: &Session,
        ask: Message,
        most: u64,
    ) -> Result<Option<u64>, Failure> {
        let ask = header(ask, "lease", "session")?;
        let ask = header(ask, "count", most)?;
        let answer = session.answer(ask, MessageType::PollUpTo, &*self.queue)?;
        if answer.status() == Status::BadRequest {
            return Ok(None);
        }
        if !answer.is_ok() {
            return Err(session.refused(&answer));
        }
        let messages = answer.payload_messages().map_err(failure)?;
        for (at, message) in messages.iter().enumerate() {
            if let Err(broken) = session.show(message) {
                self.not_printed(session, &messages[at..]);
                return Err(broken);
            }
            if let Some(token) = message.header("lease-token") {
                self.printed(session, token)?;
            }
        }
        Ok(Some(messages.len() as u64))
    }

    /// The broker takes messages back as if they had not been asked for.
    fn not_printed(&self, session: &Session, messages: &[Message]) {
        for message in messages {
            let Some(token) = message.header("lease-token") else {
                continue;
            };
            let nack = leased(token).and_then(|nack| header(nack, "untried", true));
            let nack = nack.map(|nack| nack.addressed_to(MessageType::Nack, &*self.queue));
            if let Ok(Ok(nack)) = nack {
                // The end of the connection gives them back as well, counted as tried.
                let _ = session.client.request_oneway(nack);
            }
        }
    }

    /// The broker need not keep a message any longer.
    fn printed(&self, session: &Session, token: &str) -> Result<(), Failure> {
        let ack = leased(token)?.addressed_to(MessageType::Ack, &*self.queue);
        let ack = ack.map_err(Failure::input)?;
        session.client.request_oneway(ack).map_err(failure)
    }
}
