//! Tasks, leases and sources: the only place that spawns.
//!
//! A call is accepted (durably, unless the flow says otherwise), worked on by a task of its own and waited for. Who
//! hangs up drops the waiting, never the job; what a crash interrupted is claimed and finished after the restart.

mod ending;
mod settings;
mod tasks;
mod waiting;
mod work;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use self::{
    ending::{attempts, cause, end, keep, lose},
    tasks::Tasks,
    waiting::{Landing, Recent, Seen, UnderWay},
    work::{Work, conflict, late, submit, wait, within},
};
use crate::{
    document::Document,
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    job::{Claimed, Job, JobId, JobState, Lease, Place, Reply, ReturnAddress, Submission},
    mapping::plan::Durability,
    ports::{Extraction, JobStore, Returner, Source},
};

pub use settings::{Alarm, Alert, Measure, Retention, RunnerSettings, Threshold};

/// How often a job is tried before it is given up.
const ATTEMPTS: u32 = 5;
/// How many interrupted or delayed jobs are claimed at once.
const BATCH: usize = 8;
/// How often the store is asked for work when nobody said that there is some.
const POLL: Duration = Duration::from_secs(2);
/// How often a lease is renewed while its job is worked on; stores lease for a multiple of this.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often a job that another worker has is looked at, at first and at last.
const GLANCE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Pause before a result is stored once more; it doubles each time.
const STORE_AGAIN: Duration = Duration::from_millis(50);
/// How often it is tried to store a result.
const STORE_TRIES: u32 = 6;
/// When a job is looked at again whose flow is not served.
const UNSERVED: Duration = Duration::from_secs(600);

/// What a runner works with.
pub struct Parts {
    /// The flows, by the position that [`Request::flow`] takes.
    pub flows: Vec<Arc<Flow>>,
    /// Where jobs are kept; `None`: nowhere.
    pub store: Option<Arc<dyn JobStore>>,
    /// Where documents arrive by themselves.
    pub sources: Vec<Fed>,
    /// What sends results.
    pub returners: Vec<Arc<dyn Returner>>,
    /// Where the results of each flow go that has a `deliver` of its own, by the flow's position.
    pub deliver: Vec<Option<Place>>,
    /// What an operator sets.
    pub settings: RunnerSettings,
}

impl Parts {
    /// Flows that are only called.
    pub fn called(flows: Vec<Arc<Flow>>, store: Option<Arc<dyn JobStore>>) -> Self {
        let (sources, returners, deliver) = (Vec::new(), Vec::new(), Vec::new());
        Self { flows, store, sources, returners, deliver, settings: RunnerSettings::default() }
    }
}

/// A source and the flow that it feeds.
pub struct Fed {
    /// Position of the flow.
    pub flow: usize,
    /// The source.
    pub source: Arc<dyn Source>,
}

/// A document for a flow.
pub struct Request {
    /// Position of the flow.
    pub flow: usize,
    /// The document.
    pub document: Document,
    /// What was read from it.
    pub extraction: Extraction,
    /// How long its sender waits.
    pub wait: Wait,
    /// Where the result goes; the flow's own `deliver` comes first.
    pub return_to: Option<ReturnAddress>,
}

/// How long a sender waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the result, at the longest for the flow's deadline; then as the mapping's `async` says.
    Result,
    /// For the result, at the longest this long and the flow's deadline; then it gets a ticket.
    AtMost(Duration),
    /// Until the job is durable.
    Ticket,
}

/// What a sender gets.
#[derive(Debug)]
pub enum Called {
    /// The result, or what is said while a person decides.
    Replied(JobId, Arc<Reply>),
    /// A ticket: the job is durable and its result can be asked for.
    Ticket(JobId),
}

/// Owns every task of the process.
pub struct Runner {
    flows: Vec<Arc<Flow>>,
    store: Option<Arc<dyn JobStore>>,
    calls: Arc<Semaphore>,
    under_way: Arc<UnderWay>,
    recent: Recent,
    tasks: Arc<Tasks>,
}

impl Runner {
    /// Starts the runner: interrupted jobs of the store are finished in the background. Must be called inside a tokio
    /// runtime.
    pub fn start(parts: Parts) -> Arc<Self> {
        let Parts { flows, store, settings, .. } = parts;
        let runner = Arc::new(Self {
            flows,
            store,
            calls: Arc::new(Semaphore::new(settings.most_calls.clamp(1, Semaphore::MAX_PERMITS))),
            under_way: Arc::default(),
            recent: Recent::default(),
            tasks: Arc::default(),
        });
        if let Some(store) = runner.store.clone() {
            let worker = Arc::clone(&runner);
            runner.tasks.spawn(async move { worker.resume(store).await });
        }
        runner
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

    /// Accepts a document for a flow and waits for its result, at the longest for the flow's deadline. Dropping the
    /// future drops the waiting, never the job.
    pub async fn call(self: &Arc<Self>, request: Request) -> Result<Called, Fault> {
        let Request { flow, mut document, extraction, .. } = request;
        let flow =
            self.flows.get(flow).ok_or_else(|| Fault::new(FaultCode::NotFound, "there is no such flow"))?;
        let permit = self.permit()?;
        let until = Instant::now() + flow.mapping.deadline;
        let own_key = if document.key.is_none() { flow.key_of(&extraction) } else { None };
        if own_key.is_some() {
            document.key.clone_from(&own_key);
        }
        let work = Work { flow: Arc::clone(flow), document, extraction, until, own_key, permit };
        let store = match flow.mapping.durability {
            Durability::Full => self.store.clone(),
            Durability::None => None,
        };
        let (id, reply) = match (store, work.document.key.is_some()) {
            (Some(store), _) => self.call_durably(store, work).await?,
            (None, true) => self.call_once(work).await?,
            (None, false) => {
                let id = JobId::fresh();
                // Cancel-safe: nothing was accepted that would have to be finished.
                let reply = within(until, work.run(id)).await?;
                (id, Arc::new(reply))
            }
        };
        Ok(Called::Replied(id, reply))
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if self.tasks.is_draining() {
            return Err(
                Fault::new(FaultCode::Unavailable, "the service is shutting down").recovery(Recovery::Retry)
            );
        }
        Arc::clone(&self.calls).try_acquire_owned().map_err(|_| {
            Fault::new(FaultCode::Unavailable, "too many calls are under way")
                .recovery(Recovery::RetryAfter(Duration::from_secs(1)))
        })
    }

    async fn call_durably(
        self: &Arc<Self>,
        store: Arc<dyn JobStore>,
        work: Work,
    ) -> Result<(JobId, Arc<Reply>), Fault> {
        let (id, until) = (JobId::fresh(), work.until);
        // Registered before it is submitted: a second call with the key that finds it stored finds it here as well.
        let working = self.under_way.begin(id);
        let (submission, work) = submit(store.as_ref(), id, work).await?;
        let (id, reply) = match submission {
            Submission::Accepted(lease) => {
                let watcher = working.watcher();
                let (runner, keeper) = (Arc::clone(self), Arc::clone(&store));
                self.tasks.spawn(async move {
                    let landing = runner.work_on(keeper, lease, id, 1, work).await;
                    working.land(landing);
                });
                (id, wait(watcher, until, id).await?)
            }
            Submission::Known(job) => {
                drop(working);
                (job.id, self.await_known(&store, *job, until).await?)
            }
            Submission::Queued(job) => return Err(late(job)),
            Submission::Conflict(other) => return Err(conflict(other)),
        };
        store.returned_soon(id);
        Ok((id, reply))
    }

    /// A keyed call of a flow that keeps nothing on disk.
    async fn call_once(self: &Arc<Self>, mut work: Work) -> Result<(JobId, Arc<Reply>), Fault> {
        let (id, until) = (JobId::fresh(), work.until);
        let working = self.under_way.begin(id);
        let (name, fingerprint) = (Arc::clone(&work.flow.mapping.name), work.fingerprint());
        for refused in 1.. {
            let Some(key) = work.document.key.clone() else { break };
            match self.recent.look(&name, &key, fingerprint, id, || working.watcher()) {
                Seen::New => {
                    let watcher = working.watcher();
                    let runner = Arc::clone(self);
                    self.tasks.spawn(async move {
                        let landing = match work.run(id).await {
                            Ok(reply) => Landing::Replied(Arc::new(reply)),
                            Err(fault) => Landing::failed(&fault),
                        };
                        working.land(landing.clone());
                        runner.recent.landed(&name, &key, id, &landing);
                    });
                    return Ok((id, wait(watcher, until, id).await?));
                }
                Seen::Same(known, watcher) => return Ok((known, wait(watcher, until, known).await?)),
                Seen::Refused(_) if work.succeed(refused) => {}
                Seen::Refused(known) | Seen::Other(known) => return Err(conflict(known)),
            }
        }
        Err(Fault::new(FaultCode::Internal, "no key"))
    }

    /// The result of a job that was accepted before, here or by a process that is gone.
    async fn await_known(
        &self,
        store: &Arc<dyn JobStore>,
        job: Job,
        until: Instant,
    ) -> Result<Arc<Reply>, Fault> {
        let id = job.id;
        let mut known = Some(job);
        let mut pause = GLANCE.0;
        loop {
            match known.map(|job| job.state) {
                Some(JobState::Answered { reply } | JobState::Returned { reply }) => {
                    return Ok(Arc::new(reply));
                }
                Some(JobState::Dead { cause, .. }) => {
                    // Its own code, and nothing to wait for: asking again changes nothing.
                    let code = FaultCode::ALL.into_iter().find(|it| cause.starts_with(it.code()));
                    let code = code.unwrap_or(FaultCode::Internal);
                    return Err(Fault::new(code, format!("the job {id} was given up: {cause}")));
                }
                Some(JobState::InReview { reply, .. }) => return Ok(Arc::new(reply)),
                Some(JobState::Queued { .. } | JobState::Leased { .. }) => {}
                None => return Err(Fault::new(FaultCode::NotFound, format!("the job {id} is gone"))),
            }
            if let Some(watcher) = self.under_way.watch(id) {
                return wait(watcher, until, id).await;
            }
            if Instant::now() + pause >= until {
                return Err(late(id));
            }
            sleep(pause).await;
            pause = (pause * 2).min(GLANCE.1);
            known = within(until, store.find(id)).await?;
        }
    }

    /// Works on a leased job until its end is stored.
    async fn work_on(
        &self,
        store: Arc<dyn JobStore>,
        lease: Lease,
        id: JobId,
        attempt: u32,
        work: Work,
    ) -> Landing {
        let name = Arc::clone(&work.flow.mapping.name);
        let result = tokio::select! {
            // Cancel-safe: the losing branch is dropped whole; a lost lease means that the result may not be stored.
            result = work.run(id) => result,
            fault = lose(&store, &lease) => Err(fault),
        };
        match result {
            Ok(reply) => match keep(store.as_ref(), lease, &reply).await {
                Ok(()) => Landing::Replied(Arc::new(reply)),
                Err(fault) => {
                    // The lease runs out, and the job is finished from the queue.
                    tracing::error!(job = %id, flow = %name, %fault, cause = cause(&fault), "a result could not be stored");
                    Landing::failed(&fault)
                }
            },
            Err(fault) => {
                tracing::warn!(job = %id, flow = %name, attempt, %fault, cause = cause(&fault), "a job failed");
                end(store.as_ref(), lease, attempt, &fault).await;
                Landing::failed(&fault)
            }
        }
    }

    /// Claims what was interrupted or put back, for as long as the process takes work. Each job has a task of its own:
    /// one that takes long, or panics, stands in no other's way.
    async fn resume(self: Arc<Self>, store: Arc<dyn JobStore>) {
        let places = Arc::new(Semaphore::new(BATCH));
        let names: Vec<_> = self.flows.iter().map(|it| Arc::clone(&it.mapping.name)).collect();
        while !self.tasks.is_draining() {
            // Cancel-safe: a place that is not taken goes to the next who waits.
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = self.tasks.draining() => return,
            };
            let Ok(place) = place else { return };
            let mut free = vec![place];
            free.extend(std::iter::from_fn(|| Arc::clone(&places).try_acquire_owned().ok()));
            let claimed = match store.claim(&names, free.len()).await {
                Ok(claimed) => claimed,
                Err(fault) => {
                    tracing::error!(%fault, cause = cause(&fault), "the store could not be asked for work");
                    Vec::new()
                }
            };
            if claimed.is_empty() {
                drop(free);
                // Cancel-safe: both only wait.
                tokio::select! { () = sleep(POLL) => {}, () = self.tasks.draining() => {} }
                continue;
            }
            tracing::info!(jobs = claimed.len(), "finishing interrupted jobs");
            for (one, place) in claimed.into_iter().zip(free) {
                let (runner, store) = (Arc::clone(&self), Arc::clone(&store));
                self.tasks.spawn(async move {
                    runner.finish(&store, one).await;
                    drop(place);
                });
            }
        }
    }

    async fn finish(&self, store: &Arc<dyn JobStore>, claimed: Claimed) {
        let Claimed { lease, job, .. } = claimed;
        let (id, attempt) = (job.id, attempts(&job.state));
        let found = self.flows.iter().find(|flow| flow.mapping.name == job.flow);
        let prepared = match found {
            _ if attempt > ATTEMPTS => Err(Fault::new(FaultCode::Internal, "interrupted too often")),
            // Another process, or this one with its mapping back in place, may serve it: nothing accepted is lost.
            None => Err(Fault::new(FaultCode::NotFound, "the flow of this job is not served here")
                .recovery(Recovery::RetryAfter(UNSERVED))),
            Some(flow) => flow.extract(&job.document).map(|extraction| (flow, extraction)),
        };
        let (flow, extraction) = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => {
                tracing::error!(job = %id, flow = %job.flow, %fault, "a job can not be finished");
                return end(store.as_ref(), lease, attempt, &fault).await;
            }
        };
        // Cancel-safe: waiting for room changes nothing; without the lease the work is another's.
        let permit = tokio::select! {
            permit = Arc::clone(&self.calls).acquire_owned() => permit,
            _ = lose(store, &lease) => return,
        };
        let Ok(permit) = permit else { return };
        let until = Instant::now() + flow.mapping.deadline;
        let working = self.under_way.begin(id);
        let work =
            Work { flow: Arc::clone(flow), document: job.document, extraction, until, own_key: None, permit };
        let landing = self.work_on(Arc::clone(store), lease, id, attempt, work).await;
        working.land(landing);
    }

    /// Serves one connection until it ends.
    pub fn serve_connection(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Takes no more work and waits for what is under way. False: `within` passed first.
    pub async fn drain(&self, within: Duration) -> bool {
        self.tasks.drain(within).await
    }
}
