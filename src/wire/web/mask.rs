//! Masking: what a client sends is hidden from proxies by a key that nobody can foretell.

use std::cell::RefCell;

/// The key of a frame.
pub(super) type Key = [u8; 4];

/// Bytes asked of the system at once: a call for each frame would cost more than the frame.
const BLOCK: usize = 4096;

/// Keys that were not used yet.
struct Keys {
    block: Box<[u8; BLOCK]>,
    used: usize,
}

thread_local! {
    static KEYS: RefCell<Keys> = RefCell::new(Keys {
        block: Box::new([0; BLOCK]),
        used: BLOCK,
    });
}

/// A fresh key.
pub(super) fn key() -> Key {
    KEYS.with_borrow_mut(|keys| {
        if keys.used == BLOCK {
            // A known key hides nothing from proxies, and is as valid for the peer.
            let _ = getrandom::fill(&mut keys.block[..]);
            keys.used = 0;
        }
        let start = keys.used;
        keys.used += size_of::<Key>();
        let mut key = Key::default();
        key.copy_from_slice(&keys.block[start..keys.used]);
        key
    })
}

/// Masks or unmasks `data`, whose first byte meets the key's first.
pub(super) fn apply(data: &mut [u8], key: Key) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key for what follows `count` bytes that were masked with `key`.
pub(super) fn advanced(mut key: Key, count: usize) -> Key {
    key.rotate_left(count % size_of::<Key>());
    key
}
