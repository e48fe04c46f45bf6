//! Sends the requests, and takes the time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ring::rand::{SecureRandom, SystemRandom};
use wirebird::broker::{Client, Message, MessageType};

use super::super::failure::Failure;
use super::report::Figures;

/// What to do.
pub(super) struct Plan {
    pub(super) size: usize,
    pub(super) duration: Duration,
    pub(super) ramp_up: Duration,
    pub(super) oneway: bool,
}

/// What one connection has done.
struct Tally {
    messages: u64,
    times: Histogram<u64>,
    begun: Instant,
    ended: Instant,
}

/// Whether the broker has payloads of this length compressed.
fn compresses(client: &Client, size: usize) -> Result<bool, Failure> {
    let ask = Message::plain_text(None, "", "").map_err(Failure::failed)?;
    let ask = ask.addressed_to(MessageType::ClientConfig, None);
    let answer = client.request(ask.map_err(Failure::failed)?);
    let config = answer.map_err(Failure::failed)?.payload_data();
    let cutoff = config.map_err(Failure::failed)?["compress-cutoff-size"].as_u64();
    Ok(cutoff.is_some_and(|cutoff| size as u64 >= cutoff))
}

/// Measures over all the clients at once. When `stop` is set, it ends early.
pub(super) fn run(plan: &Plan, clients: &[Client], stop: &AtomicBool) -> Result<Figures, Failure> {
    let requests = clients
        .iter()
        .map(|_| request(plan.size))
        .collect::<Result<Vec<_>, _>>()?;
    if let (Some(client), Some(request)) = (clients.first(), requests.first()) {
        measure(client, request, plan.oneway, plan.ramp_up, stop)?;
    }
    let compress = clients.first().map(|client| compresses(client, plan.size));
    let start = Barrier::new(clients.len());
    let tallies = thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter()
            .zip(&requests)
            .map(|(client, request)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let tally = measure(client, request, plan.oneway, plan.duration, stop);
                    if tally.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    tally
                })
            })
            .collect();
        let ended = running.into_iter().map(|thread| match thread.join() {
            Ok(tally) => tally,
            Err(_) => Err(Failure::failed("a connection's thread has panicked")),
        });
        ended.collect::<Result<Vec<_>, _>>()
    })?;
    let begun = tallies.iter().map(|tally| tally.begun).min();
    let ended = tallies.iter().map(|tally| tally.ended).max();
    let mut figures = Figures {
        messages: tallies.iter().map(|tally| tally.messages).sum(),
        duration: begun
            .zip(ended)
            .map(|(begun, ended)| ended - begun)
            .unwrap_or_default(),
        compress: compress.transpose()?.unwrap_or_default(),
        times: times()?,
    };
    for tally in tallies {
        figures.times.add(tally.times).map_err(Failure::failed)?;
    }
    Ok(figures)
}

fn measure(
    client: &Client,
    request: &Message,
    oneway: bool,
    time: Duration,
    stop: &AtomicBool,
) -> Result<Tally, Failure> {
    let begun = Instant::now();
    let mut tally = Tally {
        messages: 0,
        times: times()?,
        begun,
        ended: begun,
    };
    while tally.ended - begun < time && !stop.load(Ordering::Relaxed) {
        let sent = tally.ended;
        if oneway {
            client
                .request_oneway(request.clone())
                .map_err(Failure::failed)?;
        } else {
            let answer = client.request(request.clone()).map_err(Failure::failed)?;
            if !answer.is_ok() {
                let reason = answer.payload_text().unwrap_or_default();
                return Err(Failure::failed(format_args!(
                    "{}: {reason}",
                    answer.status().name()
                )));
            }
        }
        tally.ended = Instant::now();
        if !oneway {
            let nanoseconds = u64::try_from((tally.ended - sent).as_nanos());
            let recorded = tally.times.record(nanoseconds.unwrap_or(u64::MAX));
            recorded.map_err(Failure::failed)?;
        }
        tally.messages += 1;
    }
    if oneway {
        // It comes behind the others: its answer says that the broker has them.
        client.heartbeat().map_err(Failure::failed)?;
        tally.ended = Instant::now();
    }
    Ok(tally)
}

fn request(size: usize) -> Result<Message, Failure> {
    let mut bytes = vec![0; size];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::failed("the system has no random bytes"))?;
    Message::binary(None, "", "application/octet-stream", bytes)
        .and_then(|message| message.addressed_to(MessageType::Test, None))
        .map_err(Failure::failed)
}

/// Times in nanoseconds, to a part in a thousand.
fn times() -> Result<Histogram<u64>, Failure> {
    Histogram::new(3).map_err(Failure::failed)
}
