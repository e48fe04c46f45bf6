//! Requests that say that they may come again are done once: a duplicate gets the answer of the first, or waits for it.
//!
//! Others are done as often as they come, whatever their request id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answered, Now, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::dedupe::{self, Begun};
use crate::broker::journal::KeptOffer;
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::SessionId;

/// The requests of the last while.
pub(super) struct Window {
    requests: dedupe::Window<Key, Message, (SessionId, Message)>,
    /// Those that are being done, by their sessions and ids.
    running: HashMap<(SessionId, Uuid), Key>,
}

/// What makes two requests the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: MessageType,
    user: Option<Arc<str>>,
    destination: Box<str>,
    id: Id,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Message(Uuid),
    Request(Box<str>),
}

impl Key {
    /// The key of an offer as a queue's log keeps it.
    fn to_log(&self) -> Vec<u8> {
        let (by, id) = match &self.id {
            Id::Message(id) => ("id", id.to_string()),
            Id::Request(id) => ("request-id", id.to_string()),
        };
        let mut key = json!({ "user": self.user.as_deref(), by: id });
        if self.kind == MessageType::OfferAll {
            key["all"] = json!(true);
        }
        key.to_string().into_bytes()
    }

    fn of_log(queue: &str, bytes: &[u8]) -> Option<Self> {
        let fields: Value = serde_json::from_slice(bytes).ok()?;
        let word = |key: &str| fields.get(key).and_then(Value::as_str);
        let id = match word("id") {
            Some(id) => Id::Message(id.parse().ok()?),
            None => Id::Request(word("request-id")?.into()),
        };
        let all = fields.get("all") == Some(&Value::Bool(true));
        let kind = if all {
            MessageType::OfferAll
        } else {
            MessageType::Offer
        };
        Some(Self {
            kind,
            user: word("user").map(Into::into),
            destination: queue.into(),
            id,
        })
    }

    fn bytes(&self) -> usize {
        let id = match &self.id {
            Id::Message(_) => 0,
            Id::Request(id) => id.len(),
        };
        size_of::<Self>() + self.destination.len() + id
    }
}

impl Window {
    pub(super) fn new(limits: dedupe::Limits) -> Self {
        Self {
            requests: dedupe::Window::new(limits),
            running: HashMap::new(),
        }
    }

    /// Recognises the offers that a log has kept, with their times, the oldest first.
    pub(super) fn restore(&mut self, offers: Vec<KeptOffer>, now: Now) {
        for KeptOffer { queue, at, key } in offers {
            let age = Duration::from_millis(now.ms.saturating_sub(at).max(0).unsigned_abs());
            let (Some(at), Some(key)) = (now.at.checked_sub(age), Key::of_log(&queue, &key)) else {
                continue;
            };
            let answer = Message::answer(Uuid::nil(), Status::Ok, "");
            let bytes = answer.size().total + key.bytes();
            if let Begun::New = self.requests.begin(key.clone(), (0, answer.clone()), at) {
                self.requests.finish(&key, answer, bytes, at);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<std::time::Instant> {
        self.requests.deadline()
    }

    pub(super) fn expire(&mut self, now: Now) {
        self.requests.expire(now.at);
    }
}

impl Router {
    /// Looks whether a request was made before. Returns it if it is to be done.
    pub(super) fn recognise(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let Some(by) = request.header("dedupe") else {
            return Ok(Some(request.clone()));
        };
        let id = match (by, request.request_id()) {
            ("id", _) => Id::Message(request.id()),
            ("request-id", Some(id)) => Id::Request(id.into()),
            ("request-id", None) => {
                return refused(
                    Status::BadRequest,
                    "dedupe by request-id, and there is none",
                );
            }
            _ => {
                let text = format!("dedupe cannot be {by:?}: id or request-id is allowed");
                return refused(Status::BadRequest, text);
            }
        };
        let Some(name) = request.destination() else {
            return refused(Status::BadRequest, "no destination is named");
        };
        // Who has lost the right since gets no answer of before.
        match request.kind() {
            MessageType::Request => self.check(session, Action::Execute, name)?,
            MessageType::Offer | MessageType::OfferAll => {
                self.check_queue(session, Action::Offer, name)?;
            }
            MessageType::Publish => self.check(session, Action::Publish, name)?,
            kind => {
                let text =
                    format!("dedupe is for REQUEST, OFFER, OFFER_ALL and PUBLISH, not {kind}");
                return refused(Status::BadRequest, text);
            }
        }
        let key = Key {
            kind: request.kind(),
            user: self.user_of(session),
            destination: name.into(),
            id,
        };
        // What it leads to is no duplicate of it.
        let request = request.clone().without_header("dedupe");
        let place = (session, request.id());
        let waiter = (session, request.clone());
        match self.window.requests.begin(key.clone(), waiter, now.at) {
            Begun::New if self.window.running.contains_key(&place) => {
                self.window.requests.abandon(&key);
                refused(
                    Status::BadRequest,
                    "another request with this id is under way",
                )
            }
            Begun::New => {
                self.window.running.insert(place, key);
                Ok(Some(request))
            }
            Begun::Done(answer) => {
                self.stats.duplicates += 1;
                let answer = duplicate(&request, &answer);
                self.answer(session, &request, answer, out);
                Ok(None)
            }
            Begun::Joined => {
                self.stats.duplicates += 1;
                Ok(None)
            }
            Begun::Busy => refused(
                Status::RetryLater,
                "too many requests are recognised at once",
            ),
        }
    }

    /// A request has its answer. One that is kept is the answer of all that come after it; else the next one is done.
    pub(super) fn settle(
        &mut self,
        session: SessionId,
        request: &Message,
        answer: &Message,
        kept: bool,
        now: Now,
        out: &mut Outputs,
    ) {
        if self.window.running.is_empty() {
            return;
        }
        let Some(key) = self.window.running.remove(&(session, request.id())) else {
            return;
        };
        let requests = &mut self.window.requests;
        let offer = matches!(request.kind(), MessageType::Offer | MessageType::OfferAll);
        let durable = kept && offer && request.is_durable();
        if durable && let Some(journal) = &mut self.journal {
            journal.recognise(&key.destination, now.ms, &key.to_log());
        }
        let waiters = if kept {
            let bytes = answer.size().total + key.bytes();
            requests.finish(&key, answer.clone(), bytes, now.at)
        } else {
            requests.abandon(&key)
        };
        for (session, request) in waiters {
            let answer = if kept {
                duplicate(&request, answer)
            } else {
                answer.clone().into_response(request.id(), answer.status())
            };
            self.answer(session, &request, answer, out);
        }
    }

    /// A request ends with its session before it was done.
    pub(super) fn abandon(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) {
        let text = "the client that made this request first has gone";
        let answer = request.reply(Status::RetryLater, text);
        self.settle(session, request, &answer, false, now, out);
    }
}

/// The answer to a request that was made before.
fn duplicate(request: &Message, answer: &Message) -> Message {
    let answer = answer.clone().into_response(request.id(), answer.status());
    let marked = answer.clone().with_header("duplicate", "true");
    // One that has as many headers as there may be goes without.
    marked.unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;
    const NOW: i64 = 20_000 * DAY;

    fn kept(at: i64, id: &str) -> KeptOffer {
        let key = key(id).to_log();
        let queue = "jobs".into();
        KeptOffer { queue, at, key }
    }

    fn key(id: &str) -> Key {
        Key {
            kind: MessageType::Offer,
            user: None,
            destination: "jobs".into(),
            id: Id::Request(id.into()),
        }
    }

    fn knows(window: &mut Window, id: &str, now: Now) -> bool {
        let nobody = Message::answer(Uuid::nil(), Status::Ok, "");
        let begun = window.requests.begin(key(id), (0, nobody), now.at);
        match begun {
            Begun::Done(_) => true,
            _ => {
                window.requests.abandon(&key(id));
                false
            }
        }
    }

    #[test]
    fn offers_of_a_run_whose_clock_was_ahead_are_recognised_for_a_whole_window() {
        let limits = dedupe::Limits::default();
        let mut window = Window::new(limits);
        let mut now = Now {
            at: std::time::Instant::now(),
            ms: NOW,
        };
        let offers = [
            (-3 * DAY, "long ago"),
            (-1000, "just now"),
            (3 * DAY, "ahead"),
        ];
        let offers = offers.map(|(at, id)| kept(NOW + at, id)).into();
        window.restore(offers, now);
        let known = ["long ago", "just now", "ahead"].map(|id| knows(&mut window, id, now));
        assert_eq!(known, [false, true, true]);
        // The clock is set; the window is not measured by it.
        now.ms += 3 * DAY;
        assert!(knows(&mut window, "just now", now) && knows(&mut window, "ahead", now));
        now.ms -= 9 * DAY;
        now.at += limits.age;
        assert!(!knows(&mut window, "just now", now) && !knows(&mut window, "ahead", now));
    }
}
