//! Batches in queues that outlive their broker.

use super::*;

fn kept(options: &LogOptions) -> Scene {
    let options = BrokerOptions::new().log(options);
    Scene::with(&options, &QueueOptions::new(1000).durable(true))
}

fn durable(words: &[&str]) -> Vec<Message> {
    let messages = texts(words).into_iter();
    messages.map(|message| message.with_durable(true)).collect()
}

#[test]
fn a_durable_batch_outlives_the_broker_whole_as_does_what_was_done_with_it() {
    let directory = tempfile::tempdir().unwrap();
    // A batch may be longer than a file of the log.
    let options = LogOptions::new(directory.path()).segment_size(16 << 10);
    let scene = kept(&options);
    let long = "x".repeat(10_000);
    let mut messages = durable(&["a", "b", "c", &long, &long, "d"]);
    messages[1] = text("not durable");
    scene.client.offer_all("q", &messages, NO_WAIT).unwrap();
    let leased = scene
        .client
        .poll_leased_up_to("q", 3, NO_WAIT, LONG)
        .unwrap();
    assert_eq!(leased.len(), 3);
    drop((leased, scene));

    let scene = kept(&options);
    let leased = scene
        .client
        .poll_leased_up_to("q", 3, NO_WAIT, LONG)
        .unwrap();
    let words: Vec<String> = leased.iter().map(|one| read(one.message())).collect();
    assert_eq!(words, ["a", "c", &long]);
    assert!(scene.client.ack_all(leased).unwrap().is_empty());
    drop(scene);

    let scene = kept(&options);
    assert_eq!(scene.drain(), [&long, "d"]);
    drop(scene);
    assert_eq!(kept(&options).size(), 0, "what was polled came back");
}

#[test]
fn a_durable_batch_is_recognised_by_the_next_broker_and_an_offer_of_one_is_not_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions::new(directory.path());
    let request = |kind: &str| {
        json!({"type": kind, "destination": "q", "durable": true, "request-id": "1",
            "headers": {"dedupe": "request-id"}, "data": [{"text": "a", "durable": true}]})
    };
    let scene = kept(&options);
    asks(&scene.stranger(), &request("OFFER_ALL"));
    drop(scene);
    let scene = kept(&options);
    let socket = scene.stranger();
    let again = asks(&socket, &request("OFFER_ALL"));
    assert_eq!(again["headers"]["duplicate"], "true");
    assert_eq!(scene.size(), 1);
    assert_eq!(asks(&socket, &request("OFFER"))["headers"], Value::Null);
    assert_eq!(scene.size(), 2);
}

#[test]
fn a_durable_queue_keeps_what_a_client_has_not_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let scene = kept(&LogOptions::new(directory.path()));
    scene
        .client
        .offer_all("q", &durable(&["a", "b"]), NO_WAIT)
        .unwrap();
    let socket = scene.stranger();
    let poll = json!({"type": "POLL_UP_TO", "destination": "q", "headers": {"count": "9", "confirm": "true"}});
    let answer = asks(&socket, &poll);
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    drop(socket);
    eventually("they are back", || scene.size() == 2);
    assert_eq!(scene.drain(), ["a", "b"]);
    eventually("it has heard of them", || scene.in_flight() == 0);
}

#[test]
fn what_was_rejected_together_is_as_it_was_said_to_be_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = BrokerOptions::new().log(&LogOptions::new(directory.path()));
    let open = || Scene::with_dead_letters(&options, &QueueOptions::new(100).durable(true));
    let scene = open();
    let lease = |scene: &Scene| {
        let leased = scene.client.poll_leased_up_to("q", 2, NO_WAIT, LONG);
        leased.unwrap()
    };
    let offered = durable(&[
        "dead 1", "dead 2", "again 1", "again 2", "later 1", "later 2",
    ]);
    scene.client.offer_all("q", &offered, NO_WAIT).unwrap();
    let [dead, again, later] = [lease(&scene), lease(&scene), lease(&scene)];
    for (leased, nack) in [
        (dead, Nack::DeadLetter),
        (again, Nack::Retry),
        (later, Nack::RetryIn(LONG)),
    ] {
        assert!(scene.client.nack_all(leased, nack).unwrap().is_empty());
    }
    drop(scene);

    let scene = open();
    let status = scene.broker.queue_status("q");
    assert_eq!((status.size, status.delayed), (4, 2));
    let again = lease(&scene);
    assert_eq!(words(&again), ["again 1", "again 2"]);
    assert!(again.iter().all(|one| one.attempts() == 2));
    let dead = scene.client.poll_up_to("dead", 10, NO_WAIT).unwrap();
    assert_eq!(reads(&dead), ["dead 1", "dead 2"]);
}
