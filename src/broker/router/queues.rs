//! Offers and polls.

use std::sync::Arc;

use super::leases::{Keep, check_offer, with_lease};
use super::{Answered, Entry, InTransit, Now, Output, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::message::{Message, Status};
use crate::broker::queue::{Offered, Polled, Queue, SessionId, Waiter};

impl Router {
    pub(super) fn offer(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        check_offer(request)?;
        let ends = self.lease_to_end(session, request)?;
        let (name, mut waiter) = self.line_up(session, Action::Offer, request, now)?;
        if ends.is_some() {
            // The lease may be over by when there is room.
            waiter = None;
        }
        let kept = ["ack-queue", "ack-token"]
            .into_iter()
            .fold(request.clone(), |message, key| message.without_header(key));
        let item = Entry::new(kept, self.charge(request)?);
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, not_found(&name));
        };
        if let Some(journal) = &self.journal
            && queue.config().durable
            && request.is_durable()
        {
            journal.check_room()?;
        }
        let until = waiter.map(|(_, until)| until);
        let waiter = waiter.map(|(waiter, _)| waiter);
        let offered = queue.offer(item, waiter, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
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
                if let (Some(waiter), Some(until)) = (waiter, until) {
                    self.remember(waiter, name, request.clone(), until);
                }
                Ok(None)
            }
            Offered::Full(_) => refused(Status::QueueFull, format!("the queue {name} is full")),
            Offered::Busy(_) => refused(
                Status::RetryLater,
                format!("too many clients wait at the queue {name}"),
            ),
            Offered::TooLarge(Entry { message, .. }) => refused(
                Status::BadRequest,
                format!(
                    "a message of {} bytes, and the queue {name} holds {} in all",
                    message.size().total,
                    queue.config().bytes
                ),
            ),
        }
    }

    pub(super) fn poll(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let (name, waiter) = self.line_up(session, Action::Poll, request, now)?;
        if request.is_oneway() {
            return refused(Status::BadRequest, "a poll has to be answered");
        }
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, not_found(&name));
        };
        check_owner(queue, session, &name)?;
        Keep::wanted(session, request, queue.config())?;
        let until = waiter.map(|(_, until)| until);
        let waiter = waiter.map(|(waiter, _)| waiter);
        let polled = queue.poll(waiter, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        match polled {
            Polled::Item(delivery) => {
                let item = InTransit {
                    queue: name,
                    delivery,
                    keep: None,
                };
                self.hand_out(session, request, item, now, out);
                Ok(None)
            }
            Polled::Waiting => {
                if let (Some(waiter), Some(until)) = (waiter, until) {
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
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn line_up(
        &mut self,
        session: SessionId,
        action: Action,
        request: &Message,
        now: Now,
    ) -> Answered<(Arc<str>, Option<(Waiter, Option<std::time::Instant>)>)> {
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
        let mut message = item.delivery.item().message.clone();
        let config = self.queues.get(&item.queue).map(Queue::config);
        // A poll that asks for something unusable was refused when it came.
        let keep = config.and_then(|config| Keep::wanted(session, request, config).ok());
        item.keep = keep.flatten();
        if item.keep.is_some() {
            message = with_lease(message, &item);
        }
        out.push(Output::Answer {
            session,
            message: message.into_response(request.id(), Status::Ok),
            item: Some(item),
        });
    }

    /// An item has reached its client.
    pub(in crate::broker) fn delivered(&mut self, item: InTransit, now: Now) {
        if let Some(keep) = item.keep {
            self.leased(item, keep, now);
        } else if let Some(queue) = self.queues.get_mut(&item.queue) {
            queue.acknowledge(item.delivery);
        }
    }

    /// An item has not reached its client: it goes back to its place.
    pub(in crate::broker) fn undelivered(&mut self, item: InTransit, now: Now, out: &mut Outputs) {
        if let Some(queue) = self.queues.get_mut(&item.queue) {
            queue.put_back(item.delivery, now.ms, &mut self.effects);
            self.alarms.set(&item.queue, queue.next_event(), now);
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
