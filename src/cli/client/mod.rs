//! What a client of a broker does from the command line: one command for each kind of request.
//!
//! A command succeeds when the broker answers OK. Otherwise it prints one line with the status and the reason.

mod connection;
mod content;
mod destinations;
mod messages;
mod poll;
mod security;
mod table;

use std::process::ExitCode;

use clap::Subcommand;

pub(super) use connection::{connect, seconds};
pub(super) use security::Security;

use super::failure::exit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes, removes and looks at queues
    #[command(subcommand, after_help = destinations::QUEUE_EXAMPLES)]
    Queue(destinations::Queue),
    /// Makes, removes and lists topics
    #[command(subcommand, after_help = destinations::TOPIC_EXAMPLES)]
    Topic(destinations::Topic),
    /// Prints the limits and counts of the broker
    Status(destinations::Status),
    /// Puts a message into a queue
    Offer(messages::Offer),
    /// Takes messages out of a queue and prints them
    Poll(poll::Poll),
    /// Says that a message which was polled with --lease is done with
    Ack(messages::Ack),
    /// Says that a message which was polled with --lease is not wanted
    Nack(messages::Nack),
    /// Publishes a message on a topic
    Publish(messages::Publish),
    /// Prints what is published on a topic
    Subscribe(messages::Subscribe),
    /// Calls a function and prints its answer
    Call(messages::Call),
}

pub(super) fn main(command: &Command) -> ExitCode {
    exit(match command {
        Command::Queue(command) => command.run(),
        Command::Topic(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Offer(command) => command.run(),
        Command::Poll(command) => command.run(),
        Command::Ack(command) => command.run(),
        Command::Nack(command) => command.run(),
        Command::Publish(command) => command.run(),
        Command::Subscribe(command) => command.run(),
        Command::Call(command) => command.run(),
    })
}
