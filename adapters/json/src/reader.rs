//! From values to the tree that addresses walk through.

use std::borrow::Cow;

use vestibule_core::tree::{Tree, TreeBuilder};

use crate::{
    error::{JsonError, Problem, shown},
    token::{Kind, Token, tokens},
};

/// The namespace of `nil`.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The name of what has no key: items of an array that is the document, or an item of another array.
pub(crate) const ITEM: &str = "item";
/// The key of the text beside attributes.
pub(crate) const TEXT: &str = "#text";

/// How much of a document is read. What passes a limit is refused, never cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as received.
    pub bytes: usize,
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Values in all.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 << 20, depth: 64, nodes: 500_000 }
    }
}

/// The text of a document; a byte order mark is passed over, as RFC 8259 allows.
pub(crate) fn text_of<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError { problem: Problem::TooManyBytes(limits.bytes), line: 1, column: 1 });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good =
            bytes.get(..error.valid_up_to()).and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default();
        JsonError::at(Problem::Undecodable, good, good.len())
    })
}

/// Reads a document. The tree's root has no name; its children are the keys of the object, or one `item` for each
/// item of the array. `null` is a node that is nil.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Result<Tree<'a>, JsonError> {
    let located = |(problem, at)| JsonError::at(problem, text, at);
    let mut all = tokens(text, limits).map_err(located)?;
    let Some((root, below)) = all.split_first_mut() else {
        return Err(located((Problem::Expected("a value"), 0)));
    };
    let mut builder = TreeBuilder::with_capacity(below.len() + 1);
    builder.set_source(text);
    builder.open("", Cow::Borrowed(""), root.span.start);
    match root.kind {
        Kind::Object => members(&mut builder, below).map_err(located)?,
        Kind::Array => items(&mut builder, Cow::Borrowed(ITEM), below).map_err(located)?,
        Kind::Plain(_) | Kind::Null => return Err(located((Problem::Scalar, root.span.start))),
    }
    builder.close(root.span.end);
    Ok(builder.finish())
}

type Failure = (Problem, usize);

/// The direct members among `all`, each with what is inside it.
fn direct<'a, 't>(
    all: &'t mut [Token<'a>],
) -> impl Iterator<Item = (&'t mut Token<'a>, &'t mut [Token<'a>])> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let (first, after) = std::mem::take(&mut rest).split_first_mut()?;
        let inside = first.size.saturating_sub(1).min(after.len());
        let (inside, after) = after.split_at_mut_checked(inside)?;
        rest = after;
        Some((first, inside))
    })
}

fn members<'a>(builder: &mut TreeBuilder<'a>, all: &mut [Token<'a>]) -> Result<(), Failure> {
    // Attributes belong before everything else, wherever their keys stand.
    for (token, _) in direct(all) {
        let Some(name) = token.key.as_deref().and_then(|it| it.strip_prefix('@')) else { continue };
        match &token.kind {
            Kind::Plain(text) => builder.attribute("", owned_tail(&token.key, name), text.clone()),
            Kind::Null => {}
            Kind::Object | Kind::Array => return Err((Problem::NotPlain(shown(name)), token.span.start)),
        }
    }
    for (token, inside) in direct(all) {
        let key = token.key.take().unwrap_or(Cow::Borrowed(ITEM));
        if key.starts_with('@') {
            continue;
        }
        if key == TEXT {
            match &token.kind {
                Kind::Plain(text) => builder.text(text.clone()),
                Kind::Null => {}
                Kind::Object | Kind::Array => return Err((Problem::NotPlain(TEXT.into()), token.span.start)),
            }
            continue;
        }
        match token.kind {
            Kind::Array => items(builder, key, inside)?,
            _ => node(builder, key, token, inside)?,
        }
    }
    Ok(())
}

/// The key without its `@`, borrowed where the key is.
fn owned_tail<'a>(key: &Option<Cow<'a, str>>, name: &str) -> Cow<'a, str> {
    match key {
        Some(Cow::Borrowed(key)) => Cow::Borrowed(key.strip_prefix('@').unwrap_or(key)),
        _ => Cow::Owned(name.to_owned()),
    }
}

fn items<'a>(builder: &mut TreeBuilder<'a>, key: Cow<'a, str>, all: &mut [Token<'a>]) -> Result<(), Failure> {
    direct(all).try_for_each(|(token, inside)| node(builder, key.clone(), token, inside))
}

fn node<'a>(
    builder: &mut TreeBuilder<'a>,
    key: Cow<'a, str>,
    token: &mut Token<'a>,
    inside: &mut [Token<'a>],
) -> Result<(), Failure> {
    builder.open("", key, token.span.start);
    match &mut token.kind {
        Kind::Plain(text) => builder.text(std::mem::take(text)),
        Kind::Null => builder.attribute(XSI, Cow::Borrowed("nil"), Cow::Borrowed("true")),
        Kind::Object => members(builder, inside)?,
        Kind::Array => items(builder, Cow::Borrowed(ITEM), inside)?,
    }
    builder.close(token.span.end);
    Ok(())
}
