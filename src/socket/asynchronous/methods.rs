//! The asynchronous methods that typed sockets, raw sockets and contexts have in common, as in
//! [`methods`](super::super::methods).

/// What every socket has.
macro_rules! common_async {
    () => {
        /// [`dial`](Self::dial) for async code.
        ///
        /// A host name is looked up on a thread of its own, so that nothing blocks the task.
        ///
        /// # Cancel safety
        ///
        /// A future that is dropped before it is ready gives the dialer up; nothing goes on in the background.
        ///
        /// # Errors
        ///
        /// As [`dial`](Self::dial).
        pub async fn dial_async(&self, url: &str) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait_async(None).await?;
            Ok(dialer)
        }

        /// As [`dial_async`](Self::dial_async), waiting at most `timeout`.
        ///
        /// # Cancel safety
        ///
        /// As [`dial_async`](Self::dial_async).
        ///
        /// # Errors
        ///
        /// As [`dial`](Self::dial).
        pub async fn dial_timeout_async(&self, url: &str, timeout: Duration) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait_async(Some(timeout)).await?;
            Ok(dialer)
        }

        /// [`adopt`](Self::adopt) for async code.
        ///
        /// # Cancel safety
        ///
        /// A future that is dropped before it is ready closes the descriptor.
        ///
        /// # Errors
        ///
        /// As [`adopt`](Self::adopt).
        pub async fn adopt_async(&self, stream: impl Into<OwnedFd>) -> Result<Pipe> {
            let core = &self.handle.core;
            let options = core.options().endpoint;
            let setup = Setup {
                protocol: core.info.id,
                recv_max: options.recv_max,
                options: options.clone(),
            };
            let handshake = transports::adopt(stream.into(), &setup)?;
            let adopted = core.adopt_async(handshake, options.recv_max, options.handshake_timeout);
            Ok(Pipe::new(core.clone(), adopted.await?))
        }

        /// [`wait_for_peers`](Self::wait_for_peers) for async code. The time counts from the first poll.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost when the future is dropped.
        ///
        /// # Errors
        ///
        /// As [`wait_for_peers`](Self::wait_for_peers).
        pub async fn wait_for_peers_async(&self, count: usize, timeout: Duration) -> Result<()> {
            self.handle.core.wait_for_peers_async(count, timeout).await
        }

        /// [`flush`](Self::flush) for async code. The time counts from the first poll.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost when the future is dropped: what was accepted is sent in any case.
        ///
        /// # Errors
        ///
        /// As [`flush`](Self::flush).
        pub async fn flush_async(&self, timeout: Duration) -> Result<()> {
            self.handle.core.flush_async(timeout).await
        }

        /// [`close`](Self::close) for async code.
        ///
        /// Dropping a socket's last handle blocks as `close` does, at most the linger time. A task that must not be
        /// held up awaits this first; dropping the handle costs nothing then.
        ///
        /// # Cancel safety
        ///
        /// The first poll closes the socket for its users. A future that is dropped after that only stops waiting:
        /// what was accepted is delivered all the same, within the linger time.
        ///
        /// # Errors
        ///
        /// As [`close`](Self::close).
        pub async fn close_async(&self) -> Result<()> {
            self.handle.core.close_async().await
        }
    };
}

/// Sending, for what has `own`: a core, a context and timeouts.
macro_rules! sending_async {
    () => {
        /// [`send`](Self::send) for async code: a future that is ready when the message is accepted, or the send
        /// timeout is over. [`SendFuture::timeout`] sets another time for this call.
        ///
        /// # Cancel safety
        ///
        /// A future that is dropped before it is ready has not sent the message, wholly or in part, and drops it.
        /// [`SendFuture::cancel`] gives it back instead. Only a request may have gone out all the same, to a peer
        /// that came in this moment, which `cancel` tells. For a reply, giving up spends the request it answers.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn send_async(&self, message: impl Into<Message>) -> SendFuture<'_> {
            let (core, ctx, timeouts) = self.own();
            SendFuture::new(core, ctx, timeouts, message.into())
        }
    };
}

/// Receiving, likewise.
macro_rules! receiving_async {
    () => {
        /// [`recv`](Self::recv) for async code: a future that is ready when there is a message, or the receive
        /// timeout is over. [`RecvFuture::timeout`] sets another time for this call.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing: a message leaves the socket only when the future is ready. For req
        /// and surveyor the request or survey stays outstanding, and the next receive waits for it further; only a
        /// timeout gives it up.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn recv_async(&self) -> RecvFuture<'_> {
            let (core, ctx, timeouts) = self.own();
            RecvFuture::new(core, ctx, timeouts)
        }
    };
}

/// Receiving and sending in the way of `futures`, for what has a handle.
macro_rules! streaming {
    (stream) => {
        /// The messages as a [`Stream`](futures_core::Stream), in place of calls of [`recv_async`](Self::recv_async).
        #[cfg(feature = "stream")]
        pub fn incoming(&self) -> Incoming {
            Incoming::new(self.handle.clone())
        }
    };
    (sink) => {
        /// The socket as a [`Sink`](futures_sink::Sink), in place of calls of [`send_async`](Self::send_async).
        #[cfg(feature = "sink")]
        pub fn outgoing(&self) -> Outgoing {
            Outgoing::new(self.handle.clone())
        }
    };
}

pub(crate) use {common_async, receiving_async, sending_async, streaming};
