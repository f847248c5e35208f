//! Numbers as legacy systems write them: plain, by example (`1.234,56`), with an implied point (`0000000V00`).

use rust_decimal::Decimal;

use super::SpellingError;

/// How a number is spelt.
#[derive(Debug, Clone, Default)]
pub(super) enum Style {
    /// Optional sign, digits, an optional point; the scale is free.
    #[default]
    Plain,
    /// As an example shows it.
    Example(Example),
    /// Digits only; the point is implied.
    Implied(Implied),
}

/// What an example says.
#[derive(Debug, Clone)]
pub(super) struct Example {
    group: Option<char>,
    point: Option<char>,
    places: u32,
    least: usize,
    sign: Sign,
}

/// Where the point is implied.
#[derive(Debug, Clone)]
pub(super) struct Implied {
    places: u32,
    /// All digits, where the format fixes them.
    width: Option<usize>,
    sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Never,
    Leading,
    Trailing,
    Parentheses,
}

/// What reading a number found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Value(Decimal),
    /// Well spelt, but more digits than a decimal holds.
    TooLong,
    /// Not spelt like that.
    Unreadable,
}

/// Digits being read: as many as a 96-bit mantissa holds.
#[derive(Default)]
struct Sum {
    mantissa: u128,
    seen: usize,
    scale: u32,
    full: bool,
}

const LARGEST: u128 = (1 << 96) - 1;

impl Sum {
    fn push(&mut self, digit: u8) {
        self.mantissa = self.mantissa * 10 + u128::from(digit - b'0');
        self.seen += 1;
        if self.mantissa > LARGEST {
            self.full = true;
            self.mantissa = 0;
        }
    }

    fn number(&self, negative: bool) -> Number {
        if self.seen == 0 {
            return Number::Unreadable;
        }
        let Ok(mantissa) = i128::try_from(self.mantissa) else { return Number::TooLong };
        let signed = if negative { -mantissa } else { mantissa };
        match Decimal::try_from_i128_with_scale(signed, self.scale) {
            Ok(value) if !self.full => Number::Value(value),
            _ => Number::TooLong,
        }
    }
}

impl Style {
    /// The style that an example or an implied point shows. `whole`: numbers without decimals, where a lone
    /// separator can only group.
    pub(super) fn compile(format: &str, whole: bool) -> Result<Self, SpellingError> {
        if format.contains(['V', 'v']) {
            let implied = Implied::compile(format)?;
            if whole && implied.places > 0 {
                return Err(SpellingError::new("format", "a whole number has no decimals")
                    .help("use `type: decimal`"));
            }
            return Ok(Self::Implied(implied));
        }
        let example = Example::compile(format, whole)?;
        if whole && example.places > 0 {
            return Err(
                SpellingError::new("format", "a whole number has no decimals").help("use `type: decimal`")
            );
        }
        Ok(Self::Example(example))
    }

    /// Reads a number without blanks around it.
    pub(super) fn read(&self, raw: &str) -> Number {
        match self {
            Self::Plain => read_plain(raw),
            Self::Example(example) => example.read(raw),
            Self::Implied(implied) => implied.read(raw),
        }
    }

    /// Writes a number; closing zeros that the style has no place for are left out. `None` where digits would be lost
    /// or the style has no sign.
    pub(super) fn write(&self, value: Decimal) -> Option<String> {
        match self {
            Self::Plain => Some(plain(value)),
            Self::Example(example) => example.write(value),
            Self::Implied(implied) => implied.write(value),
        }
    }
}

/// The canonical text: a sign where negative, digits, a point where the scale is not zero. Never an exponent, and never
/// a negative zero.
pub(super) fn plain(value: Decimal) -> String {
    let (whole, fraction) = digits(value, value.scale());
    let mut out = String::with_capacity(whole.len() + fraction.len() + 2);
    if value.mantissa() < 0 {
        out.push('-');
    }
    out.push_str(&whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&fraction);
    }
    out
}

/// Whole digits (at least one) and exactly `places` fraction digits; `value`'s scale is at most `places`.
fn digits(value: Decimal, places: u32) -> (String, String) {
    let missing = usize::try_from(places.saturating_sub(value.scale())).unwrap_or(0);
    let places = usize::try_from(places).unwrap_or(0);
    let mut all = value.mantissa().unsigned_abs().to_string();
    all.extend(std::iter::repeat_n('0', missing));
    if all.len() <= places {
        all.insert_str(0, &"0".repeat(places + 1 - all.len()));
    }
    let fraction = all.split_off(all.len() - places);
    (all, fraction)
}

/// The value with a scale of at most `places`, if that loses nothing.
fn fitted(value: Decimal, places: u32) -> Option<Decimal> {
    if value.scale() <= places {
        return Some(value);
    }
    let shorter = value.normalize();
    (shorter.scale() <= places).then_some(shorter)
}

/// `12`, `-3.50`, `+1.5`, `.5`, `5.`: the lexical forms of xs:decimal.
fn read_plain(raw: &str) -> Number {
    let (negative, body) = leading_sign(raw);
    let mut sum = Sum::default();
    let mut point = false;
    for byte in body.bytes() {
        match byte {
            b'0'..=b'9' => {
                sum.push(byte);
                sum.scale += u32::from(point);
            }
            b'.' if !point => point = true,
            _ => return Number::Unreadable,
        }
    }
    sum.number(negative)
}

fn leading_sign(raw: &str) -> (bool, &str) {
    match raw.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, raw.strip_prefix('+').unwrap_or(raw)),
    }
}

/// Is this the separator that the example shows, in one of the forms that typists and exports use for it?
fn groups(shown: char, found: char) -> bool {
    match shown {
        ' ' | '\u{a0}' | '\u{202f}' => matches!(found, ' ' | '\u{a0}' | '\u{202f}'),
        '\'' | '\u{2019}' => matches!(found, '\'' | '\u{2019}'),
        _ => shown == found,
    }
}

impl Sign {
    /// Takes the sign off. `None` where a sign stands that the style does not have.
    fn split(self, raw: &str) -> Option<(bool, &str)> {
        if self == Self::Parentheses
            && let Some(inner) = raw.strip_prefix('(')
        {
            return Some((true, inner.strip_suffix(')')?));
        }
        if self == Self::Trailing {
            if let Some(body) = raw.strip_suffix('-') {
                return Some((true, body));
            }
            if let Some(body) = raw.strip_suffix('+') {
                return Some((false, body));
            }
        }
        let (negative, body) = leading_sign(raw);
        (!negative || self != Self::Never).then_some((negative, body))
    }

    fn put(self, body: String, negative: bool) -> Option<String> {
        if !negative {
            return Some(body);
        }
        match self {
            Self::Never => None,
            Self::Leading => Some(format!("-{body}")),
            Self::Trailing => Some(format!("{body}-")),
            Self::Parentheses => Some(format!("({body})")),
        }
    }
}

impl Example {
    fn compile(format: &str, whole: bool) -> Result<Self, SpellingError> {
        let (sign, body) = match format.strip_prefix('(').and_then(|it| it.strip_suffix(')')) {
            Some(body) => (Sign::Parentheses, body),
            None => match format.strip_suffix('-') {
                Some(body) => (Sign::Trailing, body),
                None => (Sign::Leading, leading_sign(format).1),
            },
        };
        let marks: Vec<(usize, char)> = body.char_indices().filter(|(_, it)| !it.is_ascii_digit()).collect();
        let known = ['.', ',', '\'', '\u{2019}', ' ', '\u{a0}', '\u{202f}'];
        let wrong = |title: &str| {
            let help =
                "show one, with its separators: `1.234,56`, `1,234.56`, `1 234,56`, `1234.56-`, `0000000V00`";
            Err(SpellingError::new("format", title).help(help))
        };
        if marks.iter().any(|(_, mark)| !known.contains(mark))
            || !body.starts_with(|it: char| it.is_ascii_digit())
        {
            return wrong("the format is not an example of a number");
        }
        let last = marks.last().copied();
        let point = last.filter(|&(at, mark)| {
            let is_point = matches!(mark, '.' | ',');
            let alone = marks.iter().filter(|(_, it)| *it == mark).count() == 1;
            let groups =
                marks.len() == 1 && (whole || at <= 3 && body.len() - at - 1 == 3 && !body.starts_with('0'));
            is_point && alone && !groups
        });
        if !whole && point.is_none() && matches!(marks.as_slice(), [(_, '.' | ',')]) {
            return wrong("the example can be read in two ways: its separator may group or be the point");
        }
        let integer = body.get(..point.map_or(body.len(), |(at, _)| at)).unwrap_or_default();
        let fraction = point.map_or("", |(at, _)| body.get(at + 1..).unwrap_or_default());
        let group = integer.chars().find(|it| !it.is_ascii_digit());
        let least = if integer.starts_with('0') && group.is_none() { integer.len() } else { 1 };
        let example = Self {
            group,
            point: point.map(|(_, mark)| mark),
            places: u32::try_from(fraction.len()).unwrap_or(u32::MAX),
            least,
            sign,
        };
        if example.places > Decimal::MAX_SCALE {
            return wrong("the example has more decimals than a decimal holds (28)");
        }
        if example.read(format) == Number::Unreadable || point.is_some() && fraction.is_empty() {
            return wrong("the example's groups are not of three digits");
        }
        Ok(example)
    }

    fn read(&self, raw: &str) -> Number {
        let Some((negative, body)) = self.sign.split(raw) else { return Number::Unreadable };
        let mut sum = Sum::default();
        let mut run = 0usize;
        let (mut grouped, mut fraction) = (false, false);
        for letter in body.chars() {
            match letter {
                '0'..='9' => {
                    sum.push(u8::try_from(letter).unwrap_or(b'0'));
                    run += 1;
                    sum.scale += u32::from(fraction);
                }
                _ if !fraction && self.point == Some(letter) => {
                    if grouped && run != 3 {
                        return Number::Unreadable;
                    }
                    fraction = true;
                    run = 0;
                }
                _ if !fraction && self.group.is_some_and(|group| groups(group, letter)) => {
                    let whole = if grouped { run == 3 } else { (1..=3).contains(&run) };
                    if !whole {
                        return Number::Unreadable;
                    }
                    grouped = true;
                    run = 0;
                }
                _ => return Number::Unreadable,
            }
        }
        let closed = if fraction { run > 0 && sum.scale <= self.places } else { !grouped || run == 3 };
        if closed { sum.number(negative) } else { Number::Unreadable }
    }

    fn write(&self, value: Decimal) -> Option<String> {
        let value = fitted(value, self.places)?;
        let (whole, fraction) = digits(value, self.places);
        let mut body = String::with_capacity(whole.len() * 2 + fraction.len() + 2);
        body.extend(std::iter::repeat_n('0', self.least.saturating_sub(whole.len())));
        for (place, digit) in whole.chars().enumerate() {
            if let Some(group) = self.group
                && place > 0
                && (whole.len() - place).is_multiple_of(3)
            {
                body.push(group);
            }
            body.push(digit);
        }
        if let Some(point) = self.point {
            body.push(point);
            body.push_str(&fraction);
        }
        self.sign.put(body, value.mantissa() < 0)
    }
}

impl Implied {
    /// `V2`, `0000000V00`, `9(7)V99`, each with a leading `S`, `+` or `-` or a closing `-` where a sign may stand.
    fn compile(format: &str) -> Result<Self, SpellingError> {
        let wrong = |title: &str| {
            Err(SpellingError::new("format", title).help(
                "`V2`: two decimals, any number of digits; `0000000V00` or `9(7)V99`: exactly nine digits",
            ))
        };
        let (sign, body) = match format.strip_prefix(['S', 's', '+', '-']) {
            Some(body) => (Some(Sign::Leading), body),
            None => match format.strip_suffix('-') {
                Some(body) => (Some(Sign::Trailing), body),
                None => (None, format),
            },
        };
        let Some((whole, fraction)) = body.split_once(['V', 'v']) else {
            return wrong("no point is implied");
        };
        let counted = fraction.parse::<u32>().ok();
        let counted =
            counted.filter(|it| whole.is_empty() && *it <= Decimal::MAX_SCALE && !fraction.starts_with('0'));
        let (places, width) = match counted {
            Some(places) => (places, None),
            None => {
                let (Some(whole), Some(places)) = (picture(whole), picture(fraction)) else {
                    return wrong("the format is not a number with an implied point");
                };
                (places, Some(whole + places))
            }
        };
        if places > Decimal::MAX_SCALE || width.is_some_and(|width| width == 0 || width > 31) {
            return wrong("more digits than a decimal holds");
        }
        let sign = sign.unwrap_or(if width.is_some() { Sign::Never } else { Sign::Leading });
        Ok(Self { places, width: width.and_then(|it| usize::try_from(it).ok()), sign })
    }

    fn read(&self, raw: &str) -> Number {
        let Some((negative, body)) = self.sign.split(raw) else { return Number::Unreadable };
        if self.width.is_some_and(|width| width != body.len()) || !body.bytes().all(|it| it.is_ascii_digit())
        {
            return Number::Unreadable;
        }
        let mut sum = Sum { scale: self.places, ..Sum::default() };
        body.bytes().for_each(|byte| sum.push(byte));
        sum.number(negative)
    }

    fn write(&self, value: Decimal) -> Option<String> {
        let value = fitted(value, self.places)?;
        let (whole, fraction) = digits(value, self.places);
        let all = if self.width.is_none() || whole != "0" { whole + &fraction } else { fraction };
        let width = self.width.unwrap_or(all.len());
        if all.len() > width {
            return None;
        }
        self.sign.put(format!("{all:0>width$}"), value.mantissa() < 0)
    }
}

/// The digits of a COBOL picture without its sign: `9(7)`, `999`, `0000`. Empty is none.
fn picture(text: &str) -> Option<u32> {
    let mut count = 0u32;
    let mut rest = text;
    while let Some(after) = rest.strip_prefix(['9', '0']) {
        count += 1;
        rest = after;
        if let Some(inner) = rest.strip_prefix('(') {
            let (repeat, after) = inner.split_once(')')?;
            count += repeat.parse::<u8>().ok().filter(|it| *it > 0).map(u32::from)? - 1;
            rest = after;
        }
        if count > 64 {
            return None;
        }
    }
    rest.is_empty().then_some(count)
}
