use std::sync::Arc;

use super::{CASES, Case};
use crate::scripted_channel::{Mistake, ScriptedChannel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripted_channel_keeps_every_promise() {
    for case in CASES {
        case.check(Arc::new(ScriptedChannel::new()))
            .await
            .unwrap_or_else(|it| panic!("{}: {it:?}", case.name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_found_by_the_case_that_is_about_it() {
    let found = FOUND.map(|(mistake, name)| async move {
        let case: &Case = CASES.iter().find(|it| it.name == name).unwrap();
        (mistake, name, case.check(Arc::new(ScriptedChannel::with(mistake))).await)
    });
    for (mistake, name, kept) in futures_util::future::join_all(found).await {
        assert!(kept.is_err(), "{mistake:?} is not found by {name}");
    }
    assert!(
        Mistake::ALL.iter().all(|it| FOUND.iter().any(|(found, _)| it == found)),
        "a mistake has no case"
    );
}

const FOUND: [(Mistake, &str); 22] = [
    (Mistake::Swaps, "documents_come_in_their_order"),
    (Mistake::Overfills, "a_batch_is_never_longer_than_asked_for"),
    (Mistake::WaitsForMore, "what_is_there_comes_without_waiting_for_more"),
    (Mistake::LosesWithTheCall, "a_call_that_is_dropped_loses_nothing"),
    (Mistake::Transcodes, "a_document_is_what_was_sent"),
    (Mistake::ForgetsNames, "a_document_is_what_was_sent"),
    (Mistake::SharesOut, "nobody_gets_what_another_has"),
    (Mistake::DropsForGood, "dropped_documents_are_delivered_again"),
    (Mistake::ForgetsAccepted, "accepted_documents_do_not_come_again"),
    (Mistake::AcceptsAllBefore, "each_document_is_settled_for_itself"),
    (Mistake::Hurries, "what_is_put_off_comes_after_its_time_and_not_before"),
    (Mistake::PutsOffForEver, "what_is_put_off_comes_after_its_time_and_not_before"),
    (Mistake::Blocks, "what_is_put_off_holds_up_nobody"),
    (Mistake::NeverGivesUp, "what_is_put_off_too_often_is_a_dead_letter"),
    (Mistake::SaysNothing, "a_dead_letter_says_why"),
    (Mistake::ReversesResults, "results_arrive_in_their_order"),
    (Mistake::RenamesResults, "a_result_has_the_same_name_each_time"),
    (Mistake::BelievesItself, "what_reaches_nobody_may_be_tried_again_and_the_others_arrive"),
    (Mistake::FailsTogether, "what_reaches_nobody_may_be_tried_again_and_the_others_arrive"),
    (Mistake::GivesUp, "what_reaches_nobody_may_be_tried_again_and_the_others_arrive"),
    (Mistake::RefusesSilently, "a_refusal_says_why"),
    (Mistake::BuriesTheResult, "a_dead_letter_is_the_document_with_its_findings"),
];
