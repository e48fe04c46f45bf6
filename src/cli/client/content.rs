//! What a message is to carry: words of the command line, a file, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use wirebird::broker::{Charset, Message};

use super::super::failure::Failure;

/// The longest payload that a broker can be made to take.
const LONGEST: u64 = 250 << 20;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Content {
    /// The text; without it and --file, what standard input has
    text: Option<String>,
    /// Send what this file has; - is standard input
    #[arg(short = 'F', long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// What the message is about
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// By what the receiver knows a message that was sent before
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The media type [default: text/plain if it is UTF-8, else application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    mimetype: Option<String>,
}

impl Content {
    /// The message; what is UTF-8 is text.
    pub(super) fn message(&self) -> Result<Message, Failure> {
        let bytes = match (&self.text, &self.file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(file)) if file != Path::new("-") => {
                let opened = File::open(file);
                opened
                    .and_then(read)
                    .map_err(|error| cannot_read(&file.display().to_string(), &error))?
            }
            (None, _) => {
                read(io::stdin().lock()).map_err(|error| cannot_read("standard input", &error))?
            }
        };
        let (id, subject) = (self.request_id.as_deref(), &*self.subject);
        let mimetype = |default| self.mimetype.as_deref().unwrap_or(default);
        let message = match String::from_utf8(bytes) {
            Ok(text) => Message::text(id, subject, mimetype("text/plain"), Charset::Utf8, text),
            Err(error) => {
                let mimetype = mimetype("application/octet-stream");
                Message::binary(id, subject, mimetype, error.into_bytes())
            }
        };
        message.map_err(Failure::input)
    }
}

fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("more than 250 MB, which no message holds"));
    }
    Ok(bytes)
}

fn cannot_read(what: &str, error: &io::Error) -> Failure {
    Failure::input(format_args!("Cannot read {what}: {error}"))
}
