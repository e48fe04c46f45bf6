//! The options of a client.

use std::time::Duration;

use super::retry::RetryPolicy;
use super::security::{Credentials, Security};
use crate::broker::keys::{Identity, PublicKey};
use crate::broker::topics::Overflow;
use crate::options::EndpointOptions;

/// How much longer than the broker a client waits for an answer that itself may take its time.
const GRACE: Duration = Duration::from_secs(10);

/// The options of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    pub(super) security: Security,
    pub(super) terms: Terms,
    pub(super) heartbeat: Option<Duration>,
    pub(super) endpoint: EndpointOptions,
}

/// On what terms a handle asks.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) timeout: Duration,
    pub(super) retry: Option<RetryPolicy>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            security: Security::default(),
            terms: Terms {
                timeout: GRACE,
                retry: None,
            },
            heartbeat: None,
            endpoint: EndpointOptions::new().recv_max_size(251 << 20),
        }
    }
}

impl ClientOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the connection is encrypted, default false. A broker that does not take part is not spoken to.
    #[must_use]
    pub fn encrypt(mut self, required: bool) -> Self {
        self.security.encrypt = required;
        self
    }

    /// Who the client is: it logs in when it is connected, and again whenever it was connected anew. Default: nobody.
    ///
    /// The password is not sent over `tcp` and `ws` without [`encrypt`](Self::encrypt).
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.security.credentials = Some(Credentials::new(user, password));
        self
    }

    /// The key that the broker has to prove to have; it implies [`encrypt`](Self::encrypt). Default: any, so that the
    /// connection is secret but who is at its other end is not known.
    #[must_use]
    pub fn server_key(mut self, key: PublicKey) -> Self {
        self.security.server = Some(key);
        self
    }

    /// The key that the client proves to have; it implies [`encrypt`](Self::encrypt). Default: none. A broker may
    /// [serve](crate::broker::BrokerOptions::client_keys) only those whose keys it knows.
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.security.identity = Some(identity.clone());
        self
    }

    /// How long a request may take until it is answered, with all that is done to repeat it, default 10 s. The time that
    /// an offer or a poll may wait is added to it. [`Client::with_timeout`](super::Client::with_timeout) sets it for
    /// single calls.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.terms.timeout = time;
        self
    }

    /// Requests that fail, and may succeed later, are made again as the policy says. Default: none are. See
    /// [`RetryPolicy`] for which.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.terms.retry = Some(policy);
        self
    }

    /// After how long without a request the broker is sent a sign of life. Default: what the broker asks for, which is
    /// none unless it was [told to](crate::broker::BrokerOptions::heartbeat_interval); the shorter one holds. A
    /// connection over which nothing has come after three of them is given up, and made anew. [`Duration::ZERO`] is as
    /// good as none.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval).filter(|interval| !interval.is_zero());
        self
    }

    /// The options of the connection: reconnecting, TLS and the like.
    #[must_use]
    pub fn endpoint(mut self, options: EndpointOptions) -> Self {
        self.endpoint = options;
        self
    }
}

/// How a subscription is served. A builder.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SubscribeOptions {
    pub(super) overflow: Overflow,
    pub(super) depth: Option<usize>,
}

impl SubscribeOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens when the client does not keep up, default [`Overflow::DropOldest`]. What it misses is counted by
    /// [`Client::missed`](super::Client::missed).
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Publications of this subscription that wait at the broker at most, 1 to 100,000, default 1,000.
    #[must_use]
    pub fn depth(mut self, publications: usize) -> Self {
        self.depth = Some(publications);
        self
    }
}
