//! Threads that sleep in each of the ways there are, and those who wake them.

use std::time::Instant;

use super::super::park::{Parker, block_until, unparked};
use super::super::reactor::Reactor;
use super::*;
use crate::sync::Mutex;

/// Something to wait for, as a socket is: looked at, and the waker left, under a lock.
#[derive(Default)]
struct Gate(Mutex<(usize, Vec<Waker>)>);

impl Gate {
    /// Waits until it was opened at least `times`.
    fn wait(&self, times: usize, mut sleep: impl FnMut(&Parker)) {
        let opened = block_until(
            None,
            |parker, _| sleep(parker),
            |waker| {
                let mut inner = self.0.lock().unwrap();
                if inner.0 >= times {
                    return Some(());
                }
                inner.1.push(waker.clone());
                None
            },
        );
        opened.unwrap();
    }

    /// Opens it. Returns how many threads had to be unparked for it.
    fn open(&self) -> u64 {
        let before = unparked();
        let mut inner = self.0.lock().unwrap();
        inner.0 += 1;
        let wakers = std::mem::take(&mut inner.1);
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
        unparked() - before
    }
}

/// Two waits in a row, so that a wake-up meant for the first may come in the second.
fn two_waits(sleep: fn(&Parker)) {
    explore(4, move || {
        let gate = Arc::new(Gate::default());
        let opens = [1, 2].map(|_| {
            let gate = gate.clone();
            spawn(move || gate.open())
        });
        gate.wait(1, sleep);
        gate.wait(2, sleep);
        for open in opens {
            open.join().unwrap();
        }
    });
}

#[test]
fn a_parked_thread_is_woken() {
    two_waits(|parker| parker.park(None));
}

#[test]
fn a_thread_that_polls_is_interrupted() {
    two_waits(|parker| Reactor::start().unwrap().wait(parker, None));
}

#[test]
fn a_thread_that_waits_for_descriptors_hears_the_bell() {
    two_waits(|parker| assert!(parker.wait_for(&mut [], None)));
}

#[test]
fn who_gives_up_parking_or_attending_can_be_woken_from_the_next_sleep() {
    explore(4, || {
        let gate = Arc::new(Gate::default());
        let open = {
            let gate = gate.clone();
            spawn(move || gate.open())
        };
        let mut sleeps = 0;
        gate.wait(1, |parker| {
            sleeps += 1;
            match sleeps {
                1 => parker.park(Some(Instant::now())),
                2 => assert!(parker.wait_for(&mut [], Some(Instant::now()))),
                _ => parker.park(None),
            }
        });
        open.join().unwrap();
    });
}

#[test]
fn of_two_that_wake_a_sleeper_one_unparks_it() {
    explore(4, || {
        let gate = Arc::new(Gate::default());
        let sleeps = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let sleeper = {
            let (gate, sleeps) = (gate.clone(), sleeps.clone());
            spawn(move || {
                gate.wait(2, |parker| {
                    sleeps.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    parker.park(None);
                });
            })
        };
        let other = {
            let gate = gate.clone();
            spawn(move || gate.open())
        };
        let unparked = gate.open() + other.join().unwrap();
        sleeper.join().unwrap();
        assert!(unparked <= sleeps.load(std::sync::atomic::Ordering::SeqCst));
    });
}

#[test]
fn one_thread_leads_and_the_other_parks_and_both_are_woken() {
    explore(3, || {
        let gate = Arc::new(Gate::default());
        let sleep = |parker: &Parker| Reactor::start().unwrap().wait(parker, None);
        let other = {
            let gate = gate.clone();
            spawn(move || gate.wait(1, sleep))
        };
        let open = {
            let gate = gate.clone();
            spawn(move || gate.open())
        };
        gate.wait(1, sleep);
        other.join().unwrap();
        open.join().unwrap();
    });
}
