//! What a client's machine and its methods share. Locked inside the socket's lock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::events::ClientEvent;
use crate::broker::message::Message;
use crate::protocols::{CtxId, IdMap, Io};

/// Publications that wait for their handlers at most; the oldest gives way.
const MOST_PUBLICATIONS: usize = 10_000;
/// Items that are kept at most though nobody waits for them.
const MOST_LATE: usize = 10_000;
/// Events that wait for one who watches at most; the oldest gives way.
const MOST_EVENTS: usize = 1000;

#[derive(Default)]
pub(in crate::broker) struct Desk {
    /// The requests that contexts are to send, until they have.
    pub(in crate::broker) asking: IdMap<CtxId, Message>,
    /// Answers, until they are fetched.
    pub(in crate::broker) answers: IdMap<CtxId, Message>,
    pub(in crate::broker) publications: VecDeque<Message>,
    /// Subscriptions, to be made again on a new connection.
    pub(in crate::broker) subscriptions: HashMap<String, Message>,
    pub(in crate::broker) missed: u64,
    /// What the broker said when it did not let us log in, until there is another connection.
    pub(in crate::broker) refused: Option<Message>,
    /// Whether requests can be sent.
    pub(in crate::broker) connected: bool,
    /// Whether a broker has answered this client at all.
    pub(in crate::broker) greeted: bool,
    /// A connection broke before that, and nobody has been told.
    pub(in crate::broker) cut_off: bool,
    /// The longest payload that the broker takes, once it has said so.
    pub(in crate::broker) longest: Option<usize>,
    pub(in crate::broker) late: Late,
    pub(in crate::broker) watchers: Watchers,
    /// After how long without a request the broker is sent a sign of life.
    pub(in crate::broker) heartbeat: Option<Duration>,
}

impl Desk {
    /// A publication came. Returns whether there was room for it.
    pub(in crate::broker) fn publish(&mut self, publication: Message) -> bool {
        let missed = publication
            .header("missed")
            .and_then(|count| count.parse().ok());
        self.missed = self.missed.saturating_add(missed.unwrap_or(0));
        let full = self.publications.len() >= MOST_PUBLICATIONS;
        if full {
            self.publications.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.publications.push_back(publication);
        !full
    }
}

/// Items whose polls were given up before they came.
#[derive(Default)]
pub(in crate::broker) struct Late {
    queues: HashMap<Box<str>, VecDeque<Message>>,
    count: usize,
}

impl Late {
    /// Keeps an item. Returns false if there are too many.
    pub(in crate::broker) fn keep(&mut self, queue: Box<str>, item: Message) -> bool {
        if self.count >= MOST_LATE {
            return false;
        }
        self.count += 1;
        self.queues.entry(queue).or_default().push_back(item);
        true
    }

    /// The oldest item of a queue that has not expired.
    pub(in crate::broker) fn take(&mut self, queue: &str, now_ms: i64) -> Option<Message> {
        let items = self.queues.get_mut(queue)?;
        let mut found = None;
        while found.is_none()
            && let Some(item) = items.pop_front()
        {
            self.count -= 1;
            found = Some(item).filter(|item| !item.is_expired(now_ms));
        }
        if items.is_empty() {
            self.queues.remove(queue);
        }
        found
    }

    pub(in crate::broker) fn take_all(&mut self) -> Vec<Message> {
        self.count = 0;
        let queues = std::mem::take(&mut self.queues);
        queues.into_values().flatten().collect()
    }
}

/// Those who want to know what happens to the connection.
#[derive(Default)]
pub(in crate::broker) struct Watchers(IdMap<CtxId, VecDeque<ClientEvent>>);

impl Watchers {
    pub(in crate::broker) fn add(&mut self, ctx: CtxId) {
        self.0.insert(ctx, VecDeque::new());
    }

    pub(in crate::broker) fn remove(&mut self, ctx: CtxId) {
        self.0.remove(&ctx);
    }

    pub(in crate::broker) fn tell(&mut self, event: &ClientEvent, io: &mut dyn Io) {
        for (&ctx, events) in &mut self.0 {
            if events.len() >= MOST_EVENTS {
                events.pop_front();
            }
            events.push_back(event.clone());
            io.wake_recv(ctx);
        }
    }

    pub(in crate::broker) fn has_news(&self, ctx: CtxId) -> bool {
        self.0.get(&ctx).is_some_and(|events| !events.is_empty())
    }

    pub(in crate::broker) fn next(&mut self, ctx: CtxId) -> Option<ClientEvent> {
        self.0.get_mut(&ctx)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Message {
        Message::plain_text(None, "", text).unwrap()
    }

    fn read(message: Option<Message>) -> Option<String> {
        message.map(|message| message.payload_text().unwrap().into_owned())
    }

    #[test]
    fn late_items_come_back_by_their_queue_oldest_first_unless_they_have_expired() {
        let mut late = Late::default();
        assert!(late.keep("a".into(), item("1").with_expires_at(10)));
        assert!(late.keep("a".into(), item("2")));
        assert!(late.keep("b".into(), item("3")));
        assert!(late.keep("a".into(), item("4")));
        assert_eq!(read(late.take("a", 11)).as_deref(), Some("2"));
        assert_eq!(read(late.take("a", 11)).as_deref(), Some("4"));
        assert_eq!(read(late.take("a", 11)), None);
        assert_eq!(late.count, 1);
        assert_eq!(late.take_all().len(), 1);
        assert_eq!(read(late.take("b", 11)), None);
    }

    #[test]
    fn late_items_are_limited() {
        let mut late = Late::default();
        let one = item("x");
        assert!((0..MOST_LATE).all(|_| late.keep("a".into(), one.clone())));
        assert!(!late.keep("b".into(), one.clone()));
        late.take("a", 0).unwrap();
        assert!(late.keep("b".into(), one));
    }

    #[test]
    fn what_the_broker_dropped_for_a_subscriber_is_missed() {
        let mut desk = Desk::default();
        assert!(desk.publish(item("x").with_header("missed", "7").unwrap()));
        assert!(desk.publish(item("y").with_header("missed", "many").unwrap()));
        assert_eq!((desk.missed, desk.publications.len()), (7, 2));
    }
}
