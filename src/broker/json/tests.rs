use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::broker::message::limits::MAX_NESTING;
use crate::broker::message::{Charset, OCTET_STREAM, Status};

const HEAD: &str = r#"{"type":"RESPONSE","status":"OK","timestamp":1763313279378,"expires-at":null,"request-id":"1","oneway?":true,"durable?":false,"subject":"test","mimetype":"#;

fn answer(message: Result<Message, MessageError>) -> Message {
    message
        .unwrap()
        .with_timestamp(1_763_313_279_378)
        .unwrap()
        .into_response(Uuid::nil(), Status::Ok)
}

fn value(json: &str) -> Message {
    Message::text(None, "", APPLICATION_JSON, Charset::Utf8, json).unwrap()
}

/// A text as [`Message::to_json`] writes it.
fn written(text: &str) -> String {
    let mut out = Writer::compact();
    out.string(text);
    out.finish()
}

/// A value in the pretty form.
fn pretty(json: &str) -> String {
    let mut out = Writer::pretty();
    out.copy(json).unwrap();
    out.finish()
}

fn fault(json: &str) -> JsonFault {
    Writer::compact().copy(json).unwrap_err().fault
}

/// F92 and golden behaviour 11.
#[test]
fn text_has_the_golden_compact_form() {
    let message = answer(Message::plain_text("1", "test", "hello"));
    assert_eq!(
        message.to_json().unwrap(),
        format!(r#"{HEAD}"text/plain","charset":"UTF-8","text":"hello"}}"#)
    );
}

/// F92 and golden behaviour 11.
#[test]
fn data_is_nested_in_the_golden_compact_form() {
    let message = answer(Message::data("1", "test", json!({"a": 100, "b": 200})));
    assert_eq!(
        message.to_json().unwrap(),
        format!(r#"{HEAD}"application/json","data":{{"a":100,"b":200}}}}"#)
    );
}

/// F92 and golden behaviour 11.
#[test]
fn bytes_are_base64_in_the_golden_compact_form() {
    let bytes = vec![0, 1, 2, 3];
    let message = answer(Message::binary("1", "test", OCTET_STREAM, bytes));
    assert_eq!(
        message.to_json().unwrap(),
        format!(r#"{HEAD}"application/octet-stream","data":"AAECAw=="}}"#)
    );
}

/// F92: null, true, and numbers that are there.
#[test]
fn what_there_is_none_of_is_null() {
    let message = Message::plain_text(None, "", "")
        .unwrap()
        .with_timestamp(0)
        .unwrap()
        .with_durable(true)
        .with_expires_at(1);
    assert_eq!(
        message.to_json().unwrap(),
        r#"{"type":"NULL","status":"NULL","timestamp":0,"expires-at":1,"request-id":null,"oneway?":false,"durable?":true,"subject":"","mimetype":"text/plain","charset":"UTF-8","text":""}"#
    );
}

/// F93 and golden behaviour 11.
#[test]
fn text_has_the_golden_pretty_form() {
    let message = answer(Message::plain_text("1", "test", "hello"));
    let golden = r#"{
  "type": "RESPONSE",
  "status": "OK",
  "timestamp": 1763313279378,
  "expires-at": null,
  "request-id": "1",
  "oneway?": true,
  "durable?": false,
  "subject": "test",
  "mimetype": "text/plain",
  "charset": "UTF-8",
  "text": "hello"
}"#;
    assert_eq!(message.to_json_pretty().unwrap(), golden);
}

/// F93 and golden behaviour 11.
#[test]
fn data_and_bytes_have_the_golden_pretty_form() {
    let data = answer(Message::data(
        "1",
        "test",
        json!({"a": [1, 2], "b": {"c": null}}),
    ));
    let json = data.to_json_pretty().unwrap();
    let golden = r#"
  "mimetype": "application/json",
  "data": {
    "a": [1,2],
    "b": {
      "c": null
    }
  }
}"#;
    assert!(json.ends_with(golden), "{json}");

    let binary = answer(Message::binary("1", "test", OCTET_STREAM, vec![0, 1, 2, 3]));
    let json = binary.to_json_pretty().unwrap();
    let golden = "\n  \"mimetype\": \"application/octet-stream\",\n  \"data\": \"AAECAw==\"\n}";
    assert!(json.ends_with(golden), "{json}");
}

/// F93: arrays stay on a line, the objects in them do not.
#[test]
fn only_objects_break_lines() {
    assert_eq!(pretty("[1, [ 2,3 ], []]"), "[1,[2,3],[]]");
    assert_eq!(
        pretty("[{\"a\":1},{\"b\":[{}]}]"),
        "[{\n  \"a\": 1\n},{\n  \"b\": [{}]\n}]"
    );
    assert_eq!(pretty("{ }"), "{}");
}

/// F94 and golden behaviour 11: all escapes.
#[test]
fn exactly_these_characters_are_escaped() {
    assert_eq!(written("\"\\\u{8}\t\n\u{c}\r"), r#""\"\\\b\t\n\f\r""#);
    assert_eq!(written("</a> < / /"), r#""<\/a> < / /""#);
    assert_eq!(written("<</"), r#""<<\/""#);
    assert_eq!(
        written("\0\u{1}\u{1f}\u{7f}"),
        "\"\\u0000\\u0001\\u001f\u{7f}\""
    );
    assert_eq!(written("\u{80}\u{9f}\u{a0}"), "\"\\u0080\\u009f\u{a0}\"");
    assert_eq!(
        written("\u{1fff}\u{2000}\u{20ac}\u{20ff}\u{2100}"),
        "\"\u{1fff}\\u2000\\u20ac\\u20ff\u{2100}\""
    );
    assert_eq!(written("é𝄞"), "\"é𝄞\"");
}

/// F94: every character comes back as it was.
#[test]
fn every_character_survives_writing_and_reading() {
    let all: String = ('\0'..='\u{2200}').chain(['𝄞', '\u{10ffff}']).collect();
    let json = written(&all);
    assert_eq!(serde_json::from_str::<String>(&json).unwrap(), all);
    let mut copy = Writer::compact();
    copy.copy(&json).unwrap();
    assert_eq!(copy.finish(), json);
}

/// F94: the same escapes in subjects, in the payload, and in its keys.
#[test]
fn escapes_are_the_same_everywhere() {
    let json = value(r#"{"\u003c/":"\u003c\/\ud834\udd1e€"}"#)
        .to_json()
        .unwrap();
    assert!(
        json.ends_with("\"data\":{\"<\\/\":\"<\\/𝄞\\u20ac\"}}"),
        "{json}"
    );
    let subject = Message::plain_text("</", "</", "</")
        .unwrap()
        .to_json()
        .unwrap();
    assert_eq!(subject.matches(r#""<\/""#).count(), 3);
}

/// F92: a payload that says it is JSON must be.
#[test]
fn a_payload_that_is_no_json_is_an_error() {
    for json in ["", "{", "nul", "1 2", "{\"a\":1,}", "'a'"] {
        assert!(
            matches!(value(json).to_json(), Err(MessageError::NotJson(_))),
            "{json}"
        );
    }
    let text = Message::text(None, "", "text/json", Charset::Utf8, "{").unwrap();
    assert!(
        text.to_json()
            .unwrap()
            .ends_with(r#""charset":"UTF-8","text":"{"}"#)
    );
}

/// F92: digits and the order of keys are the payload's.
#[test]
fn numbers_and_keys_stay_as_they_are() {
    let json = r#"{"z":1.50e+10,"a":12345678901234567890123,"z":-0}"#;
    let written = value(json).to_json().unwrap();
    assert!(
        written.ends_with(&format!("\"data\":{json}}}")),
        "{written}"
    );
}

#[test]
fn nesting_has_a_limit() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(Writer::compact().copy(&deep(MAX_NESTING)).is_ok());
    assert_eq!(fault(&deep(MAX_NESTING + 1)), JsonFault::TooDeep);
    assert_eq!(fault(&"{\"a\":".repeat(1_000_000)), JsonFault::TooDeep);
}

#[test]
fn what_is_wrong_with_json_is_named() {
    let cases = [
        ("", JsonFault::End),
        ("[1", JsonFault::End),
        ("\"a", JsonFault::End),
        ("1.", JsonFault::End),
        ("[1 2]", JsonFault::Expected(", or ]")),
        ("{\"a\":1 2}", JsonFault::Expected(", or }")),
        ("{a:1}", JsonFault::Expected("a string")),
        ("{\"a\" 1}", JsonFault::Expected(":")),
        ("[,]", JsonFault::Expected("a value")),
        ("[1,]", JsonFault::Expected("a value")),
        ("-a", JsonFault::Expected("a digit")),
        ("1e+x", JsonFault::Expected("a digit")),
        ("\"\n\"", JsonFault::Control),
        (r#""\x""#, JsonFault::BadEscape),
        (r#""\u12""#, JsonFault::BadEscape),
        (r#""\u+123""#, JsonFault::BadEscape),
        (r#""\ud834""#, JsonFault::BadEscape),
        (r#""\udd1e\ud834""#, JsonFault::BadEscape),
        (r#""\ud834\u0041""#, JsonFault::BadEscape),
        ("01", JsonFault::Trailing),
        ("nullx", JsonFault::Trailing),
        ("1 1", JsonFault::Trailing),
    ];
    for (json, expected) in cases {
        assert_eq!(fault(json), expected, "{json}");
    }
    assert_eq!(
        Writer::compact().copy("[1 2]").unwrap_err().to_string(),
        "not JSON: , or ] is missing at byte 3"
    );
}

/// A failed copy leaves the writer as it was.
#[test]
fn nothing_remains_of_a_value_that_is_no_json() {
    let mut out = Writer::pretty();
    out.begin_object();
    assert!(out.member("a").copy("{\"b\":{\"c\":").is_err());
    out.raw("1");
    out.end_object();
    assert_eq!(out.finish(), "{\n  \"a\": 1\n}");
}
