//! The operations of sockets and contexts as futures.
//!
//! They need no runtime: whoever completes an operation wakes the task, and deadlines are timers of the engine.

mod accept;
mod methods;
mod recv;
mod request;
mod send;
mod survey;

pub use accept::{AcceptFuture, ReplyFuture, Request};
pub(super) use methods::{common_async, receiving_async, sending_async};
pub use recv::RecvFuture;
pub use request::RequestFuture;
pub use send::SendFuture;
pub use survey::{AnswerFuture, AnswerIter, Answers};
