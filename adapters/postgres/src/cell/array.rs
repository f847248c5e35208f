//! PostgreSQL's text of an array.

use std::sync::Arc;

use vestibule_core::change::Cell;

use super::{Kind, read as read_value};

/// As many as the server has.
const DIMENSIONS: usize = 6;
/// Items of one array, of all its dimensions.
const MOST: usize = 100_000;

/// `{1,NULL,"a b"}`, with arrays inside each other where it has several dimensions; lower bounds (`[0:1]={…}`) are left
/// out: a list has none.
pub(super) fn read(text: &str, element: &Arc<Kind>, delimiter: u8) -> Cell {
    let body = match text.split_once('=') {
        Some((bounds, body)) if bounds.starts_with('[') => body,
        _ => text,
    };
    let mut reader = Reader { rest: body.as_bytes(), element, delimiter, items: 0 };
    match reader.list(1) {
        Ok(items) if reader.rest.is_empty() => Cell::List(items),
        Ok(_) => Cell::Unreadable("an array with something behind its end".into()),
        Err(why) => Cell::Unreadable(why.into()),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    element: &'a Kind,
    delimiter: u8,
    items: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Cell>, &'static str> {
        const BROKEN: &str = "an array that does not end as it must";
        if depth > DIMENSIONS {
            return Err("an array of more than six dimensions");
        }
        if self.take() != Some(b'{') {
            return Err("an array that does not begin as it must");
        }
        let mut items = Vec::new();
        if self.rest.first() == Some(&b'}') {
            self.take();
            return Ok(items);
        }
        loop {
            self.items += 1;
            if self.items > MOST {
                return Err("an array of more than 100000 items");
            }
            items.push(match self.rest.first() {
                Some(b'{') => Cell::List(self.list(depth + 1)?),
                Some(b'"') => self.quoted()?,
                Some(_) => self.bare()?,
                None => return Err(BROKEN),
            });
            match self.take() {
                Some(b'}') => return Ok(items),
                Some(found) if found == self.delimiter => {}
                _ => return Err(BROKEN),
            }
        }
    }

    fn quoted(&mut self) -> Result<Cell, &'static str> {
        const BROKEN: &str = "an array with an open quote";
        self.take();
        let mut text = Vec::new();
        loop {
            match self.take().ok_or(BROKEN)? {
                b'"' => break,
                b'\\' => text.push(self.take().ok_or(BROKEN)?),
                byte => text.push(byte),
            }
        }
        self.value(&text)
    }

    fn bare(&mut self) -> Result<Cell, &'static str> {
        let ends = |it: &u8| *it == self.delimiter || *it == b'}';
        let length = self.rest.iter().position(ends).ok_or("an array without an end")?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or("an array without an end")?;
        self.rest = rest;
        if text == b"NULL" {
            return Ok(Cell::Null);
        }
        // Without quotes nothing is escaped but by a hand that types; the server never does.
        self.value(text)
    }

    fn value(&self, text: &[u8]) -> Result<Cell, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "an array with bytes that are not UTF-8")?;
        Ok(read_value(text, self.element))
    }
}
