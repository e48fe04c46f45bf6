//! Devices: they pass messages on between raw sockets.

use std::thread;
use std::time::Duration;

use super::raw::RawSocket;
use crate::error::{Error, Result};

/// Forwards messages between two raw sockets of matching protocols, both ways where both can, until one of them is
/// closed. Blocks.
///
/// Headers are passed on untouched: raw sockets push and pop the backtrace, so that replies find their way and the
/// time-to-live counts this hop.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when the protocols do not match or both are the same socket; else what ended it,
/// [`Error::Closed`] if one of the sockets was closed.
///
/// ```
/// use wirebird::{Error, RawKind, RawSocket, Rep, Req, forward};
///
/// let (front, back) = (RawSocket::new(RawKind::Rep)?, RawSocket::new(RawKind::Req)?);
/// front.listen("inproc://doc-front")?;
/// back.listen("inproc://doc-back")?;
/// let device = {
///     let (front, back) = (front.clone(), back.clone());
///     std::thread::spawn(move || forward(&front, &back))
/// };
/// let (rep, req) = (Rep::new()?, Req::new()?);
/// rep.dial("inproc://doc-back")?;
/// req.dial("inproc://doc-front")?;
/// req.send("through")?;
/// let request = rep.recv()?;
/// rep.send(request)?;
/// assert_eq!(req.recv()?.body(), b"through");
/// front.close()?;
/// assert_eq!(device.join().unwrap(), Err(Error::Closed));
/// # Ok::<(), Error>(())
/// ```
pub fn forward(one: &RawSocket, other: &RawSocket) -> Result<()> {
    let (first, second) = (one.protocol(), other.protocol());
    if one.is(other) {
        return Err(Error::InvalidArgument(
            "a device between a socket and itself: reflect it",
        ));
    }
    if first.peer != second.id || second.peer != first.id {
        return Err(Error::InvalidArgument(
            "a device needs sockets whose protocols match",
        ));
    }
    let forth = one.kind().receives() && other.kind().sends();
    let back = other.kind().receives() && one.kind().sends();
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("wirebird-device".into());
        let returning = thread.spawn_scoped(scope, || match (forth, back) {
            (true, true) => pass_both(other, one),
            (true, false) => close_after(other, one),
            _ => close_after(one, other),
        })?;
        let ended = if forth {
            pass_both(one, other)
        } else {
            pass_both(other, one)
        };
        // Whatever ended it, the sockets are closed now and the other direction ends too.
        let _ = returning.join();
        Err(ended)
    })
}

/// Sends every message that a raw socket receives back through it, until it is closed. Blocks. A bus passes it on to
/// all peers but the one it came from; a pair's peer gets it back.
///
/// # Errors
///
/// [`Error::InvalidArgument`] for a protocol whose peer is another one; else what ended it.
pub fn reflect(socket: &RawSocket) -> Result<()> {
    let protocol = socket.protocol();
    if protocol.id != protocol.peer {
        return Err(Error::InvalidArgument(
            "only pair and bus sockets can be reflected",
        ));
    }
    Err(pass(socket, socket))
}

/// Passes messages on and, at the end, closes both sockets, so that the other direction ends too.
fn pass_both(from: &RawSocket, to: &RawSocket) -> Error {
    let error = pass(from, to);
    // Lingering has its own time limit; what ended the device is the error to tell.
    let _ = from.close();
    let _ = to.close();
    error
}

/// Waits until a socket that is only sent to is closed, which nobody who receives from the other would notice, and
/// closes the other.
fn close_after(to: &RawSocket, from: &RawSocket) -> Error {
    let events = to.monitor();
    while events.recv_timeout(Duration::MAX) != Err(Error::Closed) {}
    let _ = from.close();
    Error::Closed
}

fn pass(from: &RawSocket, to: &RawSocket) -> Error {
    loop {
        let passed = from.recv().and_then(|message| match to.send(message) {
            // A message that cannot be passed on is no reason to stop: its sender may send nonsense.
            Err(failed) if matches!(failed.error, Error::Malformed(_)) => Ok(()),
            sent => sent.map_err(Error::from),
        });
        if let Err(error) = passed {
            return error;
        }
    }
}
