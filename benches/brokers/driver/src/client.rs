//! wirebird's client, as programs use it.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use wirebird::broker::{Client, ClientOptions, Message, MessageType, QueueType};

use crate::load::Work;
use crate::{Args, Result};

pub const QUEUE: &str = "bench";
pub const CAPACITY: usize = 1_000_000;

fn connect(args: &Args) -> Result<Client> {
    let options = ClientOptions::new()
        .timeout(Duration::from_secs(15))
        .encrypt(args.encrypt);
    Ok(Client::connect_with(&args.address, &options)?)
}

fn message(args: &Args) -> Result<Message> {
    Ok(Message::binary(
        None,
        "",
        "application/octet-stream",
        args.body(),
    )?)
}

/// Requests that are answered with nothing, one at a time.
pub struct Requests {
    client: Client,
    request: Message,
}

impl Requests {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        Ok(Self {
            client: connect(args)?,
            request: message(args)?.addressed_to(MessageType::Test, None)?,
        })
    }
}

impl Work for Requests {
    fn round(&mut self) -> Result<u64> {
        let answer = self.client.request(self.request.clone())?;
        if !answer.is_ok() {
            return Err(answer.status().name().into());
        }
        Ok(1)
    }
}

/// Calls of a function that answers with nothing, one at a time.
pub struct Calls {
    client: Client,
    request: Message,
}

impl Calls {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        Ok(Self {
            client: connect(args)?,
            request: message(args)?,
        })
    }
}

impl Work for Calls {
    fn round(&mut self) -> Result<u64> {
        /// As in `servers.py`.
        const FUNCTION: &str = "bench";
        self.client.send(FUNCTION, self.request.clone())?;
        Ok(1)
    }
}

/// A window of offers in one request, and polls of as many.
pub struct Queue {
    client: Client,
    messages: Vec<Message>,
}

impl Queue {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        let client = connect(args)?;
        client.create_queue(QUEUE, CAPACITY, QueueType::Bounded)?;
        Ok(Self {
            client,
            messages: vec![message(args)?; args.window],
        })
    }
}

impl Work for Queue {
    fn round(&mut self) -> Result<u64> {
        let (queue, none) = (QUEUE, Duration::ZERO);
        self.client.offer_all(queue, &self.messages, none)?;
        let mut left = self.messages.len();
        while left > 0 {
            left -= self.client.poll_up_to(queue, left, none)?.len();
        }
        Ok(self.messages.len() as u64)
    }
}

/// A window of tasks, each of which offers and polls.
pub struct Tasks {
    client: Client,
    message: Message,
    window: usize,
    runtime: Runtime,
}

impl Tasks {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        let client = connect(args)?;
        client.create_queue(QUEUE, CAPACITY, QueueType::Bounded)?;
        Ok(Self {
            client,
            message: message(args)?,
            window: args.window,
            runtime: Builder::new_current_thread().build()?,
        })
    }
}

impl Work for Tasks {
    fn round(&mut self) -> Result<u64> {
        /// What a task does before the others are waited for.
        const TURNS: usize = 16;
        let window = self.window;
        let (client, message) = (&self.client, &self.message);
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..window)
                .map(|_| {
                    let (client, message) = (client.clone(), message.clone());
                    tokio::spawn(async move {
                        for _ in 0..TURNS {
                            let none = Duration::ZERO;
                            client.offer_async(QUEUE, message.clone(), none).await?;
                            client.poll_async(QUEUE, none).await?;
                        }
                        Ok::<_, wirebird::broker::Error>(())
                    })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            Ok((window * TURNS) as u64)
        })
    }
}

/// Offers to a durable queue that is there, one at a time.
pub struct Durable {
    client: Client,
    message: Message,
}

impl Durable {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        Ok(Self {
            client: connect(args)?,
            message: message(args)?.with_durable(true),
        })
    }
}

impl Work for Durable {
    fn round(&mut self) -> Result<u64> {
        self.client
            .offer(QUEUE, self.message.clone(), Duration::ZERO)?;
        Ok(1)
    }
}
