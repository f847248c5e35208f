//! `vestibule jobs retry`, `vestibule jobs cancel`

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use vestibule_core::job::{Delivery, Job, JobFilter, JobId, JobState};

use super::{
    super::{
        End, Stop,
        visit::{self, Visit},
    },
    which::Which,
};
use crate::{http::jobs::cancelled_by, screen};

/// Start dead jobs again, or the delivery of results that was given up
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vestibule jobs retry 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart
  vestibule jobs retry samples/quickstart --flow claim-triage --cause V009 --yes

Without tickets it acts on the jobs that the filters name, and only with --yes; without it they are counted.")]
pub struct Retry {
    /// Tickets, and the directory with `vestibule.yaml` where it is not this one
    #[arg(value_name = "TICKET|DIR")]
    what: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Do it to all jobs that the filters name
    #[arg(long)]
    yes: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Give up jobs that are not finished
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vestibule jobs cancel 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart \\
      --by anna --note 'sent twice'
  vestibule jobs cancel samples/quickstart --state queued --older-than 2d --yes

Without tickets it acts on the jobs that the filters name, and only with --yes; without it they are counted. The cause of a
cancelled job says who and why; its dead letter is sent as for any dead job.")]
pub struct Cancel {
    /// Tickets, and the directory with `vestibule.yaml` where it is not this one
    #[arg(value_name = "TICKET|DIR")]
    what: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Do it to all jobs that the filters name
    #[arg(long)]
    yes: bool,
    /// Who; when left out, as the system knows you
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Retry {
    /// Starts them again.
    pub fn run(self) -> Result<End, Stop> {
        let act =
            Act { verb: "retry", past: "started again", states: &["dead", "answered"], fits: may_retry };
        act.run(&self.what, &self.which, (self.yes, self.json), &|visit, id| {
            visit.ask(visit.store().retry(id))
        })
    }
}

impl Cancel {
    /// Gives them up.
    pub fn run(self) -> Result<End, Stop> {
        // Counting needs no name.
        let is_count = !self.which.is_all() && !self.yes;
        let by = if is_count { String::new() } else { visit::by(self.by)? };
        let cause = cancelled_by(&by, self.note.as_deref());
        let states = &["queued", "leased", "in-review"];
        let act = Act { verb: "cancel", past: "cancelled", states, fits: |job| !job.state.is_finished() };
        act.run(&self.what, &self.which, (self.yes, self.json), &|visit, id| {
            visit.ask(visit.store().cancel(id, cause.clone()))
        })
    }
}

fn may_retry(job: &Job) -> bool {
    matches!(job.state, JobState::Dead { .. }) || matches!(job.delivery, Delivery::GivenUp { .. })
}

/// One way of changing jobs.
struct Act {
    verb: &'static str,
    past: &'static str,
    /// States in which a job may be changed so.
    states: &'static [&'static str],
    fits: fn(&Job) -> bool,
}

impl Act {
    fn run(
        &self,
        what: &[String],
        which: &Which,
        (yes, json): (bool, bool),
        change: &dyn Fn(&Visit, JobId) -> Result<bool, Stop>,
    ) -> Result<End, Stop> {
        let (tickets, dir) = visit::tickets_and_directory(what)?;
        match (tickets.is_empty(), which.is_all()) {
            (true, true) => {
                let verb = self.verb;
                return Err(Stop::wrong_use(format!(
                    "which jobs? `jobs {verb}` takes tickets, or --state, --flow, --older-than, --newer-than, --cause"
                )));
            }
            (false, false) => return Err(Stop::wrong_use("tickets and filters do not go together")),
            _ => {}
        }
        let visit = Visit::at(&dir)?;
        let (chosen, is_all) = if tickets.is_empty() { self.choose(&visit, which)? } else { (tickets, true) };
        if !which.is_all() && !yes {
            let more = if is_all { "" } else { " or more" };
            screen::print(&format!(
                "{} job{}{more} would be {}; add --yes to do it\n",
                chosen.len(),
                plural(chosen.len()),
                self.past
            ))?;
            return Ok(End::Done);
        }
        let mut refused = 0_usize;
        for id in &chosen {
            let done = change(&visit, *id)?;
            refused += usize::from(!done);
            screen::print(&self.line(*id, done, json))?;
        }
        visit.close();
        if !is_all {
            screen::tell("there may be more: run it again");
        }
        // Of jobs that a filter named, some went on by themselves in the meantime.
        Ok(if refused > 0 && which.is_all() { End::Findings } else { End::Done })
    }

    /// The jobs that the filters name, and whether that is all of them.
    fn choose(&self, visit: &Visit, which: &Which) -> Result<(Vec<JobId>, bool), Stop> {
        let (mut chosen, mut is_all) = (Vec::new(), true);
        let now = Timestamp::now();
        let states = if which.state.is_some() { &[""] } else { self.states };
        for state in states {
            let found = visit.ask(visit.store().list(which.filter(now, Some(state), JobFilter::MOST)))?;
            is_all &= found.len() < JobFilter::MOST;
            chosen.extend(found.iter().filter(|job| (self.fits)(job)).map(|job| job.id));
        }
        Ok((chosen, is_all))
    }

    fn line(&self, id: JobId, done: bool, is_json: bool) -> String {
        if is_json {
            return format!("{}\n", json!({ "ticket": id.to_string(), "verb": self.verb, "done": done }));
        }
        let states = self.states.join(" or ");
        match (done, self.verb) {
            (true, _) => format!("{id}  {}\n", self.past),
            (false, "retry") => format!("{id}  left as it is: neither dead nor undeliverable, or unknown\n"),
            (false, _) => format!("{id}  left as it is: not {states}, or unknown\n"),
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
