//! Peers that break the rules of HTTP and WebSocket: they are told, closed, counted and forgotten, and nobody else notices.

mod common;

use std::io::Write;
use std::thread;
use std::time::Duration;

use common::web::{self, BINARY, CLOSE, CONT, Client, FIN, PING, PONG, TEXT, frame};
use common::{
    SOON, await_added, await_handshake_failed, await_removed, ends, eventually, proc_status,
};
use wirebird::{EndpointOptions, Error, Monitor, Pull, Push, SocketOptions};

/// A socket with a good peer, and an address for bad ones.
struct Victim {
    pull: Pull,
    push: Push,
    events: Monitor,
    url: String,
    sent: u64,
}

impl Victim {
    fn new() -> Self {
        Self::with(EndpointOptions::new().recv_max_size(1000))
    }

    fn with(endpoint: EndpointOptions) -> Self {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let pull = Pull::with_options(&options.clone().endpoint(endpoint)).unwrap();
        let url = pull.listen("ws://127.0.0.1:0/victim").unwrap().url();
        let push = Push::with_options(&options).unwrap();
        push.dial(&url).unwrap();
        pull.wait_for_peers(1, SOON).unwrap();
        let events = pull.monitor();
        let mut victim = Self {
            pull,
            push,
            events,
            url,
            sent: 0,
        };
        victim.goes_on();
        victim
    }

    /// A peer that has shaken hands and may do what it likes.
    fn insider(&self) -> Client {
        let client = Client::new(&self.url, "pull");
        await_added(&self.events);
        client
    }

    /// The good peer is served, as before.
    #[track_caller]
    fn goes_on(&mut self) {
        for _ in 0..3 {
            self.sent += 1;
            self.push.send(self.sent.to_be_bytes()).unwrap();
            assert_eq!(self.pull.recv().unwrap().body(), self.sent.to_be_bytes());
        }
        eventually("only the good peer is left", || {
            self.pull.stats().pipes == 1
        });
    }
}

#[test]
fn frames_that_break_the_protocol_are_answered_with_the_code_for_it_and_counted() {
    let mut victim = Victim::new();
    let huge = [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let cases: [(u16, Vec<u8>); 14] = [
        (1002, frame(FIN | BINARY, false, b"not masked")),
        (1002, frame(FIN | BINARY | 0x40, true, b"compressed")),
        (1002, frame(FIN | BINARY | 0x10, true, b"x")),
        (1002, frame(FIN | 3, true, b"x")),
        (1002, frame(FIN | 11, true, b"x")),
        (1002, frame(FIN | CONT, true, b"x")),
        (1002, frame(PING, true, b"in parts")),
        (1002, frame(FIN | PING, true, &[0; 126])),
        (
            1002,
            [frame(BINARY, true, b"a"), frame(FIN | BINARY, true, b"b")].concat(),
        ),
        (1002, vec![0x82, 0xfe, 0, 5, 1, 2, 3, 4]),
        (1003, frame(FIN | TEXT, true, b"text")),
        (1007, frame(FIN | CLOSE, true, &[3, 0xe8, 0xff])),
        (1009, frame(FIN | BINARY, true, &[0; 1001])),
        (1009, huge.to_vec()),
    ];
    let count = cases.len() as u64;
    for (code, bytes) in cases {
        let mut client = victim.insider();
        client.write(&bytes);
        client.is_closed_with(code);
        let reason = await_removed(&victim.events);
        assert!(
            matches!(
                (code, &reason),
                (1009, Error::MessageTooLong { limit: 1000, .. }) | (_, Error::Malformed(_))
            ),
            "{code}: {reason}"
        );
        victim.goes_on();
    }
    assert_eq!(victim.pull.stats().malformed, count);
}

#[test]
fn a_dialer_refuses_masked_frames() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let pull = Pull::new().unwrap();
    let events = pull.monitor();
    let dialer = pull.dial_background(&url).unwrap();
    let (mut stream, _) = server.accept().unwrap();
    let asked = web::head(&mut stream);
    let key = asked
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: push.sp.nanomsg.org\r\n\r\n"
    )
    .unwrap();
    await_added(&events);
    stream
        .write_all(&frame(FIN | BINARY, false, b"right"))
        .unwrap();
    assert_eq!(pull.recv().unwrap().body(), b"right");
    stream
        .write_all(&frame(FIN | BINARY, true, b"wrong"))
        .unwrap();
    assert!(matches!(await_removed(&events), Error::Malformed(_)));
    dialer.close();
}

#[test]
fn what_came_before_a_violation_is_delivered() {
    let mut victim = Victim::new();
    let mut client = victim.insider();
    let bytes = [
        frame(FIN | BINARY, true, b"good"),
        frame(FIN | TEXT, true, b"bad"),
        frame(FIN | BINARY, true, b"late"),
    ];
    client.write(&bytes.concat());
    assert_eq!(victim.pull.recv().unwrap().body(), b"good");
    client.is_closed_with(1003);
    victim.goes_on();
}

#[test]
fn a_message_in_many_parts_is_one_message_and_its_sum_is_limited() {
    let mut victim = Victim::new();
    let mut client = victim.insider();
    client.send(BINARY, b"");
    for _ in 0..1000 {
        client.send(CONT, b"x");
    }
    client.send(FIN | CONT, b"");
    assert_eq!(victim.pull.recv().unwrap().body(), [b'x'; 1000]);
    client.send(BINARY, &[0; 600]);
    client.send(CONT, &[0; 401]);
    client.is_closed_with(1009);
    victim.goes_on();
}

#[test]
fn announced_lengths_cost_no_memory() {
    let mut victim = Victim::with(EndpointOptions::new().recv_max_size(0));
    let before = proc_status("VmRSS");
    let mut clients: Vec<Client> = (0..50).map(|_| victim.insider()).collect();
    for client in &mut clients {
        client.write(&[0x82, 0xff, 0, 0, 0xff, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]);
    }
    victim.goes_on_with(51);
    let grown = proc_status("VmRSS").saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for 50 announcements");
    drop(clients);
    victim.goes_on();
}

impl Victim {
    /// As `goes_on`, with other peers that stay.
    fn goes_on_with(&mut self, peers: usize) {
        for _ in 0..100 {
            self.sent += 1;
            self.push.send(self.sent.to_be_bytes()).unwrap();
            assert_eq!(self.pull.recv().unwrap().body(), self.sent.to_be_bytes());
        }
        assert_eq!(self.pull.stats().pipes, peers);
    }
}

#[test]
fn a_flood_of_pings_from_one_that_does_not_read_keeps_but_one_answer() {
    let mut victim = Victim::new();
    let mut client = victim.insider();
    let flood = frame(FIN | PING, true, &[b'p'; 125]).repeat(1000);
    let before = proc_status("VmRSS");
    for _ in 0..200 {
        client.write(&flood);
    }
    client.send(FIN | PING, b"last");
    victim.goes_on_with(2);
    let grown = proc_status("VmRSS").saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for 26 MB of pings");
    loop {
        let (first, payload) = client.recv();
        assert_eq!(first, FIN | PONG);
        if payload == b"last" {
            break;
        }
    }
    client.send(FIN | CLOSE, &[3, 0xe8]);
    victim.goes_on();
}

#[test]
fn heads_without_end_and_silent_peers_are_given_up() {
    let options = EndpointOptions::new().handshake_timeout(Duration::from_millis(200));
    let mut victim = Victim::with(options);
    let mut silent = web::connect(&victim.url);
    let mut halting = web::connect(&victim.url);
    halting
        .write_all(b"GET /victim HTTP/1.1\r\nHost: h\r\nX-")
        .unwrap();
    for _ in 0..2 {
        assert_eq!(await_handshake_failed(&victim.events), Error::TimedOut);
    }
    ends(&mut silent);
    ends(&mut halting);
    let mut endless = web::connect(&victim.url);
    let flooding = thread::spawn(move || {
        // The other end closes amid it.
        let start = endless.write_all(b"GET /victim HTTP/1.1\r\nX: ");
        start.and_then(|()| (0..10_000).try_for_each(|_| endless.write_all(&[b'x'; 1000])))
    });
    assert!(flooding.join().unwrap().is_err());
    assert!(matches!(
        await_handshake_failed(&victim.events),
        Error::Malformed(_)
    ));
    victim.goes_on();
}

#[test]
fn many_half_open_connections_do_not_keep_others_out() {
    let mut victim = Victim::with(EndpointOptions::new().max_handshakes(20));
    let open: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = web::connect(&victim.url);
            let _ = stream.write_all(b"GET /victim HTTP/1.1\r\n");
            stream
        })
        .collect();
    victim.insider().send(FIN | CLOSE, b"");
    victim.goes_on();
    drop(open);
}
