//! The command line: one file a subcommand.

mod amqp;
mod check;
mod db;
mod demo;
mod explain;
mod jobs;
mod operation;
mod outset;
mod preview;
mod reviews;
mod run;
mod schema;
mod serve;
mod stacks;
mod stop;
mod visit;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::screen;

const AFTER: &str = "\
Exit codes:
  0  done
  1  findings or failures in the work
  2  wrong use or configuration
  3  not reachable: an address, a file or a store
  4  interrupted; the same `run` goes on where it stopped

Environment:
  VESTIBULE_LOG  what is logged to standard error: error, warn, info, debug, or per module
  NO_COLOR       no colour, also on a terminal

Start with:  vestibule serve samples/quickstart";

/// AI behind legacy systems nobody can change.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, after_help = AFTER, max_term_width = 110)]
pub struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Preview(preview::Preview),
    Run(run::Run),
    Jobs(jobs::Jobs),
    Reviews(reviews::Reviews),
    Amqp(amqp::Amqp),
    Db(db::Db),
    Demo(demo::Demo),
    Schema(schema::Schema),
    Explain(explain::Explain),
}

impl Line {
    /// Does what the line says. Errors are said on standard error.
    pub fn run(self) -> End {
        let result = match self.command {
            Command::Serve(it) => it.run(),
            Command::Check(it) => it.run(),
            Command::Preview(it) => it.run(),
            Command::Run(it) => it.run(),
            Command::Jobs(it) => it.run(),
            Command::Reviews(it) => it.run(),
            Command::Amqp(it) => it.run(),
            Command::Db(it) => it.run(),
            Command::Demo(it) => it.run(),
            Command::Schema(it) => it.run(),
            Command::Explain(it) => it.run(),
        };
        result.unwrap_or_else(|stop| {
            screen::tell(&stop.to_string());
            stop.end
        })
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All was done.
    Done,
    /// Findings or failures in the work.
    Findings,
    /// Wrong use or configuration.
    WrongUse,
    /// An address, a file or a store could not be reached.
    NotReachable,
    /// Told to stop before it was done.
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Done => 0,
            End::Findings => 1,
            End::WrongUse => 2,
            End::NotReachable => 3,
            End::Interrupted => 4,
        })
    }
}

/// Why a command stopped early: what is said, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    message: String,
    end: End,
}

impl Stop {
    fn wrong_use(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), end: End::WrongUse }
    }

    fn not_reachable(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), end: End::NotReachable }
    }

    fn failed(message: impl Into<String>) -> Self {
        Self { message: format!("error: {}", message.into()), end: End::Findings }
    }

    /// Text that is complete as it stands, e.g. a report.
    fn report(message: impl Into<String>, end: End) -> Self {
        Self { message: message.into(), end }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::failed(format!("the output can not be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_defined() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        for command in Line::command().get_subcommands() {
            let nested: Vec<_> = command.get_subcommands().collect();
            for command in if nested.is_empty() { vec![command] } else { nested } {
                let help = command.clone().render_long_help().to_string();
                assert!(help.contains("vestibule "), "no example in the help of {}", command.get_name());
            }
        }
    }
}
