//! Queues that outlive their broker. Names in parentheses are those of the broker's specification.

mod common;

use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{SOON, eventually, unique};
use tempfile::TempDir;
use wirebird::broker::{
    Broker, BrokerOptions, Client, Encoding, Error, LogOptions, Message, MessageType, Nack,
    QueueOptions, QueueType, Status, SyncPolicy, encode, wal,
};
use wirebird::{Pair1, SocketOptions};

const NO_WAIT: Duration = Duration::ZERO;

/// A broker that keeps its durable queues here.
fn broker(options: &LogOptions) -> (Broker, Client) {
    let options = BrokerOptions::new().open_admin(true).log(options);
    let broker = Broker::with_options(&options).expect("a broker");
    let listener = broker.listen("tcp://127.0.0.1:0").expect("listens");
    let client = Client::connect(&listener.url()).expect("connects");
    (broker, client)
}

fn directory() -> (TempDir, LogOptions) {
    let directory = tempfile::tempdir().expect("a directory");
    // Small files, so that few messages already fill some.
    let options = LogOptions::new(directory.path()).segment_size(16 << 10);
    (directory, options)
}

fn durable() -> QueueOptions {
    QueueOptions::new(1000).durable(true)
}

fn message(text: &str) -> Message {
    Message::plain_text(None, "", text).expect("a message")
}

fn offer(client: &Client, queue: &str, text: &str) {
    let durable = message(text).with_durable(true);
    client.offer(queue, durable, NO_WAIT).expect("offered");
}

/// All that is in a queue now.
fn drain(client: &Client, queue: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        match client.poll(queue, NO_WAIT) {
            Ok(message) => texts.push(message.payload_text().expect("text").into_owned()),
            Err(error) => {
                assert_eq!(error.status(), Some(Status::QueueEmpty), "{error}");
                return texts;
            }
        }
    }
}

/// F29 to F31, golden 4: durable 1, 2 and 4, the other 3; one is polled before the restart.
#[test]
fn durable_messages_outlive_the_broker_in_their_order_and_others_do_not() {
    for (compress, compact) in [(false, false), (true, false), (false, true), (true, true)] {
        let (_directory, options) = directory();
        let options = options.compress(compress).compact(compact);
        let (running, client) = broker(&options);
        assert!(running.create_queue_with("jobs", &durable()).unwrap());
        for number in 1..=4 {
            let text = format!("{number} {}", "x".repeat(1000));
            let message = message(&text).with_durable(number != 3);
            client.offer("jobs", message, NO_WAIT).unwrap();
        }
        assert!(drain_one(&client).starts_with("1 "));
        drop((client, running));

        let (running, client) = broker(&options);
        // Made again, it is as it was.
        assert!(!running.create_queue_with("jobs", &durable()).unwrap());
        let left = drain(&client, "jobs");
        let left: Vec<&str> = left.iter().map(|text| &text[..1]).collect();
        assert_eq!(left, ["2", "4"], "compress {compress}, compact {compact}");
        drop((client, running));

        let (_running, client) = broker(&options);
        assert_eq!(drain(&client, "jobs"), [""; 0], "what was polled came back");
    }
}

fn drain_one(client: &Client) -> String {
    let message = client.poll("jobs", NO_WAIT).unwrap();
    message.payload_text().unwrap().into_owned()
}

/// F29, F33.
#[test]
fn only_a_bounded_queue_of_a_broker_with_a_log_is_durable() {
    let plain = Broker::with_options(&BrokerOptions::new().open_admin(true)).unwrap();
    let refused = plain.create_queue_with("jobs", &durable()).unwrap_err();
    assert_eq!(refused.status(), Some(Status::BadRequest));
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    let circular = durable().queue_type(QueueType::Circular);
    let refused = running.create_queue_with("jobs", &circular).unwrap_err();
    assert_eq!(refused.status(), Some(Status::BadRequest));
    // Other queues are there too, and go with the broker.
    client.create_queue_with("jobs", &durable()).unwrap();
    client
        .create_queue("other", 10, QueueType::Bounded)
        .unwrap();
    client
        .create_queue("ring", 10, QueueType::Circular)
        .unwrap();
    offer(&client, "other", "durable in a queue that is not");
    assert!(running.queue_status("jobs").durable);
    drop((client, running));
    let (running, _client) = broker(&options);
    assert_eq!(running.queues(), ["jobs"]);
}

/// F113.
#[test]
fn a_queue_that_is_removed_does_not_come_back_and_neither_do_its_messages() {
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    client.create_queue_with("others", &durable()).unwrap();
    offer(&client, "jobs", "lost");
    offer(&client, "others", "kept");
    assert!(running.remove_queue("jobs").unwrap());
    client.create_queue_with("jobs", &durable()).unwrap();
    offer(&client, "jobs", "new");
    assert_eq!(running.purge_queue("others").unwrap(), 1);
    drop((client, running));
    let (running, client) = broker(&options);
    assert_eq!(running.queues(), ["jobs", "others"]);
    assert_eq!(drain(&client, "jobs"), ["new"]);
    assert_eq!(drain(&client, "others"), [""; 0]);
}

#[test]
fn a_queues_options_outlive_the_broker() {
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("dead", &durable()).unwrap();
    let strict = durable().dead_letter("dead").max_attempts(2);
    client.create_queue_with("jobs", &strict).unwrap();
    offer(&client, "jobs", "poison");
    let leased = client.poll_leased("jobs", NO_WAIT, SOON).unwrap();
    leased.nack(Nack::Retry).unwrap();
    drop((client, running));

    // It was tried once before.
    let (running, client) = broker(&options);
    assert_eq!(
        running.queue_status("jobs").dead_letter.as_deref(),
        Some("dead")
    );
    let leased = client.poll_leased("jobs", NO_WAIT, SOON).unwrap();
    assert_eq!(leased.attempts(), 2);
    leased.nack(Nack::Retry).unwrap();
    assert_eq!(drain(&client, "jobs"), [""; 0]);
    drop((client, running));

    let (_running, client) = broker(&options);
    let dead = client.poll("dead", NO_WAIT).unwrap();
    assert_eq!(dead.payload_text().unwrap(), "poison");
    assert_eq!(dead.header("dead-letter-reason"), Some("max-attempts"));
    assert_eq!(dead.header("dead-letter-origin"), Some("jobs"));
}

#[test]
fn what_is_leased_when_the_broker_ends_is_there_again() {
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    offer(&client, "jobs", "1");
    offer(&client, "jobs", "2");
    let leased = client.poll_leased("jobs", NO_WAIT, SOON).unwrap();
    drop((leased, client, running));
    let (_running, client) = broker(&options);
    assert_eq!(drain(&client, "jobs"), ["1", "2"]);
}

#[test]
fn many_producers_share_syncs_and_every_offer_that_is_answered_is_kept() {
    const PRODUCERS: usize = 16;
    const EACH: usize = 50;
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let client = client.copy().unwrap();
            scope.spawn(move || {
                for number in 0..EACH {
                    offer(&client, "jobs", &format!("{producer}/{number}"));
                }
            });
        }
    });
    drop((client, running));
    let (_running, client) = broker(&options);
    let kept = drain(&client, "jobs");
    assert_eq!(kept.len(), PRODUCERS * EACH);
    for producer in 0..PRODUCERS {
        let prefix = format!("{producer}/");
        let numbers = kept.iter().filter_map(|text| text.strip_prefix(&prefix));
        let in_order = (0..EACH).map(|number| number.to_string());
        assert!(numbers.eq(in_order), "the order of producer {producer}");
    }
}

#[test]
fn every_policy_keeps_what_a_closed_broker_had() {
    for policy in [SyncPolicy::Interval(SOON), SyncPolicy::Never] {
        let (_directory, options) = directory();
        let options = options.sync(policy);
        let (running, client) = broker(&options);
        client.create_queue_with("jobs", &durable()).unwrap();
        offer(&client, "jobs", "kept");
        drop((client, running));
        let (_running, client) = broker(&options);
        assert_eq!(drain(&client, "jobs"), ["kept"], "{policy}");
    }
}

#[test]
fn space_is_given_back_while_the_broker_runs() {
    let (directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    client.create_queue_with("slow", &durable()).unwrap();
    offer(&client, "slow", "stays");
    for round in 0..500 {
        offer(&client, "jobs", &format!("{round} {}", "x".repeat(2000)));
        client.poll("jobs", NO_WAIT).unwrap();
    }
    // A megabyte went through the log.
    eventually("the files are few", || bytes_in(directory.path()) < 300_000);
    drop((client, running));
    let (_running, client) = broker(&options);
    assert_eq!(drain(&client, "slow"), ["stays"]);
}

fn bytes_in(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap();
    files
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|known| known.len())
        .sum()
}

#[test]
fn a_log_that_is_full_refuses_offers_lets_polls_go_on_and_recovers() {
    let (_directory, options) = directory();
    let options = options.max_size(64 << 10);
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    let mut offered = 0;
    let refused = loop {
        let durable = message(&format!("{offered} {}", "x".repeat(1000))).with_durable(true);
        match client.offer("jobs", durable, NO_WAIT) {
            Ok(_) => offered += 1,
            Err(error) => break error,
        }
        assert!(offered < 1000, "there is no limit");
    };
    assert_eq!(refused.status(), Some(Status::LimitReached), "{refused}");
    client
        .offer("jobs", message("not durable"), NO_WAIT)
        .unwrap();
    let left = drain(&client, "jobs");
    assert_eq!(left.len(), offered + 1);
    eventually("there is space again", || {
        let durable = message("again").with_durable(true);
        client.offer("jobs", durable, NO_WAIT).is_ok()
    });
    drop((client, running));
    let (_running, client) = broker(&options);
    assert_eq!(drain(&client, "jobs"), ["again"]);
}

#[test]
fn one_process_at_a_time_has_a_log() {
    let (_directory, options) = directory();
    let (_running, _client) = broker(&options);
    let second = Broker::with_options(&BrokerOptions::new().log(&options)).unwrap_err();
    let Error::Log(why) = &second else {
        panic!("{second}");
    };
    assert!(matches!(**why, wal::WalError::InUse { .. }), "{second}");
}

#[test]
fn a_torn_end_is_cut_and_told_of() {
    let (directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    offer(&client, "jobs", "whole");
    offer(&client, "jobs", "torn");
    drop((client, running));
    let files = std::fs::read_dir(directory.path()).unwrap();
    let newest = files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            std::fs::read(path)
                .unwrap()
                .windows(4)
                .any(|four| four == b"torn")
        })
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let at = bytes.windows(4).position(|four| four == b"torn").unwrap();
    bytes[at..].fill(0);
    std::fs::write(&newest, bytes).unwrap();
    let (running, client) = broker(&options);
    assert!(running.recovered().unwrap().torn.is_some());
    assert_eq!(drain(&client, "jobs"), ["whole"]);
}

#[test]
fn the_log_can_be_encrypted() {
    let (directory, options) = directory();
    let key = wal::Key::new([7; 32]);
    let encrypted = options.clone().key(&key);
    let (running, client) = broker(&encrypted);
    client.create_queue_with("jobs", &durable()).unwrap();
    offer(&client, "jobs", "a secret");
    drop((client, running));
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|eight| eight == b"a secret"));
    }
    let without = Broker::with_options(&BrokerOptions::new().log(&options));
    assert!(matches!(without, Err(Error::Log(_))));
    let (_running, client) = broker(&encrypted);
    assert_eq!(drain(&client, "jobs"), ["a secret"]);
}

/// F58, F173.
#[test]
fn an_offer_that_comes_again_after_a_restart_is_recognised() {
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("jobs", &durable()).unwrap();
    client.create_queue_with("others", &durable()).unwrap();
    let once = Message::plain_text("order 7", "", "once").unwrap();
    let once = once.with_durable(true);
    let once = once.with_header("dedupe", "request-id").unwrap();
    client.offer("jobs", once.clone(), NO_WAIT).unwrap();
    client.offer("jobs", once.clone(), NO_WAIT).unwrap();
    drop((client, running));
    let (running, client) = broker(&options);
    client.offer("jobs", once.clone(), NO_WAIT).unwrap();
    assert_eq!(drain(&client, "jobs"), ["once"]);
    client.offer("jobs", once.clone(), NO_WAIT).unwrap();
    client.offer("others", once.clone(), NO_WAIT).unwrap();
    assert_eq!(drain(&client, "jobs"), [""; 0], "it was done before");
    drop((client, running));
    let (_running, client) = broker(&options);
    client.offer("jobs", once, NO_WAIT).unwrap();
    assert_eq!(drain(&client, "jobs"), [""; 0]);
    assert_eq!(drain(&client, "others"), ["once"]);
}

#[test]
fn what_comes_of_a_message_takes_its_place_at_once_or_not_at_all() {
    let (_directory, options) = directory();
    let (running, client) = broker(&options);
    client.create_queue_with("in", &durable()).unwrap();
    let one = QueueOptions::new(1).durable(true);
    client.create_queue_with("out", &one).unwrap();
    offer(&client, "in", "1");
    offer(&client, "in", "2");
    let first = client.poll_leased("in", NO_WAIT, SOON).unwrap();
    let second = client.poll_leased("in", NO_WAIT, SOON).unwrap();
    let result = message("done").with_durable(true);
    first.ack_with("out", result.clone()).unwrap();
    let full = second.ack_with("out", result.clone()).unwrap_err();
    assert_eq!(full.status(), Some(Status::QueueFull));
    drop((client, running));

    let (_running, client) = broker(&options);
    let (left, done) = (client.poll("in", NO_WAIT), client.poll("out", NO_WAIT));
    assert_eq!(left.unwrap().payload_text().unwrap(), "2");
    let done = done.unwrap();
    assert_eq!(done.payload_text().unwrap(), "done");
    assert_eq!(done.headers().len(), 0);
    assert_eq!(drain(&client, "in"), [""; 0]);

    // A lease that is over takes nothing along.
    offer(&client, "in", "3");
    let late = client
        .poll_leased("in", NO_WAIT, Duration::from_millis(1))
        .unwrap();
    let again = client.poll("in", SOON).unwrap();
    assert_eq!(again.payload_text().unwrap(), "3");
    let stale = late.ack_with("out", result).unwrap_err();
    assert_eq!(stale.status(), Some(Status::Stale));
    assert_eq!(drain(&client, "out"), [""; 0]);
}

/// Where the log had kept enough just when a client's messages were left where they were, they were left there for ever.
#[test]
fn a_client_that_sends_more_than_may_wait_for_the_log_is_read_on_from() {
    const OFFERS: usize = 30_000;
    let (_directory, options) = directory();
    let options = BrokerOptions::new().log(&options.segment_size(64 << 20));
    let broker = Broker::with_options(&options).unwrap();
    let queue = QueueOptions::new(OFFERS).durable(true);
    broker.create_queue_with("jobs", &queue).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let socket = Pair1::with_options(&options).unwrap();
    socket.dial(&url).unwrap();
    let offer = message("x").with_durable(true);
    let offer = offer.addressed_to(MessageType::Offer, "jobs").unwrap();
    let offer = encode(&offer, Encoding::Binary);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..OFFERS {
                socket.send(&offer[..]).unwrap();
            }
        });
        for _ in 0..OFFERS {
            socket.recv().unwrap();
        }
    });
    assert_eq!(broker.queue_status("jobs").size, OFFERS);
}
