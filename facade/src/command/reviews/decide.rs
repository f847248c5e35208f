//! `vestibule reviews release`, `correct` and `reject`

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use serde_json::json;
use vestibule_core::{
    finding::Outcome,
    flow::Preview,
    job::{JobId, Ruling},
};

use super::{
    super::{
        End, Stop, preview,
        visit::{self, Visit},
    },
    show::not_free,
};
use crate::{
    reviewing::{self, Objection},
    screen,
};

/// What every decision says besides itself
#[derive(Debug, Args)]
struct Said {
    /// The job's ticket
    ticket: String,
    /// Directory with `vestibule.yaml`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only this record of the document, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    record: Option<u32>,
    /// Who decides; when left out, as the system knows you
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Accept what was found as it is: findings for review become notes, and the record goes on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews release 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart \\
      --note 'called the branch'")]
pub struct Release {
    #[command(flatten)]
    said: Said,
}

/// Correct what was read: fields get the text that should have stood there, and the record is checked again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews correct 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart \\
      --set reserve=1.250,00 --set 'lines[2].kind=B'

Text is written as the legacy side does; an empty one (`--set cause=`) means that nothing stands there.")]
pub struct Correct {
    #[command(flatten)]
    said: Said,
    /// A field by its clean name, and its legacy text
    #[arg(long, required = true, value_name = "FIELD=TEXT", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// Refuse the record
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule reviews reject 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart \\
      --note 'policy was cancelled'")]
pub struct Reject {
    #[command(flatten)]
    said: Said,
}

impl Release {
    /// Releases.
    pub fn run(self) -> Result<End, Stop> {
        self.said.decide(Ruling::Release)
    }
}

impl Reject {
    /// Rejects.
    pub fn run(self) -> Result<End, Stop> {
        self.said.decide(Ruling::Reject)
    }
}

impl Correct {
    /// Corrects.
    pub fn run(self) -> Result<End, Stop> {
        let mut fields = BTreeMap::new();
        for (field, text) in self.set {
            if fields.insert(field.clone(), text).is_some() {
                let field = screen::one_line(&field, 80);
                return Err(Stop::wrong_use(format!("`{field}` is corrected twice")));
            }
        }
        self.said.decide(Ruling::Correct(fields))
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("expected FIELD=TEXT")?;
    Ok((field.trim().to_owned(), value.to_owned()))
}

impl Said {
    fn decide(self, ruling: Ruling) -> Result<End, Stop> {
        let id = visit::ticket(&self.ticket)?;
        let by = visit::by(self.by)?;
        let word = ruling.word();
        let decision = reviewing::decision(ruling, self.record, &by, self.note)
            .map_err(|it| Stop::wrong_use(it.to_string()))?;
        let visit = Visit::at(&self.dir)?;
        let job = visit.find(id)?;
        let flow = visit.flow_of(&job)?;
        let records = reviewing::judge(&flow, &job, &decision).map_err(|it| match it {
            // Not a matter of what the record is like: it was never there.
            Objection::NoRecord { .. } => Stop::wrong_use(it.to_string()),
            _ => Stop::failed(it.to_string()),
        })?;
        if !visit.ask(visit.store().decide(id, vec![decision]))? {
            return Err(not_free(&visit.find(id)?));
        }
        visit.close();
        if self.json {
            let records = serde_json::to_value(&records.records).unwrap_or_default();
            let whole = json!({ "ticket": id.to_string(), "done": word, "by": by, "records": records });
            screen::print(&format!("{whole:#}\n"))?;
        } else {
            screen::print(&said(id, word, &by, &records))?;
        }
        Ok(End::Done)
    }
}

/// What a reviewer is told: what was stored, and what it will do.
fn said(id: JobId, word: &str, by: &str, records: &Preview) -> String {
    let outcome = records.records.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass);
    let next = match outcome {
        Outcome::Pass | Outcome::Note => "the checks let it pass: it goes on",
        Outcome::Review => "the checks still ask for a person",
        Outcome::Reject => "it is refused",
    };
    let past = match word {
        "correct" => "corrected",
        "reject" => "rejected",
        _ => "released",
    };
    let mut out = format!("{id}  {past} by {}: {next}\n", screen::one_line(by, 100));
    for record in records.records.iter().filter(|it| it.outcome >= Outcome::Review) {
        out.push_str(&preview::findings(&record.findings));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_is_a_field_and_its_text() {
        for (text, expected) in [
            ("reserve=1.250,00", Some(("reserve", "1.250,00"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("cause=", Some(("cause", ""))),
            ("cause", None),
        ] {
            let expected = expected.map(|(field, text)| (field.to_owned(), text.to_owned()));
            assert_eq!(assignment(text).ok(), expected, "input: {text}");
        }
    }
}
