//! Waiting for a socket's pipes to come, go, or run empty.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Core, Phase, State, after};
use super::deadline::{block_on, within};
use crate::error::{Error, Result};
use crate::protocols::{CtxId, OpId};

/// A future that is ready when its condition says so; see [`Core::watch`].
pub(super) struct Watch<'a, F> {
    core: &'a Core,
    ready: F,
    op: Option<OpId>,
}

impl<F, T> Future for Watch<'_, F>
where
    F: FnMut(&mut State) -> Option<Result<T>> + Unpin,
{
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<T>> {
        let mut state = self.core.lock();
        let op = *self.op.get_or_insert_with(|| state.next_op());
        let outcome = (self.ready)(&mut state);
        let watchers = &mut state.world.watchers;
        let spent = match outcome {
            None => watchers.add(op, CtxId::SOCKET, task.waker()),
            Some(_) => watchers.remove(op, CtxId::SOCKET),
        };
        self.core.finish(state);
        drop(spent);
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F> Drop for Watch<'_, F> {
    fn drop(&mut self) {
        if let Some(op) = self.op {
            let waker = self.core.lock().world.watchers.remove(op, CtxId::SOCKET);
            drop(waker);
        }
    }
}

impl Core {
    /// Waits until `ready` says so; it is asked again whenever a pipe comes, goes, or runs empty.
    pub(super) fn watch<F, T>(&self, ready: F) -> Watch<'_, F>
    where
        F: FnMut(&mut State) -> Option<Result<T>> + Unpin,
    {
        Watch {
            core: self,
            ready,
            op: None,
        }
    }

    /// Waits until at least `count` peers are connected.
    pub(crate) fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<()> {
        block_on(self.reactor, after(timeout), self.peers(count))
    }

    /// As [`wait_for_peers`](Self::wait_for_peers), as a future.
    pub(crate) async fn wait_for_peers_async(&self, count: usize, timeout: Duration) -> Result<()> {
        within(self.reactor, timeout, self.peers(count)).await
    }

    fn peers(&self, count: usize) -> impl Future<Output = Result<()>> {
        self.watch(move |state| {
            if state.phase != Phase::Open {
                return Some(Err(Error::Closed));
            }
            (state.world.pipes.len() >= count).then_some(Ok(()))
        })
    }

    /// Waits until a send on the default context would be accepted.
    #[cfg(feature = "broker")]
    pub(crate) async fn sendable(&self) -> Result<()> {
        self.finish(self.relieve(self.lock()));
        self.watch(|state| {
            if state.phase != Phase::Open {
                return Some(Err(Error::Closed));
            }
            state.machine.can_send().then_some(Ok(()))
        })
        .await
    }

    /// Waits until everything that was accepted has gone to the kernel.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<()> {
        block_on(self.reactor, after(timeout), self.flushed())
    }

    /// As [`flush`](Self::flush), as a future.
    pub(crate) async fn flush_async(&self, timeout: Duration) -> Result<()> {
        within(self.reactor, timeout, self.flushed()).await
    }

    async fn flushed(&self) -> Result<()> {
        self.finish(self.push_out(self.lock()));
        self.watch(|state| {
            if state.phase == Phase::Closed {
                return Some(Err(Error::Closed));
            }
            state.is_flushed().then_some(Ok(()))
        })
        .await
    }
}
