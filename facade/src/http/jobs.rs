//! `GET /v1/jobs/{id}`: where a job stands, and its reply once there is one.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use vestibule_core::{
    ask::Usage,
    fault::{Fault, FaultCode},
    job::{Job, JobId, JobState, Reply, ReplyBody},
};

use super::{
    answer::{self, Answer},
    not_allowed,
    problem::Problem,
    tell,
};
use crate::house::Front;

/// Answers for one job.
pub async fn answer(front: &Front, method: &Method, id: &str) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD", "a job can only be looked at");
    }
    let found = match (&front.store, JobId::parse(id)) {
        (Some(store), Some(id)) => store.find(id).await,
        _ => Ok(None),
    };
    match found {
        Ok(Some(job)) => {
            let mut answer = answer::json(StatusCode::OK, &job_json(&job));
            answer::add_ticket(&mut answer, job.id);
            answer
        }
        Ok(None) => Problem::of(&Fault::new(FaultCode::NotFound, "there is no job of this name")).answer(),
        Err(fault) => {
            tell(&fault, "a job could not be looked up");
            Problem::of(&fault).answer()
        }
    }
}

/// A job for machines. The document that was accepted is not part of it.
pub fn job_json(job: &Job) -> Value {
    let mut out = Map::new();
    out.insert("ticket".into(), job.id.to_string().into());
    out.insert("flow".into(), (*job.flow).into());
    out.insert("state".into(), job.state.word().into());
    out.insert("accepted".into(), job.accepted.to_string().into());
    out.insert("changed".into(), job.changed.to_string().into());
    // Lists come without payloads.
    if !job.document.bytes.is_empty() {
        out.insert(
            "document".into(),
            json!({
                "sha256": job.document.digest().to_string(),
                "bytes": job.document.bytes.len(),
                "media_type": &*job.document.media_type,
            }),
        );
    }
    if let Some(key) = &job.document.key {
        out.insert("key".into(), key.as_str().into());
    }
    match &job.state {
        JobState::Queued { attempt, not_before } => {
            out.insert("attempt".into(), (*attempt).into());
            out.insert("not_before".into(), not_before.to_string().into());
        }
        JobState::Leased { attempt } => {
            out.insert("attempt".into(), (*attempt).into());
        }
        JobState::Answered { reply } | JobState::Returned { reply } => add_reply(&mut out, reply),
        JobState::InReview { .. } => {}
        JobState::Dead { cause, .. } => {
            out.insert("cause".into(), cause.as_str().into());
        }
    }
    Value::Object(out)
}

/// A reply for machines, with the ticket of its job.
pub fn reply_json(reply: &Reply, ticket: JobId) -> Value {
    let mut out = Map::new();
    out.insert("ticket".into(), ticket.to_string().into());
    add_reply(&mut out, reply);
    Value::Object(out)
}

fn add_reply(out: &mut Map<String, Value>, reply: &Reply) {
    out.insert("version".into(), reply.flow_version.into());
    out.insert("outcome".into(), reply.outcome.word().into());
    out.insert("findings".into(), serde_json::to_value(&reply.findings).unwrap_or_default());
    if !reply.answered_by.is_empty() {
        out.insert("answered_by".into(), (*reply.answered_by).into());
    }
    if reply.usage != Usage::default() {
        out.insert("usage".into(), usage_json(reply.usage));
    }
    if let ReplyBody::Written { media_type, bytes } = &reply.body {
        out.insert("reply".into(), body_json(media_type, bytes));
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "cached_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
    })
}

/// A reply's document: as a value where it is JSON, as text where it is text, else in base64.
fn body_json(media_type: &str, bytes: &[u8]) -> Value {
    if media_type.starts_with("application/json")
        && let Ok(value) = serde_json::from_slice::<Value>(bytes)
    {
        return json!({ "media_type": media_type, "json": value });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "media_type": media_type, "text": text }),
        Err(_) => json!({ "media_type": media_type, "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_shown_in_the_plainest_way_that_loses_nothing() {
        for (media_type, bytes, expected) in [
            (
                "application/json",
                &b"{\"a\":\"1.00\"}"[..],
                json!({"media_type": "application/json", "json": {"a": "1.00"}}),
            ),
            ("application/json", b"{", json!({"media_type": "application/json", "text": "{"})),
            ("text/xml", b"<a/>", json!({"media_type": "text/xml", "text": "<a/>"})),
            ("text/plain", b"\xff\x00", json!({"media_type": "text/plain", "base64": "/wA="})),
        ] {
            assert_eq!(body_json(media_type, bytes), expected, "input: {bytes:?}");
        }
    }
}
