//! Headless Chromium, driven through its DevTools protocol over a pair of pipes.
//!
//! Nothing here waits for a time: the page is asked for a promise, and the answer comes when that is settled. The
//! deadline is reached only by a test that fails, and what the page complained about is then part of the failure.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Starting a browser on a busy machine takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pages come from the test itself, and the sandbox does not work for root or in a container.
const OPTIONS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--remote-debugging-pipe",
];

/// A browser with a profile of its own. It ends with this.
pub(crate) struct Browser {
    child: Child,
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    last_id: Cell<u64>,
    complaints: RefCell<Vec<Complaint>>,
    profile: TempDir,
}

/// What a page said in its console, or threw.
struct Complaint {
    session: String,
    text: String,
    thrown: bool,
}

impl Browser {
    /// Starts Chromium: the program `chromium`, or the one that `WIREBIRD_CHROMIUM` names.
    #[track_caller]
    pub(crate) fn launch() -> Self {
        let program = std::env::var_os("WIREBIRD_CHROMIUM").unwrap_or_else(|| "chromium".into());
        let profile = TempDir::new().expect("a directory for the profile");
        let errors = File::create(profile.path().join("stderr")).expect("a file for its errors");
        // Chromium wants its pipes as descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(&program)
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let commands = child.stdin.take().expect("a pipe was asked for");
        let answers = child.stdout.take().expect("a pipe was asked for");
        let (found, messages) = channel();
        thread::spawn(move || read(answers, &found));
        let browser = Self {
            child,
            commands: RefCell::new(commands),
            messages,
            last_id: Cell::new(0),
            complaints: RefCell::default(),
            profile,
        };
        if let Err(error) = browser.call(None, "Browser.getVersion", &json!({})) {
            panic!(
                "{} does not work, or is not installed: apt-get install chromium (./test.sh does it)\n{error}\n{}",
                program.display(),
                browser.errors()
            );
        }
        browser
    }

    /// Opens a page in a new tab and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: impl Display) -> Page<'_> {
        let call = |session: Option<&str>, method: &str, parameters: Value| {
            self.call(session, method, &parameters)
                .unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.errors()))
        };
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let target = call(None, "Target.createTarget", json!({"url": "about:blank"}));
        let target = text(&target, "targetId");
        let attach = json!({"targetId": target, "flatten": true});
        let session = call(None, "Target.attachToTarget", attach);
        let session = text(&session, "sessionId");
        for domain in ["Page", "Runtime", "Log"] {
            call(Some(&session), &format!("{domain}.enable"), json!({}));
        }
        let url = url.to_string();
        let went = call(Some(&session), "Page.navigate", json!({"url": url}));
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        let page = Page {
            browser: self,
            session,
        };
        page.eval(
            "new Promise((loaded) => document.readyState === 'complete' ? loaded() : addEventListener('load', loaded))",
        );
        page
    }

    /// Calls a method of the protocol and waits for its result, and notes what the pages complain about meanwhile.
    fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: &Value,
    ) -> Result<Value, String> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        let sent = self.commands.borrow_mut().write_all(&bytes);
        sent.map_err(|error| format!("the browser is gone: {error}"))?;
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut message = self
                .messages
                .recv_timeout(left)
                .map_err(|error| format!("no answer from the browser: {error}"))?;
            if message["id"] != id {
                self.note(&message);
            } else if let Some(error) = message.get("error") {
                return Err(error.to_string());
            } else {
                return Ok(message["result"].take());
            }
        }
    }

    fn note(&self, event: &Value) {
        let parameters = &event["params"];
        let (thrown, text) = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => (true, thrown(&parameters["exceptionDetails"])),
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => {
                (false, parameters["args"].to_string())
            }
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                (false, parameters["entry"]["text"].to_string())
            }
            _ => return,
        };
        let session = event["sessionId"].as_str().unwrap_or_default().to_owned();
        self.complaints.borrow_mut().push(Complaint {
            session,
            text,
            thrown,
        });
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helper processes are in the group too. It may be gone already.
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(group) = Pid::from_raw(pid)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Messages are separated by zero bytes.
fn read(pipe: ChildStdout, found: &Sender<Value>) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut message = Vec::new();
        match pipe.read_until(0, &mut message) {
            Ok(_) if message.pop() == Some(0) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            _ => return,
        }
        let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
        if found.send(message).is_err() {
            return;
        }
    }
}

/// What an exception says, with its stack.
fn thrown(details: &Value) -> String {
    let description = &details["exception"]["description"];
    match description.as_str() {
        Some(description) => description.to_owned(),
        None => details.to_string(),
    }
}

/// A tab. Each method fails the test when the page threw something that nobody caught.
pub(crate) struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl Page<'_> {
    /// The value of an expression, or of the promise that it is.
    #[track_caller]
    pub(crate) fn eval(&self, expression: impl Display) -> Value {
        let expression = expression.to_string();
        let mut result = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        if let Some(details) = result.get("exceptionDetails") {
            panic!("{}", self.failure(&expression, &thrown(details)));
        }
        result["result"]["value"].take()
    }

    /// Calls a function of a module of the page's server with one argument.
    #[track_caller]
    pub(crate) fn run(&self, module: &str, function: &str, argument: impl Into<Value>) -> Value {
        let argument = argument.into();
        self.eval(format!(
            "import('{module}').then((module) => module.{function}({argument}))"
        ))
    }

    /// The text of the first element that the selector finds.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.eval(format!("{}.textContent", find(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element contains another one.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        let text = Value::from(text);
        self.wait_for(&format!("{}.textContent.includes({text})", find(selector)));
    }

    /// Waits until a condition holds. It is looked at whenever the document changes.
    #[track_caller]
    pub(crate) fn wait_for(&self, condition: &str) {
        self.eval(format!(
            "new Promise((resolve, reject) => {{
                const look = () => {{
                    try {{
                        if ({condition}) resolve();
                    }} catch (error) {{
                        reject(error);
                    }}
                }};
                const changes = {{ subtree: true, childList: true, characterData: true, attributes: true }};
                new MutationObserver(look).observe(document, changes);
                look();
            }})"
        ));
    }

    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.eval(format!("{}.click()", find(selector)));
    }

    /// Types into whatever has the focus, as a keyboard does.
    #[track_caller]
    pub(crate) fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key: `Enter` or `Tab`.
    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            _ => (9, ""),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}),
            );
        }
    }

    #[track_caller]
    fn call(&self, method: &str, parameters: Value) -> Value {
        let result = self.browser.call(Some(&self.session), method, &parameters);
        let result = result.unwrap_or_else(|error| panic!("{}", self.failure(&parameters, &error)));
        if self.has_thrown() {
            panic!("{}", self.failure(&parameters, "the page threw"));
        }
        result
    }

    fn failure(&self, what: &impl Display, error: &str) -> String {
        let complaints = self.browser.complaints.borrow();
        let own = complaints.iter().filter(|one| one.session == self.session);
        let own: Vec<_> = own.map(|one| one.text.as_str()).collect();
        format!(
            "{error}\nin {what}\nthe page complained of\n{}",
            own.join("\n")
        )
    }

    fn has_thrown(&self) -> bool {
        let complaints = self.browser.complaints.borrow();
        let mut own = complaints.iter().filter(|one| one.session == self.session);
        own.any(|one| one.thrown)
    }
}

/// An expression for the element.
fn find(selector: &str) -> String {
    format!("document.querySelector({})", Value::from(selector))
}
