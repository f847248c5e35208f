//! What may stand in a `*.map.yaml`. The doc comments of these types are what editors show.
//!
//! Keys that must be there are `Option`s marked `required`: the schema asks for them, and a file without one can still
//! be checked to its end.

mod channel;
mod databases;
mod handling;

use std::num::NonZeroU16;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use self::{
    channel::{
        AmqpDeliver, AmqpReceive, Channels, Deliver, DeliverTo, QueueType, Receive, ReplyWord,
        SignatureAlgorithm, SignatureEncoding, SoapChannel, WebhookDeliver, WebhookReceive, WebhookStyle,
    },
    databases::{
        Backlog, DatabaseDeliver, InitialSnapshot, Lookup, OnConflict, PostgresCapture, PostgresReceive,
        SqlServerCapture, SqlServerReceive, Unchanged, WriteMode,
    },
    handling::{Durability, Lapse, LateWord, Pending, Review, Tickets},
};

use super::{
    plan::Mask,
    shape::{OneOrMany, Word},
};
use crate::{finding::Outcome, interpret::Kind};

/// Fields by their clean name.
pub type Fields = IndexMap<String, Entry>;

/// One flow: what arrives, how each clean value is found in it, what must hold before a model may see it, what is
/// asked, and how the answer goes back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct MappingFile {
    /// Name of this mapping, e.g. claim-triage
    #[schemars(required)]
    pub mapping: Option<String>,
    /// Raise it when the meaning of a field changes
    pub version: Option<u32>,
    /// Who to ask, e.g. claims-integration@acme.example
    pub owner: Option<String>,
    /// Where documents arrive; several channels may stand here
    pub receive: Option<Channels>,
    /// What a document is
    #[schemars(required)]
    pub source: Option<Source>,
    /// The clean record: left is the clean name, `from` says where it is found
    #[schemars(required)]
    pub record: Option<Fields>,
    /// Code tables. Clean word: legacy code(s); the first one is written back
    pub codes: Option<IndexMap<String, Codes>>,
    /// Reference data for rules such as `policy_no in policies`, by its name
    pub lookups: Option<IndexMap<String, Lookup>>,
    /// The rule on the left must hold, else the outcome on the right
    pub checks: Option<IndexMap<String, Check>>,
    /// What is asked, and what a good answer is
    pub ask: Option<Ask>,
    /// How the answer goes back: left is the legacy place, right the clean name
    #[serde(rename = "return")]
    pub back: Option<Back>,
    /// What a caller gets who gets a ticket, in its own form
    pub pending: Option<Pending>,
    /// Where results go: `reply`, to the caller (when left out), or a channel
    pub deliver: Option<Deliver>,
    /// Field(s) that make the idempotency key: the same key gives the same stored result
    pub key: Option<OneOrMany>,
    /// Whether an accepted document survives a crash: `full` (when left out) or `none`
    pub durability: Option<Durability>,
    /// When a caller gets a ticket instead of a result: yes (always), no (never), late (when the deadline passes);
    /// when the caller asks for one, when left out
    #[serde(rename = "async")]
    pub tickets: Option<Tickets>,
    /// Field(s) that order documents: those with the same values are worked on one after the other
    pub order: Option<OneOrMany>,
    /// Most documents of this flow that are worked on at once in one process
    pub concurrency: Option<NonZeroU16>,
    /// Longest time from acceptance to the start of the work where nobody waits: 1h; 24h when left out
    pub patience: Option<String>,
    /// How a person decides what the checks or `accept` left to one; what needs a person is answered as `review` when
    /// left out
    pub review: Option<Review>,
}

/// The technology of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// XML, with or without a SOAP envelope
    Xml,
    /// JSON
    Json,
    /// A change of a row of a database
    Cdc,
}

impl SourceKind {
    /// The word in the mapping.
    pub fn word(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Json => "json",
            Self::Cdc => "cdc",
        }
    }
}

/// What a document is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Source {
    /// What sort of document this is
    #[schemars(required)]
    pub kind: Option<SourceKind>,
    /// WSDL or XSD; every address is checked against it
    pub contract: Option<String>,
    /// Character set when neither transport nor document says one, e.g. windows-1252
    pub encoding: Option<String>,
    /// Time zone of times without an offset, e.g. Europe/Madrid; UTC when left out
    pub timezone: Option<String>,
    /// Prefixes used in addresses and their URIs; a name without a prefix matches in any namespace
    pub namespaces: Option<IndexMap<String, String>>,
    /// One record for each match of this address
    pub each: Option<String>,
    /// Only records for which this rule holds
    pub only: Option<String>,
    /// Fields of the record that closes the document, for control totals
    pub trailer: Option<Fields>,
}

/// A field: only its address, or all that is known about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Entry {
    /// Only the address
    Short(String),
    /// All that is known about it
    Full(Box<Field>),
}

/// One field of the record.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where the value is: an address, or several (the first that is not empty counts)
    pub from: Option<OneOrMany>,
    /// A fixed value
    pub value: Option<Word>,
    /// A rule over fields that stand before it, e.g. net + vat
    pub compute: Option<String>,
    /// Repeat `record` for each match of this address
    pub each: Option<String>,
    /// The fields of one repeated item
    pub record: Option<Fields>,
    /// What it is; text when left out
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// How the legacy side spells it: yyyyMMdd, yyMMdd, cyyMMdd, yyDDD, excel, Y/N, 1.234,56
    pub format: Option<Word>,
    /// The first two-digit year that belongs to 19xx, e.g. 30
    pub pivot: Option<u8>,
    /// Legacy spellings of nothing, e.g. 00000000
    pub empty: Option<OneOrMany>,
    /// A code table: a name under `codes`, or a CSV file with the columns legacy and clean
    pub codes: Option<String>,
    /// yes (a missing value is rejected), or the outcome: note, review, reject
    pub required: Option<Required>,
    /// The clean value used when the source has nothing
    pub default: Option<Word>,
    /// Number of characters, of a list its items: 12, 1..40, ..4000
    pub length: Option<Word>,
    /// Least and greatest value: 0..5000000
    pub range: Option<Word>,
    /// Regular expression that the whole value must match
    pub pattern: Option<String>,
    /// The only clean values allowed
    pub one_of: Option<Vec<Word>>,
    /// Oldest acceptable value at receipt: 48h, 30d
    pub max_age: Option<String>,
    /// Least confidence of the extraction, 0..1. Only for sources that are read with doubt, such as PDF
    pub confidence: Option<Word>,
    /// No other record (in a list: no other item) has this value
    pub unique: Option<bool>,
    /// Least share of records that have this value, 0..1
    pub complete: Option<Word>,
    /// How this field is hidden from remote models
    pub mask: Option<Mask>,
    /// ISO 4217 code of a money field, e.g. EUR
    pub currency: Option<String>,
    /// What a failed check of this field leads to; review when left out
    #[serde(rename = "else")]
    pub otherwise: Option<Otherwise>,
    /// Parts that a document must have. Only for PDF sources
    pub sections: Option<Value>,
    /// What it means, for people
    pub about: Option<String>,
    /// What it means, for people. The same as `about`
    pub description: Option<String>,
}

/// One field of the answer.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerField {
    /// What it is; text when left out
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// The only values allowed
    pub one_of: Option<Vec<Word>>,
    /// A code table whose clean words are the only values allowed
    pub codes: Option<String>,
    /// yes: an answer without it is no answer
    pub required: Option<Required>,
    /// Number of characters, of a list its items: 1..300
    pub length: Option<Word>,
    /// Least and greatest value: 0..1
    pub range: Option<Word>,
    /// Regular expression that the whole value must match
    pub pattern: Option<String>,
    /// Least value of this number, 0..1; below it, or without it, `else` says what happens
    pub confidence: Option<Word>,
    /// ISO 4217 code of a money field, e.g. EUR
    pub currency: Option<String>,
    /// What one item of a list is, in a word; goes with `record`
    pub each: Option<String>,
    /// The fields of one item: the answer is a list of these
    pub record: Option<IndexMap<String, AnswerField>>,
    /// What too little `confidence` leads to; review when left out
    #[serde(rename = "else")]
    pub otherwise: Option<Otherwise>,
    /// What it means; the model reads it
    pub about: Option<String>,
    /// What it means; the model reads it. The same as `about`
    pub description: Option<String>,
}

/// When a value must be there.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Required {
    /// yes: rejected without it
    Flag(bool),
    /// The outcome without it
    Outcome(Otherwise),
}

impl Required {
    /// The outcome without the value; `None` when it may be absent.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Flag(is_required) => is_required.then_some(Outcome::Reject),
            Self::Outcome(otherwise) => Some(otherwise.into()),
        }
    }
}

/// What a failed check leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// It is recorded and the work goes on
    Note,
    /// A person decides
    Review,
    /// Refused; nothing reaches a model
    Reject,
}

impl From<Otherwise> for Outcome {
    fn from(otherwise: Otherwise) -> Self {
        match otherwise {
            Otherwise::Note => Self::Note,
            Otherwise::Review => Self::Review,
            Otherwise::Reject => Self::Reject,
        }
    }
}

/// What happens to text that is too long for its legacy place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It is refused
    Reject,
    /// It is cut
    Cut,
}

/// A code table: in a CSV file with the columns legacy and clean, or in place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Codes {
    /// A CSV file with the columns legacy and clean
    File(String),
    /// Clean word: legacy code(s); the first one is written back
    Table(IndexMap<String, OneOrMany>),
}

/// What happens when a rule does not hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Check {
    /// The outcome when the rule does not hold
    #[serde(rename = "else")]
    #[schemars(required)]
    pub otherwise: Option<Otherwise>,
    /// For people: what is wrong then
    pub say: Option<String>,
}

/// What is asked, and what a good answer is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Ask {
    /// Name of a route in vestibule.yaml; models, keys and limits live there
    #[schemars(required)]
    pub route: Option<String>,
    /// Prompt template (MiniJinja), beside the mapping
    pub prompt: Option<String>,
    /// Fields that may be sent; all of the record when left out
    pub send: Option<Vec<Word>>,
    /// The fields of a good answer: the schema given to the model, checked again when it answers
    #[schemars(required)]
    pub answer: Option<IndexMap<String, AnswerField>>,
    /// A rule that an answer must meet, else a person decides
    pub accept: Option<String>,
    /// Longest wait: 8s, 500ms; 30s when left out
    pub deadline: Option<String>,
    /// Tried in order when no answer comes in time
    pub fallback: Option<Vec<Fallback>>,
}

/// What answers when no model does: one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The last good answer to the same input, not older than this: 24h
    pub cached: Option<String>,
    /// A decision table beside the mapping: triage.rules.yaml
    pub rules: Option<String>,
    /// A fixed answer
    pub answer: Option<IndexMap<String, Value>>,
}

/// How the answer goes back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Back {
    /// Name of the reply's root element
    pub into: Option<String>,
    /// WSDL or XSD of the reply, where it is not the source's
    pub contract: Option<String>,
    /// Which rejections are protocol faults: incomplete, reject (all) or never
    pub faults: Option<Faults>,
    /// Left is the legacy place, right is where the value comes from
    #[schemars(required)]
    pub write: Option<IndexMap<String, WriteEntry>>,
}

/// Which rejections are faults of the protocol instead of replies in this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Faults {
    /// Those with something missing or unreadable
    Incomplete,
    /// All
    Reject,
    /// None
    Never,
}

/// A written value: only its clean name, or all that is known about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WriteEntry {
    /// Only the clean name
    Short(String),
    /// All that is known about it
    Full(Box<WriteField>),
}

/// One legacy place that is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteField {
    /// A clean name of the record or answer, or outcome, findings, ticket, flow.name, flow.version, model.name, cost
    pub from: Option<String>,
    /// A fixed legacy text
    pub value: Option<Word>,
    /// A rule, e.g. reserve * 1.1
    pub compute: Option<String>,
    /// Repeat `write` for each item of this list
    pub each: Option<String>,
    /// What is written for one item
    pub write: Option<IndexMap<String, WriteEntry>>,
    /// What it is; the type of the clean value when left out
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// How the legacy side spells it
    pub format: Option<Word>,
    /// The first two-digit year that belongs to 19xx
    pub pivot: Option<u8>,
    /// A code table: a name under `codes`, or a CSV file with the columns legacy and clean
    pub codes: Option<String>,
    /// Most characters that fit: ..255
    pub length: Option<Word>,
    /// What happens to text that is too long: reject (when left out) or cut
    pub overflow: Option<Overflow>,
    /// Legacy text written when there is no value
    pub default: Option<Word>,
}
