//! The command lines of `wirebird cat` and nngcat, side by side: both take the same, refuse the same with the same
//! words, and exit alike.

mod peers;

use std::collections::BTreeSet;
use std::thread;

use peers::cat::run_both;
use peers::{Data, Finished, Place, Scheme, socket};
use wirebird::pattern::PullSide;

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
        "--count 2147483648",
        "-Z 4294967295",
        "-l 65537",
        "-L 99999999999",
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
    refuses(&[
        "--push0 -F /nonexistent",
        "--push0 --file /",
        "--cacert /nonexistent",
        "--key /",
        "-E /nonexistent",
    ]);
}

#[test]
fn tls_files_are_given_once_and_do_not_matter_elsewhere() {
    let data = Data::new(b"not looked at");
    let file = data.path();
    let file = file.display();
    refuses(&[
        &format!("--cacert {file} --cacert {file}"),
        &format!("--key {file} --key {file}"),
        &format!("-E {file} --cert {file}"),
    ]);
    let end = "--pull0 --listen inproc://x --recv-timeout 1";
    for done in run_both(&format!("-k --cacert {file} -E {file} --key {file} {end}")) {
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    }
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
        "--pull0 --dial foo",
        "--pull0 --dial foo://bar",
        "--pull0 --dial tcp://127.0.0.1",
        "--pull0 --dial tcp://127.0.0.1:",
        "--pull0 --dial tcp://[::1",
        "--pull0 --dial tcp://:5555",
        "--pull0 --dial tcp://nobody@127.0.0.1:5555",
        "--pull0 --listen tcp://127.0.0.1:99999",
        "--pull0 --listen tcp://127.0.0.1:5555/path",
        "--pull0 --listen tcp://256.0.0.1:80",
        "--pull0 --listen socket://",
        "--pull0 --listen ipc://",
        "--pull0 --listen ipc:///nonexistent/socket",
        "--pull0 --listen abstract://%zz",
        "--pull0 -L 65536",
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
