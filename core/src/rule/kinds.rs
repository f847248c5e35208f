//! Types of rules: what goes together, what comes out, and how it is said.

use jiff::{Timestamp, civil};

use super::{Operand, Type, parser::Arithmetic};
use crate::interpret::{Codec, Kind};

impl Type {
    /// What a rule sees of a value that is spelt so: the clean words of its code table or of its `one_of`, where it is
    /// text that has one, else its kind.
    pub fn of(codec: &Codec, one_of: Option<&[String]>) -> Self {
        match (codec.kind(), codec.codes(), one_of) {
            (Kind::Text, Some(table), _) => {
                Self::Words(table.rows.iter().map(|(word, _)| word.clone()).collect())
            }
            (Kind::Text, None, Some(words)) => Self::Words(words.into()),
            (kind, ..) => Self::of_kind(kind),
        }
    }

    /// What a rule sees of a kind.
    pub fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Int | Kind::Decimal | Kind::Money => Self::Number,
            Kind::Bool => Self::Bool,
            Kind::Date => Self::Date,
            Kind::Time => Self::Time,
            Kind::Datetime => Self::DateTime,
            Kind::Bytes => Self::Bytes,
        }
    }
}

/// The type itself, or that of a list's items.
pub(super) fn item(kind: &Type) -> &Type {
    match kind {
        Type::List(inner) => inner,
        other => other,
    }
}

pub(super) fn is_list(kind: &Type) -> bool {
    matches!(kind, Type::List(_))
}

/// `kind`, or a list of it where one of the sides is a list.
pub(super) fn spread(kind: Type, is_list: bool) -> Type {
    if is_list { Type::List(Box::new(kind)) } else { kind }
}

/// The type of `left operation right`; `None` where they do not go together.
pub(super) fn result_of(operation: Arithmetic, left: &Type, right: &Type) -> Option<Type> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    use Type::{Date, DateTime, Duration, Number};
    Some(match (operation, left, right) {
        (_, Number, Number) | (Divide, Duration, Duration) => Number,
        (Add | Subtract, Duration, Duration) => Duration,
        (Multiply | Divide, Duration, Number) | (Multiply, Number, Duration) => Duration,
        (Subtract, Date | DateTime, Date | DateTime) => Duration,
        (Add | Subtract, Date, Duration) | (Add, Duration, Date) => Date,
        (Add | Subtract, DateTime, Duration) | (Add, Duration, DateTime) => DateTime,
        _ => return None,
    })
}

/// True where a value of type `found` can stand where `wanted` is asked for.
pub(super) fn fits(found: &Type, wanted: &Type) -> bool {
    match (found, wanted) {
        (Type::List(found), Type::List(wanted)) => fits(found, wanted),
        (Type::Text | Type::Words(_), Type::Text | Type::Words(_)) => true,
        _ => found == wanted,
    }
}

pub(super) fn comparable(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Text | Type::Words(_), Type::Text | Type::Words(_)) => true,
        (Type::Date | Type::DateTime, Type::Date | Type::DateTime) => true,
        (Type::Bytes | Type::Record | Type::List(_), _) => false,
        _ => left == right,
    }
}

pub(super) fn is_ordered(kind: &Type) -> bool {
    matches!(kind, Type::Number | Type::Date | Type::Time | Type::DateTime | Type::Duration)
}

pub(super) fn literal_type(literal: &Operand<'_>) -> Type {
    match literal {
        Operand::Number(_) => Type::Number,
        Operand::Bool(_) => Type::Bool,
        Operand::Date(_) => Type::Date,
        Operand::Time(_) => Type::Time,
        Operand::DateTime(_) => Type::DateTime,
        Operand::Duration(_) => Type::Duration,
        Operand::Bytes(_) => Type::Bytes,
        Operand::Text(_) | Operand::Missing | Operand::List(_) => Type::Text,
    }
}

/// The type in words: "a number", "a list of dates".
pub(super) fn describe(kind: &Type) -> String {
    match kind {
        Type::Number => "a number",
        Type::Text | Type::Words(_) => "text",
        Type::Bool => "yes or no",
        Type::Date => "a date",
        Type::Time => "a time of day",
        Type::DateTime => "an instant",
        Type::Duration => "a length of time",
        Type::Bytes => "bytes",
        Type::Record => "a record",
        Type::List(inner) => return format!("a list of {}", describe_many(inner)),
    }
    .to_owned()
}

fn describe_many(kind: &Type) -> &'static str {
    match kind {
        Type::Number => "numbers",
        Type::Text | Type::Words(_) => "texts",
        Type::Bool => "yes or no",
        Type::Date => "dates",
        Type::Time => "times of day",
        Type::DateTime => "instants",
        Type::Duration => "lengths of time",
        Type::Bytes => "bytes",
        Type::Record => "records",
        Type::List(_) => "lists",
    }
}

pub(super) fn date(text: &str) -> Option<civil::Date> {
    // The length first: the parser alone would take an instant and drop its time.
    text.parse().ok().filter(|_| text.len() == 10)
}

pub(super) fn time(text: &str) -> Option<civil::Time> {
    text.parse().ok().filter(|_| text.len() >= 5 && text.as_bytes().get(2) == Some(&b':'))
}

pub(super) fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
