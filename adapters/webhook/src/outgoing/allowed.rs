//! Where callers may have results sent.

use reqwest::Url;

/// The addresses that an operator lets callers name: each entry stands for itself and what is below it.
#[derive(Debug, Clone, Default)]
pub struct Allowed(Vec<Url>);

impl Allowed {
    /// Reads the entries, such as `https://claims.acme.example/results/`. `Err`: the entry that is none.
    pub fn read<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, &'e str> {
        let read = |entry: &'e str| target(entry).filter(|it| it.query().is_none()).ok_or(entry);
        entries.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// True for a URL of the same scheme, host and port as an entry, at its path or below it.
    pub fn permits(&self, url: &str) -> bool {
        let Some(url) = target(url) else { return false };
        self.0.iter().any(|entry| {
            let same = entry.scheme() == url.scheme()
                && entry.host() == url.host()
                && entry.port_or_known_default() == url.port_or_known_default();
            let base = entry.path().trim_end_matches('/');
            let below = url.path().strip_prefix(base).is_some_and(|it| it.is_empty() || it.starts_with('/'));
            same && below
        })
    }
}

/// A URL that can be posted to: HTTP, with a host, without credentials. Paths of it have no dots that lead up, and no
/// escaped slashes or dots: a server may undo what was compared.
pub(super) fn target(text: &str) -> Option<Url> {
    const LONGEST: usize = 2048;
    let url = Url::parse(text).ok().filter(|_| text.len() <= LONGEST)?;
    let path = url.path().to_ascii_lowercase();
    let odd = ["%2f", "%5c", "%2e", "\\"].iter().any(|it| path.contains(it));
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && !odd;
    plain.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_an_entry_is_permitted() {
        let allowed =
            Allowed::read(["https://a.example/results", "https://a.example:8443/", "http://10.0.0.1"])
                .unwrap();
        for (url, expected) in [
            ("https://a.example/results", true),
            ("https://A.example:443/results/1?x=y", true),
            ("https://a.example/results/../results/1", true),
            ("https://a.example:8443/any", true),
            ("http://10.0.0.1/x", true),
            ("https://a.example/resultsx", false),
            ("https://a.example/results/../admin", false),
            ("https://a.example/results/%2e%2e/admin", false),
            ("https://a.example/results/..%2fadmin", false),
            ("https://a.example/results/..%5cadmin", false),
            ("https://a.example/", false),
            ("http://a.example/results", false),
            ("https://b.example/results", false),
            ("https://a.example.evil.example/results", false),
            ("https://a.example@evil.example/results", false),
            ("https://user:word@a.example/results", false),
            ("https://a.example:444/results", false),
            ("file:///results", false),
            ("not a url", false),
            ("", false),
        ] {
            assert_eq!(allowed.permits(url), expected, "input: {url}");
        }
        assert!(!Allowed::default().permits("https://a.example/"));
        for wrong in ["a.example", "ftp://a", "https://u@a.example/", "https://a.example/?x"] {
            assert_eq!(Allowed::read([wrong]).map(drop), Err(wrong));
        }
    }
}
