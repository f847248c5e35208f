//! The masked values of one record, looked for in all its other texts at once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::stand_in::Span;
use crate::{
    interpret::canonical_text,
    mapping::plan::Mask,
    record::{Record, Value},
};

/// Shortest value that is looked for. Shorter ones (`M`, `12`) stand everywhere and say nothing by themselves.
pub(super) const SHORTEST: usize = 4;

/// Most bytes of values that are looked for; the automaton takes about fifty times as many. A record with more masked
/// text than this keeps its promise in another way: its other texts are hidden whole.
pub(super) const MOST: usize = 256 * 1024;

/// Longest text that is taken for a name, in bytes.
const LONGEST_NAME: usize = 100;

/// The values of a record's masked fields.
pub(super) struct Literals {
    /// `None` where there is nothing to look for, or where it can not be looked for (then texts are hidden whole).
    search: Search,
    /// Words of masked names, in small letters, with their label.
    words: HashMap<String, String>,
}

enum Search {
    Nothing,
    For { automaton: AhoCorasick, labels: Vec<String> },
    Impossible,
}

impl Literals {
    /// All values that are masked, but those of `find`: there only parts of the text are. And what could not be read.
    pub(super) fn of(record: &Record, unread: &[Box<str>]) -> Self {
        let mut found = Found::default();
        found.record(record);
        unread.iter().for_each(|text| found.text("UNREAD", text));
        if found.size > MOST {
            return Self { search: Search::Impossible, words: found.words };
        }
        if found.texts.is_empty() {
            return Self { search: Search::Nothing, words: found.words };
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
        Self { search, words: found.words }
    }

    /// Where single words of masked names stand in a text, written with a capital: the surname alone, say.
    pub(super) fn find_words(&self, text: &str) -> Vec<Span> {
        if self.words.is_empty() {
            return Vec::new();
        }
        words(text)
            .filter(|at| text.get(at.clone()).is_some_and(|word| word.starts_with(char::is_uppercase)))
            .filter_map(|at| {
                let label = self.words.get(&text.get(at.clone())?.to_lowercase())?;
                Some(Span { at, label: label.clone().into() })
            })
            .collect()
    }

    /// Where masked values stand in a text.
    pub(super) fn find(&self, text: &str) -> Vec<Span> {
        match &self.search {
            Search::Nothing => Vec::new(),
            Search::Impossible if text.is_empty() => Vec::new(),
            Search::Impossible => vec![Span { at: 0..text.len(), label: "TEXT".into() }],
            Search::For { automaton, labels } => automaton
                .find_iter(&*folded(text))
                .filter_map(|hit| {
                    let label = labels.get(hit.pattern().as_usize())?;
                    Some(Span { at: hit.range(), label: label.clone().into() })
                })
                .collect(),
        }
    }
}

/// The text in small letters, every byte where it was: the automaton folds ASCII alone, and `ÉTIENNE HÉBERT` of a column
/// is `Étienne Hébert` in the notes. The few letters whose small form has another length stay.
fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let fold = |letter: char| {
        let mut small = letter.to_lowercase();
        match (small.next(), small.next()) {
            // The small sigma of a word's end has the same capital as the other.
            (Some('ς'), None) => 'σ',
            (Some(one), None) if one.len_utf8() == letter.len_utf8() => one,
            _ => letter,
        }
    };
    Cow::Owned(text.chars().map(fold).collect())
}

/// Runs of letters.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(char::is_alphabetic)?;
        let rest = text.get(start..)?;
        let end = start + rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
        from = end;
        Some(start..end)
    })
}

#[derive(Default)]
struct Found {
    texts: Vec<String>,
    labels: Vec<String>,
    seen: HashSet<String>,
    /// Bytes of `texts`.
    size: usize,
    words: HashMap<String, String>,
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

    /// Words of a name: of a text that is made of a few words and nothing else.
    fn name(&mut self, label: &str, text: &str) {
        let is_name = text.chars().all(|it| it.is_alphabetic() || matches!(it, ' ' | '-' | '\'' | '.' | ','));
        if !is_name || text.len() > LONGEST_NAME {
            return;
        }
        for word in text.split(|letter: char| !letter.is_alphabetic()) {
            if self.size <= MOST && word.chars().nth(SHORTEST - 1).is_some() {
                self.words.entry(word.to_lowercase()).or_insert_with(|| label.to_owned());
            }
        }
    }

    fn value(&mut self, label: &str, value: &Value, raw: Option<&str>) {
        if let Value::Text(text) = value {
            self.name(label, text);
        }
        let text = canonical_text(value);
        // Some letters have no single other case: `ß` is `SS` in capitals.
        for text in [text.to_lowercase(), text.to_uppercase(), text] {
            self.text(label, &text);
        }
        if let Some(raw) = raw {
            self.text(label, raw);
        }
    }

    fn text(&mut self, label: &str, text: &str) {
        let text = folded(text.trim());
        if self.size <= MOST
            && text.chars().nth(SHORTEST - 1).is_some()
            && self.seen.insert(text.to_ascii_lowercase())
        {
            self.size += text.len();
            self.texts.push(text.into_owned());
            self.labels.push(label.to_owned());
        }
    }
}
