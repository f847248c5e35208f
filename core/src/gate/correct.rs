//! A reviewer's corrections, put in the place of what was read. The document itself is never changed.

use std::collections::HashSet;

use super::ruling::{Fields, decided, plain};
use crate::{
    finding::{Finding, Outcome},
    mapping::plan::{From, Shape},
    origin::Origin,
    ports::{RawField, RawRecord},
};

/// Longest name of an unknown field that is shown, in characters.
const LONGEST_NAME: usize = 80;

/// What corrections did to a record.
#[derive(Default)]
pub(super) struct Mended<'a> {
    /// Names of the fields that were corrected.
    pub names: HashSet<&'a str>,
    /// What stood in masked fields before: it is in the record no more, and must not be shown all the same.
    pub hidden: Vec<Box<str>>,
    /// A note for each name that can not be corrected.
    pub notes: Vec<Finding>,
}

/// Replaces raw fields by the given legacy texts; empty text is nothing.
pub(super) fn correct<'a>(shape: &Shape, raw: &mut RawRecord, fields: &Fields<'a>) -> Mended<'a> {
    let mut mended = Mended::default();
    for (name, (text, by)) in fields {
        let Some((place, is_masked)) = place_of(shape, raw, name, false) else {
            let say = format!("`{}` is not a field that can be corrected here", plain(name, LONGEST_NAME));
            let expected = "the name of a field that is read from the document";
            let place = Some(raw.origin.clone());
            mended.notes.push(decided("review".into(), Outcome::Note, expected, say, place));
            continue;
        };
        let was = match std::mem::replace(place, RawField::Absent { at: None }) {
            RawField::Text { text, origin } => {
                // As with values that can not be read: shorter ones stand everywhere and say nothing by themselves.
                if is_masked && text.chars().nth(3).is_some() {
                    mended.hidden.push(text);
                }
                Some(origin)
            }
            RawField::Absent { at } => at,
            RawField::Items(_) => None,
        };
        let origin = Origin::Corrected { by: plain(by, LONGEST_NAME), place: was.map(Box::new) };
        *place = match text.is_empty() {
            true => RawField::Absent { at: Some(origin) },
            false => RawField::Text { text: (*text).into(), origin },
        };
        mended.names.insert(name);
    }
    mended
}

/// The raw field of `lines[2].amount`, and whether it or a list around it is masked. `None` for what is not there and for
/// what is no value of the document.
fn place_of<'r>(
    shape: &Shape,
    raw: &'r mut RawRecord,
    name: &str,
    is_masked: bool,
) -> Option<(&'r mut RawField, bool)> {
    let (step, rest) = name.split_once('.').map_or((name, None), |(step, rest)| (step, Some(rest)));
    let (list, item) = step.split_once('[').map_or((step, None), |(list, item)| (list, Some(item)));
    let slot = shape.slot(list)?;
    let plan = shape.fields.get(slot)?;
    let is_masked = is_masked || plan.mask.is_some();
    match (&plan.from, item, rest, raw.fields.get_mut(slot)?) {
        (From::Addresses(_), None, None, field) => Some((field, is_masked)),
        (From::Each { shape, .. }, Some(item), Some(rest), RawField::Items(items)) => {
            let digits = item.strip_suffix(']')?;
            let number: usize = digits.parse().ok().filter(|it: &usize| it.to_string() == digits)?;
            place_of(shape, items.get_mut(number.checked_sub(1)?)?, rest, is_masked)
        }
        _ => None,
    }
}
