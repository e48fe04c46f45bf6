//! Several messages in one request: offered together, polled together, acknowledged or rejected together.

use std::sync::Arc;

use serde_json::json;

use super::admin::data;
use super::leases::{check_offer, number, verdict, with_lease};
use super::{Answered, Entry, InTransit, Now, Refused, Router, refused};
use crate::broker::auth::Action;
use crate::broker::batch;
use crate::broker::budget::Charge;
use crate::broker::codec::Encoding;
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::{Delivery, Item, SessionId, Token};

/// What a message in an answer has around it at most: its length, and the headers that name its lease.
const AROUND_ITEM: usize = 100;
/// How many messages an answer has room for from the start.
const USUAL: usize = 16;

/// What goes to a client behind the first item of an answer.
#[derive(Debug)]
pub(super) struct Rest {
    deliveries: Vec<Delivery<Entry>>,
    /// The answer is a copy of its items.
    _charge: Charge,
}

impl InTransit {
    /// The queue, and all that comes from it.
    pub(super) fn into_parts(self) -> (Arc<str>, impl Iterator<Item = Delivery<Entry>>) {
        let rest = self.rest.map(|rest| rest.deliveries);
        let all = std::iter::once(self.delivery).chain(rest.into_iter().flatten());
        (self.queue, all)
    }
}

impl Router {
    /// Accepts all messages of a request, or none.
    pub(super) fn offer_all(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        let ends = self.lease_to_end(session, request)?;
        let (name, mut line) = self.line_up(session, Action::Offer, request, now)?;
        if ends.is_some() {
            line = None;
        }
        let unusable = |error: batch::BatchError| Refused(Status::BadRequest, error.to_string());
        let messages = batch::unpack(request).map_err(unusable)?;
        let mut items = Vec::with_capacity(messages.len());
        let mut durable = false;
        for (at, message) in messages.into_iter().enumerate() {
            let message = item_of(request, message, &name).map_err(|Refused(status, text)| {
                Refused(status, format!("message {} of the batch: {text}", at + 1))
            })?;
            let charge = self.charge(&message)?;
            let item = Entry::new(message, charge);
            durable |= item.durable();
            items.push(item);
        }
        self.check_log(&name, durable)?;
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(&name));
        };
        let waiter = line.map(|(waiter, _)| waiter);
        let offered = queue.offer_all(items, waiter, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        // The items are copies: what waits need not hold them once more.
        let asked = request.clone().without_payload();
        let sizes = |items: &Vec<Entry>| (items.len(), items.iter().map(Item::bytes).sum());
        self.offered(&offered, sizes, &asked, name, line, ends, now)
    }

    /// Adds to an item that goes to a client what else of its queue the client wants and may have in one answer. Returns
    /// the answer.
    pub(super) fn gather(
        &mut self,
        session: SessionId,
        poll: &Message,
        item: &mut InTransit,
        now: Now,
    ) -> Message {
        let most = wanted(poll).unwrap_or(1);
        let longest = self.limits.message_size;
        let mut bytes = item.delivery.item().bytes() + AROUND_ITEM;
        let mut deliveries = Vec::with_capacity(most.clamp(1, USUAL) - 1);
        if let Some(queue) = self.queues.get_mut(&item.queue) {
            while deliveries.len() + 1 < most
                && let Some(room) = longest.checked_sub(bytes + AROUND_ITEM)
                && let Some(delivery) = queue.poll_within(room, now.ms, &mut self.effects)
            {
                bytes += delivery.item().bytes() + AROUND_ITEM;
                deliveries.push(delivery);
            }
            self.alarms.set(&item.queue, queue.next_event(), now);
        }
        let leased = item.keep.is_some();
        let all = std::iter::once(&item.delivery).chain(&deliveries);
        let messages: Vec<Message> = all.map(|delivery| handed_out(delivery, leased)).collect();
        let json = self.sessions.get(&session).is_some_and(|known| known.json);
        let encoding = if json {
            Encoding::Json
        } else {
            Encoding::Binary
        };
        let answer = poll.answered_with(batch::answer(poll.id(), &messages, encoding));
        item.rest = Some(Box::new(Rest {
            deliveries,
            _charge: self.budget.take(answer.payload_binary().len()),
        }));
        answer
    }

    /// A client is done with leased messages, or does not want them. The answer says which of them it had no more.
    pub(super) fn end_leases(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
    ) -> Answered<Option<Message>> {
        let name = self.polled_queue(session, request)?;
        let unusable = |error: batch::BatchError| Refused(Status::BadRequest, error.to_string());
        let tokens = batch::tokens(request).map_err(unusable)?;
        let (verdict, said) = match request.kind() {
            MessageType::NackAll => (Some(verdict(request)?), "rejected"),
            _ => (None, "acknowledged"),
        };
        let Some(queue) = self.queues.get_mut(&name) else {
            return refused(Status::QueueNotFound, super::queues::not_found(&name));
        };
        let parsed = tokens.iter().map(|token| token.parse::<Token>());
        let stale = queue.end_leases(parsed, verdict, now.ms, &mut self.effects);
        self.alarms.set(&name, queue.next_event(), now);
        let done = tokens.len() - stale.len();
        data(request, &json!({ said: done, "stale": stale })).map(Some)
    }

    /// How a client asks for several messages, and is to get them.
    pub(in crate::broker) fn speaks(&mut self, session: SessionId, encoding: Encoding) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.json = encoding == Encoding::Json;
        }
    }
}

/// How many messages a poll is for.
pub(super) fn wanted(poll: &Message) -> Answered<usize> {
    if poll.kind() != MessageType::PollUpTo {
        return Ok(1);
    }
    match number(poll, "count", 1..=batch::MOST as i64)? {
        Some(count) => Ok(usize::try_from(count).unwrap_or(batch::MOST)),
        None => refused(Status::BadRequest, "the header count is missing"),
    }
}

/// A message of a batch as its queue holds it.
fn item_of(request: &Message, message: Message, queue: &str) -> Answered<Message> {
    if !matches!(message.kind(), MessageType::Null | MessageType::Offer) {
        let kind = message.kind();
        let text = format!("it cannot be of the type {kind}: OFFER or none is allowed");
        return refused(Status::BadRequest, text);
    }
    if let Some(other) = message.destination().filter(|&other| other != queue) {
        let text = format!("it cannot go to {other}: the whole batch is for {queue}");
        return refused(Status::BadRequest, text);
    }
    let of_request = ["dedupe", "ack-queue", "ack-token"];
    if let Some(key) = of_request
        .into_iter()
        .find(|key| message.header(key).is_some())
    {
        let text = format!("it cannot have the header {key}, which is for the whole batch");
        return refused(Status::BadRequest, text);
    }
    if message.is_durable() && !request.is_durable() {
        let text = "it is durable, and the batch does not say that it is";
        return refused(Status::BadRequest, text);
    }
    check_offer(&message)?;
    message
        .addressed_to(MessageType::Offer, queue)
        .or_else(|error| refused(Status::BadRequest, error.to_string()))
}

/// An item as an answer has it among others, but for what makes it an answer.
fn handed_out(delivery: &Delivery<Entry>, leased: bool) -> Message {
    let message = delivery.item().message.clone();
    if leased {
        with_lease(message, delivery)
    } else {
        message
    }
}
