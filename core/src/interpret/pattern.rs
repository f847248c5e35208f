//! Patterns of dates and times: `ddMMyyyy`, `dd.MM.yyyy HH:mm`, `yyyy-MM-dd'T'HH:mm:ssXXX`.
//!
//! Reading is strict: every item takes exactly the characters it stands for and nothing may be left, so `1112026`
//! is never a `ddMMyyyy`. That is why no `strptime` is used: those guess where digits run together.

use jiff::{
    civil::{Date, Time},
    tz::Offset,
};

use super::{
    SpellingError, iso,
    scan::{Scan, push_padded},
};

/// What a pattern must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Date,
    Time,
    DateTime,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    items: Box<[Item]>,
    /// First two-digit year of the 1900s; 0 where the pattern has no such year.
    pivot: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Literal(char),
    Year,
    ShortYear,
    Century,
    Month { padded: bool },
    MonthName,
    Day { padded: bool },
    Ordinal,
    Hour { padded: bool },
    Minute,
    Second,
    Fraction(u8),
    Offset(u8),
}

/// What the items of a pattern say, before it is known to be a real date.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    year: Option<u32>,
    short_year: u32,
    century: Option<u32>,
    month: u32,
    day: u32,
    ordinal: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    offset: Option<Offset>,
}

/// A point on the calendar and the clock, as far as a pattern says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub(super) date: Date,
    pub(super) time: Time,
    pub(super) offset: Option<Offset>,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Item {
    /// The item of a run of one letter.
    fn of(letter: char, count: usize) -> Result<Self, &'static str> {
        Ok(match (letter, count) {
            ('y', 4) => Self::Year,
            ('y', 2) => Self::ShortYear,
            ('y', _) => return Err("a year is `yyyy` or `yy`"),
            ('c', 1) => Self::Century,
            ('c', _) => return Err("the century digit is one `c`"),
            ('M', 1) => Self::Month { padded: false },
            ('M', 2) => Self::Month { padded: true },
            ('M', 3) => Self::MonthName,
            ('M', _) => return Err("a month is `MM`, `M`, or `MMM` for its English abbreviation"),
            ('d', 1) => Self::Day { padded: false },
            ('d', 2) => Self::Day { padded: true },
            ('d', _) => return Err("a day is `dd` or `d`; the day of the year is `DDD`"),
            ('D', 3) => Self::Ordinal,
            ('D', _) => return Err("the day of the year is `DDD`; the day of the month is `dd`"),
            ('H', 1) => Self::Hour { padded: false },
            ('H', 2) => Self::Hour { padded: true },
            ('H', _) => return Err("an hour is `HH` or `H`"),
            ('m', 2) => Self::Minute,
            ('m', _) => return Err("minutes are `mm`; months are `MM`"),
            ('s', 2) => Self::Second,
            ('s', _) => return Err("seconds are `ss`"),
            ('t', 2) => Self::Fraction(2),
            ('t', _) => return Err("hundredths of a second are `tt`"),
            ('S', 1..=9) => Self::Fraction(u8::try_from(count).unwrap_or(9)),
            ('S', _) => return Err("a fraction of a second has at most nine `S`"),
            ('X', 1..=3) => Self::Offset(u8::try_from(count).unwrap_or(3)),
            ('X', _) => return Err("an offset is `X` (+01), `XX` (+0100) or `XXX` (+01:00)"),
            ('Y', _) => return Err("a year is `yyyy` or `yy`, in small letters"),
            ('h' | 'a', _) => return Err("hours are `HH`, from 00 to 23; there is no 12-hour clock"),
            _ => return Err("letters stand between quotes: `'T'`"),
        })
    }

    /// What may stand only once, as a bit.
    fn unit(self) -> u16 {
        match self {
            Self::Literal(_) => 0,
            Self::Year | Self::ShortYear => YEAR,
            Self::Century => CENTURY,
            Self::Month { .. } | Self::MonthName => MONTH,
            Self::Day { .. } => DAY,
            Self::Ordinal => ORDINAL,
            Self::Hour { .. } => HOUR,
            Self::Minute => MINUTE,
            Self::Second => SECOND,
            Self::Fraction(_) => FRACTION,
            Self::Offset(_) => OFFSET,
        }
    }

    fn has_open_width(self) -> bool {
        matches!(
            self,
            Self::Month { padded: false } | Self::Day { padded: false } | Self::Hour { padded: false }
        )
    }

    fn starts_with_digit(self) -> bool {
        match self {
            Self::Literal(letter) => letter.is_ascii_digit(),
            Self::MonthName | Self::Offset(_) => false,
            _ => true,
        }
    }
}

const YEAR: u16 = 1;
const CENTURY: u16 = 1 << 1;
const MONTH: u16 = 1 << 2;
const DAY: u16 = 1 << 3;
const ORDINAL: u16 = 1 << 4;
const HOUR: u16 = 1 << 5;
const MINUTE: u16 = 1 << 6;
const SECOND: u16 = 1 << 7;
const FRACTION: u16 = 1 << 8;
const OFFSET: u16 = 1 << 9;
const OF_DATES: u16 = YEAR | CENTURY | MONTH | DAY | ORDINAL;
const OF_TIMES: u16 = HOUR | MINUTE | SECOND | FRACTION;

impl Pattern {
    /// Compiles a pattern; every combination that would leave a date or time open is refused.
    pub(super) fn compile(text: &str, wanted: Wanted, pivot: Option<u8>) -> Result<Self, SpellingError> {
        let mut items: Vec<Item> = Vec::new();
        let mut units = 0;
        for (at, item) in tokens(text)? {
            let part = |title: &str| SpellingError::part("format", at.clone(), title);
            if units & item.unit() != 0 {
                return Err(part("stands twice in the format"));
            }
            if items.last().is_some_and(|last| last.has_open_width()) && item.starts_with_digit() {
                return Err(part("one or two digits run into the next number")
                    .help("write two letters (`dd`, `MM`, `HH`) or put a separator between"));
            }
            units |= item.unit();
            items.push(item);
        }
        complete(units, wanted)?;
        let short = items.contains(&Item::ShortYear) && units & CENTURY == 0;
        let pivot = match (short, pivot) {
            (true, Some(pivot)) if pivot <= 100 => pivot,
            (true, Some(_)) => return Err(SpellingError::new("pivot", "a pivot is a two-digit year").help(
                "`pivot: 40` reads 40..99 as 1940..1999 and 00..39 as 2000..2039; 100 makes every year 20xx",
            )),
            (true, None) => {
                return Err(SpellingError::new("pivot", "a two-digit year needs a pivot")
                    .help("`pivot: 40` reads 40..99 as 1940..1999 and 00..39 as 2000..2039"));
            }
            (false, Some(_)) => {
                return Err(
                    SpellingError::new("pivot", "the format has no two-digit year").help("leave `pivot` out")
                );
            }
            (false, None) => 0,
        };
        Ok(Self { items: items.into(), pivot })
    }

    /// Reads the whole text.
    pub(super) fn read(&self, raw: &str) -> Option<Moment> {
        let mut scan = Scan::new(raw);
        let mut parts = Parts::default();
        for item in &self.items {
            parts.take(*item, &mut scan)?;
        }
        if !scan.is_done() {
            return None;
        }
        parts.moment(self.pivot)
    }

    /// Writes a moment; a clock time is cut to the unit that the pattern ends with. `None` where the pattern has no
    /// spelling for the year.
    pub(super) fn write(&self, moment: &Moment) -> Option<String> {
        let mut out = String::with_capacity(self.items.len() * 2 + 8);
        for item in &self.items {
            self.put(*item, moment, &mut out)?;
        }
        Some(out)
    }

    /// True where the text says its own offset from UTC.
    pub(super) fn has_offset(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Offset(_)))
    }

    fn put(&self, item: Item, moment: &Moment, out: &mut String) -> Option<()> {
        let (date, time) = (moment.date, moment.time);
        let unsigned = |number: i8| u32::try_from(number).ok();
        let open = |padded: bool| if padded { 2 } else { 1 };
        match item {
            Item::Literal(letter) => out.push(letter),
            Item::Year => push_padded(out, u32::try_from(date.year()).ok()?, 4),
            Item::ShortYear => {
                let year = u32::try_from(date.year()).ok()?;
                let fits = self.has_century() || window(year % 100, self.pivot) == year;
                push_padded(out, fits.then_some(year % 100)?, 2);
            }
            Item::Century => {
                let since = u32::try_from(date.year()).ok()?.checked_sub(1900)? / 100;
                push_padded(out, (since <= 9).then_some(since)?, 1);
            }
            Item::Month { padded } => push_padded(out, unsigned(date.month())?, open(padded)),
            Item::MonthName => out.push_str(MONTHS.get(usize::try_from(date.month() - 1).ok()?)?),
            Item::Day { padded } => push_padded(out, unsigned(date.day())?, open(padded)),
            Item::Ordinal => push_padded(out, u32::try_from(date.day_of_year()).ok()?, 3),
            Item::Hour { padded } => push_padded(out, unsigned(time.hour())?, open(padded)),
            Item::Minute => push_padded(out, unsigned(time.minute())?, 2),
            Item::Second => push_padded(out, unsigned(time.second())?, 2),
            Item::Fraction(digits) => {
                let nanos = u32::try_from(time.subsec_nanosecond()).ok()?;
                push_padded(out, nanos / 10u32.pow(9 - u32::from(digits)), usize::from(digits));
            }
            Item::Offset(letters) => iso::push_offset(out, moment.offset?, letters),
        }
        Some(())
    }

    fn has_century(&self) -> bool {
        self.items.contains(&Item::Century)
    }
}

impl Parts {
    fn take(&mut self, item: Item, scan: &mut Scan<'_>) -> Option<()> {
        let number = |scan: &mut Scan<'_>, padded: bool| if padded { scan.digits(2) } else { scan.short() };
        match item {
            Item::Literal(letter) => return scan.take(letter).then_some(()),
            Item::Year => self.year = Some(scan.digits(4)?),
            Item::ShortYear => self.short_year = scan.digits(2)?,
            Item::Century => self.century = Some(scan.digits(1)?),
            Item::Month { padded } => self.month = number(scan, padded)?,
            Item::MonthName => {
                let name = scan.bytes(3)?;
                let place = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
                self.month = u32::try_from(place + 1).ok()?;
            }
            Item::Day { padded } => self.day = number(scan, padded)?,
            Item::Ordinal => self.ordinal = Some(scan.digits(3)?),
            Item::Hour { padded } => self.hour = number(scan, padded)?,
            Item::Minute => self.minute = scan.digits(2)?,
            Item::Second => self.second = scan.digits(2)?,
            Item::Fraction(digits) => {
                self.nanos = scan.digits(usize::from(digits))? * 10u32.pow(9 - u32::from(digits));
            }
            Item::Offset(letters) => self.offset = Some(iso::take_offset(scan, letters)?),
        }
        Some(())
    }

    fn moment(&self, pivot: u8) -> Option<Moment> {
        let year = match (self.year, self.century) {
            (Some(year), _) => year,
            (None, Some(century)) => 1900 + 100 * century + self.short_year,
            (None, None) => window(self.short_year, pivot),
        };
        let date = match self.ordinal {
            Some(day) => ordinal_date(year, day)?,
            // A pattern of times alone says no date; any real one will do.
            None if self.month == 0 && self.day == 0 && self.year.is_none() => Date::default(),
            None => iso::date(year, self.month, self.day)?,
        };
        Some(Moment {
            date,
            time: iso::time(self.hour, self.minute, self.second, self.nanos)?,
            offset: self.offset,
        })
    }
}

/// The year that two digits mean.
fn window(short: u32, pivot: u8) -> u32 {
    if short >= u32::from(pivot) { 1900 + short } else { 2000 + short }
}

fn ordinal_date(year: u32, day: u32) -> Option<Date> {
    let first = iso::date(year, 1, 1)?;
    first.with().day_of_year(i16::try_from(day).ok()?).build().ok()
}

/// The items of a pattern with the bytes they stand at.
fn tokens(text: &str) -> Result<Vec<(std::ops::Range<usize>, Item)>, SpellingError> {
    let mut found = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((start, letter)) = letters.next() {
        if letter == '\'' {
            let mut end = None;
            let before = found.len();
            for (at, inside) in letters.by_ref() {
                if inside == '\'' {
                    end = Some(at + 1);
                    break;
                }
                found.push((at..at + inside.len_utf8(), Item::Literal(inside)));
            }
            let Some(end) = end else {
                return Err(SpellingError::part("format", start..text.len(), "the quote is not closed"));
            };
            if found.len() == before {
                found.push((start..end, Item::Literal('\'')));
            }
        } else if letter.is_alphabetic() {
            let mut count = 1;
            while letters.next_if(|(_, next)| *next == letter).is_some() {
                count += 1;
            }
            let at = start..start + count * letter.len_utf8();
            let item = Item::of(letter, count).map_err(|help| {
                let shown = text.get(at.clone()).unwrap_or_default();
                SpellingError::part(
                    "format",
                    at.clone(),
                    &format!("`{shown}` is not a part of a date or time"),
                )
                .help(help)
            })?;
            found.push((at, item));
        } else {
            found.push((start..start + letter.len_utf8(), Item::Literal(letter)));
        }
    }
    Ok(found)
}

/// Refuses what would leave a date or a time open.
fn complete(units: u16, wanted: Wanted) -> Result<(), SpellingError> {
    let has = |all: u16| units & all == all;
    let wrong = |title: &str, help: &str| Err(SpellingError::new("format", title).help(help));
    if wanted != Wanted::DateTime && units & OFFSET != 0 {
        return wrong("only a datetime has an offset", "use `type: datetime`, or leave `X` out");
    }
    if wanted == Wanted::Date && units & OF_TIMES != 0 {
        return wrong("a date has no time of day", "use `type: datetime`; months are `MM`, minutes are `mm`");
    }
    if wanted == Wanted::Time && units & OF_DATES != 0 {
        return wrong("a time has no date", "use `type: datetime`; minutes are `mm`, months are `MM`");
    }
    if wanted != Wanted::Time {
        let whole = has(YEAR | MONTH | DAY) || has(YEAR | ORDINAL) && units & (MONTH | DAY) == 0;
        if !whole {
            return wrong("the format does not name a whole date", "e.g. `yyyyMMdd`, `dd.MM.yyyy`, `yyDDD`");
        }
        if has(ORDINAL | DAY) {
            return wrong(
                "both a day of the month and a day of the year",
                "keep `dd` with `MM`, or `DDD` alone",
            );
        }
    }
    if wanted == Wanted::DateTime && !has(HOUR) {
        return wrong("the format has no time of day", "use `type: date`, or add `HH` and `mm`");
    }
    if wanted == Wanted::Time && !has(HOUR | MINUTE) {
        return wrong("a time needs hours and minutes", "e.g. `HHmm`, `HH:mm:ss`");
    }
    let gap = units & SECOND != 0 && units & MINUTE == 0 || units & FRACTION != 0 && units & SECOND == 0;
    if gap {
        return wrong(
            "the format leaves out a unit in between",
            "seconds need minutes, fractions need seconds",
        );
    }
    Ok(())
}
