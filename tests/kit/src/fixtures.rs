//! Small documents, jobs and replies.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use vestibule_core::{
    ask::Usage,
    document::{Document, Hash, IdempotencyKey},
    finding::Outcome,
    job::{JobId, NewJob, Remark, Reply, ReplyBody},
};

/// A moment with microseconds and no more: what every store keeps.
pub fn moment() -> Timestamp {
    Timestamp::constant(1_785_000_000, 123_456_000)
}

/// An XML document with this idempotency key. Not a key: no key.
pub fn document(key: Option<&str>, bytes: &[u8]) -> Document {
    Document {
        charset: Some("iso-8859-1".into()),
        name: Some("claim 1.xml".into()),
        key: key.and_then(IdempotencyKey::new),
        ..Document::new(bytes.to_vec(), "text/xml", moment())
    }
}

/// A job of the flow `claims`, with a fresh name; its fingerprint is the hash of the bytes.
pub fn job(key: Option<&str>, bytes: &[u8]) -> NewJob {
    job_of("claims", key, bytes)
}

/// A job of this flow.
pub fn job_of(flow: &str, key: Option<&str>, bytes: &[u8]) -> NewJob {
    NewJob::new(JobId::fresh(), flow.into(), document(key, bytes), Hash::of(bytes))
}

/// A written reply with one remark.
pub fn reply(bytes: &[u8]) -> Reply {
    Reply {
        outcome: Outcome::Note,
        body: ReplyBody::Written { media_type: Arc::from("text/xml"), bytes: Bytes::copy_from_slice(bytes) },
        findings: vec![Remark {
            code: "G105".into(),
            check: "length".into(),
            outcome: Outcome::Note,
            field: "lines[2].text".into(),
            xpath: Some("/Claim/Lines/Line[2]/Text".into()),
            expected: "..40".into(),
            found: None,
            say: Some("Zu lang: \u{201e}\u{e4}\u{201c}".into()),
        }],
        answered_by: "rules".into(),
        usage: Usage { input: 120, cached_input: 100, output: 30 },
        flow_version: 7,
    }
}

/// A refusal without a document.
pub fn refusal() -> Reply {
    Reply {
        outcome: Outcome::Reject,
        body: ReplyBody::Refused,
        findings: Vec::new(),
        answered_by: "".into(),
        usage: Usage::default(),
        flow_version: 1,
    }
}
