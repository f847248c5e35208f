//! Sizes and durations as people write them.

use std::time::Duration;

/// Bytes of `10MiB`, `64 KiB`, `500kB`, `4096`. `None` for anything else, and for what does not fit.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let factor: usize = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number).ok()?.checked_mul(factor)
}

/// The time of `250ms`, `30s`, `10m`, `2h`. `None` for anything else, and for what is not between 1 ms and a day.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.checked_mul(factor)?;
    (1..=86_400_000).contains(&millis).then(|| Duration::from_millis(millis))
}

/// The time of `500ms`, `30s`, `10m`, `48h`, `90d`: as [`duration`], and up to ten years.
pub fn period(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let days = if unit == "d" { Some(number) } else { None };
    let long = match (days, unit) {
        (Some(days), _) => days.checked_mul(24 * 3600),
        (None, "h") => number.checked_mul(3600),
        _ => return duration(text),
    };
    long.filter(|it| (1..=LONGEST_PERIOD).contains(it)).map(Duration::from_secs)
}

const LONGEST_PERIOD: u64 = 3660 * 24 * 3600;

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_families_of_units() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("10MiB", Some(10 * 1024 * 1024)),
            ("64 KiB", Some(65536)),
            ("2MB", Some(2_000_000)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("10mib", None),
            ("99999999999999999999", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(size(text), expected, "input: {text:?}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_a_sensible_length() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("10 m", Some(600_000)),
            ("24h", Some(86_400_000)),
            ("25h", None),
            ("0s", None),
            ("30", None),
            ("s", None),
            ("1d", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "input: {text:?}");
        }
    }

    #[test]
    fn periods_may_be_days_and_years_long() {
        for (text, expected) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("48h", Some(Duration::from_secs(172_800))),
            ("30d", Some(Duration::from_secs(2_592_000))),
            ("3660d", Some(Duration::from_secs(3660 * 86_400))),
            ("3661d", None),
            ("0d", None),
            ("30", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(period(text), expected, "input: {text:?}");
        }
    }
}
