//! Names and types of a rule: from what is written to what is run.

use std::sync::Arc;

use super::{
    Operand, Scope, Slot, Type,
    functions::{self, Function},
    kinds::{
        comparable, date, describe, fits, instant, is_list, is_ordered, item, literal_type, result_of,
        spread, time,
    },
    parser::{Arithmetic, Comparison, Expr, Kind},
    report::{MEANING, Problem, Report},
    words::{self, Words},
};
use crate::{
    lookup::{self, Table},
    mapping::diagnostic::{Span, nearest, shown},
};

/// A rule that can be run: every name is resolved and every operation fits its types.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Literal(Operand<'static>),
    Slot(Slot),
    List(Vec<Code>),
    Not(Box<Code>),
    Negate(Box<Code>),
    And(Vec<Code>),
    Or(Vec<Code>),
    Compare(Comparison, Box<(Code, Code)>),
    Arithmetic(Arithmetic, Box<(Code, Code)>),
    In { negated: bool, sides: Box<(Code, Code)> },
    Lookup { negated: bool, needle: Box<Code>, table: Arc<Table> },
    Contains { all: bool, text: Box<Code>, words: Arc<Words> },
    Call(Function, Vec<Code>),
}

impl Code {
    /// Adds the slots that are read, each once.
    pub(super) fn slots<'c>(&'c self, found: &mut Vec<&'c Slot>) {
        match self {
            Self::Literal(_) => {}
            Self::Slot(slot) if found.contains(&slot) => {}
            Self::Slot(slot) => found.push(slot),
            Self::Not(inner)
            | Self::Negate(inner)
            | Self::Lookup { needle: inner, .. }
            | Self::Contains { text: inner, .. } => inner.slots(found),
            Self::List(parts) | Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => {
                parts.iter().for_each(|part| part.slots(found));
            }
            Self::Compare(_, sides) | Self::Arithmetic(_, sides) | Self::In { sides, .. } => {
                sides.0.slots(found);
                sides.1.slots(found);
            }
        }
    }
}

/// A part that fits, with its type and where it stands.
pub(super) struct Typed {
    pub(super) code: Code,
    pub(super) kind: Type,
    pub(super) span: Span,
}

pub(super) struct Checker<'s, 'r, 'd> {
    pub(super) scope: &'s Scope,
    pub(super) report: &'r mut Report<'d>,
    /// The rule's text, for fixes that quote it.
    pub(super) text: &'s str,
}

impl Checker<'_, '_, '_> {
    pub(super) fn problem(&mut self, problem: Problem) -> Option<Typed> {
        self.report.add(problem);
        None
    }

    /// The rule as a whole, with the type that its value must have.
    pub(super) fn rule(&mut self, expr: &Expr, wanted: Option<&Type>) -> Option<Typed> {
        let found = self.expr(expr)?;
        let Some(wanted) = wanted else { return Some(found) };
        let found = self.coerce(found, wanted)?;
        if let (Type::Words(_), Code::Literal(Operand::Text(text))) = (wanted, &found.code) {
            let text = text.to_string();
            self.known_word(wanted, &text, &found.span)?;
        }
        // After a mistake in the spelling the type of the whole says nothing.
        if fits(&found.kind, wanted) || self.report.count > 0 {
            return Some(found);
        }
        let title = format!("expected {}, not {}", describe(wanted), describe(&found.kind));
        let mut problem =
            Problem::new(MEANING, found.span.clone(), title, format!("this is {}", describe(&found.kind)));
        if *wanted == Type::Bool && found.kind == Type::List(Box::new(Type::Bool)) {
            let all = format!("all({})", self.text.get(found.span.clone()).unwrap_or_default());
            problem =
                problem.help("say whether `all(...)` or `any(...)` of them must hold").fix(found.span, all);
        } else if *wanted == Type::Bool {
            problem = problem.help("compare it with something, or write `present(...)`");
        }
        self.problem(problem)
    }

    pub(super) fn expr(&mut self, expr: &Expr) -> Option<Typed> {
        let (code, kind) = match &expr.kind {
            Kind::Wrong => return None,
            Kind::Literal(literal) => (Code::Literal(literal.clone()), literal_type(literal)),
            Kind::Name(name) => self.name(name, &expr.span)?,
            Kind::List(items) => self.list(items, &expr.span)?,
            Kind::Not(inner) => {
                let inner = self.yes_or_no(inner)?;
                (Code::Not(Box::new(inner.code)), inner.kind)
            }
            Kind::Negate(inner) => {
                let inner = self.expr(inner)?;
                if !matches!(item(&inner.kind), Type::Number | Type::Duration) {
                    let label = format!("this is {}", describe(&inner.kind));
                    self.problem(Problem::new(
                        MEANING,
                        inner.span,
                        "only numbers and lengths of time have a sign",
                        label,
                    ));
                    return None;
                }
                (Code::Negate(Box::new(inner.code)), inner.kind)
            }
            Kind::And(parts) => {
                let (parts, kind) = self.parts(parts)?;
                (Code::And(parts), kind)
            }
            Kind::Or(parts) => {
                let (parts, kind) = self.parts(parts)?;
                (Code::Or(parts), kind)
            }
            Kind::Compare(comparison, left, right) => self.compare(*comparison, left, right)?,
            Kind::Arithmetic(operation, left, right) => self.arithmetic(*operation, left, right)?,
            Kind::In { negated, needle, hay } => self.is_in(*negated, needle, hay)?,
            Kind::Contains { all, text, words } => self.contains(*all, text, words)?,
            Kind::Call { name, name_span, arguments } => {
                return functions::call(self, name, name_span, arguments, &expr.span);
            }
        };
        Some(Typed { code, kind, span: expr.span.clone() })
    }

    fn names(&self) -> Vec<&str> {
        self.scope.names.keys().map(String::as_str).collect()
    }

    fn name(&mut self, name: &str, span: &Span) -> Option<(Code, Type)> {
        if let Some((kind, slot)) = self.scope.names.get(name) {
            return Some((Code::Slot(slot.clone()), kind.clone()));
        }
        // A field of that name comes first; legacy forms do have fields called `no`.
        match name {
            "yes" | "true" => return Some((Code::Literal(Operand::Bool(true)), Type::Bool)),
            "no" | "false" => return Some((Code::Literal(Operand::Bool(false)), Type::Bool)),
            _ => {}
        }
        let mut problem = Problem::new(
            MEANING,
            span.clone(),
            format!("there is no field `{}`", shown(name)),
            "unknown field",
        );
        if self.scope.lookups.contains_key(name) {
            problem = problem.help("this is a look-up: write `value in NAME` or `value not in NAME`");
        } else if functions::is_known(name) {
            problem = problem.help(format!("a function needs its brackets: {name}(...)"));
        } else if let Some(near) = nearest(name, &self.names()) {
            problem = problem.fix(span.clone(), near);
        } else {
            problem = problem.help(expected_one_of(self.scope.names.keys().map(String::as_str)));
        }
        self.problem(problem);
        None
    }

    fn list(&mut self, items: &[Expr], span: &Span) -> Option<(Code, Type)> {
        let found: Vec<_> = items.iter().map(|item| self.expr(item)).collect();
        let found: Vec<Typed> = found.into_iter().collect::<Option<_>>()?;
        let Some(first) = found.first() else {
            self.problem(Problem::new(MEANING, span.clone(), "this list is empty", "expected a value in it"));
            return None;
        };
        let kind = first.kind.clone();
        for other in &found {
            let alike = fits(&other.kind, &kind) || fits(&kind, &other.kind);
            if is_list(&other.kind) || !alike {
                let label = format!("this is {}", describe(&other.kind));
                let problem =
                    Problem::new(MEANING, other.span.clone(), "the items of a list are of one kind", label);
                let first_label = format!("this is {}", describe(&kind));
                self.problem(problem.also(first.span.clone(), first_label));
                return None;
            }
        }
        Some((Code::List(found.into_iter().map(|it| it.code).collect()), Type::List(Box::new(kind))))
    }

    /// The parts of an `and` or an `or`.
    fn parts(&mut self, parts: &[Expr]) -> Option<(Vec<Code>, Type)> {
        let found: Vec<_> = parts.iter().map(|part| self.yes_or_no(part)).collect();
        let found: Vec<Typed> = found.into_iter().collect::<Option<_>>()?;
        let kind = spread(Type::Bool, found.iter().any(|it| is_list(&it.kind)));
        Some((found.into_iter().map(|it| it.code).collect(), kind))
    }

    fn yes_or_no(&mut self, expr: &Expr) -> Option<Typed> {
        let found = self.expr(expr)?;
        if *item(&found.kind) == Type::Bool {
            return Some(found);
        }
        let title = "`and`, `or` and `not` need yes or no on their sides";
        let problem = Problem::new(MEANING, found.span, title, format!("this is {}", describe(&found.kind)));
        self.problem(problem.help("compare it with something, or write `present(...)`"))
    }

    /// Both sides of an operator; a bare word that the other side can have as a value is told from an unknown field.
    fn sides(&mut self, left: &Expr, right: &Expr) -> Option<(Typed, Typed)> {
        for (word, other) in [(left, right), (right, left)] {
            let (Kind::Name(name), Kind::Name(field)) = (&word.kind, &other.kind) else { continue };
            let Some((kind, _)) = self.scope.names.get(field) else { continue };
            let is_word = matches!(item(kind), Type::Words(words) if words.contains(name));
            if is_word && !self.scope.names.contains_key(name) {
                let problem = Problem::new(
                    MEANING,
                    word.span.clone(),
                    format!("there is no field `{}`", shown(name)),
                    "unknown field",
                );
                let quoted = format!("'{name}'");
                self.problem(problem.help("a word stands in quotes").fix(word.span.clone(), quoted));
                return None;
            }
        }
        let (left, right) = (self.expr(left), self.expr(right));
        Some((left?, right?))
    }

    fn compare(&mut self, comparison: Comparison, left: &Expr, right: &Expr) -> Option<(Code, Type)> {
        let listed = [left, right].into_iter().find(|side| matches!(side.kind, Kind::List(_)));
        let (left, right) = self.sides(left, right)?;
        if let Some(list) = listed {
            let problem = Problem::new(
                MEANING,
                list.span.clone(),
                "a value is looked for in a list with `in`",
                "this is a list",
            );
            self.problem(problem.help("write `value in [a, b]`"));
            return None;
        }
        let (left_kind, right_kind) = (item(&left.kind).clone(), item(&right.kind).clone());
        let left = self.coerce(left, &right_kind)?;
        let right = self.coerce(right, &left_kind)?;
        self.words_fit(&left, &right)?;
        let (one, other) = (item(&left.kind), item(&right.kind));
        if !comparable(one, other) {
            self.mismatch(&left, &right);
            return None;
        }
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if !equality && !is_ordered(one) {
            let title = format!("{} has no order", describe(one));
            let problem = Problem::new(MEANING, left.span, title, "only `==` and `!=` work here");
            self.problem(
                problem.help("give the field a `type`: int, decimal, money, date, time or datetime"),
            );
            return None;
        }
        let kind = spread(Type::Bool, is_list(&left.kind) || is_list(&right.kind));
        Some((Code::Compare(comparison, Box::new((left.code, right.code))), kind))
    }

    pub(super) fn mismatch(&mut self, left: &Typed, right: &Typed) {
        let label = format!("this is {}", describe(&left.kind));
        let problem = Problem::new(MEANING, left.span.clone(), "these two do not go together", label);
        let problem = problem.also(right.span.clone(), format!("this is {}", describe(&right.kind)));
        self.report.add(match (item(&left.kind), item(&right.kind)) {
            (Type::Text | Type::Words(_), Type::Number) | (Type::Number, Type::Text | Type::Words(_)) => {
                problem.help("numbers stand without quotes; a field is a number when its `type` is int, decimal or money")
            }
            _ => problem,
        });
    }

    /// A literal word that is compared with a field of known words must be one of them.
    fn words_fit(&mut self, left: &Typed, right: &Typed) -> Option<()> {
        for (field, other) in [(left, right), (right, left)] {
            if let (Type::Words(_), Code::Literal(Operand::Text(text))) = (item(&field.kind), &other.code) {
                self.known_word(item(&field.kind), text, &other.span)?;
            }
        }
        Some(())
    }

    fn known_word(&mut self, kind: &Type, text: &str, span: &Span) -> Option<()> {
        let Type::Words(known) = kind else { return Some(()) };
        if known.iter().any(|word| word == text) {
            return Some(());
        }
        let title = format!("`{}` is never a value of this field", shown(text));
        let mut problem = Problem::new(MEANING, span.clone(), title, "not one of its words");
        if let Some(near) = nearest(text, &known.iter().map(String::as_str).collect::<Vec<_>>()) {
            problem = problem.fix(span.clone(), format!("'{near}'"));
        } else {
            problem = problem.help(expected_one_of(known.iter().map(String::as_str)));
        }
        self.problem(problem);
        None
    }

    /// Reads a literal text as what it is compared with: dates, times and instants are written as ISO text.
    pub(super) fn coerce(&mut self, side: Typed, wanted: &Type) -> Option<Typed> {
        let Code::Literal(Operand::Text(text)) = &side.code else { return Some(side) };
        let (found, what, example) = match item(wanted) {
            Type::Date => (date(text).map(Operand::Date), "a date", "'2026-12-31'"),
            Type::Time => (time(text).map(Operand::Time), "a time", "'23:59' or '23:59:00'"),
            // A day is enough to compare an instant with.
            Type::DateTime => {
                let found = date(text).map(Operand::Date).or_else(|| instant(text).map(Operand::DateTime));
                (found, "an instant", "'2026-12-31T23:59:00Z', with its offset, or '2026-12-31'")
            }
            _ => return Some(side),
        };
        match found {
            Some(literal) => {
                let kind = literal_type(&literal);
                Some(Typed { code: Code::Literal(literal), kind, span: side.span })
            }
            None => {
                let title = format!("`{}` is not {what}", shown(text));
                let problem = Problem::new(
                    MEANING,
                    side.span.clone(),
                    title,
                    format!("compared with {}", describe(item(wanted))),
                );
                self.problem(problem.help(format!("write it like this: {example}")))
            }
        }
    }

    fn arithmetic(&mut self, operation: Arithmetic, left: &Expr, right: &Expr) -> Option<(Code, Type)> {
        let (left, right) = self.sides(left, right)?;
        // `due - '2026-01-01'`: the text is a date because the other side is one.
        let (left_kind, right_kind) = (item(&left.kind).clone(), item(&right.kind).clone());
        let days = |kind: &Type| matches!(kind, Type::Date | Type::DateTime);
        let subtracts = operation == Arithmetic::Subtract;
        let left = if subtracts && days(&right_kind) { self.coerce(left, &right_kind)? } else { left };
        let right = if subtracts && days(&left_kind) { self.coerce(right, &left_kind)? } else { right };
        let Some(kind) = result_of(operation, item(&left.kind), item(&right.kind)) else {
            self.mismatch(&left, &right);
            return None;
        };
        let kind = spread(kind, is_list(&left.kind) || is_list(&right.kind));
        Some((Code::Arithmetic(operation, Box::new((left.code, right.code))), kind))
    }

    fn is_in(&mut self, negated: bool, needle: &Expr, hay: &Expr) -> Option<(Code, Type)> {
        // Bare words in a list beside a field of known words.
        let needle = self.expr(needle);
        if let Kind::Name(name) = &hay.kind
            && !self.scope.names.contains_key(name)
            && let Some(table) = self.scope.lookups.get(name).cloned()
        {
            return self.is_in_lookup(negated, needle?, table);
        }
        let (Kind::List(items), Some(needle)) = (&hay.kind, &needle) else {
            let hay = self.expr(hay);
            return self.is_in_field(negated, needle?, hay?);
        };
        let mut codes = Vec::with_capacity(items.len());
        let before = self.report.count;
        if items.is_empty() {
            self.problem(Problem::new(
                MEANING,
                hay.span.clone(),
                "this list is empty",
                "expected a value in it",
            ));
        }
        for one in items {
            if let (Kind::Name(name), Type::Words(words)) = (&one.kind, item(&needle.kind))
                && words.contains(name)
                && !self.scope.names.contains_key(name)
            {
                let problem = Problem::new(
                    MEANING,
                    one.span.clone(),
                    format!("there is no field `{}`", shown(name)),
                    "unknown field",
                );
                self.problem(
                    problem.help("a word stands in quotes").fix(one.span.clone(), format!("'{name}'")),
                );
                continue;
            }
            let Some(one) = self.expr(one) else { continue };
            let Some(one) = self.coerce(one, &needle.kind) else { continue };
            if self.words_fit(needle, &one).is_none() {
                continue;
            }
            if is_list(&one.kind) || !comparable(item(&needle.kind), &one.kind) {
                self.mismatch(needle, &one);
                continue;
            }
            codes.push(one.code);
        }
        if self.report.count > before {
            return None;
        }
        let sides = Box::new((needle.code.clone(), Code::List(codes)));
        Some((Code::In { negated, sides }, spread(Type::Bool, is_list(&needle.kind))))
    }

    fn is_in_lookup(&mut self, negated: bool, needle: Typed, table: Arc<Table>) -> Option<(Code, Type)> {
        let Some(kind) = lookup::Kind::of(item(&needle.kind)) else {
            let label = format!("this is {}", describe(&needle.kind));
            let title = "only texts, numbers, dates and yes or no can be looked up";
            self.problem(Problem::new(MEANING, needle.span, title, label));
            return None;
        };
        table.want(kind);
        let spread = spread(Type::Bool, is_list(&needle.kind));
        Some((Code::Lookup { negated, needle: Box::new(needle.code), table }, spread))
    }

    fn is_in_field(&mut self, negated: bool, needle: Typed, hay: Typed) -> Option<(Code, Type)> {
        if !is_list(&hay.kind) {
            let title = "`in` looks for a value in a list";
            let mut problem =
                Problem::new(MEANING, hay.span, title, format!("this is {}", describe(&hay.kind)));
            if matches!(hay.kind, Type::Text | Type::Words(_)) {
                problem = problem.help("to look for a word in a text: `text contains 'word'`");
            }
            self.problem(problem);
            return None;
        }
        let needle = self.coerce(needle, &hay.kind)?;
        self.words_fit(&needle, &hay)?;
        if !comparable(item(&needle.kind), item(&hay.kind)) {
            self.mismatch(&needle, &hay);
            return None;
        }
        let kind = spread(Type::Bool, is_list(&needle.kind));
        Some((Code::In { negated, sides: Box::new((needle.code, hay.code)) }, kind))
    }

    fn contains(&mut self, all: bool, text: &Expr, list: &Expr) -> Option<(Code, Type)> {
        let text = self.expr(text);
        let words = self.words(list);
        let (text, words) = (text?, words?);
        if !matches!(item(&text.kind), Type::Text | Type::Words(_)) {
            let label = format!("this is {}", describe(&text.kind));
            self.problem(Problem::new(MEANING, text.span, "`contains` looks for words in a text", label));
            return None;
        }
        let kind = spread(Type::Bool, is_list(&text.kind));
        Some((Code::Contains { all, text: Box::new(text.code), words }, kind))
    }

    /// What `contains` looks for: a named list, or words that are written out.
    fn words(&mut self, list: &Expr) -> Option<Arc<Words>> {
        if let Kind::Name(name) = &list.kind {
            if let Some(words) = self.scope.lists.get(name) {
                return Some(words.clone());
            }
            if !self.scope.lists.is_empty() && !self.scope.names.contains_key(name) {
                let title = format!("there is no word list `{}`", shown(name));
                let problem = Problem::new(MEANING, list.span.clone(), title, "unknown word list");
                let known: Vec<&str> = self.scope.lists.keys().map(String::as_str).collect();
                self.problem(match nearest(name, &known) {
                    Some(near) => problem.fix(list.span.clone(), near),
                    None => problem.help(expected_one_of(known.into_iter())),
                });
                return None;
            }
        }
        let single = std::slice::from_ref(list);
        let items = if let Kind::List(items) = &list.kind { items.as_slice() } else { single };
        let before = self.report.count;
        let mut wanted = Vec::with_capacity(items.len());
        for one in items {
            match &one.kind {
                Kind::Literal(Operand::Text(word)) if !words::is_blank(word) => wanted.push(&**word),
                Kind::Wrong => return None,
                _ => {
                    let problem = Problem::new(
                        MEANING,
                        one.span.clone(),
                        "`contains` looks for words in quotes",
                        "not a word in quotes",
                    );
                    self.problem(problem.help("write `text contains any of ['one', 'two words']`"));
                }
            }
        }
        if items.is_empty() {
            self.problem(Problem::new(
                MEANING,
                list.span.clone(),
                "this list is empty",
                "expected a word in it",
            ));
        }
        (self.report.count == before).then(|| Arc::new(Words::new(wanted)))
    }
}

/// "expected one of: …", at most a dozen.
fn expected_one_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.take(13).collect();
    match names.get(..12) {
        Some(first) if names.len() > 12 => format!("expected one of: {}, …", first.join(", ")),
        _ if names.is_empty() => "there are no fields here".to_owned(),
        _ => format!("expected one of: {}", names.join(", ")),
    }
}
