//! Raw legacy text to a clean value, and back.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::{finding::Check, record::Value};

/// The types of the mapping language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text, as it is.
    #[default]
    Text,
    /// A whole number.
    Int,
    /// A decimal number; its scale is kept.
    Decimal,
    /// An amount of money; its scale is kept.
    Money,
    /// Yes or no.
    Bool,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// An instant.
    Datetime,
    /// Opaque bytes, base64 unless the format says `hex`.
    Bytes,
}

/// What a mapping says about how a field is spelt.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    /// `type`.
    pub kind: Kind,
    /// `format`: `ddMMyyyy`, `Y/N`, `1.234,56`, `excel`, …
    pub format: Option<String>,
    /// `pivot`: the first two-digit year that belongs to 19xx.
    pub pivot: Option<u8>,
    /// `empty`: the legacy spellings of nothing.
    pub empty: Vec<String>,
    /// `codes`.
    pub codes: Option<Arc<CodeTable>>,
    /// Zone of local times.
    pub zone: Option<TimeZone>,
}

/// Why a spelling can not be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpellingError {
    /// The key at fault: `format` or `pivot`.
    pub key: &'static str,
    /// Bytes of the format's text at fault, where one part is.
    pub part: Option<std::ops::Range<usize>>,
    /// What is wrong.
    pub title: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// How one field is spelt on the legacy side, compiled.
#[derive(Debug, Clone, Default)]
pub struct Codec {}

/// What reading found.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A value.
    Value(Value),
    /// One of the legacy spellings of nothing, or no characters at all.
    Empty,
    /// A value with a doubt that must be reported: the text that a decimal can not hold (stays text), a local
    /// time that the zone repeats.
    Doubtful(Value, Complaint),
    /// Not readable as the type and format.
    Unreadable(Complaint),
}

/// What was expected, for a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The kind of finding: `Type`, `Codes` or `LocalTime`.
    pub check: Check,
    /// What was expected: ``date as ddMMyyyy``, ``one of 01, 02, 2A``.
    pub expected: std::borrow::Cow<'static, str>,
}

impl Codec {
    /// Compiles a spelling.
    pub fn compile(spelling: &Spelling) -> Result<Self, SpellingError> {
        let _ = spelling;
        Ok(Self {})
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        Kind::Text
    }

    /// The code table, if any.
    pub fn codes(&self) -> Option<&Arc<CodeTable>> {
        None
    }

    /// Reads legacy text.
    pub fn read(&self, raw: &str) -> Reading {
        Reading::Value(Value::Text(raw.into()))
    }

    /// Writes a clean value in the legacy spelling. `Err`: what was expected, when the value has no such spelling.
    pub fn write(&self, value: &Value) -> Result<String, Complaint> {
        let _ = value;
        Ok(String::new())
    }

    /// Reads clean text, as `value`, `default`, `one_of` and answers spell it: ISO dates, plain decimals, clean words.
    pub fn read_clean(&self, text: &str) -> Reading {
        Reading::Value(Value::Text(text.into()))
    }
}

/// A code table: clean words and their legacy codes, both ways.
#[derive(Debug, Clone, Default)]
pub struct CodeTable {
    /// Clean word, then its legacy codes; the first is written back. In the file's order.
    pub rows: Vec<(String, Vec<String>)>,
}

impl CodeTable {
    /// The clean word of a legacy code.
    pub fn clean(&self, code: &str) -> Option<&str> {
        self.rows.iter().find(|(_, codes)| codes.iter().any(|it| it == code)).map(|(word, _)| word.as_str())
    }

    /// The legacy code that is written for a clean word.
    pub fn legacy(&self, word: &str) -> Option<&str> {
        self.rows.iter().find(|(it, _)| it == word)?.1.first().map(String::as_str)
    }
}

/// The canonical text of a value: ISO 8601 dates, decimals with their scale, `true`/`false`, base64.
pub fn canonical_text(value: &Value) -> String {
    let _ = value;
    String::new()
}
