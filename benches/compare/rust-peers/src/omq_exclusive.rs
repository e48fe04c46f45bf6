//! The crate omq-tokio with its exclusive sockets, which serve one peer over tcp without a task of their own.

mod common;

use common::{Kind, Peer, fail, or_fail, run};
use omq_tokio::exclusive::{Options, Socket};
use omq_tokio::{Message, SocketType};

struct Exclusive(Socket);

fn socket_type(kind: Kind) -> SocketType {
    match kind {
        Kind::Req => SocketType::Req,
        Kind::Rep => SocketType::Rep,
        Kind::Pair => SocketType::Pair,
        Kind::Push | Kind::Pull => fail("there are no exclusive push and pull"),
    }
}

impl Peer for Exclusive {
    type Message = Message;

    async fn listen(kind: Kind, url: &str) -> Self {
        let bound = Socket::bind(socket_type(kind), url, Options::default()).await;
        let (socket, _) = or_fail("listen", bound);
        Self(socket)
    }

    async fn dial(kind: Kind, url: &str) -> Self {
        let connected = Socket::connect(socket_type(kind), url, Options::default());
        Self(or_fail("dial", connected.await))
    }

    async fn send(&mut self, message: Message) {
        or_fail("send", self.0.send(&message).await);
    }

    async fn recv(&mut self) -> Message {
        or_fail("receive", self.0.recv().await)
    }

    fn message(body: Vec<u8>) -> Message {
        Message::single(body)
    }

    fn body(message: &Message) -> &[u8] {
        message.get(0).unwrap_or_default()
    }
}

fn main() {
    run::<Exclusive>();
}
