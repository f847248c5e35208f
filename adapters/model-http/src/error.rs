//! What goes wrong between Vestibule and a model's server, and what may be done about it.

use std::{borrow::Cow, error::Error, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use vestibule_core::fault::{Fault, FaultCode, Recovery};

/// Longest wait that is passed on; whoever asks for more is not asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Error codes that money mends, not time. Compared exactly and by code: servers also word passing limits as quotas.
const OUT_OF_MONEY: [&str; 6] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "account_deactivated",
    "access_terminated",
];

/// A call that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The client itself can not be made.
    #[error("the HTTP client can not be made")]
    Client(#[source] reqwest::Error),
    /// The connection failed before there was a whole response.
    #[error("the connection to the model failed")]
    Connection(#[source] reqwest::Error),
    /// The time is over.
    #[error("the model did not answer in time")]
    Late,
    /// The server said no.
    #[error("the model's server said {status} ({code})")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The server's error code, or `no code`.
        code: String,
        /// What may be done, as status, code and headers say.
        recovery: Recovery,
    },
    /// The response passes the limit.
    #[error("the model's response is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The response is not a chat completion.
    #[error("the model's response is not a chat completion")]
    NotACompletion,
    /// The answer was cut off.
    #[error("the answer was cut off ({reason})")]
    CutOff {
        /// `finish_reason`, as far as it is a known one.
        reason: &'static str,
    },
    /// The model declined to answer.
    #[error("the model refused to answer")]
    Refused,
    /// The answer is not a JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
}

impl ChatError {
    /// What may be done about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Client(_) => Recovery::GiveUp,
            Self::Connection(error) if is_about_tls(error) => Recovery::FailOver,
            Self::Connection(_) => Recovery::Retry,
            Self::Status { recovery, .. } => *recovery,
            Self::Late | Self::TooLong { .. } | Self::NotACompletion => Recovery::FailOver,
            // The model's doing, for this record: a record must not be able to make a healthy server look broken and
            // so have everyone's records decided by the fallback.
            Self::CutOff { .. } | Self::Refused | Self::NotAnObject => Recovery::GiveUp,
        }
    }

    /// Reads a response that is not a success.
    pub(crate) fn from_status(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: jiff::Timestamp,
    ) -> Self {
        let code = error_code(body);
        let recovery = classify(status, &code, || retry_after(headers, now));
        Self::Status { status: status.as_u16(), code: printable(&code).into_owned(), recovery }
    }
}

impl From<ChatError> for Fault {
    fn from(error: ChatError) -> Self {
        let code = if matches!(error, ChatError::Late) { FaultCode::Deadline } else { FaultCode::Model };
        Self::new(code, error.to_string()).recovery(error.recovery()).because(error)
    }
}

fn classify(status: StatusCode, code: &str, retry_after: impl Fn() -> Option<Duration>) -> Recovery {
    if OUT_OF_MONEY.contains(&code) {
        return Recovery::FailOver;
    }
    let transient = || match retry_after() {
        Some(wait) if wait <= LONGEST_WAIT => Recovery::RetryAfter(wait),
        Some(_) => Recovery::FailOver,
        None => Recovery::Retry,
    };
    match status.as_u16() {
        // This very request will fail again, here; that says nothing about the server's health.
        400 | 413 | 422 => Recovery::GiveUp,
        408 | 409 | 429 => transient(),
        501 | 505 => Recovery::FailOver,
        500..=599 => transient(),
        // No access, no such model, no money, a redirect: the way is closed until someone mends the settings.
        _ => Recovery::FailOver,
    }
}

/// The error's code in the shapes that servers use; its type where it has no code.
fn error_code(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return "no code".into() };
    let places = ["/error/code", "/error/type", "/code", "/type"];
    let found = places.iter().find_map(|place| body.pointer(place)?.as_str());
    found.unwrap_or("no code").to_owned()
}

/// The code as far as it is one: it is the server's text and goes into logs.
fn printable(code: &str) -> Cow<'_, str> {
    let is_code =
        code.len() <= 60 && code.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-. ".contains(&it));
    if is_code { code.into() } else { "a code that is not printable".into() }
}

/// `retry-after-ms`, then `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0);
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let text = text("retry-after")?;
    if let Some(seconds) = number(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    // A date that has passed means: now.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// Reads hostile headers as they are read of a model's answer: for fuzzing.
#[doc(hidden)]
pub fn probe(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    retry_after(headers, now)
}

/// A certificate that is not trusted will not be trusted in 100 ms.
fn is_about_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(it) = cause {
        if it.is::<rustls::Error>() {
            return true;
        }
        // An I/O error hides what it wraps from `source`.
        let wrapped = it.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if wrapped.is_some_and(|it| it.is::<rustls::Error>()) {
            return true;
        }
        cause = it.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn every_status_and_code_has_its_class() {
        let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let worded = r#"{"error":{"message":"INSUFFICIENT QUOTA","code":"rate_limit_exceeded"}}"#;
        let wait = Recovery::RetryAfter;
        for (status, given, body, expected) in [
            (429, &[][..], "", Recovery::Retry),
            (429, &[("retry-after", "2")], "", wait(Duration::from_secs(2))),
            (429, &[("retry-after", "0.5")], "", wait(Duration::from_millis(500))),
            (429, &[("retry-after-ms", "40"), ("retry-after", "9")], "", wait(Duration::from_millis(40))),
            (429, &[("retry-after", "Fri, 20 Nov 2026 12:00:30 GMT")], "", wait(Duration::from_secs(30))),
            (429, &[("retry-after", "Fri, 20 Nov 2026 11:00:00 GMT")], "", wait(Duration::ZERO)),
            (429, &[("retry-after", "99999999999")], "", Recovery::FailOver),
            (429, &[("retry-after", "-1")], "", Recovery::Retry),
            (429, &[("retry-after", "soon")], "", Recovery::Retry),
            (429, &[("retry-after", "1")], quota, Recovery::FailOver),
            (429, &[], worded, Recovery::Retry),
            (403, &[], r#"{"error":{"code":"billing_not_active"}}"#, Recovery::FailOver),
            (500, &[], quota, Recovery::FailOver),
            (400, &[], "", Recovery::GiveUp),
            (413, &[], "", Recovery::GiveUp),
            (422, &[], "", Recovery::GiveUp),
            (401, &[], "", Recovery::FailOver),
            (402, &[], "", Recovery::FailOver),
            (403, &[], "", Recovery::FailOver),
            (404, &[], r#"{"error":"model not found"}"#, Recovery::FailOver),
            (302, &[], "", Recovery::FailOver),
            (408, &[], "", Recovery::Retry),
            (409, &[], "", Recovery::Retry),
            (500, &[], "<html>", Recovery::Retry),
            (501, &[], "", Recovery::FailOver),
            (503, &[("retry-after", "3")], "", wait(Duration::from_secs(3))),
            (529, &[], "", Recovery::Retry),
        ] {
            let now = "2026-11-20T12:00:00Z".parse().unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let error = ChatError::from_status(status, &headers(given), body.as_bytes(), now);
            assert_eq!(error.recovery(), expected, "{status} {given:?} {body}");
        }
    }

    #[test]
    fn what_a_server_says_is_not_repeated_unless_it_is_a_code() {
        let body = br#"{"error":{"code":"claimant Maria L\u00f3pez\nis not allowed"}}"#;
        let error = ChatError::from_status(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            body,
            jiff::Timestamp::UNIX_EPOCH,
        );
        assert_eq!(error.to_string(), "the model's server said 400 (a code that is not printable)");
    }
}
