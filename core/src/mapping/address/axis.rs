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
    Axis { word: "column", kinds: &["sheet", "rows", "cdc", "pdf"], example: "column 'Policy No'" },
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

const METAS: [(&str, Meta); 4] =
    [("received", Meta::Received), ("name", Meta::Name), ("key", Meta::Key), ("hash", Meta::Hash)];

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
        match self {
            Self::Received => "received",
            Self::Name => "name",
            Self::Key => "key",
            Self::Hash => "hash",
        }
    }
}

/// How an address begins.
pub(super) enum Lead {
    /// With `meta`, and this is all of it.
    Meta(Meta),
    /// With `header` or `property`, and this is all of it.
    Attribute(AttributeKind, Box<str>),
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
        Some(axis) if axis.word == "meta" => meta(rest, text).map(Lead::Meta),
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

fn meta(rest: &str, text: &str) -> Result<Meta, AddressError> {
    if let Some((_, meta)) = METAS.iter().find(|(word, _)| *word == rest) {
        return Ok(*meta);
    }
    Err(AddressError {
        span: last(rest, text),
        title: format!("`{rest}` is not known about a document"),
        help: Some("expected one of: received, name, key, hash".into()),
        fix: nearest(rest, &METAS.map(|(word, _)| word)).map(str::to_owned),
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
