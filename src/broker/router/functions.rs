//! Functions: which there are, and how their answers come back.

use std::sync::Arc;

use super::{Answered, Now, Output, Outputs, Router, refused};
use crate::broker::auth::Action;
use crate::broker::endpoints::Inbox;
use crate::broker::message::{Message, Status};
use crate::broker::queue::SessionId;

/// What a function gives. An error is the status and text of the answer.
pub(in crate::broker) type Returned = Result<Option<Message>, (Status, String)>;

pub(in crate::broker) type OwnHandler = Arc<dyn Fn(&Message) -> Returned + Send + Sync>;

/// Who does what a function is for.
#[derive(Clone)]
pub(in crate::broker) enum Handler {
    /// The program.
    Own(OwnHandler),
    /// Workers, which an endpoint gives the requests to.
    Workers(Arc<Inbox>),
}

pub(super) struct Function {
    handler: Handler,
    /// Calls that run or wait to run, and how many may.
    running: usize,
    most: usize,
}

impl Router {
    /// Makes a function. Returns whether it is new; an existing one stays as it is.
    pub(in crate::broker) fn create_function(
        &mut self,
        name: &str,
        handler: Handler,
        most: usize,
    ) -> Result<bool, (Status, String)> {
        super::admin::check(name).map_err(|refused| (refused.0, refused.1))?;
        if self.functions.contains_key(name) {
            return Ok(false);
        }
        if self.functions.len() >= self.limits.functions {
            let text = format!(
                "there are {} functions, and there may be no more",
                self.limits.functions
            );
            return Err((Status::LimitReached, text));
        }
        let function = Function {
            handler,
            running: 0,
            most,
        };
        self.functions.insert(name.into(), function);
        Ok(true)
    }

    /// Removes a function; calls that run are still answered. Returns whether there was one.
    pub(in crate::broker) fn remove_function(&mut self, name: &str) -> bool {
        self.functions.remove(name).is_some()
    }

    /// Removes a function, if it is still that of these workers.
    pub(in crate::broker) fn remove_workers(&mut self, name: &str, workers: &Arc<Inbox>) {
        let of_these = |function: &Function| matches!(&function.handler, Handler::Workers(inbox) if Arc::ptr_eq(inbox, workers));
        if self.functions.get(name).is_some_and(of_these) {
            self.functions.remove(name);
        }
    }

    pub(in crate::broker) fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    pub(super) fn call(
        &mut self,
        session: SessionId,
        request: &Message,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let Some(name) = request.destination() else {
            return refused(Status::BadRequest, "no function is named");
        };
        self.check(session, Action::Execute, name)?;
        let charge = self.charge(request)?;
        let Some(function) = self.functions.get_mut(name) else {
            let text = format!("there is no function {name}");
            return refused(Status::FunctionNotFound, text);
        };
        if function.running >= function.most {
            let text = format!("{} calls of the function {name} run already", function.most);
            return refused(Status::RetryLater, text);
        }
        function.running += 1;
        self.stats.calls += 1;
        out.push(Output::Call {
            session,
            request: request.clone(),
            handler: function.handler.clone(),
            charge,
        });
        Ok(None)
    }

    /// A call has ended.
    pub(in crate::broker) fn returned(
        &mut self,
        session: SessionId,
        request: &Message,
        result: Returned,
        now: Now,
        out: &mut Outputs,
    ) {
        if let Some(function) = request
            .destination()
            .and_then(|name| self.functions.get_mut(name))
        {
            function.running = function.running.saturating_sub(1);
        }
        let message = match result {
            Ok(Some(message)) => {
                // A status that the handler chose stands, as long as it says that something is wrong.
                let status = if message.is_err() {
                    message.status()
                } else {
                    Status::Ok
                };
                message.into_response(request.id(), status)
            }
            Ok(None) => request.reply(Status::Ok, ""),
            Err((status, text)) => request.reply(status, text),
        };
        let kept = !message.status().is_retryable();
        self.settle(session, request, &message, kept, now, out);
        self.answer(session, request, message, out);
    }
}
