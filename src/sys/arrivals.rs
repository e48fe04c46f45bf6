//! How much has to have come before a connection counts as readable.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// Has a tcp connection tell of arrivals only when `count` bytes wait, or the end does, or nothing more can come before
/// they are read. What a read gives is not changed.
///
/// The system looks at once whether so much is there: with fewer than before, an event that was held back comes.
pub(crate) fn tell_of(fd: BorrowedFd<'_>, count: usize) -> io::Result<()> {
    let count = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open as long as it is borrowed, and the value is as long as is said.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const count).cast(),
            size_of::<libc::c_int>() as libc::socklen_t, // 4
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether [`tell_of`] does all that. Before Linux 4.18 a connection whose buffer is smaller than `count` would stand still.
pub(crate) fn can_be_told() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let system = rustix::system::uname();
        is_since_4_18(&system.release().to_string_lossy())
    })
}

fn is_since_4_18(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) >= (4, 18),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    /// Whether a descriptor is readable within so many seconds.
    pub(crate) fn is_readable(fd: impl AsFd, within: i64) -> bool {
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: within,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn fewer_bytes_than_are_told_of_can_be_read_but_do_not_count() {
        if !can_be_told() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        tell_of(stream.as_fd(), 100).unwrap();
        peer.write_all(&[0; 99]).unwrap();
        assert_eq!(stream.read(&mut [0; 50]).unwrap(), 50);
        assert!(!is_readable(&stream, 0));
        peer.write_all(&[0; 51]).unwrap();
        assert!(is_readable(&stream, 10));
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 100);
        peer.write_all(&[0; 2]).unwrap();
        tell_of(stream.as_fd(), 1).unwrap();
        assert!(is_readable(&stream, 10));
        tell_of(stream.as_fd(), 1_000_000).unwrap();
        drop(peer);
        assert!(is_readable(&stream, 10), "the end");
    }

    #[test]
    fn releases_are_told_apart() {
        for late in [
            "4.18.0-80.el8.x86_64",
            "4.20.3",
            "5.4",
            "6.18.44-fc-v657",
            "10.0.1",
        ] {
            assert!(is_since_4_18(late), "{late}");
        }
        for early in [
            "4.4.0",
            "4.17.19-1",
            "3.10.0-1160.el7",
            "2.6.32",
            "",
            "next",
        ] {
            assert!(!is_since_4_18(early), "{early}");
        }
    }
}
