//! Scalability-protocol sockets that speak nng's wire formats.

mod address;
mod engine;
mod error;
mod message;
mod options;
mod protocols;
mod sys;
mod transports;
pub mod url;
mod wire;

pub use address::{Address, Credentials};
pub use error::{BadOption, BadUrl, Blame, Error, Result, SendError};
pub use message::{Message, PipeId};
pub use options::{EndpointOptions, Keepalive, SocketOptions};
pub use protocols::ProtocolInfo;
