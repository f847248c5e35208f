//! From a change to JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::change::{Cell, Change, Row};

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", self.op.word())?;
        map.serialize_entry("table", &self.table)?;
        if let Some(at) = &self.at {
            map.serialize_entry("at", at)?;
        }
        map.serialize_entry("position", &self.position)?;
        if let Some(txid) = &self.txid {
            map.serialize_entry("txid", txid)?;
        }
        map.serialize_entry("key", &self.key)?;
        if let Some(row) = &self.after {
            map.serialize_entry("after", row)?;
        }
        if let Some(row) = &self.before {
            map.serialize_entry("before", row)?;
        }
        map.end()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, cell)| (name, cell)))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Unchanged => serializer.collect_map([("unchanged", true)]),
            Self::Unreadable(why) => serializer.collect_map([("unreadable", why)]),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(text) => serializer.collect_map([("json", text)]),
            Self::List(items) => serializer.collect_seq(items),
        }
    }
}
