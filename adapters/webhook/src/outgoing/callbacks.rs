//! The returner `callback`: results posted to the URL of a place.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{Job, JobState, Purpose, ReplyBody},
    ports::{Parcel, Returner},
};

use super::poster::{Post, Poster};
use crate::signature::Secret;

/// What [`vestibule_core::job::Place::returner`] names it by.
pub(super) const NAME: &str = "callback";
/// Most posts at once.
const MOST_AT_ONCE: usize = 16;

/// Secrets by their environment name.
type Secrets = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Posts results as Standard Webhooks: `url` of the place, signed with what the environment variable `secret` of the
/// place holds, or else the one given here. Nothing is posted unsigned.
pub struct Callbacks {
    poster: Arc<Poster>,
    secrets: Secrets,
    usual: Option<String>,
}

impl Callbacks {
    /// `usual` is the name of the environment variable with the secret of places that name none.
    pub fn new(poster: Arc<Poster>, secrets: Secrets, usual: Option<String>) -> Self {
        Self { poster, secrets, usual }
    }

    async fn send(&self, parcel: &Parcel) -> Result<(), Fault> {
        let url = parcel.place.to.get("url").ok_or_else(|| undeliverable("the place has no `url`"))?;
        let secret = self.secret(parcel)?;
        let Letter { outcome, content_type, body, cause } = letter(&parcel.job, parcel.purpose)?;
        let mut headers = vec![
            ("vestibule-ticket", parcel.job.id.to_string()),
            ("vestibule-flow", parcel.job.flow.to_string()),
            ("vestibule-outcome", outcome.to_owned()),
        ];
        headers.extend(cause.map(|it| ("vestibule-cause", it)));
        let id = parcel.message_id();
        let post = Post { url, id: &id, content_type: &content_type, body, headers, secret: Some(&secret) };
        self.poster.post(post).await.map_err(Fault::from)
    }

    fn secret(&self, parcel: &Parcel) -> Result<Secret, Fault> {
        let name = parcel.place.to.get("secret").or(self.usual.as_ref());
        let name = name.ok_or_else(|| undeliverable("there is no secret to sign with"))?;
        let text = (self.secrets)(name);
        text.as_deref().and_then(Secret::standard).ok_or_else(|| {
            undeliverable("the secret to sign with is not in the environment, or is not Base64")
        })
    }
}

fn undeliverable(message: &str) -> Fault {
    Fault::new(FaultCode::Undeliverable, message)
}

/// What is posted of a job.
struct Letter {
    outcome: &'static str,
    content_type: String,
    body: Bytes,
    /// Why it is a dead letter.
    cause: Option<String>,
}

fn letter(job: &Job, purpose: Purpose) -> Result<Letter, Fault> {
    let (outcome, cause, findings) = match &job.state {
        JobState::Answered { reply } | JobState::Returned { reply } => {
            if let (Purpose::Result, ReplyBody::Written { media_type, bytes }) = (purpose, &reply.body) {
                let (outcome, content_type) = (reply.outcome.word(), media_type.to_string());
                return Ok(Letter { outcome, content_type, body: bytes.clone(), cause: None });
            }
            (reply.outcome.word(), "V005: the record was refused", &reply.findings)
        }
        JobState::Dead { cause, findings } => ("dead", cause.as_str(), findings),
        JobState::Queued { .. } | JobState::Leased { .. } | JobState::InReview { .. } => {
            return Err(Fault::new(FaultCode::Internal, "a job that is not finished was to be handed back"));
        }
    };
    if purpose == Purpose::DeadLetter {
        let charset = job.document.charset.as_ref().map(|it| format!("; charset={it}")).unwrap_or_default();
        let content_type = format!("{}{charset}", job.document.media_type);
        let body = job.document.bytes.clone();
        return Ok(Letter { outcome, content_type, body, cause: Some(cause.to_owned()) });
    }
    let body = json!({
        "ticket": job.id.to_string(),
        "flow": &*job.flow,
        "outcome": outcome,
        "cause": cause,
        "findings": findings,
    });
    let (content_type, body) = ("application/json".to_owned(), Bytes::from(body.to_string()));
    Ok(Letter { outcome, content_type, body, cause: None })
}

impl Returner for Callbacks {
    fn name(&self) -> &str {
        NAME
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(parcels.len());
            for some in parcels.chunks(MOST_AT_ONCE) {
                results.extend(join_all(some.iter().map(|it| self.send(it))).await);
            }
            results
        })
    }
}

#[cfg(test)]
#[path = "callbacks_tests.rs"]
mod tests;
