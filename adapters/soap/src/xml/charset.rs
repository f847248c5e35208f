//! Bytes to text: UTF-8 as it stands, everything else decoded once.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{
    Limits,
    error::{Problem, XmlError, shown},
};

/// A character set as someone named it.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    /// Seven bits, a subset of most others.
    Ascii,
    /// UTF-16 without saying which half comes first.
    Utf16,
    /// One that is known by name.
    Known(&'static Encoding),
}

impl Named {
    fn of(label: &str) -> Option<Self> {
        let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
        match label.as_str() {
            "us-ascii" | "ascii" | "iso646-us" | "iso_646.irv:1991" => Some(Self::Ascii),
            "utf-16" | "utf16" | "iso-10646-ucs-2" => Some(Self::Utf16),
            // The replacement encoding reads every document as one bad character.
            _ => Encoding::for_label(label.as_bytes())
                .filter(|it| *it != encoding_rs::REPLACEMENT && *it != encoding_rs::X_USER_DEFINED)
                .map(Self::Known),
        }
    }

    /// Both can be true of the same bytes.
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Utf16, Self::Known(it)) | (Self::Known(it), Self::Utf16) => {
                it == UTF_16LE || it == UTF_16BE
            }
            // What is only ASCII reads the same in UTF-8; other bytes are refused by it.
            (Self::Ascii, Self::Known(it)) | (Self::Known(it), Self::Ascii) => it == UTF_8,
            _ => self == other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ascii => "US-ASCII",
            Self::Utf16 => "UTF-16",
            Self::Known(it) => it.name(),
        }
    }
}

/// True for the name of a character set that documents are read in.
pub(crate) fn is_known(name: &str) -> bool {
    Named::of(name).is_some()
}

/// The text of a document. `transport` is the charset of its Content-Type, `otherwise` the one that holds when
/// neither transport, byte order mark nor declaration names one (else UTF-8). All that name one must agree.
/// ISO-8859-1 is read as windows-1252, which it is in practice.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    transport: Option<&str>,
    otherwise: Option<&str>,
    limits: &Limits,
) -> Result<Cow<'a, str>, XmlError> {
    let start = |problem| XmlError { problem, line: 1, column: 1 };
    if bytes.len() > limits.bytes {
        return Err(start(Problem::TooManyBytes(limits.bytes)));
    }
    let (mark, body) = strip_mark(bytes);
    let known = |label: &str| Named::of(label).ok_or_else(|| start(Problem::UnknownCharset(shown(label))));
    let transport = transport.filter(|it| !it.trim().is_empty()).map(known).transpose()?;
    let shape = mark.or_else(|| shape_of(body));
    let declared = match shape {
        Some(wide @ Named::Known(encoding)) if encoding != UTF_8 => {
            let head = body.get(..body.len().min(400)).unwrap_or(body);
            declaration(&encoding.decode_without_bom_handling(head).0).map(known).transpose()?.or(Some(wide))
        }
        _ => declaration(&ascii_head(body)).map(known).transpose()?,
    };
    let said: Vec<Named> = [transport, shape, declared].into_iter().flatten().collect();
    for (index, one) in said.iter().enumerate() {
        if let Some(other) = said.iter().skip(index + 1).find(|other| !one.agrees(**other)) {
            return Err(start(Problem::CharsetConflict(one.name().into(), other.name().into())));
        }
    }
    let chosen = match transport.or(shape).or(declared) {
        Some(named) => named,
        None => otherwise.map(known).transpose()?.unwrap_or(Named::Known(UTF_8)),
    };
    let chosen = if chosen == Named::Utf16 { shape.unwrap_or(Named::Known(UTF_16BE)) } else { chosen };
    to_text(body, chosen, limits)
}

/// True where the document itself says its character set: by a mark, by its first bytes or by its declaration.
pub(crate) fn is_said_in(bytes: &[u8]) -> bool {
    let (mark, body) = strip_mark(bytes);
    mark.or_else(|| shape_of(body)).is_some() || declaration(&ascii_head(body)).is_some()
}

fn to_text<'a>(body: &'a [u8], chosen: Named, limits: &Limits) -> Result<Cow<'a, str>, XmlError> {
    let encoding = match chosen {
        Named::Known(encoding) => encoding,
        Named::Ascii | Named::Utf16 => UTF_8,
    };
    let undecodable = Problem::Undecodable(chosen.name());
    if encoding == UTF_8 {
        return match std::str::from_utf8(body) {
            Ok(text) if chosen == Named::Ascii && !text.is_ascii() => {
                let offset = text.bytes().position(|it| !it.is_ascii()).unwrap_or(0);
                Err(XmlError::at(undecodable, text, offset))
            }
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => {
                let good = body.get(..error.valid_up_to()).and_then(|it| std::str::from_utf8(it).ok());
                Err(XmlError::at(undecodable, good.unwrap_or_default(), usize::MAX))
            }
        };
    }
    match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) if text.len() > limits.bytes.saturating_mul(2) => {
            Err(XmlError { problem: Problem::TooManyBytes(limits.bytes), line: 1, column: 1 })
        }
        Some(text) => Ok(text),
        None => Err(XmlError { problem: undecodable, line: 1, column: 1 }),
    }
}

fn strip_mark(bytes: &[u8]) -> (Option<Named>, &[u8]) {
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (Some(Named::Known(UTF_8)), rest),
        [0xFE, 0xFF, rest @ ..] => (Some(Named::Known(UTF_16BE)), rest),
        [0xFF, 0xFE, rest @ ..] => (Some(Named::Known(UTF_16LE)), rest),
        _ => (None, bytes),
    }
}

/// UTF-16 without a mark shows by its first `<`.
fn shape_of(body: &[u8]) -> Option<Named> {
    match body {
        [0, b'<', ..] => Some(Named::Known(UTF_16BE)),
        [b'<', 0, ..] => Some(Named::Known(UTF_16LE)),
        _ => None,
    }
}

/// Enough of the document to hold its declaration, where that is ASCII.
fn ascii_head(body: &[u8]) -> Cow<'_, str> {
    let head = body.get(..body.len().min(400)).unwrap_or(body);
    let ascii = head.iter().position(|it| !it.is_ascii()).unwrap_or(head.len());
    Cow::Borrowed(head.get(..ascii).and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default())
}

/// The encoding that an XML declaration names. Its syntax is checked later, by the reader.
fn declaration(head: &str) -> Option<&str> {
    let inside = head.strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = inside.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    value.get(1..)?.split_once(quote).map(|(label, _)| label)
}
