//! What goes out by HTTP: results to the address that a SOAP caller named, and word of alerts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    job::{JobState, Place, Purpose},
    ports::{CallContext, Parcel, Returner, Service},
    runner::{Alarm, Alert},
};

use crate::adapters::{Letter, Poster};

/// What [`Place::returner`] names replies to a SOAP address by.
const SOAP: &str = "soap";
/// Most posts at once.
const AT_ONCE: usize = 16;
/// When a reply is tried again whose service is not offered here.
const UNSERVED: Duration = Duration::from_secs(600);

/// The place of a SOAP caller's ReplyTo: everything that its envelope needs, since the call itself is gone by then.
pub fn soap_place(service: &str, context: &CallContext, url: String) -> Place {
    let mut to = std::collections::BTreeMap::from([
        ("url".to_owned(), url),
        ("service".to_owned(), service.to_owned()),
        ("version".to_owned(), context.version.to_string()),
        ("operation".to_owned(), context.operation.to_string()),
    ]);
    if let Some(message) = &context.message_id {
        to.insert("message_id".to_owned(), message.to_string());
    }
    Place { returner: SOAP.into(), to }
}

/// Sends results as envelopes of the service that was called.
pub struct SoapReplies {
    services: HashMap<Box<str>, Arc<dyn Service>>,
    poster: Poster,
    secret: Option<String>,
}

impl SoapReplies {
    /// Replies of these services, signed where there is a secret.
    pub fn new(
        services: HashMap<Box<str>, Arc<dyn Service>>,
        poster: Poster,
        secret: Option<String>,
    ) -> Self {
        Self { services, poster, secret }
    }

    async fn send(&self, parcel: &Parcel) -> Result<(), Fault> {
        let part = |name: &str| parcel.place.to.get(name).map(String::as_str);
        let incomplete = || Fault::new(FaultCode::Undeliverable, "the address of a reply is not complete");
        let (url, service) = (part("url").ok_or_else(incomplete)?, part("service").ok_or_else(incomplete)?);
        let service = self.services.get(service).ok_or_else(|| {
            Fault::new(FaultCode::Undeliverable, "the service of this reply is not offered here")
                .recovery(Recovery::RetryAfter(UNSERVED))
        })?;
        let context = CallContext {
            version: part("version").unwrap_or_default().into(),
            operation: part("operation").unwrap_or_default().into(),
            message_id: part("message_id").map(Into::into),
            reply_to: Some(url.into()),
        };
        let job = &parcel.job;
        let reply = match (&job.state, parcel.purpose) {
            (JobState::Answered { reply } | JobState::Returned { reply }, Purpose::Result) => {
                service.reply(&context, reply, job.id)
            }
            (JobState::Dead { cause, .. }, Purpose::Result) => {
                service.fault(&context, &fault_of(cause).about(job.id))
            }
            _ => return Err(Fault::new(FaultCode::Internal, "there is nothing to reply")),
        };
        let id = parcel.message_id();
        let letter = Letter {
            url,
            id: &id,
            content_type: &reply.content_type,
            body: reply.body,
            headers: vec![("soapaction", "\"\"".into()), ("vestibule-ticket", job.id.to_string())],
            secret: self.secret.as_deref(),
        };
        self.poster.post(letter).await
    }
}

impl Returner for SoapReplies {
    fn name(&self) -> &str {
        SOAP
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(parcels.len());
            for some in parcels.chunks(AT_ONCE) {
                results.extend(join_all(some.iter().map(|it| self.send(it))).await);
            }
            results
        })
    }
}

/// The fault that a dead job's cause was written from.
fn fault_of(cause: &str) -> Fault {
    let code = FaultCode::leading(cause);
    let message = code.and_then(|it| cause.strip_prefix(it.code())).unwrap_or(cause);
    let message = message.trim_start_matches(':').trim();
    Fault::new(
        code.unwrap_or(FaultCode::Internal),
        if message.is_empty() { "the job was given up" } else { message },
    )
}

/// Calls an address with each alert, once: the log has it in any case.
pub fn alarm(poster: Poster, url: String, secret: Option<String>) -> Alarm {
    Arc::new(move |alert: Alert| {
        let (poster, url, secret) = (poster.clone(), url.clone(), secret.clone());
        Box::pin(async move {
            let body = json!({
                "type": if alert.is_passed { "threshold.passed" } else { "threshold.over" },
                "flow": &*alert.flow,
                "measure": alert.measure.word(),
                "value": alert.value,
                "limit": alert.limit,
                "at": jiff::Timestamp::now().to_string(),
            });
            let id = uuid::Uuid::now_v7().to_string();
            let letter = Letter {
                url: &url,
                id: &id,
                content_type: "application/json",
                body: Bytes::from(body.to_string()),
                headers: Vec::new(),
                secret: secret.as_deref(),
            };
            if let Err(fault) = poster.post(letter).await {
                tracing::warn!(flow = %alert.flow, %fault, "nobody took an alert");
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_jobs_cause_is_its_fault_again() {
        for (cause, code, message) in [
            ("V009: no answer", FaultCode::Model, "no answer"),
            ("V015", FaultCode::Cancelled, "the job was given up"),
            ("V015: cancelled by anna", FaultCode::Cancelled, "cancelled by anna"),
            ("who knows", FaultCode::Internal, "who knows"),
            ("", FaultCode::Internal, "the job was given up"),
        ] {
            let fault = fault_of(cause);
            assert_eq!((fault.code, fault.message.as_str()), (code, message), "input: {cause:?}");
        }
    }

    #[test]
    fn an_address_keeps_what_its_envelope_needs() {
        let context = CallContext {
            version: "1.2".into(),
            operation: "Submit".into(),
            message_id: Some("urn:uuid:7".into()),
            reply_to: None,
        };
        let place = soap_place("Desk", &context, "https://erp.acme.example/in".into());
        assert_eq!(&*place.returner, "soap");
        let expected = [
            ("message_id", "urn:uuid:7"),
            ("operation", "Submit"),
            ("service", "Desk"),
            ("url", "https://erp.acme.example/in"),
            ("version", "1.2"),
        ];
        let found: Vec<_> = place.to.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
    }
}
