//! The functions of the program that the broker is in.

use std::fmt;
use std::sync::Arc;

use super::error::{Error, Result};
use super::message::{Message, Status};
use super::router::Handler;
use super::server::Broker;

/// Calls of one function that may run or wait at once, unless it is told.
const MOST: usize = 1000;

impl Broker {
    /// Makes a function: what clients send to it is given to the handler, on one of the broker's handler threads, and
    /// what that returns goes back. Returns whether it is new; an existing one stays.
    ///
    /// The handler may return the request itself, another message, or `None` for an answer without content; a
    /// [`HandlerError`] becomes the status and text of the answer. If it panics, the answer is
    /// [`HandlerError`](super::Status::HandlerError), and the broker goes on. 1,000 calls may run or wait for a thread at
    /// once; [`create_limited_function`](Self::create_limited_function) takes another number.
    ///
    /// ```
    /// use wirebird::broker::{Broker, Client, Message};
    ///
    /// let broker = Broker::new()?;
    /// broker.create_function("upper", |request| {
    ///     let text = request.payload_text().unwrap_or_default().to_uppercase();
    ///     let answer = Message::plain_text(request.request_id(), request.subject(), text);
    ///     answer.map(Some).map_err(Into::into)
    /// })?;
    /// let listener = broker.listen("inproc://doc-function")?;
    /// let client = Client::connect(&listener.url())?;
    /// let answer = client.send("upper", Message::plain_text("1", "", "hello")?)?;
    /// assert_eq!(answer.payload_text().as_deref(), Some("HELLO"));
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`BadRequest`](super::Status::BadRequest) for an unusable name, and
    /// [`LimitReached`](super::Status::LimitReached).
    pub fn create_function<F>(&self, name: &str, handler: F) -> Result<bool>
    where
        F: Fn(&Message) -> std::result::Result<Option<Message>, HandlerError>
            + Send
            + Sync
            + 'static,
    {
        self.create_limited_function(name, MOST, handler)
    }

    /// Makes a function of which so many calls may run or wait at once, at least 1. A further call is answered with
    /// [`RetryLater`](super::Status::RetryLater). Else as [`create_function`](Self::create_function).
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption) for 0 calls, and as [`create_function`](Self::create_function).
    pub fn create_limited_function<F>(&self, name: &str, calls: usize, handler: F) -> Result<bool>
    where
        F: Fn(&Message) -> std::result::Result<Option<Message>, HandlerError>
            + Send
            + Sync
            + 'static,
    {
        if calls == 0 {
            return Err(crate::Error::bad_option("calls", 0, "1 or more").into());
        }
        let handler = Handler::Own(Arc::new(move |request: &Message| {
            handler(request).map_err(|error| (error.status, error.text))
        }));
        let created = self
            .shared
            .with(|router, _, _| router.create_function(name, handler, calls));
        created.map_err(|(status, text)| Error::refused(status, text))
    }

    /// Removes a function; calls that run are still answered. Returns whether there was one.
    pub fn remove_function(&self, name: &str) -> bool {
        self.shared
            .with(|router, _, _| router.remove_function(name))
    }

    /// Whether there is a function of this name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.shared.with(|router, _, _| router.has_function(name))
    }
}

/// What a handler fails with: the status and the text of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerError {
    /// The status; default [`HandlerError`](Status::HandlerError).
    pub status: Status,
    /// What went wrong, for the client to read.
    pub text: String,
}

impl HandlerError {
    /// An error with a status of its own.
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Any error becomes one with the status [`HandlerError`](Status::HandlerError).
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(Status::HandlerError, error.to_string())
    }
}
