//! The settings under `receive: webhook`.

use std::time::Duration;

use vestibule_core::mapping::{diagnostic::Diagnostics, duration, plan::Channel};

use super::{
    content::Place,
    hook::{Reads, SignedPath},
    style::{Custom, Encoding, Style, Template},
};
use crate::signature::{Algorithm, Secret};

/// Where every path begins.
const BELOW: &str = "/hooks/";
/// Longest path.
const LONGEST_PATH: usize = 1_000;
/// Most secrets of one path: the old one, the new one, and some more.
const MOST_SECRETS: usize = 8;
/// Standard Webhooks and Stripe's own libraries take five minutes.
const TOLERANCE: Duration = Duration::from_secs(300);
/// A window so wide protects from nothing.
const WIDEST: Duration = Duration::from_secs(24 * 3600);

const COMMON: [&str; 6] = ["path", "secret", "style", "tolerance", "part", "field"];
const OF_HMAC: [&str; 7] = ["header", "prefix", "encoding", "algorithm", "timestamp", "signed", "id"];
const STYLES: [&str; 4] = ["standard", "github", "stripe", "hmac"];
/// Headers that hold secrets: no mapping reads them.
const NEVER_READ: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Collects what is wrong with one channel.
struct Reader<'a> {
    channel: &'a Channel,
    diagnostics: &'a mut Diagnostics,
    is_good: bool,
}

/// Reads a channel's settings. Problems are reported at its span.
pub(super) fn read(
    channel: &Channel,
    reads: &Reads,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<SignedPath> {
    let mut reader = Reader { channel, diagnostics, is_good: true };
    reader.known_keys();
    let path = reader.path();
    let style = reader.style();
    let tolerance = reader.tolerance();
    let standard = matches!(style, Some(Style::Standard));
    let secrets = reader.secrets(secrets, standard);
    if let Some(style) = &style {
        reader.reads(reads, style);
    }
    let own = |name| channel.get(name).filter(|it| !it.is_empty()).map(str::to_owned);
    let place = Place { part: own("part"), field: own("field"), properties: reads.properties.clone() };
    let (true, Some(path), Some(style), Some(tolerance)) = (reader.is_good, path, style, tolerance) else {
        return None;
    };
    Some(SignedPath { path, style, secrets, tolerance, place, headers: reads.headers.clone() })
}

impl Reader<'_> {
    fn wrong(&mut self, code: &'static str, title: impl Into<String>, label: &str) {
        self.is_good = false;
        self.diagnostics.push(code, &self.channel.span, title, label);
    }

    fn known_keys(&mut self) {
        let channel = self.channel;
        let is_hmac = channel.get("style") == Some("hmac");
        for (key, _) in &channel.settings {
            let key = key.as_str();
            if OF_HMAC.contains(&key) && !is_hmac {
                self.wrong("M015", format!("`{key}` is for `style: hmac` alone"), "another style");
            } else if !COMMON.contains(&key) && !OF_HMAC.contains(&key) {
                self.is_good = false;
                let title = format!("`webhook` has no setting `{key}`");
                let all = COMMON.iter().chain(&OF_HMAC).copied();
                self.diagnostics.push("M011", &channel.span, title, "not known").suggest(
                    key,
                    &channel.span,
                    all,
                );
            }
        }
    }

    fn path(&mut self) -> Option<String> {
        let Some(path) = self.channel.get("path") else {
            self.wrong("M012", format!("`webhook` needs a `path`, such as {BELOW}claims"), "at which path?");
            return None;
        };
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
        let is_segment = |it: &str| !matches!(it, "" | "." | "..") && it.bytes().all(plain);
        let good = path.len() <= LONGEST_PATH
            && path.strip_prefix(BELOW).is_some_and(|rest| rest.split('/').all(is_segment));
        if !good {
            let title =
                format!("a webhook's `path` is {BELOW} and plain names after it: letters, digits, `-._~`");
            self.wrong("M013", title, "not such a path");
            return None;
        }
        Some(path.to_owned())
    }

    fn style(&mut self) -> Option<Style> {
        match self.channel.get("style").unwrap_or("standard") {
            "standard" => Some(Style::Standard),
            "github" => Some(Style::GitHub),
            "stripe" => Some(Style::Stripe),
            "hmac" => self.custom().map(|it| Style::Hmac(Box::new(it))),
            other => {
                self.is_good = false;
                let title = format!("`{other}` is no style of a webhook");
                let span = &self.channel.span;
                self.diagnostics.push("M013", span, title, "not known").suggest(other, span, STYLES);
                None
            }
        }
    }

    /// One of a list of words.
    fn word<T>(&mut self, key: &str, usual: T, read: impl Fn(&str) -> Option<T>, known: &str) -> Option<T> {
        let Some(word) = self.channel.get(key) else { return Some(usual) };
        let found = read(word);
        if found.is_none() {
            self.wrong("M013", format!("`{key}` is one of {known}"), "not one of them");
        }
        found
    }

    /// The name of a header, in small letters.
    fn header(&mut self, key: &str) -> Option<String> {
        let name = self.channel.get(key)?.trim().to_ascii_lowercase();
        let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
        if name.is_empty() || name.len() > 100 || !name.bytes().all(is_token) {
            self.wrong("M013", format!("`{key}` is not the name of a header"), "a header's name");
        }
        Some(name)
    }

    fn custom(&mut self) -> Option<Custom> {
        let encoding = |it: &str| match it {
            "hex" => Some(Encoding::Hex),
            "base64" => Some(Encoding::Base64),
            _ => None,
        };
        let encoding = self.word("encoding", Encoding::Hex, encoding, "hex, base64");
        let known = "sha256, sha512, sha1";
        let algorithm = self.word("algorithm", Algorithm::Sha256, Algorithm::of, known);
        let (timestamp, id) = (self.header("timestamp"), self.header("id"));
        let usual = if timestamp.is_some() { "{timestamp}.{body}" } else { "{body}" };
        let signed = match Template::read(self.channel.get("signed").unwrap_or(usual)) {
            Ok(signed) => Some(signed),
            Err(problem) => {
                self.wrong("M013", format!("`signed` can not be read: {problem}"), "what is signed?");
                None
            }
        };
        if let Some(signed) = &signed {
            if signed.has_timestamp() != timestamp.is_some() {
                let title = "`timestamp` names the header and `signed` says where it stands: one without the other \
                             proves no time";
                self.wrong("M015", title, "one without the other");
            }
            if signed.has_id() && id.is_none() {
                self.wrong("M012", "`signed` has `{id}`: `id` is to name its header", "which header?");
            }
        }
        let Some(header) = self.header("header") else {
            self.wrong("M012", "`style: hmac` needs the `header` with the signature", "which header?");
            return None;
        };
        let prefix = self.channel.get("prefix").unwrap_or_default().to_owned();
        let (algorithm, encoding, signed) = (algorithm?, encoding?, signed?);
        Some(Custom { algorithm, header, prefix, encoding, timestamp, id, signed })
    }

    fn tolerance(&mut self) -> Option<Duration> {
        let Some(text) = self.channel.get("tolerance") else { return Some(TOLERANCE) };
        let found = window(text);
        if found.is_none() {
            self.wrong("M013", "`tolerance` is a time from 1s to 24h, such as 5m", "not such a time");
        }
        found
    }

    fn secrets(&mut self, secrets: &dyn Fn(&str) -> Option<String>, standard: bool) -> Vec<Secret> {
        let channel = self.channel;
        let mut found = Vec::new();
        let names = || channel.all("secret").map(str::trim).filter(|it| !it.is_empty());
        if names().next().is_none() {
            let title = "`webhook` needs a `secret`: the name of an environment variable";
            self.wrong("M012", title, "without one, anybody could post");
        }
        if names().nth(MOST_SECRETS).is_some() {
            self.wrong("M008", format!("more than {MOST_SECRETS} secrets"), "too many");
        }
        for name in names().take(MOST_SECRETS) {
            let Some(text) = secrets(name) else {
                self.wrong("M071", format!("the environment has no `{name}`"), "the secret is not there");
                continue;
            };
            match if standard { Secret::standard(&text) } else { Secret::plain(&text) } {
                Some(secret) => found.push(secret),
                None if standard => {
                    let title =
                        format!("the secret in `{name}` is not Base64, with or without `whsec_` before it");
                    self.wrong("M071", title, "of Standard Webhooks");
                }
                None => self.wrong("M071", format!("the secret in `{name}` is empty"), "no secret"),
            }
        }
        found
    }

    /// What a mapping must not read: it would end up in records, logs of findings, and prompts.
    fn reads(&mut self, reads: &Reads, style: &Style) {
        for name in &reads.headers {
            if NEVER_READ.contains(&name.as_str()) || style.proofs().contains(&name.as_str()) {
                let title =
                    format!("`header {name}` is a secret or a signature: no mapping reads it from a webhook");
                self.wrong("M015", title, "received here");
            }
        }
    }
}

/// A duration as everywhere in a mapping, up to a day.
fn window(text: &str) -> Option<Duration> {
    duration(text).filter(|it| !it.is_zero() && *it <= WIDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_time_up_to_a_day() {
        for (text, seconds) in [
            ("300s", Some(300)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("1d", Some(86_400)),
            ("25h", None),
            ("0s", None),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 weeks", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(window(text), seconds.map(Duration::from_secs), "input: {text:?}");
        }
    }
}
