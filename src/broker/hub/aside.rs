//! What takes long is done without the broker's locks: long payloads are compressed, and unpacked, on threads of their own,
//! and others are served meanwhile.
//!
//! For the client itself nothing changes. Behind an answer that is being compressed no other goes out, and behind a request
//! that is being unpacked nothing is read. So there is at most one of each for a connection. A publication is compressed
//! once for all of its subscribers, who get it and those behind it when that is done.

use std::sync::Arc;

use bytes::Bytes;

use super::{Hub, Shared};
use crate::broker::codec::{DecodeError, Encoding, decode_within, encode_packed, unpacked_length};
use crate::broker::link::LONG;
use crate::broker::message::Message;
use crate::broker::queue::SessionId;
use crate::broker::router::{Now, Publication};
use crate::engine::lock;
use crate::protocols::Io;

/// No message is shorter that has a long payload in gzip.
const SHORTEST: usize = 100;

/// What a client has sent.
pub(super) type Decoded = Result<(Message, Encoding), DecodeError>;

/// What is to be done aside.
pub(super) enum Task {
    /// To compress an answer, if its payload is at least so long.
    Pack(SessionId, Message, usize),
    /// To read a request, whose payload may become so long.
    Unpack(SessionId, Bytes, usize),
    /// To compress a publication, if its payload is at least so long.
    PackForAll(Arc<Publication>, usize),
}

/// What has become of it.
pub(super) enum Done {
    Packed(SessionId, Bytes),
    Unpacked(SessionId, Decoded),
    PackedForAll,
}

impl Task {
    fn run(self) -> Done {
        match self {
            Self::Pack(session, answer, cutoff) => {
                Done::Packed(session, encode_packed(&answer, cutoff))
            }
            Self::Unpack(session, body, longest) => {
                Done::Unpacked(session, decode_within(body, longest))
            }
            Self::PackForAll(publication, cutoff) => {
                let _ = publication.frame(Encoding::Binary, Some(cutoff));
                Done::PackedForAll
            }
        }
    }
}

impl Shared {
    /// Has something done by another thread, and then gone on with. Returns whether there is one for it.
    pub(super) fn aside(self: &Arc<Self>, task: Task) -> bool {
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            let done = task.run();
            if let Some(shared) = weak.upgrade() {
                lock(&shared.state).done.push(done);
                shared.poke();
            }
        });
        self.packers.run(job).is_ok()
    }
}

impl Hub {
    /// Goes on with what was done aside, if its client is still there.
    pub(super) fn go_on(&mut self, done: Done, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        let session = match done {
            Done::Packed(session, plain) => {
                let link = self.links.get_mut(&session);
                let Some(sealed) = link.and_then(|link| link.packed(plain)) else {
                    return;
                };
                self.push(session, sealed, now, io);
                self.flush(session, now, shared, io);
                session
            }
            Done::Unpacked(session, decoded) => {
                let link = self.links.get_mut(&session);
                if link.and_then(|link| link.unpacking.take()).is_none() {
                    return;
                }
                self.request(session, decoded, now, shared, io);
                session
            }
            Done::PackedForAll => {
                for session in std::mem::take(&mut self.await_packed) {
                    if let Some(link) = self.links.get_mut(&session) {
                        link.awaits_packed = false;
                        self.flush(session, now, shared, io);
                    }
                }
                return;
            }
        };
        self.resume(session, now, shared, io);
    }

    /// Has a publication compressed that a client is to get, if somebody can. The client gets it then.
    pub(super) fn pack_for_all(
        &mut self,
        publication: Arc<Publication>,
        cutoff: usize,
        session: SessionId,
        shared: &Arc<Shared>,
    ) -> bool {
        if publication.begin_packing() && !shared.aside(Task::PackForAll(publication, cutoff)) {
            return false;
        }
        if let Some(link) = self.links.get_mut(&session)
            && !std::mem::replace(&mut link.awaits_packed, true)
        {
            self.await_packed.push(session);
        }
        true
    }

    /// Reads at once the request that is being unpacked, because its client has gone.
    pub(super) fn hurry(
        &mut self,
        session: SessionId,
        now: Now,
        shared: &Arc<Shared>,
        io: &mut dyn Io,
    ) {
        let link = self.links.get_mut(&session);
        if let Some(body) = link.and_then(|link| link.unpacking.take()) {
            let decoded = decode_within(body, self.router.longest(session));
            self.request(session, decoded, now, shared, io);
        }
    }
}

/// Whether others would feel it if the locks were kept while a message is read.
pub(super) fn is_long(body: &[u8]) -> bool {
    body.len() >= SHORTEST && unpacked_length(body).is_some_and(|length| length >= LONG as u64)
}
