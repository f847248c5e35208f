//! Times and sizes as mappings and `vestibule.yaml` spell them.

use std::time::Duration;

/// `500ms`, `5s`, `2m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// Bytes of `1GB`, `64 MiB`, `500kB`, `4096`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_or_refused() {
        for (text, expected) in
            [("500ms", Some(500)), ("7d", Some(604_800_000)), ("5", None), ("ü5s", None), ("", None)]
        {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "input: {text:?}");
        }
        for (text, expected) in [
            ("1GB", Some(1_000_000_000)),
            ("64 MiB", Some(67_108_864)),
            ("4096", Some(4096)),
            ("99999999999TB", None),
            ("GB", None),
            ("1gb", None),
        ] {
            assert_eq!(size(text), expected, "input: {text:?}");
        }
    }
}
