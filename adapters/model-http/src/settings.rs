//! What `vestibule.yaml` says about a model of the kind `openai`. What is here is valid.

use std::{fmt, time::Duration};

use indexmap::IndexMap;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use schemars::JsonSchema;
use serde::Deserialize;
use vestibule_core::mapping::{
    diagnostic::Diagnostics,
    shape::{self, Word},
    syntax::Node,
};

/// A model behind OpenAI-compatible chat completions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Base address, e.g. `https://api.openai.com/v1`; `/chat/completions` is added.
    url: Word,
    /// The model's name as the server knows it, e.g. `gpt-4o-mini`.
    model: Word,
    /// Name of the environment variable that holds the key. Without it, none is sent.
    #[serde(default)]
    key: Option<Word>,
    /// 0 to 2. Left to the server when it is absent; some models refuse it.
    #[serde(default)]
    temperature: Option<f64>,
    /// Most tokens of an answer.
    #[serde(default)]
    max_tokens: Option<u32>,
    /// Longest time for one answer, e.g. `5s`; never longer than the flow's deadline.
    #[serde(default)]
    timeout: Option<Word>,
    /// More headers. Credentials do not belong here.
    #[serde(default)]
    headers: IndexMap<String, Word>,
}

/// Settings that were checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub url: Url,
    pub model: String,
    pub key: Option<Key>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<u32>,
    pub timeout: Option<Duration>,
    pub headers: HeaderMap,
}

/// The header that carries the key. Its value is never printed.
#[derive(Clone)]
pub(crate) struct Key(HeaderValue);

impl Key {
    pub fn new(secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.trim())).ok()?;
        value.set_sensitive(true);
        (!secret.trim().is_empty()).then_some(Self(value))
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Headers that the adapter or HTTP itself sets, and those that carry credentials.
const OURS: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "api-key",
    "host",
    "content-length",
    "content-type",
    "idempotency-key",
    "transfer-encoding",
    "connection",
];

impl Settings {
    /// Reads and checks the settings; every problem is reported.
    pub fn read(
        node: &Node,
        secrets: &dyn Fn(&str) -> Option<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let file: File = shape::read(node, "openai", diagnostics)?;
        let at = |key: &str| node.get(key).unwrap_or(node);
        let url = endpoint(file.url.as_str(), at("url"), diagnostics);
        let key = file.key.and_then(|name| key(name.as_str(), at("key"), secrets, diagnostics));
        let timeout = file.timeout.and_then(|text| duration(text.as_str(), at("timeout"), diagnostics));
        let headers = headers(&file.headers, at("headers"), diagnostics);
        if file.temperature.is_some_and(|it| !(0.0..=2.0).contains(&it)) {
            diagnostics.push(
                "A103",
                &at("temperature").span,
                "`temperature` is from 0 to 2",
                "outside its limits",
            );
        }
        if file.max_tokens == Some(0) {
            diagnostics.push(
                "A103",
                &at("max_tokens").span,
                "`max_tokens` is at least 1",
                "outside its limits",
            );
        }
        if file.model.as_str().trim().is_empty() {
            diagnostics.push("A103", &at("model").span, "`model` names no model", "the server's name for it");
        }
        if diagnostics.len() > before {
            return None;
        }
        let (temperature, max_tokens) = (file.temperature, file.max_tokens);
        Some(Self { url: url?, model: file.model.0, key, temperature, max_tokens, timeout, headers })
    }
}

/// The address of chat completions below a base address.
fn endpoint(text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Url> {
    let problem = match Url::parse(&format!("{}/chat/completions", text.trim_end_matches('/'))) {
        Err(error) => error.to_string(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "only http and https are spoken".into(),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "credentials do not belong into an address: use `key`".into()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "a base address has no `?` and no `#`".into()
        }
        Ok(url) => return Some(url),
    };
    diagnostics.push("A101", &node.span, "the address of the model is not usable", problem);
    None
}

fn key(
    name: &str,
    node: &Node,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Key> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        // What looks like a key is not repeated: this text may end up in a log.
        diagnostics
            .push("A102", &node.span, "`key` is the name of an environment variable", "not such a name")
            .help("never write a key into a file: export it, and name the variable here");
        return None;
    }
    let key = secrets(name).and_then(|secret| Key::new(&secret));
    if key.is_none() {
        let title = format!("the environment variable `{name}` holds no key");
        diagnostics.push("A102", &node.span, title, "not set, empty, or not printable");
    }
    key
}

/// `500ms`, `5s`, `2m`.
fn duration(text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let read = number.parse::<u64>().ok().and_then(|number| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    });
    let read = read.filter(|it| !it.is_zero() && *it <= Duration::from_secs(3600));
    if read.is_none() {
        diagnostics.push(
            "A103",
            &node.span,
            "this is not a time",
            "expected a time like `500ms`, `5s` or `2m`",
        );
    }
    read
}

fn headers(given: &IndexMap<String, Word>, node: &Node, diagnostics: &mut Diagnostics) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let place = node.get(name).unwrap_or(node);
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            let title = format!("the header `{name}` can not be set here");
            diagnostics
                .push("A103", &place.span, title, "it is Vestibule's own")
                .help("credentials go through `key`");
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.as_str())) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => {
                diagnostics.push(
                    "A103",
                    &place.span,
                    format!("`{name}` is not a header"),
                    "not printable ASCII",
                );
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::new("sk-very-secret\n").unwrap();
        assert_eq!(key.header().as_bytes(), b"Bearer sk-very-secret");
        assert!(!format!("{key:?} {:?}", key.header()).contains("secret"));
        assert!(Key::new(" ").is_none());
        assert!(Key::new("two\r\nlines").is_none(), "a header must not be split");
    }

    #[test]
    fn base_addresses_are_completed_or_refused() {
        let node = vestibule_core::mapping::syntax::parse("url", &mut Diagnostics::default()).unwrap();
        for (text, expected) in [
            ("https://api.openai.com/v1", Some("https://api.openai.com/v1/chat/completions")),
            ("http://127.0.0.1:4010/v1/", Some("http://127.0.0.1:4010/v1/chat/completions")),
            ("ftp://models/v1", None),
            ("https://user:pass@models/v1", None),
            ("https://models/v1?key=1", None),
            ("api.openai.com/v1", None),
            ("", None),
        ] {
            let mut diagnostics = Diagnostics::default();
            let url = endpoint(text, &node, &mut diagnostics);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "input: {text:?}");
            assert_eq!(diagnostics.all.len(), usize::from(expected.is_none()), "input: {text:?}");
        }
    }
}
