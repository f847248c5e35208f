//! Stand-ins: `[CLAIMANT-1]` for a value, the same for the same value, put back into the answer's texts.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use serde_json::{Map, Value as Json};

use crate::record::{Record, Value};

/// A part of a text that is to be replaced.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) at: Range<usize>,
    /// What it is, in a word: the field's name, or what a recogniser knows.
    pub(super) label: Cow<'static, str>,
}

/// The stand-ins of one record.
#[derive(Default)]
pub(super) struct StandIns {
    by_value: HashMap<String, String>,
    /// Last number of each label.
    numbers: HashMap<String, u32>,
    /// What looks like a stand-in in the record itself; such a one is never given out.
    taken: HashSet<String>,
}

/// Puts hidden values back. Holds them in clear: it never leaves the process, and its debug text shows none.
#[derive(Clone, Default)]
pub struct Restore {
    originals: HashMap<String, String>,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restore({} values)", self.originals.len())
    }
}

impl StandIns {
    /// Stand-ins that differ from everything that the record says.
    pub(super) fn for_record(record: &Record) -> Self {
        let mut stand_ins = Self::default();
        stand_ins.avoid(record);
        stand_ins
    }

    fn avoid(&mut self, record: &Record) {
        for field in record.fields.iter().flatten() {
            match &field.value {
                Value::List(items) => items.iter().for_each(|item| self.avoid(item)),
                Value::Text(text) => {
                    self.taken.extend(tokens(text).map(|at| text.get(at).unwrap_or("").to_owned()))
                }
                _ => {}
            }
        }
    }

    /// The stand-in of a value.
    pub(super) fn of(&mut self, label: &str, value: &str) -> String {
        if let Some(known) = self.by_value.get(value) {
            return known.clone();
        }
        let label: String = label
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
            .collect();
        let number = self.numbers.entry(label.clone()).or_default();
        let token = loop {
            *number += 1;
            let token = format!("[{label}-{number}]");
            if !self.taken.contains(&token) {
                break token;
            }
        };
        self.by_value.insert(value.to_owned(), token.clone());
        token
    }

    /// The text with stand-ins at these places. Places that overlap become one.
    pub(super) fn replace(&mut self, text: &str, mut spans: Vec<Span>) -> String {
        spans.sort_by_key(|span| (span.at.start, std::cmp::Reverse(span.at.end)));
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        let mut spans = spans.into_iter().peekable();
        while let Some(mut span) = spans.next() {
            while let Some(next) = spans.next_if(|next| next.at.start < span.at.end) {
                span.at.end = span.at.end.max(next.at.end);
            }
            out.push_str(text.get(done..span.at.start).unwrap_or_default());
            out.push_str(&self.of(&span.label, text.get(span.at.clone()).unwrap_or_default()));
            done = span.at.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    pub(super) fn finish(self) -> Restore {
        Restore { originals: self.by_value.into_iter().map(|(value, token)| (token, value)).collect() }
    }
}

impl Restore {
    /// True where nothing was replaced.
    pub fn is_empty(&self) -> bool {
        self.originals.is_empty()
    }

    /// Replaces every stand-in in the answer's texts, at any depth, by its value. Names are left as they are, and a
    /// value that was put back is not searched again.
    pub fn restore(&self, answer: &mut Map<String, Json>) {
        if !self.is_empty() {
            answer.values_mut().for_each(|value| self.value(value));
        }
    }

    /// The text with every stand-in replaced by its value.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for at in tokens(text) {
            let Some(original) = text.get(at.clone()).and_then(|token| self.originals.get(token)) else {
                continue;
            };
            out.push_str(text.get(done..at.start).unwrap_or_default());
            out.push_str(original);
            done = at.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// JSON that was parsed is at most 128 deep, so this may recurse.
    fn value(&self, value: &mut Json) {
        match value {
            Json::String(text) if text.contains('[') => *text = self.text(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Json::Object(fields) => fields.values_mut().for_each(|item| self.value(item)),
            _ => {}
        }
    }
}

/// Where a text has the form of a stand-in: `[`, capitals, digits and `_`, then `-`, digits, `]`. Linear: an opening
/// bracket ends whatever was begun before it.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find('[')?;
            let body = text.get(start + 1..)?;
            let length = body
                .bytes()
                .take_while(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || matches!(it, b'_' | b'-'))
                .count();
            from = start + 1 + length;
            let is_whole = body.as_bytes().get(length) == Some(&b']');
            let inner = body.get(..length)?;
            let number = inner.rsplit_once('-').map(|(_, number)| number);
            if is_whole && number.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
            {
                from += 1;
                return Some(start..from);
            }
        }
    })
}
