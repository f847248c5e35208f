//! Addresses that results may be sent to: what an operator allows, and whether a caller's wish is among it.

use url::Url;

/// Longest address that is looked at.
const LONGEST: usize = 2048;

/// Addresses that callers may have results sent to. Nothing is allowed by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// Beginnings of allowed addresses.
    pub allow: Vec<Prefix>,
    /// Name of the environment variable with the secret that results are signed with.
    pub secret: Option<String>,
}

/// The beginning of an address: scheme, host, port, and the first steps of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Url);

impl Callbacks {
    /// The address as it will be called, where it is allowed. Compared as parsed, by the same reader that calls it.
    pub fn allowed(&self, wish: &str) -> Option<String> {
        let url = address(wish)?;
        self.allow.iter().any(|it| it.covers(&url)).then(|| url.into())
    }
}

impl Prefix {
    /// Reads what an operator allows: an address without a query.
    pub fn read(text: &str) -> Option<Self> {
        address(text).filter(|it| it.query().is_none()).map(Self)
    }

    /// True where this address lies at or below this one. A step counts whole: `/hooks` does not cover `/hooks2`.
    fn covers(&self, url: &Url) -> bool {
        let own = self.0.path().trim_end_matches('/');
        let below = url.path().strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.0.scheme() == url.scheme()
            && self.0.host() == url.host()
            && self.0.port_or_known_default() == url.port_or_known_default()
            && below
    }
}

/// An address that can be called: over HTTP, without a user, a fragment, or a path that another reader may take for a
/// different one.
pub fn address(text: &str) -> Option<Url> {
    if text.len() > LONGEST || text.chars().any(|it| it.is_control() || it.is_whitespace() || it == '\\') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let path = url.path().to_ascii_lowercase();
    let is_plain = matches!(url.scheme(), "https" | "http")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && !["%2e", "%2f", "%5c", "%00"].iter().any(|it| path.contains(it));
    is_plain.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_allowed_by_its_parts_and_not_by_its_letters() {
        let allow = ["https://erp.acme.example/hooks", "http://127.0.0.1:8099", "https://b.acme.example/x/"];
        let callbacks =
            Callbacks { allow: allow.iter().filter_map(|it| Prefix::read(it)).collect(), secret: None };
        assert_eq!(callbacks.allow.len(), 3);
        for (wish, expected) in [
            ("https://erp.acme.example/hooks", Some("https://erp.acme.example/hooks")),
            ("https://erp.acme.example/hooks/", Some("https://erp.acme.example/hooks/")),
            ("https://erp.acme.example/hooks/a/b?c=d", Some("https://erp.acme.example/hooks/a/b?c=d")),
            ("https://ERP.acme.example:443/hooks", Some("https://erp.acme.example/hooks")),
            ("https://erp.acme.example/hooks/../hooks/a", Some("https://erp.acme.example/hooks/a")),
            ("http://127.0.0.1:8099/any/where", Some("http://127.0.0.1:8099/any/where")),
            ("http://0x7f.1:8099/", Some("http://127.0.0.1:8099/")),
            ("https://b.acme.example/x", Some("https://b.acme.example/x")),
            ("https://erp.acme.example/hooks2", None),
            ("https://erp.acme.example/hooks/../admin", None),
            ("https://erp.acme.example/hooks/%2e%2e/admin", None),
            ("https://erp.acme.example/hooks/..%2fadmin", None),
            ("https://erp.acme.example/hooks/..\\admin", None),
            ("https://erp.acme.example/", None),
            ("http://erp.acme.example/hooks", None),
            ("https://erp.acme.example:8443/hooks", None),
            ("https://erp.acme.example.evil.example/hooks", None),
            ("https://erp.acme.example@evil.example/hooks", None),
            ("https://user@erp.acme.example/hooks", None),
            ("https://erp.acme.example/hooks#x", None),
            ("https://erp.acme.example\t/hooks", None),
            ("http://127.0.0.1:8098/", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("/hooks", None),
            ("", None),
        ] {
            assert_eq!(callbacks.allowed(wish).as_deref(), expected, "input: {wish:?}");
        }
        let long = format!("https://erp.acme.example/hooks/{}", "a".repeat(LONGEST));
        assert_eq!(callbacks.allowed(&long), None);
        assert_eq!(
            Callbacks::default().allowed("https://erp.acme.example/hooks"),
            None,
            "nothing by default"
        );
    }
}
