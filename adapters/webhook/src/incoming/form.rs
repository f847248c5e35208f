//! `application/x-www-form-urlencoded` (WHATWG URL, 5.1).

use std::borrow::Cow;

use super::content::{MOST_FIELDS, Unreadable};

/// A field of a form: its name and its value, in the sender's own character set.
pub(crate) type Pair<'b> = (Cow<'b, [u8]>, Cow<'b, [u8]>);

/// The fields in their order.
pub(crate) fn pairs(body: &[u8]) -> Result<Vec<Pair<'_>>, Unreadable> {
    let mut found = Vec::new();
    for part in body.split(|it| *it == b'&').filter(|it| !it.is_empty()) {
        if found.len() >= MOST_FIELDS {
            return Err(Unreadable::TooMany);
        }
        let mut halves = part.splitn(2, |it| *it == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        found.push((plain(name)?, plain(value)?));
    }
    Ok(found)
}

/// `+` and `%XX` undone. A `%` without two digits is an error: what it was meant to be is not known.
fn plain(coded: &[u8]) -> Result<Cow<'_, [u8]>, Unreadable> {
    if memchr::memchr2(b'+', b'%', coded).is_none() {
        return Ok(Cow::Borrowed(coded));
    }
    let mut out = Vec::with_capacity(coded.len());
    let mut bytes = coded.iter();
    let digit =
        |it: Option<&u8>| it.and_then(|it| char::from(*it).to_digit(16)).and_then(|it| u8::try_from(it).ok());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let (Some(high), Some(low)) = (high, low) else { return Err(Unreadable::Escape) };
                out.push(high << 4 | low);
            }
            byte => out.push(*byte),
        }
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        type Read<'a> = Result<Vec<(&'a str, &'a str)>, Unreadable>;
        let cases: [(&str, Read<'_>); 9] = [
            ("", Ok(vec![])),
            ("a=1&b=2", Ok(vec![("a", "1"), ("b", "2")])),
            ("a+b=%C3%A9+%2b%26", Ok(vec![("a b", "é +&")])),
            ("a=b=c&&d", Ok(vec![("a", "b=c"), ("d", "")])),
            ("=x", Ok(vec![("", "x")])),
            ("a=%", Err(Unreadable::Escape)),
            ("a=%4", Err(Unreadable::Escape)),
            ("a=%zz", Err(Unreadable::Escape)),
            ("%4=x", Err(Unreadable::Escape)),
        ];
        for (body, expected) in cases {
            let read = pairs(body.as_bytes());
            let read = read
                .as_ref()
                .map_err(|it| *it)
                .map(|all| all.iter().map(|(name, value)| (str_of(name), str_of(value))).collect::<Vec<_>>());
            assert_eq!(read, expected, "input: {body:?}");
        }
        assert_eq!(pairs("a&".repeat(MOST_FIELDS + 1).as_bytes()), Err(Unreadable::TooMany));
    }

    fn str_of(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }
}
