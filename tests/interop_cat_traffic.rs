//! What `wirebird cat` and nngcat do with their peers, side by side: the same, byte for byte.

mod peers;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use peers::cat::with_each;
use peers::{DEADLINE, Data, Place, Program, Scheme, assert_same, body, socket};
use wirebird::pattern::{PairV0, PairV1, PushSide};
use wirebird::{Pair1, Pattern, Pub, Pull, Push, Receives, Rep, Req, Sends};

/// Messages whose printed forms are told apart by every format: all bytes, none, and the lengths at which MessagePack
/// changes its own.
fn printed_messages() -> Vec<Vec<u8>> {
    vec![
        (0..=255).collect(),
        Vec::new(),
        b"tab\t, quote \" and \\ back\r\n".to_vec(),
        body(255, 0),
        body(65_535, 1),
        body(65_536, 2),
    ]
}

#[test]
fn formats_are_printed_alike_to_the_byte() {
    for format in ["no", "ascii", "quoted", "hex", "msgpack", "raw"] {
        let name = format!("--format={format}");
        let print = |program: &Program, format: &[&str]| {
            let (place, push) = (Place::new(Scheme::Ipc), socket::<PushSide>());
            push.listen(place.url()).unwrap();
            let messages = printed_messages();
            let count = messages.len().to_string();
            let args = ["--pull0", "--dial", place.url(), "--count", &count];
            let cat = program.start([&args, format].concat());
            for message in messages {
                push.send(message).unwrap();
            }
            cat.succeed()
        };
        let expected = print(&Program::nngcat(), &[&name]);
        assert_eq!(expected.is_empty(), format == "no");
        assert_same(
            &print(&Program::wirebird_cat(), &[&name]),
            &expected,
            format,
        );
        let flags: &[&str] = match format {
            "no" => &[],
            "ascii" => &["-A"],
            "quoted" => &["-Q"],
            "hex" => &["--hex"],
            "msgpack" => &["--msgpack"],
            _ => &["--raw"],
        };
        assert_same(&print(&Program::wirebird_cat(), flags), &expected, format);
    }
}

#[test]
fn values_are_written_in_any_of_the_four_ways() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Tcp), socket());
        pull.listen(place.url()).unwrap();
        for data in [
            &["--data=a b"][..],
            &["--data:a b"],
            &["--data", "a b"],
            &["--da", "a b"],
            &["-Da b"],
            &["-D", "a b"],
        ] {
            let args = [&["--pus", "--dial", place.url()], data].concat();
            let cat = program.start(args);
            assert_eq!(pull.recv().unwrap().body(), b"a b", "{data:?}");
            assert_eq!(cat.succeed(), b"");
        }
    });
}

#[test]
fn local_ports_and_paths_have_their_own_options() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Tcp), socket());
        pull.listen(place.url()).unwrap();
        program
            .start(["--push0", "-l", place.port(), "-D1"])
            .succeed();
        program
            .start(["--push0", "--connect-local", place.port(), "-D2"])
            .succeed();
        assert_eq!(pull.recv().unwrap().body(), b"1");
        assert_eq!(pull.recv().unwrap().body(), b"2");

        let (port, path) = (Place::new(Scheme::Tcp), Place::new(Scheme::Ipc));
        let cat = program.start([
            "--pull0",
            "-L",
            port.port(),
            "-X",
            path.path(),
            "--quoted",
            "--verbose",
        ]);
        let line = cat.line("Listening at: ");
        assert_eq!(line, port.url());
        cat.line("Listening at: ipc://");
        for place in [&port, &path] {
            let push: Push = socket();
            push.dial(place.url()).unwrap();
            push.send("hello").unwrap();
            push.close().unwrap();
        }
        let expected = format!(
            "Listening at: {}\nListening at: ipc:///{}\n\"hello\"\n\"hello\"\n",
            port.url(),
            path.path()
        );
        cat.prints(expected.as_bytes());
    });
}

#[test]
fn verbose_tells_of_the_connection_and_silent_takes_it_back() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Ipc), socket());
        pull.listen(place.url()).unwrap();
        let args = ["--push0", "--dial", place.url(), "-Dx", "-v"];
        let expected = format!("Connected to: {}\n", place.url());
        assert_eq!(program.start(args).succeed(), expected.as_bytes());
        let args = ["--push0", "--dial", place.url(), "-Dx", "-v", "-q"];
        assert_eq!(program.start(args).succeed(), b"");
    });
}

#[test]
fn every_local_address_is_listened_at() {
    with_each(|program| {
        for host in ["", "*"] {
            let place = Place::new(Scheme::Tcp);
            let url = format!("tcp://{host}:{}", place.port());
            let cat = program.start(["--pull0", "--listen", &url, "-C1", "-A", "-v"]);
            assert_eq!(
                cat.line("Listening at: "),
                format!("tcp://:{}", place.port())
            );
            let push: Push = socket();
            push.dial(place.url()).unwrap();
            push.send("x").unwrap();
            cat.succeed();
        }
    });
}

#[test]
fn a_subscriber_has_two_topics() {
    with_each(|program| {
        let (place, publisher): (_, Pub) = (Place::new(Scheme::Tcp), socket());
        publisher.listen(place.url()).unwrap();
        let args = ["--sub", "--dial", place.url(), "--quoted", "--count=3"];
        let cat = program.start([&args[..], &["--subscribe=ab", "--subs", "x"]].concat());
        publisher.wait_for_peers(1, DEADLINE).unwrap();
        for text in ["a", "abc", "b", "xyz", "", "cab", "ab"] {
            publisher.send(text).unwrap();
        }
        assert_eq!(cat.succeed(), b"\"abc\"\n\"xyz\"\n\"ab\"\n");
    });
}

#[test]
fn longer_messages_than_allowed_are_dropped_and_later_connections_heard() {
    with_each(|program| {
        let place = Place::new(Scheme::Tcp);
        let args = ["--pull0", "--listen", place.url(), "--recv-maxsz=5"];
        let args = [&args[..], &["-Q", "-v", "-C3"]].concat();
        let cat = program.start(args);
        cat.line("Listening at: ");
        for text in ["12345", "123456", "1234567", "54321", "abc"] {
            let push: Push = socket();
            push.dial(place.url()).unwrap();
            push.send(text).unwrap();
            // It fails when the peer has hung up on the message.
            let _ = push.close();
        }
        let expected = format!(
            "Listening at: {}\n\"12345\"\n\"54321\"\n\"abc\"\n",
            place.url()
        );
        assert_eq!(String::from_utf8(cat.succeed()).unwrap(), expected);
    });
}

#[test]
fn standard_input_is_one_message() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Ipc), socket());
        pull.listen(place.url()).unwrap();
        for size in [0, 1, 70_000] {
            let sent = body(size, 9);
            let args = ["--push0", "--dial", place.url(), "-F", "-"];
            let cat = program.start_with_input(args, Some(sent.clone()));
            assert_same(pull.recv().unwrap().body(), &sent, "standard input");
            cat.succeed();
        }
    });
}

#[test]
fn four_mebibytes_pass_both_ways() {
    with_each(|program| {
        let (place, rep): (_, Rep) = (Place::new(Scheme::Tcp), socket());
        rep.listen(place.url()).unwrap();
        let (there, back) = (body(4 << 20, 1), body(4 << 20, 2));
        let data = Data::new(&there);
        let file = data.option();
        for limit in ["--recv-maxsz=0", "--recv-maxsz=4194308", "--silent"] {
            let args = ["--req0", "--dial", place.url(), &file, "--raw", limit];
            let cat = program.start(args);
            assert_same(rep.recv().unwrap().body(), &there, "request");
            rep.send(back.clone()).unwrap();
            assert_same(&cat.succeed(), &back, limit);
        }
    });
}

#[test]
fn count_and_interval_send_that_often() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Tcp), socket());
        pull.listen(place.url()).unwrap();
        let started = Instant::now();
        let args = ["--push0", "--dial", place.url(), "-Dx", "-C3", "-i1"];
        program.start(args).succeed();
        assert!(started.elapsed() >= Duration::from_secs(2));
        for _ in 0..3 {
            assert_eq!(pull.recv().unwrap().body(), b"x");
        }
        assert!(pull.try_recv().is_err());
    });
}

#[test]
fn a_requester_asks_at_each_interval() {
    with_each(|program| {
        let (place, rep): (_, Rep) = (Place::new(Scheme::Tcp), socket());
        rep.listen(place.url()).unwrap();
        let args = ["--req0", "--dial", place.url(), "-Dx", "-C2", "-i1", "-Q"];
        let cat = program.start(args);
        for answer in ["one", "two"] {
            assert_eq!(rep.recv().unwrap().body(), b"x");
            rep.send(answer).unwrap();
        }
        assert_eq!(cat.succeed(), b"\"one\"\n\"two\"\n");
    });
}

#[test]
fn a_delay_comes_before_the_first_message() {
    with_each(|program| {
        let (place, pull): (_, Pull) = (Place::new(Scheme::Tcp), socket());
        pull.listen(place.url()).unwrap();
        let started = Instant::now();
        let cat = program.start(["--push0", "--dial", place.url(), "-Dx", "-d1"]);
        pull.recv().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(1));
        cat.succeed();
    });
}

#[test]
fn a_replier_answers_as_often_as_it_is_told() {
    with_each(|program| {
        let (place, req): (_, Req) = (Place::new(Scheme::Ipc), socket());
        req.listen(place.url()).unwrap();
        let args = ["--rep0", "--dial", place.url(), "-Danswer", "-C2", "-A"];
        let cat = program.start(args);
        for question in ["one", "two"] {
            req.send(question).unwrap();
            assert_eq!(req.recv().unwrap().body(), b"answer");
        }
        assert_eq!(cat.succeed(), b"onetwo");
    });
}

#[test]
fn a_replier_without_data_only_listens() {
    with_each(|program| {
        let (place, req): (_, Req) = (Place::new(Scheme::Ipc), socket());
        req.listen(place.url()).unwrap();
        let cat = program.start(["--rep0", "--dial", place.url(), "-C2", "-A"]);
        for question in ["one", "two"] {
            req.send(question).unwrap();
        }
        assert_eq!(cat.succeed(), b"onetwo");
        assert!(req.try_recv().is_err());
    });
}

#[test]
fn a_requester_may_dial_before_anybody_listens() {
    with_each(|program| {
        let place = Place::new(Scheme::Tcp);
        let args = [
            "--req0",
            "--async",
            "-v",
            "--dial",
            place.url(),
            "-Dping",
            "-A",
        ];
        let cat = program.start(args);
        cat.line("Connected to: ");
        let rep: Rep = socket();
        rep.listen(place.url()).unwrap();
        assert_eq!(rep.recv().unwrap().body(), b"ping");
        rep.send("pong").unwrap();
        let expected = format!("Connected to: {}\npong", place.url());
        assert_eq!(cat.succeed(), expected.as_bytes());
    });
}

#[test]
fn pair_is_version_1_and_with_compat_version_0() {
    // nngcat 1.5 has the option, and then says that no protocol was specified.
    fn talk<P: Pattern + Sends + Receives>(option: &[&str]) {
        let (place, pair) = (Place::new(Scheme::Ipc), socket::<P>());
        pair.listen(place.url()).unwrap();
        let args = ["--pair", "--dial", place.url(), "-Dx", "--raw"];
        let cat = Program::wirebird_cat().start([&args, option].concat());
        assert_eq!(pair.recv().unwrap().body(), b"x");
        pair.send("y").unwrap();
        assert_eq!(cat.bytes(1), b"y");
    }
    talk::<PairV1>(&[]);
    talk::<PairV0>(&["--compat"]);
}

#[test]
fn one_sender_serves_all_its_addresses() {
    with_each(|program| {
        let places = [Place::new(Scheme::Tcp), Place::new(Scheme::Ipc)];
        let pulls: [Pull; 2] = [socket(), socket()];
        for (pull, place) in pulls.iter().zip(&places) {
            pull.listen(place.url()).unwrap();
        }
        let [one, other] = places.each_ref().map(Place::url);
        let args = ["--push0", "--dial", one, "--connect", other, "-Dx", "-C2"];
        program.start(args).succeed();
        for pull in &pulls {
            assert_eq!(pull.recv().unwrap().body(), b"x");
        }
    });
}

#[test]
fn a_peer_of_another_protocol_is_dialed_until_the_right_one_comes() {
    with_each(|program| {
        let (place, rep): (_, Rep) = (Place::new(Scheme::Tcp), socket());
        rep.listen(place.url()).unwrap();
        let cat = program.start(["--pull0", "--dial", place.url(), "-C1", "-Q", "-v"]);
        let line = format!("Connected to: {}\n", place.url());
        cat.prints(line.as_bytes());
        rep.close().unwrap();
        let push: Push = socket();
        push.listen(place.url()).unwrap();
        push.send("at last").unwrap();
        let out = String::from_utf8(cat.succeed()).unwrap();
        assert_eq!(out, format!("{line}\"at last\"\n"));
    });
}

#[test]
fn sending_to_a_peer_of_another_protocol_fares_as_with_nobody_there() {
    with_each(|program| {
        let (place, rep): (_, Rep) = (Place::new(Scheme::Ipc), socket());
        rep.listen(place.url()).unwrap();
        let run = |words: &[&str]| program.run([words, &["--dial", place.url(), "-Dx"]].concat());
        let done = run(&["--pub0"]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
        let done = run(&["--push0", "--send-timeout=1"]);
        let expected = (Some(1), "Send error: Timed out\n");
        assert_eq!((done.code, done.err.as_str()), expected);
    });
}

#[test]
fn a_pair_that_is_taken_is_dialed_in_vain() {
    with_each(|program| {
        let (place, first): (_, Pair1) = (Place::new(Scheme::Tcp), socket());
        first.listen(place.url()).unwrap();
        let second: Pair1 = socket();
        second.dial(place.url()).unwrap();
        let args = ["--pair1", "--dial", place.url(), "--recv-timeout=1", "-v"];
        let done = program.run(args);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
        let line = format!("Connected to: {}\n", place.url());
        assert_eq!(done.out, line.as_bytes());
    });
}

/// Takes a connection of a pusher, answers as a puller would, and gives what the pusher writes afterwards.
fn accept_pusher(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"\0SP\0\0\x51\0\0").unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(&header, b"\0SP\0\0\x50\0\0");
    stream
}

#[test]
fn a_sender_does_not_wait_for_a_peer_that_does_not_read() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    // A busy machine is slow now and then, and not each time.
    let soon = (0..5).any(|_| {
        let started = Instant::now();
        let cat = Program::wirebird_cat().start(["--push0", "--dial", &url, "-Dx"]);
        let _silent = accept_pusher(&listener);
        cat.succeed();
        started.elapsed() < Duration::from_millis(900)
    });
    assert!(soon);
}

#[test]
fn a_sender_waits_for_a_peer_that_reads_slowly() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let sent = body(16 << 20, 3);
    let data = Data::new(&sent);
    let cat = Program::wirebird_cat().start(["--push0", "--dial", &url, &data.option()]);
    let mut stream = accept_pusher(&listener);
    let mut received = Vec::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
        // So slow that it takes longer than the peer is given to close.
        thread::sleep(Duration::from_millis(10));
    }
    assert_same(&received[8..], &sent, "the message");
    cat.succeed();
}
