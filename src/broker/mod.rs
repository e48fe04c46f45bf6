//! A broker made of this crate's sockets: queues, topics and functions with access control.

#[cfg_attr(not(test), expect(dead_code))]
mod crypto;
#[cfg_attr(not(test), expect(dead_code))]
mod dedupe;
#[cfg_attr(not(test), expect(dead_code))]
mod pool;
#[cfg_attr(not(test), expect(dead_code))]
mod queue;
#[cfg_attr(not(test), expect(dead_code, unused_imports))]
mod topics;
