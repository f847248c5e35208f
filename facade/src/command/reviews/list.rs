//! `vestibule reviews list`

use std::path::PathBuf;

use clap::Args;
use vestibule_core::job::{Job, JobFilter, JobState};

use super::super::{End, Stop, visit::Visit};
use crate::{http::reviews, screen};

/// List what waits for a person, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews list samples/quickstart --flow claim-triage")]
pub struct List {
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only jobs of this mapping
    #[arg(long)]
    flow: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl List {
    /// Lists.
    pub fn run(self) -> Result<End, Stop> {
        let visit = Visit::at(&self.dir)?;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let filter =
            JobFilter { state: Some("in-review".into()), flow: self.flow, most, ..JobFilter::default() };
        let jobs = visit.ask(visit.store().list(filter))?;
        if self.json {
            let lines: String = jobs.iter().map(|job| format!("{}\n", reviews::line(job))).collect();
            screen::print(&lines)?;
        } else {
            screen::print(&screen::table(&rows(&jobs)))?;
        }
        Ok(End::Done)
    }
}

fn rows(jobs: &[Job]) -> Vec<Vec<String>> {
    let words = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![words(["TICKET", "FLOW", "ACCEPTED", "UNTIL", "HELD BY", "WHY"])];
    for job in jobs {
        let JobState::InReview { reply, until, hold } = &job.state else { continue };
        let mut why: Vec<&str> = reply.findings.iter().map(|it| it.field.as_str()).collect();
        why.dedup();
        rows.push(vec![
            job.id.to_string(),
            screen::one_line(&job.flow, 40),
            format!("{:.0}", job.accepted),
            until.map(|it| format!("{it:.0}")).unwrap_or_default(),
            hold.as_ref().map(|it| screen::one_line(&it.by, 40)).unwrap_or_default(),
            screen::one_line(&why.join(", "), 60),
        ]);
    }
    rows
}
