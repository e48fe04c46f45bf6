//! Signing keys: what a broker or a client proves to be in encrypted connections, and what the other end knows it by.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::auth::{AuthError, FileFault, create_private, read_private};

/// Bytes of a public key.
pub(super) const KEY: usize = 32;
/// What is in front of the 32 bytes of an Ed25519 key in PKCS #8, version 1.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A private key of Ed25519 and its public key: who holds it can prove to be who the public key stands for.
///
/// A broker that has one proves in each encrypted connection that it is the broker which a client has
/// [pinned](super::ClientOptions::server_key), and the other way round. A clone is the same key.
///
/// ```
/// use wirebird::broker::{Broker, BrokerOptions, Client, ClientOptions, Identity};
///
/// let (server, client) = (Identity::generate()?, Identity::generate()?);
/// let options = BrokerOptions::new().identity(&server).client_keys([client.public_key()]);
/// let broker = Broker::with_options(&options)?;
/// let listener = broker.listen("tcp://127.0.0.1:0")?;
///
/// let known = ClientOptions::new().server_key(server.public_key()).identity(&client);
/// Client::connect_with(&listener.url(), &known)?.heartbeat()?;
///
/// let unknown = known.identity(&Identity::generate()?);
/// assert!(Client::connect_with(&listener.url(), &unknown).is_err());
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Secret>);

struct Secret {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; KEY]>,
}

/// A public key of Ed25519, by which the other end of a connection is known. Its text is its 32 bytes in Base64.
///
/// ```
/// use wirebird::broker::{Identity, PublicKey};
///
/// let key = Identity::generate()?.public_key();
/// assert_eq!(key.to_string().parse(), Ok(key));
/// assert!("no key".parse::<PublicKey>().is_err());
/// # Ok::<(), wirebird::broker::AuthError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub(super) [u8; KEY]);

impl Identity {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`AuthError::NoRandom`].
    pub fn generate() -> Result<Self, AuthError> {
        let mut seed = Zeroizing::new([0; KEY]);
        SystemRandom::new()
            .fill(&mut *seed)
            .map_err(|_| AuthError::NoRandom)?;
        Self::from_seed(seed).ok_or(AuthError::NoRandom)
    }

    /// Reads a key from a file, as [`store`](Self::store) and `openssl genpkey -algorithm ed25519` write it: PKCS #8 in
    /// PEM.
    ///
    /// # Errors
    ///
    /// [`AuthError::File`], with [`Exposed`](FileFault::Exposed) if others than its owner may read or write the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, AuthError> {
        let path = path.as_ref();
        let read = read_private(path).and_then(|text| {
            let content = "no private key of Ed25519: PKCS #8 in PEM is one".to_owned();
            Self::from_pem(&Zeroizing::new(text)).ok_or(FileFault::Content(content))
        });
        read.map_err(|fault| AuthError::File {
            path: path.into(),
            fault,
        })
    }

    /// Writes the key into a new file, that only its owner may read.
    ///
    /// # Errors
    ///
    /// [`AuthError::File`], also if there is a file already.
    pub fn store(&self, path: impl AsRef<Path>) -> Result<(), AuthError> {
        let path = path.as_ref();
        let mut der = Zeroizing::new(PKCS8.to_vec());
        der.extend_from_slice(&*self.0.seed);
        let line = Zeroizing::new(STANDARD.encode(&*der));
        let text = Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", *line));
        create_private(text.as_bytes(), path).map_err(|fault| AuthError::File {
            path: path.into(),
            fault,
        })
    }

    /// The key that others know this one by.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; KEY];
        key.copy_from_slice(self.0.pair.public_key().as_ref());
        PublicKey(key)
    }

    pub(super) fn sign(&self, text: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.0.pair.sign(text)
    }

    fn from_seed(seed: Zeroizing<[u8; KEY]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
        Some(Self(Arc::new(Secret { pair, seed })))
    }

    fn from_pem(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (lines, _) = rest.split_once(END)?;
        let line: Zeroizing<String> = Zeroizing::new(lines.split_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(&*line).ok()?);
        let seed = der.strip_prefix(&PKCS8)?;
        Self::from_seed(Zeroizing::new(seed.try_into().ok()?))
    }
}

impl fmt::Debug for Identity {
    /// Only what is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.public_key()).finish()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, AuthError> {
        let bytes = STANDARD.decode(text).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        key.map(Self)
            .ok_or_else(|| AuthError::BadKey(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stored_key_is_the_same_and_no_file_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let key = Identity::generate().unwrap();
        key.store(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Identity::load(&path).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_ne!(Identity::generate().unwrap().public_key(), key.public_key());
        let other = Identity::generate().unwrap();
        assert!(matches!(other.store(&path), Err(AuthError::File { .. })));
        assert_eq!(
            Identity::load(&path).unwrap().public_key(),
            key.public_key()
        );
        assert!(!format!("{key:?}").contains(&STANDARD.encode(*key.0.seed)));
    }

    /// Made by `openssl genpkey -algorithm ed25519`, its public key by `openssl pkey -pubout -outform DER`.
    #[test]
    fn a_key_of_openssl_is_read() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIBhZuXXLJLV3Ga+NLDWM69zD81MFFp8UY0AY1/BftjAE\n\
                   -----END PRIVATE KEY-----\n";
        let key = Identity::from_pem(pem).unwrap().public_key();
        assert_eq!(
            key.to_string(),
            "cBHRGPwbQU/z5lb8n9sF0l1oVI3jTmElQ0+Z9JzZVV0="
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let key = Identity::generate().unwrap();
        key.store(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [
            String::new(),
            good.replace("BEGIN", "begin"),
            good.replace("MC4C", "MC5C"),
            good.replace("-----END", "AAAA\n-----END"),
            good.replace("MC4C", "!"),
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(Identity::load(&path).is_err());
        }
        std::fs::write(&path, good).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let exposed = Identity::load(&path).unwrap_err();
        assert!(exposed.to_string().contains("644"), "{exposed}");
        let text = key.public_key().to_string();
        for bad in ["", "x", &text[1..], &format!("{text}A")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(AuthError::BadKey(bad.into())));
        }
    }
}
