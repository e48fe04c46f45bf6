//! F90 to F97: what can be asked of a message.

use serde_json::json;
use uuid::Uuid;

use super::*;

/// F90: every name in its table.
#[test]
fn fields_are_found_by_name() {
    let message = Message::data("1", "test", json!({"a": 100}))
        .unwrap()
        .addressed_to(MessageType::Offer, "jobs")
        .unwrap()
        .with_timestamp(1_763_313_279_378)
        .unwrap();
    let cases = [
        ("id", Field::Text(message.id().to_string())),
        ("type", "OFFER".into()),
        ("response-status", "NULL".into()),
        ("oneway?", Field::Flag(false)),
        ("durable?", Field::Flag(false)),
        ("timestamp", Field::Number(1_763_313_279_378)),
        ("expires-at", Field::Null),
        ("request-id", "1".into()),
        ("destination-name", "jobs".into()),
        ("reply-to-queue-name", Field::Null),
        ("subject", "test".into()),
        ("payload-mimetype", "application/json".into()),
        ("payload-charset", "UTF-8".into()),
        ("payload-text", "{\"a\":100}".into()),
        ("payload-binary", Field::Binary(Bytes::from("{\"a\":100}"))),
        ("payload-data", Field::Data(json!({"a": 100}))),
        ("payload-venice", Field::Data(json!({"a": 100}))),
    ];
    for (name, value) in cases {
        assert_eq!(message.field(name), Ok(value), "{name}");
    }
    for name in ["timeout", "topic", "", "ID"] {
        assert_eq!(
            message.field(name),
            Err(MessageError::NoSuchField(name.to_owned()))
        );
    }
}

/// F90: what is nil, and what is an error, with a binary payload.
#[test]
fn a_binary_payload_has_neither_charset_nor_text_nor_data() {
    let message = Message::binary(None, "", "application/json", "1").unwrap();
    assert_eq!(message.field("payload-charset"), Ok(Field::Null));
    assert_eq!(message.field("payload-text"), Ok(Field::Null));
    assert_eq!(message.field("request-id"), Ok(Field::Null));
    assert_eq!(message.field("destination-name"), Ok(Field::Null));
    assert!(matches!(
        message.field("payload-data"),
        Err(MessageError::NoData { .. })
    ));
    assert!(matches!(
        hello().field("payload-data"),
        Err(MessageError::NoData { .. })
    ));
    let text = Message::text(None, "", "application/json", Charset::Utf8, "{").unwrap();
    assert!(matches!(text.payload_data(), Err(MessageError::NotJson(_))));
}

/// F84, F90: data in another charset, and as a type of the program's.
#[test]
fn data_comes_back_as_what_it_was() {
    let wide = Message::text(None, "", "application/json", Charset::Utf16, "[1,\"é\"]").unwrap();
    assert_eq!(wide.payload_as(), Ok((1, "é".to_owned())));
    assert!(wide.payload_as::<bool>().is_err());
}

/// F91: keys and their order for each kind of payload.
#[test]
fn the_map_has_the_keys_in_their_order() {
    let common = [
        "type",
        "status",
        "timestamp",
        "expires-at",
        "request-id",
        "oneway?",
        "durable?",
        "subject",
        "mimetype",
    ];
    let binary = Message::binary(None, "", OCTET_STREAM, "x").unwrap();
    let data = Message::data(None, "", 7).unwrap();
    let cases: [(Message, &[&str], Field); 3] = [
        (binary, &["data"], Field::Binary("x".into())),
        (data, &["data"], Field::Data(json!(7))),
        (hello(), &["charset", "text"], "hello".into()),
    ];
    for (message, tail, payload) in cases {
        let map = message.to_map().unwrap();
        let keys: Vec<_> = map.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [&common[..], tail].concat());
        assert_eq!(map.last().unwrap().1, payload);
    }
}

/// F91, F92: the map says the same as JSON does.
#[test]
fn the_map_has_the_values_of_the_json() {
    let message = Message::data("1", "s", json!({"b": [1], "c": null}))
        .unwrap()
        .with_expires_at(5)
        .into_response(Uuid::nil(), Status::QueueFull);
    let json: serde_json::Value = serde_json::from_str(&message.to_json().unwrap()).unwrap();
    let map = message.to_map().unwrap();
    assert_eq!(json.as_object().unwrap().len(), map.len());
    for (key, field) in map {
        let value = match field {
            Field::Null => serde_json::Value::Null,
            Field::Flag(flag) => flag.into(),
            Field::Number(number) => number.into(),
            Field::Text(text) => text.into(),
            Field::Data(data) => data,
            Field::Binary(_) => unreachable!("the payload is JSON"),
        };
        assert_eq!(json[key], value, "{key}");
    }
}

/// F95 and golden behaviour 12.
#[test]
fn ok_and_err_are_told_by_the_status_and_null_is_neither() {
    for &status in Status::ALL {
        let message = hello().into_response(Uuid::nil(), status);
        assert_eq!(message.is_ok(), status == Status::Ok, "{status}");
        let err = status != Status::Ok && status != Status::Null;
        assert_eq!(message.is_err(), err, "{status}");
    }
}

/// F96 and golden behaviour 12.
#[test]
fn a_message_is_expired_only_after_its_time() {
    let now = 1_763_313_279_378;
    assert!(hello().with_expires_at(now - 1).is_expired(now));
    assert!(!hello().with_expires_at(now).is_expired(now));
    assert!(!hello().with_expires_at(now + 1_000_000).is_expired(now));
    assert!(!hello().is_expired(i64::MAX));
    assert!(!hello().with_expires_at(-1).is_expired(now));
    assert!(hello().with_expires_at(0).is_expired(now));
}

/// F97.
#[test]
fn the_size_is_header_fields_and_payload() {
    let empty = Message::binary(None, "", OCTET_STREAM, "").unwrap().size();
    assert_eq!(
        (empty.header, empty.meta, empty.data, empty.total),
        (28, 1, 0, 29)
    );
    let size = hello().size();
    // One byte of length; request id and subject have two bytes in front of them.
    assert_eq!(
        (size.header, size.meta, size.data, size.total),
        (28, 1 + 3 + 6, 5, 43)
    );
}

#[test]
fn changing_a_clone_leaves_the_message_alone() {
    let message = hello();
    let changed = message
        .clone()
        .with_durable(true)
        .with_header("a", "b")
        .unwrap();
    assert!(!message.is_durable());
    assert_eq!(message.headers().len(), 0);
    assert_ne!(message, changed);
}

/// F15, F21: answers mirror what tells the requester which request they are for.
#[test]
fn a_reply_mirrors_id_request_id_subject_and_destination() {
    let request = hello()
        .addressed_to(MessageType::Subscribe, "news.*")
        .unwrap()
        .with_header("secret", "x")
        .unwrap();
    let reply = request.reply(Status::NoPermission, "not allowed");
    assert_eq!(reply.id(), request.id());
    assert_eq!(reply.kind(), MessageType::Response);
    assert_eq!(reply.status(), Status::NoPermission);
    assert_eq!(reply.request_id(), Some("1"));
    assert_eq!(reply.subject(), "test");
    assert_eq!(reply.destination(), Some("news.*"));
    assert_eq!(reply.payload_text().as_deref(), Some("not allowed"));
    assert_eq!(reply.headers().len(), 0);
}

/// F22, I22: a message that is delivered keeps what it says.
#[test]
fn a_response_keeps_the_messages_own_fields() {
    let stored = hello()
        .with_durable(true)
        .with_reply_to("q")
        .unwrap()
        .with_timestamp(5)
        .unwrap();
    let delivered = stored.clone().into_response(Uuid::from_u128(7), Status::Ok);
    assert_eq!(delivered.id(), Uuid::from_u128(7));
    assert_eq!(
        (
            delivered.timestamp(),
            delivered.reply_to(),
            delivered.request_id()
        ),
        (5, Some("q"), Some("1"))
    );
    assert!(delivered.is_durable());
    assert_eq!(delivered.payload_binary(), stored.payload_binary());
}

#[test]
fn debugging_output_does_not_show_the_payload() {
    let message = hello().with_header("authorization", "swordfish").unwrap();
    let shown = format!("{message:?}");
    assert!(
        !shown.contains("hello") && !shown.contains("swordfish"),
        "{shown}"
    );
    assert!(shown.contains("payload_bytes: 5"), "{shown}");
}
