//! The traps of YAML, answered by name.

use super::super::diagnostic::{Diagnostics, Span};

/// A plain value that ` #` cut off: its quotes or parentheses do not close.
pub(super) fn cut_by_comment(source: &str, span: &Span, text: &str, diagnostics: &mut Diagnostics) {
    let is_open = text.matches('\'').count() % 2 == 1
        || text.matches('"').count() % 2 == 1
        || text.matches('(').count() > text.matches(')').count();
    if !is_open {
        return;
    }
    let after = source.get(span.end..).unwrap_or("");
    let gap = after.len() - after.trim_start_matches([' ', '\t']).len();
    if after.get(gap..).is_some_and(|it| it.starts_with('#')) {
        let at = span.end + gap;
        diagnostics
            .push(
                "M004",
                &(at..at + 1),
                "` #` begins a comment: the rest of this value is lost",
                "comment starts here",
            )
            .also(span, "this is all that is left of it")
            .help("put the whole value in double quotes");
    }
}

/// Reports a syntax error at byte `at`, with what most likely led to it.
pub(super) fn explain(
    source: &str,
    at: usize,
    opened: Option<usize>,
    info: &str,
    diagnostics: &mut Diagnostics,
) {
    let at = source.floor_char_boundary(at.min(source.len()));
    let start = line_start(source, at);
    let line = line_at(source, start);
    let span = caret(source, at, start);
    let found = diagnostics.push("M001", &span, "this is not valid YAML", info);
    if let Some(opened) = opened.filter(|it| line_start(source, *it) != start) {
        found.also(&(opened..opened + 1), "this is still open");
        let first = line_at(source, line_start(source, opened));
        if first.contains(" #") {
            found
                .help("` #` begins a comment, which also hides a closing `}`: put the whole value in quotes");
            return;
        }
    }
    let indent = line.len() - line.trim_start().len();
    let tab_in_indent = line.get(..indent).is_some_and(|it| it.contains('\t'));
    if tab_in_indent {
        found.help("indent with spaces, not tabs");
    } else if let Some(letter) = reserved_start(line, source, at) {
        found.help(format!(
            "a value can not begin with `{letter}`: put it in quotes{}",
            attribute_hint(letter)
        ));
    } else if opened.is_some() && line.contains(['[', ',']) {
        found.help(
            "inside { } the characters [ ] { } and , end a value: quote it, or write `Line(2)` for `Line[2]`",
        );
    } else if opened.is_none() && line.matches(": ").count() > 1 {
        found.help("a value that contains `: ` must be in quotes");
    } else if line.contains('\t') {
        found.help("use spaces, not tabs");
    }
}

fn attribute_hint(letter: char) -> &'static str {
    if letter == '@' { ", or write `./@name` for an attribute" } else { "" }
}

/// The letter that YAML keeps for itself, where the value at fault begins with it.
fn reserved_start(line: &str, source: &str, at: usize) -> Option<char> {
    let is_reserved = |it: &char| matches!(it, '@' | '`' | '%' | '|' | '>' | '*');
    let here = source.get(at..).and_then(|it| it.chars().next()).filter(is_reserved);
    here.or_else(|| {
        let value = line.split_once(": ").map(|(_, value)| value.trim_start())?;
        value.chars().next().filter(|it| matches!(it, '@' | '`'))
    })
}

fn line_start(source: &str, at: usize) -> usize {
    source.get(..at).and_then(|it| it.rfind('\n')).map_or(0, |it| it + 1)
}

fn line_at(source: &str, start: usize) -> &str {
    source.get(start..).and_then(|it| it.lines().next()).unwrap_or("")
}

/// One character to point at: the one at fault, or the last of the line when the fault is its end.
fn caret(source: &str, at: usize, start: usize) -> Span {
    let rest = source.get(at..).unwrap_or("");
    let at_end = rest.is_empty() || rest.starts_with(['\n', '\r']);
    if at_end && at > start {
        let from = source.floor_char_boundary(at - 1);
        return from..at;
    }
    at..at + rest.chars().next().map_or(0, char::len_utf8)
}
