//! Hashes of passwords: PBKDF2-HMAC-SHA512 with a random salt, as text that says how it was made.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use ring::rand::{SecureRandom, SystemRandom};

/// Rounds of the hash of a password, unless an authenticator is told otherwise: what OWASP asks for this hash.
pub const DEFAULT_ROUNDS: u32 = 210_000;
/// Most rounds that a file may ask for, so that a login cannot take minutes.
const MAX_ROUNDS: u32 = 10_000_000;
const SCHEME: &str = "pbkdf2-sha512";
const SALT: usize = 16;
const LENGTH: usize = 32;

/// The hash of a password. As text it is `$pbkdf2-sha512$i=ROUNDS$SALT$HASH`, the last two in Base64 without padding.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub(super) struct Hash {
    rounds: NonZeroU32,
    salt: [u8; SALT],
    hash: [u8; LENGTH],
}

/// Why a text is not the hash of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashFault {
    Scheme,
    Rounds,
    Malformed,
}

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRandom;

impl Hash {
    /// Hashes a password with a new salt. Takes long.
    pub(super) fn new(password: &str, rounds: NonZeroU32) -> Result<Self, NoRandom> {
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).map_err(|_| NoRandom)?;
        let mut hash = [0; LENGTH];
        pbkdf2::derive(
            PBKDF2_HMAC_SHA512,
            rounds,
            &salt,
            password.as_bytes(),
            &mut hash,
        );
        Ok(Self { rounds, salt, hash })
    }

    /// What an unknown user's password is compared with, so that it takes as long as a known one's.
    pub(super) fn dummy(rounds: NonZeroU32) -> Self {
        Self {
            rounds,
            salt: [0; SALT],
            hash: [0; LENGTH],
        }
    }

    /// Whether it is the hash of this password. Takes long, and as long whatever the password is.
    pub(super) fn verify(&self, password: &str) -> bool {
        let password = password.as_bytes();
        pbkdf2::verify(
            PBKDF2_HMAC_SHA512,
            self.rounds,
            &self.salt,
            password,
            &self.hash,
        )
        .is_ok()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (BASE64.encode(self.salt), BASE64.encode(self.hash));
        write!(f, "${SCHEME}$i={}${salt}${hash}", self.rounds)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

impl FromStr for Hash {
    type Err = HashFault;

    fn from_str(text: &str) -> Result<Self, HashFault> {
        let mut parts = text.split('$');
        let (Some(""), Some(SCHEME)) = (parts.next(), parts.next()) else {
            return Err(HashFault::Scheme);
        };
        let rounds = parts.next().and_then(|rounds| rounds.strip_prefix("i="));
        let rounds: u32 = rounds
            .and_then(|rounds| rounds.parse().ok())
            .ok_or(HashFault::Malformed)?;
        let rounds = NonZeroU32::new(rounds)
            .filter(|rounds| rounds.get() <= MAX_ROUNDS)
            .ok_or(HashFault::Rounds)?;
        let hash = Self {
            rounds,
            salt: bytes(parts.next())?,
            hash: bytes(parts.next())?,
        };
        match parts.next() {
            None => Ok(hash),
            Some(_) => Err(HashFault::Malformed),
        }
    }
}

fn bytes<const N: usize>(text: Option<&str>) -> Result<[u8; N], HashFault> {
    let bytes = BASE64.decode(text.unwrap_or_default()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(HashFault::Malformed)
}

impl fmt::Display for HashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => write!(
                f,
                "a hash of a scheme that is not known: ${SCHEME}$ is allowed"
            ),
            Self::Rounds => write!(f, "a hash of 0 or more than {MAX_ROUNDS} rounds"),
            Self::Malformed => write!(f, "a hash that is not ${SCHEME}$i=ROUNDS$SALT$HASH"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(10).unwrap();

    #[test]
    fn only_the_password_itself_fits_its_hash() {
        let hash = Hash::new("secret", FEW).unwrap();
        assert!(hash.verify("secret"));
        for wrong in ["", "Secret", "secret ", "secre"] {
            assert!(!hash.verify(wrong), "{wrong:?}");
        }
        assert!(!Hash::dummy(FEW).verify(""));
    }

    #[test]
    fn two_hashes_of_a_password_have_nothing_in_common() {
        let (one, other) = (
            Hash::new("secret", FEW).unwrap(),
            Hash::new("secret", FEW).unwrap(),
        );
        assert!(one.salt != other.salt && one.hash != other.hash);
    }

    #[test]
    fn a_hash_is_read_as_it_was_written() {
        let hash = Hash::new("secret", FEW).unwrap();
        let text = hash.to_string();
        assert!(text.starts_with("$pbkdf2-sha512$i=10$"), "{text}");
        assert_eq!(text.parse(), Ok(hash));
    }

    /// Made with Python: `hashlib.pbkdf2_hmac("sha512", b"password", bytes(range(16)), 1000, 32)`.
    #[test]
    fn the_hash_is_pbkdf2_with_sha512() {
        let text = "$pbkdf2-sha512$i=1000$AAECAwQFBgcICQoLDA0ODw$x05AgND7tB/uWGjA/2D9dayuJjghWYfl/1T46uIRM5s";
        let hash: Hash = text.parse().unwrap();
        assert!(hash.verify("password"));
        assert!(!hash.verify("passwore"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let good = Hash::new("x", FEW).unwrap().to_string();
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        for (text, fault) in [
            (String::new(), HashFault::Scheme),
            ("plain".into(), HashFault::Scheme),
            (format!("$argon2id$i=1${salt}${hash}"), HashFault::Scheme),
            (
                format!("$pbkdf2-sha512$i=0${salt}${hash}"),
                HashFault::Rounds,
            ),
            (
                format!("$pbkdf2-sha512$i=10000001${salt}${hash}"),
                HashFault::Rounds,
            ),
            (
                format!("$pbkdf2-sha512$i=-1${salt}${hash}"),
                HashFault::Malformed,
            ),
            (
                format!("$pbkdf2-sha512$10${salt}${hash}"),
                HashFault::Malformed,
            ),
            (format!("$pbkdf2-sha512$i=10${salt}$"), HashFault::Malformed),
            (
                format!("$pbkdf2-sha512$i=10${salt}$!!"),
                HashFault::Malformed,
            ),
            (format!("{good}$more"), HashFault::Malformed),
        ] {
            assert_eq!(text.parse::<Hash>(), Err(fault), "{text}");
        }
    }
}
