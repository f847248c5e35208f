//! Where a value was read.

use std::{fmt, sync::Arc};

/// Line and column, both from 1, of a byte of this text; the column counts characters.
pub fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    (small(line), small(column))
}

/// The place that a value came from. Its text is a valid address of the mapping language.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A node of an XML or JSON document.
    Node {
        /// Absolute address, e.g. `/Envelope/Body/SubmitClaim/Claim/Lines/Line(2)/Amt`; local names only, a
        /// position only where the name repeats.
        address: Box<str>,
        /// Line in the document as received, from 1; 0 where it is not known (a node that is absent).
        line: u32,
    },
    /// A column of a row of a database, or a place inside of it.
    Column {
        /// Address in the row: `STATUS`, `before STATUS`, `DOC/customer/name`, `TAGS(2)`.
        address: Box<str>,
        /// The table with its schema: `public.orders`.
        table: Arc<str>,
        /// Where the change stands among all changes: an LSN, a version, a number.
        position: Arc<str>,
    },
    /// The mapping's `default`.
    Default,
    /// The mapping's `value`.
    Constant,
    /// The mapping's `compute`.
    Computed,
    /// A header or property that came beside the document: `header x-tenant`, `property correlation_id`.
    Attribute(Box<str>),
    /// A reviewer's correction of what was read.
    Corrected {
        /// Who.
        by: Box<str>,
        /// Where the value that it stands for was read, or would have been.
        place: Option<Box<Origin>>,
    },
    /// The model's answer; the address is the field's name in it.
    Answer(Box<str>),
}

impl Origin {
    /// The place as an XPath over local names: `/Envelope/Body/SubmitClaim/Claim/Lines/Line[2]/Amt`. `None` for what
    /// stands nowhere in the document: a computed value, a default, the time of receipt.
    pub fn xpath(&self) -> Option<String> {
        match self {
            Self::Node { address, .. } if address.starts_with('/') => {
                Some(address.replace('(', "[").replace(')', "]"))
            }
            Self::Corrected { place, .. } => place.as_ref()?.xpath(),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, .. } | Self::Column { address, .. } => f.write_str(address),
            Self::Default => f.write_str("default"),
            Self::Constant => f.write_str("value"),
            Self::Computed => f.write_str("compute"),
            Self::Attribute(address) => f.write_str(address),
            Self::Corrected { by, place: Some(place) } => write!(f, "{place} corrected by {by}"),
            Self::Corrected { by, place: None } => write!(f, "corrected by {by}"),
            Self::Answer(name) => write!(f, "answer.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_of_the_document_has_an_xpath() {
        let node = |address: &str| Origin::Node { address: address.into(), line: 1 };
        for (origin, expected) in [
            (node("/Order/Line(2)/@no"), Some("/Order/Line[2]/@no")),
            (node("/"), Some("/")),
            (node("meta received"), None),
            (Origin::Column { address: "TAGS(2)".into(), table: "t".into(), position: "0/1".into() }, None),
            (Origin::Computed, None),
            (Origin::Default, None),
            (Origin::Constant, None),
            (Origin::Answer("reason".into()), None),
        ] {
            assert_eq!(origin.xpath().as_deref(), expected, "origin: {origin}");
        }
    }
}
