//! Writing XML: every text goes through a check and an escape.

use std::fmt::Write as _;

use super::names::is_xml_char;

/// A character that XML can not hold, not even by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("U+{0:04X} can not be written in XML")]
pub(crate) struct Unwritable(pub(crate) u32);

/// Appends character data.
pub(crate) fn text(out: &mut String, text: &str) -> Result<(), Unwritable> {
    escaped(out, text, false)
}

/// Appends an attribute's value, without its quotes (which are double).
pub(crate) fn attribute(out: &mut String, text: &str) -> Result<(), Unwritable> {
    escaped(out, text, true)
}

fn escaped(out: &mut String, text: &str, quoted: bool) -> Result<(), Unwritable> {
    let plain = |it: char| match it {
        '<' | '>' | '&' | '\r' => false,
        '"' | '\n' | '\t' => !quoted,
        it => (' '..'\u{FFFE}').contains(&it),
    };
    let mut rest = text;
    while let Some(at) = rest.find(|it| !plain(it)) {
        let (before, odd) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let mut chars = odd.chars();
        match chars.next() {
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('&') => out.push_str("&amp;"),
            Some('"') => out.push_str("&quot;"),
            Some(it @ ('\n' | '\t')) if !quoted => out.push(it),
            Some(it @ ('\n' | '\t' | '\r')) => {
                let _ = write!(out, "&#{};", u32::from(it));
            }
            Some(it) if is_xml_char(it) => out.push(it),
            Some(it) => return Err(Unwritable(u32::from(it))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Ok(())
}

/// Appends text that is known to hold XML characters only; what is not becomes U+FFFD.
pub(crate) fn lossy(out: &mut String, value: &str) {
    let clean: String = value.chars().map(|it| if is_xml_char(it) { it } else { '\u{FFFD}' }).collect();
    // Every character was made writable above.
    let _ = escaped(out, &clean, true);
}
