use super::*;

fn parse_line(line: &str) -> Result<Request, String> {
    let words: Vec<_> = line
        .split_whitespace()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    parse(&words, &mut |path| match path {
        b"there" | b"-" => Ok(b"content".to_vec()),
        _ => Err(format!(
            "Cannot open file {}: No such file or directory",
            text(path)
        )),
    })
}

fn job(line: &str) -> Job {
    match parse_line(line) {
        Ok(Request::Run(job)) => *job,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    match parse_line(line) {
        Err(message) => message,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn help_and_version_win_over_what_follows() {
    assert_eq!(parse_line("--help --bogus"), Ok(Request::Help));
    assert_eq!(parse_line("-h"), Ok(Request::Help));
    assert_eq!(parse_line("--pair0 --vers"), Ok(Request::Version));
    assert_eq!(parse_line("-V"), Ok(Request::Version));
    assert_eq!(refusal("--bogus --help"), "Option --bogus is invalid.");
}

#[test]
fn every_protocol_has_a_name_with_and_without_its_version() {
    for (name, protocol) in [
        ("req", Protocol::Req),
        ("rep", Protocol::Rep),
        ("pub", Protocol::Pub),
        ("sub", Protocol::Sub),
        ("push", Protocol::Push),
        ("pull", Protocol::Pull),
        ("surveyor", Protocol::Surveyor),
        ("respondent", Protocol::Respondent),
        ("bus", Protocol::Bus),
    ] {
        let needs_data = !matches!(protocol, Protocol::Sub | Protocol::Pull);
        let data = if needs_data { "-D x" } else { "" };
        assert_eq!(job(&format!("--{name} --dial u {data}")).protocol, protocol);
        assert_eq!(
            job(&format!("--{name}0 --dial u {data}")).protocol,
            protocol
        );
    }
    assert_eq!(job("--pair0 --dial u").protocol, Protocol::Pair0);
    assert_eq!(job("--pair1 --dial u").protocol, Protocol::Pair1);
}

#[test]
fn pair_is_pair1_unless_compatible() {
    assert_eq!(job("--pair --dial u").protocol, Protocol::Pair1);
    assert_eq!(job("--pair --compat --dial u").protocol, Protocol::Pair0);
}

#[test]
fn there_is_exactly_one_protocol() {
    assert_eq!(refusal("--dial u"), "No protocol specified.");
    for line in [
        "--pair0 --pair1",
        "--sub --sub0",
        "--pair --pair0",
        "--req0 --req0",
    ] {
        assert_eq!(
            refusal(line),
            "Only one protocol may be specified.",
            "{line}"
        );
    }
}

#[test]
fn there_is_an_address_before_all_else() {
    assert_eq!(refusal(""), "No address specified.");
    assert_eq!(refusal("--pair0"), "No address specified.");
    assert_eq!(refusal("--pair0 word --dial u"), "No address specified.");
}

#[test]
fn addresses_keep_their_order() {
    let endpoints = job(
        "--pair0 --dial a --listen b --connect c --bind d -l 1 -L 2 --connect-local 3 --bind-local=4 -x p -X q \
         --connect-ipc /r --bind-ipc:s",
    )
    .endpoints;
    let dial = |url: &str| Endpoint::Dial(url.into());
    let listen = |url: &str| Endpoint::Listen(url.into());
    assert_eq!(
        endpoints,
        [
            dial("a"),
            listen("b"),
            dial("c"),
            listen("d"),
            dial("tcp://127.0.0.1:1"),
            listen("tcp://127.0.0.1:2"),
            dial("tcp://127.0.0.1:3"),
            listen("tcp://127.0.0.1:4"),
            dial("ipc:///p"),
            listen("ipc:///q"),
            dial("ipc:////r"),
            listen("ipc:///s"),
        ]
    );
}

#[test]
fn an_option_that_could_be_two_is_ambiguous() {
    for word in [
        "--re", "--recv", "--v", "--ver", "--s", "--co", "--bi", "--i", "--pu", "--d", "--pai",
    ] {
        assert_eq!(
            refusal(word),
            format!("Option {word} is ambiguous (specify in full).")
        );
    }
}

#[test]
fn unusable_words_are_named_whole() {
    assert_eq!(refusal("--bogus=1"), "Option --bogus=1 is invalid.");
    assert_eq!(refusal("-z"), "Option -z is invalid.");
    assert_eq!(refusal("-vq"), "Option -vq is invalid.");
    assert_eq!(refusal("--pair0=x"), "Option --pair0=x is invalid.");
    assert_eq!(
        refusal("--receive-timeout 1"),
        "Option --receive-timeout is invalid."
    );
    assert_eq!(
        refusal("--pair0 --dial"),
        "Option --dial requires argument."
    );
    assert_eq!(refusal("-x"), "Option -x requires argument.");
}

#[test]
fn numbers_are_digits_within_a_range() {
    assert_eq!(refusal("--count x"), "Integer argument expected.");
    assert_eq!(refusal("--count -1"), "Integer argument expected.");
    assert_eq!(refusal("--count 1.5"), "Integer argument expected.");
    assert_eq!(refusal("--count="), "Empty integer argument.");
    // nngcat's word for a number that has no place in its 32 bits.
    for line in [
        "--count 2147483648",
        "--count 99999999999999999999999999",
        "-Z 4294967296",
    ] {
        assert_eq!(refusal(line), "Integer argument overflow.", "{line}");
    }
    assert_eq!(refusal("--delay 86401"), "Integer argument too large.");
    assert_eq!(
        refusal("--recv-timeout 86401"),
        "Integer argument too large."
    );
    assert_eq!(refusal("-L 65537"), "Integer argument too large.");
    assert_eq!(
        job("--pair0 --dial u --count 2147483647").count,
        2_147_483_647
    );
}

#[test]
fn times_are_in_seconds() {
    let job = job("--pair0 --dial u -D x -i 2 -d 3 --recv-timeout 4 --send-timeout 86400");
    assert_eq!(job.interval, Some(Duration::from_secs(2)));
    assert_eq!(job.delay, Duration::from_secs(3));
    assert_eq!(job.recv_timeout, Some(Duration::from_secs(4)));
    assert_eq!(job.send_timeout, Some(Duration::from_secs(86_400)));
}

#[test]
fn receive_limit_is_the_librarys_unless_given() {
    assert_eq!(job("--pair0 --dial u").recv_max_size, None);
    assert_eq!(job("--pair0 --dial u -Z 0").recv_max_size, Some(0));
    assert_eq!(
        job("--pair0 --dial u --recv-maxsz=5").recv_max_size,
        Some(5)
    );
}

#[test]
fn a_format_is_given_once() {
    assert_eq!(job("--pair0 --dial u").format, Format::No);
    assert_eq!(job("--pair0 --dial u -A").format, Format::Ascii);
    assert_eq!(
        job("--pair0 --dial u --form msgpack").format,
        Format::Msgpack
    );
    for formats in ["-A -Q", "-A -A", "--format no --hex", "--raw --format raw"] {
        assert_eq!(
            refusal(formats),
            "Format may be specified only once.",
            "{formats}"
        );
    }
    assert_eq!(refusal("--format bogus"), "Invalid format specified.");
}

#[test]
fn data_is_given_once() {
    assert_eq!(job("--push --dial u -D x").data.as_deref(), Some(&b"x"[..]));
    assert_eq!(
        job("--push --dial u --data=").data.as_deref(),
        Some(&b""[..])
    );
    assert_eq!(
        job("--push --dial u -F there").data.as_deref(),
        Some(&b"content"[..])
    );
    assert_eq!(
        job("--push --dial u --file -").data.as_deref(),
        Some(&b"content"[..])
    );
    for sources in ["-D a -D b", "-D a -F nowhere", "-F there --data b"] {
        let message = refusal(sources);
        assert_eq!(
            message, "Data (--file, --data) may be specified only once.",
            "{sources}"
        );
    }
    assert_eq!(
        refusal("-F nowhere"),
        "Cannot open file nowhere: No such file or directory"
    );
}

#[test]
fn compat_excludes_async_count_and_pair1() {
    assert_eq!(
        refusal("--pair0 --dial u --compat --async"),
        "Options --async and --compat are incompatible."
    );
    assert_eq!(
        refusal("--pair0 --dial u --compat --count 1"),
        "Options --count and --compat are incompatible."
    );
    assert_eq!(
        refusal("--pair1 --dial u --compat"),
        "Protocol does not support --compat."
    );
    assert!(job("--pair0 --dial u --compat").background);
}

#[test]
fn topics_are_for_sub_which_takes_all_by_default() {
    assert_eq!(job("--sub --dial u").topics, [b""]);
    assert_eq!(
        job("--sub --dial u --subscribe a --subs b").topics,
        [b"a", b"b"]
    );
    assert_eq!(
        refusal("--pull --dial u --subscribe a"),
        "Protocol does not support --subscribe."
    );
    assert_eq!(
        refusal("--dial u --subscribe a"),
        "Protocol does not support --subscribe."
    );
}

#[test]
fn each_protocol_has_its_own_limits() {
    for line in [
        "--pull --dial u -D x",
        "--sub --dial u -F there",
        "--sub --dial u -D x -i 1",
    ] {
        assert_eq!(
            refusal(line),
            "Protocol does not support --file or --data.",
            "{line}"
        );
    }
    for protocol in ["pull", "sub", "rep", "respondent"] {
        let message = refusal(&format!("--{protocol} --dial u -i 1"));
        assert_eq!(
            message, "Protocol does not support --interval.",
            "{protocol}"
        );
    }
    for protocol in ["push", "pub"] {
        let message = refusal(&format!("--{protocol} --dial u -A -D x"));
        assert_eq!(
            message, "Protocol does not support --format options.",
            "{protocol}"
        );
    }
    for protocol in ["push", "pub", "req", "surveyor"] {
        let message = refusal(&format!("--{protocol} --dial u"));
        assert_eq!(
            message, "Protocol requires either --file or --data.",
            "{protocol}"
        );
    }
    for protocol in ["pair0", "pair1", "pair", "bus"] {
        let message = refusal(&format!("--{protocol} --dial u -i 1"));
        assert_eq!(
            message, "Option --interval requires either --file or --data.",
            "{protocol}"
        );
    }
}

#[test]
fn the_last_of_verbose_and_silent_holds() {
    assert!(job("--pair0 --dial u -q -v").verbose);
    assert!(!job("--pair0 --dial u -v --silent").verbose);
    assert!(!job("--pair0 --dial u").verbose);
}

#[test]
fn tls_files_are_read_once_each() {
    let content = Some(b"content".to_vec());
    assert_eq!(
        job("--pair0 --dial u -k --cacert there -E there --key there").tls,
        Tls {
            insecure: true,
            authority: content.clone(),
            certificate: content.clone(),
            key: content.clone(),
        }
    );
    let alone = job("--pair0 --dial u --cert there").tls;
    assert_eq!((alone.certificate, alone.key), (content, None));
    assert_eq!(job("--pair0 --dial u").tls, Tls::default());
    for (line, name) in [
        ("--cacert", "CA Certificate (--cacert)"),
        ("-E", "Cert (--cert)"),
        ("--key", "Key (--key)"),
    ] {
        assert_eq!(
            refusal(&format!("{line} there {line} there")),
            format!("{name} may be specified only once.")
        );
        assert!(refusal(&format!("{line} missing")).starts_with("Cannot open file missing"));
    }
}

#[test]
fn options_without_effect_are_taken() {
    assert_eq!(
        job("--pair0 --dial u --socket-name n --zt-home h"),
        job("--pair0 --dial u")
    );
}

#[test]
fn what_is_no_option_ends_the_line() {
    assert_eq!(
        job("--pair0 --dial u word --bogus"),
        job("--pair0 --dial u")
    );
    assert_eq!(job("--pair0 --dial u -- --bogus"), job("--pair0 --dial u"));
}

#[test]
fn addresses_are_text_and_data_is_not() {
    let words = |last: &[&[u8]]| {
        [&[b"--push".as_slice(), b"--dial", b"u"], last]
            .concat()
            .iter()
            .map(|w| w.to_vec())
            .collect::<Vec<_>>()
    };
    let no_file = &mut |_: &[u8]| Err(String::new());
    let Ok(Request::Run(job)) = parse(&words(&[b"-D", b"\xff"]), no_file) else {
        panic!("data may be any bytes");
    };
    assert_eq!(job.data.as_deref(), Some(&b"\xff"[..]));
    assert!(parse(&words(&[b"--dial", b"\xff"]), no_file).is_err());
}
