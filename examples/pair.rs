//! Pair: two sockets talk to each other, both ways, and a second peer is turned away.
//!
//! ```sh
//! cargo run --example pair [URL]
//! ```

use std::env;
use std::time::Duration;

use wirebird::{Event, Pair1, Result};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let left = Pair1::new()?;
    let monitor = left.monitor();
    let listener = left.listen(&url)?;
    let right = Pair1::new()?;
    right.dial(&listener.url())?;
    println!("connected at {}", listener.url());

    left.send("ping")?;
    println!("right received {}", right.recv()?.body().escape_ascii());
    right.send("pong")?;
    println!("left received {}", left.recv()?.body().escape_ascii());

    // A pair has one peer. Another one may connect, and is turned away at once.
    let third = Pair1::new()?;
    third.dial_background(&listener.url())?;
    loop {
        let event = monitor.recv_timeout(Duration::from_secs(10))?;
        if let Event::Rejected { reason, .. } = event {
            println!("a third socket was turned away: {reason}");
            break;
        }
    }
    right.send("still here")?;
    println!("left received {}", left.recv()?.body().escape_ascii());
    Ok(())
}
