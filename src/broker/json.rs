//! JSON: a reader that sets nothing aside, a writer, and messages for people to read.
//!
//! The shape that [`Message::to_json`] gives is fixed to the byte: programs compare it.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{JsonError, JsonFault};
pub(super) use reader::{Reader, Text, Token};
pub(super) use writer::Writer;

use super::message::{APPLICATION_JSON, Message, MessageError};

impl Message {
    /// The message as JSON on one line, without white space.
    ///
    /// The keys are, in this order, `type`, `status`, `timestamp`, `expires-at`, `request-id`, `oneway?`, `durable?`,
    /// `subject`, `mimetype`, and then `data` for a payload that is JSON or binary, the latter in base64, or `charset`
    /// and `text` for any other text. What there is none of is null.
    ///
    /// ```
    /// use wirebird::broker::Message;
    ///
    /// let message = Message::plain_text("1", "test", "hello")?.with_timestamp(1763313279378)?;
    /// assert_eq!(
    ///     message.to_json()?,
    ///     r#"{"type":"NULL","status":"NULL","timestamp":1763313279378,"expires-at":null,"request-id":"1","#.to_owned()
    ///         + r#""oneway?":false,"durable?":false,"subject":"test","mimetype":"text/plain","charset":"UTF-8","#
    ///         + r#""text":"hello"}"#
    /// );
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MessageError::NotJson`] if the payload says that it is JSON, and is not or is nested more than
    /// [`MAX_NESTING`](super::MAX_NESTING) deep.
    pub fn to_json(&self) -> Result<String, MessageError> {
        self.write(Writer::compact())
    }

    /// [`to_json`](Self::to_json) with one member of an object on a line, indented by two spaces.
    ///
    /// # Errors
    ///
    /// Those of [`to_json`](Self::to_json).
    pub fn to_json_pretty(&self) -> Result<String, MessageError> {
        self.write(Writer::pretty())
    }

    fn write(&self, mut out: Writer) -> Result<String, MessageError> {
        out.begin_object();
        self.write_fields(&mut out);
        out.member("mimetype").string(self.mimetype());
        match (self.charset(), self.payload_text()) {
            (Some(_), Some(text)) if self.mimetype() == APPLICATION_JSON => {
                out.member("data")
                    .copy(&text)
                    .map_err(|error| MessageError::NotJson(error.to_string()))?;
            }
            (Some(charset), Some(text)) => {
                out.member("charset").string(charset.name());
                out.member("text").string(&text);
            }
            _ => out.member("data").base64(self.payload_binary()),
        }
        out.end_object();
        Ok(out.finish())
    }

    /// The fields in front of the payload.
    pub(super) fn write_fields(&self, out: &mut Writer) {
        out.member("type").string(self.kind().name());
        out.member("status").string(self.status().name());
        out.member("timestamp").number(self.timestamp());
        match self.expires_at() {
            Some(at) => out.member("expires-at").number(at),
            None => out.member("expires-at").raw("null"),
        }
        match self.request_id() {
            Some(id) => out.member("request-id").string(id),
            None => out.member("request-id").raw("null"),
        }
        out.member("oneway?").flag(self.is_oneway());
        out.member("durable?").flag(self.is_durable());
        out.member("subject").string(self.subject());
    }
}
