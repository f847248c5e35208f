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
//!
//! [`SHARED`] is for stores that several processes share: each case takes two handles of one empty store, as two
//! processes have them.

mod accepting;
mod delivering;
mod ending;
mod leasing;
mod listing;
mod operating;
mod ordering;
mod placing;
mod reviewing;
mod saving;
mod sharing;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::Fault,
    job::{Claimed, Job, JobId, Lease, NewJob, Submission},
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
        in_time((self.run)(store))
    }
}

/// One promise of a store that several processes share.
pub struct SharedCase {
    /// The promise, as a sentence with underscores.
    pub name: &'static str,
    /// How long the leases of the store must last for this case.
    pub lease: Duration,
    run: fn(Store, Store) -> BoxFuture<'static, Kept>,
}

impl SharedCase {
    /// Checks the promise on two handles of one empty store whose leases last for [`SharedCase::lease`]. Blocks.
    pub fn check(&self, one: Store, other: Store) -> Kept {
        in_time((self.run)(one, other))
    }
}

fn in_time(case: BoxFuture<'static, Kept>) -> Kept {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .map_err(|error| Broken(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let ended = tokio::time::timeout(Duration::from_secs(60), case).await;
        ended.unwrap_or_else(|_| Err(Broken("still waiting after a minute".into())))
    })
}

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(600);

macro_rules! cases {
    ($kind:ident |$($store:ident),*| $($lease:ident $module:ident::$name:ident),* $(,)?) => {
        &cases!(@list $kind ($($store),*) $(($lease $module $name))*)
    };
    (@list $kind:ident $stores:tt $(($lease:ident $module:ident $name:ident))*) => {
        [$(cases!(@one $kind $stores $lease $module $name)),*]
    };
    (@one $kind:ident ($($store:ident),*) $lease:ident $module:ident $name:ident) => {
        $kind { name: stringify!($name), lease: $lease, run: |$($store),*| Box::pin($module::$name($($store),*)) }
    };
}

/// Every promise.
pub const CASES: &[Case] = cases![Case |store|
    LONG accepting::a_new_job_is_accepted_and_kept_as_it_came,
    LONG accepting::a_known_key_gives_the_job_as_it_stands,
    LONG accepting::a_known_key_with_another_document_is_a_conflict,
    LONG accepting::one_key_in_two_flows_is_two_jobs,
    LONG accepting::jobs_without_a_key_are_never_the_same,
    LONG accepting::of_many_submitters_with_one_key_exactly_one_is_accepted,
    LONG accepting::a_jobs_name_is_used_once,
    LONG accepting::jobs_are_accepted_together_in_their_order,
    LONG accepting::many_jobs_at_once_are_claimed_in_their_order,
    LONG accepting::a_job_may_wait_for_whoever_claims_it,
    LONG accepting::what_came_beside_a_document_is_kept,
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
    LONG leasing::an_attempt_in_which_nothing_was_tried_does_not_count,
    LONG leasing::claims_are_by_flow,
    LONG leasing::who_waits_for_work_is_woken,
    LONG listing::lists_are_newest_first_and_bounded,
    LONG listing::lists_are_filtered_by_state_and_flow,
    LONG listing::lists_carry_no_payloads,
    LONG listing::an_unknown_job_is_none,
    LONG listing::an_idle_store_is_ready,
    LONG listing::lists_are_filtered_by_age,
    LONG listing::lists_are_filtered_by_the_text_of_the_cause,
    LONG ordering::of_one_order_only_the_first_is_claimed,
    LONG ordering::the_first_of_an_order_holds_the_others_up_while_it_is_delayed,
    LONG ordering::a_job_is_leased_at_submission_only_as_the_first_of_its_order,
    LONG ordering::jobs_submitted_together_stand_in_one_line,
    LONG ordering::the_next_of_an_order_waits_until_the_result_was_handed_back,
    LONG ordering::a_job_in_review_holds_up_its_order,
    LONG ordering::a_job_that_starts_again_takes_its_place_in_line,
    LONG ordering::a_line_of_many_is_worked_off_in_its_order,
    LONG saving::checkpoints_are_kept_as_they_came_and_the_first_stays,
    LONG saving::a_stale_lease_saves_nothing,
    LONG saving::checkpoints_last_until_the_answer,
    SHORT saving::checkpoints_pass_on_with_a_lost_lease,
    LONG delivering::the_lease_goes_on_exactly_when_there_is_something_to_send,
    LONG delivering::what_is_delivered_is_done,
    LONG delivering::a_delivered_dead_letter_leaves_the_job_dead,
    LONG delivering::what_is_delivered_soon_is_done_in_a_while,
    LONG delivering::what_could_not_be_sent_is_due_again_after_its_delay,
    LONG delivering::deliveries_are_claimed_those_due_longest_first,
    SHORT delivering::a_lost_delivery_is_claimed_with_a_higher_token,
    LONG delivering::a_given_up_delivery_is_tried_again_only_when_asked,
    LONG delivering::a_lease_is_for_work_or_for_delivery,
    LONG reviewing::a_job_in_review_waits_and_says_so,
    LONG reviewing::one_reviewer_at_a_time,
    LONG reviewing::decisions_are_kept_and_the_job_goes_on,
    LONG reviewing::a_review_lapses_when_its_time_is_over,
    LONG reviewing::only_a_job_in_review_is_decided,
    LONG operating::a_dead_job_starts_again_as_if_it_were_new,
    LONG operating::a_cancelled_job_is_dead_and_its_worker_can_not_end_it,
    LONG operating::a_finished_job_is_not_cancelled,
    LONG operating::a_sweep_forgets_what_is_finished_and_old,
    LONG operating::a_sweep_takes_a_few_at_a_time,
    LONG operating::the_census_counts_what_waits_by_flow,
    LONG placing::the_newest_position_of_each_source_is_kept_as_it_came,
    LONG placing::a_position_that_is_too_long_is_refused_and_the_old_one_stays,
];

/// Every promise of a store that several processes share.
pub const SHARED: &[SharedCase] = cases![SharedCase |one, other|
    LONG sharing::one_key_is_one_job_whoever_takes_it,
    LONG sharing::each_job_has_one_worker,
    SHORT sharing::the_other_one_takes_over_a_lost_lease,
    LONG sharing::an_order_holds_across_processes,
    SHORT sharing::one_leads_until_it_is_silent,
    LONG sharing::work_that_one_leaves_wakes_the_other,
    LONG placing::what_one_keeps_the_other_finds,
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

async fn queued(store: &Store, job: NewJob) -> Kept {
    let id = job.id;
    match store.submit(job).await? {
        Submission::Queued(queued) => same(queued, id, "the queued job"),
        other => Err(Broken(format!("a job that has to wait does not: {other:?}"))),
    }
}

async fn claimed(store: &Store) -> Result<Claimed, Broken> {
    let claimed = store.claim(flows(), 1).await?.pop();
    claimed.ok_or_else(|| Broken("there was nothing to claim".into()))
}

/// The lease that went on after a job ended.
fn handed_over(lease: Option<Lease>) -> Result<Lease, Broken> {
    lease.ok_or_else(|| Broken("no lease to send the result".into()))
}
