//! A broker made of this crate's sockets: queues, topics and functions for clients in any language.

mod auth;
mod batch;
mod budget;
mod caller;
mod client;
mod codec;
mod crypto;
mod dedupe;
mod endpoints;
mod error;
mod functions;
mod hub;
mod journal;
mod json;
mod keys;
mod leased;
mod line;
mod link;
mod message;
mod options;
mod pool;
mod queue;
mod queues;
mod router;
mod server;
#[cfg_attr(not(test), expect(dead_code, unused_imports))]
mod topics;
pub mod wal;
mod wrap;

pub use auth::{
    AclEntry, Action, AuthError, Authenticator, DEFAULT_ROUNDS, DestinationType, FileFault, Mode,
    Role, User,
};
pub use client::{
    BrokerStatus, Client, ClientEvent, ClientOptions, Events, QueuedMessage, RetryPolicy,
    SubscribeOptions,
};
pub use codec::{DecodeError, DecodeFault, Encoding, decode, encode};
pub use endpoints::{Attached, Endpoint, EndpointKind, EndpointStatus};
pub use error::{Error, Refusal, Result};
pub use functions::HandlerError;
pub use journal::{LogOptions, SyncPolicy};
pub use json::{JsonError, JsonFault};
pub use keys::{Identity, PublicKey};
pub use leased::{Leased, Nack};
pub use message::limits::{
    MAX_DESTINATION, MAX_HEADER_BYTES, MAX_HEADER_KEY, MAX_HEADERS, MAX_MIMETYPE, MAX_NESTING,
    MAX_REQUEST_ID, MAX_SUBJECT, check_name, check_pattern, is_reserved,
};
pub use message::{
    Category, Charset, ExpiryUnit, Field, Message, MessageError, MessageSize, MessageType, Status,
};
pub use options::BrokerOptions;
pub use queues::{QueueOptions, QueueStatus, QueueType};
pub use router::Stats;
pub use server::Broker;
pub use topics::Overflow;
