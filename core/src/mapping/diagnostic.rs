//! One diagnostic type and one renderer: every error in a file that a person writes goes through here.
//!
//! Nothing here knows what kind of file it is: mappings, `vestibule.yaml` and decision tables share it.

use std::{borrow::Cow, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet, renderer::DecorStyle};
use serde_json::{Value, json};

use super::secrets;

/// Bytes `start..end` of the file's text.
pub type Span = Range<usize>;

/// More problems than this in one file are counted, not kept: nobody reads them, and a hostile file has millions.
const MOST_KEPT: usize = 500;
/// Code of a problem that is not kept: for it, no near miss is looked for.
const SPILT: &str = "";
/// Longer stretches of source are not drawn (a minified file is one line); the place is then given in numbers.
const LONGEST_DRAWN: usize = 8 * 1024;
/// Longer names have no near miss: the edit distance is quadratic in them.
const LONGEST_COMPARED: usize = 64;
/// More candidates than this are not listed in a help line.
const MOST_LISTED: usize = 24;

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
    /// The file that the spans are in, where that is not the file that was read: one that it names.
    pub file: Option<Arc<SourceFile>>,
}

/// A file that the read file names: a decision table, a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as the naming file spells it.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Diagnostic {
    /// Adds a line that says how to mend it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    /// Adds another place that belongs to it.
    pub fn also(&mut self, span: &Span, label: impl Into<String>) -> &mut Self {
        self.also.push((span.clone(), label.into()));
        self
    }

    /// Sets the replacement that mends it.
    pub fn fix(&mut self, span: &Span, replacement: impl Into<String>) -> &mut Self {
        self.fix = Some((span.clone(), replacement.into()));
        self
    }

    /// Offers the nearest of what was possible as a fix, or lists what was possible.
    pub fn suggest<'a>(
        &mut self,
        got: &str,
        span: &Span,
        possible: impl IntoIterator<Item = &'a str>,
    ) -> &mut Self {
        if self.code == SPILT {
            return self;
        }
        let possible: Vec<&str> = possible.into_iter().collect();
        match nearest(got, &possible) {
            Some(name) => self.fix = Some((span.clone(), name.to_owned())),
            None if possible.is_empty() => {}
            None => self.help.push(expected_one_of(&possible)),
        }
        self
    }
}

fn expected_one_of(possible: &[&str]) -> String {
    let listed: Vec<&str> = possible.iter().copied().take(MOST_LISTED).collect();
    let more = possible.len().saturating_sub(MOST_LISTED);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("expected one of: {}{tail}", listed.join(", "))
}

/// The problems of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    /// In the order they were found; the first 500.
    pub all: Vec<Diagnostic>,
    /// The newest of those past the limit: something to chain on, never shown.
    spilt: Option<Box<Diagnostic>>,
    dropped: usize,
}

impl Diagnostics {
    /// Adds a problem and returns it, to chain what else is known about it.
    pub fn push(
        &mut self,
        code: &'static str,
        span: &Span,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        let diagnostic = Diagnostic {
            code,
            title: title.into(),
            span: span.clone(),
            label: label.into(),
            also: Vec::new(),
            help: Vec::new(),
            fix: None,
            file: None,
        };
        if self.all.len() < MOST_KEPT {
            self.all.push_mut(diagnostic)
        } else {
            self.dropped = self.dropped.saturating_add(1);
            self.spilt.insert(Box::new(Diagnostic { code: SPILT, ..diagnostic }))
        }
    }

    /// True when there is nothing wrong.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many problems there are, those that were not kept included.
    pub fn len(&self) -> usize {
        self.all.len().saturating_add(self.dropped)
    }

    /// Takes over all problems of another pass over the same file.
    pub fn extend(&mut self, other: Self) {
        for diagnostic in other.all {
            if self.all.len() < MOST_KEPT {
                self.all.push(diagnostic);
            } else {
                self.dropped = self.dropped.saturating_add(1);
            }
        }
        self.dropped = self.dropped.saturating_add(other.dropped);
    }

    /// Takes over the problems of a file that this one names: they are drawn with that file's path and text.
    pub fn extend_from_file(&mut self, mut other: Self, file: SourceFile) {
        let file = Arc::new(file);
        other.all.iter_mut().for_each(|it| it.file = Some(file.clone()));
        self.extend(other);
    }

    /// The problems by their place in the file.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.all.iter().collect();
        sorted.sort_by_key(|it| (it.file.as_ref().map(|file| &file.path), it.span.start, it.span.end));
        sorted
    }

    /// All problems for a person, with the source and carets, sorted by place. One blank line after each.
    pub fn render(&self, path: &str, source: &str, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(if color {
            DecorStyle::Unicode
        } else {
            DecorStyle::Ascii
        });
        // What is drawn ends in the log of whatever started the server.
        let shown = secrets::hidden(source);
        let lines = Lines::of(&shown);
        let mut out = String::new();
        for diagnostic in self.sorted() {
            match &diagnostic.file {
                None => draw(diagnostic, path, &lines, &renderer, &mut out),
                Some(file) => {
                    let shown = secrets::hidden(&file.text);
                    draw(diagnostic, &file.path, &Lines::of(&shown), &renderer, &mut out);
                }
            }
        }
        if self.dropped > 0 {
            out.push_str(&format!("{path}: {} more are not shown\n\n", self.dropped));
        }
        out
    }

    /// All problems for a machine, sorted by place: an array of `{path, code, title, label, line, column, end_line,
    /// end_column, help, also, fix}`. Lines and columns (in characters) count from 1.
    pub fn to_json(&self, path: &str, source: &str) -> Value {
        let lines = Lines::of(source);
        let one = |it: &Diagnostic| {
            let named = it.file.as_ref().map(|file| (file.path.as_str(), Lines::of(&file.text)));
            let (path, lines) = named.as_ref().map_or((path, &lines), |(path, lines)| (path, lines));
            let place = |span: &Span| {
                let (line, column) = lines.position(span.start);
                let (end_line, end_column) = lines.position(span.end.max(span.start));
                json!({ "line": line, "column": column, "end_line": end_line, "end_column": end_column })
            };
            let mut value = json!({ "path": path, "code": it.code, "title": it.title, "label": it.label });
            if let (Value::Object(map), Value::Object(at)) = (&mut value, place(&it.span)) {
                map.extend(at);
                map.insert("help".into(), json!(it.help));
                let also: Vec<Value> =
                    it.also.iter().map(|(span, label)| with(place(span), "label", label)).collect();
                map.insert("also".into(), Value::Array(also));
                let fix = it.fix.as_ref().map_or(Value::Null, |(span, text)| with(place(span), "text", text));
                map.insert("fix".into(), fix);
            }
            value
        };
        Value::Array(self.sorted().into_iter().map(one).collect())
    }
}

fn with(mut place: Value, key: &str, text: &str) -> Value {
    if let Value::Object(map) = &mut place {
        map.insert(key.into(), json!(text));
    }
    place
}

/// Draws one problem. Only the lines that it touches are given to the renderer, which reads all it is given.
fn draw(diagnostic: &Diagnostic, path: &str, lines: &Lines<'_>, renderer: &Renderer, out: &mut String) {
    let spans = || {
        let fix = diagnostic.fix.iter().map(|(span, _)| span);
        std::iter::once(&diagnostic.span).chain(diagnostic.also.iter().map(|(span, _)| span)).chain(fix)
    };
    let start = spans().map(|it| it.start).min().unwrap_or(0);
    let end = spans().map(|it| it.end).max().unwrap_or(0);
    let window = lines.window(start, end);
    if window.text.len() > LONGEST_DRAWN {
        let (line, column) = lines.position(diagnostic.span.start);
        out.push_str(&format!(
            "error[{}]: {}\n --> {path}:{line}:{column}\n",
            diagnostic.code, diagnostic.title
        ));
        for help in &diagnostic.help {
            out.push_str(&format!("  = help: {help}\n"));
        }
        if let Some((_, replacement)) = &diagnostic.fix {
            out.push_str(&format!("  = help: did you mean `{replacement}`?\n"));
        }
        out.push('\n');
        return;
    }
    let mut snippet = Snippet::source(window.text).line_start(window.line).path(path).annotation(
        AnnotationKind::Primary.span(window.within(&diagnostic.span)).label(diagnostic.label.as_str()),
    );
    for (span, label) in &diagnostic.also {
        snippet = snippet.annotation(AnnotationKind::Context.span(window.within(span)).label(label.as_str()));
    }
    let mut group: Group<'_> =
        Level::ERROR.primary_title(diagnostic.title.as_str()).id(diagnostic.code).element(snippet);
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut groups = vec![group];
    if let Some((span, replacement)) = &diagnostic.fix {
        let patch = Patch::new(window.within(span), replacement.as_str());
        let title = if replacement.contains('\n') {
            "write it so".to_owned()
        } else {
            format!("did you mean `{replacement}`?")
        };
        let patched = Snippet::source(window.text).line_start(window.line).patch(patch);
        groups.push(Level::HELP.secondary_title(title).element(patched));
    }
    out.push_str(&renderer.render(&groups));
    out.push_str("\n\n");
}

/// Where lines begin, so that a position is found without reading the source again.
struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

/// Whole lines of a source.
struct Window<'s> {
    text: &'s str,
    /// Number of the first line, from 1.
    line: usize,
    offset: usize,
}

impl<'s> Lines<'s> {
    fn of(source: &'s str) -> Self {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Number of the line that this offset is in, from 0.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or(self.source.len())
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.source.floor_char_boundary(offset);
        let line = self.line(offset);
        let column = self.source.get(self.start(line)..offset).map_or(0, |text| text.chars().count());
        (line + 1, column + 1)
    }

    fn window(&self, start: usize, end: usize) -> Window<'s> {
        let first = self.line(start.min(self.source.len()));
        // A problem at the end of the file stands after its last line break: show the line before it too.
        let first = if self.start(first) == self.source.len() { first.saturating_sub(1) } else { first };
        let last = self.line(end.min(self.source.len()));
        let offset = self.start(first);
        Window { text: self.source.get(offset..self.start(last + 1)).unwrap_or(""), line: first + 1, offset }
    }
}

impl Window<'_> {
    /// The span inside the window's text: bounded, on character borders, and not empty where that is possible.
    fn within(&self, span: &Span) -> Span {
        let start =
            self.text.floor_char_boundary(span.start.saturating_sub(self.offset).min(self.text.len()));
        let end = span.end.saturating_sub(self.offset).min(self.text.len());
        start..self.text.ceil_char_boundary(end.max(start))
    }
}

/// The candidate that was most likely meant, if one is near enough.
pub fn nearest<'a>(got: &str, possible: &[&'a str]) -> Option<&'a str> {
    if got.is_empty() || got.len() > LONGEST_COMPARED {
        return None;
    }
    let wanted = got.to_lowercase();
    let mut best: Option<(usize, f64, &'a str)> = None;
    for candidate in possible.iter().copied().filter(|it| it.len() <= LONGEST_COMPARED) {
        let lower = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&wanted, &lower);
        let alike = strsim::jaro_winkler(&wanted, &lower);
        let near = distance <= candidate.len().max(got.len()) / 3 || alike >= 0.93;
        let better =
            best.is_none_or(|(least, most, _)| distance < least || (distance == least && alike > most));
        if near && better {
            best = Some((distance, alike, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

/// Text of the file for use inside a title: bounded, on one line.
pub fn shown(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    if text.len() <= LONGEST && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut cut: String =
        text.chars().take(LONGEST - 1).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(LONGEST - 1).is_some() {
        cut.push('…');
    }
    Cow::Owned(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_drawn_as_a_patch() {
        let source = "source:\n  kind: xlm\n";
        let mut diagnostics = Diagnostics::default();
        diagnostics
            .push("M013", &(16..19), "`xlm` is not a valid `kind`", "not one of the allowed words")
            .suggest("xlm", &(16..19), ["xml", "json"]);
        let text = diagnostics.render("a.map.yaml", source, false);
        insta::assert_snapshot!(text.trim_end(), @r"
        error[M013]: `xlm` is not a valid `kind`
         --> a.map.yaml:2:9
          |
        2 |   kind: xlm
          |         ^^^ not one of the allowed words
          |
        help: did you mean `xml`?
          |
        2 -   kind: xlm
        2 +   kind: xml
          |
        ");
        assert_eq!(
            diagnostics.to_json("a.map.yaml", source),
            json!([{
                "path": "a.map.yaml", "code": "M013", "title": "`xlm` is not a valid `kind`",
                "label": "not one of the allowed words", "line": 2, "column": 9, "end_line": 2, "end_column": 12,
                "help": [], "also": [],
                "fix": { "line": 2, "column": 9, "end_line": 2, "end_column": 12, "text": "xml" },
            }])
        );
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["lines.amount", "lines.kind", "reserve", "cause"];
        for (got, expected) in [
            ("lines.amuont", Some("lines.amount")),
            ("Reserve", Some("reserve")),
            ("caus", Some("cause")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(got, &names), expected, "input: {got:?}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), &names), None);
    }

    #[test]
    fn spans_outside_the_source_are_bounded() {
        for source in ["", "é", "a: é\n", "a\nb", "\u{1b}[31m"] {
            for span in [0..0, 0..1, 1..2, 3..4, 99..200, usize::MAX - 1..usize::MAX] {
                let mut diagnostics = Diagnostics::default();
                diagnostics
                    .push("M001", &span, "title", "label")
                    .also(&span, "also")
                    .fix(&span, "new")
                    .help("help");
                assert!(diagnostics.render("p", source, true).contains("M001"), "{source:?} {span:?}");
                diagnostics.to_json("p", source);
            }
        }
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_bounded() {
        let mut diagnostics = Diagnostics::default();
        for _ in 0..10_000 {
            diagnostics.push("M011", &(0..1), "t", "l").help("h");
        }
        assert_eq!((diagnostics.all.len(), diagnostics.len()), (MOST_KEPT, 10_000));
        assert!(diagnostics.render("p", "x", false).contains("9500 more are not shown"));
    }
}
