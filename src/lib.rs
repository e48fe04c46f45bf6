//! Scalability-protocol sockets that speak nng's wire formats.

mod address;
mod engine;
mod error;
mod message;
mod options;
mod protocols;
mod socket;
mod sys;
mod transports;
mod url;
mod wire;

pub use address::{Address, Credentials};
pub use engine::{DropStats, Event, Monitor, PipeInfo, PipeStats, SocketStats};
pub use error::{BadOption, BadUrl, Blame, Error, Result, SendError};
pub use message::{Message, PipeId};
pub use options::{EndpointOptions, Keepalive, SocketOptions};
pub use protocols::ProtocolInfo;
pub use socket::pattern;
pub use socket::{
    Bus, Context, Contexts, Dialer, Listener, Pair0, Pair1, PairPoly, Pattern, Pipe, Pub, Pull,
    Push, RawKind, RawSocket, Receives, Rep, Req, Respondent, Sends, Socket, Sub, Subscribes,
    Surveyor, forward, reflect,
};
pub use url::{Family, Host, Transport, Url};
