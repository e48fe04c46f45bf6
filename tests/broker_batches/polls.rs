//! Polls for several messages.

use super::*;

#[test]
fn a_poll_gets_what_there_is_up_to_its_number_and_waits_only_for_the_first() {
    let scene = Scene::holding(&["a", "b", "c"]);
    let two = scene.client.poll_up_to("q", 2, SOON).unwrap();
    assert_eq!(reads(&two), ["a", "b"]);
    assert!(two.iter().all(Message::is_ok));
    assert_ne!(two[0].id(), two[1].id());
    assert_eq!(
        reads(&scene.client.poll_up_to("q", 2, SOON).unwrap()),
        ["c"]
    );
    let none = scene.client.poll_up_to("q", 2, NO_WAIT);
    assert_refused(none, Status::QueueEmpty, "empty");
    let waits = waiting(&scene.broker, &scene.client, |client| {
        client.poll_up_to("q", 9, SOON)
    });
    scene
        .client
        .offer_all("q", &texts(&["d", "e"]), NO_WAIT)
        .unwrap();
    assert_eq!(reads(&waits.join().unwrap().unwrap()), ["d", "e"]);
    assert_eq!((scene.size(), scene.in_flight()), (0, 0));
}

#[test]
fn a_poll_for_a_number_that_cannot_be_is_refused() {
    let scene = Scene::holding(&["a"]);
    for count in [0, 1001, usize::MAX] {
        let refused = scene.client.poll_up_to("q", count, NO_WAIT);
        assert_refused(refused, Status::BadRequest, "1 to 1000 is allowed");
    }
    let socket = scene.stranger();
    for headers in [json!({}), json!({"count": "-1"}), json!({"count": "many"})] {
        let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": headers});
        assert_eq!(asks(&socket, &poll)["status"], "BAD_REQUEST");
    }
    assert_eq!(scene.drain(), ["a"]);
}

#[test]
fn an_answer_is_no_longer_than_a_message_may_be_unless_one_alone_is() {
    let options = BrokerOptions::new().max_message_size(10_000);
    let scene = Scene::with(&options, &QueueOptions::new(100));
    let long = "x".repeat(3000);
    for _ in 0..2 {
        scene
            .client
            .offer_all("q", &texts(&[&long, &long]), NO_WAIT)
            .unwrap();
    }
    scene
        .client
        .offer("q", text(&"y".repeat(10_000)), NO_WAIT)
        .unwrap();
    let sizes = std::iter::from_fn(|| scene.client.poll_up_to("q", 1000, NO_WAIT).ok());
    let sizes: Vec<usize> = sizes.map(|messages| messages.len()).collect();
    assert_eq!(sizes, [3, 1, 1]);
}

#[test]
fn who_asks_in_json_gets_json() {
    let scene = Scene::new(&QueueOptions::new(10));
    let socket = scene.stranger();
    let offer = json!({"type": "OFFER_ALL", "destination": "q",
        "data": [{"text": "a", "subject": "first"}, {"data": {"b": [1]}}, {"data": "AAE="}]});
    assert_eq!(asks(&socket, &offer)["status"], "OK");
    let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "10"}, "request-id": "5"});
    let answer = asks(&socket, &poll);
    assert_eq!(
        (&answer["status"], &answer["request-id"]),
        (&json!("OK"), &json!("5"))
    );
    let items = answer["data"].as_array().expect("a list");
    assert_eq!(
        (&items[0]["text"], &items[0]["subject"]),
        (&json!("a"), &json!("first"))
    );
    assert_eq!(items[1]["data"], json!({"b": [1]}));
    assert_eq!((&items[2]["data"], items.len()), (&json!("AAE="), 3));
    // The same connection may go on in the other encoding.
    scene
        .client
        .offer_all("q", &texts(&["c"]), NO_WAIT)
        .unwrap();
    let (poll, _) = decode(poll.to_string()).unwrap();
    socket.send(encode(&poll, Encoding::Binary)).unwrap();
    let (answer, _) = decode(socket.recv().unwrap().body().to_vec()).unwrap();
    assert_eq!(answer.mimetype(), "application/octet-stream");
    assert_eq!(answer.payload_binary()[..3], [0; 3]);
}

/// D3.
#[test]
fn what_a_client_asked_for_and_never_read_comes_back_in_its_order() {
    let scene = Scene::new(&QueueOptions::new(5000));
    let body = "x".repeat(5_000);
    for start in (0..2000).step_by(500) {
        let numbered =
            |number: usize| Message::plain_text(None, &number.to_string(), &body).unwrap();
        let batch: Vec<Message> = (start..start + 500).map(numbered).collect();
        scene.client.offer_all("q", &batch, NO_WAIT).unwrap();
    }
    let tcp = scene.broker.listen("tcp://127.0.0.1:0").unwrap();
    let socket = Pair1::with_options(&SocketOptions::new().send_timeout(SOON)).unwrap();
    socket.dial(&tcp.url()).unwrap();
    for _ in 0..40 {
        let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "100"}});
        socket.send(poll.to_string()).unwrap();
    }
    eventually("the answers are on their way", || scene.in_flight() > 0);
    socket.pipes()[0].close().unwrap();
    drop(socket);
    eventually("the broker knows", || scene.broker.connections() == 1);
    assert_eq!(scene.in_flight(), 0);
    let left = scene.size();
    assert!(left > 500 && left.is_multiple_of(100), "{left}");
    let mut expected = 2000 - left;
    while let Ok(messages) = scene.client.poll_up_to("q", 1000, NO_WAIT) {
        for message in messages {
            assert_eq!(message.subject(), expected.to_string());
            expected += 1;
        }
    }
    assert_eq!(expected, 2000);
}
