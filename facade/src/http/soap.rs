//! `/soap/{service}`: the facade that a legacy application already knows how to call.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    http::request::Parts,
};
use jiff::Timestamp;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    job::{JobId, ReturnAddress},
    ports::{Call, CallContext, Service, Understood, WireRequest},
    runner::{Called, Request, Wait},
};

use super::{
    LARGE,
    answer::{self, Answer},
    incoming::{self, Unread},
    problem::Problem,
    tell,
    waiting::{self, Waiting},
};
use crate::{house::Front, posting};

const ACTION: HeaderName = HeaderName::from_static("soapaction");

/// Answers one request to a service: its contract, or a call.
pub async fn answer(front: &Front, name: &str, parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let Some(service) = front.house.services.get(name) else {
        return nowhere(front, parts, "there is no service of this name");
    };
    match parts.method {
        Method::POST => post(front, (name, service), parts, body).await,
        Method::GET | Method::HEAD if asks_for_contract(parts.uri.query()) => {
            answer::of_wire(service.describe(&address(front, &parts.headers, name)))
        }
        Method::GET | Method::HEAD => not_posted(front, parts, "POST"),
        _ => not_posted(front, parts, "GET, HEAD, POST"),
    }
}

/// Nobody answers at this path: a fault to who calls, a problem to who looks.
pub fn nowhere(front: &Front, parts: &Parts, detail: &str) -> Answer {
    let fault = Fault::new(FaultCode::NotFound, detail);
    said(front, parts, &fault).unwrap_or_else(|| Problem::of_http(StatusCode::NOT_FOUND, detail).answer())
}

/// A fault in the caller's own format, before it is known which service is called. `None` where the request is no
/// call, or there is no service that could write a fault.
pub fn said(front: &Front, parts: &Parts, fault: &Fault) -> Option<Answer> {
    if !is_call(parts) {
        return None;
    }
    // Every service of one protocol writes the same fault; only a call makes one of them the right one.
    let service = front.house.services.values().next()?;
    Some(of_fault(service, &unseen(&parts.headers), fault))
}

/// True for what a SOAP toolkit sends to call an operation.
fn is_call(parts: &Parts) -> bool {
    let is_below =
        parts.uri.path().strip_prefix("/soap").is_some_and(|it| it.is_empty() || it.starts_with('/'));
    let speaks = || {
        let kind = incoming::media_type(&parts.headers);
        let is_xml = kind.is_some_and(|(kind, _)| kind.ends_with("/xml") || kind.ends_with("+xml"));
        is_xml || parts.headers.contains_key(&ACTION)
    };
    is_below && (parts.method == Method::POST || speaks())
}

fn not_posted(front: &Front, parts: &Parts, allowed: &'static str) -> Answer {
    let detail = "calls are posted; the contract is at ?wsdl";
    match said(front, parts, &Fault::new(FaultCode::NotUnderstood, detail)) {
        Some(mut answer) => {
            *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            answer
        }
        None => super::not_allowed(allowed, detail),
    }
}

/// A service's fault. What may be tried again says when, whatever status the protocol gives it.
fn of_fault(service: &Arc<dyn Service>, context: &CallContext, fault: &Fault) -> Answer {
    let mut answer = answer::of_wire(service.fault(context, fault));
    let wait = match fault.recovery {
        Recovery::RetryAfter(wait) => Some(wait.as_secs().max(1)),
        _ if fault.code == FaultCode::Unavailable => Some(1),
        Recovery::Retry | Recovery::FailOver | Recovery::GiveUp => None,
    };
    if let Some(seconds) = wait {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

async fn post(
    front: &Front,
    (name, service): (&str, &Arc<dyn Service>),
    parts: &Parts,
    body: &mut Option<Incoming>,
) -> Answer {
    let body = match incoming::read(&parts.headers, body, &front.limits, &front.room).await {
        Ok(body) => body,
        Err(unread) => {
            let fault = unread.fault(&front.limits);
            return unread_fault(service, &parts.headers, &unread, &fault);
        }
    };
    if let Err(fault) = incoming::not_packed(&parts.headers) {
        return of_fault(service, &unseen(&parts.headers), &fault);
    }
    let request = WireRequest {
        content_type: incoming::kept(&parts.headers, &header::CONTENT_TYPE),
        action: incoming::kept(&parts.headers, &ACTION),
        body,
        received: Timestamp::now(),
    };
    let accepted = if request.body.len() > LARGE {
        tokio::task::block_in_place(|| service.accept(&request))
    } else {
        service.accept(&request)
    };
    match accepted {
        Ok(Understood::Call(call)) => run(front, (name, service), &parts.headers, *call).await,
        Ok(Understood::GetResult(context, ticket)) => result(front, (name, service), &context, ticket).await,
        Err(reply) => answer::of_wire(reply),
    }
}

/// A document for a flow: its result, or a ticket.
async fn run(
    front: &Front,
    (name, service): (&str, &Arc<dyn Service>),
    headers: &HeaderMap,
    call: Call,
) -> Answer {
    let Call { flow: position, mut document, extraction, context } = call;
    let refuse = |fault: &Fault| {
        tell(fault, "a call ended in a fault");
        of_fault(service, &context, fault)
    };
    match incoming::idempotency_key(headers) {
        Ok(Some(key)) => document.key = Some(key),
        Ok(None) => {}
        Err(fault) => return refuse(&fault),
    }
    let Some(flow) = front.house.flows.get(position) else {
        return refuse(&Fault::new(FaultCode::NotFound, "there is no such flow"));
    };
    let mut waiting = match Waiting::of(front, flow, headers) {
        Ok(waiting) => waiting,
        Err(refused) => return refuse(&refused.fault),
    };
    waiting.correlate(document.key.as_ref());
    let (mut wait, mut return_to) = (waiting.wait, waiting.return_to.take());
    if let Some(wish) = &context.reply_to {
        match reply_to(front, flow, (name, &context), wish) {
            Ok(address) => (wait, return_to) = (Wait::Ticket, Some(address)),
            Err(fault) => return refuse(&fault),
        }
    }
    let kept = document.clone();
    match front.call(Request { flow: position, document, extraction, wait, return_to }).await {
        Ok(Called::Replied(ticket, reply)) => {
            let mut answer = answer::of_wire(service.reply(&context, &reply, ticket));
            answer::add_ticket(&mut answer, ticket);
            waiting.add_applied(&mut answer);
            answer
        }
        // The reply goes to another address: here is nothing to say but that it was taken (WS-Addressing, 202).
        Ok(Called::Ticket(ticket)) if context.reply_to.is_some() => {
            let mut answer = answer::empty(StatusCode::ACCEPTED);
            answer::add_ticket(&mut answer, ticket);
            answer
        }
        Ok(Called::Ticket(ticket)) => {
            let written = super::flows::pending(flow, &kept, ticket);
            let mut answer = answer::of_wire(service.ticket(&context, ticket, written.as_ref()));
            waiting::add_place(&mut answer, ticket);
            waiting.add_applied(&mut answer);
            answer
        }
        Err(fault) => refuse(&fault),
    }
}

/// The return address of a caller who wants its reply elsewhere.
fn reply_to(
    front: &Front,
    flow: &Flow,
    (service, context): (&str, &CallContext),
    wish: &str,
) -> Result<ReturnAddress, Fault> {
    let refused = |message: &str| Err(Fault::new(FaultCode::NotUnderstood, message));
    if !waiting::gives_tickets(front, flow) {
        return refused("this operation replies on the connection alone: its flow gives no tickets");
    }
    if flow.mapping.handling.deliver.is_some() {
        return refused(
            "the results of this operation have a place of their own, so ReplyTo can not be kept",
        );
    }
    let Some(url) = front.callbacks.allowed(wish) else {
        return refused("this ReplyTo address may not be called; an operator allows addresses");
    };
    let reply = Some(posting::soap_place(service, context, url));
    let message = context.message_id.as_deref().map(Into::into);
    Ok(ReturnAddress { reply, message, ..ReturnAddress::default() })
}

/// Where a job of this service stands.
async fn result(
    front: &Front,
    (name, service): (&str, &Arc<dyn Service>),
    context: &CallContext,
    ticket: JobId,
) -> Answer {
    let found = match &front.store {
        Some(store) => store.find(ticket).await,
        None => Ok(None),
    };
    match found {
        // Tickets of other services are none here: who calls one need not be let into another.
        Ok(job) => {
            let own = job.filter(|it| front.house.offers(name, &it.flow));
            answer::of_wire(service.result(context, own.as_ref()))
        }
        Err(fault) => {
            tell(&fault, "a job could not be looked up");
            of_fault(service, context, &fault)
        }
    }
}

/// The envelope was never seen: of the caller's version only the media type speaks, which version 1.2 made its own.
fn unseen(headers: &HeaderMap) -> CallContext {
    let is_12 = incoming::media_type(headers).is_some_and(|(kind, _)| kind == "application/soap+xml");
    CallContext { version: if is_12 { "1.2" } else { "1.1" }.into(), ..CallContext::default() }
}

fn unread_fault(service: &Arc<dyn Service>, headers: &HeaderMap, unread: &Unread, fault: &Fault) -> Answer {
    tell(fault, "a body could not be read");
    let mut answer = of_fault(service, &unseen(headers), fault);
    if *unread != Unread::Broken {
        answer::add_close(&mut answer);
    }
    answer
}

/// `?wsdl`, `?WSDL`, `?wsdl=…`: toolkits differ.
fn asks_for_contract(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        query.split('&').any(|part| {
            let name = part.split_once('=').map_or(part, |(name, _)| name);
            name.eq_ignore_ascii_case("wsdl") || name.eq_ignore_ascii_case("singlewsdl")
        })
    })
}

/// Where callers reach this service. A `Host` that is not a plain authority is not repeated into a contract.
fn address(front: &Front, headers: &HeaderMap, service: &str) -> String {
    if let Some(url) = &front.public_url {
        return format!("{}/soap/{service}", url.trim_end_matches('/'));
    }
    let host =
        incoming::text(headers, &header::HOST).filter(|host| is_authority(host)).unwrap_or("localhost");
    format!("http://{host}/soap/{service}")
}

fn is_authority(host: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_is_asked_for_in_any_case() {
        for (query, expected) in [
            (None, false),
            (Some(""), false),
            (Some("wsdl"), true),
            (Some("WSDL"), true),
            (Some("Wsdl=1"), true),
            (Some("a=b&wsdl"), true),
            (Some("singleWsdl"), true),
            (Some("wsdls"), false),
            (Some("x=wsdl"), false),
        ] {
            assert_eq!(asks_for_contract(query), expected, "input: {query:?}");
        }
    }

    #[test]
    fn a_host_header_that_could_break_out_of_the_contract_is_not_repeated() {
        for (host, expected) in [
            ("claims.acme.example", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("", false),
            ("a\"><x", false),
            ("user@host", false),
            ("host/path", false),
        ] {
            assert_eq!(is_authority(host), expected, "input: {host:?}");
        }
    }
}
