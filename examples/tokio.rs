//! Requests under tokio: tasks of one program ask at the same time, on one socket, and a server answers out of order.
//!
//! ```sh
//! cargo run --example tokio [URL]
//! ```

use std::env;
use std::time::Duration;

use tokio::task::JoinSet;
use wirebird::{Rep, Req, Request, Result};

const TASKS: u64 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let rep = Rep::new()?;
    let listener = rep.listen(&url)?;
    println!("the server is at {}", listener.url());
    let server = tokio::spawn(serve(rep));

    let req = Req::new()?;
    req.dial_async(&listener.url()).await?;
    let mut asking = JoinSet::new();
    for number in 1..=TASKS {
        // Each request has its own reply; a limit of its own is set with `timeout`.
        let request = req.request(number.to_be_bytes());
        asking.spawn(request.timeout(Duration::from_secs(10)));
    }
    let mut sum = 0;
    while let Some(reply) = asking.join_next().await {
        let square = reply.expect("a task does not panic")?.trim_u64()?;
        println!("a square is {square}");
        sum += square;
    }
    println!("the squares of 1 to {TASKS} add up to {sum}");
    // Dropping the socket would block until everything is delivered; a task awaits that instead.
    req.close_async().await?;
    let served = server.await.expect("the server does not panic")?;
    println!("{served} requests were served");
    Ok(())
}

/// Collects all requests, and answers the last one first.
async fn serve(rep: Rep) -> Result<usize> {
    let mut open = Vec::new();
    for _ in 0..TASKS {
        open.push(rep.accept().await?);
    }
    let served = open.len();
    while let Some(request) = open.pop() {
        square(request).await?;
    }
    rep.close_async().await?;
    Ok(served)
}

async fn square(mut request: Request) -> Result<()> {
    let mut message = request.take_message();
    let number = message.trim_u64()?;
    message.append_u64(number * number);
    // The request is gone after this: nothing is answered twice.
    Ok(request.reply(message).await?)
}
