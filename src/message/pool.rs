//! Memory of long bodies between uses.
//!
//! An allocator gives a long buffer back to the system when it is freed, and the system clears each page of the next one,
//! which takes longer than to receive into it. So the buffers of long bodies are kept for a moment: what nobody wanted
//! between two sweeps is freed.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Shortest buffer that is kept, in bytes: glibc gives such buffers back, at first.
const LEAST: usize = 128 * 1024;
/// Most bytes that are kept, unless said otherwise.
const LIMIT: usize = 256 * 1024 * 1024;
/// Most buffers that are kept.
const MANY: usize = 64;
/// What part of a kept buffer may be more than is wanted. It is given back.
const EXCESS: usize = 4;

/// Time between two sweeps.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A buffer whose memory is kept for a moment once it is dropped, if it is long.
pub(crate) struct Block(Vec<u8>);

/// What is kept, the latest last.
struct Pool {
    kept: Vec<Kept>,
    bytes: usize,
    limit: usize,
    sweeps: u64,
    /// Somebody sees to the next sweep.
    watched: bool,
}

struct Kept {
    buffer: Vec<u8>,
    /// The sweeps before it came.
    since: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Has the next sweep made when it is time. Without it nothing is kept.
static WATCH: OnceLock<fn()> = OnceLock::new();

/// Sets how many bytes of memory of long messages the process keeps at most when the messages are gone.
///
/// Bodies of 128 KiB and more are received faster into memory that another one has just had. What was not used again is
/// given back after one to two seconds, so that this is never more than long messages took in the last two seconds. The
/// default is 256 MiB; with 0 all memory is given back at once.
pub fn set_buffer_pool(bytes: usize) {
    let mut pool = pool();
    pool.limit = bytes;
    let gone = pool.shrink(0, MANY);
    drop(pool);
    drop(gone);
}

/// Says who has sweeps made.
pub(crate) fn watch_with(watch: fn()) {
    // There is one reactor.
    let _ = WATCH.set(watch);
}

/// Frees what nobody wanted since the sweep before the last. Returns whether another sweep is needed.
pub(crate) fn sweep() -> bool {
    let mut pool = pool();
    let gone = pool.sweep();
    let watched = pool.watched;
    drop(pool);
    drop(gone);
    watched
}

/// An empty buffer with exactly this capacity.
pub(crate) fn buffer(capacity: usize) -> Vec<u8> {
    if capacity < LEAST {
        return Vec::with_capacity(capacity);
    }
    let kept = pool().take(capacity);
    let Some(mut buffer) = kept else {
        return Vec::with_capacity(capacity);
    };
    buffer.clear();
    buffer.shrink_to(capacity);
    buffer
}

#[cold]
fn keep(buffer: Vec<u8>) {
    let Some(watch) = WATCH.get() else { return };
    let mut pool = pool();
    let gone = pool.keep(buffer);
    let begins = !(pool.kept.is_empty() || mem::replace(&mut pool.watched, true));
    drop(pool);
    drop(gone);
    if begins {
        watch();
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    const fn new() -> Self {
        Self {
            kept: Vec::new(),
            bytes: 0,
            limit: LIMIT,
            sweeps: 0,
            watched: false,
        }
    }

    /// Keeps a buffer. What is returned is to be freed without the lock.
    fn keep(&mut self, buffer: Vec<u8>) -> Vec<Kept> {
        let since = self.sweeps;
        let kept = Kept { buffer, since };
        let size = kept.buffer.capacity();
        if size > self.limit {
            return vec![kept];
        }
        let gone = self.shrink(size, MANY - 1);
        self.bytes += size;
        self.kept.push(kept);
        gone
    }

    /// Gives up the oldest ones until there is room for `size` more bytes, and no more than `count` are left.
    fn shrink(&mut self, size: usize, count: usize) -> Vec<Kept> {
        let mut over = self.kept.len().saturating_sub(count);
        let sizes = self.kept.iter().map(|kept| kept.buffer.capacity());
        let mut bytes = self.bytes;
        for (at, freed) in sizes.enumerate() {
            if at >= over && bytes.saturating_add(size) <= self.limit {
                break;
            }
            bytes -= freed;
            over = over.max(at + 1);
        }
        self.bytes = bytes;
        self.kept.drain(..over).collect()
    }

    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let fits = |kept: &Kept| {
            let excess = kept.buffer.capacity().checked_sub(capacity);
            excess.is_some_and(|excess| excess <= capacity / EXCESS)
        };
        let at = self.kept.iter().rposition(fits)?;
        let kept = self.kept.remove(at);
        self.bytes -= kept.buffer.capacity();
        Some(kept.buffer)
    }

    fn sweep(&mut self) -> Vec<Kept> {
        // They came in the order of `since`.
        let old = self.kept.partition_point(|kept| kept.since < self.sweeps);
        let gone: Vec<Kept> = self.kept.drain(..old).collect();
        self.bytes -= gone
            .iter()
            .map(|kept| kept.buffer.capacity())
            .sum::<usize>();
        self.sweeps += 1;
        self.watched = !self.kept.is_empty();
        gone
    }
}

impl Block {
    pub(crate) const fn new(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }

    /// Whether its memory is worth keeping.
    pub(crate) fn is_long(&self) -> bool {
        self.0.capacity() >= LEAST
    }

    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        mem::take(&mut self.0)
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.is_long() {
            keep(mem::take(&mut self.0));
        }
    }
}

impl Deref for Block {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn pool_of(limit: usize) -> Pool {
        Pool {
            limit,
            ..Pool::new()
        }
    }

    /// Keeps a buffer; returns how many go instead.
    fn keep(pool: &mut Pool, size: usize) -> usize {
        pool.keep(Vec::with_capacity(size)).len()
    }

    #[test]
    fn a_buffer_is_given_again_to_whom_it_fits() {
        let mut pool = pool_of(10 * MIB);
        for size in [MIB, 2 * MIB] {
            assert_eq!(keep(&mut pool, size), 0);
        }
        assert!(pool.take(2 * MIB + 1).is_none(), "too short");
        assert!(pool.take(MIB / 2).is_none(), "too long");
        assert_eq!(pool.take(MIB - MIB / 8).unwrap().capacity(), MIB);
        assert!(pool.take(MIB).is_none(), "it was taken");
        assert_eq!(pool.bytes, 2 * MIB);
    }

    #[test]
    fn the_oldest_go_when_there_is_too_much() {
        let mut pool = pool_of(4 * MIB);
        for _ in 0..4 {
            assert_eq!(keep(&mut pool, MIB), 0);
        }
        assert_eq!(keep(&mut pool, 2 * MIB), 2);
        assert_eq!((pool.kept.len(), pool.bytes), (3, 4 * MIB));
        assert_eq!(keep(&mut pool, 5 * MIB), 1, "more than is kept at all");
        assert_eq!((pool.kept.len(), pool.bytes), (3, 4 * MIB));
        pool.limit = MIB;
        assert_eq!(pool.shrink(0, MANY).len(), 3);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut pool = pool_of(usize::MAX);
        for _ in 0..MANY {
            assert_eq!(keep(&mut pool, LEAST), 0);
        }
        assert_eq!(keep(&mut pool, LEAST), 1);
        assert_eq!((pool.kept.len(), pool.bytes), (MANY, MANY * LEAST));
    }

    #[test]
    fn what_nobody_wants_between_two_sweeps_is_freed() {
        let mut pool = pool_of(10 * MIB);
        keep(&mut pool, MIB);
        assert_eq!(pool.sweep().len(), 0, "it has just come");
        assert!(pool.watched);
        keep(&mut pool, 2 * MIB);
        assert_eq!(pool.sweep().len(), 1);
        assert!(pool.watched);
        assert_eq!(pool.sweep().len(), 1);
        assert!(!pool.watched);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn a_buffer_has_the_capacity_it_was_asked_for() {
        watch_with(|| {});
        for capacity in [0, 1, LEAST - 1, LEAST, LEAST + 1, MIB] {
            drop(Block::new(Vec::with_capacity(capacity + capacity / 8)));
            let buffer = buffer(capacity);
            assert_eq!((buffer.len(), buffer.capacity()), (0, capacity));
        }
    }
}
