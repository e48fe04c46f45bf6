//! Endpoints of a broker: plain sockets tied to queues and topics. Those of functions are in broker_workers.rs.

mod common;

use std::time::Duration;

use common::{SOON, eventually, unique};
use wirebird::broker::{
    Attached, Authenticator, Broker, BrokerOptions, Client, DestinationType, Endpoint,
    EndpointKind, Error, Message, MessageType, Mode, QueueType, Role, Status,
};
use wirebird::{EndpointOptions, Pub, Pull, Push, SocketOptions, Sub};

const NO_WAIT: Duration = Duration::ZERO;
const ANYWHERE: &str = "tcp://127.0.0.1:0";

/// A broker with a queue `jobs` for so many messages and a topic `news`, and a client of it.
fn broker(capacity: usize) -> (Broker, Client) {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    broker
        .create_queue("jobs", capacity, QueueType::Bounded)
        .unwrap();
    broker.create_topic("news").unwrap();
    let listener = broker.listen(ANYWHERE).unwrap();
    let client = Client::connect(&listener.url()).unwrap();
    (broker, client)
}

/// An endpoint that listens, and where.
fn listening(broker: &Broker, endpoint: Endpoint) -> (Attached, String) {
    let attached = broker.endpoint(endpoint).unwrap();
    let url = attached.listen(ANYWHERE).unwrap();
    (attached, url)
}

/// Waits until the endpoint has so many peers, because a dialer has its pipe before the listener does.
fn peers(endpoint: &Attached, count: usize) {
    eventually("the endpoint has its peers", || {
        endpoint.status().peers == count
    });
}

fn text(text: &str) -> Message {
    Message::plain_text(None, "", text).unwrap()
}

fn read(message: &Message) -> String {
    String::from_utf8(message.payload_binary().to_vec()).unwrap()
}

fn received(pull: &Pull) -> String {
    let message = pull.recv_timeout(SOON).unwrap();
    String::from_utf8(message.body().to_vec()).unwrap()
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status) {
    assert_eq!(result.expect_err("refused").status(), Some(status));
}

// ---- queues ----

#[test]
fn what_push_peers_send_is_in_the_queue_in_order() {
    let (broker, client) = broker(100);
    let (endpoint, url) = listening(&broker, Endpoint::queue_in("jobs"));
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    for number in 0..10 {
        push.send(number.to_string()).unwrap();
    }
    for number in 0..10 {
        let job = client.poll("jobs", SOON).unwrap();
        assert_eq!(job.mimetype(), "application/octet-stream");
        assert_eq!(read(&job), number.to_string());
    }
    assert_eq!(endpoint.status().received, 10);
}

#[test]
fn payloads_are_text_if_the_endpoint_says_so_and_they_are() {
    let (broker, client) = broker(100);
    let (_endpoint, url) = listening(&broker, Endpoint::queue_in("jobs").text(true));
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    push.send("größer").unwrap();
    push.send([0xff, 0xfe]).unwrap();
    let job = client.poll("jobs", SOON).unwrap();
    assert_eq!(job.mimetype(), "text/plain");
    assert_eq!(job.payload_text().as_deref(), Some("größer"));
    let job = client.poll("jobs", SOON).unwrap();
    assert_eq!(job.mimetype(), "application/octet-stream");
    assert_eq!(&job.payload_binary()[..], [0xff, 0xfe]);
}

#[test]
fn a_full_queue_holds_push_peers_up_and_loses_nothing() {
    const SIZE: usize = 64 << 10;
    const MOST: usize = 2000;
    let (broker, client) = broker(2);
    let (endpoint, url) = listening(&broker, Endpoint::queue_in("jobs"));
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    let message = |number: usize| {
        let mut body = vec![0; SIZE];
        body[..8].copy_from_slice(&(number as u64).to_be_bytes());
        body
    };
    let mut sent = 0;
    while sent < MOST
        && push
            .send_timeout(message(sent), Duration::from_millis(200))
            .is_ok()
    {
        sent += 1;
    }
    assert!(
        sent < MOST,
        "a peer is read from although the queue is full"
    );
    assert_eq!(broker.queue_status("jobs").size, 2);
    // Those in the queue, and the one that waits for room.
    eventually("no more are read", || endpoint.status().received == 3);
    assert_eq!(endpoint.status().trouble, None, "it waits for room");
    for number in 0..sent {
        let job = client.poll("jobs", SOON).unwrap();
        assert!(job.payload_binary()[..8] == (number as u64).to_be_bytes());
    }
    assert_status(client.poll("jobs", NO_WAIT), Status::QueueEmpty);
}

#[test]
fn a_queue_without_pull_peers_keeps_its_items_until_one_comes() {
    let (broker, client) = broker(100);
    let (endpoint, url) = listening(&broker, Endpoint::queue_out("jobs"));
    for job in ["a", "b", "c"] {
        client.offer("jobs", text(job), NO_WAIT).unwrap();
    }
    assert_eq!(broker.queue_status("jobs").size, 3);
    let pull = Pull::new().unwrap();
    pull.dial(&url).unwrap();
    assert_eq!([(); 3].map(|()| received(&pull)), ["a", "b", "c"]);
    eventually("all is told", || endpoint.status().sent == 3);
    assert_eq!(broker.queue_status("jobs").size, 0);
}

#[test]
fn an_item_that_comes_when_the_pull_peer_has_left_stays_in_its_place() {
    let (broker, client) = broker(100);
    let (endpoint, url) = listening(&broker, Endpoint::queue_out("jobs"));
    let pull = Pull::new().unwrap();
    pull.dial(&url).unwrap();
    client.offer("jobs", text("first"), NO_WAIT).unwrap();
    assert_eq!(received(&pull), "first");
    pull.close().unwrap();
    peers(&endpoint, 0);
    // The endpoint's poll still waits in the broker, and gets the first of these.
    for job in ["a", "b", "c"] {
        client.offer("jobs", text(job), NO_WAIT).unwrap();
    }
    eventually("the item is back", || broker.queue_status("jobs").size == 3);
    let pull = Pull::new().unwrap();
    pull.dial(&url).unwrap();
    assert_eq!([(); 3].map(|()| received(&pull)), ["a", "b", "c"]);
}

#[test]
fn pull_peers_share_a_queue_and_one_that_does_not_read_leaves_it_to_the_others() {
    const JOBS: usize = 400;
    let (broker, client) = broker(JOBS);
    let (endpoint, url) = listening(&broker, Endpoint::queue_out("jobs"));
    let (idle, busy) = (Pull::new().unwrap(), Pull::new().unwrap());
    idle.dial(&url).unwrap();
    busy.dial(&url).unwrap();
    peers(&endpoint, 2);
    let job = Message::binary(None, "", "application/octet-stream", vec![7; 64 << 10]).unwrap();
    for _ in 0..JOBS {
        client.offer("jobs", job.clone(), SOON).unwrap();
    }
    let mut done = 0;
    eventually("all are handed over", || {
        while busy.try_recv().is_ok() {
            done += 1;
        }
        broker.queue_status("jobs").size == 0 && endpoint.status().sent == JOBS as u64
    });
    assert!(done > JOBS / 2, "only {done} of {JOBS}");
}

#[test]
fn an_endpoint_waits_for_its_queue() {
    let (broker, client) = broker(1);
    let (filling, url) = listening(&broker, Endpoint::queue_in("later"));
    let (_draining, out) = listening(&broker, Endpoint::queue_out("later"));
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    push.dial(&url).unwrap();
    pull.dial(&out).unwrap();
    push.send("early").unwrap();
    eventually("the endpoint says what it waits for", || {
        let trouble = filling.status().trouble;
        trouble.is_some_and(|text| text == "QUEUE_NOT_FOUND: there is no queue later")
    });
    client.create_queue("later", 5, QueueType::Bounded).unwrap();
    assert_eq!(received(&pull), "early");
    eventually("nothing is wrong any more", || {
        filling.status().trouble.is_none()
    });
}

#[test]
fn work_goes_from_push_peers_to_pull_peers_over_any_transport() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _client) = broker(10);
    let urls = [
        ANYWHERE.to_owned(),
        format!("ipc://{}/socket", directory.path().display()),
        format!("inproc://{}", unique()),
    ];
    let filling = broker.endpoint(Endpoint::queue_in("jobs")).unwrap();
    let draining = broker.endpoint(Endpoint::queue_out("jobs")).unwrap();
    // One of the two dials.
    let pull = Pull::new().unwrap();
    draining
        .dial(&pull.listen(ANYWHERE).unwrap().url())
        .unwrap();
    for url in &urls {
        let push = Push::new().unwrap();
        push.dial(&filling.listen(url).unwrap()).unwrap();
        push.send(&**url).unwrap();
        assert_eq!(received(&pull), *url);
    }
    assert_eq!(filling.status().urls.len(), 3);
}

#[test]
fn messages_beyond_the_limit_cut_their_peer_off() {
    let options = BrokerOptions::new().max_message_size(2 << 10);
    let broker = Broker::with_options(&options).unwrap();
    broker.create_queue("jobs", 9, QueueType::Bounded).unwrap();
    let (endpoint, url) = listening(&broker, Endpoint::queue_in("jobs"));
    let push = Push::new().unwrap();
    let events = push.monitor();
    push.dial(&url).unwrap();
    push.send(vec![0; 2 << 10]).unwrap();
    eventually("the longest is taken", || {
        broker.queue_status("jobs").size == 1
    });
    push.send(vec![0; 4 << 10]).unwrap();
    loop {
        if let wirebird::Event::Removed { .. } = events.recv_timeout(SOON).unwrap() {
            break;
        }
    }
    // Over inproc the transport does not look.
    let inproc = endpoint.listen(&format!("inproc://{}", unique())).unwrap();
    let push = Push::new().unwrap();
    push.dial(&inproc).unwrap();
    push.send(vec![0; 4 << 10]).unwrap();
    eventually("it is refused", || endpoint.status().refused == 1);
    assert_eq!(broker.queue_status("jobs").size, 1);
}

// ---- topics ----

#[test]
fn publications_go_from_pub_peers_to_subscribers_and_sub_peers() {
    let (broker, client) = broker(1);
    let (feeding, into) = listening(&broker, Endpoint::topic_in("news"));
    let (fanning, out) = listening(&broker, Endpoint::topic_out("news"));
    let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
    sub.subscribe("weather").unwrap();
    sub.dial(&out).unwrap();
    publisher.dial(&into).unwrap();
    peers(&feeding, 1);
    peers(&fanning, 1);
    let (told, heard) = std::sync::mpsc::channel();
    client
        .subscribe("news", move |message| {
            let _ = told.send(read(message));
        })
        .unwrap();
    publisher.send("sports: 1:0").unwrap();
    publisher.send("weather: rain").unwrap();
    assert_eq!(heard.recv_timeout(SOON).unwrap(), "sports: 1:0");
    assert_eq!(heard.recv_timeout(SOON).unwrap(), "weather: rain");
    assert_eq!(sub.recv_timeout(SOON).unwrap().body(), b"weather: rain");
    client.publish("news", text("weather: sun")).unwrap();
    assert_eq!(sub.recv_timeout(SOON).unwrap().body(), b"weather: sun");
}

#[test]
fn sub_peers_may_have_the_topic_in_front() {
    let (broker, client) = broker(1);
    broker.create_topic("newsletter").unwrap();
    let (endpoint, url) = listening(&broker, Endpoint::topic_out(">").prefix(true));
    let sub = Sub::new().unwrap();
    sub.subscribe(b"news\0").unwrap();
    sub.dial(&url).unwrap();
    peers(&endpoint, 1);
    client.publish("newsletter", text("no")).unwrap();
    client.publish("news", text("yes")).unwrap();
    assert_eq!(sub.recv_timeout(SOON).unwrap().body(), b"news\0yes");
}

#[test]
fn a_sub_peer_that_does_not_read_holds_up_nobody() {
    const COUNT: u32 = 3000;
    let (broker, client) = broker(1);
    let (endpoint, url) = listening(&broker, Endpoint::topic_out("news"));
    let (slow, quick) = (Sub::new().unwrap(), Sub::new().unwrap());
    let options = SocketOptions::new().recv_buffer(1).prefer_new(false);
    slow.set_options(&options).unwrap();
    for sub in [&slow, &quick] {
        sub.subscribe("").unwrap();
        sub.dial(&url).unwrap();
    }
    peers(&endpoint, 2);
    for number in 0..COUNT {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(10 << 10, 0);
        let message = Message::binary(None, "", "application/octet-stream", body).unwrap();
        client.publish("news", message).unwrap();
    }
    loop {
        let message = quick.recv_timeout(SOON).unwrap();
        if message.body()[..4] == (COUNT - 1).to_be_bytes() {
            break;
        }
    }
}

#[test]
fn a_topic_that_is_made_again_is_heard_again() {
    let (broker, client) = broker(1);
    let (endpoint, url) = listening(&broker, Endpoint::topic_out("news"));
    let (feeding, into) = listening(&broker, Endpoint::topic_in("news"));
    let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
    sub.subscribe("").unwrap();
    sub.dial(&url).unwrap();
    publisher.dial(&into).unwrap();
    peers(&endpoint, 1);
    peers(&feeding, 1);
    broker.remove_topic("news");
    publisher.send("lost").unwrap();
    eventually("what is lost is counted", || feeding.status().refused == 1);
    eventually("it is told", || endpoint.status().trouble.is_some());
    broker.create_topic("news").unwrap();
    eventually("it is subscribed to again", || {
        client.publish("news", text("again")).unwrap();
        sub.try_recv().is_ok()
    });
}

// ---- making and ending them ----

#[test]
fn an_endpoint_ends_when_it_is_told_and_with_its_broker() {
    let (broker, client) = broker(10);
    let (first, url) = listening(&broker, Endpoint::queue_out("jobs"));
    let (second, other) = listening(&broker, Endpoint::topic_out("news"));
    let (pull, sub) = (Pull::new().unwrap(), Sub::new().unwrap());
    pull.dial(&url).unwrap();
    sub.dial(&other).unwrap();
    peers(&first, 1);
    peers(&second, 1);
    assert_eq!(broker.endpoints().len(), 2);
    first.close();
    peers(&first, 0);
    let kinds: Vec<_> = broker.endpoints().iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [EndpointKind::TopicOut]);
    // Its poll is gone with it.
    client.offer("jobs", text("kept"), NO_WAIT).unwrap();
    assert_eq!(read(&client.poll("jobs", NO_WAIT).unwrap()), "kept");
    assert!(first.listen(ANYWHERE).is_err());
    broker.close().unwrap();
    peers(&second, 0);
    assert!(broker.endpoint(Endpoint::topic_in("news")).is_err());
}

#[test]
fn the_broker_shows_its_endpoints() {
    let (broker, client) = broker(10);
    let (endpoint, url) = listening(&broker, Endpoint::queue_in("jobs"));
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    push.send("x").unwrap();
    client.poll("jobs", SOON).unwrap();
    peers(&endpoint, 1);
    let status = || {
        let request = text("").addressed_to(MessageType::ServerStatus, None);
        let answer = client.request(request.unwrap()).unwrap();
        answer.payload_data().unwrap()
    };
    let shown = status();
    assert_eq!(shown["connection-count"], 1);
    let expected = serde_json::json!([{
        "kind": "queue-in", "destination": "jobs", "urls": [url], "peers": 1,
        "received": 1, "sent": 0, "refused": 0, "trouble": null,
    }]);
    assert_eq!(shown["endpoints"], expected);
    endpoint.close();
    assert_eq!(status()["endpoints"], serde_json::json!([]));
}

#[test]
fn unusable_endpoints_are_refused() {
    let (broker, _client) = broker(10);
    for endpoint in [
        Endpoint::queue_in("a b"),
        Endpoint::topic_in("news/*"),
        Endpoint::topic_out("ne*ws"),
        Endpoint::queue_out("jobs").prefix(true),
    ] {
        assert_status(broker.endpoint(endpoint), Status::BadRequest);
    }
    for endpoint in [
        Endpoint::function("f").calls(0),
        Endpoint::workers("f").deadline(Duration::ZERO),
    ] {
        let refused = broker.endpoint(endpoint).unwrap_err();
        assert!(
            matches!(refused, Error::Socket(wirebird::Error::InvalidOption(_))),
            "{refused}"
        );
    }
    assert!(broker.endpoints().is_empty());
    let user = Endpoint::queue_in("jobs").user("ann");
    assert_status(broker.endpoint(user), Status::NoPermission);
}

// ---- rights ----

/// A broker with the user `ann`, who may not offer to the queue `closed`, and queues.
fn with_users() -> (Broker, Authenticator) {
    let auth = Authenticator::with_rounds(10);
    auth.add_credentials("ann", "ann", Role::User).unwrap();
    let options = BrokerOptions::new().encrypt(true).authenticator(&auth);
    let broker = Broker::with_options(&options).unwrap();
    for queue in ["open", "closed"] {
        broker.create_queue(queue, 9, QueueType::Bounded).unwrap();
    }
    auth.set_acl(DestinationType::Queue, "closed", Mode::Deny, "ann")
        .unwrap();
    (broker, auth)
}

#[test]
fn with_users_an_endpoint_is_one_of_them_and_may_do_what_that_one_may() {
    let (broker, auth) = with_users();
    for endpoint in [
        Endpoint::queue_in("open"),
        Endpoint::queue_in("open").user("bob"),
    ] {
        assert_status(broker.endpoint(endpoint), Status::NoPermission);
    }
    let push = |queue: &str| {
        let (endpoint, url) = listening(&broker, Endpoint::queue_in(queue).user("ann"));
        let push = Push::new().unwrap();
        push.dial(&url).unwrap();
        push.send("x").unwrap();
        endpoint
    };
    push("open");
    let size = |queue: &str| broker.queue_status(queue).size;
    eventually("it is there", || size("open") == 1);
    let endpoint = push("closed");
    eventually("it is refused", || {
        let trouble = endpoint.status().trouble.unwrap_or_default();
        trouble.starts_with("NO_PERMISSION: ann may not")
    });
    assert_eq!(size("closed"), 0);
    auth.set_acl(DestinationType::Queue, "closed", Mode::Write, "ann")
        .unwrap();
    eventually("it has not been lost", || size("closed") == 1);
    // Without a user nothing is checked.
    let trusted = Endpoint::queue_in("closed").insecure(true);
    let (_endpoint, url) = listening(&broker, trusted);
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    push.send("x").unwrap();
    eventually("it is there", || size("closed") == 2);
}

#[test]
fn a_users_endpoint_is_not_shown_to_other_machines_by_accident() {
    let (broker, _auth) = with_users();
    let endpoint = broker
        .endpoint(Endpoint::queue_in("open").user("ann"))
        .unwrap();
    for url in ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://[::]:0"] {
        let refused = endpoint.listen(url).unwrap_err();
        assert!(matches!(refused, Error::Exposed(_)), "{refused}");
    }
    assert!(endpoint.status().urls.is_empty());
    let insecure = Endpoint::queue_in("open").user("ann").insecure(true);
    let endpoint = broker.endpoint(insecure).unwrap();
    endpoint.listen("tcp://0.0.0.0:0").unwrap();
}

#[test]
fn peers_come_from_allowed_networks_only() {
    let (broker, auth) = with_users();
    auth.allow_network("10.0.0.0/8").unwrap();
    let (endpoint, url) = listening(&broker, Endpoint::queue_in("open").user("ann"));
    let push = Push::new().unwrap();
    let options = EndpointOptions::new().reconnect_min(Duration::from_millis(5));
    push.set_options(&SocketOptions::new().endpoint(options))
        .unwrap();
    let events = push.monitor();
    push.dial_background(&url).unwrap();
    loop {
        if let wirebird::Event::Removed { .. } = events.recv_timeout(SOON).unwrap() {
            break;
        }
    }
    assert_eq!(endpoint.status().peers, 0);
    auth.allow_network("127.0.0.0/8").unwrap();
    peers(&endpoint, 1);
}
