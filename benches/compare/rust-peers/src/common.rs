//! Round trips and streams between two async ends, alike for all crates. See `../../peers/common.h` for the command
//! line and how a peer talks to the runner.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::process::exit;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Push,
    Pull,
    Req,
    Rep,
    Pair,
}

/// A socket. All messages have one part.
pub trait Peer: Send + Sized + 'static {
    type Message: Clone + Send + Sync;

    fn listen(kind: Kind, url: &str) -> impl Future<Output = Self> + Send;
    fn dial(kind: Kind, url: &str) -> impl Future<Output = Self> + Send;
    fn send(&mut self, message: Self::Message) -> impl Future<Output = ()> + Send;
    fn recv(&mut self) -> impl Future<Output = Self::Message> + Send;

    fn send_many(
        &mut self,
        message: &Self::Message,
        count: u64,
    ) -> impl Future<Output = ()> + Send {
        async move {
            for _ in 0..count {
                self.send(message.clone()).await;
            }
        }
    }

    /// A message whose clones are cheap, as it is sent many times.
    fn message(body: Vec<u8>) -> Self::Message;
    fn body(message: &Self::Message) -> &[u8];
}

struct Args {
    role: String,
    pattern: String,
    url: String,
    size: usize,
    count: u64,
    threads: bool,
}

pub fn run<P: Peer>() {
    let args = parse().unwrap_or_else(|| fail("usage: peer ROLE PATTERN URL SIZE COUNT [OPTIONS]"));
    let runtime = runtime(&args);
    // In a task, because what `block_on` is given does not run on the threads of the runtime.
    let task = runtime.spawn(play::<P>(args));
    let ended = runtime.block_on(task);
    exit(if ended.is_ok() { 0 } else { 1 })
}

fn runtime(args: &Args) -> Runtime {
    let mut builder = match args.threads {
        true => Builder::new_multi_thread(),
        false => Builder::new_current_thread(),
    };
    or_fail("runtime", builder.enable_all().build())
}

async fn play<P: Peer>(args: Args) {
    let kind = match (args.role.as_str(), args.pattern.as_str()) {
        ("serve", "async-pushpull") => Kind::Pull,
        ("drive", "async-pushpull") => Kind::Push,
        ("serve", "async-reqrep-lat") => Kind::Rep,
        ("drive", "async-reqrep-lat") => Kind::Req,
        (_, "async-pair-lat") => Kind::Pair,
        _ => fail(&format!("cannot {} {}", args.role, args.pattern)),
    };
    let serves = args.role == "serve";
    let mut peer = match serves {
        true => P::listen(kind, &args.url).await,
        false => P::dial(kind, &args.url).await,
    };
    say("{\"ready\":true}");
    if !serves {
        wait_go().await;
    }
    match (kind, serves) {
        (Kind::Pull, _) => drain(&mut peer, &args).await,
        (Kind::Push, _) => flood(&mut peer, &args).await,
        (_, true) => echo(&mut peer, &args).await,
        (_, false) => bounce(&mut peer, &args).await,
    }
    // The runtime has to go on meanwhile: messages may be on their way out.
    let _ = spawn_blocking(|| std::io::stdin().lock().lines().for_each(drop)).await;
}

pub fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

pub fn or_fail<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail(&format!("{what}: {error}")))
}

fn parse() -> Option<Args> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (fixed, options) = words.split_at_checked(5)?;
    let mut args = Args {
        role: fixed[0].clone(),
        pattern: fixed[1].clone(),
        url: fixed[2].clone(),
        size: fixed[3].parse().ok()?,
        count: fixed[4].parse().ok()?,
        threads: false,
    };
    for option in options.chunks(2) {
        if option[0] == "--runtime" {
            args.threads = option.get(1)? == "multi";
        }
    }
    Some(args)
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the runner reads");
}

fn done() {
    say("{\"done\":true}");
}

async fn wait_go() {
    let read = spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    if !read.await.is_ok_and(|line| line.is_ok_and(|n| n > 0)) {
        exit(1);
    }
}

/// Rounds before the clock starts.
fn warm_up(args: &Args) -> u64 {
    50 + args.count / 20
}

fn message<P: Peer>(args: &Args) -> P::Message {
    P::message((0..args.size).map(|i| (i * 7 + 3) as u8).collect())
}

#[inline]
fn sum(body: &[u8]) -> u64 {
    let (words, rest) = body.as_chunks::<8>();
    let mut total = words.iter().fold(0, |sum: u64, word| {
        sum.wrapping_add(u64::from_le_bytes(*word))
    });
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        total = total.wrapping_add(u64::from_le_bytes(word));
    }
    total
}

async fn take<P: Peer>(peer: &mut P, args: &Args) -> u64 {
    let message = peer.recv().await;
    let body = P::body(&message);
    if body.len() != args.size {
        fail(&format!("wrong message size {}", body.len()));
    }
    sum(body)
}

fn result(start: Instant, args: &Args, checksum: u64) {
    say(&format!(
        "{{\"seconds\":{:.9},\"messages\":{},\"checksum\":{checksum}}}",
        start.elapsed().as_secs_f64(),
        args.count
    ));
}

/// The clock starts with the first message, which is not counted.
async fn drain<P: Peer>(peer: &mut P, args: &Args) {
    take(peer, args).await;
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..args.count {
        total = total.wrapping_add(take(peer, args).await);
    }
    result(start, args, total);
}

async fn flood<P: Peer>(peer: &mut P, args: &Args) {
    let message = message::<P>(args);
    peer.send_many(&message, args.count + 1).await;
    done();
}

async fn echo<P: Peer>(peer: &mut P, args: &Args) {
    for _ in 0..args.count + warm_up(args) {
        let message = peer.recv().await;
        black_box(sum(P::body(&message)));
        peer.send(message).await;
    }
    done();
}

async fn bounce<P: Peer>(peer: &mut P, args: &Args) {
    let message = message::<P>(args);
    for _ in 0..warm_up(args) {
        peer.send(message.clone()).await;
        take(peer, args).await;
    }
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..args.count {
        peer.send(message.clone()).await;
        total = total.wrapping_add(take(peer, args).await);
    }
    result(start, args, total);
}
