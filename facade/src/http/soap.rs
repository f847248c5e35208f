//! `/soap/{service}`: the facade that a legacy application already knows how to call.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
    http::request::Parts,
};
use jiff::Timestamp;
use vestibule_core::{
    fault::Fault,
    ports::{Call, CallContext, Service, WireRequest},
};

use super::{
    LARGE,
    answer::{self, Answer},
    incoming::{self, Unread},
    problem::Problem,
    tell,
};
use crate::house::Front;

const ACTION: HeaderName = HeaderName::from_static("soapaction");

/// Answers one request to a service: its contract, or a call.
pub async fn answer(front: &Front, name: &str, parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let Some(service) = front.house.services.get(name) else {
        return Problem::of_http(StatusCode::NOT_FOUND, "there is no service of this name").answer();
    };
    match parts.method {
        Method::POST => post(front, service, parts, body).await,
        Method::GET | Method::HEAD if asks_for_contract(parts.uri.query()) => {
            answer::of_wire(service.describe(&address(front, &parts.headers, name)))
        }
        Method::GET | Method::HEAD => {
            super::not_allowed("POST", "calls are posted; the contract is at ?wsdl")
        }
        _ => super::not_allowed("GET, HEAD, POST", "calls are posted; the contract is at ?wsdl"),
    }
}

async fn post(
    front: &Front,
    service: &Arc<dyn Service>,
    parts: &Parts,
    body: &mut Option<Incoming>,
) -> Answer {
    let limits = &front.limits;
    let body = match incoming::read(&parts.headers, body, limits.body, limits.read).await {
        Ok(body) => body,
        Err(unread) => {
            let fault = unread.fault(limits.body, limits.read);
            return unread_fault(service, &parts.headers, &unread, &fault);
        }
    };
    if let Err(fault) = incoming::not_packed(&parts.headers) {
        return answer::of_wire(service.fault(&unseen(&parts.headers), &fault));
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
    let mut call = match accepted {
        Ok(call) => call,
        Err(reply) => return answer::of_wire(reply),
    };
    match incoming::idempotency_key(&parts.headers) {
        Ok(Some(key)) => call.document.key = Some(key),
        Ok(None) => {}
        Err(fault) => return answer::of_wire(service.fault(&call.context, &fault)),
    }
    let Call { flow, document, extraction, context } = call;
    match front.call(flow, document, extraction).await {
        Ok((ticket, reply)) => {
            let mut answer = answer::of_wire(service.reply(&context, &reply, ticket));
            answer::add_ticket(&mut answer, ticket);
            answer
        }
        Err(fault) => {
            tell(&fault, "a call ended in a fault");
            answer::of_wire(service.fault(&context, &fault))
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
    let mut answer = answer::of_wire(service.fault(&unseen(headers), fault));
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
