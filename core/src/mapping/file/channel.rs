//! Where documents arrive and where results go: the blocks of `receive` and `deliver`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::databases::{DatabaseDeliver, PostgresReceive, SqlServerReceive};
use crate::mapping::shape::OneOrMany;

/// Where documents arrive: one block of channels, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Channels {
    /// Each channel once
    One(Box<Receive>),
    /// Several, also of one kind
    Many(Vec<Receive>),
}

/// Channels by their word.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// An operation of a SOAP service, at /soap/SERVICE
    pub soap: Option<SoapChannel>,
    /// A queue of a message broker (AMQP 0-9-1, RabbitMQ)
    pub amqp: Option<AmqpReceive>,
    /// Rows of a PostgreSQL table: its changes, or all that is there
    pub postgres: Option<PostgresReceive>,
    /// Rows of a SQL Server table: its changes, or all that is there
    pub sqlserver: Option<SqlServerReceive>,
    /// A folder of files. Not yet in this version
    pub folder: Option<Value>,
    /// A path that others post signed events to
    pub webhook: Option<WebhookReceive>,
    /// A time table. Not yet in this version
    pub schedule: Option<Value>,
}

/// An operation of a SOAP service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct SoapChannel {
    /// Name of the service, e.g. ClaimService
    #[schemars(required)]
    pub service: Option<String>,
    /// Name of the operation, e.g. SubmitClaim
    #[schemars(required)]
    pub operation: Option<String>,
}

/// A queue that documents are taken from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct AmqpReceive {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// Name of the queue, e.g. claims.in
    #[schemars(required)]
    pub queue: Option<String>,
    /// Most messages that are under way at once; 200 when left out
    pub prefetch: Option<std::num::NonZeroU16>,
    /// yes: queues and bindings are made where they are not there; no (when left out): they must be there
    pub declare: Option<bool>,
    /// What kind of queue is declared: quorum (when left out) or classic
    pub queue_type: Option<QueueType>,
    /// How often a message is delivered again before it goes to the dead letters; 3 when left out
    pub redeliveries: Option<u16>,
    /// Delays before another try, from the shortest to the longest: [5s, 1m, 10m]
    pub retry: Option<OneOrMany>,
    /// Queue (or routing key) of the dead letters, e.g. claims.dead
    pub dead_letter: Option<String>,
    /// Exchange of the dead letters; the default exchange when left out
    pub dead_letter_exchange: Option<String>,
    /// Exchange that the declared queue is bound to. Only with `declare: yes`
    pub exchange: Option<String>,
    /// Routing key of that binding
    pub routing_key: Option<String>,
    /// Media type of messages that name none, e.g. text/xml
    pub content_type: Option<String>,
}

/// Kinds of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Kept on several brokers, with a limit of deliveries
    Quorum,
    /// Kept on one broker
    Classic,
}

/// A path that others post events to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct WebhookReceive {
    /// The path, e.g. /hooks/claims
    #[schemars(required)]
    pub path: Option<String>,
    /// Name of the environment variable with the secret; a list while a secret is changed for another
    #[schemars(required)]
    pub secret: Option<OneOrMany>,
    /// How the sender signs: standard (Standard Webhooks; when left out), github, stripe, or hmac with keys of its own
    pub style: Option<WebhookStyle>,
    /// Header with the signature, e.g. x-signature. Only with `style: hmac`
    pub header: Option<String>,
    /// What stands before the signature in its header, e.g. sha256=. Only with `style: hmac`
    pub prefix: Option<String>,
    /// How the signature is written: hex (when left out) or base64. Only with `style: hmac`
    pub encoding: Option<SignatureEncoding>,
    /// Hash of the signature: sha256 (when left out), sha512 or sha1. Only with `style: hmac`
    pub algorithm: Option<SignatureAlgorithm>,
    /// Header with the time of sending, in seconds since 1970. Only with `style: hmac`
    pub timestamp: Option<String>,
    /// What is signed: text with {body}, {timestamp} and {id}; '{body}', after a timestamp and a point
    /// where there is one, when left out. Only with `style: hmac`
    pub signed: Option<String>,
    /// Header with the name of the delivery, by which a repeated one is known. Only with `style: hmac`
    pub id: Option<String>,
    /// How old or how far ahead a timestamp may be; 5m when left out
    pub tolerance: Option<String>,
    /// Name of the part of a multipart body that is the document
    pub part: Option<String>,
    /// Name of the form field that is the document
    pub field: Option<String>,
}

/// Ways of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookStyle {
    /// Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature
    Standard,
    /// X-Hub-Signature-256 and X-GitHub-Delivery
    Github,
    /// Stripe-Signature
    Stripe,
    /// As the other keys say
    Hmac,
}

/// Ways of writing a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Hexadecimal digits
    Hex,
    /// Base64
    Base64,
}

/// Hashes of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureAlgorithm {
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
    /// SHA-1, for senders that know nothing newer
    Sha1,
}

/// Where results go: the word `reply`, or one channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Deliver {
    /// To the caller
    Reply(ReplyWord),
    /// To a channel
    To(Box<DeliverTo>),
}

/// The word `reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplyWord {
    /// To the caller
    Reply,
}

/// One channel by its word.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverTo {
    /// A queue or an exchange of a message broker
    pub amqp: Option<AmqpDeliver>,
    /// A URL that results are posted to, signed
    pub webhook: Option<WebhookDeliver>,
    /// A table or procedure of a PostgreSQL database
    pub postgres: Option<DatabaseDeliver>,
    /// A table or procedure of a SQL Server database
    pub sqlserver: Option<DatabaseDeliver>,
}

/// Where results are published.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct AmqpDeliver {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// Name of the queue, e.g. claims.out; or write `exchange` and `routing_key`
    pub queue: Option<String>,
    /// Exchange that results are published to
    pub exchange: Option<String>,
    /// Routing key on that exchange
    pub routing_key: Option<String>,
    /// yes: the queue is made where it is not there; no (when left out): it must be there
    pub declare: Option<bool>,
    /// What kind of queue is declared: quorum (when left out) or classic
    pub queue_type: Option<QueueType>,
}

/// Where results are posted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct WebhookDeliver {
    /// Where to, e.g. `https://claims.example/results`
    #[schemars(required)]
    pub url: Option<String>,
    /// Name of the environment variable with the secret that signs
    #[schemars(required)]
    pub secret: Option<String>,
}
