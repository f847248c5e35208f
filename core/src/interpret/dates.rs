//! Calendar dates: ISO 8601, patterns, and the day numbers of spreadsheets.

use jiff::civil::Date;

use super::{
    SpellingError, iso,
    pattern::{Moment, Pattern, Wanted},
    serials::Epoch,
};

/// How a date is spelt.
#[derive(Debug, Clone, Default)]
pub(super) enum Style {
    /// `2026-01-31`
    #[default]
    Iso,
    /// `ddMMyyyy`, `yyDDD`, …
    Pattern(Pattern),
    /// A spreadsheet's day number.
    Serial(Epoch),
}

impl Style {
    pub(super) fn compile(format: Option<&str>, pivot: Option<u8>) -> Result<Self, SpellingError> {
        let style = match format {
            None => Self::Iso,
            Some("excel") => Self::Serial(Epoch::Excel1900),
            Some("excel-1904") => Self::Serial(Epoch::Excel1904),
            Some(text) => return Ok(Self::Pattern(Pattern::compile(text, Wanted::Date, pivot)?)),
        };
        no_pivot(pivot)?;
        Ok(style)
    }

    pub(super) fn read(&self, raw: &str) -> Option<Date> {
        match self {
            Self::Iso => iso::read_date(raw),
            Self::Pattern(pattern) => Some(pattern.read(raw)?.date),
            Self::Serial(epoch) => epoch.read_date(raw),
        }
    }

    /// `None` where the year has no spelling.
    pub(super) fn write(&self, date: Date) -> Option<String> {
        match self {
            Self::Iso => {
                let mut out = String::with_capacity(10);
                iso::push_date(&mut out, date)?;
                Some(out)
            }
            Self::Pattern(pattern) => {
                pattern.write(&Moment { date, time: jiff::civil::Time::midnight(), offset: None })
            }
            Self::Serial(epoch) => epoch.write_date(date),
        }
    }
}

/// Refuses a pivot where nothing has a two-digit year.
pub(super) fn no_pivot(pivot: Option<u8>) -> Result<(), SpellingError> {
    match pivot {
        Some(_) => {
            Err(SpellingError::new("pivot", "the format has no two-digit year").help("leave `pivot` out"))
        }
        None => Ok(()),
    }
}
