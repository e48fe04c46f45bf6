//! The crate omq-tokio, through its blocking sockets.

mod common;

use bytes::Bytes;
use common::{Kind, Peer, fail, run};
use omq_tokio::{Context, Message, Options, SocketType, blocking};

struct Omq(blocking::Socket);

impl Peer for Omq {
    fn open(kind: Kind) -> Self {
        let kind = match kind {
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Req => SocketType::Req,
            Kind::Rep => SocketType::Rep,
        };
        Self(Context::new().blocking_socket(kind, Options::default()))
    }

    fn listen(&mut self, url: &str) {
        if let Err(error) = self.0.bind(url) {
            fail(&format!("listen: {error}"));
        }
    }

    fn dial(&mut self, url: &str) {
        if let Err(error) = self.0.connect(url) {
            fail(&format!("dial: {error}"));
        }
    }

    fn send(&mut self, body: Bytes) {
        if let Err(error) = self.0.send(Message::single(body)) {
            fail(&format!("send: {error}"));
        }
    }

    fn recv(&mut self) -> Bytes {
        match self.0.recv() {
            Ok(message) => message.part_bytes(0).unwrap_or_default(),
            Err(error) => fail(&format!("receive: {error}")),
        }
    }
}

fn main() {
    run::<Omq>();
}
