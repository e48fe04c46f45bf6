//! How a command fails: one line on standard error, and an exit code.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// What went wrong, in one line.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    line: String,
}

impl Failure {
    /// What was asked for makes no sense.
    pub(super) fn input(line: impl Display) -> Self {
        Self::new(2, line)
    }

    /// It could not be done.
    pub(super) fn failed(line: impl Display) -> Self {
        Self::new(1, line)
    }

    fn new(code: u8, line: impl Display) -> Self {
        // What a broker or a parser says may have several.
        let line = line.to_string().replace(['\n', '\r'], " ");
        Self { code, line }
    }

    /// Names what is meant.
    pub(super) fn about(self, what: impl Display) -> Self {
        Self::new(self.code, format_args!("{what}: {}", self.line))
    }

    /// Prints it. Whoever reads it may have stopped to.
    pub(super) fn tell(&self) {
        let _ = writeln!(std::io::stderr(), "{}", self.line);
    }
}

/// The exit code of a command; says why it failed.
pub(super) fn exit(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.code)
        }
    }
}
