//! A task that waits for several peers at once.

mod common;

use std::thread;

use common::{SOON, Via, block_on};
use wirebird::{Pull, Push};

/// A thread that read one pipe for the task missed that another had delivered from a second pipe meanwhile, so that
/// the task was not woken.
#[test]
fn a_message_that_comes_while_another_pipe_is_read_wakes_the_task() {
    const EACH: u32 = 20_000;
    let pull = Pull::new().unwrap();
    let peers = [Push::new().unwrap(), Push::new().unwrap()];
    for push in &peers {
        Via::Inproc.join(&pull, push);
    }
    thread::scope(|scope| {
        for push in &peers {
            scope.spawn(move || {
                for _ in 0..EACH {
                    push.send("x").unwrap();
                    thread::yield_now();
                }
            });
        }
        block_on(async {
            for _ in 0..2 * EACH {
                pull.recv_async().timeout(SOON).await.unwrap();
            }
        });
    });
}
