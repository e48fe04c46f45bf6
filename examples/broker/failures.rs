//! Functions that fail, or are not there: what the client that called them gets.
//!
//! cargo run --example broker_failures [URL]

use wirebird::broker::{Broker, Client, HandlerError, Message, Result, Status};

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    broker.create_function("half", |request| {
        let number: i64 = request.payload_text().unwrap_or_default().parse()?;
        if number % 2 != 0 {
            return Err(HandlerError::new(
                Status::BadRequest,
                format!("{number} is odd"),
            ));
        }
        let half = Message::plain_text(request.request_id(), request.subject(), number / 2)?;
        Ok(Some(half))
    })?;
    let listener = broker.listen(url)?;

    let client = Client::connect(&listener.url())?;
    let call = |function: &str, text: &str| {
        let message = Message::plain_text(None, "", text)?;
        match client.send(function, message) {
            Ok(answer) => println!(
                "{function} {text} is {}",
                answer.payload_text().unwrap_or_default()
            ),
            Err(error) => println!("{function} {text} failed: {error}"),
        }
        Result::Ok(())
    };
    call("echo", "hello")?;
    call("half", "42")?;
    call("half", "7")?;
    call("half", "many")?;
    call("quarter", "8")
}
