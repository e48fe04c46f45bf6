//! The calls of a client that are awaited.

use std::sync::Arc;
use std::time::Duration;

use super::options::{ClientOptions, SubscribeOptions};
use super::{Client, ask};
use crate::broker::error::Result;
use crate::broker::leased::arrived;
use crate::broker::message::{Message, MessageType};
use crate::broker::queues::{QueueOptions, QueueType};

impl Client {
    /// [`connect`](Self::connect), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_async(url: &str) -> Result<Self> {
        Self::connect_with_async(url, &ClientOptions::default()).await
    }

    /// [`connect_with`](Self::connect_with), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// As [`connect_with`](Self::connect_with).
    pub async fn connect_with_async(url: &str, options: &ClientOptions) -> Result<Self> {
        let (client, dialing) = Self::begin(url, options)?;
        dialing.start_and_wait_async(None).await?;
        let ask = ask::config_request()?;
        let config = client.expect_ok_async(ask).await?;
        client.greeted(&config)?;
        Ok(client)
    }

    /// [`copy`](Self::copy), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the new connection.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    pub async fn copy_async(&self) -> Result<Self> {
        Self::connect_with_async(&self.inner.url, &self.options_now()).await
    }

    /// [`copy_as`](Self::copy_as), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the new connection.
    ///
    /// # Errors
    ///
    /// As [`copy_as`](Self::copy_as).
    pub async fn copy_as_async(&self, user: &str, password: &str) -> Result<Self> {
        let options = self.options_for(user, password);
        Self::connect_with_async(&self.inner.url, &options).await
    }

    /// [`heartbeat`](Self::heartbeat), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`heartbeat`](Self::heartbeat).
    pub async fn heartbeat_async(&self) -> Result<()> {
        let ask = ask::bare(MessageType::Heartbeat, None)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    // ---- functions ----

    /// [`send`](Self::send), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the answer up. A function that was called runs all the same.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_async(&self, function: &str, message: Message) -> Result<Message> {
        let ask = message.addressed_to(MessageType::Request, function)?;
        self.expect_ok_async(ask).await
    }

    /// [`send_oneway`](Self::send_oneway), awaited.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has sent nothing.
    ///
    /// # Errors
    ///
    /// As [`send_oneway`](Self::send_oneway).
    pub async fn send_oneway_async(&self, function: &str, message: Message) -> Result<()> {
        let ask = message.addressed_to(MessageType::Request, function)?;
        self.post_async(ask).await
    }

    // ---- queues ----

    /// [`offer`](Self::offer), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes an offer back that waits for room. One that was accepted stays.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub async fn offer_async(&self, queue: &str, message: Message, wait: Duration) -> Result<()> {
        let ask = ask::offer(queue, message, wait)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    /// [`offer_with_reply_to`](Self::offer_with_reply_to), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`offer_async`](Self::offer_async).
    ///
    /// # Errors
    ///
    /// As [`offer_with_reply_to`](Self::offer_with_reply_to).
    pub async fn offer_with_reply_to_async(
        &self,
        queue: &str,
        reply_to: &str,
        message: Message,
        wait: Duration,
    ) -> Result<()> {
        let message = message.with_reply_to(reply_to)?;
        self.offer_async(queue, message, wait).await
    }

    /// [`poll`](Self::poll), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the broker takes a poll back that waits. An item that was on its way goes to another
    /// poll of the queue by this client, or the next one, or to [`take_late`](Self::take_late).
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    pub async fn poll_async(&self, queue: &str, wait: Duration) -> Result<Message> {
        let answer = self.expect_ok_async(ask::poll(queue, wait)?).await?;
        let (message, word) = arrived(queue, answer)?;
        if let Some(word) = word {
            // Without waiting: a future that is dropped here would have the message and not give it. If the word does not
            // get there, the message comes again.
            let _ = self.post_now(word);
        }
        Ok(message)
    }

    /// [`create_temporary_queue`](Self::create_temporary_queue), awaited.
    ///
    /// # Cancel safety
    ///
    /// A queue whose name nobody has learnt goes with the connection.
    ///
    /// # Errors
    ///
    /// As [`create_temporary_queue`](Self::create_temporary_queue).
    pub async fn create_temporary_queue_async(&self, capacity: usize) -> Result<String> {
        let answer = self
            .expect_ok_async(ask::temporary_queue(capacity)?)
            .await?;
        Ok(ask::name(&answer))
    }

    // ---- topics ----

    /// [`publish`](Self::publish), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_async(&self, topic: &str, message: Message) -> Result<usize> {
        let ask = message.addressed_to(MessageType::Publish, topic)?;
        let answer = self.expect_ok_async(ask).await?;
        Ok(ask::delivered(&answer))
    }

    /// [`subscribe`](Self::subscribe), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`subscribe_with_async`](Self::subscribe_with_async).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_async(
        &self,
        topic: &str,
        handler: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<()> {
        let options = SubscribeOptions::default();
        self.subscribe_with_async(topic, &options, handler).await
    }

    /// [`subscribe_with`](Self::subscribe_with), awaited.
    ///
    /// # Cancel safety
    ///
    /// The handler of a future that was dropped is not called; one that was there before is again. What the broker sends all
    /// the same ends with [`unsubscribe_async`](Self::unsubscribe_async), and with the connection.
    ///
    /// # Errors
    ///
    /// As [`subscribe_with`](Self::subscribe_with).
    pub async fn subscribe_with_async(
        &self,
        topic: &str,
        options: &SubscribeOptions,
        handler: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<()> {
        let ask = ask::subscribe(topic, options)?;
        let handling = self.handle(topic, Arc::new(handler))?;
        self.expect_ok_async(ask.clone()).await?;
        handling.stays(ask);
        Ok(())
    }

    /// [`unsubscribe`](Self::unsubscribe), awaited.
    ///
    /// # Cancel safety
    ///
    /// The handler is not called any more as soon as the future was polled.
    ///
    /// # Errors
    ///
    /// As [`unsubscribe`](Self::unsubscribe).
    pub async fn unsubscribe_async(&self, topic: &str) -> Result<()> {
        self.forget_subscription(topic);
        let ask = ask::bare(MessageType::Unsubscribe, topic)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    // ---- management ----

    /// [`create_queue`](Self::create_queue), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub async fn create_queue_async(
        &self,
        name: &str,
        capacity: usize,
        queue_type: QueueType,
    ) -> Result<()> {
        let options = QueueOptions::new(capacity).queue_type(queue_type);
        self.create_queue_with_async(name, &options).await
    }

    /// [`create_queue_with`](Self::create_queue_with), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`create_queue_with`](Self::create_queue_with).
    pub async fn create_queue_with_async(&self, name: &str, options: &QueueOptions) -> Result<()> {
        let ask = ask::queue(name, options)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    /// [`redrive`](Self::redrive), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`redrive`](Self::redrive).
    pub async fn redrive_async(&self, queue: &str, to: Option<&str>) -> Result<usize> {
        let answer = self.expect_ok_async(ask::redrive(queue, to)?).await?;
        ask::moved(&answer)
    }

    /// [`remove_queue`](Self::remove_queue), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`remove_queue`](Self::remove_queue).
    pub async fn remove_queue_async(&self, name: &str) -> Result<()> {
        let ask = ask::bare(MessageType::RemoveQueue, name)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    /// [`create_topic`](Self::create_topic), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`create_topic`](Self::create_topic).
    pub async fn create_topic_async(&self, name: &str) -> Result<()> {
        let ask = ask::bare(MessageType::CreateTopic, name)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    /// [`remove_topic`](Self::remove_topic), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`remove_topic`](Self::remove_topic).
    pub async fn remove_topic_async(&self, name: &str) -> Result<()> {
        let ask = ask::bare(MessageType::RemoveTopic, name)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    // ---- any request ----

    /// [`request`](Self::request), awaited.
    ///
    /// # Cancel safety
    ///
    /// As the method for this kind of request.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn request_async(&self, message: Message) -> Result<Message> {
        self.ask_async(message).await
    }

    /// [`request_oneway`](Self::request_oneway), awaited.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has sent nothing.
    ///
    /// # Errors
    ///
    /// As [`request_oneway`](Self::request_oneway).
    pub async fn request_oneway_async(&self, message: Message) -> Result<()> {
        self.post_async(message).await
    }

    pub(in crate::broker) async fn expect_ok_async(&self, request: Message) -> Result<Message> {
        ask::accepted(self.ask_async(request).await?)
    }

    /// [`close`](Self::close), awaited.
    ///
    /// # Cancel safety
    ///
    /// What the future waits for goes on when it is dropped, once it was polled.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_async(&self) -> Result<()> {
        Ok(self.inner.core.close_async().await?)
    }
}
