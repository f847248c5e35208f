//! How long a caller waits, and where it wants its result sent: `Prefer` (RFC 7240) and `Vestibule-Callback`.

use std::collections::BTreeMap;

use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, HeaderValue},
};
use vestibule_core::{
    document::IdempotencyKey,
    fault::{Fault, FaultCode},
    flow::Flow,
    job::{JobId, Place, ReplyBody, ReturnAddress},
    mapping::plan::{Durability, Tickets},
    runner::Wait,
};

use super::{
    answer::{self, Answer},
    prefer::preference,
};
use crate::house::Front;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const CALLBACK: HeaderName = HeaderName::from_static("vestibule-callback");
/// What [`Place::returner`] names addresses of callers by.
const RETURNER: &str = "callback";
/// When a caller with a ticket may look for the first time.
const LOOK_AGAIN: u64 = 1;

/// What a caller asked for, as far as it is granted.
pub struct Waiting {
    /// How long it waits.
    pub wait: Wait,
    /// Where its result goes.
    pub return_to: Option<ReturnAddress>,
    /// True where it asked for a ticket by `Prefer`.
    preferred: bool,
}

/// A wish that can not be granted, and the HTTP status for those who speak no other protocol.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub fault: Fault,
    /// The HTTP status.
    pub status: StatusCode,
}

impl Waiting {
    /// Reads what the caller asks for. A preference that the flow does not grant is left aside, as RFC 7240 has it; an
    /// address that may not be called is a fault, for a result would be waited for in vain.
    pub fn of(front: &Front, flow: &Flow, headers: &HeaderMap) -> Result<Self, Refused> {
        let prefer = preference(headers).filter(|_| gives_tickets(front, flow));
        let wait = match prefer {
            None => Wait::Result,
            Some(None) => Wait::Ticket,
            Some(Some(time)) => Wait::AtMost(time),
        };
        let return_to = callback(front, flow, headers)?;
        let wait = if return_to.is_some() { Wait::Ticket } else { wait };
        Ok(Self { wait, return_to, preferred: prefer.is_some() })
    }

    /// The sender's own name for its document, by which it knows the result again.
    pub fn correlate(&mut self, key: Option<&IdempotencyKey>) {
        if let (Some(address), Some(key)) = (&mut self.return_to, key) {
            address.correlation = Some(key.as_str().into());
        }
    }

    /// Says in an answer that the preference counted.
    pub fn add_applied(&self, answer: &mut Answer) {
        if self.preferred {
            answer.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
        }
    }
}

/// True where a caller of this flow can have a ticket.
pub fn gives_tickets(front: &Front, flow: &Flow) -> bool {
    front.store.is_some()
        && flow.mapping.durability == Durability::Full
        && flow.mapping.handling.tickets != Tickets::Never
}

/// 202 with the place where the result will be. `written` is what the mapping's `pending` wrote, where the caller takes
/// it.
pub fn accepted(front: &Front, ticket: JobId, written: Option<&ReplyBody>) -> Answer {
    let path = format!("/v1/jobs/{ticket}");
    let mut answer = match written {
        Some(ReplyBody::Written { media_type, bytes }) => {
            answer::with(StatusCode::ACCEPTED, media_type, bytes.clone())
        }
        Some(ReplyBody::Refused) | None => {
            let base = front.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
            let href = format!("{base}{path}");
            let body = serde_json::json!({ "ticket": ticket.to_string(), "state": "queued", "href": href });
            answer::json(StatusCode::ACCEPTED, &body)
        }
    };
    add_place(&mut answer, ticket);
    answer
}

/// Says in an answer where the result will be, and when to look.
pub fn add_place(answer: &mut Answer, ticket: JobId) {
    answer::add_ticket(answer, ticket);
    if let Ok(value) = HeaderValue::from_str(&format!("/v1/jobs/{ticket}")) {
        answer.headers_mut().insert(hyper::header::LOCATION, value);
    }
    answer.headers_mut().insert(hyper::header::RETRY_AFTER, LOOK_AGAIN.into());
}

fn callback(front: &Front, flow: &Flow, headers: &HeaderMap) -> Result<Option<ReturnAddress>, Refused> {
    let refused =
        |status, message: &str| Err(Refused { fault: Fault::new(FaultCode::NotUnderstood, message), status });
    let mut values = headers.get_all(CALLBACK).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refused(StatusCode::BAD_REQUEST, "more than one Vestibule-Callback header");
    }
    if !gives_tickets(front, flow) {
        return refused(
            StatusCode::BAD_REQUEST,
            "this flow gives no tickets, so there is nothing to call back with",
        );
    }
    if flow.mapping.handling.deliver.is_some() {
        return refused(StatusCode::BAD_REQUEST, "the results of this flow have a place of their own");
    }
    let Some(url) = value.to_str().ok().and_then(|it| front.callbacks.allowed(it.trim())) else {
        return refused(
            StatusCode::FORBIDDEN,
            "this address may not be called; an operator allows addresses",
        );
    };
    let place = Place { returner: RETURNER.into(), to: BTreeMap::from([("url".to_owned(), url)]) };
    Ok(Some(ReturnAddress { reply: Some(place), ..ReturnAddress::default() }))
}
