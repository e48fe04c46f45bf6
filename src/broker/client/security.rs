//! How a client wants its connection to be, and who it is.

use std::fmt;

use zeroize::Zeroizing;

use crate::broker::keys::{Identity, PublicKey};
use crate::broker::message::{Message, MessageType};
use crate::error::{Error, Result};

/// How a client wants its connection to be.
#[derive(Debug, Clone, Default)]
pub(in crate::broker) struct Security {
    pub(in crate::broker) encrypt: bool,
    /// The key that the broker must prove to have.
    pub(in crate::broker) server: Option<PublicKey>,
    pub(in crate::broker) identity: Option<Identity>,
    pub(in crate::broker) credentials: Option<Credentials>,
}

impl Security {
    /// Whether the connection has to be encrypted.
    pub(in crate::broker) fn encrypts(&self) -> bool {
        self.encrypt || self.server.is_some() || self.identity.is_some()
    }
}

/// Who a client is.
#[derive(Clone)]
pub(in crate::broker) struct Credentials {
    pub(in crate::broker) user: String,
    pub(in crate::broker) password: Zeroizing<String>,
}

impl Credentials {
    pub(in crate::broker) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.into(),
            password: Zeroizing::new(password.into()),
        }
    }

    pub(in crate::broker) fn letter(&self) -> Result<Message> {
        let lines = Zeroizing::new(format!("{}\n{}", self.user, *self.password));
        Message::plain_text(None, "", lines.as_str())
            .and_then(|letter| letter.addressed_to(MessageType::Authentication, None))
            .map_err(|_| Error::InvalidArgument("the user or the password"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
