//! Descriptors for event loops of others.

/// What a socket shows, for what has a handle.
macro_rules! pollable {
    (recv) => {
        /// A descriptor to poll: it is readable while [`try_recv`](Self::try_recv) has something other to say than
        /// [`WouldBlock`](crate::Error::WouldBlock), which includes that the socket is closed.
        ///
        /// Made by the first call; a socket that is never asked for it does nothing for it. It belongs to the
        /// socket and is valid as long as the socket: the program polls it, by level, and neither reads, writes nor
        /// closes it. [`try_clone_to_owned`](BorrowedFd::try_clone_to_owned) makes one to keep. It says what is so
        /// for the socket itself, not for its contexts. When several threads receive, another may be faster.
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Error::Closed), what the system says when it has no descriptors left, and
        /// [`NotSupported`](crate::Error::NotSupported) for a raw socket that does not receive.
        pub fn recv_fd(&self) -> Result<BorrowedFd<'_>> {
            self.handle.core.recv_fd()
        }
    };
    (send) => {
        /// A descriptor to poll: it is readable, not writable, while [`try_send`](Self::try_send) has something other
        /// to say than [`WouldBlock`](crate::Error::WouldBlock), which includes that the socket is closed. For a
        /// socket that replies it is readable while there is a request to reply to. Else as `recv_fd`.
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Error::Closed), what the system says when it has no descriptors left, and
        /// [`NotSupported`](crate::Error::NotSupported) for a raw socket that does not send.
        pub fn send_fd(&self) -> Result<BorrowedFd<'_>> {
            self.handle.core.send_fd()
        }
    };
}

pub(super) use pollable;
