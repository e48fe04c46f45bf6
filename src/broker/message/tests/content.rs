//! F70 to F87: types, statuses, and the kinds of payload.

use serde::Serialize;
use serde_json::json;

use super::*;

/// F70, F71..F80: the names and numbers of the protocol.
#[test]
fn types_and_statuses_have_the_names_and_codes_of_the_protocol() {
    let types: [(&str, u8); 22] = [
        ("REQUEST", 0),
        ("PUBLISH", 10),
        ("SUBSCRIBE", 11),
        ("UNSUBSCRIBE", 12),
        ("OFFER", 20),
        ("POLL", 21),
        ("CREATE_QUEUE", 30),
        ("CREATE_TEMP_QUEUE", 31),
        ("REMOVE_QUEUE", 32),
        ("STATUS_QUEUE", 33),
        ("CREATE_TOPIC", 36),
        ("REMOVE_TOPIC", 37),
        ("STATUS_TOPIC", 38),
        ("CLIENT_CONFIG", 40),
        ("SERVER_STATUS", 50),
        ("SERVER_THREAD_POOL_STAT", 51),
        ("DIFFIE_HELLMAN_KEY_REQUEST", 60),
        ("AUTHENTICATION", 70),
        ("HEARTBEAT", 71),
        ("TEST", 72),
        ("RESPONSE", 80),
        ("NULL", 90),
    ];
    for (name, code) in types {
        assert_eq!(MessageType::from_name(name).unwrap().code(), code, "{name}");
    }
    let statuses: [(&str, u8); 14] = [
        ("OK", 0),
        ("SERVER_ERROR", 1),
        ("HANDLER_ERROR", 2),
        ("BAD_REQUEST", 3),
        ("NO_PERMISSION", 4),
        ("QUEUE_NOT_FOUND", 10),
        ("QUEUE_EMPTY", 11),
        ("QUEUE_FULL", 12),
        ("QUEUE_ACCESS_INTERRUPTED", 13),
        ("TOPIC_NOT_FOUND", 15),
        ("FUNCTION_NOT_FOUND", 18),
        ("DIFFIE_HELLMAN_ACK", 20),
        ("DIFFIE_HELLMAN_NAK", 21),
        ("NULL", 99),
    ];
    for (name, code) in statuses {
        assert_eq!(Status::from_name(name).unwrap().code(), code, "{name}");
    }
}

#[test]
fn types_and_statuses_come_back_from_code_and_name() {
    for code in 0..=255 {
        if let Some(kind) = MessageType::from_code(code) {
            assert_eq!(kind.code(), code);
            assert_eq!(MessageType::from_name(kind.name()), Some(kind));
            assert_eq!(
                MessageType::from_name(&kind.name().to_lowercase()),
                Some(kind)
            );
            assert!(MessageType::ALL.contains(&kind));
        }
        if let Some(status) = Status::from_code(code) {
            assert_eq!(status.code(), code);
            assert_eq!(Status::from_name(&status.to_string()), Some(status));
            assert!(Status::ALL.contains(&status));
        }
    }
    assert_eq!(MessageType::from_code(29), None);
    assert_eq!(Status::from_name("FINE"), None);
}

/// Failures say what to do about them.
#[test]
fn every_failure_has_a_category() {
    for &status in Status::ALL {
        let fine = [Status::Ok, Status::Null, Status::DiffieHellmanAck].contains(&status);
        assert_eq!(status.category().is_none(), fine, "{status}");
    }
    assert!(Status::RateLimited.is_retryable());
    assert!(Status::QueueEmpty.is_retryable());
    assert!(!Status::LimitReached.is_retryable());
    assert!(!Status::BadRequest.is_retryable());
}

/// F81.
#[test]
fn plain_text_is_utf8() {
    let message = Message::plain_text("1", "test", "grüezi").unwrap();
    assert_eq!(message.mimetype(), "text/plain");
    assert_eq!(message.charset(), Some(Charset::Utf8));
    assert_eq!(message.payload_text().as_deref(), Some("grüezi"));
}

/// F82: each charset, against bytes from elsewhere.
#[test]
fn text_is_written_in_its_charset() {
    let cases: [(Charset, &str, &[u8]); 6] = [
        (
            Charset::Utf8,
            "é€𝄞",
            b"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e",
        ),
        (Charset::UsAscii, "e~", b"e~"),
        (Charset::Iso8859_1, "é\u{ff}\0", b"\xe9\xff\0"),
        (Charset::Utf16, "é𝄞", b"\xfe\xff\0\xe9\xd8\x34\xdd\x1e"),
        (Charset::Utf16Be, "é𝄞", b"\0\xe9\xd8\x34\xdd\x1e"),
        (Charset::Utf16Le, "é𝄞", b"\xe9\0\x34\xd8\x1e\xdd"),
    ];
    for (charset, text, bytes) in cases {
        let message = Message::text(None, "", "text/x", charset, text).unwrap();
        assert_eq!(&message.payload_binary()[..], bytes, "{charset}");
        assert_eq!(message.payload_text().as_deref(), Some(text), "{charset}");
    }
    let little = Charset::Utf16.decode(b"\xff\xfe\xe9\0").unwrap();
    let unmarked = Charset::Utf16.decode(b"\0\xe9").unwrap();
    assert_eq!((&*little, &*unmarked), ("é", "é"));
}

/// F82: what the charset lacks is named.
#[test]
fn text_that_its_charset_lacks_is_refused() {
    for (charset, text, character) in [
        (Charset::UsAscii, "caf\u{e9}", 'é'),
        (Charset::Iso8859_1, "3 \u{20ac}", '€'),
    ] {
        assert_eq!(
            Message::text(None, "", "text/plain", charset, text).unwrap_err(),
            MessageError::Unencodable { charset, character }
        );
    }
}

/// F82: an unknown charset, and which there are.
#[test]
fn an_unknown_charset_is_refused_with_those_there_are() {
    assert_eq!("utf-16le".parse(), Ok(Charset::Utf16Le));
    let error = "KOI8-R".parse::<Charset>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "charset: \"KOI8-R\" is not known, only UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE, UTF-16LE"
    );
}

#[test]
fn bytes_that_are_not_text_are_found_where_they_are() {
    let cases: [(Charset, &[u8], usize); 6] = [
        (Charset::Utf8, b"ab\xff", 2),
        (Charset::UsAscii, b"a\x80", 1),
        (Charset::Utf16, b"\xfe\xff\0a\xdd\x1e", 4),
        (Charset::Utf16Be, b"\0a\xd8\x34", 2),
        (Charset::Utf16Le, b"a\0\x1e\xdd", 2),
        (Charset::Utf16Be, b"\0a\0", 2),
    ];
    for (charset, bytes, at) in cases {
        let fault = MessageError::NotText { charset, at };
        assert_eq!(charset.check(bytes), Err(fault.clone()));
        assert_eq!(charset.decode(bytes), Err(fault));
    }
}

/// F83.
#[test]
fn binary_messages_have_the_type_they_are_given() {
    let message = Message::binary("1", "test", "application/pdf", &b"%PDF"[..]).unwrap();
    assert_eq!(message.mimetype(), "application/pdf");
    assert_eq!(message.charset(), None);
}

/// F84.
#[test]
fn data_is_compact_json() {
    let message = Message::data("1", "order", json!({"count": 2, "item": "espresso"})).unwrap();
    assert_eq!(message.mimetype(), "application/json");
    assert_eq!(message.charset(), Some(Charset::Utf8));
    assert_eq!(
        message.payload_text().as_deref(),
        Some(r#"{"count":2,"item":"espresso"}"#)
    );
}

/// F85: the optional arguments, in any order.
#[test]
fn every_constructor_can_be_followed_by_durability_and_expiry() {
    let messages = [
        Message::plain_text(None, "", "x"),
        Message::text(None, "", "text/x", Charset::UsAscii, "x"),
        Message::binary(None, "", OCTET_STREAM, "x"),
        Message::data(None, "", "x"),
    ];
    for message in messages {
        let message = message.unwrap().with_durable(true).with_expires_at(99);
        assert!(message.is_durable());
        assert_eq!(message.expires_at(), Some(99));
        assert_eq!(message.request_id(), None);
    }
}

/// F86.
#[test]
fn what_is_no_string_becomes_one() {
    let texts = [
        Message::plain_text(None, "", 42),
        Message::plain_text(None, "", 'c'),
        Message::plain_text(None, "", true),
        Message::plain_text(None, "", 1.5),
    ];
    let texts = texts.map(|message| message.unwrap().payload_text().unwrap().into_owned());
    assert_eq!(texts, ["42", "c", "true", "1.5"]);
}

/// F87: numbers, big numbers, bytes, nothing, sequences, and what cannot be.
#[test]
fn values_become_json_by_the_rules() {
    struct Raw;
    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&[0, 1, 2, 3])
        }
    }
    fn json(value: impl Serialize) -> String {
        let message = Message::data(None, "", value).unwrap();
        message.payload_text().unwrap().into_owned()
    }
    assert_eq!(
        json((1u8, -2i64, 1.5, u64::MAX)),
        "[1,-2,1.5,18446744073709551615]"
    );
    assert_eq!(json((7u128, -7i128)), "[7,-7]");
    assert_eq!(
        json((u128::MAX, i128::MIN)),
        "[\"340282366920938463463374607431768211455\",\"-170141183460469231731687303715884105728\"]"
    );
    assert_eq!(json(Raw), "\"AAECAw==\"");
    assert_eq!(json((None::<u8>, f64::NAN)), "[null,null]");
    assert_eq!(
        json(std::collections::BTreeMap::from([(1, "a")])),
        "{\"1\":\"a\"}"
    );
    let map_of_lists = std::collections::BTreeMap::from([(vec![1], "a")]);
    assert!(matches!(
        Message::data(None, "", map_of_lists),
        Err(MessageError::NotSerializable(_))
    ));
}
