//! What sockets cost: threads and descriptors come back, and a process whose sockets are idle does nothing.
//!
//! One test, because it looks at the whole process.

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{SOON, Via, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wirebird::{Bus, Pair0, Pair1, Pub, Pull, Push, Rep, Req, Respondent, Sub, Surveyor};

const ALL: [Via; 6] = [
    Via::Inproc,
    Via::Ipc,
    Via::Abstract,
    Via::Tcp,
    Via::Tcp6,
    Via::Descriptor,
];

/// Connections of the idle process.
const CONNECTIONS: usize = 1000;

#[test]
fn sockets_give_back_what_they_take_and_idle_ones_cost_nothing() {
    // What the process keeps from its first socket on is not the sockets'.
    open_and_close(12);
    let (threads, descriptors) = (count("task"), count("fd"));
    open_and_close(1000);
    eventually("the threads have ended", || count("task") <= threads);
    eventually("the descriptors are closed", || count("fd") <= descriptors);

    many_at_once();
    eventually("the threads have ended", || count("task") <= threads);
    eventually("the descriptors are closed", || count("fd") <= descriptors);

    idle();
    eventually("the threads have ended", || count("task") <= threads);
    eventually("the descriptors are closed", || count("fd") <= descriptors);
}

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Sockets of every kind over every transport, two at a time, closed in turns by `close` and by dropping.
fn open_and_close(sockets: usize) {
    macro_rules! couple {
        ($via:expr, $one:ident, $other:ident) => {{
            let (one, other) = ($one::new().unwrap(), $other::new().unwrap());
            $via.join(&one, &other);
            one.close().unwrap();
        }};
    }
    for number in 0..sockets / 2 {
        let via = ALL[number % ALL.len()];
        match number / ALL.len() % 7 {
            0 => couple!(via, Pair0, Pair0),
            1 => couple!(via, Pair1, Pair1),
            2 => couple!(via, Rep, Req),
            3 => couple!(via, Pub, Sub),
            4 => couple!(via, Pull, Push),
            5 => couple!(via, Surveyor, Respondent),
            _ => couple!(via, Bus, Bus),
        }
    }
}

/// A socket with many endpoints and peers, some of them never answered.
fn many_at_once() {
    let pull = Pull::new().unwrap();
    let pushes: Vec<Push> = (0..60).map(|_| Push::new().unwrap()).collect();
    for (number, push) in pushes.iter().enumerate() {
        let via = ALL[number % ALL.len()];
        via.join(&pull, push);
        push.dial_background("tcp://127.0.0.1:9").unwrap();
        push.dial_background("tcp://localhost:9").unwrap();
        push.listen("tcp://127.0.0.1:0").unwrap();
    }
    pull.wait_for_peers(60, SOON).unwrap();
}

fn idle() {
    raise_limit();
    let pull = Pull::new().unwrap();
    let (tcp, ipc, inproc) = (Via::Tcp.place(), Via::Ipc.place(), Via::Inproc.place());
    let listeners = [&tcp, &ipc, &inproc].map(|place| pull.listen(&place.url).unwrap());
    let pushes: Vec<Push> = (0..CONNECTIONS)
        .map(|number| {
            let push = Push::new().unwrap();
            push.dial(&listeners[number % 3].url()).unwrap();
            push
        })
        .collect();
    pull.wait_for_peers(CONNECTIONS, SOON).unwrap();
    for push in &pushes {
        push.send("used once").unwrap();
    }
    for _ in &pushes {
        pull.recv_timeout(SOON).unwrap();
    }
    eventually("what follows the traffic is over", || {
        let before = used();
        thread::sleep(Duration::from_millis(50));
        used().switches - before.switches <= 2
    });
    let before = used();
    thread::sleep(Duration::from_secs(1));
    let after = used();
    let ticks = after.ticks - before.ticks;
    assert!(ticks <= 1, "{ticks} ticks of 10 ms while idle");
    let switches = after.switches - before.switches;
    // This thread's own sleep is one.
    assert!(switches <= 3, "{switches} wake-ups while idle");
}

/// Allows as many descriptors as the system does: both ends of all connections are here.
fn raise_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

struct Used {
    /// Processor time of the process.
    ticks: u64,
    /// How often its threads went to sleep.
    switches: u64,
}

fn used() -> Used {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks = after_name.split(' ').skip(11).take(2);
    let ticks = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let switches = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let field = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        field.trim().parse::<u64>().ok()
    });
    Used {
        ticks,
        switches: switches.sum(),
    }
}
