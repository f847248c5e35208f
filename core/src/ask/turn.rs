//! One model's turn: at most two calls, inside the time that the turn was given.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Task, Usage,
    breaker::{Breaker, Permit},
    check::{AnswerCheck, Checked},
    question::Question,
};
use crate::{
    fault::{Fault, FaultCode, Recovery},
    ports::Model,
};

/// Shortest time that is worth a call: below it, a second call only costs.
const LEAST_TIME: Duration = Duration::from_millis(50);
/// A model that was given less than this is not to blame for being late.
const FAIR_TIME: Duration = Duration::from_millis(500);
/// Mean pause before a second call; each pause is between half and one and a half of it.
const PAUSE: Duration = Duration::from_millis(100);

/// One call of a model, for lineage and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The model's name.
    pub model: Box<str>,
    /// How it ended.
    pub ending: Ending,
}

/// How a call of a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an answer that passed its checks.
    Answered,
    /// With a fault of this code and class.
    Failed(FaultCode, Recovery),
    /// It was not called: it failed too often just now, or asked to be left alone.
    Resting,
}

impl Ending {
    /// `answered`, `resting`, or the fault's stable code.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(code, _) => code.code(),
            Self::Resting => "resting",
        }
    }
}

/// A model on the route, with what is known about its health.
pub(super) struct Station {
    pub model: Arc<dyn Model>,
    /// `None` inside the process: a decision table needs no rest.
    pub breaker: Option<Arc<Breaker>>,
}

/// What came of all calls so far.
#[derive(Default)]
pub(super) struct Journal {
    pub attempts: Vec<Attempt>,
    /// Of every answer that came, also of those that were refused: they were paid for.
    pub usage: Usage,
    /// The newest fault, for the log when nothing answers at all.
    pub last: Option<Fault>,
    /// True when a later call may do better.
    pub may_recover: bool,
}

/// A good answer, and what the model itself said (stand-ins in place) for the memory.
pub(super) struct Won {
    pub checked: Checked,
    pub as_given: Map<String, Value>,
}

impl Station {
    /// Asks until `until`, twice at most. `None`: this model has no answer; the journal says why.
    pub async fn ask(
        &self,
        question: &Question<'_>,
        position: usize,
        check: &AnswerCheck,
        until: Instant,
        journal: &mut Journal,
    ) -> Option<Won> {
        let mut is_second = false;
        let request_id = question.request_id(position);
        loop {
            let permit = match &self.breaker {
                None => None,
                Some(breaker) => match breaker.admit() {
                    Some(permit) => Some(permit),
                    None => {
                        journal.rest(self.model.name());
                        return None;
                    }
                },
            };
            let fault = match self.call(question, &request_id, check, until, journal, permit).await {
                Ok(won) => {
                    journal.note(self.model.name(), Ending::Answered);
                    return Some(won);
                }
                Err(fault) => fault,
            };
            let pause = if is_second { None } else { pause_before_second(fault.recovery, until) };
            journal.fail(self.model.name(), fault);
            sleep(pause?).await;
            is_second = true;
        }
    }

    async fn call(
        &self,
        question: &Question<'_>,
        request_id: &str,
        check: &AnswerCheck,
        until: Instant,
        journal: &mut Journal,
        permit: Option<Permit<'_>>,
    ) -> Result<Won, Fault> {
        let view = question.view(self.model.is_remote());
        let prompt = || question.prompt(view);
        let task = Task {
            mapping: question.mapping,
            prompt: &prompt,
            schema: &question.ask.schema,
            now: question.now,
            request_id,
        };
        let began = Instant::now();
        let answered = match timeout_at(until, self.model.infer(&task, view.admitted(), until)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(fault)) => {
                report(permit, &fault, began, until);
                return Err(fault);
            }
            Err(_) => {
                let fault = Fault::new(FaultCode::Deadline, "the model did not answer in time");
                let fault = fault.recovery(Recovery::FailOver);
                report(permit, &fault, began, until);
                return Err(fault);
            }
        };
        if let Some(permit) = permit {
            permit.succeeded();
        }
        journal.usage.add(answered.usage);
        let as_given = answered.answer;
        let mut restored = as_given.clone();
        view.restore(&mut restored);
        Ok(Won { checked: check.read(restored)?, as_given })
    }
}

/// Tells the breaker what the fault says about the server's health.
fn report(permit: Option<Permit<'_>>, fault: &Fault, began: Instant, until: Instant) {
    let Some(permit) = permit else { return };
    if fault.code == FaultCode::Deadline && until.duration_since(began) < FAIR_TIME {
        // Dropped without a word: nothing was learnt.
        return;
    }
    match fault.recovery {
        // The server is well and said when to come back. A wait that fits is this call's own; a longer one closes the
        // way for others, too. Neither counts as a failure.
        Recovery::RetryAfter(wait) if fits(wait, until) => drop(permit),
        Recovery::RetryAfter(wait) => permit.told_to_wait(wait),
        recovery => permit.failed(recovery),
    }
}

/// How long to wait before the same model is asked again; `None`: it is not asked again.
fn pause_before_second(recovery: Recovery, until: Instant) -> Option<Duration> {
    let pause = match recovery {
        Recovery::Retry => jittered(PAUSE),
        Recovery::RetryAfter(wait) => wait,
        Recovery::FailOver | Recovery::GiveUp => return None,
    };
    fits(pause, until).then_some(pause)
}

fn fits(pause: Duration, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    pause.checked_add(LEAST_TIME).is_some_and(|needed| needed <= left)
}

/// Half to one and a half of the pause: callers that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // The standard library's hash keys are the one source of chance at hand; nothing secret depends on it.
    let chance = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + pause.mul_f64(f64::from(u32::try_from(chance).unwrap_or(500)) / 1000.0)
}

impl Journal {
    fn note(&mut self, model: &str, ending: Ending) {
        self.attempts.push(Attempt { model: model.into(), ending });
    }

    fn rest(&mut self, model: &str) {
        tracing::debug!(model, "the model is resting");
        self.may_recover = true;
        self.note(model, Ending::Resting);
    }

    fn fail(&mut self, model: &str, fault: Fault) {
        tracing::warn!(model, code = fault.code.code(), recovery = ?fault.recovery, reason = %fault.message, "the model gave no usable answer");
        self.may_recover |= fault.code == FaultCode::Deadline
            || matches!(fault.recovery, Recovery::Retry | Recovery::RetryAfter(_));
        self.note(model, Ending::Failed(fault.code, fault.recovery));
        self.last = Some(fault);
    }
}

impl Usage {
    /// Adds what another call used.
    pub fn add(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.output = self.output.saturating_add(other.output);
    }
}
