//! The asking of one flow: the route's models, then the fallback list, under one deadline.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Usage,
    breaker::Breakers,
    check::{AnswerCheck, Checked},
    memory::Memory,
    prompt::Template,
    question::{Question, sent_names},
    turn::{Attempt, Journal, Station},
};
use crate::{
    fault::{Fault, FaultCode, Recovery},
    gate::Admitted,
    job::Checkpoint,
    mapping::plan::{Ask, Fallback, Mapping},
    mask::Masking,
    ports::Model,
    record::Record,
};

/// Least and most time kept back for the fallback list and the reply; between them it is a twentieth of the deadline.
const RESERVE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Who answered where the mapping itself did.
const FIXED: &str = "fallback:answer";

/// The way of one flow to its models. Built once from a compiled mapping; shared by all its calls.
pub struct Asker {
    route: Vec<Station>,
    fallback: Vec<Step>,
    template: Option<Template>,
    check: AnswerCheck,
    masking: Masking,
    /// `None` where no fallback would read it or no remote model would fill it.
    memory: Option<Memory>,
}

/// One step of the fallback list.
enum Step {
    Cached(Duration),
    Rules { path: String, station: Station },
    Answer(Box<Checked>),
}

/// An answer that passed its checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The typed answer, masked values put back.
    pub answer: Record,
    /// The same as JSON, as it was given.
    pub raw: Map<String, Value>,
    /// The model's name, or `fallback:cached`, `fallback:rules triage.rules.yaml`, `fallback:answer`.
    pub answered_by: Box<str>,
    /// Tokens of every answer that came, refused ones included.
    pub usage: Usage,
    /// Every call that was made, in order.
    pub attempts: Vec<Attempt>,
}

impl Asker {
    /// Compiles prompt and schema. `fallback_models` stands beside `mapping.ask.fallback`, with a model where the step
    /// is a decision table. What the flow learns about its models' health stays its own.
    pub fn new(
        mapping: &Mapping,
        models: Vec<Arc<dyn Model>>,
        fallback_models: Vec<Option<Arc<dyn Model>>>,
    ) -> Result<Self, Fault> {
        Self::sharing(mapping, models, fallback_models, &Breakers::default())
    }

    /// Like [`Asker::new`]; flows that are given the same `breakers` share what they learn about a model's health.
    pub fn sharing(
        mapping: &Mapping,
        models: Vec<Arc<dyn Model>>,
        fallback_models: Vec<Option<Arc<dyn Model>>>,
        breakers: &Breakers,
    ) -> Result<Self, Fault> {
        let ask = asked_by(mapping)?;
        let check = AnswerCheck::compile(ask)?;
        let names = sent_names(&mapping.record, ask.send.as_deref());
        let template = ask.prompt.as_ref().map(|prompt| Template::compile(prompt, names)).transpose()?;
        let fallback = fallback_steps(ask, fallback_models, &check)?;
        let remembers = fallback.iter().any(|step| matches!(step, Step::Cached(_)))
            && models.iter().any(|model| model.is_remote());
        let route = models.into_iter().map(|model| {
            let breaker = model.is_remote().then(|| breakers.of(model.name()));
            Station { model, breaker }
        });
        Ok(Self {
            route: route.collect(),
            fallback,
            template,
            check,
            masking: Masking::of(mapping),
            memory: remembers.then(Memory::default),
        })
    }

    /// Asks the models in order, then the fallback list. `request_id` names the question for servers that know idempotency
    /// keys: the first model is asked under it, the others with their position behind it. A result is there by `deadline`; a little of the time before
    /// it is kept for the fallback list. `Err` is a fault of the code `Model`: nothing and nobody gave an answer.
    pub async fn ask(
        &self,
        mapping: &Mapping,
        input: &Admitted,
        now: Timestamp,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Asked, Fault> {
        let ask = asked_by(mapping)?;
        let question =
            Question::new(mapping, ask, input, &self.masking, self.template.as_ref(), now, request_id);
        let mut journal = Journal::default();
        let models_until = keep_reserve(deadline);
        for (position, station) in self.route.iter().enumerate() {
            let until = self.share(position, models_until);
            if let Some(won) = station.ask(&question, position, &self.check, until, &mut journal).await {
                // What is inside the process can be asked again at any time: it is not worth a hash of every record.
                if let Some(memory) = self.memory.as_ref().filter(|_| station.model.is_remote()) {
                    memory.keep(question.digest(question.view(true)), &won.as_given);
                }
                return Ok(journal.into_asked(won.checked, station.model.name().into()));
            }
        }
        match self.fall_back(&question, deadline, &mut journal, &|_| true).await {
            Some((checked, answered_by)) => Ok(journal.into_asked(checked, answered_by)),
            None => Err(journal.into_fault()),
        }
    }

    /// The first answer of the fallback list alone that fits.
    pub async fn ask_fallback(
        &self,
        mapping: &Mapping,
        input: &Admitted,
        now: Timestamp,
        deadline: Instant,
        fits: &(dyn Fn(&Record) -> bool + Send + Sync),
    ) -> Result<Option<Asked>, Fault> {
        let ask = asked_by(mapping)?;
        let question = Question::new(mapping, ask, input, &self.masking, self.template.as_ref(), now, "");
        let mut journal = Journal::default();
        let answer = self.fall_back(&question, deadline, &mut journal, fits).await;
        Ok(answer.map(|(checked, answered_by)| journal.into_asked(checked, answered_by)))
    }

    /// The fixed answers of the fallback list: for a record that no model may see.
    pub fn fixed_answers(&self) -> impl Iterator<Item = Asked> + '_ {
        self.fallback.iter().filter_map(|step| match step {
            Step::Answer(checked) => {
                Some(Journal::default().into_asked(Checked::clone(checked), FIXED.into()))
            }
            Step::Cached(_) | Step::Rules { .. } => None,
        })
    }

    /// An answer that was saved, read and checked again; `None` where it is no answer any more.
    pub fn restore(&self, saved: &Checkpoint) -> Option<Asked> {
        let Checked { raw, record } = self.check.read(saved.answer.clone()).ok()?;
        let (answered_by, usage) = (saved.answered_by.clone(), saved.usage);
        Some(Asked { answer: record, raw, answered_by, usage, attempts: Vec::new() })
    }

    /// The prompt as a remote model would get it, masked; `None` where the flow has no prompt.
    pub fn prompt(
        &self,
        mapping: &Mapping,
        input: &Admitted,
        now: Timestamp,
    ) -> Result<Option<String>, Fault> {
        if self.template.is_none() {
            return Ok(None);
        }
        let ask = asked_by(mapping)?;
        let question = Question::new(mapping, ask, input, &self.masking, self.template.as_ref(), now, "");
        question.prompt(question.view(true)).map(Some)
    }

    /// Until when this model may take: all that is left, or two thirds of it while another remote model waits behind
    /// it, so that one that hangs does not take the other's turn, too.
    fn share(&self, position: usize, models_until: Instant) -> Instant {
        let others_wait = self.route.iter().skip(position + 1).any(|station| station.model.is_remote());
        let now = Instant::now();
        if others_wait { now + models_until.saturating_duration_since(now) * 2 / 3 } else { models_until }
    }

    async fn fall_back(
        &self,
        question: &Question<'_>,
        deadline: Instant,
        journal: &mut Journal,
        fits: &(dyn Fn(&Record) -> bool + Send + Sync),
    ) -> Option<(Checked, Box<str>)> {
        for step in &self.fallback {
            let (checked, answered_by) = match step {
                Step::Cached(age) => (self.recall(question, *age), "fallback:cached".into()),
                Step::Rules { path, station } => {
                    let won = station.ask(question, self.route.len(), &self.check, deadline, journal).await;
                    (won.map(|it| it.checked), format!("fallback:rules {path}").into())
                }
                Step::Answer(checked) => (Some(Checked::clone(checked)), FIXED.into()),
            };
            if let Some(checked) = checked.filter(|it| fits(&it.record)) {
                return Some((checked, answered_by));
            }
        }
        None
    }

    /// The remembered answer of a remote model to what it would be asked now.
    fn recall(&self, question: &Question<'_>, age: Duration) -> Option<Checked> {
        let view = question.view(true);
        let mut answer = self.memory.as_ref()?.recall(question.digest(view), age)?;
        view.restore(&mut answer);
        self.check.read(answer).ok()
    }
}

fn asked_by(mapping: &Mapping) -> Result<&Ask, Fault> {
    mapping.ask.as_ref().ok_or_else(|| Fault::new(FaultCode::Internal, "the mapping asks nothing"))
}

fn fallback_steps(
    ask: &Ask,
    models: Vec<Option<Arc<dyn Model>>>,
    check: &AnswerCheck,
) -> Result<Vec<Step>, Fault> {
    let models = models.into_iter().chain(std::iter::repeat_with(|| None));
    let steps = ask.fallback.iter().zip(models).map(|(step, model)| match (step, model) {
        (Fallback::Cached(age), _) => Ok(Step::Cached(*age)),
        (Fallback::Rules { path, .. }, Some(model)) => {
            Ok(Step::Rules { path: path.clone(), station: Station { model, breaker: None } })
        }
        (Fallback::Rules { path, .. }, None) => {
            Err(Fault::new(FaultCode::Internal, format!("the fallback {path} was not opened")))
        }
        (Fallback::Answer(fields), _) => match check.read(fields.clone()) {
            Ok(checked) => Ok(Step::Answer(Box::new(checked))),
            Err(fault) => {
                Err(Fault::new(FaultCode::Internal, "the fallback answer is outside its schema")
                    .because(fault))
            }
        },
    });
    steps.collect()
}

/// When models must be done, so that the fallback list and the reply have their time.
fn keep_reserve(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    let reserve = (left / 20).clamp(RESERVE.0, RESERVE.1).min(left / 2);
    deadline.checked_sub(reserve).unwrap_or(deadline)
}

impl Journal {
    fn into_asked(self, checked: Checked, answered_by: Box<str>) -> Asked {
        let Checked { raw, record } = checked;
        Asked { answer: record, raw, answered_by, usage: self.usage, attempts: self.attempts }
    }

    fn into_fault(self) -> Fault {
        let recovery = if self.may_recover { Recovery::Retry } else { Recovery::GiveUp };
        let fault =
            Fault::new(FaultCode::Model, "no model and no fallback gave an answer").recovery(recovery);
        match self.last {
            Some(cause) => fault.because(cause),
            None => fault,
        }
    }
}
