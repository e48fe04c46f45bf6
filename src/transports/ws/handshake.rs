//! The HTTP exchange that a connection begins with, on both sides.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::Secret;
use super::connection::WebConnection;
use super::http::{self, Asked, MAX_HEAD, Refusal, Request};
use super::site::{Place, Places};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::http::HttpInfo;
use crate::protocols::ProtocolInfo;
use crate::transports::stream::{ByteStream, Establishing, cut_off};
use crate::transports::{Established, Handshake, Progress, Setup, tcp};
use crate::url::Url;

/// What is read of a client that was refused, so that it can read why before the connection is gone.
const MAX_DISCARDED: usize = 256 * 1024;

/// A stream before its first frame. Only what is done has nothing to wait for.
struct Exchange {
    /// Gone once the handshake is done.
    stream: Option<Box<dyn ByteStream>>,
    established: bool,
    output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
}

impl Exchange {
    fn new(stream: Box<dyn ByteStream>) -> Self {
        Self {
            stream: Some(stream),
            established: false,
            output: Vec::new(),
            written: 0,
            input: Vec::new(),
        }
    }

    fn stream(&mut self) -> Result<&mut Box<dyn ByteStream>> {
        self.stream.as_mut().ok_or(Error::Closed)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(|stream| stream.fd())
    }

    fn peer(&self) -> Address {
        self.fd()
            .map_or(Address::Unspecified, |fd| tcp::ends(fd).peer)
    }

    /// Gets the stream ready. Returns what it waits for.
    fn establish(&mut self) -> Result<Option<Progress>> {
        if !self.established {
            if let Establishing::Waiting { writable } = self.stream()?.establish()? {
                return Ok(Some(Progress::Waiting { writable }));
            }
            self.established = true;
        }
        Ok(None)
    }

    /// Writes what there is to say. Returns what it waits for.
    fn flush(&mut self) -> Result<Option<Progress>> {
        let stream = self.stream.as_ref().ok_or(Error::Closed)?;
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match stream.write(&[IoSlice::new(rest)]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Some(Progress::Waiting { writable: true }));
                }
                Err(error) => return Err(cut_off(error)),
            }
        }
        Ok(None)
    }

    /// Reads until there may be a complete head. Returns what it waits for.
    fn fill(&mut self) -> Result<Option<Progress>> {
        loop {
            let mut chunk = [0; 2048];
            let room = chunk.len().min(MAX_HEAD.saturating_sub(self.input.len()));
            let Some(count) = read(&**self.stream()?, &mut chunk[..room])? else {
                return Ok(Some(Progress::Waiting { writable: false }));
            };
            let came = &chunk[..count];
            if came.is_empty() {
                return Err(Error::ConnectionShut);
            }
            let begins = self.input.is_empty();
            self.input.extend_from_slice(came);
            // A head that comes byte by byte is not looked at with every byte.
            if begins || came.contains(&b'\n') || self.input.len() >= MAX_HEAD {
                return Ok(None);
            }
        }
    }

    /// The connection, to which belongs what was read behind the head.
    fn done(
        &mut self,
        head: usize,
        http: HttpInfo,
        server: bool,
        setup: &Setup,
        protocol: u16,
    ) -> Result<Progress> {
        let stream = self.stream.take().ok_or(Error::Closed)?;
        let mut ends = stream.describe(tcp::ends(stream.fd()));
        ends.http = Some(Arc::new(http));
        let early = self.input.split_off(head.min(self.input.len()));
        let connection = WebConnection::new(stream, server, early, ends, setup);
        Ok(Progress::Done(Established {
            connection: Arc::new(connection),
            protocol,
        }))
    }
}

/// Reads once; `None` if there is nothing yet.
fn read(stream: &dyn ByteStream, into: &mut [u8]) -> Result<Option<usize>> {
    match stream.read(into) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(cut_off(error)),
    }
}

// ---- the client's side ----

/// A connection that we ask for.
pub(super) struct Dialed {
    exchange: Exchange,
    asked: Asked,
    info: ProtocolInfo,
    setup: Setup,
}

impl Dialed {
    pub(super) fn new(
        stream: Box<dyn ByteStream>,
        url: &Url,
        info: ProtocolInfo,
        setup: Setup,
    ) -> Self {
        let asked = Asked::new(url, info, &setup.options);
        let mut exchange = Exchange::new(stream);
        exchange.output = asked.request.clone().into_bytes();
        Self {
            exchange,
            asked,
            info,
            setup,
        }
    }
}

impl Handshake for Dialed {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.exchange.fd()
    }

    fn advance(&mut self) -> Result<Progress> {
        if let Some(waiting) = self.exchange.establish()? {
            return Ok(waiting);
        }
        if let Some(waiting) = self.exchange.flush()? {
            return Ok(waiting);
        }
        loop {
            if let Some((http, size)) = self.asked.check(&self.exchange.input)? {
                return self
                    .exchange
                    .done(size, http, false, &self.setup, self.info.peer);
            }
            if let Some(waiting) = self.exchange.fill()? {
                return Ok(waiting);
            }
        }
    }

    fn peer(&self) -> Address {
        self.exchange.peer()
    }
}

// ---- the server's side ----

/// A connection that waits for a listener, with its request if that was read already.
pub(super) struct Arrival {
    exchange: Exchange,
    /// What it is encrypted with.
    secret: Secret,
    request: Option<(Request, usize)>,
}

impl Arrival {
    pub(super) fn new(stream: Box<dyn ByteStream>, secret: Secret) -> Self {
        Self {
            exchange: Exchange::new(stream),
            secret,
            request: None,
        }
    }
}

/// A connection that is asked of us.
pub(super) struct Accepted {
    exchange: Exchange,
    secret: Secret,
    places: Arc<Places>,
    place: Arc<Place>,
    /// What the listener's own connections are encrypted with.
    own_secret: Secret,
    info: ProtocolInfo,
    setup: Setup,
    stage: Stage,
}

enum Stage {
    /// The request is being read.
    Asked,
    /// The request was read.
    Read(Request, usize),
    /// It is for somebody else.
    Elsewhere(Arc<Place>, Request, usize),
    /// The response is being written.
    Answered(HttpInfo, usize),
    Refused(Error),
    /// The refusal was written, and the client has to close.
    Discarding(Error, usize),
    Over,
}

impl Accepted {
    pub(super) fn new(
        arrival: Arrival,
        (places, place, own_secret): (&Arc<Places>, &Arc<Place>, Secret),
        info: ProtocolInfo,
        setup: Setup,
    ) -> Self {
        Self {
            exchange: arrival.exchange,
            secret: arrival.secret,
            own_secret,
            places: places.clone(),
            place: place.clone(),
            info,
            setup,
            stage: arrival
                .request
                .map_or(Stage::Asked, |(request, size)| Stage::Read(request, size)),
        }
    }

    /// Decides what a client gets that has asked.
    fn judge(&mut self, request: Request, size: usize) -> Result<Stage, Refusal> {
        if request.path != self.place.path {
            let place = self.places.find(&request.path);
            let place = place.ok_or_else(Refusal::unknown_path)?;
            if place.is_full() {
                return Err(Refusal::crowded());
            }
            return Ok(Stage::Elsewhere(place, request, size));
        }
        if self.secret != self.own_secret {
            return Err(Refusal::misdirected());
        }
        let response = request.accept(self.info, &self.setup.options)?;
        self.exchange.output = response.into_bytes();
        Ok(Stage::Answered(request.info(), size))
    }

    fn refuse(&mut self, refusal: Refusal) -> Stage {
        self.exchange.output = refusal.response().into_bytes();
        Stage::Refused(refusal.error)
    }

    /// Goes on by one stage. Returns what it waits for, or what came of it.
    fn step(&mut self) -> Result<Option<Progress>> {
        let stage = mem::replace(&mut self.stage, Stage::Over);
        let mut waiting = None;
        self.stage = match stage {
            Stage::Asked => {
                let exists = |path: &str| self.places.find(path).is_some();
                match http::parse(&self.exchange.input, exists) {
                    Ok(Some((request, size))) => Stage::Read(request, size),
                    Ok(None) => {
                        waiting = self.exchange.fill()?;
                        Stage::Asked
                    }
                    Err(refusal) => self.refuse(refusal),
                }
            }
            Stage::Read(request, size) => match self.judge(request, size) {
                Ok(stage) => stage,
                Err(refusal) => self.refuse(refusal),
            },
            Stage::Elsewhere(..) => {
                waiting = Some(Progress::Elsewhere);
                stage
            }
            Stage::Answered(http, size) => {
                waiting = self.exchange.flush()?;
                if waiting.is_none() {
                    let peer = self.info.peer;
                    let done = self.exchange.done(size, http, true, &self.setup, peer);
                    return done.map(Some);
                }
                Stage::Answered(http, size)
            }
            Stage::Refused(error) => {
                waiting = self.exchange.flush()?;
                if waiting.is_none() {
                    self.exchange.stream()?.finish();
                    Stage::Discarding(error, 0)
                } else {
                    Stage::Refused(error)
                }
            }
            Stage::Discarding(error, come) => {
                let mut rest = [0; 4096];
                match read(&**self.exchange.stream()?, &mut rest) {
                    Ok(None) => {
                        waiting = Some(Progress::Waiting { writable: false });
                        Stage::Discarding(error, come)
                    }
                    Ok(Some(count @ 1..)) if come < MAX_DISCARDED => {
                        Stage::Discarding(error, come + count)
                    }
                    Ok(Some(_)) | Err(_) => return Err(error),
                }
            }
            Stage::Over => return Err(Error::Closed),
        };
        Ok(waiting)
    }
}

impl Handshake for Accepted {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.exchange.fd()
    }

    fn advance(&mut self) -> Result<Progress> {
        if let Some(waiting) = self.exchange.establish()? {
            return Ok(waiting);
        }
        loop {
            if let Some(progress) = self.step()? {
                return Ok(progress);
            }
        }
    }

    fn peer(&self) -> Address {
        self.exchange.peer()
    }

    fn hand_over(self: Box<Self>) {
        if let Stage::Elsewhere(place, request, size) = self.stage {
            place.put(Arrival {
                exchange: self.exchange,
                secret: self.secret,
                request: Some((request, size)),
            });
        }
    }
}
