//! The patterns that both crates can do, over what each provides. See `../../peers/common.h` for the command line.

use std::io::{BufRead, Write};
use std::process::exit;
use std::time::Instant;

use bytes::Bytes;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Push,
    Pull,
    Req,
    Rep,
}

/// A socket that blocks. All messages have one part.
pub trait Peer: Sized {
    fn open(kind: Kind) -> Self;
    fn listen(&mut self, url: &str);
    fn dial(&mut self, url: &str);
    fn send(&mut self, body: Bytes);
    fn recv(&mut self) -> Bytes;
}

struct Args {
    role: String,
    pattern: String,
    url: String,
    size: usize,
    count: u64,
}

pub fn run<P: Peer>() {
    let args = parse().unwrap_or_else(|| fail("usage: peer ROLE PATTERN URL SIZE COUNT [OPTIONS]"));
    let kind = match (args.role.as_str(), args.pattern.as_str()) {
        ("serve", "pushpull") => Kind::Pull,
        ("drive", "pushpull") => Kind::Push,
        ("serve", "reqrep-lat") => Kind::Rep,
        ("drive", "reqrep-lat") => Kind::Req,
        _ => fail(&format!("cannot {} {}", args.role, args.pattern)),
    };
    let mut peer = P::open(kind);
    match args.role.as_str() {
        "serve" => peer.listen(&args.url),
        _ => peer.dial(&args.url),
    }
    say("{\"ready\":true}");
    match kind {
        Kind::Pull => drain(&mut peer, &args),
        Kind::Rep => echo(&mut peer, &args),
        Kind::Push => {
            wait_go();
            let body = body(&args);
            for _ in 0..=args.count {
                peer.send(body.clone());
            }
            done();
        }
        Kind::Req => {
            wait_go();
            bounce(&mut peer, &args);
        }
    }
    for line in std::io::stdin().lock().lines() {
        drop(line);
    }
    exit(0)
}

pub fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

fn parse() -> Option<Args> {
    let mut words = std::env::args().skip(1);
    Some(Args {
        role: words.next()?,
        pattern: words.next()?,
        url: words.next()?,
        size: words.next()?.parse().ok()?,
        count: words.next()?.parse().ok()?,
    })
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the runner reads");
}

fn done() {
    say("{\"done\":true}");
}

fn wait_go() {
    let mut line = String::new();
    if !std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
        exit(1);
    }
}

/// Rounds before the clock starts.
fn warm_up(args: &Args) -> u64 {
    let rounds = if args.size > 65536 { 3 } else { 50 };
    rounds + args.count / 20
}

fn body(args: &Args) -> Bytes {
    (0..args.size).map(|i| (i * 7 + 3) as u8).collect()
}

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

fn take<P: Peer>(peer: &mut P, args: &Args) -> u64 {
    let body = peer.recv();
    if body.len() != args.size {
        fail(&format!("wrong message size {}", body.len()));
    }
    sum(&body)
}

fn result(start: Instant, args: &Args, checksum: u64) {
    say(&format!(
        "{{\"seconds\":{:.9},\"messages\":{},\"checksum\":{checksum}}}",
        start.elapsed().as_secs_f64(),
        args.count
    ));
}

fn drain<P: Peer>(peer: &mut P, args: &Args) {
    take(peer, args);
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..args.count {
        total = total.wrapping_add(take(peer, args));
    }
    result(start, args, total);
}

fn echo<P: Peer>(peer: &mut P, args: &Args) {
    for _ in 0..args.count + warm_up(args) {
        let body = peer.recv();
        std::hint::black_box(sum(&body));
        peer.send(body);
    }
    done();
}

fn bounce<P: Peer>(peer: &mut P, args: &Args) {
    let body = body(args);
    for _ in 0..warm_up(args) {
        peer.send(body.clone());
        take(peer, args);
    }
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..args.count {
        peer.send(body.clone());
        total = total.wrapping_add(take(peer, args));
    }
    result(start, args, total);
}
