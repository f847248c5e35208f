//! What an acknowledgement is worth: servers and processes are killed under load, and connections cut.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{runtime::Runtime, time::sleep};
use vestibule_core::{
    fault::{Fault, Recovery},
    job::{JobFilter, JobId, JobState, Lease, Reply, ReplyBody, Submission},
    ports::JobStore,
};
use vestibule_testkit::{
    fixtures,
    postgres::Postgres,
    proxy::{Proxy, Way},
};

use super::{RUNNER, fresh, open, settings};
use crate::{PostgresStore, Settings};

const LEASE: Duration = Duration::from_millis(1500);

/// A process of its own: what it spawned ends with it, and nothing is given back.
struct Process {
    runtime: Option<Runtime>,
    store: PostgresStore,
}

impl Process {
    fn start(settings: &Settings) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (store, drivers) = runtime.block_on(PostgresStore::open(settings)).unwrap();
        drivers.into_iter().for_each(|it| drop(runtime.spawn(it)));
        Self { runtime: Some(runtime), store }
    }

    fn work(&self, work: &Arc<Work>) {
        let runtime = self.runtime.as_ref().unwrap();
        for _ in 0..4 {
            runtime.spawn(Arc::clone(work).claim(self.store.clone()));
        }
    }

    fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// What was promised to whom.
#[derive(Default)]
struct Work {
    accepted: Mutex<HashMap<String, JobId>>,
    answered: Mutex<HashMap<JobId, Vec<u8>>>,
    stamp: AtomicU64,
    faults: AtomicU64,
    over: AtomicBool,
}

impl Work {
    fn note(&self, fault: &Fault) -> bool {
        self.faults.fetch_add(1, Ordering::Relaxed);
        assert!(
            fault.source.is_some()
                || fault.recovery == Recovery::GiveUp
                || fault.message.contains("closed")
                || fault.message.contains("reached"),
            "{fault:?}"
        );
        fault.recovery == Recovery::Retry
    }

    async fn submit(self: Arc<Self>, store: PostgresStore, key: String) {
        let job = fixtures::job(Some(&key), key.as_bytes());
        loop {
            match store.submit(job.clone()).await {
                Ok(Submission::Accepted(lease)) => {
                    self.accepted.lock().unwrap().insert(key, lease.job);
                    return self.answer(&store, lease).await;
                }
                Ok(Submission::Queued(id)) => {
                    self.accepted.lock().unwrap().insert(key, id);
                    return;
                }
                Ok(Submission::Known(known)) => {
                    self.accepted.lock().unwrap().insert(key, known.id);
                    return;
                }
                Ok(Submission::Conflict(id)) => panic!("{key} is another document in {id}"),
                Err(fault) if self.note(&fault) => sleep(Duration::from_millis(20)).await,
                Err(fault) => panic!("{fault:?} {:?}", fault.source),
            }
        }
    }

    async fn answer(&self, store: &PostgresStore, lease: Lease) {
        let stamp = self.stamp.fetch_add(1, Ordering::Relaxed).to_string().into_bytes();
        loop {
            let held = Lease { job: lease.job, token: lease.token };
            match store.answer(held, fixtures::reply(&stamp)).await {
                Ok(_) => {
                    let before = self.answered.lock().unwrap().insert(lease.job, stamp);
                    assert_eq!(before, None, "two answers were taken for {}", lease.job);
                    return;
                }
                Err(fault) if self.note(&fault) => sleep(Duration::from_millis(20)).await,
                // The lease ran out while the server was away.
                Err(_) => return,
            }
        }
    }

    async fn claim(self: Arc<Self>, store: PostgresStore) {
        let flows = ["claims".into()];
        while !self.over.load(Ordering::Relaxed) {
            match store.claim(&flows, 8).await {
                Ok(claimed) if claimed.is_empty() => sleep(Duration::from_millis(20)).await,
                Ok(claimed) => {
                    // Time in which it can be killed.
                    sleep(Duration::from_millis(2)).await;
                    join_all(claimed.into_iter().map(|it| self.answer(&store, it.lease))).await;
                }
                Err(fault) => {
                    self.note(&fault);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Waits until nothing is open, then compares what was promised with what is there.
    fn settle(&self, store: &PostgresStore, jobs: usize) {
        let start = Instant::now();
        let open = || {
            let census =
                RUNNER.block_on(store.census()).map(|it| it.iter().map(|it| it.queued + it.leased).sum());
            census.unwrap_or(u64::MAX)
        };
        while open() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "{} jobs are still open", open());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.over.store(true, Ordering::Relaxed);
        let filter = JobFilter { most: JobFilter::MOST, ..JobFilter::default() };
        let there = RUNNER.block_on(store.list(filter)).unwrap();
        assert_eq!(there.len(), jobs, "a job for each key, no more and no fewer");
        let accepted = self.accepted.lock().unwrap();
        assert_eq!(accepted.len(), jobs);
        let answered = self.answered.lock().unwrap();
        for (key, id) in accepted.iter() {
            let job = RUNNER.block_on(store.find(*id)).unwrap().unwrap_or_else(|| panic!("{key} is lost"));
            let JobState::Answered { reply: Reply { body: ReplyBody::Written { bytes, .. }, .. } } =
                job.state
            else {
                panic!("{key} is {}", job.state.word());
            };
            if let Some(promised) = answered.get(id) {
                assert_eq!(&bytes[..], &promised[..], "{key} has another answer than the one that was taken");
            }
        }
    }
}

/// So many submitters at once, each with a key of its own; spawned on the test's runner.
fn submitters(work: &Arc<Work>, store: &PostgresStore, jobs: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let submit = |number: usize| {
        let (work, store) = (Arc::clone(work), store.clone());
        RUNNER.spawn(async move {
            sleep(Duration::from_millis(u64::try_from(number).unwrap())).await;
            work.submit(store, format!("key-{number}")).await;
        })
    };
    (0..jobs).map(submit).collect()
}

fn all_of(submitters: Vec<tokio::task::JoinHandle<()>>) {
    for submitter in submitters {
        RUNNER.block_on(submitter).unwrap();
    }
}

#[test]
fn the_jobs_of_a_killed_process_are_finished_by_another() {
    let settings = fresh(LEASE);
    let (killed, other) = (Process::start(&settings), Process::start(&settings));
    let jobs: Vec<_> = (0..600)
        .map(|it: u32| vestibule_core::job::NewJob {
            start: vestibule_core::job::Start::Later,
            ..fixtures::job(Some(&format!("key-{it}")), b"<a/>")
        })
        .collect();
    let (before, after) = (Arc::new(Work::default()), Arc::new(Work::default()));
    for job in &jobs {
        let key = job.document.key.as_ref().unwrap().as_str().to_owned();
        after.accepted.lock().unwrap().insert(key, job.id);
    }
    for submitted in RUNNER.block_on(other.store.submit_all(jobs)).unwrap() {
        assert!(matches!(submitted, Ok(Submission::Queued(_))), "{submitted:?}");
    }
    // In the midst of its work, and with leases in its hands at whatever moment it ends.
    let held = RUNNER.block_on(killed.store.claim(vestibule_testkit::job_store::flows(), 10)).unwrap();
    killed.work(&before);
    while before.answered.lock().unwrap().len() < 100 {
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill();
    let leased: u64 = RUNNER.block_on(other.store.census()).unwrap().iter().map(|it| it.leased).sum();
    assert!(held.len() == 10 && leased >= 10, "it had {leased} in its hands");
    after.answered.lock().unwrap().extend(before.answered.lock().unwrap().clone());
    other.work(&after);
    after.settle(&other.store, 600);
    other.kill();
}

#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let server = Postgres::start(&[]).unwrap();
    let process = Process::start(&Settings {
        timeout: Duration::from_secs(2),
        ..settings(&server.database().unwrap(), LEASE)
    });
    let work = Arc::new(Work::default());
    let submitters = submitters(&work, &process.store, 1500);
    process.work(&work);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        server.kill().unwrap();
        server.up().unwrap();
    }
    all_of(submitters);
    work.settle(&process.store, 1500);
    assert!(work.faults.load(Ordering::Relaxed) > 0, "the server was not missed");
    process.kill();
}

#[test]
fn cut_connections_lose_nothing_that_was_acknowledged() {
    let server = Postgres::shared().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let direct = settings(&server.database().unwrap(), LEASE);
    let through =
        Settings { port: proxy.address().port(), timeout: Duration::from_millis(500), ..direct.clone() };
    let process = Process::start(&through);
    let work = Arc::new(Work::default());
    let submitters = submitters(&work, &process.store, 1500);
    process.work(&work);
    for round in 0_u32..40 {
        std::thread::sleep(Duration::from_millis(40));
        match round % 8 {
            0 | 1 | 2 | 4 | 5 => proxy.cut_after(1 + round * 977 % 9000),
            3 => proxy.half_close(Way::ToClient),
            6 => proxy.reset(),
            _ => {
                // Commits arrive, and nobody hears of them.
                proxy.black_hole(if round % 16 == 7 { Way::ToClient } else { Way::Both });
                std::thread::sleep(Duration::from_millis(700));
                proxy.reset();
                proxy.pass();
            }
        }
    }
    proxy.pass();
    all_of(submitters);
    let direct = Process::start(&direct);
    work.settle(&direct.store, 1500);
    assert!(proxy.connections() > 20, "{} connections", proxy.connections());
    process.kill();
    direct.kill();
}

#[test]
fn a_server_that_is_away_is_a_fault_at_once_and_not_for_ever() {
    let server = Postgres::start(&[]).unwrap();
    let process = Process::start(&Settings {
        timeout: Duration::from_secs(1),
        ..settings(&server.database().unwrap(), LEASE)
    });
    let submit = || RUNNER.block_on(process.store.submit(fixtures::job(None, b"<a/>")));
    submit().unwrap();
    for (away, back) in [
        (Postgres::kill as fn(&Postgres) -> _, Postgres::up as fn(&Postgres) -> _),
        (Postgres::pause, Postgres::resume),
    ] {
        away(&server).unwrap();
        let start = Instant::now();
        for _ in 0..3 {
            let fault = submit().unwrap_err();
            assert_eq!(fault.recovery, Recovery::Retry, "{fault:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(RUNNER.block_on(process.store.ready()).is_err());
        back(&server).unwrap();
        let start = Instant::now();
        while submit().is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
        RUNNER.block_on(process.store.ready()).unwrap();
    }
    process.kill();
}

#[test]
fn processes_with_the_same_orders_never_wait_for_each_other_in_a_circle() {
    let server = Postgres::start(&["deadlock_timeout=100ms"]).unwrap();
    let settings = settings(&server.database().unwrap(), LEASE);
    let processes = [Process::start(&settings), Process::start(&settings)];
    let work = Arc::new(Work::default());
    let submitters: Vec<_> = (0..600_usize)
        .map(|number| {
            let (work, store) = (Arc::clone(&work), processes[number % 2].store.clone());
            RUNNER.spawn(async move {
                let key = format!("key-{number}");
                let order = Some(format!("order {}", number * 7 % 5).into());
                let job = vestibule_core::job::NewJob { order, ..fixtures::job(Some(&key), b"<a/>") };
                work.accepted.lock().unwrap().insert(key, job.id);
                if let Submission::Accepted(lease) = store.submit(job).await.unwrap() {
                    work.answer(&store, lease).await;
                }
            })
        })
        .collect();
    processes.iter().for_each(|it| it.work(&work));
    all_of(submitters);
    work.settle(&processes[0].store, 600);
    assert!(!server.log().contains("deadlock"), "{}", server.log());
    processes.into_iter().for_each(Process::kill);
}

#[test]
fn a_damaged_job_does_not_hold_up_its_order() {
    let settings = fresh(Duration::from_secs(60));
    let store = open(&settings);
    let jobs = [b"1", b"2", b"3"].map(|it| fixtures::ordered("x", it));
    let ids = jobs.each_ref().map(|it| it.id);
    RUNNER.block_on(store.submit_all(jobs.into())).unwrap();
    let damage =
        "UPDATE vestibule.documents SET facts = '{}' WHERE job = (SELECT min(seq) FROM vestibule.jobs)";
    Postgres::shared().unwrap().sql(&settings.database, damage).unwrap();
    let claim = || RUNNER.block_on(store.claim(&["claims".into()], 10)).unwrap();
    assert!(claim().is_empty(), "it is given up");
    let next = claim();
    assert_eq!(next.iter().map(|it| it.job.id).collect::<Vec<_>>(), [ids[1]], "and the next goes on");
}
