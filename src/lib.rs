//! Scalability-protocol sockets that speak nng's wire formats.

mod error;
mod message;
mod protocols;
mod sys;
mod url;
mod wire;

pub use error::{BadOption, BadUrl, Blame, Error, Result, SendError};
pub use message::{Message, PipeId};
pub use protocols::ProtocolInfo;
