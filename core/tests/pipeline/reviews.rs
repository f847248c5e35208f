//! What people decide: it is applied, and nothing more. A record is held to the gate again after each correction, a
//! rejection stands, and nobody's silence sends a held-back record to a model.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use vestibule_core::{
    finding::Outcome,
    flow::{Ended, Flow},
    job::{Decision, JobId, Reply, Ruling},
};
use vestibule_testkit::{ScriptedModel, Step};

use crate::{
    checkpoints::{Keeper, attempt},
    desk::{ASKS, NOW, batch, document, findings, flow, written},
};

const RECORD: &str = "record:\n  a: { from: A, required: yes, length: ..2 }\n  b: { from: B, length: ..2 }\n  n: { from: N, type: int }\nchecks:\n  n >= 0: { else: reject }\n";
const BACK: &str = "return:\n  into: R\n  write:\n    A: a\n    Prio: { from: answer.priority, default: '-' }\n    Status: outcome\n    Model: model.name\n";
const REVIEW: &str = "review: { within: 48h }\n";
const HELD: &str = "<C><A>xxx</A><N>1</N></C>";

fn answer(priority: &str, sure: f64) -> Step {
    Step::Answer(json!({ "priority": priority, "sure": sure }))
}

fn by(who: &str, record: Option<u32>, ruling: Ruling) -> Decision {
    Decision { record, ruling, by: who.into(), at: NOW.parse().unwrap(), note: None }
}

fn release() -> Decision {
    by("anna", None, Ruling::Release)
}

fn reject() -> Decision {
    by("anna", None, Ruling::Reject)
}

fn lapse() -> Decision {
    by("vestibule", None, Ruling::Lapse)
}

fn correct(record: Option<u32>, fields: &[(&str, &str)]) -> Decision {
    let fields: BTreeMap<_, _> = fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    by("anna", record, Ruling::Correct(fields))
}

/// A job that people decide about.
struct Case {
    flow: Flow,
    model: Arc<ScriptedModel>,
    keeper: Keeper,
    ticket: JobId,
}

impl Case {
    fn of(make: impl FnOnce(&str, Arc<ScriptedModel>) -> Flow, text: &str, steps: Vec<Step>) -> Self {
        let model = Arc::new(ScriptedModel::new("m", steps));
        let flow = make(text, model.clone());
        Self { flow, model, keeper: Keeper::default(), ticket: JobId::fresh() }
    }

    fn one(more: &str, steps: Vec<Step>) -> Self {
        let text = format!("{RECORD}{ASKS}{more}{BACK}{REVIEW}");
        Self::of(|text, model| flow(text, vec![model]), &text, steps)
    }

    fn many(more: &str, steps: Vec<Step>) -> Self {
        let text = format!("{RECORD}{ASKS}{more}{BACK}{REVIEW}");
        Self::of(|text, model| batch(text, vec![model]), &text, steps)
    }

    /// `waits: ` before what is said in the meantime.
    async fn run(&self, text: &str, decisions: &[Decision]) -> (String, Reply) {
        match attempt(&self.flow, text, self.ticket, decisions, &self.keeper).await.unwrap() {
            Ended::Reply(reply) => (written(&reply), reply),
            Ended::Review(it) => {
                assert_eq!(it.reply.outcome, Outcome::Review);
                (format!("waits: {}", written(&it.reply)), it.reply)
            }
        }
    }

    async fn told(&self, text: &str, decisions: &[Decision]) -> String {
        self.run(text, decisions).await.0
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_person_waits_for_one_and_goes_on_when_released() {
    let case = Case::one("", vec![answer("low", 1.0)]);
    let document = document(HELD);
    let extraction = case.flow.extract(&document).unwrap();
    let progress = vestibule_core::flow::Progress::fresh(case.ticket, tokio::time::Instant::now());
    let Ended::Review(suspension) = case.flow.run(&document, extraction, progress).await.unwrap() else {
        panic!("it does not wait")
    };
    assert_eq!(written(&suspension.reply), "A=xxx; Prio=-; Status=review");
    let until = suspension.until.unwrap();
    assert!(until >= document.received + jiff::SignedDuration::from_hours(48), "{until}");
    assert_eq!(case.model.calls(), 0);

    let (told, reply) = case.run(HELD, &[release()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=xxx; Prio=low; Status=pass; Model=m", 1));
    assert_eq!(findings(&reply)[0], "G105 note a at /C/A: ..2 characters / xxx");
    assert_eq!(reply.findings[1].say.as_deref(), Some("released by anna"));
    assert_eq!((reply.findings[1].code.as_str(), reply.outcome), ("G119", Outcome::Note));
}

#[tokio::test(start_paused = true)]
async fn a_release_lifts_no_rejection() {
    let case = Case::one("", vec![answer("low", 1.0)]);
    let (told, reply) = case.run("<C><A>xxx</A><N>-1</N></C>", &[release()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=xxx; Prio=-; Status=reject", 0));
    assert_eq!(reply.outcome, Outcome::Reject);
    // Nor one that a correction brings in.
    let told = case.told(HELD, &[correct(None, &[("n", "-1")]), release()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=xxx; Prio=-; Status=reject", 0));
}

#[tokio::test(start_paused = true)]
async fn a_corrected_record_passes_the_gate_again() {
    let case = Case::one("", vec![answer("low", 1.0)]);
    let still = correct(None, &[("a", "yyyy")]);
    assert_eq!(case.told(HELD, std::slice::from_ref(&still)).await, "waits: A=yyyy; Prio=-; Status=review");
    // What it was released for was another record.
    let told = case.told(HELD, &[release(), still.clone()]).await;
    assert_eq!(told, "waits: A=yyyy; Prio=-; Status=review");
    assert_eq!(case.told(HELD, &[correct(None, &[("a", "")])]).await, "refused", "empty text is nothing");
    assert_eq!(case.model.calls(), 0);
    let good = correct(None, &[("a", "yy")]);
    assert_eq!(case.told(HELD, &[still, good]).await, "A=yy; Prio=low; Status=pass; Model=m");
}

#[tokio::test(start_paused = true)]
async fn decisions_about_one_record_leave_the_others_alone() {
    let text = "<B><R><A>xxx</A></R><R><A>yyy</A></R><R><A>z</A></R></B>";
    let case = Case::many("", vec![answer("low", 1.0)]);
    let waits = "waits: A=xxx; Prio=-; Status=review\nA=yyy; Prio=-; Status=review\nA=z; Prio=low; Status=pass; Model=m";
    assert_eq!(case.told(text, &[]).await, waits);
    let mut decisions = vec![by("anna", Some(0), Ruling::Release)];
    assert_eq!(
        case.told(text, &decisions).await,
        waits.replace("A=xxx; Prio=-; Status=review", "A=xxx; Prio=low; Status=pass; Model=m")
    );
    assert_eq!(case.model.calls(), 2, "the third was saved");
    // A person refused one; the other still waits.
    decisions.push(by("anna", Some(0), Ruling::Reject));
    assert_eq!(case.told(text, &decisions).await, waits.replacen("review", "reject", 1));
    // All that wait: not the one that passes.
    decisions.push(reject());
    let (told, reply) = case.run(text, &decisions).await;
    assert_eq!(
        told,
        "A=xxx; Prio=-; Status=reject\nA=yyy; Prio=-; Status=reject\nA=z; Prio=low; Status=pass; Model=m"
    );
    let said: Vec<_> = reply.findings.iter().filter(|it| it.code == "G119").collect();
    let said: Vec<_> = said.iter().map(|it| (it.xpath.as_deref(), it.say.as_deref())).collect();
    let rejected = Some("rejected by anna");
    let released = Some("released by anna");
    assert_eq!(
        said,
        [(Some("/B/R[1]"), released), (Some("/B/R[1]"), rejected), (Some("/B/R[2]"), rejected)],
        "each names its record"
    );
    assert_eq!(case.model.calls(), 2);
    // The newest decision about a record holds.
    decisions.push(by("bert", Some(1), Ruling::Release));
    let told = case.told(text, &decisions).await;
    assert!(told.contains("A=yyy; Prio=low; Status=pass"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_correction_of_all_goes_to_what_the_gate_holds() {
    let text = "<B><R><A>xxx</A></R><R><A>yyy</A></R><R><A>z</A></R></B>";
    let case = Case::many("", vec![answer("low", 1.0)]);
    case.told(text, &[]).await;
    let told = case.told(text, &[correct(None, &[("a", "ok")])]).await;
    let names: Vec<_> = told.lines().map(|it| &it[..4]).collect();
    assert_eq!(names, ["A=ok", "A=ok", "A=z;"]);
    assert_eq!(case.model.calls(), 3, "the one that passed is not asked about again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_doubt_is_used_when_it_is_released_and_not_asked_for_again() {
    let steps = vec![answer("low", 0.5), answer("high", 0.4), answer("high", 0.3)];
    let case = Case::one("  accept: answer.sure >= 0.7\n", steps);
    let text = "<C><A>x</A></C>";
    assert_eq!(case.told(text, &[]).await, "waits: A=x; Prio=low; Status=review; Model=m");
    assert_eq!(case.keeper.all().len(), 1, "saved before it waits");
    let told = case.told(text, &[release()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=x; Prio=low; Status=pass; Model=m", 1));

    // The answer to what was corrected is another one; who released the first did not see it.
    let decisions = [release(), correct(None, &[("a", "y")])];
    assert_eq!(case.told(text, &decisions).await, "waits: A=y; Prio=high; Status=review; Model=m");
    assert_eq!((case.model.calls(), case.keeper.all().len()), (2, 2));
    // It is not asked for again, and a release of it holds.
    let told = case.told(text, &[&decisions[..], &[release()]].concat()).await;
    assert_eq!((&*told, case.model.calls()), ("A=y; Prio=high; Status=pass; Model=m", 2));
}

#[tokio::test(start_paused = true)]
async fn who_released_a_record_has_not_seen_its_answer() {
    let case = Case::one("  accept: answer.sure >= 0.7\n", vec![answer("low", 0.5)]);
    for decisions in [vec![release()], vec![release()]] {
        let told = case.told(HELD, &decisions).await;
        assert_eq!(told, "waits: A=xxx; Prio=low; Status=review; Model=m");
    }
    let told = case.told(HELD, &[release(), release()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=xxx; Prio=low; Status=pass; Model=m", 1));
}

const FIXED: &str = "  fallback: [ answer: { priority: high, sure: 1 } ]\n";

#[tokio::test(start_paused = true)]
async fn nobodys_silence_sends_a_held_back_record_to_a_model() {
    for (more, lapse_word, expected) in [
        (FIXED, "", "A=xxx; Prio=high; Status=pass; Model=fallback:answer"),
        ("", "", "A=xxx; Prio=-; Status=review"),
        (FIXED, ", lapse: review", "A=xxx; Prio=-; Status=review"),
        (FIXED, ", lapse: reject", "A=xxx; Prio=-; Status=reject"),
        // A fixed answer that `accept` does not take is none that fits.
        (
            "  fallback: [ answer: { priority: high, sure: 0 } ]\n  accept: answer.sure > 0\n",
            "",
            "A=xxx; Prio=-; Status=review",
        ),
    ] {
        let review = format!("review: {{ within: 48h{lapse_word} }}\n");
        let text = format!("{RECORD}{ASKS}{more}{BACK}{review}");
        let case = Case::of(|text, model| flow(text, vec![model]), &text, vec![answer("low", 1.0)]);
        let (told, reply) = case.run(HELD, &[lapse()]).await;
        assert_eq!((&*told, case.model.calls()), (expected, 0), "{more}{review}");
        let said = reply.findings.iter().find(|it| it.code == "G119").unwrap();
        assert!(said.say.as_ref().unwrap().contains("nobody decided in time"), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_time_or_not_an_answer_in_doubt_is_not_used_and_the_fallback_is() {
    let more = format!("{FIXED}  accept: answer.sure >= 0.7\n");
    let case = Case::one(&more, vec![answer("low", 0.5)]);
    let text = "<C><A>x</A></C>";
    assert!(case.told(text, &[]).await.starts_with("waits: "));
    let (told, reply) = case.run(text, &[lapse()]).await;
    assert_eq!((&*told, case.model.calls()), ("A=x; Prio=high; Status=pass; Model=fallback:answer", 1));
    assert_eq!((reply.outcome, reply.usage.input), (Outcome::Note, 100), "what was paid for counts");
}

#[tokio::test(start_paused = true)]
async fn without_a_review_in_the_mapping_a_review_is_a_reply() {
    let text = format!("{RECORD}{ASKS}{BACK}");
    let case = Case::of(|text, model| flow(text, vec![model]), &text, vec![answer("low", 1.0)]);
    assert_eq!(case.told(HELD, &[]).await, "A=xxx; Prio=-; Status=review");
}

#[test]
fn a_preview_shows_what_a_correction_would_do_and_who_made_it() {
    let text = "record:\n  id: { from: No }\n  name: { from: Name, mask: token, length: ..20 }\n  lines:\n    each: L\n    record:\n      amount: { from: Amt, type: int }\n";
    let flow = flow(text, Vec::new());
    let document = document(
        "<C><No>1</No><Name>Ana Perez Zapatero del Rio</Name><L><Amt>1</Amt></L><L><Amt>1</Amt><Amt>2</Amt></L></C>",
    );
    let before = flow.preview(&document, document.received).unwrap();
    assert_eq!(before.records[0].outcome, Outcome::Review);
    let mut why = correct(
        None,
        &[
            ("lines[2].amount", "7"),
            ("name", "Eva"),
            ("id", "12"),
            ("lines[3].amount", "1"),
            ("lines", "x"),
            ("pet", "x"),
        ],
    );
    why.note = Some("was Ana Perez Zapatero del Rio".into());
    let mut released = release();
    released.note.clone_from(&why.note);
    let preview = flow.preview_with(&document, document.received, &[why, released]).unwrap();
    let [record] = preview.records.as_slice() else { panic!("one record") };
    assert_eq!(
        record.record,
        json!({ "id": "12", "name": "Eva", "lines": [{ "amount": 1 }, { "amount": 7 }] })
    );
    assert_eq!(
        record.lineage["lines[2].amount"],
        json!({ "from": "/C/L(2)/Amt(1)", "corrected by": "anna", "line": 1 })
    );
    let notes: Vec<_> = record.findings.iter().map(|it| it.say.clone().unwrap()).collect();
    let unknown = |name: &str| format!("`{name}` is not a field that can be corrected here");
    assert_eq!(notes, [unknown("lines"), unknown("lines[3].amount"), unknown("pet")]);
    assert_eq!(record.outcome, Outcome::Note);
}

#[tokio::test(start_paused = true)]
async fn masked_values_are_in_no_word_about_a_decision() {
    let record =
        "record:\n  name: { from: Name, mask: token, length: ..8 }\n  note: { from: Note, length: ..4 }\n";
    let text =
        format!("{record}return:\n  into: R\n  write:\n    Why: findings\n    Status: outcome\n{REVIEW}");
    let case = Case::of(|text, _| flow(text, Vec::new()), &text, Vec::new());
    let text = "<C><Name>Ana Perez Lopez</Name><Note>of Ana Perez Lopez and Eva Gomez</Note></C>";
    let mut decided = by("Eva Gomez", None, Ruling::Release);
    decided.note = Some("Ana Perez Lopez is\nEva Gomez".into());
    let correction = correct(None, &[("name", "Eva Gomez"), ("Ana Perez Lopez", "x")]);
    for decisions in [vec![], vec![correction.clone()], vec![correction, decided]] {
        let (told, reply) = case.run(text, &decisions).await;
        for hidden in ["Perez", "Gomez"] {
            assert!(!format!("{told} {reply:?}").contains(hidden), "{told} {reply:?}");
        }
    }
}

#[test]
fn a_ticket_is_written_in_the_form_of_the_caller_and_jobs_are_ordered_by_their_fields() {
    let text = |mask: &str| {
        format!(
            "async: yes\nrecord:\n  a: {{ from: A, required: yes{mask} }}\norder: a\nreturn:\n  into: R\n  write:\n    A: a\npending:\n  into: P\n  write:\n    Ticket: ticket\n    Flow: flow.name\n"
        )
    };
    let (clear, masked) = (flow(&text(""), Vec::new()), flow(&text(", mask: token"), Vec::new()));
    let (one, ticket) = (document("<C><A>C-1</A></C>"), JobId::fresh());
    let vestibule_core::job::ReplyBody::Written { bytes, .. } = clear.pending(&one, ticket).unwrap().unwrap()
    else {
        panic!("nothing written")
    };
    assert_eq!(bytes, format!("Ticket={ticket}; Flow=desk"));
    let order = |flow: &Flow, text: &str| flow.order_of(&flow.extract(&document(text)).unwrap());
    assert_eq!(order(&clear, "<C><A>C-1</A></C>").as_deref(), Some("a=C-1"));
    assert_eq!(order(&clear, "<C/>"), None);
    let hidden = order(&masked, "<C><A>C-1</A></C>").unwrap();
    assert!(hidden.len() == 64 && !hidden.contains("C-1"), "{hidden}");
}

#[tokio::test(start_paused = true)]
async fn nor_in_a_word_about_an_answer() {
    let record = "record:\n  name: { from: Name, mask: token }\n";
    let text = format!(
        "{record}{ASKS}  accept: answer.sure >= 0.7\nreturn:\n  into: R\n  write:\n    Why: findings\n{REVIEW}"
    );
    let steps = vec![answer("low", 0.5)];
    let case = Case::of(|text, model| flow(text, vec![model]), &text, steps);
    let text = "<C><Name>Ana Perez</Name></C>";
    case.told(text, &[]).await;
    for ruling in [Ruling::Release, Ruling::Reject] {
        let mut decided = by("anna", None, ruling);
        decided.note = Some("I know Ana Perez".into());
        let (told, reply) = case.run(text, &[decided]).await;
        assert!(told.contains(" by anna: ***"), "{told}");
        assert!(!format!("{told} {reply:?}").contains("Perez"), "{told} {reply:?}");
    }
}
