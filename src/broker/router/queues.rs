//! Offers and polls.

use std::sync::Arc;
use std::time::Instant;

use super::batches::wanted;
use super::leases::{Keep, check_offer, with_lease};
use super::{Answered, Entry, InTransit, Now, Output, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::{Item, Offered, Polled, Queue, SessionId, Token, Waiter};

/// Who waits, and until when if there is an end.
type InLine = (Waiter, Option<Instant>);

impl Router {
    pub(super) fn offer(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        check_offer(request)?;
        let ends = self.lease_to_end(session, request)?;
        let (name, mut line) = self.line_up(session, Action::Offer, request, now)?;
        if ends.is_some() {
            // The lease may be over by when there is room.
            line = None;
        }
        let kept = ["ack-queue", "ack-token"]
            .into_iter()
            .fold(request.clone(), |message, key| message.without_header(key));
        let item = Entry::new(kept, self.charge(request)?);
        self.check_log(&name, request.is_durable())?;
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, not_found(&name));
        };
        let waiter = line.map(|(waiter, _)| waiter);
        let offered = queue.offer(item, waiter, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        let size = |item: &Entry| (1, item.bytes());
        self.offered(&offered, size, request, name, line, ends, now)
    }

    /// Refuses durable messages for a durable queue if the log has no room.
    pub(super) fn check_log(&self, queue: &str, durable: bool) -> Answered<()> {
        if let Some(journal) = &self.journal
            && durable
            && self
                .queues
                .get(queue)
                .is_some_and(|queue| queue.config().durable)
        {
            journal.check_room()?;
        }
        Ok(())
    }

    /// What becomes of an offer, and of the lease that ends with it. `sizes` says how many messages it is of, and of how
    /// many bytes.
    #[expect(clippy::too_many_arguments, reason = "it is the end of two functions")]
    pub(super) fn offered<T>(
        &mut self,
        offered: &Offered<T>,
        sizes: impl FnOnce(&T) -> (usize, usize),
        request: &Message,
        name: Arc<str>,
        line: Option<InLine>,
        ends: Option<(Arc<str>, Token)>,
        now: Now,
    ) -> Answered<Option<Message>> {
        match offered {
            Offered::Done => {
                if let Some((from, token)) = ends
                    && let Some(queue) = self.queues.get_mut(&from)
                {
                    // It was there a moment ago.
                    let _ = queue.finish(token, now.ms, &mut self.effects);
                    self.alarms.set(&from, queue.next_event(), now);
                }
                Ok(Some(request.reply(Status::Ok, "")))
            }
            Offered::Waiting => {
                if let Some((waiter, until)) = line {
                    self.remember(waiter, name, request.clone(), until);
                }
                Ok(None)
            }
            Offered::Full(_) => refused(Status::QueueFull, format!("the queue {name} is full")),
            Offered::Busy(_) => refused(
                Status::RetryLater,
                format!("too many clients wait at the queue {name}"),
            ),
            Offered::TooLarge(items) => {
                let (count, bytes) = sizes(items);
                let config = self.queues.get(&name).map(Queue::config);
                let (most, most_bytes) =
                    config.map_or((0, 0), |config| (config.messages, config.bytes));
                let text = if count == 1 {
                    format!(
                        "a message of {bytes} bytes, and the queue {name} holds {most_bytes} in all"
                    )
                } else {
                    format!(
                        "{count} messages of {bytes} bytes together, and the queue {name} holds {most} of \
                         {most_bytes} in all"
                    )
                };
                refused(Status::BadRequest, text)
            }
        }
    }

    pub(super) fn poll(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let (name, line) = self.line_up(session, Action::Poll, request, now)?;
        if request.is_oneway() {
            return refused(Status::BadRequest, "a poll has to be answered");
        }
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, not_found(&name));
        };
        check_owner(queue, session, &name)?;
        Keep::wanted(session, request, queue.config())?;
        wanted(request)?;
        let waiter = line.map(|(waiter, _)| waiter);
        let polled = queue.poll(waiter, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        match polled {
            Polled::Item(delivery) => {
                let item = InTransit::new(name, delivery);
                self.hand_out(session, request, item, now, out);
                Ok(None)
            }
            Polled::Waiting => {
                if let Some((waiter, until)) = line {
                    self.remember(waiter, name, request.clone(), until);
                }
                Ok(None)
            }
            Polled::Empty => refused(Status::QueueEmpty, format!("the queue {name} is empty")),
            Polled::Busy => refused(
                Status::RetryLater,
                format!("too many clients wait at the queue {name}"),
            ),
        }
    }

    /// Refuses what a client may not do with a queue. A temporary one has no rights: who knows its name may offer to it.
    pub(super) fn check_queue(
        &self,
        session: SessionId,
        action: Action,
        name: &str,
    ) -> Answered<()> {
        let temporary = |queue: &Queue<Entry>| queue.config().owner.is_some();
        if self.queues.get(name).is_some_and(temporary) {
            return Ok(());
        }
        self.check(session, action, name)
    }

    /// The queue that a request is about, and who waits for it until when, if it may wait.
    pub(super) fn line_up(
        &mut self,
        session: SessionId,
        action: Action,
        request: &Message,
        now: Now,
    ) -> Answered<(Arc<str>, Option<InLine>)> {
        let Some(name) = request.destination() else {
            return refused(Status::BadRequest, "no queue is named");
        };
        self.check_queue(session, action, name)?;
        let Some((name, _)) = self.queues.get_key_value(name) else {
            return refused(Status::QueueNotFound, not_found(name));
        };
        let name = name.clone();
        let waiter = match self.patience(request, now) {
            Some(until) => Some((self.wait(session)?, until)),
            None => None,
        };
        Ok((name, waiter))
    }

    /// Sends an item to the client that polled it.
    pub(super) fn hand_out(
        &mut self,
        session: SessionId,
        request: &Message,
        mut item: InTransit,
        now: Now,
        out: &mut Outputs,
    ) {
        if !self.sessions.contains_key(&session) {
            return self.undelivered(item, now, out);
        }
        let config = self.queues.get(&item.queue).map(Queue::config);
        // A poll that asks for something unusable was refused when it came.
        let keep = config.and_then(|config| Keep::wanted(session, request, config).ok());
        item.keep = keep.flatten();
        let message = if request.kind() == MessageType::PollUpTo {
            self.gather(session, request, &mut item, now)
        } else {
            let mut message = item.delivery.item().message.clone();
            if item.keep.is_some() {
                message = with_lease(message, &item.delivery);
            }
            message.into_response(request.id(), Status::Ok)
        };
        out.push(Output::Answer {
            session,
            message,
            item: Some(item),
        });
    }

    /// An item has reached its client.
    pub(in crate::broker) fn delivered(&mut self, item: InTransit, now: Now) {
        if let Some(keep) = item.keep {
            self.leased(item, keep, now);
        } else if let Some(queue) = self.queues.get_mut(&item.queue) {
            for delivery in item.into_parts().1 {
                queue.acknowledge(delivery);
            }
        }
    }

    /// An item has not reached its client: it goes back to its place.
    pub(in crate::broker) fn undelivered(&mut self, item: InTransit, now: Now, out: &mut Outputs) {
        let (name, deliveries) = item.into_parts();
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.put_all_back(deliveries, now.ms, &mut self.effects);
            self.alarms.set(&name, queue.next_event(), now);
            self.carry_out(now, out);
        }
    }
}

/// Refuses who did not make a temporary queue.
pub(super) fn check_owner(queue: &Queue<Entry>, session: SessionId, name: &str) -> Answered<()> {
    if queue.config().owner.is_some_and(|owner| owner != session) {
        return refused(
            Status::NoPermission,
            format!("only the client that made the queue {name} may poll it"),
        );
    }
    Ok(())
}

pub(super) fn not_found(name: &str) -> String {
    format!("there is no queue {name}")
}
