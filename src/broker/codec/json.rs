//! The JSON encoding: what [`Message::to_json`] writes, with the keys that only a conversation needs.
//!
//! A person may type it, so any key may be missing. A key that is not known is refused, since it is likely a slip.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::{DecodeError, DecodeFault, Encoding, Keep};
use crate::broker::json::{Reader, Text, Token, Writer};
use crate::broker::message::id::fresh;
use crate::broker::message::limits::excerpt;
use crate::broker::message::{
    APPLICATION_JSON, Charset, Fields, Message, MessageType, Status, TEXT_PLAIN, now_ms,
};

pub(super) fn encode(message: &Message) -> Bytes {
    let mut out = Writer::compact();
    // Text and JSON grow little, and base64 by a third.
    out.reserve(256 + message.payload_binary().len() / 3 * 4);
    out.begin_object();
    out.member("id").string(&message.id().to_string());
    message.write_fields(&mut out);
    if let Some(destination) = message.destination() {
        out.member("destination").string(destination);
    }
    if let Some(queue) = message.reply_to() {
        out.member("reply-to").string(queue);
    }
    if let Some(timeout) = message.timeout() {
        out.member("timeout").number(timeout);
    }
    if message.has_headers() {
        out.member("headers").begin_object();
        for (key, value) in message.headers() {
            out.member(key).string(value);
        }
        out.end_object();
    }
    out.member("mimetype").string(message.mimetype());
    write_payload(message, &mut out);
    out.end_object();
    out.finish().into()
}

fn write_payload(message: &Message, out: &mut Writer) {
    let is_json = message.mimetype() == APPLICATION_JSON;
    let (Some(charset), Some(text)) = (message.charset(), message.payload_text()) else {
        if is_json {
            // Without this, base64 could not be told from a string of JSON.
            out.member("charset").raw("null");
        }
        out.member("data").base64(message.payload_binary());
        return;
    };
    let start = out.len();
    if is_json {
        if charset != Charset::Utf8 {
            out.member("charset").string(charset.name());
        }
        if out.member("data").copy(&text).is_ok() {
            return;
        }
        // What is no JSON after all is passed on as the text that it is.
        out.truncate(start);
    }
    out.member("charset").string(charset.name());
    out.member("text").string(&text);
}

pub(super) fn decode(bytes: &[u8], keep: &Keep<'_>) -> Result<Message, DecodeError> {
    let mut keys = Keys::default();
    let result = read(bytes, &mut keys, keep);
    result.map(Message::from_fields).map_err(|fault| {
        let id = keys.get(Key::Id).and_then(uuid);
        DecodeError::new(fault, Some(Encoding::Json)).with_id(id)
    })
}

/// The keys of a message.
#[derive(Debug, Clone, Copy)]
enum Key {
    Id,
    Type,
    Status,
    Timestamp,
    ExpiresAt,
    Timeout,
    RequestId,
    Oneway,
    Durable,
    Subject,
    Destination,
    ReplyTo,
    Headers,
    Mimetype,
    Charset,
    Text,
    Data,
}

impl Key {
    const COUNT: usize = Self::Data as usize + 1;

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "type" => Self::Type,
            "status" => Self::Status,
            "timestamp" => Self::Timestamp,
            "expires-at" => Self::ExpiresAt,
            "timeout" => Self::Timeout,
            "request-id" => Self::RequestId,
            "oneway?" | "oneway" => Self::Oneway,
            "durable?" | "durable" => Self::Durable,
            "subject" => Self::Subject,
            "destination" => Self::Destination,
            "reply-to" => Self::ReplyTo,
            "headers" => Self::Headers,
            "mimetype" => Self::Mimetype,
            "charset" => Self::Charset,
            "text" => Self::Text,
            "data" => Self::Data,
            _ => return None,
        })
    }
}

/// The values of the keys that are there.
#[derive(Default)]
struct Keys<'a>([Option<Token<'a>>; Key::COUNT]);

impl<'a> Keys<'a> {
    /// Sets a value; gives back what was there.
    fn set(&mut self, key: Key, token: Token<'a>) -> Option<Token<'a>> {
        self.0.get_mut(key as usize)?.replace(token)
    }

    fn get(&self, key: Key) -> Option<Token<'a>> {
        *self.0.get(key as usize)?
    }

    /// The value, if there is one other than null.
    fn some(&self, key: Key) -> Option<Token<'a>> {
        self.get(key).filter(|token| !token.is_null())
    }

    fn string(&self, key: Key, name: &'static str) -> Result<Option<Text<'a>>, DecodeFault> {
        self.value(key, Token::string, wrong(name, "a string"))
    }

    fn number(&self, key: Key, name: &'static str) -> Result<Option<i64>, DecodeFault> {
        let fault = wrong(name, "a whole number of 64 bits");
        self.value(key, Token::number, fault)
    }

    fn flag(&self, key: Key, name: &'static str) -> Result<bool, DecodeFault> {
        let flag = self.value(key, Token::flag, wrong(name, "true or false"))?;
        Ok(flag.unwrap_or(false))
    }

    fn value<T>(
        &self,
        key: Key,
        read: impl FnOnce(Token<'a>) -> Option<T>,
        fault: DecodeFault,
    ) -> Result<Option<T>, DecodeFault> {
        match self.some(key) {
            None => Ok(None),
            Some(token) => read(token).map(Some).ok_or(fault),
        }
    }
}

fn wrong(key: &'static str, expected: &'static str) -> DecodeFault {
    DecodeFault::WrongValue { key, expected }
}

fn uuid(token: Token<'_>) -> Option<Uuid> {
    Uuid::try_parse(&token.string()?.decode()).ok()
}

fn read<'a>(bytes: &'a [u8], keys: &mut Keys<'a>, keep: &Keep<'_>) -> Result<Fields, DecodeFault> {
    let json = std::str::from_utf8(bytes).map_err(|_| DecodeFault::NotUtf8("the message"))?;
    Reader::new(json).only_object(|name, token| {
        let name = name.decode();
        match Key::of(&name) {
            Some(key) => match keys.set(key, token) {
                None => Ok(()),
                Some(_) => Err(DecodeFault::DuplicateKey(name.into_owned())),
            },
            None if name.starts_with("x-") => Ok(()),
            None => Err(DecodeFault::UnknownKey(excerpt(&name))),
        }
    })?;

    let id = keys.value(Key::Id, uuid, wrong("id", "a UUID"))?;
    let id = id.unwrap_or_else(fresh);
    let mut message = Fields::new(id, 0);
    match keys.number(Key::Timestamp, "timestamp")? {
        Some(ms) => message.set_timestamp(ms)?,
        None => message.timestamp = now_ms(),
    }
    if let Some(name) = keys.string(Key::Type, "type")? {
        let name = name.decode();
        message.kind = MessageType::from_name(&name)
            .ok_or_else(|| DecodeFault::UnknownType(excerpt(&name)))?;
    }
    if let Some(name) = keys.string(Key::Status, "status")? {
        let name = name.decode();
        message.status =
            Status::from_name(&name).ok_or_else(|| DecodeFault::UnknownStatus(excerpt(&name)))?;
    }
    message.oneway = keys.flag(Key::Oneway, "oneway?")?;
    message.durable = keys.flag(Key::Durable, "durable?")?;
    message.expires_at = keys
        .number(Key::ExpiresAt, "expires-at")?
        .filter(|&ms| ms >= 0);
    if let Some(ms) = keys.number(Key::Timeout, "timeout")? {
        message.set_timeout(ms)?;
    }
    if let Some(id) = keys.string(Key::RequestId, "request-id")? {
        message.set_request_id(&id.decode())?;
    }
    if let Some(subject) = keys.string(Key::Subject, "subject")? {
        message.set_subject(&subject.decode())?;
    }
    if let Some(name) = keys.string(Key::Destination, "destination")? {
        message.set_destination(&name.decode())?;
    }
    if let Some(queue) = keys.string(Key::ReplyTo, "reply-to")? {
        message.set_reply_to(&queue.decode())?;
    }
    if let Some(headers) = keys.some(Key::Headers) {
        read_headers(&mut message, headers)?;
    }
    read_payload(&mut message, keys, keep)?;
    Ok(message)
}

fn read_headers(message: &mut Fields, token: Token<'_>) -> Result<(), DecodeFault> {
    const EXPECTED: &str = "an object of strings";
    if !token.is_object() {
        return Err(wrong("headers", EXPECTED));
    }
    Reader::new(token.json()).only_object(|key, value| {
        let value = value.string().ok_or_else(|| wrong("headers", EXPECTED))?;
        let key = key.decode();
        if message.headers.set(&key, &value.decode())? {
            Ok(())
        } else {
            Err(DecodeFault::DuplicateKey(key.into_owned()))
        }
    })
}

fn read_payload(message: &mut Fields, keys: &Keys<'_>, keep: &Keep<'_>) -> Result<(), DecodeFault> {
    let mimetype = keys.string(Key::Mimetype, "mimetype")?;
    if let Some(mimetype) = mimetype {
        message.set_mimetype(&mimetype.decode())?;
    }
    if let Some(charset) = keys.string(Key::Charset, "charset")? {
        message.charset = Some(charset.decode().parse()?);
    }
    let named = mimetype.is_some();
    match (keys.string(Key::Text, "text")?, keys.get(Key::Data)) {
        (Some(_), Some(_)) => Err(DecodeFault::Conflict("text and data exclude each other")),
        (Some(text), None) => {
            if !named {
                message.set_mimetype(TEXT_PLAIN)?;
            }
            set_text(message, text.decode(), keep)
        }
        (None, Some(data)) => {
            let is_json = message.mimetype == APPLICATION_JSON;
            let is_binary = match message.charset {
                Some(_) if named && !is_json => {
                    return Err(DecodeFault::Conflict(
                        "data with a charset is JSON; other text is in the key text",
                    ));
                }
                Some(_) => false,
                None if keys.get(Key::Charset).is_some() => true,
                None if named => !is_json,
                None => data.string().is_some(),
            };
            if is_binary {
                return set_binary(message, data);
            }
            message.set_mimetype(APPLICATION_JSON)?;
            set_text(message, data.json().into(), keep)
        }
        (None, None) => {
            if !named && message.charset.is_some() {
                message.set_mimetype(TEXT_PLAIN)?;
            }
            Ok(())
        }
    }
}

/// Takes a text that is part of the input, or was made from it.
fn set_text(message: &mut Fields, text: Cow<'_, str>, keep: &Keep<'_>) -> Result<(), DecodeFault> {
    let charset = *message.charset.get_or_insert(Charset::Utf8);
    message.payload = match text {
        Cow::Borrowed(text) if charset == Charset::Utf8 => keep(text.as_bytes()),
        text => charset.encode(text.into_owned())?.into(),
    };
    Ok(())
}

fn set_binary(message: &mut Fields, data: Token<'_>) -> Result<(), DecodeFault> {
    let payload = data
        .string()
        .and_then(|text| STANDARD.decode(text.decode().as_bytes()).ok())
        .ok_or_else(|| wrong("data", "a string of base64, with its padding"))?;
    message.payload = payload.into();
    Ok(())
}
