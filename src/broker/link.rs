//! A connection of a client as the broker keeps it: what is known of the client, and what waits to be sent to it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, Charge};
use super::codec::{Encoding, encode, encode_packed};
use super::crypto::Fault;
use super::line::Line;
use super::message::Message;
use super::router::{InTransit, Publication};
use super::topics::{Outbox, Overflow, Policy, Pushed};
use crate::message::PipeId;

/// Answers that may wait for a client before nothing more is read from it.
const MOST_ANSWERS: usize = 1000;

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
    /// Nothing can be sent to it any more.
    pub(super) broken: bool,
    pub(super) frames: VecDeque<Vec<u8>>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) answer_bytes: usize,
    publications: Outbox<Arc<Publication>>,
    /// Bytes that may wait for it, of answers and of publications each.
    most_bytes: usize,
    publication_bytes: usize,
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
    pub(super) fn new(pipe: PipeId, source: Option<IpAddr>, most_bytes: usize) -> Self {
        Self {
            pipe,
            source,
            encoding: Encoding::Binary,
            cutoff: None,
            line: Line::default(),
            ready: true,
            held: false,
            broken: false,
            frames: VecDeque::new(),
            answers: VecDeque::new(),
            answer_bytes: 0,
            publications: Outbox::new(Policy::default()),
            most_bytes,
            publication_bytes: 0,
            in_pipe: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.answers.len() >= MOST_ANSWERS || self.answer_bytes >= self.most_bytes
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

    fn next_publication(&mut self) -> Option<Arc<Publication>> {
        let publication = self.publications.pop()?;
        self.publication_bytes = self.publication_bytes.saturating_sub(publication.bytes());
        Some(publication)
    }

    /// Puts a publication into the outbox, which limits their number, and keeps to the limit of their bytes. Returns how
    /// many are lost by that; `None` if the client is to be disconnected.
    pub(super) fn publish(
        &mut self,
        publication: Arc<Publication>,
        policy: Policy,
    ) -> Option<usize> {
        let bytes = publication.bytes();
        let mut lost = 0;
        while self.publication_bytes > 0
            && self.publication_bytes.saturating_add(bytes) > self.most_bytes
        {
            match policy.overflow {
                Overflow::DropOldest => lost += usize::from(self.next_publication().is_some()),
                Overflow::DropNewest => return Some(1),
                Overflow::Disconnect => return None,
            }
        }
        self.publication_bytes += bytes;
        match self.publications.push(publication) {
            Pushed::Done => {}
            Pushed::DroppedOldest(gone) | Pushed::DroppedNewest(gone) => {
                self.publication_bytes = self.publication_bytes.saturating_sub(gone.bytes());
                lost += 1;
            }
            Pushed::Disconnect(_) => return None,
        }
        Some(lost)
    }

    /// The next frame to send, and what it carries.
    pub(super) fn next(&mut self) -> Option<Result<(Bytes, Option<InTransit>), Fault>> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(Ok((frame.into(), None)));
        }
        let cutoff = self.cutoff.filter(|_| self.encoding == Encoding::Binary);
        let (plain, item) = if let Some(answer) = self.answers.pop_front() {
            self.answer_bytes = self.answer_bytes.saturating_sub(answer.bytes);
            let plain = match cutoff {
                Some(cutoff) => encode_packed(&answer.message, cutoff),
                None => encode(&answer.message, self.encoding),
            };
            (plain, answer.item)
        } else {
            let publication = self.next_publication()?;
            let plain = match cutoff {
                Some(cutoff) => publication.packed(cutoff),
                None => publication.encoded(self.encoding),
            };
            (plain, None)
        };
        Some(self.line.seal(plain).map(|frame| (frame, item)))
    }
}
