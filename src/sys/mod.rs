//! What touches the operating system's event queue: the only place that may hold unsafe code.

pub(crate) mod poller;
