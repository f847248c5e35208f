//! How a sender proves who it is: the four styles, and what each takes as the name of a delivery.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use vestibule_core::{
    document::{Hash, IdempotencyKey},
    fault::{Fault, FaultCode},
    ports::HookRequest,
};

use super::header;
use crate::signature::{Algorithm, Secret, from_base64, from_hex};

/// Most signatures of one request that are looked at.
const MOST_SIGNATURES: usize = 16;
/// Longest text of a time stamp.
const LONGEST_TIMESTAMP: usize = 40;

/// A way of signing.
#[derive(Debug)]
pub(crate) enum Style {
    /// Standard Webhooks: identifier, time stamp and body, in headers `webhook-*` or `svix-*`.
    Standard,
    /// GitHub: the body alone.
    GitHub,
    /// Stripe: time stamp and body; the identifier is the event's.
    Stripe,
    /// As the mapping says.
    Hmac(Box<Custom>),
}

/// A way of signing that the mapping describes.
#[derive(Debug)]
pub(crate) struct Custom {
    pub(crate) algorithm: Algorithm,
    /// The header with the signature.
    pub(crate) header: String,
    /// What stands before the signature in it.
    pub(crate) prefix: String,
    pub(crate) encoding: Encoding,
    /// The header with the time stamp.
    pub(crate) timestamp: Option<String>,
    /// The header with the delivery's name.
    pub(crate) id: Option<String>,
    pub(crate) signed: Template,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Hex,
    Base64,
}

/// What is signed.
#[derive(Debug, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq)]
enum Piece {
    Text(Box<str>),
    Id,
    Timestamp,
    Body,
}

impl Template {
    /// Reads `{timestamp}.{body}`. `Err`: what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` without its `}`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(match name {
                "id" => Piece::Id,
                "timestamp" => Piece::Timestamp,
                "body" => Piece::Body,
                _ => return Err("there are `{id}`, `{timestamp}` and `{body}`"),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        if pieces.iter().filter(|it| **it == Piece::Body).count() != 1 {
            return Err("it needs `{body}`, once");
        }
        // Two that stand together could be cut elsewhere and still be the same text.
        let adjacent = |pair: &[Piece]| !pair.iter().any(|it| matches!(it, Piece::Text(_)));
        if pieces.windows(2).any(adjacent) {
            return Err("something must stand between two of them, such as `.`");
        }
        Ok(Self(pieces))
    }

    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&Piece::Timestamp)
    }

    pub(crate) fn has_id(&self) -> bool {
        self.0.contains(&Piece::Id)
    }

    fn filled<'p>(&'p self, id: &'p str, timestamp: &'p str, body: &'p [u8]) -> Vec<&'p [u8]> {
        let fill = |piece: &'p Piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Id => id.as_bytes(),
            Piece::Timestamp => timestamp.as_bytes(),
            Piece::Body => body,
        };
        self.0.iter().map(fill).collect()
    }
}

/// Why a sender is not believed. For the log; the sender hears none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    /// A header is not there, or holds no text.
    #[error("a header of the signature is missing")]
    Missing,
    /// A header is there and can not be read.
    #[error("a header of the signature can not be read")]
    Unreadable,
    /// No signature fits any secret.
    #[error("no signature is of one of the secrets")]
    Forged,
    /// The time stamp is too old.
    #[error("the time stamp is too old")]
    Old,
    /// The time stamp is too far ahead.
    #[error("the time stamp is in the future")]
    Future,
}

impl From<Disbelief> for Fault {
    fn from(why: Disbelief) -> Self {
        Self::new(FaultCode::Unauthorized, "the signature is missing or wrong").because(why)
    }
}

impl Style {
    /// The headers that prove: no mapping may read them.
    pub(crate) fn proofs(&self) -> Vec<&str> {
        match self {
            Self::Standard => vec!["webhook-signature", "svix-signature"],
            Self::GitHub => vec!["x-hub-signature-256", "x-hub-signature"],
            Self::Stripe => vec!["stripe-signature"],
            Self::Hmac(custom) => vec![&custom.header],
        }
    }

    /// Proves who sent a request, and names the delivery.
    pub(crate) fn prove(
        &self,
        request: &HookRequest<'_>,
        secrets: &[Secret],
        tolerance: Duration,
    ) -> Result<IdempotencyKey, Fault> {
        match self {
            Self::Standard => standard(request, secrets, tolerance),
            Self::GitHub => github(request, secrets),
            Self::Stripe => stripe(request, secrets, tolerance),
            Self::Hmac(custom) => custom.prove(request, secrets, tolerance),
        }
    }
}

fn required<'r>(request: &'r HookRequest<'_>, name: &str) -> Result<&'r str, Disbelief> {
    request.header(name).map(str::trim).filter(|it| !it.is_empty()).ok_or(Disbelief::Missing)
}

fn believe(is_true: bool) -> Result<(), Disbelief> {
    if is_true { Ok(()) } else { Err(Disbelief::Forged) }
}

/// The time stamp lies within the window, before and after now.
fn timely(at: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), Disbelief> {
    let apart = now.duration_since(at);
    match apart.unsigned_abs() <= tolerance {
        true => Ok(()),
        false if apart.is_negative() => Err(Disbelief::Future),
        false => Err(Disbelief::Old),
    }
}

/// Seconds since 1970.
fn seconds(text: &str) -> Result<Timestamp, Disbelief> {
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|it| it.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten().ok_or(Disbelief::Unreadable)?;
    Timestamp::from_second(number).map_err(|_| Disbelief::Unreadable)
}

/// Seconds or milliseconds since 1970, or RFC 3339.
fn moment(text: &str) -> Result<Timestamp, Disbelief> {
    if text.len() > LONGEST_TIMESTAMP {
        return Err(Disbelief::Unreadable);
    }
    if text.len() == 13 && text.bytes().all(|it| it.is_ascii_digit()) {
        let number = text.parse().map_err(|_| Disbelief::Unreadable)?;
        return Timestamp::from_millisecond(number).map_err(|_| Disbelief::Unreadable);
    }
    seconds(text).or_else(|_| text.parse().map_err(|_| Disbelief::Unreadable))
}

fn standard(
    request: &HookRequest<'_>,
    secrets: &[Secret],
    tolerance: Duration,
) -> Result<IdempotencyKey, Fault> {
    let own = request.header("webhook-signature").is_some();
    let names = match own {
        true => ["webhook-id", "webhook-timestamp", "webhook-signature"],
        false => ["svix-id", "svix-timestamp", "svix-signature"],
    };
    let [id, timestamp, signature] = names.map(|name| required(request, name));
    let (id, timestamp) = (id?, timestamp?);
    // The three are joined by dots: an identifier with one could be read in two ways.
    if id.contains('.') {
        return Err(Disbelief::Unreadable.into());
    }
    let given = header::standard_signatures(signature?, MOST_SIGNATURES);
    timely(seconds(timestamp)?, request.received, tolerance)?;
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body];
    believe(Algorithm::Sha256.verifies(secrets, &parts, &given))?;
    Ok(IdempotencyKey::or_hash(id))
}

fn github(request: &HookRequest<'_>, secrets: &[Secret]) -> Result<IdempotencyKey, Fault> {
    let signature = required(request, "x-hub-signature-256")?;
    let given = signature.strip_prefix("sha256=").and_then(from_hex).ok_or(Disbelief::Unreadable)?;
    believe(Algorithm::Sha256.verifies(secrets, &[&request.body], &[given]))?;
    let id = request.header("x-github-delivery").map(str::trim).filter(|it| !it.is_empty());
    id.map(IdempotencyKey::or_hash).ok_or_else(|| unnamed("header `X-GitHub-Delivery`"))
}

/// The sender is who it must be, and gave the delivery no name: without one, a repeated one would be worked on twice.
fn unnamed(place: &str) -> Fault {
    Fault::new(FaultCode::NotUnderstood, format!("the delivery has no name: {place} is missing"))
}

fn stripe(
    request: &HookRequest<'_>,
    secrets: &[Secret],
    tolerance: Duration,
) -> Result<IdempotencyKey, Fault> {
    #[derive(Deserialize)]
    struct Event<'e> {
        #[serde(borrow)]
        id: Cow<'e, str>,
    }
    let header = header::stripe_signature(required(request, "stripe-signature")?, MOST_SIGNATURES);
    let (timestamp, given) = header.ok_or(Disbelief::Unreadable)?;
    timely(seconds(timestamp)?, request.received, tolerance)?;
    let parts: [&[u8]; 3] = [timestamp.as_bytes(), b".", &request.body];
    believe(Algorithm::Sha256.verifies(secrets, &parts, &given))?;
    let event: Event<'_> = serde_json::from_slice(&request.body).map_err(|_| unnamed("the event's `id`"))?;
    Some(event.id.trim())
        .filter(|it| !it.is_empty())
        .map(IdempotencyKey::or_hash)
        .ok_or_else(|| unnamed("the event's `id`"))
}

impl Custom {
    fn prove(
        &self,
        request: &HookRequest<'_>,
        secrets: &[Secret],
        tolerance: Duration,
    ) -> Result<IdempotencyKey, Fault> {
        let signature = required(request, &self.header)?;
        let text = signature.strip_prefix(&self.prefix).ok_or(Disbelief::Unreadable)?;
        let given = match self.encoding {
            Encoding::Hex => from_hex(text),
            Encoding::Base64 => from_base64(text),
        };
        let given = given.ok_or(Disbelief::Unreadable)?;
        let optional = |name: &Option<String>| match name {
            Some(name) => required(request, name).map(Some),
            None => Ok(None),
        };
        let (id, timestamp) = (optional(&self.id)?, optional(&self.timestamp)?);
        if let Some(timestamp) = timestamp {
            timely(moment(timestamp)?, request.received, tolerance)?;
        }
        let parts = self.signed.filled(id.unwrap_or_default(), timestamp.unwrap_or_default(), &request.body);
        believe(self.algorithm.verifies(secrets, &parts, std::slice::from_ref(&given)))?;
        // Without a name of its own a delivery is what was signed.
        Ok(id.map_or_else(
            || {
                let hash = Hash::of(&parts.concat());
                IdempotencyKey::or_hash(&hash.to_string())
            },
            IdempotencyKey::or_hash,
        ))
    }
}

#[cfg(test)]
#[path = "style_tests.rs"]
mod tests;
