//! Contexts: many requests at once on one socket, served by many threads on another.
//!
//! ```sh
//! cargo run --example contexts [URL]
//! ```

use std::{env, thread};

use wirebird::pattern::Reply;
use wirebird::{Context, Error, Rep, Req, Result};

const WORKERS: usize = 3;
const CLIENTS: usize = 5;

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let rep = Rep::new()?;
    let listener = rep.listen(&url)?;
    println!("{WORKERS} workers serve {}", listener.url());
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let context = rep.context()?;
        workers.push(thread::spawn(move || serve(&context)));
    }

    let req = Req::new()?;
    req.dial(&listener.url())?;
    // Every context has a request of its own outstanding. They need no threads.
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let context = req.context()?;
        context.send(format!("request {number}"))?;
        clients.push(context);
    }
    // Replies may come in any order; each context gets its own.
    for context in clients.iter().rev() {
        let reply = context.recv()?;
        println!("got {}", reply.body().escape_ascii());
    }

    rep.close()?;
    let mut served = 0;
    for worker in workers {
        served += worker.join().expect("a worker does not panic")?;
    }
    println!("{served} requests were served");
    Ok(())
}

/// Answers requests until the socket is closed. Returns how many.
fn serve(context: &Context<Reply>) -> Result<usize> {
    for served in 0.. {
        let mut request = match context.recv() {
            Ok(request) => request,
            Err(Error::Closed) => return Ok(served),
            Err(error) => return Err(error),
        };
        request.insert(b"reply to ");
        context.send(request)?;
    }
    Ok(0)
}
