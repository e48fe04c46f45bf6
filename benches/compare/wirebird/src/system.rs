//! What the system knows about this process.

use std::ffi::{c_int, c_long, c_ulong};
use std::mem::MaybeUninit;

#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

/// glibc's `struct mallinfo2`.
#[repr(C)]
struct Mallinfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

/// `struct rusage` as Linux has it on 64-bit machines.
#[repr(C)]
struct Rusage {
    user: Timespec,
    system: Timespec,
    others: [c_long; 12],
    voluntary: c_long,
    involuntary: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn getrusage(who: c_int, usage: *mut Rusage) -> c_int;
    fn mallinfo2() -> Mallinfo2;
    fn prctl(option: c_int, argument: c_ulong, ...) -> c_int;
}

const CLOCK_MONOTONIC: c_int = 1;
const RUSAGE_SELF: c_int = 0;
const PR_SET_TIMERSLACK: c_int = 29;

/// Nanoseconds of the clock that all processes share.
pub fn monotonic() -> u64 {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `time` is a valid `struct timespec` to write to.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

/// Lets short sleeps of this thread end on time.
pub fn set_timer_slack(nanoseconds: u64) {
    // SAFETY: takes one number, and cannot touch memory.
    unsafe { prctl(PR_SET_TIMERSLACK, nanoseconds) };
}

/// Bytes of heap in use.
pub fn heap() -> u64 {
    // SAFETY: takes nothing and returns a plain structure.
    let info = unsafe { mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

pub struct Usage {
    pub cpu_us: i64,
    pub switches: i64,
}

/// Processor time and voluntary context switches of all threads so far.
pub fn usage() -> Usage {
    let mut usage = MaybeUninit::<Rusage>::zeroed();
    // SAFETY: `usage` has the layout the system writes, and all zeros is a value of it.
    let usage = unsafe {
        getrusage(RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    // In `timeval` the second field holds microseconds.
    let time = |time: &Timespec| time.seconds * 1_000_000 + time.nanoseconds;
    Usage {
        cpu_us: time(&usage.user) + time(&usage.system),
        switches: usage.voluntary,
    }
}

pub fn count_threads() -> i64 {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count() as i64)
}
