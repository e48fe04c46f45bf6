//! What users may do with queues, topics and functions.

use std::collections::BTreeMap;
use std::fmt;

use super::error::AuthError;
use crate::broker::message::limits::{check_pattern, is_pattern};
use crate::broker::topics::Pattern;

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DestinationType {
    /// Queues.
    Queue,
    /// Topics.
    Topic,
    /// Functions.
    Function,
}

/// What somebody wants to do with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Put a message into a queue.
    Offer,
    /// Take a message out of a queue.
    Poll,
    /// Publish on a topic.
    Publish,
    /// Receive what is published on a topic.
    Subscribe,
    /// Call a function.
    Execute,
}

/// What a right allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// To poll a queue or to subscribe to a topic, not to offer or publish.
    Read,
    /// To offer to a queue or to publish on a topic, not to poll or subscribe.
    Write,
    /// Both.
    ReadWrite,
    /// To call a function.
    Execute,
    /// Nothing.
    Deny,
}

/// A right of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclEntry {
    /// Whether it is about a queue, a topic or a function.
    pub destination_type: DestinationType,
    /// The name of the destination, or a pattern.
    pub name: String,
    /// Whose right it is.
    pub user: String,
    /// What is allowed.
    pub mode: Mode,
}

impl DestinationType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Topic, Self::Function];

    /// `queue`, `topic` or `function`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
            Self::Function => "function",
        }
    }

    fn modes(self) -> &'static str {
        match self {
            Self::Queue => "poll, offer, offer-poll or deny",
            Self::Topic => "subscribe, publish, publish-subscribe or deny",
            Self::Function => "execute or deny",
        }
    }

    pub(super) fn check(self, mode: Mode) -> Result<(), AuthError> {
        let function = self == Self::Function;
        if mode == Mode::Deny || (mode == Mode::Execute) == function {
            return Ok(());
        }
        Err(self.bad_mode(mode.stored()))
    }

    fn bad_mode(self, mode: &str) -> AuthError {
        AuthError::BadMode {
            destination_type: self,
            mode: mode.chars().take(40).collect(),
            allowed: self.modes(),
        }
    }
}

impl fmt::Display for DestinationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Action {
    /// What kind of destination it is done to.
    #[must_use]
    pub fn destination_type(self) -> DestinationType {
        match self {
            Self::Offer | Self::Poll => DestinationType::Queue,
            Self::Publish | Self::Subscribe => DestinationType::Topic,
            Self::Execute => DestinationType::Function,
        }
    }

    /// In a sentence: somebody may not *offer to the queue* of some name.
    pub(in crate::broker) fn phrase(self) -> &'static str {
        match self {
            Self::Offer => "offer to the queue",
            Self::Poll => "poll the queue",
            Self::Publish => "publish on the topic",
            Self::Subscribe => "subscribe to the topic",
            Self::Execute => "execute the function",
        }
    }
}

impl Mode {
    /// Reads a mode, in capitals or not, with `-` or `_`:
    ///
    /// | Mode | queue | topic | function |
    /// |---|---|---|---|
    /// | `Read` | `poll`, `read` | `subscribe`, `read` | |
    /// | `Write` | `offer`, `write` | `publish`, `write` | |
    /// | `ReadWrite` | `offer-poll`, `poll-offer`, `read-write` | `publish-subscribe`, `subscribe-publish`, `read-write` | |
    /// | `Execute` | | | `execute`, `exec`, `send` |
    /// | `Deny` | `deny` | `deny` | `deny` |
    ///
    /// # Errors
    ///
    /// [`AuthError::BadMode`] with the modes that the type has.
    pub fn parse(destination_type: DestinationType, text: &str) -> Result<Self, AuthError> {
        use DestinationType::{Function, Queue, Topic};
        let word = text.to_ascii_lowercase().replace('_', "-");
        Ok(match (destination_type, word.as_str()) {
            (_, "deny") => Self::Deny,
            (Queue, "poll") | (Topic, "subscribe") | (Queue | Topic, "read") => Self::Read,
            (Queue, "offer") | (Topic, "publish") | (Queue | Topic, "write") => Self::Write,
            (Queue, "offer-poll" | "poll-offer")
            | (Topic, "publish-subscribe" | "subscribe-publish")
            | (Queue | Topic, "read-write") => Self::ReadWrite,
            (Function, "execute" | "exec" | "send") => Self::Execute,
            _ => return Err(destination_type.bad_mode(text)),
        })
    }

    /// The mode's name for a type of destination: `poll` for a queue is `subscribe` for a topic.
    #[must_use]
    pub fn name(self, destination_type: DestinationType) -> &'static str {
        let topic = destination_type == DestinationType::Topic;
        match self {
            Self::Read if topic => "subscribe",
            Self::Read => "poll",
            Self::Write if topic => "publish",
            Self::Write => "offer",
            Self::ReadWrite if topic => "publish-subscribe",
            Self::ReadWrite => "offer-poll",
            Self::Execute => "execute",
            Self::Deny => "deny",
        }
    }

    /// Its name in files.
    pub(super) fn stored(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadWrite => "READ_WRITE",
            Self::Execute => "EXECUTE",
            Self::Deny => "DENY",
        }
    }

    /// Whether it allows an action.
    #[must_use]
    pub fn allows(self, action: Action) -> bool {
        match action {
            Action::Poll | Action::Subscribe => matches!(self, Self::Read | Self::ReadWrite),
            Action::Offer | Action::Publish => matches!(self, Self::Write | Self::ReadWrite),
            Action::Execute => self == Self::Execute,
        }
    }
}

/// The rights of all users, and what those may do that have none of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acl {
    defaults: [Mode; 3],
    users: BTreeMap<String, [BTreeMap<String, Rule>; 3]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    mode: Mode,
    /// If the name is a pattern.
    pattern: Option<Pattern>,
}

impl Default for Acl {
    /// Everybody may do everything.
    fn default() -> Self {
        Self {
            defaults: [Mode::ReadWrite, Mode::ReadWrite, Mode::Execute],
            users: BTreeMap::new(),
        }
    }
}

impl Acl {
    pub(super) fn default_mode(&self, kind: DestinationType) -> Mode {
        self.defaults[kind as usize]
    }

    pub(super) fn set_default(
        &mut self,
        kind: DestinationType,
        mode: Mode,
    ) -> Result<(), AuthError> {
        kind.check(mode)?;
        self.defaults[kind as usize] = mode;
        Ok(())
    }

    /// Sets the right of a user, in place of the one it had.
    pub(super) fn set(
        &mut self,
        kind: DestinationType,
        name: &str,
        mode: Mode,
        user: &str,
    ) -> Result<(), AuthError> {
        kind.check(mode)?;
        check_pattern(name)?;
        let pattern = is_pattern(name)
            .then(|| Pattern::parse(name).ok())
            .flatten();
        let rules = self.users.entry(user.into()).or_default();
        rules[kind as usize].insert(key(name), Rule { mode, pattern });
        Ok(())
    }

    /// Removes rights of a type: of one destination or all, of one user or all. Returns how many.
    pub(super) fn remove(
        &mut self,
        kind: DestinationType,
        name: Option<&str>,
        user: Option<&str>,
    ) -> usize {
        let name = name.map(key);
        let mut removed = 0;
        for (whose, rules) in &mut self.users {
            if user.is_none_or(|user| user == whose) {
                let rules = &mut rules[kind as usize];
                let before = rules.len();
                rules.retain(|rule, _| name.as_ref().is_some_and(|name| name != rule));
                removed += before - rules.len();
            }
        }
        self.users
            .retain(|_, rules| rules.iter().any(|rules| !rules.is_empty()));
        removed
    }

    /// Whether a user may do something. The right for the name itself decides alone; else the most specific patterns
    /// that match, all of them; else the default of the type.
    pub(super) fn allows(&self, user: &str, action: Action, name: &str) -> bool {
        let kind = action.destination_type();
        let default = || self.default_mode(kind).allows(action);
        let Some(rules) = self.users.get(user).map(|rules| &rules[kind as usize]) else {
            return default();
        };
        if let Some(rule) = rules.get(name) {
            return rule.mode.allows(action);
        }
        let mut decided = None;
        for rule in rules.values() {
            let Some(pattern) = rule
                .pattern
                .as_ref()
                .filter(|pattern| pattern.matches(name))
            else {
                continue;
            };
            let (weight, allowed) = (weight(pattern.as_str()), rule.mode.allows(action));
            decided = match decided {
                Some((heaviest, _)) if heaviest > weight => decided,
                Some((heaviest, so_far)) if heaviest == weight => {
                    Some((heaviest, so_far && allowed))
                }
                _ => Some((weight, allowed)),
            };
        }
        decided.map_or_else(default, |(_, allowed)| allowed)
    }

    /// By type, user and name.
    pub(super) fn entries(&self) -> impl Iterator<Item = AclEntry> {
        DestinationType::ALL.into_iter().flat_map(|kind| {
            self.users.iter().flat_map(move |(user, rules)| {
                rules[kind as usize]
                    .iter()
                    .map(move |(name, rule)| AclEntry {
                        destination_type: kind,
                        name: name.clone(),
                        user: user.clone(),
                        mode: rule.mode,
                    })
            })
        })
    }
}

/// Both separators mean the same in a pattern, and not in a name.
fn key(name: &str) -> String {
    if is_pattern(name) {
        name.replace('.', "/")
    } else {
        name.into()
    }
}

/// How specific a pattern is: by the segments that it names, and then whether it says how many there are.
fn weight(pattern: &str) -> (usize, bool) {
    let named = pattern.split('/').filter(|segment| !is_pattern(segment));
    (named.count(), !pattern.ends_with('>'))
}

#[cfg(test)]
mod tests;
