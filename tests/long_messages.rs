//! Memory of long messages: the next one gets it, and it is given back when there is none.
//!
//! One test, because it looks at the whole process.

mod common;

use std::fs;

use common::{SOON, Via, eventually};
use wirebird::{Message, Pair1, SocketOptions, set_buffer_pool};

/// So long that allocators ask the system for each by itself.
const LONG: usize = 40 << 20;

#[test]
fn the_next_long_message_gets_the_memory_of_the_last_until_there_is_none() {
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let one = Pair1::with_options(&options).expect("a socket");
    let other = Pair1::with_options(&options).expect("a socket");
    Via::Ipc.join(&one, &other);
    let before = resident();
    let message = Message::from(vec![7; LONG]);
    let pass = || {
        one.send(message.clone()).expect("sent");
        assert_eq!(other.recv().expect("received").len(), LONG);
    };
    // The first one gets its memory bit by bit, as it comes.
    pass();
    let faults = faults();
    (0..8).for_each(|_| pass());
    // Each fault is a page or more that the system had to clear.
    let wanted = self::faults() - faults;
    assert!(wanted < 4 * LONG / page(), "{wanted} faults for 8 messages");
    set_buffer_pool(0);
    let kept = resident();
    assert!(kept < before + LONG + LONG / 4, "nothing is kept: {kept}");
    set_buffer_pool(usize::MAX);
    pass();
    drop(message);
    assert!(resident() > before + LONG, "it is kept");
    eventually("it is given back", || resident() < before + LONG / 4);
}

fn page() -> usize {
    rustix::param::page_size()
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let all = fs::read_to_string("/proc/self/statm").unwrap();
    all.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * page()
}

/// Page faults of the process so far.
fn faults() -> usize {
    let all = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = all.rsplit_once(')').unwrap();
    behind_name.split(' ').nth(8).unwrap().parse().unwrap()
}
