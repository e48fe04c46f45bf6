//! What the page talks to: a socket for each of its boxes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wirebird::{
    Message, PairPoly, Pattern, Pub, Pull, Push, RawKind, RawSocket, Rep, Respondent, Result,
    Socket, reflect,
};

/// Between two pieces of news, and between two tasks.
const PACE: Duration = Duration::from_millis(500);

/// Sockets that listen at one address, each at a path of its own. They close when this is dropped.
pub(crate) struct Server {
    base: String,
    close: Vec<Box<dyn Fn() -> Result<()> + Send>>,
    threads: Vec<JoinHandle<()>>,
    /// Dropping it ends the news.
    running: Option<Sender<()>>,
}

impl Server {
    /// Listens at an address such as `ws://127.0.0.1:8081`; with port 0 the system chooses one.
    pub(crate) fn start(address: &str) -> Result<Self> {
        let (running, stop) = channel();
        let mut server = Self {
            base: address.to_owned(),
            close: Vec::new(),
            threads: Vec::new(),
            running: Some(running),
        };
        let chat = PairPoly::new()?;
        let url = chat.listen(&format!("{address}/pair"))?.url();
        server.base = url.trim_end_matches("/pair").to_owned();
        server.run(chat, everybody_hears);

        let rep = Rep::new()?;
        rep.listen(&server.at("rep"))?;
        server.run(rep, |rep| {
            loop {
                let mut request = rep.accept().wait()?;
                let echo = request.take_message();
                request.reply(echo).wait()?;
            }
        });

        let (publisher, push, pull) = (Pub::new()?, Push::new()?, Pull::new()?);
        publisher.listen(&server.at("pub"))?;
        push.listen(&server.at("push"))?;
        pull.listen(&server.at("pull"))?;
        let news = publisher.clone();
        server.run(pull, move |pull| {
            loop {
                let job = pull.recv()?;
                news.send([b"done.", job.body()].concat())?;
            }
        });
        let tasks = push.clone();
        server.run(publisher, move |publisher| tell(publisher, &tasks, &stop));
        server.close.push(Box::new(move || push.close()));

        for name in ["ann", "ben", "eve"] {
            let respondent = Respondent::new()?;
            respondent.listen(&server.at(&format!("respondent/{name}")))?;
            server.run(respondent, move |respondent| {
                loop {
                    let survey = respondent.accept().wait()?;
                    let answer = [name.as_bytes(), b": ", survey.body()].concat();
                    survey.reply(answer).wait()?;
                }
            });
        }

        let bus = RawSocket::new(RawKind::Bus)?;
        bus.listen(&server.at("bus"))?;
        let reflecting = bus.clone();
        server.work(move || reflect(&reflecting));
        server.close.push(Box::new(move || bus.close()));
        Ok(server)
    }

    /// The address before the paths.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Does a socket's work on a thread of its own, until the socket is closed.
    fn run<P: Pattern>(
        &mut self,
        socket: Socket<P>,
        work: impl FnOnce(&Socket<P>) -> Result<()> + Send + 'static,
    ) {
        let worker = socket.clone();
        self.work(move || work(&worker));
        self.close.push(Box::new(move || socket.close()));
    }

    fn work(&mut self, work: impl FnOnce() -> Result<()> + Send + 'static) {
        self.threads.push(thread::spawn(move || {
            // Being closed is the only way for it to end.
            let _ = work();
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running = None;
        for close in &self.close {
            // Peers that do not read what is left have had their time.
            let _ = close();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A chat: what one peer says goes to all.
fn everybody_hears(chat: &PairPoly) -> Result<()> {
    loop {
        let said = chat.recv()?;
        for pipe in chat.pipes() {
            let mut copy = Message::from(said.body());
            copy.set_pipe(Some(pipe.id()));
            chat.send(copy)?;
        }
    }
}

/// The time, dice, and tasks for those who take some.
fn tell(publisher: &Pub, tasks: &Push, stop: &Receiver<()>) -> Result<()> {
    let mut task = 1;
    while stop.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let second = now.as_secs();
        let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
        publisher.send(format!("clock.{hour:02}:{minute:02}:{:02}", second % 60))?;
        publisher.send(format!("dice.{}", now.subsec_micros() % 6 + 1))?;
        if tasks.try_send(format!("task {task}")).is_ok() {
            task += 1;
        }
    }
    Ok(())
}
