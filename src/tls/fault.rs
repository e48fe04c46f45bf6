//! What errors of TLS mean to whoever has to mend them.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as Tls, InvalidMessage};

use crate::error::{Error, TlsFault};

/// A certificate, key or setting of our own that cannot be used.
pub(super) fn unusable(reason: String) -> Error {
    Error::tls(TlsFault::Configuration, reason)
}

/// Puts an error of the TLS library into our words.
pub(crate) fn explain(error: &Tls) -> Error {
    let (fault, reason) = match error {
        Tls::InvalidCertificate(why) => certificate(why),
        Tls::NoCertificatesPresented => (
            TlsFault::NoCertificate,
            "the client has shown no certificate, and one is required".into(),
        ),
        Tls::AlertReceived(alert) => refused(*alert),
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => (
            TlsFault::NotTls,
            format!("what the peer sent is not TLS ({error})"),
        ),
        Tls::PeerIncompatible(why) => (
            TlsFault::NothingInCommon,
            format!("the peer has no version or method in common with us ({why:?})"),
        ),
        Tls::General(_) | Tls::InconsistentKeys(_) | Tls::FailedToGetRandomBytes => {
            (TlsFault::Configuration, error.to_string())
        }
        _ => (TlsFault::Violation, error.to_string()),
    };
    Error::tls(fault, reason)
}

fn certificate(why: &CertificateError) -> (TlsFault, String) {
    match why {
        CertificateError::UnknownIssuer => (
            TlsFault::UnknownIssuer,
            "the peer's certificate was issued by nobody that is trusted here".into(),
        ),
        CertificateError::Expired => (
            TlsFault::Expired,
            "the peer's certificate has expired".into(),
        ),
        CertificateError::ExpiredContext { time, not_after } => (
            TlsFault::Expired,
            format!(
                "the peer's certificate has expired {} ago",
                between(*not_after, *time)
            ),
        ),
        CertificateError::NotValidYet => (
            TlsFault::NotYetValid,
            "the peer's certificate is not valid yet".into(),
        ),
        CertificateError::NotValidYetContext { time, not_before } => (
            TlsFault::NotYetValid,
            format!(
                "the peer's certificate will be valid in {}",
                between(*time, *not_before)
            ),
        ),
        CertificateError::NotValidForName => (
            TlsFault::NameMismatch,
            "the peer's certificate is for another name".into(),
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let presented = match presented.as_slice() {
                [] => "no name at all".to_owned(),
                names => names
                    .iter()
                    .map(|name| bare(name))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let reason = format!(
                "{} was dialed, the peer's certificate is for {presented}",
                expected.to_str()
            );
            (TlsFault::NameMismatch, reason)
        }
        CertificateError::BadSignature => (
            TlsFault::BadCertificate,
            "a signature is wrong: the peer's certificate is damaged, or the peer lacks its key"
                .into(),
        ),
        CertificateError::ApplicationVerificationFailure => (
            TlsFault::NotPinned,
            "the peer's certificate has none of the fingerprints that are pinned".into(),
        ),
        _ => (
            TlsFault::BadCertificate,
            format!("the peer's certificate cannot be used: {why}"),
        ),
    }
}

fn refused(alert: AlertDescription) -> (TlsFault, String) {
    match alert {
        AlertDescription::CertificateRequired => (
            TlsFault::NoCertificate,
            "the peer requires a certificate, and we have shown none".into(),
        ),
        AlertDescription::UnknownCA => (
            TlsFault::Refused,
            "the peer does not trust who has issued our certificate".into(),
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => (
            TlsFault::Refused,
            format!("the peer does not accept our certificate ({alert:?})"),
        ),
        // The word of TLS 1.2 for both.
        AlertDescription::HandshakeFailure => (
            TlsFault::Refused,
            "the peer shares none of our methods, or requires a certificate (HandshakeFailure)"
                .into(),
        ),
        AlertDescription::ProtocolVersion => (
            TlsFault::NothingInCommon,
            "the peer speaks none of our versions of TLS".into(),
        ),
        _ => (
            TlsFault::Refused,
            format!("the peer has refused us ({alert:?})"),
        ),
    }
}

/// A name without the kind that the library writes around it: `DnsName("x")`.
fn bare(name: &str) -> &str {
    name.split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map_or(name, |inner| inner.trim_matches('"'))
}

/// A span of time in words.
fn between(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_kind_around_them() {
        assert_eq!(bare("DnsName(\"example.com\")"), "example.com");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("plain"), "plain");
    }

    #[test]
    fn spans_of_time_are_told_in_the_unit_that_fits() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        assert_eq!(between(at(100), at(160)), "60 seconds");
        assert_eq!(between(at(0), at(3_600)), "60 minutes");
        assert_eq!(between(at(0), at(86_400)), "24 hours");
        assert_eq!(between(at(0), at(864_000)), "10 days");
        assert_eq!(between(at(10), at(0)), "0 seconds");
    }
}
