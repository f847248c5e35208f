//! One diagnostic type and one renderer: every error in a file that a person writes goes through here.

use std::ops::Range;

/// Bytes `start..end` of the file's text.
pub type Span = Range<usize>;

/// One problem, with everything that is needed to point at it and to mend it.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Stable code, e.g. `M013`.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub title: String,
    /// Where.
    pub span: Span,
    /// What the caret says.
    pub label: String,
    /// Other places that belong to it.
    pub also: Vec<(Span, String)>,
    /// How to mend it.
    pub help: Vec<String>,
    /// The replacement of a near miss.
    pub fix: Option<(Span, String)>,
}

/// The problems of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    /// In the order they were found.
    pub all: Vec<Diagnostic>,
}
