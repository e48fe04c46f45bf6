//! `wirebird cat` and nngcat, side by side: for the same command line both do the same, byte for byte.

mod peers;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

use peers::{DEADLINE, Data, Finished, Place, Program, Scheme, assert_same, body, socket};
use wirebird::pattern::{PairV0, PairV1, PullSide, PushSide};
use wirebird::{Pattern, Pub, Pull, Push, Receives, Rep, Req, Sends};

/// Does the same with nngcat, with `wirebird cat`, and with a link to our program that is called nngcat.
fn with_each(check: impl Fn(&Program) + Sync) {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("nngcat");
    symlink(env!("CARGO_BIN_EXE_wirebird"), &link).unwrap();
    let programs = [
        Program::nngcat(),
        Program::wirebird_cat(),
        Program::at(&link),
    ];
    thread::scope(|scope| {
        for program in &programs {
            let check = &check;
            scope.spawn(move || check(program));
        }
    });
}

fn run_both(line: &str) -> [Finished; 2] {
    [Program::nngcat(), Program::wirebird_cat()].map(|program| program.run(line.split(' ')))
}

/// Command lines that both refuse with the same words and exit code 1.
fn refuses(lines: &[&str]) {
    for line in lines {
        let [theirs, ours] = run_both(line);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)), "{line}");
        assert_eq!(ours.err, theirs.err, "{line}");
        assert_eq!(
            (&ours.out[..], &theirs.out[..]),
            (&b""[..], &b""[..]),
            "{line}"
        );
    }
}

#[test]
fn ambiguous_options_are_refused() {
    refuses(&[
        "--re --dial inproc://x",
        "--pu --dial inproc://x",
        "--su --dial inproc://x",
        "--s --dial inproc://x",
        "--c --dial inproc://x",
    ]);
}

#[test]
fn unknown_and_malformed_options_are_refused() {
    refuses(&[
        "--bogus",
        "-z",
        "-vq",
        "--verbose=1",
        "-l",
        "--data",
        "--pull0 --dial",
        "--count x",
        "--count -1",
        "--count=",
        "--delay 86401",
        "--interval 1.5",
        "-Z x",
        "--pull0 --format foo",
    ]);
}

#[test]
fn there_is_one_protocol() {
    refuses(&[
        "--pub0 --sub0",
        "--req0 --req0",
        "--pair1 --pair0 --dial inproc://x",
        "--dial inproc://x",
        "--dial inproc://x --data x",
    ]);
}

#[test]
fn there_is_an_address() {
    refuses(&["--pair0", "--push0 -D x", "--pub0 --data x --interval 1"]);
}

#[test]
fn formats_and_sources_are_given_once() {
    refuses(&[
        "--pull0 --hex --ascii",
        "--pull0 --format no --raw",
        "--push0 -D x -D y",
        "--push0 -D x -F /dev/null",
    ]);
}

#[test]
fn incompatible_options_are_refused() {
    refuses(&[
        "--compat --async --pair --dial inproc://x",
        "--compat --count=1 --pair --dial inproc://x",
        "--compat --pair1 --dial inproc://x",
        "--pull0 --subscribe x --dial inproc://x",
        "--push0 --subscribe x --dial inproc://x -D x",
        "--pull0 --interval 1 --dial inproc://x",
        "--sub0 --interval 1 --dial inproc://x",
        "--rep0 --interval 1 --dial inproc://x",
        "--respondent0 --interval 1 --dial inproc://x",
        "--pull0 --data 1 --dial inproc://x",
        "--sub0 --data 1 --dial inproc://x",
        "--pair0 --interval 1 --dial inproc://x",
        "--bus0 --interval 1 --dial inproc://x",
        "--push0 --dial inproc://x",
        "--pub0 --dial inproc://x",
        "--req0 --dial inproc://x",
        "--surveyor0 --dial inproc://x",
        "--push0 --hex -D x --dial inproc://x",
        "--pub0 --format no -D x --dial inproc://x",
    ]);
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    refuses(&["--push0 -F /nonexistent", "--push0 --file /"]);
}

#[test]
fn nobody_at_the_address_is_an_error() {
    let (tcp, ipc) = (Place::new(Scheme::Tcp), Place::new(Scheme::Ipc));
    refuses(&[
        &format!("--pull0 --dial {}", tcp.url()),
        &format!("--push0 -D x --dial {}", ipc.url()),
        &format!("--pair0 -l {}", tcp.port()),
        &format!("--pair0 -x {}", ipc.path()),
        "--sub0 --connect inproc://nobody",
        "--sub0 --connect inproc://nobody what follows --is=ignored",
    ]);
}

#[test]
fn an_address_in_use_is_an_error() {
    for scheme in [Scheme::Tcp, Scheme::Ipc] {
        let (place, pull) = (Place::new(scheme), socket::<PullSide>());
        pull.listen(place.url()).unwrap();
        refuses(&[&format!("--pull0 --listen {}", place.url())]);
    }
}

#[test]
fn bad_addresses_are_refused_and_ours_says_more() {
    for line in [
        "--pull0 --dial foo://bar",
        "--pull0 --listen tcp://127.0.0.1:99999",
        "--pull0 --listen tcp://256.0.0.1:80",
    ] {
        let [theirs, ours] = run_both(line);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)), "{line}");
        assert!(ours.err.starts_with(theirs.err.trim_end()), "{ours:?}");
        assert_eq!(ours.err.lines().count(), 1, "{ours:?}");
    }
}

#[test]
fn help_is_printed_and_exits_with_1() {
    let options = |help: &Finished| -> BTreeSet<String> {
        let text = String::from_utf8_lossy(&help.out).into_owned();
        let words = text.split(|c: char| c.is_whitespace() || "(),.".contains(c));
        words
            .filter(|word| word.starts_with('-') && word.len() > 1)
            .map(str::to_owned)
            .collect()
    };
    for line in ["--help", "-h", "--help --pull0 --bogus", "--pull0 -v --hel"] {
        let [theirs, ours] = run_both(line);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)), "{line}");
        assert_eq!((ours.err.as_str(), theirs.err.as_str()), ("", ""), "{line}");
        assert!(ours.out.starts_with(b"Usage: "), "{ours:?}");
        let named = options(&ours);
        for option in options(&theirs) {
            // A beginning is as good as the whole, and nobody has ZeroTier any more.
            let found = named.iter().any(|name| name.starts_with(&option));
            assert!(found || option == "--zt-home", "{line}: {option}");
        }
    }
}

#[test]
fn version_exits_with_0() {
    for line in ["--version", "-V", "--pull0 --vers"] {
        let [theirs, ours] = run_both(line);
        assert_eq!((theirs.code, ours.code), (Some(0), Some(0)), "{line}");
        assert_eq!(
            ours.out,
            concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes()
        );
    }
}

#[test]
fn timeouts_end_receivers_well_and_senders_badly() {
    let lines = [
        ("--pull0 --listen inproc://x --recv-timeout 1", 0, ""),
        ("--sub0 --listen inproc://x --recv-timeout 1", 0, ""),
        ("--rep0 --listen inproc://x --recv-timeout 1", 0, ""),
        ("--bus0 --listen inproc://x -D x --recv-timeout 1", 0, ""),
        ("--pub0 --listen inproc://x -D x", 0, ""),
        ("--surveyor0 --listen inproc://x -D x", 0, ""),
        (
            "--rep0 --listen inproc://x -D x --recv-timeout 1",
            1,
            "Receive error: Timed out\n",
        ),
        (
            "--push0 --listen inproc://x -D x --send-timeout 1",
            1,
            "Send error: Timed out\n",
        ),
        (
            "--req0 --listen inproc://x -D x --send-timeout 1",
            1,
            "Send error: Timed out\n",
        ),
    ];
    thread::scope(|scope| {
        for (line, code, err) in lines {
            scope.spawn(move || {
                for done in run_both(line) {
                    let found = (done.code, done.err.as_str(), done.out.as_slice());
                    assert_eq!(found, (Some(code), err, &b""[..]), "{line}");
                }
            });
        }
    });
}

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
