//! What happens to a client's connection, told to the program.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::Desk;
use crate::broker::error::{Refusal, Result};
use crate::engine::{Core, Patience, Receiving, lock};
use crate::protocols::CtxId;

/// Something that happened to a [`Client`](super::Client)'s connection.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// There is a connection again: the client has logged in, and its subscriptions are made again.
    Connected,
    /// The connection broke. Another one is being made in the background.
    Disconnected,
    /// The broker did not let the client log in again. Requests fail until there is another connection.
    LoginRefused(Refusal),
    /// A subscription could not be made again. It is tried once more with the next connection.
    SubscriptionLost {
        /// The topic or pattern.
        topic: String,
        /// Why.
        refusal: Refusal,
    },
    /// An item came whose poll had been given up. The client's next poll of the queue gets it, or
    /// [`take_late`](super::Client::take_late).
    Late {
        /// The queue.
        queue: String,
    },
}

/// What happens to a client's connection from now on: what [`Client::events`](super::Client::events) returns.
///
/// Up to 1,000 events wait to be fetched; then the oldest gives way. It does not keep the connection open.
pub struct Events {
    core: Arc<Core>,
    desk: Arc<Mutex<Desk>>,
    ctx: CtxId,
}

impl Events {
    pub(super) fn new(core: &Arc<Core>, desk: &Arc<Mutex<Desk>>) -> Result<Self> {
        let ctx = core.open_context()?;
        lock(desk).watchers.add(ctx);
        Ok(Self {
            core: core.clone(),
            desk: desk.clone(),
            ctx,
        })
    }

    /// The next event, if there is one. Never blocks.
    #[must_use]
    pub fn try_recv(&self) -> Option<ClientEvent> {
        lock(&self.desk).watchers.next(self.ctx)
    }

    /// Blocks until there is an event.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed) when the client is closed and all events are fetched.
    pub fn recv(&self) -> Result<ClientEvent> {
        self.wait(Patience::Default)
    }

    /// Blocks until there is an event, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`TimedOut`](crate::Error::TimedOut).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<ClientEvent> {
        self.wait(Patience::For(timeout))
    }

    /// Waits for an event.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_async(&self) -> Result<ClientEvent> {
        loop {
            if let Some(event) = self.try_recv() {
                return Ok(event);
            }
            let mut watch = Watch(self, Receiving::default());
            poll_fn(|task| watch.1.poll(&self.core, self.ctx, || None, task)).await?;
        }
    }

    fn wait(&self, patience: Patience) -> Result<ClientEvent> {
        loop {
            if let Some(event) = self.try_recv() {
                return Ok(event);
            }
            let mut nothing = crate::Message::new();
            let timeouts = &self.core.timeouts;
            self.core.recv(self.ctx, &mut nothing, patience, timeouts)?;
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        lock(&self.desk).watchers.remove(self.ctx);
        self.core.close_context(self.ctx);
    }
}

/// A wait that takes its waker along when it is dropped.
struct Watch<'a>(&'a Events, Receiving);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.1.release(&self.0.core, self.0.ctx);
    }
}
