//! A change as JSON: what a job keeps.
//!
//! ```json
//! {"op":"update","table":"public.orders","at":"2026-11-20T10:00:00Z","position":"0/16B3748","txid":"734","key":["no"],
//!  "after":{"no":"A1","total":"12.50","note":null,"tags":["a","b"],"photo":{"unchanged":true},"doc":{"json":"{\"a\":1}"}},
//!  "before":{"no":"A1"}}
//! ```

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Cell, Change, Op, Row};
use crate::fault::{Fault, FaultCode};

impl Change {
    /// The document.
    pub fn to_bytes(&self) -> Bytes {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("op", self.op.word().into());
        put("table", (*self.table).into());
        if let Some(at) = &self.at {
            put("at", at.to_string().into());
        }
        put("position", (*self.position).into());
        if let Some(txid) = &self.txid {
            put("txid", (**txid).into());
        }
        put("key", self.key.iter().map(|it| Value::from(&**it)).collect());
        if let Some(row) = &self.after {
            put("after", row_out(row));
        }
        if let Some(row) = &self.before {
            put("before", row_out(row));
        }
        Value::Object(object).to_string().into()
    }

    /// Reads what [`Change::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        read(bytes).ok_or_else(|| Fault::new(FaultCode::NotUnderstood, "this is not a change of a row"))
    }
}

fn row_out(row: &Row) -> Value {
    Value::Object(row.0.iter().map(|(name, cell)| (name.to_string(), cell_out(cell))).collect())
}

fn cell_out(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Unchanged => json!({ "unchanged": true }),
        Cell::Unreadable(why) => json!({ "unreadable": &**why }),
        Cell::Text(text) => Value::from(&**text),
        Cell::Json(text) => json!({ "json": &**text }),
        Cell::List(items) => items.iter().map(cell_out).collect(),
    }
}

fn read(bytes: &[u8]) -> Option<Change> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let row = |name: &str| match value.get(name) {
        None => Some(None),
        Some(found) => row_in(found).map(Some),
    };
    let word = text("op")?;
    let at = match text("at") {
        Some(at) => Some(at.parse().ok()?),
        None => None,
    };
    let key = value.get("key")?.as_array()?.iter().map(|it| it.as_str().map(Into::into));
    Some(Change {
        op: Op::WORDS.iter().find(|(_, it)| *it == word)?.0,
        table: text("table")?.into(),
        at,
        position: text("position")?.into(),
        txid: text("txid").map(Into::into),
        key: key.collect::<Option<_>>()?,
        after: row("after")?,
        before: row("before")?,
    })
}

fn row_in(value: &Value) -> Option<Row> {
    let columns = value.as_object()?.iter();
    columns.map(|(name, value)| Some((name.as_str().into(), cell_in(value)?))).collect::<Option<_>>().map(Row)
}

fn cell_in(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.as_str().into()),
        Value::Array(items) => Cell::List(items.iter().map(cell_in).collect::<Option<_>>()?),
        Value::Object(object) => {
            let (name, value) = object.iter().next()?;
            match name.as_str() {
                "unchanged" => Cell::Unchanged,
                "unreadable" => Cell::Unreadable(value.as_str()?.into()),
                "json" => Cell::Json(value.as_str()?.into()),
                _ => return None,
            }
        }
        Value::Bool(_) | Value::Number(_) => return None,
    })
}
