//! One post of something to a URL: by a deadline, signed, without following redirects.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    Client, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use tokio::time::timeout;
use vestibule_core::{
    document::IdempotencyKey,
    fault::{Fault, FaultCode, Recovery},
};

use crate::signature::{self, Secret};

/// A receiver that does not take the connection by then is down.
const CONNECT: Duration = Duration::from_secs(5);
/// A post and its answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// Idle connections are dropped before most servers drop them.
const IDLE: Duration = Duration::from_secs(50);
/// Longest wait that a receiver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What is read of an answer, so that its connection can be used again; nobody looks at it.
const LONGEST_ANSWER: usize = 64 << 10;

/// Longest address.
const LONGEST_URL: usize = 2048;

/// What is posted.
#[derive(Debug)]
pub struct Post<'p> {
    /// Where to: HTTP or HTTPS, without credentials.
    pub url: &'p str,
    /// The stable name of what is posted, the same each time it is sent: `webhook-id` and `Idempotency-Key`.
    pub id: &'p str,
    /// The body's media type with its parameters.
    pub content_type: &'p str,
    /// The body.
    pub body: Bytes,
    /// Headers besides those of Standard Webhooks; what can not stand in a header is left out of its value.
    pub headers: Vec<(&'static str, String)>,
    /// What it is signed with, as Standard Webhooks do.
    pub secret: Option<&'p Secret>,
}

/// Why something was not taken. Never names the address: it may be an internal one.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The client itself can not be made.
    #[error("the HTTP client can not be made")]
    Client(#[source] reqwest::Error),
    /// The address is none that can be posted to.
    #[error("the address can not be posted to")]
    Address,
    /// The connection failed before there was an answer.
    #[error("the connection to the receiver failed")]
    Connection(#[source] reqwest::Error),
    /// The time is over.
    #[error("the receiver did not answer in time")]
    Late,
    /// The receiver said no.
    #[error("the receiver said {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What may be done, as status and headers say.
        recovery: Recovery,
    },
}

impl PostError {
    /// What may be done about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Client(_) | Self::Address => Recovery::GiveUp,
            // A certificate is renewed some day, and a name comes back: what is durable can wait.
            Self::Connection(_) | Self::Late => Recovery::Retry,
            Self::Status { recovery, .. } => *recovery,
        }
    }
}

impl From<PostError> for Fault {
    fn from(error: PostError) -> Self {
        Self::new(FaultCode::Undeliverable, error.to_string()).recovery(error.recovery()).because(error)
    }
}

/// What posts. Holds the connections of the process; cheap to share.
#[derive(Debug)]
pub struct Poster {
    secure: Mutex<Option<Client>>,
    plain: Mutex<Option<Client>>,
    deadline: Duration,
}

impl Default for Poster {
    fn default() -> Self {
        Self::new()
    }
}

impl Poster {
    /// One that gives each post 15 seconds. Nothing is connected, and no certificate read, before the first post.
    pub fn new() -> Self {
        Self::with_deadline(DEADLINE)
    }

    /// One that gives each post this long.
    pub fn with_deadline(deadline: Duration) -> Self {
        Self { secure: Mutex::default(), plain: Mutex::default(), deadline }
    }

    /// Posts once. `Ok`: the receiver answered 2xx.
    pub async fn post(&self, post: Post<'_>) -> Result<(), PostError> {
        let url = target(post.url).ok_or(PostError::Address)?;
        let headers = headers(&post, Timestamp::now());
        let request = self.client(&url)?.post(url).headers(headers).body(post.body);
        let exchange = async {
            let mut response = request.send().await.map_err(connection)?;
            let status = response.status();
            drain(&mut response).await;
            if status.is_success() {
                return Ok(());
            }
            let recovery = classify(status.as_u16(), || retry_after(response.headers(), Timestamp::now()));
            Err(PostError::Status { status: status.as_u16(), recovery })
        };
        timeout(self.deadline, exchange).await.unwrap_or(Err(PostError::Late))
    }

    /// One client that speaks TLS, and one that does not and so needs no certificates.
    fn client(&self, url: &Url) -> Result<Client, PostError> {
        let is_secure = url.scheme() == "https";
        let place = if is_secure { &self.secure } else { &self.plain };
        let mut made = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*made {
            return Ok(client.clone());
        }
        let client = build(is_secure)?;
        *made = Some(client.clone());
        Ok(client)
    }
}

/// A URL that can be posted to: HTTP, with a host, without credentials.
pub(super) fn target(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= LONGEST_URL)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

fn build(is_secure: bool) -> Result<Client, PostError> {
    // The provider is chosen once for the process; whoever was first has chosen the same or a better one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _: Result<(), Arc<rustls::crypto::CryptoProvider>> =
            rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder()
        .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry a result to a server that nobody named, past the operator's list.
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true);
    let builder = if is_secure { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| PostError::Client(error.without_url()))
}

/// The headers of Standard Webhooks, and the post's own. A retry of the same post has the same identifier and a time
/// stamp of its own.
fn headers(post: &Post<'_>, now: Timestamp) -> HeaderMap {
    let mut all = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| drop(all.insert(name, visible(value)));
    for (name, value) in &post.headers {
        if let Ok(name) = HeaderName::try_from(*name) {
            set(name, value);
        }
    }
    let timestamp = now.as_second().to_string();
    // What is signed is joined by dots, so the identifier can have none; it is the same each time in any case.
    let id = name_of(post.id, |it| it.is_ascii_graphic() && it != '.');
    set(CONTENT_TYPE, post.content_type);
    set(HeaderName::from_static("idempotency-key"), &name_of(post.id, |it| it.is_ascii_graphic()));
    set(HeaderName::from_static("webhook-id"), &id);
    set(HeaderName::from_static("webhook-timestamp"), &timestamp);
    if let Some(secret) = post.secret {
        let signature = signature::standard(secret, &id, &timestamp, &post.body);
        set(HeaderName::from_static("webhook-signature"), &signature);
    }
    all
}

/// The text as a header can carry it, or its hash.
fn name_of(text: &str, fits: impl Fn(char) -> bool) -> String {
    let is_plain = !text.is_empty() && text.len() <= IdempotencyKey::LONGEST && text.chars().all(fits);
    if is_plain { text.to_owned() } else { IdempotencyKey::hashed(text).as_str().to_owned() }
}

/// Visible ASCII, what else there is as `?`.
fn visible(value: &str) -> HeaderValue {
    const LONGEST: usize = 1024;
    let clean = |it: char| if it.is_ascii_graphic() || it == ' ' { it } else { '?' };
    let clean: String = value.chars().take(LONGEST).map(clean).collect();
    HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static(""))
}

/// Reads what is left of a short answer. A long or broken one costs its connection alone.
async fn drain(response: &mut Response) {
    let mut read = 0;
    while let Ok(Some(part)) = response.chunk().await {
        read += part.len();
        if read > LONGEST_ANSWER {
            break;
        }
    }
}

fn classify(status: u16, retry_after: impl Fn() -> Option<Duration>) -> Recovery {
    match status {
        408 | 425 | 429 | 500..=599 => {
            retry_after().map_or(Recovery::Retry, |it| Recovery::RetryAfter(it.min(LONGEST_WAIT)))
        }
        _ => Recovery::GiveUp,
    }
}

/// Seconds, or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
        // A number that is too long to be read is longer than any wait.
        return Some(text.parse().map_or(LONGEST_WAIT, Duration::from_secs));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    // A date that has passed means: now.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// Reads hostile headers as they are read of a receiver's answer: for fuzzing.
#[doc(hidden)]
pub fn probe(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers, now)
}

/// The address is left out: it may name an internal host.
fn connection(error: reqwest::Error) -> PostError {
    if error.is_timeout() { PostError::Late } else { PostError::Connection(error.without_url()) }
}

#[cfg(test)]
#[path = "poster_tests.rs"]
mod tests;
