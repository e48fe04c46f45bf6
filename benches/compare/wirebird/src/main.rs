//! wirebird's peer: what `../peers/scenarios.h` does with the other libraries. See `../peers/common.h` for the command
//! line and how a peer talks to the runner.

mod encryption;
mod system;

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use system::{count_threads, heap, monotonic, set_timer_slack, usage};
use wirebird::{
    Error, Message, Pair1, Pattern, Pub, Pull, Push, Receives, Rep, Req, Respondent, Sends, Socket,
    SocketOptions, Sub, Surveyor,
};

const HELLO: u8 = 0xff;
const END: u8 = 0xfe;

struct Args {
    role: String,
    pattern: String,
    url: String,
    size: usize,
    count: u64,
    peers: usize,
    rate: u64,
    options: SocketOptions,
    /// In PEM, if connections are encrypted.
    ca: Vec<u8>,
}

impl Args {
    /// Rounds before the clock starts.
    fn warm_up(&self) -> u64 {
        let rounds = if self.size > 65536 { 3 } else { 50 };
        rounds + self.count / 20
    }

    /// What each of `peers` does of `count`.
    fn share(&self) -> u64 {
        self.count.div_ceil(self.peers as u64)
    }

    fn body(&self) -> Vec<u8> {
        (0..self.size).map(|i| (i * 7 + 3) as u8).collect()
    }

    fn message(&self) -> Message {
        self.body().into()
    }
}

fn main() {
    let args = parse().unwrap_or_else(|| {
        eprintln!("usage: compare-wirebird ROLE PATTERN URL SIZE COUNT [OPTIONS]");
        exit(1)
    });
    let ended = match args.role.as_str() {
        "serve" => serve(&args),
        "drive" => drive(&args),
        "both" => both(&args),
        _ => unknown(&args),
    };
    if let Err(error) = ended {
        eprintln!("{error}");
        exit(1);
    }
    for line in std::io::stdin().lock().lines() {
        drop(line);
    }
    // Not through the destructors: what closing costs is not part of any figure.
    exit(0)
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
        peers: 1,
        rate: 10_000,
        options: SocketOptions::new(),
        ca: Vec::new(),
    };
    for option in options.chunks(2) {
        let value = option.get(1)?;
        match option[0].as_str() {
            "--peers" => args.peers = value.parse().ok().filter(|&n| n > 0)?,
            "--rate" => args.rate = value.parse().ok()?,
            "--spin" if value == "off" => args.options = args.options.spin(Duration::ZERO),
            "--certificate" => args.options = encryption::showing(args.options, value).ok()?,
            "--ca" => {
                args.ca = std::fs::read(value).ok()?;
                args.options = encryption::trusting(args.options, &args.ca).ok()?;
            }
            "--spin" | "--proto" => {}
            _ => return None,
        }
    }
    Some(args)
}

type Done = Result<(), Error>;

fn unknown(args: &Args) -> Done {
    eprintln!("cannot {} {}", args.role, args.pattern);
    exit(1)
}

fn serve(args: &Args) -> Done {
    match args.pattern.as_str() {
        "pair-lat" => serve_echo(listening(Pair1::with_options, args)?, args),
        "reqrep-lat" => serve_echo(listening(Rep::with_options, args)?, args),
        "connect" | "handshakes" | "reconnects" => {
            let rep = listening(Rep::with_options, args)?;
            ready();
            echo(&rep, args.count + 1)?;
            keep(rep);
            done()
        }
        "pair" => serve_drain(listening(Pair1::with_options, args)?, args, args.count),
        "pushpull" => serve_drain(listening(Pull::with_options, args)?, args, args.count),
        "fanin" => {
            let pull = listening(Pull::with_options, args)?;
            serve_drain(pull, args, args.share() * args.peers as u64 - 1)
        }
        "pubsub" => publish(&listening(Pub::with_options, args)?, args),
        "clients" => answer_empty(listening(Rep::with_options, args)?, args),
        "survey" => survey(listening(Surveyor::with_options, args)?, args),
        "accept" => {
            keep(listening(Pull::with_options, args)?);
            ready();
            done()
        }
        "idle" => {
            keep(listening(Pull::with_options, args)?);
            watch_idle(args)
        }
        "loaded" => note_delays(listening(Pull::with_options, args)?, args),
        _ => unknown(args),
    }
}

fn drive(args: &Args) -> Done {
    match args.pattern.as_str() {
        "pair-lat" => drive_bounce(dialled(Pair1::with_options, args)?, args),
        "reqrep-lat" => drive_bounce(dialled(Req::with_options, args)?, args),
        "pair" => drive_flood(dialled(Pair1::with_options, args)?, args),
        "pushpull" => drive_flood(dialled(Push::with_options, args)?, args),
        "fanin" => drive_fan_in(args),
        "pubsub" => subscribe(args),
        "clients" => request(args),
        "survey" => respond(args),
        "connect" => connect_often(args),
        "handshakes" | "reconnects" => connect_and_close(args),
        "loaded" => pace(dialled(Push::with_options, args)?, args),
        _ => unknown(args),
    }
}

/// Two threads over inproc.
fn both(args: &Args) -> Done {
    match args.pattern.as_str() {
        "pair-lat" => {
            let left = listening(Pair1::with_options, args)?;
            both_bounce(left, dialled(Pair1::with_options, args)?, args)
        }
        "reqrep-lat" => {
            let left = listening(Rep::with_options, args)?;
            both_bounce(left, dialled(Req::with_options, args)?, args)
        }
        "pair" => {
            let left = listening(Pair1::with_options, args)?;
            both_stream(left, dialled(Pair1::with_options, args)?, args)
        }
        "pushpull" => {
            let left = listening(Pull::with_options, args)?;
            both_stream(left, dialled(Push::with_options, args)?, args)
        }
        "threads" => many_sockets(args),
        _ => unknown(args),
    }
}

type Open<P> = fn(&SocketOptions) -> Result<Socket<P>, Error>;

fn listening<P: Pattern>(open: Open<P>, args: &Args) -> Result<Socket<P>, Error> {
    let socket = open(&args.options)?;
    socket.listen(&args.url)?;
    Ok(socket)
}

fn dialled<P: Pattern>(open: Open<P>, args: &Args) -> Result<Socket<P>, Error> {
    let socket = open(&args.options)?;
    dial(&socket, args)?;
    Ok(socket)
}

fn dial<P: Pattern>(socket: &Socket<P>, args: &Args) -> Done {
    let dialled = socket.dial(&args.url);
    dialled.map(drop).inspect_err(|_| eprintln!("cannot dial:"))
}

fn dialled_all<P: Pattern>(open: Open<P>, args: &Args) -> Result<Vec<Socket<P>>, Error> {
    (0..args.peers).map(|_| dialled(open, args)).collect()
}

/// Lets a socket live as long as the process.
fn keep<P: Pattern>(socket: Socket<P>) {
    std::mem::forget(socket);
}

// Talking to the runner.

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the runner reads");
}

fn ready() {
    say("{\"ready\":true}");
}

fn wait_go() {
    let mut line = String::new();
    if !std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
        exit(1);
    }
}

fn done() -> Done {
    say("{\"done\":true}");
    Ok(())
}

fn result(time: Duration, messages: u64, checksum: u64) -> Done {
    say(&format!(
        "{{\"seconds\":{:.9},\"messages\":{messages},\"checksum\":{checksum}}}",
        time.as_secs_f64()
    ));
    Ok(())
}

fn result_of_times(mut times: Vec<u64>, total: Duration) -> Done {
    times.sort_unstable();
    let n = times.len();
    say(&format!(
        "{{\"seconds\":{:.9},\"messages\":{n},\"p50\":{},\"p99\":{},\"p999\":{},\"max\":{}}}",
        total.as_secs_f64(),
        times[n / 2],
        times[n * 99 / 100],
        times[n * 999 / 1000],
        times[n - 1]
    ));
    Ok(())
}

/// What one thread of several received, and when.
struct Tally {
    messages: u64,
    checksum: u64,
    first: Instant,
    last: Instant,
}

fn result_of_tallies(tallies: &[Tally]) -> Done {
    let tallies = || tallies.iter().filter(|tally| tally.messages > 0);
    let first = tallies().map(|tally| tally.first).min();
    let last = tallies().map(|tally| tally.last).max();
    let time = last.zip(first).map(|(last, first)| last - first);
    let checksum = tallies().fold(0, |sum: u64, tally| sum.wrapping_add(tally.checksum));
    let messages = tallies().map(|tally| tally.messages).sum();
    result(time.unwrap_or_default(), messages, checksum)
}

/// The sum of the body as 64-bit little-endian words, the last one padded with zeros: reads every byte.
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

#[inline]
fn take<P: Receives>(socket: &Socket<P>, args: &Args) -> Result<u64, Error> {
    let message = socket.recv()?;
    if message.len() != args.size {
        eprintln!("wrong message size {}", message.len());
        exit(1);
    }
    Ok(sum(message.body()))
}

#[inline]
fn send<P: Sends>(socket: &Socket<P>, message: impl Into<Message>) -> Done {
    socket.send(message).map_err(|failure| failure.error)
}

// Round trips.

fn echo<P: Sends + Receives>(socket: &Socket<P>, n: u64) -> Done {
    for _ in 0..n {
        let message = socket.recv()?;
        black_box(sum(message.body()));
        send(socket, message)?;
    }
    Ok(())
}

fn serve_echo<P: Sends + Receives>(socket: Socket<P>, args: &Args) -> Done {
    ready();
    echo(&socket, args.count + args.warm_up())?;
    keep(socket);
    done()
}

fn bounce<P: Sends + Receives>(socket: &Socket<P>, args: &Args) -> Done {
    let body = args.message();
    for _ in 0..args.warm_up() {
        send(socket, body.clone())?;
        take(socket, args)?;
    }
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..args.count {
        send(socket, body.clone())?;
        total = total.wrapping_add(take(socket, args)?);
    }
    result(start.elapsed(), args.count, total)
}

fn drive_bounce<P: Sends + Receives>(socket: Socket<P>, args: &Args) -> Done {
    ready();
    wait_go();
    bounce(&socket, args)?;
    keep(socket);
    Ok(())
}

fn both_bounce<L, R>(left: Socket<L>, right: Socket<R>, args: &Args) -> Done
where
    L: Sends + Receives,
    R: Sends + Receives,
{
    ready();
    wait_go();
    thread::scope(|scope| {
        let echoing = scope.spawn(|| echo(&left, args.count + args.warm_up()));
        bounce(&right, args)?;
        echoing.join().expect("no panic")
    })?;
    keep(left);
    keep(right);
    Ok(())
}

// Streams. The clock starts with the first message, which is not counted.

fn drain<P: Receives>(socket: &Socket<P>, args: &Args, n: u64) -> Done {
    take(socket, args)?;
    let (mut total, start) = (0_u64, Instant::now());
    for _ in 0..n {
        total = total.wrapping_add(take(socket, args)?);
    }
    result(start.elapsed(), n, total)
}

fn flood<P: Sends>(socket: &Socket<P>, args: &Args, n: u64) -> Done {
    if args.size <= 80 {
        // What is copied into the message itself needs not be shared.
        let body = args.body();
        for _ in 0..n {
            send(socket, &body[..])?;
        }
        return Ok(());
    }
    let body = args.message();
    for _ in 0..n {
        send(socket, body.clone())?;
    }
    Ok(())
}

fn serve_drain<P: Receives>(socket: Socket<P>, args: &Args, n: u64) -> Done {
    ready();
    drain(&socket, args, n)?;
    keep(socket);
    Ok(())
}

fn drive_flood<P: Sends>(socket: Socket<P>, args: &Args) -> Done {
    ready();
    wait_go();
    flood(&socket, args, args.count + 1)?;
    keep(socket);
    done()
}

fn both_stream<L: Receives, R: Sends>(left: Socket<L>, right: Socket<R>, args: &Args) -> Done {
    ready();
    wait_go();
    thread::scope(|scope| {
        let sending = scope.spawn(|| flood(&right, args, args.count + 1));
        drain(&left, args, args.count)?;
        sending.join().expect("no panic")
    })?;
    keep(left);
    keep(right);
    Ok(())
}

fn drive_fan_in(args: &Args) -> Done {
    let sockets = dialled_all(Push::with_options, args)?;
    ready();
    wait_go();
    let sent = on_threads(sockets, |socket| {
        flood(&socket, args, args.share())?;
        keep(socket);
        Ok(())
    });
    sent?;
    done()
}

/// Runs `work` with each socket on a thread of its own.
fn on_threads<P, T, W>(sockets: Vec<Socket<P>>, work: W) -> Result<Vec<T>, Error>
where
    P: Pattern,
    T: Send,
    W: Fn(Socket<P>) -> Result<T, Error> + Sync,
{
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = sockets
            .into_iter()
            .map(|socket| scope.spawn(move || work(socket)))
            .collect();
        let threads = threads.into_iter();
        threads.map(|t| t.join().expect("no panic")).collect()
    })
}

// Publishing. The first byte of a message tells greetings (sent until all subscribers are there), data and ends
// (sent until the runner has seen the result) apart.

static STARTED: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(false);

fn publish(publisher: &Pub, args: &Args) -> Done {
    const PAUSE: Duration = Duration::from_millis(2);
    let marked = |mark| {
        let mut body = args.body();
        body[0] = mark;
        Message::from(body)
    };
    let (hello, data, end) = (marked(HELLO), args.message(), marked(END));
    thread::spawn(|| {
        wait_go();
        STARTED.store(true, Ordering::Release);
        for line in std::io::stdin().lock().lines() {
            drop(line);
        }
        STOPPED.store(true, Ordering::Release);
    });
    ready();
    while !STARTED.load(Ordering::Acquire) {
        send(publisher, hello.clone())?;
        thread::sleep(PAUSE);
    }
    thread::sleep(10 * PAUSE);
    for _ in 0..args.count {
        send(publisher, data.clone())?;
    }
    done()?;
    while !STOPPED.load(Ordering::Acquire) {
        thread::sleep(PAUSE);
        send(publisher, end.clone())?;
    }
    exit(0)
}

fn subscribe(args: &Args) -> Done {
    let sockets: Result<Vec<_>, Error> = (0..args.peers)
        .map(|_| {
            let socket = Sub::with_options(&args.options)?;
            socket.subscribe("")?;
            dial(&socket, args)?;
            Ok(socket)
        })
        .collect();
    let barrier = Barrier::new(args.peers + 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            ready();
        });
        let tallies = on_threads(sockets?, |socket| count_until_end(socket, &barrier));
        result_of_tallies(&tallies?)
    })
}

fn count_until_end(socket: Sub, barrier: &Barrier) -> Result<Tally, Error> {
    let now = Instant::now();
    let mut tally = Tally {
        messages: 0,
        checksum: 0,
        first: now,
        last: now,
    };
    let mut greeted = false;
    loop {
        let message = socket.recv()?;
        match message.body().first() {
            Some(&HELLO) if greeted => {}
            Some(&HELLO) => {
                greeted = true;
                barrier.wait();
            }
            Some(&END) => {
                keep(socket);
                return Ok(tally);
            }
            _ => {
                let total = sum(message.body());
                tally.messages += 1;
                // Looking at the clock for each message would be a good part of the work.
                if tally.messages == 1 {
                    tally.first = Instant::now();
                    tally.last = tally.first;
                } else if tally.messages.is_multiple_of(16) {
                    tally.last = Instant::now();
                }
                tally.checksum = tally.checksum.wrapping_add(total);
            }
        }
    }
}

// Requests of many clients, with empty replies.

fn answer_empty(rep: Rep, args: &Args) -> Done {
    ready();
    for _ in 0..(args.share() + 1) * args.peers as u64 {
        black_box(take(&rep, args)?);
        send(&rep, Message::new())?;
    }
    keep(rep);
    done()
}

fn request(args: &Args) -> Done {
    let sockets = dialled_all(Req::with_options, args)?;
    let barrier = Barrier::new(args.peers + 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            ready();
            wait_go();
            barrier.wait();
        });
        let tallies = on_threads(sockets, |socket| {
            let body = args.message();
            let ask = || {
                send(&socket, body.clone())?;
                socket.recv()
            };
            ask()?;
            barrier.wait();
            barrier.wait();
            let first = Instant::now();
            for _ in 0..args.share() {
                ask()?;
            }
            let last = Instant::now();
            drop(body);
            keep(socket);
            Ok(Tally {
                messages: args.share(),
                checksum: 0,
                first,
                last,
            })
        });
        result_of_tallies(&tallies?)
    })
}

// Surveys.

/// Asks once; how many answered, and their sum.
fn survey_round(surveyor: &Surveyor, body: &Message, args: &Args) -> Result<(u64, u64), Error> {
    let (mut answers, mut total) = (0, 0_u64);
    send(surveyor, body.clone())?;
    while answers < args.peers as u64 {
        match surveyor.recv() {
            Ok(answer) => total = total.wrapping_add(sum(answer.body())),
            Err(Error::TimedOut | Error::InvalidState(_)) => break,
            Err(error) => return Err(error),
        }
        answers += 1;
    }
    Ok((answers, total))
}

fn survey(surveyor: Surveyor, args: &Args) -> Done {
    let body = args.message();
    ready();
    wait_go();
    let mut tries = 0;
    while survey_round(&surveyor, &body, args)?.0 < args.peers as u64 {
        tries += 1;
        if tries == 5 {
            eprintln!("not all respondents answer");
            exit(1);
        }
    }
    for _ in 0..5 {
        survey_round(&surveyor, &body, args)?;
    }
    let (mut answers, mut total, start) = (0, 0_u64, Instant::now());
    for _ in 0..args.count {
        let (some, sum) = survey_round(&surveyor, &body, args)?;
        answers += some;
        total = total.wrapping_add(sum);
    }
    let time = start.elapsed();
    let asked = args.count * args.peers as u64;
    if answers != asked {
        eprintln!("{} of {asked} answers missing", asked - answers);
        exit(1);
    }
    keep(surveyor);
    result(time, args.count, total)
}

fn respond(args: &Args) -> Done {
    for socket in dialled_all(Respondent::with_options, args)? {
        thread::spawn(move || echo(&socket, u64::MAX));
    }
    ready();
    wait_go();
    done()
}

// New connections, one after the other: from the call that connects to the first reply.

fn connect_often(args: &Args) -> Done {
    ready();
    wait_go();
    let body = args.message();
    let mut times = Vec::new();
    let mut total = Duration::ZERO;
    for round in 0..=args.count {
        let req = Req::with_options(&args.options)?;
        let start = Instant::now();
        dial(&req, args)?;
        send(&req, body.clone())?;
        take(&req, args)?;
        let time = start.elapsed();
        // What is still under way does not matter.
        let _ = req.close();
        if round > 0 {
            times.push(time.as_nanos() as u64);
            total += time;
        }
    }
    result_of_times(times, total)
}

// New connections, one after the other, closing included.

fn connect_and_close(args: &Args) -> Done {
    ready();
    wait_go();
    let body = args.message();
    let (mut total, mut start) = (0_u64, Instant::now());
    for round in 0..=args.count {
        let req = if args.pattern == "handshakes" {
            // A configuration that is used again would resume sessions.
            Req::with_options(&encryption::trusting(args.options.clone(), &args.ca)?)?
        } else {
            Req::with_options(&args.options)?
        };
        dial(&req, args)?;
        send(&req, body.clone())?;
        let one = take(&req, args)?;
        req.close()?;
        if round == 0 {
            start = Instant::now();
        } else {
            total = total.wrapping_add(one);
        }
    }
    result(start.elapsed(), args.count, total)
}

// A paced stream that carries the time of sending.

fn pace(push: Push, args: &Args) -> Done {
    ready();
    wait_go();
    set_timer_slack(1000);
    let mut body = args.body();
    let (mut sent, start) = (0, monotonic());
    while sent < args.count {
        let due = ((monotonic() - start) as f64 * args.rate as f64 / 1e9) as u64 + 1;
        while sent < due.min(args.count) {
            body[..8].copy_from_slice(&monotonic().to_ne_bytes());
            send(&push, &body[..])?;
            sent += 1;
        }
        thread::sleep(Duration::from_micros(100));
    }
    keep(push);
    done()
}

fn note_delays(pull: Pull, args: &Args) -> Done {
    ready();
    let mut times = Vec::with_capacity(args.count as usize);
    let mut start = 0;
    for _ in 0..args.count {
        let message = pull.recv()?;
        let time = monotonic();
        let sent = message.body().first_chunk().expect("eight bytes or more");
        times.push(time.saturating_sub(u64::from_ne_bytes(*sent)));
        start = if start == 0 { time } else { start };
        black_box(sum(message.body()));
    }
    keep(pull);
    result_of_times(times, Duration::from_nanos(monotonic() - start))
}

// What an idle process and many sockets cost.

fn watch_idle(args: &Args) -> Done {
    let before = heap();
    ready();
    wait_go();
    thread::sleep(Duration::from_millis(500));
    let after = heap();
    let start = usage();
    thread::sleep(Duration::from_secs(2));
    let end = usage();
    // The one switch of our own sleep is taken off.
    say(&format!(
        "{{\"seconds\":2.0,\"messages\":{},\"heap_per_pipe\":{:.1},\"switches\":{},\"cpu_us\":{},\"threads\":{}}}",
        args.peers,
        (after as f64 - before as f64) / args.peers as f64,
        (end.switches - start.switches - 1).max(0),
        end.cpu_us - start.cpu_us,
        count_threads(),
    ));
    Ok(())
}

fn many_sockets(args: &Args) -> Done {
    ready();
    wait_go();
    let before = count_threads();
    for i in (0..args.peers).step_by(2) {
        let url = format!("{}-{i}", args.url);
        let (pull, push) = (
            Pull::with_options(&args.options)?,
            Push::with_options(&args.options)?,
        );
        pull.listen(&url)?;
        push.dial(&url)?;
        keep(pull);
        keep(push);
    }
    thread::sleep(Duration::from_millis(100));
    say(&format!(
        "{{\"seconds\":0,\"messages\":{},\"threads\":{}}}",
        args.peers,
        count_threads() - before
    ));
    Ok(())
}
