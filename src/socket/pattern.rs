//! The patterns: which machine a socket type has, and what it can do.

use std::hash::{BuildHasher, RandomState};

use crate::protocols::pair::Pair;
use crate::protocols::{
    Protocol, bus, poly, publish, pull, push, rep, req, respondent, subscribe, surveyor,
};

mod sealed {
    use crate::protocols::Protocol;

    /// Keeps the traits closed, and makes the machine.
    pub trait Sealed {
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "only this crate can name or call it")]
        fn machine() -> Box<dyn Protocol>;
    }
}

pub(super) use sealed::Sealed;

/// One side of a protocol: the parameter of [`Socket`](super::Socket).
pub trait Pattern: Sealed + Send + Sync + 'static {}

/// A pattern that sends.
pub trait Sends: Pattern {}

/// A pattern that receives.
pub trait Receives: Pattern {}

/// A pattern with contexts.
pub trait Contexts: Pattern {}

/// A pattern that answers what it receives.
pub trait Replies: Sends + Receives + Contexts {}

/// A pattern with subscriptions.
pub trait Subscribes: Pattern {}

macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $machine:expr, $($can:ident),*;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Sealed for $name {
            #[allow(private_interfaces, reason = "only this crate can name or call it")]
            fn machine() -> Box<dyn Protocol> {
                Box::new($machine)
            }
        }

        impl Pattern for $name {}
        $(impl $can for $name {})*
    )*};
}

patterns! {
    /// Version 0 pair.
    PairV0 = Pair::v0(false), Sends, Receives;
    /// Version 1 pair.
    PairV1 = Pair::v1(false), Sends, Receives;
    /// Version 1 pair with many peers.
    PairPolyamorous = poly::PairPoly::new(), Sends, Receives;
    /// Request side.
    Request = req::Req::new(seed()), Sends, Receives, Contexts;
    /// Reply side.
    Reply = rep::Rep::new(), Sends, Receives, Contexts, Replies;
    /// Publishing side.
    Publish = publish::Publish::new(false), Sends;
    /// Subscribing side.
    Subscribe = subscribe::Subscribe::new(), Receives, Contexts, Subscribes;
    /// Pushing side.
    PushSide = push::Push::new(false), Sends;
    /// Pulling side.
    PullSide = pull::Pull::new(), Receives;
    /// Surveying side.
    Survey = surveyor::Surveyor::new(seed()), Sends, Receives, Contexts;
    /// Responding side.
    Respond = respondent::Respondent::new(), Sends, Receives, Contexts, Replies;
    /// Bus.
    BusNode = bus::Bus::new(false), Sends, Receives;
}

/// A protocol, for sockets whose protocol is chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RawKind {
    /// Version 0 pair.
    Pair0,
    /// Version 1 pair: the header is the hop count.
    Pair1,
    /// Publishing side.
    Pub,
    /// Subscribing side; receives everything.
    Sub,
    /// Request side: the header ends with the request's number.
    Req,
    /// Reply side: the header begins with the pipe's number.
    Rep,
    /// Pushing side.
    Push,
    /// Pulling side.
    Pull,
    /// Surveying side.
    Surveyor,
    /// Responding side.
    Respondent,
    /// Bus: the header is the number of the pipe a message came from.
    Bus,
}

impl RawKind {
    pub(super) fn machine(self) -> Box<dyn Protocol> {
        match self {
            Self::Pair0 => Box::new(Pair::v0(true)),
            Self::Pair1 => Box::new(Pair::v1(true)),
            Self::Pub => Box::new(publish::Publish::new(true)),
            Self::Sub => Box::new(subscribe::RawSubscribe::new()),
            Self::Req => Box::new(req::RawReq::new()),
            Self::Rep => Box::new(rep::RawRep::new()),
            Self::Push => Box::new(push::Push::new(true)),
            Self::Pull => Box::new(pull::Pull::new()),
            Self::Surveyor => Box::new(surveyor::RawSurveyor::new()),
            Self::Respondent => Box::new(respondent::RawRespondent::new()),
            Self::Bus => Box::new(bus::Bus::new(true)),
        }
    }

    /// Whether such a socket sends.
    #[must_use]
    pub fn sends(self) -> bool {
        !matches!(self, Self::Sub | Self::Pull)
    }

    /// Whether such a socket receives.
    #[must_use]
    pub fn receives(self) -> bool {
        !matches!(self, Self::Pub | Self::Push)
    }
}

/// Where request and survey numbers start: anywhere, so that a program that restarts does not take late answers to
/// its predecessor for its own.
fn seed() -> u32 {
    RandomState::new().hash_one(0) as u32 // any 32 of its bits
}
