//! The certificate that a peer has shown.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use ring::digest;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::error::Error;

/// What the common name is called in a subject.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The SHA-256 digest of a certificate: what [`TlsConfig::pin`](super::TlsConfig::pin) compares.
///
/// Parses from 64 hexadecimal digits, with colons between the bytes or without, as `openssl x509 -noout -sha256
/// -fingerprint` prints them; prints without.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || {
            Error::bad_option(
                "tls-pin",
                text,
                "a SHA-256 fingerprint: 64 hexadecimal digits, colons between the bytes or not",
            )
        };
        let digits: Vec<u8> = if text.contains(':') {
            let pairs: Vec<&str> = text.split(':').collect();
            if pairs.iter().any(|pair| pair.len() != 2) {
                return Err(refused());
            }
            pairs.concat().into_bytes()
        } else {
            text.as_bytes().to_vec()
        };
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(refused());
        }
        let value = |digit: u8| char::from(digit).to_digit(16);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(refused());
            };
            let (Some(high), Some(low)) = (value(high), value(low)) else {
                return Err(refused());
            };
            *byte = u8::try_from(high << 4 | low).map_err(|_| refused())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The certificate that the peer of a pipe has shown, in [`PipeInfo`](crate::PipeInfo).
///
/// What it says of itself is worth no more than the [verification](super::TlsAuth) that let it in.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    der: CertificateDer<'static>,
}

impl PeerCertificate {
    pub(crate) fn new(der: CertificateDer<'static>) -> Self {
        Self { der }
    }

    /// The certificate itself, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its SHA-256 fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Whom it is for, in the form of RFC 4514, as `CN=worker 1,O=Example`; empty when it cannot be read.
    #[must_use]
    pub fn subject(&self) -> String {
        self.read(|found| found.tbs_certificate.subject.to_string())
    }

    /// The common name in the subject, if there is one and it is text.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let parsed = self.parse()?;
        let parts = parsed.tbs_certificate.subject.0.iter();
        let mut entries = parts.flat_map(|part| part.0.iter());
        let name = &entries.find(|entry| entry.oid == COMMON_NAME)?.value;
        match name.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::TeletexString | Tag::Ia5String => {
                std::str::from_utf8(name.value()).ok().map(str::to_owned)
            }
            _ => None,
        }
    }

    /// Who has issued it, in the form of the subject; empty when it cannot be read.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.read(|found| found.tbs_certificate.issuer.to_string())
    }

    /// The number that the issuer gave it, in hexadecimal digits; empty when it cannot be read.
    #[must_use]
    pub fn serial(&self) -> String {
        self.read(|found| {
            let mut text = String::new();
            for byte in found.tbs_certificate.serial_number.as_bytes() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            text
        })
    }

    /// The names it is for: hosts, addresses, mail addresses and URIs, those that it has.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<String> {
        let Some(parsed) = self.parse() else {
            return Vec::new();
        };
        let Ok(Some((_, SubjectAltName(names)))) = parsed.tbs_certificate.get() else {
            return Vec::new();
        };
        names.iter().filter_map(text).collect()
    }

    /// From when to when it is valid.
    #[must_use]
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let validity = self.parse()?.tbs_certificate.validity;
        let time = |since_epoch: Duration| SystemTime::UNIX_EPOCH.checked_add(since_epoch);
        Some((
            time(validity.not_before.to_unix_duration())?,
            time(validity.not_after.to_unix_duration())?,
        ))
    }

    fn parse(&self) -> Option<Certificate> {
        Certificate::from_der(&self.der).ok()
    }

    fn read(&self, of: impl FnOnce(Certificate) -> String) -> String {
        self.parse().map(of).unwrap_or_default()
    }
}

fn text(name: &GeneralName) -> Option<String> {
    Some(match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => name.to_string(),
        GeneralName::UniformResourceIdentifier(uri) => uri.to_string(),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => {
                std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()
            }
            bytes => std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        },
        _ => return None,
    })
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("subject", &self.subject())
            .field("fingerprint", &self.fingerprint())
            .finish()
    }
}
