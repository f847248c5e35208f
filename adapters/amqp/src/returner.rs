//! Results and dead letters as messages.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lapin::{BasicProperties, types::ShortString};
use serde_json::json;
use vestibule_core::{
    document::AttributeKind,
    fault::{Fault, FaultCode, Recovery},
    job::{Delivery, JobState, Purpose, Reply, ReplyBody},
    ports::{Parcel, Returner},
};

use crate::{
    content::ContentType,
    error::AmqpError,
    headers::{ANSWERED_BY, FLOW, Headers, OUTCOME, TICKET, VERSION},
    nowhere::Nowhere,
    publisher::{Outgoing, Publisher},
    receive::Target,
    topology::short,
};

/// The name under which we sign messages.
const APP: &str = "vestibule";

/// Sends results over one connection.
pub(crate) struct AmqpReturner {
    pub name: Arc<str>,
    pub publisher: Arc<Publisher>,
    pub nowhere: Nowhere,
}

impl Returner for AmqpReturner {
    fn name(&self) -> &str {
        &self.name
    }

    /// The broker is ours and will be there again: a result waits for it as long as that takes. A queue that is not there
    /// is another matter: see [`Nowhere`].
    fn attempts(&self) -> Option<u32> {
        None
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let mut results: Vec<Result<(), AmqpError>> = Vec::with_capacity(parcels.len());
            let mut places = Vec::with_capacity(parcels.len());
            let mut messages = Vec::with_capacity(parcels.len());
            for (place, parcel) in parcels.iter().enumerate() {
                match message(parcel) {
                    Ok(message) => {
                        places.push(place);
                        messages.push(message);
                        results.push(Err(AmqpError::Unconfirmed));
                    }
                    Err(error) => results.push(Err(error)),
                }
            }
            let published = self.publisher.publish(&messages).await;
            let mut hopeless = BTreeSet::new();
            for ((place, result), message) in places.into_iter().zip(published).zip(&messages) {
                if self.is_hopeless(&result, &message.target, parcels.get(place)) {
                    hopeless.insert(place);
                }
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
            let judged = |(place, it): (usize, Result<(), AmqpError>)| {
                it.map_err(AmqpError::of_parcel).map_err(|fault| match hopeless.contains(&place) {
                    true => fault.recovery(Recovery::GiveUp),
                    false => fault,
                })
            };
            results.into_iter().enumerate().map(judged).collect()
        })
    }
}

impl AmqpReturner {
    /// True where no queue is bound for its place, and will not be.
    fn is_hopeless(&self, result: &Result<(), AmqpError>, target: &Target, parcel: Option<&Parcel>) -> bool {
        match result {
            Ok(()) => self.nowhere.is_there(target),
            Err(AmqpError::Unroutable) => {
                let tried = parcel.map_or(1, |it| match it.job.delivery {
                    Delivery::Due { attempt, .. } => attempt,
                    _ => 1,
                });
                return self.nowhere.is_absent(target, tried);
            }
            Err(_) => {}
        }
        false
    }
}

/// The message of a parcel: the same each time.
fn message(parcel: &Parcel) -> Result<Outgoing, AmqpError> {
    let to = |key: &str| parcel.place.to.get(key).cloned();
    let routing_key = to("routing_key").ok_or(AmqpError::Address("there is no routing key"))?;
    let target = Target { exchange: to("exchange").unwrap_or_default(), routing_key };
    let (_, _) = (short(&target.exchange)?, short(&target.routing_key)?);
    let job = &parcel.job;
    let mut headers = Headers::default();
    let content = match parcel.purpose {
        Purpose::Result => result(parcel, &mut headers),
        Purpose::DeadLetter => dead_letter(parcel, &mut headers),
    };
    headers.text(TICKET, &job.id.to_string()).text(FLOW, &job.flow);
    let (content_type, body) = content;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(fitting(&parcel.message_id()))
        .with_correlation_id(fitting(&parcel.correlation_id()))
        .with_app_id(APP.into())
        .with_type(match parcel.purpose {
            Purpose::Result => "vestibule.result".into(),
            Purpose::DeadLetter => "vestibule.dead-letter".into(),
        });
    if let Ok(seconds) = u64::try_from(job.changed.as_second()) {
        properties = properties.with_timestamp(seconds);
    }
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(fitting(&content_type));
    }
    Ok(Outgoing { target, properties, headers, body })
}

/// Names of senders are at most 255 bytes; what is longer can only have been made elsewhere.
fn fitting(text: &str) -> ShortString {
    let cut = text.get(..text.floor_char_boundary(255)).unwrap_or_default();
    ShortString::try_new(cut).unwrap_or_default()
}

fn result(parcel: &Parcel, headers: &mut Headers) -> (Option<String>, Bytes) {
    match &parcel.job.state {
        JobState::Answered { reply } | JobState::Returned { reply } | JobState::InReview { reply, .. } => {
            of_reply(reply, headers);
            match &reply.body {
                ReplyBody::Written { media_type, bytes } => {
                    let content = ContentType::of_written(media_type, bytes).to_text();
                    (Some(content), bytes.clone())
                }
                ReplyBody::Refused => problem(parcel, &refused(), reply, headers),
            }
        }
        JobState::Dead { cause, findings } => {
            headers.text(OUTCOME, "dead").refusal(cause, findings);
            (Some("application/problem+json".into()), document_of_problem(parcel, cause))
        }
        // Nothing is sent before there is an end; what is then would be a mistake of ours, and is said.
        JobState::Queued { .. } | JobState::Leased { .. } => {
            headers.text(OUTCOME, parcel.job.state.word());
            (None, Bytes::new())
        }
    }
}

fn of_reply(reply: &Reply, headers: &mut Headers) {
    headers.text(OUTCOME, reply.outcome.word()).number(VERSION, reply.flow_version);
    if !reply.answered_by.is_empty() {
        headers.text(ANSWERED_BY, &reply.answered_by);
    }
}

/// The cause of a refusal that the form has no way to say.
fn refused() -> String {
    format!("{}: {}", FaultCode::Refused.code(), FaultCode::Refused.title())
}

fn problem(parcel: &Parcel, cause: &str, reply: &Reply, headers: &mut Headers) -> (Option<String>, Bytes) {
    headers.refusal(cause, &reply.findings);
    (Some("application/problem+json".into()), document_of_problem(parcel, cause))
}

/// Who waits for a reply shall not wait in vain (RFC 9457). The findings are in the headers.
fn document_of_problem(parcel: &Parcel, cause: &str) -> Bytes {
    let (code, title) = cause.split_once(": ").unwrap_or(("V013", cause));
    let problem = json!({
        "type": "about:blank",
        "title": title,
        "code": code,
        "ticket": parcel.job.id.to_string(),
        "flow": &*parcel.job.flow,
    });
    Bytes::from(problem.to_string())
}

/// The document as it came, with as much of its message as the job keeps, and what was found.
fn dead_letter(parcel: &Parcel, headers: &mut Headers) -> (Option<String>, Bytes) {
    let document = &parcel.job.document;
    for header in document.attributes.iter().filter(|it| it.kind == AttributeKind::Header) {
        headers.text(&header.name, &header.value);
    }
    match &parcel.job.state {
        JobState::Dead { cause, findings } => {
            headers.text(OUTCOME, "dead").refusal(cause, findings);
        }
        state => {
            if let Some(reply) = state.reply() {
                of_reply(reply, headers);
                headers.refusal(&refused(), &reply.findings);
            }
        }
    }
    let content = ContentType { media_type: document.media_type.clone(), charset: document.charset.clone() };
    let content = Some(content.to_text()).filter(|it| !it.is_empty());
    (content, document.bytes.clone())
}
