//! Loom's locks and atomics, and threads that sleep.
//!
//! Loom has a `park` of its own, but its `unpark` also ends other waits of the thread, as for a lock.

use std::sync::Arc;
use std::time::Duration;

pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Loom's own does not know `const` blocks.
macro_rules! per_thread {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $init;)* }
    };
}
pub(crate) use per_thread as thread_local;

/// What one thread waits for and others give, as often as they like before it is taken.
#[derive(Clone, Default)]
pub(crate) struct Token(Arc<(Mutex<bool>, Condvar)>);

impl Token {
    pub(crate) fn give(&self) {
        let (given, changed) = &*self.0;
        *given.lock().unwrap() = true;
        changed.notify_one();
    }

    pub(crate) fn take(&self) {
        let (given, changed) = &*self.0;
        let mut given = given.lock().unwrap();
        while !*given {
            given = changed.wait(given).unwrap();
        }
        *given = false;
    }
}

/// A thread, as far as it can be unparked.
pub(crate) struct Thread(Token);

impl Thread {
    pub(crate) fn unpark(&self) {
        self.0.give();
    }
}

loom::thread_local! {
    static HERE: Token = Token::default();
}

pub(crate) fn current() -> Thread {
    Thread(HERE.with(Token::clone))
}

pub(crate) fn park() {
    HERE.with(Token::clone).take();
}

/// There is no clock: the time is over at once, or after whatever others do first.
pub(crate) fn park_timeout(_: Duration) {
    loom::thread::yield_now();
}
