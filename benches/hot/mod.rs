//! The hot paths, one round of each as a closure: `micro` times them and `instructions` counts them.

pub(crate) mod codec;
pub(crate) mod machines;
pub(crate) mod message;

/// What the library keeps to itself, compiled once more: so it is measured without being made public. A program that
/// uses this has these modules at its root, where their own paths lead.
#[allow(unreachable_pub, reason = "it is public in the library")]
#[path = "../../src"]
pub(crate) mod library {
    pub(crate) mod error;
    pub(crate) mod message;
    pub(crate) mod protocols;
    pub(crate) mod wire;
}

/// Messages in a round that is about many of them.
pub(crate) const MESSAGES: usize = 64;
