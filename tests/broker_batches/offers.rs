//! Messages that are offered together.

use super::*;

#[test]
fn messages_that_are_offered_together_come_out_in_their_order_as_they_were() {
    let scene = Scene::new(&QueueOptions::new(10));
    let first = Message::data("7", "order", json!({"item": 1})).unwrap();
    let first = first.with_header("x", "y").unwrap();
    // One that was polled before is only what it says itself.
    scene.client.offer("q", text("b"), NO_WAIT).unwrap();
    let second = scene.client.poll("q", NO_WAIT).unwrap();
    scene
        .client
        .offer_all("q", &[first.clone(), second], NO_WAIT)
        .unwrap();
    let polled = scene.client.poll("q", NO_WAIT).unwrap();
    assert_eq!(polled.payload_data(), first.payload_data());
    assert_eq!(
        (polled.request_id(), polled.subject(), polled.header("x")),
        (Some("7"), "order", Some("y"))
    );
    assert_eq!(polled.timestamp(), first.timestamp());
    assert_eq!(scene.drain(), ["b"]);
}

#[test]
fn a_batch_that_does_not_fit_leaves_nothing_and_one_that_waits_comes_in_whole() {
    let scene = Scene::new(&QueueOptions::new(3));
    scene
        .client
        .offer_all("q", &texts(&["a", "b"]), NO_WAIT)
        .unwrap();
    let two = texts(&["c", "d"]);
    let full = scene.client.offer_all("q", &two, NO_WAIT);
    assert_refused(full, Status::QueueFull, "full");
    assert_eq!(scene.size(), 2);
    let waits = waiting(&scene.broker, &scene.client, move |client| {
        client.offer_all("q", &two, SOON)
    });
    assert_eq!(scene.size(), 2);
    assert_eq!(read(&scene.client.poll("q", NO_WAIT).unwrap()), "a");
    waits.join().unwrap().unwrap();
    assert_eq!(scene.drain(), ["b", "c", "d"]);
}

#[test]
fn a_batch_that_the_empty_queue_would_not_hold_is_refused() {
    for kind in [QueueType::Bounded, QueueType::Circular] {
        let scene = Scene::new(&QueueOptions::new(2).queue_type(kind).max_bytes(500));
        let three = scene.client.offer_all("q", &texts(&["a", "b", "c"]), SOON);
        assert_refused(three, Status::BadRequest, "3 messages of ");
        let long = "x".repeat(300);
        let two = scene.client.offer_all("q", &texts(&[&long, &long]), SOON);
        assert_refused(two, Status::BadRequest, "2 of 500 in all");
        assert_eq!(scene.size(), 0);
    }
}

#[test]
fn a_circular_queue_lets_go_of_as_many_as_come() {
    let scene = Scene::new(&QueueOptions::new(3).queue_type(QueueType::Circular));
    for words in [["a", "b"], ["c", "d"]] {
        scene
            .client
            .offer_all("q", &texts(&words), NO_WAIT)
            .unwrap();
    }
    assert_eq!(scene.drain(), ["b", "c", "d"]);
}

#[test]
fn priorities_delays_and_expiry_count_for_each_message() {
    let scene = Scene::new(&QueueOptions::new(10));
    let with = |word, key, value| text(word).with_header(key, value).unwrap();
    let messages = [
        text("plain"),
        with("urgent", "priority", "9"),
        with("later", "delay", "3600000"),
        text("gone").with_expires_at(1),
    ];
    scene.client.offer_all("q", &messages, NO_WAIT).unwrap();
    assert_eq!(scene.drain(), ["urgent", "plain"]);
    assert_eq!(scene.broker.queue_status("q").delayed, 1);
    assert_eq!(scene.broker.stats().expired, 1);
}

#[test]
fn no_messages_are_no_request_and_more_than_1000_are_refused() {
    let scene = Scene::holding(&[]);
    scene.client.offer_all("none", &[], NO_WAIT).unwrap();
    assert!(scene.client.ack_all(Vec::new()).unwrap().is_empty());
    let many = vec![text("x"); 1001];
    let refused = scene.client.offer_all("q", &many, NO_WAIT);
    assert_refused(refused, Status::BadRequest, "1 to 1000 are allowed");
    scene.client.offer_all("q", &many[..1000], NO_WAIT).unwrap();
    assert_eq!(scene.size(), 1000);
    let refused = scene.client.offer_all("none", &many[..1], NO_WAIT);
    assert_refused(refused, Status::QueueNotFound, "none");
}

/// What is wrong with one is said by its number, and none is accepted.
#[test]
fn a_message_that_cannot_be_in_a_batch_keeps_the_others_out() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    for (item, reason) in [
        (json!({"type": "POLL"}), "type POLL"),
        (json!({"type": "OFFER_ALL", "data": []}), "type OFFER_ALL"),
        (json!({"destination": "other"}), "cannot go to other"),
        (json!({"headers": {"dedupe": "id"}}), "header dedupe"),
        (json!({"headers": {"ack-token": "1-2"}}), "header ack-token"),
        (json!({"headers": {"priority": "10"}}), "0 to 9"),
        (json!({"durable?": true}), "does not say that it is"),
        (json!({"txt": ""}), "txt"),
        (json!(7), "message 2 of the batch"),
    ] {
        let request =
            json!({"type": "OFFER_ALL", "destination": "q", "data": [{"text": "a"}, item]});
        let answer = asks(&socket, &request);
        assert_eq!(answer["status"], "BAD_REQUEST", "{request}");
        let text = answer["text"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
        assert!(text.starts_with("message 2 of the batch"), "{text}");
    }
    assert_eq!(scene.size(), 0);
}

#[test]
fn a_batch_is_done_once_however_often_it_comes() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    let request = |kind: &str| {
        json!({"type": kind, "destination": "q", "request-id": "1", "headers": {"dedupe": "request-id"},
            "data": [{"text": "a"}, {"text": "b"}]})
    };
    assert_eq!(asks(&socket, &request("OFFER_ALL"))["headers"], Value::Null);
    let again = asks(&socket, &request("OFFER_ALL"));
    assert_eq!(
        (&again["status"], &again["headers"]["duplicate"]),
        (&json!("OK"), &json!("true"))
    );
    assert_eq!(scene.size(), 2);
    // An offer of one is another request.
    asks(&socket, &request("OFFER"));
    assert_eq!(scene.size(), 3);
}

#[test]
fn a_batch_whose_connection_broke_is_offered_again_and_asks_to_be_recognised() {
    let broker = Scripted::new();
    let client = broker.accept(&quick().retry(persistent()));
    let offer = in_background(&client, |client| {
        client.offer_all("q", &texts(&["a", "b"]), NO_WAIT)
    });
    let first = broker.next_of(MessageType::OfferAll);
    assert_eq!(first.header("dedupe"), Some("id"));
    broker.socket.pipes()[0].close().unwrap();
    broker.configure();
    let second = broker.next_of(MessageType::OfferAll);
    assert_eq!(second.id(), first.id());
    broker.answer(&second, Status::Ok, "");
    offer.join().unwrap().unwrap();
}

#[test]
fn a_batch_may_end_a_lease_and_does_neither_if_that_is_over() {
    let scene = Scene::holding(&["job"]);
    scene
        .broker
        .create_queue("results", 10, QueueType::Bounded)
        .unwrap();
    let job = scene.client.poll_leased("q", NO_WAIT, LONG).unwrap();
    let socket = scene.stranger();
    let results = json!({"type": "OFFER_ALL", "destination": "results", "data": [{"text": "a"}, {"text": "b"}],
        "headers": {"ack-queue": "q", "ack-token": job.token()}});
    assert_eq!(asks(&socket, &results)["status"], "OK");
    assert_eq!(scene.in_flight(), 0);
    assert_eq!(asks(&socket, &results)["status"], "STALE");
    assert_eq!(scene.broker.queue_status("results").size, 2);
}

#[test]
fn what_the_broker_may_not_hold_is_not_accepted_in_part() {
    let options = BrokerOptions::new()
        .max_memory(2 << 20)
        .max_message_size(1 << 20);
    let scene = Scene::with(&options, &QueueOptions::new(100));
    let long = "x".repeat(200_000);
    let batch = texts(&[&long, &long, &long, &long]);
    scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    let held = scene.broker.stats().held_bytes;
    let refused = scene.client.offer_all("q", &batch, NO_WAIT);
    assert_refused(refused, Status::RetryLater, "has no room");
    assert_eq!((scene.size(), scene.broker.stats().held_bytes), (8, held));
    assert_eq!(scene.broker.stats().refused_for_memory, 1);
}
