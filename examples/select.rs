//! One task that waits on several sockets at once, and for the time: whatever comes first is handled.
//!
//! ```sh
//! cargo run --example select [URL]
//! ```
//!
//! The URL is where orders come in.

use std::env;
use std::time::Duration;

use tokio::time::timeout;
use wirebird::{Error, Pull, Push, Rep, Req, Result};

/// After how long without anything the desk takes a look around.
const IDLE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let (orders, questions) = (Pull::new()?, Rep::new()?);
    let counter = orders.listen(&url)?.url();
    let window = questions.listen("inproc://select-questions")?.url();
    println!("orders are taken at {counter}");
    let desk = tokio::spawn(desk(orders, questions));

    let (customer, visitor) = (Push::new()?, Req::new()?);
    customer.dial_async(&counter).await?;
    visitor.dial_async(&window).await?;
    for order in ["tea", "coffee"] {
        customer.send_async(order).await?;
    }
    let answer = visitor.request("are you open?").await?;
    println!("answer: {}", answer.body().escape_ascii());

    // A question that nobody answers in time is given up.
    let unheard = Req::new()?.request("hello?").timeout(4 * IDLE).await;
    println!("nobody answered: {}", unheard == Err(Error::TimedOut));
    // An empty order is the last one.
    customer.send_async("").await?;
    let taken = desk.await.expect("the desk does not panic")?;
    println!("{taken} orders were taken");
    Ok(())
}

/// Takes orders and answers questions until the last one. Returns how many orders there were.
///
/// `select!` drops the future that was not first, and `timeout` both. They are safe to drop: what comes for them is
/// there in the next round.
async fn desk(orders: Pull, questions: Rep) -> Result<u32> {
    let mut taken = 0;
    loop {
        let round = async {
            tokio::select! {
                order = orders.recv_async() => Ok::<_, Error>(Some(order?)),
                question = questions.accept() => {
                    question?.reply("yes").await?;
                    Ok(None)
                }
            }
        };
        let Ok(round) = timeout(IDLE, round).await else {
            println!("nobody came for a while");
            continue;
        };
        match round? {
            Some(order) if order.is_empty() => return Ok(taken),
            Some(order) => {
                println!("taken: {}", order.body().escape_ascii());
                taken += 1;
            }
            None => {}
        }
    }
}
