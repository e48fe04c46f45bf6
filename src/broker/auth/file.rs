//! The file of an authenticator: JSON that only its owner may read, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::acl::{DestinationType, Mode};
use super::authenticator::{Account, Role, State, check_user};
use super::cidr::Network;
use super::error::{AuthError, FileFault};

/// Longest file that is read.
const LONGEST: u64 = 16 << 20;

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Content {
    authorizations: Vec<Authorization>,
    queue_default_acl: Access,
    topic_default_acl: Access,
    function_default_acl: Access,
    #[serde(default)]
    queue_acls: Vec<Access>,
    #[serde(default)]
    topic_acls: Vec<Access>,
    #[serde(default)]
    function_acls: Vec<Access>,
    #[serde(default)]
    cidr_acls: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Authorization {
    principal: String,
    pw_hash: String,
    admin: bool,
}

/// A right; of a default, subject and principal are `*`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    subject: String,
    principal: String,
    access: String,
}

// ---- reading ----

/// Reads a file.
pub(super) fn load(path: &Path) -> Result<State, AuthError> {
    read_private(path)
        .and_then(|text| parse(&text))
        .map_err(|fault| AuthError::File {
            path: path.into(),
            fault,
        })
}

/// Reads a file that is only its owner's.
pub(in crate::broker) fn read_private(path: &Path) -> Result<String, FileFault> {
    // A pipe in the file's place must not keep us waiting.
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0))
        .open(path);
    let file = open.map_err(system)?;
    // Of the open file, not of what may be at the path by now.
    let about = file.metadata().map_err(system)?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(FileFault::Unusable);
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileFault::Exposed(mode));
    }
    let mut text = String::new();
    match file.take(LONGEST).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(FileFault::Content("the file is not UTF-8".into()))
        }
        Err(error) => Err(system(error)),
    }
}

fn parse(text: &str) -> Result<State, FileFault> {
    let content: Content = serde_json::from_str(text).map_err(|error| FileFault::Malformed {
        line: error.line(),
        column: error.column(),
        reason: reason(&error),
    })?;
    let mut state = State::default();
    for one in content.authorizations {
        check_user(&one.principal).map_err(wrong)?;
        let hash = one
            .pw_hash
            .parse()
            .map_err(|fault| FileFault::Content(format!("the user {}: {fault}", one.principal)))?;
        let role = if one.admin { Role::Admin } else { Role::User };
        state.accounts.insert(one.principal, Account { hash, role });
    }
    for (kind, default, rights) in [
        (
            DestinationType::Queue,
            content.queue_default_acl,
            content.queue_acls,
        ),
        (
            DestinationType::Topic,
            content.topic_default_acl,
            content.topic_acls,
        ),
        (
            DestinationType::Function,
            content.function_default_acl,
            content.function_acls,
        ),
    ] {
        let mode = |access: &Access| Mode::parse(kind, &access.access).map_err(wrong);
        state
            .acl
            .set_default(kind, mode(&default)?)
            .map_err(wrong)?;
        for right in rights {
            check_user(&right.principal).map_err(wrong)?;
            let mode = mode(&right)?;
            let set = state.acl.set(kind, &right.subject, mode, &right.principal);
            set.map_err(wrong)?;
        }
    }
    for text in content.cidr_acls {
        let network: Network = text
            .parse()
            .map_err(|()| wrong(AuthError::BadNetwork(text.chars().take(80).collect())))?;
        state.networks.insert(network);
    }
    Ok(state)
}

/// The parser's reason without the place, which is told beside it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    text.chars().take(200).collect()
}

fn wrong(error: AuthError) -> FileFault {
    FileFault::Content(error.to_string())
}

fn system(error: io::Error) -> FileFault {
    match error.kind() {
        io::ErrorKind::NotFound => FileFault::Missing,
        _ => FileFault::System(error.into()),
    }
}

// ---- writing ----

/// Replaces a file, or makes it: who reads sees the old one or the new one.
pub(super) fn store(state: &State, path: &Path) -> Result<(), AuthError> {
    write(&print(state), path).map_err(|error| AuthError::File {
        path: path.into(),
        fault: system(error),
    })
}

fn print(state: &State) -> Vec<u8> {
    let default = |kind| Access {
        subject: "*".into(),
        principal: "*".into(),
        access: state.acl.default_mode(kind).stored().into(),
    };
    let rights = |kind| {
        let entries = state.acl.entries();
        let entries = entries.filter(|entry| entry.destination_type == kind);
        let rights = entries.map(|entry| Access {
            subject: entry.name,
            principal: entry.user,
            access: entry.mode.stored().into(),
        });
        rights.collect()
    };
    let accounts = state.accounts.iter();
    let content = Content {
        authorizations: accounts
            .map(|(user, account)| Authorization {
                principal: user.clone(),
                pw_hash: account.hash.to_string(),
                admin: account.role == Role::Admin,
            })
            .collect(),
        queue_default_acl: default(DestinationType::Queue),
        topic_default_acl: default(DestinationType::Topic),
        function_default_acl: default(DestinationType::Function),
        queue_acls: rights(DestinationType::Queue),
        topic_acls: rights(DestinationType::Topic),
        function_acls: rights(DestinationType::Function),
        cidr_acls: state.networks.iter().map(Network::to_string).collect(),
    };
    // Strings and lists can always be written.
    let mut text = serde_json::to_vec_pretty(&content).unwrap_or_default();
    text.push(b'\n');
    text
}

fn write(text: &[u8], path: &Path) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", uuid::Uuid::new_v4()));
    let temporary = directory.join(hidden);
    let written = fill(text, &temporary).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(directory)?.sync_all()
}

/// Makes a file that is only its owner's, if there is none.
pub(in crate::broker) fn create_private(text: &[u8], path: &Path) -> Result<(), FileFault> {
    fill(text, path).map_err(system)
}

fn fill(text: &[u8], path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
