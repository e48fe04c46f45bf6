//! The protocols, as pairs of sockets.

use std::time::{Duration, Instant};

use wirebird::{
    Bus, Error, Message, Pair0, Pair1, PairPoly, Pub, Pull, Push, RawKind, RawSocket, Rep, Req,
    Respondent, SendError, SocketOptions, Sub, Surveyor,
};

use crate::common::{Node, SOON, block_on, insist};

/// How two sockets talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The first sends, the second receives.
    OneWay,
    /// Both send whenever they like.
    BothWays,
    /// The first asks, the second answers.
    Asking,
}

/// Which form of an operation is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Blocking,
    Trying,
    Awaiting,
}

/// A protocol.
pub(crate) struct Row {
    pub(crate) shape: Shape,
    /// Nothing is dropped when the receiver is slow: the sender waits.
    pub(crate) waits: bool,
    /// Sending waits for the first peer.
    pub(crate) needs_peer: bool,
    /// Receiving is illegal until something was asked.
    pub(crate) strict: bool,
    pub(crate) make: fn(&SocketOptions) -> Sockets,
    /// What a raw sender has to put in the header.
    pub(crate) header: &'static [u8],
}

pub(crate) type Sockets = (Box<dyn Node>, Box<dyn Node>);

const HOP: &[u8] = &[0, 0, 0, 1];
const REQUEST: &[u8] = &[0x80, 0, 0, 1];

fn row(shape: Shape, make: fn(&SocketOptions) -> Sockets) -> Row {
    Row {
        shape,
        waits: true,
        needs_peer: true,
        strict: false,
        make,
        header: &[],
    }
}

macro_rules! sockets {
    ($one:ident $other:ident) => {
        |options| {
            let one = $one::with_options(options).expect("a socket");
            let other = $other::with_options(options).expect("a socket");
            (Box::new(one), Box::new(other))
        }
    };
    (raw $one:ident $other:ident) => {
        |options| {
            let raw = |kind| RawSocket::with_options(kind, options).expect("a socket");
            (Box::new(raw(RawKind::$one)), Box::new(raw(RawKind::$other)))
        }
    };
}

pub(crate) fn pair0() -> Row {
    row(Shape::BothWays, sockets!(Pair0 Pair0))
}

pub(crate) fn pair1() -> Row {
    row(Shape::BothWays, sockets!(Pair1 Pair1))
}

pub(crate) fn poly() -> Row {
    Row {
        waits: false,
        ..row(Shape::BothWays, sockets!(PairPoly Pair1))
    }
}

pub(crate) fn reqrep() -> Row {
    Row {
        strict: true,
        ..row(Shape::Asking, sockets!(Req Rep))
    }
}

pub(crate) fn pubsub() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        ..row(Shape::OneWay, |options| {
            let sub = Sub::with_options(options).expect("a socket");
            sub.subscribe("").expect("subscribes");
            let publisher = Pub::with_options(options).expect("a socket");
            (Box::new(publisher), Box::new(sub))
        })
    }
}

pub(crate) fn pipeline() -> Row {
    row(Shape::OneWay, sockets!(Push Pull))
}

pub(crate) fn survey() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        strict: true,
        ..row(Shape::Asking, |options| {
            let patient = options.clone().survey_time(SOON);
            let surveyor = Surveyor::with_options(&patient).expect("a socket");
            let respondent = Respondent::with_options(options).expect("a socket");
            (Box::new(surveyor), Box::new(respondent))
        })
    }
}

pub(crate) fn bus() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        ..row(Shape::BothWays, sockets!(Bus Bus))
    }
}

pub(crate) fn raw_pair0() -> Row {
    row(Shape::BothWays, sockets!(raw Pair0 Pair0))
}

pub(crate) fn raw_pair1() -> Row {
    Row {
        header: HOP,
        ..row(Shape::BothWays, sockets!(raw Pair1 Pair1))
    }
}

pub(crate) fn raw_reqrep() -> Row {
    Row {
        header: REQUEST,
        ..row(Shape::Asking, sockets!(raw Req Rep))
    }
}

pub(crate) fn raw_pubsub() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        ..row(Shape::OneWay, sockets!(raw Pub Sub))
    }
}

pub(crate) fn raw_pipeline() -> Row {
    row(Shape::OneWay, sockets!(raw Push Pull))
}

pub(crate) fn raw_survey() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        header: REQUEST,
        ..row(Shape::Asking, sockets!(raw Surveyor Respondent))
    }
}

pub(crate) fn raw_bus() -> Row {
    Row {
        waits: false,
        needs_peer: false,
        ..row(Shape::BothWays, sockets!(raw Bus Bus))
    }
}

impl Row {
    /// Two sockets that give up long before the test would hang.
    pub(crate) fn sockets(&self) -> Sockets {
        (self.make)(
            &SocketOptions::new()
                .send_timeout(SOON)
                .recv_timeout(SOON)
                .reconnect_min(Duration::from_millis(10)),
        )
    }

    pub(crate) fn message(&self, body: &[u8]) -> Message {
        let mut message = Message::from(body);
        message.header_append(self.header).expect("room");
        message
    }

    /// Whether the second socket of the row sends.
    pub(crate) fn answers(&self) -> bool {
        self.shape != Shape::OneWay
    }
}

impl Mode {
    #[track_caller]
    pub(crate) fn send(self, node: &dyn Node, message: Message) {
        let mut held = Some(message);
        let deadline = Instant::now() + SOON;
        while let Some(message) = held.take() {
            let sent = match self {
                Self::Blocking => node.send(message),
                Self::Trying => node.try_send(message),
                Self::Awaiting => block_on(node.send_async(message)),
            };
            match sent {
                Ok(()) => {}
                Err(SendError {
                    error: Error::WouldBlock,
                    message,
                }) if self == Self::Trying && Instant::now() < deadline => {
                    held = Some(*message);
                    std::thread::yield_now();
                }
                Err(failed) => panic!("cannot send: {failed}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn recv(self, node: &dyn Node) -> Message {
        let received = match self {
            Self::Blocking => node.recv(),
            Self::Trying => insist(|| node.try_recv()),
            Self::Awaiting => block_on(node.recv_async()),
        };
        received.expect("a message")
    }
}
