//! Room, thresholds and retention: what is too much, and what is forgotten.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{JobFilter, JobId, NewJob, Start, Submission},
    ports::JobStore,
    runner::{Alert, Called, Measure, Parts, Request, Retention, Runner, RunnerSettings, Threshold, Wait},
};
use vestibule_testkit::{MemoryStore, ScriptedModel, Step};

use crate::desk::{ASKS, document, flow};

const FORM: &str = "record:\n  a: { from: A }\nreturn:\n  into: R\n  write: { Status: outcome }\n";

fn start(text: &str, takes: Duration, store: &MemoryStore, settings: RunnerSettings) -> Arc<Runner> {
    let step = Step::After(takes, Box::new(Step::Answer(json!({ "priority": "high" }))));
    let flow = flow(&format!("{ASKS}{FORM}{text}"), vec![Arc::new(ScriptedModel::new("m", [step]))]);
    let store: Arc<dyn JobStore> = Arc::new(store.beside());
    Runner::start(Parts { settings, ..Parts::called(vec![Arc::new(flow)], Some(store)) })
}

async fn call(runner: &Arc<Runner>, document: Document) -> Result<Called, Fault> {
    let extraction = runner.flows()[0].extract(&document).unwrap();
    runner.call(Request { flow: 0, document, extraction, wait: Wait::Result, return_to: None }).await
}

#[tokio::test(start_paused = true)]
async fn twice_the_load_is_answered_at_the_rate_that_is_possible() {
    let store = MemoryStore::default();
    // Four at once, 100 ms each, two seconds of patience: 40 a second are possible, 80 a second come.
    let runner = start("concurrency: 4\n", Duration::from_millis(100), &store, RunnerSettings::default());
    let caller = |number: u32| {
        let runner = &runner;
        async move {
            sleep(Duration::from_micros(12_500) * number).await;
            let began = Instant::now();
            let called = call(runner, document("<C/>")).await;
            (called.is_ok() && began.elapsed() <= Duration::from_secs(2), called.err())
        }
    };
    let ends = join_all((0..800).map(caller)).await;
    let good = ends.iter().filter(|(good, _)| *good).count();
    assert!(good >= 360, "goodput {good} of 400");
    let refused =
        |it: &Fault| it.code == FaultCode::Unavailable && matches!(it.recovery, Recovery::RetryAfter(_));
    assert!(ends.iter().filter_map(|(_, fault)| fault.as_ref()).all(refused), "none fails but by a refusal");
    let jobs = store.list(JobFilter { most: 1_000, ..JobFilter::default() }).await.unwrap();
    assert_eq!(jobs.len(), good, "nothing was accepted that was refused");
    assert_eq!(runner.figures().flows[0].busy, 800 - good as u64);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_known_job_takes_no_room() {
    let store = MemoryStore::default();
    let runner = start("concurrency: 2\n", Duration::from_millis(900), &store, RunnerSettings::default());
    let keyed = || Document { key: IdempotencyKey::new("k"), ..document("<C/>") };
    let began = Instant::now();
    let (first, again, _) = tokio::join!(call(&runner, keyed()), call(&runner, keyed()), async {
        sleep(Duration::from_millis(10)).await;
        call(&runner, document("<C/>")).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(950), "{:?}", began.elapsed());
    });
    assert!(first.is_ok() && again.is_ok());
}

fn queue_up(store: &MemoryStore, flow: &str, jobs: usize) -> impl Future<Output = Vec<JobId>> {
    let (store, flow): (_, Arc<str>) = (store.beside(), flow.into());
    async move {
        let mut ids = Vec::new();
        for _ in 0..jobs {
            let (document, id) = (document("<C/>"), JobId::fresh());
            let job = NewJob::new(id, Arc::clone(&flow), document.clone(), document.digest());
            store.submit(NewJob { start: Start::Later, ..job }).await.unwrap();
            ids.push(id);
        }
        ids
    }
}

#[tokio::test(start_paused = true)]
async fn a_threshold_is_told_of_once_when_it_is_passed_and_once_when_it_is_over() {
    let (store, told) = (MemoryStore::default(), Arc::new(Mutex::new(Vec::<Alert>::new())));
    let hears = Arc::clone(&told);
    let threshold = Threshold {
        flow: "desk".into(),
        age: None,
        depth: Some(10),
        dead: Some(0),
        undelivered: None,
        shed: true,
    };
    let settings = RunnerSettings {
        thresholds: vec![threshold],
        alarm: Some(Arc::new(move |alert| {
            let hears = Arc::clone(&hears);
            Box::pin(async move { hears.lock().unwrap().push(alert) })
        })),
        ..RunnerSettings::default()
    };
    let runner = start("concurrency: 1\n", Duration::from_millis(1_000), &store, settings);
    queue_up(&store, "desk", 30).await;
    sleep(Duration::from_secs(11)).await;
    let told_of = || {
        let told = told.lock().unwrap();
        told.iter().map(|it| (it.measure, it.limit, it.value > it.limit, it.is_passed)).collect::<Vec<_>>()
    };
    assert_eq!(told_of(), [(Measure::Depth, 10, true, true)], "told once, and not at each look");
    assert_eq!((runner.census()[0].queued, runner.alerts().len()), (20, 1));
    let fault = call(&runner, document("<C/>")).await.unwrap_err();
    assert_eq!((fault.code, runner.figures().flows[0].is_shedding), (FaultCode::Unavailable, true));
    sleep(Duration::from_secs(25)).await;
    assert_eq!(told_of()[1..], [(Measure::Depth, 10, false, false)]);
    sleep(Duration::from_secs(10)).await;
    call(&runner, document("<C/>")).await.unwrap();
    // A dead job is told of, and sheds nothing.
    let ids = queue_up(&store, "desk", 1).await;
    assert!(store.cancel(ids[0], "V015: by hand".into()).await.unwrap());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(told_of()[2..], [(Measure::Dead, 0, true, true)]);
    call(&runner, document("<C/>")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_finished_long_ago_is_forgotten_by_flow() {
    for (finished, left) in
        [(None, 2_400), (Some(Duration::from_secs(3_600)), 2_400), (Some(Duration::from_millis(10)), 1_200)]
    {
        let store = MemoryStore::default();
        for flow in ["desk", "other"] {
            for _ in 0..1_200 {
                let (document, id) = (document("<C/>"), JobId::fresh());
                let job = NewJob::new(id, flow.into(), document.clone(), document.digest());
                let Submission::Accepted(lease) = store.submit(job).await.unwrap() else { panic!() };
                store.answer(lease, vestibule_testkit::fixtures::reply(b"x")).await.unwrap();
                store.returned(id).await.unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        let retention = vec![Retention { flow: "desk".into(), finished, dead: None }];
        let settings = RunnerSettings { retention, ..RunnerSettings::default() };
        let _runner = start("", Duration::ZERO, &store, settings);
        sleep(Duration::from_secs(90)).await;
        assert_eq!(store.len(), left, "kept for {finished:?}");
    }
}
