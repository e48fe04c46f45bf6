//! Messages that a client keeps until it says what became of them.

use std::time::Duration;

use super::client::Client;
use super::client::ask::{self, lease_millis};
use super::error::Result;
use super::message::{Message, MessageType};

/// The headers that say what lease a message has.
const TOKEN: &str = "lease-token";
const ATTEMPTS: &str = "attempts";

/// A message that is this client's until it says what became of it, or its lease is over.
///
/// Nobody else gets the message meanwhile, and it takes room in its queue. Whoever lets go of this value says nothing: the
/// message comes back when the lease is over. One that came back is somebody else's; what is said too late is refused
/// with [`Stale`](super::Status::Stale) and changes nothing.
///
/// ```
/// use std::time::Duration;
/// use wirebird::broker::{Broker, BrokerOptions, Client, Message, Nack, QueueOptions};
///
/// let broker = Broker::with_options(&BrokerOptions::new().open_admin(true))?;
/// broker.listen("inproc://leases")?;
/// let client = Client::connect("inproc://leases")?;
/// client.create_queue_with("jobs.dead", &QueueOptions::new(100))?;
/// let options = QueueOptions::new(100).max_attempts(2).dead_letter("jobs.dead");
/// client.create_queue_with("jobs", &options)?;
/// client.offer("jobs", Message::plain_text(None, "", "resize")?, Duration::ZERO)?;
///
/// for attempt in 1..=2 {
///     let job = client.poll_leased("jobs", Duration::ZERO, Duration::from_secs(30))?;
///     assert_eq!(job.attempts(), attempt);
///     job.nack(Nack::Retry)?;
/// }
/// let dead = client.poll("jobs.dead", Duration::ZERO)?;
/// assert_eq!(dead.header("dead-letter-reason"), Some("max-attempts"));
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the message comes back when its lease is over, unless it is acknowledged"]
pub struct Leased {
    client: Client,
    queue: String,
    token: String,
    attempts: u32,
    message: Message,
}

/// What is to become of a message that was not dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nack {
    /// It is tried again, after the time that the queue's backoff asks for.
    Retry,
    /// It is tried again after this time, to the millisecond, at most a year; zero is at once.
    RetryIn(Duration),
    /// It is not tried again: it goes into the queue's queue for dead letters, if there is one.
    DeadLetter,
    /// It was not tried: it comes back at once, and this time does not count as an attempt.
    Untried,
}

impl Leased {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// How often it was handed out, this time included. Times that it did not reach a client do not count.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What names the lease, for requests of another connection.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The message is done with: it does not come back. Returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](super::Error::Refused) with [`Stale`](super::Status::Stale) if the lease was over, and as
    /// [`send`](Client::send).
    pub fn ack(self) -> Result<Message> {
        let word = self.word(MessageType::Ack, None)?;
        self.client.expect_ok(word)?;
        Ok(self.message)
    }

    /// The message is done with, and what came of it goes into a queue: both or neither, whatever happens to the broker.
    /// Returns the message. The offer does not wait for room.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack) and [`offer`](Client::offer); then the lease goes on as it was.
    pub fn ack_with(self, queue: &str, result: Message) -> Result<Message> {
        self.client.expect_ok(self.last_word(queue, result)?)?;
        Ok(self.message)
    }

    /// [`ack_with`](Self::ack_with), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`ack_async`](Self::ack_async).
    ///
    /// # Errors
    ///
    /// As [`ack_with`](Self::ack_with).
    pub async fn ack_with_async(self, queue: &str, result: Message) -> Result<Message> {
        let word = self.last_word(queue, result)?;
        self.client.expect_ok_async(word).await?;
        Ok(self.message)
    }

    fn last_word(&self, queue: &str, result: Message) -> Result<Message> {
        let offer = ask::offer(queue, result, Duration::ZERO)?;
        let offer = offer.with_header("ack-queue", &self.queue)?;
        Ok(offer.with_header("ack-token", &self.token)?)
    }

    /// The message was not dealt with. One that was tried as often as its queue allows is not tried again, whatever is
    /// said.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn nack(self, nack: Nack) -> Result<()> {
        let word = self.word(MessageType::Nack, nack.header())?;
        self.client.expect_ok(word).map(drop)
    }

    /// Has the lease last this long from now, instead of as long as it would have, 1 ms to 24 h. One that is as long as the
    /// connection stays so.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn extend(&self, lease: Duration) -> Result<()> {
        let word = self.word(MessageType::Extend, Some(("lease", lease_millis(lease))))?;
        self.client.expect_ok(word).map(drop)
    }

    /// [`ack`](Self::ack), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out. If not, the message comes back when the
    /// lease is over.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub async fn ack_async(self) -> Result<Message> {
        let word = self.word(MessageType::Ack, None)?;
        self.client.expect_ok_async(word).await?;
        Ok(self.message)
    }

    /// [`nack`](Self::nack), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`ack_async`](Self::ack_async).
    ///
    /// # Errors
    ///
    /// As [`nack`](Self::nack).
    pub async fn nack_async(self, nack: Nack) -> Result<()> {
        let word = self.word(MessageType::Nack, nack.header())?;
        self.client.expect_ok_async(word).await.map(drop)
    }

    /// [`extend`](Self::extend), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; it may have been carried out.
    ///
    /// # Errors
    ///
    /// As [`extend`](Self::extend).
    pub async fn extend_async(&self, lease: Duration) -> Result<()> {
        let word = self.word(MessageType::Extend, Some(("lease", lease_millis(lease))))?;
        self.client.expect_ok_async(word).await.map(drop)
    }

    fn word(&self, kind: MessageType, header: Option<(&str, String)>) -> Result<Message> {
        let word = word(kind, &self.queue, &self.token)?;
        Ok(match header {
            Some((key, value)) => word.with_header(key, &value)?,
            None => word,
        })
    }

    fn new(client: &Client, queue: &str, answer: Message) -> Self {
        let attempts = answer.header(ATTEMPTS).and_then(|count| count.parse().ok());
        Self {
            client: client.clone(),
            queue: queue.into(),
            token: answer.header(TOKEN).unwrap_or_default().into(),
            attempts: attempts.unwrap_or(1),
            message: without_lease(answer),
        }
    }
}

impl Nack {
    fn header(self) -> Option<(&'static str, String)> {
        match self {
            Self::Retry => None,
            Self::RetryIn(delay) => Some(("delay", lease_millis(delay))),
            Self::DeadLetter => Some(("dead-letter", "true".into())),
            Self::Untried => Some(("untried", "true".into())),
        }
    }
}

impl Client {
    /// As [`poll`](Self::poll), and the message is this client's for the time of the lease only, 1 ms to 24 h from when
    /// the broker sends it, unless the client says what became of it. [`Duration::MAX`] is as long as this connection;
    /// it has to break for the message to come back, so that no time has to be guessed.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll), and [`Error::Refused`](super::Error::Refused) with
    /// [`BadRequest`](super::Status::BadRequest) for another lease and for a circular queue.
    pub fn poll_leased(&self, queue: &str, wait: Duration, lease: Duration) -> Result<Leased> {
        let answer = self.expect_ok(ask::poll_leased(queue, wait, lease)?)?;
        Ok(Leased::new(self, queue, answer))
    }

    /// [`poll_leased`](Self::poll_leased), awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the broker takes a poll back that waits, and a message that was on its way goes
    /// back to its queue.
    ///
    /// # Errors
    ///
    /// As [`poll_leased`](Self::poll_leased).
    pub async fn poll_leased_async(
        &self,
        queue: &str,
        wait: Duration,
        lease: Duration,
    ) -> Result<Leased> {
        let ask = ask::poll_leased(queue, wait, lease)?;
        let answer = self.expect_ok_async(ask).await?;
        Ok(Leased::new(self, queue, answer))
    }
}

impl Client {
    /// As [`poll_up_to`](Self::poll_up_to), and each of the messages is leased as by
    /// [`poll_leased`](Self::poll_leased).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wirebird::broker::{Broker, Client, Message, QueueType};
    /// # let broker = Broker::new()?;
    /// # broker.create_queue("jobs", 100, QueueType::Bounded)?;
    /// # let listener = broker.listen("inproc://doc-leases-at-once")?;
    /// # let client = Client::connect(&listener.url())?;
    /// # let work = [Message::plain_text(None, "", "a")?, Message::plain_text(None, "", "b")?];
    /// # client.offer_all("jobs", &work, Duration::ZERO)?;
    /// let jobs = client.poll_leased_up_to("jobs", 100, Duration::ZERO, Duration::from_secs(30))?;
    /// for job in &jobs {
    ///     println!("{:?}", job.message().payload_text());
    /// }
    /// let too_late = client.ack_all(jobs)?;
    /// assert!(too_late.is_empty());
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll_leased`](Self::poll_leased) and [`poll_up_to`](Self::poll_up_to).
    pub fn poll_leased_up_to(
        &self,
        queue: &str,
        count: usize,
        wait: Duration,
        lease: Duration,
    ) -> Result<Vec<Leased>> {
        let ask = ask::poll_leased_up_to(queue, count, wait, lease)?;
        self.leased(queue, &self.expect_ok(ask)?)
    }

    /// [`poll_leased_up_to`](Self::poll_leased_up_to), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`poll_leased_async`](Self::poll_leased_async).
    ///
    /// # Errors
    ///
    /// As [`poll_leased_up_to`](Self::poll_leased_up_to).
    pub async fn poll_leased_up_to_async(
        &self,
        queue: &str,
        count: usize,
        wait: Duration,
        lease: Duration,
    ) -> Result<Vec<Leased>> {
        let ask = ask::poll_leased_up_to(queue, count, wait, lease)?;
        self.leased(queue, &self.expect_ok_async(ask).await?)
    }

    /// These messages, up to 1000 of one queue, are done with: they do not come back. Returns those whose lease was over, to
    /// which nothing has happened. If there are none at all, nothing is asked.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), [`InvalidArgument`](crate::Error::InvalidArgument) for messages of several queues, and
    /// [`Error::Refused`](super::Error::Refused) with [`BadRequest`](super::Status::BadRequest) for more than 1000.
    pub fn ack_all(&self, leased: Vec<Leased>) -> Result<Vec<Leased>> {
        match last_words(&leased, MessageType::AckAll, None)? {
            Some(words) => stale(leased, &self.expect_ok(words)?),
            None => Ok(leased),
        }
    }

    /// [`ack_all`](Self::ack_all), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`Leased::ack_async`].
    ///
    /// # Errors
    ///
    /// As [`ack_all`](Self::ack_all).
    pub async fn ack_all_async(&self, leased: Vec<Leased>) -> Result<Vec<Leased>> {
        match last_words(&leased, MessageType::AckAll, None)? {
            Some(words) => stale(leased, &self.expect_ok_async(words).await?),
            None => Ok(leased),
        }
    }

    /// These messages, up to 1000 of one queue, were not dealt with, and the same is to become of all. Returns those whose
    /// lease was over, to which nothing has happened. If there are none at all, nothing is asked.
    ///
    /// # Errors
    ///
    /// As [`ack_all`](Self::ack_all).
    pub fn nack_all(&self, leased: Vec<Leased>, nack: Nack) -> Result<Vec<Leased>> {
        match last_words(&leased, MessageType::NackAll, nack.header())? {
            Some(words) => stale(leased, &self.expect_ok(words)?),
            None => Ok(leased),
        }
    }

    /// [`nack_all`](Self::nack_all), awaited.
    ///
    /// # Cancel safety
    ///
    /// As [`Leased::ack_async`].
    ///
    /// # Errors
    ///
    /// As [`ack_all`](Self::ack_all).
    pub async fn nack_all_async(&self, leased: Vec<Leased>, nack: Nack) -> Result<Vec<Leased>> {
        match last_words(&leased, MessageType::NackAll, nack.header())? {
            Some(words) => stale(leased, &self.expect_ok_async(words).await?),
            None => Ok(leased),
        }
    }

    fn leased(&self, queue: &str, answer: &Message) -> Result<Vec<Leased>> {
        let messages = answer.payload_messages()?.into_iter();
        let leased = messages.map(|message| Leased::new(self, queue, message));
        Ok(leased.collect())
    }
}

/// What the broker is told of several messages; `None` if there are none.
fn last_words(
    leased: &[Leased],
    kind: MessageType,
    header: Option<(&str, String)>,
) -> Result<Option<Message>> {
    let Some(Leased { queue, .. }) = leased.first() else {
        return Ok(None);
    };
    if leased.iter().any(|other| other.queue != *queue) {
        return Err(crate::Error::InvalidArgument("messages of several queues").into());
    }
    let tokens: Vec<&str> = leased.iter().map(Leased::token).collect();
    let words = ask::end_all(kind, queue, &tokens)?;
    Ok(Some(match header {
        Some((key, value)) => words.with_header(key, &value)?,
        None => words,
    }))
}

/// Those of which the broker says that their lease was over.
fn stale(leased: Vec<Leased>, answer: &Message) -> Result<Vec<Leased>> {
    let stale = ask::stale(answer)?;
    let numbered = leased.into_iter().enumerate();
    let stale = numbered.filter(|(at, _)| stale.contains(at));
    Ok(stale.map(|(_, leased)| leased).collect())
}

/// Messages that have arrived together, and what the broker is to be told of that, if it waits for it.
pub(super) fn all_arrived(
    queue: &str,
    answer: &Message,
) -> Result<(Vec<Message>, Option<Message>)> {
    let messages = answer.payload_messages()?;
    let tokens: Vec<&str> = messages
        .iter()
        .filter_map(|message| message.header(TOKEN))
        .collect();
    let word = match *tokens {
        [] => return Ok((messages, None)),
        _ => ask::end_all(MessageType::AckAll, queue, &tokens)?,
    };
    Ok((
        messages.into_iter().map(without_lease).collect(),
        Some(word),
    ))
}

/// A message that has arrived, and what the broker is to be told of that, if it waits for it.
pub(super) fn arrived(queue: &str, answer: Message) -> Result<(Message, Option<Message>)> {
    let Some(token) = answer.header(TOKEN) else {
        return Ok((answer, None));
    };
    let word = word(MessageType::Ack, queue, token)?;
    Ok((without_lease(answer), Some(word)))
}

fn without_lease(message: Message) -> Message {
    message.without_header(TOKEN).without_header(ATTEMPTS)
}

fn word(kind: MessageType, queue: &str, token: &str) -> Result<Message> {
    Ok(ask::bare(kind, queue)?.with_header(TOKEN, token)?)
}
