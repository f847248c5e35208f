//! Sources: documents that arrive by themselves. Each is open for as long as it works, and opened anew when it does not.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Runner,
    backoff::{Doubling, jittered},
    ending::cause,
    figures::Pulse,
    outbox::LONGEST,
    served::Served,
    waiting::Working,
    work::{Work, conflict, read, submit},
};
use crate::{
    change,
    document::{Document, Hash},
    fault::{Fault, FaultCode, Recovery},
    flow::may_be_retried,
    job::{JobId, JobState, Lease, ReturnAddress, Start, Submission},
    ports::{Extraction, Intake, JobStore, Positions, Receipt, Received, Settlement, Source},
};

/// Most documents of a source that are made durable together.
const BATCH: usize = 256;
/// Pauses between two tries to open a source.
const REOPEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// When a source is opened again that said that it can not go on.
const STOPPED: Duration = Duration::from_secs(30);
/// Pauses between two tries to store what was received.
const RESUBMIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often it is looked whether a flow that takes no work does so again.
const SHEDDING: Duration = Duration::from_millis(500);
/// A connection that lasted so long was a good one: the next pause is the first again.
const GOOD: Duration = Duration::from_secs(10);
/// After so many documents others have their turn.
const BREATH: usize = 32;

pub(super) type Settled = Vec<(Receipt, Settlement)>;
pub(super) type Accepting<'a> = Pin<Box<dyn Future<Output = Settled> + Send + 'a>>;

/// Why an open source is left.
pub(super) enum Left {
    /// The process takes nothing more.
    Closed,
    /// It does not work any more.
    Over(Fault),
}

impl Runner {
    /// Keeps a source open for as long as the process takes documents. What happens is said once, not once a try.
    pub(super) async fn supervise(self: Arc<Self>, at: usize) {
        let Some((fed, pulse)) = self.sources.get(at) else { return };
        let Some(served) = self.served.get(fed.flow) else { return };
        let mut pauses = Doubling::new(REOPEN.0, REOPEN.1);
        let mut said = Said::Nothing;
        loop {
            let began = tokio::time::Instant::now();
            // Cancel-safe: an intake that is not used is dropped, and what it received is delivered again.
            let opened = tokio::select! {
                opened = open(fed.source.as_ref(), self.store.clone()) => opened,
                () = self.tasks.closed() => return,
            };
            let fault = match opened {
                Ok(mut intake) => {
                    tracing::info!(source = fed.source.name(), flow = %served.name(), "a source is open");
                    pulse.opened.one();
                    let up = pulse.up();
                    let left = match self.store.as_ref().filter(|_| served.is_durable()) {
                        Some(store) if fed.source.is_journaled() => {
                            self.journal(intake.as_mut(), store, served, pulse).await
                        }
                        store => self.drink(intake.as_mut(), store, served, pulse).await,
                    };
                    drop(up);
                    said.was_open(began.elapsed() >= GOOD);
                    if began.elapsed() >= GOOD {
                        pauses.reset();
                    }
                    match left {
                        Left::Closed => return,
                        Left::Over(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            said.say(fed.source.name(), served.name(), &fault);
            let is_stopped = fault.recovery == Recovery::GiveUp;
            pulse.stop(is_stopped.then(|| fault.to_string().into()));
            let pause = if is_stopped { jittered(STOPPED) } else { pauses.pause() };
            // Cancel-safe: both only wait.
            tokio::select! { () = sleep(pause) => {}, () = self.tasks.closed() => return }
        }
    }

    /// Takes documents from an open source. While one batch is made durable, the next is received; batches are stored in
    /// their order.
    async fn drink(
        self: &Arc<Self>,
        intake: &mut dyn Intake,
        store: Option<&Arc<dyn JobStore>>,
        served: &Arc<Served>,
        pulse: &Pulse,
    ) -> Left {
        let (sender, mut settled) = mpsc::channel::<(Receipt, Settlement)>(BATCH);
        let mut accepting: Option<Accepting<'_>> = None;
        let mut waiting: Option<Vec<Received>> = None;
        let mut is_closed = false;
        let (mut room, mut pending) = (0, 0);
        loop {
            if accepting.is_none()
                && let Some(batch) = waiting.take()
            {
                pending = batch.len();
                accepting = Some(match store {
                    Some(store) => Box::pin(self.accept(store, served, batch, usize::MAX)),
                    None => Box::pin(self.start_unkept(served, batch, &sender)),
                });
            }
            // All of them are given back: the receiver's own sender is the last.
            let is_idle = accepting.is_none() && sender.strong_count() == 1 && settled.is_empty();
            if is_closed && is_idle {
                return Left::Closed;
            }
            // What is being stored will take its room first.
            let has_room = accepting.is_none() || served.lane.room() > pending;
            let takes = waiting.is_none() && !is_closed && has_room;
            let mut batch = Vec::new();
            // Cancel-safe: `next` keeps what it did not hand over, `accepting` is kept outside, a channel loses nothing.
            let result = tokio::select! {
                biased;
                () = self.tasks.closed(), if !is_closed => { is_closed = true; Ok(()) }
                done = poll(&mut accepting) => { (accepting, pending) = (None, 0); intake.settle(done).await }
                _ = settled.recv_many(&mut batch, BATCH) => intake.settle(batch).await,
                free = room_of(served, pending), if takes && room == 0 => { room = free; Ok(()) }
                next = intake.next(room.min(BATCH)), if takes && room > 0 => next.map(|batch| {
                    pulse.received.add(u64::try_from(batch.len()).unwrap_or(0));
                    waiting = Some(batch);
                    room = 0;
                }),
                () = sleep(SHEDDING), if is_closed => Ok(()),
            };
            if let Err(fault) = result {
                // What is being stored is stored; its sender is not told, and delivers it again to no effect.
                if let Some(accepting) = accepting {
                    accepting.await;
                }
                return Left::Over(fault);
            }
        }
    }

    /// Makes documents durable, in their order, and begins to work on the first `now`; the others wait in the store. A document that can not be stored now stays
    /// unsettled until it can be.
    pub(super) async fn accept(
        self: &Arc<Self>,
        store: &Arc<dyn JobStore>,
        served: &Arc<Served>,
        batch: Vec<Received>,
        now: usize,
    ) -> Settled {
        let mut ones = Vec::with_capacity(batch.len());
        for (at, received) in batch.into_iter().enumerate() {
            ones.push(self.arrive(served, received, if at < now { Start::Now } else { Start::Later }));
            if at % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
        }
        let Some(submissions) = self.submit_batch(store, &ones).await else { return Vec::new() };
        let is_leased = |it: &Result<Submission, Fault>| matches!(it, Ok(Submission::Accepted(_)));
        // What is leased begins before anything waits for the store: a lease that runs out here is another's to claim, and
        // its question would be asked twice.
        let (leased, others): (Vec<_>, Vec<_>) =
            ones.into_iter().zip(submissions).enumerate().partition(|(_, (_, it))| is_leased(it));
        let mut settled = Vec::with_capacity(leased.len() + others.len());
        for (at, (one, submission)) in leased.into_iter().chain(others) {
            if let Some(one) = self.accepted(store, one, submission).await {
                settled.push((at, one));
            }
        }
        settled.sort_by_key(|(at, _)| *at);
        settled.into_iter().map(|(_, one)| one).collect()
    }

    fn arrive(&self, served: &Arc<Served>, received: Received, start: Start) -> Arrived {
        let Received { document, return_to, receipt, .. } = received;
        let event = name_of_event(&document);
        // What waits is read when it is claimed: here that would only slow its source down.
        let waits_unread = start == Start::Later && event.is_some() && !served.flow.orders();
        let (extraction, mut defect) = if waits_unread {
            (Extraction::default(), None)
        } else {
            match read(&served.flow, &document) {
                Ok(extraction) => (extraction, None),
                Err(fault) => (Extraction::default(), Some(fault)),
            }
        };
        let id = JobId::fresh();
        let of = |mut extraction: Extraction| {
            let mut document = document.clone();
            match event {
                Some(name) => extraction.payload = Some(name),
                None => served.flow.prefer_own_key(&mut document, &extraction),
            }
            Work::received(served, document, extraction, return_to.clone())
        };
        // Key and order are made of what was read: one document that breaks them must not stop its source.
        let made = catch_unwind(AssertUnwindSafe(|| of(extraction)));
        let mut work = made.unwrap_or_else(|_| {
            let fault =
                Fault::new(FaultCode::Internal, "the key or the order of this document could not be made");
            defect = Some(fault);
            of(Extraction::default())
        });
        if defect.is_some() {
            // What was not read has no order and no key of its own.
            (work.order, work.own_key) = (None, None);
        }
        let working = (start == Start::Now).then(|| self.under_way.begin(id));
        Arrived { id, work, defect, receipt, start, working }
    }

    /// `None`: the process ends before the store took them.
    async fn submit_batch(
        &self,
        store: &Arc<dyn JobStore>,
        ones: &[Arrived],
    ) -> Option<Vec<Result<Submission, Fault>>> {
        let mut pauses = Doubling::new(RESUBMIT.0, RESUBMIT.1);
        let mut is_known = false;
        loop {
            let jobs = ones.iter().map(|it| it.work.job(it.id, it.start)).collect();
            match store.submit_all(jobs).await {
                Ok(submissions) => return Some(submissions),
                Err(fault) if !std::mem::replace(&mut is_known, true) => {
                    tracing::error!(%fault, cause = cause(&fault), documents = ones.len(), "what a source received could not be stored; it is tried again");
                }
                Err(_) => {}
            }
            // Cancel-safe: both only wait. What is not settled is delivered again.
            tokio::select! { () = sleep(pauses.pause()) => {}, () = self.tasks.draining() => return None }
        }
    }

    /// What became of one document; `None`: its sender is to deliver it again.
    async fn accepted(
        self: &Arc<Self>,
        store: &Arc<dyn JobStore>,
        mut one: Arrived,
        submission: Result<Submission, Fault>,
    ) -> Option<(Receipt, Settlement)> {
        let tally = &Arc::clone(&one.work.served).tally;
        let submission = self.settle_key(store, &mut one, submission).await?;
        match submission {
            Ok(Submission::Accepted(lease)) => {
                tally.accepted.one();
                Some((one.begin(self, store, lease), Settlement::Accepted))
            }
            Ok(Submission::Queued(_)) => {
                self.queued(&one.work.served);
                Some((one.receipt, Settlement::Accepted))
            }
            Ok(Submission::Known(_)) => {
                tally.duplicates.one();
                Some((one.receipt, Settlement::Accepted))
            }
            Ok(Submission::Conflict(other)) => {
                // Nobody waits who could be told: it becomes a job without a key, which an operator sees.
                tally.conflicts.one();
                one.defect = Some(conflict(other));
                (one.work.document.key, one.work.own_key, one.work.order) = (None, None, None);
                one.start = Start::Now;
                let lease = self.insist(store, &one).await?;
                let Some(lease) = lease else { return Some((one.receipt, Settlement::Accepted)) };
                Some((one.begin(self, store, lease), Settlement::Accepted))
            }
            Err(fault) if name_of_event(&one.work.document).is_some() => {
                tally.failed(&fault);
                // A database has no dead letters: it would be gone. Without its content it is a job that an operator sees.
                tracing::error!(job = %one.id, %fault, cause = cause(&fault), "the store refused a change; it is kept without its content");
                one.work.document.bytes = bytes::Bytes::new();
                (one.start, one.work.order, one.defect) = (Start::Now, None, Some(fault));
                let lease = self.insist(store, &one).await?;
                let Some(lease) = lease else { return Some((one.receipt, Settlement::Accepted)) };
                Some((one.begin(self, store, lease), Settlement::Accepted))
            }
            Err(fault) => {
                tally.failed(&fault);
                let settlement = Settlement::DeadLetter { cause: fault.to_string(), findings: Vec::new() };
                Some((one.receipt, settlement))
            }
        }
    }

    /// Where the store refused this document alone for a moment, or the mapping's own key has a successor, it is submitted
    /// again. `None`: the process ends first.
    async fn settle_key(
        &self,
        store: &Arc<dyn JobStore>,
        one: &mut Arrived,
        mut submission: Result<Submission, Fault>,
    ) -> Option<Result<Submission, Fault>> {
        let mut pauses = Doubling::new(RESUBMIT.0, RESUBMIT.1);
        if matches!(submission, Ok(Submission::Known(_) | Submission::Conflict(_)))
            && one.work.own_key.is_some()
        {
            submission = submit(store.as_ref(), one.id, one.start, &mut one.work).await;
        }
        loop {
            match &submission {
                Err(fault) if may_be_retried(fault) => {
                    tracing::warn!(%fault, "a document could not be stored; it is tried again");
                }
                // A try that failed may have stored it all the same: then it is claimed once its lease has run out.
                Err(_) => match store.find(one.id).await {
                    Ok(Some(_)) => return Some(Ok(Submission::Queued(one.id))),
                    Ok(None) => return Some(submission),
                    Err(_) => {}
                },
                Ok(_) => return Some(submission),
            }
            // Cancel-safe: both only wait.
            tokio::select! { () = sleep(pauses.pause()) => {}, () = self.tasks.draining() => return None }
            submission = submit(store.as_ref(), one.id, one.start, &mut one.work).await;
        }
    }

    /// Submits a document without a key until it is stored. The outer `None`: the process ends first; the inner one: it
    /// is stored, and somebody else has its lease.
    async fn insist(&self, store: &Arc<dyn JobStore>, one: &Arrived) -> Option<Option<Lease>> {
        let mut pauses = Doubling::new(RESUBMIT.0, RESUBMIT.1);
        loop {
            match store.submit(one.work.job(one.id, one.start)).await {
                Ok(Submission::Accepted(lease)) => return Some(Some(lease)),
                Ok(_) => return Some(None),
                Err(fault) if !may_be_retried(&fault) && matches!(store.find(one.id).await, Ok(Some(_))) => {
                    return Some(None);
                }
                Err(fault) => tracing::warn!(%fault, "a document could not be stored; it is tried again"),
            }
            // Cancel-safe: both only wait.
            tokio::select! { () = sleep(pauses.pause()) => {}, () = self.tasks.draining() => return None }
        }
    }
}

/// A document of a source, read as far as it can be.
struct Arrived {
    id: JobId,
    work: Work,
    /// Why there is nothing to work on.
    defect: Option<Fault>,
    receipt: Receipt,
    start: Start,
    /// `None`: it waits in the store.
    working: Option<Working>,
}

impl Arrived {
    /// It is durable: the work on it begins, or ends where there is none.
    fn begin(self, runner: &Arc<Runner>, store: &Arc<dyn JobStore>, lease: Lease) -> Receipt {
        let Self { id, work, defect, receipt, working, .. } = self;
        let working = working.unwrap_or_else(|| runner.under_way.begin(id));
        let (runner, store) = (Arc::clone(runner), Arc::clone(store));
        let tasks = Arc::clone(&runner.tasks);
        let Some(fault) = defect else {
            // Seated before anybody looks for room again.
            let seat = work.served.lane.try_seat();
            tasks.spawn(async move { runner.work_in_turn(store, lease, work, seat, working).await });
            return receipt;
        };
        tasks.spawn(async move {
            let served = Arc::clone(&work.served);
            let job = work.into_finished(id, JobState::Leased { attempt: 1 });
            runner.give_up(&store, &served, lease, job, &fault).await;
            drop(working);
        });
        receipt
    }
}

/// The hash of a change's key. It names one event of a database for ever: what comes again under it is the same event,
/// also where a part of it was read anew and is another one now; and two events of one row are two documents, whatever
/// business key the mapping makes of them.
fn name_of_event(document: &Document) -> Option<Hash> {
    let key = document.key.as_ref().filter(|_| &*document.media_type == change::MEDIA_TYPE)?;
    Some(Hash::of(key.as_str().as_bytes()))
}

/// What was said of a source that is not open.
#[derive(PartialEq)]
enum Said {
    Nothing,
    Down,
    /// Why it stopped.
    Stopped(String),
}

impl Said {
    /// One that stops again right after it was opened is not worth a word each time.
    fn was_open(&mut self, long: bool) {
        if long || !matches!(self, Self::Stopped(_)) {
            *self = Self::Nothing;
        }
    }

    fn say(&mut self, source: &str, flow: &Arc<str>, fault: &Fault) {
        let now = match fault.recovery {
            Recovery::GiveUp => Self::Stopped(fault.to_string()),
            Recovery::Retry | Recovery::RetryAfter(_) | Recovery::FailOver => Self::Down,
        };
        if *self == now {
            return;
        }
        match now {
            Self::Stopped(_) => {
                tracing::error!(source, %flow, %fault, cause = cause(fault), "a source has stopped: somebody must see to it");
            }
            _ => {
                tracing::warn!(source, %flow, %fault, cause = cause(fault), "a source is down; it is opened again");
            }
        }
        *self = now;
    }
}

async fn open(source: &dyn Source, store: Option<Arc<dyn JobStore>>) -> Result<Box<dyn Intake>, Fault> {
    timeout(LONGEST, source.open(Arc::new(StorePositions(store)))).await.unwrap_or_else(|_| {
        Err(Fault::new(FaultCode::Unavailable, "the source did not open in time").recovery(Recovery::Retry))
    })
}

/// What sources keep, in the job store.
struct StorePositions(Option<Arc<dyn JobStore>>);

impl StorePositions {
    fn store(&self) -> Result<&Arc<dyn JobStore>, Fault> {
        self.0.as_ref().ok_or_else(|| Fault::new(FaultCode::Store, "without a store no position can be kept"))
    }
}

impl Positions for StorePositions {
    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        Box::pin(async move { self.store()?.position(name).await })
    }

    fn keep<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.store()?.keep_position(name, text).await })
    }
}

/// What was accepted, once it is; for ever where there is nothing to accept.
pub(super) async fn poll(accepting: &mut Option<Accepting<'_>>) -> Settled {
    match accepting {
        Some(accepting) => accepting.await,
        None => pending().await,
    }
}

/// How much the flow takes besides what is being stored, once it takes something. Holds nothing while the source has
/// nothing.
async fn room_of(served: &Served, pending: usize) -> usize {
    while served.is_shedding() || served.starts_in_time().is_err() {
        sleep(SHEDDING).await;
    }
    if served.lane.room() == 0 || served.lane.waiting() > 0 {
        // A turn is a turn, also where more callers came after it.
        drop(served.lane.seat().await);
    }
    served.lane.room().saturating_sub(pending).max(1)
}

/// The document of a source as the work on it, for flows that keep nothing.
pub(super) fn unkept(
    served: &Arc<Served>,
    document: Document,
    return_to: Option<ReturnAddress>,
) -> Result<Work, Fault> {
    let extraction = read(&served.flow, &document)?;
    Ok(Work::received(served, document, extraction, return_to))
}
