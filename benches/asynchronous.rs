//! What awaiting costs beside blocking: round trips and streams over ipc, with spinning turned off.
//!
//! ```sh
//! cargo bench --bench asynchronous
//! ```

use std::thread;
use std::time::{Duration, Instant};

use wirebird::{Pair0, Pull, Push, Result, SocketOptions};

const TRIPS: u32 = 20_000;
const STREAM: u32 = 1_000_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let other = tokio::runtime::Builder::new_current_thread().build()?;
    for round in 0..3 {
        let blocking = round_trips(
            |pair| {
                for _ in 0..TRIPS {
                    pair.send(pair.recv()?)?;
                }
                Ok(())
            },
            |pair| {
                for _ in 0..TRIPS {
                    pair.send("ping")?;
                    pair.recv()?;
                }
                Ok(())
            },
        )?;
        let awaited = round_trips(
            |pair| {
                other.block_on(async {
                    for _ in 0..TRIPS {
                        pair.send_async(pair.recv_async().await?).await?;
                    }
                    Ok(())
                })
            },
            |pair| {
                runtime.block_on(async {
                    for _ in 0..TRIPS {
                        pair.send_async("ping").await?;
                        pair.recv_async().await?;
                    }
                    Ok(())
                })
            },
        )?;
        println!(
            "{round}: round trip blocking {:.1} us, awaited {:.1} us, {:.2} times as long",
            micros(blocking),
            micros(awaited),
            awaited.as_secs_f64() / blocking.as_secs_f64()
        );
        let blocking = stream(
            |push| (0..STREAM).try_for_each(|_| Ok(push.send([0; 64])?)),
            |pull| (0..STREAM).try_for_each(|_| pull.recv().map(drop)),
        )?;
        let awaited = stream(
            |push| {
                other.block_on(async {
                    for _ in 0..STREAM {
                        push.send_async([0; 64]).await?;
                    }
                    Ok(())
                })
            },
            |pull| {
                runtime.block_on(async {
                    for _ in 0..STREAM {
                        pull.recv_async().await?;
                    }
                    Ok(())
                })
            },
        )?;
        println!(
            "{round}: stream blocking {:.2} M/s, awaited {:.2} M/s, {:.2} of it",
            millions(blocking),
            millions(awaited),
            blocking.as_secs_f64() / awaited.as_secs_f64()
        );
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(TRIPS)
}

fn millions(time: Duration) -> f64 {
    f64::from(STREAM) / time.as_secs_f64() / 1e6
}

fn options() -> SocketOptions {
    SocketOptions::new().spin(Duration::ZERO)
}

fn round_trips(
    echo: impl FnOnce(&Pair0) -> Result<()> + Send,
    ask: impl FnOnce(&Pair0) -> Result<()>,
) -> Result<Duration> {
    let (one, two) = (
        Pair0::with_options(&options())?,
        Pair0::with_options(&options())?,
    );
    let url = format!("abstract://wirebird-bench-{}", std::process::id());
    let listener = one.listen(&url)?;
    two.dial(&url)?;
    let took = thread::scope(|scope| {
        let echo = scope.spawn(|| echo(&one));
        let began = Instant::now();
        ask(&two)?;
        let took = began.elapsed();
        echo.join().expect("the echo does not panic")?;
        Ok(took)
    });
    listener.close();
    took
}

fn stream(
    send: impl FnOnce(&Push) -> Result<()> + Send,
    take: impl FnOnce(&Pull) -> Result<()>,
) -> Result<Duration> {
    let (pull, push) = (
        Pull::with_options(&options())?,
        Push::with_options(&options())?,
    );
    let url = format!("abstract://wirebird-bench-{}", std::process::id());
    let listener = pull.listen(&url)?;
    push.dial(&url)?;
    let took = thread::scope(|scope| {
        let began = Instant::now();
        let send = scope.spawn(|| send(&push));
        take(&pull)?;
        let took = began.elapsed();
        send.join().expect("the sender does not panic")?;
        Ok(took)
    });
    listener.close();
    took
}
