//! Fresh ids for messages.
//!
//! They have to differ, not to be secret: asking the system for each would cost as much as all else that a short message
//! takes.

use std::cell::Cell;

use uuid::{Builder, Uuid};

thread_local! {
    /// The state of xoshiro256++, which the system seeds once for each thread.
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

/// An id that no other message has, of version 4.
pub(in crate::broker) fn fresh() -> Uuid {
    let [high, low] = [next(), next()].map(u64::to_be_bytes);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    Builder::from_random_bytes(bytes).into_uuid()
}

fn seed() -> [u64; 4] {
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let ((a, b), (c, d)) = (one.as_u64_pair(), two.as_u64_pair());
    [a, b, c, d]
}

fn next() -> u64 {
    let [mut a, mut b, mut c, mut d] = STATE.get();
    let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
    let shifted = b << 17;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    STATE.set([a, b, c, d.rotate_left(45)]);
    drawn
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn ids_of_all_threads_differ_and_say_that_they_are_random() {
        let draw = || (0..10_000).map(|_| fresh()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(draw)).collect();
        let drawn: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
        let all: HashSet<_> = drawn.iter().flatten().collect();
        assert_eq!(all.len(), 40_000);
        assert!(all.iter().all(|id| id.get_version_num() == 4));
        // Each bit that is drawn is set in about half of them.
        for bit in (0..128).filter(|bit| ![64, 65].contains(bit) && !(48..52).contains(bit)) {
            let set = all
                .iter()
                .filter(|id| id.as_u128() << bit >> 127 == 1)
                .count();
            assert!((19_000..21_000).contains(&set), "bit {bit}: {set}");
        }
    }
}
