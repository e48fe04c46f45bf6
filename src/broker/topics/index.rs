//! The subscriptions to patterns, as a tree of segments: finding those that match costs no more for many others.

use std::collections::{BTreeMap, HashMap};

use super::pattern::{Pattern, segments};
use super::{SessionId, Subscription};

/// Patterns have at most as many segments as characters, so that going down the tree is no danger to the stack.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Subscriptions to the pattern that ends here.
    here: BTreeMap<SessionId, Subscription>,
    /// By segment of the pattern, wildcards included.
    children: HashMap<Box<str>, Self>,
}

impl Index {
    /// Adds a subscription, in the place of the session's former one to the same pattern.
    pub(super) fn insert(&mut self, pattern: &Pattern, subscription: Subscription) {
        let mut node = &mut self.root;
        for segment in segments(pattern.as_str()) {
            node = node.children.entry(segment.into()).or_default();
        }
        node.here.insert(subscription.session, subscription);
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, session: SessionId) -> Option<Subscription> {
        self.root.remove(segments(pattern.as_str()), session)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.here.is_empty() && self.root.children.is_empty()
    }

    /// Adds the subscriptions whose patterns match a topic to `found`, those of one session perhaps more than once.
    pub(super) fn matching(&self, topic: &str, found: &mut Vec<Subscription>) {
        self.root.matching(segments(topic), found);
    }
}

impl Node {
    fn remove<'a>(
        &mut self,
        mut path: impl Iterator<Item = &'a str>,
        session: SessionId,
    ) -> Option<Subscription> {
        let Some(segment) = path.next() else {
            return self.here.remove(&session);
        };
        let child = self.children.get_mut(segment)?;
        let removed = child.remove(path, session);
        if child.here.is_empty() && child.children.is_empty() {
            self.children.remove(segment);
        }
        removed
    }

    fn matching<'a>(
        &self,
        mut path: impl Iterator<Item = &'a str> + Clone,
        found: &mut Vec<Subscription>,
    ) {
        let Some(segment) = path.next() else {
            found.extend(self.here.values());
            return;
        };
        if let Some(rest) = self.children.get(">") {
            found.extend(rest.here.values());
        }
        if let Some(any) = self.children.get("*") {
            any.matching(path.clone(), found);
        }
        // A name that looks like a wildcard would double the work at each segment.
        if segment != "*"
            && let Some(child) = self.children.get(segment)
        {
            child.matching(path, found);
        }
    }
}
