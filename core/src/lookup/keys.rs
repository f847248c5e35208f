//! The keys of a look-up as digests: 16 bytes each, whatever a key is.

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use jiff::civil;
use rust_decimal::Decimal;

use crate::rule::{Operand, Type};

/// As what the values of rules are compared with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Date,
    Bool,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Text, Self::Number, Self::Date, Self::Bool];

    /// How values of this type are looked up; `None`: they can not be.
    pub(crate) fn of(kind: &Type) -> Option<Self> {
        Some(match kind {
            Type::Text | Type::Words(_) => Self::Text,
            Type::Number => Self::Number,
            Type::Date => Self::Date,
            Type::Bool => Self::Bool,
            Type::Time | Type::DateTime | Type::Duration | Type::Bytes | Type::List(_) | Type::Record => {
                return None;
            }
        })
    }

    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Number => 2,
            Self::Date => 4,
            Self::Bool => 8,
        }
    }
}

/// Keys that were read at one time. Which of them is which can not be told any more.
#[derive(Default)]
pub struct Keys {
    digests: Vec<u128>,
    is_sorted: bool,
    count: usize,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.count)
    }
}

impl Keys {
    /// Adds a key in the ways in which rules ask for it. A key that is none of a kind (`n/a` as a number) is none.
    pub(super) fn add(&mut self, text: &str, wanted: u8) {
        self.count = self.count.saturating_add(1);
        self.is_sorted = false;
        for kind in Kind::ALL.into_iter().filter(|it| wanted & it.bit() != 0) {
            self.digests.extend(of_text(kind, text));
        }
    }

    /// To be called after the last [`Keys::add`].
    pub(super) fn finish(&mut self) {
        self.digests.sort_unstable();
        self.digests.dedup();
        self.digests.shrink_to_fit();
        self.is_sorted = true;
    }

    /// How many were read.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether this value is one of them; `None`: it is no value that can be looked up, or there is none.
    pub(super) fn has(&self, value: &Operand<'_>) -> Option<bool> {
        let digest = match value {
            Operand::Text(text) => text_digest(text),
            Operand::Number(number) => number_digest(*number),
            Operand::Date(date) => date_digest(*date),
            Operand::Bool(it) => digest(Kind::Bool, if *it { "true" } else { "false" }),
            Operand::Missing
            | Operand::Time(_)
            | Operand::DateTime(_)
            | Operand::Duration(_)
            | Operand::Bytes(_)
            | Operand::List(_) => return None,
        };
        Some(self.is_sorted && self.digests.binary_search(&digest).is_ok())
    }
}

fn of_text(kind: Kind, text: &str) -> Option<u128> {
    match kind {
        Kind::Text => Some(text_digest(text)),
        Kind::Number => {
            let text = text.trim();
            let number = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
            number.ok().map(number_digest)
        }
        Kind::Date => text.trim().parse().ok().map(date_digest),
        Kind::Bool => match text.trim() {
            it @ ("true" | "false") => Some(digest(Kind::Bool, it)),
            _ => None,
        },
    }
}

/// Blanks at the end are no part of a key: columns of a fixed width are filled up with them.
fn text_digest(text: &str) -> u128 {
    digest(Kind::Text, text.trim_end_matches(' '))
}

fn number_digest(number: Decimal) -> u128 {
    digest(Kind::Number, &number.normalize().to_string())
}

fn date_digest(date: civil::Date) -> u128 {
    digest(Kind::Date, &date.to_string())
}

/// Two keyed hashes of 64 bits: nobody who writes keys knows the hashes' own, so nobody can make two keys look alike,
/// and among five million the odds of it are below 1 in 10^25.
fn digest(kind: Kind, text: &str) -> u128 {
    static STATES: OnceLock<(RandomState, RandomState)> = OnceLock::new();
    let (one, other) = STATES.get_or_init(|| (RandomState::new(), RandomState::new()));
    let value = (kind.bit(), text);
    (u128::from(one.hash_one(value)) << 64) | u128::from(other.hash_one(value))
}
