//! Device: a forwarder between clients and workers, so that both only need to know the forwarder.
//!
//! ```sh
//! cargo run --example device [URL]
//! ```
//!
//! The URL is where clients connect; workers connect in process.

use std::time::Duration;
use std::{env, thread};

use wirebird::{Error, RawKind, RawSocket, Rep, Req, Result, forward};

const WORKERS: usize = 2;

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    // Raw sockets keep no state: the way back of every reply is in its header.
    let front = RawSocket::new(RawKind::Rep)?;
    let back = RawSocket::new(RawKind::Req)?;
    let clients = front.listen(&url)?;
    let workers = back.listen("inproc://device-workers")?;
    println!("clients connect to {}", clients.url());
    let device = {
        let (front, back) = (front.clone(), back.clone());
        thread::spawn(move || forward(&front, &back))
    };

    let servers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let url = workers.url();
            thread::spawn(move || serve(&url))
        })
        .collect();
    back.wait_for_peers(WORKERS, Duration::from_secs(10))?;

    let req = Req::new()?;
    req.dial(&clients.url())?;
    // The raw request socket gives its workers turns.
    for number in 0..WORKERS {
        req.send(format!("job {number}"))?;
        println!("reply: {}", req.recv()?.body().escape_ascii());
    }
    for server in servers {
        server.join().expect("a worker does not panic")?;
    }
    front.close()?;
    let ended = device.join().expect("the device does not panic");
    assert_eq!(ended, Err(Error::Closed));
    println!("the device ended with its socket");
    Ok(())
}

/// Answers one request.
fn serve(url: &str) -> Result<()> {
    let rep = Rep::new()?;
    rep.dial(url)?;
    let mut request = rep.recv()?;
    request.append(b" is done");
    Ok(rep.send(request)?)
}
