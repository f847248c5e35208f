//! `vestibule reviews`

mod decide;
mod list;
mod show;

use clap::{Args, Subcommand};

use super::{End, Stop};

/// Look at what waits for a person, and decide, also while a server uses the store
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews list samples/quickstart")]
pub struct Reviews {
    #[command(subcommand)]
    command: ReviewsCommand,
}

#[derive(Debug, Subcommand)]
enum ReviewsCommand {
    List(list::List),
    Show(show::Show),
    Release(decide::Release),
    Correct(decide::Correct),
    Reject(decide::Reject),
}

impl Reviews {
    /// Looks, or decides.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            ReviewsCommand::List(it) => it.run(),
            ReviewsCommand::Show(it) => it.run(),
            ReviewsCommand::Release(it) => it.run(),
            ReviewsCommand::Correct(it) => it.run(),
            ReviewsCommand::Reject(it) => it.run(),
        }
    }
}
