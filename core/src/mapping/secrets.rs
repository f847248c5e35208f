//! Secrets that somebody wrote into a file, where they must not stand: they are not repeated on a screen or in a log.

use std::{borrow::Cow, ops::Range};

/// What keys of well-known kinds begin with.
const KEYS: [&str; 3] = ["whsec_", "sk-", "sk_"];

/// Shorter ones are words: `sk-test`.
const SHORTEST_KEY: usize = 8;

/// The text with a star for each byte of a password in an address and of a key that is known by its beginning. It is as
/// long as before, so that places in it stay what they were.
pub(super) fn hidden(text: &str) -> Cow<'_, str> {
    let mut found: Vec<Range<usize>> =
        text.match_indices("://").filter_map(|(at, it)| password(text, at + it.len())).collect();
    found.extend(
        KEYS.iter().flat_map(|start| text.match_indices(start)).filter_map(|(at, it)| key(text, at, it)),
    );
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = text.to_owned();
    for range in found {
        let stars = "*".repeat(range.len());
        if shown.get(range.clone()).is_some() {
            shown.replace_range(range, &stars);
        }
    }
    Cow::Owned(shown)
}

/// The password of `user:password@host`, which begins at `start`.
fn password(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?;
    let authority = rest.split(|it: char| it.is_whitespace() || "/?#'\",}".contains(it)).next()?;
    let (login, _) = authority.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    let start = start + user.len() + 1;
    Some(start..start + password.len())
}

/// A key after its beginning, which stands at `at`.
fn key(text: &str, at: usize, beginning: &str) -> Option<Range<usize>> {
    let before = text.get(..at)?.chars().next_back();
    let start = at + beginning.len();
    let rest = text.get(start..)?;
    let is_key = |it: char| it.is_ascii_alphanumeric() || "+/=_-".contains(it);
    let len = rest.find(|it| !is_key(it)).unwrap_or(rest.len());
    (len >= SHORTEST_KEY && !before.is_some_and(|it| it.is_ascii_alphanumeric()))
        .then_some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_is_not_shown_and_nothing_moves() {
        for (text, shown) in [
            ("url: 'amqp://guest:hunter2@rabbit:5672'", "url: 'amqp://guest:*******@rabbit:5672'"),
            ("url: postgres://u:p:w@d@host/x", "url: postgres://u:*****@host/x"),
            ("url: http://u:pä@host", "url: http://u:***@host"),
            ("url: 'http://host:8080/a@b'", "url: 'http://host:8080/a@b'"),
            ("secret: whsec_c2VjcmV0c2VjcmV0", "secret: whsec_****************"),
            ("key: sk-abcdefghijkl, b", "key: sk-************, b"),
            ("risk-categories: 1", "risk-categories: 1"),
            ("a: sk-test", "a: sk-test"),
            ("a: '://'", "a: '://'"),
            ("://:@", "://:@"),
        ] {
            assert_eq!(hidden(text), shown, "input: {text}");
            assert_eq!(hidden(text).len(), text.len(), "input: {text}");
        }
    }
}
