use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::broker::json::JsonFault;
use crate::broker::message::limits::{MAX_HEADERS, MAX_NESTING};
use crate::broker::message::{Charset, MessageError, MessageType, Status, now_ms};

mod random;

fn hello() -> Message {
    Message::plain_text("1", "test", "hello").unwrap()
}

fn json_of(message: &Message) -> String {
    String::from_utf8(encode(message, Encoding::Json).to_vec()).unwrap()
}

fn from_json(json: &str) -> Message {
    let (message, encoding) = decode(json.to_owned()).unwrap();
    assert_eq!(encoding, Encoding::Json);
    message
}

fn refusal(bytes: impl Into<Bytes>) -> DecodeFault {
    decode(bytes).unwrap_err().fault().clone()
}

/// The binary form of an offer with these flags and fields and no payload.
fn binary(flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xb1, flags, 20, 99];
    bytes.extend([7; 16]);
    bytes.extend([0; 8]);
    bytes.push(u8::try_from(fields.len()).unwrap());
    bytes.extend(fields);
    bytes
}

#[test]
fn the_first_byte_tells_the_encoding() {
    let message = hello();
    for (encoding, first) in [(Encoding::Binary, 0xb1), (Encoding::Json, b'{')] {
        let bytes = encode(&message, encoding);
        assert_eq!(bytes[0], first);
        assert_eq!(decode(bytes), Ok((message.clone(), encoding)));
    }
    for space in [" ", "\n", "\t", "\r"] {
        assert_eq!(
            from_json(&(space.to_owned() + "{}")).kind(),
            MessageType::Null
        );
    }
    assert_eq!(refusal(""), DecodeFault::Empty);
    for byte in [b'[', b'"', 0, 0x7f, 0xc1, 0xff] {
        assert_eq!(refusal(vec![byte]), DecodeFault::UnknownEncoding(byte));
    }
}

#[test]
fn another_version_is_refused_as_such() {
    let mut bytes = encode(&hello(), Encoding::Binary).to_vec();
    for version in [0, 2, 15] {
        bytes[0] = 0xb0 | version;
        let error = decode(bytes.clone()).unwrap_err();
        assert_eq!(error.fault(), &DecodeFault::UnsupportedVersion(version));
        assert_eq!(error.status(), Status::UnsupportedVersion);
    }
    assert_eq!(decode("").unwrap_err().status(), Status::BadRequest);
}

#[test]
fn a_decoded_payload_shares_the_inputs_memory() {
    let text = "x".repeat(1000);
    let message = Message::plain_text(None, "", &text).unwrap();
    for encoding in [Encoding::Binary, Encoding::Json] {
        let bytes = encode(&message, encoding);
        let (decoded, _) = decode(bytes.clone()).unwrap();
        let payload = decoded.payload_binary();
        assert_eq!(payload.len(), 1000);
        assert!(
            bytes.as_ptr_range().contains(&payload.as_ptr()),
            "{encoding:?}"
        );
    }
}

/// The common case is short: 28 bytes, a length, and what there is.
#[test]
fn the_binary_form_of_a_small_offer_is_small() {
    let offer = Message::binary(None, "", "application/octet-stream", "x")
        .unwrap()
        .addressed_to(MessageType::Offer, "jobs")
        .unwrap();
    assert_eq!(encode(&offer, Encoding::Binary).len(), 28 + 1 + 6 + 1);
}

// ---- binary ----

#[test]
fn every_cut_of_a_binary_message_is_refused_or_shortens_its_payload() {
    let message = hello()
        .with_header("a", "b")
        .unwrap()
        .with_timeout(5)
        .unwrap();
    let bytes = encode(&message, Encoding::Binary);
    let payload = bytes.len() - 5;
    for length in 1..bytes.len() {
        let result = decode(bytes.slice(..length));
        match result {
            Ok((shorter, _)) => {
                assert!(length >= payload);
                assert_eq!(shorter.payload_binary().len(), length - payload);
            }
            Err(error) => {
                assert!(length < payload);
                assert!(
                    matches!(error.fault(), DecodeFault::Truncated(_)),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn fields_that_may_be_passed_over_are() {
    let bytes = binary(0x04, &[200, 3, 1, 2, 3, 255, 0]);
    let (message, _) = decode(bytes).unwrap();
    assert_eq!(message.kind(), MessageType::Offer);
    assert_eq!(message.size().meta, 1);
}

#[test]
fn what_is_wrong_with_binary_is_named() {
    let header = |pairs: &[u8]| {
        let mut field = vec![9, u8::try_from(pairs.len()).unwrap()];
        field.extend(pairs);
        field
    };
    let cases: [(Vec<u8>, DecodeFault); 22] = [
        (vec![0xb1; 5], DecodeFault::Truncated("the fixed part")),
        (binary(0x14, &[]), DecodeFault::UnknownFlags(0x10)),
        (binary(0x84, &[]), DecodeFault::UnknownFlags(0x80)),
        (binary(0x04, &[11, 0]), DecodeFault::UnknownField(11)),
        (binary(0x04, &[127, 0]), DecodeFault::UnknownField(127)),
        (binary(0x04, &[0, 0]), DecodeFault::FieldOrder(0)),
        (binary(0x04, &[4, 0, 4, 0]), DecodeFault::FieldOrder(4)),
        (binary(0x04, &[4, 0, 3, 0]), DecodeFault::FieldOrder(3)),
        (binary(0x04, &[4]), DecodeFault::Truncated("a field")),
        (
            binary(0x04, &[4, 2, b'x']),
            DecodeFault::Truncated("a field"),
        ),
        (
            binary(0x04, &[4, 0x80, 0]),
            DecodeFault::BadLength("a field"),
        ),
        (
            binary(0x04, &[4, 0xff, 0xff, 0xff, 0xff, 0x1f]),
            DecodeFault::BadLength("a field"),
        ),
        (
            binary(0x04, &[4, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
            DecodeFault::BadLength("a field"),
        ),
        (
            binary(0x04, &[2, 1, 0]),
            DecodeFault::FieldLength {
                field: "timeout",
                length: 1,
                expected: 8,
            },
        ),
        (
            binary(0x04, &[1, 8, 255, 255, 255, 255, 255, 255, 255, 255]),
            DecodeFault::Message(MessageError::OutOfRange {
                field: "expires-at",
                value: -1,
                allowed: "0 and more",
            }),
        ),
        (binary(0x04, &[4, 1, 0xff]), DecodeFault::NotUtf8("subject")),
        (
            binary(0x04, &[5, 1, b'*']),
            DecodeFault::Message(MessageError::PatternNotAllowed {
                kind: MessageType::Offer,
                pattern: "*".to_owned(),
            }),
        ),
        (
            binary(0x00, &[]),
            DecodeFault::Conflict("neither the flags nor a field say what the payload is"),
        ),
        (
            binary(0x04, &[8, 5, b'U', b'T', b'F', b'-', b'8']),
            DecodeFault::Conflict("the flags say what the payload is, and so does a field"),
        ),
        (
            binary(0x04, &header(&[1, b'b', 0, 1, b'a', 0])),
            DecodeFault::HeaderOrder,
        ),
        (
            binary(0x04, &header(&[1, b'b', 0, 1, b'b', 0])),
            DecodeFault::HeaderOrder,
        ),
        (
            binary(0x04, &header(&[1, b'b'])),
            DecodeFault::Truncated("a header"),
        ),
    ];
    for (bytes, fault) in cases {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.fault(), &fault);
        assert_eq!(error.encoding(), Some(Encoding::Binary));
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn unknown_codes_are_refused() {
    let mut bytes = binary(0x04, &[]);
    bytes[2] = 29;
    assert_eq!(
        refusal(bytes.clone()),
        DecodeFault::UnknownType("29".to_owned())
    );
    bytes[2] = 20;
    bytes[3] = 100;
    assert_eq!(refusal(bytes), DecodeFault::UnknownStatus("100".to_owned()));
}

/// S19: text that is not text is refused at the door.
#[test]
fn a_payload_that_is_not_text_in_its_charset_is_refused() {
    let mut bytes = binary(0x08, &[]);
    bytes.push(0xff);
    assert_eq!(
        refusal(bytes),
        DecodeFault::Message(MessageError::NotText {
            charset: Charset::Utf8,
            at: 0
        })
    );
}

/// A length that the input has not paid for sets nothing aside: the largest there is, in front of nothing.
#[test]
fn an_announced_length_is_not_believed() {
    let mut bytes = binary(0x04, &[]);
    bytes.pop();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(refusal(bytes), DecodeFault::Truncated("the fields"));
}

#[test]
fn the_sender_of_a_bad_message_can_be_told_which() {
    let id = Uuid::from_u128(0x0707_0707_0707_0707_0707_0707_0707_0707);
    assert_eq!(decode(binary(0x10, &[])).unwrap_err().id(), Some(id));
    assert_eq!(decode(vec![0xb1; 19]).unwrap_err().id(), None);

    let json = format!(r#"{{"id":"{id}","type":"NONSENSE"}}"#);
    assert_eq!(decode(json).unwrap_err().id(), Some(id));
    let json = format!(r#"{{"type":"OFFER","id":"{id}","destination":}}"#);
    assert_eq!(decode(json).unwrap_err().id(), Some(id));
    assert_eq!(decode(r#"{"id":"7"}"#).unwrap_err().id(), None);
}

// ---- JSON ----

#[test]
fn what_a_person_types_works() {
    let before = now_ms();
    let json = r#"{"type":"OFFER","destination":"jobs","text":"hello"}"#;
    let (one, other) = (from_json(json), from_json(json));
    assert_eq!(one.kind(), MessageType::Offer);
    assert_eq!(one.status(), Status::Null);
    assert_eq!(one.destination(), Some("jobs"));
    assert_eq!(one.payload_text().as_deref(), Some("hello"));
    assert_eq!(one.mimetype(), "text/plain");
    assert_eq!(one.charset(), Some(Charset::Utf8));
    assert_eq!((one.request_id(), one.subject()), (None, ""));
    assert_eq!((one.expires_at(), one.timeout()), (None, None));
    assert!(!one.is_oneway() && !one.is_durable());
    assert!((before..=now_ms()).contains(&one.timestamp()));
    assert_ne!(one.id(), other.id());
}

/// All there is.
#[test]
fn the_json_form_is_the_golden_one_with_more_keys() {
    let message = hello()
        .with_id(Uuid::from_u128(7))
        .with_timestamp(5)
        .unwrap()
        .addressed_to(MessageType::Offer, "jobs")
        .unwrap()
        .with_reply_to("answers")
        .unwrap()
        .with_timeout(-1)
        .unwrap()
        .with_header("traceparent", "00")
        .unwrap()
        .with_header("a", "</")
        .unwrap();
    assert_eq!(
        json_of(&message),
        r#"{"id":"00000000-0000-0000-0000-000000000007","type":"OFFER","status":"NULL","timestamp":5,"expires-at":null,"request-id":"1","oneway?":false,"durable?":false,"subject":"test","destination":"jobs","reply-to":"answers","timeout":-1,"headers":{"a":"<\/","traceparent":"00"},"mimetype":"text/plain","charset":"UTF-8","text":"hello"}"#
    );
    assert_eq!(from_json(&json_of(&message)), message);
}

/// F92: the golden form is a message, too.
#[test]
fn what_to_json_gives_can_be_decoded() {
    let message = Message::data("1", "test", json!({"a": [1, {}]})).unwrap();
    for json in [message.to_json(), message.to_json_pretty()] {
        let decoded = from_json(&json.unwrap());
        assert_eq!(decoded.payload_data(), message.payload_data());
        assert_eq!(decoded.with_id(message.id()).to_json(), message.to_json());
    }
}

#[test]
fn data_is_json_or_base64_as_type_and_charset_say() {
    let cases: [(&str, &str, Option<Charset>, &[u8]); 12] = [
        (
            r#""data":{"a": 1}"#,
            "application/json",
            Some(Charset::Utf8),
            b"{\"a\": 1}",
        ),
        (
            r#""data":null"#,
            "application/json",
            Some(Charset::Utf8),
            b"null",
        ),
        (
            r#""data":"AAE=""#,
            "application/octet-stream",
            None,
            b"\0\x01",
        ),
        (
            r#""data":"","mimetype":"image/png""#,
            "image/png",
            None,
            b"",
        ),
        (
            r#""data":"AAE=","mimetype":"application/json""#,
            "application/json",
            Some(Charset::Utf8),
            b"\"AAE=\"",
        ),
        (
            r#""data":"AAE=","mimetype":"application/json","charset":null"#,
            "application/json",
            None,
            b"\0\x01",
        ),
        (
            r#""data":"AAE=","charset":"utf-8""#,
            "application/json",
            Some(Charset::Utf8),
            b"\"AAE=\"",
        ),
        (
            r#""data":[1],"charset":"UTF-16LE","mimetype":"application/json""#,
            "application/json",
            Some(Charset::Utf16Le),
            b"[\x001\0]\0",
        ),
        (
            r#""text":"{","mimetype":"application/json""#,
            "application/json",
            Some(Charset::Utf8),
            b"{",
        ),
        (
            r#""text":"é","charset":"ISO-8859-1""#,
            "text/plain",
            Some(Charset::Iso8859_1),
            b"\xe9",
        ),
        (
            r#""text":"\u00e9\/""#,
            "text/plain",
            Some(Charset::Utf8),
            "é/".as_bytes(),
        ),
        (r#""subject":"""#, "application/octet-stream", None, b""),
    ];
    for (members, mimetype, charset, payload) in cases {
        let message = from_json(&format!("{{{members}}}"));
        assert_eq!(message.mimetype(), mimetype, "{members}");
        assert_eq!(message.charset(), charset, "{members}");
        assert_eq!(&message.payload_binary()[..], payload, "{members}");
        assert_eq!(
            from_json(&json_of(&message)).charset(),
            charset,
            "{members}"
        );
    }
}

/// Encoding never fails: what says that it is JSON and is not goes as text.
#[test]
fn a_payload_that_is_no_json_is_passed_on_as_it_is() {
    let deep = "[".repeat(MAX_NESTING + 1) + &"]".repeat(MAX_NESTING + 1);
    for text in ["{", "", "{\"a\":{\"b\":", &deep] {
        let message = Message::text(None, "", "application/json", Charset::Utf8, text).unwrap();
        assert_eq!(from_json(&json_of(&message)), message);
        assert!(json_of(&message).contains("\"charset\":\"UTF-8\",\"text\":"));
    }
}

#[test]
fn names_may_be_small_and_flags_without_a_question_mark() {
    let message =
        from_json(r#"{"type":"create_queue","status":"ok","oneway":true,"durable":true}"#);
    assert_eq!(message.kind(), MessageType::CreateQueue);
    assert_eq!(message.status(), Status::Ok);
    assert!(message.is_oneway() && message.is_durable());
}

#[test]
fn null_is_as_good_as_no_key() {
    let message = from_json(
        r#"{"id":null,"type":null,"status":null,"timestamp":null,"expires-at":null,"timeout":null,"request-id":null,"oneway?":null,"durable?":null,"subject":null,"destination":null,"reply-to":null,"headers":null,"mimetype":null,"text":null}"#,
    );
    assert_eq!(message.kind(), MessageType::Null);
    assert!(message.payload_binary().is_empty());
}

#[test]
fn keys_of_others_begin_with_x() {
    assert!(decode(r#"{"x-note":{"a":[1]},"type":"TEST"}"#).is_ok());
    assert_eq!(
        refusal(r#"{"destinaton":"jobs"}"#),
        DecodeFault::UnknownKey("destinaton".to_owned())
    );
    assert_eq!(
        refusal(format!(r#"{{"{}":1}}"#, "k".repeat(100_000))),
        DecodeFault::UnknownKey("k".repeat(60) + "...")
    );
}

#[test]
fn what_is_wrong_with_json_is_named() {
    let wrong = |key, expected| DecodeFault::WrongValue { key, expected };
    let whole = "a whole number of 64 bits";
    let cases = [
        (
            r#"{"type":"OFFER","type":"POLL"}"#,
            DecodeFault::DuplicateKey("type".to_owned()),
        ),
        (
            r#"{"durable?":true,"durable":false}"#,
            DecodeFault::DuplicateKey("durable".to_owned()),
        ),
        (
            r#"{"headers":{"a":"","a":""}}"#,
            DecodeFault::DuplicateKey("a".to_owned()),
        ),
        (
            r#"{"type":"TELL"}"#,
            DecodeFault::UnknownType("TELL".to_owned()),
        ),
        (
            r#"{"status":"FINE"}"#,
            DecodeFault::UnknownStatus("FINE".to_owned()),
        ),
        (r#"{"type":20}"#, wrong("type", "a string")),
        (r#"{"id":"x"}"#, wrong("id", "a UUID")),
        (r#"{"id":7}"#, wrong("id", "a UUID")),
        (r#"{"timeout":"5"}"#, wrong("timeout", whole)),
        (r#"{"timeout":1.5}"#, wrong("timeout", whole)),
        (
            r#"{"expires-at":9223372036854775808}"#,
            wrong("expires-at", whole),
        ),
        (r#"{"durable?":1}"#, wrong("durable?", "true or false")),
        (
            r#"{"headers":[]}"#,
            wrong("headers", "an object of strings"),
        ),
        (
            r#"{"headers":{"a":1}}"#,
            wrong("headers", "an object of strings"),
        ),
        (r#"{"text":1}"#, wrong("text", "a string")),
        (
            r#"{"data":"AAE"}"#,
            wrong("data", "a string of base64, with its padding"),
        ),
        (
            r#"{"data":"A-E="}"#,
            wrong("data", "a string of base64, with its padding"),
        ),
        (
            r#"{"data":1,"mimetype":"a/b"}"#,
            wrong("data", "a string of base64, with its padding"),
        ),
        (
            r#"{"text":"","data":""}"#,
            DecodeFault::Conflict("text and data exclude each other"),
        ),
        (
            r#"{"data":"","mimetype":"a/b","charset":"UTF-8"}"#,
            DecodeFault::Conflict("data with a charset is JSON; other text is in the key text"),
        ),
        (
            r#"{"charset":"EBCDIC"}"#,
            DecodeFault::Message(MessageError::UnknownCharset("EBCDIC".to_owned())),
        ),
        (
            r#"{"timeout":-5}"#,
            DecodeFault::Message(MessageError::OutOfRange {
                field: "timeout",
                value: -5,
                allowed: "-1, which is for ever, and more",
            }),
        ),
    ];
    for (json, fault) in cases {
        let error = decode(json).unwrap_err();
        assert_eq!(error.fault(), &fault, "{json}");
        assert_eq!(error.encoding(), Some(Encoding::Json));
        assert_eq!(error.status(), Status::BadRequest);
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(
        refusal(&b"{\"text\":\"\xff\"}"[..]),
        DecodeFault::NotUtf8("the message")
    );
}

#[test]
fn every_cut_of_a_json_message_is_refused() {
    let bytes = encode(&hello(), Encoding::Json);
    for length in 1..bytes.len() {
        let fault = refusal(bytes.slice(..length));
        assert!(
            matches!(fault, DecodeFault::Json(error) if error.fault == JsonFault::End
                || matches!(error.fault, JsonFault::Expected(_) | JsonFault::BadEscape)),
            "{length} {fault}"
        );
    }
}

/// Neither nesting nor numbers of headers are paid for by the decoder.
#[test]
fn json_that_is_meant_to_cost_is_refused() {
    let deep = format!("{{\"data\":{}", "[".repeat(1_000_000));
    assert!(matches!(
        refusal(deep),
        DecodeFault::Json(error) if error.fault == JsonFault::TooDeep
    ));
    let many: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":\"\"")).collect();
    assert_eq!(
        refusal(format!("{{\"headers\":{{{}}}}}", many.join(","))),
        DecodeFault::Message(MessageError::TooManyHeaders(MAX_HEADERS))
    );
}
