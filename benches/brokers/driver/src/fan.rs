//! One publisher and many subscribers, all in one thread.
//!
//! Two batches are under way, and the next is published when all have got the one before the last: nothing is lost, and
//! the broker always has something to do.

use std::time::Instant;

use crate::load::Figures;
use crate::stream::Stream;
use crate::{Args, Result};

/// What of it differs between brokers.
pub trait Fanned: Sized {
    fn publisher(args: &Args) -> Result<Self>;
    fn subscriber(args: &Args) -> Result<Self>;
    /// The bytes that publish a body.
    fn publication(&self, body: Vec<u8>) -> Result<Vec<u8>>;
    fn stream(&mut self) -> &mut Stream;
    /// Reads over one publication.
    fn take(&mut self) -> Result<()>;
}

/// Counts what arrives. `connections` are the subscribers, `window` is the size of a batch.
pub fn run<F: Fanned>(args: &Args) -> Result<Figures> {
    let mut publisher = F::publisher(args)?;
    let mut subscribers = (0..args.connections)
        .map(|_| F::subscriber(args))
        .collect::<Result<Vec<_>>>()?;
    let batch = publisher.publication(args.body())?.repeat(args.window);
    publisher.stream().send(&batch)?;
    let mut round = || -> Result<()> {
        publisher.stream().send(&batch)?;
        for subscriber in &mut subscribers {
            for _ in 0..args.window {
                subscriber.take()?;
            }
        }
        Ok(())
    };
    let (warm, mut warming) = (Instant::now(), 0);
    while warm.elapsed() < args.seconds / 4 {
        round()?;
        warming += 1;
    }
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < args.seconds {
        round()?;
        rounds += 1;
    }
    let deliveries = (args.window * args.connections) as u64;
    Ok(Figures {
        operations: rounds * deliveries,
        all: (warming + rounds) * deliveries,
        time: begun.elapsed(),
        times: Vec::new(),
    })
}
