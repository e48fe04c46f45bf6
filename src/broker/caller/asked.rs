//! What was asked in a context, as far as it matters to whom the answer goes.

use uuid::Uuid;

use crate::broker::batch;
use crate::broker::codec::Encoding;
use crate::broker::message::{Message as Letter, MessageType, Status};

#[derive(Clone)]
pub(super) struct Asked {
    pub(super) id: Uuid,
    /// The broker may let it wait.
    pub(super) waits: bool,
    /// Where the items come from that are lost with the answer.
    pub(super) queue: Option<Box<str>>,
    /// The items must be some that the broker wants to hear of again.
    pub(super) leased: bool,
    /// So many items may come in one answer. `None` if the answer is the item.
    several: Option<usize>,
}

impl Asked {
    pub(super) fn new(letter: &Letter) -> Self {
        let offers = matches!(letter.kind(), MessageType::Offer | MessageType::OfferAll);
        let count = letter.header("count").and_then(|count| count.parse().ok());
        let several = letter.kind() == MessageType::PollUpTo;
        Self {
            id: letter.id(),
            waits: offers || polls(letter),
            queue: queue_of(letter).map(Into::into),
            leased: letter.header("lease").is_some(),
            several: several.then(|| count.unwrap_or(1).clamp(1, batch::MOST)),
        }
    }

    /// The items of an answer. One that cannot be read has none.
    pub(super) fn items(&self, answer: Letter) -> Vec<Letter> {
        match self.several {
            _ if answer.is_err() => Vec::new(),
            Some(_) => batch::unpack(&answer).unwrap_or_default(),
            None => vec![answer],
        }
    }

    /// The answer that has an item, which had come for somebody else, and more of them if it may.
    pub(super) fn answer(&self, first: Letter, more: impl Iterator<Item = Letter>) -> Letter {
        let Some(most) = self.several else {
            return first.into_response(self.id, Status::Ok);
        };
        let items: Vec<Letter> = std::iter::once(first).chain(more).take(most).collect();
        batch::answer(self.id, &items, Encoding::Binary)
    }
}

fn polls(letter: &Letter) -> bool {
    matches!(letter.kind(), MessageType::Poll | MessageType::PollUpTo)
}

/// The queue that a poll polls.
pub(super) fn queue_of(letter: &Letter) -> Option<&str> {
    letter.destination().filter(|_| polls(letter))
}
