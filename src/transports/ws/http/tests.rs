use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::protocols::info::{BUS, PAIR1, PUB, REP, REQ, SUB};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The lines of a request that a rep socket takes.
fn lines() -> Vec<String> {
    [
        "GET /a/b?c HTTP/1.1",
        "Host: example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: rep.sp.nanomsg.org",
    ]
    .map(Into::into)
    .to_vec()
}

/// The same with one line changed: that with the name of `line`, or its first one.
fn with(line: &str) -> Vec<String> {
    let mut lines = lines();
    let name = line.split(':').next().unwrap();
    match lines
        .iter_mut()
        .skip(1)
        .find(|known| known.starts_with(name))
    {
        Some(known) => *known = line.into(),
        None if line.contains("HTTP/") => lines[0] = line.into(),
        None => lines.push(line.into()),
    }
    lines
}

fn without(name: &str) -> Vec<String> {
    let mut lines = lines();
    lines.retain(|line| !line.starts_with(name));
    lines
}

fn text(lines: &[String]) -> String {
    lines.join("\r\n") + "\r\n\r\n"
}

/// What a rep socket at `/a/b` answers.
fn answer(lines: &[String], options: &EndpointOptions) -> Result<String, Refusal> {
    let text = text(lines);
    let parsed = parse(text.as_bytes(), |path| path == "/a/b")?;
    let (request, size) = parsed.expect("it is complete");
    assert_eq!(size, text.len());
    if request.path != "/a/b" {
        return Err(Refusal::unknown_path());
    }
    request.accept(REP, options)
}

fn status(lines: &[String]) -> u16 {
    match answer(lines, &EndpointOptions::new()) {
        Ok(_) => 101,
        Err(refusal) => {
            let response = refusal.response();
            assert!(response.starts_with(&format!("HTTP/1.1 {} ", refusal.status)));
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            refusal.status
        }
    }
}

#[test]
fn the_response_has_the_key_of_the_standards_example() {
    let response = answer(&lines(), &EndpointOptions::new()).unwrap();
    assert_eq!(
        response,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\nServer: {PROGRAM}\r\n\r\n"
        )
    );
}

#[test]
fn what_clients_write_differently_is_taken() {
    for line in [
        "Upgrade: WebSocket",
        "Upgrade: h2c, websocket",
        "Connection: keep-alive, Upgrade",
        "Connection: upgrade",
        "connection: close,UPGRADE",
        "Sec-WebSocket-Protocol: chat, rep.sp.nanomsg.org , other",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Content-Length: 0",
        "Origin: https://example.com",
        "GET /a/./x/../b HTTP/1.1",
        "GET /a/%62?q HTTP/1.1",
        "GET http://example.com/a/b HTTP/1.1",
        "X-Latin: caf\u{e9}",
    ] {
        assert_eq!(status(&with(line)), 101, "{line}");
    }
    let mut twice = with("Connection: keep-alive");
    twice.push("Connection: Upgrade".into());
    assert_eq!(status(&twice), 101);
}

#[test]
fn the_empty_path_of_nng_is_the_root() {
    let text = text(&with("GET  HTTP/1.1"));
    let (request, size) = parse(text.as_bytes(), |_| true).unwrap().unwrap();
    assert_eq!((request.path.as_str(), size), ("/", text.len()));
    assert!(matches!(
        parse(&text.as_bytes()[..size - 1], |_| true),
        Ok(None)
    ));
}

#[test]
fn an_offered_extension_is_not_accepted() {
    let offered = with("Sec-WebSocket-Extensions: permessage-deflate");
    let response = answer(&offered, &EndpointOptions::new()).unwrap();
    assert!(!response.to_ascii_lowercase().contains("extensions"));
}

#[test]
fn each_fault_of_a_request_has_its_status() {
    for (line, expected) in [
        ("GET /a/b HTTP/1.0", 505),
        ("GET /a/b HTTP/2.0", 505),
        ("POST /a/b HTTP/1.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("POST /a/b?c HTTP/1.1", 405),
        ("HEAD /a/b HTTP/1.1", 405),
        ("POST /c HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET /c HTTP/1.1", 404),
        ("GET /a HTTP/1.1", 404),
        ("GET /a/b/ HTTP/1.1", 404),
        ("GET /A/b HTTP/1.1", 404),
        ("GET / HTTP/1.1", 404),
        ("GET /%ff HTTP/1.1", 400),
        ("GET /%0a HTTP/1.1", 404),
        ("GET HTTP/1.1", 400),
        ("GET  HTTP/1.0", 505),
        ("GET  HTTP/1.1", 404),
        ("Content-Length: 1", 413),
        ("Content-Length: many", 413),
        ("Transfer-Encoding: chunked", 413),
        ("Upgrade: h2c", 426),
        ("Upgrade: websockets", 426),
        ("Connection: close", 400),
        ("Connection: Upgraded", 400),
        ("Sec-WebSocket-Version: 8", 400),
        ("Sec-WebSocket-Version: 13, 8", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===", 400),
        ("Sec-WebSocket-Key: dGhl!HNhbXBsZSBub25jZQ==", 400),
        ("Sec-WebSocket-Protocol: req.sp.nanomsg.org", 400),
        ("Sec-WebSocket-Protocol: rep", 400),
        ("Sec-WebSocket-Protocol: xrep.sp.nanomsg.org", 400),
        ("Sec-WebSocket-Protocol: ", 400),
        ("Broken header: x", 400),
    ] {
        assert_eq!(status(&with(line)), expected, "{line}");
    }
    for (name, expected) in [
        ("Host", 400),
        ("Upgrade", 426),
        ("Connection", 400),
        ("Sec-WebSocket-Key", 400),
        ("Sec-WebSocket-Version", 400),
        ("Sec-WebSocket-Protocol", 400),
    ] {
        assert_eq!(status(&without(name)), expected, "without {name}");
    }
    assert_eq!(
        status(&[lines(), (0..200).map(|n| format!("X-{n}: y")).collect()].concat()),
        431
    );
}

#[test]
fn other_bytes_than_http_are_refused_at_once() {
    for input in [&b"\0SP\0\0\x30\0\0"[..], b"\x16\x03\x01", b"GET /\0"] {
        let Err(refusal) = parse(input, |_| true) else {
            panic!("{input:?} is waited for");
        };
        assert_eq!(refusal.status, 400);
    }
}

#[test]
fn a_head_that_does_not_end_is_refused_at_its_limit() {
    let mut head = text(&lines()).into_bytes();
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"X-Long: ");
    head.resize(MAX_HEAD - 1, b'a');
    assert!(matches!(parse(&head, |_| true), Ok(None)));
    head.push(b'a');
    assert_eq!(
        parse(&head, |_| true).err().map(|one| one.status),
        Some(431)
    );
}

#[test]
fn only_named_origins_and_programs_without_one_are_let_in() {
    let options =
        EndpointOptions::new().ws_origins(["https://Example.com", "http://localhost:8080"]);
    for (origin, allowed) in [
        (Some("https://example.com"), true),
        (Some("HTTPS://EXAMPLE.COM"), true),
        (Some("http://localhost:8080"), true),
        (None, true),
        (Some("http://example.com"), false),
        (Some("https://example.com.evil.org"), false),
        (Some("https://example.com:444"), false),
        (Some("null"), false),
        (Some(""), false),
    ] {
        let lines = origin.map_or_else(lines, |origin| with(&format!("Origin: {origin}")));
        let got = answer(&lines, &options).map_err(|refusal| (refusal.status, refusal.error));
        let expected = (403, Error::PermissionDenied);
        assert_eq!(got.err(), (!allowed).then_some(expected), "{origin:?}");
    }
}

#[test]
fn a_client_of_another_protocol_is_told_apart_from_a_stranger() {
    for (name, error) in [
        (
            "pub.sp.nanomsg.org",
            Error::WrongProtocol {
                expected: REQ.id,
                actual: SUB.id,
            },
        ),
        (
            "chat, bus.sp.nanomsg.org",
            Error::WrongProtocol {
                expected: REQ.id,
                actual: BUS.id,
            },
        ),
        ("chat", Error::BadHandshake),
    ] {
        let refused = answer(
            &with(&format!("Sec-WebSocket-Protocol: {name}")),
            &EndpointOptions::new(),
        );
        assert_eq!(refused.unwrap_err().error, error);
    }
}

#[test]
fn a_server_that_names_its_protocol_in_a_refusal_is_understood() {
    let refused = answer(
        &with("Sec-WebSocket-Protocol: pub.sp.nanomsg.org"),
        &EndpointOptions::new(),
    );
    let response = refused.unwrap_err().response();
    let wrong = Error::WrongProtocol {
        expected: PUB.id,
        actual: REP.id,
    };
    assert_eq!(asked().check(response.as_bytes()).err(), Some(wrong));
}

#[test]
fn both_sides_add_the_headers_of_their_options() {
    let options = EndpointOptions::new()
        .ws_header("X-One", "1")
        .ws_header("Cookie", "a=b; c");
    let response = answer(&lines(), &options).unwrap();
    assert!(
        response.ends_with("\r\nX-One: 1\r\nCookie: a=b; c\r\n\r\n"),
        "{response}"
    );
    let asked = Asked::new(&url("ws://h/"), PAIR1, &options);
    assert!(
        asked
            .request
            .ends_with("\r\nX-One: 1\r\nCookie: a=b; c\r\n\r\n")
    );
}

#[test]
fn another_name_than_ours_can_be_given() {
    let options = EndpointOptions::new().ws_header("server", "nobody");
    let response = answer(&lines(), &options).unwrap();
    assert!(response.contains("\r\nserver: nobody\r\n") && !response.contains(PROGRAM));
}

#[test]
fn headers_are_found_by_name_in_any_case() {
    let text = text(&with("X-Twice: 1")).replace("\r\n\r\n", "\r\nX-tWICE: 2\r\n\r\n");
    let (request, _) = parse(text.as_bytes(), |_| true).unwrap().unwrap();
    let info = request.info();
    assert_eq!(info.uri(), "/a/b?c");
    assert_eq!(info.header("x-TWICE"), Some("1"));
    assert_eq!(info.header("x-none"), None);
    let twice = info.headers().filter(|(name, _)| *name == "x-twice");
    assert_eq!(
        twice.map(|(_, value)| value).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(info.headers().count(), 8);
}

// ---- the client ----

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn asked() -> Asked {
    Asked {
        key: KEY.into(),
        ..Asked::new(&url("ws://h/x"), SUB, &EndpointOptions::new())
    }
}

fn response(lines: &[&str]) -> String {
    lines.join("\r\n") + "\r\n\r\n"
}

const GOOD: [&str; 5] = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "Sec-WebSocket-Protocol: pub.sp.nanomsg.org",
];

#[test]
fn a_request_names_the_servers_protocol_and_a_fresh_key() {
    let ask = || {
        Asked::new(
            &url("ws://Example.com:8080/a?b=c"),
            REQ,
            &EndpointOptions::new(),
        )
    };
    let (asked, again) = (ask(), ask());
    assert_ne!(asked.key, again.key);
    assert!(is_key(asked.key.as_bytes()));
    assert_eq!(
        asked.request,
        format!(
            "GET /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\nUser-Agent: {PROGRAM}\r\n\r\n",
            asked.key
        )
    );
}

#[test]
fn hosts_stand_in_brackets_and_with_ports_where_they_must() {
    for (text, expected) in [
        ("ws://h", "h"),
        ("ws://h:80/", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h/", "h"),
        ("wss://h:80/", "h:80"),
        ("ws://[::1]:81/", "[::1]:81"),
        ("ws://[fe80::1%eth0]/", "[fe80::1]"),
    ] {
        assert_eq!(host(&url(text)), expected, "{text}");
    }
}

#[test]
fn what_cannot_stand_in_a_request_is_escaped_and_found_again() {
    for (text, expected) in [
        ("ws://h", "/"),
        ("ws://h/a/../b//c", "/b/c"),
        ("ws://h/%7euser", "/~user"),
        ("ws://h/ä", "/%C3%A4"),
        ("ws://h/a%2fb", "/a%2Fb"),
        ("ws://h/<a>", "/%3Ca%3E"),
    ] {
        let listener = path(&url(text));
        assert_eq!(listener, expected);
        let asked = Asked::new(&url(text), REQ, &EndpointOptions::new());
        let (request, _) = parse(asked.request.as_bytes(), |_| true).unwrap().unwrap();
        assert_eq!(request.path, listener, "{text}");
        assert!(request.accept(REP, &EndpointOptions::new()).is_ok());
    }
}

#[test]
fn a_good_response_is_taken_and_its_length_told() {
    let bytes = response(&GOOD) + "frames";
    let (info, size) = asked().check(bytes.as_bytes()).unwrap().unwrap();
    assert_eq!(size, bytes.len() - 6);
    assert_eq!(info.uri(), "/x");
    assert_eq!(info.header("Upgrade"), Some("websocket"));
    for cut in 0..size {
        assert!(
            matches!(asked().check(&bytes.as_bytes()[..cut]), Ok(None)),
            "{cut}"
        );
    }
}

#[test]
fn statuses_become_errors() {
    for (status, error) in [
        ("200 OK", Error::HttpStatus(200)),
        ("301 Moved", Error::HttpStatus(301)),
        ("400 Bad Request", Error::HttpStatus(400)),
        ("401 Unauthorized", Error::PermissionDenied),
        ("403 Forbidden", Error::PermissionDenied),
        ("404 Not Found", Error::ConnectionRefused),
        ("405 No", Error::ConnectionRefused),
        ("500 Oh", Error::HttpStatus(500)),
        ("501 No", Error::ConnectionRefused),
        ("503 Later", Error::HttpStatus(503)),
    ] {
        let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(asked().check(bytes.as_bytes()).err(), Some(error));
    }
}

#[test]
fn a_response_that_does_not_fit_the_request_is_refused() {
    let mut reasons = BTreeSet::new();
    let changed = [
        (0, "HTTP/1.0 101 Switching Protocols"),
        (0, "\0SP\0\0\x20\0\0"),
        (1, "Upgrade: h2c"),
        (1, "X: y"),
        (2, "Connection: close"),
        (3, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        (3, "X: y"),
        (4, "Sec-WebSocket-Protocol: sub.sp.nanomsg.org"),
        (4, "Sec-WebSocket-Protocol: pub.sp.nanomsg.org, x"),
        (4, "X: y"),
        (
            1,
            "Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate",
        ),
    ];
    for (index, line) in changed {
        let mut lines = GOOD;
        lines[index] = line;
        match asked().check(response(&lines).as_bytes()) {
            Err(error @ Error::Malformed(_)) => reasons.insert(error.to_string()),
            _ => panic!("{line} is taken"),
        };
    }
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let endless = format!("HTTP/1.1 101 S\r\nX: {}", "y".repeat(MAX_HEAD));
    assert!(asked().check(endless.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_survived_by_both_sides(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, |_| true);
        let _ = asked().check(&bytes);
    }

    #[test]
    fn a_request_with_anything_in_one_place_is_survived(
        at in 0_usize..200,
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut request = text(&lines()).into_bytes();
        let at = at.min(request.len());
        let end = request.len().min(at + bytes.len());
        request.splice(at..end, bytes);
        if let Ok(Some((request, _))) = parse(&request, |_| true) {
            let _ = request.accept(REP, &EndpointOptions::new());
            let _ = (request.accept(PUB, &EndpointOptions::new()), request.info());
        }
    }
}
