//! What comes when a client has given up its poll, and answers that are no batch.

use super::*;

fn batch(request: &Message, items: &[Message]) -> Message {
    let mut payload = Vec::new();
    for item in items {
        let bytes = encode(item, Encoding::Binary);
        payload.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        payload.extend(&bytes);
    }
    let answer = Message::binary(None, "", "application/octet-stream", payload).unwrap();
    answer.into_response(request.id(), Status::Ok)
}

/// A client that has given up a poll for several, and the poll.
fn given_up(broker: &Scripted, leased: bool) -> (Client, Message) {
    let client = broker.accept(&ClientOptions::new().timeout(SOON));
    let hasty = client.with_timeout(Duration::from_millis(1));
    let poll = in_background(&hasty, move |hasty| {
        let wait = Duration::from_millis(1);
        if leased {
            hasty.poll_leased_up_to("q", 5, wait, LONG).map(drop)
        } else {
            hasty.poll_up_to("q", 5, wait).map(drop)
        }
    });
    let asked = broker.next_of(MessageType::PollUpTo);
    assert!(poll.join().unwrap().is_err());
    assert_eq!(broker.next_of(MessageType::Cancel).id(), asked.id());
    (client, asked)
}

#[test]
fn items_that_come_too_late_go_to_the_next_polls_for_one_or_several() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, false);
    let events = client.events().unwrap();
    broker.send(&batch(&asked, &texts(&["a", "b", "c", "d"])));
    for _ in 0..4 {
        events.recv_timeout(SOON).unwrap();
    }
    assert_eq!(read(&client.poll("q", SOON).unwrap()), "a");
    assert_eq!(reads(&client.poll_up_to("q", 2, SOON).unwrap()), ["b", "c"]);
    assert_eq!(reads(&client.take_late()), ["d"]);
}

#[test]
fn an_item_that_comes_too_late_goes_to_a_poll_for_several_that_waits() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, false);
    let waits = in_background(&client, |client| client.poll_up_to("q", 5, SOON));
    broker.next_of(MessageType::PollUpTo);
    broker.send(&batch(&asked, &texts(&["a"])));
    assert_eq!(reads(&waits.join().unwrap().unwrap()), ["a"]);
}

#[test]
fn leased_items_that_come_too_late_go_back() {
    let broker = Scripted::new();
    let (client, asked) = given_up(&broker, true);
    let leased = |token: &str| text(token).with_header("lease-token", token).unwrap();
    broker.send(&batch(&asked, &[leased("1-1"), leased("1-2")]));
    for token in ["1-1", "1-2"] {
        let back = broker.next_of(MessageType::Nack);
        assert_eq!(back.header("lease-token"), Some(token));
        assert_eq!(back.header("delay"), Some("0"));
    }
    assert!(client.take_late().is_empty());
}

#[test]
fn an_answer_that_is_no_batch_is_an_error() {
    let broker = Scripted::new();
    let client = broker.accept(&ClientOptions::new());
    let poll = in_background(&client, |client| client.poll_up_to("q", 5, SOON));
    let asked = broker.next_of(MessageType::PollUpTo);
    broker.answer(&asked, Status::Ok, "nonsense");
    let error = poll.join().unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Socket(wirebird::Error::Malformed(_))),
        "{error}"
    );
}
