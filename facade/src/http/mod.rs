//! The facade over HTTP/1: routes, and nothing that the pipeline should decide.

pub mod answer;
mod desk;
mod flows;
mod health;
mod hooks;
mod incoming;
pub mod jobs;
pub mod listener;
mod metrics;
mod prefer;
pub mod problem;
pub mod reviews;
pub mod room;
mod soap;
mod stalled;
mod waiting;

use std::{borrow::Cow, panic::AssertUnwindSafe, time::Duration};

use answer::Answer;
use futures_util::FutureExt;
use hyper::{Method, Request, StatusCode, body::Incoming, header, http::request::Parts};
use problem::Problem;
use vestibule_core::fault::{Fault, FaultCode};

use crate::house::Front;

/// Bodies longer than this are parsed where they hold up no other caller.
const LARGE: usize = 256 * 1024;

/// Answers one request. Always answers: a mistake of ours is a 500, not a dropped connection.
pub async fn answer(front: &Front, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let mut body = Some(body);
    let routed = AssertUnwindSafe(route(front, &parts, &mut body)).catch_unwind().await;
    let mut answer = routed.unwrap_or_else(|_| {
        tracing::error!("a request ended in a panic");
        let fault = Fault::new(FaultCode::Internal, "the request could not be finished");
        soap::said(front, &parts, &fault).unwrap_or_else(|| Problem::of(&fault).answer())
    });
    let is_whole = match body {
        Some(body) => incoming::let_go(&parts.headers, body, front.limits.body).await,
        None => true,
    };
    if !is_whole || incoming::wants_close(&parts.headers) {
        // Some toolkits hang up unless their wish is echoed; and who is not told would send the next request into the end.
        answer::add_close(&mut answer);
    }
    answer
}

/// What is said on connections beyond the limit.
pub fn busy(front: &Front, request: Request<Incoming>) -> Answer {
    let fault = Fault::new(FaultCode::Unavailable, "too many connections");
    let (parts, _) = request.into_parts();
    let mut answer = soap::said(front, &parts, &fault).unwrap_or_else(|| Problem::of(&fault).answer());
    answer::add_close(&mut answer);
    answer
}

/// Finds who answers. A body that nobody takes is left in `body`.
async fn route(front: &Front, parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let path = parts.uri.path();
    if let Some(name) = under(path, "/soap/") {
        return soap::answer(front, &name, parts, body).await;
    }
    if let Some(mapping) = under(path, "/v1/flows/") {
        return flows::answer(front, &mapping, parts, body).await;
    }
    if let Some(id) = under(path, "/v1/jobs/") {
        return jobs::answer(front, &parts.method, &id).await;
    }
    if let Some((id, verb)) = path.strip_prefix("/v1/jobs/").and_then(|it| it.split_once('/')) {
        return jobs::act(front, (id, verb), parts, body).await;
    }
    if let Some(rest) = path.strip_prefix("/v1/reviews").filter(|it| it.is_empty() || it.starts_with('/')) {
        let rest: Vec<&str> = rest.split('/').skip(1).collect();
        return reviews::answer(front, &rest, parts, body).await;
    }
    if path.starts_with("/hooks/") {
        return hooks::answer(front, parts, body).await;
    }
    if path.starts_with("/soap") {
        return soap::nowhere(front, parts, "there is no service at this path");
    }
    let looks = matches!(parts.method, Method::GET | Method::HEAD);
    match path {
        "/livez" | "/readyz" | "/metrics" if !looks => not_allowed("GET, HEAD", "a probe can only be read"),
        "/livez" => health::live(),
        "/readyz" => health::ready(front).await,
        "/metrics" => metrics::answer(front),
        _ => Problem::of_http(StatusCode::NOT_FOUND, "there is nothing at this path").answer(),
    }
}

/// The one segment that follows `prefix`, percent-decoded.
fn under<'p>(path: &'p str, prefix: &str) -> Option<Cow<'p, str>> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() || rest.contains('/') {
        return None;
    }
    decode(rest)
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut parts = segment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let digits = Some(digits).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn not_allowed(allowed: &'static str, detail: &str) -> Answer {
    let mut answer = Problem::of_http(StatusCode::METHOD_NOT_ALLOWED, detail).answer();
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    answer
}

/// Logs a fault: its cause where it is ours, its code alone where the caller has to act.
fn tell(fault: &Fault, what: &'static str) {
    let code = fault.code.code();
    if fault.code.is_callers() {
        tracing::debug!(code, "{what}");
    } else {
        let cause = fault.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(code, reason = fault.message, cause, "{what}");
    }
}

/// How long a server waits for its connections before it gives them up.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a request's headers, for the next request on a kept connection, and for a caller to take more of an answer.
    pub header: Duration,
    /// For what is under way when the process is told to end.
    pub drain: Duration,
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod paths {
    use super::*;

    #[test]
    fn a_path_names_exactly_one_segment() {
        for (path, expected) in [
            ("/soap/ClaimService", Some("ClaimService")),
            ("/soap/", None),
            ("/soap/a/b", None),
            ("/soapy/a", None),
            ("/soap/Claim%53ervice", Some("ClaimService")),
            ("/soap/a%2Fb", Some("a/b")),
            ("/soap/%", None),
            ("/soap/%4", None),
            ("/soap/%+1", None),
            ("/soap/%ff", None),
            ("/soap/%C3%BC", Some("ü")),
        ] {
            assert_eq!(under(path, "/soap/").as_deref(), expected, "input: {path}");
        }
    }
}
