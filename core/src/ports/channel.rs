//! Channels: where documents arrive by themselves, and where results are sent to.
//!
//! An adapter knows one technology. It neither spawns nor waits to try again: a connection that is gone is an `Err`, and
//! the runner opens it anew. Every await of an adapter has a deadline of its own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{Database, Files, Lookup, Positions};
use crate::{
    document::Document,
    fault::Fault,
    job::{Job, Place, Purpose, Remark, ReturnAddress},
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, LookupPlan, Mapping},
        syntax::Node,
    },
};

/// A technology with connections that `vestibule.yaml` defines (`connections: { broker: { amqp: … } }`).
pub trait ConnectionKind: Send + Sync {
    /// The word under a connection's name, and of `receive` and `deliver`: `amqp`.
    fn kind(&self) -> &'static str;
    /// Reads the settings of a connection; connects to nothing. Problems are reported with their spans; then the result
    /// is `None`.
    fn open(
        &self,
        request: ConnectionRequest<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>>;
}

/// What a connection kind needs to read a connection's settings.
pub struct ConnectionRequest<'a> {
    /// The connection's name in `vestibule.yaml`.
    pub name: &'a str,
    /// The value under the kind's word.
    pub settings: &'a Node,
    /// Files beside `vestibule.yaml`: certificates and keys.
    pub files: &'a dyn Files,
    /// Secrets by their environment name. Never logged.
    pub secrets: &'a dyn Fn(&str) -> Option<String>,
}

/// A defined connection. Nothing is connected before [`Source::open`] or [`Returner::hand_back`].
pub trait Connection: Send + Sync {
    /// Its name in `vestibule.yaml`.
    fn name(&self) -> &str;
    /// What a `receive` channel of a mapping reads from. `deliver`: the place of the mapping's own `deliver`, where it
    /// has one; else a sender's wish (`reply-to`) counts. Problems are reported at the channel's span.
    fn source(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        deliver: Option<&Place>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Source>>;
    /// Where a `deliver` channel of a mapping goes to.
    fn place(&self, mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Place>;
    /// What sends results over this connection. One for the process; the same one each time.
    fn returner(&self) -> Arc<dyn Returner>;
    /// What opening a `receive` or `deliver` channel expects to find or, where the mapping says so, declares: one line
    /// each, for people.
    fn topology(&self, mapping: &Mapping, channel: &Channel) -> Vec<String>;
    /// What a DBA reads and runs, where this is a database.
    fn database(&self) -> Option<Arc<dyn Database>> {
        None
    }
    /// Reference data of this connection; `None` after a problem was reported, or where this has none.
    fn lookup(
        &self,
        _mapping: &Mapping,
        _plan: &LookupPlan,
        _diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Lookup>> {
        None
    }
}

/// Where documents arrive by themselves.
pub trait Source: Send + Sync {
    /// For logs and metrics: `amqp broker claims.in`.
    fn name(&self) -> &str;
    /// Connects and starts to receive. A fault's `Recovery` says whether trying again may help; the runner waits.
    /// `positions`: what the source keeps between its lives.
    fn open(&self, positions: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>>;
    /// True where the other side pays for every document that waits (a log that it must keep): then documents are
    /// received and made durable also while the flow has no room to work on them, up to a bound that the operator sets,
    /// and settled as soon as they are durable: no work on one holds up the settlement of another.
    fn is_journaled(&self) -> bool {
        false
    }
}

/// An open source. Dropped, everything that was not settled is delivered again.
pub trait Intake: Send {
    /// The next documents in their order: at least one, at most `most`. Cancel-safe: what was received and not handed
    /// over is handed over by the next call. `Err`: this intake is over, and must be opened anew.
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>>;
    /// Says what became of documents. Each one that was handed over is settled once, unless this intake is dropped first;
    /// in any order, for what is worked on beside each other ends out of its order, and in groups that are not those of
    /// [`Intake::next`]. Of a journaled source they come in the order in which they were handed over. Ends when the other side can not deliver them again because of us, or was told
    /// to. `Err`: this intake is over; some may be delivered again.
    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>>;
}

/// A document as a source received it.
#[derive(Debug)]
pub struct Received {
    /// The document, with the sender's name for it as its key where it has one.
    pub document: Document,
    /// Where its result goes.
    pub return_to: Option<ReturnAddress>,
    /// How often the other side says it was delivered before; 0 where it does not say.
    pub redelivered: u32,
    /// To be given back. Dropped without a word, the document is delivered again.
    pub receipt: Receipt,
}

/// A document that its source waits to hear about. Not `Clone`: it is settled once.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt(pub u64);

/// What became of a received document.
#[derive(Debug)]
pub enum Settlement {
    /// It is durable here, or its result was handed back: the other side may forget it.
    Accepted,
    /// It is to be delivered again after a while, without being first in the queue until then.
    Later(Duration),
    /// It can not be worked on, ever: to the dead letters, with why.
    DeadLetter {
        /// Safe text: a fault's code and message.
        cause: String,
        /// What the gate found, as far as it came.
        findings: Vec<Remark>,
    },
}

/// What sends results.
pub trait Returner: Send + Sync {
    /// What [`Place::returner`] names it by: `amqp broker`, `callback`.
    fn name(&self) -> &str;
    /// After how many tries that could be tried again a result is undeliverable; `None`: never, as where the other side
    /// is a broker of ours that will be there again.
    fn attempts(&self) -> Option<u32> {
        Some(20)
    }
    /// Sends each to its place; one result for each, in the same order. `Ok`: the other side has it, durably where it
    /// can say so. A fault's `Recovery` says whether it is worth trying again. Sending one twice is nothing to a receiver
    /// that looks at its message-id.
    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>>;
}

/// One thing to send.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// What.
    pub purpose: Purpose,
    /// Where to.
    pub place: Place,
    /// The finished job, whole.
    pub job: Arc<Job>,
}

impl Parcel {
    /// The stable name of what is sent: the same each time it is sent. The sender's own name for its message, else the
    /// ticket.
    pub fn message_id(&self) -> String {
        let own = self.job.return_to.as_ref().and_then(|it| it.message.as_deref());
        own.map_or_else(|| self.job.id.to_string(), str::to_owned)
    }

    /// What the sender correlates the answer by: its correlation id, else its message's name, else the ticket.
    pub fn correlation_id(&self) -> String {
        let own = self.job.return_to.as_ref().and_then(|it| it.correlation.as_deref());
        own.map_or_else(|| self.message_id(), str::to_owned)
    }
}

/// A technology by which others post documents to a path of ours.
pub trait HookKind: Send + Sync {
    /// The word of `receive`: `webhook`.
    fn kind(&self) -> &'static str;
    /// Reads the settings of a channel. Problems are reported at its span; then the result is `None`.
    fn open(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        secrets: &dyn Fn(&str) -> Option<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Hook>>;
}

/// One path that documents are posted to.
pub trait Hook: Send + Sync {
    /// The path, from `/hooks/`.
    fn path(&self) -> &str;
    /// Proves who sent a request and takes the document out of it, with its key. Quick and bounded. A fault of the code
    /// `Unauthorized` says nothing about why.
    fn accept(&self, request: &HookRequest<'_>) -> Result<Document, Fault>;
}

/// What was posted.
pub struct HookRequest<'a> {
    /// Headers in their order, names in small letters.
    pub headers: &'a [(String, Bytes)],
    /// The body, already bounded in size.
    pub body: Bytes,
    /// When it arrived.
    pub received: Timestamp,
}

impl HookRequest<'_> {
    /// The first header of this name, in small letters, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(it, _)| it == name)?;
        std::str::from_utf8(value).ok()
    }
}
