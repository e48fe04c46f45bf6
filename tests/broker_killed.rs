//! `wirebird broker` and its clients, killed and started again while there is much to do.

mod peers;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use peers::served::{Served, serve};
use peers::{DEADLINE, Data, Place, Program, Running, Scheme};
use rustix::process::Signal;
use wirebird::EndpointOptions;
use wirebird::broker::{Client, ClientOptions, Error, Message, MessageType, QueueType, Status};

/// A client that is quick to connect again.
fn connect(url: &str) -> Client {
    let endpoint = EndpointOptions::new()
        .reconnect_min(Duration::from_millis(5))
        .reconnect_max(Duration::from_millis(50));
    let options = ClientOptions::new().endpoint(endpoint).timeout(DEADLINE);
    Client::connect_with(url, &options).expect("connects")
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn count(client: &Client, what: &str) -> u64 {
    let ask = Message::plain_text(None, "", "").unwrap();
    let ask = ask.addressed_to(MessageType::ServerStatus, None).unwrap();
    let status = client.request(ask).unwrap().payload_data().unwrap();
    status[what].as_u64().expect("a count")
}

/// How many messages are in the queue `jobs`, or how many of them are leased.
fn jobs(client: &Client, what: &str) -> u64 {
    let ask = Message::plain_text(None, "", "").unwrap();
    let ask = ask.addressed_to(MessageType::StatusQueue, "jobs").unwrap();
    let status = client.request(ask).unwrap().payload_data().unwrap();
    status[what].as_u64().expect("a count")
}

fn number(number: usize) -> Message {
    Message::plain_text(None, "", number).unwrap()
}

/// Connections that do nothing but send.
fn load(served: &Served) -> Running {
    let line = "bench --duration 60 --connections 2 --size 1KB";
    let mut words: Vec<_> = line.split(' ').collect();
    words.push(&served.url);
    served.program().start(words)
}

/// Pollers that are killed take nothing with them. What they have printed and not acknowledged comes again, which is a part
/// of what they get at once.
#[test]
fn killed_pollers_cost_nobody_else_anything() {
    const MESSAGES: usize = 3_000;
    const KILLED: usize = 3;
    const AT_ONCE: usize = 32;
    let served = serve("");
    let client = connect(&served.url);
    client
        .create_queue("jobs", 100, QueueType::Bounded)
        .unwrap();
    let load = load(&served);
    let poller = || {
        let words = ["poll", "jobs", "--wait", "forever", "--count", "1000000"];
        served.program().start(words)
    };
    let (mut printed, mut polled) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let offering = client.clone();
        let offers = scope.spawn(move || {
            for at in 0..MESSAGES {
                offering.offer("jobs", number(at), Duration::MAX).unwrap();
            }
        });
        for _ in 0..KILLED {
            let poller = poller();
            poller.bytes(200);
            poller.signal(Signal::KILL);
            let out = String::from_utf8(poller.finish().out).unwrap();
            let whole = &out[..out.rfind('\n').expect("a line")];
            printed.extend(whole.lines().map(|line| line.parse::<usize>().unwrap()));
            eventually("nothing is leased", || jobs(&client, "in-flight") == 0);
        }
        // Those who are left get the rest, in order.
        loop {
            let over = offers.is_finished();
            match client.poll("jobs", Duration::from_millis(100)) {
                Ok(item) => polled.push(item.payload_text().unwrap().parse::<usize>().unwrap()),
                Err(error) => assert_eq!(error.status(), Some(Status::QueueEmpty)),
            }
            if over && jobs(&client, "size") == 0 {
                break;
            }
        }
    });
    load.kill();
    // Also those who wait are gone with their connections.
    let idle: Vec<_> = (0..KILLED).map(|_| poller()).collect();
    eventually("they wait", || count(&client, "waiting-count") == 3);
    idle.into_iter().for_each(Running::kill);
    eventually("they are gone", || count(&client, "connection-count") == 1);
    client.offer("jobs", number(MESSAGES), DEADLINE).unwrap();
    let last = client.poll("jobs", Duration::ZERO).unwrap();
    assert_eq!(last.payload_text(), Some(MESSAGES.to_string().into()));

    assert!(polled.is_sorted(), "out of order");
    let all: BTreeSet<usize> = printed.iter().chain(&polled).copied().collect();
    assert!(polled.len() > MESSAGES / 10, "the others had none left");
    assert_eq!(all.len(), MESSAGES, "some are lost");
    let again = printed.len() + polled.len() - all.len();
    assert!(again <= KILLED * AT_ONCE, "{again} came twice");
}

/// Producers that are killed leave whole messages or none, and room for others.
#[test]
fn killed_producers_leave_a_queue_as_it_is() {
    let served = serve("");
    let client = connect(&served.url);
    client.create_queue("jobs", 5, QueueType::Bounded).unwrap();
    let long = "x".repeat(100_000);
    let offer = || {
        let words = ["offer", "jobs", &long, "--wait", "forever"];
        served.program().start(words)
    };
    let producers: Vec<_> = (0..8).map(|_| offer()).collect();
    eventually("three wait", || count(&client, "waiting-count") == 3);
    producers.into_iter().for_each(Running::kill);
    eventually("they are gone", || count(&client, "connection-count") == 1);
    assert_eq!(count(&client, "waiting-count"), 0);
    for _ in 0..5 {
        let item = client.poll("jobs", Duration::ZERO).unwrap();
        assert_eq!(item.payload_text().map(|text| text.len()), Some(long.len()));
    }
    let empty = client.poll("jobs", Duration::ZERO).unwrap_err();
    assert_eq!(empty.status(), Some(Status::QueueEmpty));
}

/// A broker at an address of its own, with the queue `jobs` and the topic `news`.
struct Restarted {
    place: Place,
    config: Data,
    running: Option<Running>,
}

/// Of its queue.
const CAPACITY: usize = 100;

impl Restarted {
    fn new() -> Self {
        let queue = format!("jobs = {{ capacity = {CAPACITY} }}");
        let config = format!("topics = ['news']\nqueues = {{ {queue} }}\n");
        let mut broker = Self {
            place: Place::new(Scheme::Tcp),
            config: Data::new(config.as_bytes()),
            running: None,
        };
        broker.start();
        broker
    }

    fn start(&mut self) {
        let config = self.config.path();
        let words = ["broker", "--listen", self.place.url(), "--config"].map(Into::into);
        let broker = Program::wirebird().start(words.into_iter().chain([config]));
        broker.line("Ready");
        self.running = Some(broker);
    }

    fn kill_and_start(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
        self.start();
    }
}

/// The connection broke, or the broker says that it ends: nothing else is told of a broker that goes away.
fn is_the_end(error: &Error) -> bool {
    matches!(
        error,
        Error::Socket(wirebird::Error::ConnectionReset | wirebird::Error::TimedOut)
    ) || error.status() == Some(Status::QueueAccessInterrupted)
}

/// Every call ends, with what became of it; nothing comes twice; subscriptions are there again.
#[test]
fn clients_go_on_when_a_broker_that_was_killed_is_there_again() {
    const ROUNDS: usize = 3;
    let mut broker = Restarted::new();
    let url = broker.place.url().to_owned();
    let (producer, poller, publisher) = (connect(&url), connect(&url), connect(&url));
    let (heard, hearing) = mpsc::channel();
    connect_subscriber(&publisher, heard);
    let stop = AtomicBool::new(false);
    let [offered, taken, published] = [(); 3].map(|()| AtomicUsize::new(0));
    let going = || !stop.load(Ordering::Relaxed);
    let polled = thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0.. {
                if !going() {
                    break;
                }
                match producer.offer("jobs", number(at), Duration::from_millis(100)) {
                    Ok(()) => {
                        offered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) if error.status() == Some(Status::QueueFull) => {}
                    Err(error) => assert!(is_the_end(&error), "{error}"),
                }
            }
        });
        let polls = scope.spawn(|| {
            let mut polled = Vec::new();
            while going() {
                match poller.poll("jobs", Duration::from_millis(100)) {
                    Ok(item) => {
                        polled.push(item.payload_text().unwrap().parse().unwrap());
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) if error.status() == Some(Status::QueueEmpty) => {}
                    Err(error) => assert!(is_the_end(&error), "{error}"),
                }
            }
            polled
        });
        scope.spawn(|| {
            while going() {
                let at = published.fetch_add(1, Ordering::Relaxed);
                match publisher.publish("news", number(at)) {
                    Ok(_) => {}
                    Err(error) => assert!(is_the_end(&error), "{error}"),
                }
            }
        });
        for round in 0..=ROUNDS {
            for count in [&offered, &taken] {
                let before = count.load(Ordering::Relaxed);
                eventually("much is offered and taken", || {
                    count.load(Ordering::Relaxed) > before + 100
                });
            }
            // What is published from now on is heard.
            let next = published.load(Ordering::Relaxed);
            while hearing.recv_timeout(DEADLINE).expect("it subscribes again") < next {}
            if round < ROUNDS {
                broker.kill_and_start();
            }
        }
        stop.store(true, Ordering::Relaxed);
        polls.join().unwrap()
    });
    assert!(polled.is_sorted_by(|one: &usize, next| one < next));
    // What was in the queue went with the broker, and what was on its way to the poller.
    let lost = offered.into_inner().saturating_sub(polled.len());
    assert!(lost <= (CAPACITY + 1) * (ROUNDS + 1), "{lost}");
}

/// Has the numbers of publications told.
fn connect_subscriber(client: &Client, heard: mpsc::Sender<usize>) {
    let subscribed = client.subscribe("news", move |message| {
        let number = message.payload_text().unwrap().parse().unwrap();
        let _ = heard.send(number);
    });
    subscribed.unwrap();
}

/// A broker that is told to end in the midst of everything ends well, and tells everybody.
#[test]
fn a_broker_that_is_told_to_end_under_load_ends_well() {
    let mut broker = Restarted::new();
    let url = broker.place.url().to_owned();
    let (client, polling) = (connect(&url), connect(&url));
    let offered = AtomicUsize::new(0);
    let done = thread::scope(|scope| {
        let offers = scope.spawn(|| {
            loop {
                let short = client.with_timeout(Duration::from_secs(1));
                match short.offer("jobs", number(0), Duration::ZERO) {
                    Err(error) if error.status() != Some(Status::QueueFull) => return error,
                    _ => offered.fetch_add(1, Ordering::Relaxed),
                };
            }
        });
        let polls = scope.spawn(|| {
            loop {
                let short = polling.with_timeout(Duration::from_secs(1));
                match short.poll("jobs", Duration::from_millis(10)) {
                    Err(error) if error.status() != Some(Status::QueueEmpty) => return error,
                    _ => {}
                }
            }
        });
        eventually("there is load", || offered.load(Ordering::Relaxed) > 500);
        let running = broker.running.take().unwrap();
        running.signal(Signal::TERM);
        let done = running.finish();
        for told in [offers.join().unwrap(), polls.join().unwrap()] {
            assert!(is_the_end(&told), "{told}");
        }
        done
    });
    assert_eq!((done.code, &*done.err), (Some(0), ""));
}
