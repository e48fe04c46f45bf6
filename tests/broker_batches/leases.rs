//! Messages that are leased and acknowledged together.

use super::*;

fn lease(scene: &Scene, count: usize) -> Vec<Leased> {
    let leased = scene.client.poll_leased_up_to("q", count, SOON, LONG);
    let leased = leased.unwrap();
    assert_eq!(leased.len(), count);
    leased
}

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

#[test]
fn messages_that_are_not_wanted_come_back_together_and_those_that_were_over_are_told_of() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let leased = lease(&scene, 3);
    let over = leased[1].token().to_owned();
    let stale = scene.client.nack_all(leased, Nack::Retry).unwrap();
    assert!(stale.is_empty());
    let mut again = lease(&scene, 3);
    assert_eq!(words(&again), ["a", "b", "c"]);
    assert!(again.iter().all(|one| one.attempts() == 2));
    again.remove(1).ack().unwrap();

    let nack = json!({"type": "NACK_ALL", "destination": "q",
        "data": [again[1].token(), over, "x", again[0].token()]});
    let answer = asks(&scene.stranger(), &nack);
    assert_eq!(answer["data"], json!({"rejected": 2, "stale": [1, 2]}));
    let stale = scene.client.nack_all(again, Nack::Retry).unwrap();
    assert_eq!(words(&stale), ["a", "c"]);
    assert_eq!(scene.drain(), ["a", "c"]);
}

#[test]
fn who_waits_gets_what_comes_back_in_its_order_whatever_that_of_the_tokens() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let mut leased = lease(&scene, 3);
    leased.reverse();
    let client = scene.client.copy().unwrap();
    let waits = waiting(&scene.broker, &client, |client| client.poll("q", SOON));
    let at_once = Nack::RetryIn(NO_WAIT);
    assert!(scene.client.nack_all(leased, at_once).unwrap().is_empty());
    assert_eq!(read(&waits.join().unwrap().unwrap()), "a");
}

#[test]
fn what_becomes_of_messages_that_are_not_wanted_is_said_once_for_all() {
    let scene = Scene::with_dead_letters(&BrokerOptions::new(), &QueueOptions::new(10));
    scene
        .client
        .offer_all("q", &texts(&["a", "b"]), NO_WAIT)
        .unwrap();
    let later = Nack::RetryIn(LONG);
    assert!(
        scene
            .client
            .nack_all(lease(&scene, 2), later)
            .unwrap()
            .is_empty()
    );
    assert_eq!(scene.broker.queue_status("q").delayed, 2);

    scene
        .client
        .offer_all("q", &texts(&["c", "d"]), NO_WAIT)
        .unwrap();
    let leased = lease(&scene, 2);
    assert!(
        scene
            .client
            .nack_all(leased, Nack::DeadLetter)
            .unwrap()
            .is_empty()
    );
    let dead = scene.client.poll_up_to("dead", 10, NO_WAIT).unwrap();
    assert_eq!(reads(&dead), ["c", "d"]);
    assert!(
        dead.iter()
            .all(|one| one.header("dead-letter-reason") == Some("rejected"))
    );
    assert_eq!(scene.in_flight(), 0);
}

#[test]
fn a_verdict_that_makes_no_sense_ends_no_lease() {
    let scene = Scene::holding(&["a"]);
    let leased = scene.client.poll_leased("q", NO_WAIT, LONG).unwrap();
    let socket = scene.stranger();
    for headers in [
        json!({"delay": "-1"}),
        json!({"delay": "0", "dead-letter": "true"}),
        json!({"dead-letter": "yes"}),
    ] {
        let nack = json!({"type": "NACK_ALL", "destination": "q", "headers": headers,
            "data": [leased.token()]});
        assert_eq!(asks(&socket, &nack)["status"], "BAD_REQUEST");
    }
    assert_eq!(scene.in_flight(), 1);
}

#[test]
fn tokens_of_messages_that_are_not_wanted_are_read_as_those_of_others() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    let nack =
        |queue: &str, data: Value| json!({"type": "NACK_ALL", "destination": queue, "data": data});
    for data in [json!([]), json!([7]), json!({}), json!(vec![""; 1001])] {
        assert_eq!(asks(&socket, &nack("q", data))["status"], "BAD_REQUEST");
    }
    let elsewhere = nack("none", json!(["1-2"]));
    assert_eq!(asks(&socket, &elsewhere)["status"], "QUEUE_NOT_FOUND");
}
