//! A work queue: workers take jobs, and put each result into the queue that the job names.
//!
//! cargo run --example broker_work [URL]

use std::thread;
use std::time::Duration;

use wirebird::broker::{Broker, Client, Message, QueueType, Result};

/// Longer than any job takes.
const LONG: Duration = Duration::from_secs(10);

/// Does jobs until one says to stop. A worker that dies gives its job back when the lease is over.
fn work(client: &Client) -> Result<()> {
    loop {
        let leased = client.poll_leased("jobs", LONG, LONG)?;
        let job = leased.message();
        let Some(reply_to) = job.reply_to() else {
            return leased.ack().map(drop);
        };
        let text = job.payload_text().unwrap_or_default();
        let number: u64 = text.parse().unwrap_or(0);
        let result = Message::plain_text(job.request_id(), "square", number * number)?;
        client.offer(reply_to, result, LONG)?;
        leased.ack()?;
    }
}

fn main() -> Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let broker = Broker::new()?;
    broker.create_queue("jobs", 100, QueueType::Bounded)?;
    let url = broker.listen(url)?.url();

    let workers: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || work(&Client::connect(&url)?))
        })
        .collect();

    let client = Client::connect(&url)?;
    let results = client.create_temporary_queue(100)?;
    for number in 1..=10 {
        let job = Message::plain_text(&*format!("job-{number}"), "", number)?;
        client.offer_with_reply_to("jobs", &results, job, LONG)?;
    }
    let mut sum = 0;
    for _ in 1..=10 {
        let result = client.poll(&results, LONG)?;
        sum += result
            .payload_text()
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0);
    }
    println!("the squares of 1 to 10 add up to {sum}");

    for _ in &workers {
        client.offer("jobs", Message::plain_text(None, "stop", "")?, LONG)?;
    }
    for worker in workers {
        worker.join().expect("a worker does not panic")?;
    }
    println!("{} jobs are left", broker.queue_status("jobs").size);
    Ok(())
}
