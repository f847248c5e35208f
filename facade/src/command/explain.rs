//! `vestibule explain`

use clap::Args;

use super::{End, Stop};
use crate::{explain, screen};

/// Say what a code means and how to mend it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule explain V005
  vestibule explain            # all codes")]
pub struct Explain {
    /// A code from a fault, a finding or an error, like V005, G101, M013 or C002
    code: Option<String>,
}

impl Explain {
    /// Prints the text of the code.
    pub fn run(self) -> Result<End, Stop> {
        let Some(code) = self.code else {
            let rows: Vec<_> = explain::all()
                .into_iter()
                .map(|(code, title)| vec![code.to_owned(), title.to_owned()])
                .collect();
            screen::print(&screen::table(&rows))?;
            return Ok(End::Done);
        };
        match explain::text(&code) {
            Some(text) => {
                screen::print(&text)?;
                Ok(End::Done)
            }
            None => {
                let code = screen::one_line(&code, 40);
                Err(Stop::wrong_use(format!("there is no code `{code}`; `vestibule explain` lists all")))
            }
        }
    }
}
