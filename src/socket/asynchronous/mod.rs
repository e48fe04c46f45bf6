//! The operations of sockets and contexts as futures.
//!
//! They need no runtime: whoever completes an operation wakes the task, and deadlines are timers of the engine.

mod accept;
#[cfg(feature = "stream")]
mod incoming;
mod methods;
#[cfg(feature = "sink")]
mod outgoing;
mod recv;
mod request;
mod send;
mod survey;

pub use accept::{AcceptFuture, ReplyFuture, Request};
#[cfg(feature = "stream")]
pub use incoming::Incoming;
pub(super) use methods::{common_async, receiving_async, sending_async, streaming};
#[cfg(feature = "sink")]
pub use outgoing::Outgoing;
pub use recv::RecvFuture;
pub use request::RequestFuture;
pub use send::SendFuture;
pub use survey::{AnswerFuture, AnswerIter, Answers};
