//! `vestibule jobs show`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vestibule_core::{
    ask::Usage,
    flow::Preview,
    job::{Decision, Delivery, Job, JobState, Place, Reply, ReplyBody, Ruling},
};

use super::super::{
    End, Stop, outset, preview,
    visit::{self, Visit},
};
use crate::{http::jobs::operator_json, screen};

/// Show one job with its findings, its reply, and what was decided
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule jobs show 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart --lineage

With --lineage the stored document is read again by its mapping, and each value is shown with the place that it came from.
Values are in clear: it is for the operator's own eyes.")]
pub struct Show {
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

impl Show {
    /// Shows.
    pub fn run(self) -> Result<End, Stop> {
        let id = visit::ticket(&self.ticket)?;
        let visit = Visit::at(&self.dir)?;
        let job = visit.find(id)?;
        let checkpoints = visit.ask(visit.store().checkpoints(id))?.len();
        let traced = if self.lineage { Some(trace(&visit, &job)?) } else { None };
        if self.json {
            let mut whole = operator_json(&job, Some(checkpoints));
            if let (Some(traced), Some(all)) = (&traced, whole.as_object_mut()) {
                let records = traced.records.iter();
                let records = records.map(|it| json!({ "record": it.record, "lineage": it.lineage }));
                all.insert("records".into(), records.collect());
            }
            screen::print(&format!("{whole:#}\n"))?;
            return Ok(End::Done);
        }
        let mut whole = text(&job, checkpoints);
        for record in traced.iter().flat_map(|it| &it.records) {
            whole.push_str(&format!("\n{}", screen::table(&preview::fields(record))));
        }
        screen::print(&whole)?;
        Ok(End::Done)
    }
}

/// Reads a stored document again, by the mapping that answered it.
fn trace(visit: &Visit, job: &Job) -> Result<Preview, Stop> {
    let flow = visit.flow_of(job)?;
    let (answered, now) = (job.state.reply().map(|it| it.flow_version), flow.mapping.version);
    if answered.is_some_and(|it| it != now) {
        let answered = answered.unwrap_or_default();
        return Err(Stop::failed(format!(
            "version {answered} of the mapping answered; the directory has {now}"
        )));
    }
    flow.preview_with(&job.document, job.document.received, &job.decisions)
        .map_err(|fault| Stop::failed(outset::with_causes(&fault)))
}

/// A job for people.
pub fn text(job: &Job, checkpoints: usize) -> String {
    let mut rows = Rows::default();
    rows.add("ticket", job.id.to_string());
    rows.add("flow", screen::one_line(&job.flow, 80));
    rows.add("state", job.state.word());
    rows.add("accepted", job.accepted.to_string());
    rows.add("changed", job.changed.to_string());
    if let Some(key) = &job.document.key {
        rows.add("key", screen::one_line(key.as_str(), 255));
    }
    if let Some(order) = &job.order {
        rows.add("order", screen::one_line(order, 255));
    }
    if checkpoints > 0 {
        rows.add("answers saved", checkpoints.to_string());
    }
    add_state(&mut rows, &job.state);
    add_delivery(&mut rows, job);
    for decision in &job.decisions {
        rows.add("decided", decided(decision));
    }
    let mut after = String::new();
    match &job.state {
        JobState::Answered { reply } | JobState::Returned { reply } => {
            add_reply(&mut rows, reply, &mut after)
        }
        JobState::InReview { reply, .. } => after.push_str(&preview::findings(&reply.findings)),
        JobState::Dead { findings, .. } => after.push_str(&preview::findings(findings)),
        JobState::Queued { .. } | JobState::Leased { .. } => {}
    }
    format!("{}{after}", screen::table(&rows.0))
}

#[derive(Default)]
struct Rows(Vec<Vec<String>>);

impl Rows {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(vec![name.to_owned(), value.into()]);
    }
}

fn add_state(rows: &mut Rows, state: &JobState) {
    match state {
        JobState::Queued { attempt, not_before } => {
            rows.add("tried", format!("{attempt} times, next not before {not_before}"));
        }
        JobState::Leased { attempt } => rows.add("tried", format!("{attempt} times")),
        JobState::InReview { until, hold, .. } => {
            rows.add("until", until.map_or_else(|| "somebody decides".to_owned(), |it| it.to_string()));
            if let Some(hold) = hold {
                rows.add("held by", format!("{}, until {}", screen::one_line(&hold.by, 100), hold.until));
            }
        }
        JobState::Dead { cause, .. } => rows.add("cause", screen::one_line(cause, 400)),
        JobState::Answered { .. } | JobState::Returned { .. } => {}
    }
}

fn add_delivery(rows: &mut Rows, job: &Job) {
    let Some(address) = &job.return_to else { return };
    if let Some(place) = &address.reply {
        rows.add("result goes to", where_to(place));
    }
    if let Some(place) = &address.dead_letter {
        rows.add("dead letter goes to", where_to(place));
    }
    if let Some(message) = &address.message {
        rows.add("message id", screen::one_line(message, 255));
    }
    match &job.delivery {
        Delivery::Nothing => {}
        Delivery::Due { attempt, not_before } => {
            rows.add("delivery", format!("due, tried {attempt} times, next not before {not_before}"));
        }
        Delivery::Done => rows.add("delivery", "done"),
        Delivery::GivenUp { cause } => {
            rows.add("delivery", format!("given up: {}", screen::one_line(cause, 400)));
        }
    }
}

fn where_to(place: &Place) -> String {
    // The default exchange has no name.
    let named = place.to.iter().filter(|(_, value)| !value.is_empty());
    let to: Vec<String> = named.map(|(key, value)| format!("{key} {value}")).collect();
    screen::one_line(&format!("{}  {}", place.returner, to.join(", ")), 400)
}

/// One decision in a line.
fn decided(decision: &Decision) -> String {
    let what = match &decision.ruling {
        Ruling::Release => "released".to_owned(),
        Ruling::Reject => "rejected".to_owned(),
        Ruling::Lapse => "time over".to_owned(),
        Ruling::Correct(fields) => {
            let set: Vec<String> = fields
                .iter()
                .map(|(field, text)| format!("{field}='{}'", screen::one_line(text, 60)))
                .collect();
            format!("corrected {}", set.join(" "))
        }
    };
    let record = decision.record.map(|it| format!("record {}: ", it.saturating_add(1))).unwrap_or_default();
    let note = decision.note.as_ref().map(|it| format!(" ({})", screen::one_line(it, 200)));
    let by = screen::one_line(&decision.by, 100);
    format!("{record}{what} by {by} at {:.0}{}", decision.at, note.unwrap_or_default())
}

fn add_reply(rows: &mut Rows, reply: &Reply, after: &mut String) {
    rows.add("outcome", reply.outcome.word());
    rows.add("mapping version", reply.flow_version.to_string());
    if !reply.answered_by.is_empty() {
        rows.add("answered by", screen::one_line(&reply.answered_by, 80));
    }
    if reply.usage != Usage::default() {
        let Usage { input, cached_input, output } = reply.usage;
        rows.add("tokens", format!("{input} in ({cached_input} cached), {output} out"));
    }
    after.push_str(&preview::findings(&reply.findings));
    if let ReplyBody::Written { media_type, bytes } = &reply.body {
        let body = std::str::from_utf8(bytes).unwrap_or("(not text; see --json)");
        // What a terminal would obey is not shown; --json has it.
        let obeyed = |it: char| it.is_control() && it != '\n' && it != '\t';
        after.push_str(&format!("\n{media_type}\n{}\n", body.trim_end().replace(obeyed, "\u{fffd}")));
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use vestibule_core::{
        document::{Document, IdempotencyKey},
        finding::Outcome,
        job::{Hold, JobId, ReturnAddress},
    };

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    pub fn job(state: JobState) -> Job {
        let mut document = Document::new("<Claim/>", "text/xml", at(0));
        document.key = IdempotencyKey::new("C1");
        Job {
            id: JobId::parse("01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11").unwrap(),
            flow: "claim-triage".into(),
            document,
            state,
            accepted: at(0),
            changed: at(60),
            order: None,
            return_to: None,
            delivery: Delivery::Nothing,
            decisions: vec![],
        }
    }

    fn reply() -> Reply {
        Reply {
            outcome: Outcome::Review,
            body: ReplyBody::Written { media_type: "text/xml".into(), bytes: "<R>\u{1b}[31m</R>\n".into() },
            findings: vec![],
            answered_by: "desk".into(),
            usage: Usage::default(),
            flow_version: 3,
        }
    }

    fn place(returner: &str, to: &[(&str, &str)]) -> Place {
        let to = to.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Place { returner: returner.into(), to }
    }

    #[test]
    fn a_job_is_shown_with_its_way_back_and_what_was_decided() {
        let mut answered = job(JobState::Answered { reply: reply() });
        answered.return_to = Some(ReturnAddress {
            reply: Some(place("amqp broker", &[("exchange", ""), ("routing_key", "claims.out")])),
            dead_letter: None,
            message: Some("m-1".into()),
            correlation: None,
        });
        answered.delivery = Delivery::GivenUp { cause: "V016: no such queue".into() };
        answered.order = Some("policy=P1".into());
        let set = BTreeMap::from([("reserve".to_owned(), "12,00".to_owned())]);
        answered.decisions = vec![
            Decision {
                record: Some(0),
                ruling: Ruling::Correct(set),
                by: "anna".into(),
                at: at(30),
                note: None,
            },
            Decision {
                record: None,
                ruling: Ruling::Release,
                by: "bert".into(),
                at: at(40),
                note: Some("called".into()),
            },
        ];
        let hold = Some(Hold { by: "anna".into(), until: at(600) });
        let waiting = job(JobState::InReview { reply: reply(), until: Some(at(3600)), hold });
        insta::assert_snapshot!(format!("{}\n----\n{}", text(&answered, 2), text(&waiting, 0)));
    }
}
