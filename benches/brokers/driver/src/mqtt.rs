//! MQTT 3.1.1 with quality of service 0.

use crate::fan::Fanned;
use crate::stream::Stream;
use crate::{Args, Result};

const TOPIC: &[u8] = b"news";

/// A packet of this type and flags.
fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = content.len();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

/// Reads over a packet and returns its type.
fn take(stream: &mut Stream) -> Result<u8> {
    let [kind] = stream.bytes()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let [byte] = stream.bytes()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
        if shift > 21 {
            return Err("a packet of MQTT is too long".into());
        }
    }
    stream.skip(length)?;
    Ok(kind >> 4)
}

fn expect(stream: &mut Stream, kind: u8) -> Result<()> {
    match take(stream)? {
        taken if taken == kind => Ok(()),
        other => Err(format!("a packet of MQTT is of type {other} instead of {kind}").into()),
    }
}

pub fn connect(address: &str, read_ahead: usize) -> Result<Stream> {
    let mut stream = Stream::connect(address, read_ahead)?;
    // A clean session without keep-alive, whose id the broker chooses.
    let content = [&text(b"MQTT")[..], &[4, 2, 0, 0], &text(b"")].concat();
    stream.send(&packet(0x10, &content))?;
    expect(&mut stream, 2)?;
    Ok(stream)
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
        let content = [&[0, 1], &text(TOPIC)[..], &[0]].concat();
        stream.send(&packet(0x82, &content))?;
        expect(&mut stream, 9)?;
        Ok(Self { stream })
    }

    fn publication(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        Ok(packet(0x30, &[text(TOPIC), body].concat()))
    }

    fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    fn take(&mut self) -> Result<()> {
        expect(&mut self.stream, 3)
    }
}
