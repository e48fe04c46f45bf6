//! How fast the parts are from which sockets are made: the codec, messages, queues and protocol machines, without
//! threads, locks and system calls.
//!
//! ```sh
//! cargo bench --bench micro [-- FILTER]
//! ```

#![allow(
    unused,
    reason = "each of the library's files has more than is measured"
)]

#[path = "../hot/mod.rs"]
mod hot;

use divan::Bencher;
use divan::counter::ItemsCount;
use hot::MESSAGES;
use hot::library::{error, message, protocols, wire};
use wire::Framing;

const SIZES: [usize; 3] = [64, 1024, 64 * 1024];

fn main() {
    divan::main();
}

/// Measures a round, and divides it by what it is about.
fn run(bencher: Bencher, items: usize, round: impl FnMut()) {
    bencher.counter(ItemsCount::new(items)).bench_local(round);
}

#[divan::bench_group(name = "codec")]
mod codecs {
    use super::*;
    use hot::codec::{decode, encode};

    #[divan::bench(args = SIZES)]
    fn encode_tcp(bencher: Bencher, size: usize) {
        run(bencher, MESSAGES, encode(Framing::Length, size));
    }

    #[divan::bench(args = SIZES)]
    fn encode_ipc(bencher: Bencher, size: usize) {
        run(bencher, MESSAGES, encode(Framing::Typed, size));
    }

    #[divan::bench(args = SIZES)]
    fn decode_tcp(bencher: Bencher, size: usize) {
        run(bencher, MESSAGES, decode(Framing::Length, size));
    }

    #[divan::bench(args = SIZES)]
    fn decode_ipc(bencher: Bencher, size: usize) {
        run(bencher, MESSAGES, decode(Framing::Typed, size));
    }
}

#[divan::bench_group(name = "message")]
mod messages {
    use super::*;
    use hot::message::{clone, convert, hop};

    #[divan::bench(name = "from_and_to_bytes", args = SIZES)]
    fn conversion(bencher: Bencher, size: usize) {
        run(bencher, 1, convert(size));
    }

    #[divan::bench(name = "clone", args = SIZES)]
    fn cloning(bencher: Bencher, size: usize) {
        run(bencher, 1, clone(size));
    }

    #[divan::bench(name = "hop", args = SIZES)]
    fn hopping(bencher: Bencher, size: usize) {
        run(bencher, 1, hop(size));
    }
}

#[divan::bench_group(name = "queue")]
mod queues {
    use super::*;
    use hot::machines::{dropping_queue, holding_queue, send_queue};

    #[divan::bench]
    fn send(bencher: Bencher) {
        run(bencher, MESSAGES, send_queue());
    }

    #[divan::bench]
    fn pausing(bencher: Bencher) {
        run(bencher, MESSAGES, holding_queue());
    }

    #[divan::bench]
    fn dropping(bencher: Bencher) {
        run(bencher, MESSAGES, dropping_queue());
    }
}

#[divan::bench_group(name = "machine")]
mod machines {
    use super::*;
    use hot::machines as hot;

    #[divan::bench]
    fn push(bencher: Bencher) {
        run(bencher, 1, hot::push());
    }

    #[divan::bench]
    fn pull(bencher: Bencher) {
        run(bencher, 1, hot::pull());
    }

    #[divan::bench]
    fn pair0(bencher: Bencher) {
        run(bencher, 1, hot::pair0());
    }

    #[divan::bench]
    fn pair1(bencher: Bencher) {
        run(bencher, 1, hot::pair1());
    }

    #[divan::bench]
    fn req_rep(bencher: Bencher) {
        run(bencher, 1, hot::req_rep());
    }

    #[divan::bench]
    fn survey(bencher: Bencher) {
        run(bencher, 1, hot::survey());
    }

    #[divan::bench(args = [8, 64])]
    fn publish(bencher: Bencher, pipes: u32) {
        run(bencher, pipes as usize, hot::publish(pipes));
    }

    #[divan::bench(args = [1, 1000])]
    fn subscribe(bencher: Bencher, topics: u32) {
        run(bencher, 1, hot::subscribe(topics));
    }
}
