//! The thread on which endpoints run.
//!
//! What an endpoint does is a future that only ever waits for its socket and the broker, so one thread does for all of
//! them. A task is in the map until it has ended, so that no waker is the last to hold it.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};

use crate::engine::{Reactor, lock};
use crate::error::Result;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that runs futures. It is started with the first of them.
#[derive(Default)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: HashMap<u64, Task>,
    last: u64,
    /// Those to be polled.
    ready: VecDeque<u64>,
    /// The thread ends with the last task.
    ending: bool,
}

struct Task {
    /// `None` while it is polled.
    work: Option<Work>,
    bell: Arc<Bell>,
}

/// Has a task polled again.
struct Bell {
    task: u64,
    shared: Weak<Shared>,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.state).ready.push_back(self.task);
            shared.changed.notify_one();
        }
    }
}

impl Crew {
    /// Begins to run a future. What it panics with ends it alone.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let (shared, reactor) = (self.shared.clone(), Reactor::start()?);
            let name = thread::Builder::new().name("wirebird-endpoints".into());
            *thread = Some(name.spawn(move || shared.run(reactor))?);
        }
        drop(thread);
        let mut state = lock(&self.shared.state);
        state.last += 1;
        let task = state.last;
        let bell = Arc::new(Bell {
            task,
            shared: Arc::downgrade(&self.shared),
            rung: AtomicBool::new(false),
        });
        let added = Task {
            work: Some(Box::pin(work)),
            bell: bell.clone(),
        };
        state.tasks.insert(task, added);
        drop(state);
        bell.wake();
        Ok(())
    }

    /// Waits until all that runs has ended.
    pub(super) fn finish(&self) {
        lock(&self.shared.state).ending = true;
        self.shared.changed.notify_one();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // No panic gets that far.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, reactor: &Reactor) {
        let mut state = lock(&self.state);
        loop {
            let Some(task) = state.ready.pop_front() else {
                if state.ending && state.tasks.is_empty() {
                    return;
                }
                // The broker's own thread reads for itself, which does nothing for what is waited for here.
                reactor.rely();
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                continue;
            };
            let Some(found) = state.tasks.get_mut(&task) else {
                continue;
            };
            let (work, bell) = (found.work.take(), found.bell.clone());
            drop(state);
            bell.rung.store(false, Ordering::Release);
            let waker = Waker::from(bell);
            let left = work.and_then(|work| poll(work, &waker));
            state = lock(&self.state);
            match (left, state.tasks.get_mut(&task)) {
                (Some(work), Some(found)) => found.work = Some(work),
                _ => drop(state.tasks.remove(&task)),
            }
        }
    }
}

/// Polls once. What comes back is to be polled again.
fn poll(mut work: Work, waker: &Waker) -> Option<Work> {
    let mut context = Context::from_waker(waker);
    let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context)));
    matches!(polled, Ok(Poll::Pending)).then_some(work)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tasks_wait_for_each_other_and_a_panic_ends_only_its_own() {
        let crew = Arc::new(Crew::default());
        let (slot, gate) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (seen, order) = mpsc::channel();
        crew.spawn(async { panic!("a task's own fault") }).unwrap();
        let (waits, opened, told) = (slot.clone(), gate.clone(), seen.clone());
        crew.spawn(async move {
            std::future::poll_fn(|task| {
                if opened.load(Ordering::Acquire) {
                    return Poll::Ready(());
                }
                *lock(&waits) = Some(task.waker().clone());
                told.send("waits").unwrap();
                Poll::Pending
            })
            .await;
            told.send("goes on").unwrap();
        })
        .unwrap();
        assert_eq!(order.recv(), Ok("waits"));
        crew.spawn(async move {
            gate.store(true, Ordering::Release);
            seen.send("opens").unwrap();
            let waker: Option<Waker> = lock(&slot).take();
            waker.unwrap().wake();
        })
        .unwrap();
        crew.finish();
        let rest: Vec<_> = order.iter().collect();
        assert_eq!(rest, ["opens", "goes on"]);
    }
}
