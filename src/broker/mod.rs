//! A broker made of this crate's sockets: queues, topics and functions with access control.

mod codec;
mod json;
mod message;

pub use codec::{DecodeError, DecodeFault, Encoding, decode, encode};
pub use json::{JsonError, JsonFault};
pub use message::limits::{
    MAX_DESTINATION, MAX_HEADER_BYTES, MAX_HEADER_KEY, MAX_HEADERS, MAX_MIMETYPE, MAX_NESTING,
    MAX_REQUEST_ID, MAX_SUBJECT, check_name, check_pattern, is_reserved,
};
pub use message::{
    Category, Charset, ExpiryUnit, Field, Message, MessageError, MessageSize, MessageType, Status,
};
