//! `vestibule jobs`

mod act;
mod export;
mod list;
pub mod show;
mod which;

use clap::{Args, Subcommand};

use super::{End, Stop};

pub use self::which::age;

/// Look at the jobs of a directory's store and change them, also while a server uses it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule jobs list samples/quickstart --state dead")]
pub struct Jobs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    List(list::List),
    Show(show::Show),
    Retry(act::Retry),
    Cancel(act::Cancel),
    Export(export::Export),
}

impl Jobs {
    /// Looks, or changes.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            JobsCommand::List(it) => it.run(),
            JobsCommand::Show(it) => it.run(),
            JobsCommand::Retry(it) => it.run(),
            JobsCommand::Cancel(it) => it.run(),
            JobsCommand::Export(it) => it.run(),
        }
    }
}
