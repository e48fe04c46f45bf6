//! The bytes on the wire, without I/O: connection header, framing and backtraces.

pub(crate) mod backtrace;
