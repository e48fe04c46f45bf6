//! Who the browser talks to: nng, which is always there, and sockets of this library.

use std::sync::mpsc::{Receiver, channel};
use std::thread;

use wirebird::{Pattern, Push, Req, Result, Socket, SocketOptions, Sub, Surveyor};

use crate::peers::{DEADLINE, Place, Program, Running, Scheme};
use crate::server;

/// A server of the demonstration, and further sockets for single tests.
pub(crate) trait Server {
    /// Starts the server, at an address that it keeps.
    fn start() -> Self;

    /// The address before the paths.
    fn base(&self) -> String;

    /// Ends it, and with it all its connections.
    fn stop(&mut self);

    /// Starts it again at the same address.
    fn start_again(&mut self);

    /// Pushes the numbers below `count` to the first peer.
    fn flood(count: u32) -> impl Extra;

    /// Asks the first peer once; the answer is the line `answer …`.
    fn ask(asker: Asker, question: &'static str) -> impl Extra;

    /// Subscribes to everything; each message is a line `heard …`.
    fn hear(count: usize) -> impl Extra;
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    Req,
    Surveyor,
}

/// A socket for one test.
pub(crate) trait Extra {
    fn url(&self) -> String;

    /// Waits for a line that begins with `start`, and gives the rest.
    fn line(&self, start: &str) -> String;
}

// ---- nng ----

/// nng, in a process of its own: tests/browser/peer.py.
pub(crate) struct Nng {
    place: Place,
    running: Option<Running>,
}

fn pynng(args: &[&str]) -> Running {
    let running = Program::python("../browser/peer.py").start(args);
    running.line("listening");
    running
}

fn address(place: &Place) -> String {
    format!("ws://127.0.0.1:{}", place.port())
}

impl Server for Nng {
    fn start() -> Self {
        let mut server = Self {
            place: Place::new(Scheme::Tcp),
            running: None,
        };
        server.start_again();
        server
    }

    fn base(&self) -> String {
        address(&self.place)
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn start_again(&mut self) {
        self.running = Some(pynng(&["serve", &self.base()]));
    }

    fn flood(count: u32) -> impl Extra {
        NngExtra::new("flood", &[&count.to_string()])
    }

    fn ask(asker: Asker, question: &'static str) -> impl Extra {
        let kind = match asker {
            Asker::Req => "Req0",
            Asker::Surveyor => "Surveyor0",
        };
        NngExtra::new("ask", &[kind, question])
    }

    fn hear(count: usize) -> impl Extra {
        NngExtra::new("hear", &[&count.to_string()])
    }
}

struct NngExtra {
    url: String,
    running: Running,
    _place: Place,
}

impl NngExtra {
    fn new(function: &str, args: &[&str]) -> Self {
        let place = Place::new(Scheme::Tcp);
        let url = format!("{}/{function}", address(&place));
        Self {
            running: pynng(&[&[function, &url], args].concat()),
            url,
            _place: place,
        }
    }
}

impl Extra for NngExtra {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn line(&self, start: &str) -> String {
        self.running.line(start)
    }
}

// ---- wirebird ----

/// Sockets of this library, in this process: the server of the example.
pub(crate) struct Wirebird {
    base: String,
    running: Option<server::Server>,
}

impl Server for Wirebird {
    fn start() -> Self {
        let server = server::Server::start("ws://127.0.0.1:0").expect("the server listens");
        Self {
            base: server.base().to_owned(),
            running: Some(server),
        }
    }

    fn base(&self) -> String {
        self.base.clone()
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn start_again(&mut self) {
        let server = server::Server::start(&self.base);
        self.running = Some(server.expect("the server listens where it did"));
    }

    fn flood(count: u32) -> impl Extra {
        WirebirdExtra::new(Push::new(), move |push, _| {
            (0..count).try_for_each(|number| Ok(push.send(number.to_string())?))
        })
    }

    fn ask(asker: Asker, question: &'static str) -> impl Extra {
        match asker {
            Asker::Req => WirebirdExtra::new(Req::new(), move |req, say| {
                let answer = req.request(question).timeout(DEADLINE).wait()?;
                say("answer", answer.body());
                Ok(())
            }),
            Asker::Surveyor => {
                let options = SocketOptions::new().survey_time(DEADLINE);
                let surveyor = Surveyor::with_options(&options);
                WirebirdExtra::new(surveyor, move |surveyor, say| {
                    surveyor.wait_for_peers(1, DEADLINE)?;
                    surveyor.send(question)?;
                    say("answer", surveyor.recv()?.body());
                    Ok(())
                })
            }
        }
    }

    fn hear(count: usize) -> impl Extra {
        WirebirdExtra::new(Sub::new(), move |sub, say| {
            sub.subscribe("")?;
            for _ in 0..count {
                say("heard", sub.recv()?.body());
            }
            Ok(())
        })
    }
}

struct WirebirdExtra {
    url: String,
    lines: Receiver<String>,
    close: Box<dyn Fn()>,
}

impl WirebirdExtra {
    fn new<P: Pattern>(
        socket: Result<Socket<P>>,
        work: impl FnOnce(&Socket<P>, &dyn Fn(&str, &[u8])) -> Result<()> + Send + 'static,
    ) -> Self {
        let socket = socket.expect("a socket");
        let listener = socket.listen("ws://127.0.0.1:0/extra");
        let url = listener.expect("the socket listens").url();
        let (found, lines) = channel();
        let worker = socket.clone();
        thread::spawn(move || {
            let say = |what: &str, body: &[u8]| {
                // The test may have seen enough.
                let _ = found.send(format!("{what} {}", String::from_utf8_lossy(body)));
            };
            work(&worker, &say)
        });
        Self {
            url,
            lines,
            close: Box::new(move || {
                let _ = socket.close();
            }),
        }
    }
}

impl Extra for WirebirdExtra {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn line(&self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("no line {start:?}: {error}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for WirebirdExtra {
    fn drop(&mut self) {
        (self.close)();
    }
}
