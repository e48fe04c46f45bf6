//! Functions: called by req peers, served by rep workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::crew::Crew;
use super::inbox::Call;
use super::link::{Link, gone};
use crate::broker::message::{MessageType, Status};
use crate::broker::router::Returned;
use crate::{Error, Rep, Req};

/// What req peers call a function with.
pub(super) struct Callers {
    rep: Rep,
    link: Arc<Link>,
    crew: Arc<Crew>,
    /// Tasks that wait for a request, tasks in all, and how many there may be.
    idle: AtomicUsize,
    tasks: AtomicUsize,
    most: usize,
}

impl Callers {
    pub(super) fn new(rep: Rep, link: Arc<Link>, crew: Arc<Crew>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            rep,
            link,
            crew,
            idle: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            most,
        })
    }

    /// Adds a task that answers requests, one at a time.
    pub(super) fn add_task(self: &Arc<Self>) -> crate::Result<()> {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        let callers = self.clone();
        self.crew.spawn(async move {
            callers.serve().await;
        })
    }

    async fn serve(self: Arc<Self>) -> Option<()> {
        loop {
            self.idle.fetch_add(1, Ordering::Relaxed);
            let accepted = self.rep.accept().await;
            // All tasks have one thread: nobody else counts meanwhile.
            let idle = self.idle.fetch_sub(1, Ordering::Relaxed) - 1;
            let mut request = accepted.ok()?;
            if idle == 0 && self.tasks.load(Ordering::Relaxed) < self.most {
                // Without a further task requests come one after another, no worse.
                let _ = self.add_task();
            }
            let payload = request.take_message();
            let reply = match self.link.request(MessageType::Request, payload) {
                Some(call) => {
                    let answer = self.link.ask(call).await?.letter;
                    if self.link.shown.judge(&answer) {
                        answer.payload_binary().clone()
                    } else {
                        self.failed(answer.status(), answer.payload_text().as_deref())
                    }
                }
                None => self.failed(Status::BadRequest, Some("the request is too long")),
            };
            request.reply(reply).await.ok()?;
            self.link.shown.sent();
        }
    }

    /// A reply cannot say that it is an error, so its body does.
    fn failed(&self, status: Status, text: Option<&str>) -> Bytes {
        let (name, text) = (status.name(), text.unwrap_or_default());
        self.link.shown.refused(format!("{name}: {text}"));
        let error = json!({ "code": status.code(), "message": name, "details": text });
        error.to_string().into()
    }
}

/// Gives calls to rep workers.
pub(super) struct Workers {
    pub(super) req: Req,
    pub(super) link: Arc<Link>,
    pub(super) crew: Arc<Crew>,
    pub(super) deadline: Duration,
}

impl Workers {
    pub(super) async fn dispatch(self: Arc<Self>) -> Option<()> {
        loop {
            let call = self.link.call().await?;
            let workers = self.clone();
            // Only before the thread is there can this fail.
            let _ = self.crew.spawn(async move {
                let result = workers.serve(&call).await;
                workers.link.returned(&call, result);
            });
        }
    }

    async fn serve(&self, call: &Call) -> Returned {
        let name = self.link.shown.destination();
        let fail = |status: Status, text: String| {
            self.link
                .shown
                .refused(format!("{}: {text}", status.name()));
            Err((status, text))
        };
        if self.link.shown.peers() == 0 {
            let text = format!("no worker for the function {name} is there");
            return fail(Status::RetryLater, text);
        }
        let own = call.request.timeout().and_then(|ms| u64::try_from(ms).ok());
        let deadline = own.map_or(self.deadline, |ms| {
            self.deadline.min(Duration::from_millis(ms))
        });
        let payload = call.request.payload_binary().clone();
        self.link.shown.sent();
        match self.req.request(payload).timeout(deadline).await {
            Ok(reply) => {
                self.link.shown.received();
                match self.link.letter(reply.into()) {
                    Some(letter) => Ok(Some(call.request.answered_with(letter))),
                    None => {
                        let text = format!("a worker's reply for {name} is too long");
                        Err((Status::HandlerError, text))
                    }
                }
            }
            Err(Error::Closed) => Err(gone()),
            Err(Error::TimedOut) => {
                let text =
                    format!("no worker for the function {name} has answered in {deadline:?}");
                fail(Status::TimedOut, text)
            }
            Err(error) => fail(Status::ServerError, error.to_string()),
        }
    }
}
