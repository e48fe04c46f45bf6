//! Who a client is, and how its connection is protected.

use std::env::{self, VarError};
use std::path::PathBuf;

use clap::Args;
use wirebird::broker::{ClientOptions, Identity, PublicKey};
use zeroize::Zeroizing;

use super::super::failure::Failure;
use super::super::password;

/// Holds the password where no file does.
const VARIABLE: &str = "WIREBIRD_PASSWORD";

/// The options that all clients have for it.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Security {
    /// Encrypt what goes over the connection
    #[arg(long)]
    encrypt: bool,
    /// Encrypt, and speak only to a broker that has this key, as wirebird key public prints it
    #[arg(long, value_name = "KEY")]
    server_key: Option<PublicKey>,
    /// Encrypt, and prove to have the key in this file
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Log in as this user, with the password in $WIREBIRD_PASSWORD or a file
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The file whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Security {
    pub(in crate::cli) fn apply(&self, options: ClientOptions) -> Result<ClientOptions, Failure> {
        let mut options = options.encrypt(self.encrypt);
        if let Some(key) = self.server_key {
            options = options.server_key(key);
        }
        if let Some(file) = &self.identity {
            options = options.identity(&Identity::load(file).map_err(Failure::input)?);
        }
        let Some(user) = &self.user else {
            return Ok(options);
        };
        Ok(options.credentials(user, &self.password()?))
    }

    pub(in crate::cli) fn encrypts(&self) -> bool {
        self.encrypt || self.server_key.is_some() || self.identity.is_some()
    }

    fn password(&self) -> Result<Zeroizing<String>, Failure> {
        if let Some(file) = &self.password_file {
            return password::in_file(file).map_err(Failure::input);
        }
        match env::var(VARIABLE) {
            Ok(password) => Ok(Zeroizing::new(password)),
            Err(VarError::NotPresent) => Err(Failure::input(format_args!(
                "--user needs a password: set {VARIABLE}, or name a file with --password-file"
            ))),
            Err(error) => Err(Failure::input(error).about(VARIABLE)),
        }
    }
}
