use super::*;

fn url_error(fault: UrlFault) -> Error {
    Error::bad_url("u", fault, "why")
}

fn tls_error(fault: TlsFault) -> Error {
    let reason = format!("why {fault:?}").to_lowercase();
    Error::Tls(Box::new(TlsError { fault, reason }))
}

/// Every error, nng's number for it, and who is to blame.
fn all() -> Vec<(Error, u32, Blame)> {
    use Blame::{Caller, Environment, Nobody, Peer};
    let wrong = Error::WrongProtocol {
        expected: 0x50,
        actual: 0x10,
    };
    let long = Error::MessageTooLong {
        limit: 100,
        length: 101,
    };
    vec![
        (Error::OutOfMemory, 2, Environment),
        (Error::InvalidArgument("why"), 3, Caller),
        (Error::bad_option("ttl-max", 0, "1 to 15"), 3, Caller),
        (url_error(UrlFault::Malformed), 3, Caller),
        (Error::Busy, 4, Caller),
        (Error::Rejected, 4, Peer),
        (Error::TimedOut, 5, Nobody),
        (Error::ConnectionRefused, 6, Environment),
        (Error::Closed, 7, Caller),
        (Error::WouldBlock, 8, Nobody),
        (Error::NotSupported("what"), 9, Caller),
        (url_error(UrlFault::Unsupported), 9, Caller),
        (Error::AddressInUse, 10, Environment),
        (Error::InvalidState("why"), 11, Caller),
        (Error::NotFound, 12, Caller),
        (Error::DirectoryMissing, 12, Environment),
        (wrong, 13, Peer),
        (Error::BadHandshake, 13, Peer),
        (Error::Malformed("what"), 13, Peer),
        (Error::Unreachable, 14, Environment),
        (url_error(UrlFault::Unusable), 15, Caller),
        (Error::AddressInvalid("why".into()), 15, Environment),
        (Error::PermissionDenied, 16, Environment),
        (long, 17, Peer),
        (Error::ConnectionReset, 19, Peer),
        (Error::Canceled, 20, Caller),
        (tls_error(TlsFault::Configuration), 26, Caller),
        (tls_error(TlsFault::NotTls), 26, Peer),
        (tls_error(TlsFault::UnknownIssuer), 27, Peer),
        (Error::TooManyFiles, 21, Environment),
        (Error::ConnectionShut, 31, Peer),
        (Error::Os(28), 0x1000_001c, Environment),
    ]
}

#[test]
fn every_error_has_nngs_number_and_says_who_is_to_blame() {
    for (error, code, blame) in all() {
        assert_eq!((error.code(), error.blame()), (code, blame), "{error:?}");
    }
}

#[test]
fn every_error_has_a_text_of_its_own_in_lower_case_on_one_line() {
    let mut texts: Vec<String> = all().iter().map(|(error, ..)| error.to_string()).collect();
    // What the system says begins as the system likes.
    texts.pop();
    for text in &texts {
        assert!(text.starts_with(char::is_lowercase), "{text}");
        assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    }
    // The three faults of a URL differ in the reason only.
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), all().len() - 1 - 2);
}

#[test]
fn errors_of_the_system_are_mapped_as_nng_maps_them() {
    use rustix::io::Errno;
    for (errno, code) in [
        (Errno::ACCESS, 16),
        (Errno::PERM, 16),
        (Errno::ADDRINUSE, 10),
        (Errno::ADDRNOTAVAIL, 15),
        (Errno::AFNOSUPPORT, 9),
        (Errno::AGAIN, 8),
        (Errno::CONNREFUSED, 6),
        (Errno::NOENT, 6),
        (Errno::CONNRESET, 19),
        (Errno::HOSTUNREACH, 14),
        (Errno::NETUNREACH, 14),
        (Errno::TIMEDOUT, 5),
        (Errno::MFILE, 21),
        (Errno::NFILE, 21),
        (Errno::NOMEM, 2),
        (Errno::NOBUFS, 2),
        (Errno::BADF, 3),
    ] {
        assert_eq!(Error::from(errno).code(), code, "{errno}");
    }
    let unmapped = Error::from(Errno::NOSPC);
    assert_eq!(unmapped, Error::Os(28));
    assert!(unmapped.to_string().contains("No space left"));
}

#[test]
fn errors_without_a_number_of_the_system_keep_their_meaning() {
    for (kind, expected) in [
        (io::ErrorKind::TimedOut, Error::TimedOut),
        (io::ErrorKind::WouldBlock, Error::WouldBlock),
        (io::ErrorKind::UnexpectedEof, Error::ConnectionShut),
        (io::ErrorKind::OutOfMemory, Error::OutOfMemory),
    ] {
        assert_eq!(Error::from(io::Error::from(kind)), expected);
    }
}

#[test]
fn a_failed_send_has_its_error_and_gives_the_message_back() {
    let failed = SendError {
        error: Error::TimedOut,
        message: Box::new("kept".into()),
    };
    assert_eq!(failed.to_string(), "timed out");
    let source = std::error::Error::source(&failed).expect("the error");
    assert_eq!(source.to_string(), "timed out");
    assert_eq!(failed.message.body(), b"kept");
    assert_eq!(Error::from(failed), Error::TimedOut);
}

#[test]
fn an_error_is_small_and_shareable() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Error>();
    shareable::<SendError>();
    assert!(size_of::<Error>() <= 32);
}
