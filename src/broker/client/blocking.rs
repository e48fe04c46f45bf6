//! The calls of a client that block.

use std::sync::Arc;
use std::time::Duration;

use super::options::{ClientOptions, SubscribeOptions};
use super::{Client, ask};
use crate::broker::error::Result;
use crate::broker::leased::arrived;
use crate::broker::message::{Message, MessageType};
use crate::broker::queues::{QueueOptions, QueueType};

impl Client {
    /// Connects to the broker at a URL, and waits for its first answer.
    ///
    /// # Errors
    ///
    /// As [`Socket::dial`](crate::Socket::dial). [`Error::Refused`](crate::broker::Error::Refused) with
    /// [`NoPermission`](crate::broker::Status::NoPermission) if the user or the password is wrong, or the broker wants one
    /// and none is given, with [`BadRequest`](crate::broker::Status::BadRequest) if one is given and the broker has no
    /// users, with [`RateLimited`](crate::broker::Status::RateLimited) after too many failures, and with
    /// [`DiffieHellmanNak`](crate::broker::Status::DiffieHellmanNak) if either end does not have a key that the other one
    /// knows it by.
    /// [`Error::Auth`](crate::broker::Error::Auth) for a user or password that cannot be,
    /// [`Error::Unprotected`](crate::broker::Error::Unprotected) for one that would go over a network in the clear.
    pub fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, &ClientOptions::default())
    }

    /// Connects to the broker at a URL, with options.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with(url: &str, options: &ClientOptions) -> Result<Self> {
        let (client, dialing) = Self::begin(url, options)?;
        dialing.start_and_wait(None)?;
        let config = client.expect_ok(ask::config_request()?)?;
        client.greeted(&config)?;
        Ok(client)
    }

    /// Another connection to the same broker, with the same options and the terms of this handle.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn copy(&self) -> Result<Self> {
        Self::connect_with(&self.inner.url, &self.options_now())
    }

    /// As [`copy`](Self::copy), as another user.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn copy_as(&self, user: &str, password: &str) -> Result<Self> {
        Self::connect_with(&self.inner.url, &self.options_for(user, password))
    }

    /// Asks the broker for a sign of life.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn heartbeat(&self) -> Result<()> {
        self.expect_ok(ask::bare(MessageType::Heartbeat, None)?)
            .map(drop)
    }

    // ---- functions ----

    /// Calls a function and returns its answer.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with the status of an answer that is not OK;
    /// [`Error::Message`](crate::broker::Error::Message) for a payload that is longer than the broker takes, which is not
    /// sent; [`Error::Socket`](crate::broker::Error::Socket) with [`TimedOut`](crate::Error::TimedOut) or
    /// [`ConnectionReset`](crate::Error::ConnectionReset).
    pub fn send(&self, function: &str, message: Message) -> Result<Message> {
        self.expect_ok(message.addressed_to(MessageType::Request, function)?)
    }

    /// Calls a function and does not wait for the answer, which there will be none of.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`](crate::broker::Error::Socket) if the request could not be handed to the system in time.
    pub fn send_oneway(&self, function: &str, message: Message) -> Result<()> {
        self.post(message.addressed_to(MessageType::Request, function)?)
    }

    // ---- queues ----

    /// Puts a message into a queue. If that is full, the broker waits up to `wait` for room; [`Duration::MAX`] waits as
    /// long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`QueueFull`](crate::broker::Status::QueueFull) or
    /// [`QueueNotFound`](crate::broker::Status::QueueNotFound), and as [`send`](Self::send).
    pub fn offer(&self, queue: &str, message: Message, wait: Duration) -> Result<()> {
        self.expect_ok(ask::offer(queue, message, wait)?).map(drop)
    }

    /// As [`offer`](Self::offer), and says into which queue the answer is to be put.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub fn offer_with_reply_to(
        &self,
        queue: &str,
        reply_to: &str,
        message: Message,
        wait: Duration,
    ) -> Result<()> {
        self.offer(queue, message.with_reply_to(reply_to)?, wait)
    }

    /// Takes the next message out of a queue: the oldest of those with the highest priority. If there is none, the broker
    /// waits up to `wait` for one; [`Duration::MAX`] waits as long as it takes.
    ///
    /// A durable queue keeps the message until it is here. If the connection breaks at the wrong moment it may come twice;
    /// from other queues it may be lost then. [`poll_leased`](Self::poll_leased) keeps it until it is dealt with.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`QueueEmpty`](crate::broker::Status::QueueEmpty) or
    /// [`QueueNotFound`](crate::broker::Status::QueueNotFound), and as [`send`](Self::send).
    pub fn poll(&self, queue: &str, wait: Duration) -> Result<Message> {
        let answer = self.expect_ok(ask::poll(queue, wait)?)?;
        let (message, word) = arrived(queue, answer)?;
        if let Some(word) = word {
            // If it does not get there, the message comes again; here it is nevertheless.
            let _ = self.post(word);
        }
        Ok(message)
    }

    /// Makes a queue that goes with this connection, for a number of messages; returns its name. Anybody who knows the
    /// name may offer to it, only this client may poll it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`LimitReached`](crate::broker::Status::LimitReached) or
    /// [`BadRequest`](crate::broker::Status::BadRequest), and as [`send`](Self::send).
    pub fn create_temporary_queue(&self, capacity: usize) -> Result<String> {
        let answer = self.expect_ok(ask::temporary_queue(capacity)?)?;
        Ok(ask::name(&answer))
    }

    // ---- topics ----

    /// Publishes a message on a topic. Returns to how many subscribers it goes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`TopicNotFound`](crate::broker::Status::TopicNotFound), and
    /// as [`send`](Self::send).
    pub fn publish(&self, topic: &str, message: Message) -> Result<usize> {
        let answer = self.expect_ok(message.addressed_to(MessageType::Publish, topic)?)?;
        Ok(ask::delivered(&answer))
    }

    /// Has a handler called with each message that is published on a topic, or on those that a pattern matches, from now
    /// on. Handlers run one after the other on a thread of the client; one that panics is called again with the next
    /// message. A second subscription to the same takes the place of the first.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`TopicNotFound`](crate::broker::Status::TopicNotFound), and
    /// as [`send`](Self::send).
    pub fn subscribe(
        &self,
        topic: &str,
        handler: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<()> {
        self.subscribe_with(topic, &SubscribeOptions::default(), handler)
    }

    /// As [`subscribe`](Self::subscribe), with options that say what is missed by a client that does not keep up.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe), and [`Error::Refused`](crate::broker::Error::Refused) with
    /// [`BadRequest`](crate::broker::Status::BadRequest) for a depth out of its range.
    pub fn subscribe_with(
        &self,
        topic: &str,
        options: &SubscribeOptions,
        handler: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<()> {
        let ask = ask::subscribe(topic, options)?;
        let handling = self.handle(topic, Arc::new(handler))?;
        self.expect_ok(ask.clone())?;
        handling.stays(ask);
        Ok(())
    }

    /// Ends a subscription.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`TopicNotFound`](crate::broker::Status::TopicNotFound), and
    /// as [`send`](Self::send). It is not made again in any case.
    pub fn unsubscribe(&self, topic: &str) -> Result<()> {
        self.forget_subscription(topic);
        self.expect_ok(ask::bare(MessageType::Unsubscribe, topic)?)
            .map(drop)
    }

    // ---- management ----

    /// Makes a queue; see [`Broker::create_queue`](crate::broker::Broker::create_queue). For administrators.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`NoPermission`](crate::broker::Status::NoPermission) and
    /// what the broker's method says, and as [`send`](Self::send).
    pub fn create_queue(&self, name: &str, capacity: usize, queue_type: QueueType) -> Result<()> {
        self.create_queue_with(name, &QueueOptions::new(capacity).queue_type(queue_type))
    }

    /// Makes a queue with options; see [`Broker::create_queue_with`](crate::broker::Broker::create_queue_with). For
    /// administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue), and what the broker's method says.
    pub fn create_queue_with(&self, name: &str, options: &QueueOptions) -> Result<()> {
        self.expect_ok(ask::queue(name, options)?).map(drop)
    }

    /// Moves dead letters back to the queues that they came from, or into the queue `to`, as long as there is room. Those
    /// whose queue is full or gone stay. For administrators.
    ///
    /// Returns how many were moved: 10,000 at most, so that others are served in between.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::broker::Error::Refused) with [`QueueNotFound`](crate::broker::Status::QueueNotFound),
    /// and as [`create_queue`](Self::create_queue).
    pub fn redrive(&self, queue: &str, to: Option<&str>) -> Result<usize> {
        ask::moved(&self.expect_ok(ask::redrive(queue, to)?)?)
    }

    /// Removes a queue, if it exists. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn remove_queue(&self, name: &str) -> Result<()> {
        self.expect_ok(ask::bare(MessageType::RemoveQueue, name)?)
            .map(drop)
    }

    /// Makes a topic. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn create_topic(&self, name: &str) -> Result<()> {
        self.expect_ok(ask::bare(MessageType::CreateTopic, name)?)
            .map(drop)
    }

    /// Removes a topic, if it exists. For administrators.
    ///
    /// # Errors
    ///
    /// As [`create_queue`](Self::create_queue).
    pub fn remove_topic(&self, name: &str) -> Result<()> {
        self.expect_ok(ask::bare(MessageType::RemoveTopic, name)?)
            .map(drop)
    }

    // ---- any request ----

    /// Sends any request, and returns the answer whatever its status.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`](crate::broker::Error::Socket).
    pub fn request(&self, message: Message) -> Result<Message> {
        self.ask(message)
    }

    /// Sends any request as one that is not answered.
    ///
    /// # Errors
    ///
    /// As [`send_oneway`](Self::send_oneway).
    pub fn request_oneway(&self, message: Message) -> Result<()> {
        self.post(message)
    }

    pub(in crate::broker) fn expect_ok(&self, request: Message) -> Result<Message> {
        ask::accepted(self.ask(request)?)
    }

    /// Closes the connection: every clone of the client is closed then. Requests that wait for their answer fail.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::Error::TimedOut) when the broker did not read in time what was sent last.
    pub fn close(&self) -> Result<()> {
        Ok(self.inner.core.close()?)
    }
}
