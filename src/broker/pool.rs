//! Threads that run what must not run on a thread that moves messages: handlers of functions, password hashing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::engine::lock;
use crate::error::Result;

/// Something to run. What it panics with is lost; it has to tell of it itself.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// A bounded number of threads, started when they are needed, and a bounded queue in front of them.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    queue: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Pool {
    /// At most `threads` at a time, and `queue` jobs that wait for one.
    pub(super) fn new(threads: usize, queue: usize) -> Self {
        Self {
            shared: Arc::default(),
            threads,
            queue,
        }
    }

    /// Has a job run soon. Gives it back if too many wait, or the pool is closed.
    pub(super) fn run(&self, job: Job) -> Result<(), Job> {
        let mut state = lock(&self.shared.state);
        if state.closed || state.jobs.len() >= self.queue.max(1) + state.idle {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < self.threads.max(1) {
            let shared = self.shared.clone();
            let name = thread::Builder::new().name("wirebird-handler".into());
            match name.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                // The threads that are there will come to it.
                Err(_) if state.threads > 0 => {}
                Err(_) => return state.jobs.pop_back().map_or(Ok(()), Err),
            }
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Takes no more jobs. Those that run go on, those that wait are dropped.
    pub(super) fn close(&self) {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.shared.changed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A job that panics ends itself, not the thread.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = lock(&self.state);
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_run_and_a_panic_in_one_does_not_keep_the_next_from_it() {
        let pool = Pool::new(1, 10);
        let (done, results) = mpsc::channel();
        assert!(
            pool.run(Box::new(|| panic!("a handler's own fault")))
                .is_ok()
        );
        assert!(pool.run(Box::new(move || done.send(7).unwrap())).is_ok());
        assert_eq!(results.recv(), Ok(7));
    }

    #[test]
    fn a_full_pool_gives_the_job_back() {
        let pool = Pool::new(1, 1);
        let (release, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let block = move || {
            started.send(()).unwrap();
            let _ = gate.recv();
        };
        assert!(pool.run(Box::new(block)).is_ok());
        running.recv().unwrap();
        assert!(pool.run(Box::new(|| {})).is_ok(), "one may wait");
        assert!(pool.run(Box::new(|| {})).is_err());
        drop(release);
    }

    #[test]
    fn a_closed_pool_takes_nothing() {
        let pool = Pool::new(1, 1);
        pool.close();
        assert!(pool.run(Box::new(|| {})).is_err());
    }
}
