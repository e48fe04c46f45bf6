//! Waiting for readiness of many descriptors, edge-triggered.
//!
//! On Linux this is epoll itself; elsewhere the `polling` crate. Both have the same interface, and the cfg
//! `wirebird_portable_poller` selects the portable one on Linux too, so that it is tested there.

#[cfg(all(target_os = "linux", not(wirebird_portable_poller)))]
mod epoll;
#[cfg(all(target_os = "linux", not(wirebird_portable_poller)))]
pub(crate) use epoll::{Events, Poller};

#[cfg(not(all(target_os = "linux", not(wirebird_portable_poller))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(wirebird_portable_poller))))]
pub(crate) use portable::{Events, Poller};

#[cfg(all(target_os = "linux", not(wirebird_loom)))]
mod few;
#[cfg(all(target_os = "linux", wirebird_loom))]
#[path = "../../engine/models/few.rs"]
mod few;
#[cfg(target_os = "linux")]
pub(crate) use few::{Awaited, Bell, FEW, wait_for_few};

/// What happened to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// The number it was added with.
    pub(crate) key: usize,
    /// There is something to read, or the end.
    pub(crate) readable: bool,
    /// There is room to write, or an error.
    pub(crate) writable: bool,
    /// The peer may have closed: reading must go on to the end of the stream, for no further event need come.
    pub(crate) hangup: bool,
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(5));
    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn wait(poller: &Poller, timeout: Option<Duration>) -> Vec<Event> {
        let mut events = Events::default();
        poller.wait(&mut events, timeout).unwrap();
        events.iter().collect()
    }

    #[test]
    fn an_arrival_is_reported_once_and_the_next_one_again() {
        let poller = Poller::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        poller.add(ours.as_fd(), 7, false).unwrap();
        assert!(wait(&poller, NOW).is_empty());
        for _ in 0..2 {
            theirs.write_all(b"x").unwrap();
            let events = wait(&poller, SOON);
            assert_eq!(events.len(), 1);
            assert!(events[0].key == 7 && events[0].readable);
            assert!(wait(&poller, NOW).is_empty());
        }
        poller.delete(ours.as_fd()).unwrap();
        theirs.write_all(b"x").unwrap();
        assert!(wait(&poller, NOW).is_empty());
    }

    #[test]
    fn write_interest_reports_room_as_soon_as_it_is_added() {
        let poller = Poller::new().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        poller.add(ours.as_fd(), 1, false).unwrap();
        poller.modify(ours.as_fd(), 1, true).unwrap();
        assert!(wait(&poller, SOON)[0].writable);
    }

    #[test]
    fn a_close_by_the_peer_is_a_hangup() {
        let poller = Poller::new().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        poller.add(ours.as_fd(), 1, false).unwrap();
        drop(theirs);
        let events = wait(&poller, SOON);
        assert!(events[0].readable && events[0].hangup);
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn notify_ends_a_wait_that_began_before_or_after_it() {
        let poller = Poller::new().unwrap();
        for _ in 0..3 {
            poller.notify();
            assert!(wait(&poller, SOON).is_empty());
        }
        assert!(wait(&poller, NOW).is_empty());
    }
}
