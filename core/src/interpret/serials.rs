//! Day numbers of spreadsheets, with the leap day that 1900 never had.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, date},
};

use super::scan::{Scan, push_padded};

/// Which day is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epoch {
    /// Day 1 is 1900-01-01; day 60 is the 29 February 1900 that Lotus 1-2-3 invented, and no date.
    Excel1900,
    /// Day 0 is 1904-01-01.
    Excel1904,
}

const DAY_MS: u64 = 86_400_000;
const LAST: Date = date(9999, 12, 31);

impl Epoch {
    /// A whole day number; `45292` or `45292.0`.
    pub(super) fn read_date(self, raw: &str) -> Option<Date> {
        let (day, ms) = split(raw)?;
        if ms == 0 { self.date(day) } else { None }
    }

    /// A day number with the time as its fraction, to the millisecond.
    pub(super) fn read_datetime(self, raw: &str) -> Option<DateTime> {
        let (day, ms) = split(raw)?;
        let midnight = self.date(day)?.to_datetime(Time::midnight());
        midnight.checked_add(i64::try_from(ms).ok()?.milliseconds()).ok()
    }

    /// `None` for dates before the first day number or after the year 9999.
    pub(super) fn write_date(self, date: Date) -> Option<String> {
        Some(self.number(date)?.to_string())
    }

    /// Cut to the millisecond.
    pub(super) fn write_datetime(self, at: DateTime) -> Option<String> {
        let mut out = self.write_date(at.date())?;
        let time = at.time();
        let seconds =
            (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
        let ms = u64::try_from(seconds * 1000 + i64::from(time.millisecond())).ok()?;
        if ms > 0 {
            // Nine digits of a day are a tenth of a millisecond: reading rounds back to the same one.
            let billionths = (ms * 1_000_000_000 + DAY_MS / 2) / DAY_MS;
            out.push('.');
            push_padded(&mut out, u32::try_from(billionths).ok()?, 9);
            out.truncate(out.trim_end_matches('0').len());
        }
        Some(out)
    }

    fn date(self, day: u32) -> Option<Date> {
        let (first, since) = match self {
            Self::Excel1904 => (date(1904, 1, 1), day),
            Self::Excel1900 if day == 0 || day == 60 => return None,
            Self::Excel1900 => (date(1900, 1, 1), if day > 60 { day - 2 } else { day - 1 }),
        };
        first.checked_add(i64::from(since).days()).ok()
    }

    fn number(self, day: Date) -> Option<u32> {
        let since = |first: Date| u32::try_from((day - first).get_days()).ok();
        if day > LAST {
            return None;
        }
        match self {
            Self::Excel1904 => since(date(1904, 1, 1)),
            Self::Excel1900 => {
                let since = since(date(1900, 1, 1))?;
                Some(if since >= 59 { since + 2 } else { since + 1 })
            }
        }
    }
}

/// Days and the milliseconds of the last one. At most seven digits of days and fifteen of a fraction, as a double has.
fn split(raw: &str) -> Option<(u32, u64)> {
    let mut scan = Scan::new(raw);
    let day = scan.digits(scan.run(8).clamp(1, 8))?;
    if scan.is_done() {
        return Some((day, 0));
    }
    if !scan.take('.') || scan.rest().len() > 15 {
        return None;
    }
    let digits = scan.rest();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u128 = digits.parse().ok()?;
    let whole = 10u128.pow(u32::try_from(digits.len()).ok()?);
    let ms = (fraction * u128::from(DAY_MS) + whole / 2) / whole;
    Some((day, u64::try_from(ms).ok()?))
}
