//! `wirebird broker` as a program that a test runs, and the commands that are its clients.

use std::path::Path;

use super::{Finished, Program, Running};

/// A broker that runs, and where.
pub(crate) struct Served {
    pub(crate) broker: Running,
    pub(crate) url: String,
}

pub(crate) fn serve(options: &str) -> Served {
    let line = format!("broker --listen tcp://127.0.0.1:0 {options}");
    let broker = Program::wirebird().start(line.split_whitespace());
    let url = broker.line("Listening at: ");
    broker.line("Ready");
    Served { broker, url }
}

impl Served {
    pub(crate) fn program(&self) -> Program {
        Program::wirebird().with("WIREBIRD_URL", Path::new(&self.url))
    }

    pub(crate) fn run(&self, line: &str) -> Finished {
        self.program().run(line.split(' '))
    }

    /// What a command prints that succeeds.
    #[track_caller]
    pub(crate) fn gives(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!((done.code, &*done.err), (Some(0), ""), "{line}: {done:?}");
        String::from_utf8(done.out).unwrap()
    }

    /// A command that the broker does not answer with OK.
    #[track_caller]
    pub(crate) fn refuses(&self, line: &str, expected: &str) {
        assert_fails(&self.run(line), 1, expected);
    }
}

/// One line on standard error, and an exit code.
#[track_caller]
pub(crate) fn assert_fails(done: &Finished, code: i32, expected: &str) {
    assert_eq!(done.code, Some(code), "{done:?}");
    assert!(done.err.contains(expected), "{expected:?} in {done:?}");
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
}
