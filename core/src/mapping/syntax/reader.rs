//! From the parser's events to the tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::{
    super::diagnostic::{Diagnostics, Span, shown},
    DEEPEST, Kind, LARGEST_FILE, MOST_NODES, Node,
    offsets::Offsets,
    traps,
};

/// After a syntax error, reading goes on at the next top-level key, so often at most.
const MOST_RESTARTS: usize = 16;

/// The text of a file's bytes. Bytes that are not UTF-8 are a diagnostic; a byte order mark is kept.
pub fn text_of<'b>(bytes: &'b [u8], diagnostics: &mut Diagnostics) -> Option<&'b str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.valid_up_to();
            diagnostics
                .push(
                    "M007",
                    &(at..at.saturating_add(1)),
                    "this file is not UTF-8 text",
                    "this byte is not UTF-8",
                )
                .help("save the file as UTF-8");
            None
        }
    }
}

/// Reads a file. `None` when it has no tree; then there is at least one diagnostic. A tree may come with diagnostics
/// (a key that is written twice): what follows can still be checked.
pub fn parse(text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    if text.len() > LARGEST_FILE {
        diagnostics
            .push(
                "M008",
                &(0..1),
                format!("this file is larger than {LARGEST_FILE} bytes"),
                "the file starts here",
            )
            .help("split it: code tables and prompts can stand in files of their own");
        return None;
    }
    let before = diagnostics.len();
    let mut from = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut tree = None;
    for round in 0..MOST_RESTARTS {
        let Some(rest) = text.get(from..) else { break };
        let mut reader = Reader::new(text, from);
        match reader.read(rest, diagnostics) {
            Ok(root) => {
                // What follows a syntax error is read for its own errors only: a tree with holes would only make noise.
                tree = if round == 0 { root } else { None };
                break;
            }
            Err(Stop::Limit) => return None,
            Err(Stop::At(offset)) => {
                let Some(next) = next_section(text, offset.max(from)) else { break };
                from = next;
            }
        }
    }
    if tree.is_none() && diagnostics.len() == before {
        diagnostics.push("M006", &(0..text.len().min(1)), "this file is empty", "nothing is written here");
    }
    tree
}

/// Start of the next line after `offset` that begins with a top-level key.
fn next_section(text: &str, offset: usize) -> Option<usize> {
    let mut at = offset;
    loop {
        at += text.get(at..)?.find('\n')? + 1;
        let line = text.get(at..)?.lines().next().unwrap_or("");
        let name = line.split(':').next().unwrap_or("");
        let is_key = !name.is_empty() && name.len() < line.len();
        if is_key && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
            return Some(at);
        }
    }
}

/// Why reading stopped.
enum Stop {
    /// A syntax error, at this byte.
    At(usize),
    /// A limit was passed.
    Limit,
}

/// What is open while events come in.
enum Frame {
    Seq { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<(Node, Node)>, key: Option<Node>, seen: HashMap<String, Span> },
}

impl Frame {
    fn start(&self) -> usize {
        match self {
            Self::Seq { start, .. } | Self::Map { start, .. } => *start,
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    /// Where the part that is read begins in the file.
    from: usize,
    /// Bytes of the characters; empty for ASCII, where both are the same.
    bytes: Vec<u32>,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, from: usize) -> Self {
        let part = text.get(from..).unwrap_or("");
        let bytes = if part.is_ascii() {
            Vec::new()
        } else {
            part.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect()
        };
        Self { text, from, bytes, stack: Vec::new(), root: None, nodes: 0 }
    }

    /// The parser counts characters, spans count bytes.
    fn byte(&self, character: usize) -> usize {
        let inside = if self.bytes.is_empty() {
            self.from.saturating_add(character)
        } else {
            match self.bytes.get(character) {
                Some(byte) => self.from.saturating_add(usize::try_from(*byte).unwrap_or(usize::MAX)),
                None => self.text.len(),
            }
        };
        inside.min(self.text.len())
    }

    fn read(&mut self, part: &str, diagnostics: &mut Diagnostics) -> Result<Option<Node>, Stop> {
        let mut documents = 0;
        for event in Parser::new_from_str(part) {
            let (event, marks) = match event {
                Ok(found) => found,
                Err(error) => return Err(self.syntax_error(&error, diagnostics)),
            };
            let start = self.byte(marks.start.index());
            let span = start..self.byte(marks.end.index()).max(start);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        diagnostics.push(
                            "M002",
                            &span,
                            "one document in a file",
                            "a second document starts here",
                        );
                        break;
                    }
                }
                Event::Alias(_) => {
                    refuse(&span, "aliases (`*name`)", diagnostics);
                    self.place(scalar(self.text, span, String::new(), false), diagnostics)?;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    if anchor != 0 || tag.is_some() {
                        refuse(&span, "anchors (`&name`) and tags (`!name`)", diagnostics);
                    }
                    let plain = style == ScalarStyle::Plain;
                    let text = if plain && span.is_empty() { String::new() } else { text.into_owned() };
                    if plain {
                        traps::cut_by_comment(self.text, &span, &text, diagnostics);
                    }
                    self.place(scalar(self.text, span, text, plain), diagnostics)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(&span, anchor != 0 || tag.is_some(), diagnostics)?;
                    self.stack.push(Frame::Seq { start: span.start, items: Vec::new() });
                }
                Event::MappingStart(anchor, tag) => {
                    self.open(&span, anchor != 0 || tag.is_some(), diagnostics)?;
                    let (entries, seen) = (Vec::new(), HashMap::new());
                    self.stack.push(Frame::Map { start: span.start, entries, key: None, seen });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&span, diagnostics)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.take())
    }

    fn open(&mut self, span: &Span, decorated: bool, diagnostics: &mut Diagnostics) -> Result<(), Stop> {
        if decorated {
            refuse(span, "anchors (`&name`) and tags (`!name`)", diagnostics);
        }
        if self.stack.len() < DEEPEST {
            return Ok(());
        }
        diagnostics.push("M008", span, format!("more than {DEEPEST} blocks inside each other"), "too deep");
        Err(Stop::Limit)
    }

    fn close(&mut self, span: &Span, diagnostics: &mut Diagnostics) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let start = frame.start();
        let is_flow = self.text.get(start..).is_some_and(|rest| rest.starts_with(['{', '[']));
        let (kind, last) = match frame {
            Frame::Seq { items, .. } => {
                let last = items.last().map(|it| it.span.end);
                (Kind::Seq(items), last)
            }
            Frame::Map { entries, .. } => {
                let last = entries.last().map(|(_, value)| value.span.end);
                (Kind::Map(entries), last)
            }
        };
        // A block has no closing mark of its own: it ends with its last value, not with the blank lines after it.
        let end = if is_flow { span.end } else { last.unwrap_or(span.end) };
        self.place(Node { span: start..end.max(start), kind, offsets: Offsets::Unknown }, diagnostics)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, diagnostics: &mut Diagnostics) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let title = format!("more than {MOST_NODES} keys and values in one file");
            diagnostics.push("M008", &node.span, title, "too many");
            return Err(Stop::Limit);
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, seen, .. }) => match key.take() {
                Some(name) => entries.push((name, node)),
                None => {
                    name_once(&node, seen, diagnostics);
                    *key = Some(node);
                }
            },
        }
        Ok(())
    }

    fn syntax_error(&self, error: &ScanError, diagnostics: &mut Diagnostics) -> Stop {
        let at = self.byte(error.marker().index());
        // A block that is still open in { } or [ ] began to go wrong where it was opened.
        let is_flow = |it: &usize| self.text.get(*it..).is_some_and(|rest| rest.starts_with(['{', '[']));
        let opened = self.stack.iter().map(Frame::start).rfind(is_flow);
        traps::explain(self.text, at, opened, error.info(), diagnostics);
        Stop::At(at)
    }
}

fn name_once(key: &Node, seen: &mut HashMap<String, Span>, diagnostics: &mut Diagnostics) {
    let Some(name) = key.text() else {
        diagnostics
            .push("M009", &key.span, "a key is a single value", "this is not")
            .help("put a value that begins with `[` or `{` in quotes");
        return;
    };
    match seen.get(name) {
        Some(first) => {
            let title = format!("`{}` is written twice", shown(name));
            diagnostics.push("M005", &key.span, title, "second time").also(first, "first time");
        }
        None => {
            seen.insert(name.to_owned(), key.span.clone());
        }
    }
}

fn refuse(span: &Span, what: &str, diagnostics: &mut Diagnostics) {
    diagnostics
        .push("M003", span, format!("{what} are not used here"), "write the value out")
        .help("a value that begins with `*`, `&` or `!` must be in quotes");
}

fn scalar(source: &str, span: Span, text: String, plain: bool) -> Node {
    // The parser ends a plain value after the blanks that follow it; the caret must not.
    let written = source.get(span.clone()).unwrap_or("");
    let end = if plain { span.start + written.trim_end().len() } else { span.end };
    let span = span.start..end;
    let offsets = Offsets::of(source.get(span.clone()).unwrap_or(""), &text);
    Node { span, kind: Kind::Scalar { text, plain }, offsets }
}
