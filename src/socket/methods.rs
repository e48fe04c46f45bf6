//! The methods that typed sockets, raw sockets and contexts have in common: written once, expanded in each.

/// What every socket has, typed or raw: implemented once and delegated to.
macro_rules! common {
    () => {
        /// The protocol's numbers and names.
        #[must_use]
        pub fn protocol(&self) -> ProtocolInfo {
            self.handle.core.info
        }

        /// The socket's name: the one its options gave it, or its number.
        #[must_use]
        pub fn name(&self) -> String {
            self.handle.core.name()
        }

        /// The options in force.
        #[must_use]
        pub fn options(&self) -> SocketOptions {
            self.handle.core.options()
        }

        /// Changes the options; each says when it takes effect. If one is wrong none is changed.
        ///
        /// # Errors
        ///
        /// [`InvalidOption`](crate::Error::InvalidOption) with the option and its range,
        /// [`NotSupported`](crate::Error::NotSupported) for an option the protocol does not have,
        /// [`Closed`](crate::Error::Closed).
        pub fn set_options(&self, options: &SocketOptions) -> Result<()> {
            self.handle.core.set_options(options)
        }

        /// Connects to a peer, and again whenever the connection is lost.
        ///
        /// Waits for the first attempt, at most the endpoint's connect timeout. If that fails nothing goes on in
        /// the background.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`ConnectionRefused`](crate::Error::ConnectionRefused) when
        /// nobody listens, [`WrongProtocol`](crate::Error::WrongProtocol), [`TimedOut`](crate::Error::TimedOut),
        /// and whatever else the network says.
        pub fn dial(&self, url: &str) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait(None)?;
            Ok(dialer)
        }

        /// As [`dial`](Self::dial), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`dial`](Self::dial).
        pub fn dial_timeout(&self, url: &str, timeout: Duration) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start_and_wait(Some(timeout))?;
            Ok(dialer)
        }

        /// Connects in the background, now or when the peer is there, and again whenever the connection is lost.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl) and [`Closed`](crate::Error::Closed) only; attempts that fail
        /// are events.
        pub fn dial_background(&self, url: &str) -> Result<Dialer> {
            let dialer = self.dialer(url)?;
            dialer.start()?;
            Ok(dialer)
        }

        /// Listens for peers.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`AddressInUse`](crate::Error::AddressInUse),
        /// [`PermissionDenied`](crate::Error::PermissionDenied), and whatever else the system says.
        pub fn listen(&self, url: &str) -> Result<Listener> {
            let listener = self.listener(url)?;
            listener.start()?;
            Ok(listener)
        }

        /// A dialer that is not started, to be configured first.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`Closed`](crate::Error::Closed).
        pub fn dialer(&self, url: &str) -> Result<Dialer> {
            Dialing::new(&self.handle.core, url).map(Dialer::new)
        }

        /// A listener that is not started, to be configured first.
        ///
        /// # Errors
        ///
        /// [`InvalidUrl`](crate::Error::InvalidUrl), [`Closed`](crate::Error::Closed).
        pub fn listener(&self, url: &str) -> Result<Listener> {
            Listening::new(&self.handle.core, url).map(Listener::new)
        }

        /// Takes over a connected stream socket, with tcp's framing, and waits until its peer has shaken hands,
        /// at most the endpoint's handshake timeout. Which end connected does not matter. `socket://` listeners
        /// take descriptors without waiting.
        ///
        /// # Errors
        ///
        /// What the handshake says; the descriptor is closed then.
        pub fn adopt(&self, stream: impl Into<OwnedFd>) -> Result<Pipe> {
            let core = &self.handle.core;
            let options = core.options().endpoint;
            let setup = Setup {
                protocol: core.info.id,
                recv_max: options.recv_max,
                options: options.clone(),
            };
            let handshake = transports::adopt(stream.into(), &setup)?;
            let id = core.adopt(handshake, options.recv_max, options.handshake_timeout)?;
            Ok(Pipe::new(core.clone(), id))
        }

        /// Waits until at least `count` peers are connected.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed).
        pub fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<()> {
            self.handle.core.wait_for_peers(count, timeout)
        }

        /// The peers connected now, in the order they came.
        #[must_use]
        pub fn pipes(&self) -> Vec<Pipe> {
            let core = &self.handle.core;
            core.pipes()
                .into_iter()
                .map(|pipe| Pipe::of(core.clone(), pipe))
                .collect()
        }

        /// Asks `filter` about every peer before it is added; `false` turns it away. Replaces the filter before.
        ///
        /// The filter runs on the thread that completes the connection: it must not block, nor close the socket.
        pub fn set_pipe_filter(&self, filter: impl Fn(&PipeInfo) -> bool + Send + Sync + 'static) {
            self.handle.core.set_filter(Arc::new(filter));
        }

        /// Tells `observer` of every event, in the order they happen. Replaces the observer before.
        ///
        /// The observer runs on whatever thread comes along: it must not block, nor close the socket.
        pub fn set_observer(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
            self.handle.core.set_observer(Arc::new(observer));
        }

        /// Whether a receive would give a message at once.
        #[must_use]
        pub fn is_readable(&self) -> bool {
            self.handle.core.can_recv()
        }

        /// Whether a send would be accepted at once.
        #[must_use]
        pub fn is_writable(&self) -> bool {
            self.handle.core.can_send()
        }

        /// A queue of the events from now on.
        #[must_use]
        pub fn monitor(&self) -> Monitor {
            self.handle.core.monitor()
        }

        /// A snapshot of the counters.
        #[must_use]
        pub fn stats(&self) -> SocketStats {
            self.handle.core.stats()
        }

        /// Waits until every accepted message has been handed to the operating system.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed).
        pub fn flush(&self, timeout: Duration) -> Result<()> {
            self.handle.core.flush(timeout)
        }

        /// Closes the socket for all its handles.
        ///
        /// Waits, at most the linger time, until everything that was accepted has been sent and the peers that
        /// were sent something have read to its end. Calls that are blocked, and all later ones, give
        /// [`Closed`](crate::Error::Closed). Closing again does nothing.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut) when the linger time was over before that; the socket is closed
        /// all the same.
        pub fn close(&self) -> Result<()> {
            self.handle.core.close()
        }
    };
}

/// Sending, for what has `own`: a core, a context and timeouts.
macro_rules! sending {
    () => {
        /// Sends a message, waiting as long as the send timeout says until it is accepted.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), [`Closed`](crate::Error::Closed),
        /// [`InvalidState`](crate::Error::InvalidState) for a reply without a request,
        /// [`Canceled`](crate::Error::Canceled) for a request that a later one replaced. The message comes back
        /// with the error.
        #[inline]
        pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.send_with(&mut message.into(), Patience::Default)
        }

        /// As [`send`](Self::send), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn send_timeout(
            &self,
            message: impl Into<Message>,
            timeout: Duration,
        ) -> Result<(), SendError> {
            self.send_with(&mut message.into(), Patience::For(timeout))
        }

        /// Sends a message if it is accepted at once.
        ///
        /// # Errors
        ///
        /// [`WouldBlock`](crate::Error::WouldBlock) if it is not, else as [`send`](Self::send).
        pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.send_with(&mut message.into(), Patience::Try)
        }

        fn send_with(&self, message: &mut Message, patience: Patience) -> Result<(), SendError> {
            let (core, ctx, timeouts) = self.own();
            match core.send(ctx, message, patience, timeouts) {
                Ok(()) => Ok(()),
                Err(error) => Err(SendError::new(error, message)),
            }
        }
    };
}

/// Receiving, likewise.
macro_rules! receiving {
    () => {
        /// Receives a message, waiting as long as the receive timeout says.
        ///
        /// A timeout never loses a message. For req and surveyor it gives up the request or survey.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](crate::Error::TimedOut), also when a survey ends; [`Closed`](crate::Error::Closed);
        /// [`InvalidState`](crate::Error::InvalidState) when no request or survey is outstanding, or another thread
        /// waits for the same reply; [`Canceled`](crate::Error::Canceled) when a later request replaced this one;
        /// [`ConnectionReset`](crate::Error::ConnectionReset) when a request that is not resent lost its peer.
        #[inline]
        pub fn recv(&self) -> Result<Message> {
            self.recv_with(Patience::Default)
        }

        /// As [`recv`](Self::recv), waiting at most `timeout`.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn recv_timeout(&self, timeout: Duration) -> Result<Message> {
            self.recv_with(Patience::For(timeout))
        }

        /// Receives a message if there is one.
        ///
        /// # Errors
        ///
        /// [`WouldBlock`](crate::Error::WouldBlock) if there is none, else as [`recv`](Self::recv).
        pub fn try_recv(&self) -> Result<Message> {
            self.recv_with(Patience::Try)
        }

        #[inline]
        fn recv_with(&self, patience: Patience) -> Result<Message> {
            let (core, ctx, timeouts) = self.own();
            // Received in place: a message that is moved right after it was written makes the processor wait.
            let mut received = Ok(Message::new());
            if let Ok(message) = &mut received
                && let Err(error) = core.recv(ctx, message, patience, timeouts)
            {
                received = Err(error);
            }
            received
        }
    };
}

pub(super) use {common, receiving, sending};
