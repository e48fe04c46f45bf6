//! Other programs as peers: started, watched and ended here.
//!
//! Nothing sleeps to wait for them: what they print is waited for, until a deadline that only a failure reaches.

// Every test program uses its own part of this.
#![allow(dead_code)]

pub(crate) mod cat;
mod output;
pub(crate) mod pynng;
pub(crate) mod served;

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use output::{Output, unpack};
use tempfile::TempDir;
use wirebird::pattern::Survey;
use wirebird::{Event, Monitor, Pattern, Socket, SocketOptions};

/// Only a test that fails waits for so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Empty, short, longer than a read buffer, and long: what every protocol is tried with.
pub(crate) const SIZES: [usize; 4] = [0, 5, 70_000, 1 << 20];

/// The bytes of a message; two with different seeds differ, and so do the parts of one.
pub(crate) fn body(size: usize, seed: usize) -> Vec<u8> {
    (0..size)
        .map(|at| u8::try_from((at.wrapping_mul(131) + (at >> 8) + seed) & 0xff).unwrap_or(0))
        .collect()
}

/// Compares without printing a megabyte when it fails.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    if found != expected {
        let differs = found.iter().zip(expected).position(|(a, b)| a != b);
        panic!(
            "{what}: {} bytes instead of {}, first difference at {differs:?}; begins with {:?}",
            found.len(),
            expected.len(),
            &found[..found.len().min(40)]
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Ipc,
    Ws,
    /// Unix-domain names without a file, which Linux has.
    Abstract,
    /// At a name, because not every implementation looks for addresses in certificates.
    Tls,
}

/// Who listens; the other one dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    WirebirdListens,
    WirebirdDials,
}

/// An address that nobody else uses as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    url: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Port(UdpSocket),
    Directory(TempDir),
    Name,
}

impl Place {
    pub(crate) fn new(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Tcp | Scheme::Ws | Scheme::Tls => {
                let (port, lock) = reserve_port();
                let url = match scheme {
                    Scheme::Ws => format!("ws://127.0.0.1:{port}"),
                    Scheme::Tls => format!("tls+tcp4://localhost:{port}"),
                    _ => format!("tcp://127.0.0.1:{port}"),
                };
                Self {
                    url,
                    held: Held::Port(lock),
                }
            }
            Scheme::Ipc => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                Self {
                    url: format!("ipc://{}", directory.path().join("s").display()),
                    held: Held::Directory(directory),
                }
            }
            Scheme::Abstract => {
                static LAST: AtomicU32 = AtomicU32::new(0);
                let number = LAST.fetch_add(1, Ordering::Relaxed);
                Self {
                    url: format!("abstract://wirebird-{}-{number}", std::process::id()),
                    held: Held::Name,
                }
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The port of a tcp address.
    pub(crate) fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap_or_default()
    }

    /// The path of an ipc address.
    pub(crate) fn path(&self) -> &str {
        self.url.strip_prefix("ipc://").unwrap_or_default()
    }
}

/// Held while a child is made: until it runs its program it has all descriptors of this process, and a listener that
/// was closed here goes on there.
static FORKING: Mutex<()> = Mutex::new(());

/// A port for a listener of another program, which cannot say which one it got.
///
/// It lies below the range that the system gives to those who ask for any port, so that no other socket of this
/// machine gets it meanwhile. Tests that run at the same time keep away from it because its udp twin is taken: a lock
/// that ends with its process and leaves no file behind.
fn reserve_port() -> (u16, UdpSocket) {
    let _no_child_inherits_the_probe = FORKING.lock();
    let start = u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    for step in 0..10_000 {
        let port = 20_000 + (start + step * 7) % 10_000;
        if let Ok(lock) = UdpSocket::bind(("127.0.0.1", port))
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            return (port, lock);
        }
    }
    panic!("no port is free");
}

/// A program that a test runs against.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    command: Vec<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
    /// How to get it.
    install: &'static str,
}

impl Program {
    /// nng's `nngcat`.
    pub(crate) fn nngcat() -> Self {
        // Into a pipe it would keep the line that says it listens until its first message.
        Self {
            command: vec!["stdbuf".into(), "-oL".into(), "nngcat".into()],
            environment: Vec::new(),
            install: "apt-get install nng-utils",
        }
        .checked("nngcat")
    }

    /// nanomsg's `nanocat`.
    pub(crate) fn nanocat() -> Self {
        Self {
            command: vec!["nanocat".into()],
            environment: Vec::new(),
            install: "apt-get install nanomsg-utils",
        }
        .checked("nanocat")
    }

    /// The command of OpenSSL.
    pub(crate) fn openssl() -> Self {
        Self {
            command: vec!["openssl".into()],
            environment: Vec::new(),
            install: "apt-get install openssl",
        }
        .checked("openssl")
    }

    /// The `wirebird` command of this build.
    pub(crate) fn wirebird() -> Self {
        Self {
            command: vec![env!("CARGO_BIN_EXE_wirebird").into()],
            environment: Vec::new(),
            install: "cargo build",
        }
    }

    /// `wirebird cat`.
    pub(crate) fn wirebird_cat() -> Self {
        let mut program = Self::wirebird();
        program.command.push("cat".into());
        program
    }

    /// A script of tests/interop under a Python that has pynng and websockets.
    pub(crate) fn python(script: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("WIREBIRD_PYTHON")
            .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        let script = root.join("tests/interop").join(script);
        Self {
            command: vec![python, script],
            environment: Vec::new(),
            install: "python3 -m venv .venv && .venv/bin/pip install pynng websockets",
        }
    }

    /// Any other program.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            command: vec![path.into()],
            environment: Vec::new(),
            install: "build it",
        }
    }

    /// The same with a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: &Path) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Fails here, and not with an error of `stdbuf`, when the program is missing.
    fn checked(self, name: &str) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
        assert!(
            found,
            "{name} is not installed: {} (./test.sh does it)",
            self.install
        );
        self
    }

    pub(crate) fn start<W: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = W>) -> Running {
        self.start_with_input(args, None)
    }

    /// Starts the program with a standard input that [`Running::tell`] writes to.
    pub(crate) fn start_talking<W: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = W>,
    ) -> Running {
        self.launch(args, Stdio::piped())
    }

    /// Starts the program, with `input` and then its end as standard input.
    pub(crate) fn start_with_input<W: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = W>,
        input: Option<Vec<u8>>,
    ) -> Running {
        let stdin = match input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        };
        let mut running = self.launch(args, stdin);
        if let (Some(mut stdin), Some(input)) = (running.child.stdin.take(), input) {
            // A program that ends early does not want all of it.
            thread::spawn(move || stdin.write_all(&input));
        }
        running
    }

    fn launch<W: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = W>, stdin: Stdio) -> Running {
        let (program, first) = self.command.split_first().expect("a program has a name");
        let mut command = Command::new(program);
        command.args(first).args(args);
        command.envs(self.environment.iter().cloned());
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let forking = FORKING.lock();
        let spawned = command.spawn();
        drop(forking);
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => panic!(
                "{} is not installed: {} (./test.sh does it)",
                program.display(),
                self.install
            ),
            Err(error) => panic!("cannot start {command:?}: {error}"),
        };
        Running {
            line: format!("{command:?}"),
            out: Output::of(child.stdout.take().expect("a pipe was asked for")),
            err: Output::of(child.stderr.take().expect("a pipe was asked for")),
            child,
            kept: None,
        }
    }

    /// Runs the program to its end.
    pub(crate) fn run<W: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = W>) -> Finished {
        self.start(args).finish()
    }
}

/// What a program did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// A program that runs; it ends with this.
#[derive(Debug)]
pub(crate) struct Running {
    line: String,
    child: Child,
    out: Output,
    err: Output,
    kept: Option<Data>,
}

impl Running {
    /// Keeps a file for as long as the program runs.
    pub(crate) fn keep(&mut self, data: Option<Data>) {
        self.kept = data;
    }

    /// Writes a line to the program's standard input.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut();
        let stdin = stdin.expect("the program was started to be talked to");
        writeln!(stdin, "{line}").expect("the program listens");
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().try_into().ok();
        let id = id.and_then(rustix::process::Pid::from_raw);
        let sent = rustix::process::kill_process(id.expect("a process id"), signal);
        sent.expect("the program runs");
    }

    /// Waits for a line of standard output that begins with `start`, and gives the rest of it.
    #[track_caller]
    pub(crate) fn line(&self, start: &str) -> String {
        self.line_of(&self.out, start)
    }

    /// The same of standard error.
    #[track_caller]
    pub(crate) fn complaint(&self, start: &str) -> String {
        self.line_of(&self.err, start)
    }

    #[track_caller]
    fn line_of(&self, output: &Output, start: &str) -> String {
        let found = output.wait(|out| {
            let text = String::from_utf8_lossy(out);
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let rest = whole.lines().find_map(|line| line.strip_prefix(start));
            rest.map(str::to_owned)
        });
        self.or_fail(found, &format!("a line that begins with {start:?}"))
    }

    /// All that the program has printed so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.out.so_far()).into_owned()
    }

    /// Waits until `count` MessagePack objects were printed, after the lines that `--verbose` prints first.
    #[track_caller]
    pub(crate) fn messages(&self, count: usize) -> Vec<Vec<u8>> {
        let found = self.out.wait(|out| {
            let mut messages = unpack(out);
            (messages.len() >= count).then(|| {
                messages.truncate(count);
                messages
            })
        });
        self.or_fail(found, &format!("{count} messages"))
    }

    /// Waits until standard output is exactly `expected`, and fails as soon as it cannot become that.
    #[track_caller]
    pub(crate) fn prints(&self, expected: &[u8]) {
        let found = self
            .out
            .wait(|out| (out == expected || !expected.starts_with(out)).then(|| out.to_vec()));
        let found = self.or_fail(found, "its output");
        assert_same(&found, expected, &self.line);
    }

    /// Waits until the program has printed `count` bytes, and gives all it has printed.
    #[track_caller]
    pub(crate) fn bytes(&self, count: usize) -> Vec<u8> {
        let found = self
            .out
            .wait(|out| (out.len() >= count).then(|| out.to_vec()));
        self.or_fail(found, &format!("{count} bytes"))
    }

    /// Waits until the program ends by itself.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let status = self.status();
        // What it wrote is read to the end only after it has ended.
        let (Some(out), Some(err)) = (self.out.whole(), self.err.whole()) else {
            panic!("{} left its output open", self.line);
        };
        Finished {
            code: status.code(),
            out,
            err: String::from_utf8_lossy(&err).into_owned(),
        }
    }

    /// Waits until the program ends by itself, and fails when it does not end well.
    #[track_caller]
    pub(crate) fn succeed(self) -> Vec<u8> {
        let line = self.line.clone();
        let finished = self.finish();
        assert_eq!(
            finished.code,
            Some(0),
            "{line} failed:\n{}\n{}",
            String::from_utf8_lossy(&finished.out),
            finished.err
        );
        finished.out
    }

    #[track_caller]
    fn status(&mut self) -> ExitStatus {
        // A process that has closed its output is all but gone; the operating system has no wait with a deadline.
        let end = Instant::now() + DEADLINE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
                Ok(None) => panic!("{}", self.failure("to end")),
                Err(error) => panic!("{}: {error}", self.line),
            }
        }
    }

    /// Ends the program at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    #[track_caller]
    fn or_fail<T>(&self, found: Option<T>, what: &str) -> T {
        found.unwrap_or_else(|| panic!("{}", self.failure(what)))
    }

    fn failure(&self, what: &str) -> String {
        let shown = |output: &Output| {
            let bytes = output.so_far();
            let shown = &bytes[..bytes.len().min(2000)];
            format!(
                "{} bytes: {}",
                bytes.len(),
                String::from_utf8_lossy(shown).into_owned()
            )
        };
        format!(
            "waited in vain for {what} of {}\noutput of {}\nerrors of {}",
            self.line,
            shown(&self.out),
            shown(&self.err)
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("{}", self.failure("what the test tells"));
        }
    }
}

/// A file with the given content, which lives as long as this, and an option that names it.
#[derive(Debug)]
pub(crate) struct Data {
    directory: TempDir,
    empty: bool,
}

impl Data {
    pub(crate) fn new(content: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("data"), content).expect("a file of data");
        let empty = content.is_empty();
        Self { directory, empty }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The option of nngcat, nanocat and ours that sends it.
    pub(crate) fn option(&self) -> String {
        if self.empty {
            // nanocat aborts on an empty file.
            return "--data=".into();
        }
        format!("--file={}", self.path().display())
    }
}

/// Options for tests: nothing waits for ever, and whoever dials tries again soon.
pub(crate) fn options() -> SocketOptions {
    SocketOptions::new()
        .recv_timeout(DEADLINE)
        .send_timeout(DEADLINE)
        .reconnect_min(Duration::from_millis(10))
}

/// A socket with [`options`].
pub(crate) fn socket<P: Pattern>() -> Socket<P> {
    Socket::with_options(&options()).expect("a socket")
}

/// Waits for an event.
#[track_caller]
pub(crate) fn wait_for_event(monitor: &Monitor, is_it: impl Fn(&Event) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let event = monitor.recv_timeout(left);
        if is_it(&event.expect("the event comes")) {
            return;
        }
    }
}

/// Lets a surveyor's surveys last as long as a test waits for anything.
pub(crate) fn be_patient(surveyor: &Socket<Survey>) {
    let options = options().survey_time(DEADLINE);
    surveyor.set_options(&options).expect("a longer survey");
}
