//! Every protocol in a browser: serves a page, and the sockets it talks to.
//!
//! ```text
//! cargo run --example browser              for the browser on this machine
//! cargo run --example browser 192.0.2.7    for those that reach it at this address
//! ```

mod broker;
mod http;
mod server;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let host = std::env::args().nth(1);
    let host = host.as_deref().unwrap_or("127.0.0.1");
    let server = server::Server::start(&format!("ws://{host}:8081"))?;
    let page = http::serve(&format!("{host}:8080"), http::PAGE)?;
    println!("open http://{page}/?ws={}", server.base());
    let broker = broker::start(&format!("ws://{host}:8082"), &format!("http://{page}"))?;
    println!(
        "open http://{page}/broker?ws={} for a client of a broker",
        broker.url
    );
    println!("and press Enter here to end it");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
