//! What is wrong with a rule, put where the file has it.

use crate::mapping::diagnostic::{Diagnostics, Span};

/// A rule that can not be read.
pub(super) const SPELLING: &str = "M040";
/// A rule whose names or types are wrong.
pub(super) const MEANING: &str = "M041";

/// Collects the problems of one rule.
pub(super) struct Report<'d> {
    diagnostics: &'d mut Diagnostics,
    at: &'d dyn Fn(Span) -> Span,
    /// How many were found.
    pub(super) count: usize,
}

/// One problem, in ranges of the rule's own text.
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) span: Span,
    pub(super) title: String,
    pub(super) label: String,
    pub(super) also: Option<(Span, String)>,
    pub(super) help: Option<String>,
    pub(super) fix: Option<(Span, String)>,
}

impl Problem {
    pub(super) fn new(
        code: &'static str,
        span: Span,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self { code, span, title: title.into(), label: label.into(), also: None, help: None, fix: None }
    }

    pub(super) fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to write instead; people are told so by the fix itself.
    pub(super) fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some((span, text.into()));
        self
    }
}

impl<'d> Report<'d> {
    pub(super) fn new(diagnostics: &'d mut Diagnostics, at: &'d dyn Fn(Span) -> Span) -> Self {
        Self { diagnostics, at, count: 0 }
    }

    pub(super) fn add(&mut self, problem: Problem) {
        let at = self.at;
        self.count += 1;
        let found = self.diagnostics.push(problem.code, &at(problem.span), problem.title, problem.label);
        if let Some((span, label)) = problem.also {
            found.also(&at(span), label);
        }
        if let Some(help) = problem.help {
            found.help(help);
        }
        if let Some((span, text)) = problem.fix {
            found.fix(&at(span), text);
        }
    }
}
