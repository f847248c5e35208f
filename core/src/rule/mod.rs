//! The rule language: small, total and typed. No loops, no I/O; `0.1 + 0.2 == 0.3` holds.
//!
//! A rule is compiled against a [`Scope`] of names with types, and runs over [`Bindings`]. A rule with a missing
//! input does not apply: its value is [`Operand::Missing`], never silently false.
//!
//! ```text
//! rule    = and { "or" and }            and  = not { "and" not }          not = [ "not" ] compare
//! compare = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum | [ "not" ] "in" sum
//!               | "contains" [ ( "any" | "all" ) "of" ] ( text | list of texts | name of a word list ) ]
//! sum     = product { ( "+" | "-" ) product }        product = signed { ( "*" | "/" ) signed }
//! signed  = [ "-" ] ( number | duration | text | yes | no | name | name "(" [ rule { "," rule } ] ")"
//!                     | "(" rule ")" | "[" rule { "," rule } "]" )
//! ```
//!
//! - A text beside a date, time or instant is read as one (`loss_date >= '2026-01-01'`); a date and an instant are
//!   compared as days of the clock's zone.
//! - An operation on a list works on each item (`lines.amount > 0` is a list of yes and no); on two lists pair by pair.
//! - Missing: `false and missing` is false, `true or missing` is true, `present(x)` is never missing. `sum`, `avg`,
//!   `min` and `max` of a list with a missing item are missing; `sum` of an empty list is 0, the others are missing.
//!   `count` counts what is there (of yes and no: the yeses), `length` of a list counts every item.
//! - `value in NAME` and `value not in NAME` also ask a look-up: see [`crate::lookup`].
//! - Sums are exact or fail; products and quotients keep 18 decimals; `round` rounds half away from zero.
//! - `contains` finds whole words and phrases, whatever their case and however the lines break.
//! - A date moved by a length of time is the day that falls on; lengths of time are `s m h d w`, a day is 24 hours.

pub mod bindings;
mod call;
mod check;
mod functions;
mod kinds;
mod lexer;
mod parser;
mod report;
mod run;
mod words;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};
use rust_decimal::Decimal;
use smallvec::SmallVec;

use self::{
    check::{Checker, Code, Typed},
    report::{Problem, Report},
    run::Run,
    words::Words,
};
use crate::{
    lookup::{Table, Unread},
    mapping::diagnostic::{Diagnostics, Span},
};

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
    /// Word lists by name, for `contains`. Rules share them: each is prepared once, however many rules name it.
    lists: indexmap::IndexMap<String, Arc<Words>>,
    /// Reference data by name, for `in`.
    lookups: indexmap::IndexMap<String, Arc<Table>>,
}

impl Scope {
    /// Adds or replaces a name.
    pub fn declare(&mut self, name: impl Into<String>, kind: Type, slot: Slot) {
        self.names.insert(name.into(), (kind, slot));
    }

    /// Adds or replaces a word list: `story contains any of suspicious`. Blank words are left out.
    pub fn declare_words<'w>(&mut self, name: impl Into<String>, words: impl IntoIterator<Item = &'w str>) {
        let words = words.into_iter().filter(|word| !words::is_blank(word));
        self.lists.insert(name.into(), Arc::new(Words::new(words)));
    }

    /// Adds or replaces reference data: `policy_no in policies`. A field of that name comes first.
    pub fn declare_lookup(&mut self, table: Arc<Table>) {
        self.lookups.insert(table.name().to_owned(), table);
    }
}

/// Longest rule, in bytes.
const LONGEST: usize = 4096;

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    code: Code,
    kind: Type,
}

impl Rule {
    /// Compiles `text`. Every problem is reported with codes M040 (spelling) and M041 (names and types); `at` turns
    /// a range of `text` into a span of the file. `wanted`: the type that the rule's value must have, if any.
    /// `None` exactly when a problem was reported.
    pub fn compile(
        text: &str,
        scope: &Scope,
        wanted: Option<&Type>,
        diagnostics: &mut Diagnostics,
        at: &dyn Fn(Span) -> Span,
    ) -> Option<Self> {
        let mut report = Report::new(diagnostics, at);
        if text.len() > LONGEST {
            let problem = Problem::new(
                report::SPELLING,
                0..text.len(),
                "this rule is too long",
                "more than 4096 bytes",
            );
            report.add(problem.help("split it into several rules"));
            return None;
        }
        let tokens = lexer::tokens(text, &mut report);
        let expr = parser::parse(&tokens, &mut report);
        let typed = Checker { scope, report: &mut report, text }.rule(&expr, wanted);
        let Typed { code, kind, .. } = typed.filter(|_| report.count == 0)?;
        Some(Self { code, kind })
    }

    /// The type of its value.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// Its value. `Err` is a value that can not be computed (overflow, division by zero), in words.
    pub fn run<'a>(&'a self, bindings: &'a dyn Bindings, clock: &Clock) -> Result<Operand<'a>, RuleFailure> {
        Run { bindings, clock }.value(&self.code)
    }

    /// The slots that it reads, each once, in the rule's order; for findings that name the fields involved.
    pub fn slots(&self) -> Vec<&Slot> {
        let mut slots = Vec::new();
        self.code.slots(&mut slots);
        slots
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
    /// An operation pairs the items of two lists that are not equally long.
    #[error("the two lists are not equally long")]
    ListsDiffer,
    /// It asks a look-up that has no answer now.
    #[error(transparent)]
    Unread(#[from] Unread),
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
