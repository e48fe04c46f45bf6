//! The socket of an endpoint, whichever it is.

use crate::{Dialer, Event, Listener, PipeInfo, Pub, Pull, Push, Rep, Req, Result, Sub};

/// A handle on it.
pub(super) enum Socket {
    Pull(Pull),
    Push(Push),
    Sub(Sub),
    Pub(Pub),
    Rep(Rep),
    Req(Req),
}

/// The same for each kind.
macro_rules! each {
    ($this:expr, $socket:ident => $what:expr) => {
        match $this {
            Socket::Pull($socket) => $what,
            Socket::Push($socket) => $what,
            Socket::Sub($socket) => $what,
            Socket::Pub($socket) => $what,
            Socket::Rep($socket) => $what,
            Socket::Req($socket) => $what,
        }
    };
}

impl Socket {
    pub(super) fn listener(&self, url: &str) -> Result<Listener> {
        each!(self, socket => socket.listener(url))
    }

    pub(super) fn dialer(&self, url: &str) -> Result<Dialer> {
        each!(self, socket => socket.dialer(url))
    }

    pub(super) fn set_filter(&self, filter: impl Fn(&PipeInfo) -> bool + Send + Sync + 'static) {
        each!(self, socket => socket.set_pipe_filter(filter));
    }

    pub(super) fn set_observer(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        each!(self, socket => socket.set_observer(observer));
    }

    pub(super) fn close(&self) -> Result<()> {
        each!(self, socket => socket.close())
    }
}
