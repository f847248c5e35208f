//! The inside of a start tag.

use std::{borrow::Cow, ops::Range};

use super::{
    Limits,
    error::Problem,
    names::{is_space, split},
    text,
};

/// One attribute, its namespace not yet known.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    /// The name as written.
    pub(super) name: &'a str,
    /// Empty for none.
    pub(super) prefix: &'a str,
    /// The name behind the prefix.
    pub(super) local: &'a str,
    /// Normalised.
    pub(super) value: Cow<'a, str>,
    /// Bytes of the value inside the tag, without quotes.
    pub(super) span: Range<usize>,
}

/// The name at the beginning of a tag's inside, and the rest.
pub(super) fn name(inside: &str) -> (&str, &str) {
    let end = inside.bytes().position(is_space).unwrap_or(inside.len());
    inside.split_at_checked(end).unwrap_or((inside, ""))
}

/// Reads the attributes in `inside`, which starts after the tag's name at `offset`. Errors come with their offset.
pub(super) fn attributes<'a>(
    inside: &'a str,
    offset: usize,
    limits: &Limits,
    into: &mut Vec<Attribute<'a>>,
) -> Result<(), (Problem, usize)> {
    let mut rest = inside;
    let mut declarations = 0;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let at = offset + inside.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(());
        }
        if trimmed.len() == rest.len() {
            return Err((Problem::Attribute, at));
        }
        let (name, after) = trimmed.split_once('=').ok_or((Problem::Attribute, at))?;
        let name = name.trim_end_matches([' ', '\t', '\n', '\r']);
        let (prefix, local) = split(name).ok_or((Problem::Name, at))?;
        let after = after.trim_start_matches([' ', '\t', '\n', '\r']);
        let quote =
            after.chars().next().filter(|it| matches!(it, '"' | '\'')).ok_or((Problem::Attribute, at))?;
        let (raw, after) =
            after.get(1..).and_then(|it| it.split_once(quote)).ok_or((Problem::Attribute, at))?;
        if raw.len() > limits.attribute_bytes {
            return Err((Problem::AttributeTooLong(limits.attribute_bytes), at));
        }
        let start = offset + inside.len() - after.len() - 1 - raw.len();
        let value = text::value(raw).map_err(|(problem, inner)| (problem, start + inner))?;
        if prefix == "xmlns" || name == "xmlns" {
            declarations += 1;
            if declarations > limits.declarations {
                return Err((Problem::TooManyDeclarations(limits.declarations), at));
            }
        } else if into.len() - declarations >= limits.attributes {
            return Err((Problem::TooManyAttributes(limits.attributes), at));
        }
        into.push(Attribute { name, prefix, local, value, span: start..start + raw.len() });
        rest = after;
    }
}
