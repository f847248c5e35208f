//! Running a rule. Linear in the values that it reads.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp, civil};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{
    Bindings, Clock, Operand, RuleFailure, call,
    check::Code,
    parser::{Arithmetic, Comparison},
};

/// Decimals kept of a product or a quotient; the last is rounded half to even.
const MOST_DECIMALS: u32 = 18;
/// Lists that are longer are sorted before values are looked for in them.
const SHORT: usize = 16;

pub(super) struct Run<'a, 'c> {
    pub(super) bindings: &'a dyn Bindings,
    pub(super) clock: &'c Clock,
}

type Outcome<'a> = Result<Operand<'a>, RuleFailure>;

impl<'a> Run<'a, '_> {
    pub(super) fn value(&self, code: &'a Code) -> Outcome<'a> {
        match code {
            Code::Literal(literal) => Ok(borrowed(literal)),
            Code::Slot(slot) => Ok(self.bindings.value(slot)),
            Code::List(items) => {
                Ok(Operand::List(items.iter().map(|it| self.value(it)).collect::<Result<_, _>>()?))
            }
            Code::Not(inner) => each(self.value(inner)?, |it| {
                Ok(match it {
                    Operand::Bool(it) => Operand::Bool(!it),
                    _ => Operand::Missing,
                })
            }),
            Code::Negate(inner) => each(self.value(inner)?, |it| match it {
                Operand::Number(it) => Ok(Operand::Number(-it)),
                Operand::Duration(it) => it.checked_neg().map(Operand::Duration).ok_or(RuleFailure::Overflow),
                _ => Ok(Operand::Missing),
            }),
            Code::And(parts) => self.joined(parts, false),
            Code::Or(parts) => self.joined(parts, true),
            Code::Compare(comparison, sides) => {
                let (left, right) = (self.value(&sides.0)?, self.value(&sides.1)?);
                pairs(left, right, &|left, right| Ok(self.compare(*comparison, left, right)))
            }
            Code::Arithmetic(operation, sides) => {
                let (left, right) = (self.value(&sides.0)?, self.value(&sides.1)?);
                pairs(left, right, &|left, right| self.arithmetic(*operation, left, right))
            }
            Code::In { negated, sides } => self.is_in(*negated, &sides.0, &sides.1),
            Code::Lookup { negated, needle, table } => each(self.value(needle)?, |it| {
                Ok(table.has(&it)?.map_or(Operand::Missing, |is_in| Operand::Bool(is_in != *negated)))
            }),
            Code::Contains { all, text, words } => each(self.value(text)?, |it| {
                let Operand::Text(text) = it else { return Ok(Operand::Missing) };
                Ok(Operand::Bool(if *all { words.all_in(&text) } else { words.any_in(&text) }))
            }),
            Code::Call(function, arguments) => call::run(self, *function, arguments),
        }
    }

    /// `and` and `or` over three values: what decides, decides, even beside something that is missing.
    fn joined(&self, parts: &'a [Code], decides: bool) -> Outcome<'a> {
        let mut so_far = Operand::Bool(!decides);
        for part in parts {
            let next = self.value(part)?;
            so_far = pairs(so_far, next, &|left, right| {
                Ok(match (left, right) {
                    (Operand::Bool(it), _) | (_, Operand::Bool(it)) if *it == decides => {
                        Operand::Bool(decides)
                    }
                    (Operand::Bool(_), Operand::Bool(_)) => Operand::Bool(!decides),
                    _ => Operand::Missing,
                })
            })?;
            if so_far == Operand::Bool(decides) {
                break;
            }
        }
        Ok(so_far)
    }

    fn compare(&self, comparison: Comparison, left: &Operand<'a>, right: &Operand<'a>) -> Operand<'a> {
        let Some(order) = self.order(left, right) else { return Operand::Missing };
        Operand::Bool(match comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        })
    }

    /// How two values stand to each other; `None` where one is missing. A date and an instant are compared as days
    /// of the clock's zone.
    pub(super) fn order(&self, left: &Operand<'_>, right: &Operand<'_>) -> Option<Ordering> {
        Some(match (left, right) {
            (Operand::Number(left), Operand::Number(right)) => left.cmp(right),
            (Operand::Text(left), Operand::Text(right)) => left.cmp(right),
            (Operand::Bool(left), Operand::Bool(right)) => left.cmp(right),
            (Operand::DateTime(left), Operand::DateTime(right)) => left.cmp(right),
            (Operand::Time(left), Operand::Time(right)) => left.cmp(right),
            (Operand::Duration(left), Operand::Duration(right)) => left.cmp(right),
            (left, right) => self.day(left)?.cmp(&self.day(right)?),
        })
    }

    /// The day of a date or of an instant.
    pub(super) fn day(&self, it: &Operand<'_>) -> Option<civil::Date> {
        match it {
            Operand::Date(date) => Some(*date),
            Operand::DateTime(at) => Some(self.day_of(*at)),
            _ => None,
        }
    }

    pub(super) fn day_of(&self, at: Timestamp) -> civil::Date {
        self.clock.zone.to_datetime(at).date()
    }

    fn arithmetic(&self, operation: Arithmetic, left: &Operand<'a>, right: &Operand<'a>) -> Outcome<'a> {
        use Arithmetic::{Add, Divide, Multiply, Subtract};
        Ok(match (operation, left, right) {
            (_, Operand::Number(left), Operand::Number(right)) => {
                Operand::Number(numbers(operation, *left, *right)?)
            }
            (Add, Operand::Duration(left), Operand::Duration(right)) => {
                Operand::Duration(left.checked_add(*right).ok_or(RuleFailure::Overflow)?)
            }
            (Subtract, Operand::Duration(left), Operand::Duration(right)) => {
                Operand::Duration(left.checked_sub(*right).ok_or(RuleFailure::Overflow)?)
            }
            (Divide, Operand::Duration(left), Operand::Duration(right)) => {
                Operand::Number(numbers(Divide, seconds(*left), seconds(*right))?)
            }
            (Multiply | Divide, Operand::Duration(time), Operand::Number(by))
            | (Multiply, Operand::Number(by), Operand::Duration(time)) => {
                Operand::Duration(duration(numbers(operation, seconds(*time), *by)?)?)
            }
            (Add, Operand::Date(date), Operand::Duration(by))
            | (Add, Operand::Duration(by), Operand::Date(date)) => Operand::Date(shift(*date, *by)?),
            (Subtract, Operand::Date(date), Operand::Duration(by)) => {
                Operand::Date(shift(*date, by.checked_neg().ok_or(RuleFailure::Overflow)?)?)
            }
            (Add, Operand::DateTime(at), Operand::Duration(by))
            | (Add, Operand::Duration(by), Operand::DateTime(at)) => {
                Operand::DateTime(at.checked_add(*by).map_err(|_| RuleFailure::DateRange)?)
            }
            (Subtract, Operand::DateTime(at), Operand::Duration(by)) => {
                Operand::DateTime(at.checked_sub(*by).map_err(|_| RuleFailure::DateRange)?)
            }
            (Subtract, Operand::DateTime(left), Operand::DateTime(right)) => {
                Operand::Duration(left.duration_since(*right))
            }
            (Subtract, left, right) => match (self.day(left), self.day(right)) {
                (Some(left), Some(right)) => Operand::Duration(left.duration_since(right)),
                _ => Operand::Missing,
            },
            _ => Operand::Missing,
        })
    }

    fn is_in(&self, negated: bool, needle: &'a Code, hay: &'a Code) -> Outcome<'a> {
        let needle = self.value(needle)?;
        // The usual case, a few words written out: nothing is copied.
        if let (Code::List(items), false) = (hay, matches!(needle, Operand::List(_))) {
            return self.is_among(negated, &needle, items.iter().map(|it| self.value(it)));
        }
        let Operand::List(mut hay) = self.value(hay)? else { return Ok(Operand::Missing) };
        if hay.len() <= SHORT || !matches!(needle, Operand::List(_)) {
            return each(needle, |it| self.is_among(negated, &it, hay.iter().map(|it| Ok(it.clone()))));
        }
        // Many are looked for among many: once in order, each is found in a few steps. Instants count as days only
        // beside dates, so both sides are brought to one kind first.
        let as_days = |it: &Operand<'_>| matches!(it, Operand::Date(_));
        let Operand::List(mut needles) = needle else { return Ok(Operand::Missing) };
        if hay.iter().any(as_days) || needles.iter().any(as_days) {
            for it in hay.iter_mut().chain(&mut needles) {
                *it = self.day(it).map_or(Operand::Missing, Operand::Date);
            }
        }
        let before = hay.len();
        hay.retain(|it| *it != Operand::Missing);
        let some_missing = hay.len() < before;
        let order =
            |left: &Operand<'_>, right: &Operand<'_>| self.order(left, right).unwrap_or(Ordering::Equal);
        hay.sort_unstable_by(order);
        each(Operand::List(needles), |it| {
            if it == Operand::Missing {
                return Ok(Operand::Missing);
            }
            let found = hay.binary_search_by(|other| order(other, &it)).is_ok();
            Ok(if !found && some_missing { Operand::Missing } else { Operand::Bool(found != negated) })
        })
    }

    fn is_among(
        &self,
        negated: bool,
        needle: &Operand<'a>,
        hay: impl Iterator<Item = Outcome<'a>>,
    ) -> Outcome<'a> {
        let mut some_missing = *needle == Operand::Missing;
        for it in hay {
            match self.order(needle, &it?) {
                Some(Ordering::Equal) => return Ok(Operand::Bool(!negated)),
                Some(_) => {}
                None => some_missing = true,
            }
        }
        Ok(if some_missing { Operand::Missing } else { Operand::Bool(negated) })
    }
}

/// The literal without a copy of its text.
fn borrowed<'a>(literal: &'a Operand<'static>) -> Operand<'a> {
    match literal {
        Operand::Text(text) => Operand::Text(text.as_ref().into()),
        other => other.clone(),
    }
}

/// The operation on a value, or on every item of a list.
pub(super) fn each<'a>(it: Operand<'a>, operation: impl Fn(Operand<'a>) -> Outcome<'a>) -> Outcome<'a> {
    match it {
        Operand::List(items) => {
            Ok(Operand::List(items.into_iter().map(operation).collect::<Result<_, _>>()?))
        }
        single => operation(single),
    }
}

/// The operation on two values; a list beside a value is taken item by item, two lists pair by pair.
pub(super) fn pairs<'a>(
    left: Operand<'a>,
    right: Operand<'a>,
    operation: &dyn Fn(&Operand<'a>, &Operand<'a>) -> Outcome<'a>,
) -> Outcome<'a> {
    let found: Result<Vec<_>, _> = match (&left, &right) {
        (Operand::List(left), Operand::List(right)) => {
            if left.len() != right.len() {
                return Err(RuleFailure::ListsDiffer);
            }
            left.iter().zip(right).map(|(left, right)| operation(left, right)).collect()
        }
        (Operand::List(left), right) => left.iter().map(|left| operation(left, right)).collect(),
        (left, Operand::List(right)) => right.iter().map(|right| operation(left, right)).collect(),
        (left, right) => return operation(left, right),
    };
    found.map(Operand::List)
}

/// Sums and differences are exact or an overflow; products and quotients keep 18 decimals.
pub(super) fn numbers(operation: Arithmetic, left: Decimal, right: Decimal) -> Result<Decimal, RuleFailure> {
    let found = match operation {
        Arithmetic::Add => left.checked_add(right).filter(|it| is_exact(*it, left, right)),
        Arithmetic::Subtract => left.checked_sub(right).filter(|it| is_exact(*it, left, right)),
        Arithmetic::Multiply => left.checked_mul(right).map(shortened),
        Arithmetic::Divide if right.is_zero() => return Err(RuleFailure::DivisionByZero),
        Arithmetic::Divide => left.checked_div(right).map(shortened),
    };
    found.ok_or(RuleFailure::Overflow)
}

/// The decimal type drops digits of a sum that it can not hold; the scale tells.
fn is_exact(sum: Decimal, left: Decimal, right: Decimal) -> bool {
    sum.scale() >= left.scale().max(right.scale())
        || sum.scale() >= left.normalize().scale().max(right.normalize().scale())
}

fn shortened(it: Decimal) -> Decimal {
    if it.scale() > MOST_DECIMALS { it.round_dp(MOST_DECIMALS) } else { it }
}

fn seconds(time: SignedDuration) -> Decimal {
    // Nanoseconds of any duration have 28 digits at most.
    Decimal::try_from_i128_with_scale(time.as_nanos(), 9).unwrap_or_default().normalize()
}

fn duration(seconds: Decimal) -> Result<SignedDuration, RuleFailure> {
    let whole = seconds.trunc();
    let nanos = (seconds - whole) * Decimal::from(1_000_000_000);
    match (whole.to_i64(), nanos.trunc().to_i32()) {
        (Some(whole), Some(nanos)) => Ok(SignedDuration::new(whole, nanos)),
        _ => Err(RuleFailure::Overflow),
    }
}

/// The day that the duration after the beginning of `date` falls on.
fn shift(date: civil::Date, by: SignedDuration) -> Result<civil::Date, RuleFailure> {
    let midnight = date.at(0, 0, 0, 0);
    midnight.checked_add(by).map(civil::DateTime::date).map_err(|_| RuleFailure::DateRange)
}
