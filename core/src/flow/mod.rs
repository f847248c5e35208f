//! One pipeline: extract, interpret, gate, ask, check the answer, render. Sync, async and batch differ only in who
//! waits.

use std::sync::{Arc, atomic::AtomicBool};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    ask::Asker,
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    gate,
    job::{Checkpoint, Decision, JobId, Remark, Reply, ReplyBody, Suspension},
    mapping::plan::{Mapping, Return},
    ports::{Extraction, Extractor, Format, Model, RawField, Renderer},
    registry::Registry,
    rule::{Root, Slot},
};

mod answers;
mod reply;
mod round;
mod writer;
pub mod written;

use self::{
    reply::{Draft, Finished, says_outcome},
    round::{Round, Saved},
};

/// A mapping with everything it needs to run. Compiled once, shared by all calls.
pub struct Flow {
    /// The compiled mapping.
    pub mapping: Arc<Mapping>,
    forms: Vec<Form>,
    asker: Option<Asker>,
}

/// What the work on one document knows besides the document.
pub struct Progress<'a> {
    /// Its job.
    pub ticket: JobId,
    /// Bounds the models.
    pub deadline: Instant,
    /// What people decided, in order.
    pub decisions: &'a [Decision],
    /// Answers that earlier attempts saved: their records are not asked about again.
    pub saved: Vec<Checkpoint>,
    /// Saves an answer before the next record's is waited for; `None`: all answers are stored with the reply at once.
    /// Not called for a document of one record, whose reply is its checkpoint.
    pub save: Option<&'a dyn Save>,
}

impl<'a> Progress<'a> {
    /// The work on a document that was never worked on, and whose answers are not saved one by one.
    pub fn fresh(ticket: JobId, deadline: Instant) -> Self {
        Self { ticket, deadline, decisions: &[], saved: Vec::new(), save: None }
    }
}

/// Saves answers before all of them are there.
pub trait Save: Send + Sync {
    /// Ends when the answer is durable. A fault ends the work: the lease is lost, or the store is.
    fn save(&self, answer: Checkpoint) -> BoxFuture<'_, Result<(), Fault>>;
}

/// How the work on a document ended.
#[derive(Debug)]
pub enum Ended {
    /// With its result.
    Reply(Reply),
    /// With a question to a person; only where the mapping has a `review`.
    Review(Suspension),
}

/// One document format that the flow reads and writes: the source's own, and JSON.
struct Form {
    format: Arc<dyn Format>,
    extractor: Arc<dyn Extractor>,
    renderer: Option<Arc<dyn Renderer>>,
    /// Writes `pending`.
    pending: Option<Arc<dyn Renderer>>,
}

impl Flow {
    /// Compiles readers, writers, prompt and validators. `fallback_models` stands beside `mapping.ask.fallback`,
    /// with a model where the step is a decision table. Flows of one registry share what they learn about the health
    /// of models of the same name.
    pub fn assemble(
        mapping: Arc<Mapping>,
        registry: &Registry,
        models: Vec<Arc<dyn Model>>,
        fallback_models: Vec<Option<Arc<dyn Model>>>,
    ) -> Result<Self, Fault> {
        let own = registry.format(&mapping.source.kind).ok_or_else(|| {
            Fault::new(FaultCode::Internal, format!("no adapter reads `kind: {}`", mapping.source.kind))
        })?;
        let json = registry.format("json").filter(|it| it.kind() != own.kind());
        let mut forms = Vec::with_capacity(2);
        for format in std::iter::once(own).chain(json) {
            let written =
                |it: &Option<Return>| it.as_ref().map(|it| format.renderer(&mapping, it)).transpose();
            forms.push(Form {
                format: Arc::clone(format),
                extractor: format.extractor(&mapping)?,
                renderer: written(&mapping.back)?,
                pending: written(&mapping.handling.pending)?,
            });
        }
        let asker = match &mapping.ask {
            Some(_) => Some(Asker::sharing(&mapping, models, fallback_models, &registry.breakers)?),
            None => None,
        };
        Ok(Self { mapping, forms, asker })
    }

    /// Whether documents of this media type can be read at all.
    pub fn reads(&self, media_type: &str) -> bool {
        self.forms.iter().any(|form| form.format.reads(media_type))
    }

    fn form(&self, document: &Document) -> Result<&Form, Fault> {
        self.forms.iter().find(|form| form.format.reads(&document.media_type)).ok_or_else(|| {
            let kinds: Vec<&str> = self.forms.iter().map(|form| form.format.kind()).collect();
            Fault::new(
                FaultCode::NotUnderstood,
                format!("this flow reads {}, not this media type", kinds.join(" and ")),
            )
        })
    }

    /// Reads a document by its media type.
    pub fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        self.form(document)?.extractor.extract(document)
    }

    /// The idempotency key that the mapping's `key` makes of a document; `None` where the mapping names none, the
    /// document has several records, or one of the fields is absent.
    pub fn key_of(&self, extraction: &Extraction) -> Option<IdempotencyKey> {
        let (text, is_hidden) = self.values_of(&self.mapping.key, extraction)?;
        // Keys are listed and logged by stores and callers: a masked value can not be one.
        Some(if is_hidden { IdempotencyKey::hashed(&text) } else { IdempotencyKey::or_hash(&text) })
    }

    /// Takes the name that a transport gave a document (a message-id, the id of a delivery) where the mapping's `key` makes
    /// one: services that deliver again often give the same thing a new name. Not for callers who name their document
    /// themselves.
    pub fn prefer_own_key(&self, document: &mut Document, extraction: &Extraction) {
        if self.key_of(extraction).is_some() {
            document.key = None;
        }
    }

    /// Whether the mapping names an `order`.
    pub fn orders(&self) -> bool {
        !self.mapping.handling.order.is_empty()
    }

    /// What the mapping's `order` makes of a document; `None` where it names no field, the document has several records,
    /// or one of the fields is absent.
    pub fn order_of(&self, extraction: &Extraction) -> Option<Arc<str>> {
        let (text, is_hidden) = self.values_of(&self.mapping.handling.order, extraction)?;
        let order = if is_hidden { IdempotencyKey::hashed(&text) } else { IdempotencyKey::or_hash(&text) };
        Some(order.as_str().into())
    }

    /// `name=value|name=value` of these fields of a document of one record, and whether one of them is masked.
    fn values_of(&self, slots: &[Slot], extraction: &Extraction) -> Option<(String, bool)> {
        let [record] = extraction.records.as_slice() else { return None };
        let (mut text, mut is_hidden) = (String::new(), false);
        for slot in slots {
            let (plan, part) = (self.mapping.record.fields.get(top(slot)?)?, record.fields.get(top(slot)?)?);
            let RawField::Text { text: part, .. } = part else { return None };
            if part.is_empty() {
                return None;
            }
            is_hidden |= plan.mask.is_some();
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(&plan.name);
            text.push('=');
            // Escaped, so that two keys never meet by concatenation, nor with the number that a correction gets.
            for character in part.chars() {
                if matches!(character, '\\' | '|' | '#') {
                    text.push('\\');
                }
                text.push(character);
            }
        }
        (!text.is_empty()).then_some((text, is_hidden))
    }

    /// The pipeline, from what was read to what goes back. The deadline bounds the models; what follows is quick. The
    /// records of a document are asked about side by side, and written in their order.
    ///
    /// A refused record and a record for review are replies, not errors. An `Err` is a fault of a model without any
    /// fallback (when the form can not say that a person decides) or a reply that can not be written.
    pub async fn run(
        &self,
        document: &Document,
        extraction: Extraction,
        progress: Progress<'_>,
    ) -> Result<Ended, Fault> {
        let Progress { ticket, deadline, decisions, saved, save } = progress;
        let form = self.form(document)?;
        let judgement = gate::judge_again(&self.mapping, document, extraction, decisions);
        let mut draft = Draft::new(&self.mapping, document, ticket, judgement.trailer, judgement.tally);
        saved.iter().for_each(|it| draft.usage.add(it.usage));
        draft.remark(judgement.remarks);
        let round = Round {
            mapping: &self.mapping,
            asker: self.asker.as_ref(),
            document,
            ticket,
            deadline,
            save: save.filter(|_| judgement.verdicts.len() > 1),
            saved: Saved::of(saved),
            // Without a `return` the reply is our own JSON, which says everything.
            is_mute: self.mapping.back.as_ref().is_some_and(|back| !says_outcome(&back.write)),
            is_over: AtomicBool::new(false),
        };
        for one in round.ask_all(judgement.verdicts, judgement.ruled).await? {
            draft.add(one);
        }
        draft.judge_answers();
        draft.end(self.asker.as_ref(), deadline).await?;
        let Finished { reply, waits, unsaved } =
            draft.finish(form.renderer.as_deref(), form.format.media_type())?;
        if !waits {
            return Ok(Ended::Reply(reply));
        }
        if let Some(save) = save {
            for answer in unsaved {
                save.save(answer).await?;
            }
        }
        Ok(Ended::Review(Suspension { reply, until: self.review_until(document) }))
    }

    /// When the time of the reviewers is over. It begins when the document is put to them.
    fn review_until(&self, document: &Document) -> Option<Timestamp> {
        let within = self.mapping.handling.review.as_ref()?.within?;
        document.received.max(Timestamp::now()).checked_add(within).ok()
    }

    /// What the mapping's `pending` writes for a caller who gets a ticket, in the form of its document; `None` where the
    /// mapping has none.
    pub fn pending(&self, document: &Document, ticket: JobId) -> Result<Option<ReplyBody>, Fault> {
        let form = self.form(document)?;
        let (Some(plan), Some(renderer)) = (&self.mapping.handling.pending, &form.pending) else {
            return Ok(None);
        };
        let written = reply::pending(&self.mapping, document, plan, ticket);
        let bytes = renderer.render(&[written])?;
        Ok(Some(ReplyBody::Written { media_type: form.format.media_type().into(), bytes }))
    }

    /// What would happen to a document, without a model call.
    pub fn preview(&self, document: &Document, now: Timestamp) -> Result<Preview, Fault> {
        self.preview_with(document, now, &[])
    }

    /// What would happen to a document once these decisions are made about it, without a model call. Of a job the time is
    /// that of its document's receipt, so that freshness is judged as it was.
    pub fn preview_with(
        &self,
        document: &Document,
        now: Timestamp,
        decisions: &[Decision],
    ) -> Result<Preview, Fault> {
        let mut document = document.clone();
        document.received = now;
        let extraction = self.extract(&document)?;
        let judgement = gate::judge_again(&self.mapping, &document, extraction, decisions);
        let mut records = Vec::with_capacity(judgement.verdicts.len());
        for verdict in judgement.verdicts {
            let prompt = match (&verdict, &self.asker) {
                (gate::Verdict::Admit(admitted, _), Some(asker)) => {
                    asker.prompt(&self.mapping, admitted, now)?
                }
                _ => None,
            };
            records.push(RecordPreview {
                record: verdict.record().to_json(),
                lineage: verdict.record().lineage_json(),
                findings: verdict.findings().iter().map(Remark::from).collect(),
                outcome: verdict.outcome(),
                prompt,
            });
        }
        Ok(Preview { records })
    }
}

fn top(slot: &Slot) -> Option<usize> {
    (slot.root == Root::Here && slot.path.len() == 1)
        .then(|| slot.path.first().copied().map(usize::from))
        .flatten()
}

/// Faults that another try may mend.
pub fn may_be_retried(fault: &Fault) -> bool {
    matches!(fault.recovery, Recovery::Retry | Recovery::RetryAfter(_))
}

/// What would happen to a document.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// One for each record.
    pub records: Vec<RecordPreview>,
}

/// What would happen to one record.
#[derive(Debug, Clone, Serialize)]
pub struct RecordPreview {
    /// Canonical JSON. Values are in clear: a preview is for the integrator's own eyes.
    pub record: serde_json::Value,
    /// Place and raw text of each field.
    pub lineage: serde_json::Value,
    /// What the gate found.
    pub findings: Vec<Remark>,
    /// How it would end.
    pub outcome: Outcome,
    /// The prompt that would be sent, masked; `None` where the gate stops the record or nothing is asked.
    pub prompt: Option<String>,
}
