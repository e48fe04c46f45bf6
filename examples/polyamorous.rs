//! Polyamorous pair: one socket with many peers, which names the peer that a message is for.
//!
//! ```sh
//! cargo run --example polyamorous [URL]
//! ```

use std::env;
use std::time::Duration;

use wirebird::{Message, Pair1, PairPoly, Result};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let hub = PairPoly::new()?;
    let listener = hub.listen(&url)?;
    println!("the hub listens at {}", listener.url());

    let peers = [("ann", Pair1::new()?), ("ben", Pair1::new()?)];
    for (_, peer) in &peers {
        peer.dial(&listener.url())?;
    }
    hub.wait_for_peers(peers.len(), Duration::from_secs(10))?;

    for (name, peer) in &peers {
        peer.send(format!("I am {name}"))?;
        // Every message says which pipe it came from; naming that pipe sends the answer back there.
        let hello = hub.recv()?;
        println!("the hub heard {}", hello.body().escape_ascii());
        let mut answer = Message::from(format!("welcome, {name}"));
        answer.set_pipe(hello.pipe());
        hub.send(answer)?;
    }
    for (name, peer) in &peers {
        println!("{name} heard {}", peer.recv()?.body().escape_ascii());
    }

    // The hub can also speak first: its pipes are known.
    for (number, pipe) in hub.pipes().iter().enumerate() {
        let mut message = Message::from(format!("you are peer {number}"));
        message.set_pipe(Some(pipe.id()));
        hub.send(message)?;
    }
    for (name, peer) in &peers {
        println!("{name} heard {}", peer.recv()?.body().escape_ascii());
    }
    Ok(())
}
