//! `inproc://`: two sockets of one process. What a socket has to send is moved over as it is.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, LazyLock, OnceLock};

use rustix::fd::BorrowedFd;

use super::{
    Acceptor, Connection, Demand, Ends, Established, Handshake, Otherwise, Progress, Received,
    Setup, Transport,
};
use crate::address::Address;
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::sys::poller::Event;
use crate::url::Url;
use crate::wire::{Batch, Decoder, Framing, Parcel};

/// What one direction of a connection holds, in bytes, before it takes no more.
const CAPACITY: usize = 32 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;

/// Listeners by name.
static NAMES: LazyLock<Mutex<HashMap<String, Arc<Entry>>>> = LazyLock::new(Mutex::default);

/// The transport.
pub(super) struct Inproc;

struct Entry {
    waiting: Mutex<VecDeque<InprocHandshake>>,
    protocol: u16,
    arrived: Arc<dyn Fn() + Send + Sync>,
}

// ---- dialing ----

impl Transport for Inproc {
    fn resolve(&self, url: &Url) -> Result<Vec<Address>> {
        Ok(vec![Address::Inproc(url.path().into())])
    }

    fn connect(&self, _: &Url, address: &Address, setup: &Setup) -> Result<Box<dyn Handshake>> {
        let Address::Inproc(name) = address else {
            return Err(Error::InvalidArgument("inproc needs a name"));
        };
        let entry = lock(&NAMES)
            .get(name)
            .cloned()
            .ok_or(Error::ConnectionRefused)?;
        let (ours, theirs) = pair(address);
        let mut waiting = lock(&entry.waiting);
        if waiting.len() == BACKLOG {
            return Err(Error::ConnectionRefused);
        }
        waiting.push_back(InprocHandshake {
            connection: theirs,
            protocol: setup.protocol,
        });
        drop(waiting);
        (entry.arrived)();
        Ok(Box::new(InprocHandshake {
            connection: ours,
            protocol: entry.protocol,
        }))
    }

    fn listen(
        &self,
        url: &Url,
        setup: &Setup,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Acceptor>> {
        use std::collections::hash_map::Entry as Slot;
        let entry = Arc::new(Entry {
            waiting: Mutex::default(),
            protocol: setup.protocol,
            arrived,
        });
        match lock(&NAMES).entry(url.path().into()) {
            Slot::Occupied(_) => Err(Error::AddressInUse),
            Slot::Vacant(slot) => {
                slot.insert(entry.clone());
                Ok(Box::new(InprocAcceptor {
                    entry,
                    url: url.clone(),
                }))
            }
        }
    }
}

struct InprocHandshake {
    connection: Arc<InprocConnection>,
    protocol: u16,
}

impl Handshake for InprocHandshake {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn advance(&mut self) -> Result<Progress> {
        let connection = self.connection.clone();
        Ok(Progress::Done(Established {
            connection,
            protocol: self.protocol,
        }))
    }

    fn peer(&self) -> Address {
        self.connection.name.clone()
    }
}

// ---- listening ----

struct InprocAcceptor {
    entry: Arc<Entry>,
    url: Url,
}

impl Acceptor for InprocAcceptor {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn accept(&self, _: &Setup) -> io::Result<Box<dyn Handshake>> {
        let next = lock(&self.entry.waiting).pop_front();
        Ok(Box::new(next.ok_or(io::ErrorKind::WouldBlock)?))
    }

    fn stop(&self) {
        self.leave();
    }

    fn url(&self) -> &Url {
        &self.url
    }

    fn address(&self) -> Address {
        Address::Inproc(self.url.path().into())
    }
}

impl InprocAcceptor {
    /// Gives up the name. Does so once.
    fn leave(&self) {
        let mut names = lock(&NAMES);
        let ours = names
            .get(self.url.path())
            .is_some_and(|entry| Arc::ptr_eq(entry, &self.entry));
        let gone = ours.then(|| names.remove(self.url.path()));
        drop(names);
        drop(gone);
        // Whoever waited to be accepted learns that nobody will.
        let waiting = std::mem::take(&mut *lock(&self.entry.waiting));
        drop(waiting);
    }
}

impl Drop for InprocAcceptor {
    fn drop(&mut self) {
        self.leave();
    }
}

// ---- a connection ----

/// One direction.
#[derive(Default)]
struct Channel {
    state: Mutex<ChannelState>,
    demand: Arc<Demand>,
}

#[derive(Default)]
struct ChannelState {
    parcel: Parcel,
    /// The sender will send no more.
    finished: bool,
    /// The receiver is gone.
    abandoned: bool,
    /// The sender waits for room.
    awaited: bool,
}

/// One end of a connection.
struct InprocConnection {
    name: Address,
    out: Arc<Channel>,
    into: Arc<Channel>,
    here: Arc<Ear>,
    there: Arc<Ear>,
}

/// Whom to tell about one end.
type Ear = OnceLock<Arc<dyn Fn(Event) + Send + Sync>>;

fn pair(name: &Address) -> (Arc<InprocConnection>, Arc<InprocConnection>) {
    let (one, other) = (Arc::new(Channel::default()), Arc::new(Channel::default()));
    let (here, there) = (Arc::new(Ear::new()), Arc::new(Ear::new()));
    let ours = InprocConnection {
        name: name.clone(),
        out: one.clone(),
        into: other.clone(),
        here: here.clone(),
        there: there.clone(),
    };
    let theirs = InprocConnection {
        name: name.clone(),
        out: other,
        into: one,
        here: there,
        there: here,
    };
    (Arc::new(ours), Arc::new(theirs))
}

/// Both ends of a connection, for models, which cannot use the names: those live longer than a run of a model.
#[cfg(wirebird_loom)]
pub(crate) fn ends() -> (Arc<dyn Connection>, Arc<dyn Connection>) {
    let (one, other) = pair(&Address::Inproc("model".into()));
    (one, other)
}

impl InprocConnection {
    fn tell_peer(&self, readable: bool, writable: bool, hangup: bool) {
        if let Some(tell) = self.there.get() {
            tell(Event {
                key: 0,
                readable,
                writable,
                hangup,
            });
        }
    }
}

impl Connection for InprocConnection {
    fn framing(&self) -> Framing {
        Framing::Local
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn set_listener(&self, listener: Arc<dyn Fn(Event) + Send + Sync>) {
        // A connection becomes a pipe once.
        let _ = self.here.set(listener);
    }

    fn send(&self, batch: &mut Batch) -> io::Result<()> {
        let mut state = lock(&self.out.state);
        if state.abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut tell = false;
        if state.parcel.len() < CAPACITY {
            batch.move_to(&mut state.parcel);
            tell = self.out.demand.satisfy();
        }
        drop(state);
        if tell {
            self.tell_peer(true, false, false);
        }
        Ok(())
    }

    fn demand(&self) -> Option<Arc<Demand>> {
        Some(self.out.demand.clone())
    }

    fn await_room(&self) -> bool {
        let mut state = lock(&self.out.state);
        state.awaited = state.parcel.len() >= CAPACITY && !state.abandoned;
        !state.awaited
    }

    fn recv(&self, decoder: &mut Decoder, otherwise: Otherwise) -> io::Result<Received> {
        let mut state = lock(&self.into.state);
        if state.parcel.is_empty()
            && otherwise != Otherwise::TriesAgain
            && self.into.demand.ask(otherwise)
        {
            drop(state);
            // The sender's messages are fetched on this thread.
            self.tell_peer(false, true, false);
            state = lock(&self.into.state);
        }
        if state.parcel.is_empty() {
            return Ok(match otherwise {
                _ if state.finished => Received::End,
                Otherwise::Waits => Received::Nothing,
                Otherwise::TriesAgain | Otherwise::GivesUp => Received::Unwatched,
            });
        }
        decoder.unpack(&mut state.parcel);
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.tell_peer(false, true, false);
        }
        Ok(Received::Some { more: true })
    }

    fn has_arrivals(&self) -> bool {
        self.into.demand.has_offer()
    }

    fn finish(&self) {
        lock(&self.out.state).finished = true;
        self.tell_peer(true, false, true);
    }

    fn ends(&self) -> Ends {
        Ends::new(self.name.clone(), self.name.clone())
    }
}

impl Drop for InprocConnection {
    fn drop(&mut self) {
        lock(&self.out.state).finished = true;
        let mut into = lock(&self.into.state);
        into.abandoned = true;
        let unread = std::mem::take(&mut into.parcel);
        drop(into);
        drop(unread);
        self.tell_peer(true, true, true);
    }
}
