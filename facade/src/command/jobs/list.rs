//! `vestibule jobs list`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use vestibule_core::job::{Delivery, Job, JobState};

use super::{
    super::{End, Stop, visit::Visit},
    which::Which,
};
use crate::{http::jobs::operator_json, screen};

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vestibule jobs list samples/quickstart --state dead --limit 20
  vestibule jobs list samples/quickstart --flow claim-triage --older-than 2h --cause V009")]
pub struct List {
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    which: Which,
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
        let filter = self.which.filter(Timestamp::now(), None, most);
        let jobs = visit.ask(visit.store().list(filter))?;
        if self.json {
            let lines: String = jobs.iter().map(|job| format!("{}\n", without_payload(job))).collect();
            screen::print(&lines)?;
        } else {
            screen::print(&screen::table(&rows(&jobs)))?;
        }
        Ok(End::Done)
    }
}

fn rows(jobs: &[Job]) -> Vec<Vec<String>> {
    let words = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![words(["TICKET", "FLOW", "STATE", "OUTCOME", "ACCEPTED", ""])];
    rows.extend(jobs.iter().map(|job| {
        vec![
            job.id.to_string(),
            screen::one_line(&job.flow, 40),
            job.state.word().to_owned(),
            job.state.reply().map_or("", |reply| reply.outcome.word()).to_owned(),
            format!("{:.0}", job.accepted),
            remark(job),
        ]
    }));
    rows
}

/// What an operator has to know of it at a glance.
fn remark(job: &Job) -> String {
    match (&job.state, &job.delivery) {
        (_, Delivery::GivenUp { cause }) => format!("not delivered: {}", screen::one_line(cause, 60)),
        (JobState::Dead { cause, .. }, _) => screen::one_line(cause, 75),
        (JobState::InReview { hold: Some(hold), .. }, _) => {
            format!("held by {}", screen::one_line(&hold.by, 40))
        }
        (_, Delivery::Due { attempt, .. }) if *attempt > 0 => format!("delivery tried {attempt} times"),
        _ => String::new(),
    }
}

/// Lists come without payloads, and an empty reply in their JSON would say something false.
fn without_payload(job: &Job) -> Value {
    let mut value = operator_json(job, None);
    if let Some(all) = value.as_object_mut() {
        all.shift_remove("reply");
        if let Some(interim) = all.get_mut("interim").and_then(Value::as_object_mut) {
            interim.shift_remove("reply");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{super::show::tests::job, *};

    #[test]
    fn a_list_says_at_a_glance_what_is_wrong() {
        let dead = JobState::Dead { cause: "V009: no model answered".into(), findings: vec![] };
        let mut undelivered = job(dead.clone());
        undelivered.delivery = Delivery::GivenUp { cause: "V016: 410 Gone".into() };
        let mut tried = job(JobState::Queued { attempt: 1, not_before: Timestamp::UNIX_EPOCH });
        tried.delivery = Delivery::Nothing;
        insta::assert_snapshot!(screen::table(&rows(&[job(dead), undelivered, tried])));
    }
}
