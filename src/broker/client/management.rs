//! What administrators ask about a broker and its destinations.

use super::status::{BrokerStatus, QueuedMessage};
use super::{Client, ask};
use crate::broker::error::Result;
use crate::broker::message::MessageType;
use crate::broker::queues::QueueStatus;

impl Client {
    /// A queue at this moment. For administrators, like all that follows. One that does not exist is no error.
    ///
    /// ```
    /// use wirebird::broker::{Broker, BrokerOptions, Client, QueueType};
    ///
    /// let broker = Broker::with_options(&BrokerOptions::new().open_admin(true))?;
    /// broker.listen("inproc://doc-management")?;
    /// let client = Client::connect("inproc://doc-management")?;
    /// client.create_queue("jobs", 100, QueueType::Bounded)?;
    ///
    /// assert_eq!(client.queue_status("jobs")?, broker.queue_status("jobs"));
    /// assert!(!client.queue_status("none")?.exists);
    /// assert_eq!(client.queues(None)?.len(), 1);
    /// assert_eq!(client.broker_status()?.connections, 1);
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn queue_status(&self, name: &str) -> Result<QueueStatus> {
        let ask = ask::bare(MessageType::StatusQueue, name)?;
        QueueStatus::read(&self.expect_ok(ask)?)
    }

    /// [`queue_status`](Self::queue_status), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`queue_status`](Self::queue_status).
    pub async fn queue_status_async(&self, name: &str) -> Result<QueueStatus> {
        let ask = ask::bare(MessageType::StatusQueue, name)?;
        QueueStatus::read(&self.expect_ok_async(ask).await?)
    }

    /// The queues, by name; temporary ones are not among them. With a pattern, those whose names it matches.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue), and [`Error::Message`](crate::broker::Error::Message) for what is no
    /// pattern.
    pub fn queues<'a>(&self, pattern: impl Into<Option<&'a str>>) -> Result<Vec<QueueStatus>> {
        let ask = ask::bare(MessageType::ListQueues, pattern)?;
        QueueStatus::read_all(&self.expect_ok(ask)?)
    }

    /// [`queues`](Self::queues), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`queues`](Self::queues).
    pub async fn queues_async(&self, pattern: Option<&str>) -> Result<Vec<QueueStatus>> {
        let ask = ask::bare(MessageType::ListQueues, pattern)?;
        QueueStatus::read_all(&self.expect_ok_async(ask).await?)
    }

    /// The first messages of a queue, 10 at most, without their payloads. They stay there.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`QueueNotFound`](crate::broker::Status::QueueNotFound),
    /// and as [`create_queue`](Self::create_queue).
    pub fn peek_queue(&self, name: &str) -> Result<Vec<QueuedMessage>> {
        let ask = ask::bare(MessageType::PeekQueue, name)?;
        QueuedMessage::read_all(&self.expect_ok(ask)?)
    }

    /// [`peek_queue`](Self::peek_queue), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`peek_queue`](Self::peek_queue).
    pub async fn peek_queue_async(&self, name: &str) -> Result<Vec<QueuedMessage>> {
        let ask = ask::bare(MessageType::PeekQueue, name)?;
        QueuedMessage::read_all(&self.expect_ok_async(ask).await?)
    }

    /// Throws away what a queue holds, but for what is leased or on its way. Returns how many messages that were.
    ///
    /// # Errors
    ///
    /// As [`peek_queue`](Self::peek_queue).
    pub fn purge_queue(&self, name: &str) -> Result<usize> {
        let ask = ask::bare(MessageType::PurgeQueue, name)?;
        ask::count(&self.expect_ok(ask)?, "purged")
    }

    /// [`purge_queue`](Self::purge_queue), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`purge_queue`](Self::purge_queue).
    pub async fn purge_queue_async(&self, name: &str) -> Result<usize> {
        let ask = ask::bare(MessageType::PurgeQueue, name)?;
        ask::count(&self.expect_ok_async(ask).await?, "purged")
    }

    /// Whether there is a topic of this name.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn has_topic(&self, name: &str) -> Result<bool> {
        let ask = ask::bare(MessageType::StatusTopic, name)?;
        ask::exists(&self.expect_ok(ask)?)
    }

    /// [`has_topic`](Self::has_topic), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`has_topic`](Self::has_topic).
    pub async fn has_topic_async(&self, name: &str) -> Result<bool> {
        let ask = ask::bare(MessageType::StatusTopic, name)?;
        ask::exists(&self.expect_ok_async(ask).await?)
    }

    /// The names of the topics, in order. With a pattern, those that it matches.
    ///
    /// # Errors
    ///
    /// As [`queues`](Self::queues).
    pub fn topics<'a>(&self, pattern: impl Into<Option<&'a str>>) -> Result<Vec<String>> {
        let ask = ask::bare(MessageType::ListTopics, pattern)?;
        Ok(self.expect_ok(ask)?.payload_as()?)
    }

    /// [`topics`](Self::topics), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`topics`](Self::topics).
    pub async fn topics_async(&self, pattern: Option<&str>) -> Result<Vec<String>> {
        let ask = ask::bare(MessageType::ListTopics, pattern)?;
        Ok(self.expect_ok_async(ask).await?.payload_as()?)
    }

    /// Whether there is a function of this name.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn has_function(&self, name: &str) -> Result<bool> {
        let ask = ask::bare(MessageType::StatusFunction, name)?;
        ask::exists(&self.expect_ok(ask)?)
    }

    /// [`has_function`](Self::has_function), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`has_function`](Self::has_function).
    pub async fn has_function_async(&self, name: &str) -> Result<bool> {
        let ask = ask::bare(MessageType::StatusFunction, name)?;
        ask::exists(&self.expect_ok_async(ask).await?)
    }

    /// What the broker holds at this moment, and what it has done since it was started.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn broker_status(&self) -> Result<BrokerStatus> {
        let ask = ask::bare(MessageType::ServerStatus, None)?;
        BrokerStatus::read(&self.expect_ok(ask)?)
    }

    /// [`broker_status`](Self::broker_status), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`broker_status`](Self::broker_status).
    pub async fn broker_status_async(&self) -> Result<BrokerStatus> {
        let ask = ask::bare(MessageType::ServerStatus, None)?;
        BrokerStatus::read(&self.expect_ok_async(ask).await?)
    }
}
