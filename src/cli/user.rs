//! `wirebird user`: who may log in at a broker.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use wirebird::broker::{AuthError, Authenticator, FileFault, Role};
use zeroize::Zeroizing;

use super::password::first_line;

/// The arguments of `wirebird user`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  wirebird user add users.json root --admin
  wirebird user add users.json worker < password.txt
  wirebird user list users.json
  wirebird user remove users.json worker

The password is the first line of the standard input; a terminal is asked for it, and does not show it.
Only the owner of the file may read it; it has hashes of the passwords, and what `wirebird acl` sets.";

#[derive(Debug, Subcommand)]
enum What {
    /// Adds a user, or gives it another password and role; makes the file if there is none
    Add {
        file: PathBuf,
        user: String,
        /// It may do everything, and make and remove queues and topics
        #[arg(long)]
        admin: bool,
    },
    /// Removes a user; its rights stay
    Remove { file: PathBuf, user: String },
    /// Prints the users, one on a line
    List { file: PathBuf },
}

/// Does it; what goes wrong is told on one line, and exits with 2.
pub(super) fn main(command: &Command) -> ExitCode {
    exit(run(command))
}

/// Prints what comes of a command.
pub(super) fn exit(done: Result<String, String>) -> ExitCode {
    let written = done.and_then(|text| {
        let written = io::stdout().lock().write_all(text.as_bytes());
        written.map_err(|error| format!("Cannot write: {error}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<String, String> {
    match &command.what {
        What::Add { file, user, admin } => {
            let auth = match Authenticator::load(file) {
                Err(AuthError::File {
                    fault: FileFault::Missing,
                    ..
                }) => Authenticator::new(),
                loaded => loaded.map_err(told)?,
            };
            let role = if *admin { Role::Admin } else { Role::User };
            let password = password()?;
            auth.add_credentials(user, &password, role).map_err(told)?;
            auth.store(file).map_err(told)?;
            Ok(String::new())
        }
        What::Remove { file, user } => {
            let auth = Authenticator::load(file).map_err(told)?;
            if !auth.remove_credentials(user) {
                return Err(format!("There is no user {user:?}."));
            }
            auth.store(file).map_err(told)?;
            Ok(String::new())
        }
        What::List { file } => {
            let auth = Authenticator::load(file).map_err(told)?;
            let lines = auth.users().into_iter().map(|user| match user.role {
                Role::Admin => format!("{} (admin)\n", user.name),
                _ => format!("{}\n", user.name),
            });
            Ok(lines.collect())
        }
    }
}

/// An error as a line of its own.
pub(super) fn told(error: AuthError) -> String {
    format!("Error: {error}.")
}

// ---- the password ----

fn password() -> Result<Zeroizing<String>, String> {
    let input = io::stdin();
    if !input.is_terminal() {
        return line(&mut input.lock());
    }
    let silence =
        Silence::begin().map_err(|error| format!("Cannot hide the password: {error}."))?;
    let first = ask("Password: ")?;
    let second = ask("Again: ")?;
    drop(silence);
    if first == second {
        Ok(first)
    } else {
        Err("The two passwords differ.".into())
    }
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, String> {
    eprint!("{prompt}");
    let answer = line(&mut io::stdin().lock());
    eprintln!();
    answer
}

fn line(input: &mut impl BufRead) -> Result<Zeroizing<String>, String> {
    match first_line(input) {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("There is no password on the standard input.".into()),
        Err(error) => Err(format!("Cannot read the password: {error}.")),
    }
}

/// As long as it is there, the terminal does not show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
