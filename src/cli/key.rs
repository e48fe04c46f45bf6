//! `wirebird key`: keys by which brokers and clients know each other.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wirebird::broker::Identity;

use super::user::{exit, told};

/// The arguments of `wirebird key`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  wirebird key generate broker.key
  wirebird broker --identity broker.key
  wirebird poll jobs --server-key \"$(wirebird key public broker.key)\"

A file has a private key of Ed25519, as PKCS #8 in PEM; only its owner may read it. The public key, which is printed, is
no secret: the other end is told it.";

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a key in a new file, and prints its public key
    Generate { file: PathBuf },
    /// Prints the public key of the key in a file
    Public { file: PathBuf },
}

/// Does it; what goes wrong is told on one line, and exits with 2.
pub(super) fn main(command: &Command) -> ExitCode {
    exit(run(command))
}

fn run(command: &Command) -> Result<String, String> {
    let identity = match &command.what {
        What::Generate { file } => {
            let identity = Identity::generate().map_err(told)?;
            identity.store(file).map_err(told)?;
            identity
        }
        What::Public { file } => Identity::load(file).map_err(told)?,
    };
    Ok(format!("{}\n", identity.public_key()))
}
