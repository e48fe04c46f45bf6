//! The texts nng has for its error numbers, which scripts look for.

use wirebird::Error;

/// nng's text for an error; behind it in parentheses what else is known.
pub(super) fn strerror(error: &Error) -> String {
    let text = match error.code() {
        2 => "Out of memory",
        3 => "Invalid argument",
        4 => "Resource busy",
        5 => "Timed out",
        6 => "Connection refused",
        7 => "Object closed",
        8 => "Try again",
        9 => "Not supported",
        10 => "Address in use",
        11 => "Incorrect state",
        12 => "Entry not found",
        13 => "Protocol error",
        14 => "Destination unreachable",
        15 => "Address invalid",
        16 => "Permission denied",
        17 => "Message too large",
        19 => "Connection reset",
        20 => "Operation canceled",
        21 => "Out of files",
        26 => "Cryptographic error",
        27 => "Peer could not be authenticated",
        31 => "Connection shutdown",
        _ => return error.to_string(),
    };
    match error {
        Error::Tls(error) => format!("{text} ({})", error.reason),
        Error::InvalidUrl(bad) => format!("{text} ({})", bad.reason),
        Error::DirectoryMissing => format!("{text} (the directory does not exist)"),
        Error::AddressInvalid(why) => format!("{text} ({why})"),
        Error::NotSupported(why) | Error::InvalidArgument(why) | Error::Malformed(why) => {
            format!("{text} ({why})")
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_nngs_text_and_the_reason() {
        assert_eq!(strerror(&Error::ConnectionRefused), "Connection refused");
        assert_eq!(strerror(&Error::ConnectionShut), "Connection shutdown");
        let unknown = wirebird::Url::parse("foo://bar").unwrap_err();
        assert_eq!(
            strerror(&unknown),
            "Not supported (no transport has the scheme \"foo\")"
        );
    }
}
