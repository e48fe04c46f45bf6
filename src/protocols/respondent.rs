//! Respondent: answers surveys.
//!
//! To its user it is a replier: one survey received, at most one answer sent, and the same rules for contexts,
//! backtraces, hops and pipes that are lost. The machines are therefore those of [`rep`](super::rep). What differs
//! is who is asked (every respondent, where a request goes to one replier) and the queue of the raw form: nng's
//! keeps 2 answers for each pipe where its raw rep keeps 64. nanomsg and mangos have the same states; they drop an
//! answer that its pipe cannot take at once, and a malformed survey without closing its pipe.

use super::rep::{RawReplier, Replier, Side};
use super::{ProtocolInfo, info};

// ---- identity ----

/// The answering socket of a survey.
pub(crate) type Respondent = Replier<RespondentSide>;

/// The raw answering socket of a survey.
pub(crate) type RawRespondent = RawReplier<RespondentSide>;

/// The respondent's part of the machines.
pub(crate) enum RespondentSide {}

impl Side for RespondentSide {
    const INFO: ProtocolInfo = info::RESPONDENT;
    const RAW_QUEUE: usize = 2;
}
