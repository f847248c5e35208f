//! A store that refuses everything.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, Lease, NewJob, Remark, Reply,
        Submission, Suspension, Sweep,
    },
    ports::JobStore,
};

/// A store that refuses everything, as a full disk does: for tests of what stands above.
pub struct FailingStore {
    /// What callers are told to do about it.
    pub recovery: Recovery,
}

impl FailingStore {
    fn refuse<'a, T: Send + 'a>(&self) -> BoxFuture<'a, Result<T, Fault>> {
        let fault = Fault::new(FaultCode::Store, "the job store failed, as the test asked");
        Box::pin(std::future::ready(Err(fault.recovery(self.recovery))))
    }
}

impl JobStore for FailingStore {
    fn submit_all(&self, _: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        self.refuse()
    }
    fn checkpoint<'a>(&'a self, _: &'a Lease, _: Vec<Checkpoint>) -> BoxFuture<'a, Result<(), Fault>> {
        self.refuse()
    }
    fn answer(&self, _: Lease, _: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        self.refuse()
    }
    fn suspend(&self, _: Lease, _: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn release(&self, _: Lease, _: Duration, _: bool) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn bury(&self, _: Lease, _: String, _: Vec<Remark>) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        self.refuse()
    }
    fn returned(&self, _: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn returned_soon(&self, _: JobId) {}
    fn delivered(&self, _: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn delivered_soon(&self, _: Lease) {}
    fn redeliver(&self, _: Lease, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn undeliverable(&self, _: Lease, _: String) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn claim<'a>(&'a self, _: &'a [Arc<str>], _: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        self.refuse()
    }
    fn claim_deliveries(&self, _: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        self.refuse()
    }
    fn renew<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        self.refuse()
    }
    fn retry(&self, _: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn cancel(&self, _: JobId, _: String) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn hold(&self, _: JobId, _: String, _: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn decide(&self, _: JobId, _: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn sweep(&self, _: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        self.refuse()
    }
    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        self.refuse()
    }
    fn lead<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        self.refuse()
    }
    fn position<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        self.refuse()
    }
    fn keep_position<'a>(&'a self, _: &'a str, _: String) -> BoxFuture<'a, Result<(), Fault>> {
        self.refuse()
    }
    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn find(&self, _: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        self.refuse()
    }
    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        self.refuse()
    }
    fn list(&self, _: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        self.refuse()
    }
    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
}
