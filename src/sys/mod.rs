//! What only the operating system's own interface gives: the only place that may hold unsafe code.

#[cfg(target_os = "linux")]
pub(crate) mod arrivals;
pub(crate) mod poller;
