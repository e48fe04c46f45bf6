//! F50 to F64: what a message says about itself and its payload.

use uuid::Uuid;

use super::super::limits::{
    MAX_DESTINATION, MAX_HEADER_BYTES, MAX_HEADERS, MAX_REQUEST_ID, MAX_SUBJECT,
};
use super::*;
use crate::broker::{check_name, check_pattern, is_reserved};

/// F50, F11: an id for each message, and the request's for its answer.
#[test]
fn each_message_has_an_id_of_its_own_and_an_answer_that_of_its_request() {
    let (one, other) = (hello(), hello());
    assert_ne!(one.id(), other.id());
    assert_eq!(one.id().get_version_num(), 4);
    assert_eq!(one.clone().id(), one.id());
    assert_eq!(one.reply(Status::Ok, "").id(), one.id());
    assert_eq!(other.into_response(one.id(), Status::Ok).id(), one.id());
}

/// F51, F54, F77: neither type nor status until the message is used.
#[test]
fn a_new_message_has_neither_type_nor_status() {
    let message = hello();
    assert_eq!(message.kind(), MessageType::Null);
    assert_eq!(message.status(), Status::Null);
    let offer = message.addressed_to(MessageType::Offer, "jobs").unwrap();
    assert_eq!(offer.kind(), MessageType::Offer);
    assert_eq!(offer.status(), Status::Null);
}

/// F52, F97: answers want no answer.
#[test]
fn answers_are_oneway_and_requests_are_not() {
    assert!(!hello().is_oneway());
    assert!(hello().with_oneway(true).is_oneway());
    assert!(hello().reply(Status::Ok, "").is_oneway());
    assert!(hello().into_response(Uuid::nil(), Status::Ok).is_oneway());
}

/// F53, F85: durable only if it is said.
#[test]
fn a_message_is_durable_if_it_is_made_so() {
    assert!(!hello().is_durable());
    assert!(hello().with_durable(true).is_durable());
    assert!(!hello().with_durable(true).with_durable(false).is_durable());
}

/// F55: the time of making.
#[test]
fn the_timestamp_is_the_time_at_which_the_message_was_made() {
    let before = now_ms();
    let made = hello().timestamp();
    assert!((before..=now_ms()).contains(&made));
    assert_eq!(hello().with_timestamp(7).unwrap().timestamp(), 7);
    assert!(matches!(
        hello().with_timestamp(-1),
        Err(MessageError::OutOfRange { value: -1, .. })
    ));
}

/// F56: absolute, or never.
#[test]
fn what_expires_below_zero_or_at_none_never_does() {
    assert_eq!(hello().expires_at(), None);
    assert_eq!(hello().with_expires_at(5).expires_at(), Some(5));
    assert_eq!(hello().with_expires_at(-1).expires_at(), None);
    assert_eq!(
        hello()
            .with_expires_at(5)
            .with_expires_at(None)
            .expires_at(),
        None
    );
}

/// F56: the calendar, checked against known dates.
#[test]
fn expiry_units_follow_the_calendar_of_utc() {
    const DAY: i64 = 86_400_000;
    // 2024-01-31T12:00:00.123Z.
    let start = 1_706_702_400_123;
    let cases = [
        (1, ExpiryUnit::Years, 366 * DAY),
        (1, ExpiryUnit::Months, 29 * DAY),
        (2, ExpiryUnit::Months, 60 * DAY),
        (3, ExpiryUnit::Months, 90 * DAY),
        (13, ExpiryUnit::Months, (366 + 28) * DAY),
        (2, ExpiryUnit::Weeks, 14 * DAY),
        (3, ExpiryUnit::Days, 3 * DAY),
        (5, ExpiryUnit::Hours, 18_000_000),
        (7, ExpiryUnit::Minutes, 420_000),
        (9, ExpiryUnit::Seconds, 9_000),
        (11, ExpiryUnit::Milliseconds, 11),
        (0, ExpiryUnit::Months, 0),
    ];
    for (amount, unit, later) in cases {
        let message = hello().with_timestamp(start).unwrap();
        let expires = message.with_expires_in(amount, unit).unwrap().expires_at();
        assert_eq!(expires, Some(start + later), "{amount} {unit:?}");
    }
    // 2024-02-29 and four years on; and 1900 was no leap year, so that 1899-02-28 and 13 months is 1900-03-28.
    assert_eq!(
        ExpiryUnit::Years.after(1_709_164_800_000, 4),
        Some(1_835_395_200_000)
    );
    assert_eq!(
        ExpiryUnit::Months.after(-2_235_686_400_000, 13),
        Some(-2_201_731_200_000)
    );
}

/// F56: an overflow is an error.
#[test]
fn an_expiry_that_is_no_number_is_refused() {
    let last = hello().with_timestamp(i64::MAX).unwrap();
    for unit in [
        ExpiryUnit::Years,
        ExpiryUnit::Months,
        ExpiryUnit::Weeks,
        ExpiryUnit::Milliseconds,
    ] {
        let result = last.clone().with_expires_in(1, unit);
        assert!(
            matches!(result, Err(MessageError::OutOfRange { .. })),
            "{unit:?}"
        );
        assert!(hello().with_expires_in(1_000_000, unit).is_ok(), "{unit:?}");
    }
    assert!(
        hello()
            .with_expires_in(u32::MAX, ExpiryUnit::Years)
            .is_err()
    );
}

/// F56: every day of 1600 years is found again, and the same day of the next month or its last.
#[test]
fn months_end_where_the_calendar_says() {
    const DAY: i64 = 86_400_000;
    let mut lengths = std::collections::BTreeMap::<i64, usize>::new();
    for day in -292_194..292_194 {
        assert_eq!(ExpiryUnit::Months.after(day * DAY, 0), Some(day * DAY));
        let later = ExpiryUnit::Months.after(day * DAY, 1).unwrap() - day * DAY;
        *lengths.entry(later / DAY).or_default() += 1;
    }
    // 400 years have 97 leap days. 31 days later is the same day of the next month after all days of July and
    // December, after those of March, May, August and October but their last, and after as many of January as
    // February has.
    let years = 4 * 400;
    let leap = 4 * 97;
    assert_eq!(lengths[&31], years * (2 * 31 + 4 * 30 + 28) + leap);
    assert_eq!(lengths.values().sum::<usize>(), years * 365 + leap);
}

/// F57: -1 is for ever, no timeout is another thing.
#[test]
fn a_timeout_is_none_for_ever_or_a_time() {
    assert_eq!(hello().timeout(), None);
    for ms in [-1, 0, 300, i64::MAX] {
        assert_eq!(hello().with_timeout(ms).unwrap().timeout(), Some(ms));
    }
    assert_eq!(
        hello().with_timeout(-2).unwrap_err().to_string(),
        "timeout: -2 is not allowed, only -1, which is for ever, and more"
    );
}

/// F58, F85: any text up to its limit, or none.
#[test]
fn a_request_id_is_passed_through_untouched() {
    assert_eq!(
        Message::plain_text(None, "", "").unwrap().request_id(),
        None
    );
    let odd = " \u{1}\u{2028}é ";
    assert_eq!(
        Message::plain_text(odd, "", "").unwrap().request_id(),
        Some(odd)
    );
    let longest = "é".repeat(MAX_REQUEST_ID);
    assert!(Message::plain_text(longest.as_str(), "", "").is_ok());
    assert_eq!(
        hello()
            .with_request_id((longest + "é").as_str())
            .unwrap_err(),
        MessageError::TooLong {
            field: "request-id",
            length: MAX_REQUEST_ID + 1,
            limit: MAX_REQUEST_ID
        }
    );
}

/// F59: may be empty, at most 100 characters.
#[test]
fn a_subject_is_free_text_of_at_most_a_hundred_characters() {
    assert_eq!(Message::plain_text(None, "", "").unwrap().subject(), "");
    assert!(Message::plain_text(None, &"é".repeat(MAX_SUBJECT), "").is_ok());
    assert!(Message::plain_text(None, &"x".repeat(MAX_SUBJECT + 1), "").is_err());
}

/// F60: none before it is sent.
#[test]
fn a_destination_is_a_name() {
    assert_eq!(hello().destination(), None);
    let longest = "a".repeat(MAX_DESTINATION);
    for name in ["a", "queue/1", "a.b-c_D/9", "$sys.events", &longest] {
        check_name(name).unwrap();
        let message = hello().addressed_to(MessageType::Offer, name).unwrap();
        assert_eq!(message.destination(), Some(name));
    }
    let too_long = "a".repeat(MAX_DESTINATION + 1);
    for name in ["", "$", "a b", "a$", "é", "a\n", "a*", "*", ">", &too_long] {
        assert!(check_name(name).is_err(), "{name}");
        assert!(
            hello().addressed_to(MessageType::Offer, name).is_err(),
            "{name}"
        );
    }
}

/// Patterns are for those types that take them.
#[test]
fn a_pattern_is_refused_where_a_name_is_needed() {
    for pattern in ["*", ">", "a.*.b", "a/>", "*.*", "a.*/>"] {
        check_pattern(pattern).unwrap();
        for &kind in MessageType::ALL {
            let result = hello().addressed_to(kind, pattern);
            assert_eq!(result.is_ok(), kind.takes_pattern(), "{kind} {pattern}");
        }
    }
    for pattern in ["a*", "*a", "**", "a.>.b", ">.a", ">>", "a.b>"] {
        assert_eq!(
            check_pattern(pattern),
            Err(MessageError::BadPattern(pattern.to_owned()))
        );
    }
}

#[test]
fn reserved_names_are_known_in_any_case() {
    for name in [
        "queue",
        "Topic",
        "FUNCTION",
        "wal",
        "ipc.dlq",
        "dead-letter",
        "deadLetter",
        "$x",
    ] {
        assert!(is_reserved(name), "{name}");
    }
    for name in ["queues", "ipc.qld", "a$"] {
        assert!(!is_reserved(name), "{name}");
    }
}

/// F61, F34: the queue for the answer.
#[test]
fn a_reply_queue_is_a_name_or_none() {
    assert_eq!(hello().reply_to(), None);
    assert_eq!(
        hello().with_reply_to("q/1").unwrap().reply_to(),
        Some("q/1")
    );
    assert_eq!(
        hello()
            .with_reply_to("q")
            .unwrap()
            .with_reply_to(None)
            .unwrap()
            .reply_to(),
        None
    );
    assert!(hello().with_reply_to("*").is_err());
}

/// F62.
#[test]
fn a_media_type_is_visible_text() {
    let longest = "x".repeat(100);
    for mimetype in ["text/html", "text/plain; format=flowed", &longest] {
        let message = Message::binary(None, "", mimetype, "").unwrap();
        assert_eq!(message.mimetype(), mimetype);
    }
    for mimetype in ["", "a\nb", "é", &(longest + "x")] {
        assert!(
            Message::binary(None, "", mimetype, "").is_err(),
            "{mimetype}"
        );
    }
}

/// F63, F64: no charset, no text.
#[test]
fn a_payload_is_binary_exactly_if_it_has_no_charset() {
    let binary = Message::binary(None, "", "application/pdf", vec![0, 1, 255]).unwrap();
    assert_eq!(binary.charset(), None);
    assert_eq!(binary.payload_text(), None);
    assert_eq!(&binary.payload_binary()[..], [0, 1, 255]);
    assert_eq!(hello().charset(), Some(Charset::Utf8));
    assert_eq!(&hello().payload_binary()[..], b"hello");
    assert!(
        Message::plain_text(None, "", "")
            .unwrap()
            .payload_binary()
            .is_empty()
    );
}

/// F64: the constructor does not copy.
#[test]
fn binary_payloads_share_the_memory_they_are_given() {
    let bytes = Bytes::from(vec![1; 1000]);
    let message = Message::binary(None, "", OCTET_STREAM, bytes.clone()).unwrap();
    assert_eq!(message.payload_binary().as_ptr(), bytes.as_ptr());
    assert_eq!(message.clone().payload_binary().as_ptr(), bytes.as_ptr());
}

#[test]
fn headers_replace_each_other_and_keep_within_their_limits() {
    let message = hello()
        .with_header("a", "1")
        .unwrap()
        .with_header("a", "2")
        .unwrap();
    assert_eq!(message.header("a"), Some("2"));
    assert_eq!(message.headers().collect::<Vec<_>>(), [("a", "2")]);
    assert_eq!(message.header("b"), None);

    let most = (0..MAX_HEADERS).try_fold(hello(), |m, n| m.with_header(&format!("k{n}"), ""));
    let most = most.unwrap();
    assert!(most.clone().with_header("k0", "again").is_ok());
    assert_eq!(
        most.with_header("another", "").unwrap_err(),
        MessageError::TooManyHeaders(MAX_HEADERS)
    );

    let full = hello()
        .with_header("k", &"x".repeat(MAX_HEADER_BYTES - 1))
        .unwrap();
    assert!(full.clone().with_header("k", "short").is_ok());
    assert_eq!(
        full.with_header("l", "").unwrap_err(),
        MessageError::TooLong {
            field: "headers",
            length: MAX_HEADER_BYTES + 1,
            limit: MAX_HEADER_BYTES
        }
    );
    for key in ["", "a b", "é", "\n", &"k".repeat(101)] {
        assert!(hello().with_header(key, "").is_err(), "{key}");
    }
}
