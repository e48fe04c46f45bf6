//! Events as events of `tracing`.

use tracing::{debug, warn};

use super::core::Core;
use super::events::Event;

/// The target of all of them.
const TARGET: &str = "wirebird";

impl Core {
    /// Passes an event on. Runs where observers do.
    pub(super) fn trace(&self, event: &Event) {
        let (socket, protocol) = (self.id, self.info.name);
        match event {
            Event::Dialing { url } => debug!(target: TARGET, socket, protocol, url, "dialing"),
            Event::Added(pipe) => debug!(
                target: TARGET, socket, protocol, pipe = pipe.id.number(), peer = %pipe.peer, url = pipe.url,
                "pipe added"
            ),
            Event::Removed { pipe, reason } => debug!(
                target: TARGET, socket, protocol, pipe = pipe.id.number(), peer = %pipe.peer, %reason,
                "pipe removed"
            ),
            Event::Reconnecting { url, retry_in } => {
                debug!(target: TARGET, socket, protocol, url, ?retry_in, "reconnecting");
            }
            Event::Rejected { pipe, reason } => warn!(
                target: TARGET, socket, protocol, peer = %pipe.peer, url = pipe.url, %reason,
                "peer rejected"
            ),
            Event::HandshakeFailed { url, peer, reason } => {
                warn!(target: TARGET, socket, protocol, url, %peer, %reason, "handshake failed");
            }
            Event::DialFailed {
                url,
                reason,
                retry_in,
            } => warn!(target: TARGET, socket, protocol, url, %reason, ?retry_in, "dial failed"),
            Event::AcceptFailed { url, reason } => {
                warn!(target: TARGET, socket, protocol, url, %reason, "accept failed");
            }
            Event::Dropping { pipe, reason } => warn!(
                target: TARGET, socket, protocol, pipe = pipe.id.number(), peer = %pipe.peer, ?reason,
                "messages are dropped"
            ),
        }
    }
}
