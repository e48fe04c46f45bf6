//! TLS with other implementations: pynng and nngcat, which have mbedTLS, and OpenSSL by itself.

#[allow(dead_code)]
#[path = "common/certificates.rs"]
mod certificates;
mod peers;

use std::path::Path;
use std::time::{Duration, Instant};

use certificates::{AUTHORITY, Authority, Identity};
use peers::pynng::Turn;
use peers::{
    DEADLINE, Place, Program, SIZES, Scheme, Side, assert_same, body, options, wait_for_event,
};
use tempfile::TempDir;
use wirebird::pattern::{
    BusNode, PairV0, PairV1, Publish, PullSide, PushSide, Reply, Request, Respond, Subscribe,
    Survey,
};
use wirebird::{
    EndpointOptions, Error, Event, Monitor, Pair0, Pattern, Pull, Push, Socket, SocketOptions,
    TlsConfig, TlsError, TlsFault,
};

/// A directory with the files of a peer.
struct Papers(TempDir);

impl Papers {
    fn new(ca: Option<&Authority>, own: Option<&Identity>) -> Self {
        let papers = Self(tempfile::tempdir().unwrap());
        if let Some(ca) = ca {
            std::fs::write(papers.0.path().join("ca.pem"), ca.pem()).unwrap();
        }
        if let Some(own) = own {
            let both = format!("{}{}", own.certificate, own.key);
            std::fs::write(papers.0.path().join("own.pem"), both).unwrap();
        }
        papers
    }

    /// What a good peer has.
    fn good() -> Self {
        Self::new(Some(&AUTHORITY), Some(&AUTHORITY.issue_local()))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn pynng(&self) -> Program {
        Program::python("peer.py").with("WIREBIRD_TLS", self.path())
    }
}

/// What the test CA demands of a peer, and a certificate from it.
fn mutual() -> TlsConfig {
    AUTHORITY.issue_local().on(trusting())
}

fn trusting() -> TlsConfig {
    TlsConfig::new().ca(AUTHORITY.pem()).unwrap()
}

fn secured(config: TlsConfig) -> SocketOptions {
    let endpoint = EndpointOptions::new().reconnect_min(Duration::from_millis(10));
    options().endpoint(endpoint.tls(config))
}

fn socket<P: Pattern>(config: TlsConfig) -> Socket<P> {
    Socket::with_options(&secured(config)).unwrap()
}

#[track_caller]
fn tls(error: Error) -> TlsError {
    match error {
        Error::Tls(error) => *error,
        other => panic!("no error of TLS: {other:?}"),
    }
}

#[track_caller]
fn failed_handshake(events: &Monitor) -> Error {
    loop {
        let event = events.recv_timeout(DEADLINE).expect("the event comes");
        if let Event::HandshakeFailed { reason, .. } = event {
            return reason;
        }
    }
}

// ---- pynng ----

fn exchange<P: Turn>(side: Side, prepare: fn(&Socket<P>)) {
    let (papers, place) = (Papers::good(), Place::new(Scheme::Tls));
    let socket = socket::<P>(mutual());
    prepare(&socket);
    let events = socket.monitor();
    peers::pynng::exchange(&papers.pynng(), &socket, side, &place);
    wait_for_event(&events, |event| match event {
        Event::Added(pipe) => {
            let shown = pipe.certificate.as_ref().expect("a certificate");
            assert_eq!(shown.common_name().as_deref(), Some("test"));
            true
        }
        _ => false,
    });
}

fn nothing<P: Pattern>(_: &Socket<P>) {}

macro_rules! matrix {
    ($($protocol:ident: $pattern:ty, $prepare:expr;)*) => {
        $(mod $protocol {
            use super::*;

            #[test]
            fn listens_for_pynng() {
                exchange::<$pattern>(Side::WirebirdListens, $prepare);
            }

            #[test]
            fn dials_pynng() {
                exchange::<$pattern>(Side::WirebirdDials, $prepare);
            }
        })*
    };
}

matrix! {
    pair0: PairV0, nothing;
    pair1: PairV1, nothing;
    bus: BusNode, nothing;
    req: Request, nothing;
    rep: Reply, nothing;
    surveyor: Survey, |socket| {
        let patient = secured(mutual()).survey_time(DEADLINE);
        socket.set_options(&patient).unwrap();
    };
    respondent: Respond, nothing;
    publish: Publish, nothing;
    subscribe: Subscribe, |socket| socket.subscribe("").unwrap();
    push: PushSide, nothing;
    pull: PullSide, nothing;
}

/// pynng dials a listener that demands a certificate; what it and the listener have to say of it. pynng may close before
/// it has written the alert; then it dials again.
fn pynng_dials_in_vain(papers: &Papers) -> (String, TlsError) {
    let place = Place::new(Scheme::Tls);
    let pull: Pull = socket(mutual());
    let events = pull.monitor();
    pull.listen(place.url()).unwrap();
    let until = Instant::now() + DEADLINE;
    loop {
        let said = papers.pynng().run(["dial_in_vain", place.url()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let failed = failed_handshake(&events);
        assert_eq!(pull.stats().added, 0);
        match failed {
            Error::ConnectionShut if Instant::now() < until => {}
            failed => break (String::from_utf8(said.out).unwrap(), tls(failed)),
        }
    }
}

#[test]
fn pynng_that_trusts_somebody_else_goes() {
    let other = Authority::new("other CA");
    let papers = Papers::new(Some(&other), Some(&AUTHORITY.issue_local()));
    let (said, failed) = pynng_dials_in_vain(&papers);
    assert_ne!(said, "connected\n");
    assert_eq!(failed.fault, TlsFault::Refused, "{failed:?}");
}

#[test]
fn pynng_without_the_certificate_that_is_required_is_refused() {
    let (_, failed) = pynng_dials_in_vain(&Papers::new(Some(&AUTHORITY), None));
    assert_eq!(failed.fault, TlsFault::NoCertificate, "{failed:?}");
}

#[test]
fn pynng_with_a_certificate_of_somebody_else_is_refused() {
    let stranger = Authority::new("stranger").issue_local();
    let papers = Papers::new(Some(&AUTHORITY), Some(&stranger));
    let (_, failed) = pynng_dials_in_vain(&papers);
    assert_eq!(failed.fault, TlsFault::UnknownIssuer, "{failed:?}");
}

/// pynng listens, and we dial.
fn dial_pynng(papers: &Papers, config: TlsConfig) -> Result<(), Error> {
    let place = Place::new(Scheme::Tls);
    let peer = papers.pynng().start(["listen_in_vain", place.url()]);
    peer.line("listening");
    let push: Push = socket(config);
    push.dial(place.url()).map(drop)
}

#[test]
fn a_listener_of_pynng_that_nobody_trusts_is_refused() {
    let stranger = Authority::new("stranger").issue_local();
    let papers = Papers::new(None, Some(&stranger));
    let error = tls(dial_pynng(&papers, trusting()).unwrap_err());
    assert_eq!(error.fault, TlsFault::UnknownIssuer, "{error:?}");
    let papers = Papers::new(None, Some(&AUTHORITY.issue(&["else.example"], |_| {})));
    let error = tls(dial_pynng(&papers, trusting()).unwrap_err());
    assert_eq!(error.fault, TlsFault::NameMismatch, "{error:?}");
    assert!(error.reason.contains("else.example"), "{error:?}");
}

/// What pynng tells of why it does not take us. It may close before it has written the alert; then it is asked again.
fn refused_by_pynng(config: TlsConfig) -> TlsError {
    let until = Instant::now() + DEADLINE;
    loop {
        match dial_pynng(&Papers::good(), config.clone()).unwrap_err() {
            Error::ConnectionShut if Instant::now() < until => {}
            error => break tls(error),
        }
    }
}

#[test]
fn a_listener_of_pynng_that_requires_a_certificate_says_so() {
    let error = refused_by_pynng(trusting());
    assert_eq!(error.fault, TlsFault::Refused, "{error:?}");
    assert!(error.reason.contains("requires a certificate"), "{error:?}");
    let stranger = Authority::new("stranger").issue_local();
    let error = refused_by_pynng(stranger.on(trusting()));
    assert_eq!(error.fault, TlsFault::Refused, "{error:?}");
    dial_pynng(&Papers::good(), mutual()).expect("a good one is taken");
}

// ---- OpenSSL ----

/// Python's `ssl` on the other end, which speaks one version only.
fn converses(side: Side, version: &str, end: &str) {
    let (papers, place) = (Papers::good(), Place::new(Scheme::Tls));
    let script = Program::python("tls_stranger.py").with("WIREBIRD_TLS", papers.path());
    let pair: Pair0 = socket(mutual());
    let events = pair.monitor();
    let sizes = SIZES.map(|size| size.to_string());
    let words = |role| {
        let words = [role, place.port(), version, end].into_iter();
        words.chain(sizes.iter().map(String::as_str))
    };
    let peer = match side {
        Side::WirebirdListens => {
            pair.listen(place.url()).unwrap();
            script.start(words("dial"))
        }
        Side::WirebirdDials => {
            let peer = script.start(words("listen"));
            peer.line("listening");
            pair.dial(place.url()).unwrap();
            peer
        }
    };
    for size in SIZES {
        assert_same(pair.recv().unwrap().body(), &body(size, 1), "message");
        pair.send(body(size, 2)).unwrap();
    }
    wait_for_event(&events, |event| {
        if let Event::Removed { reason, .. } = event {
            assert_eq!(*reason, Error::ConnectionShut);
            return true;
        }
        false
    });
    peer.line("done");
}

#[test]
fn openssl_converses_in_either_version_and_role_and_ends_as_it_likes() {
    for version in ["1.2", "1.3"] {
        for side in [Side::WirebirdListens, Side::WirebirdDials] {
            for end in ["notify", "cut"] {
                converses(side, version, end);
            }
        }
    }
}

#[test]
fn a_client_that_asks_to_renegotiate_disturbs_nobody() {
    let place = Place::new(Scheme::Tls);
    let pull: Pull = socket(AUTHORITY.issue_local().on(TlsConfig::new()));
    pull.listen(place.url()).unwrap();
    let push: Push = socket(trusting());
    push.dial(place.url()).unwrap();
    let address = format!("127.0.0.1:{}", place.port());
    let events = pull.monitor();
    let openssl = Program::openssl();
    let mut client = openssl.start_talking(["s_client", "-tls1_2", "-connect", &address]);
    client.line("---");
    // A header, a message that begins after its length's last byte, and the end of the line.
    client.tell("\0SP\0\0\x50\0\0\0\0\0\0\0\0\0\x03hi");
    assert_eq!(pull.recv().unwrap().body(), b"hi\n");
    client.tell("R");
    wait_for_event(&events, |event| matches!(event, Event::Removed { .. }));
    for _ in 0..10 {
        push.send("on and on").unwrap();
        assert_eq!(pull.recv().unwrap().body(), b"on and on");
    }
}

// ---- the command line ----

/// A program as the end that listens and one as the end that dials, with the options of both.
fn carries(listening: &Program, dialing: &Program, listens: &[&str], dials: &[&str]) {
    let place = Place::new(Scheme::Tls);
    let pull = ["--pull0", "--quoted", "--count=1", "-v", "--listen"];
    let pull = listening.start([&pull[..], &[place.url()], listens].concat());
    pull.line("Listening at: ");
    let push = ["--push0", "--data=over TLS", "--dial", place.url()];
    dialing.start([&push[..], dials].concat()).succeed();
    pull.line("\"over TLS\"");
}

#[test]
fn our_cat_and_nngcat_take_the_same_options() {
    let papers = Papers::good();
    let file = |name: &str| papers.path().join(name).display().to_string();
    let identity = AUTHORITY.issue_local();
    std::fs::write(file("alone.pem"), &identity.certificate).unwrap();
    std::fs::write(file("alone.key"), &identity.key).unwrap();
    let (ca, own) = (file("ca.pem"), file("own.pem"));
    let (alone, key) = (file("alone.pem"), file("alone.key"));
    let (ours, theirs) = (Program::wirebird_cat(), Program::nngcat());
    for (listening, dialing) in [(&ours, &theirs), (&theirs, &ours), (&ours, &ours)] {
        let both = ["--cert", &*own];
        let two = ["-E", &*alone, "--key", &*key];
        let trusting = ["--cacert", &*ca];
        carries(listening, dialing, &both, &trusting);
        carries(listening, dialing, &two, &trusting);
        carries(listening, dialing, &both, &["-k"]);
        // Nobody asks the one who dials for a certificate.
        let demanding = ["--cert", &own, "--cacert", &ca];
        carries(listening, dialing, &demanding, &trusting);
        carries(listening, dialing, &demanding, &demanding);
    }
}

#[test]
fn our_cat_talks_with_pynng() {
    let papers = Papers::good();
    let file = |name: &str| papers.path().join(name).display().to_string();
    let (ca, own) = (file("ca.pem"), file("own.pem"));
    let tls = ["--cacert", &ca, "--cert", &own];
    let cat = Program::wirebird_cat();
    let place = Place::new(Scheme::Tls);
    let words = ["--rep0", "--data=yes", "-v", "--listen", place.url()];
    let replier = cat.start([&words[..], &tls].concat());
    replier.line("Listening at: ");
    let peer = papers
        .pynng()
        .start(["ask", "Req0", "dial", place.url(), "yes"]);
    peer.line("done");
    let place = Place::new(Scheme::Tls);
    let peer = papers
        .pynng()
        .start(["echo", "Rep0", "listen", place.url()]);
    peer.line("listening");
    let words = ["--req0", "--data=echo", "--quoted", "--count=1", "--dial"];
    let out = cat.run([&words[..], &[place.url()], &tls].concat());
    assert_eq!(out.out, b"\"echo\"\n", "{out:?}");
}
