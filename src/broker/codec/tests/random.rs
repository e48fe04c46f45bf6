//! Messages and bytes by chance. `WIREBIRD_FUZZ_CASES` sets how many strings of bytes there are; of whole messages
//! there are a tenth of that. A longer run begins like a shorter one.

use std::env;

use proptest::prelude::*;

use super::*;
use crate::broker::batch;

const CASES: u64 = 100_000;

fn cases() -> u64 {
    match env::var("WIREBIRD_FUZZ_CASES") {
        Ok(cases) => cases.parse().expect("WIREBIRD_FUZZ_CASES is a number"),
        Err(_) => CASES,
    }
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn half(&mut self) -> bool {
        self.next() & 1 == 0
    }

    fn text(&mut self, longest: usize) -> String {
        const CHARACTERS: &[char] = &[
            'a', 'Z', '0', '"', '\\', '<', '/', '\n', '\u{1}', '{', 'é', '€', '𝄞',
        ];
        let length = self.below(longest + 1);
        (0..length).map(|_| self.of(CHARACTERS)).collect()
    }

    fn name(&mut self) -> String {
        const CHARACTERS: &[char] = &['a', 'Z', '0', '.', '_', '-', '/'];
        let length = 1 + self.below(12);
        (0..length).map(|_| self.of(CHARACTERS)).collect()
    }

    fn json(&mut self, depth: usize) -> serde_json::Value {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => serde_json::Value::Null,
            1 => self.half().into(),
            2 => self.next().into(),
            3 => self.text(6).into(),
            4 => (0..self.below(3)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.below(3))
                .map(|_| (self.text(3), self.json(depth - 1)))
                .collect(),
        }
    }

    fn time(&mut self) -> i64 {
        let bits = self.of(&[1, 16, 41, 63]);
        i64::try_from(self.next() >> (64 - bits)).unwrap()
    }

    /// Any message there can be, with payloads that are JSON in their compact form.
    fn message(&mut self) -> Message {
        let request_id = self.half().then(|| self.text(8));
        let request_id = request_id.as_deref();
        let subject = self.text(5);
        let mimetype = self.of(&[
            "text/plain",
            "a/b",
            "application/octet-stream",
            "application/json",
        ]);
        let message = match self.below(4) {
            0 => Message::plain_text(request_id, &subject, self.text(20)),
            1 => {
                let charset = self.of(Charset::ALL);
                let text = match charset {
                    Charset::UsAscii | Charset::Iso8859_1 => self.name(),
                    _ => self.text(20),
                };
                Message::text(request_id, &subject, mimetype, charset, text)
            }
            2 => {
                let bytes = self.next().to_be_bytes()[self.below(8)..].to_vec();
                Message::binary(request_id, &subject, mimetype, bytes)
            }
            _ => Message::data(request_id, &subject, self.json(3)),
        };
        let mut message = message
            .unwrap()
            .with_durable(self.half())
            .with_oneway(self.half())
            .with_timestamp(self.time())
            .unwrap();
        if self.half() {
            message = message.with_expires_at(self.time());
        }
        if self.half() {
            message = message.with_timeout(self.time() - 1).unwrap();
        }
        if self.half() {
            message = message.with_reply_to(self.name().as_str()).unwrap();
        }
        for _ in 0..self.below(3) {
            let value = self.text(5);
            message = message.with_header(&self.name(), &value).unwrap();
        }
        if self.half() {
            let (id, status) = (message.id(), self.of(Status::ALL));
            message = message.into_response(id, status);
        }
        let kind = self.of(MessageType::ALL);
        let destination = match self.below(3) {
            0 => None,
            1 if kind.takes_pattern() => Some(self.of(&["*", "a.*", "a/>"]).to_owned()),
            _ => Some(self.name()),
        };
        message.addressed_to(kind, destination.as_deref()).unwrap()
    }
}

/// Whether both say the same. JSON does not keep the white space of JSON, nor the byte order of UTF-16.
fn says_the_same(one: &Message, other: &Message) -> bool {
    one.to_json() == other.to_json()
        && one.payload_text().is_some() == other.payload_text().is_some()
        && (one.to_json().is_ok() || one.payload_text() == other.payload_text())
        && one.id() == other.id()
        && one.charset() == other.charset()
        && one.destination() == other.destination()
        && one.reply_to() == other.reply_to()
        && one.timeout() == other.timeout()
        && one.headers().eq(other.headers())
}

#[test]
fn any_message_comes_back_from_both_encodings() {
    let mut chance = Chance(1);
    for case in 0..cases() / 10 {
        let message = chance.message();
        let bytes = encode(&message, Encoding::Binary);
        assert_eq!(bytes.len(), message.size().total, "{case}");
        assert_eq!(
            decode(bytes),
            Ok((message.clone(), Encoding::Binary)),
            "{case}"
        );

        let json = encode(&message, Encoding::Json);
        serde_json::from_slice::<serde_json::Value>(&json).expect("others read it, too");
        let (decoded, _) = decode(json.clone()).unwrap();
        assert!(says_the_same(&message, &decoded), "{case} {json:?}");
        assert_eq!(encode(&decoded, Encoding::Json), json, "{case}");
    }
}

/// What is accepted is a message like any other: it can be encoded and decoded again, and says the same.
fn accepted_or_refused(bytes: Vec<u8>) -> bool {
    match decode(bytes) {
        Err(error) => {
            assert!(error.to_string().len() < 2000);
            false
        }
        Ok((message, _)) => {
            let again = encode(&message, Encoding::Binary);
            assert_eq!(decode(again), Ok((message.clone(), Encoding::Binary)));
            // Whatever it is, what it carries can be read or not.
            let _ = (batch::unpack(&message), batch::tokens(&message));
            let json = decode(encode(&message, Encoding::Json)).unwrap().0;
            assert!(says_the_same(&message, &json), "{message:?}");
            true
        }
    }
}

#[test]
fn changed_messages_are_accepted_or_refused() {
    let mut chance = Chance(2);
    let seeds: Vec<Vec<u8>> = (0..200)
        .map(|n| {
            let encoding = [Encoding::Binary, Encoding::Json][n % 2];
            encode(&chance.message(), encoding).to_vec()
        })
        .collect();
    let mut accepted = 0;
    for _ in 0..cases() {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(3) {
            let at = chance
                .below(bytes.len().max(1))
                .min(bytes.len().saturating_sub(1));
            match chance.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
                1 if !bytes.is_empty() => bytes[at] = chance.next().to_be_bytes()[0],
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 => bytes.insert(at, chance.of(b"\"\\{}[]:,0\x80\xff\x7f\0 ")),
                _ => bytes.truncate(at),
            }
        }
        accepted += u64::from(accepted_or_refused(bytes));
    }
    // Some of both, or this tests nothing.
    assert!(accepted > cases() / 100, "{accepted}");
    assert!(accepted < cases() / 2, "{accepted}");
}

#[test]
fn any_bytes_are_accepted_or_refused() {
    let mut chance = Chance(3);
    let words: [&[u8]; 16] = [
        b"\"type\":",
        b"\"OFFER\"",
        b"\"data\":",
        b"\"headers\":",
        b"\"text\":",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\"\\u00",
        b"-1e5",
        b"null",
        b"\"charset\":",
        b"\"mimetype\":",
        b"\"application/json\"",
    ];
    for case in 0..cases() {
        let mut bytes = vec![if case % 2 == 0 { 0xb1 } else { b'{' }];
        for _ in 0..chance.below(12) {
            if case % 2 == 0 {
                bytes.extend(chance.next().to_be_bytes());
            } else {
                bytes.extend(chance.of(&words));
            }
        }
        accepted_or_refused(bytes);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(mut bytes: Vec<u8>, first in prop_oneof![Just(0xb1u8), Just(b'{'), any::<u8>()]) {
        bytes.insert(0, first);
        accepted_or_refused(bytes);
    }

    #[test]
    fn any_text_comes_back(text: String, subject in "\\PC{0,100}", request_id: Option<String>) {
        let request_id = request_id.map(|id| id.chars().take(255).collect::<String>());
        let message = Message::plain_text(request_id.as_deref(), &subject, &text).unwrap();
        for encoding in [Encoding::Binary, Encoding::Json] {
            prop_assert_eq!(decode(encode(&message, encoding)), Ok((message.clone(), encoding)));
        }
    }

    /// Our reader of JSON and serde_json agree on what is JSON, but for how deep it may be.
    #[test]
    fn others_agree_on_what_json_is(json in "[\\[\\]{},:\"\\\\u0-3a-f.eE+ \\-]{0,24}") {
        let ours = Message::text(None, "", "application/json", Charset::Utf8, &json).unwrap().to_json().is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&json);
        // serde_json refuses numbers that are too large for it.
        let too_large = theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range"));
        prop_assert_eq!(ours, theirs.is_ok() || too_large, "{}", json);
    }
}
