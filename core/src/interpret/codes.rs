//! Code tables: clean words and their legacy codes, both ways.

use std::collections::HashMap;

/// A code table: clean words and their legacy codes, both ways. Built by [`CodeTable::new`] or
/// [`CodeTable::from_csv`]; both directions are looked up by hash, so a table may be large.
#[derive(Debug, Clone, Default)]
pub struct CodeTable {
    /// Clean word, then its legacy codes; the first is written back. In the file's order. To read: a change here is
    /// not seen by the look-ups.
    pub rows: Vec<(String, Vec<String>)>,
    /// Code, as listed and without blanks around it, to its row.
    by_code: HashMap<Box<str>, usize>,
    by_word: HashMap<Box<str>, usize>,
}

/// One entry that stands twice in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The legacy code that means two things, or the clean word that is listed twice.
    pub text: String,
    /// True for a code, false for a clean word.
    pub is_code: bool,
    /// Row, and position in the row's codes, of the first: both from 0.
    pub first: (usize, usize),
    /// Row and position of the second.
    pub again: (usize, usize),
}

/// Why a CSV code table can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {title}")]
pub struct CsvProblem {
    /// Line of the file, from 1.
    pub line: u64,
    /// What is wrong there.
    pub title: String,
}

/// Most rows of a code table.
pub const MOST_ROWS: u64 = 100_000;

impl CodeTable {
    /// A table of these rows. Of a code or word that stands twice, the first counts; ask [`CodeTable::duplicates`].
    pub fn new(rows: Vec<(String, Vec<String>)>) -> Self {
        let mut by_code = HashMap::with_capacity(rows.len());
        let mut by_word = HashMap::with_capacity(rows.len());
        for (row, (word, codes)) in rows.iter().enumerate() {
            by_word.entry(word.as_str().into()).or_insert(row);
            for code in codes {
                by_code.entry(code.trim().into()).or_insert(row);
            }
        }
        Self { rows, by_code, by_word }
    }

    /// A table from CSV with the columns `legacy` and `clean`, in any order and beside others. Rows with the same
    /// clean word are its codes, in the file's order. All problems are reported, duplicates too, each with its line.
    pub fn from_csv(text: &str) -> Result<Self, Vec<CsvProblem>> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
        let one = |line: u64, title: String| vec![CsvProblem { line, title }];
        let headers = reader.headers().map_err(|error| one(1, csv_title(&error)))?.clone();
        let column = |name: &str| {
            let found = headers.iter().position(|it| it.trim_start_matches('\u{feff}') == name);
            found.ok_or_else(|| {
                one(1, format!("there is no column `{name}`; a code table has `legacy` and `clean`"))
            })
        };
        let (legacy, clean) = (column("legacy")?, column("clean")?);
        let mut problems = Vec::new();
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut by_word: HashMap<String, usize> = HashMap::new();
        let mut seen: HashMap<String, u64> = HashMap::new();
        for (number, line) in (1u64..).zip(reader.records()) {
            if number > MOST_ROWS {
                problems.extend(one(number + 1, format!("more than {MOST_ROWS} rows")));
                break;
            }
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    problems.extend(one(error.position().map_or(0, csv::Position::line), csv_title(&error)));
                    continue;
                }
            };
            let at = line.position().map_or(0, csv::Position::line);
            let code = line.get(legacy).unwrap_or_default();
            let word = line.get(clean).unwrap_or_default().trim();
            if word.is_empty() {
                problems.extend(one(at, format!("code `{code}` has no clean word")));
                continue;
            }
            if let Some(first) = seen.insert(code.trim().to_owned(), at) {
                problems.extend(one(at, format!("code `{code}` stands on line {first} already")));
                continue;
            }
            let row = *by_word.entry(word.to_owned()).or_insert_with(|| {
                rows.push((word.to_owned(), Vec::new()));
                rows.len() - 1
            });
            if let Some((_, codes)) = rows.get_mut(row) {
                codes.push(code.to_owned());
            }
        }
        if rows.is_empty() && problems.is_empty() {
            problems.extend(one(1, "the table has no rows".to_owned()));
        }
        if problems.is_empty() { Ok(Self::new(rows)) } else { Err(problems) }
    }

    /// The clean word of a legacy code. Blanks around the code do not count.
    pub fn clean(&self, code: &str) -> Option<&str> {
        let row = *self.by_code.get(code.trim())?;
        self.rows.get(row).map(|(word, _)| word.as_str())
    }

    /// The legacy code that is written for a clean word.
    pub fn legacy(&self, word: &str) -> Option<&str> {
        let row = *self.by_word.get(word)?;
        self.rows.get(row)?.1.first().map(String::as_str)
    }

    /// True where this is one of the clean words.
    pub fn has_word(&self, word: &str) -> bool {
        self.by_word.contains_key(word)
    }

    /// Codes and words that stand twice, in the table's order. The way back needs that there are none.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut found = Vec::new();
        let mut words: HashMap<&str, usize> = HashMap::new();
        let mut seen: HashMap<&str, (usize, usize)> = HashMap::new();
        for (row, (word, codes)) in self.rows.iter().enumerate() {
            if let Some(first) = words.insert(word, row) {
                let (first, again) = ((first, 0), (row, 0));
                found.push(Duplicate { text: word.clone(), is_code: false, first, again });
            }
            for (place, code) in codes.iter().enumerate() {
                let again = (row, place);
                if let Some(first) = seen.insert(code.trim(), again) {
                    found.push(Duplicate { text: code.clone(), is_code: true, first, again });
                }
            }
        }
        found
    }

    /// `one of 01, 02, 2A`: the known legacy codes, at most a dozen of them.
    pub(super) fn describe_codes(&self) -> String {
        listed(self.rows.iter().flat_map(|(_, codes)| codes).map(String::as_str))
    }

    /// `one of fire, water`: the clean words, at most a dozen of them.
    pub(super) fn describe_words(&self) -> String {
        listed(self.rows.iter().map(|(word, _)| word.as_str()))
    }
}

const SHOWN: usize = 12;

fn listed<'a>(all: impl Iterator<Item = &'a str> + Clone) -> String {
    let count = all.clone().count();
    let mut out = String::from("one of ");
    for (place, text) in all.take(SHOWN).enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        if text.trim().is_empty() { out.push_str("(blank)") } else { out.push_str(text) }
    }
    if count > SHOWN {
        out.push_str(&format!(", … ({} more)", count - SHOWN));
    }
    out
}

fn csv_title(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values where the header has {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => "not readable as CSV".to_owned(),
    }
}
