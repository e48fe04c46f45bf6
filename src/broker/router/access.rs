//! Who a client is, and what it may do.
//!
//! Users and rights are looked up for each request, so that a change of them is in force at once.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Answered, Output, Outputs, Router, refused};
use crate::broker::auth::{Action, Authenticator, Login, Role};
use crate::broker::message::{Message, MessageType, Status};
use crate::broker::queue::SessionId;

/// Failed logins after which a client is cut off.
const MOST_FAILURES: u32 = 3;

/// Longest message of a client that may be anybody, in bytes. A login and all that may be asked before is far shorter.
pub(in crate::broker) const BEFORE_LOGIN: usize = 64 * 1024;

/// What a client says when it logs in.
pub(in crate::broker) struct Credentials {
    pub(in crate::broker) user: Arc<str>,
    pub(in crate::broker) password: Zeroizing<String>,
}

/// What the router knows of who a client is.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Who it has logged in as.
    user: Option<Arc<str>>,
    /// It is an endpoint that needs no user.
    trusted: bool,
    /// A password is being checked.
    under_way: bool,
    failures: u32,
}

impl Identity {
    /// Without a user, an endpoint may do everything that endpoints do.
    pub(super) fn of_endpoint(user: Option<Arc<str>>) -> Self {
        Self {
            trusted: user.is_none(),
            user,
            ..Self::default()
        }
    }
}

impl Router {
    /// Refuses what may not be asked before logging in.
    pub(super) fn admit(&self, session: SessionId, kind: MessageType) -> Answered<()> {
        let Some(auth) = &self.auth else {
            return Ok(());
        };
        let open = matches!(
            kind,
            MessageType::ClientConfig | MessageType::Authentication | MessageType::Heartbeat
        );
        if open || self.is_trusted(session) || self.role(auth, session).is_some() {
            return Ok(());
        }
        refused(Status::NoPermission, "log in first")
    }

    /// The role of a client that is logged in, as a user that still exists.
    fn role(&self, auth: &Authenticator, session: SessionId) -> Option<Role> {
        auth.role(self.user(session)?)
    }

    /// The longest payload that a client may send now, in bytes.
    pub(in crate::broker) fn longest(&self, session: SessionId) -> usize {
        let longest = self.limits.message_size;
        if self.is_stranger(session) {
            longest.min(BEFORE_LOGIN)
        } else {
            longest
        }
    }

    /// Whether clients have to log in, and this one has not.
    pub(in crate::broker) fn is_stranger(&self, session: SessionId) -> bool {
        self.auth.is_some() && self.user(session).is_none()
    }

    fn user(&self, session: SessionId) -> Option<&str> {
        self.sessions.get(&session)?.identity.user.as_deref()
    }

    fn is_trusted(&self, session: SessionId) -> bool {
        let known = self.sessions.get(&session);
        known.is_some_and(|known| known.identity.trusted)
    }

    /// Who a client is, if it has logged in.
    pub(super) fn user_of(&self, session: SessionId) -> Option<Arc<str>> {
        self.sessions.get(&session)?.identity.user.clone()
    }

    pub(super) fn is_admin(&self, session: SessionId) -> bool {
        match &self.auth {
            Some(auth) => self.role(auth, session) == Some(Role::Admin),
            None => self.limits.open_admin,
        }
    }

    /// Whether a client may do something with a destination.
    pub(super) fn may(&self, session: SessionId, action: Action, name: &str) -> bool {
        let Some(auth) = &self.auth else {
            return true;
        };
        let user = self.user(session);
        self.is_trusted(session) || user.is_some_and(|user| auth.allows(user, action, name))
    }

    /// Refuses what [`may`](Self::may) not be done.
    pub(super) fn check(&self, session: SessionId, action: Action, name: &str) -> Answered<()> {
        if self.may(session, action, name) {
            return Ok(());
        }
        let user = self.user(session).unwrap_or_default();
        let text = format!("{user} may not {} {name}", action.phrase());
        refused(Status::NoPermission, text)
    }

    // ---- logging in ----

    pub(super) fn log_in(
        &mut self,
        session: SessionId,
        request: &Message,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        let Some(auth) = self.auth.clone() else {
            let text = "this broker knows no users: connect without a user and a password";
            return refused(Status::BadRequest, text);
        };
        let credentials = credentials(request)?;
        if self.role(&auth, session).is_some() {
            return refused(Status::BadRequest, "this client is logged in already");
        }
        let Some(known) = self.sessions.get_mut(&session) else {
            return refused(Status::ServerError, "the session is over");
        };
        if known.identity.under_way {
            let text = "this client's password is being checked already";
            return refused(Status::RetryLater, text);
        }
        known.identity.under_way = true;
        out.push(Output::LogIn {
            session,
            request: request.clone(),
            auth,
            credentials,
        });
        Ok(None)
    }

    /// A password has been checked.
    pub(in crate::broker) fn logged_in(
        &mut self,
        session: SessionId,
        request: &Message,
        user: &Arc<str>,
        login: Login,
        out: &mut Outputs,
    ) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        let identity = &mut known.identity;
        identity.under_way = false;
        let (status, text) = match login {
            Login::Welcome => {
                identity.user = Some(user.clone());
                (Status::Ok, "")
            }
            Login::Wrong => (Status::NoPermission, "the user or the password is wrong"),
            Login::TooMany => (Status::RateLimited, "too many logins have failed: wait"),
            Login::Busy => (Status::RetryLater, "too many clients log in at once"),
        };
        identity.failures += u32::from(matches!(login, Login::Wrong | Login::TooMany));
        let too_many = identity.failures >= MOST_FAILURES;
        self.answer(session, request, request.reply(status, text), out);
        if status == Status::Ok {
            out.push(Output::Trust { session });
        }
        if too_many {
            out.push(Output::CutOff { session });
        }
    }
}

/// A user and a password, on a line each.
fn credentials(request: &Message) -> Answered<Credentials> {
    let text = request
        .payload_text()
        .filter(|_| request.mimetype() == "text/plain");
    let parts = text.as_deref().and_then(|text| text.split_once('\n'));
    match parts {
        Some((user, password)) if !password.contains('\n') => Ok(Credentials {
            user: user.into(),
            password: Zeroizing::new(password.into()),
        }),
        _ => refused(
            Status::BadRequest,
            "a login is a user and a password, on a line each, as text/plain",
        ),
    }
}
