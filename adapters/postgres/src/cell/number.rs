//! Numbers that PostgreSQL spells as no mapping reads them.

/// Digits that a number of double precision can have without its exponent: 308 before the point, or 324 and 17 after it.
const MOST: usize = 400;

/// `1.5e+20` in digits alone. `None`: it has no exponent, or is none (`NaN`, `Infinity`).
pub(super) fn without_exponent(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if !digits.bytes().all(|it| it.is_ascii_digit()) || digits.len() > MOST {
        return None;
    }
    let before = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let moved = usize::try_from(before.unsigned_abs()).ok().filter(|it| *it <= MOST)?;
    if before <= 0 {
        return Some(format!("{sign}0.{}{digits}", "0".repeat(moved)));
    }
    Some(match digits.split_at_checked(moved) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, part)) => format!("{sign}{whole}.{part}"),
        None => format!("{sign}{digits}{}", "0".repeat(moved.saturating_sub(digits.len()))),
    })
}

/// `-$1,234.50` as `-1234.50`. `None`: it is no amount in this spelling.
pub(super) fn without_currency(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|it| !matches!(it, '$' | ',')).collect();
    let body = digits.strip_prefix('-').unwrap_or(&digits);
    let is_amount = !body.is_empty() && body.bytes().all(|it| it.is_ascii_digit() || it == b'.');
    is_amount.then_some(digits)
}
