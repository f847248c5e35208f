//! `a..b`, durations and patterns.

use std::time::Duration;

use regex::{Regex, RegexBuilder};
use rust_decimal::Decimal;

/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 1_000;
/// Most memory of a compiled pattern: a counted repetition can ask for gigabytes.
const LARGEST_PATTERN: usize = 1 << 20;
/// Longest duration: beyond it nothing is meant seriously.
const LONGEST_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Least and greatest of `a..b`, `..b`, `a..`; a single value is both. `Err` says what was expected.
pub(super) fn between<T: std::str::FromStr + PartialOrd + Clone>(
    text: &str,
) -> Result<(Option<T>, Option<T>), &'static str> {
    const EXPECTED: &str = "expected a..b, ..b, a.. or a single number";
    let one = |part: &str| match part.trim() {
        "" => Ok(None),
        part => part.parse::<T>().map(Some).map_err(|_| EXPECTED),
    };
    let (least, most) = match text.split_once("..") {
        Some((least, most)) => (one(least)?, one(most)?),
        None => {
            let both = one(text)?;
            (both.clone(), both)
        }
    };
    match (&least, &most) {
        (None, None) => Err(EXPECTED),
        (Some(least), Some(most)) if least > most => Err("the least value is greater than the greatest"),
        _ => Ok((least, most)),
    }
}

/// A share or a confidence.
pub(super) fn share(text: &str) -> Option<Decimal> {
    text.parse::<Decimal>().ok().filter(|it| (Decimal::ZERO..=Decimal::ONE).contains(it))
}

/// The time of `500ms`, `8s`, `10m`, `48h`, `30d`, and of several joined: `1h30m`. `None` for anything else, and for more
/// than a century.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let letters = tail.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = tail.trim_start();
    }
    (total <= LONGEST_DURATION).then_some(total)
}

/// A pattern that must match the whole text. `Err` says what is wrong with it.
pub(super) fn whole_match(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("longer than {LONGEST_PATTERN} bytes"));
    }
    let compile = |text: &str| {
        RegexBuilder::new(text).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build().map_err(
            |error| match error {
                regex::Error::CompiledTooBig(_) => "this pattern needs too much memory".to_owned(),
                other => {
                    let text = other.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    last.trim_start_matches("error: ").to_owned()
                }
            },
        )
    };
    // `a)|(b` would close our own group and open another: what can do that must be sound by itself.
    if pattern.contains(['(', ')', '\\']) {
        compile(pattern)?;
    }
    if ignores_blanks(pattern) {
        return Err("the flag `x` is not used here: write the pattern without blanks and comments".into());
    }
    compile(&format!(r"\A(?:{pattern})\z"))
}

/// True for `(?x)`: in such a pattern a comment would swallow what we put around it.
fn ignores_blanks(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|group| {
        let flags =
            group.split(|it: char| !(it.is_ascii_alphabetic() || it == '-')).next().unwrap_or_default();
        let ends = group.get(flags.len()..).is_some_and(|rest| rest.starts_with([')', ':']));
        ends && flags.contains('x')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_durations_and_shares_are_read() {
        for (text, expected) in [
            ("1..40", Ok((Some(1), Some(40)))),
            ("..4000", Ok((None, Some(4000)))),
            ("3..", Ok((Some(3), None))),
            ("12", Ok((Some(12), Some(12)))),
            ("..", Err(())),
            ("", Err(())),
            ("5..1", Err(())),
            ("a..b", Err(())),
            ("-1..2", Err(())),
        ] {
            assert_eq!(between::<u64>(text).map_err(|_| ()), expected, "input: {text:?}");
        }
        for (text, expected) in [
            ("500ms", Some(500)),
            ("8s", Some(8_000)),
            ("48h", Some(172_800_000)),
            ("1h30m", Some(5_400_000)),
            ("30d", Some(2_592_000_000)),
            ("8", None),
            ("s", None),
            ("", None),
            ("8 s", None),
            ("-8s", None),
            ("99999999999999999999d", None),
            ("40000d", None),
            ("8é", None),
        ] {
            assert_eq!(duration(text).map(|it| it.as_millis()), expected, "input: {text:?}");
        }
        assert_eq!(
            (share("0.8").is_some(), share("1.1"), share("-0"), share("x")),
            (true, None, Some(Decimal::ZERO), None)
        );
    }

    #[test]
    fn a_pattern_matches_the_whole_text_or_nothing() {
        for (pattern, text, expected) in [
            (r"C\d{8}", "C12345678", Some(true)),
            (r"C\d{8}", "C123456789", Some(false)),
            ("a|b", "ab", Some(false)),
            ("a)|(b", "a", None),
            ("(a", "a", None),
            ("(?x) a # x", "a", None),
            ("(?i)a#B", "A#b", Some(true)),
            ("a#b", "a#b", Some(true)),
            (r"\w{1000}{1000}", "a", None),
        ] {
            let got = whole_match(pattern).ok().map(|it| it.is_match(text));
            assert_eq!(got, expected, "pattern: {pattern}");
        }
    }
}
