//! Topics: which exist, who subscribes to them, what they retain.
//!
//! A machine without a clock, threads or I/O. It says who is to get a message, and the caller delivers it, through an
//! [`Outbox`] for each subscription.
//!
//! What always holds:
//!
//! - A message goes to a session once, however many of its subscriptions match. The one to the topic itself comes
//!   before those to patterns, and of these the oldest comes first.
//! - A subscription to a topic ends with the topic. One to a pattern stays, and meets topics that are made later.

mod index;
mod outbox;
mod pattern;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt;

use super::queue::SessionId;
use index::Index;
pub(crate) use outbox::{Outbox, Pushed};
pub(crate) use pattern::{Pattern, PatternError};

/// Names a subscription; never reused while the broker runs.
pub(crate) type SubscriptionId = u64;

/// What becomes of a publication for a subscriber that does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest publication of the subscription that waits gives way.
    #[default]
    DropOldest,
    /// The subscriber misses it.
    DropNewest,
    /// The broker closes the subscriber's connection.
    Disconnect,
}

impl Overflow {
    const ALL: [Self; 3] = [Self::DropOldest, Self::DropNewest, Self::Disconnect];

    /// How the protocol writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DropOldest => "drop-oldest",
            Self::DropNewest => "drop-newest",
            Self::Disconnect => "disconnect",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// How a subscriber is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) overflow: Overflow,
    /// Messages that wait for the subscriber at most; 0 counts as 1.
    pub(crate) depth: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            overflow: Overflow::DropOldest,
            depth: 1000,
        }
    }
}

/// A subscription of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) session: SessionId,
    pub(crate) policy: Policy,
}

/// What there may be of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) topics: usize,
    pub(crate) subscriptions_per_session: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics: 10_000,
            subscriptions_per_session: 1000,
        }
    }
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicError {
    /// There is no topic of that name.
    NotFound,
    /// There are as many topics as there may be.
    TooManyTopics(usize),
    /// The session has as many subscriptions as it may have.
    TooManySubscriptions(usize),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such topic"),
            Self::TooManyTopics(limit) => {
                write!(f, "there are {limit} topics, and there may be no more")
            }
            Self::TooManySubscriptions(limit) => {
                write!(
                    f,
                    "the session has {limit} subscriptions, and may have no more"
                )
            }
        }
    }
}

impl Error for TopicError {}

/// What a session subscribed to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribed<M> {
    pub(crate) id: SubscriptionId,
    /// The messages that the topics which match retain, by topic. Some may have expired.
    pub(crate) retained: Vec<(String, M)>,
}

/// What is known of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicStats {
    /// Messages published to it since it was made.
    pub(crate) published: u64,
    /// Subscriptions to the topic itself.
    pub(crate) subscriptions: usize,
    pub(crate) retains: bool,
}

#[derive(Debug, Default)]
struct Topic {
    published: u64,
    subscriptions: BTreeMap<SessionId, Subscription>,
}

/// The topics of a broker, which retain messages of type `M`.
#[derive(Debug)]
pub(crate) struct Topics<M> {
    limits: Limits,
    topics: BTreeMap<String, Topic>,
    patterns: Index,
    retained: BTreeMap<String, M>,
    /// What each session subscribes to.
    sessions: HashMap<SessionId, BTreeSet<Pattern>>,
    next_id: SubscriptionId,
}

impl<M: Clone> Topics<M> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            topics: BTreeMap::new(),
            patterns: Index::default(),
            retained: BTreeMap::new(),
            sessions: HashMap::new(),
            next_id: 0,
        }
    }

    /// Makes a topic. Returns whether it is new.
    pub(crate) fn create(&mut self, name: &str) -> Result<bool, TopicError> {
        if self.exists(name) {
            return Ok(false);
        }
        if self.topics.len() >= self.limits.topics {
            return Err(TopicError::TooManyTopics(self.limits.topics));
        }
        self.topics.insert(name.to_owned(), Topic::default());
        Ok(true)
    }

    /// Removes a topic and what it retains. Returns the subscriptions that end, or `None` if there was no such topic.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Vec<Subscription>> {
        let topic = self.topics.remove(name)?;
        self.retained.remove(name);
        let ended: Vec<_> = topic.subscriptions.into_values().collect();
        for subscription in &ended {
            self.forget(subscription.session, name);
        }
        Some(ended)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.topics.contains_key(name)
    }

    /// The names of the topics, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    pub(crate) fn stats(&self, name: &str) -> Option<TopicStats> {
        let topic = self.topics.get(name)?;
        Some(TopicStats {
            published: topic.published,
            subscriptions: topic.subscriptions.len(),
            retains: self.retained.contains_key(name),
        })
    }

    /// Subscribes a session. A topic that is meant by its name has to exist, one that a wildcard meets may come later.
    /// Subscribing again to the same replaces the subscription, which ends, by a new one.
    pub(crate) fn subscribe(
        &mut self,
        session: SessionId,
        pattern: &Pattern,
        policy: Policy,
    ) -> Result<Subscribed<M>, TopicError> {
        if !pattern.has_wildcards() && !self.exists(pattern.as_str()) {
            return Err(TopicError::NotFound);
        }
        let mine = self.sessions.entry(session).or_default();
        if !mine.contains(pattern) && mine.len() >= self.limits.subscriptions_per_session {
            let limit = self.limits.subscriptions_per_session;
            return Err(TopicError::TooManySubscriptions(limit));
        }
        mine.insert(pattern.clone());
        let id = self.next_id;
        self.next_id += 1;
        let subscription = Subscription {
            id,
            session,
            policy,
        };
        if pattern.has_wildcards() {
            self.patterns.insert(pattern, subscription);
        } else if let Some(topic) = self.topics.get_mut(pattern.as_str()) {
            topic.subscriptions.insert(session, subscription);
        }
        let retained = self.retained_by(pattern);
        Ok(Subscribed { id, retained })
    }

    /// Ends a session's subscription, and returns it; `None` if it had none.
    pub(crate) fn unsubscribe(
        &mut self,
        session: SessionId,
        pattern: &Pattern,
    ) -> Result<Option<Subscription>, TopicError> {
        if !pattern.has_wildcards() && !self.exists(pattern.as_str()) {
            return Err(TopicError::NotFound);
        }
        self.forget(session, pattern.as_str());
        Ok(self.end(session, pattern))
    }

    /// Ends all subscriptions of a session that is gone, and returns them.
    pub(crate) fn drop_session(&mut self, session: SessionId) -> Vec<Subscription> {
        let patterns = self.sessions.remove(&session).unwrap_or_default();
        let ended = patterns
            .iter()
            .filter_map(|pattern| self.end(session, pattern));
        ended.collect()
    }

    /// Whether a session has any subscription.
    pub(crate) fn subscribes(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Finds out who is to get a message: adds the subscriptions to `matched`, one for each session.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        matched: &mut Vec<Subscription>,
    ) -> Result<(), TopicError> {
        let topic = self.topics.get_mut(name).ok_or(TopicError::NotFound)?;
        topic.published += 1;
        let before = matched.len();
        self.patterns.matching(name, matched);
        if matched.len() > before {
            // All matches of a session side by side, the one that counts first.
            let mut met = matched.split_off(before);
            met.retain(|found| !topic.subscriptions.contains_key(&found.session));
            met.sort_unstable_by_key(|found| (found.session, found.id));
            met.dedup_by_key(|found| found.session);
            matched.append(&mut met);
        }
        matched.extend(topic.subscriptions.values());
        Ok(())
    }

    /// Keeps a message for those who subscribe later, in the place of the one before; `None` keeps nothing.
    pub(crate) fn retain(&mut self, name: &str, message: Option<M>) -> Result<(), TopicError> {
        if !self.exists(name) {
            return Err(TopicError::NotFound);
        }
        match message {
            Some(message) => drop(self.retained.insert(name.to_owned(), message)),
            None => drop(self.retained.remove(name)),
        }
        Ok(())
    }

    fn retained_by(&self, pattern: &Pattern) -> Vec<(String, M)> {
        let owned = |(name, message): (&String, &M)| (name.clone(), message.clone());
        if !pattern.has_wildcards() {
            let kept = self.retained.get_key_value(pattern.as_str());
            return kept.map(owned).into_iter().collect();
        }
        let met = self
            .retained
            .iter()
            .filter(|(name, _)| pattern.matches(name));
        met.map(owned).collect()
    }

    fn end(&mut self, session: SessionId, pattern: &Pattern) -> Option<Subscription> {
        if pattern.has_wildcards() {
            return self.patterns.remove(pattern, session);
        }
        let topic = self.topics.get_mut(pattern.as_str())?;
        topic.subscriptions.remove(&session)
    }

    fn forget(&mut self, session: SessionId, pattern: &str) {
        if let Some(mine) = self.sessions.get_mut(&session) {
            mine.remove(pattern);
            if mine.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }
}
