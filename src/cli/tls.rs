//! The options for TLS that the commands have in common.

use std::path::PathBuf;

use clap::Args;
use wirebird::{Result, TlsAuth, TlsConfig};

/// Whom to trust and who to be, with nngcat's names.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Files {
    /// Trust any peer
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Trust peers with certificates of these CAs; a dialer trusts those of the system without it
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Our certificate, which a listener needs
    #[arg(short = 'E', long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key, if that is in another file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Files {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<TlsConfig> {
        let mut config = judging(self.insecure, self.cacert.is_some());
        if let Some(chain) = &self.cert {
            config = config.certificate_files(chain, self.key.as_ref().unwrap_or(chain))?;
        }
        if let Some(authority) = &self.cacert {
            config = config.ca_file(authority)?;
        }
        Ok(config)
    }
}

/// A configuration that lets in whom nngcat does, whose listeners need no certificates of their peers. One that is
/// shown must be good nevertheless.
pub(super) fn judging(insecure: bool, has_authority: bool) -> TlsConfig {
    let config = TlsConfig::new();
    if insecure {
        config.auth(TlsAuth::None)
    } else if has_authority {
        config.auth(TlsAuth::Optional)
    } else {
        config
    }
}
