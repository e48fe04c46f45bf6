//! wirebird's async forms.

mod common;

use common::{Kind, Peer, fail, or_fail, run};
use wirebird::{Message, Pair1, Pull, Push, Rep, Req};

enum Wirebird {
    Push(Push),
    Pull(Pull),
    Req(Req),
    Rep(Rep),
    Pair(Pair1),
}

macro_rules! any {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Wirebird::Push($inner) => $call,
            Wirebird::Pull($inner) => $call,
            Wirebird::Req($inner) => $call,
            Wirebird::Rep($inner) => $call,
            Wirebird::Pair($inner) => $call,
        }
    };
}

fn open(kind: Kind) -> Wirebird {
    let opened = match kind {
        Kind::Push => Push::new().map(Wirebird::Push),
        Kind::Pull => Pull::new().map(Wirebird::Pull),
        Kind::Req => Req::new().map(Wirebird::Req),
        Kind::Rep => Rep::new().map(Wirebird::Rep),
        Kind::Pair => Pair1::new().map(Wirebird::Pair),
    };
    or_fail("open", opened)
}

impl Peer for Wirebird {
    type Message = Message;

    async fn listen(kind: Kind, url: &str) -> Self {
        let socket = open(kind);
        or_fail("listen", any!(&socket, inner => inner.listen(url)));
        socket
    }

    async fn dial(kind: Kind, url: &str) -> Self {
        let socket = open(kind);
        or_fail("dial", any!(&socket, inner => inner.dial_async(url).await));
        socket
    }

    async fn send(&mut self, message: Message) {
        let sent = match self {
            Self::Push(socket) => socket.send_async(message).await,
            Self::Req(socket) => socket.send_async(message).await,
            Self::Rep(socket) => socket.send_async(message).await,
            Self::Pair(socket) => socket.send_async(message).await,
            Self::Pull(_) => fail("pull cannot send"),
        };
        or_fail("send", sent);
    }

    async fn recv(&mut self) -> Message {
        let received = match self {
            Self::Pull(socket) => socket.recv_async().await,
            Self::Req(socket) => socket.recv_async().await,
            Self::Rep(socket) => socket.recv_async().await,
            Self::Pair(socket) => socket.recv_async().await,
            Self::Push(_) => fail("push cannot receive"),
        };
        or_fail("receive", received)
    }

    fn message(body: Vec<u8>) -> Message {
        body.into()
    }

    fn body(message: &Message) -> &[u8] {
        message.body()
    }
}

fn main() {
    run::<Wirebird>();
}
