//! Instants: ISO 8601, patterns, spreadsheets' numbers, seconds since 1970; and local times put on a time zone.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::{
    SpellingError,
    dates::no_pivot,
    iso,
    pattern::{Moment, Pattern, Wanted},
    serials::Epoch,
};

/// How an instant is spelt.
#[derive(Debug, Clone, Default)]
pub(super) enum Style {
    /// `2026-01-31T13:45:10+01:00`; without an offset it is local.
    #[default]
    Iso,
    /// `yyyyMMddHHmmss`, …
    Pattern(Pattern),
    /// A spreadsheet's day number; local.
    Serial(Epoch),
    /// Whole seconds since 1970-01-01T00:00:00Z.
    Seconds,
    /// Whole milliseconds since then.
    Milliseconds,
}

/// An instant that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Instant {
    pub(super) at: Timestamp,
    pub(super) offset: Offset,
    /// True where the zone skips this local time, or has it twice.
    pub(super) is_doubtful: bool,
}

impl Style {
    pub(super) fn compile(format: Option<&str>, pivot: Option<u8>) -> Result<Self, SpellingError> {
        let style = match format {
            None => Self::Iso,
            Some("excel") => Self::Serial(Epoch::Excel1900),
            Some("excel-1904") => Self::Serial(Epoch::Excel1904),
            Some("epoch") => Self::Seconds,
            Some("epoch-ms") => Self::Milliseconds,
            Some(text) => return Ok(Self::Pattern(Pattern::compile(text, Wanted::DateTime, pivot)?)),
        };
        no_pivot(pivot)?;
        Ok(style)
    }

    pub(super) fn read(&self, raw: &str, zone: &TimeZone) -> Option<Instant> {
        let (local, offset) = match self {
            Self::Iso => {
                let (date, time, offset) = iso::read_datetime(raw)?;
                (date.to_datetime(time), offset)
            }
            Self::Pattern(pattern) => {
                let moment = pattern.read(raw)?;
                (moment.date.to_datetime(moment.time), moment.offset)
            }
            Self::Serial(epoch) => (epoch.read_datetime(raw)?, None),
            Self::Seconds => return since_1970(Timestamp::from_second(whole(raw)?).ok()?, zone),
            Self::Milliseconds => return since_1970(Timestamp::from_millisecond(whole(raw)?).ok()?, zone),
        };
        match offset {
            Some(offset) => {
                Some(Instant { at: offset.to_timestamp(local).ok()?, offset, is_doubtful: false })
            }
            None => put_on_zone(local, zone),
        }
    }

    /// Cut to the format's smallest unit. Formats without an offset write the zone's local time.
    pub(super) fn write(&self, at: Timestamp, offset: Offset, zone: &TimeZone) -> Option<String> {
        match self {
            Self::Iso => {
                let mut out = String::with_capacity(35);
                push_iso(&mut out, at, offset)?;
                Some(out)
            }
            Self::Pattern(pattern) if pattern.has_offset() => {
                let offset = iso::whole_minutes(offset);
                let local = offset.to_datetime(at);
                pattern.write(&Moment { date: local.date(), time: local.time(), offset: Some(offset) })
            }
            Self::Pattern(pattern) => {
                let (date, time) = local(at, zone);
                pattern.write(&Moment { date, time, offset: None })
            }
            Self::Serial(epoch) => {
                let (date, time) = local(at, zone);
                epoch.write_datetime(date.to_datetime(time))
            }
            Self::Seconds => Some(at.as_nanosecond().div_euclid(1_000_000_000).to_string()),
            Self::Milliseconds => Some(at.as_nanosecond().div_euclid(1_000_000).to_string()),
        }
    }
}

/// `2026-01-31T13:45:10.25+01:00`. `None` for a year that four digits can not hold.
pub(super) fn push_iso(out: &mut String, at: Timestamp, offset: Offset) -> Option<()> {
    let offset = iso::whole_minutes(offset);
    let local = offset.to_datetime(at);
    iso::push_date(out, local.date())?;
    out.push('T');
    iso::push_time(out, local.time());
    iso::push_offset(out, offset, 3);
    Some(())
}

fn local(at: Timestamp, zone: &TimeZone) -> (Date, Time) {
    let local = zone.to_datetime(at);
    (local.date(), local.time())
}

fn since_1970(at: Timestamp, zone: &TimeZone) -> Option<Instant> {
    Some(Instant { at, offset: zone.to_offset(at), is_doubtful: false })
}

/// An optional minus and digits.
fn whole(raw: &str) -> Option<i64> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| raw.parse().ok())?
}

/// The instant of a local time. In a gap (clocks go forward) it is as far past the gap's start as the clock would
/// have shown; in a fold (clocks go back) it is the earlier of the two. Both are doubtful.
fn put_on_zone(local: DateTime, zone: &TimeZone) -> Option<Instant> {
    let found = zone.to_ambiguous_timestamp(local);
    let (before, is_doubtful) = match found.offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset, false),
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => (before, true),
    };
    let at = before.to_timestamp(local).ok()?;
    let offset = if is_doubtful { zone.to_offset(at) } else { before };
    Some(Instant { at, offset, is_doubtful })
}
