//! A compiled mapping: what the pipeline runs. A plan that exists is valid; nothing in it is checked again.

mod columns;

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use regex::Regex;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    document::AttributeKind,
    finding::Outcome,
    interpret::Codec,
    lookup::Table,
    mapping::{
        address::{Address, Path},
        diagnostic::Span,
    },
    ports::Contract,
    rule::{Rule, Slot},
};

/// One compiled mapping.
pub struct Mapping {
    /// Its name; also the flow's.
    pub name: Arc<str>,
    /// Its version; 1 when the file says none.
    pub version: u32,
    /// Who to ask.
    pub owner: Option<String>,
    /// Path of the file, for messages.
    pub path: Arc<str>,
    /// Where documents arrive.
    pub receive: Vec<Channel>,
    /// What a document is.
    pub source: Source,
    /// The clean record.
    pub record: Arc<Shape>,
    /// Cross-field rules, in order.
    pub checks: Vec<CheckPlan>,
    /// What is asked; `None`: the record is only checked and written back.
    pub ask: Option<Ask>,
    /// How the answer goes back; `None`: the canonical JSON of record and answer.
    pub back: Option<Return>,
    /// Fields whose values make the idempotency key; empty: the transport's own key or none.
    pub key: Vec<Slot>,
    /// Whether sync calls go through the job store.
    pub durability: Durability,
    /// Longest wait of a sync caller. From `ask.deadline`, else 30 s.
    pub deadline: Duration,
    /// How its jobs are handled: order, tickets, reviews, and where results go.
    pub handling: Handling,
    /// Reference data that its rules ask for.
    pub lookups: Vec<LookupPlan>,
}

/// Reference data on a connection, for rules such as `policy_no in policies`.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupPlan {
    /// Its clean name.
    pub name: Arc<str>,
    /// The connection in `vestibule.yaml`.
    pub connection: String,
    /// The table, with or without its schema.
    pub from: String,
    /// The column of the keys.
    pub key: String,
    /// After how long it is read again.
    pub refresh: Duration,
    /// Where it stands in the file.
    pub span: Span,
    /// Its keys, for the mapping's rules; what runs the flow fills it.
    pub table: Arc<Table>,
}

impl Mapping {
    /// What the mapping reads of the headers and properties that come beside a document, each once: a source keeps these
    /// alone.
    pub fn attributes(&self) -> Vec<(AttributeKind, &str)> {
        let mut found = Vec::new();
        self.record.attributes(&mut found);
        if let Some(trailer) = &self.source.trailer {
            trailer.attributes(&mut found);
        }
        // As documents compare them: names of headers without regard to case.
        let mut seen = HashSet::new();
        found.retain(|(kind, name)| match kind {
            AttributeKind::Header => seen.insert(("header", name.to_ascii_lowercase())),
            AttributeKind::Property => seen.insert(("property", (*name).to_owned())),
        });
        found
    }
}

/// How the jobs of a flow are handled.
pub struct Handling {
    /// Where results go besides to a caller who waits; `None`: `reply`.
    pub deliver: Option<Channel>,
    /// When a caller gets a ticket instead of a result.
    pub tickets: Tickets,
    /// What is written to a caller who gets a ticket, in the caller's form; `None`: a ticket in the protocol's own form.
    pub pending: Option<Return>,
    /// Fields whose values order jobs: those with the same values are worked on one after the other. Empty: in no order.
    pub order: Vec<Slot>,
    /// Most jobs of this flow that are worked on at once in one process; `None`: as many as the process takes.
    pub concurrency: Option<std::num::NonZeroUsize>,
    /// Longest time from acceptance to the start of the work of a job that nobody waits for; work that can not start
    /// within half of it is refused at once. 24 h when the mapping says none.
    pub patience: Duration,
    /// How a person decides; `None`: what needs a person is answered as `review`, and that is the result.
    pub review: Option<ReviewPlan>,
}

impl Default for Handling {
    fn default() -> Self {
        Self {
            deliver: None,
            tickets: Tickets::default(),
            pending: None,
            order: Vec::new(),
            concurrency: None,
            patience: Duration::from_secs(24 * 3600),
            review: None,
        }
    }
}

/// When a caller gets a ticket instead of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tickets {
    /// When it asks for one (`Prefer: respond-async`, a `ReplyTo`). The default of a durable flow.
    #[default]
    Asked,
    /// Also when the deadline passes without a result.
    Late,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a person decides what the gate or `accept` left to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewPlan {
    /// How long a person has; `None`: for ever.
    pub within: Option<Duration>,
    /// What happens then.
    pub lapse: Lapse,
}

/// What happens when nobody decides in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lapse {
    /// The fallback list answers: all of it for a record whose answer was in doubt or missing; for one that the gate held
    /// back its fixed answer alone, for no model may see that record. Without one that fits: as `Review`.
    #[default]
    Fallback,
    /// It is answered as `review`.
    Review,
    /// It is refused.
    Reject,
}

/// Whether an accepted document survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is in the store, fsynced, before a model is asked.
    #[default]
    Full,
    /// It is in memory; the caller asks again after a crash.
    None,
}

/// Where documents arrive.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The word: `soap`.
    pub kind: Arc<str>,
    /// Its settings, e.g. `service`, `operation`. The items of a list are one setting each, of the same name.
    pub settings: Vec<(String, String)>,
    /// Where it stands in the file.
    pub span: Span,
}

impl Channel {
    /// A setting by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every setting of this name: the items of a list.
    pub fn all<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.settings.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a document is.
pub struct Source {
    /// The word of `source.kind`.
    pub kind: Arc<str>,
    /// The contract, read.
    pub contract: Option<Arc<dyn Contract>>,
    /// Path of the contract, as the mapping names it.
    pub contract_path: Option<String>,
    /// Character set when neither transport nor document says one.
    pub encoding: Option<String>,
    /// Time zone of local times; UTC when the mapping says none.
    pub timezone: TimeZone,
    /// One record for each match; `None`: the document is one record.
    pub each: Option<Path>,
    /// Only records for which this holds.
    pub only: Option<Rule>,
    /// Fields of the record that closes the document.
    pub trailer: Option<Arc<Shape>>,
}

/// Names and rules of the fields of a record, in the mapping's order.
pub struct Shape {
    /// The fields.
    pub fields: Vec<FieldPlan>,
}

impl Shape {
    /// The position of a clean name.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| &*field.name == name)
    }

    fn attributes<'s>(&'s self, found: &mut Vec<(AttributeKind, &'s str)>) {
        for field in &self.fields {
            match &field.from {
                From::Addresses(addresses) => {
                    found.extend(addresses.iter().filter_map(|it| match it {
                        Address::Attribute(kind, name) => Some((*kind, &**name)),
                        Address::Path(_) | Address::Before(_) | Address::Meta(_) => None,
                    }));
                }
                From::Each { shape, .. } => shape.attributes(found),
                From::Constant(_) | From::Computed(_) | From::Model => {}
            }
        }
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|field| &field.name)).finish()
    }
}

/// One field.
pub struct FieldPlan {
    /// The clean name.
    pub name: Arc<str>,
    /// Where the value comes from.
    pub from: From,
    /// What it is.
    pub codec: Codec,
    /// What must hold.
    pub rules: FieldRules,
    /// How it is hidden from remote models.
    pub mask: Option<Mask>,
    /// The mapping's own text for it in a schema given to a model.
    pub description: Option<String>,
}

/// Where a field's value comes from.
pub enum From {
    /// The first of these places that is not empty.
    Addresses(Vec<Address>),
    /// A fixed value, as clean text.
    Constant(String),
    /// A rule over fields that stand before it.
    Computed(Rule),
    /// A list of records.
    Each {
        /// One item for each match.
        path: Path,
        /// The items' fields.
        shape: Arc<Shape>,
    },
    /// A field of the answer: it comes from the model.
    Model,
}

/// What must hold for one field.
#[derive(Default)]
pub struct FieldRules {
    /// Outcome when it is absent or empty; `None`: may be absent.
    pub required: Option<Outcome>,
    /// Value used when the source has nothing, as clean text.
    pub default: Option<String>,
    /// Least and most characters (for lists: items).
    pub length: Option<(Option<u64>, Option<u64>)>,
    /// Least and greatest value.
    pub range: Option<(Option<Decimal>, Option<Decimal>)>,
    /// The whole text must match. The source text is kept for messages.
    pub pattern: Option<(Regex, String)>,
    /// The only clean values allowed.
    pub one_of: Option<Vec<String>>,
    /// Oldest acceptable value at receipt.
    pub max_age: Option<Duration>,
    /// Value is unique over the records of a document (in an `each`: over its items).
    pub unique: bool,
    /// Least share of records in which it is present, 0..1.
    pub complete: Option<Decimal>,
    /// Least confidence, 0..1: of a field of the answer its least value, of others how surely it was read.
    pub confidence: Option<Decimal>,
    /// Outcome of a failed check of this field (not `required`); review when the mapping says none.
    pub otherwise: Option<Outcome>,
}

/// How a field is hidden from remote models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// A stable stand-in, put back in the answer
    Token,
    /// One-way hash
    Hash,
    /// The last four characters stay
    Last4,
    /// Names, telephone numbers, IBANs, e-mail addresses and card numbers inside free text
    Find,
    /// Never sent
    Drop,
}

/// A cross-field rule.
pub struct CheckPlan {
    /// The rule as written; it names the finding.
    pub text: Arc<str>,
    /// Must hold.
    pub rule: Rule,
    /// Outcome when it does not.
    pub otherwise: Outcome,
    /// For people.
    pub say: Option<Arc<str>>,
}

/// What is asked, and what a good answer is.
pub struct Ask {
    /// The route's name in `vestibule.yaml`, and where it stands in the mapping.
    pub route: (Arc<str>, Span),
    /// The prompt template's text (MiniJinja), read when the mapping was compiled; `None`: none is needed.
    pub prompt: Option<Prompt>,
    /// Fields that may be sent; `None`: all.
    pub send: Option<Vec<usize>>,
    /// The fields of a good answer.
    pub answer: Arc<Shape>,
    /// JSON Schema of the answer as given to a model: portable subset, every field required, nullable instead of
    /// optional, no numeric or length bounds.
    pub schema: Arc<serde_json::Value>,
    /// JSON Schema with every bound, checked again here.
    pub strict_schema: Arc<serde_json::Value>,
    /// An answer must meet this, else a person decides.
    pub accept: Option<Rule>,
    /// Tried in order when no answer comes in time.
    pub fallback: Vec<Fallback>,
}

/// A prompt template.
pub struct Prompt {
    /// Its file's name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What answers when no model does.
pub enum Fallback {
    /// The last good answer to the same input, not older than this.
    Cached(Duration),
    /// A decision table beside the mapping.
    Rules {
        /// Its path.
        path: String,
        /// Where it is named.
        span: Span,
    },
    /// A fixed answer, already checked against the answer's schema.
    Answer(serde_json::Map<String, serde_json::Value>),
}

/// How the answer goes back.
pub struct Return {
    /// Name of the reply's root element.
    pub into: String,
    /// Which rejections are faults of the protocol instead of replies in this form.
    pub faults: Faults,
    /// What is written.
    pub write: Vec<Write>,
}

/// Which rejections are faults of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// Those with something missing or unreadable: the document is not what was agreed. The default where the
    /// form can say `outcome` or `findings`.
    Incomplete,
    /// All. The default where the form can say neither.
    Reject,
    /// None.
    Never,
}

/// One legacy place that is written.
pub enum Write {
    /// One value.
    Value {
        /// The legacy place.
        place: Path,
        /// Where the value comes from.
        from: WriteFrom,
        /// How it is spelt. For a bare clean name: the codec of the field it comes from.
        codec: Codec,
        /// Most characters that fit.
        longest: Option<u64>,
        /// Cut what does not fit, instead of refusing it.
        cut: bool,
        /// Legacy text written when there is no value; `None`: the place is left out.
        default: Option<String>,
        /// The value came from this legacy field unchanged: its original raw text is written.
        keeps_raw: bool,
    },
    /// A repeated place.
    Each {
        /// The repeated legacy place.
        place: Path,
        /// The list.
        list: Slot,
        /// What is written for each item, relative to the place.
        write: Vec<Write>,
    },
}

/// Where a written value comes from.
pub enum WriteFrom {
    /// A clean name: of the record, the item, the answer, or of the flow (`outcome`, `ticket`, …).
    Slot(Slot),
    /// A fixed legacy text.
    Constant(String),
    /// A rule.
    Computed(Rule),
}
