//! Who reaches the addresses that a broker listens at, and whether that is safe.

use std::path::{Path, PathBuf};

use wirebird::{Transport, Url};

use super::super::failure::Failure;
use super::DEFAULT_URL;
use super::config::Config;

/// Where a broker listens that is not told: on loopback, and in the user's runtime directory if there is one.
pub(super) fn default_urls() -> Vec<String> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    urls_with(directory.as_deref().filter(|path| path.is_dir()))
}

fn urls_with(directory: Option<&Path>) -> Vec<String> {
    let socket = directory.and_then(|path| {
        path.join("wirebird.sock")
            .into_os_string()
            .into_string()
            .ok()
    });
    let mut urls = vec![DEFAULT_URL.to_owned()];
    urls.extend(socket.map(|path| format!("ipc://{path}")));
    urls
}

/// The addresses of a broker.
pub(super) struct Access(Vec<Url>);

impl Access {
    pub(super) fn of(urls: &[String]) -> Result<Self, Failure> {
        let parse = |text: &String| {
            let url = Url::parse(text).and_then(|url| url.check_listen().map(|()| url));
            let url = url.map_err(Failure::input)?;
            match url.transport() {
                Transport::Descriptor => Err(Failure::input(format_args!(
                    "{text}: no descriptor can be handed over here"
                ))),
                _ => Ok(url),
            }
        };
        if urls.is_empty() {
            return Err(Failure::input("There is no address to listen at"));
        }
        urls.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn urls(&self) -> &[Url] {
        &self.0
    }

    pub(super) fn is_reached_from_outside(&self) -> bool {
        !self.0.iter().all(Url::is_local)
    }

    /// Refuses what lacks a certificate, and what strangers could use.
    pub(super) fn check(&self, config: &Config) -> Result<(), Failure> {
        for url in &self.0 {
            if uses_tls(url) && config.tls.cert.is_none() {
                return Err(Failure::input(format_args!(
                    "{url} needs a certificate: name one with --tls-cert"
                )));
            }
            let encrypts = config.encrypts() || uses_tls(url);
            let users = config.authenticator.is_some();
            if users && !encrypts && crosses_network(url) {
                return Err(Failure::input(format_args!(
                    "{url}: passwords would go over it in the clear: demand encryption with --encrypt, \
                     or listen at tls+tcp, wss, ipc or abstract"
                )));
            }
            let keys = config.client_keys.is_some();
            let knows_clients = users || keys || uses_tls(url) && config.tls.ca.is_some();
            if !(url.is_local() || encrypts && knows_clients || config.insecure) {
                return Err(Failure::input(format_args!(
                    "{url} can be reached from other machines, and anybody there could use the broker: \
                     have them log in with --authenticator and --encrypt, or name their keys with --client-key, or listen at tls+tcp with --tls-cert and \
                     --tls-ca, or on loopback, or allow it with --insecure"
                )));
            }
        }
        Ok(())
    }
}

pub(super) fn uses_tls(url: &Url) -> bool {
    matches!(url.transport(), Transport::Tls | Transport::Wss)
}

/// Whether what goes over it goes over the network, if only that within the machine.
fn crosses_network(url: &Url) -> bool {
    !matches!(
        url.transport(),
        Transport::Ipc | Transport::Abstract | Transport::Inproc | Transport::Descriptor
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str) -> Access {
        Access::of(&[url.to_owned()]).unwrap()
    }

    #[test]
    fn by_itself_a_broker_listens_where_only_this_machine_reaches_it() {
        assert_eq!(urls_with(None), ["tcp://127.0.0.1:7420"]);
        let urls = urls_with(Some(Path::new("/run/user/7")));
        assert_eq!(urls, [DEFAULT_URL, "ipc:///run/user/7/wirebird.sock"]);
        assert!(!Access::of(&urls).unwrap().is_reached_from_outside());
    }

    #[test]
    fn only_loopback_and_what_has_no_host_is_inside() {
        for url in [
            "tcp://127.0.0.1:1",
            "tcp://127.8.8.8:1",
            "tcp://[::1]:1",
            "tcp://localhost:1",
            "ws://127.0.0.1:1/x",
            "tls+tcp://localhost:1",
            "ipc:///tmp/x",
            "inproc://x",
        ] {
            assert!(!access(url).is_reached_from_outside(), "{url}");
        }
        for url in [
            "tcp://:1",
            "tcp://*:1",
            "tcp://0.0.0.0:1",
            "tcp://[::]:1",
            "tcp://192.168.1.1:1",
            "tcp://localhost.example.com:1",
            "ws://0.0.0.0:1",
            "tls+tcp://example.com:1",
        ] {
            assert!(access(url).is_reached_from_outside(), "{url}");
        }
    }

    #[test]
    fn strangers_need_tls_on_both_sides_or_consent() {
        let config = |text: &str| Config::parse(text).unwrap();
        let open = "tcp://0.0.0.0:1";
        let secure = "tls+tcp://0.0.0.0:1";
        for (url, text, allowed) in [
            (open, "", false),
            (open, "encrypt = true", false),
            (open, "tls = { cert = 'x', ca = 'y' }", false),
            (open, "insecure = true", true),
            (secure, "tls = { cert = 'x' }", false),
            (secure, "tls = { cert = 'x', ca = 'y' }", true),
            (secure, "insecure = true", false),
            (secure, "insecure = true\ntls = { cert = 'x' }", true),
            ("tcp://127.0.0.1:1", "", true),
            (open, "authenticator = 'x'\nencrypt = true", true),
            (open, "authenticator = 'x'\ninsecure = true", false),
            ("tcp://127.0.0.1:1", "authenticator = 'x'", false),
            (secure, "authenticator = 'x'\ntls = { cert = 'x' }", true),
            (
                open,
                "client-keys = ['AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']",
                true,
            ),
            ("ipc:///tmp/x", "authenticator = 'x'", true),
        ] {
            let checked = access(url).check(&config(text));
            assert_eq!(checked.is_ok(), allowed, "{url} with {text}");
        }
    }
}
