//! How settings become what the TLS library works with, and how a peer's certificate is looked at.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as Tls,
    RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion, version,
};

use super::fault::{explain, unusable};
use super::{Fingerprint, Own, Settings, TlsAuth, TlsVersion};
use crate::error::Result;

/// Builds what a dialer uses.
pub(super) fn client(settings: &Settings) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(settings))
        .map_err(|error| explain(&error))?;
    let verified = settings.auth != Some(TlsAuth::None);
    let chain: Option<Arc<dyn ServerCertVerifier>> = if !verified {
        None
    } else if settings.has_authorities() || settings.pins.is_empty() {
        let roots = roots(settings, !settings.has_authorities())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        let verifier = verifier.build();
        Some(verifier.map_err(|error| unusable(error.to_string()))?)
    } else {
        None
    };
    let verifier = Verifier {
        chain,
        pins: if verified {
            settings.pins.clone()
        } else {
            vec![]
        },
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &settings.own {
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(|error| explain(&error))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Builds what a listener uses.
pub(super) fn server(settings: &Settings) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(settings))
        .map_err(|error| explain(&error))?;
    let Some(own) = &settings.own else {
        return Err(unusable(
            "a listener needs a certificate and its key".into(),
        ));
    };
    let trusts = settings.has_authorities() || !settings.pins.is_empty();
    let auth = settings.auth.unwrap_or(if trusts {
        TlsAuth::Required
    } else {
        TlsAuth::None
    });
    let builder = if auth == TlsAuth::None {
        builder.with_no_client_auth()
    } else {
        if !trusts {
            return Err(unusable(
                "a listener that wants certificates needs a CA or a pin to judge them by".into(),
            ));
        }
        let chain: Option<Arc<dyn ClientCertVerifier>> = if settings.has_authorities() {
            let roots = roots(settings, false)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let verifier = verifier.build();
            Some(verifier.map_err(|error| unusable(error.to_string()))?)
        } else {
            None
        };
        builder.with_client_cert_verifier(Arc::new(ClientVerifier {
            common: Verifier {
                chain,
                pins: settings.pins.clone(),
                algorithms: provider.signature_verification_algorithms,
            },
            mandatory: auth == TlsAuth::Required,
        }))
    };
    let config = builder
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| explain(&error))?;
    Ok(Arc::new(config))
}

/// Whether a key can be used and belongs to its certificate.
pub(super) fn check_own(own: &Own) -> Result<(), Tls> {
    let provider = crypto::ring::default_provider();
    CertifiedKey::from_der(own.chain.clone(), own.key.clone_key(), &provider).map(drop)
}

impl Settings {
    fn has_authorities(&self) -> bool {
        self.system || !self.authorities.is_empty()
    }
}

fn versions(settings: &Settings) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match settings.min_version {
        Some(TlsVersion::V1_3) => &BOTH[..1],
        Some(TlsVersion::V1_2) | None => &BOTH,
    }
}

/// Everybody whose signature under a certificate counts.
fn roots(settings: &Settings, fall_back: bool) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(settings.authorities.iter().cloned());
    if settings.system || fall_back {
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 && settings.authorities.is_empty() {
            let why = found.errors.first();
            let why = why.map_or_else(String::new, |error| format!(" ({error})"));
            return Err(unusable(format!(
                "no CA was given, and the system has none either{why}"
            )));
        }
    }
    Ok(Arc::new(store))
}

/// Looks at a peer's certificate: by its chain, by its fingerprint, or by both.
#[derive(Debug)]
struct Verifier<C: ?Sized> {
    chain: Option<Arc<C>>,
    /// One of these it must have, if there are any.
    pins: Vec<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl<C: ?Sized> Verifier<C> {
    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), Tls> {
        if self.pins.is_empty() || self.pins.contains(&Fingerprint::of(certificate)) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    /// That the peer has the certificate's key.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        check: fn(
            &[u8],
            &CertificateDer<'_>,
            &DigitallySignedStruct,
            &WebPkiSupportedAlgorithms,
        ) -> Result<HandshakeSignatureValid, Tls>,
    ) -> Result<HandshakeSignatureValid, Tls> {
        check(message, certificate, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for Verifier<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Tls> {
        self.check_pins(certificate)?;
        match &self.chain {
            Some(chain) => chain.verify_server_cert(certificate, intermediates, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.check_signature(
            message,
            certificate,
            signature,
            crypto::verify_tls12_signature,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.check_signature(
            message,
            certificate,
            signature,
            crypto::verify_tls13_signature,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The same for the certificates of clients.
#[derive(Debug)]
struct ClientVerifier {
    common: Verifier<dyn ClientCertVerifier>,
    mandatory: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        let chain = self.common.chain.as_ref();
        chain.map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Tls> {
        self.common.check_pins(certificate)?;
        match &self.common.chain {
            Some(chain) => chain.verify_client_cert(certificate, intermediates, now),
            None => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        let check = crypto::verify_tls12_signature;
        self.common
            .check_signature(message, certificate, signature, check)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        let check = crypto::verify_tls13_signature;
        self.common
            .check_signature(message, certificate, signature, check)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.common.algorithms.supported_schemes()
    }
}
