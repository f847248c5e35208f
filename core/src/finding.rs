//! What the gate found, and how bad it is.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::origin::Origin;

/// How a check ends. The worst of all findings decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing to say.
    Pass,
    /// Recorded; the work goes on.
    Note,
    /// A person decides.
    Review,
    /// Refused; nothing reaches a model.
    Reject,
}

impl Outcome {
    /// The word in mappings and replies. A note passes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass | Self::Note => "pass",
            Self::Review => "review",
            Self::Reject => "reject",
        }
    }
}

/// What kind of check failed. The code is stable: callers may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// `required`, and nothing is there.
    Required,
    /// The text can not be read as the field's type and format.
    Type,
    /// A local time that the time zone skips or repeats.
    LocalTime,
    /// `codes`: not a known code.
    Codes,
    /// `length`.
    Length,
    /// `range`.
    Range,
    /// `pattern`.
    Pattern,
    /// `one_of`.
    OneOf,
    /// `max_age`.
    MaxAge,
    /// `unique` over the records.
    Unique,
    /// `complete` over the records.
    Complete,
    /// `confidence`.
    Confidence,
    /// A rule of `checks`.
    Rule,
    /// A rule could not be computed (overflow, division by zero).
    RuleFailed,
    /// `accept`: the answer is not good enough to be used without a person.
    Accept,
    /// No model and no fallback gave an answer.
    NoAnswer,
    /// A value does not fit its legacy place.
    Overflow,
    /// More than one place matches where one value was expected.
    Ambiguous,
    /// A person decided, or the time for that was over.
    Decided,
    /// Reference data that a rule asks for was not read, or is older than it should be.
    Lookup,
}

impl Check {
    /// Every check, in the order of its code.
    pub const ALL: [Self; 20] = [
        Self::Required,
        Self::Type,
        Self::LocalTime,
        Self::Codes,
        Self::Length,
        Self::Range,
        Self::Pattern,
        Self::OneOf,
        Self::MaxAge,
        Self::Unique,
        Self::Complete,
        Self::Confidence,
        Self::Rule,
        Self::RuleFailed,
        Self::Accept,
        Self::NoAnswer,
        Self::Overflow,
        Self::Ambiguous,
        Self::Decided,
        Self::Lookup,
    ];

    /// The stable code, e.g. `G101`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Required => "G101",
            Self::Type => "G102",
            Self::LocalTime => "G103",
            Self::Codes => "G104",
            Self::Length => "G105",
            Self::Range => "G106",
            Self::Pattern => "G107",
            Self::OneOf => "G108",
            Self::MaxAge => "G109",
            Self::Unique => "G110",
            Self::Complete => "G111",
            Self::Confidence => "G112",
            Self::Rule => "G113",
            Self::RuleFailed => "G114",
            Self::Accept => "G115",
            Self::NoAnswer => "G116",
            Self::Overflow => "G117",
            Self::Ambiguous => "G118",
            Self::Decided => "G119",
            Self::Lookup => "G120",
        }
    }

    /// The word that names it in the mapping language.
    pub fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Type => "type",
            Self::LocalTime => "local time",
            Self::Codes => "codes",
            Self::Length => "length",
            Self::Range => "range",
            Self::Pattern => "pattern",
            Self::OneOf => "one_of",
            Self::MaxAge => "max_age",
            Self::Unique => "unique",
            Self::Complete => "complete",
            Self::Confidence => "confidence",
            Self::Rule => "rule",
            Self::RuleFailed => "rule failed",
            Self::Accept => "accept",
            Self::NoAnswer => "no answer",
            Self::Overflow => "overflow",
            Self::Ambiguous => "ambiguous",
            Self::Decided => "decided",
            Self::Lookup => "lookup",
        }
    }

    /// True where the document itself is not what was agreed (missing or unreadable), not what it says.
    pub fn is_about_form(self) -> bool {
        matches!(self, Self::Required | Self::Type | Self::Ambiguous)
    }
}

/// One failed check: everything a person needs to mend the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What it led to.
    pub outcome: Outcome,
    /// Clean name of the field, with its list position: `lines[2].amount`; the rule's text for a rule.
    pub field: Box<str>,
    /// Where it is, or would be.
    pub origin: Option<Origin>,
    /// What was expected, in words or in the mapping's own notation.
    pub expected: Cow<'static, str>,
    /// What was found; `None` where nothing was; `***` where the field is masked.
    pub found: Option<Box<str>>,
    /// The mapping's `say`, for people.
    pub say: Option<Box<str>>,
}
