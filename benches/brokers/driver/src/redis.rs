//! Redis' protocol.

use crate::load::Work;
use crate::stream::Stream;
use crate::{Args, Result};

const LIST: &str = "bench";

pub fn connect(address: &str, read_ahead: usize) -> Result<Stream> {
    let mut stream = Stream::connect(address, read_ahead)?;
    stream.send(b"*1\r\n$4\r\nPING\r\n")?;
    match stream.line()? {
        "+PONG" => Ok(stream),
        other => Err(format!("no Redis: {other}").into()),
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads over an answer, which may be neither an error nor nil.
fn answered(stream: &mut Stream) -> Result<()> {
    let line = stream.line()?;
    if line.starts_with(':') {
        return Ok(());
    }
    let length = line.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
    let length = length.ok_or_else(|| format!("Redis says {line}"))?;
    stream.skip(length + 2)
}

/// A window of LPUSH and then a window of RPOP.
pub struct Queue {
    stream: Stream,
    pushes: Vec<u8>,
    pops: Vec<u8>,
    window: usize,
}

impl Queue {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        let list = LIST.as_bytes();
        Ok(Self {
            stream: connect(&args.address, 64 << 10)?,
            pushes: command(&[b"LPUSH", list, &args.body()]).repeat(args.window),
            pops: command(&[b"RPOP", list]).repeat(args.window),
            window: args.window,
        })
    }
}

impl Work for Queue {
    fn round(&mut self) -> Result<u64> {
        for commands in [&self.pushes, &self.pops] {
            self.stream.send(commands)?;
            for _ in 0..self.window {
                answered(&mut self.stream)?;
            }
        }
        Ok(self.window as u64)
    }
}

/// One LPUSH at a time.
pub struct Durable {
    stream: Stream,
    push: Vec<u8>,
}

impl Durable {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        Ok(Self {
            stream: connect(&args.address, 64 << 10)?,
            push: command(&[b"LPUSH", LIST.as_bytes(), &args.body()]),
        })
    }
}

impl Work for Durable {
    fn round(&mut self) -> Result<u64> {
        self.stream.send(&self.push)?;
        answered(&mut self.stream)?;
        Ok(1)
    }
}
