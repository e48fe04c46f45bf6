//! Takes one hot path many times, so that its instructions can be counted; `check.py` beside it does that.
//!
//! ```sh
//! instructions                     # the names of the paths, and what a round is about
//! instructions NAME ROUNDS
//! ```
//!
//! What is to be counted happens in [`measured`], on this thread, after some rounds to warm up.

#![allow(
    unused,
    reason = "each of the library's files has more than is measured"
)]

#[path = "../hot/mod.rs"]
mod hot;
mod sockets;

use std::env;
use std::process::exit;

use hot::library::{error, message, protocols, wire};
use hot::{MESSAGES, codec, machines};
use wire::Framing;

type Round = Box<dyn FnMut()>;

/// A hot path: its name, how many messages or exchanges a round is about, and how to get ready for it.
type Path = (&'static str, usize, fn() -> Round);

#[rustfmt::skip]
const PATHS: &[Path] = &[
    ("encode 64 B", MESSAGES, || Box::new(codec::encode(Framing::Typed, 64))),
    ("encode 1 KiB", MESSAGES, || Box::new(codec::encode(Framing::Typed, 1024))),
    ("decode 64 B", MESSAGES, || Box::new(codec::decode(Framing::Typed, 64))),
    ("decode 1 KiB", MESSAGES, || Box::new(codec::decode(Framing::Typed, 1024))),
    ("message hop", 1, || Box::new(hot::message::hop(64))),
    ("machine push", 1, || Box::new(machines::push())),
    ("machine pull", 1, || Box::new(machines::pull())),
    ("machine pair1", 1, || Box::new(machines::pair1())),
    ("machine req rep", 1, || Box::new(machines::req_rep())),
    ("machine survey", 1, || Box::new(machines::survey())),
    ("machine pub 64", 64, || Box::new(machines::publish(64))),
    ("machine sub 1000", 1, || Box::new(machines::subscribe(1000))),
    ("push lone", 1, || Box::new(sockets::push_lone())),
    ("push stream 64 B", MESSAGES, || Box::new(sockets::push_stream(64))),
    ("push stream 1 KiB", MESSAGES, || Box::new(sockets::push_stream(1024))),
    ("pull stream 64 B", MESSAGES, || Box::new(sockets::pull_stream(64))),
    ("pull stream 1 KiB", MESSAGES, || Box::new(sockets::pull_stream(1024))),
    ("pub stream 64 B", MESSAGES, || Box::new(sockets::pub_stream(64))),
    ("push awaited 64 B", MESSAGES, || Box::new(sockets::push_awaited(64))),
    ("pull awaited 64 B", MESSAGES, || Box::new(sockets::pull_awaited(64))),
    ("req rep", 1, || Box::new(sockets::req_rep())),
    ("inproc push pull", 1, || Box::new(sockets::inproc())),
];

/// Rounds before those that are counted.
const WARM_UP: usize = 64;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [name, rounds] = arguments.as_slice()
        && let Some((_, _, ready)) = PATHS.iter().find(|path| path.0 == name)
        && let Ok(rounds) = rounds.parse()
    {
        let mut round = ready();
        (0..WARM_UP).for_each(|_| round());
        measured(&mut round, rounds);
        // Sockets would be closed in vain: the thread that does the rest is stopped.
        exit(0);
    }
    for (name, items, _) in PATHS {
        println!("{items}\t{name}");
    }
}

/// What is counted.
#[inline(never)]
fn measured(round: &mut dyn FnMut(), rounds: usize) {
    for _ in 0..rounds {
        round();
    }
}
