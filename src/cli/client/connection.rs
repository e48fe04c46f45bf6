//! The connection to the broker that every command of a client needs.

use std::env::{self, VarError};
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use wirebird::broker::{Client, ClientOptions, Error, Message, MessageError, MessageType};
use wirebird::{EndpointOptions, Transport, Url};

use super::super::broker::DEFAULT_URL;
use super::super::buffers::Buffers;
use super::super::failure::Failure;
use super::super::tls::Files;
use super::security::Security;

/// Names the broker where no option does.
const VARIABLE: &str = "WIREBIRD_URL";

/// Which broker, and how to reach it.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Connection {
    /// The broker [default: $WIREBIRD_URL, or tcp://127.0.0.1:7420]
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    security: Security,
    /// Wait so long for an answer, besides the time that the request itself allows
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Print answers and messages as JSON, one to a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    buffers: Buffers,
    #[command(flatten)]
    tls: Files,
}

/// A connection, and how to print what comes over it.
pub(super) struct Session {
    pub(super) client: Client,
    json: bool,
}

impl Connection {
    /// Connects.
    pub(super) fn open(&self) -> Result<Session, Failure> {
        let url = match (&self.url, env::var(VARIABLE)) {
            (Some(url), _) => url.clone(),
            (None, Ok(url)) => url,
            (None, Err(VarError::NotPresent)) => DEFAULT_URL.to_owned(),
            (None, Err(error)) => {
                return Err(Failure::input(error).about(VARIABLE));
            }
        };
        let options = ClientOptions::new().timeout(self.timeout);
        let options = self.security.apply(options)?;
        Ok(Session {
            client: connect(&url, options, self.buffers, &self.tls)?,
            json: self.json,
        })
    }
}

/// Connects with a broker at a URL.
pub(in crate::cli) fn connect(
    url: &str,
    options: ClientOptions,
    buffers: Buffers,
    tls: &Files,
) -> Result<Client, Failure> {
    /// More than the longest payload that a broker can be made to take.
    const LONGEST: usize = 251 << 20;
    let parsed = Url::parse(url).and_then(|url| url.check_dial().map(|()| url));
    let parsed = parsed.map_err(Failure::input)?;
    let mut endpoint = buffers.apply(EndpointOptions::new().recv_max_size(LONGEST));
    if matches!(parsed.transport(), Transport::Tls | Transport::Wss) {
        endpoint = endpoint.tls(tls.read().map_err(Failure::input)?);
    }
    Client::connect_with(url, &options.endpoint(endpoint)).map_err(|error| {
        failure(error).about(format_args!("Cannot connect to the broker at {url}"))
    })
}

impl Session {
    /// A request without content.
    pub(super) fn request<'a>(
        &self,
        kind: MessageType,
        destination: impl Into<Option<&'a str>>,
    ) -> Result<Message, Failure> {
        let message = Message::plain_text(None, "", "").map_err(Failure::input)?;
        self.ask(message, kind, destination)
    }

    /// Sends a message as a request. With `--json`, prints the answer, whatever it is.
    pub(super) fn ask<'a>(
        &self,
        message: Message,
        kind: MessageType,
        destination: impl Into<Option<&'a str>>,
    ) -> Result<Message, Failure> {
        let answer = self.answer(message, kind, destination)?;
        if !answer.is_ok() {
            return Err(self.refused(&answer));
        }
        if self.json {
            self.show(&answer)?;
        }
        Ok(answer)
    }

    /// Sends a message as a request, and prints nothing.
    pub(super) fn answer<'a>(
        &self,
        message: Message,
        kind: MessageType,
        destination: impl Into<Option<&'a str>>,
    ) -> Result<Message, Failure> {
        let request = message
            .addressed_to(kind, destination)
            .map_err(Failure::input)?;
        self.client.request(request).map_err(failure)
    }

    /// What an answer other than OK says. With `--json`, prints it too.
    pub(super) fn refused(&self, answer: &Message) -> Failure {
        if self.json
            && let Err(failure) = self.show(answer)
        {
            return failure;
        }
        let reason = answer.payload_text().unwrap_or_default();
        Failure::failed(format_args!("{}: {reason}", answer.status().name()))
    }

    /// Prints a message, as it is or as JSON.
    pub(super) fn show(&self, message: &Message) -> Result<(), Failure> {
        if self.json {
            let json = message.to_json().map_err(Failure::failed)?;
            return print(&[json.as_bytes(), b"\n"]);
        }
        match message.payload_text() {
            Some(text) => print(&[text.as_bytes(), b"\n"]),
            None => print(&[message.payload_binary()]),
        }
    }

    /// Prints what people read, unless the answer was printed as JSON.
    pub(super) fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        print(&[text.as_bytes()])
    }

    /// Prints a line by itself; as a JSON string with `--json`.
    pub(super) fn print_line(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            let json = serde_json::to_string(text).map_err(Failure::failed)?;
            return print(&[json.as_bytes(), b"\n"]);
        }
        print(&[text.as_bytes(), b"\n"])
    }

    /// Prints the message in an answer, which [`ask`](Self::ask) has done if it is to be JSON.
    pub(super) fn show_answer(&self, answer: &Message) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        self.show(answer)
    }
}

fn print(parts: &[&[u8]]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = parts.iter().try_for_each(|part| out.write_all(part));
    written
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format_args!("Cannot write: {error}")))
}

pub(super) fn failure(error: Error) -> Failure {
    match error {
        Error::Message(MessageError::NotSerializable(_)) | Error::Refused(_) | Error::Socket(_) => {
            Failure::failed(error)
        }
        error => Failure::input(error),
    }
}

/// A time in seconds, which need not be whole.
pub(in crate::cli) fn seconds(text: &str) -> Result<Duration, String> {
    let allowed = "a number of seconds, 0 to 100000000, is allowed";
    let number: f64 = text.parse().map_err(|_| allowed.to_owned())?;
    if !(0.0..=1e8).contains(&number) {
        return Err(allowed.to_owned());
    }
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// A time in milliseconds, given in seconds.
pub(super) fn millis(text: &str) -> Result<i64, String> {
    i64::try_from(seconds(text)?.as_millis()).map_err(|error| error.to_string())
}

/// A time to wait, in milliseconds as the protocol has it.
pub(super) fn wait(text: &str) -> Result<i64, String> {
    if text == "forever" {
        return Ok(-1);
    }
    millis(text).map_err(|allowed| format!("{allowed}, and so is forever"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for text in ["", "x", "-1", "NaN", "inf", "1e9", "1s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(wait("0.25"), Ok(250));
        assert_eq!(wait("forever"), Ok(-1));
        assert!(wait("-1").is_err());
    }
}
