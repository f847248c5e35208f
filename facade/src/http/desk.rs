//! What operators do over HTTP: who they are, and what they say.

use hyper::{
    HeaderMap, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use vestibule_core::fault::{Fault, FaultCode};

use super::{answer::Answer, flows, incoming, problem::Problem};
use crate::house::Front;

/// Longest text that an operator sends.
const LONGEST: usize = 256 * 1024;

/// The operator who sends this. `Err`: what everybody else gets; where nobody may decide over HTTP, nothing is here.
pub fn operator<'f>(front: &'f Front, headers: &HeaderMap) -> Result<&'f str, Box<Answer>> {
    if front.operators.is_empty() {
        return Err(Box::new(
            Problem::of_http(StatusCode::NOT_FOUND, "there is nothing at this path").answer(),
        ));
    }
    front.operators.who(headers).ok_or_else(|| {
        let fault =
            Fault::new(FaultCode::Unauthorized, "this is for operators: send `Authorization: Bearer TOKEN`");
        let mut answer = Problem::of(&fault).answer();
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Box::new(answer)
    })
}

/// The JSON body; where there is none, as if it were `{}`.
pub async fn said<T: DeserializeOwned>(
    front: &Front,
    parts: &Parts,
    body: &mut Option<Incoming>,
) -> Result<T, Box<Answer>> {
    if let Err(fault) = incoming::not_packed(&parts.headers) {
        return Err(Box::new(Problem::of(&fault).status(StatusCode::UNSUPPORTED_MEDIA_TYPE).answer()));
    }
    let limits = crate::config::Limits { body: front.limits.body.min(LONGEST), ..front.limits };
    let bytes = incoming::read(&parts.headers, body, &limits, &front.room)
        .await
        .map_err(|unread| Box::new(flows::unread_problem(&unread, &unread.fault(&limits))))?;
    let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        // Its own words name keys and places; values that are spelt out are the sender's own.
        let detail = format!("the body is not what is expected here: {error}");
        Box::new(Problem::of(&Fault::new(FaultCode::Malformed, detail)).answer())
    })
}
