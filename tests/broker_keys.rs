//! Encrypted connections to the broker: who demands what, and whose keys are known. Names in parentheses are those of the
//! broker's specification.

mod common;

use std::time::Duration;

use common::{SOON, unique};
use wirebird::broker::{
    Broker, BrokerOptions, Client, ClientOptions, Error, Identity, Message, MessageType, Status,
};
use wirebird::{Pair1, SocketOptions};

fn listening(options: &BrokerOptions) -> (Broker, String) {
    let broker = Broker::with_options(options).unwrap();
    let url = format!("inproc://{}", unique());
    broker.listen(&url).unwrap();
    (broker, url)
}

fn connect(url: &str, options: &ClientOptions) -> Result<Client, Error> {
    Client::connect_with(url, options)
}

fn identity() -> Identity {
    Identity::generate().expect("random numbers")
}

/// How connecting ends.
#[derive(Debug, PartialEq)]
enum End {
    Served,
    /// Told by whichever end does not know the other one.
    Unknown,
    /// The broker does not take what is not encrypted.
    Cut,
}

/// F150, F152, golden 10: every way to protect a broker with every way to protect a client.
#[test]
fn the_matrix_of_encryption() {
    let (server, other, ann, bob) = (identity(), identity(), identity(), identity());
    let brokers = [
        ("open", BrokerOptions::new()),
        ("encrypts", BrokerOptions::new().encrypt(true)),
        ("signs", BrokerOptions::new().identity(&server)),
        (
            "encrypts and signs",
            BrokerOptions::new().encrypt(true).identity(&server),
        ),
        (
            "knows ann",
            BrokerOptions::new().client_keys([ann.public_key()]),
        ),
        (
            "signs and knows ann",
            BrokerOptions::new()
                .identity(&server)
                .client_keys([ann.public_key()]),
        ),
    ];
    let pin = server.public_key();
    let clients = [
        ("plain", ClientOptions::new()),
        ("encrypts", ClientOptions::new().encrypt(true)),
        ("pins", ClientOptions::new().server_key(pin)),
        (
            "pins another",
            ClientOptions::new().server_key(other.public_key()),
        ),
        ("is ann", ClientOptions::new().identity(&ann)),
        (
            "is ann and pins",
            ClientOptions::new().identity(&ann).server_key(pin),
        ),
        (
            "is bob and pins",
            ClientOptions::new().identity(&bob).server_key(pin),
        ),
    ];
    for (broker_name, broker) in &brokers {
        let (signs, knows) = (broker_name.contains("signs"), broker_name.contains("knows"));
        let demands = knows || broker_name.contains("encrypts");
        let (_broker, url) = listening(broker);
        for (client_name, client) in &clients {
            let expected = match *client_name {
                "plain" if demands => End::Cut,
                "pins another" => End::Unknown,
                name if name.contains("pins") && !signs => End::Unknown,
                name if !name.contains("ann") && knows => End::Unknown,
                _ => End::Served,
            };
            let patience = match expected {
                End::Cut => Duration::from_millis(100),
                _ => SOON,
            };
            let found = match connect(&url, &client.clone().timeout(patience)) {
                Ok(client) => {
                    client.heartbeat().expect("it goes on");
                    End::Served
                }
                Err(error) if error.status() == Some(Status::DiffieHellmanNak) => End::Unknown,
                Err(Error::Socket(_)) => End::Cut,
                Err(error) => panic!("{broker_name}, {client_name}: {error}"),
            };
            assert_eq!(found, expected, "{broker_name}, {client_name}");
        }
    }
}

#[test]
fn a_client_learns_whether_encryption_is_demanded() {
    let ann = identity();
    for (options, demanded) in [
        (BrokerOptions::new(), false),
        (BrokerOptions::new().identity(&ann), false),
        (BrokerOptions::new().encrypt(true), true),
        (BrokerOptions::new().client_keys([ann.public_key()]), true),
    ] {
        let (_broker, url) = listening(&options);
        let client = connect(&url, &ClientOptions::new().identity(&ann)).unwrap();
        let ask = Message::plain_text(None, "", "").unwrap();
        let ask = ask.addressed_to(MessageType::ClientConfig, None).unwrap();
        let config = client.request(ask).unwrap().payload_data().unwrap();
        assert_eq!(config["encrypt"], demanded);
    }
}

/// Nothing of a stranger is done, whatever it is, and a stranger does not become somebody by trying on.
#[test]
fn a_client_that_is_not_known_gets_nothing_done() {
    let (ann, bob) = (identity(), identity());
    let options = BrokerOptions::new().open_admin(true);
    let (broker, url) = listening(&options.client_keys([ann.public_key()]));
    let served = connect(&url, &ClientOptions::new().identity(&ann)).unwrap();
    served.create_queue("q", 1, Default::default()).unwrap();
    for options in [
        ClientOptions::new().encrypt(true),
        ClientOptions::new().identity(&bob),
    ] {
        let refused = connect(&url, &options).unwrap_err();
        assert_eq!(refused.status(), Some(Status::DiffieHellmanNak));
        assert!(refused.to_string().contains("key"), "{refused}");
    }
    assert_eq!(broker.stats().requests - broker.stats().failed, 1);
}

/// A client that comes back proves its key again, and has the broker prove its own.
#[test]
fn keys_are_proven_on_each_connection() {
    let (server, ann) = (identity(), identity());
    let url = format!("inproc://{}", unique());
    let start = |server: &Identity| {
        let options = BrokerOptions::new().identity(server);
        let broker = Broker::with_options(&options.client_keys([ann.public_key()])).unwrap();
        broker.listen(&url).unwrap();
        broker
    };
    let broker = start(&server);
    let options = ClientOptions::new()
        .server_key(server.public_key())
        .identity(&ann);
    let client = connect(&url, &options).unwrap();
    drop(broker);
    let _again = start(&server);
    client.heartbeat().expect("the same broker");
    drop(_again);
    let _other = start(&identity());
    let refused = client.heartbeat().unwrap_err();
    assert_eq!(
        refused.status(),
        Some(Status::DiffieHellmanNak),
        "{refused}"
    );
}

#[test]
fn a_proof_that_is_none_cuts_a_client_off() {
    let (_broker, url) = listening(&BrokerOptions::new());
    let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
    let stranger = Pair1::with_options(&options).unwrap();
    stranger.dial(&url).unwrap();
    let events = stranger.monitor();
    stranger.send([&[0xe1, 1][..], &[9; 32]].concat()).unwrap();
    stranger.recv().expect("an answer");
    stranger.send([0xe3; 97]).unwrap();
    common::await_removed(&events);
}
