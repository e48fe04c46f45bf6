//! Messages that are leased and acknowledged together.

use super::*;

#[test]
fn leases_end_together_and_those_that_were_over_are_told_of() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let poll = || scene.client.poll_leased_up_to("q", 10, NO_WAIT, LONG);
    let leased = poll().unwrap();
    assert!(leased.iter().all(|one| one.attempts() == 1));
    assert!(leased.iter().all(|one| one.message().headers().len() == 0));
    assert_refused(poll(), Status::QueueEmpty, "empty");
    assert_eq!(scene.in_flight(), 3);
    let second = Message::plain_text(None, "", "").unwrap();
    let second = second.addressed_to(MessageType::Ack, "q").unwrap();
    let second = second
        .with_header("lease-token", leased[1].token())
        .unwrap();
    assert!(scene.client.request(second).unwrap().is_ok());
    let over = leased[1].token().to_owned();
    let stale = scene.client.ack_all(leased).unwrap();
    assert_eq!(tokens(&stale), [over]);
    assert_eq!(read(stale[0].message()), "b");
    assert_eq!((scene.size(), scene.in_flight()), (0, 0));
}

#[test]
fn leases_of_several_queues_do_not_end_together() {
    let scene = Scene::holding(&["a"]);
    scene
        .broker
        .create_queue("other", 10, QueueType::Bounded)
        .unwrap();
    scene.client.offer("other", text("b"), NO_WAIT).unwrap();
    let mut leased = scene
        .client
        .poll_leased_up_to("q", 10, NO_WAIT, LONG)
        .unwrap();
    leased.extend(
        scene
            .client
            .poll_leased_up_to("other", 10, NO_WAIT, LONG)
            .unwrap(),
    );
    let error = scene.client.ack_all(leased).unwrap_err();
    assert!(
        matches!(error, Error::Socket(wirebird::Error::InvalidArgument(_))),
        "{error}"
    );
    assert_eq!(scene.in_flight(), 1);
}

#[test]
fn tokens_that_name_nothing_are_stale_and_what_are_no_tokens_is_refused() {
    let scene = Scene::holding(&["a"]);
    let leased = scene.client.poll_leased("q", NO_WAIT, LONG).unwrap();
    let socket = scene.stranger();
    let ack = |data: Value| json!({"type": "ACK_ALL", "destination": "q", "data": data});
    let answer = asks(
        &socket,
        &ack(json!(["", "1-2", leased.token(), leased.token()])),
    );
    assert_eq!(
        answer["data"],
        json!({"acknowledged": 1, "stale": [0, 1, 3]})
    );
    for data in [json!([]), json!([7]), json!({}), json!(vec![""; 1001])] {
        assert_eq!(asks(&socket, &ack(data))["status"], "BAD_REQUEST");
    }
    let elsewhere = json!({"type": "ACK_ALL", "destination": "none", "data": ["1-2"]});
    assert_eq!(asks(&socket, &elsewhere)["status"], "QUEUE_NOT_FOUND");
}

#[test]
fn leases_as_long_as_a_connection_end_with_it_in_their_order() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let other = scene.client.copy().unwrap();
    let leased = other
        .poll_leased_up_to("q", 3, NO_WAIT, Duration::MAX)
        .unwrap();
    assert_eq!(leased.len(), 3);
    drop(leased);
    other.close().unwrap();
    eventually("they are back", || scene.size() == 3);
    assert_eq!(scene.drain(), ["a", "b", "c"]);
}
