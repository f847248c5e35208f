//! JSON (RFC 8259) as a flat list of values, in document order. Nothing is converted.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use crate::{
    error::{Problem, shown},
    reader::Limits,
};

/// More keys than this in one object are compared by hash.
const FEW_KEYS: usize = 16;

/// One value.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    /// Its key, inside an object.
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) kind: Kind<'a>,
    /// Bytes of the value.
    pub(crate) span: Range<usize>,
    /// How many values, this one included, until the next one that is not inside it.
    pub(crate) size: usize,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Object,
    Array,
    /// A string, or a number or word as it is written.
    Plain(Cow<'a, str>),
    Null,
}

type Failure = (Problem, usize);

/// Reads the whole text.
pub(crate) fn tokens<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Token<'a>>, Failure> {
    let mut lexer =
        Lexer { text, at: 0, limits, all: Vec::with_capacity((text.len() / 16).min(limits.nodes)) };
    lexer.value(None, 0)?;
    lexer.space();
    if lexer.at < text.len() { Err((Problem::Trailing, lexer.at)) } else { Ok(lexer.all) }
}

struct Lexer<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l Limits,
    all: Vec<Token<'a>>,
}

impl<'a> Lexer<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Recursion is bounded by the limit on depth.
    fn value(&mut self, key: Option<Cow<'a, str>>, depth: usize) -> Result<(), Failure> {
        self.space();
        let start = self.at;
        if self.all.len() >= self.limits.nodes {
            return Err((Problem::TooManyNodes(self.limits.nodes), start));
        }
        let index = self.all.len();
        let kind = match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Plain(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Plain(Cow::Borrowed(self.number()?)),
            _ => self.word()?,
        };
        let opens = matches!(kind, Kind::Object | Kind::Array);
        let is_object = matches!(kind, Kind::Object);
        self.all.push(Token { key, kind, span: start..self.at, size: 1 });
        if opens {
            if depth >= self.limits.depth {
                return Err((Problem::TooDeep(self.limits.depth), start));
            }
            self.at += 1;
            if is_object { self.members(depth + 1)? } else { self.items(depth + 1)? }
        }
        let size = self.all.len() - index;
        if let Some(token) = self.all.get_mut(index) {
            token.span.end = self.at;
            token.size = size;
        }
        Ok(())
    }

    fn members(&mut self, depth: usize) -> Result<(), Failure> {
        let mut keys: Vec<Cow<'a, str>> = Vec::new();
        let mut many: HashSet<Cow<'a, str>> = HashSet::new();
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err((Problem::Expected("a key"), at));
            }
            let key = self.string()?;
            let again = if keys.len() < FEW_KEYS {
                let again = keys.contains(&key);
                keys.push(key.clone());
                again
            } else {
                if many.is_empty() {
                    many.extend(keys.iter().cloned());
                }
                !many.insert(key.clone())
            };
            if again {
                return Err((Problem::DuplicateKey(shown(&key)), at));
            }
            self.space();
            if !self.take(b':') {
                return Err((Problem::Expected("`:`"), self.at));
            }
            self.value(Some(key), depth)?;
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err((Problem::Expected("`,` or `}`"), self.at));
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<(), Failure> {
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(None, depth)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err((Problem::Expected("`,` or `]`"), self.at));
            }
        }
    }

    fn word(&mut self) -> Result<Kind<'a>, Failure> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.bytes().position(|it| !it.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let kind = match word {
            "true" | "false" => Kind::Plain(Cow::Borrowed(word)),
            "null" => Kind::Null,
            _ => return Err((Problem::Expected("a value"), self.at)),
        };
        self.at += end;
        Ok(kind)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|it| it.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<&'a str, Failure> {
        let start = self.at;
        self.take(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        let mut good = whole == 1 || (whole > 1 && !leading_zero);
        if self.take(b'.') {
            good &= self.digits() > 0;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            good &= self.digits() > 0;
        }
        // `1a` and `01` are no numbers; neither is what follows them.
        good &= !self.peek().is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'+' | b'-'));
        if good {
            Ok(self.text.get(start..self.at).unwrap_or_default())
        } else {
            Err((Problem::Number, start))
        }
    }

    /// At the opening quote. Borrows when there is no escape.
    fn string(&mut self) -> Result<Cow<'a, str>, Failure> {
        let open = self.at;
        self.at += 1;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            let Some(byte) = self.peek() else { return Err((Problem::Expected("`\"`"), open)) };
            match byte {
                b'"' => {
                    let run = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(match owned {
                        Some(mut owned) => {
                            owned.push_str(run);
                            Cow::Owned(owned)
                        }
                        None => Cow::Borrowed(run),
                    });
                }
                b'\\' => {
                    let run = self.text.get(start..self.at).unwrap_or_default();
                    let escaped = self.escape()?;
                    let owned = owned.get_or_insert_default();
                    owned.push_str(run);
                    owned.push(escaped);
                    start = self.at;
                }
                0..0x20 => return Err((Problem::Control, self.at)),
                _ => self.at += 1,
            }
        }
    }

    /// At a backslash.
    fn escape(&mut self) -> Result<char, Failure> {
        let at = self.at;
        self.at += 1;
        let byte = self.peek().ok_or((Problem::Escape, at))?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(at),
            _ => return Err((Problem::Escape, at)),
        })
    }

    fn hex(&mut self, at: usize) -> Result<u32, Failure> {
        let digits = self.text.get(self.at..self.at.saturating_add(4)).ok_or((Problem::Escape, at))?;
        if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err((Problem::Escape, at));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| (Problem::Escape, at))
    }

    fn unicode(&mut self, at: usize) -> Result<char, Failure> {
        let first = self.hex(at)?;
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first).ok_or((Problem::Surrogate, at));
        }
        if first >= 0xDC00 || !(self.take(b'\\') && self.take(b'u')) {
            return Err((Problem::Surrogate, at));
        }
        let second = self.hex(at)?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err((Problem::Surrogate, at));
        }
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        char::from_u32(code).ok_or((Problem::Surrogate, at))
    }
}
