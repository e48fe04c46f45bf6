//! The handlers of a client's subscriptions, and the thread that calls them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Client;
use super::desk::Desk;
use crate::broker::error::Result;
use crate::broker::message::Message;
use crate::broker::topics::Pattern;
use crate::engine::{Core, Patience, lock};
use crate::protocols::CtxId;

type Handler = Arc<dyn Fn(&Message) + Send + Sync>;

/// Handlers by their topics or patterns.
#[derive(Default)]
pub(super) struct Handlers {
    by_topic: HashMap<String, Handler>,
    started: bool,
}

impl Handlers {
    /// Those for a publication.
    fn matching(&self, topic: Option<&str>) -> Vec<Handler> {
        let Some(topic) = topic else {
            return Vec::new();
        };
        let meant = self.by_topic.iter().filter(|(pattern, _)| {
            pattern.as_str() == topic
                || Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(topic))
        });
        meant.map(|(_, handler)| handler.clone()).collect()
    }
}

impl Client {
    /// A handler is there before the broker is asked, so that it misses nothing. It goes again, unless it is told to stay.
    pub(super) fn handle(&self, topic: &str, handler: Handler) -> Result<Handling<'_>> {
        let mut handlers = lock(&self.inner.handlers);
        if !handlers.started {
            let (core, desk) = (self.inner.core.clone(), self.inner.desk.clone());
            let known = self.inner.handlers.clone();
            thread::Builder::new()
                .name("wirebird-handler".into())
                .spawn(move || serve(&core, &desk, &known))
                .map_err(crate::Error::from)?;
            handlers.started = true;
        }
        let before = handlers.by_topic.insert(topic.into(), handler);
        Ok(Handling {
            client: self,
            topic: topic.into(),
            before: Some(before),
        })
    }

    /// Ends what a subscription has here. It is not made again.
    pub(super) fn forget_subscription(&self, topic: &str) {
        lock(&self.inner.desk).subscriptions.remove(topic);
        let handler = lock(&self.inner.handlers).by_topic.remove(topic);
        drop(handler);
    }
}

/// A handler whose subscription is not made yet.
pub(super) struct Handling<'a> {
    client: &'a Client,
    topic: String,
    /// What was there before, if it is to come back.
    before: Option<Option<Handler>>,
}

impl Handling<'_> {
    /// The broker has said yes to this request.
    pub(super) fn stays(mut self, request: Message) {
        let mut desk = lock(&self.client.inner.desk);
        desk.subscriptions.insert(self.topic.clone(), request);
        self.before = None;
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        let Some(before) = self.before.take() else {
            return;
        };
        let topic = std::mem::take(&mut self.topic);
        let mut handlers = lock(&self.client.inner.handlers);
        let dropped = match before {
            Some(before) => handlers.by_topic.insert(topic, before),
            None => handlers.by_topic.remove(&topic),
        };
        drop(handlers);
        drop(dropped);
    }
}

/// Gives publications to handlers until the connection is closed.
fn serve(core: &Core, desk: &Mutex<Desk>, handlers: &Mutex<Handlers>) {
    let mut nothing = crate::Message::new();
    let timeouts = &core.timeouts;
    while core
        .recv(CtxId::SOCKET, &mut nothing, Patience::Default, timeouts)
        .is_ok()
    {
        let next = lock(desk).publications.pop_front();
        let Some(publication) = next else { continue };
        let meant = lock(handlers).matching(publication.destination());
        for handler in meant {
            // The hook has told of it, and the next publication is for the others as well.
            let _ = catch_unwind(AssertUnwindSafe(|| handler(&publication)));
        }
    }
}
