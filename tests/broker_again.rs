//! Requests that say that they may come again are done once (F173 of the broker's specification).

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{SOON, eventually, unique};
use wirebird::Pair1;
use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Encoding,
    HandlerError, Message, MessageType, Mode, QueueType, Role, Status, encode,
};

const NO_WAIT: Duration = Duration::ZERO;

fn with(options: &BrokerOptions) -> (Broker, Client) {
    let broker = Broker::with_options(options).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let client = Client::connect(&url).unwrap();
    (broker, client)
}

fn broker() -> (Broker, Client) {
    with(&BrokerOptions::new())
}

/// A request that may come again, with a request id.
fn request(kind: MessageType, destination: &str, id: &str, text: &str) -> Message {
    let message = Message::plain_text(id, "test", text).unwrap();
    message
        .addressed_to(kind, destination)
        .and_then(|message| message.with_header("dedupe", "request-id"))
        .unwrap()
}

fn read(message: &Message) -> String {
    message.payload_text().unwrap().into_owned()
}

/// A function that answers with how often it was called.
fn count(broker: &Broker, name: &str) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let count = move |request: &Message| {
        let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = Message::plain_text(request.request_id(), "", call);
        answer.map(Some).map_err(Into::into)
    };
    broker.create_function(name, count).unwrap();
    calls
}

fn in_background(client: &Client, request: Message) -> JoinHandle<Message> {
    let client = client.clone();
    thread::spawn(move || client.request(request).unwrap())
}

fn call(id: &str) -> Message {
    request(MessageType::Request, "count", id, "x")
}

fn offer(id: &str, text: &str) -> Message {
    request(MessageType::Offer, "q", id, text)
}

#[test]
fn a_call_that_comes_again_has_the_answer_of_the_first() {
    let (broker, client) = broker();
    let calls = count(&broker, "count");
    let first = client.request(call("a")).unwrap();
    assert_eq!(
        (read(&first), first.header("duplicate")),
        ("1".into(), None)
    );
    let again = client.copy().unwrap().request(call("a")).unwrap();
    assert_eq!(read(&again), "1");
    assert_eq!(again.header("duplicate"), Some("true"));
    assert_ne!(again.id(), first.id());
    assert_eq!(read(&client.request(call("b")).unwrap()), "2");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(broker.stats().duplicates, 1);
}

#[test]
fn request_ids_may_repeat_where_nothing_is_said() {
    let (broker, client) = broker();
    let calls = count(&broker, "count");
    for _ in 0..2 {
        let plain = Message::plain_text("1", "", "x").unwrap();
        let answer = client.send("count", plain).unwrap();
        assert_eq!(answer.header("duplicate"), None);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_call_that_comes_again_while_it_is_done_waits_for_its_answer() {
    let (broker, client) = broker();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    broker
        .create_function("count", move |_| {
            let _ = released.lock().unwrap().recv();
            Err(HandlerError::new(Status::Conflict, "taken"))
        })
        .unwrap();
    let first = in_background(&client, call("a"));
    eventually("it runs", || broker.stats().calls == 1);
    let second = in_background(&client.copy().unwrap(), call("a"));
    eventually("it has come", || broker.stats().duplicates == 1);
    release.send(()).unwrap();
    for (answer, duplicate) in [(first, None), (second, Some("true"))] {
        let answer = answer.join().unwrap();
        assert_eq!(
            (answer.status(), &*read(&answer)),
            (Status::Conflict, "taken")
        );
        assert_eq!(answer.header("duplicate"), duplicate);
    }
    assert_eq!(broker.stats().calls, 1);
}

/// The client that made it first is gone when it comes again: what it has set in motion counts.
#[test]
fn a_call_is_known_again_on_another_connection_after_the_first_is_gone() {
    let (broker, client) = broker();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    broker
        .create_function("count", move |_| {
            let _ = released.lock().unwrap().recv();
            Ok(None)
        })
        .unwrap();
    let gone = client.copy().unwrap();
    let lost = {
        let gone = gone.clone();
        thread::spawn(move || gone.request(call("a")))
    };
    eventually("it runs", || broker.stats().calls == 1);
    gone.close().unwrap();
    lost.join().unwrap().unwrap_err();
    eventually("it is gone", || broker.connections() == 1);
    let again = in_background(&client, call("a"));
    eventually("it has come", || broker.stats().duplicates == 1);
    drop(release);
    assert!(again.join().unwrap().is_ok());
    assert_eq!(broker.stats().calls, 1);
}

#[test]
fn what_may_pass_is_not_kept() {
    let (broker, client) = broker();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    broker
        .create_function("count", move |_| {
            match counted.fetch_add(1, Ordering::SeqCst) {
                0 => Err(HandlerError::new(Status::RetryLater, "later")),
                _ => Ok(None),
            }
        })
        .unwrap();
    let busy = client.request(call("a")).unwrap();
    assert_eq!(busy.status(), Status::RetryLater);
    let done = client.request(call("a")).unwrap();
    assert_eq!(
        (done.status(), done.header("duplicate")),
        (Status::Ok, None)
    );
    let missing = request(MessageType::Request, "later", "a", "x");
    let refused = client.request(missing.clone()).unwrap();
    assert_eq!(refused.status(), Status::FunctionNotFound);
    count(&broker, "later");
    assert!(client.request(missing).unwrap().is_ok());
}

#[test]
fn an_offer_that_comes_again_is_in_the_queue_once() {
    let (broker, client) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    for (text, duplicate) in [("first", None), ("second", Some("true"))] {
        let answer = client.request(offer("a", text)).unwrap();
        assert_eq!(
            (answer.status(), answer.header("duplicate")),
            (Status::Ok, duplicate)
        );
    }
    let item = client.poll("q", NO_WAIT).unwrap();
    assert_eq!((&*read(&item), item.request_id()), ("first", Some("a")));
    // Who passes it on makes a request of its own.
    assert_eq!(item.header("dedupe"), None);
    let empty = client.poll("q", NO_WAIT).unwrap_err();
    assert_eq!(empty.status(), Some(Status::QueueEmpty));
}

#[test]
fn a_oneway_offer_that_comes_again_is_in_the_queue_once() {
    let (broker, client) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    for _ in 0..3 {
        client.request_oneway(offer("a", "x")).unwrap();
    }
    client.heartbeat().unwrap();
    assert_eq!(broker.queue_status("q").size, 1);
}

#[test]
fn an_offer_that_waits_for_room_is_waited_for_and_ends_with_its_client() {
    let (broker, client) = with(&BrokerOptions::new().open_admin(true));
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    client.request(offer("full", "full")).unwrap();
    let patient = || offer("a", "x").with_timeout(-1).unwrap();
    // One that goes without taking anything back.
    let first = Pair1::new().unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    first.dial(&url).unwrap();
    first.send(encode(&patient(), Encoding::Binary)).unwrap();
    let ask = Message::plain_text(None, "", "").unwrap();
    let ask = ask.addressed_to(MessageType::ServerStatus, None).unwrap();
    eventually("it waits", || {
        let status = client.request(ask.clone()).unwrap();
        status.payload_data().unwrap()["waiting-count"] == 1
    });
    let again = in_background(&client, patient());
    eventually("it has come", || broker.stats().duplicates == 1);
    first.close().unwrap();
    assert_eq!(again.join().unwrap().status(), Status::RetryLater);
    assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "full");
    let answer = client.request(patient()).unwrap();
    assert_eq!(
        (answer.status(), answer.header("duplicate")),
        (Status::Ok, None)
    );
}

#[test]
fn a_publication_that_comes_again_goes_out_once() {
    let (broker, client) = broker();
    broker.create_topic("t").unwrap();
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe("t", move |message| heard.send(read(message)).unwrap())
        .unwrap();
    let publication = |id, text| request(MessageType::Publish, "t", id, text);
    for _ in 0..2 {
        let answer = client.request(publication("a", "one")).unwrap();
        assert_eq!(answer.header("delivered"), Some("1"));
    }
    client.request(publication("b", "two")).unwrap();
    let heard = [(); 2].map(|()| hearing.recv_timeout(SOON).unwrap());
    assert_eq!(heard, ["one", "two"]);
}

#[test]
fn users_destinations_and_kinds_have_request_ids_of_their_own() {
    let auth = Authenticator::with_rounds(10);
    for user in ["ann", "bob"] {
        auth.add_credentials(user, user, Role::User).unwrap();
    }
    let broker = Broker::with_options(&BrokerOptions::new().authenticator(&auth)).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    for name in ["q", "p"] {
        broker.create_queue(name, 9, QueueType::Bounded).unwrap();
    }
    count(&broker, "q");
    let [ann, bob] = ["ann", "bob"].map(|user| {
        Client::connect_with(&url, &ClientOptions::new().credentials(user, user)).unwrap()
    });
    let requests = [
        request(MessageType::Offer, "q", "1", "x"),
        request(MessageType::Offer, "p", "1", "x"),
        request(MessageType::Request, "q", "1", "x"),
    ];
    for duplicate in [None, Some("true")] {
        for client in [&ann, &bob] {
            for request in &requests {
                let answer = client.request(request.clone()).unwrap();
                assert_eq!(
                    (answer.status(), answer.header("duplicate")),
                    (Status::Ok, duplicate)
                );
            }
        }
    }
    // A right that is lost takes the answers along.
    auth.set_acl(DestinationType::Queue, "q", Mode::Deny, "ann")
        .unwrap();
    let refused = ann.request(requests[0].clone()).unwrap();
    assert_eq!(refused.status(), Status::NoPermission);
}

#[test]
fn the_window_forgets_the_oldest() {
    let options = BrokerOptions::new().dedupe_window(Duration::from_secs(3600), 2);
    let (broker, client) = with(&options);
    count(&broker, "count");
    let duplicate = |id: &str| {
        let answer = client.request(call(id)).unwrap();
        answer.header("duplicate").is_some()
    };
    assert!(!duplicate("a") && !duplicate("b") && duplicate("a"));
    assert!(!duplicate("c"));
    assert!(duplicate("b") && !duplicate("a"));
    let nothing = BrokerOptions::new().dedupe_window(Duration::from_secs(1), 0);
    let refused = Broker::with_options(&nothing).unwrap_err().to_string();
    assert!(refused.contains("dedupe-window"), "{refused}");
}

#[test]
fn the_window_forgets_what_is_old() {
    let options = BrokerOptions::new().dedupe_window(Duration::from_millis(1), 100);
    let (broker, client) = with(&options);
    let calls = count(&broker, "count");
    client.request(call("a")).unwrap();
    eventually("it is done again", || {
        client.request(call("a")).unwrap();
        calls.load(Ordering::SeqCst) == 2
    });
}

#[test]
fn what_cannot_be_recognised_is_refused() {
    let (broker, client) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let nameless = offer("a", "x").with_request_id(None).unwrap();
    let odd = offer("a", "x").with_header("dedupe", "yes").unwrap();
    let poll = request(MessageType::Poll, "q", "a", "");
    for (request, reason) in [
        (nameless, "dedupe by request-id, and there is none"),
        (odd, "dedupe cannot be \"yes\": id or request-id is allowed"),
        (
            poll,
            "dedupe is for REQUEST, OFFER, OFFER_ALL and PUBLISH, not POLL",
        ),
    ] {
        let answer = client.request(request).unwrap();
        assert_eq!(
            (answer.status(), &*read(&answer)),
            (Status::BadRequest, reason)
        );
    }
    assert_eq!(broker.queue_status("q").size, 0);
}
