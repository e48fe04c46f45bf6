//! `wirebird acl`: what the users of a broker may do, and where they may come from.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use wirebird::broker::{Authenticator, DestinationType, Mode};

use super::user::{exit, told};

/// The arguments of `wirebird acl`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  wirebird acl default users.json queue deny
  wirebird acl set users.json queue jobs offer worker
  wirebird acl set users.json topic 'news/>' subscribe worker
  wirebird acl set users.json function resize execute worker
  wirebird acl remove users.json queue jobs
  wirebird acl allow users.json 10.0.0.0/8
  wirebird acl list users.json

Modes: poll, offer, offer-poll of a queue; subscribe, publish, publish-subscribe of a topic; execute of a
function; deny of all. The file is made by `wirebird user add`.";

#[derive(Debug, Subcommand)]
enum What {
    /// Sets the right of a user for a queue, topic or function, or for those that a pattern matches
    Set {
        file: PathBuf,
        #[arg(value_name = "TYPE")]
        kind: Kind,
        name: String,
        mode: String,
        user: String,
    },
    /// Removes the rights for a type, a destination of it, or one user there
    Remove {
        file: PathBuf,
        #[arg(value_name = "TYPE")]
        kind: Kind,
        name: Option<String>,
        user: Option<String>,
    },
    /// Sets what those may do who have no right that says otherwise
    Default {
        file: PathBuf,
        #[arg(value_name = "TYPE")]
        kind: Kind,
        mode: String,
    },
    /// Lets clients come from a network, and from no other that is not allowed too
    Allow { file: PathBuf, network: String },
    /// Takes a network back
    Disallow { file: PathBuf, network: String },
    /// Prints the defaults, the rights and the networks
    List { file: PathBuf },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Queue,
    Topic,
    Function,
}

impl From<Kind> for DestinationType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Queue => Self::Queue,
            Kind::Topic => Self::Topic,
            Kind::Function => Self::Function,
        }
    }
}

impl What {
    fn file(&self) -> &PathBuf {
        match self {
            Self::Set { file, .. }
            | Self::Remove { file, .. }
            | Self::Default { file, .. }
            | Self::Allow { file, .. }
            | Self::Disallow { file, .. }
            | Self::List { file } => file,
        }
    }
}

/// Does it; what goes wrong is told on one line, and exits with 2.
pub(super) fn main(command: &Command) -> ExitCode {
    exit(run(&command.what))
}

fn run(what: &What) -> Result<String, String> {
    let auth = Authenticator::load(what.file()).map_err(told)?;
    match what {
        What::List { .. } => return Ok(list(&auth)),
        What::Set {
            kind,
            name,
            mode,
            user,
            ..
        } => {
            let kind = (*kind).into();
            let mode = Mode::parse(kind, mode).map_err(told)?;
            auth.set_acl(kind, name, mode, user).map_err(told)?;
        }
        What::Default { kind, mode, .. } => {
            let kind = (*kind).into();
            let mode = Mode::parse(kind, mode).map_err(told)?;
            auth.set_default_acl(kind, mode).map_err(told)?;
        }
        What::Remove {
            kind, name, user, ..
        } => {
            if auth.remove_acl((*kind).into(), name.as_deref(), user.as_deref()) == 0 {
                return Err("There is no such right.".into());
            }
        }
        What::Allow { network, .. } => auth.allow_network(network).map_err(told)?,
        What::Disallow { network, .. } => {
            if !auth.remove_network(network).map_err(told)? {
                return Err(format!("The network {network:?} is not allowed as it is."));
            }
        }
    }
    auth.store(what.file()).map_err(told)?;
    Ok(String::new())
}

fn list(auth: &Authenticator) -> String {
    let mut text = String::new();
    for kind in DestinationType::ALL {
        let mode = auth.default_acl(kind).name(kind);
        text += &format!("default {kind} {mode}\n");
    }
    for entry in auth.acls() {
        let kind = entry.destination_type;
        let mode = entry.mode.name(kind);
        text += &format!("{kind} {} {mode} {}\n", entry.name, entry.user);
    }
    for network in auth.networks() {
        text += &format!("network {network}\n");
    }
    text
}
