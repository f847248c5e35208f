//! The conformance suite of [`JobStore`]: what every store promises, one case a promise.
//!
//! A case ends with what went wrong instead of a panic, so that the suite can be run over broken fakes too.
//!
//! ```ignore
//! for case in vestibule_testkit::job_store::CASES {
//!     let opened = open(case.lease);
//!     case.check(opened.store).unwrap();
//! }
//! ```

mod accepting;
mod ending;
mod leasing;
mod listing;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::Fault,
    job::{Job, JobId, Lease, NewJob, Submission},
    ports::JobStore,
};

/// What was promised and not kept.
#[derive(Debug)]
pub struct Broken(pub String);

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self(format!("refused: {fault}"))
    }
}

/// How a case ends.
pub type Kept = Result<(), Broken>;

/// A store under test.
pub type Store = Arc<dyn JobStore>;

/// One promise.
pub struct Case {
    /// The promise, as a sentence with underscores.
    pub name: &'static str,
    /// How long the leases of the store must last for this case.
    pub lease: Duration,
    run: fn(Store) -> BoxFuture<'static, Kept>,
}

impl Case {
    /// Checks the promise on an empty store whose leases last for [`Case::lease`]. Blocks.
    pub fn check(&self, store: Store) -> Kept {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .map_err(|error| Broken(format!("no runtime: {error}")))?;
        let limit = Duration::from_secs(60);
        runtime.block_on(async {
            let ended = tokio::time::timeout(limit, (self.run)(store)).await;
            ended.unwrap_or_else(|_| Err(Broken("still waiting after a minute".into())))
        })
    }
}

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(600);

macro_rules! cases {
    ($($lease:ident $module:ident::$name:ident),* $(,)?) => {
        &[$(Case {
            name: stringify!($name),
            lease: $lease,
            run: |store| Box::pin($module::$name(store)),
        }),*]
    };
}

/// Every promise.
pub const CASES: &[Case] = cases![
    LONG accepting::a_new_job_is_accepted_and_kept_as_it_came,
    LONG accepting::a_known_key_gives_the_job_as_it_stands,
    LONG accepting::a_known_key_with_another_document_is_a_conflict,
    LONG accepting::one_key_in_two_flows_is_two_jobs,
    LONG accepting::jobs_without_a_key_are_never_the_same,
    LONG accepting::of_many_submitters_with_one_key_exactly_one_is_accepted,
    LONG accepting::a_jobs_name_is_used_once,
    LONG ending::a_reply_comes_back_byte_for_byte,
    LONG ending::a_job_is_answered_once,
    LONG ending::of_many_answers_under_one_lease_exactly_one_is_taken,
    LONG ending::a_stale_token_ends_nothing,
    LONG ending::a_buried_job_stays_dead,
    LONG ending::only_an_answered_job_is_returned,
    LONG ending::what_is_returned_soon_is_returned_in_a_while,
    LONG leasing::a_leased_job_is_not_claimed,
    LONG leasing::a_released_job_waits_for_its_delay,
    LONG leasing::claims_take_those_due_longest_first,
    LONG leasing::of_many_claimers_each_job_has_one,
    SHORT leasing::a_lost_lease_is_claimed_with_a_higher_token,
    SHORT leasing::a_renewed_lease_is_not_lost,
    LONG leasing::a_lease_that_nobody_took_is_given_back,
    LONG listing::lists_are_newest_first_and_bounded,
    LONG listing::lists_are_filtered_by_state_and_flow,
    LONG listing::lists_carry_no_payloads,
    LONG listing::an_unknown_job_is_none,
    LONG listing::an_idle_store_is_ready,
];

/// The flows that cases use.
pub fn flows() -> &'static [Arc<str>] {
    static FLOWS: LazyLock<Vec<Arc<str>>> =
        LazyLock::new(|| ["claims", "orders", "desk"].map(Arc::from).to_vec());
    &FLOWS
}

/// Checks that the condition holds.
fn expect(holds: bool, promise: &str) -> Kept {
    if holds { Ok(()) } else { Err(Broken(promise.to_owned())) }
}

/// Checks that the values are the same.
fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Kept {
    if found == expected { Ok(()) } else { Err(Broken(format!("{what}: {found:?}, expected {expected:?}"))) }
}

/// Checks that the store refused, as its contract says.
fn refused<T: std::fmt::Debug>(result: Result<T, Fault>, what: &str) -> Kept {
    match result {
        Ok(value) => Err(Broken(format!("{what} was not refused: {value:?}"))),
        Err(fault) => same(fault.code, vestibule_core::fault::FaultCode::Store, what),
    }
}

async fn accepted(store: &Store, job: NewJob) -> Result<Lease, Broken> {
    match store.submit(job).await? {
        Submission::Accepted(lease) => Ok(lease),
        other => Err(Broken(format!("a new job was not accepted: {other:?}"))),
    }
}

async fn found(store: &Store, id: JobId) -> Result<Job, Broken> {
    store.find(id).await?.ok_or_else(|| Broken(format!("job {id} is not there")))
}

/// A second holder's lease; the real `Lease` can not be copied, a forger can.
fn forged(lease: &Lease) -> Lease {
    Lease { job: lease.job, token: lease.token }
}
