//! Every trait that an adapter implements. An adapter knows its technology; the runner owns time and tasks.

mod channel;
mod database;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    ask::{Answered, Task},
    document::Document,
    fault::Fault,
    finding::Check,
    flow::written::Written,
    gate::Admitted,
    job::{Job, JobId, Reply, ReplyBody},
    mapping::{
        address::Path,
        diagnostic::Diagnostics,
        plan::{Channel, Mapping, Return},
        syntax::Node,
    },
    origin::Origin,
};

pub use channel::{
    Connection, ConnectionKind, ConnectionRequest, Hook, HookKind, HookRequest, Intake, Parcel, Receipt,
    Received, Returner, Settlement, Source,
};
pub use database::{Advice, Database, KeyRange, Level, Login, Lookup, Positions, Scripts, Standing, Use};
pub use store::{JobStore, LONGEST_POSITION, LONGEST_POSITION_NAME, may_be_kept};

/// Files beside a mapping: contracts, code tables, prompts, decision tables. Core reads none by itself.
pub trait Files: Send + Sync {
    /// The content of the file at this path, relative to the file that names it. Bounded by the implementation.
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>>;
}

/// A document format: the technology behind `source.kind` and behind `return`.
pub trait Format: Send + Sync {
    /// The word of `source.kind`.
    fn kind(&self) -> &'static str;
    /// True for the media types that this format reads.
    fn reads(&self, media_type: &str) -> bool;
    /// True for the name of a character set that its documents can be written in (`source.encoding`).
    fn knows_charset(&self, _name: &str) -> bool {
        true
    }
    /// The media type of what it renders.
    fn media_type(&self) -> &'static str;
    /// Reads a contract file (WSDL, XSD). `None` as the result's `Ok` means: this format has no such contracts.
    fn contract(&self, path: &str, files: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault>;
    /// Compiles how documents of this mapping are read.
    fn extractor(&self, mapping: &Mapping) -> Result<Arc<dyn Extractor>, Fault>;
    /// Compiles how a form of the mapping is written: its `return`, or its `pending`.
    fn renderer(&self, mapping: &Mapping, form: &Return) -> Result<Arc<dyn Renderer>, Fault>;
}

/// Which message of an operation an address points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the caller sends.
    Request,
    /// What goes back.
    Reply,
}

/// What a contract knows of the messages of a service.
pub trait Contract: Send + Sync + std::any::Any {
    /// Names of the operations, in the contract's order.
    fn operations(&self) -> Vec<String>;
    /// Checks one address. `base` is the address of the `each` it stands in, outermost first.
    fn check(
        &self,
        operation: Option<&str>,
        direction: Direction,
        base: &[&Path],
        path: &Path,
    ) -> Result<(), NotInContract>;
    /// True when the reply's root element for this operation has this name; else the name that it has.
    fn reply_root(&self, operation: Option<&str>) -> Option<String>;
    /// For the adapter that made it: its own type again.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// An address that the contract does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct NotInContract {
    /// Which step of the path fails, from 0.
    pub step: usize,
    /// Names that the contract has there (attributes with their `@`).
    pub known: Vec<String>,
}

/// Reads documents of one mapping. Never fails half way: what could not be read is a defect.
pub trait Extractor: Send + Sync {
    /// The records in document order. An `Err` is a document that is not well-formed or passes a limit: there is
    /// nothing to judge.
    fn extract(&self, document: &Document) -> Result<Extraction, Fault>;
}

/// What was read, and what could not be.
#[derive(Debug, Clone, Default)]
pub struct Extraction {
    /// One for each record of the document, in its order.
    pub records: Vec<RawRecord>,
    /// What could not be read or is more than was asked for.
    pub defects: Vec<Defect>,
    /// The record that closes the document, for control totals.
    pub trailer: Option<RawRecord>,
    /// Hash of the business payload alone (a SOAP Body's child, not its headers). `None`: the whole document.
    pub payload: Option<crate::document::Hash>,
}

/// Raw fields in the order of the shape.
#[derive(Debug, Clone)]
pub struct RawRecord {
    /// Always as long as the shape; fields without an address are `Absent`.
    pub fields: Vec<RawField>,
    /// Where the record stands.
    pub origin: Origin,
}

/// One raw field.
#[derive(Debug, Clone)]
pub enum RawField {
    /// Nothing is there. `at` is where it would be; `None` where the field has no address of its own.
    Absent {
        /// The place where it was looked for (of several alternatives, the first).
        at: Option<Origin>,
    },
    /// Text as the legacy side wrote it, decoded to Unicode, outer white space trimmed as its format asks.
    Text {
        /// The text; may be empty.
        text: Box<str>,
        /// Where it was read.
        origin: Origin,
    },
    /// The records of an `each`.
    Items(Vec<RawRecord>),
}

/// Something that an extractor could not read.
#[derive(Debug, Clone)]
pub struct Defect {
    /// Clean name with list positions, `lines[2].amount`.
    pub field: Box<str>,
    /// The kind of finding it becomes.
    pub check: Check,
    /// Where.
    pub origin: Origin,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: Option<Box<str>>,
}

/// Writes what `return` says in the legacy format.
pub trait Renderer: Send + Sync {
    /// The document, from one `Written` for each record. A value that the format can not hold is a fault, never a broken document.
    fn render(&self, records: &[Written]) -> Result<Bytes, Fault>;
}

/// A protocol with an envelope (SOAP): the technology behind `receive`.
pub trait Frontend: Send + Sync {
    /// The word of `receive`, e.g. `soap`.
    fn kind(&self) -> &'static str;
    /// Builds the service of this name from all flows that are received by it.
    fn service(
        &self,
        name: &str,
        flows: Vec<Offered>,
        files: &dyn Files,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Service>>;
}

/// A flow that a service offers.
pub struct Offered {
    /// Its compiled mapping.
    pub mapping: Arc<Mapping>,
    /// The channel it was named by.
    pub channel: Channel,
    /// Position by which [`Call::flow`] names it.
    pub flow: usize,
}

/// One service of a protocol. All methods are quick and bounded; none waits.
pub trait Service: Send + Sync {
    /// Reads a request's envelope and, for a call, extracts the document's records in the same pass.
    fn accept(&self, request: &WireRequest) -> Result<Understood, WireReply>;
    /// Puts a result into the envelope that this call asked for.
    fn reply(&self, call: &CallContext, reply: &Reply, ticket: JobId) -> WireReply;
    /// A ticket in place of a result: `written` is what the mapping's `pending` wrote, else the protocol's own form.
    fn ticket(&self, call: &CallContext, ticket: JobId, written: Option<&ReplyBody>) -> WireReply;
    /// What `GetResult` answers: where the job stands, and its result where there is one; `None`: there is no such job
    /// of this service.
    fn result(&self, call: &CallContext, job: Option<&Job>) -> WireReply;
    /// Puts a fault into the envelope that this call asked for.
    fn fault(&self, call: &CallContext, fault: &Fault) -> WireReply;
    /// The contract with its address rewritten (`?wsdl`).
    fn describe(&self, address: &str) -> WireReply;
}

/// What arrived over HTTP.
#[derive(Debug, Clone)]
pub struct WireRequest {
    /// `Content-Type` as sent.
    pub content_type: Option<Arc<str>>,
    /// `SOAPAction` as sent.
    pub action: Option<Arc<str>>,
    /// The body, already bounded in size.
    pub body: Bytes,
    /// When it arrived.
    pub received: jiff::Timestamp,
}

/// A request that was understood.
pub enum Understood {
    /// A document for a flow.
    Call(Box<Call>),
    /// A question for the result of an earlier one (`GetResult`).
    GetResult(CallContext, JobId),
}

impl Understood {
    /// The document, where it is one.
    pub fn call(self) -> Option<Call> {
        match self {
            Self::Call(call) => Some(*call),
            Self::GetResult(..) => None,
        }
    }
}

/// A document for a flow.
pub struct Call {
    /// Which of the offered flows.
    pub flow: usize,
    /// The document to keep: the whole message, so that a restart reads the same.
    pub document: Document,
    /// What was read from it.
    pub extraction: Extraction,
    /// What the reply needs.
    pub context: CallContext,
}

/// What a reply needs to know of its call.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Protocol version and the like; the service's own words.
    pub version: Arc<str>,
    /// The operation that was called.
    pub operation: Arc<str>,
    /// The message that it answers (WS-Addressing MessageID).
    pub message_id: Option<Arc<str>>,
    /// Where the caller wants the result sent (WS-Addressing ReplyTo), where that is not the connection itself.
    pub reply_to: Option<Arc<str>>,
}

/// What goes out over HTTP.
#[derive(Debug, Clone)]
pub struct WireReply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Arc<str>,
    /// The body.
    pub body: Bytes,
}

/// A technology of models: the word under `models:` in `vestibule.yaml` and under `fallback:`.
pub trait ModelKind: Send + Sync {
    /// The word, e.g. `rules`, `openai`.
    fn kind(&self) -> &'static str;
    /// Opens a model for one flow. Problems in `settings` are reported with their spans; then the result is `None`.
    fn open(&self, request: ModelRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Model>>;
}

/// What a model kind needs to open a model.
pub struct ModelRequest<'a> {
    /// The model's name in `vestibule.yaml`, or the file's name in a fallback.
    pub name: &'a str,
    /// The value under the kind's word.
    pub settings: &'a Node,
    /// The flow it will serve.
    pub mapping: &'a Mapping,
    /// Files beside the settings.
    pub files: &'a dyn Files,
    /// Secrets by their environment name. Never logged.
    pub secrets: &'a dyn Fn(&str) -> Option<String>,
}

/// A model. Adapters classify faults; they neither retry nor wait past the deadline.
pub trait Model: Send + Sync {
    /// Its name in lineage, logs and metrics.
    fn name(&self) -> &str;
    /// True when values leave the process; then masked fields are replaced before they get here.
    fn is_remote(&self) -> bool;
    /// Asks. `input` is the proof that the gate let the record pass.
    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        input: &'a Admitted,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>>;
}
