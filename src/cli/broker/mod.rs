//! `wirebird broker`: a broker that runs until it is told to stop.

mod access;
mod config;
mod endpoints;
mod log;
mod reload;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use wirebird::broker::{Broker, BrokerOptions, Error, Identity, PublicKey};
use wirebird::{EndpointOptions, Listener, TlsAuth, TlsConfig, Url};

use super::buffers::Buffers;
use super::failure::{Failure, exit};
use super::signals::{Signals, Told};
use super::size::{MaybeSize, Size};
use access::{Access, uses_tls};
use config::{Config, Key, Tls};
use reload::Files;

/// Where a broker listens, and clients look for it, unless they are told.
pub(super) const DEFAULT_URL: &str = "tcp://127.0.0.1:7420";

/// The arguments of `wirebird broker`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Command {
    /// Read options, queues and topics from a TOML file; what the command line says comes first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: log::Arguments,
}

const EXAMPLES: &str = "Examples:
  wirebird broker
  wirebird broker --config broker.toml
  wirebird broker --data-dir /var/lib/wirebird
  wirebird broker --listen tcp://127.0.0.1:0 --listen ipc:///run/jobs.sock --encrypt
  wirebird broker --listen tls+tcp://0.0.0.0:7421 --tls-cert own.pem --tls-key own.key --tls-ca ca.pem
  wirebird broker --listen tcp://0.0.0.0:7420 --encrypt --authenticator users.json

Without --listen it listens at tcp://127.0.0.1:7420, and at wirebird.sock in the runtime directory of the user.
It prints where, then \"Ready\". Ctrl-C and SIGTERM end it when the answers that are on their way were sent.
SIGHUP has it read the file of --authenticator and those for TLS again.";

#[derive(Debug, Default, Args)]
struct Options {
    /// Listen at this URL; may be given several times
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Turn clients away that do not encrypt
    #[arg(long)]
    encrypt: bool,
    /// Prove to have the key in this file, to clients that encrypt; wirebird key makes one
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Serve only clients that prove to have this key, which demands encryption; may be given several times
    #[arg(long, value_name = "KEY")]
    client_key: Vec<PublicKey>,
    /// Serve only users that log in, and let them do what this file says; wirebird user and acl edit it
    #[arg(long, value_name = "FILE")]
    authenticator: Option<PathBuf>,
    /// Let any client make and remove destinations; so it is by itself if only this machine reaches the broker
    #[arg(long, conflicts_with_all = ["no_open_admin", "authenticator"])]
    open_admin: bool,
    /// Let no client make and remove destinations
    #[arg(long)]
    no_open_admin: bool,
    /// Serve other machines although clients need not show who they are, or do not encrypt
    #[arg(long)]
    insecure: bool,
    /// The certificate for tls+tcp and wss
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its key, if that is in another file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve only those with a certificate of these CAs, on tls+tcp and wss
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Let in browsers with pages of this origin, or of any for *; without it, none. May be given several times
    #[arg(long, value_name = "URL")]
    origin: Vec<String>,
    /// Clients at once [default: 10000]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<NonZeroUsize>,
    /// Longest payload, 2KB to 250MB [default: 20MB]
    #[arg(long, value_name = "SIZE", value_parser = config::message_size)]
    max_message_size: Option<Size>,
    /// Compress payloads of at least this length, to and from clients that can do that; -1 for none [default: -1]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    compress_cutoff: Option<MaybeSize>,
    #[command(flatten)]
    buffers: Buffers,
    /// All messages that are held at once; further ones are refused [default: 1024MB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<Size>,
    /// Messages in a queue that is made without a limit of its own [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    max_queue_bytes: Option<Size>,
    /// What may wait for a client that is slow to read [default: 8MB]
    #[arg(long, value_name = "SIZE")]
    max_outbox_bytes: Option<Size>,
    /// Queues [default: 1000]
    #[arg(long, value_name = "COUNT")]
    max_queues: Option<usize>,
    /// Topics [default: 1000]
    #[arg(long, value_name = "COUNT")]
    max_topics: Option<usize>,
    /// Functions [default: 1000]
    #[arg(long, value_name = "COUNT")]
    max_functions: Option<usize>,
    /// Temporary queues of one client [default: 50]
    #[arg(long, value_name = "COUNT")]
    max_temporary_queues: Option<usize>,
}

impl Options {
    /// Puts what the command line says in the place of what the file says.
    fn over(self, config: &mut Config) {
        if !self.listen.is_empty() {
            config.listen = Some(self.listen);
        }
        if !self.origin.is_empty() {
            config.origins = self.origin;
        }
        config.encrypt |= self.encrypt;
        config.insecure |= self.insecure;
        config.identity = self.identity.or_else(|| config.identity.take());
        if !self.client_key.is_empty() {
            config.client_keys = Some(self.client_key.into_iter().map(Key).collect());
        }
        config.authenticator = self.authenticator.or_else(|| config.authenticator.take());
        if self.open_admin || self.no_open_admin {
            config.open_admin = Some(self.open_admin);
        }
        if let Some(cert) = self.tls_cert {
            // A key in the file belongs to the certificate in the file.
            (config.tls.cert, config.tls.key) = (Some(cert), self.tls_key);
        }
        config.tls.ca = self.tls_ca.or_else(|| config.tls.ca.take());
        config.max_connections = self.max_connections.or(config.max_connections);
        config.max_message_size = self.max_message_size.or(config.max_message_size);
        config.compress_cutoff = self.compress_cutoff.or(config.compress_cutoff);
        config.socket_snd_buf_size = self.buffers.send.or(config.socket_snd_buf_size);
        config.socket_rcv_buf_size = self.buffers.recv.or(config.socket_rcv_buf_size);
        config.max_memory = self.max_memory.or(config.max_memory);
        config.max_queue_bytes = self.max_queue_bytes.or(config.max_queue_bytes);
        config.max_outbox_bytes = self.max_outbox_bytes.or(config.max_outbox_bytes);
        config.max_queues = self.max_queues.or(config.max_queues);
        config.max_topics = self.max_topics.or(config.max_topics);
        config.max_functions = self.max_functions.or(config.max_functions);
        config.max_temporary_queues = self.max_temporary_queues.or(config.max_temporary_queues);
    }
}

/// Runs a broker until a signal comes.
pub(super) fn main(command: Command) -> ExitCode {
    exit(run(command))
}

fn run(command: Command) -> Result<(), Failure> {
    let mut config = match &command.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    command.options.over(&mut config);
    command.log.over(&mut config.data_dir, &mut config.log);
    let urls = config.listen.take().unwrap_or_else(access::default_urls);
    let access = Access::of(&urls)?;
    access.check(&config)?;
    for endpoint in &config.endpoints {
        endpoint.check_access(&config)?;
    }
    let tls = tls_config(&config.tls)?;
    let files = Files::read(config.authenticator.take(), config.tls.clone())?;
    // Before anybody is served, so that no signal finds the broker unprepared.
    let mut signals = Signals::catch_reload().map_err(Failure::failed)?;

    let mut options = options(&config, !access.is_reached_from_outside());
    if let Some(users) = files.authenticator() {
        options = options.authenticator(users);
    }
    if let Some(file) = &config.identity {
        options = options.identity(&Identity::load(file).map_err(Failure::input)?);
    }
    if let Some(log) = config.log.options(config.data_dir.as_deref())? {
        options = options.log(&log);
    }
    let broker = Broker::with_options(&options).map_err(unusable)?;
    broker.recovered().into_iter().for_each(log::tell);
    create(&broker, &config)?;
    let mut listeners = Vec::new();
    let mut secure = Vec::new();
    for url in access.urls() {
        let failed = |error| Failure::failed(format_args!("Cannot listen at {url}: {error}"));
        let listener = listen(&broker, url, &config, tls.as_ref()).map_err(failed)?;
        if uses_tls(url) {
            secure.push(listener.clone());
        }
        listeners.push(listener);
    }
    let mut places: Vec<String> = listeners.iter().map(Listener::url).collect();
    for endpoint in &config.endpoints {
        places.extend(endpoint.attach(&broker, &config, tls.as_ref())?);
    }
    announce(&places).map_err(|error| Failure::failed(format_args!("Cannot write: {error}")))?;

    while signals.wait() == Told::Reload {
        match files.reload(&secure) {
            Ok(read) if read.is_empty() => say("There is nothing to read again"),
            Ok(read) => say(&format!("Read again: {read}")),
            Err(failure) => failure.about("Nothing has changed").tell(),
        }
    }
    // Clients that do not read their answers do not keep it.
    let _ = broker.close();
    Ok(())
}

fn options(config: &Config, local: bool) -> BrokerOptions {
    /// For clients to read their last answers.
    const LINGER: Duration = Duration::from_secs(3);
    let mut options = BrokerOptions::new()
        .linger(LINGER)
        .encrypt(config.encrypt)
        .open_admin(config.open_admin.unwrap_or(local));
    if let Some(keys) = &config.client_keys {
        options = options.client_keys(keys.iter().map(|key| key.0));
    }
    if let Some(clients) = config.max_connections {
        options = options.max_connections(clients.get());
    }
    if let Some(Size(bytes)) = config.max_message_size {
        options = options.max_message_size(bytes);
    }
    if let Some(MaybeSize(bytes)) = config.compress_cutoff {
        options = options.compress_cutoff(bytes);
    }
    if let Some(Size(bytes)) = config.max_memory {
        options = options.max_memory(bytes);
    }
    if let Some(Size(bytes)) = config.max_queue_bytes {
        options = options.max_queue_bytes(bytes);
    }
    if let Some(Size(bytes)) = config.max_outbox_bytes {
        options = options.max_outbox_bytes(bytes);
    }
    if let Some(queues) = config.max_queues {
        options = options.max_queues(queues);
    }
    if let Some(topics) = config.max_topics {
        options = options.max_topics(topics);
    }
    if let Some(functions) = config.max_functions {
        options = options.max_functions(functions);
    }
    if let Some(queues) = config.max_temporary_queues {
        options = options.max_temporary_queues(queues);
    }
    options
}

/// Makes the queues and topics of the configuration.
fn create(broker: &Broker, config: &Config) -> Result<(), Failure> {
    for (name, queue) in config.queues_in_order() {
        let created = broker.create_queue_with(&name.0, &queue.options());
        created.map_err(|error| unusable(error).about(format_args!("queue {}", name.0)))?;
    }
    for topic in &config.topics {
        let name = topic.get_ref();
        let created = broker.create_topic(name);
        created.map_err(|error| unusable(error).about(format_args!("topic {name}")))?;
    }
    Ok(())
}

fn unusable(error: Error) -> Failure {
    match error {
        Error::Socket(wirebird::Error::InvalidOption(_)) | Error::Refused(_) => {
            Failure::input(error)
        }
        error => Failure::failed(error),
    }
}

/// What listeners with TLS show and demand, if there is a certificate.
fn tls_config(files: &Tls) -> Result<Option<TlsConfig>, Failure> {
    let Some(chain) = &files.cert else {
        return Ok(None);
    };
    let read = || {
        let key = files.key.as_ref().unwrap_or(chain);
        let config = TlsConfig::new().certificate_files(chain, key)?;
        match &files.ca {
            Some(authority) => Ok(config.ca_file(authority)?.auth(TlsAuth::Required)),
            None => Ok(config.auth(TlsAuth::None)),
        }
    };
    read().map(Some).map_err(|error: wirebird::Error| {
        Failure::input(format_args!("Unable to configure TLS: {error}"))
    })
}

fn listen(
    broker: &Broker,
    url: &Url,
    config: &Config,
    tls: Option<&TlsConfig>,
) -> Result<Listener, Error> {
    let listener = broker.listener(&url.to_string())?;
    listener.set_options(&listening(listener.options(), url, config, tls))?;
    listener.start()?;
    Ok(listener)
}

/// What is in force for all that listens: the certificate, the pages that browsers may come from, and the buffers.
fn listening(
    options: EndpointOptions,
    url: &Url,
    config: &Config,
    tls: Option<&TlsConfig>,
) -> EndpointOptions {
    let buffers = Buffers {
        send: config.socket_snd_buf_size,
        recv: config.socket_rcv_buf_size,
    };
    let mut options = buffers.apply(options);
    if uses_tls(url)
        && let Some(tls) = tls
    {
        options = options.tls(tls.clone());
    }
    if config.origins.is_empty() {
        // No page has this origin: browsers would let any page in the world use a broker on loopback.
        options = options.ws_origins(["none"]);
    } else if !config.origins.iter().any(|origin| origin == "*") {
        options = options.ws_origins(&config.origins);
    }
    options
}

/// Says where peers may come, and then that they may.
fn announce(places: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for place in places {
        writeln!(out, "Listening at: {place}")?;
    }
    writeln!(out, "Ready")?;
    out.flush()
}

/// Whoever reads what is printed may have stopped to; the broker goes on.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(file: &str, options: Options) -> Config {
        let mut config = Config::parse(file).unwrap();
        options.over(&mut config);
        config
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = "
            listen = ['tcp://127.0.0.1:1']
            open-admin = true
            max-queues = 5
            max-topics = 6
            [tls]
            cert = 'a'
            key = 'b'
            ca = 'c'
        ";
        let config = merged(
            file,
            Options {
                listen: vec!["inproc://x".into()],
                no_open_admin: true,
                max_queues: Some(7),
                tls_cert: Some("d".into()),
                ..Options::default()
            },
        );
        assert_eq!(config.listen, Some(vec!["inproc://x".to_owned()]));
        assert_eq!(config.open_admin, Some(false));
        assert_eq!(config.max_queues, Some(7));
        assert_eq!(config.max_topics, Some(6));
        assert_eq!(config.tls.cert, Some("d".into()));
        assert_eq!(config.tls.key, None);
        assert_eq!(config.tls.ca, Some("c".into()));
    }

    #[test]
    fn what_the_command_line_does_not_say_stays() {
        let config = merged(
            "encrypt = true\nopen-admin = false\nlisten = ['inproc://x']",
            Options::default(),
        );
        assert!(config.encrypt);
        assert_eq!(config.open_admin, Some(false));
        assert_eq!(config.listen, Some(vec!["inproc://x".to_owned()]));
    }
}
