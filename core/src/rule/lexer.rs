//! From text to tokens. Habits of other languages are named, mended and read on.

use jiff::SignedDuration;
use rust_decimal::Decimal;

use super::report::{Problem, Report, SPELLING};
use crate::mapping::diagnostic::Span;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(Decimal),
    Duration(SignedDuration),
    Text(String),
    /// A name with its dots: `lines.amount`, `today`.
    Name(String),
    And,
    Or,
    Not,
    In,
    Symbol(&'static str),
    /// Something that was reported already.
    Wrong,
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 15] = ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ","];

/// Habits of other languages: what was written, what it is read as, and what to write.
const HABITS: [(&str, Token, &str); 9] = [
    ("<>", Token::Symbol("!="), "!="),
    ("=>", Token::Symbol(">="), ">="),
    ("=<", Token::Symbol("<="), "<="),
    ("=", Token::Symbol("=="), "=="),
    ("&&", Token::And, "and"),
    ("&", Token::And, "and"),
    ("||", Token::Or, "or"),
    ("|", Token::Or, "or"),
    ("!", Token::Not, "not "),
];

/// The tokens of a rule with their places; the last is `End`.
pub(super) fn tokens(text: &str, report: &mut Report<'_>) -> Vec<(Token, Span)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = token(rest, first, at, report);
        found.push((token, at..at + length));
        at += length;
    }
    found.push((Token::End, text.len()..text.len()));
    found
}

fn token(rest: &str, first: char, at: usize, report: &mut Report<'_>) -> (Token, usize) {
    if first.is_ascii_digit() {
        return number(rest, at, report);
    }
    if first == '\'' || first == '"' {
        return quoted(rest, first, at, report);
    }
    if first.is_alphabetic() || first == '_' {
        return word(rest, at, report);
    }
    // `==` and `!=` begin like two of the habits.
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        if let Some(length) = rest.starts_with("<>").then_some(2) {
            habit("<>", "!=", at, report);
            return (Token::Symbol("!="), length);
        }
        return (Token::Symbol(symbol), symbol.len());
    }
    if let Some((habit_text, token, right)) = HABITS.iter().find(|(habit, ..)| rest.starts_with(habit)) {
        habit(habit_text, right, at, report);
        return (token.clone(), habit_text.len());
    }
    let length = first.len_utf8();
    let mut problem = Problem::new(
        SPELLING,
        at..at + length,
        format!("`{}` has no meaning in a rule", first.escape_debug()),
        "here",
    );
    if "‘’“”`´".contains(first) {
        problem = problem.help("texts stand in straight quotes: 'word'");
    } else if first == '.' {
        problem = problem.help("a number begins with a digit: 0.5");
    } else if first == '%' {
        problem = problem.help("write the share as a number: 0.5");
    }
    report.add(problem);
    (Token::Wrong, length)
}

fn habit(wrong: &str, right: &str, at: usize, report: &mut Report<'_>) {
    let span = at..at + wrong.len();
    let right_word = right.trim();
    let title = match wrong {
        "=" => "one `=` does not compare".to_owned(),
        _ => format!("`{wrong}` has no meaning in a rule"),
    };
    let problem = Problem::new(SPELLING, span.clone(), title, format!("write `{right_word}`"));
    report.add(problem.fix(span, right));
}

fn number(rest: &str, at: usize, report: &mut Report<'_>) -> (Token, usize) {
    let digits = rest.bytes().take_while(|it| it.is_ascii_digit() || *it == b'_').count();
    let after = rest.get(digits..).unwrap_or_default();
    let fraction = match after.strip_prefix('.') {
        Some(tail) => match tail.bytes().take_while(u8::is_ascii_digit).count() {
            0 => 0,
            count => count + 1,
        },
        None => 0,
    };
    let length = digits + fraction;
    let unit = rest.get(length..).unwrap_or_default();
    let unit: &str = unit.split(|it: char| !it.is_alphanumeric() && it != '_').next().unwrap_or_default();
    let written = rest.get(..length).unwrap_or_default();
    let span = at..at + length + unit.len();
    if unit.is_empty() {
        return match Decimal::from_str_exact(&written.replace('_', "")) {
            Ok(number) => (Token::Number(number), length),
            Err(_) => {
                report.add(Problem::new(SPELLING, span, "this number has too many digits", "at most 28"));
                (Token::Wrong, length)
            }
        };
    }
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => 0,
    };
    let total =
        written.parse::<i64>().ok().and_then(|count| count.checked_mul(seconds)).filter(|_| seconds > 0);
    let token = match total {
        Some(total) => Token::Duration(SignedDuration::from_secs(total)),
        None => {
            let title = format!("`{written}{unit}` is not a length of time");
            let help = "whole numbers with s, m, h, d or w: 48h, 30d";
            report
                .add(Problem::new(SPELLING, span, title, "neither a number nor a length of time").help(help));
            Token::Wrong
        }
    };
    (token, length + unit.len())
}

fn quoted(rest: &str, quote: char, at: usize, report: &mut Report<'_>) -> (Token, usize) {
    let mut text = String::new();
    let mut length = 1;
    loop {
        let tail = rest.get(length..).unwrap_or_default();
        let Some(end) = tail.find(quote) else {
            let problem =
                Problem::new(SPELLING, at..at + rest.len(), "this quote is not closed", "begins here");
            report.add(problem.help("YAML cuts a key at ` #`; put the whole rule in double quotes"));
            return (Token::Wrong, rest.len());
        };
        text.push_str(tail.get(..end).unwrap_or_default());
        length += end + 1;
        if !rest.get(length..).unwrap_or_default().starts_with(quote) {
            return (Token::Text(text), length);
        }
        // A doubled quote is one quote.
        text.push(quote);
        length += 1;
    }
}

fn word(rest: &str, at: usize, report: &mut Report<'_>) -> (Token, usize) {
    let mut length = 0;
    for (place, it) in rest.char_indices() {
        let next = rest.get(place + 1..).and_then(|tail| tail.chars().next());
        let joins = it == '.' && next.is_some_and(|next| next.is_alphabetic() || next == '_');
        if !(it.is_alphanumeric() || it == '_' || joins) {
            break;
        }
        length = place + it.len_utf8();
    }
    let name = rest.get(..length).unwrap_or_default();
    let keyword = |name: &str| match name {
        "and" => Some(Token::And),
        "or" => Some(Token::Or),
        "not" => Some(Token::Not),
        "in" => Some(Token::In),
        _ => None,
    };
    if let Some(token) = keyword(name) {
        return (token, length);
    }
    let lower = name.to_lowercase();
    if let Some(token) = keyword(&lower) {
        let span = at..at + length;
        let problem =
            Problem::new(SPELLING, span.clone(), format!("`{name}` is written in small letters"), "here");
        report.add(problem.fix(span, lower));
        return (token, length);
    }
    (Token::Name(name.to_owned()), length)
}
