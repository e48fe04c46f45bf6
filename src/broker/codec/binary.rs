//! The binary encoding: a part that is always there, fields with numbers, and the payload.
//!
//! Every message is written in one way only, but for whether its payload is compressed, and the decoder refuses most
//! others.

use std::borrow::Cow;

use bytes::Bytes;
use uuid::Uuid;

use super::{DecodeError, DecodeFault, Encoding, Keep, gzip};
use crate::broker::message::{
    APPLICATION_JSON, Charset, Fields, Message, MessageSize, MessageType, OCTET_STREAM, Status,
    TEXT_PLAIN,
};

/// The first byte. The high half says that this is the binary encoding, the low half is the version.
pub(super) const VERSION_1: u8 = 0xb1;
/// Version, flags, type, status, id and timestamp.
const FIXED: usize = 28;

const ONEWAY: u8 = 0x01;
const DURABLE: u8 = 0x02;
/// Two bits: what the payload is, or that fields say so.
const CONTENT: u8 = 0x0c;
const CONTENT_BINARY: u8 = 0x04;
const CONTENT_TEXT: u8 = 0x08;
const CONTENT_JSON: u8 = 0x0c;
const KNOWN_FLAGS: u8 = ONEWAY | DURABLE | CONTENT;

const EXPIRES_AT: u8 = 1;
const TIMEOUT: u8 = 2;
const REQUEST_ID: u8 = 3;
const SUBJECT: u8 = 4;
const DESTINATION: u8 = 5;
const REPLY_TO: u8 = 6;
const MIMETYPE: u8 = 7;
const CHARSET: u8 = 8;
const HEADERS: u8 = 9;
/// How long the payload is that is here in gzip.
const UNPACKED: u8 = 10;
/// Fields from here on may be passed over by those who do not know them.
const OPTIONAL: u8 = 128;

/// Where the encoding has the flags, the type and the status.
const FLAGS_AT: usize = 1;
const TYPE_AT: usize = 2;
const STATUS_AT: usize = 3;

pub(super) fn encode(message: &Message) -> Bytes {
    write(message, None, message.payload_binary())
}

/// At the end of `out`.
pub(super) fn append(message: &Message, out: &mut Vec<u8>) {
    let payload = message.payload_binary();
    begin(message, None, payload.len(), out);
    out.extend_from_slice(payload);
}

/// As what [`Message::into_response`] makes of it under its own id.
pub(super) fn append_as_response(message: &Message, status: Status, out: &mut Vec<u8>) {
    let at = out.len();
    append(message, out);
    let fixed = &mut out[at..];
    fixed[FLAGS_AT] |= ONEWAY;
    fixed[TYPE_AT] = MessageType::Response.code();
    fixed[STATUS_AT] = status.code();
}

/// With the payload in gzip, if that makes it shorter.
pub(super) fn encode_packed(message: &Message) -> Bytes {
    let payload = message.payload_binary();
    let length = i64::try_from(payload.len()).ok();
    match (length, gzip::pack(payload)) {
        (Some(length), Some(packed)) => write(message, Some(length), &packed),
        _ => encode(message),
    }
}

/// With the payload of a message that is encoded already, as it is there.
pub(super) fn encode_around(message: &Message, encoded: &[u8]) -> Option<Bytes> {
    let mut input = Input(encoded.get(FIXED..)?);
    input.sized("the fields").ok()?;
    let unpacked = unpacked_length(encoded).and_then(|length| i64::try_from(length).ok());
    Some(write(message, unpacked, input.0))
}

/// `unpacked` is the length of the payload if this one is compressed.
fn write(message: &Message, unpacked: Option<i64>, payload: &[u8]) -> Bytes {
    let mut out = Vec::new();
    begin(message, unpacked, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out.into()
}

/// What comes before the payload.
pub(super) fn head(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    begin(message, None, 0, &mut out);
    out
}

/// Writes what comes before the payload, and makes room for that.
fn begin(message: &Message, unpacked: Option<i64>, payload: usize, out: &mut Vec<u8>) {
    let fields = fields_length(message, unpacked);
    let length = FIXED + length_of_length(fields) + fields;
    out.reserve(length + payload);
    out.push(VERSION_1);
    out.push(flags(message));
    out.push(message.kind().code());
    out.push(message.status().code());
    out.extend_from_slice(message.id().as_bytes());
    out.extend_from_slice(&message.timestamp().to_be_bytes());
    put_length(out, fields);
    each_field(message, unpacked, |tag, value| {
        out.push(tag);
        put_length(out, value.len());
        out.extend_from_slice(value);
    });
}

pub(super) fn size(message: &Message) -> MessageSize {
    let fields = fields_length(message, None);
    let meta = length_of_length(fields) + fields;
    let data = message.payload_binary().len();
    MessageSize {
        header: FIXED,
        meta,
        data,
        total: FIXED + meta + data,
    }
}

fn fields_length(message: &Message, unpacked: Option<i64>) -> usize {
    let mut length = 0;
    each_field(message, unpacked, |_, value| {
        length += 1 + length_of_length(value.len()) + value.len();
    });
    length
}

fn content(message: &Message) -> u8 {
    match (message.mimetype(), message.charset()) {
        (OCTET_STREAM, None) => CONTENT_BINARY,
        (TEXT_PLAIN, Some(Charset::Utf8)) => CONTENT_TEXT,
        (APPLICATION_JSON, Some(Charset::Utf8)) => CONTENT_JSON,
        _ => 0,
    }
}

fn flags(message: &Message) -> u8 {
    let mut flags = content(message);
    if message.is_oneway() {
        flags |= ONEWAY;
    }
    if message.is_durable() {
        flags |= DURABLE;
    }
    flags
}

/// Calls for each field that the message has, in ascending order.
fn each_field(message: &Message, unpacked: Option<i64>, mut field: impl FnMut(u8, &[u8])) {
    if let Some(at) = message.expires_at() {
        field(EXPIRES_AT, &at.to_be_bytes());
    }
    if let Some(timeout) = message.timeout() {
        field(TIMEOUT, &timeout.to_be_bytes());
    }
    if let Some(id) = message.request_id() {
        field(REQUEST_ID, id.as_bytes());
    }
    if !message.subject().is_empty() {
        field(SUBJECT, message.subject().as_bytes());
    }
    if let Some(destination) = message.destination() {
        field(DESTINATION, destination.as_bytes());
    }
    if let Some(queue) = message.reply_to() {
        field(REPLY_TO, queue.as_bytes());
    }
    if content(message) == 0 {
        field(MIMETYPE, message.mimetype().as_bytes());
        if let Some(charset) = message.charset() {
            field(CHARSET, charset.name().as_bytes());
        }
    }
    if message.has_headers() {
        let mut headers = Vec::new();
        for (key, value) in message.headers() {
            for text in [key, value] {
                put_length(&mut headers, text.len());
                headers.extend_from_slice(text.as_bytes());
            }
        }
        field(HEADERS, &headers);
    }
    if let Some(length) = unpacked {
        field(UNPACKED, &length.to_be_bytes());
    }
}

/// Seven bits to a byte, the low ones first; all bytes but the last have the high bit set.
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn length_of_length(length: usize) -> usize {
    let bits = usize::BITS - length.max(1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// How long the payload is said to be, if this is a message with one that is compressed.
pub(super) fn unpacked_length(bytes: &[u8]) -> Option<u64> {
    if bytes.first() != Some(&VERSION_1) {
        return None;
    }
    let mut input = Input(bytes.get(FIXED..)?);
    let mut fields = Input(input.sized("the fields").ok()?);
    while let Some(tag) = fields.byte() {
        let value = fields.sized("a field").ok()?;
        if tag == UNPACKED {
            let length = number("the payload's length", value).ok()?;
            return u64::try_from(length).ok();
        }
    }
    None
}

/// `longest` is how long a payload may become that is compressed.
pub(super) fn decode(
    bytes: &[u8],
    longest: usize,
    keep: &Keep<'_>,
) -> Result<Message, DecodeError> {
    let id = bytes
        .get(4..20)
        .and_then(|id| Uuid::from_slice(id).ok())
        .filter(|id| !id.is_nil());
    read(bytes, longest, keep)
        .map(Message::from_fields)
        .map_err(|fault| DecodeError::new(fault, Some(Encoding::Binary)).with_id(id))
}

fn read(bytes: &[u8], longest: usize, keep: &Keep<'_>) -> Result<Fields, DecodeFault> {
    let mut input = Input(bytes);
    let [_, flags, kind, status] = input.array("the fixed part")?;
    let id = Uuid::from_bytes(input.array("the fixed part")?);
    let timestamp = i64::from_be_bytes(input.array("the fixed part")?);
    if flags & !KNOWN_FLAGS != 0 {
        return Err(DecodeFault::UnknownFlags(flags & !KNOWN_FLAGS));
    }

    let mut message = Fields::new(id, 0);
    message.set_timestamp(timestamp)?;
    message.kind =
        MessageType::from_code(kind).ok_or_else(|| DecodeFault::UnknownType(kind.to_string()))?;
    message.status =
        Status::from_code(status).ok_or_else(|| DecodeFault::UnknownStatus(status.to_string()))?;
    message.oneway = flags & ONEWAY != 0;
    message.durable = flags & DURABLE != 0;

    let mut fields = Input(input.sized("the fields")?);
    let payload = input.0;
    let (mut last, mut mimetype, mut unpacked) = (0, false, None);
    while let Some(tag) = fields.byte() {
        if tag <= last {
            return Err(DecodeFault::FieldOrder(tag));
        }
        last = tag;
        let value = fields.sized("a field")?;
        match tag {
            EXPIRES_AT => message.set_expires_at(number("expires-at", value)?)?,
            TIMEOUT => message.set_timeout(number("timeout", value)?)?,
            REQUEST_ID => message.set_request_id(text("request-id", value)?)?,
            SUBJECT => message.set_subject(text("subject", value)?)?,
            DESTINATION => message.set_destination(text("destination", value)?)?,
            REPLY_TO => message.set_reply_to(text("reply-to", value)?)?,
            MIMETYPE => {
                message.set_mimetype(text("mimetype", value)?)?;
                mimetype = true;
            }
            CHARSET => message.charset = Some(text("charset", value)?.parse()?),
            HEADERS => read_headers(&mut message, value)?,
            UNPACKED => unpacked = Some(number("the payload's length", value)?),
            OPTIONAL.. => {}
            _ => return Err(DecodeFault::UnknownField(tag)),
        }
    }
    set_content(&mut message, flags & CONTENT, mimetype)?;
    message.set_payload(match unpacked {
        Some(length) => gzip::unpack(payload, length, longest)?.into(),
        None => keep(payload),
    })?;
    Ok(message)
}

/// What the flags say the payload is; `mimetype` is whether a field says it, too.
fn set_content(message: &mut Fields, content: u8, mimetype: bool) -> Result<(), DecodeFault> {
    let charset = message.charset.is_some();
    let (known, is_text) = match content {
        CONTENT_BINARY => (OCTET_STREAM, false),
        CONTENT_TEXT => (TEXT_PLAIN, true),
        CONTENT_JSON => (APPLICATION_JSON, true),
        _ if mimetype => return Ok(()),
        _ => {
            return Err(DecodeFault::Conflict(
                "neither the flags nor a field say what the payload is",
            ));
        }
    };
    if mimetype || charset {
        return Err(DecodeFault::Conflict(
            "the flags say what the payload is, and so does a field",
        ));
    }
    message.mimetype = Cow::Borrowed(known);
    message.charset = is_text.then_some(Charset::Utf8);
    Ok(())
}

fn read_headers(message: &mut Fields, value: &[u8]) -> Result<(), DecodeFault> {
    let mut input = Input(value);
    let mut last = "";
    while !input.0.is_empty() {
        let key = text("a header's key", input.sized("a header")?)?;
        let value = text("a header's value", input.sized("a header")?)?;
        if key <= last && !last.is_empty() {
            return Err(DecodeFault::HeaderOrder);
        }
        message.headers.set(key, value)?;
        last = key;
    }
    Ok(())
}

fn text<'a>(what: &'static str, value: &'a [u8]) -> Result<&'a str, DecodeFault> {
    std::str::from_utf8(value).map_err(|_| DecodeFault::NotUtf8(what))
}

fn number(field: &'static str, value: &[u8]) -> Result<i64, DecodeFault> {
    let bytes = value.try_into().map_err(|_| DecodeFault::FieldLength {
        field,
        length: value.len(),
        expected: 8,
    })?;
    Ok(i64::from_be_bytes(bytes))
}

/// What has not been read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeFault> {
        let (&array, rest) = self
            .0
            .split_first_chunk()
            .ok_or(DecodeFault::Truncated(what))?;
        self.0 = rest;
        Ok(array)
    }

    /// Bytes that have their length in front of them.
    fn sized(&mut self, what: &'static str) -> Result<&'a [u8], DecodeFault> {
        let length = self.length(what)?;
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeFault::Truncated(what))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn length(&mut self, what: &'static str) -> Result<usize, DecodeFault> {
        let mut length = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte().ok_or(DecodeFault::Truncated(what))?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break;
                }
                return u32::try_from(length)
                    .ok()
                    .and_then(|length| usize::try_from(length).ok())
                    .ok_or(DecodeFault::BadLength(what));
            }
        }
        Err(DecodeFault::BadLength(what))
    }
}
