//! The vectors of the broker's protocol, which other implementations can use as well.
//!
//! In `accepted.json` each has a message in both encodings, and what it says; with `decode-only` it has one form, and
//! the message would be written in another. In `refused.json` each has bytes that are no message, the fault, and the
//! status of the answer. They were made by an encoder that was written from docs/broker-protocol.md alone.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};
use wirebird::broker::{DecodeError, Encoding, Message, decode, encode};

fn vectors(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/broker");
    let text = fs::read_to_string(path.join(file)).unwrap();
    let Value::Array(vectors) = serde_json::from_str(&text).unwrap() else {
        panic!("{file} is a list");
    };
    assert!(!vectors.is_empty());
    vectors
}

/// The bytes of the forms that a vector has.
fn forms(vector: &Value) -> Vec<(Encoding, Vec<u8>)> {
    let binary = vector["binary"].as_str().map(bytes);
    let json = vector["json"].as_str().map(|json| json.as_bytes().to_vec());
    [(Encoding::Binary, binary), (Encoding::Json, json)]
        .into_iter()
        .filter_map(|(encoding, form)| Some((encoding, form?)))
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What a message says, as the vectors have it.
fn said(message: &Message) -> Map<String, Value> {
    let headers: Map<String, Value> = message
        .headers()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let payload: String = message
        .payload_binary()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let said = serde_json::json!({
        "id": message.id().to_string(),
        "type": message.kind().name(),
        "status": message.status().name(),
        "timestamp": message.timestamp(),
        "expires-at": message.expires_at(),
        "timeout": message.timeout(),
        "request-id": message.request_id(),
        "oneway?": message.is_oneway(),
        "durable?": message.is_durable(),
        "subject": message.subject(),
        "destination": message.destination(),
        "reply-to": message.reply_to(),
        "headers": headers,
        "mimetype": message.mimetype(),
        "charset": message.charset().map(|charset| charset.name()),
        "payload": payload,
    });
    let Value::Object(said) = said else {
        unreachable!("it is an object")
    };
    said
}

/// The variant of a fault, or of what it has inside.
fn variant(error: &DecodeError) -> String {
    let shown = format!("{:?}", error.fault());
    let inner = shown.strip_prefix("Message(").unwrap_or(&shown);
    inner.split(['(', ' ', ')']).next().unwrap().to_owned()
}

#[test]
fn accepted_vectors_say_what_they_should_in_each_encoding() {
    for vector in vectors("accepted.json") {
        let name = &vector["name"];
        let decode_only = vector["decode-only"] == true;
        let expected = vector["message"].as_object().unwrap();
        let forms = forms(&vector);
        assert_eq!(forms.len(), if decode_only { 1 } else { 2 }, "{name}");
        for (encoding, form) in forms {
            let (message, told) = decode(form.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(told, encoding, "{name}");
            let said = said(&message);
            for (key, value) in expected {
                assert_eq!(said.get(key), Some(value), "{name}: {key}");
            }
            if !decode_only {
                assert_eq!(expected.len(), said.len(), "{name}");
                assert_eq!(encode(&message, encoding), form, "{name}");
            }
        }
    }
}

#[test]
fn refused_vectors_are_refused_for_what_is_wrong_with_them() {
    for vector in vectors("refused.json") {
        let name = &vector["name"];
        let forms = forms(&vector);
        assert_eq!(forms.len(), 1, "{name}");
        for (_, form) in forms {
            let error = decode(form).expect_err(&name.to_string());
            assert_eq!(variant(&error), vector["why"], "{name}: {error}");
            assert_eq!(error.status().name(), vector["status"], "{name}");
        }
    }
}
