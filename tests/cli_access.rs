//! Who gets into `wirebird broker`: users with passwords, and files that are read again while it runs.

mod common;
mod peers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::certificates::Authority;
use common::eventually;
use peers::served::{Served, assert_fails, serve};
use peers::{DEADLINE, Finished, Program};
use rustix::process::Signal;
use tempfile::TempDir;
use wirebird::broker::{
    Authenticator, Client, ClientOptions, DestinationType, Error, Message, MessageType, Mode, Role,
    Status,
};
use wirebird::{EndpointOptions, Push, TlsConfig};

/// Files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> String {
        std::fs::write(self.at(name), text).unwrap();
        self.at(name).display().to_string()
    }

    /// Stores users whose passwords are their names.
    fn store(&self, auth: &Authenticator) -> String {
        auth.store(self.at("users.json")).unwrap();
        self.at("users.json").display().to_string()
    }
}

fn users() -> Authenticator {
    let auth = Authenticator::with_rounds(10);
    auth.add_credentials("root", "root", Role::Admin).unwrap();
    auth.add_credentials("ann", "ann", Role::User).unwrap();
    auth
}

fn run_as(served: &Served, user: &str, password: &str, line: &str) -> Finished {
    let program = served
        .program()
        .with("WIREBIRD_PASSWORD", Path::new(password));
    program.run(format!("{line} --encrypt --user {user}").split(' '))
}

fn client(url: &str, user: &str) -> Result<Client, Error> {
    let options = ClientOptions::new().encrypt(true).credentials(user, user);
    Client::connect_with(url, &options)
}

fn offer(client: &Client, queue: &str) -> Result<(), Option<Status>> {
    let message = Message::plain_text(None, "", "x").unwrap();
    let offered = client.offer(queue, message, Duration::ZERO);
    offered.map_err(|error| error.status())
}

#[test]
fn users_log_in_with_a_password_from_the_environment_or_a_file() {
    let files = Files::new();
    let path = files.store(&users());
    let served = serve(&format!("--encrypt --authenticator {path}"));
    let done = run_as(&served, "root", "root", "queue create jobs");
    assert_eq!((done.code, &*done.err), (Some(0), ""));
    let word = files.put("word", "ann\n");
    let ann = format!("--encrypt --user ann --password-file {word}");
    served.gives(&format!("offer jobs hello {ann}"));
    assert_eq!(served.gives(&format!("poll jobs {ann}")), "hello\n");
    served.gives(&format!(
        "bench {} --duration 0.01 --json {ann}",
        served.url
    ));

    assert_fails(
        &run_as(&served, "ann", "root", "queue list"),
        1,
        "the user or the password is wrong",
    );
    assert_fails(
        &run_as(&served, "ann", "ann", "queue list"),
        1,
        "NO_PERMISSION: LIST_QUEUES is for administrators",
    );
    served.refuses("queue list --encrypt", "wants a user and a password");
    // In the clear the password is not even sent.
    let bare = format!("queue list --user ann --password-file {word}");
    assert_fails(&served.run(&bare), 2, "passwords cannot go over tcp://");
}

#[test]
fn what_is_wrong_with_users_and_passwords_is_told() {
    let files = Files::new();
    let (empty, path) = (files.put("empty", ""), files.store(&users()));
    for (line, told) in [
        ("poll q --user ann", "set WIREBIRD_PASSWORD"),
        (
            "poll q --user ann --password-file /nonexistent",
            "Cannot read /nonexistent: ",
        ),
        (
            &format!("poll q --user ann --password-file {empty}"),
            "There is no password in ",
        ),
        (
            "broker --encrypt --authenticator /nonexistent",
            "/nonexistent",
        ),
        (
            &format!("broker --authenticator {path} --listen tcp://127.0.0.1:0"),
            "passwords would go over it in the clear",
        ),
    ] {
        assert_fails(&Program::wirebird().run(line.split(' ')), 2, told);
    }
    for line in [
        "poll q --password-file x",
        "broker --open-admin --authenticator x",
    ] {
        let done = Program::wirebird().run(line.split(' '));
        assert_eq!(done.code, Some(2), "{done:?}");
    }
}

#[test]
fn sighup_puts_users_and_rights_in_force_for_who_is_connected() {
    let files = Files::new();
    let auth = users();
    let path = files.store(&auth);
    files.put("broker.toml", "authenticator = 'users.json'");
    let config = files.at("broker.toml").display().to_string();
    let served = serve(&format!("--encrypt --config {config}"));
    let (root, ann) = (client(&served.url, "root"), client(&served.url, "ann"));
    let (root, ann) = (root.unwrap(), ann.unwrap());
    root.create_queue("jobs", 10, Default::default()).unwrap();
    assert_eq!(offer(&ann, "jobs"), Ok(()));

    files.put("users.json", "{ \"authorizations\": 5 }");
    served.broker.signal(Signal::HUP);
    let told = served.broker.complaint("Nothing has changed: ");
    assert!(told.contains(&path) && told.contains('1'), "{told}");
    assert_eq!(offer(&ann, "jobs"), Ok(()), "all is as it was");

    auth.set_acl(DestinationType::Queue, "jobs", Mode::Read, "ann")
        .unwrap();
    auth.add_credentials("bob", "bob", Role::User).unwrap();
    auth.allow_network("127.0.0.2").unwrap();
    files.store(&auth);
    served.broker.signal(Signal::HUP);
    assert_eq!(served.broker.line("Read again: "), path);
    assert_eq!(offer(&ann, "jobs"), Err(Some(Status::NoPermission)));
    root.heartbeat().expect("who is connected stays so");
    let hasty = ClientOptions::new()
        .encrypt(true)
        .timeout(Duration::from_millis(200))
        .credentials("bob", "bob");
    let refused = Client::connect_with(&served.url, &hasty);
    assert!(refused.is_err(), "it comes from elsewhere");
    served.broker.signal(Signal::TERM);
    assert_eq!(served.broker.finish().code, Some(0));
}

#[test]
fn sighup_replaces_certificates() {
    let files = Files::new();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let put = |authority: &Authority| {
        let identity = authority.issue_local();
        files.put("own.pem", &(identity.certificate + &identity.key))
    };
    let cert = put(&first);
    let served = serve(&format!("--listen tls+tcp://127.0.0.1:0 --tls-cert {cert}"));
    let url = format!("tls{}", served.broker.line("Listening at: tls"));
    let connect = |authority: &Authority| {
        let tls = TlsConfig::new().ca(authority.pem()).unwrap();
        let options = ClientOptions::new()
            .timeout(DEADLINE)
            .endpoint(EndpointOptions::new().tls(tls));
        Client::connect_with(&url, &options)
    };
    let before = connect(&first).unwrap();
    files.put("own.pem", "no certificate");
    served.broker.signal(Signal::HUP);
    let told = served.broker.complaint("Nothing has changed: ");
    assert!(told.contains(&cert), "{told}");
    connect(&first).expect("all is as it was");
    put(&second);
    served.broker.signal(Signal::HUP);
    assert_eq!(served.broker.line("Read again: "), cert);
    connect(&second).expect("the new certificate");
    assert!(connect(&first).is_err());
    before.heartbeat().expect("who is connected stays so");
}

#[test]
fn sighup_does_no_harm_where_nothing_can_be_read_again() {
    let served = serve("");
    served.broker.signal(Signal::HUP);
    served.broker.line("There is nothing to read again");
    served.gives("queue create jobs");
}

#[test]
fn an_endpoint_has_a_user_and_may_do_what_that_one_may() {
    let files = Files::new();
    let auth = users();
    auth.set_acl(DestinationType::Queue, "closed", Mode::Read, "ann")
        .unwrap();
    files.store(&auth);
    let (open, closed) = (files.at("open.sock"), files.at("closed.sock"));
    let endpoint = |queue: &str, socket: &Path, user: &str| {
        let url = format!("ipc://{}", socket.display());
        format!(
            "[[endpoints]]\nkind = 'queue-in'\ndestination = '{queue}'\nlisten = ['{url}']\n{user}\n"
        )
    };
    let configured = |endpoints: &str| {
        let queues = "[queues]\nopen = { capacity = 5 }\nclosed = { capacity = 5 }\n";
        let text = format!("authenticator = 'users.json'\n{queues}{endpoints}");
        files.put("broker.toml", &text)
    };
    for (user, told) in [
        (
            "",
            "this broker has users: say which one the endpoint acts as",
        ),
        ("user = 'eve'", "there is no user eve"),
    ] {
        let config = configured(&endpoint("open", &open, user));
        let line = format!("broker --encrypt --listen tcp://127.0.0.1:0 --config {config}");
        let done = Program::wirebird().run(line.split(' '));
        assert_fails(&done, 2, told);
    }

    let ann = "user = 'ann'";
    let both = endpoint("open", &open, ann) + &endpoint("closed", &closed, ann);
    let served = serve(&format!("--encrypt --config {}", configured(&both)));
    let push = |socket: &Path| {
        let push = Push::new().unwrap();
        push.dial(&format!("ipc://{}", socket.display())).unwrap();
        push.send("hello").unwrap();
        push
    };
    let pushes = [push(&open), push(&closed)];
    let root = client(&served.url, "root").unwrap();
    let got = root.poll("open", DEADLINE).unwrap();
    assert_eq!(&got.payload_binary()[..], b"hello");
    eventually("what ann may not do is told", || {
        let ask = Message::plain_text(None, "", "").unwrap();
        let ask = ask.addressed_to(MessageType::ServerStatus, None).unwrap();
        let status = root.request(ask).unwrap().payload_data().unwrap();
        let trouble = status["endpoints"][1]["trouble"].as_str();
        trouble.is_some_and(|text| text.starts_with("NO_PERMISSION: ann may not"))
    });
    drop(pushes);
}

#[test]
fn keys_are_made_and_known_by_both_ends() {
    let files = Files::new();
    let at = |name: &str| files.at(name).display().to_string();
    let make = |name: &str| {
        let words = ["key", "generate", &at(name)];
        let printed = Program::wirebird().start(words).succeed();
        let again = Program::wirebird().start(["key", "public", &at(name)]);
        assert_eq!(again.succeed(), printed);
        String::from_utf8(printed).unwrap().trim().to_owned()
    };
    let (server, ann, bob) = (make("server"), make("ann"), make("bob"));
    let again = Program::wirebird().run(["key", "generate", &at("ann")]);
    assert_fails(&again, 2, &at("ann"));
    files.put(
        "broker.toml",
        &format!("identity = 'server'\nclient-keys = ['{ann}']"),
    );
    // Clients are known, so that other machines may reach it.
    let served = serve(&format!(
        "--config {} --listen tcp://0.0.0.0:0 --open-admin",
        at("broker.toml")
    ));
    let ann_is = format!("--server-key {server} --identity {}", at("ann"));
    served.gives(&format!("queue create jobs {ann_is}"));
    served.gives(&format!(
        "bench {} --duration 0.01 --json {ann_is}",
        served.url
    ));
    for (options, told) in [
        (
            format!("--server-key {bob} --identity {}", at("ann")),
            "the broker does not prove to have the key",
        ),
        (
            format!("--server-key {server} --identity {}", at("bob")),
            "this client's key is none of those that the broker serves",
        ),
        (
            format!("--server-key {server}"),
            "this client's key is none of those that the broker serves",
        ),
    ] {
        served.refuses(&format!("queue list {options}"), told);
    }
    files.put("ann", "no key");
    let done = served.run(&format!("queue list {ann_is}"));
    assert_fails(&done, 2, "no private key of Ed25519");
    let done = served.run("queue list --server-key x");
    assert_eq!(done.code, Some(2), "{done:?}");
}
