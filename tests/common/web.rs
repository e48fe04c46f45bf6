//! A WebSocket client made by hand, that may do what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::SOON;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONT: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A stream to the listener at a `ws://` URL.
pub(crate) fn connect(url: &str) -> TcpStream {
    let rest = url.strip_prefix("ws://").expect("a ws url");
    let authority = rest.split('/').next().expect("an authority");
    let stream = TcpStream::connect(authority).expect("connects");
    stream.set_read_timeout(Some(SOON)).expect("an option");
    stream
}

fn path(url: &str) -> &str {
    let rest = url.strip_prefix("ws://").expect("a ws url");
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// A request for a connection to a socket, with further lines.
pub(crate) fn request(path: &str, protocol: &str, more: &[&str]) -> String {
    let mut lines = vec![
        format!("GET {path} HTTP/1.1"),
        "Host: localhost".into(),
        "Upgrade: websocket".into(),
        "Connection: Upgrade".into(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".into(),
        "Sec-WebSocket-Version: 13".into(),
        format!("Sec-WebSocket-Protocol: {protocol}.sp.nanomsg.org"),
        "User-Agent: a test".into(),
    ];
    lines.extend(more.iter().map(|&line| line.to_owned()));
    lines.join("\r\n") + "\r\n\r\n"
}

/// The head of a response, without reading anything behind it.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a response");
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).expect("a response is text")
}

/// A client whose request was granted.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
}

impl Client {
    /// For a listener at `url` whose socket has this protocol.
    pub(crate) fn new(url: &str, protocol: &str) -> Self {
        Self::with(url, protocol, &[])
    }

    pub(crate) fn with(url: &str, protocol: &str, more: &[&str]) -> Self {
        Self::asking(url, &request(path(url), protocol, more))
    }

    /// One that does not say what program it is.
    pub(crate) fn terse(url: &str, protocol: &str) -> Self {
        let request = request(path(url), protocol, &[]);
        Self::asking(url, &request.replace("User-Agent: a test\r\n", ""))
    }

    fn asking(url: &str, request: &str) -> Self {
        let mut stream = connect(url);
        stream.write_all(request.as_bytes()).expect("writes");
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream, head }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("writes");
    }

    /// Sends a frame, masked as a client has to.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, true, payload));
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn recv(&mut self) -> (u8, Vec<u8>) {
        self.try_recv().expect("a frame")
    }

    /// The same, or `None` at the end.
    pub(crate) fn try_recv(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        match self.stream.read_exact(&mut start) {
            Ok(()) => {}
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ),
                    "no frame and no end: {error}"
                );
                return None;
            }
        }
        assert_eq!(start[1] & 0x80, 0, "servers do not mask");
        let mut extended = [0; 8];
        let len = match start[1] {
            126 => {
                self.stream.read_exact(&mut extended[6..]).expect("a frame");
                u64::from_be_bytes(extended)
            }
            127 => {
                self.stream.read_exact(&mut extended).expect("a frame");
                u64::from_be_bytes(extended)
            }
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).expect("a length")];
        self.stream.read_exact(&mut payload).expect("a frame");
        Some((start[0], payload))
    }

    /// The connection is closed with this code, and then ends.
    #[track_caller]
    pub(crate) fn is_closed_with(&mut self, code: u16) {
        loop {
            match self.try_recv() {
                Some((first, payload)) if first == FIN | CLOSE => {
                    assert_eq!(payload, code.to_be_bytes());
                    break;
                }
                Some(_) => {}
                None => panic!("the connection ends without a close frame"),
            }
        }
        assert_eq!(self.try_recv(), None);
    }

    pub(crate) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// A frame.
pub(crate) fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(mask | len as u8),
        len @ 126..65536 => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if masked {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend_from_slice(&key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}
