//! What is said of files and settings that cannot be used.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use rustls::pki_types::pem::PemObject;

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
fn issue(by: &CertifiedIssuer<'_, KeyPair>) -> (String, String) {
    let params = CertificateParams::new(vec!["host".into()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[track_caller]
fn refusal<T>(result: Result<T>) -> String {
    match result {
        Err(Error::Tls(error)) => {
            assert_eq!(error.fault, TlsFault::Configuration);
            error.reason
        }
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// Files that are gone after the test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

// ---- files ----

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_systems_reason() {
    let files = Files::new();
    let missing = files.0.path().join("missing.pem");
    let there = files.put("there.pem", issue(&authority()).0);
    for reason in [
        refusal(TlsConfig::new().ca_file(&missing)),
        refusal(TlsConfig::new().certificate_files(&missing, &there)),
        refusal(TlsConfig::new().certificate_files(&there, &missing)),
    ] {
        assert!(reason.contains("missing.pem"), "{reason}");
        assert!(reason.contains("No such file"), "{reason}");
    }
    let reason = refusal(TlsConfig::new().ca_file(files.0.path()));
    assert!(reason.contains("Is a directory"), "{reason}");
}

#[test]
fn a_file_without_end_is_not_read_for_ever() {
    let reason = refusal(TlsConfig::new().ca_file("/dev/zero"));
    assert!(reason.starts_with("/dev/zero: longer than"), "{reason}");
}

#[test]
fn a_file_without_what_is_looked_for_is_named() {
    let files = Files::new();
    let (certificate, key) = issue(&authority());
    let certificate_file = files.put("certificate.pem", &certificate);
    let key_file = files.put("key.pem", &key);
    for (name, content) in [("empty", ""), ("garbage", "no PEM\n"), ("key", &*key)] {
        let path = files.put(name, content);
        let expected = format!("{} has no certificate", path.display());
        assert_eq!(refusal(TlsConfig::new().ca_file(&path)), expected);
        let own = TlsConfig::new().certificate_files(&path, &key_file);
        assert_eq!(refusal(own), expected);
    }
    for (name, content) in [
        ("empty", ""),
        ("garbage", "no PEM\n"),
        ("chain", &*certificate),
    ] {
        let path = files.put(name, content);
        let own = TlsConfig::new().certificate_files(&certificate_file, &path);
        let expected = format!("{} has no private key", path.display());
        assert_eq!(refusal(own), expected);
    }
}

#[test]
fn a_file_that_is_damaged_is_named() {
    let files = Files::new();
    let (certificate, key) = issue(&authority());
    let key_file = files.put("key.pem", &key);
    let half = &certificate[..certificate.len() / 2];
    let wrong = certificate.replace("MII", "!!!");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, content) in [("half", half), ("wrong", &wrong), ("hollow", hollow)] {
        let path = files.put(name, content);
        let reason = refusal(TlsConfig::new().ca_file(&path));
        assert!(reason.contains(&*path.to_string_lossy()), "{reason}");
        let reason = refusal(TlsConfig::new().certificate_files(&path, &key_file));
        assert!(reason.contains(&*path.to_string_lossy()), "{reason}");
    }
}

#[test]
fn encrypted_keys_are_told_from_missing_ones() {
    let files = Files::new();
    let (certificate, _) = issue(&authority());
    let certificate = files.put("certificate.pem", certificate);
    let pkcs8 =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                 DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for content in [pkcs8, older] {
        let key = files.put("secret.key", content);
        let reason = refusal(TlsConfig::new().certificate_files(&certificate, &key));
        assert!(reason.contains("secret.key"), "{reason}");
        assert!(reason.contains("the key is encrypted"), "{reason}");
        assert!(reason.contains("openssl pkey"), "{reason}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let files = Files::new();
    let root = authority();
    let certificate = files.put("mine.pem", issue(&root).0);
    let key = files.put("other.key", issue(&root).1);
    let reason = refusal(TlsConfig::new().certificate_files(&certificate, &key));
    assert!(reason.contains("mine.pem"), "{reason}");
    assert!(reason.contains("other.key"), "{reason}");
    assert!(
        reason.contains("the key belongs to another certificate"),
        "{reason}"
    );
}

#[test]
fn a_chain_begins_with_our_own_certificate() {
    let root = authority();
    let (certificate, key) = issue(&root);
    let right = format!("{certificate}{}", root.pem());
    let config = TlsConfig::new().certificate(right, &key).unwrap();
    assert_eq!(config.settings.own.as_ref().unwrap().chain.len(), 2);
    let wrong = format!("{}{certificate}", root.pem());
    let reason = refusal(TlsConfig::new().certificate(wrong, &key));
    assert!(reason.contains("than the first"), "{reason}");
}

#[test]
fn one_file_may_have_both_certificate_and_key() {
    let files = Files::new();
    let (certificate, key) = issue(&authority());
    for content in [format!("{certificate}{key}"), format!("{key}{certificate}")] {
        let path = files.put("both.pem", content);
        TlsConfig::new().certificate_files(&path, &path).unwrap();
    }
}

#[test]
fn a_ca_may_be_der_and_a_bundle_is_read_whole() {
    let (one, other) = (authority(), authority());
    let config = TlsConfig::new().ca(one.der()).unwrap();
    assert_eq!(config.settings.authorities, [one.der().clone()]);
    // Begins as DER does.
    let bundle = format!("0 s:CN = root\n{}\n1\n{}", one.pem(), other.pem());
    let config = config.ca(bundle).unwrap();
    assert_eq!(config.settings.authorities.len(), 3);
    let mut cut = one.der().to_vec();
    cut.truncate(100);
    assert!(refusal(TlsConfig::new().ca(cut)).starts_with("the CA: "));
}

// ---- settings ----

#[test]
fn only_names_and_addresses_are_server_names() {
    for name in [
        "example.com",
        "a",
        "127.0.0.1",
        "::1",
        "xn--bcher-kva.example",
    ] {
        assert!(TlsConfig::new().server_name(name).is_ok(), "{name}");
    }
    for name in [
        "",
        " ",
        "a b",
        "-",
        "a..b",
        "[::1]",
        "bücher.example",
        "a:1",
    ] {
        match TlsConfig::new().server_name(name) {
            Err(Error::InvalidOption(bad)) => {
                assert_eq!(bad.option, "tls-server-name");
                assert_eq!(bad.value, format!("{name:?}"));
            }
            other => panic!("{name:?}: {other:?}"),
        }
    }
}

#[test]
fn what_is_printed_has_no_key() {
    let (certificate, key) = issue(&authority());
    let config = TlsConfig::new().certificate(certificate, &key).unwrap();
    let secret = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let printed = format!("{config:?} {config:#?}");
    for part in secret.secret_der().windows(4) {
        assert!(!printed.contains(&format!("{part:?}")[1..11]), "{printed}");
    }
    assert!(printed.contains("certificate: true"), "{printed}");
    let body: String = key.lines().filter(|line| !line.contains("---")).collect();
    assert!(!printed.contains(&body[..16]), "{printed}");
}

#[test]
fn configurations_equal_their_clones_and_nothing_else() {
    let config = TlsConfig::new();
    assert_eq!(config, config.clone());
    assert_ne!(config, TlsConfig::new());
    assert_ne!(config, config.clone().min_version(TlsVersion::V1_3));
}

#[test]
fn a_listener_needs_a_certificate_and_somebody_to_judge_clients_by() {
    let (certificate, key) = issue(&authority());
    let reason = refusal(TlsConfig::new().server());
    assert!(
        reason.contains("a listener needs a certificate"),
        "{reason}"
    );
    let config = TlsConfig::new().certificate(certificate, key).unwrap();
    assert!(config.server().is_ok());
    for auth in [TlsAuth::Optional, TlsAuth::Required] {
        let reason = refusal(config.clone().auth(auth).server());
        assert!(reason.contains("a CA or a pin"), "{reason}");
    }
}

// ---- fingerprints ----

#[test]
fn fingerprints_are_read_as_openssl_prints_them() {
    // That of no bytes at all is well known.
    let plain = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let print = Fingerprint::of(b"");
    assert_eq!(print.to_string(), plain);
    assert_eq!(format!("{print:?}"), format!("Fingerprint({plain})"));
    assert_eq!(plain.parse(), Ok(print));
    let pairs: Vec<_> = plain
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
        .collect();
    assert_eq!(pairs.join(":").parse(), Ok(print));
    assert_eq!(Fingerprint::from(*print.as_bytes()), print);
}

#[test]
fn what_is_no_fingerprint_is_refused_with_what_is_allowed() {
    let digits = "ab".repeat(32);
    let colons = vec!["ab"; 32].join(":");
    for text in [
        String::new(),
        digits[1..].into(),
        format!("{digits}a"),
        format!("{digits}ab"),
        digits.replacen('a', "g", 1),
        digits.replacen('a', "+", 1),
        digits.replacen("ab", "é", 1),
        colons.replacen("ab", "é", 1),
        format!("{colons}:"),
        format!(":{colons}"),
        colons.replacen(':', "", 1),
        colons.replacen("ab:ab", "a:bab", 1),
        format!("sha256:{digits}"),
    ] {
        match text.parse::<Fingerprint>() {
            Err(Error::InvalidOption(bad)) => {
                assert_eq!(bad.option, "tls-pin", "{text}");
                assert!(bad.allowed.contains("64 hexadecimal digits"), "{text}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

// ---- what a certificate says ----

#[test]
fn a_peers_certificate_is_read() {
    let root = authority();
    let mut params = CertificateParams::new(vec![
        "worker.example".into(),
        "10.0.0.7".into(),
        "::1".into(),
    ])
    .unwrap();
    params.distinguished_name = DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, "Example & Sons");
    name.push(DnType::CommonName, "worker, 1");
    let mail = SanType::Rfc822Name("worker@example.com".try_into().unwrap());
    let uri = SanType::URI("spiffe://example/worker".try_into().unwrap());
    params.subject_alt_names.extend([mail, uri]);
    params.serial_number = Some(SerialNumber::from(vec![0x00, 0xc0, 0xff, 0xee]));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().unwrap();
    let made = params.signed_by(&key, &root).unwrap();
    let shown = PeerCertificate::new(made.der().clone());
    assert_eq!(shown.der(), &**made.der());
    assert_eq!(shown.fingerprint(), Fingerprint::of(made.der()));
    assert_eq!(shown.common_name().as_deref(), Some("worker, 1"));
    assert_eq!(shown.subject(), "CN=worker\\, 1,O=Example & Sons");
    assert!(shown.issuer().contains("CN=root"), "{}", shown.issuer());
    assert_eq!(shown.serial(), "00c0ffee", "as it is encoded");
    assert_eq!(
        shown.alternative_names(),
        [
            "worker.example",
            "10.0.0.7",
            "::1",
            "worker@example.com",
            "spiffe://example/worker",
        ]
    );
    let (from, to) = shown.validity().unwrap();
    let since = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    assert_eq!(since(from), 1_577_836_800);
    assert_eq!(since(to), 2_208_988_800);
    assert!(format!("{shown:?}").contains("worker"));
}

#[test]
fn a_certificate_that_cannot_be_read_says_nothing() {
    for der in [vec![], vec![0x30], vec![0xff; 1000]] {
        let shown = PeerCertificate::new(der.into());
        assert_eq!(shown.subject(), "");
        assert_eq!(shown.issuer(), "");
        assert_eq!(shown.serial(), "");
        assert_eq!(shown.common_name(), None);
        assert!(shown.alternative_names().is_empty());
        assert_eq!(shown.validity(), None);
    }
}
