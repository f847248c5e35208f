//! Writes what `return` says of a row: an object with a text or `null` for each column.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    fault::{Fault, FaultCode},
    flow::written::{Written, WrittenItem},
    mapping::plan::{Return, Write},
    ports::Renderer,
};

/// A compiled `return`.
#[derive(Debug)]
pub(super) struct ChangeRenderer {
    /// The written columns, in the mapping's order.
    columns: Vec<String>,
}

impl ChangeRenderer {
    pub(super) fn compile(back: &Return) -> Result<Self, Fault> {
        let column = |write: &Write| match write {
            Write::Value { place, .. } => match place.steps.as_slice() {
                [only] => Ok(only.name.to_string()),
                _ => Err(not_a_column()),
            },
            Write::Each { .. } => Err(not_a_column()),
        };
        Ok(Self { columns: back.write.iter().map(column).collect::<Result<_, _>>()? })
    }

    /// Every written column stands in it: without a value it is `null`.
    fn row(&self, written: &Written) -> Result<Value, Fault> {
        let mut row: Map<String, Value> = self.columns.iter().map(|it| (it.clone(), Value::Null)).collect();
        for item in &written.items {
            let WrittenItem::Value { write, text, .. } = item else { return Err(not_a_column()) };
            let column = self.columns.get(*write).ok_or_else(not_a_column)?;
            row.insert(column.clone(), Value::from(&**text));
        }
        Ok(Value::Object(row))
    }
}

fn not_a_column() -> Fault {
    Fault::new(FaultCode::Unwritable, "a row is written by its columns")
}

impl Renderer for ChangeRenderer {
    /// One object for a change that was one record, `{}` for one that was none, else a list.
    fn render(&self, records: &[Written]) -> Result<Bytes, Fault> {
        let value = match records {
            [] => Value::Object(Map::new()),
            [only] => self.row(only)?,
            all => Value::Array(all.iter().map(|it| self.row(it)).collect::<Result<_, _>>()?),
        };
        Ok(value.to_string().into())
    }
}
