//! Ctrl-C and SIGTERM, for commands that end well.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// Where the signals arrive. Once this was made they no longer end the process by themselves.
pub(super) struct Signals(UnixStream);

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let (arriving, handlers) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            pipe::register(signal, handlers.try_clone()?)?;
        }
        Ok(Self(arriving))
    }

    /// Waits for one.
    pub(super) fn wait(&mut self) {
        while let Err(error) = self.0.read_exact(&mut [0]) {
            if error.kind() != ErrorKind::Interrupted {
                return;
            }
        }
    }

    /// Calls `stop` when one comes.
    pub(super) fn then(mut self, stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let waiting = thread::Builder::new().name("wirebird-signals".into());
        let waiting = waiting.spawn(move || {
            self.wait();
            stop();
        });
        waiting.map(drop)
    }
}
