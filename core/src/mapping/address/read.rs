//! From text to a path.

use std::{ops::Range, sync::Arc};

use indexmap::IndexMap;

use super::{AddressError, Axis, Path, Pick, Step, axis, notation::is_plain};
use crate::mapping::diagnostic::nearest;

/// Longest address, in bytes: nobody writes longer ones by hand.
const LONGEST: usize = 1024;
/// Most steps of a path; documents are no deeper.
const MOST_STEPS: usize = 64;
/// Most picks of one step.
const MOST_PICKS: usize = 8;
/// What is said of a blank between names.
const BLANK_ENDS: &str = "a blank ends the name";
/// The prefix that every XML document has without declaring it.
const XML: (&str, &str) = ("xml", "http://www.w3.org/XML/1998/namespace");

pub(super) fn path(
    text: &str,
    kind: &str,
    namespaces: &IndexMap<String, String>,
) -> Result<Path, AddressError> {
    let body = axis::trimmed(text);
    if text.trim().is_empty() {
        return Err(error(body, "expected an address here", Some("e.g. Claim/Lines/Line(2)/Amt")));
    }
    if text.len() > LONGEST {
        return Err(error(body, "this address is too long", Some("at most 1024 bytes")));
    }
    Reader { text, at: body.start, end: body.end, kind, namespaces }.path()
}

pub(super) fn place(
    text: &str,
    kind: &str,
    namespaces: &IndexMap<String, String>,
) -> Result<Path, AddressError> {
    let found = path(text, kind, namespaces).map_err(|error| without_quotes(error, kind))?;
    let all = axis::trimmed(text);
    if found.absolute {
        return Err(error(
            all.start..all.start + 1,
            "a written place starts below the reply's root",
            Some("leave out the leading `/`"),
        ));
    }
    if kind == "cdc" && found.steps.len() > 1 {
        let help = "a row is written by its columns: write one name, in single quotes where it has a `/`";
        return Err(error(all, "a written place of a row is the name of a column", Some(help)));
    }
    for step in &found.steps {
        let unnamed = kind == "xml" && !is_xml_name(&step.name);
        let wrong = match step.axis {
            Axis::Parent => "`..` can not be written",
            Axis::Current => "`.` can not be written",
            Axis::Descendant => "`//` can not be written: a place needs all its names",
            _ if &*step.name == "*" => "`*` can not be written: a place needs all its names",
            _ if !step.picks.is_empty() => "a written place has no pick",
            Axis::Attribute if &*step.name == "xmlns" => "`xmlns` declares a namespace; it is no attribute",
            _ if unnamed => "XML has no such name",
            _ => continue,
        };
        let help = if step.axis == Axis::Current {
            "`.` alone is the text of a repeated element: in the `write:` block of an `each:`"
        } else if !step.picks.is_empty() {
            "a place that repeats is written with `each:` and a `write:` block of its own"
        } else if wrong == "XML has no such name" {
            "a name begins with a letter or `_`; letters, digits, `_`, `-` and `.` follow"
        } else {
            "write the names from the reply's root, e.g. Result/ClaimNo"
        };
        let word = step.to_string();
        let span = text.find(&word).map_or(all.clone(), |start| start..start + word.len());
        return Err(error(span, wrong, Some(help)));
    }
    Ok(found)
}

/// Quotes do not help where no name with a blank can be written.
pub(super) fn without_quotes(mut error: AddressError, kind: &str) -> AddressError {
    if kind == "xml" && matches!(&*error.title, axis::BLANK_IN_NAME | BLANK_ENDS) {
        error.title = "XML has no name with a blank in it".into();
        error.help = Some("write the element's name as the reply has it, e.g. Result/ClaimNo".into());
        error.fix = None;
    }
    error
}

/// True for a name that an element or attribute can have (Namespaces in XML 1.0, `NCName`).
fn is_xml_name(name: &str) -> bool {
    let begins = |it: char| {
        matches!(it, 'A'..='Z' | 'a'..='z' | '_' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
            | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
            | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
    };
    let goes_on = |it: char| {
        begins(it)
            || matches!(it, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    let mut letters = name.chars();
    letters.next().is_some_and(begins) && letters.all(goes_on)
}

fn error(span: Range<usize>, title: impl Into<String>, help: Option<&str>) -> AddressError {
    AddressError { span, title: title.into(), help: help.map(str::to_owned), fix: None }
}

/// A cursor over the text between outer white space.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    end: usize,
    kind: &'t str,
    namespaces: &'t IndexMap<String, String>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.at = self.end - self.rest().trim_start().len();
    }

    /// From `start` to here; at least one character where there is one.
    fn since(&self, start: usize) -> Range<usize> {
        if start < self.at {
            return start..self.at;
        }
        match self.text.get(start..self.end).and_then(|it| it.chars().next()) {
            Some(next) => start..start + next.len_utf8(),
            None => {
                self.text.char_indices().next_back().map_or(0..0, |(last, it)| last..last + it.len_utf8())
            }
        }
    }

    fn path(mut self) -> Result<Path, AddressError> {
        let mut path = Path::default();
        let mut axis = Axis::Child;
        if self.take("//") {
            axis = Axis::Descendant;
        } else if self.peek() == Some('/') && self.kind == "cdc" {
            let help = Some("write the name of the column, e.g. STATUS");
            return Err(error(
                self.at..self.at + 1,
                "an address in a row begins with the name of a column",
                help,
            ));
        } else if self.take("/") {
            path.absolute = true;
            if self.rest().is_empty() {
                return Ok(path);
            }
        }
        loop {
            let step = self.step(axis)?;
            let is_attribute = step.axis == Axis::Attribute;
            path.steps.push(step);
            if path.steps.len() > MOST_STEPS {
                return Err(error(0..self.at, "this path has too many steps", Some("at most 64")));
            }
            if self.rest().is_empty() {
                return Ok(path);
            }
            let joint = self.at;
            if is_attribute {
                self.at = self.end;
                return Err(error(self.since(joint), "nothing can follow an attribute", None));
            }
            axis = if self.take("//") {
                Axis::Descendant
            } else if self.take("/") {
                Axis::Child
            } else {
                return Err(self.unexpected());
            };
        }
    }

    fn unexpected(&self) -> AddressError {
        let span = self.since(self.at);
        let found = self.peek().unwrap_or(' ');
        if found.is_whitespace() {
            return error(span, BLANK_ENDS, Some("a name with a blank in it needs quotes: 'odd name'"));
        }
        if found == '|' || found == ',' {
            let help = "write several addresses as a list: [Claim/Narrative, Claim/Note(1)]";
            return error(span, format!("`{found}` does not join addresses"), Some(help));
        }
        error(span, format!("did not expect `{found}` here"), Some("names are joined with `/`"))
    }

    fn step(&mut self, axis: Axis) -> Result<Step, AddressError> {
        let start = self.at;
        let dots = if self.take("..") { Some(Axis::Parent) } else { self.take(".").then_some(Axis::Current) };
        if let Some(dots) = dots {
            if self.kind == "cdc" && dots == Axis::Parent {
                let help =
                    "read the column as a field of the record; rules of items see the fields around them";
                return Err(error(self.since(start), "`..` does not exist in a cdc source", Some(help)));
            }
            if axis == Axis::Descendant || self.peek().is_some_and(|it| it != '/') {
                let help =
                    "`.` and `..` stand alone between `/`; put other names with dots in front in quotes";
                return Err(error(self.since(start), "a dot can not begin a name", Some(help)));
            }
            return Ok(Step { axis: dots, ..Step::current() });
        }
        let is_attribute = self.take("@");
        if is_attribute {
            self.attribute_fits(axis, start)?;
        }
        let (namespace, name) = self.qualified_name()?;
        let mut picks = Vec::new();
        loop {
            let open = self.at;
            let close = match self.peek() {
                Some('(') => ')',
                Some('[') => ']',
                _ => break,
            };
            self.at += 1;
            if is_attribute || picks.len() == MOST_PICKS {
                let title = if is_attribute {
                    "an attribute is there once: nothing to pick"
                } else {
                    "too many picks"
                };
                return Err(error(open..open + 1, title, None));
            }
            picks.push(self.pick(open, close, &name)?);
        }
        let axis = if is_attribute { Axis::Attribute } else { axis };
        Ok(Step { axis, namespace, name, picks })
    }

    fn attribute_fits(&self, axis: Axis, start: usize) -> Result<(), AddressError> {
        if matches!(self.kind, "json" | "cdc") {
            let mut wrong = error(
                start..start + 1,
                format!("a {} source has no attributes", self.kind),
                Some("write the name without `@`"),
            );
            wrong.fix = Some(String::new());
            return Err(wrong);
        }
        if axis == Axis::Descendant {
            return Err(error(
                start..start + 1,
                "`//` finds elements, not attributes",
                Some("write `//*/@name`"),
            ));
        }
        Ok(())
    }

    fn qualified_name(&mut self) -> Result<(Option<Arc<str>>, Arc<str>), AddressError> {
        let start = self.at;
        if self.take("{") {
            let Some(length) = self.rest().find('}') else {
                self.at = self.end;
                return Err(error(self.since(start), "this `{` is not closed", None));
            };
            let uri: Arc<str> = self.rest().get(..length).unwrap_or_default().into();
            self.at += length + 1;
            return Ok((Some(uri), self.name()?));
        }
        if self.peek() == Some('\'') {
            return Ok((None, self.name()?));
        }
        let name = self.name()?;
        let colon = self.at;
        // A colon in a name of JSON or of a column is a character like any other.
        if matches!(self.kind, "json" | "cdc") {
            let mut whole = name.to_string();
            while self.take(":") {
                whole.push(':');
                whole.push_str(self.plain());
            }
            return Ok((None, whole.into()));
        }
        if !self.take(":") {
            return Ok((None, name));
        }
        if self.take(":") {
            let help = "write child steps, `@name`, `..` or `//name`";
            return Err(error(start..self.at, "XPath axes are not part of an address", Some(help)));
        }
        let uri = self.namespace(&name, start..colon)?;
        Ok((Some(uri), self.name()?))
    }

    fn namespace(&self, prefix: &str, span: Range<usize>) -> Result<Arc<str>, AddressError> {
        if let Some(uri) = self.namespaces.get(prefix) {
            return Ok(uri.as_str().into());
        }
        if prefix == XML.0 {
            return Ok(XML.1.into());
        }
        let known: Vec<_> = self.namespaces.keys().map(String::as_str).collect();
        let help = if known.is_empty() {
            "declare it under `source: namespaces:`, or leave the prefix out: a bare name matches any namespace".into()
        } else {
            format!("expected one of: {}", known.join(", "))
        };
        let mut wrong = error(span, format!("there is no namespace prefix `{prefix}`"), Some(&help));
        wrong.fix = nearest(prefix, &known).map(str::to_owned);
        Err(wrong)
    }

    /// A name, in quotes or not.
    fn name(&mut self) -> Result<Arc<str>, AddressError> {
        if self.peek() == Some('\'') {
            return self.quoted('\'').map(Arc::from);
        }
        if self.take("*") {
            return Ok("*".into());
        }
        let start = self.at;
        let name = self.plain();
        if name.is_empty() {
            let help = match self.peek() {
                Some('"') => Some("names are quoted with single quotes: 'odd name'"),
                Some('/') => Some("one `/` too many, or a name is missing"),
                _ => None,
            };
            return Err(error(self.since(start), "expected a name here", help));
        }
        Ok(name.into())
    }

    fn plain(&mut self) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|it| !is_plain(it)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Text between quotes, which are doubled inside.
    fn quoted(&mut self, quote: char) -> Result<String, AddressError> {
        let start = self.at;
        self.at += quote.len_utf8();
        let mut found = String::new();
        loop {
            let rest = self.rest();
            let Some(length) = rest.find(quote) else {
                self.at = self.end;
                let help = "YAML cuts a value at ` #`; put the whole address in double quotes";
                return Err(error(start..self.end, "this quote is not closed", Some(help)));
            };
            found.push_str(rest.get(..length).unwrap_or_default());
            self.at += length + 1;
            if self.peek() != Some(quote) {
                return Ok(found);
            }
            found.push(quote);
            self.at += 1;
        }
    }

    /// What follows the bracket at `open`.
    fn pick(&mut self, open: usize, close: char, step: &str) -> Result<Pick, AddressError> {
        self.skip_blanks();
        let start = self.at;
        let is_attribute = self.take("@");
        let name = if self.peek() == Some('\'') { self.quoted('\'')? } else { self.plain().to_owned() };
        if self.take(":") {
            let mut wrong =
                error(start..self.at, "a pick takes names without a prefix: they match any namespace", None);
            wrong.fix = Some(if is_attribute { "@".into() } else { String::new() });
            return Err(wrong);
        }
        self.skip_blanks();
        let value = self.take("=");
        if value {
            self.take("=");
            self.skip_blanks();
            let value = self.pick_value(close)?;
            self.closes(open, close)?;
            if name.is_empty() {
                return Err(error(self.since(start), "expected a name before `=`", None));
            }
            return Ok(if is_attribute {
                Pick::Attribute(name.into(), value.into())
            } else {
                Pick::Child(name.into(), value.into())
            });
        }
        let span = self.since(start);
        if name == "last" && !is_attribute {
            self.take("()");
            self.closes(open, close)?;
            return Ok(Pick::Last);
        }
        if name.is_empty() && self.peek() == Some(close) && (step == "text" || step == "node") {
            let help = "the text of an element is taken by itself: end the address at the element";
            return Err(error(open..self.at + 1, format!("`{step}()` is not needed"), Some(help)));
        }
        if !name.is_empty() && self.peek().is_none() {
            self.closes(open, close)?;
        }
        match name.parse::<u32>() {
            Ok(0) => Err(error(span, "counting starts at 1", None)),
            Ok(nth) => {
                self.closes(open, close)?;
                Ok(Pick::Nth(nth))
            }
            Err(_) if self.peek().is_none() => Err(self.not_closed(open)),
            Err(_) => {
                let what = self.text.get(span.clone()).unwrap_or_default();
                let help = "write a number, last, name=value or @name=value";
                Err(error(span, format!("can not pick by `{what}`"), Some(help)))
            }
        }
    }

    fn pick_value(&mut self, close: char) -> Result<String, AddressError> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => {
                let rest = self.rest();
                let length = rest.find([close, '(', '[', '\'', '"']).unwrap_or(rest.len());
                self.at += length;
                Ok(rest.get(..length).unwrap_or_default().trim_end().to_owned())
            }
        }
    }

    fn closes(&mut self, open: usize, close: char) -> Result<(), AddressError> {
        self.skip_blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        match self.peek() {
            None => Err(self.not_closed(open)),
            Some(found) => Err(error(
                self.since(self.at),
                format!("did not expect `{found}` here"),
                Some("one pick in each bracket"),
            )),
        }
    }

    fn not_closed(&self, open: usize) -> AddressError {
        let bracket = self.text.get(open..open + 1).unwrap_or_default();
        error(open..self.end, format!("this `{bracket}` is not closed"), None)
    }
}
