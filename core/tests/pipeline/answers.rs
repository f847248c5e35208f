//! What is asked, and what becomes of answers: nothing but admitted records reach a model, `accept` decides, and a
//! person does where nothing answers.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use vestibule_core::{
    fault::{FaultCode, Recovery},
    finding::Outcome,
    ports::Model,
};
use vestibule_testkit::{ScriptedModel, Step};

use crate::desk::{ASKS, batch, findings, flow, flow_of, registry, run, written};

const RECORD: &str = "record:\n  a: { from: A, required: yes, length: ..2 }\n";
const BACK: &str = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, codes: p, default: '-' }\n    Status: outcome\n    Model: model.name\n    Why: findings\ncodes: { p: { low: 1, high: [2, 3] } }\n";

fn good() -> Step {
    Step::Answer(json!({ "priority": "high", "sure": 0.9 }))
}

#[tokio::test]
async fn an_answer_goes_back_in_the_first_legacy_code() {
    let model = Arc::new(ScriptedModel::new("m", [good()]));
    let flow = flow(&format!("{RECORD}{ASKS}{BACK}"), vec![model.clone()]);
    let reply = run(&flow, "<C><A>x</A></C>").await.unwrap();
    assert_eq!(written(&reply), "Prio=2; Status=pass; Model=m");
    assert_eq!((&*reply.answered_by, model.calls()), ("m", 1));
}

#[tokio::test]
async fn what_the_gate_holds_reaches_no_model() {
    let model = Arc::new(ScriptedModel::new("m", [good()]));
    let flow = flow(&format!("{RECORD}{ASKS}{BACK}"), vec![model.clone()]);
    for (document, expected) in [
        ("<C/>", "refused"),
        ("<C><A>xxx</A></C>", "Prio=-; Status=review; Why=G105 a at /C/A: expected ..2 characters"),
        ("<C><A>1</A><A>2</A></C>", "Prio=-; Status=review; Why=G118 a at /C/A[2]: expected one value"),
    ] {
        assert_eq!(written(&run(&flow, document).await.unwrap()), expected, "document: {document}");
    }
    assert_eq!(model.calls(), 0);
}

#[tokio::test]
async fn only_the_admitted_records_of_a_document_are_asked_about() {
    let model = Arc::new(ScriptedModel::new("m", [good()]));
    let flow = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![model.clone()]);
    let reply = run(&flow, "<B><R><A>x</A></R><R><A>xxx</A></R><R><A>y</A></R></B>").await.unwrap();
    assert_eq!(
        written(&reply),
        "Prio=2; Status=pass; Model=m\nPrio=-; Status=review; Why=G105 a at /B/R[2]/A: expected ..2 characters\nPrio=2; Status=pass; Model=m"
    );
    assert_eq!((model.calls(), reply.outcome), (2, Outcome::Review));

    // Without any record nothing is asked, whatever the finding leads to.
    run(&flow, "<B/>").await.unwrap();
    let text = format!(
        "mapping: desk\nsource: {{ kind: xml, each: R, only: a == 'x' }}\n{RECORD}checks: {{ count(records) > 0: {{ else: note }} }}\n{ASKS}{BACK}"
    );
    let other = flow_of(&text, vec![model.clone()], &registry());
    let reply = run(&other, "<B><R><A>y</A></R></B>").await.unwrap();
    assert_eq!(
        written(&reply),
        "Prio=-; Status=pass; Why=G113 count(records) > 0: expected count(records) > 0"
    );
    assert_eq!(model.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn records_are_asked_about_side_by_side_and_written_in_their_order() {
    let steps = (0..8).map(|it| {
        let answer = json!({ "priority": if it % 2 == 0 { "low" } else { "high" } });
        Step::After(Duration::from_millis(800 - 100 * it), Box::new(Step::Answer(answer)))
    });
    let flow = batch(&format!("{RECORD}{ASKS}{BACK}"), vec![Arc::new(ScriptedModel::new("m", steps))]);
    let reply = run(&flow, &format!("<B>{}</B>", "<R><A>x</A></R>".repeat(8))).await.unwrap();
    let text = written(&reply);
    let priorities: Vec<_> = text.lines().map(|it| &it[5..6]).collect();
    assert_eq!(priorities, ["1", "2", "1", "2", "1", "2", "1", "2"]);
}

#[tokio::test]
async fn an_answer_that_is_not_accepted_is_for_a_person() {
    let asks = format!("{ASKS}  accept: answer.sure >= 0.7\n");
    let held = "Prio=1; Status=review; Model=m; Why=G115 answer: expected an answer that `accept` takes";
    for (answer, expected) in [
        (json!({ "priority": "low", "sure": 0.7 }), "Prio=1; Status=pass; Model=m"),
        (json!({ "priority": "low", "sure": 0.69 }), held),
        // A rule that does not apply accepts nothing.
        (json!({ "priority": "low" }), held),
    ] {
        let model: Arc<dyn Model> = Arc::new(ScriptedModel::new("m", [Step::Answer(answer.clone())]));
        let flow = flow(&format!("{RECORD}{asks}{BACK}"), vec![model]);
        assert_eq!(written(&run(&flow, "<C><A>x</A></C>").await.unwrap()), expected, "answer: {answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_sure_enough_leads_to_its_else() {
    let held = |found: &str| format!("G112 review answer.sure: at least 0.7{found}");
    let asks = |more: &str| {
        ASKS.replace("sure: { type: decimal", &format!("sure: {{ type: decimal, confidence: 0.7{more}"))
    };
    assert_ne!(asks(""), ASKS);
    let back = "return:\n  into: R\n  write:\n    Status: outcome\n";
    for (more, answer, outcome, expected) in [
        ("", json!({ "priority": "low", "sure": 0.7 }), Outcome::Pass, None),
        ("", json!({ "priority": "low", "sure": "0.69" }), Outcome::Review, Some(held(" / 0.69"))),
        ("", json!({ "priority": "low" }), Outcome::Review, Some(held(""))),
        (
            ", else: note",
            json!({ "priority": "low", "sure": 0 }),
            Outcome::Note,
            Some(held(" / 0").replace("review", "note")),
        ),
        (
            ", else: reject",
            json!({ "priority": "low", "sure": 0.1 }),
            Outcome::Reject,
            Some(held(" / 0.1").replace("review", "reject")),
        ),
    ] {
        let model: Arc<dyn Model> = Arc::new(ScriptedModel::new("m", [Step::Answer(answer.clone())]));
        let flow = flow(&format!("{RECORD}{}{back}", asks(more)), vec![model]);
        let reply = run(&flow, "<C><A>x</A></C>").await.unwrap();
        assert_eq!(findings(&reply), Vec::from_iter(expected), "answer: {answer}");
        assert_eq!(reply.outcome, outcome, "answer: {answer}");
    }
}

#[tokio::test]
async fn accept_sees_the_whole_document() {
    let asks = format!("{ASKS}  accept: count(records) <= 2\n");
    let flow = batch(&format!("{RECORD}{asks}{BACK}"), vec![Arc::new(ScriptedModel::new("m", [good()]))]);
    for (records, outcome) in [(2, Outcome::Pass), (3, Outcome::Review)] {
        let document = format!("<B>{}</B>", "<R><A>x</A></R>".repeat(records));
        assert_eq!(run(&flow, &document).await.unwrap().outcome, outcome, "records: {records}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_a_person_decides_or_the_caller_gets_the_fault() {
    let silent = "return:\n  into: R\n  write:\n    Prio: { from: answer.priority, default: '-' }\n";
    for step in [Step::Fail(Recovery::GiveUp), Step::HangForever, Step::Answer(json!({ "priority": "odd" }))]
    {
        let model: Arc<dyn Model> = Arc::new(ScriptedModel::new("m", [step.clone()]).remote());
        let says = flow(&format!("{RECORD}{ASKS}{BACK}"), vec![model.clone()]);
        let reply = run(&says, "<C><A>x</A></C>").await.unwrap();
        assert_eq!(findings(&reply), ["G116 review answer: an answer inside the deadline"], "step: {step:?}");
        assert_eq!(
            written(&reply),
            "Prio=-; Status=review; Why=G116 answer: expected an answer inside the deadline"
        );

        let mute = flow(&format!("{RECORD}{ASKS}{silent}"), vec![model]);
        let fault = run(&mute, "<C><A>x</A></C>").await.unwrap_err();
        assert_eq!(fault.code, FaultCode::Model, "step: {step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_when_no_model_does() {
    let asks = format!("{ASKS}  fallback: [ answer: {{ priority: low, sure: 1 }} ]\n");
    let model: Arc<dyn Model> = Arc::new(ScriptedModel::new("m", [Step::HangForever]).remote());
    let flow = flow(&format!("{RECORD}{asks}{BACK}"), vec![model]);
    let began = tokio::time::Instant::now();
    let reply = run(&flow, "<C><A>x</A></C>").await.unwrap();
    assert_eq!(written(&reply), "Prio=1; Status=pass; Model=fallback:answer");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn flows_of_one_registry_share_what_they_know_of_a_model() {
    let registry = registry();
    let text = |name: &str| format!("mapping: {name}\nsource: {{ kind: xml }}\n{RECORD}{ASKS}{BACK}");
    let bad = Arc::new(ScriptedModel::new("m", [Step::Fail(Recovery::FailOver)]).remote());
    let other = Arc::new(ScriptedModel::new("m", [good()]).remote());
    let first = flow_of(&text("first"), vec![bad.clone()], &registry);
    let second = flow_of(&text("second"), vec![other.clone()], &registry);
    for _ in 0..10 {
        run(&first, "<C><A>x</A></C>").await.unwrap();
    }
    assert_eq!(bad.calls(), 5, "the breaker opened");
    run(&second, "<C><A>x</A></C>").await.unwrap();
    assert_eq!(other.calls(), 0, "the other flow knows it");
}
