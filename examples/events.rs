//! Events: choosing who may connect, watching connections come and go, and counting.
//!
//! ```sh
//! cargo run --example events [URL]
//! ```

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wirebird::{Event, Monitor, Pull, Push, Result};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let pull = Pull::new()?;

    // The filter is asked before a peer is added. This one lets the first in and nobody else.
    let asked = AtomicU32::new(0);
    pull.set_pipe_filter(move |_peer| asked.fetch_add(1, Ordering::Relaxed) == 0);
    // The observer is told on whatever thread comes along, in order. It must not block.
    pull.set_observer(|event| {
        if let Event::Added(pipe) = event {
            println!("observer: pipe {} was added, from {}", pipe.id, pipe.peer);
        }
    });
    // A monitor is a queue of the same events, for a thread that has time.
    let monitor = pull.monitor();

    let listener = pull.listen(&url)?;
    let first = Push::new()?;
    first.dial(&listener.url())?;
    let added = next(&monitor, |event| matches!(event, Event::Added(_)))?;
    println!("monitor: {}", name(&added));
    first.send("counted")?;
    println!("received {}", pull.recv()?.body().escape_ascii());

    let second = Push::new()?;
    second.dial_background(&listener.url())?;
    let rejected = next(&monitor, |event| matches!(event, Event::Rejected { .. }))?;
    println!("monitor: {}", name(&rejected));

    first.close()?;
    let removed = next(&monitor, |event| matches!(event, Event::Removed { .. }))?;
    println!("monitor: {}", name(&removed));

    let stats = pull.stats();
    println!(
        "added {}, rejected at least 1: {}",
        stats.added,
        stats.rejected >= 1
    );
    println!(
        "received {} message of {} bytes",
        stats.traffic.rx_msgs, stats.traffic.rx_bytes
    );
    Ok(())
}

/// The next event that is wanted.
fn next(monitor: &Monitor, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
    loop {
        let event = monitor.recv_timeout(Duration::from_secs(10))?;
        if wanted(&event) {
            return Ok(event);
        }
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Added(_) => "a peer was added".into(),
        Event::Rejected { reason, .. } => format!("a peer was rejected: {reason}"),
        Event::Removed { .. } => "the peer is gone".into(),
        other => format!("{other:?}"),
    }
}
