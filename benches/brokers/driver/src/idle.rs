//! Connections that do nothing once the broker has got to know them.

use crate::stream::Stream;
use crate::{Args, Result, bare, mqtt, nats, redis, say};

/// What a connection that only says hello reads ahead.
const LITTLE: usize = 4 << 10;

fn connect(args: &Args) -> Result<Stream> {
    let address = &args.address;
    match args.peer.as_str() {
        "wirebird" => {
            let mut stream = bare::connect(address, LITTLE)?;
            bare::greet(&mut stream)?;
            Ok(stream)
        }
        "redis" => redis::connect(address, LITTLE),
        "nats" => nats::connect(address, LITTLE),
        "mosquitto" => mqtt::connect(address, LITTLE),
        peer => Err(format!("{peer} cannot be idle").into()),
    }
}

/// Says when all are connected, and keeps them until standard input ends.
pub fn hold(args: &Args) -> Result<()> {
    let connections = (0..args.connections)
        .map(|_| connect(args))
        .collect::<Result<Vec<_>>>()?;
    say(&format!(
        r#"{{"operations":{},"seconds":0}}"#,
        connections.len()
    ))?;
    crate::hold()?;
    drop(connections);
    Ok(())
}
