//! What programs print: collected as it comes, waited for, and taken apart.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::DEADLINE;

/// What a program writes, collected by a thread.
#[derive(Debug, Clone)]
pub(super) struct Output {
    shared: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    pub(super) fn of(mut from: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Written::default()), Condvar::new()));
        let output = Self {
            shared: shared.clone(),
        };
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = from.read(&mut buffer).unwrap_or(0);
                let mut written = shared.0.lock().expect("no reader panics");
                written.bytes.extend_from_slice(&buffer[..count]);
                written.ended = count == 0;
                shared.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Asks `found` again whenever there is more; `None` when the deadline passes or no more can come.
    pub(super) fn wait<T>(&self, mut found: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + DEADLINE;
        let mut written = self.shared.0.lock().expect("no writer panics");
        loop {
            if let Some(found) = found(&written.bytes) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return None;
            }
            let woken = self.shared.1.wait_timeout(written, left);
            written = woken.expect("no writer panics").0;
        }
    }

    /// Everything, once no more can come.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let end = Instant::now() + DEADLINE;
        let mut written = self.shared.0.lock().expect("no writer panics");
        while !written.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let woken = self.shared.1.wait_timeout(written, left);
            written = woken.expect("no writer panics").0;
        }
        Some(written.bytes.clone())
    }

    pub(super) fn so_far(&self) -> Vec<u8> {
        self.shared
            .0
            .lock()
            .expect("no writer panics")
            .bytes
            .clone()
    }
}

/// The whole MessagePack objects of what nngcat and its like print.
pub(super) fn unpack(mut out: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let (head, len) = match out {
            [0xc4, a, ..] => (2, usize::from(*a)),
            [0xc5, a, b, ..] => (3, usize::from(u16::from_be_bytes([*a, *b]))),
            [0xc6, a, b, c, d, ..] => {
                let len = u32::from_be_bytes([*a, *b, *c, *d]);
                (5, usize::try_from(len).unwrap_or(usize::MAX))
            }
            // A line about a connection.
            [b'L' | b'C', ..] => match out.iter().position(|&byte| byte == b'\n') {
                Some(end) => {
                    out = &out[end + 1..];
                    continue;
                }
                None => return messages,
            },
            _ => return messages,
        };
        let Some(message) = out.get(head..head + len) else {
            return messages;
        };
        messages.push(message.to_vec());
        out = &out[head + len..];
    }
}
