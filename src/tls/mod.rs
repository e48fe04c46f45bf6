//! What TLS connections are made with: certificates, whom to trust, and what is known of a peer.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error as Tls, RootCertStore, ServerConfig};

use crate::error::{Error, Result, TlsFault};

mod certificate;
mod fault;
mod pem;
#[cfg(test)]
mod tests;
mod verify;

pub use certificate::{Fingerprint, PeerCertificate};
pub(crate) use fault::explain;

/// Whether a peer has to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsAuth {
    /// It has not. A dialer that does not look can be deceived by anybody on the way: for tests only.
    None,
    /// A client may go without a certificate, but one that it shows must be valid. Servers always show theirs, so that
    /// for a dialer this is the same as `Required`.
    Optional,
    /// It must show a valid certificate.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, the default minimum, as in nng.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// How connections of `tls+tcp` and `wss` are secured, for dialers and listeners alike.
///
/// A builder: each method takes a value and gives the configuration back. What is read from files is read at once.
/// Clones are cheap and share everything. Give it to [`EndpointOptions::tls`](crate::EndpointOptions::tls);
/// [`Listener::set_options`](crate::Listener::set_options) with another one replaces the certificate of a listener for
/// the connections to come.
///
/// | | Dialer | Listener |
/// |---|---|---|
/// | own certificate | shown if the listener asks for one | needed |
/// | whom it trusts | the CAs given, the pinned fingerprints, or else the system's CAs | the CAs given or the pinned fingerprints |
/// | [`auth`](Self::auth) unless set | `Required` | `None`; `Required` once it has a CA or a pin |
/// | name that is checked | the host of the URL, or [`server_name`](Self::server_name) | none |
///
/// ```no_run
/// use wirebird::{EndpointOptions, Pull, Push, SocketOptions, TlsConfig};
///
/// let server = TlsConfig::new().certificate_files("server.pem", "server.key")?;
/// let options = SocketOptions::new().endpoint(EndpointOptions::new().tls(server));
/// let pull = Pull::with_options(&options)?;
/// pull.listen("tls+tcp://*:5555")?;
///
/// let client = TlsConfig::new().ca_file("ca.pem")?;
/// let options = SocketOptions::new().endpoint(EndpointOptions::new().tls(client));
/// let push = Push::with_options(&options)?;
/// push.dial("tls+tcp://example.com:5555")?;
/// # Ok::<(), wirebird::Error>(())
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    settings: Settings,
    /// What was made of the settings, once they are used.
    made: Arc<Made>,
}

#[derive(Clone, Default)]
struct Settings {
    authorities: Vec<CertificateDer<'static>>,
    system: bool,
    pins: Vec<Fingerprint>,
    own: Option<Arc<Own>>,
    auth: Option<TlsAuth>,
    server_name: Option<ServerName<'static>>,
    min_version: Option<TlsVersion>,
}

/// A certificate chain and its key.
struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

#[derive(Default)]
struct Made {
    client: OnceLock<Result<Arc<ClientConfig>>>,
    server: OnceLock<Result<Arc<ServerConfig>>>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl TlsConfig {
    /// No certificate, the defaults otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: Settings::default(),
            made: Arc::default(),
        }
    }

    /// Trusts the CA certificates in a PEM file, besides those given before.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] with [`TlsFault::Configuration`] that names the file and what is wrong with it.
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let pem = pem::read(path)?;
        self.with_authorities(&pem, &path.display())
    }

    /// Trusts the CA certificates in PEM text, or one in DER, besides those given before.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] with [`TlsFault::Configuration`].
    pub fn ca(self, pem: impl AsRef<[u8]>) -> Result<Self> {
        self.with_authorities(pem.as_ref(), &"the CA")
    }

    fn with_authorities(self, pem: &[u8], origin: &dyn fmt::Display) -> Result<Self> {
        let found = pem::certificates(pem, origin)?;
        // Taken on trial, so that what is wrong is said here and not with the first connection.
        let mut store = RootCertStore::empty();
        for certificate in &found {
            store
                .add(certificate.clone())
                .map_err(|error| fault::unusable(format!("{origin}: {error}")))?;
        }
        Ok(self.with(|settings| settings.authorities.extend(found)))
    }

    /// Trusts the CAs that the operating system trusts, besides those given. A dialer without any CA or pin does so
    /// anyway. They are read when the first connection needs them.
    #[must_use]
    pub fn system_roots(self) -> Self {
        self.with(|settings| settings.system = true)
    }

    /// Trusts the peer whose certificate has this SHA-256 fingerprint, whoever has issued it and for whatever name and
    /// time. May be given more than once. Where there is a CA as well, both must agree.
    #[must_use]
    pub fn pin(self, fingerprint: Fingerprint) -> Self {
        self.with(|settings| settings.pins.push(fingerprint))
    }

    /// Our own certificate: a PEM file with the chain, our certificate first, and one with its private key (PKCS #8,
    /// PKCS #1 or SEC1). Both may be the same file.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] with [`TlsFault::Configuration`] that names the file and what is wrong with it, such as a key that
    /// is encrypted or belongs to another certificate.
    pub fn certificate_files(self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let (chain_pem, key_pem) = (pem::read(chain)?, pem::read(key)?);
        self.with_own(&chain_pem, &chain.display(), &key_pem, &key.display())
    }

    /// Our own certificate, as [`certificate_files`](Self::certificate_files), from PEM text.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] with [`TlsFault::Configuration`].
    pub fn certificate(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        self.with_own(chain, &"the certificate", key, &"the key")
    }

    fn with_own(
        self,
        chain: &[u8],
        chain_origin: &dyn fmt::Display,
        key: &[u8],
        key_origin: &dyn fmt::Display,
    ) -> Result<Self> {
        let own = Own {
            chain: pem::certificates(chain, chain_origin)?,
            key: pem::key(key, key_origin)?,
        };
        verify::check_own(&own).map_err(|error| {
            let why = match error {
                Tls::InconsistentKeys(_) => {
                    "the key belongs to another certificate than the first".to_owned()
                }
                error => error.to_string(),
            };
            fault::unusable(format!("{chain_origin} and {key_origin}: {why}"))
        })?;
        Ok(self.with(|settings| settings.own = Some(Arc::new(own))))
    }

    /// Whether the peer has to prove who it is. The defaults are in the table above.
    #[must_use]
    pub fn auth(self, auth: TlsAuth) -> Self {
        self.with(|settings| settings.auth = Some(auth))
    }

    /// The name that the listener's certificate must be for, where that is not the host of the URL. It is sent to the
    /// listener as well, unless it is an address. For dialers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for what is neither a host name nor an address.
    pub fn server_name(self, name: &str) -> Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::bad_option("tls-server-name", name, "a host name or an IP address")
        })?;
        Ok(self.with(|settings| settings.server_name = Some(name)))
    }

    /// The oldest version that is spoken. Default 1.2.
    #[must_use]
    pub fn min_version(self, version: TlsVersion) -> Self {
        self.with(|settings| settings.min_version = Some(version))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.made = Arc::default();
        self
    }

    // ---- use ----

    /// What a dialer uses, and the name it expects at a host.
    pub(crate) fn client(&self, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let made = self
            .made
            .client
            .get_or_init(|| verify::client(&self.settings));
        let name = match &self.settings.server_name {
            Some(name) => name.clone(),
            // An address may have a scope behind it, which is no part of a name.
            None => ServerName::try_from(host.split('%').next().unwrap_or(host).to_owned())
                .map_err(|_| {
                    let reason = format!("{host:?} is no name that a certificate could be for");
                    Error::tls(TlsFault::Configuration, reason)
                })?,
        };
        Ok((made.clone()?, name))
    }

    /// Whether a listener turns peers away that show no certificate.
    #[cfg(feature = "broker")]
    pub(crate) fn demands_certificates(&self) -> bool {
        self.settings.auth == Some(TlsAuth::Required)
    }

    /// What a listener uses.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>> {
        let made = self
            .made
            .server
            .get_or_init(|| verify::server(&self.settings));
        made.clone()
    }
}

/// Equal if they are clones of one another.
impl PartialEq for TlsConfig {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.made, &other.made)
    }
}

impl Eq for TlsConfig {}

/// Keys are not printed.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.debug_struct("TlsConfig")
            .field("authorities", &settings.authorities.len())
            .field("system_roots", &settings.system)
            .field("pins", &settings.pins)
            .field("certificate", &settings.own.is_some())
            .field("auth", &settings.auth)
            .field("server_name", &settings.server_name)
            .field("min_version", &settings.min_version)
            .finish()
    }
}
