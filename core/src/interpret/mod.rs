//! Raw legacy text to a clean value, and back.
//!
//! One place for every source: adapters hand over text, a [`Codec`] compiled from the mapping turns it into a
//! [`Value`] and a value into text. Reading is strict: a format takes exactly what it says. Writing is exact: what
//! would lose digits is refused. For every codec, what it writes it reads back as the same value.
//!
//! | type | without `format` | formats |
//! |---|---|---|
//! | `text` | as it is | none |
//! | `int` | `-42`, `+7`, `007` | by example (`1.234`, `0000`), `9(5)V` |
//! | `decimal`, `money` | `-1250.00`, `+1.5`, `.5`, `5.` | by example (`1.234,56`, `1'234.56`, `1 234,56`, `1234.56-`, `(1.234,56)`), implied point (`V2`, `0000000V00`, `S9(7)V99`) |
//! | `bool` | `true`, `false`, `1`, `0` | `Y/N`, `J/N`, `X/ ` |
//! | `date` | `2026-01-31` | patterns, `excel`, `excel-1904` |
//! | `time` | `13:45:10.25` | patterns |
//! | `datetime` | `2026-01-31T13:45:10+01:00`, or local | patterns, `epoch`, `epoch-ms`, `excel`, `excel-1904` |
//! | `bytes` | base64 | `hex` |
//!
//! Patterns are made of `yyyy yy c M MM MMM d dd DDD H HH mm ss tt S… X XX XXX`, literals, and quoted letters. All of
//! it, with examples, is in `docs/formats.md`.

use std::{borrow::Cow, sync::Arc};

use jiff::tz::TimeZone;
use rust_decimal::{Decimal, prelude::ToPrimitive};

use crate::{finding::Check, record::Value};

mod booleans;
mod bytes;
mod canonical;
mod codes;
mod dates;
mod decimals;
mod instants;
mod iso;
mod pattern;
mod scan;
mod serials;
#[cfg(test)]
mod tests;
mod times;

pub use canonical::canonical_text;
pub use codes::{CodeTable, CsvProblem, Duplicate, MOST_ROWS};

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

impl Kind {
    /// The word in mappings and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Decimal => "decimal",
            Self::Money => "money",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::Time => "time",
            Self::Datetime => "datetime",
            Self::Bytes => "bytes",
        }
    }
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
    /// Zone of local times; UTC when there is none.
    pub zone: Option<TimeZone>,
}

/// Why a spelling can not be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpellingError {
    /// The key at fault: `format`, `pivot` or `codes`.
    pub key: &'static str,
    /// Bytes of the format's text at fault, where one part is.
    pub part: Option<std::ops::Range<usize>>,
    /// What is wrong.
    pub title: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl SpellingError {
    fn new(key: &'static str, title: &str) -> Self {
        Self { key, part: None, title: title.to_owned(), help: None }
    }

    fn part(key: &'static str, part: std::ops::Range<usize>, title: &str) -> Self {
        Self { part: Some(part), ..Self::new(key, title) }
    }

    fn help(mut self, help: &str) -> Self {
        self.help = Some(help.to_owned());
        self
    }
}

/// How one field is spelt on the legacy side, compiled. The default is text without a format.
#[derive(Debug, Clone, Default)]
pub struct Codec {
    kind: Kind,
    style: Style,
    empty: Box<[Box<str>]>,
    codes: Option<Arc<CodeTable>>,
    zone: TimeZoneOrUtc,
    expected: Cow<'static, str>,
}

#[derive(Debug, Clone)]
struct TimeZoneOrUtc(TimeZone);

impl Default for TimeZoneOrUtc {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

#[derive(Debug, Clone, Default)]
enum Style {
    #[default]
    Text,
    Int(decimals::Style),
    Decimal(decimals::Style),
    Bool(booleans::Style),
    Date(dates::Style),
    Time(times::Style),
    Datetime(instants::Style),
    Bytes(bytes::Style),
}

/// What reading found.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A value.
    Value(Value),
    /// One of the legacy spellings of nothing, or no characters at all.
    Empty,
    /// A value with a doubt that must be reported: the text that a decimal can not hold (stays text), a local
    /// time that the zone repeats (the earlier instant) or skips (as far past the gap as the clock would have shown).
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
    pub expected: Cow<'static, str>,
}

impl Codec {
    /// Compiles a spelling.
    pub fn compile(spelling: &Spelling) -> Result<Self, SpellingError> {
        let format = spelling.format.as_deref();
        let style = Style::compile(spelling.kind, format, spelling.pivot)?;
        if spelling.codes.is_some() && format.is_some() {
            return Err(SpellingError::new("format", "a field with `codes` has no format")
                .help("the code table says how it is spelt; leave `format` out"));
        }
        let expected = match &spelling.codes {
            Some(table) => Cow::Owned(table.describe_codes()),
            None => style.describe(spelling.kind, format),
        };
        let codec = Self {
            kind: spelling.kind,
            style,
            empty: spelling.empty.iter().map(|text| text.as_str().into()).collect(),
            codes: spelling.codes.clone(),
            zone: TimeZoneOrUtc(spelling.zone.clone().unwrap_or(TimeZone::UTC)),
            expected,
        };
        if let Some(table) = &spelling.codes
            && let Some((word, _)) = table.rows.iter().find(|(word, _)| codec.typed(word).is_none())
        {
            let title = format!("`{word}` is a clean word of the table but not a {}", spelling.kind.word());
            return Err(SpellingError::new("codes", &title));
        }
        Ok(codec)
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The code table, if any.
    pub fn codes(&self) -> Option<&Arc<CodeTable>> {
        self.codes.as_ref()
    }

    /// What is expected, in words: `date as ddMMyyyy`, `one of 01, 02, 2A`.
    pub fn describe(&self) -> Cow<'static, str> {
        if self.expected.is_empty() { Cow::Borrowed(self.kind.word()) } else { self.expected.clone() }
    }

    /// What [`Codec::read_clean`] expects, in words: `date as 2026-01-31`, `one of fire, water`.
    pub fn describe_clean(&self) -> Cow<'static, str> {
        match &self.codes {
            Some(table) => table.describe_words().into(),
            None => Style::default_of(self.kind).describe(self.kind, None),
        }
    }

    /// Reads legacy text. Blanks around it do not count, but for text without a code table, which stays as it is.
    pub fn read(&self, raw: &str) -> Reading {
        let bare = raw.trim();
        if self.empty.iter().any(|it| &**it == raw || it.trim() == bare && !bare.is_empty()) {
            return Reading::Empty;
        }
        if let Some(table) = &self.codes {
            return match table.clean(bare) {
                Some(word) => self.typed(word).map_or_else(|| self.unreadable(Check::Codes), Reading::Value),
                None if bare.is_empty() => Reading::Empty,
                None => self.unreadable(Check::Codes),
            };
        }
        if bare.is_empty() && !matches!(&self.style, Style::Bool(style) if style.has_blank_side()) {
            return Reading::Empty;
        }
        match &self.style {
            Style::Text => Reading::Value(Value::Text(raw.into())),
            style => self.read_style(style, bare),
        }
    }

    /// Writes a clean value in the legacy spelling. `Err`: what was expected, when the value has no such spelling, or
    /// only one that would be read as nothing. Decimals are never rounded; clock times are cut to the format's
    /// smallest unit. A value of another type is written if it reads as this one (`Int` as decimal, text `yes` as bool).
    pub fn write(&self, value: &Value) -> Result<String, Complaint> {
        let written = match &self.codes {
            Some(table) => {
                let legacy = match value {
                    Value::Text(word) => table.legacy(word),
                    other => table.legacy(&canonical_text(other)),
                };
                let code = legacy.ok_or_else(|| Complaint {
                    check: Check::Codes,
                    expected: Cow::Owned(table.describe_words()),
                })?;
                Some(code.to_owned())
            }
            None => self.write_style(value),
        };
        let written = written.ok_or_else(|| self.complaint(Check::Type))?;
        if self.empty.iter().any(|it| **it == *written) {
            return Err(self.complaint(Check::Type));
        }
        Ok(written)
    }

    /// Reads clean text, as `value`, `default`, `one_of` and answers spell it: ISO dates, plain decimals, clean words.
    /// `Empty` for blank text; with a code table, only its clean words are read.
    pub fn read_clean(&self, text: &str) -> Reading {
        if text.trim().is_empty() {
            return Reading::Empty;
        }
        if self.codes.as_ref().is_some_and(|table| !table.has_word(text)) {
            let complaint = Complaint { check: Check::Codes, expected: self.describe_clean() };
            return Reading::Unreadable(complaint);
        }
        match &self.style {
            Style::Text => Reading::Value(Value::Text(text.into())),
            Style::Bool(_) => match booleans::read_clean(text) {
                Some(yes) => Reading::Value(Value::Bool(yes)),
                None => self.unclean(),
            },
            style => match self.read_style(&style.clean(), text.trim()) {
                Reading::Unreadable(_) => self.unclean(),
                other => other,
            },
        }
    }

    fn unclean(&self) -> Reading {
        Reading::Unreadable(Complaint { check: Check::Type, expected: self.describe_clean() })
    }

    fn complaint(&self, check: Check) -> Complaint {
        Complaint { check, expected: self.describe() }
    }

    fn unreadable(&self, check: Check) -> Reading {
        Reading::Unreadable(self.complaint(check))
    }

    /// The value of a clean word of the code table.
    fn typed(&self, word: &str) -> Option<Value> {
        if self.kind == Kind::Text {
            return Some(Value::Text(word.into()));
        }
        let plain = Self { codes: None, kind: self.kind, style: self.style.clean(), ..Self::default() };
        match plain.read_clean(word) {
            Reading::Value(value) => Some(value),
            _ => None,
        }
    }

    fn read_style(&self, style: &Style, bare: &str) -> Reading {
        let value = match style {
            Style::Text => Some(Value::Text(bare.into())),
            Style::Int(style) => return self.int(style, bare),
            Style::Decimal(style) => {
                return self.number(style.read(bare), bare, |it| Some(Value::Decimal(it)));
            }
            Style::Bool(style) => style.read(bare).map(Value::Bool),
            Style::Date(style) => style.read(bare).map(Value::Date),
            Style::Time(style) => style.read(bare).map(Value::Time),
            Style::Datetime(style) => {
                return match style.read(bare, &self.zone.0) {
                    None => self.unreadable(Check::Type),
                    Some(found) => {
                        let value = Value::DateTime { at: found.at, offset: found.offset };
                        if !found.is_doubtful {
                            return Reading::Value(value);
                        }
                        let expected = Cow::Borrowed("a local time that the time zone has exactly once");
                        Reading::Doubtful(value, Complaint { check: Check::LocalTime, expected })
                    }
                };
            }
            Style::Bytes(style) => style.read(bare).map(Value::Bytes),
        };
        value.map_or_else(|| self.unreadable(Check::Type), Reading::Value)
    }

    fn int(&self, style: &decimals::Style, bare: &str) -> Reading {
        if matches!(style, decimals::Style::Plain) && bare.contains('.') {
            return self.unreadable(Check::Type);
        }
        self.number(style.read(bare), bare, |number| number.to_i64().map(Value::Int))
    }

    /// A number that was read, or the doubtful text of one that `hold` can not hold.
    fn number(
        &self,
        found: decimals::Number,
        bare: &str,
        hold: impl Fn(Decimal) -> Option<Value>,
    ) -> Reading {
        let held = match found {
            decimals::Number::Unreadable => return self.unreadable(Check::Type),
            decimals::Number::Value(number) => hold(number),
            decimals::Number::TooLong => None,
        };
        held.map_or_else(
            || {
                let expected = match self.kind {
                    Kind::Int => "int of at most 64 bits",
                    _ => "a number of at most 28 digits",
                };
                let complaint = Complaint { check: Check::Type, expected: Cow::Borrowed(expected) };
                Reading::Doubtful(Value::Text(bare.into()), complaint)
            },
            Reading::Value,
        )
    }

    fn write_style(&self, value: &Value) -> Option<String> {
        match (&self.style, value) {
            (Style::Text, Value::List(_)) => None,
            (Style::Text, value) => Some(canonical_text(value)),
            (Style::Int(style) | Style::Decimal(style), Value::Int(number)) => {
                style.write(Decimal::from(*number))
            }
            (Style::Int(style), Value::Decimal(number)) => {
                number.fract().is_zero().then(|| style.write(number.trunc()))?
            }
            (Style::Decimal(style), Value::Decimal(number)) => style.write(*number),
            (Style::Bool(style), Value::Bool(yes)) => Some(style.write(*yes)),
            (Style::Date(style), Value::Date(date)) => style.write(*date),
            (Style::Time(style), Value::Time(time)) => style.write(*time),
            (Style::Datetime(style), Value::DateTime { at, offset }) => {
                style.write(*at, *offset, &self.zone.0)
            }
            (Style::Bytes(style), Value::Bytes(content)) => Some(style.write(content)),
            (_, Value::Text(text)) => match self.read_clean(text) {
                Reading::Value(value) => self.write_style(&value),
                // A number that was too long to be read goes back as it came.
                _ => match self.read(text) {
                    Reading::Doubtful(Value::Text(same), _) => Some(same.into()),
                    _ => None,
                },
            },
            _ => None,
        }
    }
}

impl Style {
    fn compile(kind: Kind, format: Option<&str>, pivot: Option<u8>) -> Result<Self, SpellingError> {
        if !matches!(kind, Kind::Date | Kind::Datetime) {
            dates::no_pivot(pivot)?;
        }
        let number =
            |whole: bool| format.map_or(Ok(decimals::Style::Plain), |it| decimals::Style::compile(it, whole));
        Ok(match kind {
            Kind::Text if format.is_some() => {
                return Err(SpellingError::new("format", "text has no format")
                    .help("name a `type`, or use `pattern` to check the text"));
            }
            Kind::Text => Self::Text,
            Kind::Int => Self::Int(number(true)?),
            Kind::Decimal | Kind::Money => Self::Decimal(number(false)?),
            Kind::Bool => Self::Bool(booleans::Style::compile(format)?),
            Kind::Date => Self::Date(dates::Style::compile(format, pivot)?),
            Kind::Time => Self::Time(times::Style::compile(format, pivot)?),
            Kind::Datetime => Self::Datetime(instants::Style::compile(format, pivot)?),
            Kind::Bytes => Self::Bytes(bytes::Style::compile(format)?),
        })
    }

    fn default_of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Int => Self::Int(decimals::Style::Plain),
            Kind::Decimal | Kind::Money => Self::Decimal(decimals::Style::Plain),
            Kind::Bool => Self::Bool(booleans::Style::Words),
            Kind::Date => Self::Date(dates::Style::Iso),
            Kind::Time => Self::Time(times::Style::Iso),
            Kind::Datetime => Self::Datetime(instants::Style::Iso),
            Kind::Bytes => Self::Bytes(bytes::Style::Base64),
        }
    }

    /// The clean spelling of the same type.
    fn clean(&self) -> Self {
        Self::default_of(match self {
            Self::Text => Kind::Text,
            Self::Int(_) => Kind::Int,
            Self::Decimal(_) => Kind::Decimal,
            Self::Bool(_) => Kind::Bool,
            Self::Date(_) => Kind::Date,
            Self::Time(_) => Kind::Time,
            Self::Datetime(_) => Kind::Datetime,
            Self::Bytes(_) => Kind::Bytes,
        })
    }

    /// What is expected, in words.
    fn describe(&self, kind: Kind, format: Option<&str>) -> Cow<'static, str> {
        if let Self::Bool(style) = self {
            return style.describe().into();
        }
        match format {
            Some(format) => format!("{} as {format}", kind.word()).into(),
            None => Cow::Borrowed(match kind {
                Kind::Text => "text",
                Kind::Int => "int, e.g. 42",
                Kind::Decimal => "decimal, e.g. 1250.00",
                Kind::Money => "money, e.g. 1250.00",
                Kind::Bool => "true or false",
                Kind::Date => "date as 2026-01-31",
                Kind::Time => "time as 13:45:10",
                Kind::Datetime => "datetime as 2026-01-31T13:45:10+01:00",
                Kind::Bytes => "bytes as base64",
            }),
        }
    }
}
