//! Users with passwords, of which the broker has only salted hashes, in a file that only its owner can read.
//!
//! cargo run --example broker_authentication [URL]

use std::error::Error;

use wirebird::broker::{
    Authenticator, Broker, BrokerOptions, Client, ClientOptions, Message, Role, Status,
};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("tcp://127.0.0.1:0");

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("users.json");
    let auth = Authenticator::new();
    auth.add_credentials("tom", "3-kio", Role::User)?;
    auth.add_credentials("max", "zu*67", Role::Admin)?;
    auth.store(&file)?;

    // Another run of the program. Passwords do not go over tcp in the clear: without `encrypt` it would not listen.
    let auth = Authenticator::load(&file)?;
    let options = BrokerOptions::new().encrypt(true).authenticator(&auth);
    let broker = Broker::with_options(&options)?;
    broker.create_function("echo", |request| Ok(Some(request.clone())))?;
    let url = broker.listen(url)?.url();

    let nobody = ClientOptions::new().encrypt(true);
    let tom = Client::connect_with(&url, &nobody.clone().credentials("tom", "3-kio"))?;
    let answer = tom.send("echo", Message::plain_text("1", "test", "hello")?)?;
    println!("tom: {}", answer.payload_text().unwrap_or_default());

    let wrong = nobody.clone().credentials("tom", "3,kio");
    for (who, options) in [("a wrong password", wrong), ("no user", nobody)] {
        let refused = Client::connect_with(&url, &options).unwrap_err();
        assert_eq!(refused.status(), Some(Status::NoPermission));
        println!("{who}: {refused}");
    }

    // It counts at once, for clients that are connected too.
    auth.remove_credentials("tom");
    let refused = tom.send("echo", Message::plain_text("2", "test", "hello")?);
    let refused = refused.unwrap_err();
    assert_eq!(refused.status(), Some(Status::NoPermission));
    println!("tom, removed: {refused}");
    Ok(())
}
