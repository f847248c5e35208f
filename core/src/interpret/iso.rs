//! ISO 8601 as XML Schema writes it: the default spelling of dates, times and instants, and the canonical one.

use jiff::{
    civil::{Date, Time},
    tz::Offset,
};

use super::scan::{Scan, push_padded};

/// A calendar date, if it is one: month lengths and leap years hold.
pub(super) fn date(year: u32, month: u32, day: u32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// A time of day, if it is one: 00:00:00 to 23:59:59.999999999.
pub(super) fn time(hour: u32, minute: u32, second: u32, nanos: u32) -> Option<Time> {
    let part = |number: u32| i8::try_from(number).ok();
    Time::new(part(hour)?, part(minute)?, part(second)?, i32::try_from(nanos).ok()?).ok()
}

/// `2026-01-31`. A zone suffix (`Z`, `+01:00`) and a midnight (`T00:00:00`, as .NET clients send) are passed over: the
/// calendar date is kept as it stands.
pub(super) fn read_date(raw: &str) -> Option<Date> {
    let mut scan = Scan::new(raw);
    let date = take_date(&mut scan)?;
    if scan.take('T') && take_time(&mut scan)? != Time::midnight() {
        return None;
    }
    at_zone_or_end(scan).then_some(date)
}

/// `13:45`, `13:45:10`, `13:45:10.250`. A zone suffix is passed over: the clock time is kept as it stands.
pub(super) fn read_time(raw: &str) -> Option<Time> {
    let mut scan = Scan::new(raw);
    let time = take_time(&mut scan)?;
    at_zone_or_end(scan).then_some(time)
}

/// `2026-01-31T13:45:10.25+01:00`; a space may stand for the `T`, seconds and offset may be missing.
pub(super) fn read_datetime(raw: &str) -> Option<(Date, Time, Option<Offset>)> {
    let mut scan = Scan::new(raw);
    let date = take_date(&mut scan)?;
    if !scan.take('T') && !scan.take(' ') {
        return None;
    }
    let time = take_time(&mut scan)?;
    let offset = if scan.is_done() { None } else { Some(take_offset(&mut scan, 3)?) };
    scan.is_done().then_some((date, time, offset))
}

fn at_zone_or_end(mut scan: Scan<'_>) -> bool {
    scan.is_done() || take_offset(&mut scan, 3).is_some() && scan.is_done()
}

fn take_date(scan: &mut Scan<'_>) -> Option<Date> {
    let year = scan.digits(4)?;
    let month = scan.take('-').then(|| scan.digits(2))??;
    let day = scan.take('-').then(|| scan.digits(2))??;
    date(year, month, day)
}

fn take_time(scan: &mut Scan<'_>) -> Option<Time> {
    let hour = scan.digits(2)?;
    let minute = scan.take(':').then(|| scan.digits(2))??;
    let second = if scan.take(':') { scan.digits(2)? } else { return time(hour, minute, 0, 0) };
    let nanos = if scan.take('.') { scan.billionths()? } else { 0 };
    time(hour, minute, second, nanos)
}

/// `Z`, or a sign with `+01` or `+0130` (one letter), `+0100` (two), `+01:00` (three).
pub(super) fn take_offset(scan: &mut Scan<'_>, letters: u8) -> Option<Offset> {
    if scan.take('Z') {
        return Some(Offset::UTC);
    }
    let east = scan.take('+');
    if !east && !scan.take('-') {
        return None;
    }
    let hours = scan.digits(2)?;
    let minutes = match letters {
        1 if scan.run(2) < 2 => 0,
        1 | 2 => scan.digits(2)?,
        _ => scan.take(':').then(|| scan.digits(2))??,
    };
    // XML Schema's bound; no place on earth is further from Greenwich.
    if hours * 60 + minutes > 14 * 60 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    Offset::from_seconds(if east { seconds } else { -seconds }).ok()
}

/// Writes an offset, `Z` for zero; `letters` as in [`take_offset`]. Seconds, which only local mean times before about
/// 1930 have, must have been rounded away with [`whole_minutes`].
pub(super) fn push_offset(out: &mut String, offset: Offset, letters: u8) {
    let minutes = offset.seconds() / 60;
    if minutes == 0 {
        out.push('Z');
        return;
    }
    out.push(if minutes < 0 { '-' } else { '+' });
    let minutes = minutes.unsigned_abs();
    push_padded(out, minutes / 60, 2);
    if letters == 1 && minutes.is_multiple_of(60) {
        return;
    }
    if letters == 3 {
        out.push(':');
    }
    push_padded(out, minutes % 60, 2);
}

/// The offset that ISO 8601 can write: without seconds.
pub(super) fn whole_minutes(offset: Offset) -> Offset {
    Offset::from_seconds(offset.seconds() / 60 * 60).unwrap_or(Offset::UTC)
}

/// `2026-01-31`; `None` for a year that four digits can not hold.
pub(super) fn push_date(out: &mut String, date: Date) -> Option<()> {
    push_padded(out, u32::try_from(date.year()).ok()?, 4);
    out.push('-');
    push_padded(out, u32::try_from(date.month()).ok()?, 2);
    out.push('-');
    push_padded(out, u32::try_from(date.day()).ok()?, 2);
    Some(())
}

/// `13:45:10`, and a fraction without closing zeros where there is one.
pub(super) fn push_time(out: &mut String, time: Time) {
    let part = |number: i8| u32::try_from(number).unwrap_or(0);
    push_padded(out, part(time.hour()), 2);
    out.push(':');
    push_padded(out, part(time.minute()), 2);
    out.push(':');
    push_padded(out, part(time.second()), 2);
    let nanos = u32::try_from(time.subsec_nanosecond()).unwrap_or(0);
    if nanos > 0 {
        out.push('.');
        push_padded(out, nanos, 9);
        out.truncate(out.trim_end_matches('0').len());
    }
}
