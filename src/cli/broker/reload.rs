//! The files that a broker reads again while it runs: its users, and the certificates of its listeners.

use std::path::PathBuf;

use wirebird::Listener;
use wirebird::broker::{AuthError, Authenticator};

use super::super::failure::Failure;
use super::config::Tls;
use super::tls_config;

/// Who is served, as files say.
pub(super) struct Files {
    pub(super) users: Option<(PathBuf, Authenticator)>,
    pub(super) tls: Tls,
}

impl Files {
    /// Reads the users.
    pub(super) fn read(users: Option<PathBuf>, tls: Tls) -> Result<Self, Failure> {
        let load = |path: PathBuf| Authenticator::load(&path).map(|users| (path, users));
        Ok(Self {
            users: users.map(load).transpose().map_err(unusable)?,
            tls,
        })
    }

    pub(super) fn authenticator(&self) -> Option<&Authenticator> {
        self.users.as_ref().map(|(_, users)| users)
    }

    /// Reads everything again, and puts it in force for who is connected and who will be. Returns what it was. If
    /// anything is wrong, nothing changes.
    pub(super) fn reload(&self, secure: &[Listener]) -> Result<String, Failure> {
        let mut read = Vec::new();
        let fresh = tls_config(&self.tls)?;
        if let Some((path, _)) = &self.users {
            // Whether it will do, before anything changes.
            Authenticator::load(path).map_err(unusable)?;
        }
        if let Some(tls) = fresh
            && !secure.is_empty()
        {
            for listener in secure {
                let options = listener.options().tls(tls.clone());
                listener.set_options(&options).map_err(Failure::failed)?;
            }
            let names = [&self.tls.cert, &self.tls.key, &self.tls.ca];
            let names = names.into_iter().flatten();
            read.extend(names.map(|path| path.display().to_string()));
        }
        if let Some((path, users)) = &self.users {
            users.reload(path).map_err(unusable)?;
            read.push(path.display().to_string());
        }
        Ok(read.join(", "))
    }
}

fn unusable(error: AuthError) -> Failure {
    Failure::input(error)
}
