//! One decoder of values for triggers, the log and snapshots: PostgreSQL's text output and the value's type become a
//! [`Cell`] in the spelling that mappings read without a `format`.
//!
//! It expects the session settings of `database::Line`: ISO dates, ISO 8601 intervals, hexadecimal bytes, money of the
//! locale C. What has no spelling of its own stays as PostgreSQL wrote it. It never fails: what can not be read says why,
//! without the value.

mod array;
mod catalogue;
mod columns;
mod number;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use vestibule_core::change::Cell;

#[allow(unused_imports, dead_code, reason = "its users land next")]
pub(crate) use self::{
    catalogue::{kinds_of_names, kinds_of_oids},
    columns::{Columns, Selected, selected, stored},
    wire::Texts,
};

/// Longest value that becomes part of a document, in bytes of its text.
pub(crate) const LONGEST: usize = 8 << 20;

/// What the text of a value means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// It stays as it is: text, whole numbers, decimals, uuids, enumerations, ranges, types of extensions.
    #[default]
    Plain,
    /// `t` or `f`, and `true` or `false` where it was cast to text.
    Bool,
    /// `character(5)`: the output pads it with blanks, a cast to text does not.
    Padded,
    /// `inet`: a cast to text shows the mask of a single host, the output does not.
    Host,
    /// Perhaps with an exponent.
    Float,
    /// `-$1,234.50`.
    Money,
    /// Perhaps with an offset of hours alone, and a space between date and time.
    Moment,
    /// `\x00ff`.
    Bytes,
    /// A JSON value.
    Json,
    /// Values of this kind between such delimiters.
    Array(Arc<Kind>, u8),
}

impl Kind {
    /// A built-in type that is no array, by its number.
    fn of_base(oid: u32) -> Self {
        match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            114 | 3802 => Self::Json,
            700 | 701 => Self::Float,
            790 => Self::Money,
            869 => Self::Host,
            1042 => Self::Padded,
            1114 | 1184 | 1266 => Self::Moment,
            _ => Self::Plain,
        }
    }
}

/// The value that this text says.
pub(crate) fn cell(text: &[u8], kind: &Kind) -> Cell {
    if text.len() > LONGEST {
        return too_long(text.len());
    }
    match std::str::from_utf8(text) {
        Ok(text) => read(text, kind),
        Err(_) => Cell::Unreadable("the database sent bytes that are not UTF-8".into()),
    }
}

/// Stands for a value of so many bytes.
pub(crate) fn too_long(bytes: usize) -> Cell {
    Cell::Unreadable(format!("too long: {bytes} bytes, and {LONGEST} fit a document").into())
}

fn read(text: &str, kind: &Kind) -> Cell {
    let found = match kind {
        Kind::Plain => None,
        Kind::Bool => match text {
            "t" => Some("true".into()),
            "f" => Some("false".into()),
            _ => None,
        },
        Kind::Padded => return Cell::Text(text.trim_end_matches(' ').into()),
        Kind::Host => {
            let mask = if text.contains(':') { "/128" } else { "/32" };
            text.strip_suffix(mask).map(str::to_owned)
        }
        Kind::Float => number::without_exponent(text),
        Kind::Money => number::without_currency(text),
        Kind::Moment => moment(text),
        Kind::Bytes => return bytes(text),
        Kind::Json => return Cell::Json(text.into()),
        Kind::Array(element, delimiter) => return array::read(text, element, *delimiter),
    };
    Cell::Text(found.map_or_else(|| text.into(), String::into_boxed_str))
}

/// `2026-01-31 13:45:10.25+01` as `2026-01-31T13:45:10.25+01:00`. `None`: it is no such text (`infinity`, a year before
/// Christ or of five digits).
fn moment(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (date, time) = match bytes.get(10) {
        Some(b' ') if bytes.get(4) == Some(&b'-') => (text.get(..10)?, text.get(11..)?),
        _ if bytes.get(2) == Some(&b':') => ("", text),
        _ => return None,
    };
    let is_plain = |it: u8| it.is_ascii_digit() || matches!(it, b':' | b'.' | b'+' | b'-');
    if !time.bytes().all(is_plain) {
        return None;
    }
    let hours_alone = time.rfind(['+', '-']).is_some_and(|at| time.len() - at == 3);
    let joint = if date.is_empty() { "" } else { "T" };
    Some(format!("{date}{joint}{time}{}", if hours_alone { ":00" } else { "" }))
}

fn bytes(text: &str) -> Cell {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = text.strip_prefix("\\x").map(|it| it.as_bytes().as_chunks::<2>());
    let read = pairs.filter(|(_, rest)| rest.is_empty()).and_then(|(pairs, _)| {
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Vec<u8>>>()
    });
    match read {
        Some(bytes) => Cell::Text(STANDARD.encode(bytes).into()),
        None => Cell::Unreadable("bytes that are not written as hexadecimal digits".into()),
    }
}

/// For the fuzz target: the first byte chooses a kind.
#[doc(hidden)]
pub fn probe(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let base = match choice % 9 {
        0 => Kind::Plain,
        1 => Kind::Bool,
        2 => Kind::Float,
        3 => Kind::Money,
        4 => Kind::Moment,
        5 => Kind::Bytes,
        6 => Kind::Padded,
        7 => Kind::Host,
        _ => Kind::Json,
    };
    let delimiter = if choice % 3 == 0 { b';' } else { b',' };
    cell(text, &if *choice > 127 { Kind::Array(Arc::new(base), delimiter) } else { base });
}
