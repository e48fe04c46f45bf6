//! Several messages in one call.

use std::time::Duration;

use super::{Client, ask};
use crate::broker::error::Result;
use crate::broker::leased::all_arrived;
use crate::broker::message::Message;

impl Client {
    /// Puts messages into a queue, up to 1000, in their order: all of them or, if this fails, none. If there is no room for
    /// all, the broker waits up to `wait` for it, and nobody overtakes them; [`Duration::MAX`] waits as long as it takes.
    /// Without any messages nothing is asked.
    ///
    /// Those that are durable are kept together by a durable queue. With a [`RetryPolicy`](super::RetryPolicy) they are one
    /// request, which the broker does once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wirebird::broker::{Broker, Client, Message, QueueType};
    /// # let broker = Broker::new()?;
    /// # broker.create_queue("jobs", 100, QueueType::Bounded)?;
    /// # let listener = broker.listen("inproc://doc-batches")?;
    /// # let client = Client::connect(&listener.url())?;
    /// let work = ["a", "b", "c"].map(|text| Message::plain_text(None, "", text));
    /// let work = work.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// client.offer_all("jobs", &work, Duration::from_secs(1))?;
    ///
    /// let jobs = client.poll_up_to("jobs", 2, Duration::ZERO)?;
    /// assert_eq!(jobs.len(), 2);
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer); [`Error::Message`](crate::broker::Error::Message) if they are together longer than the
    /// broker takes, [`Error::Refused`](crate::broker::Error::Refused) with
    /// [`BadRequest`](crate::broker::Status::BadRequest) for more than 1000, or more than the empty queue would hold.
    pub fn offer_all(&self, queue: &str, messages: &[Message], wait: Duration) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.expect_ok(ask::offer_all(queue, messages, wait)?)
            .map(drop)
    }

    /// [`offer_all`](Self::offer_all), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`offer_async`](Self::offer_async).
    ///
    /// # Errors
    ///
    /// As [`offer_all`](Self::offer_all).
    pub async fn offer_all_async(
        &self,
        queue: &str,
        messages: &[Message],
        wait: Duration,
    ) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let ask = ask::offer_all(queue, messages, wait)?;
        self.expect_ok_async(ask).await.map(drop)
    }

    /// Takes the next messages out of a queue: as many as there are, up to `count`, 1 to 1000, and up to the longest payload
    /// that the broker takes. If there is none, the broker waits up to `wait` for the first. Never returns none.
    ///
    /// A durable queue keeps them until they are here, as with [`poll`](Self::poll).
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll), and [`Error::Refused`](crate::broker::Error::Refused) with
    /// [`BadRequest`](crate::broker::Status::BadRequest) for another count.
    pub fn poll_up_to(&self, queue: &str, count: usize, wait: Duration) -> Result<Vec<Message>> {
        let answer = self.expect_ok(ask::poll_up_to(queue, count, wait)?)?;
        let (messages, word) = all_arrived(queue, &answer)?;
        if let Some(word) = word {
            // If it does not get there, they come again; here they are nevertheless.
            let _ = self.post(word);
        }
        Ok(messages)
    }

    /// [`poll_up_to`](Self::poll_up_to), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`poll_async`](Self::poll_async).
    ///
    /// # Errors
    ///
    /// As [`poll_up_to`](Self::poll_up_to).
    pub async fn poll_up_to_async(
        &self,
        queue: &str,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Message>> {
        let ask = ask::poll_up_to(queue, count, wait)?;
        let answer = self.expect_ok_async(ask).await?;
        let (messages, word) = all_arrived(queue, &answer)?;
        if let Some(word) = word {
            // Without waiting, as in a poll for one.
            let _ = self.post_now(word);
        }
        Ok(messages)
    }
}
