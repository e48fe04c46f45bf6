//! The fields of a message by their names.

use bytes::Bytes;
use serde_json::Value;

use super::error::MessageError;
use super::limits::excerpt;
use super::{APPLICATION_JSON, Message};

/// The value of a field; see [`Message::field`] and [`Message::to_map`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Field {
    /// The message has none.
    Null,
    /// Yes or no.
    Flag(bool),
    /// Milliseconds since 1970.
    Number(i64),
    /// A string, an identifier, or the name of a type, status or charset.
    Text(String),
    /// A payload as it is.
    Binary(Bytes),
    /// A payload that is JSON.
    Data(Value),
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Field {
    fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }

    fn number(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }
}

impl Message {
    /// The field of this name.
    ///
    /// | Name | Value | When there is none |
    /// |---|---|---|
    /// | `id` | text, a UUID | |
    /// | `type`, `response-status` | text, the name in capitals | |
    /// | `oneway?`, `durable?` | flag | |
    /// | `timestamp` | number | |
    /// | `expires-at` | number | null |
    /// | `request-id`, `destination-name`, `reply-to-queue-name` | text | null |
    /// | `subject`, `payload-mimetype` | text | |
    /// | `payload-charset` | text | null: the payload is binary |
    /// | `payload-text` | text | null: the payload is binary |
    /// | `payload-binary` | binary | |
    /// | `payload-data`, `payload-venice` | data | an error |
    ///
    /// ```
    /// use wirebird::broker::{Field, Message};
    ///
    /// let message = Message::plain_text("1", "greeting", "hello")?;
    /// assert_eq!(message.field("subject")?, Field::from("greeting"));
    /// assert_eq!(message.field("expires-at")?, Field::Null);
    /// assert!(message.field("topic").is_err());
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MessageError::NoSuchField`] for any other name; for data those of [`payload_data`](Self::payload_data).
    pub fn field(&self, name: &str) -> Result<Field, MessageError> {
        Ok(match name {
            "id" => self.id().to_string().into(),
            "type" => self.kind().name().into(),
            "response-status" => self.status().name().into(),
            "oneway?" => Field::Flag(self.is_oneway()),
            "durable?" => Field::Flag(self.is_durable()),
            "timestamp" => Field::Number(self.timestamp()),
            "expires-at" => Field::number(self.expires_at()),
            "request-id" => Field::text(self.request_id()),
            "subject" => self.subject().into(),
            "destination-name" => Field::text(self.destination()),
            "reply-to-queue-name" => Field::text(self.reply_to()),
            "payload-mimetype" => self.mimetype().into(),
            "payload-charset" => Field::text(self.charset().map(|charset| charset.name())),
            "payload-text" => self.payload_text().map_or(Field::Null, Field::from),
            "payload-binary" => Field::Binary(self.payload_binary().clone()),
            "payload-data" | "payload-venice" => Field::Data(self.payload_data()?),
            _ => return Err(MessageError::NoSuchField(excerpt(name))),
        })
    }

    /// What [`to_json`](Self::to_json) writes, as keys with their values in the same order.
    ///
    /// # Errors
    ///
    /// [`MessageError::NotJson`] if the payload says that it is JSON and is not.
    pub fn to_map(&self) -> Result<Vec<(&'static str, Field)>, MessageError> {
        let mut map = vec![
            ("type", self.kind().name().into()),
            ("status", self.status().name().into()),
            ("timestamp", Field::Number(self.timestamp())),
            ("expires-at", Field::number(self.expires_at())),
            ("request-id", Field::text(self.request_id())),
            ("oneway?", Field::Flag(self.is_oneway())),
            ("durable?", Field::Flag(self.is_durable())),
            ("subject", self.subject().into()),
            ("mimetype", self.mimetype().into()),
        ];
        match (self.payload_text(), self.charset()) {
            (Some(_), _) if self.mimetype() == APPLICATION_JSON => {
                map.push(("data", Field::Data(self.payload_data()?)));
            }
            (Some(text), Some(charset)) => {
                map.push(("charset", charset.name().into()));
                map.push(("text", text.into()));
            }
            _ => map.push(("data", Field::Binary(self.payload_binary().clone()))),
        }
        Ok(map)
    }
}
