//! The text protocol of NATS.

use crate::fan::Fanned;
use crate::load::Work;
use crate::stream::Stream;
use crate::{Args, Result};

pub fn connect(address: &str, read_ahead: usize) -> Result<Stream> {
    let mut stream = Stream::connect(address, read_ahead)?;
    let info = stream.line()?;
    if !info.starts_with("INFO") {
        return Err(format!("no NATS: {info}").into());
    }
    stream.send(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
    settle(&mut stream)?;
    Ok(stream)
}

/// Waits until the server has done what it was told.
fn settle(stream: &mut Stream) -> Result<()> {
    stream.send(b"PING\r\n")?;
    loop {
        match stream.line()? {
            "PONG" => return Ok(()),
            "PING" => stream.send(b"PONG\r\n")?,
            line if line.starts_with("-ERR") => return Err(line.into()),
            _ => {}
        }
    }
}

fn subscribe(stream: &mut Stream, subject: &str, group: &str) -> Result<()> {
    stream.send(format!("SUB {subject} {group} 1\r\n").as_bytes())?;
    settle(stream)
}

fn publication(subject: &str, reply: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("PUB {subject} {reply} {}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n"].concat()
}

/// The length of the next message, which is up next.
fn head(stream: &mut Stream) -> Result<usize> {
    loop {
        let line = stream.line()?;
        if line == "PING" {
            stream.send(b"PONG\r\n")?;
            continue;
        }
        let length = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        return match length {
            Some(length) if line.starts_with("MSG ") => Ok(length),
            _ => Err(format!("NATS says {line}").into()),
        };
    }
}

/// Reads over a message.
fn take(stream: &mut Stream) -> Result<()> {
    let length = head(stream)?;
    stream.skip(length + 2)
}

/// A window of requests through the server to a second connection, and their empty replies back.
pub struct Requests {
    asking: Stream,
    serving: Stream,
    requests: Vec<u8>,
    replies: Vec<u8>,
    window: usize,
}

impl Requests {
    pub fn new(args: &Args, number: usize) -> Result<Self> {
        let (subject, inbox) = (format!("ask.{number}"), format!("inbox.{number}"));
        let mut asking = connect(&args.address, 64 << 10)?;
        let mut serving = connect(&args.address, 64 << 10)?;
        subscribe(&mut asking, &inbox, "")?;
        subscribe(&mut serving, &subject, "")?;
        Ok(Self {
            asking,
            serving,
            requests: publication(&subject, &inbox, &args.body()).repeat(args.window),
            replies: publication(&inbox, "", b"").repeat(args.window),
            window: args.window,
        })
    }
}

impl Work for Requests {
    fn round(&mut self) -> Result<u64> {
        self.asking.send(&self.requests)?;
        for _ in 0..self.window {
            take(&mut self.serving)?;
        }
        self.serving.send(&self.replies)?;
        for _ in 0..self.window {
            take(&mut self.asking)?;
        }
        Ok(self.window as u64)
    }
}

/// A window of messages to a queue group, whose one member gets them. Nothing is acknowledged.
pub struct Group {
    stream: Stream,
    messages: Vec<u8>,
    window: usize,
}

impl Group {
    pub fn new(args: &Args, number: usize) -> Result<Self> {
        let subject = format!("jobs.{number}");
        let mut stream = connect(&args.address, 64 << 10)?;
        subscribe(&mut stream, &subject, "workers")?;
        Ok(Self {
            stream,
            messages: publication(&subject, "", &args.body()).repeat(args.window),
            window: args.window,
        })
    }
}

impl Work for Group {
    fn round(&mut self) -> Result<u64> {
        self.stream.send(&self.messages)?;
        for _ in 0..self.window {
            take(&mut self.stream)?;
        }
        Ok(self.window as u64)
    }
}

/// The next message as text, which fails if it tells of an error.
fn acknowledged(stream: &mut Stream) -> Result<()> {
    head(stream)?;
    let text = stream.line()?;
    if text.contains("\"error\"") {
        return Err(format!("JetStream says {text}").into());
    }
    Ok(())
}

/// A stream of JetStream in files.
pub fn make_stream(args: &Args) -> Result<()> {
    let mut stream = connect(&args.address, 64 << 10)?;
    subscribe(&mut stream, "made", "")?;
    let config =
        br#"{"name":"BENCH","subjects":["durable.>"],"storage":"file","retention":"limits"}"#;
    stream.send(&publication("$JS.API.STREAM.CREATE.BENCH", "made", config))?;
    acknowledged(&mut stream)
}

/// One publication at a time, and its acknowledgement.
pub struct Durable {
    stream: Stream,
    message: Vec<u8>,
}

impl Durable {
    pub fn new(args: &Args, number: usize) -> Result<Self> {
        let inbox = format!("inbox.{number}");
        let mut stream = connect(&args.address, 64 << 10)?;
        subscribe(&mut stream, &inbox, "")?;
        let message = publication(&format!("durable.{number}"), &inbox, &args.body());
        Ok(Self { stream, message })
    }
}

impl Work for Durable {
    fn round(&mut self) -> Result<u64> {
        self.stream.send(&self.message)?;
        acknowledged(&mut self.stream)?;
        Ok(1)
    }
}

pub struct Fan {
    stream: Stream,
}

impl Fanned for Fan {
    fn publisher(args: &Args) -> Result<Self> {
        let stream = connect(&args.address, 64 << 10)?;
        Ok(Self { stream })
    }

    fn subscriber(args: &Args) -> Result<Self> {
        let mut stream = connect(&args.address, 64 << 10)?;
        subscribe(&mut stream, "news", "")?;
        Ok(Self { stream })
    }

    fn publication(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        Ok(publication("news", "", &body))
    }

    fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    fn take(&mut self) -> Result<()> {
        take(&mut self.stream)
    }
}
