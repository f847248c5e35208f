//! Deliberate mistakes, to prove that a suite can fail.

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// A deliberate mistake of a [`super::MemoryStore`], to prove that a suite can fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[doc = $doc])+ $name),*
        }

        impl Mistake {
            /// Every mistake.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

mistakes![
    /// Takes a key that it knows as a new job.
    ForgetsKeys,
    /// Takes another document under a known key for the same.
    IgnoresFingerprints,
    /// Takes a second job of the same name.
    ReusesNames,
    /// Takes a result under any token.
    IgnoresTokens,
    /// Takes a second result under the same lease.
    AnswersTwice,
    /// Claims the job that is due last.
    ClaimsNewestFirst,
    /// Hands out a job again while its lease lasts.
    ClaimsLeased,
    /// Hands out a released job before its delay is over.
    IgnoresDelays,
    /// Never hands out a job whose lease ran out.
    KeepsLostLeases,
    /// A renewal changes nothing.
    ForgetsRenewals,
    /// Loses the last byte of a reply.
    CutsReplies,
    /// Lists the oldest job first.
    ListsOldestFirst,
    /// Lists jobs of every state.
    IgnoresStateFilter,
    /// Marks a job as returned that has no reply.
    ReturnsUnanswered,
    /// Marks a job as returned whose result is still to be sent.
    ReturnsUndelivered,
    /// Leaves out what comes after a refused submission.
    StopsAtRefusals,
    /// Says what became of submissions in another order.
    ShufflesSubmissions,
    /// Leases a job that was to start later.
    StartsAtOnce,
    /// Hands out jobs of one order beside each other.
    IgnoresOrder,
    /// Leases a job at its submission while others of its order come first.
    OvertakesAtSubmission,
    /// Hands out the next of an order before the result of the one before it was handed back.
    OvertakesDeliveries,
    /// Hands out the next of an order while the one before it waits for a person.
    OvertakesReviews,
    /// The end of a job does not let the next of its order go.
    StopsOrders,
    /// Loses headers and properties.
    ForgetsAttributes,
    /// Loses where the result goes.
    ForgetsReturnAddresses,
    /// Loses checkpoints when a job is put back.
    ForgetsCheckpoints,
    /// Loses checkpoints when a job is left to a person.
    ForgetsCheckpointsInReview,
    /// Takes checkpoints under any token.
    TakesAnyCheckpoint,
    /// Replaces a checkpoint that is there.
    ReplacesCheckpoints,
    /// Keeps checkpoints after the answer.
    KeepsCheckpoints,
    /// Loses what was found when a job is given up.
    ForgetsFindings,
    /// Gives back no lease where there is something to send.
    KeepsParcels,
    /// Gives back a lease where there is nothing to send.
    SendsNothing,
    /// Hands out a delivery while its lease lasts.
    DeliversLeased,
    /// Never hands out a delivery whose lease ran out.
    KeepsLostDeliveries,
    /// Hands out a delivery before its delay is over.
    IgnoresDeliveryDelays,
    /// Hands out a delivery that was given up.
    DeliversGivenUp,
    /// Ends a delivery under any token.
    IgnoresDeliveryTokens,
    /// Marks a dead job as returned when its dead letter was sent.
    ReturnsDead,
    /// Does not note what was delivered while nobody waited.
    ForgetsSoon,
    /// A lease for work ends a delivery, and the other way round.
    ConfusesLeases,
    /// Counts an attempt in which nothing was tried.
    CountsUntried,
    /// Hands out jobs of flows that were not asked for.
    ClaimsAnyFlow,
    /// Gives a job in review to a second reviewer.
    IgnoresHolds,
    /// Gives a job in review to nobody else, ever.
    HoldsForEver,
    /// Takes decisions about jobs that are not in review.
    DecidesAnything,
    /// Loses decisions.
    ForgetsDecisions,
    /// Leaves a job in review for ever.
    NeverLapses,
    /// Does not say that the time of a review was over.
    LapsesSilently,
    /// Starts jobs again that are neither dead nor undelivered.
    RetriesAnything,
    /// Starts a dead job again with its old attempts.
    RetriesWorn,
    /// Never tries a given up delivery again.
    ForgetsUndelivered,
    /// Cancels finished jobs.
    CancelsFinished,
    /// A cancelled job's worker may still end it.
    CancelsPolitely,
    /// Sends no dead letter for a cancelled job.
    CancelsSilently,
    /// Forgets jobs with a delivery that is due.
    SweepsUndelivered,
    /// Forgets jobs that changed since.
    SweepsYoung,
    /// Forgets dead jobs with the answered ones.
    SweepsDead,
    /// Forgets jobs of every flow.
    SweepsAnyFlow,
    /// Forgets as many as there are.
    SweepsWithoutLimit,
    /// Counts finished jobs as waiting.
    CountsFinished,
    /// Counts every flow as one.
    CountsFlowsTogether,
    /// Lists jobs of every age.
    IgnoresAgeFilter,
    /// Lists jobs with every cause.
    IgnoresCauseFilter,
    /// Lists by the cause's letters exactly as they were asked for.
    MindsCase,
    /// Wakes nobody.
    NeverWakes,
    /// Gives one role to everybody.
    LeadsWithAll,
    /// Gives a role to one for ever.
    LeadsForEver,
    /// The first position stays.
    KeepsFirstPositions,
    /// All sources have one position.
    SharesPositions,
    /// Says that a position was kept that was not.
    ForgetsPositions,
    /// Keeps positions of any length.
    KeepsLongPositions,
    /// A position that is refused is gone.
    LosesPositionsAtRefusals,
    /// Cuts spaces and line breaks off positions.
    TrimsPositions,
];
