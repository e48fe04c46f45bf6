//! What threads of the engine share, and how they sleep: the standard library's, or loom's.
//!
//! With the cfg `wirebird_loom` it is loom's, and the models in `engine::models` try in which orders threads can come.
//! Only the library's unit tests can be built so: nothing else depends on loom.
//!
//! What is taken from the standard library directly is no part of the models: it never makes a thread wait, and its
//! order does not matter.

#[cfg(not(wirebird_loom))]
mod real {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) use std::thread::{Thread, current, park, park_timeout};
    pub(crate) use std::thread_local;
}

#[cfg(wirebird_loom)]
#[path = "engine/models/sync.rs"]
mod real;

pub(crate) use real::*;
