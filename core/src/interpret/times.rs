//! Times of day: ISO 8601 and patterns.

use jiff::civil::{Date, Time};

use super::{
    SpellingError,
    dates::no_pivot,
    iso,
    pattern::{Moment, Pattern, Wanted},
};

/// How a time of day is spelt.
#[derive(Debug, Clone, Default)]
pub(super) enum Style {
    /// `13:45:10.25`
    #[default]
    Iso,
    /// `HHmm`, `HHmmsstt`, …
    Pattern(Pattern),
}

impl Style {
    pub(super) fn compile(format: Option<&str>, pivot: Option<u8>) -> Result<Self, SpellingError> {
        no_pivot(pivot)?;
        Ok(match format {
            None => Self::Iso,
            Some(text) => Self::Pattern(Pattern::compile(text, Wanted::Time, None)?),
        })
    }

    pub(super) fn read(&self, raw: &str) -> Option<Time> {
        match self {
            Self::Iso => iso::read_time(raw),
            Self::Pattern(pattern) => Some(pattern.read(raw)?.time),
        }
    }

    /// Cut, not rounded, to the unit that the pattern ends with.
    pub(super) fn write(&self, time: Time) -> Option<String> {
        match self {
            Self::Iso => {
                let mut out = String::with_capacity(18);
                iso::push_time(&mut out, time);
                Some(out)
            }
            Self::Pattern(pattern) => pattern.write(&Moment { date: Date::default(), time, offset: None }),
        }
    }
}
