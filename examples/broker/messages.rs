//! What messages may contain, how they are read, and what they look like as JSON.
//!
//! cargo run --example broker_messages

use serde::Serialize;
use wirebird::broker::{Charset, Field, Message, MessageError, Result};

const BYTES: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

#[derive(Serialize)]
struct Order {
    item: &'static str,
    count: u32,
}

fn main() -> Result<()> {
    // The first argument of each is the request id, the second the subject.
    let plain = Message::plain_text("1", "test", "hello")?;
    println!("{}", plain.to_json_pretty()?);
    assert_eq!(plain.payload_text().as_deref(), Some("hello"));

    // Text of any type, in one of six charsets.
    let latin = Message::text("2", "test", "text/csv", Charset::Iso8859_1, "café;2")?;
    println!("{}", latin.to_json()?);
    assert_eq!(latin.payload_binary().len(), 6);
    let written = r#"{"item": "espresso", "count": 2}"#;
    let json = Message::text("3", "order", "application/json", Charset::Utf8, written)?;
    assert_eq!(json.payload_data()?["count"], 2);

    // Bytes of any type.
    let binary = Message::binary("4", "test", "application/octet-stream", &BYTES[..])?;
    println!("{}", binary.to_json()?);
    assert_eq!(binary.payload_binary(), &BYTES[..]);
    assert_eq!((binary.charset(), binary.payload_text()), (None, None));

    // Data: whatever serde can serialize.
    let espresso = Order {
        item: "espresso",
        count: 2,
    };
    let data = Message::data("5", "order", espresso)?;
    println!("{}", data.to_json()?);
    assert_eq!(data.mimetype(), "application/json");
    assert_eq!(
        data.payload_text().as_deref(),
        Some(r#"{"item":"espresso","count":2}"#)
    );

    // The fields by their names, for programs that do not know which before they run.
    for name in [
        "type",
        "request-id",
        "subject",
        "expires-at",
        "payload-text",
    ] {
        println!("{name}: {:?}", plain.field(name)?);
    }
    let map = binary.to_map()?;
    assert!(map.contains(&("data", Field::Binary(BYTES[..].into()))));
    let unknown = plain.field("topic");
    assert!(matches!(unknown, Err(MessageError::NoSuchField(_))));

    // The clock and a random number give each message an id and a timestamp.
    assert_ne!(plain.id(), binary.id());
    assert!(plain.timestamp() <= binary.timestamp());
    println!(
        "{} bytes, {} of them payload",
        data.size().total,
        data.size().data
    );
    Ok(())
}
