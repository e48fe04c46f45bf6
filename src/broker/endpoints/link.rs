//! An endpoint's part in the broker: it is a session like that of a client, whose requests are made in the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::Endpoint;
use super::inbox::{Answer, Call, Heard, Inbox};
use super::shown::Shown;
use crate::broker::hub::Shared;
use crate::broker::message::{Charset, Message as Letter, MessageType, Status};
use crate::broker::queue::SessionId;
use crate::broker::router::{InTransit, Publication, Returned, Router};
use crate::engine::lock;

/// How long an endpoint waits that cannot go on, before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// Of the payloads that come from peers, unless they are said to be text.
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain";

/// What an endpoint's tasks share.
pub(super) struct Link {
    shared: Arc<Shared>,
    pub(super) session: SessionId,
    pub(super) inbox: Arc<Inbox>,
    pub(super) shown: Arc<Shown>,
    text: bool,
    message_size: usize,
}

impl Link {
    /// Opens a session for the endpoint.
    pub(super) fn open(shared: &Arc<Shared>, endpoint: &Endpoint, message_size: usize) -> Self {
        let shown = Arc::new(Shown::new(endpoint.kind, &endpoint.destination));
        let user = endpoint.user.as_deref().map(Into::into);
        let mut hub = lock(&shared.state);
        let inbox = Arc::new(Inbox::new(hub.router.limits().outbox_bytes));
        let session = hub.next_session();
        hub.locals.insert(session, inbox.clone());
        hub.router.open_endpoint(session, user, shown.clone());
        drop(hub);
        Self {
            shared: shared.clone(),
            session,
            inbox,
            shown,
            text: endpoint.text,
            message_size,
        }
    }

    /// Ends the session: what was on its way to the endpoint goes back, who called its workers is told.
    pub(super) fn close(&self) {
        lock(&self.shared.state).locals.remove(self.session);
        self.shared.with(|router, now, out| {
            let (items, calls) = self.inbox.close();
            router.remove_workers(self.shown.destination(), &self.inbox);
            // Newest first, so that each goes back in front of those that came after it.
            for item in items.into_iter().rev() {
                router.undelivered(item, now, out);
            }
            for call in calls {
                router.returned(call.session, &call.request, Err(gone()), now, out);
            }
            router.close(self.session, now, out);
        });
    }

    // ---- messages ----

    /// What a peer has sent, as a request to the endpoint's destination. `None`, and counted, if it is too long.
    pub(super) fn request(&self, kind: MessageType, body: impl Into<Bytes>) -> Option<Letter> {
        self.shown.received();
        let letter = self.letter(body.into())?;
        letter.addressed_to(kind, self.shown.destination()).ok()
    }

    /// A payload of a peer as a message.
    pub(super) fn letter(&self, payload: Bytes) -> Option<Letter> {
        if payload.len() > self.message_size {
            self.shown.refused(format!(
                "{}: a message of {} bytes, and {} are allowed",
                Status::BadRequest.name(),
                payload.len(),
                self.message_size
            ));
            return None;
        }
        let text = self.text && std::str::from_utf8(&payload).is_ok();
        let (mimetype, charset) = match text {
            true => (TEXT, Some(Charset::Utf8)),
            false => (BYTES, None),
        };
        Letter::with_payload(None, "", mimetype, charset, payload).ok()
    }

    /// A request without content to the endpoint's destination.
    pub(super) fn bare(&self, kind: MessageType) -> Option<Letter> {
        let letter = Letter::with_payload(None, "", BYTES, None, Bytes::new()).ok()?;
        letter.addressed_to(kind, self.shown.destination()).ok()
    }

    // ---- the broker ----

    /// Makes a request, and returns its id, to wait for the answer with; `None` if the endpoint closes.
    pub(super) fn begin(&self, request: Letter) -> Option<Uuid> {
        let id = request.id();
        self.inbox.expect(id).then(|| {
            self.shared
                .with(|router, now, out| router.request(self.session, request, now, out));
            id
        })
    }

    /// Makes a request, and waits for the answer; `None` if the endpoint closes.
    pub(super) async fn ask(&self, request: Letter) -> Option<Answer> {
        let id = self.begin(request)?;
        self.inbox.answer(id).await
    }

    /// An item has gone to a peer.
    pub(super) fn delivered(&self, item: InTransit) {
        self.shown.sent();
        self.shared
            .with(|router, now, _| router.delivered(item, now));
    }

    /// An item could not go to a peer: it goes back to its place.
    pub(super) fn put_back(&self, item: InTransit) {
        self.shared
            .with(|router, now, out| router.undelivered(item, now, out));
    }

    /// The next call for the endpoint's workers; `None` if the endpoint closes.
    pub(super) async fn call(&self) -> Option<Call> {
        self.inbox.call().await
    }

    /// A call has ended.
    pub(super) fn returned(&self, call: &Call, result: Returned) {
        self.shared.with(|router, now, out| {
            router.returned(call.session, &call.request, result, now, out)
        });
    }

    /// The next publication; `Some(None)` if the endpoint has to subscribe again, `None` if it closes.
    pub(super) async fn publication(&self) -> Option<Option<Arc<Publication>>> {
        loop {
            let time = self.shared.deadline(PAUSE)?;
            if let Heard::Publication(publication) = self.inbox.publication(time).await? {
                return Some(Some(publication));
            }
            let subscribes = |router: &mut Router, _, _: &mut _| router.subscribes(self.session);
            if !self.shared.with(subscribes) {
                return Some(None);
            }
        }
    }

    /// Waits a little, because nothing can go on now; `None` if the endpoint closes.
    pub(super) async fn pause(&self) -> Option<()> {
        self.inbox.pause(self.shared.deadline(PAUSE)?).await
    }
}

/// What calls are told whose workers' endpoint closes.
pub(super) fn gone() -> (Status, String) {
    let text = "the function's workers are gone";
    (Status::RetryLater, text.into())
}
