//! `GET /v1/jobs/{id}`: where a job stands, and its reply once there is one; what operators do to it.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Method, StatusCode, body::Incoming, header, http::request::Parts};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vestibule_core::{
    ask::Usage,
    fault::{Fault, FaultCode},
    job::{Decision, Delivery, Job, JobId, JobState, Reply, ReplyBody, Ruling},
};

use super::{
    answer::{self, Answer},
    desk, not_allowed,
    problem::Problem,
    tell,
};
use crate::{house::Front, screen};

/// Answers for one job.
pub async fn answer(front: &Front, method: &Method, id: &str) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD", "a job can only be looked at");
    }
    match find(front, id).await {
        Ok(job) => {
            let mut answer = answer::json(StatusCode::OK, &job_json(&job));
            answer::add_ticket(&mut answer, job.id);
            if matches!(job.state, JobState::Queued { .. } | JobState::Leased { .. }) {
                answer.headers_mut().insert(header::RETRY_AFTER, 1.into());
            }
            answer
        }
        Err(refusal) => *refusal,
    }
}

/// The job of this ticket. `Err`: what is answered in its place.
pub async fn find(front: &Front, id: &str) -> Result<Job, Box<Answer>> {
    let found = match (&front.store, JobId::parse(id)) {
        (Some(store), Some(id)) => store.find(id).await,
        _ => Ok(None),
    };
    match found {
        Ok(Some(job)) => Ok(job),
        Ok(None) => {
            let fault = Fault::new(FaultCode::NotFound, "there is no job of this name");
            Err(Box::new(Problem::of(&fault).answer()))
        }
        Err(fault) => {
            tell(&fault, "a job could not be looked up");
            Err(Box::new(Problem::of(&fault).answer()))
        }
    }
}

/// What an operator says besides the path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// Why, in the operator's words.
    note: Option<String>,
}

/// `POST /v1/jobs/{id}/{retry|cancel}`, for operators.
pub async fn act(
    front: &Front,
    (id, verb): (&str, &str),
    parts: &Parts,
    body: &mut Option<Incoming>,
) -> Answer {
    let by = match desk::operator(front, &parts.headers) {
        Ok(by) => by,
        Err(refusal) => return *refusal,
    };
    if !matches!(verb, "retry" | "cancel") {
        return Problem::of_http(StatusCode::NOT_FOUND, "there is nothing at this path").answer();
    }
    if parts.method != Method::POST {
        return not_allowed("POST", "a job is changed by POST");
    }
    let said: Said = match desk::said(front, parts, body).await {
        Ok(said) => said,
        Err(refusal) => return *refusal,
    };
    let job = match find(front, id).await {
        Ok(job) => job,
        Err(refusal) => return *refusal,
    };
    let Some(store) = &front.store else {
        return Problem::of_http(StatusCode::NOT_FOUND, "no jobs are kept here").answer();
    };
    let done = match verb {
        "retry" => store.retry(job.id).await,
        _ => store.cancel(job.id, cancelled_by(by, said.note.as_deref())).await,
    };
    match done {
        Ok(true) => {
            tracing::info!(job = %job.id, by, verb, "an operator changed a job");
            answer::json(StatusCode::OK, &json!({ "ticket": job.id.to_string(), "done": verb, "by": by }))
        }
        Ok(false) => {
            let detail = format!("the job is {}: there is nothing to {verb}", job.state.word());
            Problem::of_http(StatusCode::CONFLICT, &detail).answer()
        }
        Err(fault) => {
            tell(&fault, "a job could not be changed");
            Problem::of(&fault).answer()
        }
    }
}

/// The cause of a job that an operator gave up.
pub fn cancelled_by(by: &str, note: Option<&str>) -> String {
    let why = note.map(|it| format!(": {}", screen::one_line(it, 500))).unwrap_or_default();
    Fault::new(FaultCode::Cancelled, format!("cancelled by {by}{why}")).to_string()
}

/// A job for operators: what callers see of it, where its result goes, and what was decided. Never a secret: a return
/// address has none. `checkpoints`: how many answers are saved.
pub fn operator_json(job: &Job, checkpoints: Option<usize>) -> Value {
    let mut all = job_json(job);
    let Some(out) = all.as_object_mut() else { return all };
    if let Some(order) = &job.order {
        out.insert("order".into(), (**order).into());
    }
    if let Some(count) = checkpoints {
        out.insert("checkpoints".into(), count.into());
    }
    if let Some(address) = &job.return_to {
        out.insert("return_to".into(), serde_json::to_value(address).unwrap_or_default());
    }
    match &job.delivery {
        Delivery::Due { attempt, not_before } => {
            let due = json!({ "state": "due", "attempt": attempt, "not_before": not_before.to_string() });
            out.insert("delivery".into(), due);
        }
        Delivery::GivenUp { cause } => {
            out.insert("delivery".into(), json!({ "state": "given-up", "cause": cause }));
        }
        Delivery::Nothing | Delivery::Done => {}
    }
    if !job.decisions.is_empty() {
        out.insert("decisions".into(), job.decisions.iter().map(decision_json).collect());
    }
    if let JobState::Dead { findings, .. } = &job.state
        && !findings.is_empty()
    {
        out.insert("findings".into(), serde_json::to_value(findings).unwrap_or_default());
    }
    if let JobState::InReview { hold: Some(hold), .. } = &job.state {
        out.insert("hold".into(), json!({ "by": hold.by, "until": hold.until.to_string() }));
    }
    all
}

/// A decision for machines; records count from 1.
fn decision_json(decision: &Decision) -> Value {
    let mut out = Map::new();
    if let Some(record) = decision.record {
        out.insert("record".into(), record.saturating_add(1).into());
    }
    out.insert("ruling".into(), decision.ruling.word().into());
    if let Ruling::Correct(fields) = &decision.ruling {
        out.insert("set".into(), serde_json::to_value(fields).unwrap_or_default());
    }
    out.insert("by".into(), decision.by.as_str().into());
    out.insert("at".into(), decision.at.to_string().into());
    if let Some(note) = &decision.note {
        out.insert("note".into(), note.as_str().into());
    }
    Value::Object(out)
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
        JobState::InReview { reply, until, .. } => {
            if let Some(until) = until {
                out.insert("until".into(), until.to_string().into());
            }
            // Not the result, and so not where the result is.
            let mut interim = Map::new();
            add_reply(&mut interim, reply);
            out.insert("interim".into(), Value::Object(interim));
        }
        JobState::Dead { cause, .. } => {
            out.insert("cause".into(), cause.as_str().into());
        }
    }
    let delivery = match &job.delivery {
        Delivery::Nothing => None,
        Delivery::Due { .. } => Some("due"),
        Delivery::Done => Some("done"),
        Delivery::GivenUp { .. } => Some("given-up"),
    };
    if let Some(word) = delivery {
        out.insert("delivery".into(), json!({ "state": word }));
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

/// A document: as a value where it is JSON, as text where it is text, else in base64.
pub fn body_json(media_type: &str, bytes: &[u8]) -> Value {
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
