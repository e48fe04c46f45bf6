//! The client of the broker: calls that are awaited and given up, and what is made again.

mod common;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::scripted::{Scripted, in_background, persistent, quick, read, text};
use common::{Later, SOON, block_on, eventually};
use futures_util::future::{join_all, try_join_all};
use wirebird::broker::{
    Broker, BrokerOptions, Client, ClientEvent, Error, Message, MessageType, QueueType,
    RetryPolicy, Status,
};

const NO_WAIT: Duration = Duration::ZERO;

// ---- helpers ----

fn broker() -> (Broker, String) {
    let broker = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let listener = broker.listen("tcp://127.0.0.1:0").unwrap();
    (broker, listener.url())
}

/// How many requests wait at the broker.
async fn waiting_async(client: &Client) -> u64 {
    let ask = text("").addressed_to(MessageType::ServerStatus, None);
    let answer = client.request_async(ask.unwrap()).await.unwrap();
    let status = answer.payload_data().unwrap();
    status["waiting-count"].as_u64().unwrap()
}

fn waiting(client: &Client) -> u64 {
    block_on(waiting_async(client))
}

/// A future that is polled by hand.
struct Task<'a, T>(Later<'a, T>);

impl<'a, T> Task<'a, T> {
    fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }

    fn poll(&mut self) -> Poll<T> {
        self.0
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }
}

// ---- awaited ----

async fn everything(url: String) -> Result<(), Error> {
    let client = Client::connect_async(&url).await?;
    client.heartbeat_async().await?;
    client
        .create_queue_async("q", 9, QueueType::Bounded)
        .await?;
    client.create_topic_async("t").await?;
    client.offer_async("q", text("one"), NO_WAIT).await?;
    let reply_to = client.create_temporary_queue_async(1).await?;
    client
        .offer_with_reply_to_async("q", &reply_to, text("two"), NO_WAIT)
        .await?;
    assert_eq!(read(&client.poll_async("q", NO_WAIT).await?), "one");
    let two = client.poll_async("q", NO_WAIT).await?;
    assert_eq!(two.reply_to(), Some(&*reply_to));
    let answer = client.send_async("echo", text("hello")).await?;
    assert_eq!(read(&answer), "hello");
    client.send_oneway_async("echo", text("x")).await?;
    let (heard, hearing) = mpsc::channel();
    client
        .subscribe_async("t", move |message| heard.send(read(message)).unwrap())
        .await?;
    let other = client.copy_async().await?;
    assert_eq!(other.publish_async("t", text("news")).await?, 1);
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "news");
    client.unsubscribe_async("t").await?;
    assert_eq!(other.publish_async("t", text("news")).await?, 0);
    client.remove_topic_async("t").await?;
    client.remove_queue_async("q").await?;
    let error = client.poll_async("q", NO_WAIT).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::QueueNotFound));
    let test = text("").addressed_to(MessageType::Test, None)?;
    client.request_oneway_async(test.clone()).await?;
    assert!(client.request_async(test).await?.is_ok());
    client.close_async().await?;
    let closed = client.heartbeat_async().await;
    assert_eq!(closed, Err(Error::Socket(wirebird::Error::Closed)));
    Ok(())
}

/// F13, F25, F45.
#[test]
fn each_call_that_is_awaited_does_what_the_one_that_blocks_does_under_any_executor() {
    let run = |with: fn(String)| {
        let (broker, url) = broker();
        broker
            .create_function("echo", |request| Ok(Some(request.clone())))
            .unwrap();
        with(url);
    };
    run(|url| block_on(everything(url)).unwrap());
    run(|url| {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let task = async { tokio::spawn(everything(url)).await.unwrap() };
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn a_thousand_calls_are_under_way_at_once_on_one_connection() {
    const COUNT: usize = 1000;
    let (broker, url) = broker();
    broker.create_queue("q", COUNT, QueueType::Bounded).unwrap();
    let client = Client::connect(&url).unwrap();
    let polls = (0..COUNT).map(|_| client.poll_async("q", SOON));
    let offers = || async {
        while waiting_async(&client).await < COUNT as u64 {}
        for number in 0..COUNT {
            client
                .offer_async("q", text(&number.to_string()), NO_WAIT)
                .await?;
        }
        Ok::<_, Error>(())
    };
    let all = async { futures_util::future::join(try_join_all(polls), offers()).await };
    let (polled, offered) = block_on(all);
    offered.unwrap();
    let polled: BTreeSet<_> = polled.unwrap().iter().map(read).collect();
    assert_eq!(polled.len(), COUNT);
}

#[test]
fn a_thousand_tasks_call_a_function_on_one_connection() {
    let (broker, url) = broker();
    broker
        .create_function("echo", |request| Ok(Some(request.clone())))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect_async(&url).await.unwrap();
        let calls = (0..1000).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = number.to_string();
                let answer = client.send_async("echo", text(&body)).await.unwrap();
                assert_eq!(read(&answer), body);
            })
        });
        for call in join_all(calls).await {
            call.unwrap();
        }
    });
    assert_eq!(broker.stats().calls, 1000);
}

// ---- given up ----

/// S11: whenever a poll is dropped, its item is there for the next one, and comes once.
#[test]
fn a_poll_that_is_dropped_at_any_moment_swallows_nothing() {
    const ROUNDS: usize = 300;
    let (broker, url) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let (client, other) = (
        Client::connect(&url).unwrap(),
        Client::connect(&url).unwrap(),
    );
    for round in 0..ROUNDS {
        let offer = || other.offer("q", text(&round.to_string()), NO_WAIT).unwrap();
        if round % 3 == 0 {
            offer();
        }
        let mut poll = Task::new(client.poll_async("q", SOON));
        let mut got = None;
        for turn in 0..round % 17 {
            if round % 3 == 1 && turn == round % 5 {
                offer();
            }
            if let Poll::Ready(item) = poll.poll() {
                got = Some(item.unwrap());
                break;
            }
            thread::yield_now();
        }
        drop(poll);
        let offered = round % 3 == 0 || (round % 3 == 1 && round % 5 < round % 17);
        if !offered {
            offer();
        }
        let got = got.unwrap_or_else(|| client.poll("q", SOON).unwrap());
        assert_eq!(read(&got), round.to_string());
    }
    eventually("nobody waits", || waiting(&other) == 0);
    assert_eq!(broker.queue_status("q").size, 0);
    assert!(client.take_late().is_empty());
}

/// F26: the broker does not give to a poll that was dropped what others want.
#[test]
fn a_poll_that_was_dropped_waits_no_more_at_the_broker() {
    let (broker, url) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let (client, other) = (
        Client::connect(&url).unwrap(),
        Client::connect(&url).unwrap(),
    );
    let mut poll = Task::new(client.poll_async("q", Duration::MAX));
    eventually("it waits", || {
        assert!(poll.poll().is_pending());
        waiting(&other) == 1
    });
    drop(poll);
    eventually("nobody waits", || waiting(&other) == 0);
    other.offer("q", text("x"), NO_WAIT).unwrap();
    assert_eq!(read(&other.poll("q", NO_WAIT).unwrap()), "x");
}

#[test]
fn an_offer_that_was_dropped_while_it_waited_for_room_is_not_made() {
    let (broker, url) = broker();
    broker.create_queue("q", 1, QueueType::Bounded).unwrap();
    let client = Client::connect(&url).unwrap();
    client.offer("q", text("first"), NO_WAIT).unwrap();
    let mut offer = Task::new(client.offer_async("q", text("second"), Duration::MAX));
    eventually("it waits", || {
        assert!(offer.poll().is_pending());
        waiting(&client) == 1
    });
    drop(offer);
    eventually("nobody waits", || waiting(&client) == 0);
    assert_eq!(read(&client.poll("q", NO_WAIT).unwrap()), "first");
    let empty = client.poll("q", NO_WAIT).unwrap_err();
    assert_eq!(empty.status(), Some(Status::QueueEmpty));
}

#[test]
fn an_item_that_comes_too_late_is_told_of_and_goes_to_the_next_poll() {
    let broker = Scripted::new();
    let client = broker.accept(&quick());
    let events = client.events().unwrap();
    let mut polls = [(); 2].map(|()| Task::new(client.poll_async("q", SOON)));
    assert!(polls.iter_mut().all(|poll| poll.poll().is_pending()));
    let asked = [(); 2].map(|()| broker.next_of(MessageType::Poll));
    drop(polls);
    for asked in &asked {
        let taken_back = broker.next_of(MessageType::Cancel);
        assert_eq!(taken_back.id(), asked.id());
        assert!(taken_back.is_oneway());
    }
    for (asked, body) in asked.iter().zip(["one", "two"]) {
        broker.answer(asked, Status::Ok, body);
        let event = events.recv_timeout(SOON).unwrap();
        assert_eq!(event, ClientEvent::Late { queue: "q".into() });
    }
    // Not one that belongs to another queue.
    let other = in_background(&client, |client| client.poll("p", SOON));
    broker.answer(&broker.next_of(MessageType::Poll), Status::Ok, "other");
    assert_eq!(read(&other.join().unwrap().unwrap()), "other");
    assert_eq!(read(&client.poll("q", SOON).unwrap()), "one");
    let rest = client.take_late();
    assert_eq!(rest.iter().map(read).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn an_item_that_comes_too_late_goes_to_a_poll_that_waits_already() {
    let broker = Scripted::new();
    let client = broker.accept(&quick());
    let mut first = Task::new(client.poll_async("q", SOON));
    assert!(first.poll().is_pending());
    let first_asked = broker.next_of(MessageType::Poll);
    let second = in_background(&client, |client| client.poll("q", SOON));
    let second_asked = broker.next_of(MessageType::Poll);
    drop(first);
    assert_eq!(broker.next_of(MessageType::Cancel).id(), first_asked.id());
    broker.answer(&first_asked, Status::Ok, "late");
    assert_eq!(read(&second.join().unwrap().unwrap()), "late");
    assert_eq!(broker.next_of(MessageType::Cancel).id(), second_asked.id());
    // And the second one's item to the third.
    broker.answer(&second_asked, Status::Ok, "later");
    eventually("it came", || {
        block_on(async {
            let mut third = Task::new(client.poll_async("q", SOON));
            matches!(third.poll(), Poll::Ready(Ok(item)) if read(&item) == "later")
        })
    });
}

#[test]
fn a_leased_item_that_comes_too_late_goes_back() {
    let broker = Scripted::new();
    let client = broker.accept(&quick());
    let mut poll = Task::new(client.poll_async("q", SOON));
    assert!(poll.poll().is_pending());
    let asked = broker.next_of(MessageType::Poll);
    drop(poll);
    broker.next_of(MessageType::Cancel);
    let leased = asked.reply(Status::Ok, "x").with_header("lease-token", "7");
    broker.send(&leased.unwrap());
    let back = broker.next_of(MessageType::Nack);
    assert_eq!(back.destination(), Some("q"));
    assert_eq!(back.header("lease-token"), Some("7"));
    assert!(back.is_oneway());
    assert!(client.take_late().is_empty());
}

#[test]
fn a_poll_that_was_answered_and_not_looked_at_keeps_its_item() {
    let (broker, url) = broker();
    broker.create_queue("q", 9, QueueType::Bounded).unwrap();
    let client = Client::connect(&url).unwrap();
    let mut poll = Task::new(client.poll_async("q", SOON));
    eventually("it waits", || {
        assert!(poll.poll().is_pending());
        waiting(&client) == 1
    });
    client.offer("q", text("x"), NO_WAIT).unwrap();
    // The answer to this one comes after the item.
    client.heartbeat().unwrap();
    drop(poll);
    assert_eq!(broker.queue_status("q").size, 0);
    assert_eq!(
        client.take_late().iter().map(read).collect::<Vec<_>>(),
        ["x"]
    );
}

/// F170.
#[test]
fn a_call_ends_when_its_own_time_is_over() {
    let (broker, url) = broker();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    broker
        .create_function("slow", move |_| {
            let _ = released.lock().unwrap().recv();
            Ok(None)
        })
        .unwrap();
    let client = Client::connect(&url).unwrap();
    let hasty = client.with_timeout(Duration::from_millis(30));
    let timed_out = Err(Error::Socket(wirebird::Error::TimedOut));
    assert_eq!(hasty.send("slow", text("x")), timed_out);
    assert_eq!(block_on(hasty.send_async("slow", text("x"))), timed_out);
    drop(release);
    client.send("slow", text("x")).unwrap();
}

/// S11: the broker learns how long a call is waited for, and does not do it for nobody.
#[test]
fn a_call_whose_time_is_over_before_its_turn_is_not_done() {
    let options = BrokerOptions::new().handler_threads(1);
    let broker = Broker::with_options(&options).unwrap();
    let (begun, beginning) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    broker
        .create_function("slow", move |request| {
            begun.send(read(request))?;
            let _ = released.lock().unwrap().recv();
            Ok(None)
        })
        .unwrap();
    let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
    let client = Client::connect(&url).unwrap();
    let first = in_background(&client, |client| client.send("slow", text("first")));
    assert_eq!(beginning.recv_timeout(SOON).unwrap(), "first");
    let short = Duration::from_millis(20);
    let hasty = client.with_timeout(short);
    hasty.send("slow", text("second")).unwrap_err();
    // The broker's time for it began before it answers this.
    client.heartbeat().unwrap();
    let over = Instant::now() + short;
    while Instant::now() < over {
        client.heartbeat().unwrap();
    }
    drop(release);
    first.join().unwrap().unwrap();
    client.send("slow", text("third")).unwrap();
    assert_eq!(beginning.recv_timeout(SOON).unwrap(), "third");
}

// ---- made again ----

/// F171.
#[test]
fn a_request_is_made_again_as_the_same_one_until_it_is_done() {
    let broker = Scripted::new();
    let client = broker.accept(&quick().retry(persistent()));
    for call in [
        (|client: Client| client.send("f", text("x"))) as fn(Client) -> _,
        |client| block_on(client.send_async("f", text("x"))),
    ] {
        let call = in_background(&client, call);
        let first = broker.next_of(MessageType::Request);
        assert_eq!(first.header("dedupe"), Some("id"));
        broker.answer(&first, Status::RetryLater, "busy");
        let second = broker.next_of(MessageType::Request);
        assert_eq!((second.id(), second.request_id()), (first.id(), Some("1")));
        broker.answer(&second, Status::Ok, "done");
        assert_eq!(read(&call.join().unwrap().unwrap()), "done");
    }
}

#[test]
fn nothing_is_made_again_that_was_not_asked_for_or_would_do_harm() {
    let broker = Scripted::new();
    let client = broker.accept(&quick().retry(persistent()));
    let purge = text("").addressed_to(MessageType::PurgeQueue, "q").unwrap();
    type Call = fn(Client, Message) -> Result<Message, Error>;
    let calls: [Call; 3] = [
        |client, _| client.with_retry(None).send("f", text("x")),
        |client, purge| client.request(purge),
        |client, _| client.create_temporary_queue(1).map(|_| text("")),
    ];
    for call in calls {
        let purge = purge.clone();
        let call = in_background(&client, move |client| call(client, purge));
        let asked = broker.next();
        assert_eq!(asked.header("dedupe"), None);
        broker.answer(&asked, Status::RetryLater, "busy");
        let status = match call.join().unwrap() {
            Ok(answer) => Some(answer.status()),
            Err(error) => error.status(),
        };
        assert_eq!(status, Some(Status::RetryLater));
    }
    // An answer that is right is not asked for again.
    let poll = in_background(&client, |client| client.poll("q", NO_WAIT));
    broker.answer(&broker.next(), Status::QueueEmpty, "empty");
    let empty = poll.join().unwrap().unwrap_err();
    assert_eq!(empty.status(), Some(Status::QueueEmpty));
}

#[test]
fn a_pause_ends_when_the_client_is_closed() {
    let broker = Scripted::new();
    let policy = RetryPolicy::new()
        .first_pause(Duration::from_secs(3600))
        .longest_pause(Duration::from_secs(3600));
    let client = broker.accept(&quick().retry(policy).timeout(Duration::from_secs(7200)));
    let call = in_background(&client, |client| client.heartbeat());
    let asked = broker.next_of(MessageType::Heartbeat);
    broker.answer(&asked, Status::RetryLater, "busy");
    // The answer to this one says that the other was read.
    let after = in_background(&client, |client| client.with_retry(None).poll("q", NO_WAIT));
    let asked = broker.next_of(MessageType::Poll);
    broker.answer(&asked, Status::Ok, "");
    after.join().unwrap().unwrap();
    client.close().unwrap();
    let closed = call.join().unwrap();
    assert_eq!(closed, Err(Error::Socket(wirebird::Error::Closed)));
}
