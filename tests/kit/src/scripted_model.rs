//! A model that does what a test says.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::time::Instant;
use vestibule_core::{
    ask::{Answered, Task, Usage},
    fault::{Fault, FaultCode, Recovery},
    gate::Admitted,
    ports::Model,
};

/// What a [`ScriptedModel`] does when it is asked.
#[derive(Debug, Clone)]
pub enum Step {
    /// Answers with this JSON object; anything else is a fault of the model.
    Answer(Value),
    /// Fails.
    Fail(Recovery),
    /// Says nothing until the deadline, then fails with it, as a well-behaved adapter does.
    Hang,
    /// Says nothing ever: the adapter that forgot its deadline.
    HangForever,
    /// Waits, then does the other.
    After(Duration, Box<Step>),
}

/// A fake model. Plays its steps in order and repeats the last; counts its calls.
pub struct ScriptedModel {
    name: String,
    remote: bool,
    steps: Vec<Step>,
    calls: AtomicUsize,
    prompts: Mutex<Vec<String>>,
}

impl ScriptedModel {
    /// A local model of this name.
    pub fn new(name: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        Self {
            name: name.into(),
            remote: false,
            steps,
            calls: AtomicUsize::new(0),
            prompts: Mutex::default(),
        }
    }

    /// A model that always gives this answer.
    pub fn answering(answer: Value) -> Self {
        Self::new("scripted", [Step::Answer(answer)])
    }

    /// The same model, as if values left the process: fields must be masked, and it reads the prompt.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The prompts it was sent; none for a local model, which does not ask for one.
    pub fn prompts(&self) -> Vec<String> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self) -> Option<Step> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.steps.get(call).or(self.steps.last()).cloned()
    }

    fn read_prompt(&self, task: &Task<'_>) -> Result<(), Fault> {
        if self.remote {
            let prompt = (task.prompt)()?;
            self.prompts.lock().unwrap_or_else(PoisonError::into_inner).push(prompt);
        }
        Ok(())
    }

    async fn play(&self, mut step: Step, deadline: Instant) -> Result<Answered, Fault> {
        loop {
            match step {
                Step::Answer(Value::Object(answer)) => return Ok(answered(answer)),
                Step::Answer(_) => {
                    return Err(Fault::new(FaultCode::Model, "the answer is not a JSON object"));
                }
                Step::Fail(recovery) => {
                    return Err(Fault::new(FaultCode::Model, "failed, as the script says").recovery(recovery));
                }
                Step::Hang => {
                    tokio::time::sleep_until(deadline).await;
                    return Err(
                        Fault::new(FaultCode::Deadline, "no answer in time").recovery(Recovery::FailOver)
                    );
                }
                Step::HangForever => std::future::pending().await,
                Step::After(pause, next) => {
                    tokio::time::sleep(pause).await;
                    step = *next;
                }
            }
        }
    }
}

fn answered(answer: Map<String, Value>) -> Answered {
    Answered { answer, usage: Usage { input: 100, cached_input: 0, output: 10 } }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_remote(&self) -> bool {
        self.remote
    }

    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        _input: &'a Admitted,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            self.read_prompt(task)?;
            match self.next() {
                Some(step) => self.play(step, deadline).await,
                None => Err(Fault::new(FaultCode::Model, "the script is empty").recovery(Recovery::FailOver)),
            }
        })
    }
}
