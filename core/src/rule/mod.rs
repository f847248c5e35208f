//! The rule language: small, total and typed. No loops, no I/O; `0.1 + 0.2 == 0.3` holds.
//!
//! A rule is compiled against a [`Scope`] of names with types, and runs over [`Bindings`]. A rule with a missing
//! input does not apply: its value is [`Operand::Missing`], never silently false.

pub mod nearest;

pub mod bindings;

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};
use rust_decimal::Decimal;
use smallvec::SmallVec;

use crate::mapping::diagnostic::{Diagnostics, Span};

/// What a rule's value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// A whole or decimal number, or money.
    Number,
    /// Text.
    Text,
    /// One of these clean words (a code table's or a `one_of`'s); compares with text.
    Words(Arc<[String]>),
    /// Yes or no.
    Bool,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// An instant.
    DateTime,
    /// A length of time, `48h`, `30d`.
    Duration,
    /// Opaque bytes: only `present`, `length`.
    Bytes,
    /// A list; of records when the inner type is `Record`.
    List(Box<Type>),
    /// A record: only `count(records)` and names below it.
    Record,
}

/// The names that a rule may use.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Name as written (`reserve`, `lines.amount`, `answer.confidence`), type, and where the value is.
    pub names: indexmap::IndexMap<String, (Type, Slot)>,
}

impl Scope {
    /// Adds or replaces a name.
    pub fn declare(&mut self, name: impl Into<String>, kind: Type, slot: Slot) {
        self.names.insert(name.into(), (kind, slot));
    }
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {}

impl Rule {
    /// Compiles `text`. Every problem is reported with codes M040 (spelling) and M041 (names and types); `at` turns
    /// a range of `text` into a span of the file. `wanted`: the type that the rule's value must have, if any.
    pub fn compile(
        text: &str,
        scope: &Scope,
        wanted: Option<&Type>,
        diagnostics: &mut Diagnostics,
        at: &dyn Fn(Span) -> Span,
    ) -> Option<Self> {
        let _ = (text, scope, wanted, diagnostics, at);
        None
    }

    /// The type of its value.
    pub fn kind(&self) -> &Type {
        &Type::Bool
    }

    /// Its value. `Err` is a value that can not be computed (overflow, division by zero), in words.
    pub fn run<'a>(&'a self, bindings: &'a dyn Bindings, clock: &Clock) -> Result<Operand<'a>, RuleFailure> {
        let _ = (bindings, clock);
        Ok(Operand::Missing)
    }

    /// The slots that it reads, for findings that name the fields involved.
    pub fn slots(&self) -> Vec<&Slot> {
        Vec::new()
    }
}

/// Why a rule has no value although its inputs are there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFailure {
    /// The result needs more than 28 digits.
    #[error("the result needs more digits than a decimal holds")]
    Overflow,
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A date outside the years -9999 to 9999.
    #[error("the date is out of range")]
    DateRange,
}

/// Where a rule's names get their values.
pub trait Bindings {
    /// The value of this slot; lists in between are broadcast (and flattened) over their items.
    fn value(&self, slot: &Slot) -> Operand<'_>;
}

/// What time it is for a rule.
#[derive(Debug, Clone)]
pub struct Clock {
    /// `now()`.
    pub now: Timestamp,
    /// Decides `today()` and compares dates with instants.
    pub zone: TimeZone,
}

/// A value inside a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand<'a> {
    /// Nothing is there.
    Missing,
    /// A number.
    Number(Decimal),
    /// Text.
    Text(Cow<'a, str>),
    /// Yes or no.
    Bool(bool),
    /// A date.
    Date(civil::Date),
    /// A time of day.
    Time(civil::Time),
    /// An instant.
    DateTime(Timestamp),
    /// A length of time.
    Duration(jiff::SignedDuration),
    /// Bytes, by their number.
    Bytes(u64),
    /// A list.
    List(Vec<Operand<'a>>),
}

/// Where a rule's name is found when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Where to start.
    pub root: Root,
    /// Positions in shapes; a list in between broadcasts over its items.
    pub path: SmallVec<[u16; 4]>,
}

/// Where a name starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// The record that the rule belongs to; inside an `each`, the item.
    Here,
    /// The record around the item, so many levels up.
    Outer(u8),
    /// The answer.
    Answer,
    /// All records of the document.
    Records,
    /// The trailer.
    Trailer,
    /// `outcome`
    Outcome,
    /// `findings`: a list of texts
    Findings,
    /// `ticket`
    Ticket,
    /// `flow.name`
    FlowName,
    /// `flow.version`
    FlowVersion,
    /// `model.name`
    ModelName,
    /// `cost`
    Cost,
}
