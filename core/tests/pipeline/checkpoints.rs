//! Answers that are saved before all of them are there: none is asked for twice, and none is lost on the way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;
use vestibule_core::{
    ask::{Answered, Task, Usage},
    fault::{Fault, FaultCode, Recovery},
    flow::{Ended, Flow, Progress, Save},
    gate::Admitted,
    job::{Checkpoint, Decision, JobId, Reply},
    ports::Model,
};
use vestibule_testkit::{ScriptedModel, Step};

use crate::desk::{ASKS, batch, document, flow, written};

const RECORD: &str = "record:\n  a: { from: A, required: yes }\n";
const BACK: &str = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n    Status: outcome\n    Model: model.name\n";
/// A form that can not say that a person decides.
const MUTE: &str = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n";

/// Keeps what is saved; from a number on it fails.
#[derive(Default)]
pub struct Keeper {
    pub kept: Mutex<Vec<Checkpoint>>,
    fails_at: Option<usize>,
    takes: Duration,
}

impl Keeper {
    pub fn all(&self) -> Vec<Checkpoint> {
        self.kept.lock().unwrap().clone()
    }

    fn records(&self) -> Vec<u32> {
        self.all().iter().map(|it| it.record).collect()
    }
}

impl Save for Keeper {
    fn save(&self, answer: Checkpoint) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            let mut kept = self.kept.lock().unwrap();
            if self.fails_at.is_some_and(|it| kept.len() >= it) {
                return Err(Fault::new(FaultCode::Store, "the lease is lost"));
            }
            kept.push(answer);
            Ok(())
        })
    }
}

/// One attempt at a document.
pub async fn attempt(
    flow: &Flow,
    text: &str,
    ticket: JobId,
    decisions: &[Decision],
    keeper: &Keeper,
) -> Result<Ended, Fault> {
    let document = document(text);
    let extraction = flow.extract(&document)?;
    let deadline = Instant::now() + Duration::from_secs(2);
    let saved = keeper.all();
    let progress = Progress { ticket, deadline, decisions, saved, save: Some(keeper) };
    flow.run(&document, extraction, progress).await
}

async fn replied(flow: &Flow, text: &str, keeper: &Keeper) -> Reply {
    match attempt(flow, text, JobId::fresh(), &[], keeper).await.unwrap() {
        Ended::Reply(reply) => reply,
        Ended::Review(_) => panic!("nobody is asked"),
    }
}

fn prio(word: &str) -> Step {
    Step::Answer(json!({ "priority": word }))
}

fn records(count: usize) -> String {
    format!("<B>{}</B>", "<R><A>x</A></R>".repeat(count))
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_checkpoint_is_not_asked_about_again() {
    let late = Step::After(Duration::from_millis(300), Box::new(prio("low")));
    let first = Arc::new(ScriptedModel::new("first", [late, prio("high"), Step::Fail(Recovery::Retry)]));
    let keeper = Keeper::default();
    let text = format!("{RECORD}{ASKS}{MUTE}");
    let fault = attempt(&batch(&text, vec![first]), &records(3), JobId::fresh(), &[], &keeper).await;
    assert_eq!(fault.unwrap_err().code, FaultCode::Model);
    // In the order in which they came; the one under way when the work was over is paid for, too.
    assert_eq!(keeper.records(), [1, 0]);

    let second = Arc::new(ScriptedModel::new("second", [prio("high")]));
    let says = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![second.clone()]);
    let reply = replied(&says, &records(3), &keeper).await;
    assert_eq!(second.calls(), 1, "only the third is asked about");
    assert_eq!(
        written(&reply),
        "Prio=low; Status=pass; Model=first\nPrio=high; Status=pass; Model=first\nPrio=high; Status=pass; Model=second"
    );
    assert_eq!((&*reply.answered_by, reply.usage.input, reply.usage.output), ("first", 300, 30));
    assert_eq!(keeper.records(), [1, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_does_not_hold_up_the_next_question() {
    let keeper = Keeper { takes: Duration::from_millis(400), ..Keeper::default() };
    let step = Step::After(Duration::from_millis(100), Box::new(prio("low")));
    let model = Arc::new(ScriptedModel::new("m", [step]));
    let flow = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![model]);
    let began = Instant::now();
    replied(&flow, &records(32), &keeper).await;
    assert_eq!(keeper.all().len(), 32);
    // Four rounds of eight questions, and the last saving: not four times both.
    assert_eq!(began.elapsed(), Duration::from_millis(4 * 100 + 400));
}

#[tokio::test(start_paused = true)]
async fn one_record_saves_nothing_and_a_lost_lease_ends_the_work() {
    let model = Arc::new(ScriptedModel::new("m", [prio("low")]));
    let text = format!("{RECORD}{ASKS}{BACK}");
    let keeper = Keeper::default();
    replied(&flow(&text, vec![model.clone()]), "<C><A>x</A></C>", &keeper).await;
    assert_eq!(keeper.records(), [] as [u32; 0]);

    let keeper = Keeper { fails_at: Some(2), ..Keeper::default() };
    let flow = batch(&text, vec![model.clone()]);
    let fault = attempt(&flow, &records(100), JobId::fresh(), &[], &keeper).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::Store);
    assert!(model.calls() < 100, "asked {} times", model.calls());
}

#[tokio::test(start_paused = true)]
async fn a_saved_answer_that_is_none_any_more_is_asked_for_anew() {
    let saved = |record: u32, answer: Value| Checkpoint {
        record,
        answer: answer.as_object().unwrap().clone(),
        answered_by: "old".into(),
        usage: Usage { input: 7, ..Usage::default() },
    };
    let kept = vec![saved(0, json!({ "priority": "urgent" })), saved(1, json!({ "priority": "low" }))];
    let keeper = Keeper { kept: Mutex::new(kept), ..Keeper::default() };
    let model = Arc::new(ScriptedModel::new("m", [prio("high")]));
    let flow = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![model.clone()]);
    let reply = replied(&flow, &records(2), &keeper).await;
    assert_eq!(written(&reply), "Prio=high; Status=pass; Model=m\nPrio=low; Status=pass; Model=old");
    // What was paid for counts, also where it is not used.
    assert_eq!((model.calls(), reply.usage.input), (1, 114));
}

/// Notes under which name it is asked.
struct Named(&'static str, Mutex<Vec<String>>, Vec<Step>);

impl Model for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        _: &'a Admitted,
        _: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        let mut asked = self.1.lock().unwrap();
        let step = self.2.get(asked.len()).or(self.2.last()).cloned();
        asked.push(task.request_id.to_owned());
        Box::pin(async move {
            match step {
                Some(Step::Answer(Value::Object(answer))) => Ok(Answered { answer, usage: Usage::default() }),
                Some(Step::Fail(recovery)) => Err(Fault::new(FaultCode::Model, "no").recovery(recovery)),
                _ => panic!("no such step"),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_keeps_its_name_until_another_model_is_asked() {
    let busy = Arc::new(Named("busy", Mutex::default(), vec![Step::Fail(Recovery::Retry)]));
    let odd = Arc::new(Named("odd", Mutex::default(), vec![prio("odd")]));
    let good = Arc::new(Named("good", Mutex::default(), vec![prio("low")]));
    let flow = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![busy.clone(), odd.clone(), good.clone()]);
    let (ticket, keeper) = (JobId::fresh(), Keeper::default());
    attempt(&flow, &records(2), ticket, &[], &keeper).await.unwrap();
    let mut by_record = BTreeMap::<String, usize>::new();
    for name in busy.1.lock().unwrap().iter().chain(&*odd.1.lock().unwrap()).chain(&*good.1.lock().unwrap()) {
        *by_record.entry(name.clone()).or_default() += 1;
    }
    let expected: Vec<(String, usize)> = [
        // Asked twice: it is the same question.
        ("0", 2),
        ("0-2", 1),
        // Not under the name whose answer was none.
        ("0-3", 1),
        ("1", 2),
        ("1-2", 1),
        ("1-3", 1),
    ]
    .map(|(name, times)| (format!("{ticket}-{name}"), times))
    .into();
    assert_eq!(Vec::from_iter(by_record), expected);
}
