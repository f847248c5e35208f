//! Values as the binary protocol carries them, read without trust in what they say of themselves.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// An array of texts of one dimension, as bytes: the database's encoding may be none.
pub(crate) struct Texts<'a>(pub(crate) Vec<Option<&'a [u8]>>);

impl<'a> FromSql<'a> for Texts<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        texts(raw).map(Self).ok_or_else(|| "this is no array of texts of one dimension".into())
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT_ARRAY
    }
}

fn texts(raw: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (dimensions, rest) = number(raw)?;
    let (_, rest) = number(rest)?;
    let (_, rest) = number(rest)?;
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (count, rest) = number(rest)?;
    let (_, mut rest) = number(rest)?;
    let count = usize::try_from(count).ok().filter(|_| dimensions == 1)?;
    // Each takes four bytes at least.
    let mut found = Vec::with_capacity(count.min(rest.len() / 4));
    for _ in 0..count {
        let (length, after) = number(rest)?;
        let Ok(length) = usize::try_from(length) else {
            found.push(None);
            rest = after;
            continue;
        };
        let (text, after) = after.split_at_checked(length)?;
        found.push(Some(text));
        rest = after;
    }
    Some(found)
}

fn number(raw: &[u8]) -> Option<(i32, &[u8])> {
    let (bytes, rest) = raw.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*bytes), rest))
}
