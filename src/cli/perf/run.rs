//! The tests themselves, over any socket that can do them.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wirebird::{
    Bus, Dialer, Error, Listener, Message, Pair0, Pair1, Pattern as SpPattern, Pub, Pull, Push,
    Receives, Rep, Req, Result as SpResult, Sends, Socket, SocketOptions, Sub, TlsConfig,
};

use super::report::{Kind, Report};
use super::{Load, Pattern, Remote, Test};

/// How long the peer's pipe may take to be there after ours is, and the last message to leave.
const SETTLE: Duration = Duration::from_millis(100);
/// How long remote waits for local's word that all has arrived.
const FINISH: Duration = Duration::from_secs(5);
/// How long a subscriber waits for more when messages may have been dropped.
const SILENCE: Duration = Duration::from_secs(1);

/// Called with the address once local listens.
type Ready<'a> = &'a mut dyn FnMut(&str);
type Outcome = Result<Option<Report>, String>;

/// Runs a test: the figures of the end that measures.
pub(super) fn run(test: &Test) -> Outcome {
    match test {
        Test::LocalLat(args) => local_lat(&place(args)?, &args.load, &mut |_| {}),
        Test::RemoteLat(args) => remote_lat(&place(args)?, &args.load),
        Test::LocalThr(args) => local_thr(&place(args)?, &args.load, &mut |_| {}),
        Test::RemoteThr(args) => remote_thr(&place(args)?, &args.load),
        Test::InprocLat(args) => both(&args.url, &args.load, local_lat, remote_lat),
        Test::InprocThr(args) => both(&args.url, &args.load, local_thr, remote_thr),
    }
}

/// Where the two ends meet.
struct Place {
    url: String,
    tls: TlsConfig,
}

fn place(args: &Remote) -> Result<Place, String> {
    Ok(Place {
        url: args.url.clone(),
        tls: args.tls.read().map_err(failed("configure TLS"))?,
    })
}

impl Place {
    fn of(url: &str) -> Self {
        Self {
            url: url.into(),
            tls: TlsConfig::new(),
        }
    }

    fn listen<P: SpPattern>(
        &self,
        socket: &Socket<P>,
        ready: Ready<'_>,
    ) -> Result<Listener, String> {
        let listen = || {
            let listener = socket.listener(&self.url)?;
            listener.set_options(&listener.options().tls(self.tls.clone()))?;
            listener.start().map(|()| listener)
        };
        let listener = listen().map_err(failed("listen"))?;
        ready(&listener.url());
        Ok(listener)
    }

    fn dial<P: SpPattern>(&self, socket: &Socket<P>) -> Result<Dialer, String> {
        let dial = || {
            let dialer = socket.dialer(&self.url)?;
            dialer.set_options(&dialer.options().tls(self.tls.clone()))?;
            dialer.start_and_wait(None).map(|()| dialer)
        };
        dial().map_err(failed("dial"))
    }
}

fn both(
    url: &str,
    load: &Load,
    local: fn(&Place, &Load, Ready<'_>) -> Outcome,
    remote: fn(&Place, &Load) -> Outcome,
) -> Outcome {
    thread::scope(|scope| {
        let (ready, listening) = mpsc::channel();
        let local = scope.spawn(move || {
            or_exit(local(&Place::of(url), load, &mut |bound| {
                // Nobody waits for it any more when remote has failed.
                let _ = ready.send(bound.to_owned());
            }))
        });
        let remote = match listening.recv() {
            Ok(bound) => or_exit(remote(&Place::of(&bound), load)),
            Err(_) => None,
        };
        match local.join() {
            Ok(local) => Ok(local.or(remote)),
            Err(_) => Err("The listening end panicked.".into()),
        }
    })
}

/// Ends the process when one end fails, since the other then waits for messages that never come.
fn or_exit(outcome: Outcome) -> Option<Report> {
    outcome.unwrap_or_else(|message| {
        eprintln!("{message}");
        std::process::exit(2)
    })
}

fn local_lat(at: &Place, load: &Load, ready: Ready<'_>) -> Outcome {
    match load.flags.pattern() {
        Pattern::Pair0 => bounce(&open(Pair0::new())?, at, load, ready),
        Pattern::Bus => bounce(&open(Bus::new())?, at, load, ready),
        Pattern::ReqRep => bounce(&open(Rep::new())?, at, load, ready),
        _ => bounce(&open(Pair1::new())?, at, load, ready),
    }
}

fn remote_lat(at: &Place, load: &Load) -> Outcome {
    match load.flags.pattern() {
        Pattern::Pair0 => round_trips(&open(Pair0::new())?, at, load),
        Pattern::Bus => round_trips(&open(Bus::new())?, at, load),
        Pattern::ReqRep => round_trips(&open(Req::new())?, at, load),
        _ => round_trips(&open(Pair1::new())?, at, load),
    }
}

fn local_thr(at: &Place, load: &Load, ready: Ready<'_>) -> Outcome {
    match load.flags.pattern() {
        Pattern::Pair0 => count_and_answer(&open(Pair0::new())?, at, load, ready),
        Pattern::PushPull => count(&open(Pull::new())?, at, load, ready, None),
        Pattern::PubSub => {
            let socket = open(Sub::new())?;
            socket.subscribe(b"").map_err(failed("subscribe"))?;
            count(&socket, at, load, ready, Some(SILENCE))
        }
        _ => count_and_answer(&open(Pair1::new())?, at, load, ready),
    }
}

fn remote_thr(at: &Place, load: &Load) -> Outcome {
    match load.flags.pattern() {
        Pattern::Pair0 => flood_and_wait(&open(Pair0::with_options(&patience()))?, at, load),
        Pattern::PushPull => flood(&open(Push::new())?, at, load),
        Pattern::PubSub => flood(&open(Pub::new())?, at, load),
        _ => flood_and_wait(&open(Pair1::with_options(&patience()))?, at, load),
    }
}

fn patience() -> SocketOptions {
    SocketOptions::new().recv_timeout(Some(FINISH))
}

fn bounce<P: SpPattern + Sends + Receives>(
    socket: &Socket<P>,
    at: &Place,
    load: &Load,
    ready: Ready<'_>,
) -> Outcome {
    let _listener = at.listen(socket, ready)?;
    for _ in 0..load.count {
        let message = expect(socket.recv(), load)?;
        socket
            .send(message)
            .map_err(|failure| failed("send")(failure.error))?;
    }
    finish(socket);
    Ok(None)
}

fn round_trips<P: SpPattern + Sends + Receives>(
    socket: &Socket<P>,
    at: &Place,
    load: &Load,
) -> Outcome {
    let _dialer = at.dial(socket)?;
    // The peer may not have its pipe yet, and a bus drops what it sends to nobody.
    thread::sleep(SETTLE);
    let mut times = match load.json {
        true => Some(Histogram::new(3).map_err(|error| error.to_string())?),
        false => None,
    };
    let mut message = body(load);
    let start = Instant::now();
    let mut last = start;
    for _ in 0..load.count {
        socket
            .send(message)
            .map_err(|failure| failed("send")(failure.error))?;
        message = expect(socket.recv(), load)?;
        if let Some(times) = &mut times {
            let now = Instant::now();
            let nanoseconds = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
            times.saturating_record(nanoseconds);
            last = now;
        }
    }
    let total = start.elapsed();
    finish(socket);
    Ok(Some(Report {
        total,
        size: load.size,
        count: load.count,
        kind: Kind::Latency(times),
    }))
}

fn count_and_answer<P: SpPattern + Sends + Receives>(
    socket: &Socket<P>,
    at: &Place,
    load: &Load,
    ready: Ready<'_>,
) -> Outcome {
    let report = count(socket, at, load, ready, None)?;
    // Remote waits for it, but everything has been measured.
    let _ = socket.try_send(Message::new());
    finish(socket);
    Ok(report)
}

/// Receives the empty first message and then `count` more, or, with a limit, until nothing has come for so long.
fn count<P: SpPattern + Receives>(
    socket: &Socket<P>,
    at: &Place,
    load: &Load,
    ready: Ready<'_>,
    limit: Option<Duration>,
) -> Outcome {
    let _listener = at.listen(socket, ready)?;
    socket.recv().map_err(failed("receive"))?;
    let start = Instant::now();
    let mut received = 0;
    let mut silence = Duration::ZERO;
    while received < load.count {
        let next = match limit {
            Some(limit) => socket.recv_timeout(limit),
            None => socket.recv(),
        };
        if matches!(next, Err(Error::TimedOut)) {
            silence = limit.unwrap_or_default();
            break;
        }
        expect(next, load)?;
        received += 1;
    }
    Ok(Some(Report {
        total: start.elapsed().saturating_sub(silence),
        size: load.size,
        count: received,
        kind: Kind::Throughput,
    }))
}

fn flood_and_wait<P: SpPattern + Sends + Receives>(
    socket: &Socket<P>,
    at: &Place,
    load: &Load,
) -> Outcome {
    let _dialer = at.dial(socket)?;
    send_all(socket, load)?;
    // Local's empty message says that all has arrived; without it, time has to do.
    let _ = socket.recv();
    finish(socket);
    Ok(None)
}

fn flood<P: SpPattern + Sends>(socket: &Socket<P>, at: &Place, load: &Load) -> Outcome {
    let _dialer = at.dial(socket)?;
    // A publisher sends to nobody until it knows its subscriber.
    thread::sleep(SETTLE);
    send_all(socket, load)?;
    let _ = socket.flush(FINISH);
    finish(socket);
    Ok(None)
}

fn send_all<P: SpPattern + Sends>(socket: &Socket<P>, load: &Load) -> Result<(), String> {
    let send = |message: Message| {
        let sent = socket.send(message);
        sent.map_err(|failure| failed("send")(failure.error))
    };
    send(Message::new())?;
    // The messages share one long body and copy a short one, as a program with its data at hand would.
    let message = body(load);
    for _ in 0..load.count {
        send(message.clone())?;
    }
    Ok(())
}

fn body(load: &Load) -> Message {
    let mut message = Message::new();
    message.resize(load.size.try_into().unwrap_or(usize::MAX));
    message
}

fn expect(received: SpResult<Message>, load: &Load) -> Result<Message, String> {
    let message = received.map_err(failed("receive"))?;
    if u32::try_from(message.len()) == Ok(load.size) {
        return Ok(message);
    }
    Err(format!(
        "wrong message size: {} != {}",
        message.len(),
        load.size
    ))
}

fn finish<P: SpPattern>(socket: &Socket<P>) {
    let _ = socket.flush(SETTLE);
    let _ = socket.close();
}

fn open<P: SpPattern>(socket: SpResult<Socket<P>>) -> Result<Socket<P>, String> {
    socket.map_err(failed("open a socket"))
}

fn failed(what: &str) -> impl Fn(Error) -> String {
    move |error| format!("Cannot {what}: {error}")
}
