//! Who reaches a listener.

use super::{Host, Transport, Url};

impl Url {
    /// Whether nothing but this machine reaches a listener there: the host is a loopback address or `localhost`, or the
    /// transport does not leave the machine. A descriptor counts as local, because whoever hands it over decides.
    ///
    /// ```
    /// use wirebird::Url;
    ///
    /// assert!(Url::parse("tcp://127.0.0.1:5555")?.is_local());
    /// assert!(!Url::parse("tcp://*:5555")?.is_local());
    /// # Ok::<(), wirebird::Error>(())
    /// ```
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.transport() {
            Transport::Ipc | Transport::Abstract | Transport::Inproc | Transport::Descriptor => {
                true
            }
            _ => match self.host_kind() {
                Host::V4(address) => address.is_loopback(),
                Host::V6(address, _) => address.is_loopback(),
                Host::Name(name) => name == "localhost",
                _ => false,
            },
        }
    }
}
