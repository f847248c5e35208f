//! Which jobs are meant.

use std::time::Duration;

use clap::{Args, builder::PossibleValuesParser};
use jiff::Timestamp;
use vestibule_core::job::{JobFilter, JobState};

use crate::config::quantity;

/// Which jobs are meant
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Only jobs of this state
    #[arg(long, value_parser = PossibleValuesParser::new(JobState::WORDS))]
    pub state: Option<String>,
    /// Only jobs of this mapping
    #[arg(long)]
    pub flow: Option<String>,
    /// Only jobs that were accepted longer ago: 30s, 10m, 2h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only jobs that were accepted since
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub newer_than: Option<Duration>,
    /// Only jobs that were given up, or whose delivery was, with this text in the cause
    #[arg(long, value_name = "TEXT")]
    pub cause: Option<String>,
}

impl Which {
    /// True where it leaves nothing out.
    pub fn is_all(&self) -> bool {
        let Self { state, flow, older_than, newer_than, cause } = self;
        state.is_none() && flow.is_none() && older_than.is_none() && newer_than.is_none() && cause.is_none()
    }

    /// The same for a store, in this state where none was asked for.
    pub fn filter(&self, now: Timestamp, state: Option<&str>, most: usize) -> JobFilter {
        let ago = |age: Option<Duration>| age.and_then(|it| now.checked_sub(it).ok());
        JobFilter {
            state: self.state.clone().or_else(|| state.map(str::to_owned)),
            flow: self.flow.clone(),
            before: ago(self.older_than),
            since: ago(self.newer_than),
            cause: self.cause.clone(),
            most,
        }
    }
}

/// A length of time on the command line.
pub fn age(text: &str) -> Result<Duration, String> {
    quantity::period(text).ok_or_else(|| "expected a length of time, e.g. 30s, 10m, 2h, 7d".to_owned())
}
