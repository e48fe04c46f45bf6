//! Hand-over: sockets on descriptors that somebody else has connected, as a parent process or a proxy does.
//!
//! ```sh
//! cargo run --example handover [URL]
//! ```
//!
//! The URL is the listener's and can only be `socket://`.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use wirebird::{Error, Rep, Req, Result};

fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "socket://".into());
    let rep = Rep::new()?;
    let listener = rep.listener(&url)?;
    listener.start()?;

    // A pair of connected sockets. Handing one end to the listener does not wait for the other.
    let (ours, theirs) = UnixStream::pair().map_err(Error::from)?;
    listener.hand_over(theirs)?;
    ask(ours, &rep)?;

    // The same over tcp: the program connected and accepted by itself.
    let server = TcpListener::bind("127.0.0.1:0").map_err(Error::from)?;
    let address = server.local_addr().map_err(Error::from)?;
    let ours = TcpStream::connect(address).map_err(Error::from)?;
    let (theirs, _) = server.accept().map_err(Error::from)?;
    listener.hand_over(theirs)?;
    ask(ours, &rep)?;

    println!("{} connections were handed over", rep.stats().added);
    Ok(())
}

/// Sends a request through a descriptor and answers it.
fn ask(stream: impl Into<std::os::fd::OwnedFd>, rep: &Rep) -> Result<()> {
    let req = Req::new()?;
    // Waits until both sides have said which protocol they speak.
    let pipe = req.adopt(stream)?;
    req.wait_for_peers(1, Duration::from_secs(10))?;
    if let Some(peer) = pipe.info().and_then(|info| info.credentials) {
        println!("the peer has user number {}", peer.uid);
    }
    req.send("who are you?")?;
    println!("asked {}", rep.recv()?.body().escape_ascii());
    rep.send("the one you were given")?;
    println!("answered {}", req.recv()?.body().escape_ascii());
    Ok(())
}
