//! The crate zeromq.

mod common;

use common::{Kind, Peer, fail, or_fail, run};
use zeromq::{
    DealerSocket, PullSocket, PushSocket, RepSocket, ReqSocket, Socket, SocketRecv, SocketSend,
    ZmqMessage,
};

enum Zeromq {
    Push(PushSocket),
    Pull(PullSocket),
    Req(ReqSocket),
    Rep(RepSocket),
    // The crate has no pair; with one peer a dealer does the same.
    Dealer(DealerSocket),
}

macro_rules! any {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Zeromq::Push($inner) => $call,
            Zeromq::Pull($inner) => $call,
            Zeromq::Req($inner) => $call,
            Zeromq::Rep($inner) => $call,
            Zeromq::Dealer($inner) => $call,
        }
    };
}

fn open(kind: Kind) -> Zeromq {
    match kind {
        Kind::Push => Zeromq::Push(PushSocket::new()),
        Kind::Pull => Zeromq::Pull(PullSocket::new()),
        Kind::Req => Zeromq::Req(ReqSocket::new()),
        Kind::Rep => Zeromq::Rep(RepSocket::new()),
        Kind::Pair => Zeromq::Dealer(DealerSocket::new()),
    }
}

impl Peer for Zeromq {
    type Message = ZmqMessage;

    async fn listen(kind: Kind, url: &str) -> Self {
        let mut socket = open(kind);
        or_fail("listen", any!(&mut socket, inner => inner.bind(url).await));
        socket
    }

    async fn dial(kind: Kind, url: &str) -> Self {
        let mut socket = open(kind);
        or_fail("dial", any!(&mut socket, inner => inner.connect(url).await));
        socket
    }

    async fn send(&mut self, message: ZmqMessage) {
        let sent = match self {
            Self::Push(socket) => socket.send(message).await,
            Self::Req(socket) => socket.send(message).await,
            Self::Rep(socket) => socket.send(message).await,
            Self::Dealer(socket) => socket.send(message).await,
            Self::Pull(_) => fail("pull cannot send"),
        };
        or_fail("send", sent);
    }

    async fn recv(&mut self) -> ZmqMessage {
        let received = match self {
            Self::Pull(socket) => socket.recv().await,
            Self::Req(socket) => socket.recv().await,
            Self::Rep(socket) => socket.recv().await,
            Self::Dealer(socket) => socket.recv().await,
            Self::Push(_) => fail("push cannot receive"),
        };
        or_fail("receive", received)
    }

    fn message(body: Vec<u8>) -> ZmqMessage {
        body.into()
    }

    fn body(message: &ZmqMessage) -> &[u8] {
        message.get(0).map_or(&[], |part| part)
    }
}

fn main() {
    run::<Zeromq>();
}
