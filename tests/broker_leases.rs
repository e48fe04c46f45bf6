//! Messages that clients keep until they say what became of them, and what becomes of those that fail.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{SOON, eventually, unique};
use serde_json::{Value, json};
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Error, Leased,
    Message, MessageType, Mode, Nack, QueueOptions, QueueType, Role, Status, decode, encode,
};
use wirebird::{Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);
/// So short that a test can wait for it.
const SHORT: Duration = Duration::from_millis(30);

/// A broker and two clients.
struct Place {
    broker: Broker,
    url: String,
    one: Client,
    two: Client,
}

fn place() -> Place {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    Place {
        one: Client::connect(&url).unwrap(),
        two: Client::connect(&url).unwrap(),
        broker,
        url,
    }
}

impl Place {
    fn queue(self, name: &str, options: &QueueOptions) -> Self {
        self.one.create_queue_with(name, options).unwrap();
        self
    }

    /// Until so many polls wait.
    fn waits(&self, count: usize) {
        eventually("polls wait", || {
            let counts = self.two.request(request(MessageType::ServerStatus, None));
            counts.unwrap().payload_data().unwrap()["waiting-count"] == count
        });
    }

    fn offer(&self, queue: &str, words: &[&str]) {
        for word in words {
            self.one.offer(queue, text(word), NO_WAIT).unwrap();
        }
    }
}

/// A broker with a queue, in which there are these.
fn holding(words: &[&str]) -> Place {
    let place = place().queue("q", &QueueOptions::new(100));
    place.offer("q", words);
    place
}

fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).expect("a message")
}

fn read(message: &Message) -> String {
    message.payload_text().expect("text").into_owned()
}

fn lease(client: &Client, queue: &str) -> Leased {
    client
        .poll_leased(queue, NO_WAIT, LONG)
        .expect("something in the queue")
}

fn next(client: &Client, queue: &str) -> String {
    read(&client.poll(queue, SOON).expect("a message"))
}

/// The broker counts whole milliseconds.
#[track_caller]
fn assert_took_a_while(start: Instant) {
    assert!(start.elapsed() + Duration::from_millis(1) >= SHORT);
}

#[track_caller]
fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status) {
    assert_eq!(result.expect_err("refused").status(), Some(status));
}

// ---- leases ----

#[test]
fn a_leased_message_is_nobody_elses_until_it_is_acknowledged() {
    let place = holding(&["a"]);
    let leased = lease(&place.one, "q");
    assert_eq!((read(leased.message()), leased.attempts()), ("a".into(), 1));
    assert_eq!(leased.message().headers().len(), 0);
    assert_status(place.two.poll("q", NO_WAIT), Status::QueueEmpty);
    let status = place.broker.queue_status("q");
    assert_eq!((status.size, status.in_flight), (0, 1));
    assert_eq!(read(&leased.ack().unwrap()), "a");
    assert_eq!(place.broker.queue_status("q").in_flight, 0);
    assert_status(place.two.poll("q", NO_WAIT), Status::QueueEmpty);
}

#[test]
fn a_lease_that_ends_gives_its_message_to_who_waits_and_what_is_said_too_late_is_stale() {
    let place = holding(&["a"]);
    let first = place.one.poll_leased("q", NO_WAIT, SHORT).unwrap();
    let second = place.two.poll_leased("q", SOON, LONG).unwrap();
    assert_eq!(second.attempts(), 2);
    assert_status(first.extend(LONG), Status::Stale);
    assert_status(first.ack(), Status::Stale);
    second.ack().expect("it is still this client's");
}

#[test]
fn who_waited_before_a_lease_began_gets_its_message_when_it_ends() {
    let place = holding(&[]);
    let polls = [(&place.one, SHORT), (&place.two, LONG)];
    let polls = [0, 1].map(|at| {
        let (client, lease) = (polls[at].0.clone(), polls[at].1);
        let poll = thread::spawn(move || client.poll_leased("q", SOON, lease).unwrap());
        place.waits(at + 1);
        poll
    });
    place.offer("q", &["a"]);
    let attempts = polls.map(|poll| poll.join().unwrap().attempts());
    assert_eq!(attempts, [1, 2]);
}

#[test]
fn who_waits_gets_what_is_rejected_when_it_is_time() {
    let place = holding(&["a"]);
    let leased = lease(&place.one, "q");
    let waiting = thread::spawn({
        let two = place.two.clone();
        move || next(&two, "q")
    });
    place.waits(1);
    leased.nack(Nack::RetryIn(SHORT)).unwrap();
    assert_eq!(waiting.join().unwrap(), "a");
}

#[test]
fn an_extended_lease_ends_when_it_was_extended_to() {
    let place = holding(&["a"]);
    let leased = place.one.poll_leased("q", NO_WAIT, LONG).unwrap();
    let start = Instant::now();
    leased.extend(SHORT).unwrap();
    let again = place.two.poll_leased("q", SOON, LONG).unwrap();
    assert_took_a_while(start);
    again.ack().unwrap();
}

#[test]
fn a_lease_as_long_as_a_connection_ends_with_it() {
    let place = holding(&["a", "b"]);
    let leased = place.one.poll_leased("q", NO_WAIT, Duration::MAX).unwrap();
    assert_eq!(next(&place.two, "q"), "b");
    let waiting = thread::spawn({
        let two = place.two.clone();
        move || next(&two, "q")
    });
    place.waits(1);
    drop(leased);
    place.one.close().unwrap();
    assert_eq!(waiting.join().unwrap(), "a");
}

#[test]
fn a_lease_of_a_time_outlives_its_connection() {
    let place = holding(&["a"]);
    let leased = place.one.poll_leased("q", NO_WAIT, LONG).unwrap();
    let token = leased.token().to_owned();
    place.one.close().unwrap();
    assert_status(place.two.poll("q", NO_WAIT), Status::QueueEmpty);
    let ack = request(MessageType::Ack, "q").with_header("lease-token", &token);
    assert!(place.two.request(ack.unwrap()).unwrap().is_ok());
}

#[test]
fn a_poll_that_has_to_wait_gets_its_lease_too() {
    let place = holding(&[]);
    let waiting = thread::spawn({
        let one = place.one.clone();
        move || one.poll_leased("q", SOON, LONG).unwrap()
    });
    place.waits(1);
    place
        .two
        .offer("q", text("late"), NO_WAIT)
        .expect("there is room");
    let leased = waiting.join().unwrap();
    assert_eq!(read(leased.message()), "late");
    leased.ack().unwrap();
}

#[test]
fn what_is_leased_takes_room() {
    let place = place().queue("q", &QueueOptions::new(1));
    place.offer("q", &["a"]);
    let leased = lease(&place.one, "q");
    assert_status(place.two.offer("q", text("b"), NO_WAIT), Status::QueueFull);
    leased.ack().unwrap();
    place.offer("q", &["b"]);
}

#[test]
fn a_client_of_any_kind_can_lease() {
    let place = holding(&["a"]);
    let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    socket.dial(&place.url).unwrap();
    let ask = |request: Value| {
        socket.send(request.to_string()).unwrap();
        serde_json::from_slice::<Value>(socket.recv().unwrap().body()).unwrap()
    };
    let poll = json!({"type": "POLL", "destination": "q", "headers": {"lease": "60000"}});
    let polled = ask(poll);
    assert_eq!(polled["text"], "a");
    assert_eq!(polled["headers"]["attempts"], "1");
    let token = polled["headers"]["lease-token"].clone();
    let ack = json!({"type": "ACK", "destination": "q", "headers": {"lease-token": token}});
    assert_eq!(ask(ack.clone())["status"], "OK");
    assert_eq!(ask(ack)["status"], "STALE");
}

#[test]
fn what_is_said_of_a_lease_has_to_make_sense() {
    let place = holding(&["a", "b"]).queue(
        "ring",
        &QueueOptions::new(1).queue_type(QueueType::Circular),
    );
    let leased = lease(&place.one, "q");
    let status = |kind, queue: &str, headers: &[(&str, &str)]| {
        let ask = headers
            .iter()
            .fold(request(kind, queue), |ask, (key, value)| {
                ask.with_header(key, value).unwrap()
            });
        place.two.request(ask).unwrap().status()
    };
    use MessageType::{Ack, Extend, Nack as No, Offer, Poll};
    let token = ("lease-token", leased.token());
    let bad = Status::BadRequest;
    assert_eq!(status(Ack, "q", &[]), bad);
    assert_eq!(status(Ack, "q", &[("lease-token", "x")]), Status::Stale);
    assert_eq!(status(Ack, "ring", &[token]), Status::Stale);
    assert_eq!(status(Ack, "none", &[token]), Status::QueueNotFound);
    assert_eq!(status(No, "q", &[token, ("delay", "-1")]), bad);
    assert_eq!(status(No, "q", &[token, ("dead-letter", "no")]), bad);
    let both = [token, ("dead-letter", "true"), ("delay", "1")];
    assert_eq!(status(No, "q", &both), bad);
    assert_eq!(status(Extend, "q", &[token]), bad);
    assert_eq!(status(Extend, "q", &[token, ("lease", "session")]), bad);
    assert_eq!(status(Poll, "q", &[("lease", "0")]), bad);
    assert_eq!(status(Poll, "ring", &[("lease", "5")]), bad);
    assert_eq!(status(Offer, "q", &[("priority", "10")]), bad);
    assert_eq!(status(Offer, "q", &[("delay", "soon")]), bad);
    leased.ack().expect("none of this has touched it");
    assert_eq!(next(&place.one, "q"), "b");
}

#[test]
fn who_may_not_poll_a_queue_may_not_say_anything_of_its_leases() {
    let auth = Authenticator::with_rounds(10);
    for (user, role) in [("root", Role::Admin), ("ann", Role::User)] {
        auth.add_credentials(user, user, role).unwrap();
    }
    auth.set_acl(DestinationType::Queue, "q", Mode::Write, "ann")
        .unwrap();
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let connect = |user: &str| {
        Client::connect_with(&url, &ClientOptions::new().credentials(user, user)).unwrap()
    };
    let (root, ann) = (connect("root"), connect("ann"));
    ann.offer("q", text("a"), NO_WAIT).unwrap();
    let leased = lease(&root, "q");
    let ack = request(MessageType::Ack, "q").with_header("lease-token", leased.token());
    let answer = ann.request(ack.unwrap()).unwrap();
    assert_eq!(answer.status(), Status::NoPermission);
    leased.ack().unwrap();
}

// ---- confirming ----

/// A broker that hands out one message, and keeps it until it is acknowledged.
#[test]
fn a_client_confirms_what_it_polls_from_who_waits_for_that() {
    let url = format!("inproc://{}", unique());
    let socket = Pair1::with_options(&SocketOptions::new().recv_timeout(SOON)).unwrap();
    socket.listen(&url).unwrap();
    let (said, words) = mpsc::channel();
    let broker = thread::spawn(move || {
        loop {
            let (ask, encoding) = decode(Bytes::from(socket.recv().unwrap())).unwrap();
            let answer = match ask.kind() {
                MessageType::Poll => text("kept").with_header("lease-token", "1-2").unwrap(),
                MessageType::Ack => return said.send(ask).unwrap(),
                _ => Message::data(None, "", json!({})).unwrap(),
            };
            let confirms = ask.kind() != MessageType::Poll || ask.header("confirm") == Some("true");
            assert!(confirms);
            let answer = answer.into_response(ask.id(), Status::Ok);
            socket.send(encode(&answer, encoding)).unwrap();
        }
    });
    let client = Client::connect(&url).unwrap();
    let message = client.poll("q", NO_WAIT).unwrap();
    assert_eq!(
        (read(&message), message.headers().len()),
        ("kept".into(), 0)
    );
    let word = words.recv_timeout(SOON).unwrap();
    assert_eq!(word.header("lease-token"), Some("1-2"));
    assert_eq!((word.destination(), word.is_oneway()), (Some("q"), true));
    broker.join().unwrap();
}

// ---- rejected ----

#[test]
fn what_is_rejected_comes_back_in_its_place_at_once_or_later() {
    let place = holding(&["a", "b", "c"]);
    let [a, b, c] = [(); 3].map(|()| lease(&place.one, "q"));
    c.nack(Nack::Retry).unwrap();
    b.nack(Nack::RetryIn(NO_WAIT)).unwrap();
    a.nack(Nack::RetryIn(LONG)).unwrap();
    assert_eq!(next(&place.two, "q"), "b");
    assert_eq!(place.broker.queue_status("q").delayed, 1);
    let c = lease(&place.two, "q");
    let start = Instant::now();
    c.nack(Nack::RetryIn(SHORT)).unwrap();
    assert_eq!(next(&place.two, "q"), "c");
    assert_took_a_while(start);
}

#[test]
fn what_was_not_tried_comes_back_at_once_and_counts_no_attempt() {
    let options = QueueOptions::new(10).max_attempts(1).backoff(LONG, LONG);
    let place = place().queue("q", &options);
    for word in ["a", "b"] {
        place.one.offer("q", text(word), NO_WAIT).unwrap();
    }
    for _ in 0..3 {
        let [a, b] = [(); 2].map(|()| lease(&place.one, "q"));
        assert_eq!([a.attempts(), b.attempts()], [1, 1]);
        b.nack(Nack::Untried).unwrap();
        let stale = place.one.nack_all(vec![a], Nack::Untried).unwrap();
        assert!(stale.is_empty());
    }
    assert_eq!(next(&place.two, "q"), "a");
    assert_eq!(next(&place.two, "q"), "b");
}

#[test]
fn what_fails_too_often_is_a_dead_letter_and_tells_its_story() {
    let dead = QueueOptions::new(10);
    let options = QueueOptions::new(10)
        .max_attempts(2)
        .backoff(SHORT, LONG)
        .dead_letter("dead");
    let place = place().queue("dead", &dead).queue("q", &options);
    let job = text("bad").with_header("trace", "7").unwrap();
    place.one.offer("q", job, NO_WAIT).unwrap();
    let start = Instant::now();
    lease(&place.one, "q").nack(Nack::Retry).unwrap();
    let again = place.one.poll_leased("q", SOON, LONG).unwrap();
    assert_took_a_while(start);
    again.nack(Nack::RetryIn(NO_WAIT)).unwrap();

    let letter = place.two.poll("dead", NO_WAIT).unwrap();
    assert_eq!(read(&letter), "bad");
    let header = |key: &str| letter.header(key).unwrap_or("none").to_owned();
    assert_eq!(header("dead-letter-reason"), "max-attempts");
    assert_eq!(header("dead-letter-origin"), "q");
    assert_eq!(header("dead-letter-attempts"), "2");
    assert_eq!(header("trace"), "7");
    let times = ["offered", "tried", "died"].map(|what| {
        header(&format!("dead-letter-{what}-at"))
            .parse::<i64>()
            .unwrap()
    });
    assert!(
        times[0] + 30 <= times[1] && times[1] <= times[2],
        "{times:?}"
    );
    let stats = place.broker.stats();
    assert_eq!((stats.failed_items, stats.dead_letters), (1, 1));
}

#[test]
fn dead_letters_go_back_to_where_they_came_from_or_somewhere_else() {
    let dying = QueueOptions::new(10).dead_letter("dead");
    let place = place()
        .queue("dead", &QueueOptions::new(10))
        .queue("other", &QueueOptions::new(10))
        .queue("p", &dying)
        .queue("q", &dying);
    place.offer("p", &["a", "b"]);
    place.offer("q", &["c"]);
    for queue in ["p", "p", "q"] {
        lease(&place.one, queue).nack(Nack::DeadLetter).unwrap();
    }
    place.offer("dead", &["stranger"]);
    assert_eq!(place.one.redrive("dead", None).unwrap(), 3);
    let back = lease(&place.two, "p");
    assert_eq!((read(back.message()), back.attempts()), ("a".into(), 1));
    assert_eq!(back.message().headers().len(), 0);
    assert_eq!(next(&place.two, "p"), "b");
    assert_eq!(next(&place.two, "q"), "c");
    assert_eq!(place.broker.queue_status("dead").size, 1);
    assert_eq!(place.one.redrive("dead", None).unwrap(), 0);
    assert_eq!(place.one.redrive("dead", Some("other")).unwrap(), 1);
    assert_eq!(next(&place.two, "other"), "stranger");
    let nowhere = place.one.redrive("dead", Some("none"));
    assert_status(nowhere, Status::QueueNotFound);
    let itself = place.one.redrive("dead", Some("dead"));
    assert_status(itself, Status::BadRequest);
}

#[test]
fn dead_letters_that_find_no_room_stay_in_their_order() {
    let place = place()
        .queue("dead", &QueueOptions::new(10))
        .queue("q", &QueueOptions::new(2).dead_letter("dead"));
    for word in ["a", "b", "c"] {
        place.offer("q", &[word]);
        lease(&place.one, "q").nack(Nack::DeadLetter).unwrap();
    }
    place.offer("q", &["d"]);
    assert_eq!(place.one.redrive("dead", None).unwrap(), 1);
    assert_eq!(next(&place.two, "q"), "d");
    assert_eq!(next(&place.two, "q"), "a");
    assert_eq!(next(&place.two, "dead"), "b");
    assert_eq!(next(&place.two, "dead"), "c");
}

#[test]
fn a_full_queue_for_dead_letters_loses_them_and_that_is_counted() {
    let place = place()
        .queue("dead", &QueueOptions::new(1))
        .queue("q", &QueueOptions::new(10).dead_letter("dead"));
    place.offer("q", &["a", "b"]);
    for _ in 0..2 {
        lease(&place.one, "q").nack(Nack::DeadLetter).unwrap();
    }
    assert_eq!(next(&place.two, "dead"), "a");
    let stats = place.broker.stats();
    assert_eq!((stats.dead_letters, stats.dead_letters_lost), (1, 1));
}

#[test]
fn a_queue_for_dead_letters_is_there_as_long_as_it_is_needed() {
    let options = QueueOptions::new(10).dead_letter("dead");
    let place = place();
    let early = place.one.create_queue_with("q", &options);
    assert_status(early, Status::QueueNotFound);
    let place = place
        .queue("dead", &QueueOptions::new(10))
        .queue("q", &options)
        .queue("q", &options);
    assert_status(place.one.remove_queue("dead"), Status::Conflict);
    place.one.remove_queue("q").unwrap();
    place.one.remove_queue("dead").unwrap();
}

#[test]
fn options_of_a_queue_that_cannot_be_are_refused() {
    let place = place();
    let year = Duration::from_secs(366 * 24 * 3600);
    let options = || QueueOptions::new(1);
    for wrong in [
        options().max_attempts(1_000_001),
        options().backoff(LONG, SHORT),
        options().backoff(year, year),
        options().expiry(NO_WAIT),
        options().expiry(Duration::MAX),
    ] {
        let made = place.one.create_queue_with("q", &wrong);
        assert_status(made, Status::BadRequest);
        let made = place.broker.create_queue_with("q", &wrong);
        assert_status(made, Status::BadRequest);
    }
}

// ---- order and time ----

#[test]
fn higher_priorities_are_polled_first() {
    let place = holding(&["normal"]);
    for (word, priority) in [("low", "0"), ("high", "9")] {
        let message = text(word).with_header("priority", priority).unwrap();
        place.one.offer("q", message, NO_WAIT).unwrap();
    }
    let order = [(); 3].map(|()| next(&place.two, "q"));
    assert_eq!(order, ["high", "normal", "low"]);
}

#[test]
fn a_delayed_message_comes_when_it_is_time_to_who_waits() {
    let place = holding(&[]);
    let offer = |word, delay| {
        let message = text(word).with_header("delay", delay).unwrap();
        place.one.offer("q", message, NO_WAIT).unwrap();
    };
    offer("much later", "3600000");
    assert_status(place.two.poll("q", NO_WAIT), Status::QueueEmpty);
    assert_eq!(place.broker.queue_status("q").delayed, 1);
    let start = Instant::now();
    offer("later", "30");
    assert_eq!(next(&place.two, "q"), "later");
    assert_took_a_while(start);
}

#[test]
fn what_expires_goes_to_the_dead_letters_by_itself() {
    let options = QueueOptions::new(10).expiry(SHORT).dead_letter("dead");
    let place = place()
        .queue("dead", &QueueOptions::new(10))
        .queue("q", &options);
    let own = text("by its own rule");
    let soon = own.timestamp() + 20;
    let own = own.with_expires_at(soon).with_header("delay", "3600000");
    place.one.offer("q", own.unwrap(), NO_WAIT).unwrap();
    place.offer("q", &["by the queue's"]);
    for _ in 0..2 {
        let letter = place.two.poll("dead", SOON).unwrap();
        assert_eq!(letter.header("dead-letter-reason"), Some("expired"));
        assert_eq!((letter.expires_at(), letter.header("delay")), (None, None));
    }
    assert_eq!(place.broker.queue_status("q").size, 0);
}

#[test]
fn a_message_whose_headers_leave_no_room_for_those_of_the_broker_is_refused() {
    let place = holding(&[]);
    let with = |count: usize, value: &str| {
        (0..count).fold(text("x"), |message, number| {
            message.with_header(&format!("h{number}"), value).unwrap()
        })
    };
    let fits = with(118, "v");
    place.one.offer("q", fits, NO_WAIT).unwrap();
    lease(&place.two, "q").ack().unwrap();
    let many = place.one.offer("q", with(119, "v"), NO_WAIT);
    assert_status(many, Status::BadRequest);
    let long = place.one.offer("q", with(1, &"v".repeat(64_600)), NO_WAIT);
    assert_status(long, Status::BadRequest);
}

fn request<'a>(kind: MessageType, destination: impl Into<Option<&'a str>>) -> Message {
    let empty = Message::plain_text(None, "", "").unwrap();
    empty.addressed_to(kind, destination).unwrap()
}
