//! Closing a socket so that nothing that was accepted is lost.
//!
//! First everything is flushed to the kernel. Then each pipe that has carried something is closed for writing and
//! waits for the peer to close too, which says that the peer has read to the end: a peer that is told of the close
//! before it has read may throw away what is still unread. All of it ends with the linger time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::core::{Core, Phase, after};
use super::deadline::{block_on, within};
use super::lock;
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

impl Core {
    /// Closes the socket, waiting at most the linger time. Closing a closed socket does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when the linger time ended before everything was delivered.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        if !self.begin_close() {
            return Ok(());
        }
        let drained = block_on(self.reactor, after(self.options().linger), self.drain());
        self.shut();
        drained
    }

    /// As [`close`](Self::close), as a future. What it waits for goes on by itself once it was polled, so that
    /// dropping it loses nothing.
    pub(crate) async fn close_async(self: &Arc<Self>) -> Result<()> {
        if !self.begin_close() {
            return Ok(());
        }
        let core = self.clone();
        let linger = self.options().linger;
        let outcome = Arc::new(Outcome::default());
        let told = outcome.clone();
        Errand::run(async move {
            let drained = within(core.reactor, linger, core.drain()).await;
            core.shut();
            told.tell(drained);
        });
        std::future::poll_fn(|task| outcome.poll(task)).await
    }

    /// Ends the use of the socket. Returns whether it was still in use.
    fn begin_close(&self) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return false;
        }
        state.phase = Phase::Closing;
        state.world.wake_everyone();
        self.finish(state);
        true
    }

    async fn drain(&self) -> Result<()> {
        if !self.has_prospects() {
            return Ok(());
        }
        self.watch(|state| state.is_flushed().then_some(Ok(())))
            .await?;
        let waiting = self.half_close();
        self.watch(move |state| {
            let gone = waiting.iter().all(|id| !state.world.pipes.contains(*id));
            gone.then_some(Ok(()))
        })
        .await
    }

    /// Writes out what can be written. Returns whether there is anybody to send to, now or later.
    fn has_prospects(&self) -> bool {
        let state = self.push_out(self.lock());
        let prospects = !(state.world.pipes.is_empty() && state.endpoints.is_empty());
        self.finish(state);
        prospects
    }

    /// Closes the pipes that have carried something for writing. Returns which they are.
    fn half_close(&self) -> Vec<PipeId> {
        let mut state = self.lock();
        state.phase = Phase::Finishing;
        let endpoints = std::mem::take(&mut state.endpoints);
        drop(state);
        for endpoint in endpoints {
            endpoint.stop();
        }
        let mut state = self.lock();
        let mut waiting = Vec::new();
        for (id, pipe) in state.world.pipes.iter_mut() {
            if pipe.stats.tx_msgs > 0 && !pipe.tx.dead {
                // Reading goes on whether the machine wanted more or not, to find the end.
                pipe.rx.held = false;
                pipe.rx.saturated = false;
                waiting.push((id, pipe.connection.clone()));
            }
        }
        drop(state);
        for (id, connection) in &waiting {
            connection.finish();
            self.look_for_end(*id);
        }
        waiting.into_iter().map(|(id, _)| id).collect()
    }

    /// Ends everything that is left.
    fn shut(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let endpoints = std::mem::take(&mut state.endpoints);
        let timer = state.forget_timer();
        let pipes: Vec<PipeId> = state.world.pipes.ids().collect();
        for id in pipes {
            state.world.close(id, Error::Closed);
        }
        state.world.wake_everyone();
        self.finish(state);
        for endpoint in endpoints {
            endpoint.stop();
        }
        if let Some(timer) = timer {
            self.reactor.cancel_timer(timer);
        }
        self.release_observers();
    }
}

/// Work of the engine's own that goes on without anybody who waits for it: whoever wakes it does it. It must never
/// block.
struct Errand {
    work: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// Wake-ups that no thread has acted on; the thread that brings the first one acts on all of them.
    wakes: AtomicUsize,
}

impl Errand {
    fn run(work: impl Future<Output = ()> + Send + 'static) {
        let errand = Arc::new(Self {
            work: Mutex::new(Some(Box::pin(work))),
            wakes: AtomicUsize::new(0),
        });
        errand.wake();
    }
}

impl Wake for Errand {
    fn wake(self: Arc<Self>) {
        if self.wakes.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        let waker = Waker::from(self.clone());
        let mut acted_on = 0;
        loop {
            let seen = self.wakes.load(Ordering::SeqCst);
            if seen == acted_on {
                // Stays as it is if another wake-up has come, and is then acted on.
                let done = self
                    .wakes
                    .compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst);
                if done.is_ok() {
                    return;
                }
                continue;
            }
            acted_on = seen;
            // Only the thread that acts takes the lock, and it does not wake itself into here again.
            let mut slot = lock(&self.work);
            let mut work = slot.take();
            drop(slot);
            if let Some(present) = &mut work
                && present
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
            {
                work = None;
            }
            *lock(&self.work) = work;
        }
    }
}

/// What came of an errand, for the one future that waits for it.
#[derive(Default)]
struct Outcome(Mutex<(Option<Result<()>>, Option<Waker>)>);

impl Outcome {
    fn tell(&self, result: Result<()>) {
        let mut inner = lock(&self.0);
        inner.0 = Some(result);
        let waker = inner.1.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, task: &Context<'_>) -> Poll<Result<()>> {
        let mut inner = lock(&self.0);
        if let Some(result) = inner.0.take() {
            return Poll::Ready(result);
        }
        let old = inner.1.replace(task.waker().clone());
        drop(inner);
        drop(old);
        Poll::Pending
    }
}
