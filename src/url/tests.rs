use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn reason(result: Result<impl fmt::Debug>) -> String {
    match result {
        Err(Error::InvalidUrl(bad)) => bad.reason,
        other => panic!("not an unusable URL: {other:?}"),
    }
}

fn refused(text: &str) -> bool {
    match Url::parse(text) {
        Err(Error::InvalidUrl(bad)) => bad.fault != UrlFault::Unsupported && bad.url == text,
        _ => false,
    }
}

fn undialable(text: &str) -> bool {
    Url::parse(text).and_then(|url| url.check_dial()).is_err()
}

fn unlistenable(text: &str) -> bool {
    Url::parse(text).and_then(|url| url.check_listen()).is_err()
}

#[test]
fn every_part_is_split_off() {
    let full = url("ws://user:pass@www.example.com:8080/a/b?c=d&e=/f?#g?h");
    assert_eq!(full.scheme(), "ws");
    assert_eq!(full.transport(), Transport::Ws);
    assert_eq!(full.userinfo(), Some("user:pass"));
    assert_eq!(full.host(), "www.example.com");
    assert_eq!(full.port(), Some(8080));
    assert_eq!(full.path(), "/a/b");
    assert_eq!(full.query(), Some("c=d&e=/f?"));
    assert_eq!(full.fragment(), Some("g?h"));

    let host = url("ws://www.example.com");
    assert_eq!((host.host(), host.path()), ("www.example.com", ""));
    assert_eq!(
        (host.userinfo(), host.query(), host.fragment()),
        (None, None, None)
    );

    let anchor = url("ws://www.example.com#chapter");
    assert_eq!(
        (anchor.host(), anchor.fragment()),
        ("www.example.com", Some("chapter"))
    );
    assert_eq!(url("ws://h?a:b@c/d").host(), "h");
    assert_eq!(url("ws://h?a:b@c/d").query(), Some("a:b@c/d"));
    assert_eq!(url("ws://h?").query(), Some(""));
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    assert_eq!(url("tcp://[::1]").host(), "::1");
    assert_eq!(url("tcp://[::1]").port(), None);
    assert_eq!(url("tcp://[::1]:80").port(), Some(80));
    assert_eq!(url("ws://[::1]/x").path(), "/x");
    assert_eq!(url("ws://[::1]:81/x").port(), Some(81));
    for text in [
        "tcp://[::1",
        "tcp://[::1]x",
        "tcp://[::1]80",
        "tcp://[::1]]:80",
        "tcp://::1:80",
        "tcp://[]:80",
        "tcp://[127.0.0.1]:80",
        "tcp://[::1%]:80",
        "tcp://[fe80::1%a b]:80",
        "tcp://]:80",
        "tcp://[::g]:80",
    ] {
        assert!(refused(text), "{text}");
    }
}

#[test]
fn ipv6_addresses_are_shortened_and_keep_their_interface() {
    assert_eq!(
        url("tcp://[0:0:0:0:0:0:0:1]:80").to_string(),
        "tcp://[::1]:80"
    );
    assert_eq!(
        url("tcp://[FE80::1%Eth0]:80").to_string(),
        "tcp://[fe80::1%Eth0]:80"
    );
    assert_eq!(
        url("tcp://[fe80::1%2]:80").host_kind(),
        Host::V6("fe80::1".parse().unwrap(), Some("2"))
    );
}

#[test]
fn hosts_are_told_apart() {
    assert_eq!(url("tcp://:1").host_kind(), Host::Wildcard);
    assert_eq!(url("tcp://*:1").host_kind(), Host::Wildcard);
    assert_eq!(url("inproc://x").host_kind(), Host::Wildcard);
    assert_eq!(
        url("tcp://1.2.3.4:1").host_kind(),
        Host::V4(Ipv4Addr::new(1, 2, 3, 4))
    );
    assert_eq!(
        url("tcp://[::]:1").host_kind(),
        Host::V6(Ipv6Addr::UNSPECIFIED, None)
    );
    assert_eq!(
        url("tcp://Example.COM.:1").host_kind(),
        Host::Name("example.com.")
    );
}

#[test]
fn ports_default_by_scheme() {
    assert_eq!(url("tcp://host:5555").port(), Some(5555));
    assert_eq!(url("tcp://host").port(), None);
    assert_eq!(url("tls+tcp://host").port(), None);
    for (scheme, port) in [
        ("ws", 80),
        ("ws4", 80),
        ("ws6", 80),
        ("wss", 443),
        ("wss4", 443),
        ("wss6", 443),
    ] {
        let bare = url(&format!("{scheme}://"));
        assert_eq!(
            (bare.port(), bare.path(), bare.host()),
            (Some(port), "", "")
        );
    }
}

#[test]
fn a_port_the_scheme_implies_is_not_printed() {
    assert_eq!(url("ws://h:80/x").to_string(), "ws://h/x");
    assert_eq!(url("wss://h:443").to_string(), "wss://h");
    assert_eq!(url("wss://h:80").to_string(), "wss://h:80");
    assert_eq!(url("ws://h"), url("ws://h:80"));
    assert_eq!(url("tcp://h:0").to_string(), "tcp://h:0");
}

#[test]
fn families_follow_the_suffix() {
    assert_eq!(url("tcp://h:1").family(), Family::Any);
    assert_eq!(url("tls+tcp4://h:1").family(), Family::V4);
    assert_eq!(url("wss6://h:1").family(), Family::V6);
    assert!(unlistenable("tcp4://[::1]:1"));
    assert!(undialable("ws6://127.0.0.1:1"));
    assert!(!undialable("tcp6://[::1]:1"));
    assert!(!undialable("tcp4://localhost:1"));
}

#[test]
fn unknown_schemes_are_unsupported_not_invalid() {
    for text in [
        "foo://bar",
        "udp://127.0.0.1:1",
        "dtls6://[::1]:1",
        "zt://x",
        "http://h",
        "tc://h:1",
        "://h",
    ] {
        match Url::parse(text) {
            Err(Error::InvalidUrl(bad)) => assert_eq!(bad.fault, UrlFault::Unsupported, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(
        reason(Url::parse("udp://h:1")),
        "the udp transport is not supported"
    );
    assert_eq!(Url::parse("zt://x").unwrap_err().code(), 9);
}

#[test]
fn what_is_no_url_has_another_number_than_what_is_no_address() {
    let code = |text: &str| {
        let refused = Url::parse(text).and_then(|url| url.check_dial());
        refused.map_or_else(|error| error.code(), |()| 0)
    };
    for text in [
        "",
        "tcp",
        "ws://a@b@c",
        "tcp://h:",
        "tcp://h:no-such-service",
        "tcp://[::1",
        "tcp://[::1]x",
        "ws://h/%zz",
        "ws://h/%c0%af",
    ] {
        assert_eq!(code(text), 3, "{text}");
    }
    for text in [
        "tcp://:1",
        "tcp://h:99999",
        "tcp://127.0.0.1.32:1",
        "tcp://h:1/path",
        "tcp4://[::1]:1",
        "ipc://",
        "abstract://a%zz",
        "socket://junk",
    ] {
        assert_eq!(code(text), 15, "{text}");
    }
    assert_eq!(code("tcp://h:1"), 0);
}

#[test]
fn malformed_urls_are_refused() {
    for text in [
        "",
        "tcp",
        "tcp:",
        "tcp:/h:1",
        "tcp//h:1",
        "ws://a@b@c",
        "tcp://h:",
        "tcp://h:no-such-service",
        "tcp://h:-1",
        "tcp://h:+1",
        "tcp://h:1:2",
        "tcp://h:65536",
        "tcp://h: 1",
        "ws://h/a b",
        "ws://h/\r\nx: y",
        "ws://h/%0",
        "ws://h/%zz",
        "ws://h/%",
        "tcp://h%41:1",
        "tcp://b\u{fc}cher:1",
    ] {
        assert!(refused(text), "{text:?}");
    }
}

#[test]
fn hosts_that_are_neither_name_nor_address_are_refused() {
    for host in [
        "127.0.0.1.32",
        "127.0.x.1.32",
        "8.8.8.8;127.0.0.1",
        "-hostname",
        "abc.123.---.#",
        "abc...123",
        ".123",
        "a..b",
        "a-.b",
        "256.0.0.1",
        "1.2.3",
        "1",
        "a b",
        "a^b",
        "**",
        "a*",
        ".",
    ] {
        let text = format!("tcp://{host}:5555");
        assert!(undialable(&text), "{text}");
        assert!(unlistenable(&text), "{text}");
    }
}

#[test]
fn a_dialer_needs_host_and_port() {
    let dial = |text: &str| reason(url(text).check_dial());
    assert_eq!(dial("tcp://:5555"), "a dialer needs a host");
    assert_eq!(dial("ws://"), "a dialer needs a host");
    assert_eq!(
        dial("tcp://127.0.0.1"),
        "a dialer needs a port other than 0"
    );
    assert_eq!(
        dial("tcp://127.0.0.1:0"),
        "a dialer needs a port other than 0"
    );
    assert_eq!(
        dial("ws://127.0.0.1:0"),
        "a dialer needs a port other than 0"
    );
    assert!(dial("tcp://*:5555").contains("every local address"));
    for text in [
        "tcp://127.0.0.1:",
        "tcp://*:",
        "tcp://*:1000000",
        "tcp://*:5555",
        "ws://*:80/",
        "tcp://*",
    ] {
        assert!(undialable(text), "{text}");
    }
    for text in [
        "tcp://localhost:1",
        "tcp://[::1]:1",
        "ws://h",
        "wss://h/x?y",
        "tls+tcp://h:1/",
    ] {
        assert!(!undialable(text), "{text}");
    }
}

#[test]
fn a_listener_may_leave_host_and_port_to_the_system() {
    for text in [
        "tcp://",
        "tcp://:0",
        "tcp://*",
        "tcp://*:5555",
        "tcp4://*:8080",
        "tcp://0.0.0.0",
        "ws://*:8080/x",
    ] {
        assert!(!unlistenable(text), "{text}");
    }
    for text in [
        "tcp://127.0.0.1:",
        "tcp://*:",
        "tcp://*:1000000",
        "tcp://*:x",
    ] {
        assert!(unlistenable(text), "{text}");
    }
}

#[test]
fn tcp_takes_nothing_beside_host_and_port() {
    for tail in ["/path", "?query", "#fragment"] {
        for scheme in ["tcp", "tls+tcp4"] {
            let text = format!("{scheme}://localhost:1{tail}");
            assert!(undialable(&text) && unlistenable(&text), "{text}");
        }
    }
    assert!(undialable("tcp://user@localhost:1"));
    assert!(undialable("ws://localhost/x#y"));
    assert!(!undialable("tcp://localhost:1/"));
}

#[test]
fn schemes_and_hosts_are_lower_cased() {
    assert_eq!(url("TCP://LocalHost:1").to_string(), "tcp://localhost:1");
}

#[test]
fn paths_are_canonical_and_queries_are_not_touched() {
    for (written, canonical) in [
        ("/%41%7e%2d", "/A~-"),
        ("/%3c%2f", "/%3C%2F"),
        ("/a//b///c", "/a/b/c"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/../../x", "/x"),
        ("/..", "/"),
        ("/.%2e/x", "/x"),
        ("/...", "/..."),
        ("/", "/"),
        ("//", "/"),
        ("", ""),
        ("/%25", "/%25"),
    ] {
        assert_eq!(
            url(&format!("ws://h{written}")).path(),
            canonical,
            "{written}"
        );
    }
    assert_eq!(
        url("ws://h/?a=%41//b/../c").to_string(),
        "ws://h/?a=%41//b/../c"
    );
}

#[test]
fn escapes_must_be_utf8() {
    assert_eq!(url("ws://h/%c3%a9").path(), "/\u{e9}");
    assert_eq!(url("ws://h/%F0%9F%90%A6").path(), "/\u{1f426}");
    for path in [
        "%c0%af",
        "%e0%80%af",
        "%f0%80%80%af", // longer than need be
        "%ed%a0%80",
        "%ed%b0%80", // surrogates
        "%f4%90%80%80",
        "%f8%88%80%80%80", // past the last character
        "%c3",
        "%c3%28",
        "%80",
        "%c2%85",
    ] {
        assert!(refused(&format!("ws://h/{path}")), "{path}");
    }
}

#[test]
fn huge_parts_parse_and_a_long_host_does_not() {
    let long = "x".repeat(1 << 20);
    let text = format!("ws://{long}@h/{long}?{long}#{long}");
    let parsed = url(&text);
    assert_eq!(parsed.query(), Some(long.as_str()));
    assert_eq!(parsed.clone(), parsed);
    assert_eq!(parsed.to_string(), text);
    assert!(!refused(&format!("tcp://{}:1", "h".repeat(255))));
    assert!(refused(&format!("tcp://{}:1", "h".repeat(256))));
}

#[test]
fn local_names_are_verbatim() {
    assert_eq!(
        url("ipc:///tmp//a/../b%41?c#d").path(),
        "/tmp//a/../b%41?c#d"
    );
    assert_eq!(url("ipc://relative").path(), "relative");
    assert_eq!(url("unix:///tmp/x").to_string(), "unix:///tmp/x");
    assert_eq!(
        url("inproc://A b/%41//..").to_string(),
        "inproc://A b/%41//.."
    );
    assert_eq!(url("inproc://").path(), "");
    assert!(!undialable("inproc://"));
    assert_eq!(
        (url("inproc://x").host(), url("inproc://x").port()),
        ("", None)
    );
}

#[test]
fn ipc_paths_must_fit_in_a_socket_address() {
    for scheme in ["ipc", "unix"] {
        let longest = format!("{scheme}://{}", "p".repeat(107));
        assert!(!undialable(&longest) && !unlistenable(&longest));
        for length in [0, 108, 255] {
            let text = format!("{scheme}://{}", "p".repeat(length));
            assert!(undialable(&text) && unlistenable(&text), "{text}");
        }
    }
    assert!(refused("ipc://a\0b"));
}

#[test]
fn abstract_names_are_decoded() {
    let name = url("abstract://a%00%ffb%2F");
    assert_eq!(name.abstract_name(), Some(&b"a\0\xffb/"[..]));
    assert_eq!(name.to_string(), "abstract://a%00%FFb%2F");
    assert!(refused("abstract://a%"));
    assert!(refused("abstract://a%4"));
    assert!(refused("abstract://a%4g"));
    let longest = format!("abstract://{}", "%00".repeat(107));
    assert!(!undialable(&longest) && !unlistenable(&longest));
    let longer = format!("{longest}x");
    assert!(undialable(&longer) && unlistenable(&longer));
    // A listener with no name gets one from the system.
    assert!(undialable("abstract://") && !unlistenable("abstract://"));
}

#[test]
fn descriptors_are_for_listeners_and_have_no_address() {
    assert!(!unlistenable("socket://"));
    assert_eq!(url("socket://").check_dial().unwrap_err().code(), 9);
    assert!(refused("socket://junk"));
}

#[test]
fn a_bound_port_replaces_the_one_asked_for() {
    assert_eq!(
        url("tcp://127.0.0.1:0").with_port(4242).to_string(),
        "tcp://127.0.0.1:4242"
    );
    assert_eq!(url("tcp://[::1]").with_port(1).to_string(), "tcp://[::1]:1");
    assert_eq!(url("ws://*:0/x").with_port(80).to_string(), "ws://*/x");
    assert_eq!(url("inproc://x").with_port(1), url("inproc://x"));
}

#[test]
fn equal_urls_hash_equal() {
    let set: HashSet<_> = ["ws://h", "WS://H:80", "ws://h:080"].map(url).into();
    assert_eq!(set.len(), 1);
}

#[test]
fn a_url_is_shareable() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Url>();
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = Url::parse(&text).map(|url| (url.check_dial().is_ok(), url.check_listen().is_ok()));
    }

    #[test]
    fn what_is_printed_parses_to_the_same_url(
        scheme in "(tcp|tls[+]tcp6|ws|wss4|ipc|abstract|inproc)",
        userinfo in "([a-z:%]{0,5}@)?",
        host in "([a-zA-Z0-9.*_-]{0,6}|\\[[0-9a-fA-F:.]{2,9}(%[a-zA-Z0-9]{1,4})?\\])",
        port in "(:[0-9]{1,5})?",
        path in "(/([a-c.]{0,3}|%[0-9a-fA-F]{2}|\\PC))*",
        tail in "([?]\\PC{0,4})?(#\\PC{0,4})?",
    ) {
        let text = format!("{scheme}://{userinfo}{host}{port}{path}{tail}");
        if let Ok(url) = Url::parse(&text) {
            let printed = url.to_string();
            prop_assert_eq!(Url::parse(&printed).ok(), Some(url), "{} printed as {}", text, printed);
        }
    }
}
