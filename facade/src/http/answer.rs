//! What goes out: whole bodies of a known length, with the few headers that callers may rely on.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use vestibule_core::{finding::Outcome, job::JobId, ports::WireReply};

/// A response. Its body is complete, so its length is always announced.
pub type Answer = Response<Full<Bytes>>;

/// The header that names the job of a request.
pub const TICKET: HeaderName = HeaderName::from_static("vestibule-ticket");
/// The header that says how a record ended: `pass`, `review` or `reject`.
pub const OUTCOME: HeaderName = HeaderName::from_static("vestibule-outcome");

/// A response with this body. A media type that can not stand in a header is sent as plain bytes.
pub fn with(status: StatusCode, media_type: &str, body: Bytes) -> Answer {
    let media_type = HeaderValue::from_str(media_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
    answer
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// A JSON response.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    with(status, "application/json", Bytes::from(value.to_string()))
}

/// What a protocol's service wrote.
pub fn of_wire(reply: WireReply) -> Answer {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with(status, &reply.content_type, reply.body)
}

/// Names the job in the response.
pub fn add_ticket(answer: &mut Answer, ticket: JobId) {
    let mut text = uuid::Uuid::encode_buffer();
    let text = ticket.0.hyphenated().encode_lower(&mut text);
    if let Ok(value) = HeaderValue::from_str(text) {
        answer.headers_mut().insert(TICKET, value);
    }
}

/// Says in the response how the record ended.
pub fn add_outcome(answer: &mut Answer, outcome: Outcome) {
    answer.headers_mut().insert(OUTCOME, HeaderValue::from_static(outcome.word()));
}

/// Tells the caller that this connection ends after the response.
pub fn add_close(answer: &mut Answer) {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
