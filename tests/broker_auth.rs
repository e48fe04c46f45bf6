//! Logging in at the broker, and what users may do there. Names in parentheses are those of the broker's specification.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{SOON, eventually, unique};
use serde_json::{Value, json};
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Error, Message,
    MessageType, Mode, QueueType, Role, Status,
};
use wirebird::{EndpointOptions, Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;

/// An authenticator that knows `root`, an administrator, and the users `ann` and `bob`. Their passwords are their names.
fn people() -> Authenticator {
    let auth = Authenticator::with_rounds(10);
    for (user, role) in [
        ("root", Role::Admin),
        ("ann", Role::User),
        ("bob", Role::User),
    ] {
        auth.add_credentials(user, user, role).unwrap();
    }
    auth
}

/// A broker that only this process reaches.
fn broker(auth: &Authenticator) -> (Broker, String) {
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(auth)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    (broker, url)
}

fn encrypting(auth: &Authenticator) -> (Broker, String) {
    let options = BrokerOptions::new().authenticator(auth).encrypt(true);
    let broker = Broker::with_options(&options).unwrap();
    let listener = broker.listen("tcp://127.0.0.1:0").unwrap();
    (broker, listener.url())
}

fn options(user: &str, password: &str) -> ClientOptions {
    let endpoint = EndpointOptions::new().reconnect_min(Duration::from_millis(5));
    ClientOptions::new()
        .endpoint(endpoint)
        .credentials(user, password)
}

fn connect(url: &str, user: &str) -> Client {
    Client::connect_with(url, &options(user, user)).expect("connects")
}

fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).expect("a message")
}

/// A client in another language.
struct Stranger(Pair1);

impl Stranger {
    fn connect(url: &str) -> Self {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let socket = Pair1::with_options(&options).unwrap();
        socket.dial(url).unwrap();
        Self(socket)
    }

    fn ask(&self, request: &Value) -> wirebird::Result<Value> {
        self.0.send(request.to_string())?;
        let answer = self.0.recv()?;
        Ok(serde_json::from_slice(answer.body()).expect("JSON"))
    }

    #[track_caller]
    fn status(&self, request: &Value) -> String {
        let answer = self.ask(request).expect("an answer");
        answer["status"].as_str().expect("a status").to_owned()
    }
}

fn login(text: &str) -> Value {
    json!({"type": "AUTHENTICATION", "mimetype": "text/plain", "text": text})
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status) {
    assert_eq!(result.expect_err("refused").status(), Some(status));
}

// ---- logging in ----

/// F120, golden 8.
#[test]
fn a_broker_does_not_let_passwords_go_over_a_network_in_the_clear() {
    let auth = people();
    let bare = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    for url in ["tcp://127.0.0.1:0", "tcp4://127.0.0.1:0", "socket://"] {
        let error = bare.listen(url).unwrap_err();
        assert_eq!(error, Error::Unprotected(url.into()));
        assert!(error.to_string().contains("encrypt"), "{error}");
    }
    #[cfg(feature = "ws")]
    assert!(matches!(
        bare.listener("ws://127.0.0.1:0/x"),
        Err(Error::Unprotected(_))
    ));
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("ipc://{}/socket", directory.path().display());
    bare.listen(&socket).expect("nobody else reads that");
    connect(&socket, "ann").heartbeat().unwrap();
    #[cfg(feature = "tls")]
    bare.listener("tls+tcp://127.0.0.1:0")
        .expect("TLS encrypts");
    encrypting(&auth);
}

/// The same, at the other end: golden 8.
#[test]
fn a_client_does_not_send_its_password_in_the_clear() {
    let open = Broker::new().unwrap();
    let url = open.listen("tcp://127.0.0.1:0").unwrap().url();
    let options = options("ann", "hidden");
    let error = Client::connect_with(&url, &options).unwrap_err();
    assert_eq!(error, Error::Unprotected(url.into()));
    assert_eq!(open.connections(), 0);
    assert!(!format!("{options:?}").contains("hidden"));
}

/// F121, F122, F123, golden 8.
#[test]
fn connecting_takes_the_right_user_and_password() {
    let (_broker, url) = encrypting(&people());
    let connect = |options: &ClientOptions| Client::connect_with(&url, options);
    let client = connect(&options("ann", "ann").encrypt(true)).unwrap();
    client.create_temporary_queue(1).expect("it is let in");
    for (user, password) in [("ann", "bob"), ("ann", "Ann"), ("nobody", "ann")] {
        let refused = connect(&options(user, password).encrypt(true)).unwrap_err();
        assert_eq!(refused.status(), Some(Status::NoPermission));
        assert!(refused.to_string().contains("wrong"), "{refused}");
    }
    let missing = connect(&ClientOptions::new().encrypt(true)).unwrap_err();
    assert_eq!(missing.status(), Some(Status::NoPermission));
    assert!(missing.to_string().contains("wants"), "{missing}");
    for (user, password) in [("", "x"), ("ann", " "), ("a\nb", "x"), ("ann", "x\ny")] {
        let error = connect(&options(user, password).encrypt(true)).unwrap_err();
        assert!(matches!(error, Error::Auth(_)), "{error}");
    }
}

/// F122, golden 8.
#[test]
fn credentials_that_the_broker_does_not_want_are_an_error() {
    let broker = Broker::new().unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let superfluous = Client::connect_with(&url, &options("ann", "ann"));
    assert_status(superfluous, Status::BadRequest);
}

/// F123.
#[test]
fn nothing_else_is_answered_before_the_login() {
    let (broker, url) = broker(&people());
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let stranger = Stranger::connect(&url);
    for kind in [
        "REQUEST",
        "PUBLISH",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "OFFER",
        "POLL",
        "CREATE_QUEUE",
        "CREATE_TEMP_QUEUE",
        "REMOVE_QUEUE",
        "STATUS_QUEUE",
        "PEEK_QUEUE",
        "PURGE_QUEUE",
        "LIST_QUEUES",
        "CREATE_TOPIC",
        "REMOVE_TOPIC",
        "STATUS_TOPIC",
        "LIST_TOPICS",
        "STATUS_FUNCTION",
        "SERVER_STATUS",
        "TEST",
        "RESPONSE",
    ] {
        let answer = stranger
            .ask(&json!({"type": kind, "destination": "q"}))
            .unwrap();
        assert_eq!(answer["status"], "NO_PERMISSION", "{kind}");
        assert_eq!(answer["text"], "log in first", "{kind}");
    }
    assert_eq!(stranger.status(&json!({"type": "HEARTBEAT"})), "OK");
    let config = stranger.ask(&json!({"type": "CLIENT_CONFIG"})).unwrap();
    assert_eq!(config["data"]["authentication"], true);
    assert_eq!(stranger.status(&login("ann\nann")), "OK");
    let offer = json!({"type": "OFFER", "destination": "q", "text": "x"});
    assert_eq!(stranger.status(&offer), "OK");
    assert_eq!(
        stranger.status(&login("bob\nbob")),
        "BAD_REQUEST",
        "it is ann"
    );
}

#[test]
fn a_login_is_two_lines_of_plain_text() {
    let (_broker, url) = broker(&people());
    let stranger = Stranger::connect(&url);
    for bad in [
        login(""),
        login("ann"),
        login("ann\nann\n"),
        json!({"type": "AUTHENTICATION", "mimetype": "text/html", "text": "ann\nann"}),
        json!({"type": "AUTHENTICATION", "data": {"user": "ann"}, "mimetype": "application/json"}),
    ] {
        assert_eq!(stranger.status(&bad), "BAD_REQUEST", "{bad}");
    }
    assert_eq!(stranger.status(&login("ann\nann")), "OK");
}

/// The client sleeps meanwhile, and nobody else reads the answer.
#[test]
fn a_login_that_takes_its_time_is_waited_for() {
    let auth = Authenticator::new();
    auth.add_credentials("ann", "ann", Role::User).unwrap();
    let (_broker, url) = encrypting(&auth);
    for _ in 0..3 {
        Client::connect_with(&url, &options("ann", "ann").encrypt(true)).unwrap();
    }
}

/// W9.
#[test]
fn after_ten_failures_from_an_address_nobody_there_is_looked_at() {
    let (broker, url) = encrypting(&people());
    let local = format!("inproc://{}", unique());
    broker.listen(&local).unwrap();
    let attempt = |user: &str, password: &str| {
        let options = options(user, password).encrypt(true);
        let client = Client::connect_with(&url, &options);
        client.map(drop).map_err(|error| error.status())
    };
    let mut failures = 0;
    // Somebody else each time, so that it is not a user who has failed too often.
    while attempt(&failures.to_string(), "guess") == Err(Some(Status::NoPermission)) {
        failures += 1;
        assert!(failures < 1000, "it can go on for ever");
    }
    assert!(failures >= 10, "only {failures}");
    assert_eq!(attempt("ann", "ann"), Err(Some(Status::RateLimited)));
    let here = options("ann", "ann").encrypt(true);
    Client::connect_with(&local, &here).expect("another address");
}

/// W9.
#[test]
fn a_connection_ends_after_three_failures() {
    let (broker, url) = broker(&people());
    let stranger = Stranger::connect(&url);
    let guess = login("ann\nguess");
    for _ in 0..2 {
        assert_eq!(stranger.status(&guess), "NO_PERMISSION");
    }
    // Whether the last answer still comes is a matter of luck.
    stranger.0.send(guess.to_string()).unwrap();
    eventually("it is cut off", || broker.connections() == 0);
}

/// F135: the connection stays.
#[test]
fn a_change_of_users_and_rights_is_in_force_at_once() {
    let auth = people();
    let (broker, url) = broker(&auth);
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    broker.create_topic("t").unwrap();
    let (ann, root) = (connect(&url, "ann"), connect(&url, "root"));
    ann.offer("q", text("x"), NO_WAIT).unwrap();
    let (heard, hearing) = mpsc::channel();
    ann.subscribe("t", move |_| heard.send(()).unwrap())
        .unwrap();
    assert_eq!(root.publish("t", text("x")).unwrap(), 1);
    hearing.recv_timeout(SOON).unwrap();

    auth.set_acl(DestinationType::Queue, "q", Mode::Read, "ann")
        .unwrap();
    auth.set_acl(DestinationType::Topic, "t", Mode::Write, "ann")
        .unwrap();
    assert_status(ann.offer("q", text("x"), NO_WAIT), Status::NoPermission);
    ann.poll("q", NO_WAIT).unwrap();
    assert_eq!(root.publish("t", text("x")).unwrap(), 0);

    auth.add_credentials("ann", "ann", Role::Admin).unwrap();
    ann.offer("q", text("x"), NO_WAIT).unwrap();
    ann.create_topic("made").unwrap();
    auth.remove_credentials("ann");
    let error = ann.poll("q", NO_WAIT).unwrap_err();
    assert!(error.to_string().contains("log in first"), "{error}");
    assert_eq!(broker.queue_status("q").size, 1);
}

#[test]
fn a_poll_that_waits_while_the_right_is_taken_gets_nothing_and_loses_nothing() {
    let auth = people();
    let (broker, url) = broker(&auth);
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let (ann, bob) = (connect(&url, "ann"), connect(&url, "bob"));
    let waiting = thread::spawn(move || ann.poll("q", Duration::MAX));
    eventually("it waits", || broker.stats().requests == 1);
    auth.set_acl(DestinationType::Queue, "q", Mode::Deny, "ann")
        .unwrap();
    bob.offer("q", text("kept"), NO_WAIT).unwrap();
    assert_status(waiting.join().unwrap(), Status::NoPermission);
    let kept = bob.poll("q", NO_WAIT).unwrap();
    assert_eq!(kept.payload_text().as_deref(), Some("kept"));
}

/// A client logs in again on each connection, before its subscriptions.
#[test]
fn a_client_that_comes_back_logs_in_again() {
    let auth = people();
    let url = format!("inproc://{}", unique());
    let start = || {
        let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
        broker.create_topic("t").unwrap();
        broker.listen(&url).unwrap();
        broker
    };
    let first = start();
    let client = connect(&url, "ann");
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("t", move |_| heard.send(()).unwrap())
        .unwrap();
    drop(first);
    let second = start();
    eventually("it is back", || client.publish("t", text("x")) == Ok(1));
    hearing.recv_timeout(SOON).unwrap();
    drop(second);
    auth.add_credentials("ann", "changed", Role::User).unwrap();
    let third = start();
    eventually("it is told", || {
        client.heartbeat().map_err(|error| error.status()) == Err(Some(Status::NoPermission))
    });
    assert_eq!(third.connections(), 1, "it does not try again and again");
}

/// F136, I63.
#[test]
fn clients_come_from_allowed_networks_only() {
    let auth = people();
    let (broker, url) = encrypting(&auth);
    let local = format!("inproc://{}", unique());
    broker.listen(&local).unwrap();
    let endpoint = EndpointOptions::new().reconnect_min(Duration::from_millis(5));
    let attempt = |url: &str| {
        let options = options("ann", "ann")
            .endpoint(endpoint.clone())
            .encrypt(true)
            .timeout(Duration::from_millis(300));
        Client::connect_with(url, &options)
    };
    attempt(&url).expect("all may, at first");
    auth.allow_network("10.0.0.0/8").unwrap();
    attempt(&url).expect_err("none of those");
    attempt(&local).expect("within the process");
    auth.allow_network("127.0.0.0/8").unwrap();
    attempt(&url).expect("one of those");
    assert!(auth.remove_network("127.0.0.0/8").unwrap());
    attempt(&url).expect_err("no longer");
    auth.clear_networks();
    attempt(&url).expect("all may again");
}

// ---- rights ----

/// F110, F135, golden 8: managing is for administrators, whatever the rights say.
#[test]
fn managing_is_for_administrators_alone() {
    let auth = people();
    let options = BrokerOptions::new().authenticator(&auth).open_admin(true);
    let broker = Broker::with_options(&options).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let (root, ann) = (connect(&url, "root"), connect(&url, "ann"));
    root.create_queue("q", 1, QueueType::Bounded).unwrap();
    root.create_topic("t").unwrap();
    assert_status(
        ann.create_queue("r", 1, QueueType::Bounded),
        Status::NoPermission,
    );
    assert_status(ann.create_topic("u"), Status::NoPermission);
    assert_status(ann.remove_queue("q"), Status::NoPermission);
    assert_status(ann.remove_topic("t"), Status::NoPermission);
    for kind in [
        MessageType::StatusQueue,
        MessageType::PurgeQueue,
        MessageType::PeekQueue,
        MessageType::ListQueues,
        MessageType::ServerStatus,
    ] {
        let ask = text("").addressed_to(kind, "q").unwrap();
        assert_eq!(ann.request(ask).unwrap().status(), Status::NoPermission);
    }
    ann.offer("q", text("x"), NO_WAIT)
        .expect("the connection goes on");
}

/// D12: rights are not asked for; the name is known to those who were told it.
#[test]
fn a_temporary_queue_takes_offers_of_all_users_and_polls_of_its_own() {
    let auth = people();
    auth.set_default_acl(DestinationType::Queue, Mode::Deny)
        .unwrap();
    let (_broker, url) = broker(&auth);
    let (ann, bob) = (connect(&url, "ann"), connect(&url, "bob"));
    let replies = ann.create_temporary_queue(1).unwrap();
    bob.offer(&replies, text("x"), NO_WAIT).unwrap();
    assert_status(bob.poll(&replies, NO_WAIT), Status::NoPermission);
    assert_status(
        connect(&url, "root").poll(&replies, NO_WAIT),
        Status::NoPermission,
    );
    ann.poll(&replies, NO_WAIT).unwrap();
}

#[test]
fn a_pattern_gets_only_what_may_be_subscribed_to() {
    let auth = people();
    auth.set_default_acl(DestinationType::Topic, Mode::Deny)
        .unwrap();
    auth.set_acl(DestinationType::Topic, "a/open", Mode::Read, "ann")
        .unwrap();
    let (broker, url) = broker(&auth);
    let (ann, root) = (connect(&url, "ann"), connect(&url, "root"));
    for topic in ["a/open", "a/shut"] {
        broker.create_topic(topic).unwrap();
        let kept = text(topic).with_header("retain", "true").unwrap();
        root.publish(topic, kept).unwrap();
    }
    let (heard, hearing) = mpsc::channel();
    ann.subscribe("a/*", move |message| {
        heard
            .send(message.destination().unwrap().to_owned())
            .unwrap();
    })
    .unwrap();
    let counts = ["a/shut", "a/open"].map(|topic| root.publish(topic, text("x")).unwrap());
    assert_eq!(counts, [0, 1]);
    for _ in 0..2 {
        assert_eq!(hearing.recv_timeout(SOON).unwrap(), "a/open");
    }
    ann.unsubscribe("a/*").expect("nobody is kept from leaving");
}

/// F124, golden 8.
#[test]
fn users_and_rights_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.json");
    let auth = people();
    auth.set_acl(DestinationType::Queue, "q", Mode::Write, "ann")
        .unwrap();
    auth.store(&file).unwrap();
    let (broker, url) = broker(&Authenticator::load(&file).unwrap());
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let ann = connect(&url, "ann");
    ann.offer("q", text("x"), NO_WAIT).unwrap();
    assert_status(ann.poll("q", NO_WAIT), Status::NoPermission);
    connect(&url, "root").remove_queue("q").unwrap();
    assert_status(
        Client::connect_with(&url, &options("ann", "bob")),
        Status::NoPermission,
    );
}
