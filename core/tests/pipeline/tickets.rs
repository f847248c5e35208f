//! Tickets: who gets one, when, and what it is worth.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep};
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    job::{Decision, JobFilter, JobId, JobState, Ruling},
    ports::JobStore,
    runner::{Called, Parts, Request, Runner, Wait},
};
use vestibule_testkit::{MemoryStore, ScriptedModel, Step, memory_store::Mistake};

use crate::desk::{ASKS, document, flow, written};

const FORM: &str = "record:\n  a: { from: A }\nreturn:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n    Status: outcome\n";
/// A form that can not say that a person decides.
const MUTE: &str = "record:\n  a: { from: A }\nreturn:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n";

fn after(milliseconds: u64) -> Step {
    Step::After(Duration::from_millis(milliseconds), Box::new(Step::Answer(json!({ "priority": "high" }))))
}

fn start(text: &str, steps: Vec<Step>, store: &Arc<dyn JobStore>) -> Arc<Runner> {
    let model = Arc::new(ScriptedModel::new("m", steps).remote());
    let flow = flow(&format!("{ASKS}{text}"), vec![model]);
    Runner::start(Parts::called(vec![Arc::new(flow)], Some(Arc::clone(store))))
}

fn memory() -> Arc<dyn JobStore> {
    Arc::new(MemoryStore::default())
}

fn keyed(key: &str, text: &str) -> Document {
    Document { key: IdempotencyKey::new(key), ..document(text) }
}

async fn call(runner: &Arc<Runner>, document: Document, wait: Wait) -> Result<Called, Fault> {
    let extraction = runner.flows()[0].extract(&document).unwrap();
    runner.call(Request { flow: 0, document, extraction, wait, return_to: None }).await
}

fn said(called: &Result<Called, Fault>) -> String {
    match called {
        Ok(Called::Replied(_, reply)) => written(reply),
        Ok(Called::Ticket(_)) => "ticket".into(),
        Err(fault) => {
            format!("{}{}", fault.code.code(), if fault.ticket.is_some() { " with a ticket" } else { "" })
        }
    }
}

fn ticket(called: Result<Called, Fault>) -> JobId {
    match called {
        Ok(Called::Ticket(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_gets_a_ticket_and_when() {
    let soon = Wait::AtMost(Duration::from_millis(100));
    let later = Wait::AtMost(Duration::from_secs(1));
    let high = "Prio=high; Status=pass";
    for (mapping, wait, expected, takes) in [
        ("", Wait::Result, high, 500),
        ("", Wait::Ticket, "ticket", 0),
        ("", soon, "ticket", 100),
        ("", later, high, 500),
        ("async: yes\n", Wait::Result, "ticket", 0),
        ("async: yes\n", later, "ticket", 0),
        ("async: late\n", Wait::Result, high, 500),
        ("async: late\n", Wait::Ticket, "ticket", 0),
        ("async: no\n", Wait::Result, high, 500),
        ("async: no\n", Wait::Ticket, "V003", 0),
        ("async: no\n", soon, "V008 with a ticket", 100),
        ("durability: none\n", Wait::Ticket, "V003", 0),
        ("durability: none\n", Wait::Result, high, 500),
        ("durability: none\n", soon, "V008", 100),
    ] {
        let store = memory();
        let runner = start(&format!("{FORM}{mapping}"), vec![after(500)], &store);
        let began = Instant::now();
        let called = call(&runner, keyed("k", "<C/>"), wait).await;
        assert_eq!(said(&called), expected, "{mapping:?} {wait:?}");
        assert_eq!(began.elapsed().as_millis(), takes, "{mapping:?} {wait:?}");
        if let Ok(Called::Ticket(ticket)) = called {
            sleep(Duration::from_secs(1)).await;
            let job = store.find(ticket).await.unwrap().unwrap();
            assert_eq!(written(job.state.reply().unwrap()), high);
            assert!(matches!(job.state, JobState::Answered { .. }), "nobody has taken it yet");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_is_a_ticket_where_the_flow_says_so_and_else_a_fault_with_one() {
    for (mapping, expected) in [("async: late\n", "ticket"), ("", "V008 with a ticket")] {
        let store = memory();
        // The store hangs on to the call longer than its caller may wait: the model is asked again later.
        let runner = start(&format!("{MUTE}{mapping}"), vec![Step::HangForever, after(0)], &store);
        let began = Instant::now();
        let called = call(&runner, keyed("k", "<C/>"), Wait::Result).await;
        let code = said(&called).replace("V009", "V008");
        assert_eq!(code, expected, "{called:?}");
        assert!(began.elapsed() <= Duration::from_millis(2_001), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_for_a_known_key_is_the_same_and_another_document_is_told_of_it() {
    let store = memory();
    let runner = start(FORM, vec![after(500)], &store);
    let first = ticket(call(&runner, keyed("k", "<C/>"), Wait::Ticket).await);
    let again = ticket(call(&runner, keyed("k", "<C/>"), Wait::Ticket).await);
    let fault = call(&runner, keyed("k", "<C><A>2</A></C>"), Wait::Ticket).await.unwrap_err();
    assert_eq!((first, fault.code, fault.ticket), (again, FaultCode::KeyConflict, Some(first)));
    // Who waits for what has a ticket gets its result.
    let Called::Replied(id, _) = call(&runner, keyed("k", "<C/>"), Wait::Result).await.unwrap() else {
        panic!()
    };
    assert_eq!(id, first);
    assert_eq!(ticket(call(&runner, keyed("k", "<C/>"), Wait::Ticket).await), first, "also after its end");
    assert_eq!(store.list(JobFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_waits_in_the_store_for_its_turn() {
    let store = memory();
    let runner = start(&format!("{FORM}concurrency: 1\n"), vec![after(100)], &store);
    for _ in 0..5 {
        ticket(call(&runner, document("<C/>"), Wait::Ticket).await);
    }
    let count = |word: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let jobs = store.list(JobFilter::default()).await.unwrap();
            jobs.iter().filter(|it| it.state.word() == word).count()
        }
    };
    assert_eq!((count("leased").await, count("queued").await), (1, 4));
    // Each is begun when the one before it has ended, not when the clock of the store is looked at.
    sleep(Duration::from_millis(650)).await;
    assert_eq!(count("answered").await, 5);
}

#[tokio::test(start_paused = true)]
async fn work_that_nobody_waits_for_is_refused_where_it_could_not_start_in_half_its_patience() {
    let store = memory();
    let text = format!("{FORM}concurrency: 1\npatience: 4s\n");
    let runner = start(&text, vec![after(500)], &store);
    // It is known how long one takes: a half of four seconds is room for four.
    call(&runner, document("<C/>"), Wait::Result).await.unwrap();
    let mut taken = 0;
    let refused = loop {
        match call(&runner, document("<C/>"), Wait::Ticket).await {
            Ok(_) => taken += 1,
            Err(fault) => break fault,
        }
        assert!(taken < 100, "there is no bound");
    };
    assert_eq!((refused.code, refused.ticket), (FaultCode::Unavailable, None));
    assert!((4..=5).contains(&taken), "{taken}");
    assert_eq!(
        store.list(JobFilter::default()).await.unwrap().len(),
        taken + 1,
        "what is refused is not accepted"
    );
    sleep(Duration::from_secs(10)).await;
    ticket(call(&runner, document("<C/>"), Wait::Ticket).await);
    assert_eq!(runner.figures().flows[0].busy, 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_in_review_is_answered_for_now_and_ended_by_a_person() {
    let store = memory();
    let text = FORM.replace("a: { from: A }", "a: { from: A, required: review }");
    let runner = start(&format!("{text}review: {{ within: 48h }}\n"), vec![after(10)], &store);
    let called = call(&runner, keyed("k", "<C/>"), Wait::Result).await.unwrap();
    let Called::Replied(id, interim) = called else { panic!("{called:?}") };
    assert_eq!((interim.outcome, written(&interim)), (Outcome::Review, "Prio=-; Status=review".into()));
    sleep(Duration::from_secs(1)).await;
    let job = store.find(id).await.unwrap().unwrap();
    assert!(matches!(job.state, JobState::InReview { .. }), "{:?}", job.state);
    let decision = Decision {
        record: None,
        ruling: Ruling::Release,
        by: "anna".into(),
        at: "2026-11-20T13:00:00Z".parse().unwrap(),
        note: None,
    };
    assert!(store.decide(id, vec![decision]).await.unwrap());
    sleep(Duration::from_secs(5)).await;
    let called = call(&runner, keyed("k", "<C/>"), Wait::Result).await.unwrap();
    let Called::Replied(same, reply) = called else { panic!("{called:?}") };
    assert_eq!((same, written(&reply)), (id, "Prio=high; Status=pass".into()));
    assert_eq!(runner.figures().flows[0].reviews, 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_checkpoint_is_not_asked_again_after_a_failure() {
    let store: Arc<dyn JobStore> =
        Arc::new(MemoryStore::broken(Duration::from_secs(60), Mistake::IgnoresDelays));
    let model = Arc::new(ScriptedModel::new(
        "m",
        [
            Step::Answer(json!({ "priority": "low" })),
            Step::Fail(Recovery::Retry),
            Step::Fail(Recovery::Retry),
            after(0),
        ],
    ));
    let flow = crate::desk::batch(&format!("{ASKS}{MUTE}"), vec![model.clone()]);
    let runner = Runner::start(Parts::called(vec![Arc::new(flow)], Some(Arc::clone(&store))));
    let text = "<C><R><A>1</A></R><R><A>2</A></R></C>";
    let called = call(&runner, document(text), Wait::Ticket).await;
    let id = ticket(called);
    sleep(Duration::from_secs(5)).await;
    let job = store.find(id).await.unwrap().unwrap();
    assert_eq!(written(job.state.reply().unwrap()), "Prio=low\nPrio=high");
    assert_eq!(model.calls(), 4, "the first record was asked about once");
}
