//! From JSON to a change.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{DEEPEST, MOST_CELLS};
use crate::change::{Cell, Change, Op, Row};

/// More columns than this are compared by hash.
const FEW_COLUMNS: usize = 16;

/// Reads one change, and nothing that [`Change::to_bytes`] does not write.
pub(super) fn change<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Change, D::Error> {
    deserializer.deserialize_map(Whole)
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Change;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Change, A::Error> {
        let mut room = MOST_CELLS;
        let (mut op, mut table, mut at, mut position) = (None, None, None, None);
        let (mut txid, mut key, mut after, mut before) = (None, None, None, None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "op" => once(&mut op, map.next_value::<String>()?)?,
                "table" => once(&mut table, map.next_value()?)?,
                "at" => once(&mut at, map.next_value()?)?,
                "position" => once(&mut position, map.next_value()?)?,
                "txid" => once(&mut txid, map.next_value()?)?,
                "key" => once(&mut key, map.next_value()?)?,
                "after" => once(&mut after, map.next_value_seed(Columns(&mut room))?)?,
                "before" => once(&mut before, map.next_value_seed(Columns(&mut room))?)?,
                _ => return Err(A::Error::custom("unknown name")),
            }
        }
        let op = op.and_then(|word| Op::WORDS.iter().find(|(_, it)| *it == word).map(|(op, _)| *op));
        let is_missing = || A::Error::custom("something is missing");
        Ok(Change {
            op: op.ok_or_else(is_missing)?,
            table: table.ok_or_else(is_missing)?,
            at,
            position: position.ok_or_else(is_missing)?,
            txid,
            key: key.ok_or_else(is_missing)?,
            after,
            before,
        })
    }
}

fn once<T, E: Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a name stands twice")),
    }
}

/// The columns of a row. Holds how many values there may still be.
struct Columns<'r>(&'r mut usize);

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row: Vec<(Box<str>, Cell)> = Vec::new();
        let mut many: HashSet<Box<str>> = HashSet::new();
        while let Some(name) = map.next_key::<Box<str>>()? {
            let is_known = if row.len() < FEW_COLUMNS {
                row.iter().any(|(it, _)| *it == name)
            } else {
                if many.is_empty() {
                    many.extend(row.iter().map(|(it, _)| it.clone()));
                }
                !many.insert(name.clone())
            };
            if is_known {
                return Err(A::Error::custom("a column stands twice"));
            }
            row.push((name, map.next_value_seed(Value { room: self.0, depth: 0 })?));
        }
        Ok(Row(row))
    }
}

/// One value.
struct Value<'r> {
    room: &'r mut usize,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        *self.room = self.room.checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a column")
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.into()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Cell, E> {
        Ok(Cell::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
        if self.depth == DEEPEST {
            return Err(A::Error::custom("too deep"));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Value { room: self.room, depth: self.depth + 1 })? {
            list.push(item);
        }
        Ok(Cell::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        let cell = match map.next_key::<String>()?.as_deref() {
            Some("unchanged") if map.next_value::<bool>()? => Cell::Unchanged,
            Some("unreadable") => Cell::Unreadable(map.next_value()?),
            Some("json") => Cell::Json(map.next_value()?),
            _ => return Err(A::Error::custom("unknown value")),
        };
        match map.next_key::<String>()? {
            None => Ok(cell),
            Some(_) => Err(A::Error::custom("more than one value")),
        }
    }
}
