//! Who may do what at a broker with an authenticator: every combination, over encrypted connections. Names in parentheses
//! are those of the broker's specification.

mod common;

use std::time::Duration;

use wirebird::broker::{
    Action, Authenticator, Broker, BrokerOptions, Client, ClientOptions, DestinationType, Error,
    Message, MessageType, Mode, QueueType, Role, Status,
};

const NO_WAIT: Duration = Duration::ZERO;

const TYPES: [DestinationType; 3] = [
    DestinationType::Queue,
    DestinationType::Topic,
    DestinationType::Function,
];

const ACTIONS: [Action; 5] = [
    Action::Offer,
    Action::Poll,
    Action::Publish,
    Action::Subscribe,
    Action::Execute,
];

/// A broker with the queue, the topic and the function `x`, and three clients: an administrator, a user who gets rights
/// of its own, and one who never does.
struct Scene {
    auth: Authenticator,
    _broker: Broker,
    root: Client,
    ann: Client,
    bob: Client,
}

impl Scene {
    fn new() -> Self {
        let auth = Authenticator::with_rounds(10);
        for (user, role) in [
            ("root", Role::Admin),
            ("ann", Role::User),
            ("bob", Role::User),
        ] {
            auth.add_credentials(user, user, role).unwrap();
        }
        let options = BrokerOptions::new().authenticator(&auth).encrypt(true);
        let broker = Broker::with_options(&options).unwrap();
        broker.create_queue("x", 1000, QueueType::Circular).unwrap();
        broker.create_topic("x").unwrap();
        broker.create_function("x", |_| Ok(None)).unwrap();
        let url = broker.listen("tcp://127.0.0.1:0").unwrap().url();
        let connect = |user: &str| {
            let options = ClientOptions::new().encrypt(true).credentials(user, user);
            Client::connect_with(&url, &options).expect("connects")
        };
        Self {
            root: connect("root"),
            ann: connect("ann"),
            bob: connect("bob"),
            _broker: broker,
            auth,
        }
    }

    /// Sets the default of a type and what `ann` may do, `None` being what there is at the beginning.
    fn set(&self, kind: DestinationType, default: Option<Mode>, entry: Option<Mode>) {
        let default = default.unwrap_or_else(|| Authenticator::new().default_acl(kind));
        self.auth.set_default_acl(kind, default).unwrap();
        self.auth.remove_acl(kind, None, None);
        if let Some(mode) = entry {
            self.auth.set_acl(kind, "x", mode, "ann").unwrap();
            // What an administrator may do does not depend on it.
            self.auth.set_acl(kind, "x", Mode::Deny, "root").unwrap();
        }
    }
}

fn text() -> Message {
    Message::plain_text("1", "test", "x").unwrap()
}

/// The modes that a type has.
fn modes(kind: DestinationType) -> Vec<Mode> {
    match kind {
        DestinationType::Function => vec![Mode::Execute, Mode::Deny],
        _ => vec![Mode::Read, Mode::Write, Mode::ReadWrite, Mode::Deny],
    }
}

/// The same, and that there is none.
fn settings(kind: DestinationType) -> impl Iterator<Item = Option<Mode>> {
    [None].into_iter().chain(modes(kind).into_iter().map(Some))
}

/// What somebody may do by the specification's table, whatever the code says. Without anything, everything.
fn expected(mode: Option<Mode>, action: Action) -> bool {
    let Some(mode) = mode else { return true };
    matches!(
        (mode, action),
        (
            Mode::Read | Mode::ReadWrite,
            Action::Poll | Action::Subscribe
        ) | (
            Mode::Write | Mode::ReadWrite,
            Action::Offer | Action::Publish
        ) | (Mode::Execute, Action::Execute)
    )
}

fn attempt(client: &Client, action: Action) -> Result<(), Error> {
    match action {
        Action::Offer => client.offer("x", text(), NO_WAIT),
        Action::Poll => client.poll("x", NO_WAIT).map(drop),
        Action::Publish => client.publish("x", text()).map(drop),
        Action::Subscribe => client.subscribe("x", |_| {}),
        _ => client.send("x", text()).map(drop),
    }
}

/// F130, F131, F132, F133, F134, F135, golden 7: every default with every right of a user, for every action of everybody.
#[test]
fn the_matrix_of_rights() {
    let scene = Scene::new();
    let mut cells = 0;
    for action in ACTIONS {
        let kind = action.destination_type();
        for default in settings(kind) {
            for entry in settings(kind) {
                scene.set(kind, default, entry);
                for (client, user, allowed) in [
                    (&scene.root, "root", true),
                    (&scene.ann, "ann", expected(entry.or(default), action)),
                    (&scene.bob, "bob", expected(default, action)),
                ] {
                    // There is something to poll.
                    scene.root.offer("x", text(), NO_WAIT).unwrap();
                    let cell = format!("{kind} {default:?} {entry:?} {user} {action:?}");
                    match attempt(client, action) {
                        Ok(()) => assert!(allowed, "{cell}"),
                        Err(error) => {
                            assert!(!allowed, "{cell}: {error}");
                            assert_eq!(error.status(), Some(Status::NoPermission), "{cell}");
                            let verb = format!("{action:?}").to_lowercase();
                            let text = error.to_string();
                            assert!(text.contains(&verb) && text.contains(user), "{text}");
                        }
                    }
                    client.heartbeat().expect("the connection stays");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 3 * (4 * 5 * 5 + 3 * 3));
}

/// F130: what one type of destination allows says nothing of another of the same name.
#[test]
fn rights_for_a_type_are_none_for_another() {
    let scene = Scene::new();
    for allowed in TYPES {
        for kind in TYPES {
            let mode = match kind {
                DestinationType::Function => Mode::Execute,
                _ => Mode::ReadWrite,
            };
            scene.set(
                kind,
                Some(Mode::Deny),
                Some(mode).filter(|_| kind == allowed),
            );
        }
        for action in ACTIONS {
            scene.root.offer("x", text(), NO_WAIT).unwrap();
            let may = attempt(&scene.ann, action).is_ok();
            let cell = format!("{allowed} {action:?}");
            assert_eq!(may, action.destination_type() == allowed, "{cell}");
        }
    }
}

/// F133: the last entry of a user for a destination counts, and the one before is gone with it.
#[test]
fn of_several_entries_the_last_one_counts() {
    let scene = Scene::new();
    for kind in TYPES {
        for first in modes(kind) {
            for last in modes(kind) {
                scene.set(kind, None, Some(first));
                scene.auth.set_acl(kind, "x", last, "ann").unwrap();
                for action in ACTIONS {
                    if action.destination_type() == kind {
                        scene.root.offer("x", text(), NO_WAIT).unwrap();
                        let may = attempt(&scene.ann, action).is_ok();
                        let cell = format!("{kind} {first:?} {last:?} {action:?}");
                        assert_eq!(may, expected(Some(last), action), "{cell}");
                    }
                }
            }
        }
    }
}

/// F110, F132, F135: rights neither give nor take what is for administrators, and what is for all users they do not take.
#[test]
fn no_right_makes_an_administrator_and_none_is_needed_to_look_after_ones_own() {
    let scene = Scene::new();
    let management = [
        (MessageType::CreateQueue, r#"{"capacity":1}"#),
        (MessageType::RemoveQueue, ""),
        (MessageType::StatusQueue, ""),
        (MessageType::PeekQueue, ""),
        (MessageType::PurgeQueue, ""),
        (MessageType::ListQueues, ""),
        (MessageType::CreateTopic, ""),
        (MessageType::RemoveTopic, ""),
        (MessageType::StatusTopic, ""),
        (MessageType::ListTopics, ""),
        (MessageType::StatusFunction, ""),
        (MessageType::ServerStatus, ""),
    ];
    for mode in [Mode::ReadWrite, Mode::Deny] {
        for kind in TYPES {
            let mode = match (kind, mode) {
                (DestinationType::Function, Mode::ReadWrite) => Mode::Execute,
                (_, mode) => mode,
            };
            scene.set(kind, Some(mode), Some(mode));
        }
        for (client, allowed) in [
            (&scene.ann, false),
            (&scene.bob, false),
            (&scene.root, true),
        ] {
            for (kind, payload) in management {
                // Of its own, so that the others find theirs.
                let name = format!("made/{allowed}/{mode:?}");
                let made = [MessageType::PeekQueue, MessageType::PurgeQueue];
                let name = if made.contains(&kind) { "x" } else { &name };
                let json = wirebird::broker::Charset::Utf8;
                let request = Message::text(None, "", "application/json", json, payload).unwrap();
                let answer = client
                    .request(request.addressed_to(kind, name).unwrap())
                    .unwrap();
                let expected = if allowed {
                    Status::Ok
                } else {
                    Status::NoPermission
                };
                assert_eq!(answer.status(), expected, "{kind:?} {mode:?}");
            }
            let own = client.create_temporary_queue(1).unwrap();
            client.offer(&own, text(), NO_WAIT).unwrap();
            client.poll(&own, NO_WAIT).unwrap();
            client.heartbeat().unwrap();
        }
        let left = scene.ann.unsubscribe("x");
        assert!(left.is_ok() || left.unwrap_err().status() != Some(Status::NoPermission));
    }
}
