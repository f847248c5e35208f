//! The runner: what is accepted is finished once, whoever waits, hangs up, panics or pulls the plug.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use tokio::time::Instant;
use vestibule_core::{
    ask::{Answered, Task},
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    gate::Admitted,
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, JobState, Lease, NewJob, Remark, Reply,
        Start, Submission, Suspension, Sweep,
    },
    ports::{JobStore, Model},
    runner::{Called, Parts, Request, Runner, RunnerSettings, Wait},
};
use vestibule_testkit::{
    MemoryStore, ScriptedModel, Step,
    memory_store::{FailingStore, Mistake},
};

use crate::desk::{ASKS, document, flow, written};

const RECORD: &str = "record:\n  a: { from: A }\n";
const BACK: &str = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n    Status: outcome\n    Ticket: ticket\n";
/// A form that can not say that a person decides.
const MUTE: &str = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n";
const NOTHING_KEPT: &str = "durability: none\n";

fn good() -> Step {
    Step::Answer(json!({ "priority": "high" }))
}

fn slow(milliseconds: u64) -> Step {
    Step::After(Duration::from_millis(milliseconds), Box::new(good()))
}

fn model(steps: impl IntoIterator<Item = Step>) -> Arc<ScriptedModel> {
    Arc::new(ScriptedModel::new("m", steps))
}

fn start(rest: &str, model: Arc<dyn Model>, store: Option<Arc<dyn JobStore>>) -> Arc<Runner> {
    let flow = flow(&format!("{RECORD}{ASKS}{rest}"), vec![model]);
    Runner::start(Parts::called(vec![Arc::new(flow)], store))
}

fn keyed(key: &str, text: &str) -> Document {
    Document { key: IdempotencyKey::new(key), ..document(text) }
}

async fn call(runner: &Arc<Runner>, document: Document) -> Result<(JobId, Arc<Reply>), Fault> {
    let extraction = runner.flows()[0].extract(&document)?;
    let request = Request { flow: 0, document, extraction, wait: Wait::Result, return_to: None };
    match runner.call(request).await? {
        Called::Replied(id, reply) => Ok((id, reply)),
        Called::Ticket(id) => panic!("a ticket: {id}"),
    }
}

async fn states(store: &Arc<dyn JobStore>) -> Vec<&'static str> {
    store.list(JobFilter::default()).await.unwrap().iter().map(|it| it.state.word()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_known_key_gets_the_stored_result_byte_for_byte() {
    for durability in ["", NOTHING_KEPT] {
        let model = model([good(), Step::Answer(json!({ "priority": "low" }))]);
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
        let runner = start(&format!("{BACK}{durability}"), model.clone(), Some(store));
        let (first, reply) = call(&runner, keyed("k", "<C><A>1</A></C>")).await.unwrap();
        let (second, again) = call(&runner, keyed("k", "<C><A>1</A></C>")).await.unwrap();
        assert_eq!((first, &reply), (second, &again), "durability: {durability}");
        assert!(written(&reply).contains(&first.to_string()));
        let fault = call(&runner, keyed("k", "<C><A>2</A></C>")).await.unwrap_err();
        assert_eq!((fault.code, model.calls()), (FaultCode::KeyConflict, 1), "durability: {durability}");
        let (third, other) = call(&runner, keyed("other", "<C><A>2</A></C>")).await.unwrap();
        assert_ne!((third, &*other), (first, &*reply), "durability: {durability}");
    }
}

/// A business key, and a rule that refuses what is negative.
const CLAIMS: &str = "record:\n  a: { from: A, required: yes }\n  n: { from: N, type: int, required: yes }\nkey: [a, n]\nchecks:\n  n >= 0: { else: reject }\n";

#[tokio::test(start_paused = true)]
async fn the_key_of_a_mapping_counts_where_the_transport_has_none() {
    let model = model([good()]);
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let flow = flow(&format!("{CLAIMS}{ASKS}{BACK}"), vec![model.clone()]);
    let runner = Runner::start(Parts::called(vec![Arc::new(flow)], Some(store)));
    let claim = |a: &str, n: &str| document(&format!("<C><A>{a}</A><N>{n}</N></C>"));
    let (first, _) = call(&runner, claim("1", "2")).await.unwrap();
    let (second, _) = call(&runner, claim("1", "2")).await.unwrap();
    let (third, _) = call(&runner, claim("1|", "2")).await.unwrap();
    let (fourth, _) = call(&runner, claim("l\n1", "2")).await.unwrap();
    let (fifth, _) = call(&runner, claim("l\n1", "2")).await.unwrap();
    assert_eq!((first, fourth), (second, fifth), "a line break is no reason to forget the key");
    assert_eq!(std::collections::HashSet::from([first, third, fourth]).len(), 3);
    assert_eq!(model.calls(), 3);
}

#[test]
fn keys_of_different_values_never_meet() {
    let flow = flow(
        "key: [a, b]\nrecord:\n  a: { from: A, required: yes }\n  b: { from: B, required: yes }\n",
        Vec::new(),
    );
    let parts = ["x", "x|", "|x", "x\\", "\\|x", "x|b=", "b=x", "x#2", "x\\#2"];
    let mut seen = std::collections::HashSet::new();
    for (a, b) in parts.iter().flat_map(|a| parts.iter().map(move |b| (a, b))) {
        let extraction = flow.extract(&document(&format!("<C><A>{a}</A><B>{b}</B></C>"))).unwrap();
        let key = flow.key_of(&extraction).unwrap();
        assert!(seen.insert(key.as_str().to_owned()), "{a:?} and {b:?} make {}", key.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_document_can_be_corrected_under_its_business_key() {
    let record = CLAIMS.replace("key: [a, n]", "key: a");
    for durability in ["", NOTHING_KEPT] {
        let model = model([good()]);
        let flow = flow(&format!("{record}{ASKS}{BACK}{durability}"), vec![model.clone()]);
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
        let runner = Runner::start(Parts::called(vec![Arc::new(flow)], Some(store)));
        let claim = |n: i32| document(&format!("<C><A>C1</A><N>{n}</N></C>"));
        let (wrong, refused) = call(&runner, claim(-1)).await.unwrap();
        assert_eq!(written(&refused), format!("Prio=-; Status=reject; Ticket={wrong}"), "{durability}");
        let (still_wrong, _) = call(&runner, claim(-2)).await.unwrap();
        let (right, accepted) = call(&runner, claim(3)).await.unwrap();
        assert_eq!(written(&accepted), format!("Prio=high; Status=pass; Ticket={right}"), "{durability}");
        // Every one of them is known from now on, and after the right one there is no other.
        assert_eq!(call(&runner, claim(-1)).await.unwrap().0, wrong, "{durability}");
        assert_eq!(call(&runner, claim(-2)).await.unwrap().0, still_wrong, "{durability}");
        assert_eq!(call(&runner, claim(3)).await.unwrap().0, right, "{durability}");
        assert_eq!(call(&runner, claim(4)).await.unwrap_err().code, FaultCode::KeyConflict, "{durability}");
        assert_eq!(model.calls(), 1, "{durability}");
        // A caller's own key names one document, whatever became of it.
        let own = |n: i32| Document { key: IdempotencyKey::new("own"), ..claim(n) };
        call(&runner, own(-1)).await.unwrap();
        assert_eq!(call(&runner, own(3)).await.unwrap_err().code, FaultCode::KeyConflict, "{durability}");
    }
}

#[tokio::test(start_paused = true)]
async fn sixty_four_racing_callers_ask_once_and_hear_the_same() {
    for durability in ["", NOTHING_KEPT] {
        let model = model([slow(300)]);
        let runner =
            start(&format!("{BACK}{durability}"), model.clone(), Some(Arc::new(MemoryStore::default())));
        let calls = (0..64).map(|_| call(&runner, keyed("k", "<C><A>1</A></C>")));
        let replies: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert!(replies.iter().all(|it| *it == replies[0]), "durability: {durability}");
        assert_eq!(model.calls(), 1, "durability: {durability}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_key_of_a_flow_that_keeps_nothing_is_free_again() {
    let model = model([Step::Fail(Recovery::GiveUp), good()]);
    let runner = start(&format!("{MUTE}{NOTHING_KEPT}"), model.clone(), None);
    assert_eq!(call(&runner, keyed("k", "<C/>")).await.unwrap_err().code, FaultCode::Model);
    assert_eq!(written(&call(&runner, keyed("k", "<C/>")).await.unwrap().1), "Prio=high");
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_drops_the_waiting_and_not_the_job() {
    let model = model([slow(300)]);
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let runner = start(BACK, model.clone(), Some(Arc::clone(&store)));
    let hung_up = tokio::time::timeout(Duration::from_millis(50), call(&runner, keyed("k", "<C/>"))).await;
    assert!(hung_up.is_err());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(states(&store).await, ["answered"]);
    call(&runner, keyed("k", "<C/>")).await.unwrap();
    assert_eq!((states(&store).await, model.calls()), (vec!["returned"], 1));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_job_is_finished_after_the_start() {
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::new(Duration::from_millis(20)));
    for (key, flow) in [("one", "desk"), ("two", "desk"), ("other", "not-served")] {
        let (document, id) = (keyed(key, "<C/>"), JobId::fresh());
        let job = NewJob::new(id, flow.into(), document.clone(), document.digest());
        assert!(matches!(store.submit(job).await.unwrap(), Submission::Accepted(_)));
    }
    std::thread::sleep(Duration::from_millis(40));
    let model = model([good()]);
    let runner = start(BACK, model.clone(), Some(Arc::clone(&store)));
    let (_, reply) = call(&runner, keyed("one", "<C/>")).await.unwrap();
    assert!(written(&reply).starts_with("Prio=high"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // What nobody serves here waits for who does: nothing accepted is given up for that.
    assert_eq!(states(&store).await, ["leased", "answered", "returned"]);
    assert_eq!(model.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_tried_five_times_and_then_given_up() {
    let model = model([Step::Fail(Recovery::Retry)]);
    let ignores_delays = MemoryStore::broken(Duration::from_secs(60), Mistake::IgnoresDelays);
    let store: Arc<dyn JobStore> = Arc::new(ignores_delays);
    let runner = start(MUTE, model.clone(), Some(Arc::clone(&store)));
    assert_eq!(call(&runner, keyed("k", "<C/>")).await.unwrap_err().code, FaultCode::Model);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(states(&store).await, ["dead"]);
    // Each time the model was asked twice.
    assert_eq!(model.calls(), 10);
    let fault = call(&runner, keyed("k", "<C/>")).await.unwrap_err();
    assert!(fault.message.contains("was given up: V009"), "{}", fault.message);
    assert_eq!(
        (fault.code, fault.recovery),
        (FaultCode::Model, Recovery::GiveUp),
        "there is nothing to wait for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_document_that_was_given_up_can_be_sent_again_under_its_business_key() {
    let model = model([Step::Fail(Recovery::GiveUp), good()]);
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let record = CLAIMS.replace("key: [a, n]", "key: a");
    let flow = flow(&format!("{record}{ASKS}{MUTE}"), vec![model.clone()]);
    let runner = Runner::start(Parts::called(vec![Arc::new(flow)], Some(store)));
    let claim = |n: i32| document(&format!("<C><A>C1</A><N>{n}</N></C>"));
    assert_eq!(call(&runner, claim(1)).await.unwrap_err().code, FaultCode::Model);
    let (again, reply) = call(&runner, claim(1)).await.unwrap();
    assert_eq!(written(&reply), "Prio=high");
    assert_eq!(call(&runner, claim(1)).await.unwrap().0, again, "an answer is an answer");
    assert_eq!(call(&runner, claim(2)).await.unwrap_err().code, FaultCode::KeyConflict);
    assert_eq!(model.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_for_a_moment_waits_and_is_answered_later() {
    let model = model([Step::Fail(Recovery::Retry), Step::Fail(Recovery::Retry), good()]);
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let runner = start(MUTE, model, Some(Arc::clone(&store)));
    let before = jiff::Timestamp::now();
    call(&runner, keyed("k", "<C/>")).await.unwrap_err();
    let job = store.list(JobFilter::default()).await.unwrap().remove(0);
    let JobState::Queued { attempt: 1, not_before } = job.state else { panic!("{:?}", job.state) };
    assert!(not_before.duration_since(before).as_millis() >= 1_000);
    std::thread::sleep(Duration::from_millis(1_300));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(states(&store).await, ["answered"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_under_way_and_takes_nothing_more() {
    for (within, is_done, state) in [(5_000, true, "answered"), (100, false, "leased")] {
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
        let runner = start(BACK, model([slow(500)]), Some(Arc::clone(&store)));
        let waiting =
            tokio::time::timeout(Duration::from_millis(50), call(&runner, keyed("k", "<C/>"))).await;
        assert!(waiting.is_err());
        assert_eq!(runner.drain(Duration::from_millis(within)).await, is_done, "within: {within}");
        assert_eq!(states(&store).await, [state], "within: {within}");
        let fault = call(&runner, keyed("other", "<C/>")).await.unwrap_err();
        assert_eq!((fault.code, fault.recovery), (FaultCode::Unavailable, Recovery::Retry));
    }
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_there_is_room_for_are_turned_away() {
    let flow = flow(&format!("{RECORD}{ASKS}{BACK}"), vec![model([slow(1_500)])]);
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let runner = Runner::start(Parts {
        settings: RunnerSettings { most_calls: 2, ..RunnerSettings::default() },
        ..Parts::called(vec![Arc::new(flow)], Some(Arc::clone(&store)))
    });
    // Half of the two seconds is for the turn. Once it is known how long one takes, the fourth knows at once.
    for expected in [Duration::from_secs(1), Duration::ZERO] {
        let began = Instant::now();
        let one = async {
            let called = call(&runner, document("<C/>")).await;
            (called, began.elapsed())
        };
        let others = join_all((0..3).map(|_| call(&runner, document("<C/>"))));
        let (_, (refused, after)) = tokio::join!(others, one);
        let fault = refused.unwrap_err();
        assert_eq!(fault.code, FaultCode::Unavailable);
        assert!(matches!(fault.recovery, Recovery::RetryAfter(it) if it >= Duration::from_secs(1)));
        assert_eq!(after.as_millis(), expected.as_millis());
    }
    assert_eq!(states(&store).await.len(), 4, "what was refused was not accepted");
    call(&runner, document("<C/>")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_past_the_deadline() {
    let hangs = || Arc::new(ScriptedModel::new("m", [Step::HangForever]).remote());
    let kept: Option<Arc<dyn JobStore>> = Some(Arc::new(MemoryStore::default()));
    let stuck: Option<Arc<dyn JobStore>> = Some(Arc::new(Flaky { hangs: true, ..Flaky::default() }));
    for (rest, store, key) in [
        (MUTE.to_owned(), kept, None),
        (format!("{MUTE}{NOTHING_KEPT}"), None, None),
        (format!("{MUTE}{NOTHING_KEPT}"), None, Some("k")),
        // The store itself hangs, of a flow that asks nobody, too.
        (MUTE.to_owned(), stuck, Some("k")),
    ] {
        let runner = start(&rest, hangs(), store);
        let began = Instant::now();
        let document = Document { key: key.and_then(IdempotencyKey::new), ..document("<C/>") };
        let fault = call(&runner, document).await.unwrap_err();
        assert!(matches!(fault.code, FaultCode::Deadline | FaultCode::Model), "{fault}");
        assert!(began.elapsed() <= Duration::from_millis(2_010), "{:?} for {rest}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_that_could_not_be_accepted() {
    for recovery in [Recovery::Retry, Recovery::GiveUp] {
        let model = model([good()]);
        let runner = start(BACK, model.clone(), Some(Arc::new(FailingStore { recovery })));
        let fault = call(&runner, keyed("k", "<C/>")).await.unwrap_err();
        assert_eq!((fault.code, fault.recovery, model.calls()), (FaultCode::Store, recovery, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_can_not_be_stored_at_once_is_stored_a_moment_later() {
    let store = Arc::new(Flaky { failures: AtomicUsize::new(3), ..Flaky::default() });
    let model = model([good()]);
    let runner = start(BACK, model.clone(), Some(store.clone()));
    let (_, reply) = call(&runner, keyed("k", "<C/>")).await.unwrap();
    let (_, again) = call(&runner, keyed("k", "<C/>")).await.unwrap();
    assert_eq!((reply, model.calls()), (again, 1));

    // The store said that it failed, and had it all the same.
    let store = Arc::new(Flaky { failures: AtomicUsize::new(1), keeps: true, ..Flaky::default() });
    let runner = start(BACK, model, Some(store));
    call(&runner, keyed("k", "<C/>")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_can_not_be_stored_is_a_fault_now_and_a_result_later() {
    let store = Arc::new(Flaky {
        failures: AtomicUsize::new(usize::MAX),
        inner: MemoryStore::new(Duration::from_millis(300)),
        ..Flaky::default()
    });
    let model = model([good()]);
    let runner = start(BACK, model, Some(store.clone()));
    let fault = call(&runner, keyed("k", "<C/>")).await.unwrap_err();
    assert_eq!((fault.code, fault.recovery), (FaultCode::Store, Recovery::Retry));
    store.failures.store(0, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(350));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_, reply) = call(&runner, keyed("k", "<C/>")).await.unwrap();
    assert!(written(&reply).starts_with("Prio=high"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_internal_fault_and_the_job_is_tried_again() {
    for (rest, store) in [(BACK.to_owned(), true), (format!("{BACK}{NOTHING_KEPT}"), false)] {
        let model = Arc::new(Panicking { calm: AtomicBool::new(false), calls: AtomicUsize::new(0) });
        let kept: Arc<dyn JobStore> =
            Arc::new(MemoryStore::broken(Duration::from_secs(60), Mistake::IgnoresDelays));
        let runner = start(&rest, model.clone(), store.then(|| Arc::clone(&kept)));
        for key in [None, Some("k")] {
            let document = Document { key: key.and_then(IdempotencyKey::new), ..document("<C/>") };
            assert_eq!(call(&runner, document).await.unwrap_err().code, FaultCode::Internal, "key: {key:?}");
        }
        if store {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(states(&kept).await, ["dead", "dead"]);
            assert_eq!(model.calls.load(Ordering::SeqCst), 10);
        }
        // The process goes on.
        model.calm.store(true, Ordering::SeqCst);
        call(&runner, keyed("new", "<C/>")).await.unwrap();
        assert!(runner.drain(Duration::from_secs(1)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_panics_after_the_restart_stops_no_other_and_is_given_up() {
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    for text in ["<panic/>", "<C/>"] {
        let document = document(text);
        let job = NewJob::new(JobId::fresh(), "desk".into(), document.clone(), document.digest());
        store.submit(NewJob { start: Start::Later, ..job }).await.unwrap();
    }
    let _runner = start(BACK, model([good()]), Some(Arc::clone(&store)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(states(&store).await, ["answered", "dead"]);
}

struct Panicking {
    calm: AtomicBool,
    calls: AtomicUsize,
}

impl Model for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }
    fn is_remote(&self) -> bool {
        false
    }
    fn infer<'a>(
        &'a self,
        _: &'a Task<'a>,
        _: &'a Admitted,
        _: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            assert!(self.calm.load(Ordering::SeqCst), "as the test asked");
            let answer = serde_json::Map::from_iter([("priority".to_owned(), json!("high"))]);
            Ok(Answered { answer, usage: Default::default() })
        })
    }
}

/// A store that fails to answer so many times, or hangs when it should accept.
#[derive(Default)]
struct Flaky {
    inner: MemoryStore,
    failures: AtomicUsize,
    /// A failing answer is stored all the same.
    keeps: bool,
    hangs: bool,
}

impl JobStore for Flaky {
    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        if self.hangs { Box::pin(std::future::pending()) } else { self.inner.submit_all(jobs) }
    }
    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(async move {
            let fails = self.failures.load(Ordering::SeqCst) > 0;
            if fails {
                self.failures.fetch_sub(1, Ordering::SeqCst);
            }
            let kept = match !fails || self.keeps {
                true => self.inner.answer(lease, reply).await?,
                false => None,
            };
            match fails {
                true => Err(Fault::new(FaultCode::Store, "the disk is full").recovery(Recovery::Retry)),
                false => Ok(kept),
            }
        })
    }
    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.inner.checkpoint(lease, answers)
    }
    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        self.inner.position(name)
    }
    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        self.inner.keep_position(name, text)
    }
    fn suspend(&self, lease: Lease, suspension: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.suspend(lease, suspension)
    }
    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.returned(job)
    }
    fn release(&self, lease: Lease, delay: Duration, untried: bool) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.release(lease, delay, untried)
    }
    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        self.inner.bury(lease, cause, findings)
    }
    fn delivered(&self, lease: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.delivered(lease)
    }
    fn redeliver(&self, lease: Lease, delay: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.redeliver(lease, delay)
    }
    fn undeliverable(&self, lease: Lease, cause: String) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.undeliverable(lease, cause)
    }
    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        self.inner.claim(flows, most)
    }
    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        self.inner.claim_deliveries(most)
    }
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        self.inner.renew(lease)
    }
    fn retry(&self, job: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        self.inner.retry(job)
    }
    fn cancel(&self, job: JobId, cause: String) -> BoxFuture<'_, Result<bool, Fault>> {
        self.inner.cancel(job, cause)
    }
    fn hold(&self, job: JobId, by: String, lasts: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        self.inner.hold(job, by, lasts)
    }
    fn decide(&self, job: JobId, decisions: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        self.inner.decide(job, decisions)
    }
    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        self.inner.sweep(sweep)
    }
    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        self.inner.census()
    }
    fn lead<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        self.inner.lead(role)
    }
    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        self.inner.find(id)
    }
    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        self.inner.checkpoints(id)
    }
    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        self.inner.list(filter)
    }
    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.ready()
    }
    fn returned_soon(&self, job: JobId) {
        self.inner.returned_soon(job);
    }
    fn delivered_soon(&self, lease: Lease) {
        self.inner.delivered_soon(lease);
    }
    fn woken(&self) -> BoxFuture<'_, ()> {
        self.inner.woken()
    }
}
