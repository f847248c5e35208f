//! Small documents, jobs and replies.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use vestibule_core::{
    ask::Usage,
    document::{Attribute, AttributeKind, Document, Hash, IdempotencyKey},
    finding::Outcome,
    job::{
        Checkpoint, Decision, JobId, NewJob, Place, Remark, Reply, ReplyBody, ReturnAddress, Ruling, Start,
        Suspension,
    },
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

/// A job of the flow `claims` that waits for whoever claims it.
pub fn waiting(bytes: &[u8]) -> NewJob {
    NewJob { start: Start::Later, ..job(None, bytes) }
}

/// A waiting job of the flow `claims`, in this order.
pub fn ordered(order: &str, bytes: &[u8]) -> NewJob {
    NewJob { order: Some(order.into()), ..waiting(bytes) }
}

/// The same job, to be answered to a queue, with its refusals to another.
pub fn sent(job: NewJob) -> NewJob {
    NewJob { return_to: Some(address()), ..job }
}

/// A return address with everything in it.
pub fn address() -> ReturnAddress {
    let place = |queue: &str| Place {
        returner: "amqp broker".into(),
        to: [("exchange".to_owned(), String::new()), ("routing_key".to_owned(), queue.to_owned())].into(),
    };
    ReturnAddress {
        reply: Some(place("results \u{e4}")),
        dead_letter: Some(place("claims.dead")),
        message: Some("m-1".into()),
        correlation: Some("c-1".into()),
    }
}

/// An address that only refused documents go to.
pub fn dead_letters() -> ReturnAddress {
    ReturnAddress { reply: None, ..address() }
}

/// What came beside a message: a header and a property of the same name, and one that stands twice.
pub fn attributes() -> Vec<Attribute> {
    let attribute =
        |kind, name: &str, value: &str| Attribute { kind, name: name.into(), value: value.into() };
    vec![
        attribute(AttributeKind::Header, "X-Tenant", "k\u{f6}ln"),
        attribute(AttributeKind::Property, "X-Tenant", ""),
        attribute(AttributeKind::Header, "X-Tenant", "\n\0"),
    ]
}

/// The answer about this record.
pub fn checkpoint(record: u32, answer: &str) -> Checkpoint {
    let answer = [("priority".to_owned(), answer.into()), ("amount".to_owned(), "10.00".into())];
    Checkpoint {
        record,
        answer: answer.into_iter().collect(),
        answered_by: "local".into(),
        usage: Usage { input: 7, cached_input: 0, output: 3 },
    }
}

/// What a job in review says, and until when.
pub fn suspension(until: Option<Timestamp>) -> Suspension {
    Suspension { reply: Reply { outcome: Outcome::Review, ..reply(b"<pending/>") }, until }
}

/// A decision of this person about all records.
pub fn decision(by: &str, ruling: Ruling) -> Decision {
    Decision { record: None, ruling, by: by.into(), at: moment(), note: Some("\u{201e}so\u{201c}".into()) }
}
