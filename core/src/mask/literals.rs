//! The masked values of one record, looked for in all its other texts at once.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::stand_in::Span;
use crate::{
    interpret::canonical_text,
    mapping::plan::Mask,
    record::{Record, Value},
};

/// Shortest value that is looked for. Shorter ones (`M`, `12`) stand everywhere and say nothing by themselves.
pub(super) const SHORTEST: usize = 4;

/// The values of a record's masked fields.
pub(super) struct Literals {
    /// `None` where there is nothing to look for, or where it can not be looked for (then texts are hidden whole).
    search: Search,
}

enum Search {
    Nothing,
    For { automaton: AhoCorasick, labels: Vec<String> },
    Impossible,
}

impl Literals {
    /// All values that are masked, but those of `find`: there only parts of the text are.
    pub(super) fn of(record: &Record) -> Self {
        let mut found = Found::default();
        found.record(record);
        if found.texts.is_empty() {
            return Self { search: Search::Nothing };
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            // Memory stays in proportion to the values, whatever they are.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&found.texts);
        let search = match automaton {
            Ok(automaton) => Search::For { automaton, labels: found.labels },
            Err(_) => Search::Impossible,
        };
        Self { search }
    }

    /// Where masked values stand in a text.
    pub(super) fn find(&self, text: &str) -> Vec<Span> {
        match &self.search {
            Search::Nothing => Vec::new(),
            Search::Impossible => vec![Span { at: 0..text.len(), label: "TEXT".into() }],
            Search::For { automaton, labels } => automaton
                .find_iter(text)
                .filter_map(|hit| {
                    let label = labels.get(hit.pattern().as_usize())?;
                    Some(Span { at: hit.range(), label: label.clone().into() })
                })
                .collect(),
        }
    }
}

#[derive(Default)]
struct Found {
    texts: Vec<String>,
    labels: Vec<String>,
    seen: HashSet<String>,
}

impl Found {
    fn record(&mut self, record: &Record) {
        for (plan, field) in record.shape.fields.iter().zip(&record.fields) {
            let Some(field) = field else { continue };
            match (plan.mask, &field.value) {
                (None, Value::List(items)) => items.iter().for_each(|item| self.record(item)),
                (Some(mask), Value::List(items)) if mask != Mask::Find => {
                    items.iter().for_each(|item| self.whole(&plan.name, item));
                }
                (None | Some(Mask::Find), _) | (_, Value::Bool(_)) => {}
                (Some(_), value) => self.value(&plan.name, value, field.raw.as_deref()),
            }
        }
    }

    /// Everything inside a masked list.
    fn whole(&mut self, label: &str, record: &Record) {
        for field in record.fields.iter().flatten() {
            match &field.value {
                Value::List(items) => items.iter().for_each(|item| self.whole(label, item)),
                Value::Bool(_) => {}
                value => self.value(label, value, field.raw.as_deref()),
            }
        }
    }

    fn value(&mut self, label: &str, value: &Value, raw: Option<&str>) {
        let text = canonical_text(value);
        // The automaton folds ASCII case only: É and é are two patterns.
        for text in [text.to_lowercase(), text.to_uppercase(), text] {
            self.text(label, &text);
        }
        if let Some(raw) = raw {
            self.text(label, raw);
        }
    }

    fn text(&mut self, label: &str, text: &str) {
        let text = text.trim();
        if text.chars().count() >= SHORTEST && self.seen.insert(text.to_ascii_lowercase()) {
            self.texts.push(text.to_owned());
            self.labels.push(label.to_owned());
        }
    }
}
