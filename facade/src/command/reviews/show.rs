//! `vestibule reviews show`

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::Value;
use vestibule_core::{
    flow::Preview,
    job::{Job, JobState},
};

use super::super::{
    End, Stop,
    jobs::{age, show},
    preview,
    visit::{self, Visit},
};
use crate::{
    http::jobs::operator_json,
    reviewing::{self, LONGEST_HOLD},
    screen,
};

/// Show what waits for a person: record, places, findings, and what was decided so far
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews show 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart --hold 10m

With --hold the job is yours for that time: nobody else can decide it. Values are in clear: it is for the reviewer's own eyes.")]
pub struct Show {
    /// The job's ticket
    ticket: String,
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Keep it from others for this time, at most 24h
    #[arg(long, value_name = "TIME", value_parser = age)]
    hold: Option<Duration>,
    /// Who holds it; when left out, as the system knows you
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Shows.
    pub fn run(self) -> Result<End, Stop> {
        let id = visit::ticket(&self.ticket)?;
        let visit = Visit::at(&self.dir)?;
        if let Some(lasts) = self.hold {
            if lasts > LONGEST_HOLD {
                return Err(Stop::wrong_use("a hold lasts 24h at most"));
            }
            let by = visit::by(self.by)?;
            if !visit.ask(visit.store().hold(id, by, lasts))? {
                return Err(not_free(&visit.find(id)?));
            }
        }
        let job = visit.find(id)?;
        let flow = visit.flow_of(&job)?;
        let records = reviewing::look(&flow, &job).map_err(|it| Stop::failed(it.to_string()))?;
        if self.json {
            let mut whole = operator_json(&job, None);
            if let Some(all) = whole.as_object_mut() {
                all.insert("records".into(), serde_json::to_value(&records.records).unwrap_or(Value::Null));
            }
            screen::print(&format!("{whole:#}\n"))?;
        } else {
            screen::print(&format!("{}{}", show::text(&job, 0), record_texts(&records)))?;
        }
        visit.close();
        Ok(End::Done)
    }
}

/// Why a job can not be taken or decided by this person now.
pub fn not_free(job: &Job) -> Stop {
    Stop::failed(match &job.state {
        JobState::InReview { hold: Some(hold), .. } => {
            let by = screen::one_line(&hold.by, 100);
            format!("`{by}` looks at this job until {}", hold.until)
        }
        JobState::InReview { .. } => "the job can not be taken now; look again".to_owned(),
        other => format!("the job is {}: there is nothing to decide", other.word()),
    })
}

/// The records with the places of their values.
pub fn record_texts(records: &Preview) -> String {
    let many = records.records.len() > 1;
    let mut out = String::new();
    for (position, record) in records.records.iter().enumerate() {
        out.push('\n');
        if many {
            out.push_str(&format!("record {}: {}\n", position + 1, record.outcome.word()));
        }
        out.push_str(&screen::table(&preview::fields(record)));
        if many {
            out.push_str(&preview::findings(&record.findings));
        }
    }
    out
}
