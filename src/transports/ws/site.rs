//! Ports that serve several listeners of the process, each at a path of its own.
//!
//! Every listener has a descriptor of the listening socket for itself, so that each is watched, and closing one leaves
//! the others. Any of them may accept any connection: one that asks for another's path is put in that one's inbox.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use socket2::Socket;

use super::handshake::Arrival;
use super::{Secret, http};
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::transports::tcp::{self, Bound};
use crate::url::Url;

/// Connections that may wait in an inbox: a listener takes them as soon as it is told.
const WAITING: usize = 128;

/// The ports that are listened at.
static SITES: Mutex<BTreeMap<SocketAddr, Site>> = Mutex::new(BTreeMap::new());

struct Site {
    socket: Socket,
    /// The same for all: whose path is asked for is not known before.
    secret: Secret,
    places: Arc<Places>,
}

/// The paths of a port.
#[derive(Default)]
pub(super) struct Places(Mutex<BTreeMap<String, Arc<Place>>>);

/// A listener's path.
pub(super) struct Place {
    pub(super) path: String,
    inbox: Mutex<VecDeque<Arrival>>,
    arrived: Arc<dyn Fn() + Send + Sync>,
}

/// What a listener holds of a port. Dropping it gives up the path, and the port with the last path.
pub(super) struct Seat {
    pub(super) bound: Bound,
    pub(super) places: Arc<Places>,
    pub(super) place: Arc<Place>,
}

impl Seat {
    /// Takes a path of a port that the process listens at already, or of a new one.
    pub(super) fn take(
        url: &Url,
        secret: Secret,
        arrived: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        let addresses = tcp::bindable(url)?;
        let mut sites = lock(&SITES);
        let known = |address: &SocketAddr| sites.get_key_value(address);
        let bound = match addresses.iter().find_map(known) {
            Some((_, site)) if site.secret != secret => return Err(Error::AddressInUse),
            Some((&address, site)) => Bound {
                socket: site.socket.try_clone()?,
                url: url.clone().with_port(address.port()),
                address,
            },
            None => Bound::at(url, addresses)?,
        };
        let site = match sites.entry(bound.address) {
            Entry::Occupied(site) => site.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Site {
                socket: bound.socket.try_clone()?,
                secret,
                places: Arc::default(),
            }),
        };
        let places = site.places.clone();
        let place = places.add(http::path(url), arrived)?;
        Ok(Self {
            bound,
            places,
            place,
        })
    }
}

impl Seat {
    /// Gives up the path, and the port with the last path. Does so once.
    pub(super) fn leave(&self) {
        let mut sites = lock(&SITES);
        if self.places.remove(&self.place) {
            sites.remove(&self.bound.address);
            self.bound.stop();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Places {
    fn add(&self, path: String, arrived: Arc<dyn Fn() + Send + Sync>) -> Result<Arc<Place>> {
        match lock(&self.0).entry(path.clone()) {
            Entry::Occupied(_) => Err(Error::AddressInUse),
            Entry::Vacant(vacant) => {
                let inbox = Mutex::default();
                let place = Place {
                    path,
                    inbox,
                    arrived,
                };
                Ok(vacant.insert(Arc::new(place)).clone())
            }
        }
    }

    /// Returns whether it was there and no other is left.
    fn remove(&self, place: &Arc<Place>) -> bool {
        let mut places = lock(&self.0);
        match places.entry(place.path.clone()) {
            Entry::Occupied(taken) if Arc::ptr_eq(taken.get(), place) => taken.remove(),
            _ => return false,
        };
        places.is_empty()
    }

    /// The listener at a path.
    pub(super) fn find(&self, path: &str) -> Option<Arc<Place>> {
        lock(&self.0).get(path).cloned()
    }
}

impl Place {
    /// Whether a connection more would have no room.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.inbox).len() >= WAITING
    }

    /// Gives the listener a connection; one without room is closed.
    pub(super) fn put(&self, arrival: Arrival) {
        let mut inbox = lock(&self.inbox);
        if inbox.len() < WAITING {
            inbox.push_back(arrival);
        }
        drop(inbox);
        (self.arrived)();
    }

    /// Takes a connection.
    pub(super) fn next(&self) -> Option<Arrival> {
        lock(&self.inbox).pop_front()
    }
}
