//! Offers and polls.

use std::sync::Arc;

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
        let (name, waiter) = self.line_up(session, Action::Offer, request, now)?;
        let item = Entry::new(request.clone(), self.charge(request)?);
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, not_found(&name));
        };
        let until = waiter.map(|(_, until)| until);
        let waiter = waiter.map(|(waiter, _)| waiter);
        match queue.offer(item, waiter, now.ms, &mut self.effects) {
            Offered::Done => Ok(Some(request.reply(Status::Ok, ""))),
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
        if queue.config().owner.is_some_and(|owner| owner != session) {
            return refused(
                Status::NoPermission,
                format!("only the client that made the queue {name} may poll it"),
            );
        }
        let until = waiter.map(|(_, until)| until);
        let waiter = waiter.map(|(waiter, _)| waiter);
        match queue.poll(waiter, now.ms, &mut self.effects) {
            Polled::Item(delivery) => {
                let item = InTransit {
                    queue: name,
                    delivery,
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
        item: InTransit,
        now: Now,
        out: &mut Outputs,
    ) {
        if !self.sessions.contains_key(&session) {
            return self.undelivered(item, now, out);
        }
        let message = item.delivery.item().message.clone();
        out.push(Output::Answer {
            session,
            message: message.into_response(request.id(), Status::Ok),
            item: Some(item),
        });
    }

    /// An item has reached its client.
    pub(in crate::broker) fn delivered(&mut self, item: InTransit) {
        if let Some(queue) = self.queues.get_mut(&item.queue) {
            queue.acknowledge(item.delivery);
        }
    }

    /// An item has not reached its client: it goes back to its place.
    pub(in crate::broker) fn undelivered(&mut self, item: InTransit, now: Now, out: &mut Outputs) {
        if let Some(queue) = self.queues.get_mut(&item.queue) {
            queue.put_back(item.delivery, now.ms, &mut self.effects);
            self.carry_out(now, out);
        }
    }
}

pub(super) fn not_found(name: &str) -> String {
    format!("there is no queue {name}")
}
