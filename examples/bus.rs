//! Bus: every node sends to all nodes that it is connected to.
//!
//! ```sh
//! cargo run --example bus [URL]
//! ```
//!
//! The URL is the first node's; the others are in process.

use std::env;
use std::time::Duration;

use wirebird::{Bus, Result};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let names = ["red", "green", "blue"];
    let nodes = [Bus::new()?, Bus::new()?, Bus::new()?];

    // A full mesh: each node connects to those before it. A bus passes nothing on.
    let first = nodes[0].listen(&url)?;
    let second = nodes[1].listen("inproc://bus-green")?;
    nodes[1].dial(&first.url())?;
    nodes[2].dial(&first.url())?;
    nodes[2].dial(&second.url())?;
    for node in &nodes {
        node.wait_for_peers(nodes.len() - 1, Duration::from_secs(10))?;
    }
    println!("{} nodes are connected with each other", nodes.len());

    for (node, name) in nodes.iter().zip(names) {
        node.send(format!("hello from {name}"))?;
    }
    for (node, name) in nodes.iter().zip(names) {
        let mut heard = [node.recv()?, node.recv()?]
            .map(|message| String::from_utf8_lossy(message.body()).into_owned());
        heard.sort();
        println!("{name} heard {}", heard.join(", "));
    }
    Ok(())
}
