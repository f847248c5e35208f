//! How a value is spelt: type, format, pivot, codes.

use super::{
    super::{diagnostic::Diagnostics, syntax::Node},
    Desk, tables,
};
use crate::{
    interpret::{Codec, Kind, Spelling},
    rule::Type,
};

/// Compiles the spelling that a field's block gives. The flag is true when something was wrong with it.
pub(super) fn codec(
    desk: &Desk<'_>,
    node: &Node,
    mut spelling: Spelling,
    diagnostics: &mut Diagnostics,
) -> (Codec, bool) {
    spelling.zone = Some(desk.zone.clone());
    let mut is_wrong = false;
    if let Some(name) = node.get("codes").filter(|it| it.text().is_some() && !it.is_blank()) {
        match tables::named(desk, name, diagnostics) {
            Ok(table) => spelling.codes = Some(table),
            Err(()) => is_wrong = true,
        }
    }
    // A type that is no type was reported where it was read; what the format means without it nobody knows.
    let is_misnamed = |it: &Node| spelling.kind == Kind::Text && it.text() != Some(Kind::Text.word());
    if node.get("type").is_some_and(is_misnamed) {
        return (Codec::default(), true);
    }
    match Codec::compile(&spelling) {
        Ok(codec) => (codec, is_wrong),
        Err(error) => {
            let (key, value) = match node.entry(error.key) {
                Some((key, value)) => (key, Some(value)),
                // What is missing is best shown where the format asks for it.
                None => (node, node.get("format").or_else(|| node.get("type"))),
            };
            let span = match (value, error.part) {
                (Some(value), Some(part)) => value.sub(part),
                (Some(value), None) => value.span.clone(),
                (None, _) => key.span.clone(),
            };
            let label = if node.get(error.key).is_some() { "in this" } else { "needs" };
            let found = diagnostics.push("M030", &span, error.title, format!("{label} `{}`", error.key));
            if let Some(help) = error.help {
                found.help(help);
            }
            (Codec::default(), true)
        }
    }
}

/// The kind that a rule's value is kept as, when the mapping names none.
pub(super) fn kind_of_type(kind: &Type) -> Kind {
    match kind {
        Type::Number => Kind::Decimal,
        Type::Bool => Kind::Bool,
        Type::Date => Kind::Date,
        Type::Time => Kind::Time,
        Type::DateTime => Kind::Datetime,
        Type::Bytes => Kind::Bytes,
        Type::Text | Type::Words(_) | Type::Duration | Type::List(_) | Type::Record => Kind::Text,
    }
}
