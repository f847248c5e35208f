//! Where the bytes of a scalar's text stand in the file.

use super::super::diagnostic::Span;

/// From an offset in a scalar's text to an offset in the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Offsets {
    /// Not known, or not a scalar.
    #[default]
    Unknown,
    /// The text stands there as it is, so many bytes after the node's start.
    Verbatim(usize),
    /// Runs: from this offset of the text on, it stands that many bytes after the node's start.
    Runs(Box<[(usize, usize)]>),
}

impl Offsets {
    /// Works out the offsets of a scalar from what stands in the file, quotes included.
    pub(super) fn of(written: &str, text: &str) -> Self {
        let quote = written.chars().next().filter(|it| matches!(it, '\'' | '"'));
        let Some(quote) = quote else {
            // Plain text is verbatim from its first byte; a block (`|`) may hold its one line further in.
            return written.find(text).map_or(Self::Unknown, Self::Verbatim);
        };
        if written.get(1..).is_some_and(|rest| rest.starts_with(text)) && !text.contains('\\') {
            return Self::Verbatim(1);
        }
        if written.contains('\n') {
            return Self::Unknown;
        }
        Self::Runs(runs(written, text, quote))
    }

    pub(super) fn locate(&self, node: &Span, range: Span) -> Span {
        let start = match self {
            Self::Unknown => return node.clone(),
            Self::Verbatim(skip) => skip.saturating_add(range.start),
            Self::Runs(runs) => within(runs, range.start),
        };
        let end = match self {
            Self::Unknown => return node.clone(),
            Self::Verbatim(skip) => skip.saturating_add(range.end),
            Self::Runs(runs) => within(runs, range.end),
        };
        let last = node.end.saturating_sub(1).max(node.start);
        let start = node.start.saturating_add(start).min(last);
        let end = node.start.saturating_add(end).clamp(start, node.end.max(start));
        start..end.max(start.saturating_add(1))
    }
}

fn within(runs: &[(usize, usize)], offset: usize) -> usize {
    let run = runs.partition_point(|(text, _)| *text <= offset).saturating_sub(1);
    runs.get(run).map_or(offset, |(text, file)| file.saturating_add(offset.saturating_sub(*text)))
}

/// Walks the quoted spelling and the text side by side; a run begins after each escape.
fn runs(written: &str, text: &str, quote: char) -> Box<[(usize, usize)]> {
    let mut runs = vec![(0, 1)];
    let mut file = 1;
    let mut plain = 0;
    for letter in text.chars() {
        let rest = written.get(file..).unwrap_or("");
        let long = escape_length(rest, quote);
        plain += letter.len_utf8();
        match long {
            Some(long) => {
                file += long;
                runs.push((plain, file));
            }
            None => file += letter.len_utf8(),
        }
    }
    runs.into_boxed_slice()
}

fn escape_length(rest: &str, quote: char) -> Option<usize> {
    let mut letters = rest.chars();
    match (quote, letters.next()?, letters.next()?) {
        ('\'', '\'', '\'') => Some(2),
        ('"', '\\', 'x') => Some(4),
        ('"', '\\', 'u') => Some(6),
        ('"', '\\', 'U') => Some(10),
        ('"', '\\', other) => Some(1 + other.len_utf8()),
        _ => None,
    }
}
