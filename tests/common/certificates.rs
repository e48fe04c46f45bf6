//! Certificates for tests, made anew for each process.

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use wirebird::TlsConfig;

/// A CA that the tests trust.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

/// The CA behind [`server`] and [`client`].
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("test CA"));

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// A CA that this one has issued.
    pub(crate) fn subordinate(&self, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("a CA"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for host names and addresses, `change` having the last word.
    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut params = CertificateParams::new(names).expect("usable names");
        params.distinguished_name.push(DnType::CommonName, "test");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    /// One that was valid long ago.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        self.issue(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// One for this machine.
    pub(crate) fn issue_local(&self) -> Identity {
        self.issue(&["localhost", "127.0.0.1", "::1"], |_| {})
    }
}

impl Identity {
    pub(crate) fn on(&self, config: TlsConfig) -> TlsConfig {
        config
            .certificate(&self.certificate, &self.key)
            .expect("a certificate and its key")
    }
}

/// What a listener on this machine uses.
pub(crate) fn server() -> TlsConfig {
    static CONFIG: LazyLock<TlsConfig> =
        LazyLock::new(|| AUTHORITY.issue_local().on(TlsConfig::new()));
    CONFIG.clone()
}

/// What dials it.
pub(crate) fn client() -> TlsConfig {
    static CONFIG: LazyLock<TlsConfig> =
        LazyLock::new(|| TlsConfig::new().ca(AUTHORITY.pem()).expect("a CA"));
    CONFIG.clone()
}
