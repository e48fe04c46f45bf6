//! What each protocol does with its socket: nngcat's loops, over anything that sends and receives.

use std::io::Write;
use std::time::{Duration, Instant};

use wirebird::{Error, Message};

use super::args::Job;
use super::strerror::strerror;

/// What messages are sent through.
pub(super) trait Sender {
    fn send(&self, body: &[u8]) -> Result<(), Error>;
}

/// What messages are received from.
pub(super) trait Receiver {
    /// Waits for `limit`, or for as long as the socket was told to when there is none.
    fn recv(&self, limit: Option<Duration>) -> Result<Message, Error>;
}

pub(super) trait Clock {
    fn now(&self) -> Instant;
    fn sleep(&self, time: Duration);
}

/// The clock of the machine.
pub(super) struct System;

impl Clock for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Prints what comes until the count is reached or nothing more can come.
pub(super) fn receive(
    socket: &impl Receiver,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    let mut received = 0;
    while !reached(job, received) {
        match socket.recv(None) {
            Ok(message) => print(job, &message, out)?,
            Err(error) if is_end(&error) => break,
            Err(error) => return failed("Receive error", &error),
        }
        received += 1;
    }
    Ok(())
}

/// Answers each message with the data. Unlike the other loops it takes a timeout for an error, as nngcat does.
pub(super) fn respond(
    socket: &(impl Sender + Receiver),
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    let mut answered = 0;
    loop {
        let message = match socket.recv(None) {
            Ok(message) => message,
            Err(error) => return failed("Receive error", &error),
        };
        print(job, &message, out)?;
        send_data(socket, job)?;
        answered += 1;
        if reached(job, answered) {
            return Ok(());
        }
    }
}

/// Sends the data once, or at each interval.
pub(super) fn send(socket: &impl Sender, clock: &impl Clock, job: &Job) -> Result<(), String> {
    clock.sleep(job.delay);
    let mut sent = 0;
    loop {
        let start = clock.now();
        send_data(socket, job)?;
        sent += 1;
        if is_last(job, sent) {
            return Ok(());
        }
        sleep_rest(clock, job, start);
    }
}

/// Sends the data and prints what comes back, once, or at each interval.
pub(super) fn exchange(
    socket: &(impl Sender + Receiver),
    clock: &impl Clock,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    clock.sleep(job.delay);
    let mut sent = 0;
    loop {
        let start = clock.now();
        send_data(socket, job)?;
        sent += 1;
        loop {
            let limit = job.interval.map(|interval| {
                let left = interval.saturating_sub(clock.now() - start);
                job.recv_timeout.map_or(left, |timeout| left.min(timeout))
            });
            match socket.recv(limit) {
                Ok(message) => print(job, &message, out)?,
                Err(error) if is_end(&error) => break,
                Err(error) => return failed("Cannot receive", &error),
            }
        }
        if is_last(job, sent) {
            return Ok(());
        }
        sleep_rest(clock, job, start);
    }
}

/// Whether an error only says that no more messages come: time is up, or the request or survey is over.
fn is_end(error: &Error) -> bool {
    matches!(error, Error::TimedOut | Error::InvalidState(_))
}

fn reached(job: &Job, done: u64) -> bool {
    job.count > 0 && done >= job.count
}

fn is_last(job: &Job, sent: u64) -> bool {
    (job.count == 0 && job.interval.is_none()) || reached(job, sent)
}

/// Sleeps for what is left of the interval, so that the time the work took does not add to it.
fn sleep_rest(clock: &impl Clock, job: &Job, start: Instant) {
    let interval = job.interval.unwrap_or_default();
    clock.sleep(interval.saturating_sub(clock.now() - start));
}

fn send_data(socket: &impl Sender, job: &Job) -> Result<(), String> {
    let data = job.data.as_deref().unwrap_or_default();
    socket
        .send(data)
        .or_else(|error| failed("Send error", &error))
}

fn print(job: &Job, message: &Message, out: &mut impl Write) -> Result<(), String> {
    let printed = job.format.print(message.body(), out);
    printed.map_err(|error| format!("Cannot write: {error}"))
}

fn failed<T>(what: &str, error: &Error) -> Result<T, String> {
    Err(format!("{what}: {}", strerror(error)))
}

#[cfg(test)]
mod tests;
