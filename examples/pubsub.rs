//! Publish and subscribe: every subscriber gets the messages that begin with one of its topics.
//!
//! ```sh
//! cargo run --example pubsub [URL]
//! ```

use std::env;
use std::time::Duration;

use wirebird::{Error, Pub, Result, Sub};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let publisher = Pub::new()?;
    let listener = publisher.listen(&url)?;
    println!("the publisher listens at {}", listener.url());

    let weather = Sub::new()?;
    weather.subscribe("weather.")?;
    weather.dial(&listener.url())?;
    let everything = Sub::new()?;
    everything.subscribe("")?;
    everything.dial(&listener.url())?;

    // What is published before a subscriber is connected never reaches it. Waiting for the peers prevents that.
    publisher.wait_for_peers(2, Duration::from_secs(10))?;
    publisher.send("weather.rain 3 mm")?;
    publisher.send("sports.score 2:1")?;
    publisher.send("weather.wind 12 km/h")?;

    for _ in 0..2 {
        println!("weather received {}", weather.recv()?.body().escape_ascii());
    }
    for _ in 0..3 {
        println!(
            "everything received {}",
            everything.recv()?.body().escape_ascii()
        );
    }
    // The last message was for both, so nothing else can be on its way.
    assert_eq!(weather.try_recv(), Err(Error::WouldBlock));
    println!("weather was spared the sports");
    Ok(())
}
