//! Request and reply: a server squares numbers, a client asks it.
//!
//! ```sh
//! cargo run --example reqrep [URL]
//! ```

use std::{env, thread};

use wirebird::{Error, Rep, Req, Result};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let rep = Rep::new()?;
    let listener = rep.listen(&url)?;
    println!("the server listens at {}", listener.url());
    let server = thread::spawn({
        let rep = rep.clone();
        move || serve(&rep)
    });

    let req = Req::new()?;
    req.dial(&listener.url())?;
    for number in [7_u64, 12, 100] {
        let request = number.to_be_bytes();
        req.send(&request[..])?;
        let square = req.recv()?.trim_u64()?;
        println!("the square of {number} is {square}");
    }

    // Closing wakes the server's receive, which then ends.
    rep.close()?;
    server.join().expect("the server does not panic")
}

/// Answers requests until the socket is closed.
fn serve(rep: &Rep) -> Result<()> {
    loop {
        let mut message = match rep.recv() {
            Ok(request) => request,
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        // A request that is too short gets an empty reply: every request is owed one.
        if let Ok(number) = message.trim_u64() {
            message.append_u64(number.wrapping_mul(number));
        }
        rep.send(message)?;
    }
}
