//! The outbox: what ended and is owed to somebody is handed back, at least once, under a stable name.
//!
//! Each returner has a dispatcher of its own, so that one receiver that is not there holds up no other. What a crash or
//! an unreachable receiver left is claimed from the store and goes the same way.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    POLL, RENEWAL, Runner, backoff,
    ending::cause,
    served::Served,
    tasks::{Alive, Tasks, in_background},
    wakes::Wakes,
};
use crate::{
    fault::{Fault, FaultCode, Recovery},
    flow::may_be_retried,
    job::{Delivery, Job, Lease, Purpose},
    ports::{JobStore, Parcel, Returner},
};

/// Most parcels in one call of a returner.
const BATCH: usize = 256;
/// Parcels that wait for a dispatcher; what does not fit is put back for later.
const QUEUE: usize = 512;
/// Calls of one returner at the same time: a slow receiver does not hold up the others of its returner.
const SIDE_BY_SIDE: usize = 4;
/// Results that are claimed at once while a returner has no room.
const HANDFUL: usize = 8;
/// How long a finished job waits for room in the queue of its returner, before it is put back.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest call of a returner. Its own deadlines are shorter.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// When a job is looked at again whose returner is not here.
const UNKNOWN: Duration = Duration::from_secs(600);
/// When a job is looked at again for which there was no room.
const FULL: Duration = Duration::from_secs(5);

pub(super) struct Outbox {
    routes: HashMap<Box<str>, Route>,
    shared: Arc<Shared>,
}

struct Route {
    sender: mpsc::Sender<Consignment>,
    /// The last call failed for every parcel.
    is_down: Arc<AtomicBool>,
}

struct Shared {
    store: Option<Arc<dyn JobStore>>,
    served: HashMap<Arc<str>, Arc<Served>>,
    tasks: Arc<Tasks>,
    wakes: Arc<Wakes>,
    /// The dispatchers, for what goes by several. Weak: they end when the outbox goes.
    others: HashMap<Box<str>, mpsc::WeakSender<Consignment>>,
    /// How often each returner is tried; `None`: for ever.
    attempts: HashMap<Box<str>, Option<u32>>,
}

/// A finished job and what of it is still to be sent.
struct Consignment {
    owed: Owed,
    flow: Arc<str>,
    parcels: Vec<Parcel>,
    /// How often it was tried, this time included.
    tried: u32,
    is_ordered: bool,
    /// Why a part of it will never be sent; the rest is sent all the same.
    hopeless: Option<Fault>,
    /// When its lease was made or renewed last, as far as is known here.
    renewed: Instant,
    _alive: Alive,
}

enum Owed {
    /// To the store: the right to say how it went.
    Lease(Lease),
    /// To somebody who waits to hear how it went.
    Word(oneshot::Sender<Result<(), Fault>>),
}

impl Outbox {
    pub(super) fn open(
        returners: Vec<Arc<dyn Returner>>,
        store: Option<Arc<dyn JobStore>>,
        served: &[Arc<Served>],
        tasks: &Arc<Tasks>,
        wakes: &Arc<Wakes>,
    ) -> Self {
        let (mut routes, mut others, mut queues) = (HashMap::new(), HashMap::new(), Vec::new());
        let attempts = returners.iter().map(|it| (Box::from(it.name()), it.attempts())).collect();
        for returner in returners {
            let (sender, queue) = mpsc::channel(QUEUE);
            let is_down = Arc::new(AtomicBool::new(false));
            others.insert(Box::from(returner.name()), sender.downgrade());
            routes.insert(Box::from(returner.name()), Route { sender, is_down: Arc::clone(&is_down) });
            queues.push((returner, queue, is_down));
        }
        let shared = Arc::new(Shared {
            store,
            served: served.iter().map(|it| (Arc::clone(it.name()), Arc::clone(it))).collect(),
            tasks: Arc::clone(tasks),
            wakes: Arc::clone(wakes),
            others,
            attempts,
        });
        for (returner, queue, is_down) in queues {
            let dispatcher = Dispatcher { returner, shared: Arc::clone(&shared), is_down };
            in_background(Arc::new(dispatcher).run(queue));
        }
        Self { routes, shared }
    }

    /// Hands back what was just finished. Waits a little where the dispatcher is busy, so that no more is finished than
    /// can be sent.
    pub(super) async fn post(&self, lease: Lease, job: Job) {
        let consignment = self.consignment(Owed::Lease(lease), job);
        self.put(consignment, PATIENCE).await;
    }

    /// Hands back a result that no store has; ends when the other side took it.
    pub(super) async fn send_unkept(&self, job: Job) -> Result<(), Fault> {
        let (word, heard) = oneshot::channel();
        let mut consignment = self.consignment(Owed::Word(word), job);
        // What was refused goes back to where it came from.
        consignment.parcels.retain(|it| it.purpose == Purpose::Result);
        self.put(consignment, PATIENCE).await;
        heard.await.unwrap_or_else(|_| Err(no_room()))
    }

    fn consignment(&self, owed: Owed, job: Job) -> Consignment {
        let tried = match &job.delivery {
            Delivery::Due { attempt, .. } => *attempt,
            Delivery::Nothing | Delivery::Done | Delivery::GivenUp { .. } => 1,
        };
        let job = Arc::new(job);
        let parcel = |(purpose, place): (Purpose, &crate::job::Place)| Parcel {
            purpose,
            place: place.clone(),
            job: Arc::clone(&job),
        };
        Consignment {
            owed,
            flow: Arc::clone(&job.flow),
            parcels: job.parcels().into_iter().map(parcel).collect(),
            tried,
            is_ordered: job.order.is_some(),
            hopeless: None,
            renewed: Instant::now(),
            _alive: self.shared.tasks.alive(),
        }
    }

    /// False: its returner has no room for it, and it was put back.
    async fn put(&self, consignment: Consignment, patience: Duration) -> bool {
        let Some(first) = consignment.parcels.first() else {
            self.shared.delivered(consignment).await;
            return true;
        };
        let Some(route) = self.routes.get(&first.place.returner) else {
            self.shared.put_off_unknown(consignment).await;
            return true;
        };
        let waits = if route.is_down.load(Ordering::Relaxed) { Duration::ZERO } else { patience };
        let refused = match route.sender.try_send(consignment) {
            Err(mpsc::error::TrySendError::Full(consignment)) if !waits.is_zero() => {
                match timeout(waits, route.sender.reserve()).await {
                    Ok(Ok(room)) => {
                        room.send(consignment);
                        return true;
                    }
                    Ok(Err(_)) | Err(_) => consignment,
                }
            }
            Err(mpsc::error::TrySendError::Full(it) | mpsc::error::TrySendError::Closed(it)) => it,
            Ok(()) => return true,
        };
        self.shared.put_off_full(refused).await;
        false
    }
}

fn no_room() -> Fault {
    Fault::new(FaultCode::Unavailable, "too many results wait to be handed back").recovery(Recovery::Retry)
}

impl Shared {
    async fn delivered(&self, mut consignment: Consignment) {
        if let Some(fault) = consignment.hopeless.take() {
            return self.undeliverable(consignment, fault).await;
        }
        if let Some(served) = self.served.get(&consignment.flow) {
            served.tally.delivered.one();
        }
        let (lease, store) = match (consignment.owed, &self.store) {
            (Owed::Word(word), _) => return drop(word.send(Ok(()))),
            (Owed::Lease(lease), Some(store)) => (lease, store),
            (Owed::Lease(_), None) => return,
        };
        if !consignment.is_ordered {
            return store.delivered_soon(lease);
        }
        // The next of its order waits for this.
        let job = lease.job;
        if let Err(fault) = store.delivered(lease).await {
            tracing::warn!(%job, %fault, "that a result was handed back is not stored: it is sent again");
        }
        self.wakes.claims.notify_one();
    }

    /// What was sent by one returner, and may have more to send by another one.
    async fn pass_on(&self, one: Consignment) {
        let Some(next) = one.parcels.first() else { return self.delivered(one).await };
        let other = self.others.get(&next.place.returner).and_then(mpsc::WeakSender::upgrade);
        let Some(other) = other else { return self.put_off_unknown(one).await };
        if let Err(mpsc::error::TrySendError::Full(it) | mpsc::error::TrySendError::Closed(it)) =
            other.try_send(one)
        {
            self.put_off_full(it).await;
        }
    }

    /// Its returner is not here. Another process may have it, or this one after a change of its configuration.
    async fn put_off_unknown(&self, consignment: Consignment) {
        let returner = consignment.parcels.first().map(|it| &*it.place.returner);
        tracing::error!(
            flow = %consignment.flow, returner,
            "a result can not be handed back: there is no such connection here"
        );
        let fault = Fault::new(FaultCode::Undeliverable, "there is no such connection here");
        self.put_off(consignment, UNKNOWN, fault).await;
    }

    async fn failed(&self, mut consignment: Consignment, most: Option<u32>, fault: Fault) {
        let tried = consignment.tried;
        if let Some(served) = self.served.get(&consignment.flow) {
            served.tally.delivery_failures.one();
        }
        if may_be_retried(&fault) && most.is_none_or(|most| tried < most) {
            let delay = backoff::of_delivery(tried, most, fault.recovery);
            return self.put_off(consignment, delay, fault).await;
        }
        if consignment.parcels.is_empty() {
            return self.undeliverable(consignment, fault).await;
        }
        // A receiver that is gone must not keep the dead letter back that goes by another way.
        let fault = consignment.hopeless.take().unwrap_or(fault);
        self.pass_on(Consignment { hopeless: Some(fault), ..consignment }).await;
    }

    async fn undeliverable(&self, consignment: Consignment, fault: Fault) {
        let tried = consignment.tried;
        let (lease, store) = match (consignment.owed, &self.store) {
            (Owed::Word(word), _) => return drop(word.send(Err(fault))),
            (Owed::Lease(lease), Some(store)) => (lease, store),
            (Owed::Lease(_), None) => return,
        };
        let job = lease.job;
        tracing::error!(%job, flow = %consignment.flow, %fault, tried, "a result is undeliverable");
        if let Err(fault) = store.undeliverable(lease, fault.to_string()).await {
            tracing::error!(%job, %fault, "that a result is undeliverable could not be stored");
        }
        self.wakes.claims.notify_one();
    }

    /// There is no room for it now. The store counts that as a try: with growing pauses, tries last as long as for what
    /// was sent in vain.
    async fn put_off_full(&self, consignment: Consignment) {
        let most = consignment
            .parcels
            .first()
            .and_then(|it| self.attempts.get(&it.place.returner).copied().flatten());
        let delay = backoff::of_delivery(consignment.tried, most, Recovery::RetryAfter(FULL));
        self.put_off(consignment, delay, no_room()).await;
    }

    async fn put_off(&self, consignment: Consignment, delay: Duration, fault: Fault) {
        let (lease, store) = match (consignment.owed, &self.store) {
            (Owed::Word(word), _) => return drop(word.send(Err(fault))),
            (Owed::Lease(lease), Some(store)) => (lease, store),
            (Owed::Lease(_), None) => return,
        };
        let job = lease.job;
        if let Err(fault) = store.redeliver(lease, delay).await {
            tracing::warn!(%job, %fault, "a result could not be put back: it is sent once its lease has run out");
        }
    }
}

struct Dispatcher {
    returner: Arc<dyn Returner>,
    shared: Arc<Shared>,
    is_down: Arc<AtomicBool>,
}

impl Dispatcher {
    /// Sends what comes until nobody can post any more. Batches grow by themselves while all calls are under way.
    async fn run(self: Arc<Self>, mut queue: mpsc::Receiver<Consignment>) {
        let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let mut batch = Vec::new();
            if queue.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            let dispatcher = Arc::clone(&self);
            self.shared.tasks.spawn(async move {
                dispatcher.send(batch).await;
                drop(place);
            });
        }
    }

    async fn send(&self, batch: Vec<Consignment>) {
        let mut batch = self.fresh(batch).await;
        if batch.is_empty() {
            return;
        }
        // What goes by other returners is passed on after this.
        let mut parcels = Vec::with_capacity(batch.len());
        let mut counts = Vec::with_capacity(batch.len());
        for one in &mut batch {
            let (mine, others): (Vec<_>, Vec<_>) =
                one.parcels.drain(..).partition(|it| *it.place.returner == *self.returner.name());
            one.parcels = others;
            counts.push(mine.len());
            parcels.extend(mine);
        }
        let mut results = self.hand_back(&parcels, &mut batch).await.into_iter();
        let mut failures = Vec::new();
        let (mut ended, mut any) = (Vec::with_capacity(batch.len()), false);
        for (one, count) in batch.into_iter().zip(counts) {
            let silent =
                || Err(Fault::new(FaultCode::Internal, "a connection did not say what became of a result"));
            let own: Vec<_> = (0..count)
                .map(|_| {
                    results.next().unwrap_or_else(|| silent().map_err(|it| it.recovery(Recovery::Retry)))
                })
                .collect();
            any |= own.iter().any(Result::is_ok);
            match own.into_iter().find_map(Result::err) {
                Some(fault) => failures.push((one, fault)),
                None => ended.push(one),
            }
        }
        let was_down = self.is_down.swap(!any, Ordering::Relaxed);
        self.say(was_down, any, &failures);
        let most = self.returner.attempts();
        join_all(failures.into_iter().map(|(one, fault)| self.shared.failed(one, most, fault))).await;
        join_all(ended.into_iter().map(|one| self.shared.pass_on(one))).await;
    }

    /// Calls the returner, and keeps the leases of the batch while it works.
    async fn hand_back(&self, parcels: &[Parcel], batch: &mut [Consignment]) -> Vec<Result<(), Fault>> {
        let calling = AssertUnwindSafe(timeout(LONGEST, self.returner.hand_back(parcels))).catch_unwind();
        let mut calling = std::pin::pin!(calling);
        let failed = |what: &str| {
            let fault = || Fault::new(FaultCode::Undeliverable, what).recovery(Recovery::Retry);
            parcels.iter().map(|_| Err(fault())).collect()
        };
        loop {
            tokio::select! {
                biased;
                result = calling.as_mut() => return match result {
                    Ok(Ok(results)) => results,
                    Ok(Err(_)) => failed("the connection did not end in time"),
                    Err(_) => failed("the connection's code panicked"),
                },
                // Cancel-safe: it only waits.
                () = sleep(RENEWAL) => {
                    join_all(batch.iter_mut().map(|one| self.renew(one))).await;
                }
            }
        }
    }

    /// What is still ours after it waited; another has what is not.
    async fn fresh(&self, batch: Vec<Consignment>) -> Vec<Consignment> {
        let renewed = batch.into_iter().map(|mut one| async move {
            (one.renewed.elapsed() < RENEWAL || self.renew(&mut one).await).then_some(one)
        });
        join_all(renewed).await.into_iter().flatten().collect()
    }

    /// False: the lease is lost.
    async fn renew(&self, one: &mut Consignment) -> bool {
        let (Owed::Lease(lease), Some(store)) = (&one.owed, &self.shared.store) else { return true };
        match store.renew(lease).await {
            Ok(()) => {
                one.renewed = Instant::now();
                true
            }
            Err(fault) => may_be_retried(&fault),
        }
    }

    /// Says once that a returner is down, and once that it is up again.
    fn say(&self, was_down: bool, any: bool, failures: &[(Consignment, Fault)]) {
        let returner = self.returner.name();
        match failures.first() {
            Some((_, fault)) if !was_down => {
                let results = failures.len();
                tracing::warn!(%returner, results, %fault, cause = cause(fault), "results could not be handed back");
            }
            _ if was_down && any => tracing::info!(%returner, "results are handed back again"),
            _ => {}
        }
    }
}

impl Runner {
    /// Claims what was finished and not handed back, for as long as the process takes work.
    pub(super) async fn resume_deliveries(self: Arc<Self>, store: Arc<dyn JobStore>) {
        let mut is_full = false;
        while !self.tasks.is_draining() {
            let most = if is_full { HANDFUL } else { BATCH / 2 };
            let claimed = match store.claim_deliveries(most).await {
                Ok(claimed) => claimed,
                Err(fault) => {
                    tracing::error!(%fault, cause = cause(&fault), "the store could not be asked for results to send");
                    Vec::new()
                }
            };
            if claimed.is_empty() {
                // Cancel-safe: all only wait.
                tokio::select! {
                    () = sleep(POLL) => {}
                    () = self.wakes.deliveries.notified() => {}
                    () = self.tasks.draining() => return,
                }
                continue;
            }
            let put = claimed.into_iter().map(|one| {
                let consignment = self.outbox.consignment(Owed::Lease(one.lease), one.job);
                self.outbox.put(consignment, Duration::ZERO)
            });
            is_full = join_all(put).await.contains(&false);
            if is_full {
                // A receiver is slower than we are: what waits for it is not claimed only to be put back, which is work for
                // the store and counts as tries. Cancel-safe: both only wait.
                tokio::select! { () = sleep(POLL) => {}, () = self.tasks.draining() => return }
            }
        }
    }
}
