//! What ten thousand idle connections on one listener cost: memory for each, time to connect them, processor time
//! while nothing happens.
//!
//! ```sh
//! cargo bench --bench idle [-- COUNT]
//! ```
//!
//! The listening socket is in this process. A second process of the same program holds the other ends, as plain
//! descriptors, so that this one's figures are the listener's alone. Kernel memory is not counted.

#![allow(unsafe_code, reason = "a global allocator that counts needs it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wirebird::{EndpointOptions, Pull, SocketOptions};

const COUNT: usize = 10_000;
/// How long the connections are left alone.
const IDLE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the bytes that the program holds.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    raise_limit()?;
    match arguments.as_slice() {
        [role, address, count] if role == "peers" => peers(address, count.parse()?),
        // `cargo bench` passes --bench; `cargo test` passes nothing and wants only to see that it runs.
        rest => {
            let count = rest.iter().find_map(|argument| argument.parse().ok());
            let bench = rest.iter().any(|argument| argument == "--bench");
            let quick = if bench { COUNT } else { 100 };
            listener(count.unwrap_or(quick), if bench { IDLE } else { IDLE / 50 })
        }
    }
}

/// Allows as many descriptors as the system does.
fn raise_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

fn listener(count: usize, idle: Duration) -> Result<(), Box<dyn Error>> {
    let endpoint = EndpointOptions::new().max_handshakes(count.max(1));
    let pull = Pull::with_options(&SocketOptions::new().endpoint(endpoint))?;
    let listener = pull.listen("tcp://127.0.0.1:0")?;
    let address = listener.local_address()?.to_string();
    let mut child = Command::new(env::current_exe()?)
        .args(["peers", &address, &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the other process has no pipes".into());
    };
    let mut answers = BufReader::new(answers);
    wait_for(&mut answers, "ready")?;

    let (memory, heap) = (resident()?, HELD.load(Ordering::Relaxed));
    let began = Instant::now();
    writeln!(orders, "connect")?;
    pull.wait_for_peers(count, PATIENCE)?;
    let connecting = began.elapsed();
    wait_for(&mut answers, "connected")?;
    let memory = resident()?.saturating_sub(memory);
    let heap = HELD.load(Ordering::Relaxed).saturating_sub(heap);

    let before = processor_time()?;
    thread::sleep(idle);
    let used = processor_time()?.saturating_sub(before);

    writeln!(orders, "send")?;
    let began = Instant::now();
    for _ in 0..count {
        pull.recv_timeout(PATIENCE)?;
    }
    let receiving = began.elapsed();

    println!("connections                        {count:>12}");
    println!("time to connect all                {connecting:>12.1?}");
    println!(
        "resident memory for each           {:>12} bytes",
        memory / count
    );
    println!(
        "heap for each                      {:>12} bytes",
        heap / count
    );
    println!("processor time in {idle:.1?} of idleness  {used:>12.1?}");
    println!("then one message from each, all in {receiving:>12.1?}");
    drop(orders);
    child.wait()?;
    Ok(())
}

fn wait_for(answers: &mut impl BufRead, wanted: &str) -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if line.trim() == wanted {
        Ok(())
    } else {
        Err(format!("the other process said {line:?} and not {wanted:?}").into())
    }
}

/// The other process: connects, shakes hands as a push socket does, and sends when told to.
fn peers(address: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let mut orders = io::stdin().lines();
    println!("ready");
    orders.next().transpose()?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&[0, b'S', b'P', 0, 0, 0x50, 0, 0])?;
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        streams.push(stream);
    }
    println!("connected");
    orders.next().transpose()?;
    for stream in &mut streams {
        stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 1, b'x'])?;
    }
    // The connections last until the listener has what it wants.
    orders.next().transpose()?;
    Ok(())
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes
        .ok_or("no VmRSS in /proc/self/status")?
        .parse::<usize>()?
        * 1024)
}

/// The processor time that all threads of this process have used.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let times = fs::read_to_string(task?.path().join("schedstat"))?;
        let time = times.split_whitespace().next();
        nanoseconds += time.ok_or("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
