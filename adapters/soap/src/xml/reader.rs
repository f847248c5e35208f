//! The strict reader: quick-xml cuts the text into tokens, everything that makes it XML is checked here.

use std::borrow::Cow;

use quick_xml::{Reader, events::Event};
use vestibule_core::tree::{Tree, TreeBuilder};

use super::{
    Limits, Options,
    error::{Problem, XmlError, shown},
    names::{bad_char, is_ncname, is_space, split},
    namespaces::{Bindings, Expanded, XMLNS},
    tag::{self, Attribute},
    text::{self, Reference},
};

/// Bytes of markup that one element needs on average, to guess the tree's size.
const BYTES_PER_NODE: usize = 24;

/// An element whose end tag is still to come.
struct Open<'a> {
    name: &'a str,
    mark: usize,
    /// White space that is the element's text only if nothing but it comes.
    blank: Option<Cow<'a, str>>,
    has_text: bool,
    has_child: bool,
}

/// A document being read.
pub(super) struct Strict<'a> {
    text: &'a str,
    limits: &'a Limits,
    options: Options,
    expanded: &'a Expanded,
    bindings: Bindings<'a>,
    open: Vec<Open<'a>>,
    attributes: Vec<Attribute<'a>>,
    builder: TreeBuilder<'a>,
    elements: usize,
    text_bytes: usize,
}

type Step = Result<(), (Problem, usize)>;

impl<'a> Strict<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits, options: Options, expanded: &'a Expanded) -> Self {
        let mut builder = TreeBuilder::with_capacity((text.len() / BYTES_PER_NODE).min(limits.elements));
        builder.set_source(text);
        Self {
            text,
            limits,
            options,
            expanded,
            bindings: Bindings::default(),
            open: Vec::with_capacity(16),
            attributes: Vec::new(),
            builder,
            elements: 0,
            text_bytes: 0,
        }
    }

    /// The whole document, or the first thing that is wrong with it.
    pub(super) fn read(mut self) -> Result<Tree<'a>, XmlError> {
        let text = self.text;
        self.tokens().map_err(|(problem, at)| XmlError::at(problem, text, at))?;
        Ok(self.builder.finish())
    }

    fn tokens(&mut self) -> Step {
        // The decoder took one mark away; another is a character like any other, and quick-xml would swallow it.
        if self.text.starts_with('\u{FEFF}') {
            return Err((Problem::StrayText, 0));
        }
        let mut reader = Reader::from_str(self.text);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.check_comments = false;
        let position = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
        loop {
            let start = position(reader.buffer_position());
            let Ok(event) = reader.read_event() else {
                return Err((self.syntax(start), start));
            };
            let end = position(reader.buffer_position());
            let raw = self.text.get(start..end).ok_or((Problem::Syntax, start))?;
            match event {
                Event::Start(_) => self.start(inner(raw, "<", ">", start)?, start)?,
                Event::Empty(_) => {
                    self.start(inner(raw, "<", "/>", start)?, start)?;
                    self.end_element(end);
                }
                Event::End(_) => self.end(inner(raw, "</", ">", start)?, start, end)?,
                Event::Text(_) => self.text(raw, start)?,
                Event::GeneralRef(_) => self.reference(inner(raw, "&", ";", start)?, start)?,
                Event::CData(_) => self.section(inner(raw, "<![CDATA[", "]]>", start)?, start)?,
                Event::Comment(_) => comment(inner(raw, "<!--", "-->", start)?, start)?,
                Event::Decl(_) => declaration(inner(raw, "<?", "?>", start)?, start)?,
                Event::PI(_) => instruction(inner(raw, "<?", "?>", start)?, start)?,
                Event::DocType(_) => return Err((Problem::Doctype, start)),
                Event::Eof => break,
            }
        }
        match self.open.last() {
            Some(open) => Err((Problem::Unclosed(shown(open.name)), self.text.len())),
            None if self.elements == 0 => Err((Problem::NoRoot, self.text.len())),
            None => Ok(()),
        }
    }

    /// A better word than "syntax" for what quick-xml refused at `start`.
    fn syntax(&self, start: usize) -> Problem {
        let rest = self.text.get(start..).unwrap_or_default();
        match rest.get(..9) {
            Some(head) if head.eq_ignore_ascii_case("<!DOCTYPE") => Problem::Doctype,
            _ => Problem::Syntax,
        }
    }

    fn start(&mut self, inside: &'a str, at: usize) -> Step {
        let (name, rest) = tag::name(inside);
        let (prefix, local) = split(name).ok_or((Problem::Name, at + 1))?;
        if self.open.is_empty() && self.elements > 0 {
            return Err((Problem::SecondRoot(shown(name)), at));
        }
        if self.open.len() >= self.limits.depth {
            return Err((Problem::TooDeep(self.limits.depth), at));
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err((Problem::TooManyElements(self.limits.elements), at));
        }
        if let Some(parent) = self.open.last_mut() {
            parent.has_child = true;
            parent.blank = None;
        }
        let mark = self.bindings.mark();
        if rest.is_empty() {
            let uri = self.resolve(prefix, at)?;
            self.builder.open(uri, Cow::Borrowed(local), at);
        } else {
            self.start_with_attributes(prefix, local, rest, at, at + 1 + name.len())?;
        }
        self.open.push(Open { name, mark, blank: None, has_text: false, has_child: false });
        Ok(())
    }

    fn start_with_attributes(
        &mut self,
        prefix: &'a str,
        local: &'a str,
        rest: &'a str,
        at: usize,
        offset: usize,
    ) -> Step {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        tag::attributes(rest, offset, self.limits, &mut attributes)?;
        self.refuse_same_names(&attributes, at)?;
        for attribute in attributes.iter().filter(|it| is_declaration(it)) {
            self.declare(attribute, at)?;
        }
        let uri = self.resolve(prefix, at)?;
        self.builder.open(uri, Cow::Borrowed(local), at);
        self.refuse_same_namespaces(&attributes, at)?;
        for attribute in attributes.drain(..) {
            if is_declaration(&attribute) {
                if self.options.keep_declarations {
                    self.builder.attribute(XMLNS, Cow::Borrowed(attribute.name), attribute.value);
                }
                continue;
            }
            let uri = if attribute.prefix.is_empty() { "" } else { self.resolve(attribute.prefix, at)? };
            self.builder.attribute(uri, Cow::Borrowed(attribute.local), attribute.value);
        }
        self.attributes = attributes;
        Ok(())
    }

    fn declare(&mut self, attribute: &Attribute<'a>, at: usize) -> Step {
        let prefix = if attribute.prefix.is_empty() { "" } else { attribute.local };
        let uri: &'a str = match &attribute.value {
            Cow::Borrowed(uri) => uri,
            Cow::Owned(uri) => {
                let room = self.expanded.keep(uri);
                room.ok_or((Problem::TooManyDeclarations(self.limits.declarations), at))?
            }
        };
        self.bindings.declare(prefix, uri).map_err(|problem| (problem, at))?;
        if self.bindings.mark() > self.limits.bindings {
            return Err((Problem::TooManyDeclarations(self.limits.bindings), at));
        }
        Ok(())
    }

    /// At most a hundred attributes and a few declarations: comparing each with each is bounded.
    fn refuse_same_names(&self, attributes: &[Attribute<'a>], at: usize) -> Step {
        for (index, one) in attributes.iter().enumerate() {
            if attributes.iter().take(index).any(|other| other.name == one.name) {
                return Err((Problem::DuplicateAttribute(shown(one.name)), at));
            }
        }
        Ok(())
    }

    fn refuse_same_namespaces(&self, attributes: &[Attribute<'a>], at: usize) -> Step {
        let prefixed = |it: &&Attribute<'a>| !it.prefix.is_empty() && it.prefix != "xmlns";
        for (index, one) in attributes.iter().enumerate().filter(|(_, it)| prefixed(it)) {
            let same = |other: &&Attribute<'a>| {
                other.local == one.local
                    && self.bindings.resolve(other.prefix) == self.bindings.resolve(one.prefix)
            };
            if attributes.iter().take(index).filter(prefixed).any(|other| same(&other)) {
                return Err((Problem::DuplicateAttribute(shown(one.name)), at));
            }
        }
        Ok(())
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<&'a str, (Problem, usize)> {
        let known = if prefix == "xmlns" { None } else { self.bindings.resolve(prefix) };
        known.ok_or_else(|| (Problem::UnboundPrefix(shown(prefix)), at))
    }

    fn end(&mut self, inside: &str, start: usize, end: usize) -> Step {
        let name = inside.trim_end_matches([' ', '\t', '\n', '\r']);
        let Some(open) = self.open.last() else {
            return Err((Problem::NothingToClose(shown(name)), start));
        };
        if open.name != name {
            return Err((Problem::Mismatched { open: shown(open.name), close: shown(name) }, start));
        }
        self.end_element(end);
        Ok(())
    }

    fn end_element(&mut self, end: usize) {
        if let Some(open) = self.open.pop() {
            if let Some(blank) = open.blank {
                self.builder.text(blank);
            }
            self.bindings.leave(open.mark);
        }
        self.builder.close(end);
    }

    fn text(&mut self, raw: &'a str, at: usize) -> Step {
        let run = text::run(raw, false).map_err(|(problem, inner)| (problem, at + inner))?;
        self.add(run.text, run.blank, at)
    }

    fn section(&mut self, raw: &'a str, at: usize) -> Step {
        let run = text::run(raw, true).map_err(|(problem, inner)| (problem, at + inner))?;
        if self.open.is_empty() {
            return Err((Problem::StrayText, at));
        }
        self.add(run.text, false, at)
    }

    fn reference(&mut self, name: &'a str, at: usize) -> Step {
        if self.open.is_empty() {
            return Err((Problem::StrayText, at));
        }
        let text = match text::reference(name).map_err(|problem| (problem, at))? {
            Reference::Known(text) => Cow::Borrowed(text),
            Reference::Char(it) => Cow::Owned(it.to_string()),
        };
        self.add(text, false, at)
    }

    /// White space between elements is layout, not text; it is kept only where it is all that an element holds.
    fn add(&mut self, text: Cow<'a, str>, blank: bool, at: usize) -> Step {
        self.text_bytes += text.len();
        if self.text_bytes > self.limits.text_bytes {
            return Err((Problem::TooMuchText(self.limits.text_bytes), at));
        }
        let Some(open) = self.open.last_mut() else {
            return if blank { Ok(()) } else { Err((Problem::StrayText, at)) };
        };
        if blank && !open.has_text {
            if !open.has_child && open.blank.is_none() {
                open.blank = Some(text);
            } else if let Some(before) = &mut open.blank {
                before.to_mut().push_str(&text);
            }
            return Ok(());
        }
        if let Some(blank) = open.blank.take() {
            self.builder.text(blank);
        }
        open.has_text = true;
        self.builder.text(text);
        Ok(())
    }
}

fn is_declaration(attribute: &Attribute<'_>) -> bool {
    attribute.prefix == "xmlns" || attribute.name == "xmlns"
}

/// The token without its delimiters. quick-xml is laxer about them than XML is.
fn inner<'t>(raw: &'t str, before: &str, after: &str, at: usize) -> Result<&'t str, (Problem, usize)> {
    let inside = raw.strip_prefix(before).and_then(|it| it.strip_suffix(after));
    inside.ok_or((Problem::Syntax, at))
}

fn comment(inside: &str, at: usize) -> Step {
    if inside.contains("--") || inside.ends_with('-') {
        return Err((Problem::Comment, at));
    }
    all_chars(inside, at)
}

fn instruction(inside: &str, at: usize) -> Step {
    let (target, _) = tag::name(inside);
    if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
        return Err((if target == "xml" { Problem::MisplacedDeclaration } else { Problem::Instruction }, at));
    }
    all_chars(inside, at)
}

fn all_chars(text: &str, at: usize) -> Step {
    bad_char(text).map_or(Ok(()), |(inner, it)| Err((Problem::Character(u32::from(it)), at + inner)))
}

/// `xml version="1.0" encoding="…" standalone="…"`, in this order, the first required.
fn declaration(inside: &str, at: usize) -> Step {
    if at != 0 {
        return Err((Problem::MisplacedDeclaration, at));
    }
    let mut rest = inside.strip_prefix("xml").ok_or((Problem::Declaration, at))?;
    let version = |value: &str| value.strip_prefix("1.").is_some_and(|it| !it.is_empty() && digits(it));
    let (found, after) = pseudo(rest, "version").ok_or((Problem::Declaration, at))?;
    if !version(found) {
        return Err((Problem::Declaration, at));
    }
    rest = after;
    if let Some((found, after)) = pseudo(rest, "encoding") {
        let letter = found.bytes().next().is_some_and(|it| it.is_ascii_alphabetic());
        let plain = found.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-'));
        if !(letter && plain) {
            return Err((Problem::Declaration, at));
        }
        rest = after;
    }
    if let Some((found, after)) = pseudo(rest, "standalone") {
        if !matches!(found, "yes" | "no") {
            return Err((Problem::Declaration, at));
        }
        rest = after;
    }
    if rest.bytes().all(is_space) { Ok(()) } else { Err((Problem::Declaration, at)) }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit())
}

/// The value of ` name = "value"` at the beginning, and what follows.
fn pseudo<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let trimmed = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if trimmed.len() == text.len() {
        return None;
    }
    let space = [' ', '\t', '\n', '\r'];
    let after =
        trimmed.strip_prefix(name)?.trim_start_matches(space).strip_prefix('=')?.trim_start_matches(space);
    let quote = after.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    after.get(1..)?.split_once(quote)
}
