//! Handles on dialers, listeners and pipes.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::engine::{Core, Dialing, EndpointStats, Listening, PipeInfo, PipeStats};
use crate::error::Result;
use crate::message::PipeId;
use crate::options::EndpointOptions;

/// A dialer: it keeps one connection to an address.
///
/// A handle; dropping it changes nothing, the dialer belongs to its socket.
#[derive(Clone)]
pub struct Dialer {
    core: Arc<Dialing>,
}

impl Dialer {
    pub(crate) fn new(core: Arc<Dialing>) -> Self {
        Self { core }
    }

    /// The URL it dials.
    #[must_use]
    pub fn url(&self) -> String {
        self.core.url.to_string()
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> EndpointOptions {
        self.core.options()
    }

    /// Changes the options, for the attempts to come.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption), [`Closed`](crate::Error::Closed).
    pub fn set_options(&self, options: &EndpointOptions) -> Result<()> {
        self.core.set_options(options)
    }

    /// A snapshot of its counters; all zero once its socket is gone.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.core.stats()
    }

    /// Starts dialing in the background.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) when it was started before, [`Closed`](crate::Error::Closed).
    pub fn start(&self) -> Result<()> {
        self.core.start()
    }

    /// Starts dialing and waits for the first attempt, at most `timeout`, or the connect timeout of its options. If
    /// that fails the dialer may be started again.
    ///
    /// # Errors
    ///
    /// As [`Socket::dial`](super::Socket::dial) and [`start`](Self::start).
    pub fn start_and_wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.core.start_and_wait(timeout)
    }

    /// [`start_and_wait`](Self::start_and_wait) for async code. The time counts from the first poll.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready stops the dialer, which may be started again.
    ///
    /// # Errors
    ///
    /// As [`start_and_wait`](Self::start_and_wait).
    pub async fn start_and_wait_async(&self, timeout: Option<Duration>) -> Result<()> {
        self.core.start_and_wait_async(timeout).await
    }

    /// Closes the dialer and its pipe. Nothing that is on its way is waited for.
    pub fn close(&self) {
        self.core.close();
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("url", &self.url()).finish()
    }
}

/// A listener: it accepts any number of peers at an address.
///
/// A handle; dropping it changes nothing, the listener belongs to its socket.
#[derive(Clone)]
pub struct Listener {
    core: Arc<Listening>,
}

impl Listener {
    pub(crate) fn new(core: Arc<Listening>) -> Self {
        Self { core }
    }

    /// The URL it listens at; once it listens, with the port that the system chose.
    #[must_use]
    pub fn url(&self) -> String {
        self.core.url().to_string()
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) before it was started.
    pub fn local_address(&self) -> Result<Address> {
        self.core.address()
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> EndpointOptions {
        self.core.options()
    }

    /// Changes the options, for the peers to come.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption), [`Closed`](crate::Error::Closed),
    /// [`Busy`](crate::Error::Busy) for the permissions of a socket file that is there already, and
    /// [`Tls`](crate::Error::Tls) for a certificate that the listener could not go on with.
    pub fn set_options(&self, options: &EndpointOptions) -> Result<()> {
        self.core.set_options(options)
    }

    /// A snapshot of its counters; all zero once its socket is gone.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.core.stats()
    }

    /// Starts listening. If that fails the listener may be started again.
    ///
    /// # Errors
    ///
    /// As [`Socket::listen`](super::Socket::listen), and [`InvalidState`](crate::Error::InvalidState) when it was
    /// started before.
    pub fn start(&self) -> Result<()> {
        self.core.start()
    }

    /// Hands a connected stream socket to a `socket://` listener. Its framing is tcp's.
    ///
    /// # Errors
    ///
    /// [`NotSupported`](crate::Error::NotSupported) for other listeners, [`Busy`](crate::Error::Busy) when 16
    /// descriptors wait already, [`InvalidState`](crate::Error::InvalidState) before it was started.
    pub fn hand_over(&self, stream: impl Into<OwnedFd>) -> Result<()> {
        let stream = stream.into();
        self.core.hand_over(|inbox| inbox.put(stream))
    }

    /// Closes the listener and its pipes. Nothing that is on its way is waited for.
    pub fn close(&self) {
        self.core.close();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("url", &self.url())
            .finish()
    }
}

/// A peer of a socket.
///
/// A handle; dropping it changes nothing, the pipe belongs to its socket.
#[derive(Clone)]
pub struct Pipe {
    core: Arc<Core>,
    id: PipeId,
    info: Option<Arc<PipeInfo>>,
}

impl Pipe {
    pub(super) fn new(core: Arc<Core>, id: PipeId) -> Self {
        let info = core.pipes().into_iter().find(|pipe| pipe.id == id);
        Self { core, id, info }
    }

    pub(super) fn of(core: Arc<Core>, info: Arc<PipeInfo>) -> Self {
        Self {
            core,
            id: info.id,
            info: Some(info),
        }
    }

    /// The pipe's number.
    #[must_use]
    pub fn id(&self) -> PipeId {
        self.id
    }

    /// What is known of the peer: addresses, credentials, which endpoint it came through. `None` if it was gone
    /// before this handle was made.
    #[must_use]
    pub fn info(&self) -> Option<&PipeInfo> {
        self.info.as_deref()
    }

    /// What has gone through it, while it is there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when the pipe is gone.
    pub fn stats(&self) -> Result<PipeStats> {
        self.core.pipe_stats(self.id).ok_or(crate::Error::NotFound)
    }

    /// Closes it at once; its dialer, if it has one, connects again. Nothing that is on its way is waited for.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when it is gone already.
    pub fn close(&self) -> Result<()> {
        self.core.close_pipe(self.id)
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("id", &self.id)
            .field("info", &self.info)
            .finish()
    }
}
