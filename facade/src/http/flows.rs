//! `POST /v1/flows/{mapping}`: the same flow for callers that speak JSON, or send a document without an envelope.

use hyper::{HeaderMap, Method, StatusCode, body::Incoming, header, http::request::Parts};
use jiff::Timestamp;
use vestibule_core::{
    document::Document,
    fault::{Fault, FaultCode},
    flow::Flow,
    job::{JobId, Reply, ReplyBody},
    ports::Extraction,
    runner::{Called, Request},
};

use super::{
    LARGE,
    answer::{self, Answer},
    incoming::{self, Unread},
    jobs, not_allowed,
    problem::Problem,
    tell,
    waiting::{self, Waiting},
};
use crate::house::Front;

/// Answers one document for a flow.
pub async fn answer(front: &Front, mapping: &str, parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let Some((position, flow)) = front.house.flow(mapping) else {
        return Problem::of(&Fault::new(FaultCode::NotFound, "there is no flow of this name")).answer();
    };
    if parts.method != Method::POST {
        return not_allowed("POST", "documents are posted");
    }
    let Some((media_type, charset)) = incoming::media_type(&parts.headers) else {
        return unsupported("the request has no Content-Type");
    };
    if !flow.reads(&media_type) {
        return unsupported("this flow does not read this media type");
    }
    if let Err(fault) = incoming::not_packed(&parts.headers) {
        return unsupported(&fault.message);
    }
    let key = match incoming::idempotency_key(&parts.headers) {
        Ok(key) => key,
        Err(fault) => return Problem::of(&fault).answer(),
    };
    let mut waiting = match Waiting::of(front, flow, &parts.headers) {
        Ok(waiting) => waiting,
        Err(refused) => return Problem::of(&refused.fault).status(refused.status).answer(),
    };
    let bytes = match incoming::read(&parts.headers, body, &front.limits, &front.room).await {
        Ok(bytes) => bytes,
        Err(unread) => return unread_problem(&unread, &unread.fault(&front.limits)),
    };
    let mut document = Document::new(bytes, &media_type, Timestamp::now());
    document.charset = charset.map(Into::into);
    document.key = key;
    waiting.correlate(document.key.as_ref());
    let kept = document.clone();
    let called = match extract(flow, &document) {
        Ok(extraction) => {
            let (wait, return_to) = (waiting.wait, waiting.return_to.take());
            front.call(Request { flow: position, document, extraction, wait, return_to }).await
        }
        Err(fault) => Err(fault),
    };
    match called {
        Ok(Called::Replied(ticket, reply)) => {
            let mut answer = of_reply(&parts.headers, &reply, ticket);
            waiting.add_applied(&mut answer);
            answer
        }
        Ok(Called::Ticket(ticket)) => {
            let written = pending(flow, &kept, ticket).filter(|it| is_taken(&parts.headers, it));
            let mut answer = waiting::accepted(front, ticket, written.as_ref());
            waiting.add_applied(&mut answer);
            answer
        }
        Err(fault) => {
            tell(&fault, "a document ended in a fault");
            Problem::of(&fault).answer()
        }
    }
}

/// Reads the document; a large one without holding up the other callers of this thread.
fn extract(flow: &Flow, document: &Document) -> Result<Extraction, Fault> {
    if document.bytes.len() > LARGE {
        tokio::task::block_in_place(|| flow.extract(document))
    } else {
        flow.extract(document)
    }
}

/// What the mapping writes for a caller who gets a ticket. Where it can not be written the ticket goes out all the same:
/// the document is accepted.
pub fn pending(flow: &Flow, document: &Document, ticket: JobId) -> Option<ReplyBody> {
    flow.pending(document, ticket).unwrap_or_else(|fault| {
        tell(&fault, "what is said with a ticket could not be written");
        None
    })
}

fn is_taken(headers: &HeaderMap, body: &ReplyBody) -> bool {
    matches!(body, ReplyBody::Written { media_type, .. } if takes(headers, media_type))
}

fn unsupported(detail: &str) -> Answer {
    let fault = Fault::new(FaultCode::NotUnderstood, detail);
    Problem::of(&fault).status(StatusCode::UNSUPPORTED_MEDIA_TYPE).answer()
}

/// A body that could not be read, as a problem.
pub fn unread_problem(unread: &Unread, fault: &Fault) -> Answer {
    tell(fault, "a body could not be read");
    let mut answer = Problem::of(fault).status(unread.status()).answer();
    answer::add_close(&mut answer);
    answer
}

/// The document that `return` wrote, where the caller takes its media type; else the job as JSON.
fn of_reply(headers: &HeaderMap, reply: &Reply, ticket: JobId) -> Answer {
    let mut answer = match &reply.body {
        ReplyBody::Refused => {
            let count = reply.findings.len();
            let detail =
                format!("the gate refused the record: {count} finding{}", if count == 1 { "" } else { "s" });
            Problem::refused(&detail, &reply.findings, ticket).answer()
        }
        ReplyBody::Written { media_type, bytes } if takes(headers, media_type) => {
            answer::with(StatusCode::OK, media_type, bytes.clone())
        }
        ReplyBody::Written { .. } => answer::json(StatusCode::OK, &jobs::reply_json(reply, ticket)),
    };
    answer::add_ticket(&mut answer, ticket);
    answer::add_outcome(&mut answer, reply.outcome);
    answer
}

/// True where this media type may be sent: JSON always, another one where `Accept` names it.
fn takes(headers: &HeaderMap, media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    if bare.eq_ignore_ascii_case("application/json") {
        return true;
    }
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range.eq_ignore_ascii_case(bare)
                || range.strip_suffix("/*").is_some_and(|kind| {
                    kind != "*" && bare.split('/').next().is_some_and(|it| it.eq_ignore_ascii_case(kind))
                })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_sent_only_to_callers_that_ask_for_it() {
        for (accept, media_type, expected) in [
            (None, "application/json", true),
            (Some("application/xml"), "application/json", true),
            (None, "text/xml", false),
            (Some("*/*"), "text/xml", false),
            (Some("application/json"), "text/xml; charset=utf-8", false),
            (Some("text/xml"), "text/xml; charset=utf-8", true),
            (Some("application/json;q=0.1, Text/XML;q=0.9"), "text/xml", true),
            (Some("text/*"), "text/xml", true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(takes(&headers, media_type), expected, "input: {accept:?} for {media_type}");
        }
    }
}
