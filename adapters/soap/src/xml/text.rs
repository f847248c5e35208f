//! Character data and attribute values: characters, references, line ends.

use std::borrow::Cow;

use super::{
    error::{Problem, shown},
    names::{bad_char, is_xml_char},
};

/// Set for bytes that are not white space.
const VISIBLE: u8 = 1;
/// Set for bytes that must be looked at: controls, `\r`, `]`, and the first byte of U+FFFE and U+FFFF.
const ODD: u8 = 2;
/// Set for bytes that end the quick way through an attribute's value.
const IN_VALUE: u8 = 4;

const CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, with every index below 256")]
const fn classes() -> [u8; 256] {
    let mut all = [VISIBLE; 256];
    let mut byte = 0;
    while byte < 0x20 {
        all[byte] = VISIBLE | ODD | IN_VALUE;
        byte += 1;
    }
    all[b' ' as usize] = 0;
    all[b'\t' as usize] = IN_VALUE;
    all[b'\n' as usize] = IN_VALUE;
    all[b'\r' as usize] = ODD | IN_VALUE;
    all[b']' as usize] = VISIBLE | ODD;
    all[b'<' as usize] = VISIBLE | IN_VALUE;
    all[b'&' as usize] = VISIBLE | IN_VALUE;
    all[0xEF] = VISIBLE | ODD | IN_VALUE;
    all
}

#[inline]
fn classify(text: &str) -> u8 {
    text.bytes().fold(0, |seen, byte| seen | CLASSES.get(usize::from(byte)).copied().unwrap_or(ODD))
}

/// A run of character data.
pub(super) struct Run<'a> {
    /// With line ends as XML has them.
    pub(super) text: Cow<'a, str>,
    /// Nothing but white space.
    pub(super) blank: bool,
}

/// Reads a run of text without references. The error comes with its offset in the run.
pub(super) fn run<'a>(raw: &'a str, section: bool) -> Result<Run<'a>, (Problem, usize)> {
    let seen = classify(raw);
    let blank = seen & VISIBLE == 0;
    if seen & ODD == 0 {
        return Ok(Run { text: Cow::Borrowed(raw), blank });
    }
    if let Some((at, it)) = bad_char(raw) {
        return Err((Problem::Character(u32::from(it)), at));
    }
    if !section && let Some(at) = raw.find("]]>") {
        return Err((Problem::SectionEnd, at));
    }
    let text = if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    };
    Ok(Run { text, blank })
}

/// The value of an attribute, normalised: references expanded, white space to spaces.
pub(super) fn value<'a>(raw: &'a str) -> Result<Cow<'a, str>, (Problem, usize)> {
    if classify(raw) & IN_VALUE == 0 {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.char_indices().peekable();
    while let Some((at, it)) = chars.next() {
        match it {
            '<' => return Err((Problem::LessThan, at)),
            '&' => {
                let rest = raw.get(at + 1..).unwrap_or_default();
                let name = rest.split_once(';').map(|(name, _)| name).ok_or((Problem::Syntax, at))?;
                match reference(name).map_err(|problem| (problem, at))? {
                    Reference::Known(text) => out.push_str(text),
                    Reference::Char(it) => out.push(it),
                }
                let end = at + 1 + name.len();
                while chars.next_if(|(at, _)| *at <= end).is_some() {}
            }
            '\r' => {
                chars.next_if(|(_, it)| *it == '\n');
                out.push(' ');
            }
            '\t' | '\n' => out.push(' '),
            it if is_xml_char(it) => out.push(it),
            it => return Err((Problem::Character(u32::from(it)), at)),
        }
    }
    Ok(Cow::Owned(out))
}

/// What a reference stands for.
pub(super) enum Reference {
    /// One of XML's own five.
    Known(&'static str),
    /// A character by its number.
    Char(char),
}

/// Expands `lt`, `#10`, `#x0A`.
pub(super) fn reference(name: &str) -> Result<Reference, Problem> {
    if let Some(number) = name.strip_prefix('#') {
        let (digits, radix) = match number.strip_prefix('x') {
            Some(hex) => (hex, 16),
            None => (number, 10),
        };
        if digits.is_empty() || !digits.chars().all(|it| it.is_digit(radix)) {
            return Err(Problem::Reference);
        }
        let number = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
        return match char::from_u32(number).filter(|it| is_xml_char(*it)) {
            Some(it) => Ok(Reference::Char(it)),
            None => Err(Problem::Character(number)),
        };
    }
    match name {
        "lt" => Ok(Reference::Known("<")),
        "gt" => Ok(Reference::Known(">")),
        "amp" => Ok(Reference::Known("&")),
        "quot" => Ok(Reference::Known("\"")),
        "apos" => Ok(Reference::Known("'")),
        _ => Err(Problem::Entity(shown(name))),
    }
}
