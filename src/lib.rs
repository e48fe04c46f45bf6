//! Scalability-protocol sockets that speak nng's wire formats.

mod error;
mod message;
mod protocols;
mod url;
mod wire;

pub use error::{BadOption, BadUrl, Blame, Error, Result, SendError};
pub use message::{Message, PipeId};
pub use protocols::ProtocolInfo;
pub use url::{Family, Host, Transport, Url};
