//! One record as each kind of model sees it: whole inside the process, the sent fields with masked values outside.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::prompt::Template;
use crate::{
    document::Hash,
    fault::{Fault, FaultCode},
    gate::Admitted,
    mapping::plan::{Ask, Mapping, Shape},
    mask::{Masking, Restore},
    record::Record,
};

/// What is asked about one record. Views are made when a model needs them: a decision table needs none.
pub(super) struct Question<'a> {
    pub mapping: &'a Mapping,
    pub ask: &'a Ask,
    pub now: Timestamp,
    /// The same for every attempt; empty where there is no job.
    pub request_id: &'a str,
    input: &'a Admitted,
    masking: &'a Masking,
    template: Option<&'a Template>,
    inside: View<'a>,
    outside: OnceLock<View<'a>>,
}

/// The record as one kind of model sees it.
pub(super) struct View<'a> {
    seen: Seen<'a>,
    restore: Option<Restore>,
    canonical: OnceLock<Arc<Value>>,
}

enum Seen<'a> {
    AsAdmitted(&'a Admitted),
    Masked(Admitted),
}

impl<'a> Question<'a> {
    pub fn new(
        mapping: &'a Mapping,
        ask: &'a Ask,
        input: &'a Admitted,
        masking: &'a Masking,
        template: Option<&'a Template>,
        now: Timestamp,
        request_id: &'a str,
    ) -> Self {
        let inside = View { seen: Seen::AsAdmitted(input), restore: None, canonical: OnceLock::new() };
        Self { mapping, ask, now, request_id, input, masking, template, inside, outside: OnceLock::new() }
    }

    /// The request's name for the model at this position of the route. Each has its own: behind one gateway two models are
    /// two requests, and who comes after an answer that was none must not be given that answer again.
    pub fn request_id(&self, position: usize) -> Cow<'a, str> {
        match position {
            _ if self.request_id.is_empty() => Cow::Borrowed(""),
            0 => Cow::Borrowed(self.request_id),
            _ => Cow::Owned(format!("{}-{}", self.request_id, position.saturating_add(1))),
        }
    }

    /// What a model sees that is inside the process, or outside.
    pub fn view(&self, is_remote: bool) -> &View<'a> {
        if is_remote { self.outside.get_or_init(|| self.mask()) } else { &self.inside }
    }

    /// Masks first and drops unsent fields second: free text is searched for the values of unsent fields, too.
    fn mask(&self) -> View<'a> {
        let (hidden, restore) = self.masking.hide_all(self.input.record(), self.input.unread());
        let sent = self.sent(&hidden);
        let seen = Seen::Masked(self.input.with_masked(sent));
        View { seen, restore: Some(restore), canonical: OnceLock::new() }
    }

    /// The record with the fields that may be sent; the others are absent.
    fn sent(&self, record: &Record) -> Record {
        let Some(send) = &self.ask.send else { return record.clone() };
        let mut sent = Record::empty(record.shape.clone());
        for &slot in send {
            if let (Some(place), Some(field)) = (sent.fields.get_mut(slot), record.at(slot)) {
                *place = Some(field.clone());
            }
        }
        sent
    }

    /// The prompt over what this view shows.
    pub fn prompt(&self, view: &View<'_>) -> Result<String, Fault> {
        let Some(template) = self.template else {
            return Err(Fault::new(
                FaultCode::Internal,
                "the mapping names no prompt, and the model needs one",
            ));
        };
        let today = self.now.to_zoned(self.mapping.source.timezone.clone()).date();
        template.render(self.mapping, self.canonical(view), today)
    }

    /// The canonical JSON of the sent fields.
    fn canonical(&self, view: &View<'_>) -> Arc<Value> {
        view.canonical.get_or_init(|| Arc::new(self.sent(view.admitted().record()).to_json())).clone()
    }

    /// What an answer to this view is remembered by: the same input, asked in the same words.
    pub fn digest(&self, view: &View<'_>) -> Hash {
        Hash::of(self.canonical(view).to_string().as_bytes())
    }
}

impl View<'_> {
    pub fn admitted(&self) -> &Admitted {
        match &self.seen {
            Seen::AsAdmitted(input) => input,
            Seen::Masked(input) => input,
        }
    }

    /// Puts the real values in place of the stand-ins of this view.
    pub fn restore(&self, answer: &mut Map<String, Value>) {
        if let Some(restore) = &self.restore {
            restore.restore(answer);
        }
    }
}

/// The names that a prompt may use: fields that are sent.
pub(super) fn sent_names<'s>(shape: &'s Shape, send: Option<&'s [usize]>) -> impl Iterator<Item = &'s str> {
    let is_sent = move |slot: &usize| send.is_none_or(|send| send.contains(slot));
    shape.fields.iter().enumerate().filter(move |(slot, _)| is_sent(slot)).map(|(_, plan)| &*plan.name)
}
