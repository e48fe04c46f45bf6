//! The endpoints of a configuration: sockets that are tied to a queue, a topic or a function.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use wirebird::broker::{self, Broker, Error, check_name, check_pattern};
use wirebird::{EndpointOptions, TlsAuth, TlsConfig, Transport, Url};

use super::super::failure::Failure;
use super::access::uses_tls;
use super::config::{Config, Tls};

/// An endpoint to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    kind: Spanned<Kind>,
    destination: Spanned<String>,
    #[serde(default)]
    listen: Vec<Spanned<String>>,
    #[serde(default)]
    dial: Vec<Spanned<String>>,
    /// In the place of the broker's own.
    pub(super) tls: Option<Tls>,
    user: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    text: bool,
    prefix: Option<Spanned<bool>>,
    calls: Option<Spanned<usize>>,
    /// In seconds.
    deadline: Option<Spanned<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    QueueIn,
    QueueOut,
    TopicIn,
    TopicOut,
    Function,
    Workers,
}

/// What is wrong, and where it begins.
type Mistake = (usize, String);

impl Endpoint {
    /// Finds what is wrong with it by itself.
    pub(super) fn check(&self) -> Result<(), Mistake> {
        let kind = *self.kind.get_ref();
        let name = self.destination.get_ref();
        let named = match kind {
            Kind::TopicOut => check_pattern(name),
            _ => check_name(name),
        };
        named.map_err(|error| mistake(self.destination.span(), error))?;
        if self.listen.is_empty() && self.dial.is_empty() {
            let text = "an endpoint has to listen or dial somewhere";
            return Err(mistake(self.kind.span(), text));
        }
        for url in &self.listen {
            let parsed = Url::parse(url.get_ref());
            let checked = parsed.and_then(|url| url.check_listen().map(|()| url));
            let parsed = checked.map_err(|error| mistake(url.span(), error))?;
            if parsed.transport() == Transport::Descriptor {
                let text = format!("{parsed}: no descriptor can be handed over here");
                return Err(mistake(url.span(), text));
            }
        }
        for url in &self.dial {
            let parsed = Url::parse(url.get_ref()).and_then(|url| url.check_dial());
            parsed.map_err(|error| mistake(url.span(), error))?;
        }
        self.check_options(kind)
    }

    fn check_options(&self, kind: Kind) -> Result<(), Mistake> {
        if let Some(prefix) = &self.prefix
            && kind != Kind::TopicOut
        {
            let text = "only an endpoint of the kind topic-out has a prefix";
            return Err(mistake(prefix.span(), text));
        }
        if let Some(calls) = &self.calls {
            if !matches!(kind, Kind::Function | Kind::Workers) {
                let text = "only endpoints of the kinds function and workers have calls";
                return Err(mistake(calls.span(), text));
            }
            if !(1..=100_000).contains(calls.get_ref()) {
                let text = format!(
                    "calls cannot be {}: 1 to 100000 is allowed",
                    calls.get_ref()
                );
                return Err(mistake(calls.span(), text));
            }
        }
        if let Some(deadline) = &self.deadline {
            if kind != Kind::Workers {
                let text = "only an endpoint of the kind workers has a deadline";
                return Err(mistake(deadline.span(), text));
            }
            let seconds = *deadline.get_ref();
            if !(0.001..=86_400.0).contains(&seconds) {
                let text = format!("a deadline cannot be {seconds} s: 0.001 to 86400 is allowed");
                return Err(mistake(deadline.span(), text));
            }
        }
        Ok(())
    }

    /// Refuses what lacks a certificate, and what strangers could use.
    pub(super) fn check_access(&self, config: &Config) -> Result<(), Failure> {
        let tls = self.tls.as_ref().unwrap_or(&config.tls);
        for url in self.urls()? {
            if uses_tls(&url) && tls.cert.is_none() {
                return Err(Failure::input(format_args!(
                    "{url} needs a certificate: name one as cert in the endpoint's tls"
                )));
            }
            let knows_peers = uses_tls(&url) && tls.ca.is_some();
            if !(url.is_local() || knows_peers || self.insecure || config.insecure) {
                return Err(Failure::input(format_args!(
                    "{url} can be reached from other machines, and anybody there could use the endpoint: listen at \
                     tls+tcp with a cert and a ca, or on loopback, or allow it with insecure = true"
                )));
            }
        }
        Ok(())
    }

    fn urls(&self) -> Result<Vec<Url>, Failure> {
        let urls = self.listen.iter().map(|url| Url::parse(url.get_ref()));
        urls.collect::<Result<_, _>>().map_err(Failure::input)
    }

    /// Makes it. Returns where it listens, and what for.
    pub(super) fn attach(
        &self,
        broker: &Broker,
        config: &Config,
        tls: Option<&TlsConfig>,
    ) -> Result<Vec<String>, Failure> {
        let own = match &self.tls {
            Some(files) => super::tls_config(files)?,
            None => None,
        };
        let tls = own.as_ref().or(tls);
        let endpoint = self.endpoint().insecure(self.insecure || config.insecure);
        let (kind, name) = (endpoint.kind().name(), self.destination.get_ref());
        let about =
            |error: Error| super::unusable(error).about(format_args!("endpoint {kind} {name}"));
        let attached = broker.endpoint(endpoint).map_err(about)?;
        let mut places = Vec::new();
        for url in self.urls()? {
            let options = super::listening(EndpointOptions::new(), &url, config, tls);
            let listening = attached.listen_with(&url.to_string(), &options);
            let failed = |error| Failure::failed(format_args!("Cannot listen at {url}: {error}"));
            places.push(format!("{} {kind} {name}", listening.map_err(failed)?));
        }
        let options = dialing(self.tls.as_ref().unwrap_or(&config.tls))?;
        for url in &self.dial {
            let url = url.get_ref();
            attached.dial_with(url, &options).map_err(about)?;
        }
        Ok(places)
    }

    fn endpoint(&self) -> broker::Endpoint {
        let make = match self.kind.get_ref() {
            Kind::QueueIn => broker::Endpoint::queue_in,
            Kind::QueueOut => broker::Endpoint::queue_out,
            Kind::TopicIn => broker::Endpoint::topic_in,
            Kind::TopicOut => broker::Endpoint::topic_out,
            Kind::Function => broker::Endpoint::function,
            Kind::Workers => broker::Endpoint::workers,
        };
        let mut endpoint = make(self.destination.get_ref())
            .text(self.text)
            .insecure(self.insecure)
            .prefix(self.prefix.as_ref().is_some_and(|prefix| *prefix.get_ref()));
        if let Some(user) = &self.user {
            endpoint = endpoint.user(user);
        }
        if let Some(calls) = &self.calls {
            endpoint = endpoint.calls(*calls.get_ref());
        }
        if let Some(seconds) = &self.deadline {
            // It was checked.
            let deadline = Duration::try_from_secs_f64(*seconds.get_ref());
            endpoint = endpoint.deadline(deadline.unwrap_or_default());
        }
        endpoint
    }
}

fn mistake(span: Range<usize>, reason: impl ToString) -> Mistake {
    (span.start, reason.to_string())
}

/// What a dialer trusts, and shows.
fn dialing(files: &Tls) -> Result<EndpointOptions, Failure> {
    let read = || {
        let mut tls = TlsConfig::new().auth(TlsAuth::Required);
        if let Some(authority) = &files.ca {
            tls = tls.ca_file(authority)?;
        }
        if let Some(chain) = &files.cert {
            tls = tls.certificate_files(chain, files.key.as_ref().unwrap_or(chain))?;
        }
        Ok(EndpointOptions::new().tls(tls))
    };
    read().map_err(|error: wirebird::Error| {
        Failure::input(format_args!("Unable to configure TLS: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Config, (usize, String)> {
        Config::parse(&format!("[[endpoints]]\n{text}"))
    }

    #[test]
    fn a_file_says_everything_of_an_endpoint() {
        let config = parsed(
            r#"
            kind = "workers"
            destination = "resize"
            listen = ["tcp://127.0.0.1:0", "ipc:///tmp/x"]
            dial = ["tcp://example.com:1"]
            user = "ann"
            insecure = true
            text = true
            calls = 5
            deadline = 2.5
            tls = { cert = "a", ca = "b" }

            [[endpoints]]
            kind = "topic-out"
            destination = "news/>"
            listen = ["tcp://127.0.0.1:0"]
            prefix = true
            "#,
        )
        .unwrap();
        let endpoints: Vec<_> = config.endpoints.iter().map(Endpoint::endpoint).collect();
        let workers = broker::Endpoint::workers("resize")
            .user("ann")
            .insecure(true)
            .text(true)
            .calls(5)
            .deadline(Duration::from_millis(2500));
        let topic = broker::Endpoint::topic_out("news/>").prefix(true);
        assert_eq!(endpoints, [workers, topic]);
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_the_reason() {
        let queue = "kind = 'queue-in'\ndestination = 'q'\n";
        let whole = format!("{queue}listen = ['tcp://127.0.0.1:0']\n");
        for (line, text, reason) in [
            (2, "kind = 'queue'", "unknown variant `queue`"),
            (1, "kind = 'queue-in'", "missing field `destination`"),
            (2, queue, "has to listen or dial"),
            (
                3,
                "kind = 'queue-in'\ndestination = 'a b'",
                "letters, digits",
            ),
            (4, &format!("{queue}listen = ['nonsense']"), "unusable URL"),
            (
                4,
                &format!("{queue}listen = ['socket://']"),
                "no descriptor",
            ),
            (4, &format!("{queue}dial = ['tcp://:1']"), "unusable URL"),
            (
                5,
                &format!("{whole}prefix = true"),
                "only an endpoint of the kind topic-out",
            ),
            (
                5,
                &format!("{whole}calls = 5"),
                "only endpoints of the kinds function and",
            ),
            (
                5,
                &format!("{whole}deadline = 5"),
                "only an endpoint of the kind workers",
            ),
            (5, &format!("{whole}size = 5"), "unknown field `size`"),
        ] {
            let (found, told) = parsed(text).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
            assert_eq!(found, line, "{text}: {told}");
        }
        let workers = whole.replace("queue-in", "workers");
        for (text, reason) in [
            ("calls = 0", "calls cannot be 0: 1 to 100000 is allowed"),
            ("deadline = 0", "a deadline cannot be 0 s: 0.001 to 86400"),
            ("deadline = 1e9", "0.001 to 86400 is allowed"),
            ("deadline = nan", "0.001 to 86400 is allowed"),
        ] {
            let (found, told) = parsed(&format!("{workers}{text}")).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
            assert_eq!(found, 5, "{text}: {told}");
        }
    }

    #[test]
    fn strangers_need_a_certificate_or_consent() {
        let open = "listen = ['tcp://0.0.0.0:0']";
        let secure = "listen = ['tls+tcp://0.0.0.0:0']";
        for (text, allowed) in [
            ("listen = ['tcp://127.0.0.1:0']".to_owned(), true),
            (open.to_owned(), false),
            (format!("{open}\ninsecure = true"), true),
            (format!("{open}\ntls = {{ cert = 'x', ca = 'y' }}"), false),
            (secure.to_owned(), false),
            (format!("{secure}\ninsecure = true"), false),
            (format!("{secure}\ntls = {{ cert = 'x' }}"), false),
            (format!("{secure}\ntls = {{ cert = 'x', ca = 'y' }}"), true),
            (format!("{secure}\n[tls]\ncert = 'x'\nca = 'y'"), true),
        ] {
            let text = format!("kind = 'queue-in'\ndestination = 'q'\n{text}");
            let config = parsed(&text).unwrap();
            let checked = config.endpoints[0].check_access(&config);
            assert_eq!(checked.is_ok(), allowed, "{text}");
        }
    }
}
