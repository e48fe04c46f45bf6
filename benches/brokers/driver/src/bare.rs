//! wirebird's protocol written by hand, as the other brokers' are: pair 1, binary messages, prepared once.

use std::thread;
use std::time::{Duration, Instant};

use wirebird::broker::{Client, Encoding, Message, MessageType, QueueType, Status, encode};

use crate::client::{CAPACITY, QUEUE};
use crate::fan::Fanned;
use crate::load::{Figures, Work};
use crate::stream::Stream;
use crate::{Args, Result};

const TOPIC: &str = "bench";
/// What pair 1 has before each message: one hop.
const HOPS: [u8; 4] = [0, 0, 0, 1];

/// A connection that has shaken hands.
pub fn connect(address: &str, read_ahead: usize) -> Result<Stream> {
    let mut stream = Stream::connect(address, read_ahead)?;
    let hello = [0, b'S', b'P', 0, 0, 0x11, 0, 0];
    stream.send(&hello)?;
    if stream.bytes()? != hello {
        return Err("no SP peer".into());
    }
    Ok(stream)
}

/// Appends a message. Its number goes into its id, which tells it from others that are under way.
fn frame(message: &Message, number: u32, ipc: bool, to: &mut Vec<u8>) {
    /// Where the last four bytes of the id are.
    const ID_END: std::ops::Range<usize> = 16..20;
    let mut bytes = encode(message, Encoding::Binary).to_vec();
    bytes[ID_END].copy_from_slice(&number.to_be_bytes());
    if ipc {
        to.push(1);
    }
    to.extend_from_slice(&((HOPS.len() + bytes.len()) as u64).to_be_bytes());
    to.extend_from_slice(&HOPS);
    to.extend_from_slice(&bytes);
}

/// Reads over a message and returns its status.
fn take(stream: &mut Stream) -> Result<u8> {
    if stream.is_unix() {
        stream.bytes::<1>()?;
    }
    let length = usize::try_from(u64::from_be_bytes(stream.bytes()?))?;
    let [_, _, _, _, _, _, _, status] = stream.bytes()?;
    stream.skip(length.saturating_sub(8))?;
    Ok(status)
}

/// An answer that has to be OK.
fn answered(stream: &mut Stream) -> Result<()> {
    match take(stream)? {
        0 => Ok(()),
        status => Err(format!("the broker answers with status {status}").into()),
    }
}

/// Asks for something that every broker answers, so that a session is there.
pub fn greet(stream: &mut Stream) -> Result<()> {
    let greeting = Message::plain_text(None, "", "")?.addressed_to(MessageType::Heartbeat, None)?;
    let mut bytes = Vec::new();
    frame(&greeting, 0, stream.is_unix(), &mut bytes);
    stream.send(&bytes)?;
    answered(stream)
}

/// Offers many messages to a durable queue that is there, each in a request of its own.
pub fn fill(args: &Args) -> Result<Figures> {
    // What is said when the disk does not keep up.
    let retry_later = Status::RetryLater.code();
    let mut stream = connect(&args.address, 64 << 10)?;
    let offer = Message::binary(None, "", "application/octet-stream", args.body())?
        .addressed_to(MessageType::Offer, QUEUE)?
        .with_timeout(0)?
        .with_durable(true);
    let begun = Instant::now();
    let mut left = args.count;
    while left > 0 {
        let window = left.min(args.window as u64);
        let mut offers = Vec::new();
        for number in 0..u32::try_from(window)? {
            frame(&offer, number, stream.is_unix(), &mut offers);
        }
        stream.send(&offers)?;
        let mut refused = 0;
        for _ in 0..window {
            match take(&mut stream)? {
                0 => left -= 1,
                status if status == retry_later => refused += 1,
                status => return Err(format!("the broker answers with status {status}").into()),
            }
        }
        if refused > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(Figures {
        operations: args.count,
        all: args.count,
        time: begun.elapsed(),
        times: Vec::new(),
    })
}

/// A window of offers and then a window of polls, as redis-benchmark does.
pub struct Queue {
    stream: Stream,
    offers: Vec<u8>,
    polls: Vec<u8>,
    window: usize,
}

impl Queue {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        Client::connect(&args.address)?.create_queue(QUEUE, CAPACITY, QueueType::Bounded)?;
        let stream = connect(&args.address, 64 << 10)?;
        let offer = Message::binary(None, "", "application/octet-stream", args.body())?
            .addressed_to(MessageType::Offer, QUEUE)?
            .with_timeout(0)?;
        let poll = Message::plain_text(None, "", "")?
            .addressed_to(MessageType::Poll, QUEUE)?
            .with_timeout(0)?;
        let (mut offers, mut polls) = (Vec::new(), Vec::new());
        for number in 0..u32::try_from(args.window)? {
            frame(&offer, 2 * number, stream.is_unix(), &mut offers);
            frame(&poll, 2 * number + 1, stream.is_unix(), &mut polls);
        }
        Ok(Self {
            stream,
            offers,
            polls,
            window: args.window,
        })
    }
}

impl Work for Queue {
    fn round(&mut self) -> Result<u64> {
        for requests in [&self.offers, &self.polls] {
            self.stream.send(requests)?;
            for _ in 0..self.window {
                answered(&mut self.stream)?;
            }
        }
        Ok(self.window as u64)
    }
}

/// Publications that are not answered.
pub struct Fan {
    stream: Stream,
}

impl Fanned for Fan {
    fn publisher(args: &Args) -> Result<Self> {
        Client::connect(&args.address)?.create_topic(TOPIC)?;
        let stream = connect(&args.address, 64 << 10)?;
        Ok(Self { stream })
    }

    fn subscriber(args: &Args) -> Result<Self> {
        let mut stream = connect(&args.address, 64 << 10)?;
        let ask = Message::plain_text(None, "", "")?.addressed_to(MessageType::Subscribe, TOPIC)?;
        let mut bytes = Vec::new();
        frame(&ask, 0, stream.is_unix(), &mut bytes);
        stream.send(&bytes)?;
        answered(&mut stream)?;
        Ok(Self { stream })
    }

    fn publication(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        let message = Message::binary(None, "", "application/octet-stream", body)?
            .addressed_to(MessageType::Publish, TOPIC)?
            .with_oneway(true);
        let mut bytes = Vec::new();
        frame(&message, 0, self.stream.is_unix(), &mut bytes);
        Ok(bytes)
    }

    fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    fn take(&mut self) -> Result<()> {
        take(&mut self.stream).map(drop)
    }
}
