//! `vestibule preview`

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use vestibule_core::{finding::Outcome, flow::RecordPreview, job::Remark};

use super::{End, Stop, outset};
use crate::{screen, wiring::Plans};

/// Show what a mapping makes of a file: record, origins, findings and prompt. No model is asked
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule preview samples/quickstart/mappings/claim-triage.map.yaml \\
      samples/quickstart/requests/good.xml

Values are shown in clear. The prompt is what would leave: masked. Exit code 1: a record would be rejected.")]
pub struct Preview {
    /// The mapping (*.map.yaml)
    mapping: PathBuf,
    /// The document; its ending or its first character says what it is
    file: PathBuf,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

impl Preview {
    /// Previews.
    pub fn run(self) -> Result<End, Stop> {
        let registry = outset::registry();
        let directory = outset::directory_around(&self.mapping)?.with_only(&self.mapping);
        let mut plans = Plans::read(directory, &registry);
        let Some(flow) = plans.assemble_unasked(&registry).filter(|_| plans.report.is_clean()) else {
            return Err(outset::wrong_files(&plans));
        };
        let document = outset::document(&self.file)?;
        let preview = flow.preview(&document, Timestamp::now()).map_err(|fault| {
            let place = fault.place.as_ref().map(|it| format!(":{it}")).unwrap_or_default();
            Stop::failed(format!("{}{place}: {}", self.file.display(), outset::with_causes(&fault)))
        })?;
        if self.json {
            let whole = serde_json::to_value(&preview).map_err(|error| Stop::failed(error.to_string()))?;
            screen::print(&format!("{whole:#}\n"))?;
        } else {
            let many = preview.records.len() > 1;
            let mut text = String::new();
            for (position, record) in preview.records.iter().enumerate() {
                if many {
                    let _ = writeln!(text, "record {}", position + 1);
                }
                text.push_str(&whole_record(record));
            }
            if preview.records.is_empty() {
                text.push_str("no records\n");
            }
            screen::print(&text)?;
        }
        let rejected = preview.records.iter().any(|it| it.outcome == Outcome::Reject);
        Ok(if rejected { End::Findings } else { End::Done })
    }
}

fn whole_record(record: &RecordPreview) -> String {
    let mut text = screen::table(&fields(record));
    let _ = writeln!(text, "\noutcome: {}", record.outcome.word());
    text.push_str(&findings(&record.findings));
    if let Some(prompt) = &record.prompt {
        let _ = writeln!(text, "\nprompt:");
        for line in prompt.trim_end().lines() {
            let _ = writeln!(text, "  {}", line.trim_end());
        }
    }
    text
}

/// Clean name, value and origin of each present field, those in lists included.
pub fn fields(record: &RecordPreview) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["FIELD".to_owned(), "VALUE".to_owned(), "FROM".to_owned()]];
    flatten("", &record.record, &mut |path, value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push(vec![path.to_owned(), screen::one_line(&text, 60), origin(record.lineage.get(path))]);
    });
    rows
}

fn origin(entry: Option<&Value>) -> String {
    let text = |name: &str| entry.and_then(|it| it.get(name));
    let mut out = text("from").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(by) = text("corrected by").and_then(Value::as_str) {
        let gap = if out.is_empty() { "" } else { "  " };
        let _ = write!(out, "{gap}corrected by {}", screen::one_line(by, 80));
    }
    if let Some(line) = text("line").and_then(Value::as_u64) {
        let _ = write!(out, "  line {line}");
    }
    if let Some(raw) = text("raw").and_then(Value::as_str) {
        let _ = write!(out, "  raw '{}'", screen::one_line(raw, 40));
    }
    out
}

/// Visits every single value with its path, `lines[2].amount`. A record's depth is its mapping's, which is bounded.
fn flatten(path: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, visit);
            }
        }
        Value::Array(items) => {
            for (position, value) in items.iter().enumerate() {
                flatten(&format!("{path}[{}]", position + 1), value, visit);
            }
        }
        single => visit(path, single),
    }
}

/// Findings for people, the worst first; nothing when there are none.
pub fn findings(remarks: &[Remark]) -> String {
    if remarks.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<&Remark> = remarks.iter().collect();
    sorted.sort_by_key(|it| std::cmp::Reverse(it.outcome));
    let rows: Vec<Vec<String>> = sorted
        .into_iter()
        .map(|it| {
            let found = it.found.as_ref().map(|found| format!(", found '{}'", screen::one_line(found, 40)));
            let say = it.say.as_ref().map(|say| format!(" ({})", screen::one_line(say, 80)));
            let expected = screen::one_line(&it.expected, 80);
            vec![
                format!("  {}", it.outcome.word()),
                it.code.clone(),
                screen::one_line(&it.field, 60),
                format!("expected {expected}{}{}", found.unwrap_or_default(), say.unwrap_or_default()),
                it.xpath.clone().unwrap_or_default(),
            ]
        })
        .collect();
    format!("findings:\n{}", screen::table(&rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_shown_field_by_field_with_its_origin() {
        let record = RecordPreview {
            record: json!({ "claim_no": "C1", "reserve": "10.00", "lines": [{ "kind": "building" }, {}],
                "cause": "fire" }),
            lineage: json!({
                "claim_no": { "from": "/Claim/ClaimNo", "line": 3 },
                "reserve": { "from": "default" },
                "lines[1].kind": { "from": "/Claim/Lines/Line(1)/Type", "line": 5, "raw": "B" },
                "cause": { "from": "/Claim/CauseCd", "corrected by": "anna", "line": 4, "raw": "01" },
            }),
            findings: vec![Remark {
                code: "G106".into(),
                check: "range".into(),
                outcome: Outcome::Review,
                field: "reserve".into(),
                xpath: Some("/Claim/Reserve".into()),
                expected: "20..30".into(),
                found: Some("10.00".into()),
                say: None,
            }],
            outcome: Outcome::Review,
            prompt: Some("Judge.\n".into()),
        };
        assert_eq!(
            whole_record(&record),
            "\
FIELD          VALUE     FROM
claim_no       C1        /Claim/ClaimNo  line 3
reserve        10.00     default
lines[1].kind  building  /Claim/Lines/Line(1)/Type  line 5  raw 'B'
cause          fire      /Claim/CauseCd  corrected by anna  line 4  raw '01'

outcome: review
findings:
  review  G106  reserve  expected 20..30, found '10.00'  /Claim/Reserve

prompt:
  Judge.
"
        );
    }
}
