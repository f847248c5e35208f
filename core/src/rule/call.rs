//! What the functions do.

use std::cmp::Ordering;

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};

use super::{
    Operand, RuleFailure,
    check::Code,
    functions::Function,
    parser::Arithmetic,
    run::{Run, each, numbers, pairs},
    words,
};

type Outcome<'a> = Result<Operand<'a>, RuleFailure>;

/// The value of a call. Except for `present`, `count` and `length` of a list, and `any` and `all` that are decided
/// without it, a missing value makes the result missing.
pub(super) fn run<'a>(run: &Run<'a, '_>, function: Function, arguments: &'a [Code]) -> Outcome<'a> {
    let (first, second) = (arguments.first(), arguments.get(1));
    let value = |code: Option<&'a Code>| code.map_or(Ok(Operand::Missing), |code| run.value(code));
    match function {
        Function::Today => Ok(Operand::Date(run.day_of(run.clock.now))),
        Function::Now => Ok(Operand::DateTime(run.clock.now)),
        Function::Sum => Ok(sum(value(first)?)?.map_or(Operand::Missing, |(sum, _)| sum)),
        Function::Avg => avg(value(first)?),
        Function::Count => Ok(count(&value(first)?)),
        Function::Min => extreme(run, arguments, Ordering::Less),
        Function::Max => extreme(run, arguments, Ordering::Greater),
        Function::Any => Ok(decided(&value(first)?, true)),
        Function::All => Ok(decided(&value(first)?, false)),
        Function::Present => Ok(Operand::Bool(match value(first)? {
            Operand::Missing => false,
            Operand::List(items) => items.iter().any(|it| *it != Operand::Missing),
            _ => true,
        })),
        Function::Length => Ok(length(&value(first)?)),
        Function::Abs => each(value(first)?, |it| match it {
            Operand::Number(it) => Ok(Operand::Number(it.abs())),
            Operand::Duration(it) if it.is_negative() => {
                it.checked_neg().map(Operand::Duration).ok_or(RuleFailure::Overflow)
            }
            Operand::Duration(it) => Ok(Operand::Duration(it)),
            _ => Ok(Operand::Missing),
        }),
        Function::Round => {
            let digits = match value(second)? {
                Operand::Number(digits) => digits.to_u32().unwrap_or(0),
                _ => 0,
            };
            each(value(first)?, |it| {
                Ok(match it {
                    Operand::Number(it) => Operand::Number(
                        it.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero),
                    ),
                    _ => Operand::Missing,
                })
            })
        }
        Function::DaysBetween => pairs(value(first)?, value(second)?, &|from, to| {
            Ok(match (run.day(from), run.day(to)) {
                (Some(from), Some(to)) => {
                    Operand::Number(Decimal::from(to.duration_since(from).as_hours() / 24))
                }
                _ => Operand::Missing,
            })
        }),
        Function::Lower => each(value(first)?, |it| Ok(cased(it, str::to_lowercase))),
        Function::Upper => each(value(first)?, |it| Ok(cased(it, str::to_uppercase))),
        Function::Contains => pairs(value(first)?, value(second)?, &|text, word| {
            Ok(match (text, word) {
                (Operand::Text(text), Operand::Text(word)) => {
                    let word = words::fold(word);
                    Operand::Bool(!word.is_empty() && words::fold(text).contains(&word))
                }
                _ => Operand::Missing,
            })
        }),
    }
}

fn cased<'a>(it: Operand<'a>, change: fn(&str) -> String) -> Operand<'a> {
    match it {
        Operand::Text(text) => Operand::Text(change(&text).into()),
        _ => Operand::Missing,
    }
}

/// The sum of a list and how many were added; `None` where an item is missing. An empty list adds up to zero.
fn sum(list: Operand<'_>) -> Result<Option<(Operand<'_>, usize)>, RuleFailure> {
    let Operand::List(items) = list else { return Ok(None) };
    let count = items.len();
    let mut items = items.into_iter();
    let mut total = match items.next() {
        None => return Ok(Some((Operand::Number(Decimal::ZERO), 0))),
        Some(first) => first,
    };
    for next in items {
        total = match (&total, &next) {
            (Operand::Number(left), Operand::Number(right)) => {
                Operand::Number(numbers(Arithmetic::Add, *left, *right)?)
            }
            (Operand::Duration(left), Operand::Duration(right)) => {
                Operand::Duration(left.checked_add(*right).ok_or(RuleFailure::Overflow)?)
            }
            _ => return Ok(None),
        };
    }
    Ok((total != Operand::Missing).then_some((total, count)))
}

fn avg(list: Operand<'_>) -> Outcome<'_> {
    let Some((total, count)) = sum(list)? else { return Ok(Operand::Missing) };
    // Nothing has no average.
    let Some(count) = i32::try_from(count).ok().filter(|count| *count > 0) else {
        return Ok(Operand::Missing);
    };
    Ok(match total {
        Operand::Number(total) => Operand::Number(numbers(Arithmetic::Divide, total, Decimal::from(count))?),
        Operand::Duration(total) => Operand::Duration(total / count),
        _ => Operand::Missing,
    })
}

/// How many items are there; of yes and no, how many yes. A yes or no that is missing makes that unknown.
fn count<'a>(list: &Operand<'a>) -> Operand<'a> {
    let Operand::List(items) = list else { return Operand::Missing };
    let is_yes_or_no = items.iter().any(|it| matches!(it, Operand::Bool(_)));
    if is_yes_or_no && items.contains(&Operand::Missing) {
        return Operand::Missing;
    }
    let counted = items.iter().filter(|it| !matches!(it, Operand::Missing | Operand::Bool(false))).count();
    Operand::Number(Decimal::from(counted))
}

fn length<'a>(it: &Operand<'a>) -> Operand<'a> {
    match it {
        Operand::Text(text) => Operand::Number(Decimal::from(text.chars().count())),
        Operand::Bytes(count) => Operand::Number(Decimal::from(*count)),
        Operand::List(items) => Operand::Number(Decimal::from(items.len())),
        _ => Operand::Missing,
    }
}

/// `any` (decided by a yes) and `all` (decided by a no).
fn decided<'a>(list: &Operand<'a>, decides: bool) -> Operand<'a> {
    let Operand::List(items) = list else { return Operand::Missing };
    if items.contains(&Operand::Bool(decides)) {
        return Operand::Bool(decides);
    }
    if items.contains(&Operand::Missing) { Operand::Missing } else { Operand::Bool(!decides) }
}

/// The least or greatest of a list, or of the values themselves. Of nothing it is missing.
fn extreme<'a>(run: &Run<'a, '_>, arguments: &'a [Code], wanted: Ordering) -> Outcome<'a> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match run.value(argument)? {
            Operand::List(items) => values.extend(items),
            single => values.push(single),
        }
    }
    let mut values = values.into_iter();
    let Some(mut best) = values.next() else { return Ok(Operand::Missing) };
    for next in values {
        match run.order(&next, &best) {
            None => return Ok(Operand::Missing),
            Some(order) if order == wanted => best = next,
            Some(_) => {}
        }
    }
    Ok(best)
}
