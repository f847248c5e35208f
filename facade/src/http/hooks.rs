//! `POST /hooks/…`: events that others post, proven, made durable, and only then acknowledged.

use bytes::Bytes;
use hyper::{Method, StatusCode, body::Incoming, http::request::Parts};
use jiff::Timestamp;
use vestibule_core::{
    fault::{Fault, FaultCode},
    ports::HookRequest,
    runner::{Called, Request, Wait},
};

use super::{LARGE, answer::Answer, flows, incoming, not_allowed, problem::Problem, tell, waiting};
use crate::house::Front;

/// Answers one event. 2xx means that it is durable; a delivery that is known already has the same answer.
pub async fn answer(front: &Front, parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let Some((flow, hook)) = front.house.channels.hooks.get(parts.uri.path()) else {
        return Problem::of_http(StatusCode::NOT_FOUND, "there is nothing at this path").answer();
    };
    if parts.method != Method::POST {
        return not_allowed("POST", "events are posted");
    }
    let body = match incoming::read(&parts.headers, body, &front.limits, &front.room).await {
        Ok(body) => body,
        Err(unread) => return flows::unread_problem(&unread, &unread.fault(&front.limits)),
    };
    if let Err(fault) = incoming::not_packed(&parts.headers) {
        return Problem::of(&fault).status(StatusCode::UNSUPPORTED_MEDIA_TYPE).answer();
    }
    let headers: Vec<(String, Bytes)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    let is_large = body.len() > LARGE;
    let request = HookRequest { headers: &headers, body, received: Timestamp::now() };
    let accept = || {
        let flow = front.runner.flows().get(*flow);
        let flow = flow.ok_or_else(|| Fault::new(FaultCode::NotFound, "there is no such flow"))?;
        let mut document = hook.accept(&request)?;
        let extraction = flow.extract(&document)?;
        flow.prefer_own_key(&mut document, &extraction);
        Ok((document, extraction))
    };
    let accepted = if is_large { tokio::task::block_in_place(accept) } else { accept() };
    let called = match accepted {
        Ok((document, extraction)) => {
            let request = Request { flow: *flow, document, extraction, wait: Wait::Ticket, return_to: None };
            front.call(request).await
        }
        Err(fault) => Err(fault),
    };
    match called {
        Ok(Called::Ticket(ticket) | Called::Replied(ticket, _)) => waiting::accepted(front, ticket, None),
        Err(fault) => {
            if fault.code == FaultCode::Unauthorized {
                // The sender is told nothing: whoever sets up a sender has only this to go by.
                let why = fault.source.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::info!(path = parts.uri.path(), why, "the sender of an event was not believed");
            }
            tell(&fault, "an event was not accepted");
            Problem::of(&fault).answer()
        }
    }
}
