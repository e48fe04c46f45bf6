//! Ctrl-C and SIGTERM, for commands that end well, and SIGHUP, for those that read their files again.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Where the signals arrive. Once this was made they no longer end the process by themselves.
pub(super) struct Signals {
    arriving: UnixStream,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Stop,
    Reload,
}

impl Signals {
    /// Catches those that end a process.
    pub(super) fn catch() -> io::Result<Self> {
        Self::of(&[])
    }

    /// Catches SIGHUP too.
    pub(super) fn catch_reload() -> io::Result<Self> {
        Self::of(&[SIGHUP])
    }

    fn of(reloading: &[i32]) -> io::Result<Self> {
        let (arriving, handlers) = UnixStream::pair()?;
        let (stop, reload) = (Arc::default(), Arc::default());
        let ending = [SIGINT, SIGTERM].map(|signal| (signal, &stop));
        let reloading = reloading.iter().map(|&signal| (signal, &reload));
        for (signal, meant) in ending.into_iter().chain(reloading) {
            // First, so that it is set when what wakes us arrives.
            flag::register(signal, Arc::clone(meant))?;
            pipe::register(signal, handlers.try_clone()?)?;
        }
        Ok(Self {
            arriving,
            stop,
            reload,
        })
    }

    /// Waits for one. Several of the same kind may count as one.
    pub(super) fn wait(&mut self) -> Told {
        loop {
            match self.arriving.read_exact(&mut [0]) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Told::Stop,
                _ if self.stop.load(Ordering::Relaxed) => return Told::Stop,
                _ if self.reload.swap(false, Ordering::Relaxed) => return Told::Reload,
                _ => {}
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

#[cfg(test)]
mod tests {
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn a_signal_to_read_files_again_is_none_to_stop() {
        let mut signals = Signals::catch_reload().unwrap();
        for _ in 0..2 {
            raise(SIGHUP).unwrap();
            assert_eq!(signals.wait(), Told::Reload);
        }
        raise(SIGHUP).unwrap();
        raise(SIGTERM).unwrap();
        let mut told = signals.wait();
        if told == Told::Reload {
            told = signals.wait();
        }
        assert_eq!(told, Told::Stop);
    }
}
