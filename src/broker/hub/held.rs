//! What waits for the log: answers are sent when what they rest on is kept.

use std::sync::Arc;

use super::{Hub, Shared};
use crate::broker::journal::{Committed, Journal};
use crate::broker::message::{Message, Status};
use crate::broker::router::{Now, Output, Outputs};
use crate::broker::wal::Ticket;
use crate::protocols::Io;

impl Hub {
    /// Does what was decided, or has it wait for the log.
    pub(super) fn carry_out(
        &mut self,
        out: Outputs,
        now: Now,
        shared: &Arc<Shared>,
        io: &mut dyn Io,
    ) {
        match self.router.commit() {
            Committed::Kept => match self.last_of_duplicate(&out) {
                Some(ticket) => self.hold(ticket, out),
                None => self.send(out, now, shared, io),
            },
            Committed::Later(ticket) => self.hold(ticket, out),
            Committed::Lost(why) => self.send(lost(out, &why), now, shared, io),
        }
    }

    /// What the answer to a request that came again rests on: the first may be on its way to the disk.
    fn last_of_duplicate(&self, out: &Outputs) -> Option<Ticket> {
        let journal = self.router.journal()?;
        let (_, last) = journal.last();
        let again = |output: &Output| matches!(output, Output::Answer { message, .. } if message.header("duplicate").is_some());
        last.filter(|last| !journal.has_kept(*last) && out.iter().any(again))
    }

    fn hold(&mut self, ticket: Ticket, out: Outputs) {
        for output in &out {
            if let Output::Answer { session, .. } = output
                && let Some(link) = self.links.get_mut(session)
            {
                link.awaited += 1;
            }
        }
        self.held.push_back((ticket, out));
    }

    /// Sends what has waited for the log, as far as that is.
    pub(super) fn release(&mut self, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        while let Some((ticket, _)) = self.held.front() {
            let journal = self.router.journal();
            let failure = if journal.is_none_or(|journal| journal.has_kept(*ticket)) {
                None
            } else if let Some(why) = journal.and_then(Journal::failure) {
                Some(why)
            } else {
                return;
            };
            let Some((_, out)) = self.held.pop_front() else {
                return;
            };
            let mut sessions = Vec::new();
            for output in &out {
                if let Output::Answer { session, .. } = output
                    && let Some(link) = self.links.get_mut(session)
                {
                    link.awaited = link.awaited.saturating_sub(1);
                    sessions.push(*session);
                }
            }
            let out = match failure {
                None => out,
                Some(why) => lost(out, &why),
            };
            self.send(out, now, shared, io);
            for session in sessions {
                self.resume(session, now, shared, io);
            }
        }
    }
}

/// What is left of an answer that says that something was done, if the log could not keep it.
fn lost(out: Outputs, why: &str) -> Outputs {
    let told = |output| match output {
        Output::Answer {
            session,
            message,
            item: None,
        } if message.is_ok() => Output::Answer {
            session,
            message: Message::answer(
                message.id(),
                Status::ServerError,
                format!("it may not be kept, because the log has stopped: {why}"),
            ),
            item: None,
        },
        other => other,
    };
    out.into_iter().map(told).collect()
}
