//! What goes wrong around the runner for a while: a store that takes nothing, code that panics, a receiver that is slow.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::sleep;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    job::{
        Census, Checkpoint, Claimed, Decision, Delivery, Job, JobFilter, JobId, JobState, Lease, NewJob,
        Remark, Reply, ReturnAddress, Start, Submission, Suspension, Sweep,
    },
    ports::{JobStore, Returner},
    runner::{Fed, Parts, Runner},
};
use vestibule_testkit::{MemoryStore, ScriptedModel, Step};

use crate::{
    broker::{Feed, Message, Post, Queue, place, reply_to},
    desk::{document, flow},
};

const PLAIN: &str = "record:\n  a: { from: A }\nreturn:\n  into: R\n  write: { Got: a }\n";
const KEYED: &str = "key: a\nask:\n  route: any\n  prompt: ask.md\n  deadline: 4m\n  answer: { p: { type: text } }\nrecord:\n  a: { from: A, required: yes }\nreturn:\n  into: R\n  write: { P: answer.p }\n";

/// A store that fails for a while, as on a full disk, and one whose code panics.
struct Shaky {
    store: MemoryStore,
    /// Takes nothing at all.
    is_down: AtomicBool,
    /// Takes no document alone.
    refuses_one: AtomicBool,
    /// So many questions for work panic.
    panics: AtomicUsize,
    deliveries_claimed: AtomicUsize,
}

impl Shaky {
    fn new(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            is_down: AtomicBool::new(false),
            refuses_one: AtomicBool::new(false),
            panics: AtomicUsize::new(0),
            deliveries_claimed: AtomicUsize::new(0),
        })
    }

    fn now<'a, T: Send + 'a>(
        &self,
        change: BoxFuture<'a, Result<T, Fault>>,
    ) -> BoxFuture<'a, Result<T, Fault>> {
        match self.is_down.load(Ordering::SeqCst) {
            false => change,
            true => full(),
        }
    }
}

fn full<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Fault>> {
    let fault = Fault::new(FaultCode::Store, "the disk is full, as the test asked").recovery(Recovery::Retry);
    Box::pin(std::future::ready(Err(fault)))
}

/// What no store of these tests ever takes.
fn too_long(job: &NewJob) -> bool {
    job.document.bytes.len() > 1_000
}

macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> BoxFuture<'_, Result<$output, Fault>> {
            self.now(self.store.$name($($argument),*))
        })*
    };
}

impl JobStore for Shaky {
    passed_on! {
        answer(lease: Lease, reply: Reply) -> Option<Lease>;
        suspend(lease: Lease, suspension: Suspension) -> ();
        release(lease: Lease, delay: Duration, untried: bool) -> ();
        bury(lease: Lease, cause: String, findings: Vec<Remark>) -> Option<Lease>;
        returned(job: JobId) -> ();
        delivered(lease: Lease) -> ();
        redeliver(lease: Lease, delay: Duration) -> ();
        undeliverable(lease: Lease, cause: String) -> ();
        retry(job: JobId) -> bool;
        cancel(job: JobId, cause: String) -> bool;
        hold(job: JobId, by: String, lasts: Duration) -> bool;
        decide(job: JobId, decisions: Vec<Decision>) -> bool;
        sweep(sweep: Sweep) -> u64;
        census() -> Vec<Census>;
        find(id: JobId) -> Option<Job>;
        checkpoints(id: JobId) -> Vec<Checkpoint>;
        list(filter: JobFilter) -> Vec<Job>;
        ready() -> ();
    }
    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        self.now(self.store.position(name))
    }
    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        self.now(self.store.keep_position(name, text))
    }
    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        if !jobs.iter().any(too_long) {
            return self.now(self.store.submit_all(jobs));
        }
        Box::pin(async move {
            let mut all = Vec::new();
            for job in jobs {
                all.push(self.submit(job).await);
            }
            Ok(all)
        })
    }
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        if too_long(&job) {
            let fault = Fault::new(FaultCode::Store, "the document is too long for the store");
            return Box::pin(std::future::ready(Err(fault)));
        }
        match self.refuses_one.load(Ordering::SeqCst) {
            true => full(),
            false => self.now(self.store.submit(job)),
        }
    }
    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.now(self.store.checkpoint(lease, answers))
    }
    fn returned_soon(&self, job: JobId) {
        self.store.returned_soon(job);
    }
    fn delivered_soon(&self, lease: Lease) {
        self.store.delivered_soon(lease);
    }
    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        let left = self.panics.load(Ordering::SeqCst);
        self.panics.store(left.saturating_sub(1), Ordering::SeqCst);
        assert!(left == 0, "as the test asked");
        self.now(self.store.claim(flows, most))
    }
    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        Box::pin(async move {
            let claimed = self.now(self.store.claim_deliveries(most)).await?;
            self.deliveries_claimed.fetch_add(claimed.len(), Ordering::SeqCst);
            Ok(claimed)
        })
    }
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        self.now(self.store.renew(lease))
    }
    fn lead<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        self.now(self.store.lead(role))
    }
    fn woken(&self) -> BoxFuture<'_, ()> {
        self.store.woken()
    }
}

fn open(flow: Flow, store: &Arc<Shaky>, queue: &Arc<Queue>, post: &Arc<Post>) -> Arc<Runner> {
    Runner::start(Parts {
        sources: vec![Fed { flow: 0, source: Arc::new(Feed(Arc::clone(queue))) }],
        returners: vec![Arc::clone(post) as Arc<dyn Returner>],
        ..Parts::called(vec![Arc::new(flow)], Some(Arc::clone(store) as Arc<dyn JobStore>))
    })
}

fn message(number: usize) -> Message {
    Message { key: None, ..Message::new("", &format!("<C><A>{number}</A></C>")).to(reply_to("out")) }
}

/// A model that takes a while, as long as a lease and longer.
fn slow() -> Arc<ScriptedModel> {
    let answer = Box::new(Step::Answer(json!({ "p": "high" })));
    Arc::new(ScriptedModel::new("m", [Step::After(Duration::from_secs(90), answer)]))
}

async fn queued(store: &MemoryStore, text: &str) {
    let (document, id) = (document(text), JobId::fresh());
    let job = NewJob::new(id, "desk".into(), document.clone(), document.digest());
    store.submit(NewJob { start: Start::Later, ..job }).await.unwrap();
}

async fn states(store: &MemoryStore) -> Vec<JobState> {
    store.list(JobFilter::default()).await.unwrap().into_iter().rev().map(|it| it.state).collect()
}

#[tokio::test(start_paused = true)]
async fn work_that_outlasts_an_outage_of_its_store_is_not_begun_twice() {
    // Leases are measured by the wall clock here, everything else by the test's.
    let store = Shaky::new(MemoryStore::new(Duration::from_secs(2)));
    let (queue, post, model) = (Queue::of([message(1)]), Arc::new(Post::new("out")), slow());
    let runner = open(flow(KEYED, vec![model.clone()]), &store, &queue, &post);
    sleep(Duration::from_millis(100)).await;
    store.is_down.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    std::thread::sleep(Duration::from_millis(2_100));
    store.is_down.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(120)).await;
    assert_eq!((model.calls(), post.sent().len()), (1, 1), "{:?}", states(&store.store).await);
    drop(runner);
}

#[tokio::test(start_paused = true)]
async fn what_is_leased_begins_although_another_of_its_batch_waits_for_the_store() {
    let store = Shaky::new(MemoryStore::default());
    let (queue, post) = (Queue::of([message(1)]), Arc::new(Post::new("out")));
    let runner = open(flow(KEYED, vec![slow()]), &store, &queue, &post);
    sleep(Duration::from_secs(1)).await;
    store.refuses_one.store(true, Ordering::SeqCst);
    // The first is known under the mapping's own key, and looked at alone.
    queue.put([message(1), message(2)]);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(post.sent().len(), 2, "the second does not wait for the first");
    assert_eq!(queue.left(), (0, 2), "and is settled with its batch");
    store.refuses_one.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(queue.left(), (0, 0));
    drop(runner);
}

#[tokio::test(start_paused = true)]
async fn loops_that_panic_are_begun_again() {
    let store = Shaky::new(MemoryStore::default());
    let (queue, post) = (Queue::of([]), Arc::new(Post::new("out")));
    store.panics.store(2, Ordering::SeqCst);
    queue.panics.store(1, Ordering::SeqCst);
    queued(&store.store, "<C><A>1</A></C>").await;
    queue.put([message(2)]);
    let runner = open(flow(PLAIN, Vec::new()), &store, &queue, &post);
    sleep(Duration::from_millis(500)).await;
    assert!(!runner.figures().sources[0].is_up, "a source that is gone is seen");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(queue.left(), (0, 0), "the source was opened again");
    let states = states(&store.store).await;
    assert!(states.iter().all(JobState::is_finished), "{states:?}");
    assert!(runner.figures().sources[0].is_up);
    assert!(runner.drain(Duration::from_secs(5)).await);
}

/// A job that was given up, with its result and its dead letter still to be sent.
async fn given_up(store: &MemoryStore, return_to: ReturnAddress) -> JobId {
    let (document, id) = (document("<C/>"), JobId::fresh());
    let job = NewJob::new(id, "desk".into(), document.clone(), document.digest());
    let job = NewJob { return_to: Some(return_to), ..job };
    let Submission::Accepted(lease) = store.submit(job).await.unwrap() else { panic!("not leased") };
    let lease = store.bury(lease, "V013: as the test asked".into(), Vec::new()).await.unwrap().unwrap();
    store.redeliver(lease, Duration::ZERO).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_keeps_no_dead_letter_back_that_goes_another_way() {
    let (store, post, bin) = (MemoryStore::default(), Post::new("out"), Arc::new(Post::new("bin")));
    post.failures.store(9, Ordering::SeqCst);
    post.gives_up.store(true, Ordering::SeqCst);
    let both = ReturnAddress { dead_letter: Some(place("bin")), ..reply_to("out") };
    let id = given_up(&store, both).await;
    let _runner = Runner::start(Parts {
        returners: vec![Arc::new(post), Arc::clone(&bin) as Arc<dyn Returner>],
        ..Parts::called(vec![Arc::new(flow(PLAIN, Vec::new()))], Some(Arc::new(store.beside())))
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bin.sent(), [format!("{id}: dead letter of dead <C/>")]);
    let job = store.find(id).await.unwrap().unwrap();
    assert!(matches!(job.delivery, Delivery::GivenUp { .. }), "{:?}", job.delivery);
}

#[tokio::test(start_paused = true)]
async fn what_goes_by_a_connection_that_is_not_here_is_not_sent_half_over_and_over() {
    let (store, post) = (MemoryStore::default(), Arc::new(Post::new("out")));
    let both = ReturnAddress { dead_letter: Some(place("gone")), ..reply_to("out") };
    let id = given_up(&store, both).await;
    let _runner = Runner::start(Parts {
        returners: vec![Arc::clone(&post) as Arc<dyn Returner>],
        ..Parts::called(vec![Arc::new(flow(PLAIN, Vec::new()))], Some(Arc::new(store.beside())))
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(post.sent().len(), 1);
    let job = store.find(id).await.unwrap().unwrap();
    let Delivery::Due { not_before, .. } = job.delivery else { panic!("{:?}", job.delivery) };
    let waits = not_before.duration_since(jiff::Timestamp::now());
    assert!(waits.as_secs() > 300, "it is looked at again after a while: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_receiver_is_not_claimed_over_and_over() {
    let store = Shaky::new(MemoryStore::default());
    for _ in 0..3_000 {
        given_up(&store.store, reply_to("out")).await;
    }
    let post = Arc::new(Post { lasts: Duration::from_secs(100), ..Post::new("out") });
    let runner = open(flow(PLAIN, Vec::new()), &store, &Queue::of([]), &post);
    sleep(Duration::from_secs(60)).await;
    let claimed = store.deliveries_claimed.load(Ordering::SeqCst);
    // What is under way, what waits for it, and a handful each two seconds.
    assert!((600..=1_900).contains(&claimed), "{claimed} were claimed");
    drop(runner);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_store_never_takes_is_a_dead_job_without_its_content() {
    let store = Shaky::new(MemoryStore::default());
    let (queue, post) = (Queue::of([]), Arc::new(Post::new("out")));
    queue.is_journaled.store(true, Ordering::SeqCst);
    let event = |key: &str, text: &str| Message::new(key, &format!("<C><A>{text}</A></C>")).event();
    queue.put([event("pg:1:1", "1"), event("pg:1:2", &"x".repeat(2_000)), event("pg:1:3", "3")]);
    let runner = open(flow(PLAIN, Vec::new()), &store, &queue, &post);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(queue.settled(), ["pg:1:1 accepted", "pg:1:2 accepted", "pg:1:3 accepted"]);
    let jobs = store.store.list(JobFilter::default()).await.unwrap();
    let found: HashMap<_, _> =
        jobs.iter().map(|it| (it.document.key.as_ref().unwrap().as_str(), it.state.word())).collect();
    assert_eq!(found, HashMap::from([("pg:1:1", "answered"), ("pg:1:2", "dead"), ("pg:1:3", "answered")]));
    drop(runner);
}
