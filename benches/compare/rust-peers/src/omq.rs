//! The crate omq-tokio, on the runtime of the program, and in bulk where it has calls for that.

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use common::{Kind, Peer, fail, or_fail, run};
use omq_tokio::{Context, Message, Options, Socket, SocketType, TrySendError};

/// As many as the crate's own benchmarks take at once.
const RECEIVED: usize = 128;
const SENT: usize = 64;

struct Omq {
    socket: Socket,
    /// Received, the next one last.
    received: Vec<Message>,
}

fn open(kind: Kind) -> Omq {
    let kind = match kind {
        Kind::Push => SocketType::Push,
        Kind::Pull => SocketType::Pull,
        Kind::Req => SocketType::Req,
        Kind::Rep => SocketType::Rep,
        Kind::Pair => SocketType::Pair,
    };
    Omq {
        socket: Context::current().socket(kind, Options::default()),
        received: Vec::new(),
    }
}

impl Peer for Omq {
    type Message = Message;

    async fn listen(kind: Kind, url: &str) -> Self {
        let omq = open(kind);
        or_fail("listen", omq.socket.bind(url).await);
        omq
    }

    async fn dial(kind: Kind, url: &str) -> Self {
        let omq = open(kind);
        or_fail("dial", omq.socket.connect(url).await);
        let connected = omq.socket.wait_connected(1, Duration::from_secs(5));
        or_fail("dial", connected.await);
        omq
    }

    // Trying first is how the crate's own benchmarks do it.
    async fn send(&mut self, message: Message) {
        match self.socket.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => or_fail("send", self.socket.send(message).await),
            Err(error) => fail(&format!("send: {error}")),
        }
    }

    async fn send_many(&mut self, message: &Message, count: u64) {
        let mut left = count;
        let mut batch = VecDeque::with_capacity(SENT);
        while left > 0 || !batch.is_empty() {
            while left > 0 && batch.len() < SENT {
                batch.push_back(message.clone());
                left -= 1;
            }
            match self.socket.try_send_many(&mut batch, SENT) {
                Ok(_) => {}
                Err(TrySendError::Full(first)) => or_fail("send", self.socket.send(first).await),
                Err(error) => fail(&format!("send: {error}")),
            }
        }
    }

    async fn recv(&mut self) -> Message {
        if self.received.is_empty() {
            let receiving = self.socket.recv_many_into(RECEIVED, &mut self.received);
            or_fail("receive", receiving.await);
            self.received.reverse();
        }
        self.received.pop().expect("at least one was received")
    }

    fn message(body: Vec<u8>) -> Message {
        Message::single(body)
    }

    fn body(message: &Message) -> &[u8] {
        message.get(0).unwrap_or_default()
    }
}

fn main() {
    run::<Omq>();
}
