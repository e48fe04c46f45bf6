//! A connection of a client as the broker keeps it: what is known of the client, and what waits to be sent to it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::budget::{Budget, Charge};
use super::codec::{Encoding, encode, encode_packed};
use super::crypto::Fault;
use super::line::Line;
use super::message::Message;
use super::router::{InTransit, Publication};
use super::topics::{Outbox, Pushed, Subscription};
use super::wrap::{wrap, wrap_plain};
use crate::error::Error;
use crate::message::{Message as Envelope, PipeId};
use crate::protocols::Io;

/// Answers that may wait for a client before nothing more is read from it.
const MOST_ANSWERS: usize = 1000;
/// Payloads from here on are compressed and unpacked aside: a thread does about 100 MB in a second.
pub(super) const LONG: usize = 64 << 10;

/// A frame to send, and what it carries.
pub(super) type Sealed = Result<(Envelope, Option<InTransit>), Fault>;

/// A connection of a client.
pub(super) struct Link {
    pub(super) pipe: PipeId,
    pub(super) source: Option<IpAddr>,
    /// How the client's last request was encoded.
    pub(super) encoding: Encoding,
    /// From which length on its payloads are compressed, if it reads gzip and anything is to be.
    pub(super) cutoff: Option<usize>,
    pub(super) line: Line,
    /// Whether the pipe takes a message now.
    pub(super) ready: bool,
    /// Whether its messages are left with the pipe for now.
    pub(super) held: bool,
    /// When it sent something last.
    pub(super) heard: Instant,
    /// Nothing can be sent to it any more.
    pub(super) broken: bool,
    pub(super) frames: VecDeque<Vec<u8>>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) answer_bytes: usize,
    /// The answer whose payload is being compressed. Nothing is sent before it.
    pub(super) packing: Option<Answer>,
    /// The request whose payload is being unpacked. Nothing is read before it is done.
    pub(super) unpacking: Option<Bytes>,
    /// Answers that the hub holds until the log has kept what they rest on.
    pub(super) awaited: usize,
    publications: Outbox<Arc<Publication>>,
    /// The publication that is next is being compressed. Of publications nothing is sent before it.
    pub(super) awaits_packed: bool,
    /// Bytes of answers that may wait before nothing more is read from it.
    most_bytes: usize,
    /// What the pipe has not passed on yet.
    pub(super) in_pipe: Option<Charge>,
}

/// An answer that waits.
pub(super) struct Answer {
    message: Message,
    pub(super) item: Option<InTransit>,
    bytes: usize,
    /// Of an item its queue's entry is charged.
    _charge: Option<Charge>,
}

impl Link {
    pub(super) fn new(
        pipe: PipeId,
        source: Option<IpAddr>,
        now: Instant,
        most_bytes: usize,
    ) -> Self {
        Self {
            pipe,
            source,
            encoding: Encoding::Binary,
            cutoff: None,
            line: Line::default(),
            ready: true,
            held: false,
            heard: now,
            broken: false,
            frames: VecDeque::new(),
            answers: VecDeque::new(),
            answer_bytes: 0,
            packing: None,
            unpacking: None,
            awaited: 0,
            publications: Outbox::new(most_bytes),
            awaits_packed: false,
            most_bytes,
            in_pipe: None,
        }
    }

    /// Whether what the client sends is left where it is.
    pub(super) fn is_busy(&self) -> bool {
        self.unpacking.is_some() || self.is_full()
    }

    fn is_full(&self) -> bool {
        self.answers.len() + self.awaited >= MOST_ANSWERS || self.answer_bytes >= self.most_bytes
    }

    pub(super) fn answer(&mut self, message: Message, item: Option<InTransit>, budget: &Budget) {
        let bytes = message.payload_binary().len();
        self.answer_bytes += bytes;
        self.answers.push_back(Answer {
            message,
            bytes,
            _charge: item.is_none().then(|| budget.take(bytes)),
            item,
        });
    }

    /// Whether what is sent now goes at once, because the pipe takes it and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.ready
            && self.packing.is_none()
            && self.frames.is_empty()
            && self.answers.is_empty()
            && self.publications.is_empty()
    }

    /// Puts a publication into the outbox. Returns how many are lost by that; `None` if the client is to be disconnected.
    pub(super) fn publish(
        &mut self,
        subscription: &Subscription,
        publication: Arc<Publication>,
    ) -> Option<usize> {
        let bytes = publication.bytes();
        match self.publications.push(subscription, publication, bytes) {
            Pushed::Done => Some(0),
            Pushed::DroppedOldest(lost) => Some(lost),
            Pushed::DroppedNewest => Some(1),
            Pushed::Disconnect => None,
        }
    }

    /// The answer that is next to be sent, if it is to be compressed before.
    pub(super) fn next_to_pack(&mut self) -> Option<Message> {
        if self.packing.is_some() || !self.frames.is_empty() {
            return None;
        }
        if !self.takes_long(&self.answers.front()?.message) {
            return None;
        }
        self.packing = self.answers.pop_front();
        Some(self.packing.as_ref()?.message.clone())
    }

    /// The publication that is next to be sent, if it is to be compressed before, and from which length on payloads are.
    pub(super) fn next_publication_to_pack(&self) -> Option<(Arc<Publication>, usize)> {
        if self.packing.is_some() || !self.frames.is_empty() || !self.answers.is_empty() {
            return None;
        }
        let publication = self.publications.front()?;
        let cutoff = self.packs_from()?;
        self.has_to_pack(publication)
            .then(|| (publication.clone(), cutoff))
    }

    /// Whether a publication is to be compressed before it goes out, and that takes long.
    pub(super) fn has_to_pack(&self, publication: &Publication) -> bool {
        !publication.is_packed() && self.takes_long(publication.message())
    }

    /// The next frame to send, and what it carries.
    pub(super) fn next(&mut self) -> Option<Sealed> {
        if self.packing.is_some() {
            return None;
        }
        if let Some(frame) = self.frames.pop_front() {
            return Some(Ok((wrap(frame), None)));
        }
        if let Some(answer) = self.answers.pop_front() {
            self.answer_bytes = self.answer_bytes.saturating_sub(answer.bytes);
            let sealed = self.seal(&answer.message);
            return Some(sealed.map(|frame| (frame, answer.item)));
        }
        let (publication, missed) = self.publications.pop()?;
        let frame = publication.frame_after(self.encoding, self.packs_from(), missed);
        Some(self.line.seal_frame(frame).map(|frame| (frame, None)))
    }

    /// The frame for the answer that was being compressed, if it is still to be sent.
    pub(super) fn packed(&mut self, plain: Bytes) -> Option<Sealed> {
        let answer = self.packing.take()?;
        self.answer_bytes = self.answer_bytes.saturating_sub(answer.bytes);
        let sealed = self.line.seal(plain);
        Some(sealed.map(|frame| (wrap(frame), answer.item)))
    }

    /// Gives up the answers that wait, in their order.
    pub(super) fn give_up(&mut self) -> VecDeque<Answer> {
        self.answer_bytes = 0;
        let mut answers = std::mem::take(&mut self.answers);
        if let Some(first) = self.packing.take() {
            answers.push_front(first);
        }
        answers
    }

    /// Whether others would feel it if the lock were kept while a message is compressed.
    pub(super) fn takes_long(&self, message: &Message) -> bool {
        let cutoff = self.packs_from();
        cutoff.is_some_and(|cutoff| message.payload_binary().len() >= cutoff.max(LONG))
    }

    /// Makes the frame for an answer.
    pub(super) fn seal(&mut self, message: &Message) -> Result<Envelope, Fault> {
        let plain = match self.packs_from() {
            Some(cutoff) => encode_packed(message, cutoff),
            None if self.line.is_plain() => return Ok(wrap_plain(message, self.encoding)),
            None => encode(message, self.encoding),
        };
        self.line.seal(plain).map(wrap)
    }

    /// Puts a publication into the pipe, which must be ready.
    pub(super) fn push_publication(
        &mut self,
        publication: &Publication,
        budget: &Budget,
        io: &mut dyn Io,
    ) -> Result<(), Fault> {
        let frame = publication.frame(self.encoding, self.packs_from());
        if self.line.is_plain() {
            self.push(frame, budget, io);
        } else {
            let frame = self.line.seal_frame(frame.clone())?;
            self.push(&frame, budget, io);
        }
        Ok(())
    }

    fn packs_from(&self) -> Option<usize> {
        self.cutoff.filter(|_| self.encoding == Encoding::Binary)
    }

    /// Puts a frame into the pipe, which must be ready.
    pub(super) fn push(&mut self, frame: &Envelope, budget: &Budget, io: &mut dyn Io) {
        self.ready = io.push(self.pipe, frame);
        if !self.ready {
            self.in_pipe = Some(budget.take(frame.len()));
        }
    }

    /// Ends a connection whose cipher can seal nothing more.
    pub(super) fn used_up(&mut self, io: &mut dyn Io) {
        self.ready = false;
        io.close_pipe(
            self.pipe,
            Error::Malformed("an encrypted session is used up"),
        );
    }
}
