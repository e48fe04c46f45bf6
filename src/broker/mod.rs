//! A broker made of this crate's sockets: queues, topics and functions with access control.
