use super::*;

mod content;
mod fields;
mod utilities;

fn hello() -> Message {
    Message::plain_text("1", "test", "hello").unwrap()
}
