//! A JSON value of a column as nodes: keys are names, arrays repeat the name of their key, numbers keep their digits, and
//! an object or inner array has its own JSON as its text.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::tree::{Building, ITEM};

/// Whether the text is one JSON value (RFC 8259) that may become nodes; else why not. No step of it is recursive.
pub(super) fn is_bounded(text: &str, deepest: usize, room: usize) -> Result<(), &'static str> {
    let (mut depth, mut is_too_deep, mut values) = (0_usize, false, 1_usize);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                is_too_deep |= depth > deepest;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if is_too_deep {
        return Err("its JSON is nested too deep");
    }
    if values > room {
        return Err("its JSON has too many values");
    }
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|_| "its JSON is not well-formed")
}

/// A value by the name of its key: an array repeats the name. `text` was found to be bounded.
pub(super) fn member<'r>(building: &mut Building<'r, '_>, name: Cow<'r, str>, text: &'r str) -> Option<()> {
    Cursor { text, at: 0 }.member(building, name)
}

/// A value as one node.
pub(super) fn node<'r>(building: &mut Building<'r, '_>, name: Cow<'r, str>, text: &'r str) -> Option<()> {
    Cursor { text, at: 0 }.node(building, name)
}

/// Goes through a text that is JSON, and no deeper than a column may be.
struct Cursor<'r> {
    text: &'r str,
    at: usize,
}

impl<'r> Cursor<'r> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|it| matches!(it, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn member(&mut self, building: &mut Building<'r, '_>, name: Cow<'r, str>) -> Option<()> {
        if !self.take(b'[') {
            return self.node(building, name);
        }
        self.items(building, &name)
    }

    #[expect(clippy::ptr_arg, reason = "a borrowed name stays borrowed in each node")]
    fn items(&mut self, building: &mut Building<'r, '_>, name: &Cow<'r, str>) -> Option<()> {
        while !self.take(b']') {
            let before = self.at;
            self.node(building, name.clone())?;
            self.take(b',');
            if self.at == before {
                return Some(());
            }
        }
        Some(())
    }

    fn node(&mut self, building: &mut Building<'r, '_>, name: Cow<'r, str>) -> Option<()> {
        building.open(name)?;
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{') => {
                self.at += 1;
                while !self.take(b'}') {
                    let before = self.at;
                    self.peek();
                    let key = unescaped(self.string()).unwrap_or(Cow::Borrowed("\u{FFFD}"));
                    self.take(b':');
                    self.member(building, key)?;
                    self.take(b',');
                    if self.at == before {
                        break;
                    }
                }
                building.builder.text(Cow::Borrowed(self.text.get(start..self.at).unwrap_or_default()));
            }
            Some(b'[') => {
                self.at += 1;
                self.items(building, &Cow::Borrowed(ITEM))?;
                building.builder.text(Cow::Borrowed(self.text.get(start..self.at).unwrap_or_default()));
            }
            Some(b'"') => match unescaped(self.string()) {
                Some(text) => building.builder.text(text),
                None => building.builder.unread(Cow::Borrowed("its JSON has half of a surrogate pair")),
            },
            Some(b'n') => {
                self.word();
                building.builder.nil();
            }
            _ => {
                let word = self.word();
                building.builder.text(Cow::Borrowed(word));
            }
        }
        building.builder.close(0);
        Some(())
    }

    /// A number, `true`, `false` or `null`, as it is written.
    fn word(&mut self) -> &'r str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'r str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut is_escaped = false;
        let inside = rest.bytes().skip(1).take_while(|byte| {
            let goes_on = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            goes_on
        });
        let length = (inside.count() + 2).min(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }
}

/// The text of a string with its quotes; `None` where it is half of a surrogate pair.
fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    if !quoted.contains('\\') {
        return Some(Cow::Borrowed(quoted.trim_matches('"')));
    }
    serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
}
