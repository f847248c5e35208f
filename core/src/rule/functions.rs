//! The functions of the rule language: their names, what they take and what they give.

use std::sync::Arc;

use super::{
    Operand, Type,
    check::{Checker, Code, Typed},
    kinds::{describe, is_list, is_ordered, item, spread},
    parser::Expr,
    report::{MEANING, Problem},
    words::{self, Words},
};
use crate::mapping::diagnostic::{Span, nearest, shown};

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Sum,
    Count,
    Min,
    Max,
    Avg,
    Any,
    All,
    Length,
    Abs,
    Round,
    Today,
    Now,
    DaysBetween,
    Present,
    Lower,
    Upper,
    Contains,
}

/// Name, function, fewest and most values, an example.
const FUNCTIONS: [(&str, Function, usize, usize, &str); 17] = [
    ("sum", Function::Sum, 1, 1, "sum(lines.amount)"),
    ("count", Function::Count, 1, 1, "count(lines), count(lines.amount > 100)"),
    ("min", Function::Min, 1, 16, "min(lines.amount), min(a, b)"),
    ("max", Function::Max, 1, 16, "max(lines.amount), max(a, b)"),
    ("avg", Function::Avg, 1, 1, "avg(lines.amount)"),
    ("any", Function::Any, 1, 1, "any(lines.amount > 100)"),
    ("all", Function::All, 1, 1, "all(lines.amount > 0)"),
    ("length", Function::Length, 1, 1, "length(story)"),
    ("abs", Function::Abs, 1, 1, "abs(difference)"),
    ("round", Function::Round, 1, 2, "round(amount, 2)"),
    ("today", Function::Today, 0, 0, "today()"),
    ("now", Function::Now, 0, 0, "now()"),
    ("days_between", Function::DaysBetween, 2, 2, "days_between(loss_date, today())"),
    ("present", Function::Present, 1, 1, "present(story)"),
    ("lower", Function::Lower, 1, 1, "lower(name)"),
    ("upper", Function::Upper, 1, 1, "upper(name)"),
    ("contains", Function::Contains, 2, 2, "contains(story, 'fire')"),
];

/// True for the name of a function.
pub(super) fn is_known(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, ..)| *known == name)
}

/// Checks a call: its name, how many values it has, and their types.
pub(super) fn call(
    checker: &mut Checker<'_, '_, '_>,
    name: &str,
    name_span: &Span,
    arguments: &[Expr],
    span: &Span,
) -> Option<Typed> {
    let found: Vec<_> = arguments.iter().map(|argument| checker.expr(argument)).collect();
    let Some((_, function, fewest, most, example)) = FUNCTIONS.iter().find(|(known, ..)| *known == name)
    else {
        let title = format!("there is no function `{}`", shown(name));
        let mut problem = Problem::new(MEANING, name_span.clone(), title, "unknown function");
        if let Some(near) = nearest(name, &FUNCTIONS.map(|(known, ..)| known)) {
            problem = problem.fix(name_span.clone(), near);
        } else {
            let known: Vec<_> = FUNCTIONS.iter().map(|(known, ..)| *known).collect();
            problem = problem.help(format!("expected one of: {}", known.join(", ")));
        }
        return checker.problem(problem);
    };
    if arguments.len() < *fewest || arguments.len() > *most {
        let takes = match (fewest, most) {
            (0, _) => "no value".to_owned(),
            (1, 1) => "one value".to_owned(),
            (fewest, most) if fewest == most => format!("{fewest} values"),
            (fewest, most) => format!("{fewest} to {most} values"),
        };
        let title = format!("`{name}` takes {takes}, not {}", arguments.len());
        return checker
            .problem(Problem::new(MEANING, span.clone(), title, "here").help(format!("e.g. {example}")));
    }
    let found: Vec<Typed> = found.into_iter().collect::<Option<_>>()?;
    let found = if *function == Function::DaysBetween {
        // Dates are written as text here, too.
        found.into_iter().map(|it| checker.coerce(it, &Type::Date)).collect::<Option<Vec<_>>>()?
    } else {
        found
    };
    match result(*function, &found) {
        Ok(kind) => {
            let code = compiled(*function, found.into_iter().map(|it| it.code).collect());
            Some(Typed { code, kind, span: span.clone() })
        }
        Err(at) => {
            let wrong = found.get(at)?;
            let what = describe(&wrong.kind);
            let title = format!("`{name}` can not take {what}");
            let problem = Problem::new(MEANING, wrong.span.clone(), title, format!("this is {what}"));
            checker.problem(problem.help(format!("e.g. {example}")))
        }
    }
}

/// A call; to look for a word that is written out is what `text contains 'word'` does.
fn compiled(function: Function, mut arguments: Vec<Code>) -> Code {
    let words = match (function, arguments.get(1)) {
        (Function::Contains, Some(Code::Literal(Operand::Text(word)))) if !words::is_blank(word) => {
            Arc::new(Words::new([&**word]))
        }
        _ => return Code::Call(function, arguments),
    };
    Code::Contains { all: false, text: Box::new(arguments.swap_remove(0)), words }
}

/// The type of the result, or which value does not fit.
fn result(function: Function, found: &[Typed]) -> Result<Type, usize> {
    let kinds: Vec<&Type> = found.iter().map(|it| &it.kind).collect();
    let first = kinds.first().copied().unwrap_or(&Type::Bool);
    let one = item(first);
    let listed = kinds.iter().any(|kind| is_list(kind));
    let fits = |fits: bool, kind: Type| if fits { Ok(kind) } else { Err(0) };
    let is_text = |kind: &Type| matches!(kind, Type::Text | Type::Words(_));
    let is_size = |kind: &Type| matches!(kind, Type::Number | Type::Duration);
    match function {
        Function::Today => Ok(Type::Date),
        Function::Now => Ok(Type::DateTime),
        Function::Sum | Function::Avg => fits(listed && is_size(one), one.clone()),
        Function::Count => fits(listed, Type::Number),
        Function::Min | Function::Max if kinds.len() == 1 => fits(listed && is_ordered(one), one.clone()),
        Function::Min | Function::Max => {
            let odd = kinds.iter().position(|kind| !is_ordered(kind) || *kind != first);
            odd.map_or_else(|| Ok(first.clone()), Err)
        }
        Function::Any | Function::All => fits(listed && *one == Type::Bool, Type::Bool),
        Function::Length => fits(listed || is_text(one) || *one == Type::Bytes, Type::Number),
        Function::Present => Ok(Type::Bool),
        Function::Abs => fits(is_size(one), first.clone()),
        Function::Round => {
            let digits = found.get(1).is_none_or(|it| is_digits(&it.code));
            if digits { fits(*one == Type::Number, first.clone()) } else { Err(1) }
        }
        Function::DaysBetween => {
            let odd = kinds.iter().position(|kind| !matches!(item(kind), Type::Date | Type::DateTime));
            odd.map_or_else(|| Ok(spread(Type::Number, listed)), Err)
        }
        Function::Lower | Function::Upper => fits(is_text(one), spread(Type::Text, listed)),
        Function::Contains => {
            let odd = kinds.iter().position(|kind| !is_text(item(kind)));
            odd.map_or_else(|| Ok(spread(Type::Bool, listed)), Err)
        }
    }
}

/// True for a number of decimals that can be rounded to, written out.
fn is_digits(code: &Code) -> bool {
    let Code::Literal(Operand::Number(digits)) = code else { return false };
    digits.is_integer() && u32::try_from(*digits).is_ok_and(|digits| digits <= 28)
}
