//! Tasks, leases and sources: the only place that spawns.
//!
//! A call is accepted (durably, unless the flow says otherwise), worked on by a task of its own and waited for. Who
//! hangs up drops the waiting, never the job; what a crash interrupted is claimed and finished after the restart.

mod backoff;
mod calling;
mod claiming;
mod ending;
mod figures;
mod intake;
mod journal;
mod lanes;
mod outbox;
mod parts;
mod passing;
mod served;
mod settings;
mod sweeping;
mod tasks;
mod waiting;
mod wakes;
mod watch;
mod work;
mod worker;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use self::{
    figures::Pulse,
    lanes::Lane,
    outbox::Outbox,
    served::Served,
    tasks::Tasks,
    waiting::{Recent, UnderWay},
    wakes::Wakes,
};
use futures_util::future::BoxFuture;

use crate::{fault::Fault, flow::Flow, job::Census, ports::JobStore};

pub use figures::{Durations, Figures, FlowFigures, SourceFigures};
pub use parts::{Called, Fed, Parts, Request, Wait};
pub use settings::{Alarm, Alert, Measure, Retention, RunnerSettings, Threshold};

/// How often a job is tried before it is given up.
const ATTEMPTS: u32 = 5;
/// How many jobs are claimed at once.
const BATCH: usize = 64;
/// How often the store is asked for work when nobody said that there is some.
const POLL: Duration = Duration::from_secs(2);
/// How often a lease is renewed while its job is worked on; stores lease for a multiple of this.
const RENEWAL: Duration = Duration::from_secs(10);
/// When a lease is renewed again after the store failed.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// When the store is asked for work again after it failed: later than [`RENEW_AGAIN`], so that work that went on meanwhile
/// keeps its lease and nothing is asked twice.
const CLAIM_AGAIN: Duration = Duration::from_secs(3);
/// How often a job that another worker has is looked at, at first and at last.
const GLANCE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Pause before a result is stored once more; it doubles each time.
const STORE_AGAIN: Duration = Duration::from_millis(50);
/// How often it is tried to store a result.
const STORE_TRIES: u32 = 6;
/// When a job is looked at again whose flow is not served.
const UNSERVED: Duration = Duration::from_secs(600);

/// Owns every task of the process.
pub struct Runner {
    flows: Vec<Arc<Flow>>,
    served: Vec<Arc<Served>>,
    by_name: HashMap<Arc<str>, usize>,
    sources: Vec<(Fed, Arc<Pulse>)>,
    store: Option<Arc<dyn JobStore>>,
    outbox: Outbox,
    under_way: Arc<UnderWay>,
    recent: Recent,
    wakes: Arc<Wakes>,
    census: Mutex<Arc<Vec<Census>>>,
    settings: RunnerSettings,
    tasks: Arc<Tasks>,
}

impl Runner {
    /// Starts the runner: sources are read, jobs of the store are finished and results handed back in the background.
    /// Must be called inside a tokio runtime.
    pub fn start(parts: Parts) -> Arc<Self> {
        let Parts { flows, store, sources, returners, mut deliver, lookups, settings } = parts;
        let (tasks, wakes) = (Arc::<Tasks>::default(), Arc::<Wakes>::default());
        deliver.resize(flows.len(), None);
        let serve = |(flow, deliver): (&Arc<Flow>, _)| {
            let width = flow.mapping.handling.concurrency.map_or(settings.most_calls, Into::into);
            let lane = Lane::new(width, Arc::clone(&wakes.claims));
            Arc::new(Served::new(Arc::clone(flow), lane, deliver))
        };
        let served: Vec<_> = flows.iter().zip(deliver).map(serve).collect();
        let has_returners = !returners.is_empty();
        let runner = Arc::new(Self {
            outbox: Outbox::open(returners, store.clone(), &served, &tasks, &wakes),
            by_name: served.iter().enumerate().map(|(at, it)| (Arc::clone(it.name()), at)).collect(),
            sources: sources.into_iter().map(|it| (it, Arc::default())).collect(),
            flows,
            served,
            store,
            under_way: Arc::default(),
            recent: Recent::default(),
            wakes,
            census: Mutex::default(),
            settings,
            tasks,
        });
        runner.begin(has_returners);
        for feed in lookups {
            let tasks = Arc::clone(&runner.tasks);
            runner.tasks.keep("a look-up", move || {
                let (feed, tasks) = (Arc::clone(&feed), Arc::clone(&tasks));
                // Cancel-safe: a reading that is given up leaves the keys as they are.
                async move {
                    tokio::select! { () = feed.refresh_forever() => {}, () = tasks.draining() => {} }
                }
            });
        }
        runner
    }

    /// The tasks that last as long as the process takes work.
    fn begin(self: &Arc<Self>, has_returners: bool) {
        if let Some(store) = &self.store {
            let run = |what, task: fn(Arc<Self>, Arc<dyn JobStore>) -> BoxFuture<'static, ()>| {
                let (runner, store) = (Arc::clone(self), Arc::clone(store));
                self.tasks.keep(what, move || task(Arc::clone(&runner), Arc::clone(&store)));
            };
            run("claims", |runner, store| Box::pin(runner.resume(store)));
            run("wake-ups", |runner, store| Box::pin(runner.listen(store)));
            run("queue health", |runner, store| Box::pin(runner.watch(store)));
            if has_returners {
                run("deliveries", |runner, store| Box::pin(runner.resume_deliveries(store)));
            }
            if !self.settings.retention.is_empty() {
                run("retention", |runner, store| Box::pin(runner.sweep(store)));
            }
        }
        for at in 0..self.sources.len() {
            let runner = Arc::clone(self);
            self.tasks.keep("a source", move || Arc::clone(&runner).supervise(at));
        }
    }

    /// Runs blocking work on a thread of its own, until it returns by itself.
    pub fn on_thread(
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<std::thread::JoinHandle<()>, Fault> {
        tasks::on_thread(name, work)
    }

    /// Runs a future that ends by itself once nobody needs it any more: what drives a connection. A drain does not wait
    /// for it. Must be called inside a tokio runtime.
    pub fn in_background(work: impl Future<Output = ()> + Send + 'static) {
        tasks::in_background(work);
    }

    /// The flows, by the position that [`Runner::call`] takes.
    pub fn flows(&self) -> &[Arc<Flow>] {
        &self.flows
    }

    /// What was counted since the start. Cheap.
    pub fn figures(&self) -> Figures {
        let sources = self.sources.iter().filter_map(|(fed, pulse)| {
            let flow = self.served.get(fed.flow)?.name();
            Some(pulse.read(fed.source.name(), flow))
        });
        Figures { flows: self.served.iter().map(|it| it.figures()).collect(), sources: sources.collect() }
    }

    /// Serves one connection until it ends.
    pub fn serve_connection(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Sources take nothing more from now on; calls are still taken. The first step of a drain.
    pub fn stop_intake(&self) {
        self.tasks.close();
    }

    /// Takes no more work and waits for what is under way. False: `within` passed first.
    pub async fn drain(&self, within: Duration) -> bool {
        self.tasks.drain(within).await
    }
}
