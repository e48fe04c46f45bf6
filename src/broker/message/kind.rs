//! What a message asks for.

use super::codes::codes;

codes! {
    /// What a message asks for, or that it is an answer.
    ///
    /// ```
    /// use wirebird::broker::MessageType;
    ///
    /// assert_eq!(MessageType::from_name("offer"), Some(MessageType::Offer));
    /// assert_eq!(MessageType::Offer.name(), "OFFER");
    /// assert_eq!(MessageType::Offer.code(), 20);
    /// ```
    pub enum MessageType {
        /// A call of a function; also what a topic's subscribers get.
        Request = 0 "REQUEST",
        /// To all subscribers of a topic.
        Publish = 10 "PUBLISH",
        /// The sender wants what is published on a topic, or on those that match a pattern.
        Subscribe = 11 "SUBSCRIBE",
        /// The sender no longer wants it.
        Unsubscribe = 12 "UNSUBSCRIBE",
        /// Into a queue.
        Offer = 20 "OFFER",
        /// Out of a queue.
        Poll = 21 "POLL",
        /// A leased message is done with.
        Ack = 22 "ACK",
        /// A leased message is not wanted.
        Nack = 23 "NACK",
        /// A lease is to last longer.
        Extend = 24 "EXTEND",
        /// Several messages into a queue: all of them or none.
        OfferAll = 25 "OFFER_ALL",
        /// As many messages out of a queue as there are, up to a number.
        PollUpTo = 26 "POLL_UP_TO",
        /// Several leased messages are done with.
        AckAll = 27 "ACK_ALL",
        /// Several leased messages are not wanted.
        NackAll = 28 "NACK_ALL",
        /// Makes a queue.
        CreateQueue = 30 "CREATE_QUEUE",
        /// Makes a queue that goes when the sender's connection does.
        CreateTempQueue = 31 "CREATE_TEMP_QUEUE",
        /// Removes a queue.
        RemoveQueue = 32 "REMOVE_QUEUE",
        /// Asks for a queue's kind and size.
        StatusQueue = 33 "STATUS_QUEUE",
        /// Asks for a queue's next messages, and leaves them there.
        PeekQueue = 34 "PEEK_QUEUE",
        /// Throws away what a queue holds.
        PurgeQueue = 35 "PURGE_QUEUE",
        /// Makes a topic.
        CreateTopic = 36 "CREATE_TOPIC",
        /// Removes a topic.
        RemoveTopic = 37 "REMOVE_TOPIC",
        /// Asks whether a topic exists.
        StatusTopic = 38 "STATUS_TOPIC",
        /// Asks for the names of all queues.
        ListQueues = 39 "LIST_QUEUES",
        /// Asks for the broker's limits and what it demands of clients.
        ClientConfig = 40 "CLIENT_CONFIG",
        /// Asks for the names of all topics.
        ListTopics = 41 "LIST_TOPICS",
        /// Makes a function.
        CreateFunction = 43 "CREATE_FUNCTION",
        /// Removes a function.
        RemoveFunction = 44 "REMOVE_FUNCTION",
        /// Asks whether a function exists.
        StatusFunction = 45 "STATUS_FUNCTION",
        /// Moves dead letters back to where they came from.
        RedriveQueue = 46 "REDRIVE_QUEUE",
        /// Asks for the broker's statistics.
        ServerStatus = 50 "SERVER_STATUS",
        /// Asks for the statistics of the broker's worker threads.
        ServerThreadPoolStat = 51 "SERVER_THREAD_POOL_STAT",
        /// Part of agreeing on keys.
        DiffieHellmanKeyRequest = 60 "DIFFIE_HELLMAN_KEY_REQUEST",
        /// Says who the sender is.
        Authentication = 70 "AUTHENTICATION",
        /// Says that the sender is alive.
        Heartbeat = 71 "HEARTBEAT",
        /// Is answered and does nothing; for measurements.
        Test = 72 "TEST",
        /// Takes the request with the same id back, if it still waits. Is not answered.
        Cancel = 73 "CANCEL",
        /// The answer to a request.
        Response = 80 "RESPONSE",
        /// Not determined yet: what a message is before it is sent.
        Null = 90 "NULL",
    }
}

impl MessageType {
    /// Whether the destination of such a message may be a pattern.
    ///
    /// A response may have one because it names the destination of its request.
    #[must_use]
    pub fn takes_pattern(self) -> bool {
        matches!(
            self,
            Self::Subscribe
                | Self::Unsubscribe
                | Self::ListQueues
                | Self::ListTopics
                | Self::Response
        )
    }
}
