//! Opens the socket, starts its endpoints, and lets the loops run over it.

use std::any::Any;
use std::io::Write;
use std::time::Duration;

use wirebird::{
    Bus, Dialer, Error, Listener, Message, Pair0, Pair1, Pattern, Pub, Pull, Push, Receives, Rep,
    Req, Respondent, Result as SpResult, Sends, Socket, SocketOptions, Sub, Surveyor, TlsConfig,
    Transport, Url,
};

use super::super::tls;
use super::args::{Endpoint, Job, Protocol, Tls};
use super::drive::{self, Receiver, Sender, System};
use super::strerror::strerror;

/// How long the last messages may take to leave, on a line that is slow or to a peer that is.
const LEAVE: Duration = Duration::from_secs(5);

/// How long the peers may then take to read them. nngcat too waits so long, and not for the peers.
const LINGER: Duration = Duration::from_millis(200);

/// Does what the command line asks for.
pub(super) fn run(job: &Job, out: &mut impl Write) -> Result<(), String> {
    let options = options(job);
    match job.protocol {
        Protocol::Req => talk(Req::with_options(&options), job, out),
        Protocol::Surveyor => talk(Surveyor::with_options(&options), job, out),
        Protocol::Pair0 => talk(Pair0::with_options(&options), job, out),
        Protocol::Pair1 => talk(Pair1::with_options(&options), job, out),
        Protocol::Bus => talk(Bus::with_options(&options), job, out),
        Protocol::Rep => answer(Rep::with_options(&options), job, out),
        Protocol::Respondent => answer(Respondent::with_options(&options), job, out),
        Protocol::Pub => speak(Pub::with_options(&options), job, out),
        Protocol::Push => speak(Push::with_options(&options), job, out),
        Protocol::Pull => with(Pull::with_options(&options), job, out, |socket, out| {
            drive::receive(socket, job, out)
        }),
        Protocol::Sub => listen_to_topics(&options, job, out),
    }
}

fn options(job: &Job) -> SocketOptions {
    // 0 leaves the wait unlimited, as nngcat does.
    let limit = |timeout: Option<Duration>| timeout.filter(|time| !time.is_zero());
    let options = SocketOptions::new()
        .recv_timeout(limit(job.recv_timeout))
        .send_timeout(limit(job.send_timeout))
        .linger(LINGER);
    match job.recv_max_size {
        Some(size) => options.recv_max_size(size),
        None => options,
    }
}

fn talk<P: Pattern + Sends + Receives>(
    socket: SpResult<Socket<P>>,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    with(socket, job, out, |socket, out| match job.data {
        Some(_) => drive::exchange(socket, &System, job, out),
        None => drive::receive(socket, job, out),
    })
}

fn answer<P: Pattern + Sends + Receives>(
    socket: SpResult<Socket<P>>,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    with(socket, job, out, |socket, out| match job.data {
        Some(_) => drive::respond(socket, job, out),
        None => drive::receive(socket, job, out),
    })
}

fn speak<P: Pattern + Sends>(
    socket: SpResult<Socket<P>>,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    with(socket, job, out, |socket, _| {
        drive::send(socket, &System, job)
    })
}

fn listen_to_topics(
    options: &SocketOptions,
    job: &Job,
    out: &mut impl Write,
) -> Result<(), String> {
    let socket = Sub::with_options(options).map_err(cannot_open)?;
    for topic in &job.topics {
        socket.subscribe(topic).map_err(|error| {
            let topic = String::from_utf8_lossy(topic);
            format!("Unable to subscribe to topic {topic}: {}", strerror(&error))
        })?;
    }
    with(Ok(socket), job, out, |socket, out| {
        drive::receive(socket, job, out)
    })
}

/// Connects the socket, does `work`, and lets what was sent last leave the process.
fn with<P: Pattern, W: Write>(
    socket: SpResult<Socket<P>>,
    job: &Job,
    out: &mut W,
    work: impl FnOnce(&Socket<P>, &mut W) -> Result<(), String>,
) -> Result<(), String> {
    let socket = socket.map_err(cannot_open)?;
    let _endpoints = job
        .endpoints
        .iter()
        .map(|endpoint| start(&socket, endpoint, job, out))
        .collect::<Result<Vec<_>, _>>()?;
    work(&socket, out)?;
    // What is not taken by then has nobody to take it, which nngcat does not count as an error either.
    let _ = socket.flush(LEAVE);
    let _ = socket.close();
    Ok(())
}

/// A dialer or listener, which lives as long as this.
type Started = Box<dyn Any>;

fn start<P: Pattern>(
    socket: &Socket<P>,
    endpoint: &Endpoint,
    job: &Job,
    out: &mut impl Write,
) -> Result<Started, String> {
    let failed = |what: &str, url: &str, error: &Error| {
        Err(format!("Unable to {what} {url}: {}", strerror(error)))
    };
    let (started, line): (Started, _) = match endpoint {
        Endpoint::Dial(text) => {
            let url = match Url::parse(text).and_then(|url| url.check_dial().map(|()| url)) {
                Ok(url) => url,
                Err(error) => return failed("create dialer for", text, &error),
            };
            match dial(socket, text, job.background, secure(&url, &job.tls)?) {
                Ok(dialer) => (Box::new(dialer), format!("Connected to: {url}")),
                Err(error) => return failed("dial on", text, &error),
            }
        }
        Endpoint::Listen(text) => {
            let url = match Url::parse(text).and_then(|url| listenable(&url).map(|()| url)) {
                Ok(url) => url,
                Err(error) => return failed("create listener for", text, &error),
            };
            match listen(socket, text, secure(&url, &job.tls)?) {
                Ok(listener) => {
                    // nngcat has no star for every local address.
                    let url = listener.url().replacen("://*", "://", 1);
                    let line = format!("Listening at: {url}");
                    (Box::new(listener), line)
                }
                Err(error) => return failed("listen on", text, &error),
            }
        }
    };
    if job.verbose {
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        written.map_err(|error| format!("Cannot write: {error}"))?;
    }
    Ok(started)
}

/// Dials; a peer that is there and does not want us is tried again and again, as nngcat does.
fn dial<P: Pattern>(
    socket: &Socket<P>,
    url: &str,
    background: bool,
    tls: Option<TlsConfig>,
) -> SpResult<Dialer> {
    let dialer = socket.dialer(url)?;
    if let Some(tls) = tls {
        dialer.set_options(&dialer.options().tls(tls))?;
    }
    if background {
        dialer.start()?;
        return Ok(dialer);
    }
    match dialer.start_and_wait(None) {
        Ok(()) => Ok(dialer),
        Err(Error::WrongProtocol { .. } | Error::Rejected) => dialer.start().map(|()| dialer),
        Err(error) => Err(error),
    }
}

fn listen<P: Pattern>(socket: &Socket<P>, url: &str, tls: Option<TlsConfig>) -> SpResult<Listener> {
    let listener = socket.listener(url)?;
    if let Some(tls) = tls {
        listener.set_options(&listener.options().tls(tls))?;
    }
    listener.start()?;
    Ok(listener)
}

/// What an endpoint with TLS uses. As in nngcat, the files are looked at where one is started.
fn secure(url: &Url, files: &Tls) -> Result<Option<TlsConfig>, String> {
    if !matches!(url.transport(), Transport::Tls | Transport::Wss) {
        return Ok(None);
    }
    let own = files.certificate.as_ref();
    let own = own.map(|chain| (chain, files.key.as_ref().unwrap_or(chain)));
    let mut config = tls::judging(files.insecure, files.authority.is_some());
    let made = (|| {
        if let Some((chain, key)) = own {
            config = config.certificate(chain, key)?;
        }
        if let Some(authority) = &files.authority {
            config = config.ca(authority)?;
        }
        Ok(config)
    })();
    made.map(Some)
        .map_err(|error| format!("Unable to configure TLS: {}", strerror(&error)))
}

fn listenable(url: &Url) -> SpResult<()> {
    if url.transport() == Transport::Descriptor {
        return Err(Error::NotSupported("no descriptor can be handed over here"));
    }
    url.check_listen()
}

fn cannot_open(error: Error) -> String {
    format!("Unable to open socket: {}", strerror(&error))
}

impl<P: Pattern + Sends> Sender for Socket<P> {
    fn send(&self, body: &[u8]) -> Result<(), Error> {
        // The method of the type, not this one: inherent methods come first.
        Ok(self.send(body)?)
    }
}

impl<P: Pattern + Receives> Receiver for Socket<P> {
    fn recv(&self, limit: Option<Duration>) -> Result<Message, Error> {
        match limit {
            Some(limit) => self.recv_timeout(limit),
            None => self.recv(),
        }
    }
}
