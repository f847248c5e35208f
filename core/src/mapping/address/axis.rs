//! Words that lead an address: which there are, and to which kinds of source they belong.

use std::ops::Range;

use super::{AddressError, Meta};
use crate::{
    document::AttributeKind,
    mapping::diagnostic::{nearest, shown},
};

/// A word that leads an address.
struct Axis {
    word: &'static str,
    /// Kinds of source that have it; empty: every kind.
    kinds: &'static [&'static str],
    example: &'static str,
}

const SHEETS: &[&str] = &["sheet"];
const PAGES: &[&str] = &["pdf"];
const LAID_OUT: &[&str] = &["pdf", "sheet"];

const AXES: &[Axis] = &[
    Axis { word: "meta", kinds: &[], example: "meta received" },
    Axis { word: "column", kinds: &["sheet", "rows", "pdf"], example: "column 'Policy No'" },
    Axis { word: "cell", kinds: SHEETS, example: "cell Summary!B7" },
    Axis { word: "range", kinds: SHEETS, example: "range Claims!A4:F" },
    Axis { word: "name", kinds: SHEETS, example: "name TAX_RATE" },
    Axis { word: "table", kinds: LAID_OUT, example: "table 'Qty | Price'" },
    Axis { word: "bytes", kinds: &["fixed"], example: "bytes 121-122" },
    Axis { word: "trailer", kinds: &["fixed", "rows", "sheet"], example: "trailer TR-COUNT" },
    Axis { word: "before", kinds: &["cdc"], example: "before STATUS" },
    Axis { word: "header", kinds: &[], example: "header x-tenant" },
    Axis { word: "property", kinds: &[], example: "property correlation_id" },
    Axis { word: "right of", kinds: LAID_OUT, example: "right of 'Invoice No'" },
    Axis { word: "left of", kinds: LAID_OUT, example: "left of 'Invoice No'" },
    Axis { word: "below", kinds: LAID_OUT, example: "below 'Bill to', 3 lines" },
    Axis { word: "above", kinds: LAID_OUT, example: "above 'Bill to'" },
    Axis { word: "under heading", kinds: PAGES, example: "under heading 'Exclusions'" },
    Axis { word: "page", kinds: PAGES, example: "page 1 box 40 30 260 110" },
    Axis { word: "form", kinds: PAGES, example: "form txtTotal" },
];

/// What is said of a name with a blank in it.
pub(super) const BLANK_IN_NAME: &str = "a name with a blank in it needs quotes";

/// What is known of any document.
const METAS: [(&str, Meta); 4] =
    [("received", Meta::Received), ("name", Meta::Name), ("key", Meta::Key), ("hash", Meta::Hash)];
/// What is known of a change besides.
const METAS_OF_CHANGES: [(&str, Meta); 5] =
    [("op", Meta::Op), ("ts", Meta::Ts), ("lsn", Meta::Lsn), ("table", Meta::Table), ("txid", Meta::Txid)];

/// The properties of a message (AMQP 0-9-1, class basic).
const PROPERTIES: [&str; 13] = [
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];
/// Longest name of a header, in bytes: what AMQP carries.
const LONGEST_HEADER: usize = 255;

impl Meta {
    /// The word after `meta`.
    pub fn word(self) -> &'static str {
        let mut all = METAS.iter().chain(&METAS_OF_CHANGES);
        all.find(|(_, it)| *it == self).map_or("", |(word, _)| word)
    }
}

/// How an address begins.
pub(super) enum Lead {
    /// With `meta`, and this is all of it.
    Meta(Meta),
    /// With `header` or `property`, and this is all of it.
    Attribute(AttributeKind, Box<str>),
    /// With `before`; a path follows, from this byte of the text.
    Before(usize),
    /// With no leading word.
    Path,
}

impl Lead {
    /// The word that leads to something that is no place in the document.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            Self::Meta(_) => Some("meta"),
            Self::Attribute(AttributeKind::Header, _) => Some("header"),
            Self::Attribute(AttributeKind::Property, _) => Some("property"),
            Self::Before(_) => Some("before"),
            Self::Path => None,
        }
    }
}

/// The text without outer white space, as a range of it; one byte at least where there is one.
pub(super) fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    if start == end { 0..text.len().min(1) } else { start..end }
}

/// Finds out whether a word leads the address. A name with a blank in it needs quotes, so a blank after the first
/// bare word means that a leading word was meant.
pub(super) fn lead(text: &str, kind: &str) -> Result<Lead, AddressError> {
    let start = trimmed(text).start;
    let body = text.trim();
    let Some((word, rest)) = body.split_once(char::is_whitespace) else { return Ok(Lead::Path) };
    let rest = rest.trim();
    if word.is_empty() || !word.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '-')) {
        return Ok(Lead::Path);
    }
    if rest.starts_with(['/', '(', '[']) {
        return Ok(Lead::Path);
    }
    let span = start..start + word.len();
    let known = AXES.iter().find(|axis| {
        body.strip_prefix(axis.word)
            .is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
    });
    match known {
        Some(axis) if axis.word == "meta" => meta(rest, text, kind).map(Lead::Meta),
        Some(axis) if axis.word == "before" && kind == "cdc" => Ok(Lead::Before(last(rest, text).start)),
        Some(axis) if axis.word == "header" => header(rest, text),
        Some(axis) if axis.word == "property" => property(rest, text),
        Some(axis) if !axis.kinds.contains(&kind) => Err(AddressError {
            span: start..start + axis.word.len(),
            title: format!("`{}` does not exist in {} {kind} source", axis.word, article(kind)),
            help: Some(format!("it belongs to: {}", axis.kinds.join(", "))),
            fix: None,
        }),
        Some(axis) => Err(AddressError {
            span: start..start + axis.word.len(),
            title: format!("`{}` can not be read yet in {} {kind} source", axis.word, article(kind)),
            help: Some(format!("it will be written like this: {}", axis.example)),
            fix: None,
        }),
        None => Err(unknown(word, body, span, start..start + body.len(), kind)),
    }
}

fn unknown(word: &str, body: &str, span: Range<usize>, all: Range<usize>, kind: &str) -> AddressError {
    let first = |axis: &'static Axis| axis.word.split(' ').next().unwrap_or(axis.word);
    if let Some(near) = nearest(word, &AXES.iter().map(first).collect::<Vec<_>>()) {
        let belongs = AXES.iter().find(|axis| first(axis) == near);
        let foreign = belongs.filter(|axis| !axis.kinds.is_empty() && !axis.kinds.contains(&kind));
        let help = foreign
            .map(|axis| format!("did you mean `{}`? it belongs to: {}", axis.word, axis.kinds.join(", ")));
        return AddressError {
            span,
            title: format!("`{word}` is not a way to find a value in {} {kind} source", article(kind)),
            help,
            fix: foreign.is_none().then(|| near.to_owned()),
        };
    }
    let quoted = body.split('/').all(|it| !it.contains(['\'', '(', '[', '@', ':']));
    let fix = quoted.then(|| {
        let steps: Vec<_> = body
            .split('/')
            .map(|it| if it.contains(char::is_whitespace) { format!("'{it}'") } else { it.to_owned() })
            .collect();
        steps.join("/")
    });
    AddressError {
        span: all,
        title: BLANK_IN_NAME.into(),
        help: Some("put single quotes round the name: 'odd name'".into()),
        fix,
    }
}

fn meta(rest: &str, text: &str, kind: &str) -> Result<Meta, AddressError> {
    let of_changes: &[(&str, Meta)] = if kind == "cdc" { &METAS_OF_CHANGES } else { &[] };
    let known = || METAS.iter().chain(of_changes);
    if let Some((_, meta)) = known().find(|(word, _)| *word == rest) {
        return Ok(*meta);
    }
    let words: Vec<&str> = known().map(|(word, _)| *word).collect();
    let is_of_changes = METAS_OF_CHANGES.iter().any(|(word, _)| *word == rest);
    Err(AddressError {
        span: last(rest, text),
        title: format!("`{}` is not known about a document", shown(rest)),
        help: Some(match is_of_changes {
            true => "it is known about a change of a row: in sources of kind cdc".into(),
            false => format!("expected one of: {}", words.join(", ")),
        }),
        fix: nearest(rest, &words).filter(|_| !is_of_changes).map(str::to_owned),
    })
}

fn header(rest: &str, text: &str) -> Result<Lead, AddressError> {
    if rest.len() <= LONGEST_HEADER && rest.bytes().all(is_token) {
        return Ok(Lead::Attribute(AttributeKind::Header, rest.into()));
    }
    Err(AddressError {
        span: last(rest, text),
        title: format!("`{}` is not the name of a header", shown(rest)),
        help: Some(
            "letters, digits and - _ . ! # $ % & ' * + ^ ` | ~, without quotes: header x-tenant".into(),
        ),
        fix: None,
    })
}

fn property(rest: &str, text: &str) -> Result<Lead, AddressError> {
    if PROPERTIES.contains(&rest) {
        return Ok(Lead::Attribute(AttributeKind::Property, rest.into()));
    }
    let spelt = rest.to_ascii_lowercase().replace('-', "_");
    let near = if PROPERTIES.contains(&&*spelt) {
        Some(spelt)
    } else {
        nearest(rest, &PROPERTIES).map(str::to_owned)
    };
    Err(AddressError {
        span: last(rest, text),
        title: format!("`{}` is not a property of a message", shown(rest)),
        help: Some(format!("expected one of: {}", PROPERTIES.join(", "))),
        fix: near,
    })
}

/// Where the last part of a text stands, outer white space left out.
fn last(rest: &str, text: &str) -> Range<usize> {
    let end = trimmed(text).end;
    end.saturating_sub(rest.len())..end
}

/// A character of a token (RFC 9110, 5.6.2): of names of headers.
pub(in crate::mapping) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn article(kind: &str) -> &'static str {
    // Said letter by letter: an X-M-L source, an A-M-Q-P source.
    if kind.starts_with(['a', 'e', 'i', 'o', 'x']) { "an" } else { "a" }
}
