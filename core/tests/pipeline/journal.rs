//! Journaled sources: what waits there costs the other side, so it is made durable here, worked on when there is room.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::json;
use tokio::time::{Instant, sleep};
use vestibule_core::{
    flow::Flow,
    job::{Census, JobFilter},
    ports::{JobStore, Model, Returner},
    runner::{Fed, Parts, Runner, RunnerSettings, Threshold},
};
use vestibule_testkit::{MemoryStore, ScriptedModel, Step};

use crate::{
    broker::{Feed, Message, Post, Queue, reply_to},
    desk::{ASKS, flow},
};

const FORM: &str = "record:\n  a: { from: A, required: yes }\n  n: { from: N }\nreturn:\n  into: R\n  write: { A: a, N: n }\n";

fn takes(time: Duration) -> Vec<Arc<dyn Model>> {
    let step = Step::After(time, Box::new(Step::Answer(json!({ "priority": "high" }))));
    vec![Arc::new(ScriptedModel::new("m", [step]))]
}

/// A flow whose model takes this long.
fn slow(more: &str, time: Duration) -> Flow {
    flow(&format!("{ASKS}{FORM}{more}").replace("deadline: 2s", "deadline: 4m"), takes(time))
}

fn event(number: usize) -> Message {
    Message::new(&format!("pg:1:{number}"), &format!("<C><A>{}</A><N>{number}</N></C>", number % 7)).event()
}

fn journaled(messages: impl IntoIterator<Item = Message>) -> Arc<Queue> {
    let queue = Queue::of(messages);
    queue.is_journaled.store(true, Ordering::SeqCst);
    queue
}

fn open(flow: Flow, queue: &Arc<Queue>, store: &MemoryStore, settings: RunnerSettings) -> Arc<Runner> {
    let post: Arc<dyn Returner> = Arc::new(Post::new("out"));
    Runner::start(Parts {
        sources: vec![Fed { flow: 0, source: Arc::new(Feed(Arc::clone(queue))) }],
        returners: vec![post],
        settings,
        ..Parts::called(vec![Arc::new(flow)], Some(Arc::new(store.beside())))
    })
}

async fn waiting(store: &MemoryStore) -> (u64, u64) {
    let census = store.census().await.unwrap();
    census.first().map_or((0, 0), |Census { queued, leased, .. }| (*queued, *leased))
}

#[tokio::test(start_paused = true)]
async fn what_a_journaled_source_has_is_settled_while_every_model_is_busy() {
    const MANY: usize = 5_000;
    for is_journaled in [true, false] {
        let (queue, store) = (journaled((0..MANY).map(event)), MemoryStore::default());
        queue.is_journaled.store(is_journaled, Ordering::SeqCst);
        let runner = open(
            slow("concurrency: 2\n", Duration::from_secs(200)),
            &queue,
            &store,
            RunnerSettings::default(),
        );
        sleep(Duration::from_secs(20)).await;
        let settled = queue.settled();
        if !is_journaled {
            // The proof that this test can fail.
            assert!(settled.len() < 10, "{}", settled.len());
            continue;
        }
        let expected: Vec<_> = (0..MANY).map(|it| format!("pg:1:{it} accepted")).collect();
        assert!(settled == expected, "settled in the order of their arrival: {} of {MANY}", settled.len());
        assert_eq!(waiting(&store).await, (MANY as u64 - 2, 2));
        let figures = &runner.figures().flows[0];
        assert_eq!((figures.busy_now, figures.waiting), (2, 0), "no more tasks than there is room");
        assert_eq!(queue.most_at_once(), 1_024);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_too_long_makes_a_journaled_source_wait() {
    let (queue, store) = (journaled((0..6_000).map(event)), MemoryStore::default());
    let settings = RunnerSettings { most_queued: 1_500, ..RunnerSettings::default() };
    let runner = open(slow("concurrency: 64\n", Duration::from_secs(10)), &queue, &store, settings);
    sleep(Duration::from_secs(4)).await;
    assert!(runner.figures().sources[0].is_held);
    let settled = queue.settled().len();
    assert!((1_500..=1_500 + 2 * 1_024 + 64).contains(&settled), "{settled}");
    // 6.4 a second: it goes on once the queue is shorter, and all of it is worked on.
    let began = Instant::now();
    let mut longest = 0;
    while queue.left() != (0, 0) || waiting(&store).await != (0, 0) {
        sleep(Duration::from_secs(5)).await;
        longest = longest.max(waiting(&store).await.0);
        assert!(began.elapsed() < Duration::from_secs(3_000), "{:?} left", queue.left());
    }
    assert!(longest < 1_500 + 2 * 1_024 + 64, "{longest}");
    assert!(!runner.figures().sources[0].is_held);
    assert_eq!(runner.figures().flows[0].accepted, 6_000);
}

#[tokio::test(start_paused = true)]
async fn neither_impatience_nor_a_threshold_stops_a_journaled_source() {
    let (queue, store) = (journaled((0..2_000).map(event)), MemoryStore::default());
    let threshold = Threshold {
        flow: "desk".into(),
        age: None,
        depth: Some(10),
        dead: None,
        undelivered: None,
        shed: true,
    };
    let settings = RunnerSettings { thresholds: vec![threshold], ..RunnerSettings::default() };
    let flow = slow("concurrency: 1\npatience: 1s\n", Duration::from_secs(30));
    let runner = open(flow, &queue, &store, settings);
    sleep(Duration::from_secs(60)).await;
    assert!(runner.figures().flows[0].is_shedding);
    queue.put((2_000..3_000).map(event));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((queue.left(), queue.settled().len()), ((0, 0), 3_000));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_one_order_are_worked_on_one_after_the_other() {
    let store = MemoryStore::default();
    let queue = journaled((0..400).map(|it| event(it).to(reply_to("out"))));
    let post = Arc::new(Post::new("out"));
    // Each third takes long: what may overtake it does.
    let steps = (0..400).map(|it| {
        let time = Duration::from_millis(if it % 3 == 0 { 90 } else { 2 });
        Step::After(time, Box::new(Step::Answer(json!({ "priority": "high" }))))
    });
    let model: Arc<dyn Model> = Arc::new(ScriptedModel::new("m", steps));
    let flow = flow(&format!("{ASKS}{FORM}order: a\nconcurrency: 16\n"), vec![model]);
    let _runner = Runner::start(Parts {
        sources: vec![Fed { flow: 0, source: Arc::new(Feed(Arc::clone(&queue))) }],
        returners: vec![Arc::clone(&post) as Arc<dyn Returner>],
        ..Parts::called(vec![Arc::new(flow)], Some(Arc::new(store.beside())))
    });
    sleep(Duration::from_secs(200)).await;
    let mut by_order: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for sent in post.sent() {
        let (order, number) = sent.split_once("A=").unwrap().1.split_once("; N=").unwrap();
        by_order.entry(order.into()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(by_order.values().map(Vec::len).sum::<usize>(), 400);
    for (order, numbers) in by_order {
        assert!(numbers.is_sorted(), "order {order}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changes_key_names_one_event_for_ever() {
    let (queue, store) = (journaled([]), MemoryStore::default());
    // The mapping's own key is the same for both: they are two events of one row all the same.
    let flow = slow("key: a\nconcurrency: 1\n", Duration::from_secs(10));
    let runner = open(flow, &queue, &store, RunnerSettings::default());
    let change =
        |key: &str, number: usize| Message::new(key, &format!("<C><A>1</A><N>{number}</N></C>")).event();
    queue.put([change("pg:1:1", 1), change("pg:1:2", 2)]);
    // The same events again, in which something was read anew: while there is no room, and when there is.
    for pause in [1, 60] {
        sleep(Duration::from_secs(pause)).await;
        queue.put([change("pg:1:1", 3), change("pg:1:2", 4)]);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.left(), (0, 0));
    let jobs = store.list(JobFilter::default()).await.unwrap();
    let keys: Vec<_> = jobs.iter().map(|it| it.document.key.as_ref().unwrap().as_str()).collect();
    assert_eq!(keys, ["pg:1:2", "pg:1:1"]);
    let figures = &runner.figures().flows[0];
    assert_eq!((figures.accepted, figures.duplicates, figures.conflicts), (2, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_can_not_go_on_says_why_and_is_tried_every_half_minute() {
    let (queue, store) = (journaled([event(1)]), MemoryStore::default());
    queue.stops.store(20, Ordering::SeqCst);
    let runner = open(flow(FORM, Vec::new()), &queue, &store, RunnerSettings::default());
    sleep(Duration::from_secs(300)).await;
    let tries = queue.tries.load(Ordering::SeqCst);
    assert!((8..=11).contains(&tries), "{tries} tries in five minutes");
    let source = &runner.figures().sources[0];
    assert_eq!((source.is_up, source.stopped.as_deref()), (false, Some("V011: the slot is lost")));
    queue.stops.store(0, Ordering::SeqCst);
    sleep(Duration::from_secs(40)).await;
    let source = &runner.figures().sources[0];
    assert_eq!((source.is_up, source.stopped.as_deref()), (true, None));
    assert_eq!(queue.left(), (0, 0));
    // A connection that is merely gone is no stop.
    queue.refusals.store(3, Ordering::SeqCst);
    queue.cut();
    sleep(Duration::from_millis(250)).await;
    let source = &runner.figures().sources[0];
    assert_eq!((source.is_up, source.stopped.as_deref()), (false, None));
    assert!(runner.drain(Duration::from_secs(5)).await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The fake queue fails the test where something is settled twice.
    #[test]
    fn whatever_is_cut_when_each_event_is_one_job_and_is_settled(
        waves in prop::collection::vec((1_usize..400, 0_u64..3_000, any::<bool>(), 0_usize..3), 1..6),
        width in 1_usize..9,
        is_journaled: bool,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (queue, store) = (journaled([]), MemoryStore::default());
            queue.is_journaled.store(is_journaled, Ordering::SeqCst);
            let form = format!("concurrency: {width}\n");
            let runner = open(slow(&form, Duration::from_millis(30)), &queue, &store, RunnerSettings::default());
            let mut sent = 0;
            for (many, pause, cuts, refusals) in waves {
                // Some of them come again.
                queue.put((sent / 2..sent + many).map(event));
                sent += many;
                sleep(Duration::from_millis(pause)).await;
                queue.refusals.store(refusals, Ordering::SeqCst);
                if cuts {
                    queue.cut();
                }
            }
            sleep(Duration::from_secs(900)).await;
            assert_eq!((queue.left(), waiting(&store).await, store.len()), ((0, 0), (0, 0), sent));
            let jobs = store.list(JobFilter { most: sent, ..JobFilter::default() }).await.unwrap();
            assert!(jobs.iter().all(|it| it.state.word() == "answered"));
            let keys: HashSet<_> = jobs.iter().filter_map(|it| it.document.key.clone()).collect();
            assert_eq!(keys.len(), jobs.len());
            assert_eq!(runner.figures().flows[0].accepted, sent as u64);
        });
    }
}
