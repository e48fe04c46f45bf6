//! TLS from end to end: who is let in, who is not and what both ends are told, and what is known of a peer.

mod common;

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use common::certificates::{AUTHORITY, Authority, Identity, client, server};
use common::strangers;
use common::{SOON, await_added, await_event, await_handshake_failed, eventually};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SerialNumber, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use wirebird::{
    Dialer, EndpointOptions, Error, Event, Fingerprint, Listener, Monitor, Pair0, Pull, Push,
    SocketOptions, TlsAuth, TlsConfig, TlsError, TlsFault, TlsVersion,
};

const HERE: &str = "tls+tcp://127.0.0.1:0";

/// A socket that listens, and what happens to it.
struct Host {
    pull: Pull,
    listener: Listener,
    events: Monitor,
}

impl Host {
    fn new(config: TlsConfig) -> Self {
        let pull = Pull::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
        let events = pull.monitor();
        let listener = pull.listener(HERE).unwrap();
        listener.set_options(&with(config)).unwrap();
        listener.start().unwrap();
        Self {
            pull,
            listener,
            events,
        }
    }

    /// One message goes through.
    #[track_caller]
    fn hears(&self, push: &Push) {
        push.send("hello").unwrap();
        assert_eq!(self.pull.recv().unwrap().body(), b"hello");
    }

    fn failure(&self) -> TlsError {
        tls(await_handshake_failed(&self.events))
    }
}

fn with(config: TlsConfig) -> EndpointOptions {
    EndpointOptions::new().tls(config)
}

/// Dials once.
fn dial(url: &str, config: TlsConfig) -> Result<(Push, Dialer), Error> {
    let push = Push::with_options(&SocketOptions::new().send_timeout(SOON)).unwrap();
    let dialer = push.dialer(url).unwrap();
    dialer.set_options(&with(config)).unwrap();
    dialer.start_and_wait(Some(SOON)).map(|()| (push, dialer))
}

#[track_caller]
fn tls(error: Error) -> TlsError {
    match error {
        Error::Tls(error) => *error,
        other => panic!("no error of TLS: {other:?}"),
    }
}

#[track_caller]
fn dial_fault(url: &str, config: TlsConfig) -> TlsError {
    match dial(url, config) {
        Err(error) => tls(error),
        Ok(_) => panic!("it was let in"),
    }
}

#[track_caller]
fn says(error: &TlsError, fault: TlsFault, parts: &[&str]) {
    assert_eq!(error.fault, fault, "{error:?}");
    for part in parts {
        assert!(error.reason.contains(part), "{part:?} in {error:?}");
    }
}

/// Both ends agree to be connected, and one message goes through.
#[track_caller]
fn works(server: TlsConfig, client: TlsConfig) {
    let host = Host::new(server);
    let (push, _) = dial(&host.listener.url(), client).expect("it is let in");
    host.hears(&push);
}

fn on(identity: &Identity) -> TlsConfig {
    identity.on(TlsConfig::new())
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig::new().ca(authority.pem()).unwrap()
}

fn pinning(identity: &Identity) -> TlsConfig {
    TlsConfig::new().pin(Fingerprint::of(&identity.der))
}

// ---- the listener's certificate ----

#[test]
fn an_issuer_that_nobody_trusts_is_told_of_at_both_ends() {
    let host = Host::new(on(&Authority::new("stranger").issue_local()));
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::UnknownIssuer, &["nobody that is trusted"]);
    says(&host.failure(), TlsFault::Refused, &["does not trust"]);
}

#[test]
fn a_certificate_out_of_its_time_is_told_of_at_both_ends() {
    let host = Host::new(on(&AUTHORITY.issue_expired(&["127.0.0.1"])));
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::Expired, &["has expired", "days ago"]);
    says(&host.failure(), TlsFault::Refused, &["CertificateExpired"]);
    let early = AUTHORITY.issue(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    });
    let host = Host::new(on(&early));
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::NotYetValid, &["will be valid in", "days"]);
    says(&host.failure(), TlsFault::Refused, &["CertificateExpired"]);
}

#[test]
fn a_certificate_for_another_name_is_told_of_with_both_names() {
    let identity = AUTHORITY.issue(&["one.example", "10.1.2.3"], |_| {});
    let host = Host::new(on(&identity));
    let error = dial_fault(&host.listener.url(), client());
    let names = ["127.0.0.1 was dialed", "one.example", "10.1.2.3"];
    says(&error, TlsFault::NameMismatch, &names);
    says(&host.failure(), TlsFault::Refused, &["BadCertificate"]);
    let nameless = Host::new(on(&AUTHORITY.issue(&[], |_| {})));
    let error = dial_fault(&nameless.listener.url(), client());
    says(&error, TlsFault::NameMismatch, &["127.0.0.1 was dialed"]);
}

#[test]
fn another_name_may_be_asked_for() {
    let identity = AUTHORITY.issue(&["one.example"], |_| {});
    works(on(&identity), client().server_name("one.example").unwrap());
    let host = Host::new(on(&identity));
    let two = client().server_name("two.example").unwrap();
    let error = dial_fault(&host.listener.url(), two);
    let names = ["two.example was dialed", "one.example"];
    says(&error, TlsFault::NameMismatch, &names);
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let identity = AUTHORITY.issue(&["127.0.0.1"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let host = Host::new(on(&identity));
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::BadCertificate, &["cannot be used"]);
    assert_eq!(host.failure().fault, TlsFault::Refused);
}

#[test]
fn a_chain_with_an_intermediate_is_followed() {
    let middle = AUTHORITY.subordinate("middle");
    let mut identity = middle.issue_local();
    let host = Host::new(on(&identity));
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::UnknownIssuer, &[]);
    identity.certificate.push_str(&middle.pem());
    works(on(&identity), client());
}

#[test]
fn who_does_not_look_takes_any_certificate() {
    let identity = Authority::new("stranger").issue_expired(&["else.example"]);
    works(on(&identity), TlsConfig::new().auth(TlsAuth::None));
}

#[test]
fn a_listener_without_a_certificate_does_not_start() {
    let pull = Pull::new().unwrap();
    let listener = pull.listener(HERE).unwrap();
    let parts = ["a listener needs a certificate"];
    let error = tls(listener.start().unwrap_err());
    says(&error, TlsFault::Configuration, &parts);
    let error = tls(pull.listen(HERE).map(drop).unwrap_err());
    says(&error, TlsFault::Configuration, &parts);
    listener.set_options(&with(server())).unwrap();
    listener.start().expect("it may be started again");
}

// ---- the dialer's certificate ----

#[test]
fn a_dialer_without_the_certificate_that_is_required_is_told_so() {
    let host = Host::new(trusting(&AUTHORITY).with(&AUTHORITY.issue_local()));
    for round in 0..20 {
        let error = dial_fault(&host.listener.url(), client());
        let parts = ["requires a certificate", "none"];
        says(&error, TlsFault::NoCertificate, &parts);
        let parts = ["no certificate", "required"];
        says(&host.failure(), TlsFault::NoCertificate, &parts);
        assert_eq!(host.pull.stats().handshakes_failed, round + 1);
    }
}

#[test]
fn a_dialer_without_the_certificate_is_told_so_in_the_background_too() {
    let host = Host::new(trusting(&AUTHORITY).with(&AUTHORITY.issue_local()));
    let push = Push::new().unwrap();
    let events = push.monitor();
    let dialer = push.dialer(&host.listener.url()).unwrap();
    dialer.set_options(&with(client())).unwrap();
    dialer.start().unwrap();
    let why = await_event(&events, "a failed attempt", |event| match event {
        Event::DialFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    says(&tls(why), TlsFault::NoCertificate, &["requires"]);
}

#[test]
fn a_peer_of_tls_1_2_that_requires_a_certificate_says_so() {
    for versions in [[&TLS12], [&TLS13]] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tls+tcp://{}", tcp.local_addr().unwrap());
        let stranger = thread::spawn(move || {
            let config = strangers::server(&versions, true);
            strangers::greet(&mut strangers::accept(&tcp, config), 0x51)
        });
        let error = dial_fault(&url, client());
        says(&error, TlsFault::NoCertificate, &["requires a certificate"]);
        assert!(stranger.join().unwrap().is_err());
    }
}

#[test]
fn a_good_certificate_of_a_dialer_is_taken() {
    let config = trusting(&AUTHORITY).with(&AUTHORITY.issue_local());
    let worker = AUTHORITY.issue(&["worker"], |_| {});
    works(config.clone(), client().with(&worker));
    works(config.auth(TlsAuth::Optional), client().with(&worker));
}

#[test]
fn a_bad_certificate_of_a_dialer_is_told_of_at_both_ends() {
    let required = trusting(&AUTHORITY).with(&AUTHORITY.issue_local());
    let stranger = Authority::new("stranger").issue(&["worker"], |_| {});
    let expired = AUTHORITY.issue_expired(&["worker"]);
    let purpose = AUTHORITY.issue(&["worker"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for config in [required.clone(), required.auth(TlsAuth::Optional)] {
        let host = Host::new(config);
        for (identity, here, there) in [
            (&stranger, TlsFault::UnknownIssuer, "does not trust"),
            (&expired, TlsFault::Expired, "CertificateExpired"),
            (&purpose, TlsFault::BadCertificate, "our certificate"),
        ] {
            let error = dial_fault(&host.listener.url(), client().with(identity));
            says(&error, TlsFault::Refused, &[there]);
            assert_eq!(host.failure().fault, here);
        }
    }
}

#[test]
fn a_certificate_that_is_optional_may_be_missing() {
    let config = trusting(&AUTHORITY).with(&AUTHORITY.issue_local());
    works(config.auth(TlsAuth::Optional), client());
}

#[test]
fn a_listener_that_asks_for_none_is_not_shown_one() {
    let host = Host::new(server());
    let worker = AUTHORITY.issue(&["worker"], |_| {});
    let (push, _) = dial(&host.listener.url(), client().with(&worker)).unwrap();
    host.hears(&push);
    let pipes = host.pull.pipes();
    assert_eq!(pipes[0].info().unwrap().certificate, None);
}

// ---- pins ----

#[test]
fn a_pinned_certificate_of_a_listener_needs_no_issuer_name_or_time() {
    let identity = Authority::new("stranger").issue_expired(&["else.example"]);
    works(on(&identity), pinning(&identity));
    let two = pinning(&AUTHORITY.issue_local()).pin(Fingerprint::of(&identity.der));
    works(on(&identity), two);
    let host = Host::new(on(&identity));
    let error = dial_fault(&host.listener.url(), pinning(&AUTHORITY.issue_local()));
    says(&error, TlsFault::NotPinned, &["fingerprints"]);
    says(&host.failure(), TlsFault::Refused, &["AccessDenied"]);
}

#[test]
fn a_pinned_certificate_of_a_dialer_is_required() {
    let identity = AUTHORITY.issue_local();
    let worker = Authority::new("stranger").issue_expired(&["worker"]);
    let config = pinning(&worker).with(&identity);
    works(config.clone(), client().with(&worker));
    let host = Host::new(config);
    let error = dial_fault(&host.listener.url(), client());
    says(&error, TlsFault::NoCertificate, &[]);
    assert_eq!(host.failure().fault, TlsFault::NoCertificate);
    let other = AUTHORITY.issue(&["worker"], |_| {});
    let error = dial_fault(&host.listener.url(), client().with(&other));
    says(&error, TlsFault::Refused, &["our certificate"]);
    assert_eq!(host.failure().fault, TlsFault::NotPinned);
}

#[test]
fn a_pin_beside_a_ca_needs_both() {
    let good = AUTHORITY.issue_local();
    let pinned = trusting(&AUTHORITY).pin(Fingerprint::of(&good.der));
    works(on(&good), pinned.clone());
    let host = Host::new(on(&AUTHORITY.issue_local()));
    let error = dial_fault(&host.listener.url(), pinned);
    says(&error, TlsFault::NotPinned, &[]);
    let stranger = Authority::new("stranger").issue_local();
    let pinned = trusting(&AUTHORITY).pin(Fingerprint::of(&stranger.der));
    let host = Host::new(on(&stranger));
    let error = dial_fault(&host.listener.url(), pinned);
    says(&error, TlsFault::UnknownIssuer, &[]);
}

#[test]
fn a_pin_is_proved_by_the_key_and_not_by_the_certificate_alone() {
    // Whoever has seen the certificate can show it.
    let identity = AUTHORITY.issue_local();
    let thief = strangers::server_with_stolen(&identity, &AUTHORITY.issue_local());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tls+tcp://{}", tcp.local_addr().unwrap());
    let stranger =
        thread::spawn(move || strangers::greet(&mut strangers::accept(&tcp, thief), 0x51));
    let error = dial_fault(&url, pinning(&identity));
    says(&error, TlsFault::BadCertificate, &["signature"]);
    assert!(stranger.join().unwrap().is_err());
}

// ---- versions and what is no TLS ----

#[test]
fn a_minimum_of_1_3_keeps_out_who_speaks_1_2() {
    let config = server().min_version(TlsVersion::V1_3);
    let host = Host::new(config.clone());
    let mut stranger = strangers::dial(&host.listener.url(), strangers::client(&[&TLS12], None));
    assert!(strangers::greet(&mut stranger, 0x50).is_err());
    says(&host.failure(), TlsFault::NothingInCommon, &["version"]);
    works(config, client());

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tls+tcp://{}", tcp.local_addr().unwrap());
    let stranger = thread::spawn(move || {
        let config = strangers::server(&[&TLS12], false);
        strangers::greet(&mut strangers::accept(&tcp, config), 0x51)
    });
    let error = dial_fault(&url, client().min_version(TlsVersion::V1_3));
    says(&error, TlsFault::NothingInCommon, &["version"]);
    assert!(stranger.join().unwrap().is_err());
}

#[test]
fn both_versions_are_spoken_by_default() {
    use std::io::Write;
    let host = Host::new(server());
    for versions in [[&TLS12], [&TLS13]] {
        let mut stranger =
            strangers::dial(&host.listener.url(), strangers::client(&versions, None));
        assert_eq!(strangers::greet(&mut stranger, 0x50).unwrap(), 0x51);
        assert_eq!(stranger.conn.protocol_version(), Some(versions[0].version));
        stranger.write_all(&strangers::frame(b"hi")).unwrap();
        assert_eq!(host.pull.recv().unwrap().body(), b"hi");
    }
}

#[test]
fn a_plain_peer_is_told_from_one_that_speaks_tls() {
    let host = Host::new(server());
    let plain = host.listener.url().replace("tls+tcp", "tcp");
    let push = Push::new().unwrap();
    let refused = push.dial(&plain).map(drop);
    // An alert is shorter than a header.
    assert_eq!(refused, Err(Error::ConnectionShut));
    says(&host.failure(), TlsFault::NotTls, &["is not TLS"]);

    let pull = Pull::new().unwrap();
    let events = pull.monitor();
    let listener = pull.listen("tcp://127.0.0.1:0").unwrap();
    let url = listener.url().replace("tcp", "tls+tcp");
    says(
        &dial_fault(&url, client()),
        TlsFault::NotTls,
        &["is not TLS"],
    );
    assert_eq!(await_handshake_failed(&events), Error::BadHandshake);
}

// ---- what is known of the peer ----

#[test]
fn a_pipe_has_the_certificate_of_its_peer() {
    let local = AUTHORITY.issue_local();
    let worker = AUTHORITY.issue(&["worker.example", "10.9.8.7"], |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Us");
        params.serial_number = Some(SerialNumber::from(vec![0x12, 0x34]));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2060, 1, 1);
    });
    let host = Host::new(trusting(&AUTHORITY).with(&local));
    let (push, _) = dial(&host.listener.url(), client().with(&worker)).unwrap();
    host.hears(&push);

    let pipes = push.pipes();
    let seen = pipes[0].info().unwrap().certificate.clone();
    assert_eq!(seen.expect("the listener's").der(), local.der);

    let pipes = host.pull.pipes();
    let seen = pipes[0].info().unwrap().certificate.clone();
    let seen = seen.expect("the dialer's");
    assert_eq!(seen.der(), worker.der);
    assert_eq!(seen.fingerprint(), Fingerprint::of(&worker.der));
    assert_eq!(seen.common_name().as_deref(), Some("test"));
    assert!(seen.subject().contains("O=Us"), "{}", seen.subject());
    assert!(seen.issuer().contains("CN=test CA"), "{}", seen.issuer());
    assert_eq!(seen.serial(), "1234");
    assert_eq!(seen.alternative_names(), ["worker.example", "10.9.8.7"]);
    let (from, to) = seen.validity().expect("two times");
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(seconds(from), Duration::from_secs(1_577_836_800));
    assert_eq!(seconds(to), Duration::from_secs(2_840_140_800));
}

#[test]
fn a_certificate_is_known_on_a_session_that_is_resumed() {
    let config = trusting(&AUTHORITY).with(&AUTHORITY.issue_local());
    let host = Host::new(config);
    let worker = AUTHORITY.issue(&["worker"], |_| {});
    let config = client().with(&worker);
    for _ in 0..3 {
        let (push, _) = dial(&host.listener.url(), config.clone()).unwrap();
        host.hears(&push);
        let pipes = host.pull.pipes();
        let seen = pipes[0].info().unwrap().certificate.clone();
        assert_eq!(seen.expect("it is known").der(), worker.der);
        push.close().unwrap();
        eventually("it is gone", || host.pull.stats().pipes == 0);
    }
}

// ---- at run time ----

#[test]
fn a_certificate_is_replaced_for_the_peers_to_come() {
    let (old, new) = (AUTHORITY.issue_local(), AUTHORITY.issue_local());
    let host = Host::new(on(&old));
    let shown = |push: &Push| {
        let pipes = push.pipes();
        let seen = pipes[0].info().unwrap().certificate.clone();
        seen.expect("a certificate").der().to_vec()
    };
    let config = client();
    let (first, _) = dial(&host.listener.url(), config.clone()).unwrap();
    host.hears(&first);
    host.listener.set_options(&with(on(&new))).unwrap();
    // The same configuration as before: nothing is resumed with a certificate that is not used any more.
    let (second, _) = dial(&host.listener.url(), config).unwrap();
    host.hears(&second);
    assert_eq!(shown(&first), old.der);
    assert_eq!(shown(&second), new.der);
    host.hears(&first);
    assert_eq!(host.pull.stats().pipes, 2);
}

#[test]
fn a_replacement_that_cannot_be_used_is_refused_and_changes_nothing() {
    let host = Host::new(server());
    let error = host.listener.set_options(&with(TlsConfig::new()));
    let parts = ["a listener needs a certificate"];
    says(&tls(error.unwrap_err()), TlsFault::Configuration, &parts);
    let (push, _) = dial(&host.listener.url(), client()).expect("as before");
    host.hears(&push);
}

#[cfg(feature = "ws")]
#[test]
fn a_replacement_that_cannot_be_used_is_refused_by_wss_too() {
    let pull = Pull::new().unwrap();
    let listener = pull.listener("wss://127.0.0.1:0/").unwrap();
    listener.set_options(&with(server())).unwrap();
    listener.start().unwrap();
    let error = listener.set_options(&with(TlsConfig::new()));
    assert_eq!(tls(error.unwrap_err()).fault, TlsFault::Configuration);
}

#[test]
fn a_dialer_finds_a_listener_whose_certificate_was_mended() {
    let host = Host::new(on(&AUTHORITY.issue_expired(&["127.0.0.1"])));
    let options = SocketOptions::new()
        .send_timeout(SOON)
        .reconnect_min(Duration::from_millis(10));
    let push = Push::with_options(&options).unwrap();
    let dialer = push.dialer(&host.listener.url()).unwrap();
    let options = with(client()).reconnect_min(Duration::from_millis(10));
    dialer.set_options(&options).unwrap();
    dialer.start().unwrap();
    assert_eq!(host.failure().fault, TlsFault::Refused);
    host.listener.set_options(&with(server())).unwrap();
    await_added(&host.events);
    host.hears(&push);
}

#[test]
fn addresses_of_the_sixth_version_and_names_are_dialed() {
    let config = server();
    for (listen, dial_at) in [
        ("tls+tcp://[::1]:0", "tls+tcp://[::1]:"),
        ("tls+tcp6://[::1]:0", "tls+tcp6://[::1]:"),
        ("tls+tcp4://127.0.0.1:0", "tls+tcp4://localhost:"),
    ] {
        let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
        let listener = one.listener(listen).unwrap();
        listener.set_options(&with(config.clone())).unwrap();
        listener.start().unwrap();
        let url = listener.url();
        let port = url.rsplit(':').next().unwrap();
        let dialer = other.dialer(&format!("{dial_at}{port}")).unwrap();
        dialer.set_options(&with(client())).unwrap();
        let dialed = dialer.start_and_wait(Some(SOON));
        assert_eq!(dialed, Ok(()), "{dial_at}");
        other.send("hello").unwrap();
        assert_eq!(one.recv_timeout(SOON).unwrap().body(), b"hello");
    }
}

// ---- the system's CAs ----

const CHILD: &str = "WIREBIRD_TEST_DIAL";

#[test]
fn a_dialer_that_is_given_nothing_trusts_the_systems_cas() {
    if let Ok(url) = std::env::var(CHILD) {
        let outcome = dial(&url, TlsConfig::new()).map(drop);
        println!("outcome: {outcome:?}");
        return;
    }
    let host = Host::new(server());
    let url = host.listener.url();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let ours = file("ours", AUTHORITY.pem());
    let theirs = file("theirs", Authority::new("stranger").pem());
    let none = directory.path().join("none");
    for (path, expected) in [
        (ours, "outcome: Ok(())"),
        (theirs, "fault: UnknownIssuer"),
        (none, "the system has none either"),
    ] {
        // The variable is for a process, and this one has other tests.
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["a_dialer_that_is_given_nothing_trusts_the_systems_cas"])
            .args(["--exact", "--nocapture"])
            .env(CHILD, &url)
            .env("SSL_CERT_FILE", &path)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&out.stdout);
        assert!(out.contains(expected), "{expected:?} in {out}");
    }
}

trait With {
    fn with(self, identity: &Identity) -> TlsConfig;
}

impl With for TlsConfig {
    fn with(self, identity: &Identity) -> TlsConfig {
        identity.on(self)
    }
}
