//! The crate zeromq, on tokio's runtime.

mod common;

use bytes::Bytes;
use common::{Kind, Peer, fail, run};
use tokio::runtime::Runtime;
use zeromq::{
    PullSocket, PushSocket, RepSocket, ReqSocket, Socket, SocketRecv, SocketSend, ZmqError,
    ZmqMessage,
};

enum Any {
    Push(PushSocket),
    Pull(PullSocket),
    Req(ReqSocket),
    Rep(RepSocket),
}

struct Zeromq {
    runtime: Runtime,
    socket: Any,
}

fn or_fail<T>(what: &str, result: Result<T, ZmqError>) -> T {
    result.unwrap_or_else(|error| fail(&format!("{what}: {error}")))
}

impl Peer for Zeromq {
    fn open(kind: Kind) -> Self {
        let socket = match kind {
            Kind::Push => Any::Push(PushSocket::new()),
            Kind::Pull => Any::Pull(PullSocket::new()),
            Kind::Req => Any::Req(ReqSocket::new()),
            Kind::Rep => Any::Rep(RepSocket::new()),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| fail(&format!("runtime: {error}")));
        Self { runtime, socket }
    }

    fn listen(&mut self, url: &str) {
        let bound = self.runtime.block_on(async {
            match &mut self.socket {
                Any::Push(socket) => socket.bind(url).await,
                Any::Pull(socket) => socket.bind(url).await,
                Any::Req(socket) => socket.bind(url).await,
                Any::Rep(socket) => socket.bind(url).await,
            }
        });
        or_fail("listen", bound);
    }

    fn dial(&mut self, url: &str) {
        let dialled = self.runtime.block_on(async {
            match &mut self.socket {
                Any::Push(socket) => socket.connect(url).await,
                Any::Pull(socket) => socket.connect(url).await,
                Any::Req(socket) => socket.connect(url).await,
                Any::Rep(socket) => socket.connect(url).await,
            }
        });
        or_fail("dial", dialled);
    }

    fn send(&mut self, body: Bytes) {
        let message = ZmqMessage::from(body);
        let sent = self.runtime.block_on(async {
            match &mut self.socket {
                Any::Push(socket) => socket.send(message).await,
                Any::Req(socket) => socket.send(message).await,
                Any::Rep(socket) => socket.send(message).await,
                Any::Pull(_) => fail("pull cannot send"),
            }
        });
        or_fail("send", sent);
    }

    fn recv(&mut self) -> Bytes {
        let received = self.runtime.block_on(async {
            match &mut self.socket {
                Any::Pull(socket) => socket.recv().await,
                Any::Req(socket) => socket.recv().await,
                Any::Rep(socket) => socket.recv().await,
                Any::Push(_) => fail("push cannot receive"),
            }
        });
        or_fail("receive", received)
            .get(0)
            .cloned()
            .unwrap_or_default()
    }
}

fn main() {
    run::<Zeromq>();
}
