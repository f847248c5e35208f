//! The canonical model: a record of typed values, each with its origin.

pub mod json;

use std::sync::Arc;

use bytes::Bytes;
use jiff::{Timestamp, civil, tz::Offset};
use rust_decimal::Decimal;

use crate::{mapping::plan::Shape, origin::Origin};

/// A clean value. Absent is not a value: it is a `None` where a [`Field`] would stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, also a clean word of a code table.
    Text(Box<str>),
    /// A whole number.
    Int(i64),
    /// A decimal or an amount of money; the scale as written is kept (`1250.00` stays `1250.00`).
    Decimal(Decimal),
    /// Yes or no.
    Bool(bool),
    /// A calendar date.
    Date(civil::Date),
    /// A time of day.
    Time(civil::Time),
    /// An instant with the offset it was written in.
    DateTime {
        /// The instant.
        at: Timestamp,
        /// The offset it was written in, or that its time zone had then.
        offset: Offset,
    },
    /// Opaque bytes.
    Bytes(Bytes),
    /// The records of an `each`.
    List(Vec<Record>),
}

/// One value with its lineage.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The clean value.
    pub value: Value,
    /// Where it was read.
    pub origin: Origin,
    /// The text as the legacy side wrote it, where that differs from the clean value's own text.
    pub raw: Option<Box<str>>,
}

/// A record: one slot for each field of its shape, in the shape's order.
#[derive(Debug, Clone)]
pub struct Record {
    /// Names and rules of the fields.
    pub shape: Arc<Shape>,
    /// `None` is absent. Always as long as the shape.
    pub fields: Vec<Option<Field>>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Record {
    /// A record in which every field is absent.
    pub fn empty(shape: Arc<Shape>) -> Self {
        let fields = vec![None; shape.fields.len()];
        Self { shape, fields }
    }

    /// The field of this clean name, if the shape has it and the record holds it.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let slot = self.shape.slot(name)?;
        self.at(slot)
    }

    /// The field in this slot of the shape.
    pub fn at(&self, slot: usize) -> Option<&Field> {
        self.fields.get(slot)?.as_ref()
    }

    /// Names and values of what is present, in the mapping's order.
    pub fn present(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.shape
            .fields
            .iter()
            .zip(&self.fields)
            .filter_map(|(plan, field)| Some((&*plan.name, field.as_ref()?)))
    }
}
