//! What is special about ws: HTTP, paths that share a port, pings, the end of a connection.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::web::{self, BINARY, CLOSE, CONT, Client, FIN, PING, PONG};
use common::{
    SOON, asleep, assert_body, await_added, await_event, await_handshake_failed, await_removed,
    eventually, pattern, this_thread,
};
use wirebird::{EndpointOptions, Error, Event, Pair0, Pair1, Pull, Push, Rep, Req, SocketOptions};

const SHORT: Duration = Duration::from_millis(100);

fn options() -> SocketOptions {
    SocketOptions::new().send_timeout(SOON).recv_timeout(SOON)
}

/// A pull socket that listens at a path of a new port, and its URL.
fn pull(path: &str, endpoint: EndpointOptions) -> (Pull, String) {
    let pull = Pull::with_options(&options().endpoint(endpoint)).unwrap();
    let listener = pull.listen(&format!("ws://127.0.0.1:0{path}")).unwrap();
    let url = listener.url();
    (pull, url)
}

/// Everything that comes in answer to a request, to its end.
fn answer(url: &str, request: &str) -> String {
    let mut stream = web::connect(url);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

// ---- HTTP ----

#[test]
fn whoever_asks_for_something_else_is_told_what_is_wrong() {
    let (pull, url) = pull("/a", EndpointOptions::new());
    let events = pull.monitor();
    let good = web::request("/a", "pull", &[]);
    let long = format!("X-Long: {}", "a".repeat(40_000));
    for (request, status, told) in [
        (
            web::request("/b", "pull", &[]),
            "404 Not Found",
            "not found",
        ),
        (good.replace("GET", "PUT"), "405 Method", "method"),
        (good.replace("1.1", "1.0"), "505 HTTP", "1.1"),
        (web::request("/a", "push", &[]), "400 Bad", "wrong protocol"),
        (good.replace("Version: 13", "Version: 12"), "400 Bad", "13"),
        (
            web::request("/a", "pull", &["Content-Length: 5"]),
            "413 ",
            "body",
        ),
        (web::request("/a", "pull", &[&long]), "431 ", "too long"),
        (
            "\0SP\0\0\x50\0\0".to_owned(),
            "400 Bad",
            "not an HTTP request",
        ),
    ] {
        let answer = answer(&url, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.contains(told), "{body}");
        await_handshake_failed(&events);
    }
    assert_eq!(pull.stats().added, 0);
}

#[test]
fn a_browser_that_looks_is_told_what_this_is() {
    let (_pull, url) = pull("/a", EndpointOptions::new());
    let answer = answer(&url, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("WebSocket port"), "{answer}");
}

#[test]
fn a_request_in_single_bytes_and_messages_right_behind_it_are_understood() {
    let (pull, url) = pull("/", EndpointOptions::new());
    let mut stream = web::connect(&url);
    for byte in web::request("/?query", "pull", &[]).bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert!(web::head(&mut stream).starts_with("HTTP/1.1 101 "));
    let mut stream = web::connect(&url);
    let together = [
        web::request("/", "pull", &[]).into_bytes(),
        web::frame(FIN | BINARY, true, b"one"),
        web::frame(FIN | BINARY, true, b"two"),
        web::frame(BINARY, true, b"th"),
    ];
    stream.write_all(&together.concat()).unwrap();
    assert_eq!(pull.recv().unwrap().body(), b"one");
    assert_eq!(pull.recv().unwrap().body(), b"two");
    stream
        .write_all(&web::frame(FIN | CONT, true, b"ree"))
        .unwrap();
    assert_eq!(pull.recv().unwrap().body(), b"three");
}

#[test]
fn an_offer_to_compress_is_declined_and_works() {
    let (pull, url) = pull("/", EndpointOptions::new());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let mut client = Client::with(&url, "pull", &[offer]);
    assert!(!client.head.to_lowercase().contains("extensions"));
    client.send(FIN | BINARY, b"plain");
    assert_eq!(pull.recv().unwrap().body(), b"plain");
}

#[test]
fn only_browsers_of_the_named_origins_get_in() {
    let options = EndpointOptions::new().ws_origins(["https://example.com"]);
    let (pull, url) = pull("/", options);
    let events = pull.monitor();
    let evil = web::request("/", "pull", &["Origin: https://evil.org"]);
    assert!(answer(&url, &evil).starts_with("HTTP/1.1 403 "));
    assert_eq!(await_handshake_failed(&events), Error::PermissionDenied);
    Client::with(&url, "pull", &["Origin: https://EXAMPLE.com"]);
    await_added(&events);
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    await_added(&events);
}

#[test]
fn each_side_sees_the_headers_and_the_uri_of_the_other() {
    let there = EndpointOptions::new()
        .ws_header("X-Server", "pull")
        .ws_header("X-Server", "2");
    let (pull, url) = pull("/a", there);
    let events = pull.monitor();
    let push = Push::new().unwrap();
    let heard = push.monitor();
    let dialer = push.dialer(&format!("{url}?key=%20x")).unwrap();
    dialer
        .set_options(&EndpointOptions::new().ws_header("Authorization", "Bearer z"))
        .unwrap();
    dialer.start_and_wait(None).unwrap();
    let added = |event: &Event| match event {
        Event::Added(pipe) => pipe.http.clone(),
        _ => None,
    };
    let request = await_event(&events, "a pipe", added);
    assert_eq!(request.uri(), "/a?key=%20x");
    assert_eq!(request.header("authorization"), Some("Bearer z"));
    assert_eq!(
        request.header("Sec-WebSocket-Protocol"),
        Some("pull.sp.nanomsg.org")
    );
    let response = await_event(&heard, "a pipe", added);
    assert_eq!(response.header("x-server"), Some("pull"));
    let both = response.headers().filter(|(name, _)| *name == "x-server");
    assert_eq!(both.count(), 2);
}

#[test]
fn headers_that_would_break_the_request_are_refused() {
    let push = Push::new().unwrap();
    let dialer = push.dialer("ws://127.0.0.1:1/").unwrap();
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("X-A\r\n", "x"),
        ("X-A", "x\r\nX-B: y"),
        ("X-A", "\0"),
        ("Host", "x"),
        ("connection", "x"),
        ("Sec-WebSocket-Key", "x"),
        ("Content-Length", "0"),
    ] {
        let refused = dialer.set_options(&EndpointOptions::new().ws_header(name, value));
        assert!(
            matches!(refused, Err(Error::InvalidOption(_))),
            "{name}: {value}"
        );
    }
    let ping = EndpointOptions::new().ws_ping(Duration::ZERO);
    assert!(matches!(
        dialer.set_options(&ping),
        Err(Error::InvalidOption(_))
    ));
}

#[test]
fn what_a_server_answers_becomes_the_error_of_the_dialer() {
    for (status, error) in [
        ("401 Unauthorized", Error::PermissionDenied),
        ("404 Not Found", Error::ConnectionRefused),
        ("302 Found", Error::HttpStatus(302)),
        ("503 Later", Error::HttpStatus(503)),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", server.local_addr().unwrap());
        let answering = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            web::head(&mut stream);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
            stream
        });
        let push = Push::new().unwrap();
        assert_eq!(push.dial(&url).err(), Some(error));
        drop(answering.join());
    }
}

// ---- ports and paths ----

#[test]
fn several_sockets_share_a_port_by_path_and_closing_one_leaves_the_others() {
    let (one, first) = pull("/one", EndpointOptions::new());
    let port = first.strip_suffix("/one").unwrap();
    let rep = Rep::with_options(&options()).unwrap();
    let second = rep.listen(&format!("{port}/two")).unwrap();
    assert_eq!(second.url(), format!("{port}/two"));
    let other = Pull::with_options(&options()).unwrap();
    assert_eq!(other.listen(&first).err(), Some(Error::AddressInUse));
    let third = other.listen(&format!("{port}/one/more")).unwrap();

    // Whoever of them accepts, each gets its own peers.
    for round in 0..20_u8 {
        for (pull, url) in [(&one, &first), (&other, &third.url())] {
            let push = Push::with_options(&options()).unwrap();
            push.dial(url).unwrap();
            push.send([round]).unwrap();
            assert_eq!(pull.recv().unwrap().body(), [round]);
        }
        let req = Req::with_options(&options()).unwrap();
        req.dial(&second.url()).unwrap();
        req.send([round]).unwrap();
        let request = rep.recv().unwrap();
        rep.send(request).unwrap();
        assert_eq!(req.recv().unwrap().body(), [round]);
    }

    one.close().unwrap();
    let push = Push::with_options(&options()).unwrap();
    assert_eq!(push.dial(&first).err(), Some(Error::ConnectionRefused));
    push.dial(&third.url()).unwrap();
    push.send("still").unwrap();
    assert_eq!(other.recv().unwrap().body(), b"still");
    let again = Pull::new().unwrap();
    again.listen(&first).unwrap();

    drop((again, second));
    rep.close().unwrap();
    third.close();
    // The last one gives the port up.
    eventually("the port is free", || {
        TcpStream::connect(port.strip_prefix("ws://").unwrap()).is_err()
    });
}

#[test]
fn a_new_port_is_never_shared() {
    let (_one, first) = pull("/", EndpointOptions::new());
    let (_other, second) = pull("/", EndpointOptions::new());
    assert_ne!(first, second);
}

#[test]
fn ipv6_and_every_address_are_listened_at() {
    for (listen, host) in [
        ("ws://[::1]:0/x", "[::1]"),
        ("ws4://*:0/x", "127.0.0.1"),
        ("ws://:0/x", "localhost"),
    ] {
        let pull = Pull::with_options(&options()).unwrap();
        let listener = pull.listen(listen).unwrap();
        let port = listener.url().rsplit_once(':').unwrap().1.to_owned();
        let push = Push::with_options(&options()).unwrap();
        push.dial(&format!("ws://{host}:{port}")).unwrap();
        push.send("hello").unwrap();
        assert_eq!(pull.recv().unwrap().body(), b"hello");
    }
}

// ---- control frames ----

#[test]
fn a_ping_is_answered_with_its_payload_also_amid_a_message() {
    let (pull, url) = pull("/", EndpointOptions::new());
    let mut client = Client::new(&url, "pull");
    client.send(BINARY, b"on");
    client.send(FIN | PING, b"are you there?");
    assert_eq!(client.recv(), (FIN | PONG, b"are you there?".to_vec()));
    client.send(FIN | CONT, b"ce");
    assert_eq!(pull.recv().unwrap().body(), b"once");
}

#[test]
fn a_peer_that_sends_nothing_is_taken_for_lost_and_one_that_answers_pings_is_not() {
    let interval = SHORT;
    let (pull, url) = pull("/", EndpointOptions::new().ws_ping(interval));
    let events = pull.monitor();
    let mut alive = Client::new(&url, "pull");
    let id = await_added(&events);
    let began = Instant::now();
    let mut silent = Client::new(&url, "pull");
    await_added(&events);
    let answering = thread::spawn(move || {
        for _ in 0..6 {
            assert_eq!(alive.recv(), (FIN | PING, Vec::new()));
            alive.send(FIN | PONG, b"");
        }
        alive
    });
    assert_eq!(await_removed(&events), Error::TimedOut);
    assert!(began.elapsed() >= 2 * interval, "{:?}", began.elapsed());
    while silent.try_recv().is_some() {}
    let mut alive = answering.join().unwrap();
    assert_eq!(
        pull.pipes()
            .iter()
            .map(|pipe| pipe.id())
            .collect::<Vec<_>>(),
        [id]
    );
    alive.send(FIN | BINARY, b"still here");
    assert_eq!(pull.recv().unwrap().body(), b"still here");
}

#[test]
fn pings_keep_a_connection_of_two_sockets_alive_while_nothing_is_said() {
    let endpoint = EndpointOptions::new().ws_ping(SHORT);
    let (pull, url) = pull("/", endpoint);
    let push = Push::with_options(&options()).unwrap();
    push.dial(&url).unwrap();
    let events = push.monitor();
    assert_eq!(events.recv_timeout(5 * SHORT).err(), Some(Error::TimedOut));
    push.send("well").unwrap();
    assert_eq!(pull.recv().unwrap().body(), b"well");
}

// ---- the end ----

#[test]
fn a_close_is_answered_in_kind_and_its_code_told_if_it_is_a_complaint() {
    for (payload, reason) in [
        (&b""[..], Error::ConnectionShut),
        (&[3, 0xe8, b'b', b'y', b'e'], Error::ConnectionShut),
        (&[3, 0xe9], Error::ConnectionShut),
        (&[3, 0xea], Error::WebSocketClosed(1002)),
        (&[3, 0xf1], Error::WebSocketClosed(1009)),
    ] {
        let (pull, url) = pull("/", EndpointOptions::new());
        let events = pull.monitor();
        let mut client = Client::new(&url, "pull");
        client.send(FIN | BINARY, b"last");
        client.send(FIN | CLOSE, payload);
        assert_eq!(pull.recv().unwrap().body(), b"last");
        assert_eq!(await_removed(&events), reason);
        let code = &payload[..payload.len().min(2)];
        assert_eq!(client.recv(), (FIN | CLOSE, code.to_vec()));
        assert_eq!(client.try_recv(), None);
    }
}

#[test]
fn an_end_amid_a_message_is_a_reset_and_nothing_of_it_is_delivered() {
    let (pull, url) = pull("/", EndpointOptions::new());
    let events = pull.monitor();
    let mut client = Client::new(&url, "pull");
    client.send(BINARY, b"half a mess");
    client.shut();
    assert_eq!(await_removed(&events), Error::ConnectionReset);
    assert_eq!(pull.try_recv(), Err(Error::WouldBlock));
}

/// A push socket that sends two messages to a raw client, and is closing.
fn closing(client: impl FnOnce(&str) -> Client) -> (Client, JoinHandle<Result<(), Error>>) {
    let push = Push::with_options(&options().linger(SOON)).unwrap();
    let listener = push.listen("ws://127.0.0.1:0/").unwrap();
    let mut client = client(&listener.url());
    push.wait_for_peers(1, SOON).unwrap();
    push.send("one").unwrap();
    push.send("two").unwrap();
    let closing = thread::spawn(move || push.close());
    assert_eq!(client.recv(), (FIN | BINARY, b"one".to_vec()));
    assert_eq!(client.recv(), (FIN | BINARY, b"two".to_vec()));
    (client, closing)
}

#[test]
fn a_socket_that_closes_waits_for_the_answer_of_its_peer() {
    let (mut client, closing) = closing(|url| Client::new(url, "push"));
    client.is_closed_with(1000);
    assert!(!closing.is_finished());
    client.send(FIN | CLOSE, &[3, 0xe8]);
    assert_eq!(closing.join().unwrap(), Ok(()));
}

#[test]
fn to_a_peer_that_does_not_say_what_it_is_the_end_of_the_stream_says_all() {
    let (mut client, closing) = closing(|url| Client::terse(url, "push"));
    assert_eq!(client.try_recv(), None);
    assert!(!closing.is_finished());
    drop(client);
    assert_eq!(closing.join().unwrap(), Ok(()));
}

#[test]
fn closing_does_not_wait_until_the_receiver_comes_a_second_time() {
    let (pull, url) = pull("/", EndpointOptions::new());
    for count in [1, 2, 5] {
        let push = Push::with_options(&options().linger(SOON / 2)).unwrap();
        push.dial(&url).unwrap();
        for _ in 0..count {
            push.send("message").unwrap();
        }
        eventually("the first one is there, and the rest not read", || {
            pull.is_readable()
        });
        let (tell, told) = mpsc::channel();
        let closing = thread::spawn(move || {
            tell.send(this_thread()).unwrap();
            push.close()
        });
        asleep(told.recv().unwrap());
        for _ in 0..count {
            assert_eq!(pull.recv().unwrap().body(), b"message");
        }
        assert_eq!(closing.join().unwrap(), Ok(()), "{count} messages");
    }
}

#[test]
fn a_pipe_that_is_closed_tells_its_peer() {
    let (pull, url) = pull("/", EndpointOptions::new());
    let mut client = Client::new(&url, "pull");
    pull.wait_for_peers(1, SOON).unwrap();
    pull.pipes()[0].close().unwrap();
    client.is_closed_with(1000);
}

#[test]
fn a_pair_that_is_taken_closes_whoever_comes_next() {
    let pair = Pair0::new().unwrap();
    let listener = pair.listen("ws://127.0.0.1:0/").unwrap();
    let _first = Client::new(&listener.url(), "pair");
    pair.wait_for_peers(1, SOON).unwrap();
    Client::new(&listener.url(), "pair").is_closed_with(1000);
}

#[test]
fn messages_of_any_size_go_both_ways_at_once() {
    let (one, other) = (
        Pair1::with_options(&options()).unwrap(),
        Pair1::with_options(&options()).unwrap(),
    );
    let listener = one.listen("ws://127.0.0.1:0/").unwrap();
    other.dial(&listener.url()).unwrap();
    let sizes = [
        0, 1, 125, 126, 4095, 4096, 16_400, 65_531, 65_532, 65_536, 300_000, 5_000_000,
    ];
    thread::scope(|scope| {
        for (from, to) in [(&one, &other), (&other, &one)] {
            scope.spawn(move || {
                for size in sizes {
                    from.send(pattern(size, size as u64)).unwrap();
                }
            });
            scope.spawn(move || {
                for size in sizes {
                    assert_body(&to.recv().unwrap(), &pattern(size, size as u64));
                }
            });
        }
    });
}
