//! Who waits for which job, and what was answered lately to flows that keep nothing on disk.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    document::{Hash, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    job::{JobId, Reply, ReplyBody},
};

/// How a job's work ended, for everyone who waits.
#[derive(Debug, Clone)]
pub(super) enum Landing {
    Replied(Arc<Reply>),
    /// What is said while a person decides.
    Held(Arc<Reply>),
    Failed {
        code: FaultCode,
        recovery: Recovery,
        message: Arc<str>,
        /// The job is not at its end: it is tried again.
        goes_on: bool,
    },
}

/// What somebody who waited gets.
#[derive(Debug)]
pub(super) enum Landed {
    /// The result.
    Replied(Arc<Reply>),
    /// What is said while a person decides.
    Held(Arc<Reply>),
    /// It failed, and is tried again.
    GoesOn(Fault),
}

impl Landing {
    pub(super) fn failed(fault: &Fault, goes_on: bool) -> Self {
        let message = fault.message.as_str().into();
        Self::Failed { code: fault.code, recovery: fault.recovery, message, goes_on }
    }

    /// Bytes that it holds, roughly.
    fn weight(&self) -> usize {
        match self {
            Self::Replied(reply) | Self::Held(reply) => match &reply.body {
                ReplyBody::Written { bytes, .. } => bytes.len().saturating_add(reply.findings.len() * 256),
                ReplyBody::Refused => reply.findings.len() * 256,
            },
            Self::Failed { message, .. } => message.len(),
        }
    }

    fn into_landed(self) -> Result<Landed, Fault> {
        match self {
            Self::Replied(reply) => Ok(Landed::Replied(reply)),
            Self::Held(reply) => Ok(Landed::Held(reply)),
            Self::Failed { code, recovery, message, goes_on } => {
                let fault = Fault::new(code, &*message).recovery(recovery);
                if goes_on { Ok(Landed::GoesOn(fault)) } else { Err(fault) }
            }
        }
    }
}

pub(super) type Watcher = watch::Receiver<Option<Landing>>;

/// Jobs that this process works on.
#[derive(Default)]
pub(super) struct UnderWay {
    jobs: Mutex<HashMap<JobId, Watcher>>,
}

impl UnderWay {
    /// Registers a job. Its entry goes when the guard is dropped, however the work ended.
    pub(super) fn begin(self: &Arc<Self>, id: JobId) -> Working {
        let (sender, watcher) = watch::channel(None);
        lock(&self.jobs).insert(id, watcher);
        Working { id, sender, all: Arc::clone(self) }
    }

    pub(super) fn watch(&self, id: JobId) -> Option<Watcher> {
        lock(&self.jobs).get(&id).cloned()
    }
}

/// One job under way.
pub(super) struct Working {
    id: JobId,
    sender: watch::Sender<Option<Landing>>,
    all: Arc<UnderWay>,
}

impl Working {
    pub(super) fn watcher(&self) -> Watcher {
        self.sender.subscribe()
    }

    pub(super) fn land(self, landing: Landing) {
        self.sender.send_replace(Some(landing));
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        lock(&self.all.jobs).remove(&self.id);
    }
}

/// Waits for the end of a job. A worker that vanished without a word (a panic) is an internal fault.
pub(super) async fn landed(mut watcher: Watcher) -> Result<Landed, Fault> {
    // Cancel-safe: `wait_for` only reads.
    match watcher.wait_for(Option::is_some).await.map(|seen| seen.clone()) {
        Ok(Some(landing)) => landing.into_landed(),
        Ok(None) | Err(_) => {
            Err(Fault::new(FaultCode::Internal, "the work on this document ended without a result"))
        }
    }
}

/// Keyed calls of flows with `durability: none`: the newest, so that a repeated key is not asked twice.
#[derive(Default)]
pub(super) struct Recent {
    inner: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    entries: HashMap<Name, Remembered>,
    order: VecDeque<Name>,
    bytes: usize,
}

type Name = (Arc<str>, IdempotencyKey);

struct Remembered {
    fingerprint: Hash,
    id: JobId,
    watcher: Watcher,
    /// Bytes of its reply; 0 while there is none.
    weight: usize,
}

impl Ring {
    /// Forgets the oldest calls until the rest fits.
    fn shrink(&mut self) {
        for _ in 0..self.order.len() {
            if self.order.len() <= Recent::MOST && self.bytes <= Recent::MOST_BYTES {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            // A call under way must be found by those that repeat it; there are never more of them than calls.
            if self.entries.get(&oldest).is_some_and(|it| is_under_way(&it.watcher)) {
                self.order.push_back(oldest);
                continue;
            }
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(gone.weight);
            }
        }
    }
}

/// What is known of a key.
pub(super) enum Seen {
    New,
    Same(JobId, Watcher),
    /// Another document, and it was refused.
    Refused(JobId),
    Other(JobId),
}

impl Recent {
    /// How many keyed calls are remembered.
    const MOST: usize = 8_192;
    /// How many bytes their replies may have together.
    const MOST_BYTES: usize = 16 << 20;

    /// A remembered call ended: its reply counts from now on.
    pub(super) fn landed(&self, flow: &Arc<str>, key: &IdempotencyKey, id: JobId, landing: &Landing) {
        let mut ring = lock(&self.inner);
        let weight = landing.weight();
        let Some(call) = ring.entries.get_mut(&(Arc::clone(flow), key.clone())).filter(|it| it.id == id)
        else {
            return;
        };
        call.weight = weight;
        ring.bytes = ring.bytes.saturating_add(weight);
        ring.shrink();
    }

    /// Finds the key, or remembers this call under it. Atomic.
    pub(super) fn look(
        &self,
        flow: &Arc<str>,
        key: &IdempotencyKey,
        fingerprint: Hash,
        id: JobId,
        watcher: impl FnOnce() -> Watcher,
    ) -> Seen {
        let mut ring = lock(&self.inner);
        let name = (Arc::clone(flow), key.clone());
        match ring.entries.get(&name) {
            // A call that failed is not an answer: the key is free again.
            Some(known) if failed(&known.watcher) => {}
            Some(known) if known.fingerprint == fingerprint => {
                return Seen::Same(known.id, known.watcher.clone());
            }
            Some(known) if refused(&known.watcher) => return Seen::Refused(known.id),
            Some(known) => return Seen::Other(known.id),
            None => {}
        }
        let call = Remembered { fingerprint, id, watcher: watcher(), weight: 0 };
        match ring.entries.insert(name.clone(), call) {
            None => ring.order.push_back(name),
            Some(failed) => ring.bytes = ring.bytes.saturating_sub(failed.weight),
        }
        ring.shrink();
        Seen::New
    }
}

fn is_under_way(watcher: &Watcher) -> bool {
    watcher.borrow().is_none() && watcher.has_changed().is_ok()
}

fn refused(watcher: &Watcher) -> bool {
    matches!(&*watcher.borrow(), Some(Landing::Replied(reply)) if reply.outcome == Outcome::Reject)
}

fn failed(watcher: &Watcher) -> bool {
    match &*watcher.borrow() {
        Some(Landing::Failed { .. }) => true,
        Some(Landing::Replied(_) | Landing::Held(_)) => false,
        None => watcher.has_changed().is_err(),
    }
}

/// The maps stay whole whatever a panicking holder did: every change is one insert or remove.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
