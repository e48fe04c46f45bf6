//! How a request ended.

use super::codes::codes;

codes! {
    /// How a request ended. The codes from 30 on are wirebird's own.
    ///
    /// ```
    /// use wirebird::broker::{Category, Status};
    ///
    /// assert_eq!(Status::QueueFull.category(), Some(Category::Retryable));
    /// assert_eq!(Status::Ok.category(), None);
    /// assert_eq!(Status::from_name("queue_full"), Some(Status::QueueFull));
    /// ```
    pub enum Status {
        /// It was done.
        Ok = 0 "OK",
        /// The broker failed.
        ServerError = 1 "SERVER_ERROR",
        /// The function that was called failed.
        HandlerError = 2 "HANDLER_ERROR",
        /// The request is malformed, too large, or of a type that is not known.
        BadRequest = 3 "BAD_REQUEST",
        /// The sender is not logged in, or may not do this.
        NoPermission = 4 "NO_PERMISSION",
        /// There is no queue of this name.
        QueueNotFound = 10 "QUEUE_NOT_FOUND",
        /// Nothing came into the queue in time.
        QueueEmpty = 11 "QUEUE_EMPTY",
        /// No room came up in the queue in time.
        QueueFull = 12 "QUEUE_FULL",
        /// Waiting for the queue was cut short.
        QueueAccessInterrupted = 13 "QUEUE_ACCESS_INTERRUPTED",
        /// There is no topic of this name.
        TopicNotFound = 15 "TOPIC_NOT_FOUND",
        /// There is no function of this name.
        FunctionNotFound = 18 "FUNCTION_NOT_FOUND",
        /// The keys are agreed on.
        DiffieHellmanAck = 20 "DIFFIE_HELLMAN_ACK",
        /// The keys are refused.
        DiffieHellmanNak = 21 "DIFFIE_HELLMAN_NAK",
        /// What is to be created exists and is different.
        Conflict = 30 "CONFLICT",
        /// There are as many as the broker allows.
        LimitReached = 31 "LIMIT_REACHED",
        /// The sender asks too often.
        RateLimited = 32 "RATE_LIMITED",
        /// The broker is busy.
        RetryLater = 33 "RETRY_LATER",
        /// The time for the request was over before it was done.
        TimedOut = 34 "TIMED_OUT",
        /// The message is of a version that is not known.
        UnsupportedVersion = 36 "UNSUPPORTED_VERSION",
        /// The lease of the delivery is over, or is another's.
        Stale = 37 "STALE",
        /// Not determined yet: no answer, or none so far.
        Null = 99 "NULL",
    }
}

/// What to do about a request that failed; see [`Status::category`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// The same request may succeed later.
    Retryable,
    /// The same request will fail again.
    Permanent,
    /// Another sender, or the same one with other rights, may succeed.
    Auth,
    /// A limit stands in the way.
    Limit,
}

impl Status {
    /// What kind of failure it is; `None` for [`Ok`](Self::Ok), [`Null`](Self::Null) and
    /// [`DiffieHellmanAck`](Self::DiffieHellmanAck), which are no failures.
    #[must_use]
    pub fn category(self) -> Option<Category> {
        match self {
            Self::Ok | Self::Null | Self::DiffieHellmanAck => None,
            Self::QueueEmpty
            | Self::QueueFull
            | Self::QueueAccessInterrupted
            | Self::RetryLater
            | Self::TimedOut => Some(Category::Retryable),
            Self::NoPermission | Self::DiffieHellmanNak => Some(Category::Auth),
            Self::LimitReached | Self::RateLimited => Some(Category::Limit),
            Self::ServerError
            | Self::HandlerError
            | Self::BadRequest
            | Self::QueueNotFound
            | Self::TopicNotFound
            | Self::FunctionNotFound
            | Self::Conflict
            | Self::UnsupportedVersion
            | Self::Stale => Some(Category::Permanent),
        }
    }

    /// Whether the same request may succeed if it is made again later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self == Self::RateLimited || self.category() == Some(Category::Retryable)
    }
}
