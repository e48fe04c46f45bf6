//! URLs of dialers and listeners.
