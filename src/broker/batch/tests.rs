use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).unwrap()
}

fn bytes(payload: impl Into<Bytes>) -> Message {
    Message::binary(None, "", OCTET_STREAM, payload).unwrap()
}

fn json(payload: &str) -> Message {
    Message::text(None, "", APPLICATION_JSON, Charset::Utf8, payload).unwrap()
}

fn refusal(message: &Message) -> String {
    unpack(message).expect_err("no batch").to_string()
}

#[test]
fn messages_come_back_from_both_forms_as_answers() {
    let messages = [
        text("a"),
        Message::binary(None, "b", "a/b", vec![0, 0xff]).unwrap(),
        Message::data(None, "", [1, 2]).unwrap().with_durable(true),
    ];
    let id = text("").id();
    let answers = messages
        .clone()
        .map(|message| message.clone().into_response(message.id(), Status::Ok));
    for encoding in [Encoding::Binary, Encoding::Json] {
        let answer = answer(id, &messages, encoding);
        assert_eq!((answer.id(), answer.is_ok()), (id, true));
        assert_eq!(unpack(&answer).unwrap(), answers, "{encoding:?}");
    }
    assert_eq!(unpack(&bytes(pack(&messages))).unwrap(), messages);
}

/// As docs/broker-protocol.md has them.
#[test]
fn a_person_can_type_a_batch_and_a_program_can_put_one_together() {
    let typed = unpack(&json(r#" [ {"text":"a"} , {"data":[1]} ] "#)).unwrap();
    assert_eq!(typed[0].payload_text().as_deref(), Some("a"));
    assert_eq!(typed[1].payload_data().unwrap(), serde_json::json!([1]));
    let one = encode(&text("a"), Encoding::Binary);
    let mut payload = vec![0, 0, 0, u8::try_from(one.len()).unwrap()];
    payload.extend(&one);
    assert_eq!(pack(&[text("a")]).len(), payload.len());
    let other = br#"{"text":"b"}"#;
    payload.extend([0, 0, 0, 12]);
    payload.extend(other);
    let both = unpack(&bytes(payload)).unwrap();
    let read = |message: &Message| message.payload_text().unwrap().into_owned();
    assert_eq!(both.iter().map(read).collect::<Vec<_>>(), ["a", "b"]);
}

/// The example of docs/broker-protocol.md.
#[test]
fn the_example_of_the_protocol_is_read_as_it_says() {
    let message = |id: &str, text: &str| {
        let fixed = "b1085a632815b1c655cf417c9c1988efe5c30b";
        format!("0000001e{fixed}{id}0000019a8da963d200{text}")
    };
    let hex =
        "b10419632815b1c655cf417c9c1988efe5c30ba00000019a8da963d2060504 6a6f6273".replace(' ', "");
    let hex = hex + &message("a1", "61") + &message("a2", "62");
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let encoded: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
    let (request, _) = crate::broker::codec::decode(encoded).unwrap();
    assert_eq!(
        (request.kind(), request.destination()),
        (MessageType::OfferAll, Some("jobs"))
    );
    let messages = unpack(&request).unwrap();
    let texts = messages
        .iter()
        .map(|message| message.payload_text().unwrap());
    assert!(texts.eq(["a", "b"]));
    assert_eq!(pack(&messages), request.payload_binary());
}

#[test]
fn a_batch_has_1_to_1000_messages() {
    let one = text("x");
    let more = vec![one.clone(); MOST + 1];
    let most = &more[..MOST];
    assert_eq!(unpack(&bytes(pack(most))).unwrap().len(), MOST);
    let too_many = BatchError::TooMany.to_string();
    assert_eq!(refusal(&bytes(pack(&more))), too_many);
    assert_eq!(refusal(&answer(one.id(), &more, Encoding::Json)), too_many);
    for nothing in [bytes(""), json("[]")] {
        assert_eq!(
            refusal(&nothing),
            "a batch of nothing: 1 to 1000 are allowed"
        );
    }
}

#[test]
fn every_cut_of_a_batch_is_refused_but_between_two_messages() {
    let (first, both) = (pack(&[text("a")]), pack(&[text("a"), text("b")]));
    for length in 1..both.len() {
        let cut = unpack(&bytes(both.slice(..length)));
        match cut {
            Ok(messages) => assert_eq!((length, messages.len()), (first.len(), 1)),
            Err(error) => {
                let number = if length < first.len() { 1 } else { 2 };
                assert_eq!(error, BatchError::Truncated(number), "{length}");
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let one = pack(&[text("a")]);
    for (length, expected) in [
        (u32::MAX, "message 1 of the batch is cut off"),
        (0, "message 1 of the batch: "),
        (1, "message 1 of the batch: "),
    ] {
        let mut lies = one.to_vec();
        lies[..4].copy_from_slice(&length.to_be_bytes());
        let refused = refusal(&bytes(lies));
        assert!(refused.starts_with(expected), "{refused}");
    }
    // The next length is among the bytes of the message before it.
    let mut longer = pack(&[text("a"), text("b")]).to_vec();
    longer[3] += 2;
    assert!(unpack(&bytes(longer)).is_err());
}

#[test]
fn what_is_no_message_is_named_by_its_number() {
    let third = refusal(&json(r#"[{},{"text":"x"},{"txt":"x"}]"#));
    assert!(third.starts_with("message 3 of the batch: "), "{third}");
    for payload in [r#"["a"]"#, "[1]", "[[{}]]", "[null]"] {
        let first = refusal(&json(payload));
        assert!(first.starts_with("message 1 of the batch: "), "{first}");
    }
    for payload in ["{}", "", "[{}", "[{}]]", "[{},]"] {
        assert!(matches!(
            unpack(&json(payload)),
            Err(BatchError::NotJson(_))
        ));
    }
    assert_eq!(
        refusal(&text("a")),
        "a batch cannot be \"text/plain\": application/octet-stream or application/json is allowed"
    );
}

/// Nothing unfolds into more than was sent.
#[test]
fn messages_in_a_batch_are_not_compressed_and_what_is_in_them_is_left_alone() {
    let packed = crate::broker::codec::encode_packed(&text(&"x".repeat(1000)), 1);
    let mut payload = u32::try_from(packed.len()).unwrap().to_be_bytes().to_vec();
    payload.extend(&packed);
    let refused = refusal(&bytes(payload));
    assert!(refused.contains("at most 0"), "{refused}");
    let inner = bytes(pack(&[text("a")]));
    let inner = [inner];
    let outer = unpack(&bytes(pack(&inner))).unwrap();
    assert_eq!(outer, inner);
}

#[test]
fn a_message_of_a_batch_has_memory_of_its_own() {
    let large = text(&"x".repeat(100_000));
    let batch = bytes(pack(&[text("small"), large]));
    let messages = unpack(&batch).unwrap();
    let within = batch.payload_binary().as_ptr_range();
    assert!(!within.contains(&messages[0].payload_binary().as_ptr()));
}

#[test]
fn tokens_are_an_array_of_1_to_1000_strings() {
    assert_eq!(tokens(&json(r#"["1-2", "\u0041"]"#)).unwrap(), ["1-2", "A"]);
    let many = |count| format!("[{}]", vec!["\"\""; count].join(","));
    assert_eq!(tokens(&json(&many(MOST))).unwrap().len(), MOST);
    assert_eq!(tokens(&json(&many(MOST + 1))), Err(BatchError::TooMany));
    assert_eq!(tokens(&json("[]")), Err(BatchError::Empty));
    assert_eq!(tokens(&json(r#"["",7]"#)), Err(BatchError::NotText(2)));
    assert!(tokens(&json("7")).is_err() && tokens(&text("1-2")).is_err());
}

proptest! {
    #[test]
    fn any_payload_is_a_batch_or_refused(payload: Vec<u8>, length in 0..40_u32, text: String) {
        let mut sized = length.to_be_bytes().to_vec();
        sized.extend(&payload);
        for payload in [payload, sized] {
            if let Ok(messages) = unpack(&bytes(payload)) {
                prop_assert!(!messages.is_empty());
            }
        }
        let _ = (unpack(&json(&text)), tokens(&json(&text)));
    }

    #[test]
    fn a_changed_batch_is_a_batch_or_refused(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        for encoding in [Encoding::Binary, Encoding::Json] {
            let messages = [text("a"), text("b"), text("c")];
            let whole = answer(messages[0].id(), &messages, encoding);
            let mut payload = whole.payload_binary().to_vec();
            let changed = at.index(payload.len());
            payload[changed] = byte;
            payload.truncate(cut.index(payload.len()) + 1);
            let batch = match encoding {
                Encoding::Binary => bytes(payload),
                Encoding::Json => json(&String::from_utf8_lossy(&payload)),
            };
            if let Ok(messages) = unpack(&batch) {
                let again = answer(whole.id(), &messages, encoding);
                prop_assert_eq!(unpack(&again).unwrap().len(), messages.len());
            }
        }
    }
}
