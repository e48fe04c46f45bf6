//! The `wirebird` command: one module per subcommand.

#[cfg(feature = "broker")]
mod acl;
#[cfg(feature = "broker")]
mod bench;
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "broker")]
mod buffers;
mod cat;
#[cfg(feature = "broker")]
mod client;
#[cfg(feature = "broker")]
mod failure;
#[cfg(feature = "broker")]
mod key;
#[cfg(feature = "broker")]
mod password;
mod perf;
#[cfg(feature = "broker")]
mod signals;
#[cfg(feature = "broker")]
mod size;
mod tls;
#[cfg(feature = "broker")]
mod user;
#[cfg(feature = "broker")]
mod wal;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Scalability-protocol sockets on the command line.
#[derive(Debug, Parser)]
#[command(name = "wirebird", version, after_help = EXAMPLES)]
struct Command {
    #[command(subcommand)]
    run: Run,
}

const EXAMPLES: &str = "Examples:
  wirebird cat --pull --listen tcp://127.0.0.1:5555 --quoted
  wirebird cat --push --dial tcp://127.0.0.1:5555 --data hello
  wirebird perf inproc_lat 64 100000
  wirebird broker
  wirebird offer jobs hello

A link to this program with the name nngcat takes nngcat's own command line.";

#[derive(Debug, Subcommand)]
enum Run {
    /// Sends and receives messages; takes the options of nngcat
    // Every word after it is nngcat's to read, --help too.
    #[command(disable_help_flag = true)]
    Cat {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measures latency and throughput; either end may be nng's own tool
    Perf(perf::Command),
    /// Runs a broker
    #[cfg(feature = "broker")]
    Broker(broker::Command),
    #[cfg(feature = "broker")]
    #[command(flatten)]
    Client(client::Command),
    /// Measures how fast a broker answers
    #[cfg(feature = "broker")]
    Bench(bench::Command),
    /// Manages the users of a broker
    #[cfg(feature = "broker")]
    User(user::Command),
    /// Manages what the users of a broker may do
    #[cfg(feature = "broker")]
    Acl(acl::Command),
    /// Makes keys by which brokers and clients know each other
    #[cfg(feature = "broker")]
    Key(key::Command),
    /// Looks at a broker's write-ahead log, or repairs it
    #[cfg(feature = "broker")]
    Wal(wal::Command),
}

/// Runs the command line `args`, whose first word is the name of the program.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    let name = args.peek().map(Path::new).and_then(Path::file_stem);
    if name.is_some_and(|name| name == "nngcat") {
        return cat::main(args.skip(1));
    }
    let command = match Command::try_parse_from(args) {
        Ok(command) => command,
        Err(error) => {
            // Nothing is left to do when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match command.run {
        Run::Cat { args } => cat::main(args),
        Run::Perf(command) => perf::main(&command),
        #[cfg(feature = "broker")]
        Run::Broker(command) => broker::main(command),
        #[cfg(feature = "broker")]
        Run::Client(command) => client::main(&command),
        #[cfg(feature = "broker")]
        Run::Bench(command) => bench::main(&command),
        #[cfg(feature = "broker")]
        Run::User(command) => user::main(&command),
        #[cfg(feature = "broker")]
        Run::Acl(command) => acl::main(&command),
        #[cfg(feature = "broker")]
        Run::Key(command) => key::main(&command),
        #[cfg(feature = "broker")]
        Run::Wal(command) => wal::main(&command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Command::command().debug_assert();
    }

    #[test]
    fn cat_reads_its_own_options() {
        let parsed = Command::try_parse_from(["wirebird", "cat", "--help", "-vq", "--", "x"]);
        let Ok(Command {
            run: Run::Cat { args },
        }) = parsed
        else {
            panic!("{parsed:?}");
        };
        assert_eq!(args, ["--help", "-vq", "--", "x"]);
    }

    #[test]
    fn bad_input_exits_with_2() {
        assert_eq!(
            Command::try_parse_from(["wirebird", "bogus"])
                .unwrap_err()
                .exit_code(),
            2
        );
        assert_eq!(
            Command::try_parse_from(["wirebird", "--version"])
                .unwrap_err()
                .exit_code(),
            0
        );
    }
}
