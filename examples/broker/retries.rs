//! Time limits, repetitions, and requests that are done once although they come twice.
//!
//! cargo run --example broker_retries [URL]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use wirebird::broker::{
    Broker, Client, ClientOptions, Error, HandlerError, Message, Result, RetryPolicy, Status,
};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    let (wake, waiting) = channel::<()>();
    let waiting = Mutex::new(waiting);
    broker.create_function("slow", move |_| {
        // Until there is nobody who could say something.
        let _ = waiting.lock().map(|waiting| waiting.recv());
        Ok(None)
    })?;
    let calls = AtomicU32::new(0);
    broker.create_function("busy", move |request| {
        let call = 1 + calls.fetch_add(1, Ordering::Relaxed);
        if call < 3 {
            return Err(HandlerError::new(Status::RetryLater, "not yet"));
        }
        Ok(Some(request.reply(Status::Ok, format!("call {call}"))))
    })?;
    let balance = AtomicU32::new(0);
    broker.create_function("pay", move |request| {
        let amount: u32 = request.payload_text().unwrap_or_default().parse()?;
        let balance = amount + balance.fetch_add(amount, Ordering::Relaxed);
        Ok(Some(request.reply(Status::Ok, balance)))
    })?;
    let listener = broker.listen(url)?;

    // The pauses between attempts are random and grow, so that clients do not come back all at once.
    let policy = RetryPolicy::new().first_pause(Duration::from_millis(1));
    let options = ClientOptions::new().retry(policy);
    let client = Client::connect_with(&listener.url(), &options)?;

    let hasty = client.with_timeout(Duration::from_millis(50));
    let late = hasty.send("slow", Message::plain_text(None, "", "")?);
    assert_eq!(late, Err(Error::Socket(wirebird::Error::TimedOut)));
    println!("slow: the time was over");
    drop(wake);

    let answer = client.send("busy", Message::plain_text(None, "", "")?)?;
    println!("busy: {}", answer.payload_text().unwrap_or_default());

    // The policy's own repetitions are done once. So are those of a program that was started again, if it says by which
    // request id it is to be recognised.
    for attempt in 1..=2 {
        let payment =
            Message::plain_text("invoice-7", "", 100)?.with_header("dedupe", "request-id")?;
        let answer = client.send("pay", payment)?;
        assert_eq!(answer.header("duplicate").is_some(), attempt == 2);
        println!("pay: {} in all", answer.payload_text().unwrap_or_default());
    }
    Ok(())
}
