//! nngcat's options, and which of them go together.
//!
//! The texts of errors are nngcat's own where it has one for the case, and so is the order of the checks.

use std::time::Duration;

use super::format::Format;
use super::options::{self, BadWord, Spec};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Help,
    Version,
    Run(Box<Job>),
}

/// What to do with one socket.
#[derive(Debug, PartialEq)]
pub(super) struct Job {
    pub(super) protocol: Protocol,
    /// In the order of the command line, in which they are started.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) format: Format,
    /// For `Sub`, at least one.
    pub(super) topics: Vec<Vec<u8>>,
    pub(super) data: Option<Vec<u8>>,
    pub(super) verbose: bool,
    /// How many messages to send or receive; 0 is no limit.
    pub(super) count: u64,
    pub(super) delay: Duration,
    pub(super) interval: Option<Duration>,
    pub(super) recv_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    /// 0 is no limit, `None` the default of the library.
    pub(super) recv_max_size: Option<usize>,
    /// Dials without waiting for the connection.
    pub(super) background: bool,
    pub(super) tls: Tls,
}

/// The content of the files for TLS.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tls {
    /// Any peer will do.
    pub(super) insecure: bool,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) certificate: Option<Vec<u8>>,
    /// In the certificate's file unless given.
    pub(super) key: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Req,
    Rep,
    Pub,
    Sub,
    Push,
    Pull,
    Surveyor,
    Respondent,
    Pair0,
    Pair1,
    Bus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Dial(String),
    Listen(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    Help,
    Version,
    Protocol(Protocol),
    /// Pair1, or pair0 with `--compat`.
    Pair,
    Verbose,
    Silent,
    Dial,
    Listen,
    DialLocal,
    ListenLocal,
    DialIpc,
    ListenIpc,
    Data,
    File,
    Subscribe,
    FormatNamed,
    Format(Format),
    Count,
    Delay,
    Interval,
    RecvTimeout,
    SendTimeout,
    RecvMaxSize,
    Compat,
    Async,
    /// Taken for the sake of scripts; nngcat does nothing with it either, or only over ZeroTier.
    Ignored,
    Insecure,
    Tls(TlsFile),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TlsFile {
    Authority,
    Key,
    Certificate,
}

impl TlsFile {
    fn name(self) -> &'static str {
        match self {
            Self::Authority => "CA Certificate (--cacert)",
            Self::Key => "Key (--key)",
            Self::Certificate => "Cert (--cert)",
        }
    }
}

const fn flag(long: &'static str, id: Id) -> Spec<Id> {
    Spec {
        long,
        short: None,
        has_value: false,
        id,
    }
}

const fn value(long: &'static str, id: Id) -> Spec<Id> {
    Spec {
        long,
        short: None,
        has_value: true,
        id,
    }
}

const fn short(letter: u8, spec: Spec<Id>) -> Spec<Id> {
    Spec {
        short: Some(letter),
        ..spec
    }
}

static SPECS: [Spec<Id>; 48] = [
    short(b'h', flag("help", Id::Help)),
    short(b'V', flag("version", Id::Version)),
    short(b'v', flag("verbose", Id::Verbose)),
    short(b'q', flag("silent", Id::Silent)),
    flag("req0", Id::Protocol(Protocol::Req)),
    flag("rep0", Id::Protocol(Protocol::Rep)),
    flag("push0", Id::Protocol(Protocol::Push)),
    flag("pull0", Id::Protocol(Protocol::Pull)),
    flag("pub0", Id::Protocol(Protocol::Pub)),
    // Spelled out because it also begins "subscribe".
    flag("sub", Id::Protocol(Protocol::Sub)),
    flag("sub0", Id::Protocol(Protocol::Sub)),
    flag("surveyor0", Id::Protocol(Protocol::Surveyor)),
    flag("respondent0", Id::Protocol(Protocol::Respondent)),
    flag("pair", Id::Pair),
    flag("pair0", Id::Protocol(Protocol::Pair0)),
    flag("pair1", Id::Protocol(Protocol::Pair1)),
    flag("bus0", Id::Protocol(Protocol::Bus)),
    value("dial", Id::Dial),
    value("connect", Id::Dial),
    value("listen", Id::Listen),
    value("bind", Id::Listen),
    short(b'l', value("connect-local", Id::DialLocal)),
    short(b'L', value("bind-local", Id::ListenLocal)),
    short(b'x', value("connect-ipc", Id::DialIpc)),
    short(b'X', value("bind-ipc", Id::ListenIpc)),
    short(b'D', value("data", Id::Data)),
    short(b'F', value("file", Id::File)),
    value("subscribe", Id::Subscribe),
    value("format", Id::FormatNamed),
    short(b'A', flag("ascii", Id::Format(Format::Ascii))),
    short(b'Q', flag("quoted", Id::Format(Format::Quoted))),
    flag("raw", Id::Format(Format::Raw)),
    flag("hex", Id::Format(Format::Hex)),
    flag("msgpack", Id::Format(Format::Msgpack)),
    short(b'C', value("count", Id::Count)),
    short(b'd', value("delay", Id::Delay)),
    short(b'i', value("interval", Id::Interval)),
    value("recv-timeout", Id::RecvTimeout),
    value("send-timeout", Id::SendTimeout),
    short(b'Z', value("recv-maxsz", Id::RecvMaxSize)),
    flag("compat", Id::Compat),
    flag("async", Id::Async),
    value("socket-name", Id::Ignored),
    value("zt-home", Id::Ignored),
    short(b'k', flag("insecure", Id::Insecure)),
    value("cacert", Id::Tls(TlsFile::Authority)),
    value("key", Id::Tls(TlsFile::Key)),
    short(b'E', value("cert", Id::Tls(TlsFile::Certificate))),
];

const MAX_SECONDS: u64 = 86_400;
const MAX_NUMBER: u64 = 0x7fff_ffff;
const MAX_PORT: u64 = 65_536;

/// Reads the file that `--file` names.
pub(super) type Loader<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Vec<u8>, String>;

/// Reads the command line, without the name of the program.
pub(super) fn parse(words: &[Vec<u8>], load: Loader<'_>) -> Result<Request, String> {
    let mut found = Found::default();
    let mut rest = words;
    loop {
        let word = rest.first();
        let (id, value) = match options::next(&SPECS, &mut rest) {
            Ok(Some(option)) => option,
            Ok(None) => break,
            Err(problem) => {
                let word = word.map(|word| text(word)).unwrap_or_default();
                return Err(match problem {
                    BadWord::Invalid => format!("Option {word} is invalid."),
                    BadWord::Ambiguous => {
                        format!("Option {word} is ambiguous (specify in full).")
                    }
                    BadWord::ValueMissing => format!("Option {word} requires argument."),
                });
            }
        };
        match id {
            Id::Help => return Ok(Request::Help),
            Id::Version => return Ok(Request::Version),
            Id::File => found.set_data(|| load(value))?,
            Id::Data => found.set_data(|| Ok(value.into()))?,
            Id::Tls(file) => found.load_tls(file, || load(value))?,
            _ => found.take(id, value)?,
        }
    }
    found.check().map(|job| Request::Run(Box::new(job)))
}

#[derive(Debug, Default)]
struct Found {
    protocol: Option<Id>,
    endpoints: Vec<Endpoint>,
    format: Option<Format>,
    topics: Vec<Vec<u8>>,
    data: Option<Vec<u8>>,
    verbose: bool,
    count: u64,
    delay: Duration,
    interval: Option<Duration>,
    recv_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    recv_max_size: Option<usize>,
    compat: bool,
    background: bool,
    tls: Tls,
}

impl Found {
    fn take(&mut self, id: Id, value: &[u8]) -> Result<(), String> {
        match id {
            Id::Protocol(_) | Id::Pair => {
                if self.protocol.replace(id).is_some() {
                    return fail("Only one protocol may be specified.");
                }
            }
            Id::Dial => self.endpoints.push(Endpoint::Dial(url(value)?)),
            Id::Listen => self.endpoints.push(Endpoint::Listen(url(value)?)),
            Id::DialLocal => self.endpoints.push(Endpoint::Dial(local(value)?)),
            Id::ListenLocal => self.endpoints.push(Endpoint::Listen(local(value)?)),
            Id::DialIpc => self.endpoints.push(Endpoint::Dial(ipc(value)?)),
            Id::ListenIpc => self.endpoints.push(Endpoint::Listen(ipc(value)?)),
            Id::FormatNamed | Id::Format(_) => {
                if self.format.is_some() {
                    return fail("Format may be specified only once.");
                }
                self.format = match id {
                    Id::Format(format) => Some(format),
                    _ => Some(Format::named(value).ok_or("Invalid format specified.")?),
                };
            }
            Id::Verbose => self.verbose = true,
            Id::Silent => self.verbose = false,
            Id::Subscribe => self.topics.push(value.into()),
            Id::Count => self.count = number(value, MAX_NUMBER)?,
            Id::Delay => self.delay = seconds(value)?,
            Id::Interval => self.interval = Some(seconds(value)?),
            Id::RecvTimeout => self.recv_timeout = Some(seconds(value)?),
            Id::SendTimeout => self.send_timeout = Some(seconds(value)?),
            Id::RecvMaxSize => {
                let size = usize::try_from(number(value, MAX_NUMBER)?);
                self.recv_max_size = Some(size.map_err(|_| "Integer argument too large.")?);
            }
            Id::Compat => self.compat = true,
            Id::Async => self.background = true,
            Id::Insecure => self.tls.insecure = true,
            Id::Ignored | Id::Help | Id::Version | Id::Data | Id::File | Id::Tls(_) => {}
        }
        Ok(())
    }

    fn set_data(&mut self, load: impl FnOnce() -> Result<Vec<u8>, String>) -> Result<(), String> {
        if self.data.is_some() {
            return fail("Data (--file, --data) may be specified only once.");
        }
        self.data = Some(load()?);
        Ok(())
    }

    fn load_tls(
        &mut self,
        file: TlsFile,
        load: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<(), String> {
        let slot = match file {
            TlsFile::Authority => &mut self.tls.authority,
            TlsFile::Key => &mut self.tls.key,
            TlsFile::Certificate => &mut self.tls.certificate,
        };
        if slot.is_some() {
            return Err(format!("{} may be specified only once.", file.name()));
        }
        *slot = Some(load()?);
        Ok(())
    }

    fn check(mut self) -> Result<Job, String> {
        if self.endpoints.is_empty() {
            return fail("No address specified.");
        }
        if self.compat {
            if self.background {
                return fail("Options --async and --compat are incompatible.");
            }
            if self.count != 0 {
                return fail("Options --count and --compat are incompatible.");
            }
            if self.protocol == Some(Id::Protocol(Protocol::Pair1)) {
                return fail("Protocol does not support --compat.");
            }
            self.background = true;
        }
        let protocol = match self.protocol {
            Some(Id::Protocol(protocol)) => Some(protocol),
            Some(_) if self.compat => Some(Protocol::Pair0),
            Some(_) => Some(Protocol::Pair1),
            None => None,
        };
        match protocol {
            Some(Protocol::Sub) if self.topics.is_empty() => self.topics.push(Vec::new()),
            Some(Protocol::Sub) => {}
            _ if self.topics.is_empty() => {}
            _ => return fail("Protocol does not support --subscribe."),
        }
        let Some(protocol) = protocol else {
            return fail("No protocol specified.");
        };
        self.check_for(protocol)?;
        Ok(Job {
            protocol,
            endpoints: self.endpoints,
            format: self.format.unwrap_or(Format::No),
            topics: self.topics,
            data: self.data,
            verbose: self.verbose,
            count: self.count,
            delay: self.delay,
            interval: self.interval,
            recv_timeout: self.recv_timeout,
            send_timeout: self.send_timeout,
            recv_max_size: self.recv_max_size,
            background: self.background,
            tls: self.tls,
        })
    }

    fn check_for(&self, protocol: Protocol) -> Result<(), String> {
        let data = self.data.is_some();
        let interval = self.interval.is_some();
        match protocol {
            Protocol::Pull | Protocol::Sub if data => {
                fail("Protocol does not support --file or --data.")
            }
            Protocol::Pull | Protocol::Sub | Protocol::Rep | Protocol::Respondent if interval => {
                fail("Protocol does not support --interval.")
            }
            Protocol::Push | Protocol::Pub if self.format.is_some() => {
                fail("Protocol does not support --format options.")
            }
            Protocol::Push | Protocol::Pub | Protocol::Req | Protocol::Surveyor if !data => {
                fail("Protocol requires either --file or --data.")
            }
            Protocol::Pair0 | Protocol::Pair1 | Protocol::Bus if interval && !data => {
                fail("Option --interval requires either --file or --data.")
            }
            _ => Ok(()),
        }
    }
}

fn fail<T>(message: &str) -> Result<T, String> {
    Err(message.into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn url(value: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(value) {
        Ok(url) => Ok(url.into()),
        Err(_) => Err(format!("Address {} is not UTF-8.", text(value))),
    }
}

fn local(port: &[u8]) -> Result<String, String> {
    // One too many, as in nngcat: the address is refused where it is used.
    let port = number(port, MAX_PORT)?;
    Ok(format!("tcp://127.0.0.1:{port}"))
}

fn ipc(path: &[u8]) -> Result<String, String> {
    // Three slashes whatever the path is: nngcat's relative paths start at the root too.
    Ok(format!("ipc:///{}", url(path)?))
}

fn seconds(value: &[u8]) -> Result<Duration, String> {
    number(value, MAX_SECONDS).map(Duration::from_secs)
}

fn number(value: &[u8], max: u64) -> Result<u64, String> {
    if value.is_empty() {
        return fail("Empty integer argument.");
    }
    let mut number = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return fail("Integer argument expected.");
        }
        number = 10 * number + u64::from(byte - b'0');
        if number > max {
            // nngcat counts in 32 bits too, and takes the remainder of what is longer still for the number.
            return fail(match max {
                MAX_NUMBER => "Integer argument overflow.",
                _ => "Integer argument too large.",
            });
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
