//! From tokens to a tree, by precedence: `or`, `and`, `not`, comparisons, `+ -`, `* /`, sign.

use super::{
    Operand,
    lexer::Token,
    report::{Problem, Report, SPELLING},
};
use crate::mapping::diagnostic::Span;

/// Deepest nesting.
const DEEPEST: usize = 64;
/// Most parts of one rule.
const MOST_NODES: usize = 1000;

/// One part of a rule as it is written.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) span: Span,
    height: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Literal(Operand<'static>),
    Name(String),
    List(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    In {
        negated: bool,
        needle: Box<Expr>,
        hay: Box<Expr>,
    },
    Contains {
        all: bool,
        text: Box<Expr>,
        words: Box<Expr>,
    },
    Call {
        name: String,
        name_span: Span,
        arguments: Vec<Expr>,
    },
    /// Something that was reported already.
    Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Reads the whole rule. What can not be read is reported once and stands as `Wrong` in the tree.
pub(super) fn parse(tokens: &[(Token, Span)], report: &mut Report<'_>) -> Expr {
    let mut parser = Parser { tokens, at: 0, depth: 0, nodes: 0, is_lost: false, report };
    let expr = parser.or();
    if parser.peek() != &Token::End {
        parser.unexpected();
    }
    expr
}

struct Parser<'t, 'r, 'd> {
    tokens: &'t [(Token, Span)],
    at: usize,
    depth: usize,
    nodes: usize,
    /// A problem was reported after which nothing that is read means much.
    is_lost: bool,
    report: &'r mut Report<'d>,
}

impl Parser<'_, '_, '_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0..0, |(_, span)| span.clone())
    }

    /// Where the last token that was taken ends.
    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |(_, span)| span.end)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found
    }

    fn take_symbol(&mut self, wanted: &'static str) -> bool {
        self.take(&Token::Symbol(wanted))
    }

    fn peek_name(&self, ahead: usize, wanted: &str) -> bool {
        matches!(self.tokens.get(self.at + ahead), Some((Token::Name(name), _)) if name == wanted)
    }

    fn problem(&mut self, problem: Problem) {
        if !self.is_lost {
            self.report.add(problem);
        }
        self.is_lost = true;
        // To the end: every loop stops there.
        self.at = self.tokens.len().saturating_sub(1);
    }

    fn expr(&mut self, start: usize, kind: Kind, height: usize) -> Expr {
        let span = start..self.end().max(start);
        self.nodes += 1;
        if height > DEEPEST || self.nodes > MOST_NODES {
            let (title, label) = if height > DEEPEST {
                ("this rule is nested too deep", "more than 64 levels")
            } else {
                ("this rule has too many parts", "more than 1000")
            };
            self.problem(
                Problem::new(SPELLING, span.clone(), title, label).help("split it into several rules"),
            );
            return Expr { kind: Kind::Wrong, span, height: 0 };
        }
        Expr { kind, span, height }
    }

    fn wrong(&self, start: usize) -> Expr {
        Expr { kind: Kind::Wrong, span: start..start, height: 0 }
    }

    fn unexpected(&mut self) {
        let span = self.span();
        let problem = match self.peek() {
            Token::Wrong => {
                self.is_lost = true;
                return;
            }
            Token::End => {
                let end = self.end();
                let title = if end == 0 { "expected a rule here" } else { "the rule stops too early" };
                Problem::new(SPELLING, end.saturating_sub(1)..end, title, "expected a value after this")
            }
            Token::Symbol(close @ (")" | "]")) => {
                Problem::new(SPELLING, span, format!("this `{close}` closes nothing"), "here")
            }
            Token::Symbol(",") => Problem::new(SPELLING, span, "did not expect `,` here", "here")
                .help("decimals are written with a point: 1250.00"),
            Token::Symbol(symbol) => {
                Problem::new(SPELLING, span, format!("did not expect `{symbol}` here"), "here")
            }
            _ => Problem::new(
                SPELLING,
                span,
                "did not expect this here",
                "expected `and`, `or` or a comparison before it",
            ),
        };
        self.problem(problem);
    }

    fn or(&mut self) -> Expr {
        self.joined(&Token::Or, Self::and, Kind::Or)
    }

    fn and(&mut self) -> Expr {
        self.joined(&Token::And, Self::not, Kind::And)
    }

    /// One part, or several with the same word between them.
    fn joined(&mut self, word: &Token, part: fn(&mut Self) -> Expr, kind: fn(Vec<Expr>) -> Kind) -> Expr {
        let first = part(self);
        if self.peek() != word {
            return first;
        }
        let (start, mut height) = (first.span.start, first.height);
        let mut parts = vec![first];
        while self.take(word) {
            let next = part(self);
            height = height.max(next.height);
            parts.push(next);
        }
        self.expr(start, kind(parts), height + 1)
    }

    fn not(&mut self) -> Expr {
        let start = self.span().start;
        if !self.take(&Token::Not) {
            return self.comparison();
        }
        let inner = self.nested(start, Self::not);
        let height = inner.height + 1;
        self.expr(start, Kind::Not(Box::new(inner)), height)
    }

    /// Goes one level down, if that is not too deep.
    fn nested(&mut self, start: usize, part: fn(&mut Self) -> Expr) -> Expr {
        if self.depth >= DEEPEST {
            let span = start..self.end().max(start + 1);
            let problem = Problem::new(SPELLING, span, "this rule is nested too deep", "more than 64 levels");
            self.problem(problem.help("split it into several rules"));
            return self.wrong(start);
        }
        self.depth += 1;
        let found = part(self);
        self.depth -= 1;
        found
    }

    fn comparison(&mut self) -> Expr {
        let left = self.sum();
        let start = left.span.start;
        if let Token::Symbol(symbol) = self.peek()
            && let Some(comparison) = Comparison::of(symbol)
        {
            self.at += 1;
            let right = self.sum();
            if let Token::Symbol(again) = self.peek()
                && Comparison::of(again).is_some()
            {
                let problem =
                    Problem::new(SPELLING, self.span(), "two comparisons in a row", "the second one");
                self.problem(problem.help("write `a < b and b < c`"));
            }
            let height = left.height.max(right.height) + 1;
            return self.expr(start, Kind::Compare(comparison, Box::new(left), Box::new(right)), height);
        }
        let negated =
            self.peek() == &Token::Not && matches!(self.tokens.get(self.at + 1), Some((Token::In, _)));
        if negated || self.peek() == &Token::In {
            self.at += if negated { 2 } else { 1 };
            let hay = self.sum();
            let height = left.height.max(hay.height) + 1;
            return self.expr(
                start,
                Kind::In { negated, needle: Box::new(left), hay: Box::new(hay) },
                height,
            );
        }
        if self.peek_name(0, "contains") {
            self.at += 1;
            let quantified = self.peek_name(1, "of");
            let all = quantified && self.peek_name(0, "all");
            if all || (quantified && self.peek_name(0, "any")) {
                self.at += 2;
            }
            let words = self.sum();
            let height = left.height.max(words.height) + 1;
            return self.expr(
                start,
                Kind::Contains { all, text: Box::new(left), words: Box::new(words) },
                height,
            );
        }
        left
    }

    fn sum(&mut self) -> Expr {
        self.chain(Self::product, &[("+", Arithmetic::Add), ("-", Arithmetic::Subtract)])
    }

    fn product(&mut self) -> Expr {
        self.chain(Self::signed, &[("*", Arithmetic::Multiply), ("/", Arithmetic::Divide)])
    }

    /// Parts with operators of one rank between them, from left to right.
    fn chain(&mut self, part: fn(&mut Self) -> Expr, operators: &[(&'static str, Arithmetic)]) -> Expr {
        let mut left = part(self);
        loop {
            let Some((_, operator)) =
                operators.iter().find(|(symbol, _)| self.peek() == &Token::Symbol(symbol))
            else {
                return left;
            };
            self.at += 1;
            let right = part(self);
            let (start, height) = (left.span.start, left.height.max(right.height) + 1);
            left = self.expr(start, Kind::Arithmetic(*operator, Box::new(left), Box::new(right)), height);
        }
    }

    fn signed(&mut self) -> Expr {
        let start = self.span().start;
        if !self.take_symbol("-") {
            return self.primary();
        }
        let inner = self.nested(start, Self::signed);
        if let Kind::Literal(Operand::Number(number)) = inner.kind {
            return self.expr(start, Kind::Literal(Operand::Number(-number)), inner.height);
        }
        let height = inner.height + 1;
        self.expr(start, Kind::Negate(Box::new(inner)), height)
    }

    fn primary(&mut self) -> Expr {
        let span = self.span();
        let start = span.start;
        let literal = match self.peek() {
            Token::Number(number) => Operand::Number(*number),
            Token::Duration(duration) => Operand::Duration(*duration),
            Token::Text(text) => Operand::Text(text.clone().into()),
            Token::Name(name) => {
                let name = name.clone();
                self.at += 1;
                if self.peek() == &Token::Symbol("(") {
                    return self.call(name, span);
                }
                return self.expr(start, Kind::Name(name), 1);
            }
            Token::Symbol("(") => {
                self.at += 1;
                let mut inner = self.nested(start, Self::or);
                self.closes(start, "(", ")");
                inner.span = start..self.end().max(start);
                return inner;
            }
            Token::Symbol("[") => {
                self.at += 1;
                let items = self.items(start, "[", "]");
                let height = items.iter().map(|it| it.height).max().unwrap_or(0) + 1;
                return self.expr(start, Kind::List(items), height);
            }
            Token::Wrong => {
                self.at += 1;
                self.is_lost = true;
                return self.wrong(start);
            }
            Token::Symbol("==") => {
                let problem = Problem::new(SPELLING, span, "did not expect a comparison here", "here");
                self.problem(problem);
                return self.wrong(start);
            }
            _ => {
                self.unexpected();
                return self.wrong(start);
            }
        };
        self.at += 1;
        self.expr(start, Kind::Literal(literal), 1)
    }

    fn call(&mut self, name: String, name_span: Span) -> Expr {
        let (start, open) = (name_span.start, self.span().start);
        self.at += 1;
        let arguments = self.items(open, "(", ")");
        let height = arguments.iter().map(|it| it.height).max().unwrap_or(0) + 1;
        self.expr(start, Kind::Call { name, name_span, arguments }, height)
    }

    /// What stands between brackets, with commas between.
    fn items(&mut self, open: usize, opening: &'static str, closing: &'static str) -> Vec<Expr> {
        let mut items = Vec::new();
        if self.take_symbol(closing) {
            return items;
        }
        loop {
            items.push(self.nested(open, Self::or));
            if !self.take_symbol(",") {
                break;
            }
        }
        self.closes(open, opening, closing);
        items
    }

    fn closes(&mut self, open: usize, opening: &'static str, closing: &'static str) {
        if self.take_symbol(closing) || self.is_lost {
            return;
        }
        if self.peek() == &Token::End {
            let title = format!("this `{opening}` is not closed");
            self.problem(Problem::new(SPELLING, open..open + 1, title, "opened here"));
        } else {
            self.unexpected();
        }
    }
}
