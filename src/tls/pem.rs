//! Certificates and keys as they are kept in files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::unusable;
use crate::error::Result;

/// Longest file that is read, in bytes: more than any chain has.
const MAX_FILE: u64 = 16 << 20;
/// What a certificate in DER begins with.
const DER_SEQUENCE: u8 = 0x30;

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    // A device has no length to ask for.
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut content)) {
        Ok(_) if content.len() as u64 > MAX_FILE => Err(unusable(format!(
            "{}: longer than {MAX_FILE} bytes",
            path.display()
        ))),
        Ok(_) => Ok(content),
        Err(error) => Err(unusable(format!("{}: {error}", path.display()))),
    }
}

/// All certificates in PEM text, or the one in DER.
pub(super) fn certificates(
    pem: &[u8],
    origin: &dyn fmt::Display,
) -> Result<Vec<CertificateDer<'static>>> {
    if pem.first() == Some(&DER_SEQUENCE) && !has(pem, "-----BEGIN ") {
        return Ok(vec![CertificateDer::from(pem.to_vec())]);
    }
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(format!("{origin} has no certificate"))),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(format!("{origin}: {error}"))),
    }
}

/// The private key in PEM text.
pub(super) fn key(pem: &[u8], origin: &dyn fmt::Display) -> Result<PrivateKeyDer<'static>> {
    if is_encrypted(pem) {
        return Err(unusable(format!(
            "{origin}: the key is encrypted, and only plain ones are read; \
             openssl pkey -in FILE -out PLAIN decrypts it"
        )));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(format!("{origin} has no private key")),
        error => unusable(format!("{origin}: {error}")),
    })
}

/// Whether a key is there, and a password for it is needed: PKCS #8 says so in the label, the older forms in a header.
fn is_encrypted(pem: &[u8]) -> bool {
    has(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(pem, "Proc-Type: 4,ENCRYPTED")
}

fn has(content: &[u8], text: &str) -> bool {
    content
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
