//! Errors for callers that speak JSON: problem documents as RFC 9457 describes them.

use bytes::Bytes;
use hyper::{StatusCode, header};
use serde::Serialize;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    job::{JobId, Remark},
};

use super::answer::{self, Answer};

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One problem, ready to be written. `type` names the fault's page and never changes for a code.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "<[Remark]>::is_empty")]
    findings: &'a [Remark],
    /// Seconds for `Retry-After`, where the fault says how long to wait.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl<'a> Problem<'a> {
    /// The problem that this fault is to a caller. Its `source` is left out: that is for the log alone.
    pub fn of(fault: &'a Fault) -> Self {
        Self {
            kind: format!("urn:vestibule:fault:{}", fault.code.code()),
            title: fault.code.title(),
            status: status(fault.code).as_u16(),
            code: Some(fault.code.code()),
            detail: &fault.message,
            place: fault.place.as_deref(),
            ticket: fault.ticket.map(|it| it.to_string()),
            findings: &[],
            retry_after: match fault.recovery {
                Recovery::RetryAfter(wait) => Some(wait.as_secs().max(1)),
                Recovery::Retry | Recovery::FailOver | Recovery::GiveUp => None,
            },
        }
    }

    /// A record that the gate refused, with everything that was found.
    pub fn refused(detail: &'a str, findings: &'a [Remark], ticket: JobId) -> Self {
        let code = FaultCode::Refused;
        Self {
            kind: format!("urn:vestibule:fault:{}", code.code()),
            title: code.title(),
            status: status(code).as_u16(),
            code: Some(code.code()),
            detail,
            place: None,
            ticket: Some(ticket.to_string()),
            findings,
            retry_after: None,
        }
    }

    /// A problem of HTTP itself, before any document was looked at.
    pub fn of_http(status: StatusCode, detail: &'a str) -> Self {
        let title = status.canonical_reason().unwrap_or("error");
        let kind = "about:blank".to_owned();
        Self {
            kind,
            title,
            status: status.as_u16(),
            code: None,
            detail,
            place: None,
            ticket: None,
            findings: &[],
            retry_after: None,
        }
    }

    /// The same problem under another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// The response. What a caller may try again later says so in `Retry-After`.
    pub fn answer(&self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(self).unwrap_or_else(|_| b"{\"type\":\"about:blank\"}".to_vec());
        let mut answer = answer::with(status, MEDIA_TYPE, Bytes::from(body));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, self.retry_after.unwrap_or(1).into());
        }
        answer
    }
}

/// The HTTP status of a fault.
pub fn status(code: FaultCode) -> StatusCode {
    match code {
        FaultCode::Malformed | FaultCode::NotUnderstood | FaultCode::MustUnderstand => {
            StatusCode::BAD_REQUEST
        }
        FaultCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FaultCode::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        FaultCode::KeyConflict => StatusCode::CONFLICT,
        FaultCode::NotFound => StatusCode::NOT_FOUND,
        FaultCode::Deadline => StatusCode::GATEWAY_TIMEOUT,
        FaultCode::Model | FaultCode::Store | FaultCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FaultCode::Unauthorized => StatusCode::UNAUTHORIZED,
        FaultCode::Cancelled => StatusCode::GONE,
        FaultCode::Undeliverable => StatusCode::BAD_GATEWAY,
        FaultCode::Unwritable | FaultCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_core::finding::Outcome;

    use super::*;

    fn json(problem: &Problem<'_>) -> serde_json::Value {
        serde_json::to_value(problem).unwrap()
    }

    #[test]
    fn a_problem_shows_what_is_safe_and_nothing_else() {
        let fault = Fault::new(FaultCode::Malformed, "an element is not closed")
            .at("3:14")
            .because(std::io::Error::other("internal: /srv/secret"));
        assert_eq!(
            json(&Problem::of(&fault)),
            serde_json::json!({
                "type": "urn:vestibule:fault:V001",
                "title": "the document is not well-formed",
                "status": 400,
                "code": "V001",
                "detail": "an element is not closed",
                "place": "3:14",
            })
        );
    }

    #[test]
    fn a_refusal_lists_every_finding_and_the_ticket() {
        let findings = [Remark {
            code: "G101".into(),
            check: "required".into(),
            outcome: Outcome::Reject,
            field: "claim_no".into(),
            xpath: Some("/Claim/ClaimNo".into()),
            expected: "a value".into(),
            found: None,
            say: None,
        }];
        let ticket = JobId::parse("01932f6a-0000-7000-8000-000000000001").unwrap();
        assert_eq!(
            json(&Problem::refused("1 finding", &findings, ticket)),
            serde_json::json!({
                "type": "urn:vestibule:fault:V005",
                "title": "the record was refused",
                "status": 422,
                "code": "V005",
                "detail": "1 finding",
                "ticket": "01932f6a-0000-7000-8000-000000000001",
                "findings": [{
                    "code": "G101", "check": "required", "outcome": "reject", "field": "claim_no",
                    "xpath": "/Claim/ClaimNo", "expected": "a value",
                }],
            })
        );
    }

    #[test]
    fn every_fault_code_has_a_status_that_says_whose_mistake_it_is() {
        // What was cancelled is gone: asking again does not help, although nobody made a mistake.
        for code in FaultCode::ALL.into_iter().filter(|it| *it != FaultCode::Cancelled) {
            assert_eq!(status(code).is_client_error(), code.is_callers(), "code: {}", code.code());
        }
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        let busy = Problem::of(&Fault::new(FaultCode::Unavailable, "draining")).answer();
        assert_eq!(busy.status(), 503);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        let wait = Recovery::RetryAfter(std::time::Duration::from_secs(7));
        let full = Problem::of(&Fault::new(FaultCode::Unavailable, "full").recovery(wait)).answer();
        assert_eq!(full.headers()[header::RETRY_AFTER], "7");
        assert_eq!(busy.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
