//! What awaiting costs beside blocking: round trips and streams of 64 bytes. Awaited with the default options, blocking
//! in round trips with spinning turned off.
//!
//! Blocking and awaited runs are short and take turns, so that both see the same machine. Each line has the medians of
//! its runs, and the median of the ratios of neighbours: times for a round trip, rates for a stream.
//!
//! ```sh
//! cargo bench --bench asynchronous [-- WORD]...    # the cases whose names have all the words
//! ```

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use wirebird::{Error, Pair0, Pull, Push, Result, SocketOptions};

const TRIPS: u32 = 3_000;
const STREAM: u32 = 200_000;
const RUNS: usize = 15;
const BODY: [u8; 64] = [7; 64];

/// How the calls are made.
#[derive(Clone, Copy)]
enum How {
    Blocking,
    Awaited,
}

const HOWS: [(How, &str); 2] = [(How::Blocking, "blocking"), (How::Awaited, "awaited")];

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [role, how, url] = &words[..]
        && role == "echo"
    {
        return echo(how, url);
    }
    let words: Vec<_> = words.iter().filter(|word| *word != "--bench").collect();
    let id = std::process::id();
    let transports = [
        ("ipc", format!("abstract://wirebird-bench-{id}")),
        ("tcp", "tcp://127.0.0.1:0".to_owned()),
        ("inproc", "inproc://bench".to_owned()),
    ];
    for (transport, url) in &transports {
        type Case<'a> = (&'a str, u32, fn(How, &str, &Runtime) -> Result<Duration>);
        let cases: [Case<'_>; 4] = [
            ("round trip threads", TRIPS, trips_of_threads),
            ("round trip processes", TRIPS, trips_of_processes),
            ("stream push", STREAM, stream_of_push),
            ("stream pair", STREAM, stream_of_pair),
        ];
        for (name, count, run) in cases {
            let name = format!("{name} {transport}");
            let chosen = words.iter().all(|word| name.contains(&***word));
            if chosen && !(*transport == "inproc" && name.contains("processes")) {
                compare(&name, count, |how, runtime| run(how, url, runtime))?;
            }
        }
    }
    Ok(())
}

fn compare(name: &str, count: u32, run: impl Fn(How, &Runtime) -> Result<Duration>) -> Result<()> {
    let runtime = runtime();
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for ((how, _), took) in HOWS.iter().zip(&mut took) {
            took.push(run(*how, &runtime)?.as_secs_f64() / f64::from(count));
        }
    }
    let ratios = took[1]
        .iter()
        .zip(&took[0])
        .map(|(awaited, blocking)| awaited / blocking);
    let ratio = median(ratios.collect());
    let [blocking, awaited] = took.map(median);
    if name.contains("stream") {
        let (blocking, awaited) = (1e-6 / blocking, 1e-6 / awaited);
        println!(
            "{name:28} blocking {blocking:6.2} M/s  awaited {awaited:6.2} M/s  {:.2} of it",
            1.0 / ratio
        );
    } else {
        let (blocking, awaited) = (1e6 * blocking, 1e6 * awaited);
        println!(
            "{name:28} blocking {blocking:6.1} us   awaited {awaited:6.1} us   {ratio:.2} times as long"
        );
    }
    Ok(())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn options(how: How) -> SocketOptions {
    let options = SocketOptions::new();
    match how {
        How::Blocking => options.spin(Duration::ZERO),
        How::Awaited => options,
    }
}

// ---- round trips ----

fn ask(how: How, pair: &Pair0, runtime: &Runtime, trips: u32) -> Result<()> {
    match how {
        How::Blocking => (0..trips).try_for_each(|_| {
            pair.send(BODY)?;
            pair.recv().map(drop)
        }),
        How::Awaited => runtime.block_on(async {
            for _ in 0..trips {
                pair.send_async(BODY).await?;
                pair.recv_async().await?;
            }
            Ok(())
        }),
    }
}

fn answer(how: How, pair: &Pair0, runtime: &Runtime, trips: u32) -> Result<()> {
    match how {
        How::Blocking => (0..trips).try_for_each(|_| Ok(pair.send(pair.recv()?)?)),
        How::Awaited => runtime.block_on(async {
            for _ in 0..trips {
                pair.send_async(pair.recv_async().await?).await?;
            }
            Ok(())
        }),
    }
}

fn trips_of_threads(how: How, url: &str, runtime: &Runtime) -> Result<Duration> {
    let (one, two) = (
        Pair0::with_options(&options(how))?,
        Pair0::with_options(&options(how))?,
    );
    let listener = one.listen(url)?;
    two.dial(&listener.url().to_string())?;
    thread::scope(|scope| {
        let echo = scope.spawn(|| answer(how, &one, &self::runtime(), TRIPS));
        let began = Instant::now();
        ask(how, &two, runtime, TRIPS)?;
        let took = began.elapsed();
        echo.join().expect("the echo does not panic")?;
        Ok(took)
    })
}

fn trips_of_processes(how: How, url: &str, runtime: &Runtime) -> Result<Duration> {
    let mut other = Echo::start(how, url)?;
    let pair = Pair0::with_options(&options(how))?;
    pair.dial(&other.url)?;
    let began = Instant::now();
    ask(how, &pair, runtime, TRIPS)?;
    let took = began.elapsed();
    other.child.wait()?;
    Ok(took)
}

/// A process of its own that echoes.
struct Echo {
    child: Child,
    url: String,
}

impl Echo {
    fn start(how: How, url: &str) -> Result<Self> {
        let name = HOWS[how as usize].1;
        let mut child = Command::new(env::current_exe()?)
            .args(["echo", name, url])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        let output = child.stdout.take().expect("it was asked for");
        BufReader::new(output).read_line(&mut url)?;
        url.truncate(url.trim_end().len());
        Ok(Self { child, url })
    }
}

fn echo(how: &str, url: &str) -> Result<()> {
    let (how, _) = HOWS
        .iter()
        .find(|(_, name)| *name == how)
        .expect("one of two");
    let pair = Pair0::with_options(&options(*how))?;
    println!("{}", pair.listen(url)?.url());
    answer(*how, &pair, &runtime(), TRIPS)?;
    pair.close()
}

// ---- streams ----

macro_rules! stream {
    ($name:ident, $sender:ty, $receiver:ty) => {
        fn $name(how: How, url: &str, runtime: &Runtime) -> Result<Duration> {
            let (to, from) = (<$receiver>::new()?, <$sender>::new()?);
            let listener = to.listen(url)?;
            from.dial(&listener.url().to_string())?;
            thread::scope(|scope| {
                let began = Instant::now();
                let send = scope.spawn(|| match how {
                    How::Blocking => (0..STREAM).try_for_each(|_| Ok::<_, Error>(from.send(BODY)?)),
                    How::Awaited => self::runtime().block_on(async {
                        for _ in 0..STREAM {
                            from.send_async(BODY).await?;
                        }
                        Ok(())
                    }),
                });
                match how {
                    How::Blocking => (0..STREAM).try_for_each(|_| to.recv().map(drop)),
                    How::Awaited => runtime.block_on(async {
                        for _ in 0..STREAM {
                            to.recv_async().await?;
                        }
                        Ok(())
                    }),
                }?;
                let took = began.elapsed();
                send.join().expect("the sender does not panic")?;
                Ok(took)
            })
        }
    };
}

stream!(stream_of_push, Push, Pull);
stream!(stream_of_pair, Pair0, Pair0);
