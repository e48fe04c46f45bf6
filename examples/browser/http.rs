//! A web server for a few files that are part of the program. A page on its own would do without, but browsers load
//! modules only from servers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Path, content type, content.
pub(crate) type File = (&'static str, &'static str, &'static str);

pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(crate) const STYLE: &str = "text/css; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// The pages and their scripts.
pub(crate) const PAGE: &[File] = &[
    ("/", HTML, include_str!("index.html")),
    ("/page.js", SCRIPT, include_str!("page.js")),
    ("/style.css", STYLE, include_str!("style.css")),
    ("/broker", HTML, include_str!("broker.html")),
    ("/broker-page.js", SCRIPT, include_str!("broker-page.js")),
    ("/broker.js", SCRIPT, include_str!("broker.js")),
    ("/sp.js", SCRIPT, include_str!("sp.js")),
    ("/sp/message.js", SCRIPT, include_str!("sp/message.js")),
    ("/sp/socket.js", SCRIPT, include_str!("sp/socket.js")),
];

/// No browser sends more before the empty line.
const LONGEST_REQUEST: u64 = 64 * 1024;

/// A browser may open a connection and leave it unused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the files for as long as the program runs, and says where.
pub(crate) fn serve(address: &str, files: &'static [File]) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What goes wrong with one request is the browser's to show.
            thread::spawn(move || answer(&stream, files));
        }
    });
    Ok(address)
}

fn answer(mut stream: &TcpStream, files: &[File]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(LONGEST_REQUEST)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next();
    let file = files.iter().find(|(name, ..)| Some(*name) == path);
    let (status, kind, content) = match (method, file) {
        (Some("GET"), Some((_, kind, content))) => ("200 OK", *kind, *content),
        (Some("GET"), None) => ("404 Not Found", "text/plain", "There is no such file.\n"),
        _ => ("405 Method Not Allowed", "text/plain", "Only GET.\n"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{content}",
        content.len()
    )
}
