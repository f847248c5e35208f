//! `vestibule jobs`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vestibule_core::{
    ask::Usage,
    fault::Fault,
    flow::Preview,
    job::{Job, JobFilter, JobId, JobState, ReplyBody},
};

use super::{End, Stop, outset};
use crate::{adapters::StoreReader, http::jobs::job_json, screen, wiring::Plans};

/// Look at the jobs of a directory's store, also while a server uses it
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
    List(List),
    Show(Show),
}

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule jobs list samples/quickstart --state dead --limit 20")]
struct List {
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only jobs of this state
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(JobState::WORDS))]
    state: Option<String>,
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

/// Show one job with its findings and its reply
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule jobs show 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart --lineage

With --lineage the stored document is read again by its mapping, and each value is shown with the place that it came from.
Values are in clear: it is for the operator's own eyes.")]
struct Show {
    /// The job's ticket
    ticket: String,
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The record with the place of each value in the document as it was received
    #[arg(long)]
    lineage: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

impl Jobs {
    /// Looks.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            JobsCommand::List(it) => it.run(),
            JobsCommand::Show(it) => it.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<End, Stop> {
        let store = open(&self.dir)?;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let filter = JobFilter { state: self.state, flow: self.flow, most, ..JobFilter::default() };
        let jobs = store.list(&filter).map_err(|fault| unread(&fault))?;
        if self.json {
            let lines: String = jobs.iter().map(|job| format!("{}\n", without_payload(job))).collect();
            screen::print(&lines)?;
            return Ok(End::Done);
        }
        let mut rows = vec![words(["TICKET", "FLOW", "STATE", "OUTCOME", "ACCEPTED"])];
        rows.extend(jobs.iter().map(|job| {
            vec![
                job.id.to_string(),
                screen::one_line(&job.flow, 40),
                job.state.word().to_owned(),
                job.state.reply().map_or("", |reply| reply.outcome.word()).to_owned(),
                format!("{:.0}", job.accepted),
            ]
        }));
        screen::print(&screen::table(&rows))?;
        Ok(End::Done)
    }
}

impl Show {
    fn run(self) -> Result<End, Stop> {
        let Some(id) = JobId::parse(&self.ticket) else {
            return Err(Stop::wrong_use(format!("`{}` is not a ticket", screen::one_line(&self.ticket, 40))));
        };
        let store = open(&self.dir)?;
        let Some(job) = store.find(id).map_err(|fault| unread(&fault))? else {
            return Err(Stop::failed(format!("there is no job {id}")));
        };
        let traced = if self.lineage { Some(trace(&self.dir, &job)?) } else { None };
        if self.json {
            let mut whole = job_json(&job);
            if let (Some(traced), Some(all)) = (&traced, whole.as_object_mut()) {
                let records = traced.records.iter();
                let records = records.map(|it| json!({ "record": it.record, "lineage": it.lineage }));
                all.insert("records".into(), records.collect());
            }
            screen::print(&format!("{whole:#}\n"))?;
            return Ok(End::Done);
        }
        let mut rows = vec![
            words(["ticket", &job.id.to_string()]),
            words(["flow", &screen::one_line(&job.flow, 80)]),
            words(["state", job.state.word()]),
            words(["accepted", &job.accepted.to_string()]),
            words(["changed", &job.changed.to_string()]),
        ];
        if let Some(key) = &job.document.key {
            rows.push(words(["key", &screen::one_line(key.as_str(), 255)]));
        }
        if let JobState::Dead { cause, .. } = &job.state {
            rows.push(words(["cause", &screen::one_line(cause, 400)]));
        }
        let mut text = String::new();
        if let Some(reply) = job.state.reply() {
            rows.push(words(["outcome", reply.outcome.word()]));
            rows.push(words(["mapping version", &reply.flow_version.to_string()]));
            if !reply.answered_by.is_empty() {
                rows.push(words(["answered by", &screen::one_line(&reply.answered_by, 80)]));
            }
            if reply.usage != Usage::default() {
                let Usage { input, cached_input, output } = reply.usage;
                rows.push(words(["tokens", &format!("{input} in ({cached_input} cached), {output} out")]));
            }
            text.push_str(&super::preview::findings(&reply.findings));
            if let ReplyBody::Written { media_type, bytes } = &reply.body {
                let body = std::str::from_utf8(bytes).unwrap_or("(not text; see --json)");
                // What a terminal would obey is not shown; --json has it.
                let obeyed = |it: char| it.is_control() && it != '\n' && it != '\t';
                text.push_str(&format!("\n{media_type}\n{}\n", body.trim_end().replace(obeyed, "\u{fffd}")));
            }
        }
        for record in traced.iter().flat_map(|it| &it.records) {
            text.push_str(&format!("\n{}", screen::table(&super::preview::fields(record))));
        }
        screen::print(&format!("{}{text}", screen::table(&rows)))?;
        Ok(End::Done)
    }
}

/// Reads a stored document again, by the mapping that answered it.
fn trace(dir: &Path, job: &Job) -> Result<Preview, Stop> {
    let registry = outset::registry();
    let mut plans = Plans::read(outset::directory(dir)?, &registry);
    plans.mappings.retain(|it| it.mapping.name == job.flow);
    let Some(plan) = plans.mappings.first() else {
        if !plans.report.is_clean() {
            return Err(outset::wrong_files(&plans));
        }
        return Err(Stop::failed(format!("{} has no mapping `{}` any more", dir.display(), job.flow)));
    };
    let (answered, now) = (job.state.reply().map(|it| it.flow_version), plan.mapping.version);
    if answered.is_some_and(|it| it != now) {
        let answered = answered.unwrap_or_default();
        return Err(Stop::failed(format!(
            "version {answered} of the mapping answered; the directory has {now}"
        )));
    }
    let Some(flow) = plans.assemble_unasked(&registry) else { return Err(outset::wrong_files(&plans)) };
    flow.preview(&job.document, job.document.received)
        .map_err(|fault| Stop::failed(outset::with_causes(&fault)))
}

fn words<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

/// Lists come without payloads, and an empty reply in their JSON would say something false.
fn without_payload(job: &Job) -> Value {
    let mut value = job_json(job);
    if let Some(all) = value.as_object_mut() {
        all.shift_remove("reply");
    }
    value
}

fn open(dir: &Path) -> Result<StoreReader, Stop> {
    let mut directory = outset::directory(dir)?;
    // The store's place is in the configuration; mappings with errors must not keep an operator from looking.
    directory.mappings.clear();
    let plans = Plans::read(directory, &outset::registry());
    if !plans.report.is_clean() {
        return Err(outset::wrong_files(&plans));
    }
    let Some(path) = outset::store_path(&plans) else {
        return Err(Stop::wrong_use(format!("{} has `store: none`: no jobs are kept", dir.display())));
    };
    StoreReader::open(&path).map_err(|error| outset::stop_of_store(&*error))
}

fn unread(fault: &Fault) -> Stop {
    Stop::not_reachable(outset::with_causes(fault))
}
